package quic

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// RFC 9000, section 10.3: a stateless reset is always shorter than what it answers, and at least 21 bytes long.
func TestResetLen(t *testing.T) {
	for trigger := range 1501 {
		for _, random := range []byte{0, 7, 15, 255} {
			n := resetLen(trigger, random)
			switch {
			case trigger < 22 && n != 0:
				t.Errorf("%d bytes are answered with %d, want none", trigger, n)
			case trigger >= 22 && trigger <= 43 && n != trigger-1:
				t.Errorf("%d bytes are answered with %d, want one less", trigger, n)
			case trigger > 43 && (n < 42 || n >= trigger || n > 57):
				t.Errorf("%d bytes are answered with %d, want 42 to 57 and fewer than that", trigger, n)
			}
		}
	}
}

// Attack A5: what a stateless reset looks like, to datagrams of any length.
func TestStatelessReset(t *testing.T) {
	for _, n := range []int{1, 8, 20} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, idsOf(n)))
		id, _ := MakeConnID([]byte("12345678901234567890")[:n])
		want := server.resets.token(&id)
		lengths := map[int]bool{}
		var last []byte
		for size := 1; size <= 1500; size++ {
			w.now = w.now.Add(10 * time.Millisecond)
			d := shortPacket(id, size)[:size]
			_, answer := server.one(d, clientHost)
			if size < 22 || size < 1+n {
				if answer != nil {
					t.Errorf("%d bytes were answered", size)
				}
				continue
			}
			if len(answer) >= size || len(answer) < minStatelessReset || answer[0]&0xc0 != 0x40 || !bytes.HasSuffix(answer, want[:]) {
				t.Fatalf("%d bytes were answered with %x", size, answer)
			}
			if last != nil && bytes.Equal(last[1:5], answer[1:5]) {
				t.Errorf("twice %x", answer)
			}
			last = answer
			lengths[len(answer)] = true
		}
		if len(lengths) < 30 {
			t.Errorf("%d lengths, want more variety", len(lengths))
		}
		clear := shortPacket(id, 100)
		clear[0] &^= 0x40
		if _, answer := server.one(clear, clientHost); answer == nil {
			t.Error("a datagram with the QUIC bit 0 was not answered, though we announce that we take such")
		}
		strict := w.host(serverHost, endpointConfig(1, idsOf(n), func(c *Config) { c.NoGrease = true }))
		if _, answer := strict.one(clear, clientHost); answer != nil {
			t.Error("a datagram without the fixed bit was answered")
		}
	}
	t.Run("none with empty connection IDs", func(t *testing.T) {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, idsOf(0)))
		if _, answer := server.one(shortPacket(ConnID{}, 100), clientHost); answer != nil {
			t.Errorf("answered with %x", answer)
		}
	})
	t.Run("none before anything is known", func(t *testing.T) {
		w := newNet(t)
		client := w.host(clientHost, nil)
		if _, answer := client.one(shortPacket(ConnID{}, 100), serverHost); answer != nil {
			t.Errorf("answered with %x", answer)
		}
		client.connect(endpointConfig(1), ConnectParams{})
		if _, answer := client.one(shortPacket(ConnID{}, 100), serverHost); answer == nil {
			t.Error("a client's endpoint with connection IDs does not answer")
		}
	})
}

// Attack A5: the bound on how many are sent.
func TestAttackA5ResetRate(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	flood := func(n int) (answers int) {
		for range n {
			if _, answer := server.one(shortPacket(ConnID{}, 1200), clientHost); answer != nil {
				answers++
			}
		}
		return answers
	}
	if got := flood(3 * statelessResetBurst); got != statelessResetBurst {
		t.Errorf("%d at one instant, want %d", got, statelessResetBurst)
	}
	w.now = w.now.Add(100 * time.Millisecond)
	if got := flood(statelessResetRate); got < statelessResetRate/10-1 || got > statelessResetRate/10 {
		t.Errorf("%d after 100 ms, want %d", got, statelessResetRate/10)
	}
	w.now = w.now.Add(-time.Hour) // a clock that steps back gives nothing
	if got := flood(10); got != 0 {
		t.Errorf("%d after the clock stepped back", got)
	}
	w.now = w.now.Add(100 * time.Millisecond)
	if got := flood(statelessResetRate); got < statelessResetRate/10-1 || got > statelessResetRate/10 {
		t.Errorf("%d in the 100 ms after that, want %d", got, statelessResetRate/10)
	}
	w.now = w.now.Add(24 * time.Hour)
	if got := flood(3 * statelessResetBurst); got != statelessResetBurst {
		t.Errorf("%d after a day, want %d", got, statelessResetBurst)
	}
}

// Attack A5: two endpoints that have both lost a connection do not answer each other for ever.
func TestAttackA5ResetLoop(t *testing.T) {
	for _, size := range []int{22, 43, 44, 60, 1500} {
		w := newNet(t)
		a, b := w.host(serverHost, endpointConfig(1)), w.host(clientHost, endpointConfig(2))
		d, rounds := shortPacket(ConnID{}, size), 0
		for ; d != nil; rounds++ {
			_, d = b.one(d, serverHost)
			a, b = b, a
		}
		if rounds > 40 {
			t.Errorf("%d bytes brought %d resets", size, rounds)
		}
	}
}

