package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
)

// earlyNet is a server that accepts 0-RTT data, and a client that has a Session of it.
type earlyNet struct {
	*testNet
	server, client *testHost
	cfg            *Config // the client's
	session        *Session
}

func newEarlyNet(t testing.TB, edits ...func(*Config)) *earlyNet {
	t.Helper()
	n := &earlyNet{testNet: newNet(t), cfg: endpointConfig(2)}
	n.cfg.TLS.CurvePreferences = []tls.CurveID{tls.X25519} // so that the ClientHello and some data fit into one datagram
	n.server = n.host(serverHost, endpointConfig(1, append([]func(*Config){func(c *Config) { c.EarlyData = true }}, edits...)...))
	n.client = n.host(clientHost, nil)
	n.session = n.getSession(n.cfg)
	return n
}

// getSession returns the Session of a connection that is made for it.
func (n *earlyNet) getSession(cfg *Config) (s *Session) {
	n.t.Helper()
	c := n.client.connect(cfg, ConnectParams{})
	n.run(func() bool { return c.tls.confirmed && n.server.live[len(n.server.live)-1].loss.LargestAcked(2) >= 0 })
	for _, ev := range n.client.events {
		if ev.Kind == EventSession {
			s = ev.Session
		}
	}
	if s == nil || !s.EarlyData() {
		n.t.Fatalf("the session for 0-RTT is %v", s)
	}
	c.Close(n.now, true, 0, "")
	n.run(func() bool { return len(n.server.live) == 0 && len(n.client.live) == 0 })
	n.client.events, n.server.events = nil, nil
	return s
}

// early connects with 0-RTT and writes msg on a stream at once, before anything has left.
func (n *earlyNet) early(msg string, edit ...func(*ConnectParams)) (c *Conn, id uint64) {
	n.t.Helper()
	p := ConnectParams{Session: n.session, EarlyData: true}
	for _, e := range edit {
		e(&p)
	}
	c = n.client.connect(n.cfg, p)
	n.client.read(c)
	if !has(n.client.events, EventEarlyReady) || c.EarlyData() != EarlyOffered {
		n.t.Fatalf("no 0-RTT: %v, %v", n.client.events, c.EarlyData())
	}
	id, err := c.OpenStream()
	if err != nil {
		n.t.Fatal(err)
	}
	if m, err := c.StreamSend(id, []byte(msg), true); m != len(msg) || err != nil {
		n.t.Fatal(m, err)
	}
	return c, id
}

func has(events []Event, kind EventKind) bool { return find(events, kind) != nil }

func find(events []Event, kind EventKind) *Event {
	for i := range events {
		if events[i].Kind == kind {
			return &events[i]
		}
	}
	return nil
}

func resendEarly(p *ConnectParams) { p.ResendEarly = true }

// wantStream reads a stream to its end.
func wantStream(t *testing.T, c *Conn, id uint64, want string) {
	t.Helper()
	b := make([]byte, len(want)+100)
	n, fin, err := c.StreamRecv(id, b)
	if string(b[:n]) != want || !fin || err != nil {
		t.Errorf("stream %d: %q, fin %v, %v; want %q", id, b[:n], fin, err, want)
	}
}

