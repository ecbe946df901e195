package quic

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A connection over two Endpoints from its begin to its end, after which nothing is left of it (G7).
func TestEndpointLife(t *testing.T) {
	for _, n := range []int{0, 1, 4, 8, 20} {
		for _, retry := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d-byte IDs, retry %v", n, retry), func(t *testing.T) {
				w := newNet(t)
				server := w.host(serverHost, endpointConfig(1, idsOf(n), func(c *Config) {
					c.Retry = func(netip.AddrPort) bool { return retry }
				}))
				client := w.host(clientHost, nil)
				c := client.connect(endpointConfig(2, idsOf(n)), ConnectParams{})
				confirmed := func() bool {
					return slices.ContainsFunc(client.events, func(e Event) bool { return e.Kind == EventHandshakeConfirmed })
				}
				w.run(confirmed)
				if c.retried != retry {
					t.Errorf("the client saw a Retry packet: %v, want %v", c.retried, retry)
				}
				if server.Conns() != 1 || client.Conns() != 1 {
					t.Fatalf("the server knows %d connections, the client %d", server.Conns(), client.Conns())
				}
				w.run(func() bool { return len(w.queue) == 0 })
				wantIDs := 0
				if n > 0 {
					wantIDs = maxIssuedConnIDs
				}
				if n > 0 && (len(server.ids) != wantIDs || len(client.ids) != wantIDs) {
					t.Errorf("the server routes %d connection IDs, the client %d, want %d", len(server.ids), len(client.ids), wantIDs)
				}
				c.Close(w.now, true, 0, "")
				w.run(func() bool { return len(client.live)+len(server.live) == 0 })
				wantEmpty(t, "the server", server.Endpoint)
				wantEmpty(t, "the client", client.Endpoint)
			})
		}
	}
}

// Both roles over one Endpoint, and many connections over each.
func TestEndpointBothRoles(t *testing.T) {
	w := newNet(t)
	a, b := w.host(serverHost, endpointConfig(1)), w.host(clientHost, endpointConfig(2))
	cfg := endpointConfig(3)
	for range 20 {
		b.connect(cfg, ConnectParams{})
	}
	w.run(func() bool { return a.handshakes == 0 && a.Conns() == 20 })
	c, err := a.Connect(w.now, cfg, ConnectParams{Local: serverHost, Remote: clientHost})
	if err != nil {
		t.Fatal(err)
	}
	a.live = append(a.live, c)
	w.run(c.IsEstablished)
	if a.Conns() != 21 || b.Conns() != 21 {
		t.Errorf("%d and %d connections, want 21 each", a.Conns(), b.Conns())
	}
}

func TestNewEndpointErrors(t *testing.T) {
	for _, c := range []struct {
		name, want string
		cfg        *Config
	}{
		{"no TLS", "Config.TLS", &Config{}},
		{"no certificate", "certificate", endpointConfig(1, func(c *Config) { c.TLS.Certificates = nil })},
		{"no protocol", "NextProtos", endpointConfig(1, func(c *Config) { c.TLS.NextProtos = nil })},
		{"out of range", "MaxHandshakes", endpointConfig(1, func(c *Config) { c.MaxHandshakes = -1 })},
		{"IDs too long", "ConnIDs", endpointConfig(1, idsOf(21))},
		{"what TLS refuses", "Rand", endpointConfig(1, func(c *Config) { c.TLS.Rand = strings.NewReader("") })},
		{"no randomness", "Rand", endpointConfig(1, func(c *Config) { c.Rand = strings.NewReader("short") })},
	} {
		if _, err := NewEndpoint(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want one that names %s", c.name, err, c.want)
		}
	}
	for _, edit := range []func(*tls.Config){
		func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		},
		func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		},
	} {
		cfg := endpointConfig(1)
		cfg.TLS.Certificates = nil
		edit(cfg.TLS)
		if _, err := NewEndpoint(cfg); err != nil {
			t.Errorf("a callback in place of certificates: %v", err)
		}
	}
}

// fixedID makes the same connection ID over and over.
type fixedID string

func (id fixedID) Len() int                                { return len(id) }
func (id fixedID) Generate(b []byte, _ func([]byte)) error { copy(b, id); return nil }

