package h3

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qpack"
)

// pair is a client's and a server's connection that are joined without a network: what one sends the other receives at once. Their events go to the
// functions.
type pair struct {
	t              testing.TB
	now            time.Time
	client, server *quic.Conn
	onClient       func(ev *quic.Event)
	onServer       func(ev *quic.Event)
	timers         []func() (time.Time, func(time.Time)) // of what lives on the connections
	buf            []byte
	ev             quic.Event // that is being handled

	// mangle is asked about each train, unless it is nil: false has it not be delivered, now.
	mangle func(to *quic.Conn, t quic.Transmit) bool
}

var pairCert = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"peer.example"}, NotBefore: time.Unix(1e9-1e6, 0),
		NotAfter: time.Unix(2e9, 0), BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func pairRoots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(pairCert().Leaf)
	return roots
}

// newPair returns two connections whose handshake is complete.
func newPair(t testing.TB, configure func(client, server *quic.Config)) *pair {
	t.Helper()
	p := &pair{t: t, now: time.Unix(1e9, 0), buf: make([]byte, 1<<16)}
	nothing := func(*quic.Event) {}
	p.onClient, p.onServer = nothing, nothing
	clientConfig := &quic.Config{Rand: rand.NewChaCha8([32]byte{2}), TLS: &tls.Config{NextProtos: []string{"h3"}, InsecureSkipVerify: true}}
	serverConfig := &quic.Config{Rand: rand.NewChaCha8([32]byte{3}), TLS: &tls.Config{
		NextProtos: []string{"h3"}, Certificates: []tls.Certificate{pairCert()}}}
	if configure != nil {
		configure(clientConfig, serverConfig)
	}
	a, b := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.2:443")
	var err error
	p.client, err = quic.Connect(p.now, clientConfig, quic.ConnectParams{ServerName: "peer.example", Local: a, Remote: b})
	if err != nil {
		t.Fatal(err)
	}
	first := p.client.Send(p.now, p.buf)
	h, n := wire.ConsumeLongHeader(p.buf[:first.SegSize])
	if n < 0 {
		t.Fatal("the client's first packet is malformed")
	}
	dst, _ := quic.MakeConnID(h.DstConnID)
	src, _ := quic.MakeConnID(h.SrcConnID)
	ours, _ := quic.MakeConnID([]byte("serverid"))
	p.server, err = quic.Accept(p.now, serverConfig, quic.AcceptParams{SrcConnID: ours, PeerConnID: src, ClientDstConnID: dst,
		OrigDstConnID: dst, AddressValidated: true, Local: b, Remote: a})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.client.Release(); p.server.Release() })
	p.deliver(p.server, first)
	p.run(func() bool { return p.client.HandshakeConfirmed() && p.server.IsEstablished() })
	return p
}

func (p *pair) deliver(to *quic.Conn, t quic.Transmit) {
	if p.mangle != nil && !p.mangle(to, t) {
		return
	}
	to.Recv(p.now, quic.Train{Buf: p.buf[:t.N], SegSize: t.SegSize, Local: t.Remote, Remote: t.Local, ECN: t.ECN})
}

func (p *pair) events(c *quic.Conn, handle func(*quic.Event)) {
	for {
		var ok bool
		if p.ev, ok = c.NextEvent(); !ok {
			return
		}
		switch ev := &p.ev; ev.Kind {
		case quic.EventAsk:
			ev.Ask.Run()
			c.Answer(ev.Ask)
		case quic.EventEndpoint:
		default:
			handle(ev)
		}
	}
}

// step reads events and carries one train each way; it tells whether there was any.
func (p *pair) step() (moved bool) {
	p.events(p.client, p.onClient)
	if t := p.client.Send(p.now, p.buf); t.N > 0 {
		moved = true
		p.deliver(p.server, t)
	}
	p.events(p.server, p.onServer)
	if t := p.server.Send(p.now, p.buf); t.N > 0 {
		moved = true
		p.deliver(p.client, t)
	}
	return moved
}

// settle steps until nothing moves, without letting timers fire; a few events may be left at most.
func (p *pair) settle() {
	for range 10000 {
		if !p.step() {
			p.events(p.client, p.onClient)
			p.events(p.server, p.onServer)
			if !p.step() {
				return
			}
		}
	}
	p.t.Fatal("packets go to and fro without end")
}

// run steps until done, and lets time pass where nothing moves.
func (p *pair) run(done func() bool) {
	p.t.Helper()
	for range 200_000 {
		if done() {
			return
		}
		if !p.step() {
			p.tick()
		}
	}
	p.t.Fatalf("no end: client %v, server %v", p.client.Err(), p.server.Err())
}