// A server that accepts 0-RTT data reads it from the client's first flight, and answers at once, before the handshake is complete; the
// client has the answer with the handshake.
func TestEarlyDataAccepted(t *testing.T) {
	n := newEarlyNet(t)
	n.session.token = nil
	c, id := n.early("hello")
	n.client.service()
	first := n.queue
	n.queue = nil
	if len(first) != 1 || len(first[0].b) != minDatagramSize {
		t.Fatalf("the first flight is %d datagrams", len(first))
	}
	r, _ := n.server.one(first[0].b, clientHost)
	if !r.New {
		t.Fatal("no connection")
	}
	s := r.Conn
	n.server.read(s)
	if ev := find(n.server.events, EventEarlyData); ev == nil || !ev.Accepted || s.EarlyData() != EarlyAccepted {
		t.Fatalf("the server's events: %v", n.server.events)
	}
	if !s.StreamEarly(id) || s.StreamEarly(id+4) || s.tls.complete || s.AddressValidated() {
		t.Errorf("early %v, the next %v, complete %v, address validated %v", s.StreamEarly(id), s.StreamEarly(id+4), s.tls.complete,
			s.AddressValidated())
	}
	wantStream(t, s, id, "hello")
	s.StreamSend(id, []byte("world"), true)
	n.server.service()
	second := n.queue
	n.queue = nil
	for _, d := range second {
		n.client.one(d.b, serverHost)
	}
	n.client.read(c)
	if !c.tls.complete {
		t.Fatal("the handshake is not complete")
	}
	wantStream(t, c, id, "world")
	if ev := find(n.client.events, EventEarlyData); ev == nil || !ev.Accepted || c.EarlyData() != EarlyAccepted {
		t.Errorf("the client's events: %v", n.client.events)
	}
	n.run(func() bool { return c.tls.confirmed && s.tls.confirmed })
	if !c.Stats().Resumed || !s.Stats().Resumed || !c.TLS().DidResume || !s.TLS().DidResume || c.Stats().EarlyData != EarlyAccepted {
		t.Error("not resumed")
	}
	later, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	c.StreamSend(later, []byte("later"), true)
	n.run(func() bool { return s.streams.types[0].opened > later>>2 })
	if !s.StreamEarly(id) || s.StreamEarly(later) || !s.AddressValidated() {
		t.Errorf("early %v, a later one %v", s.StreamEarly(id), s.StreamEarly(later))
	}
	if c.keys.HasWrite(1) || !s.keys.HasRead(1) {
		t.Error("0-RTT keys: the client should have dropped them, and the server not yet")
	}
	n.now = s.clock.time(s.earlyDropAt())
	s.OnTimeout(n.now)
	if s.keys.HasRead(1) {
		t.Error("the server keeps the keys of 0-RTT packets for more than three PTO")
	}
}

// Where the server rejects 0-RTT data all of it is sent again if the application allows that, under the limits of now; what the streams are
// like then is as if it had been written after the handshake.
func TestEarlyDataResent(t *testing.T) {
	n := newEarlyNet(t)
	n.server.serverTLS.SetTicketKeys([][32]byte{{1}}) // the ticket does not open any more
	c, id := n.early("hello", resendEarly)
	reset, _ := c.OpenStream()
	c.StreamSend(reset, []byte("never mind"), false)
	n.client.service()
	c.StreamShutdown(reset, WriteDirection|ReadDirection, 7)
	n.run(func() bool { return c.tls.confirmed })
	if ev := find(n.client.events, EventEarlyData); ev == nil || ev.Accepted || !ev.Resent || c.EarlyData() != EarlyRejected {
		t.Fatalf("the client's events: %v", n.client.events)
	}
	s := n.server.live[0]
	n.run(func() bool { return has(n.server.events, EventStreamReset) })
	wantStream(t, s, id, "hello")
	if ev := find(n.server.events, EventStreamReset); ev.Stream != reset || ev.Code != 7 {
		t.Errorf("%+v", ev)
	}
	if s.EarlyData() != EarlyNone && s.EarlyData() != EarlyRejected || s.StreamEarly(id) || c.Stats().Resumed {
		t.Errorf("the server: %v, early %v", s.EarlyData(), s.StreamEarly(id))
	}
	s.StreamSend(id, []byte("world"), true)
	n.run(func() bool { return has(n.client.events, EventStreamAcked) && has(n.client.events, EventReadable) })
	wantStream(t, c, id, "world")
	if used := c.streams.sendWindow.used; used != 5 {
		t.Errorf("%d bytes count for flow control, want 5", used)
	}
}