func TestConnectErrors(t *testing.T) {
	used, _ := MakeConnID([]byte("used-cid"))
	short, _ := MakeConnID([]byte("short"))
	for _, c := range []struct {
		name, want string
		cfg        *Config
		p          ConnectParams
	}{
		{"IDs of another length", "4 bytes", endpointConfig(1, idsOf(4)), ConnectParams{}},
		{"an ID in use", "in use", endpointConfig(1), ConnectParams{SrcConnID: used}},
		{"an ID of another length", "5 bytes", endpointConfig(1), ConnectParams{SrcConnID: short}},
		{"a generator that repeats itself", "in use", endpointConfig(1, func(c *Config) { c.ConnIDs = fixedID("used-cid") }),
			ConnectParams{}},
		{"no TLS", "Config.TLS", &Config{}, ConnectParams{}},
		{"a token that leaves no room", "901 bytes", endpointConfig(1), ConnectParams{Token: make([]byte, 901)}},
	} {
		e, err := NewEndpoint(nil)
		if err != nil {
			t.Fatal(err)
		}
		first, err := e.Connect(scriptedEpoch, endpointConfig(2), ConnectParams{Remote: serverHost, SrcConnID: used})
		if err != nil {
			t.Fatal(err)
		}
		c.p.Remote = serverHost
		if _, err := e.Connect(scriptedEpoch, c.cfg, c.p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want one that says %q", c.name, err, c.want)
		}
		if e.Conns() != 1 {
			t.Errorf("%s: %d connections after the error, want 1", c.name, e.Conns())
		}
		first.Release()
	}
	t.Run("empty IDs", func(t *testing.T) {
		w := newNet(t)
		client := w.host(clientHost, nil)
		client.connect(endpointConfig(1, idsOf(0)), ConnectParams{})
		p := ConnectParams{Remote: serverHost}
		if _, err := client.Connect(w.now, endpointConfig(1, idsOf(0)), p); err == nil {
			t.Error("two connections with empty connection IDs to one address")
		}
		p.Remote = otherHost
		c, err := client.Connect(w.now, endpointConfig(1, idsOf(0)), p)
		if err != nil {
			t.Errorf("another address: %v", err)
		}
		c.Release()
	})
	t.Run("no randomness", func(t *testing.T) {
		e, _ := NewEndpoint(nil)
		cfg := endpointConfig(1, func(c *Config) { c.Rand = strings.NewReader("short") })
		if _, err := e.Connect(scriptedEpoch, cfg, ConnectParams{Remote: serverHost}); !errors.Is(err, errRand) {
			t.Errorf("the error is %v", err)
		}
	})
}

// One handshake.Context serves all connections of a role, unless the caller has his own.
func TestConnectSharesTLS(t *testing.T) {
	e, _ := NewEndpoint(nil)
	own, err := handshake.NewContext(true)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []ConnectParams{{TLS: own}, {}, {}} {
		before := e.clientTLS
		p.Remote = serverHost
		c, err := e.Connect(scriptedEpoch, endpointConfig(1), p)
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
		if i == 0 && e.clientTLS != nil || i == 1 && e.clientTLS == nil || i == 2 && e.clientTLS != before {
			t.Errorf("connection %d: the shared context was %p and is %p", i, before, e.clientTLS)
		}
	}
}

// Connection IDs are issued in the order of their sequence numbers, lead to their connection and stop when it retires them.
func TestConnIDsIssued(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	c := accepted(t, server, initialSpec{})
	reply := server.HandleEvent(c, EndpointEvent{Kind: NeedConnectionIDs, Count: 3})
	if len(reply.IDs) != 3 {
		t.Fatalf("%d connection IDs, want 3", len(reply.IDs))
	}
	for i, id := range reply.IDs {
		if id.Seq != uint64(i+1) || id.ID.Len() != 8 || id.ResetToken != server.resets.token(&id.ID) {
			t.Errorf("connection ID %d: %+v", i, id)
		}
		if r, _ := server.one(shortPacket(id.ID, 100), clientHost); r.Conn != c {
			t.Errorf("connection ID %d leads to %p, want %p", i, r.Conn, c)
		}
	}
	server.HandleEvent(c, EndpointEvent{Kind: RetireConnectionID, Seq: 2})
	for i, id := range reply.IDs {
		if r, _ := server.one(shortPacket(id.ID, 100), clientHost); (r.Conn == c) != (i != 1) {
			t.Errorf("after ID 2 was retired, connection ID %d leads to %p", i+1, r.Conn)
		}
	}
	again := server.HandleEvent(c, EndpointEvent{Kind: NeedConnectionIDs, Count: 1})
	if len(again.IDs) != 1 || again.IDs[0].Seq != 4 {
		t.Errorf("the next connection ID is %+v, want sequence number 4", again.IDs)
	}
	if r := server.HandleEvent(c, EndpointEvent{Kind: NeedConnectionIDs, Count: 1 << 30}); len(r.IDs) > maxIssuedConnIDs {
		t.Errorf("%d connection IDs at once", len(r.IDs))
	}
	server.HandleEvent(c, EndpointEvent{Kind: ConnDrained})
	wantEmpty(t, "the server", server.Endpoint)
	if r := server.HandleEvent(c, EndpointEvent{Kind: NeedConnectionIDs, Count: 1}); len(r.IDs) != 0 {
		t.Error("a connection that is forgotten got connection IDs")
	}
}

