package quic

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// takeRetry takes a Retry packet apart and checks its tag.
func takeRetry(t *testing.T, answer []byte, dst, src string) (id, token string) {
	t.Helper()
	h, n := wire.ConsumeLongHeader(answer)
	if n < 0 || h.Type != wire.Retry || string(h.DstConnID) != src {
		t.Fatalf("the answer is %x, want a Retry packet to %q", answer, src)
	}
	tag, err := protect.RetryTag(wire.Version1, []byte(dst), answer[:n-16])
	if err != nil || string(tag[:]) != string(answer[n-16:]) {
		t.Fatalf("the tag does not fit: %v", err)
	}
	if string(h.SrcConnID) == dst || len(h.SrcConnID) == 0 || len(h.Token) == 0 {
		t.Fatalf("connection ID %x, token %x (RFC 9000, section 17.2.5)", h.SrcConnID, h.Token)
	}
	return string(h.SrcConnID), string(h.Token)
}

func retryAlways(c *Config) { c.Retry = func(netip.AddrPort) bool { return true } }

// RFC 9000, sections 8.1.2 and 17.2.5; attacks B5, B6 and B13.
func TestAttackB5B6RetryByEndpoint(t *testing.T) {
	for _, n := range []int{0, 4, 8, 20} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, retryAlways, idsOf(n)))
		_, answer := server.one(initialSpec{}.datagram(t), clientHost)
		id, token := takeRetry(t, answer, "first-dcid", "peer-cid")
		wantEmpty(t, "a server after Retry", server.Endpoint)

		port := netip.AddrPortFrom(clientHost.Addr(), clientHost.Port()+1)
		flipped := []byte(token)
		flipped[30] ^= 1
		for _, c := range []struct {
			name   string
			spec   initialSpec
			remote netip.AddrPort
			after  time.Duration
		}{
			{"another address", initialSpec{dst: id, token: token}, otherHost, 0},
			{"another port", initialSpec{dst: id, token: token}, port, 0},
			{"another connection ID", initialSpec{dst: "other-dcid", token: token}, clientHost, 0},
			{"the first connection ID", initialSpec{dst: "first-dcid", token: token}, clientHost, 0},
			{"a flipped bit", initialSpec{dst: id, token: string(flipped)}, clientHost, 0},
			{"after its time", initialSpec{dst: id, token: token}, clientHost, retryTokenLife + time.Millisecond},
			{"before its time", initialSpec{dst: id, token: token}, clientHost, -tokenClockSkew - time.Millisecond},
		} {
			w.now = scriptedEpoch.Add(c.after)
			r, answer := server.one(c.spec.datagram(t), c.remote)
			if r.Conn != nil {
				t.Errorf("%s: the token was accepted", c.name)
			}
			if len(c.spec.dst) < minInitialDCIDLen {
				if answer != nil {
					t.Errorf("%s: answered, and section 7.2 says to drop it", c.name)
				}
				continue
			}
			wantRefused(t, c.name, answer, c.spec.dst, "peer-cid", InvalidToken)
		}
		w.now = scriptedEpoch.Add(retryTokenLife)
		c := accepted(t, server, initialSpec{dst: id, token: token})
		h := c.hello
		if string(h.origDst.Bytes()) != "first-dcid" || string(h.clientDst.Bytes()) != id || h.retrySrc != h.clientDst || !c.retried {
			t.Errorf("the connection was told %+v", h)
		}
		if !c.path.validated {
			t.Error("its address does not count as validated")
		}
	}
}

// Where a handshake may take longer than ten seconds a Retry token is good for as long; where it may take less, for ten.
func TestRetryTokenLife(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{time.Second: retryTokenLife, time.Minute: time.Minute} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, retryAlways, func(c *Config) { c.HandshakeTimeout = timeout }))
		_, answer := server.one(initialSpec{}.datagram(t), clientHost)
		id, token := takeRetry(t, answer, "first-dcid", "peer-cid")
		w.now = w.now.Add(want + time.Millisecond)
		_, answer = server.one(initialSpec{dst: id, token: token}.datagram(t), clientHost)
		wantRefused(t, "after its time", answer, id, "peer-cid", InvalidToken)
		w.now = w.now.Add(-time.Millisecond)
		accepted(t, server, initialSpec{dst: id, token: token})
	}
}

// An invalid Retry token brings INVALID_TOKEN even where no Retry is asked for now; but not to a packet that is not authentic.
func TestInvalidRetryToken(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	token := string(append([]byte{byte(retryToken)}, make([]byte, retryTokenLen-1)...))
	_, answer := server.one(initialSpec{token: token}.datagram(t), clientHost)
	wantRefused(t, "zeros", answer, "first-dcid", "peer-cid", InvalidToken)
	if _, answer := server.one(initialSpec{token: token, keyDst: "something"}.datagram(t), clientHost); answer != nil {
		t.Error("a packet that does not authenticate was answered")
	}
	wantEmpty(t, "the server", server.Endpoint)
}