// Attack A6: a datagram for a connection that lives is never answered with a reset, however broken it is.
func TestAttackA6NoResetForLiveConn(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	c := accepted(t, server, initialSpec{})
	more := server.HandleEvent(c, EndpointEvent{Kind: NeedConnectionIDs, Count: 3}).IDs
	ids := c.SourceIDs()
	for _, id := range more {
		ids = append(ids, id.ID)
	}
	for _, id := range ids {
		for _, remote := range []*testHost{server, w.host(otherHost, nil)} {
			if r, answer := server.one(shortPacket(id, 100), remote.addr); answer != nil || r.Conn != c {
				t.Errorf("%v: connection %p, answer %x", id, r.Conn, answer)
			}
		}
	}
}

// Attack A6: datagrams go to a connection by the tokens that it named and has not taken back, and by nothing else.
func TestAttackA6ResetTokens(t *testing.T) {
	w := newNet(t)
	client := w.host(clientHost, nil)
	a, b := client.connect(endpointConfig(1), ConnectParams{}), client.connect(endpointConfig(1), ConnectParams{})
	token := func(n byte) (token [statelessResetTokenLen]byte) {
		copy(token[:], bytes.Repeat([]byte{n}, len(token)))
		return token
	}
	tell := func(c *Conn, kind EndpointEventKind, n byte) {
		client.HandleEvent(c, EndpointEvent{Kind: kind, Token: token(n)})
	}
	want := func(name string, n byte, c *Conn) {
		t.Helper()
		tail := token(n)
		for _, size := range []int{minStatelessReset - 1, minStatelessReset, 43, 1200} {
			d := shortPacket(ConnID{}, size)
			copy(d[size-len(tail):], tail[:])
			want := c
			if size < minStatelessReset {
				want = nil
			}
			if r, _ := client.one(d, serverHost); r.Conn != want {
				t.Errorf("%s, %d bytes: it goes to %p, want %p", name, size, r.Conn, want)
			}
			d[0] = 0xc0
			if r, _ := client.one(d, serverHost); r.Conn != nil {
				t.Errorf("%s, %d bytes: a long header is no stateless reset", name, size)
			}
		}
	}
	want("before it is named", 1, nil)
	tell(a, AddResetToken, 1)
	tell(a, AddResetToken, 2)
	tell(b, AddResetToken, 3)
	want("named", 1, a)
	want("named", 2, a)
	want("named by another", 3, b)
	tell(b, AddResetToken, 1)
	want("named by two", 1, a)
	tell(b, RemoveResetToken, 1)
	want("taken back by the second", 1, a)
	tell(a, RemoveResetToken, 1)
	want("taken back", 1, nil)
	want("not taken back", 2, a)
	tell(b, RemoveResetToken, 200)
	want("something else taken back", 3, b)
	tell(a, ConnDrained, 0)
	want("of a connection that is forgotten", 2, nil)
	want("of the other one", 3, b)
	tell(b, ConnDrained, 0)
	wantEmpty(t, "the client", client.Endpoint)
	for key := range client.resets.peers {
		t.Errorf("%x is left", key)
	}
}

// The tokens are not kept as they are: what they are compared by depends on a secret (RFC 9000, section 10.3.1).
func TestResetTokensConcealed(t *testing.T) {
	w := newNet(t)
	client := w.host(clientHost, nil)
	c := client.connect(endpointConfig(1), ConnectParams{})
	token := [statelessResetTokenLen]byte{1, 2, 3}
	client.HandleEvent(c, EndpointEvent{Kind: AddResetToken, Token: token})
	if client.resets.peers[token] != nil || len(client.resets.peers) != 1 {
		t.Errorf("%x stands in the table as it is", token)
	}
}

// A server that has forgotten its connections and kept its key tells the client, whose connection then ends.
func TestStatelessResetAfterRestart(t *testing.T) {
	key := &[32]byte{7}
	config := func(seed byte) *Config {
		return endpointConfig(seed, func(c *Config) { c.StatelessResetKey = key })
	}
	w := newNet(t)
	server, client := w.host(serverHost, config(1)), w.host(clientHost, nil)
	c := client.connect(endpointConfig(2), ConnectParams{})
	w.run(c.IsEstablished)
	w.run(func() bool { return len(w.queue) == 0 })

	w.hosts = w.hosts[1:] // it is gone
	for _, other := range server.live {
		other.Release()
	}
	fresh := w.host(serverHost, config(3))
	c.Ping()
	w.run(c.IsClosed)
	var reset *StatelessResetError
	if !errors.As(c.Err(), &reset) {
		t.Errorf("the client's error is %v, want a stateless reset", c.Err())
	}
	w.run(func() bool { return len(client.live) == 0 })
	wantEmpty(t, "the client", client.Endpoint)
	wantEmpty(t, "the new server", fresh.Endpoint)
}

// Without the key the answer is a reset like any other, and ends nothing.
func TestStatelessResetWithoutKey(t *testing.T) {
	w := newNet(t)
	server, client := w.host(serverHost, endpointConfig(1)), w.host(clientHost, nil)
	c := client.connect(endpointConfig(2), ConnectParams{})
	w.run(c.IsEstablished)
	w.run(func() bool { return len(w.queue) == 0 })
	other := w.host(otherHost, endpointConfig(3)) // a stranger, who answers in the server's place
	c.Ping()
	client.service()
	answers := 0
	for _, d := range w.queue {
		if _, answer := other.one(d.b, clientHost); answer != nil {
			answers++
			if r, _ := client.one(answer, serverHost); r.Conn != nil {
				t.Error("a stranger's reset was given to the connection")
			}
		}
	}
	if answers == 0 || c.IsClosed() || server.Conns() != 1 {
		t.Errorf("%d answers, closed: %v", answers, c.Err())
	}
}