// Route splits a train into runs of one connection.
func TestRouteTrain(t *testing.T) {
	w := newNet(t)
	server := w.host(serverHost, endpointConfig(1))
	a, b := accepted(t, server, initialSpec{dst: "first-dcid-a"}), accepted(t, server, initialSpec{dst: "first-dcid-b"})
	more := server.HandleEvent(a, EndpointEvent{Kind: NeedConnectionIDs, Count: 1}).IDs[0].ID
	names := map[*Conn]string{a: "a", b: "b", nil: "-"}
	const size = 1200
	datagrams := map[byte][]byte{
		'a': shortPacket(a.SourceIDs()[0], size),
		'A': shortPacket(more, size), // another connection ID of the same connection
		'b': shortPacket(b.SourceIDs()[0], size),
		'h': initialSpec{dst: "first-dcid-a"}.datagram(t), // the client's own choice
		'x': initialSpec{dst: "first-dcid-a", version: 0x7a7a7a7a}.datagram(t),
		'v': append(wire.AppendVersionNegotiation(nil, []byte("first-dcid-a"), nil, []uint32{2}, 0),
			make([]byte, size)...)[:size],
		'l': shortPacket(a.SourceIDs()[0], size), // but for its first bit
		'0': make([]byte, size),
		'.': shortPacket(a.SourceIDs()[0], 60), // at the end only
		',': {0x40, 1, 2, 3},
	}
	datagrams['l'][0] |= 0x80
	for _, c := range []struct{ train, want string }{
		{"a", "a1"}, {"aaaaaaaa", "a8"}, {"aAahaA", "a6"}, {"aaabbbaab", "a3 b3 a2 b1"}, {"ababa", "a1 b1 a1 b1 a1"},
		{"aa0a", "a2 -1 a1"}, {"00a", "-1 -1 a1"}, {"aax", "a2 -1"}, {"xa", "-1 a1"}, {"ala", "a1 -1 a1"}, {"ava", "a1 -1 a1"}, {"haab", "a3 b1"},
		{"aaa.", "a4"}, {"aab,", "a2 b1 -1"}, {strings.Repeat("a", 64), "a64"},
	} {
		var train []byte
		for i := range c.train {
			train = append(train, datagrams[c.train[i]]...)
		}
		parts, _ := server.route(train, size, clientHost)
		var got []string
		for _, r := range parts {
			got = append(got, fmt.Sprint(names[r.Conn], (r.N+size-1)/size))
			if r.New {
				t.Errorf("%s: a connection was accepted", c.train)
			}
		}
		if want := c.want; strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", c.train, strings.Join(got, " "), want)
		}
	}
	if r := server.Route(w.now, Train{Remote: clientHost}, nil); r != (Routed{}) {
		t.Errorf("an empty train: %+v", r)
	}
}

// A client's whole first flight goes to one connection, and so do late copies of it (RFC 9000, section 7.2).
func TestRouteFirstFlight(t *testing.T) {
	w := newNet(t)
	server, client := w.host(serverHost, endpointConfig(1)), w.host(clientHost, nil)
	c := client.connect(endpointConfig(2), ConnectParams{})
	buf := make([]byte, 65535)
	hello := c.Send(w.now, buf) // with X25519MLKEM768 it takes two datagrams
	if hello.N < 2*minDatagramSize || hello.SegSize != minDatagramSize {
		t.Fatalf("the first flight has %d bytes in datagrams of %d, want two", hello.N, hello.SegSize)
	}
	flight := bytes.Clone(buf[:hello.N])
	parts, _ := server.route(flight, hello.SegSize, clientHost)
	if len(parts) != 1 || !parts[0].New || parts[0].N != hello.N {
		t.Fatalf("Route says %+v, want one new connection for %d bytes", parts, hello.N)
	}
	for _, c := range []struct {
		name   string
		remote netip.AddrPort
		same   bool
	}{{"the same again", clientHost, true}, {"from another address", otherHost, false}} {
		r, _ := server.one(flight[:hello.SegSize], c.remote)
		if r.Conn == nil || r.New == c.same || (r.Conn == parts[0].Conn) != c.same {
			t.Errorf("%s: %+v", c.name, r)
		}
		if !c.same {
			server.HandleEvent(r.Conn, EndpointEvent{Kind: ConnDrained})
		}
	}
	w.run(c.IsEstablished)
	w.run(func() bool { return len(w.queue) == 0 })
	if r, _ := server.one(flight[:hello.SegSize], clientHost); r.New || r.Conn != parts[0].Conn {
		t.Errorf("after the handshake a late copy gives %+v", r)
	}
}