// Attack B6: a token of NEW_TOKEN counts once, from its IP address, for its time.
func TestAttackB6NewTokenOnce(t *testing.T) {
	day := newTokenLife
	port := netip.AddrPortFrom(clientHost.Addr(), clientHost.Port()+1)
	for _, c := range []struct {
		name   string
		remote netip.AddrPort
		after  time.Duration
		good   bool
	}{
		{"at once", clientHost, 0, true}, {"another port", port, 0, true}, {"another address", otherHost, 0, false},
		{"within its time", clientHost, day, true}, {"after it", clientHost, day + time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newNet(t)
			server := w.host(serverHost, endpointConfig(1, retryAlways))
			token := string(server.tokens.makeNew(w.now, Version1, clientHost))
			w.now = w.now.Add(c.after)
			forged := initialSpec{dst: "dcid-no-0", keyDst: "something", token: token}.datagram(t)
			if r, answer := server.one(forged, c.remote); c.good && (r.Conn != nil || answer != nil) {
				t.Error("a packet that does not authenticate was answered, or used the token up")
			}
			r, answer := server.one(initialSpec{token: token}.datagram(t), c.remote)
			if !c.good {
				takeRetry(t, answer, "first-dcid", "peer-cid") // as if there was no token
				return
			}
			if !r.New || !r.Conn.path.validated || r.Conn.retried {
				t.Fatalf("the token did not count: %+v", r)
			}
			if r, _ := server.one(initialSpec{token: token}.datagram(t), c.remote); r.Conn == nil || r.New {
				t.Error("the same packet again does not come to the connection")
			}
			_, answer = server.one(initialSpec{dst: "dcid-no-2", token: token}.datagram(t), c.remote)
			takeRetry(t, answer, "dcid-no-2", "peer-cid")
		})
	}
}

// A token that a server gives in NEW_TOKEN spares the client the Retry of the next connection.
func TestNewTokenSpareRetry(t *testing.T) {
	w := newNet(t)
	w.host(serverHost, endpointConfig(1, retryAlways))
	client := w.host(clientHost, nil)
	var token []byte
	for i, retried := range []bool{true, false} {
		c := client.connect(endpointConfig(2), ConnectParams{Token: token})
		got := func() bool {
			i := slices.IndexFunc(client.events, func(e Event) bool { return e.Kind == EventSession && e.Session.token != nil })
			if i >= 0 {
				token = client.events[i].Session.token
			}
			return i >= 0
		}
		w.run(got)
		client.events = nil
		if c.retried != retried {
			t.Errorf("connection %d: Retry %v, want %v", i, c.retried, retried)
		}
	}
}

// Config.Retry is asked once for an attempt, whether the client sends its first flight in pieces or again, and whatever it says; and
// each time that the client asks anew.
func TestRetryIsAskedOnce(t *testing.T) {
	for _, demand := range []bool{true, false} {
		asked := 0
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, func(c *Config) {
			c.MaxHandshakes = 1 << 20
			c.Retry = func(remote netip.AddrPort) bool {
				asked++
				if remote != clientHost && remote != otherHost {
					t.Errorf("asked for %v", remote)
				}
				return demand
			}
		}))
		for range 5 {
			server.one(initialSpec{}.datagram(t), clientHost)
		}
		if asked != 1 {
			t.Errorf("Retry, which says %v, was called %d times for one attempt", demand, asked)
		}
		server.one(initialSpec{}.datagram(t), otherHost)
		server.one(initialSpec{dst: "other-dcid"}.datagram(t), clientHost)
		if asked != 3 {
			t.Errorf("Retry was called %d times for three attempts", asked)
		}
		st := server.Stats()
		if demand && (st.Retries != 7 || st.Accepted != 0) || !demand && (st.Retries != 0 || st.Accepted != 3) {
			t.Errorf("counted %+v", st)
		}
	}
}

// What is remembered of attempts is bounded, and what was forgotten is asked again.
func TestRecentAttemptsAreBounded(t *testing.T) {
	asked := 0
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1, func(c *Config) {
		c.Retry = func(netip.AddrPort) bool { asked++; return true }
	}))
	for range 2 {
		for port := range uint16(recentAttempts + 1) {
			server.one(initialSpec{}.datagram(t), netip.AddrPortFrom(clientHost.Addr(), 1000+port))
		}
	}
	if want := 2 * (recentAttempts + 1); asked != want {
		t.Errorf("Retry was called %d times, want %d", asked, want)
	}
}