// pass lets time pass, with all timers.
func (p *pair) pass(d time.Duration) {
	p.t.Helper()
	end := p.now.Add(d)
	for range 100_000 {
		p.settle()
		at := p.next()
		if at.IsZero() || at.After(end) {
			break
		}
		p.fire(at)
	}
	p.now = end
	p.fire(end)
	p.settle()
}

// next is when the next timer fires.
func (p *pair) next() (at time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if t, ok := p.client.Timeout(); ok {
		sooner(t)
	}
	if t, ok := p.server.Timeout(); ok {
		sooner(t)
	}
	for _, f := range p.timers {
		t, _ := f()
		sooner(t)
	}
	return at
}

func (p *pair) fire(at time.Time) {
	if at.After(p.now) {
		p.now = at
	}
	p.client.OnTimeout(p.now)
	p.server.OnTimeout(p.now)
	for _, f := range p.timers {
		if t, do := f(); !t.IsZero() && !t.After(p.now) {
			do(p.now)
		}
	}
}

// tick advances to the next timer.
func (p *pair) tick() { p.fire(p.next()) }

// side is HTTP/3 on one side of a pair. What it tells is kept, copied.
type side struct {
	*Conn
	p      *pair
	core   *quic.Conn
	events []Event
	handle func(ev Event) // is called for each event, if it is not nil

	sessions bool // EventSession is wanted
}

// newSide puts HTTP/3 on a side of a pair.
func (p *pair) newSide(core *quic.Conn, cfg *Config) *side {
	p.t.Helper()
	if cfg == nil {
		cfg = &Config{}
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.NewChaCha8([32]byte{4})
	}
	c, err := New(p.now, core, cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	s := &side{Conn: c, p: p, core: core}
	p.timers = append(p.timers, func() (time.Time, func(time.Time)) {
		return c.Timeout(), func(now time.Time) { c.OnTimeout(now); s.read() }
	})
	on := func(ev *quic.Event) {
		c.HandleEvent(p.now, ev)
		s.read()
	}
	if core == p.client {
		p.onClient = on
	} else {
		p.onServer = on
	}
	s.read()
	return s
}

// read takes the events that there are.
func (s *side) read() {
	for next := s.NextEvent(); next != nil; next = s.NextEvent() {
		ev := *next
		if ev.Kind == EventSession && !s.sessions {
			continue
		}
		ev.Message = copyMessage(ev.Message)
		ev.Fields = append([]qpack.Field(nil), ev.Fields...)
		ev.Origins = append([]string(nil), ev.Origins...)
		s.events = append(s.events, ev)
		if s.handle != nil {
			s.handle(ev)
		}
	}
}

func copyMessage(m *Message) *Message {
	if m == nil {
		return nil
	}
	out := *m
	out.Fields = append([]qpack.Field(nil), m.Fields...)
	return &out
}

// want takes the oldest event that was not taken, which must be of that kind.
func (s *side) want(kind EventKind) Event {
	s.p.t.Helper()
	s.read()
	if len(s.events) == 0 {
		s.p.t.Fatalf("no event, want kind %d; the connection: %v", kind, s.core.Err())
	}
	ev := s.events[0]
	s.events = s.events[1:]
	if ev.Kind != kind {
		s.p.t.Fatalf("an event of kind %d, want %d: %+v", ev.Kind, kind, ev)
	}
	return ev
}

// wantNone checks that there is no event.
func (s *side) wantNone(why string) {
	s.p.t.Helper()
	s.read()
	if len(s.events) > 0 {
		s.p.t.Fatalf("%s, and there is an event: %+v", why, s.events[0])
	}
}

// readAll reads a body to its end.
func (s *side) readAll(id uint64) (body []byte, fin bool, err error) {
	b := make([]byte, 1000)
	for {
		n, fin, err := s.StreamRecv(id, b)
		body = append(body, b[:n]...)
		if fin || err != nil || n == 0 {
			s.read()
			return body, fin, err
		}
	}
}

// newBoth returns a pair with HTTP/3 on both sides, whose settings are exchanged.
func newBoth(t testing.TB, client, server *Config, configure func(client, server *quic.Config)) (p *pair, c, s *side) {
	t.Helper()
	p = newPair(t, configure)
	c, s = p.newSide(p.client, client), p.newSide(p.server, server)
	p.settle()
	c.want(EventSettings)
	s.want(EventSettings)
	return p, c, s
}

func get(path string) *Message {
	return &Message{Method: "GET", Scheme: "https", Authority: "example.org", Path: path}
}

func ok200(fields ...qpack.Field) *Message { return &Message{Status: 200, Fields: fields} }
