package quic

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var (
	serverHost = netip.MustParseAddrPort("192.0.2.1:443")
	clientHost = netip.MustParseAddrPort("192.0.2.2:50000")
	otherHost  = netip.MustParseAddrPort("198.51.100.7:50000")
)

// endpointConfig is a Config for either role, whose randomness repeats.
func endpointConfig(seed byte, edits ...func(*Config)) *Config {
	roots := x509.NewCertPool()
	roots.AddCert(scriptedCert().Leaf)
	cfg := &Config{
		TLS: &tls.Config{
			Certificates: []tls.Certificate{scriptedCert()}, RootCAs: roots, ServerName: scriptedName,
			NextProtos: []string{"test"}, Time: func() time.Time { return scriptedEpoch },
		},
		Rand: rand.NewChaCha8([32]byte{seed}),
	}
	for _, edit := range edits {
		edit(cfg)
	}
	return cfg
}

func idsOf(n int) func(*Config) { return func(c *Config) { c.ConnIDs = RandomConnIDs(n) } }

// testNet carries datagrams between Endpoints in virtual time, at once and in order.
type testNet struct {
	t     testing.TB
	now   time.Time
	hosts []*testHost
	queue []testDatagram
	tap   func(d testDatagram) // sees everything that is sent
}

type testDatagram struct {
	b        []byte
	from, to netip.AddrPort
}

// testHost is an Endpoint with its connections, driven as a program with a socket would.
type testHost struct {
	*Endpoint
	net    *testNet
	addr   netip.AddrPort
	live   []*Conn
	events []Event
}

func newNet(t testing.TB) *testNet { return &testNet{t: t, now: scriptedEpoch} }

func (n *testNet) host(addr netip.AddrPort, cfg *Config) *testHost {
	n.t.Helper()
	e, err := NewEndpoint(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	h := &testHost{Endpoint: e, net: n, addr: addr}
	n.hosts = append(n.hosts, h)
	n.t.Cleanup(func() {
		for _, c := range h.live {
			c.Release()
		}
	})
	return h
}

func (h *testHost) connect(cfg *Config, p ConnectParams) *Conn {
	h.net.t.Helper()
	p.Local, p.Remote = h.addr, serverHost
	c, err := h.Connect(h.net.now, cfg, p)
	if err != nil {
		h.net.t.Fatal(err)
	}
	h.live = append(h.live, c)
	return c
}

// route gives a train to the Endpoint and what it says to the connections, checks what holds for every train, and returns the
// parts and the answers. The train is a copy.
func (h *testHost) route(b []byte, size int, remote netip.AddrPort) (parts []Routed, answers [][]byte) {
	h.net.t.Helper()
	t := Train{Buf: bytes.Clone(b), SegSize: size, Local: h.addr, Remote: remote}
	reply := make([]byte, replyRoom)
	if size <= 0 {
		size = len(b)
	}
	for len(t.Buf) > 0 {
		r := h.Route(h.net.now, t, reply)
		switch {
		case r.N <= 0 || r.N > len(t.Buf) || r.N%size != 0 && r.N != len(t.Buf):
			h.net.t.Fatalf("Route covers %d of %d bytes in datagrams of %d", r.N, len(t.Buf), size)
		case r.Conn != nil && r.Reply > 0 || r.New && r.Conn == nil:
			h.net.t.Fatalf("Route contradicts itself: %+v", r)
		case r.Reply >= r.N && r.Reply > 0:
			h.net.t.Fatalf("Route answers %d bytes with %d", r.N, r.Reply)
		}
		if r.Reply > 0 {
			answers = append(answers, bytes.Clone(reply[:r.Reply]))
		}
		if r.New {
			h.live = append(h.live, r.Conn)
		}
		if r.Conn != nil {
			part := t
			part.Buf = t.Buf[:r.N:r.N]
			r.Conn.Recv(h.net.now, part)
		}
		t.Buf = t.Buf[r.N:]
		parts = append(parts, r)
	}
	return parts, answers
}

// one is route for a datagram.
func (h *testHost) one(b []byte, remote netip.AddrPort) (r Routed, answer []byte) {
	h.net.t.Helper()
	parts, answers := h.route(b, len(b), remote)
	if len(answers) > 0 {
		answer = answers[0]
	}
	return parts[0], answer
}

// service reads the events of all connections and sends what they have to send.
func (h *testHost) service() {
	buf := make([]byte, 65535)
	for i := 0; i < len(h.live); i++ {
		c := h.live[i]
		h.read(c)
		for t := c.Send(h.net.now, buf); t.N > 0; t = c.Send(h.net.now, buf) {
			for b := buf[:t.N]; len(b) > 0; b = b[min(t.SegSize, len(b)):] {
				h.net.send(testDatagram{bytes.Clone(b[:min(t.SegSize, len(b))]), h.addr, t.Remote})
			}
			h.read(c)
		}
	}
	h.live = slices.DeleteFunc(h.live, func(c *Conn) bool { return h.conns[c] == nil })
}

func (h *testHost) read(c *Conn) {
	for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
		switch ev.Kind {
		case EventAsk:
			ev.Ask.Run()
			c.Answer(ev.Ask)
		case EventEndpoint:
			c.HandleReply(h.net.now, h.HandleEvent(c, *ev.Endpoint))
		default:
			h.events = append(h.events, ev)
		}
	}
}

func (n *testNet) send(d testDatagram) {
	if n.tap != nil {
		n.tap(d)
	}
	n.queue = append(n.queue, d)
}

// run lets time pass until done says so.
func (n *testNet) run(done func() bool) {
	n.t.Helper()
	for range 10000 {
		for _, h := range n.hosts {
			h.service()
		}
		if done() {
			return
		}
		queue := n.queue
		n.queue = nil
		for _, d := range queue {
			for _, h := range n.hosts {
				if h.addr != d.to {
					continue
				}
				if _, answers := h.route(d.b, len(d.b), d.from); len(answers) > 0 {
					n.send(testDatagram{answers[0], d.to, d.from})
				}
			}
		}
		if len(queue) == 0 {
			n.advance()
		}
	}
	n.t.Fatal("it never ends")
}

// advance lets time pass to the next timer.
func (n *testNet) advance() {
	n.t.Helper()
	var first time.Time
	for _, h := range n.hosts {
		for _, c := range h.live {
			if at, ok := c.Timeout(); ok && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	if first.IsZero() {
		n.t.Fatal("nothing will ever happen")
	}
	if first.After(n.now) {
		n.now = first
	}
	for _, h := range n.hosts {
		for _, c := range h.live {
			if at, ok := c.Timeout(); ok && !at.After(n.now) {
				c.OnTimeout(n.now)
			}
		}
	}
}

// wantEmpty asserts that an Endpoint knows of nothing any more.
func wantEmpty(t *testing.T, name string, e *Endpoint) {
	t.Helper()
	if n := e.Conns() + len(e.ids) + len(e.firsts) + len(e.remotes) + len(e.resets.peers) + e.handshakes + e.failed; n != 0 {
		t.Errorf("%s still has %d connections, %d IDs, %d first flights, %d addresses, %d reset tokens, %d handshakes, %d failed", name,
			e.Conns(), len(e.ids), len(e.firsts), len(e.remotes), len(e.resets.peers), e.handshakes, e.failed)
	}
}

// shortPacket is a datagram of n bytes that begins with a short header for id.
func shortPacket(id ConnID, n int) []byte {
	b := append([]byte{0x40}, id.Bytes()...)
	for len(b) < n {
		b = append(b, byte(len(b)))
	}
	return b
}