// Without that allowance every stream ends, with an error that says why, and IDs begin with the lowest again once that is known.
func TestEarlyDataRejected(t *testing.T) {
	n := newEarlyNet(t)
	n.server.serverTLS.SetTicketKeys([][32]byte{{1}})
	c, id := n.early("hello")
	n.client.service()
	queue := n.queue
	n.queue = nil
	for _, d := range queue {
		n.server.one(d.b, clientHost)
	}
	n.server.service()
	for _, d := range n.queue {
		n.client.one(d.b, serverHost)
	}
	for !c.tls.complete { // the server's certificate is to be judged
		ev, ok := c.NextEvent()
		if !ok {
			t.Fatal("the handshake stands still")
		}
		if ev.Kind == EventAsk {
			ev.Ask.Run()
			c.Answer(ev.Ask)
		}
	}
	_, err1 := c.StreamSend(id, nil, false)
	_, _, err2 := c.StreamRecv(id, make([]byte, 10))
	_, err3 := c.OpenStream()
	_, err4 := c.StreamAcked(id)
	for _, err := range []error{err1, err2, err3, err4, c.StreamShutdown(id, WriteDirection, 0)} {
		if !errors.Is(err, ErrEarlyDataRejected) {
			t.Errorf("before the event is read: %v", err)
		}
	}
	n.queue = nil
	n.run(func() bool { return c.tls.confirmed })
	if ev := find(n.client.events, EventEarlyData); ev == nil || ev.Accepted || ev.Resent {
		t.Fatalf("the client's events: %v", n.client.events)
	}
	if _, _, err := c.StreamRecv(id, nil); err != ErrUnknownStream {
		t.Errorf("afterwards: %v", err)
	}
	if n, err := c.StreamSend(id, []byte("late"), true); n != 0 || err != ErrUnknownStream {
		t.Errorf("a write by somebody who has the ID of before: %d, %v", n, err)
	}
	if n := c.StreamsOpenable(false); n != 100 {
		t.Errorf("%d streams can be opened", n)
	}
	again, err := c.OpenStream()
	if again != id || err != nil {
		t.Errorf("the next stream: %d, %v", again, err)
	}
	c.StreamSend(again, []byte("again"), true)
	s := n.server.live[0]
	n.run(func() bool { return has(n.server.events, EventReadable) })
	wantStream(t, s, again, "again")
}

// A Retry has the client send its 0-RTT data again, to the new connection ID, and goes on with packet numbers (RFC 9000, sections 17.2.3
// and 17.2.5.3).
func TestEarlyDataRetry(t *testing.T) {
	n := newEarlyNet(t)
	n.session.token = nil
	retryAlways(n.server.cfg)
	c, id := n.early("hello")
	n.run(func() bool { return len(n.server.live) > 0 })
	s := n.server.live[0]
	n.run(func() bool { return has(n.server.events, EventReadable) })
	if !c.retried || !s.retried || s.EarlyData() != EarlyAccepted || !s.AddressValidated() || !s.StreamEarly(id) {
		t.Errorf("Retry %v, the server: %v", c.retried, s.EarlyData())
	}
	if first := s.app.acks.largest(); first < 1 {
		t.Errorf("the server has 0-RTT packet %d: packet numbers began anew", first)
	}
	wantStream(t, s, id, "hello")
	n.run(func() bool { return c.tls.confirmed })
}

// 0-RTT packets that come before the Initial packet of their connection are kept by the Endpoint, within its bounds.
func TestEarlyBeforeInitial(t *testing.T) {
	n := newEarlyNet(t)
	msg := fmt.Sprintf("%08000d", 1)
	c, id := n.early(msg)
	n.client.service()
	queue := n.queue
	n.queue = nil
	for i := len(queue) - 1; i >= 0; i-- {
		r, _ := n.server.one(queue[i].b, clientHost)
		if (r.Conn != nil) != (i == 0) {
			t.Fatalf("datagram %d of %d: %+v", i, len(queue), r)
		}
	}
	n.server.read(n.server.live[0])
	wantStream(t, n.server.live[0], id, msg)
	if n.server.early.list != nil {
		t.Error("something is kept still")
	}
	n.run(func() bool { return c.tls.confirmed })
}