// The steady state allocates nothing.
func TestRouteAllocations(t *testing.T) {
	for _, n := range []int{0, 8} {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, idsOf(n)))
		a := accepted(t, server, initialSpec{dst: "first-dcid-a"})
		server.HandleEvent(a, EndpointEvent{Kind: AddResetToken, Token: [16]byte{1}})
		var train []byte
		for range 45 {
			train = append(train, shortPacket(a.SourceIDs()[0], 1200)...)
		}
		if n > 0 {
			b := accepted(t, server, initialSpec{dst: "first-dcid-b"})
			copy(train[20*1200:], shortPacket(b.SourceIDs()[0], 1200))
			copy(train[30*1200:], initialSpec{dst: "first-dcid-a"}.datagram(t))
		}
		reply := make([]byte, replyRoom)
		parts := 0
		if got := testing.AllocsPerRun(100, func() {
			parts = 0
			for tr := (Train{Buf: train, SegSize: 1200, Local: serverHost, Remote: clientHost}); len(tr.Buf) > 0; parts++ {
				r := server.Route(w.now, tr, reply)
				if r.Conn == nil {
					t.Fatal("not routed")
				}
				tr.Buf = tr.Buf[r.N:]
			}
		}); got != 0 {
			t.Errorf("%d-byte IDs: %v allocations a train", n, got)
		}
		if want := 1 + min(n, 2); parts != want {
			t.Errorf("%d-byte IDs: %d parts, want %d", n, parts, want)
		}
	}
}

// FuzzRoute gives a server a datagram, or a client's Initial packet with these frames, and lets the server react. What is covered
// varies, as BoringSSL's randomness is its own: with -fuzzminimizetime=20x no time is spent on making inputs smaller.
func FuzzRoute(f *testing.F) {
	seed := initialSpec{}.datagram(f)
	f.Add(seed, false, false)
	f.Add(initialSpec{version: 0x1a2a3a4a}.datagram(f), false, false)
	f.Add(initialSpec{token: strings.Repeat("\xb1", retryTokenLen)}.datagram(f), true, false)
	f.Add(wire.AppendVersionNegotiation(nil, []byte("peer-cid"), []byte("first-dcid"), []uint32{1}, 0), false, false)
	f.Add(append(wire.AppendRetryWithoutTag(nil, wire.Version1, []byte("peer-cid"), []byte("retry"), []byte("token"), 0),
		make([]byte, 16)...), false, false)
	f.Add(append(bytes.Clone(seed), seed...), false, false)
	f.Add([]byte("\x40garbage that looks like a short header packet"), false, false)
	f.Add([]byte{0xc0}, true, false)
	f.Add([]byte{}, false, false)
	f.Add(cryptoFrame(0, []byte("\x01\x00\x00\x10no ClientHello")), false, true)
	f.Add(ackFrame(0), false, true)
	f.Add(wire.AppendConnectionClose(nil, wire.ConnectionClose{Code: 1, Reason: []byte("enough")}), true, true)
	f.Fuzz(func(t *testing.T, b []byte, retry, sealed bool) {
		w := newNet(t)
		server := w.host(serverHost, endpointConfig(1, func(c *Config) { c.Retry = func(netip.AddrPort) bool { return retry } }))
		known := accepted(t, server, initialSpec{dst: "first-dcid-a", token: string(server.tokens.makeNew(w.now, Version1, clientHost))})
		switch {
		case sealed:
			b = initialSpec{frames: string(b[:min(len(b), 4000)])}.datagram(t)
		case len(b) > 9 && b[0]&1 != 0: // so that some of it comes to the connection
			b = bytes.Clone(b)
			id := known.SourceIDs()[0]
			copy(b[1:], id.Bytes())
		}
		server.route(b, minDatagramSize, clientHost)
		if sealed {
			server.route(b, len(b), clientHost) // whole, if it is longer than the others
		}
		server.service()
		w.advance()
		server.service()
	})
}
