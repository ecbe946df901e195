package quic

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// alone is a client and a server without an Endpoint, and a network between them that loses nothing.
type alone struct {
	t              testing.TB
	now            time.Time
	client, server *Conn
	events         [2][]Event // of the client and of the server
	delay          time.Duration
	onDatagram     func(toServer bool, d []byte) (deliver bool) // nil: all are delivered
}

var (
	aloneClient = netip.MustParseAddrPort("192.0.2.1:50000")
	aloneServer = netip.MustParseAddrPort("192.0.2.2:443")
)

func aloneConfig(seed byte) *Config {
	roots := x509.NewCertPool()
	roots.AddCert(scriptedCert().Leaf)
	return &Config{
		TLS: &tls.Config{
			Certificates: []tls.Certificate{scriptedCert()}, RootCAs: roots, ServerName: scriptedName, NextProtos: []string{"alone"},
			Time: func() time.Time { return scriptedEpoch },
		},
		Rand: rand.NewChaCha8([32]byte{seed}), MaxDatagramFrameSize: 65535,
	}
}

// run carries datagrams and answers questions until both are silent, and lets a millisecond pass for each flight.
func (a *alone) run() {
	a.t.Helper()
	for range 1000 {
		moved := false
		for i, c := range []*Conn{a.client, a.server} {
			if c == nil {
				continue
			}
			a.answer(i)
			moved = a.carry(c, i == 0) || moved
		}
		if !moved {
			return
		}
		a.now = a.now.Add(time.Millisecond)
	}
	a.t.Fatal("the connections are never silent")
}

// answer reads the events of the client, 0, or of the server.
func (a *alone) answer(i int) {
	c := [...]*Conn{a.client, a.server}[i]
	for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
		if ev.Kind == EventAsk {
			ev.Ask.Run()
			c.Answer(ev.Ask)
		}
		a.events[i] = append(a.events[i], ev)
	}
}

// carry takes a train from a connection to the other.
func (a *alone) carry(from *Conn, toServer bool) bool {
	buf := make([]byte, 65535)
	t := from.Send(a.now, buf)
	if t.N == 0 {
		return false
	}
	for train := buf[:t.N]; len(train) > 0; {
		n := min(t.SegSize, len(train))
		d := slices.Clone(train[:n])
		train = train[n:]
		deliver := a.onDatagram == nil || a.onDatagram(toServer, d)
		to := a.client
		if toServer {
			to = a.server
		}
		if deliver && to != nil {
			to.Recv(a.now, Train{Buf: d, Local: t.Remote, Remote: t.Local})
		}
	}
	return true
}

func (a *alone) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// wantWorking asserts that both are established, and that what one writes the other reads.
func (a *alone) wantWorking(reason string) {
	a.t.Helper()
	if !a.client.IsEstablished() || !a.server.IsEstablished() {
		a.t.Fatalf("%s: the handshake is not complete: %v, %v", reason, a.client.Err(), a.server.Err())
	}
	for _, c := range [][2]*Conn{{a.client, a.server}, {a.server, a.client}} {
		id, err := c[0].OpenStream()
		a.must(err)
		_, err = c[0].StreamSend(id, []byte("hello"), true)
		a.must(err)
		a.run()
		b := make([]byte, 10)
		if n, fin, err := c[1].StreamRecv(id, b); string(b[:n]) != "hello" || !fin || err != nil {
			a.t.Fatalf("%s: read %q, %v, %v", reason, b[:n], fin, err)
		}
		a.must(c[0].Check())
		a.must(c[1].Check())
	}
}

func connIDOf(n int, fill byte) ConnID {
	id, _ := MakeConnID(bytes.Repeat([]byte{fill}, n))
	return id
}

// A server that finds its connections itself: it reads the header of a datagram, may answer with Retry, and accepts with what it knows, in any
// version and with connection IDs of any length.
func TestAcceptAlone(t *testing.T) {
	for _, version := range []uint32{Version1, Version2} {
		for _, idLen := range []int{0, 1, 8, 20} {
			for _, retry := range []bool{false, true} {
				t.Run(fmt.Sprintf("version=%#x,ids=%d,retry=%v", version, idLen, retry), func(t *testing.T) {
					acceptAlone(t, version, idLen, retry)
				})
			}
		}
	}
}

func acceptAlone(t *testing.T, version uint32, idLen int, retry bool) {
	a := &alone{t: t, now: scriptedEpoch}
	cfg := aloneConfig(1)
	cfg.Versions = []uint32{version}
	cfg.ConnIDs = RandomConnIDs(idLen)
	p := ConnectParams{Local: aloneClient, Remote: aloneServer, SrcConnID: connIDOf(idLen, 1), DstConnID: connIDOf(11, 2)}
	var err error
	a.client, err = Connect(a.now, cfg, p)
	a.must(err)
	t.Cleanup(a.client.Release)
	accept := AcceptParams{SrcConnID: connIDOf(idLen, 3), Local: aloneServer, Remote: aloneClient}
	if retry && idLen == 0 {
		accept.SrcConnID = connIDOf(0, 0)
	}
	a.onDatagram = func(toServer bool, d []byte) bool {
		if !toServer || a.server != nil {
			return true
		}
		h, ok := ParseHeader(d, idLen)
		if !ok || h.Type != PacketInitial || h.Version != version || !bytes.Equal(h.SrcConnID, p.SrcConnID.Bytes()) {
			t.Fatalf("the first packet: %+v, %v", h, ok)
		}
		switch {
		case retry && len(h.Token) == 0:
			if !bytes.Equal(h.DstConnID, p.DstConnID.Bytes()) {
				t.Fatalf("the first packet went to %x", h.DstConnID)
			}
			retryID := connIDOf(9, 4)
			b, err := AppendRetry(nil, h.Version, h.DstConnID, h.SrcConnID, retryID, append([]byte("mine:"), h.DstConnID...), 7)
			a.must(err)
			a.client.Recv(a.now, Train{Buf: b, Local: aloneClient, Remote: aloneServer})
			return false
		case retry:
			accept.Retried, accept.AddressValidated = true, true
			accept.RetrySrcConnID, _ = MakeConnID(h.DstConnID)
			accept.OrigDstConnID, _ = MakeConnID(bytes.TrimPrefix(h.Token, []byte("mine:")))
		}
		a.server, err = Accept(a.now, cfg, accept)
		a.must(err)
		t.Cleanup(a.server.Release)
		a.server.Recv(a.now, Train{Buf: d, Local: aloneServer, Remote: aloneClient})
		return false
	}
	a.run()
	a.wantWorking("without an Endpoint")
	if a.client.Version() != version || a.server.Version() != version || a.client.retried != retry {
		t.Errorf("versions %#x and %#x, retried %v", a.client.Version(), a.server.Version(), a.client.retried)
	}
	a.client.Close(a.now, true, 5, "bye")
	a.run()
	if want := (&ApplicationError{Code: 5, Remote: true}); a.server.Err() == nil || !want.Is(a.server.Err()) {
		t.Errorf("the server's end: %v", a.server.Err())
	}
}

// What may not begin a connection that waits for its client leaves it waiting.
func TestAcceptAwaits(t *testing.T) {
	a := &alone{t: t, now: scriptedEpoch}
	cfg := aloneConfig(1)
	var err error
	a.client, err = Connect(a.now, cfg, ConnectParams{Local: aloneClient, Remote: aloneServer})
	a.must(err)
	defer a.client.Release()
	a.server, err = Accept(a.now, cfg, AcceptParams{SrcConnID: connIDOf(8, 3), Local: aloneServer, Remote: aloneClient})
	a.must(err)
	defer a.server.Release()
	for range 3 {
		if tr := a.server.Send(a.now, make([]byte, 65535)); tr.N != 0 {
			t.Fatalf("the server sends %d bytes before its client is there", tr.N)
		}
	}
	if a.server.TLS().HandshakeComplete || a.server.IsEstablished() || a.server.AddressValidated() {
		t.Error("the server knows more than it can")
	}
	a.must(a.server.Check())
	buf := make([]byte, 65535)
	first := a.client.Send(a.now, buf)
	good := buf[:first.SegSize]
	mutated := func(f func(d []byte) []byte) []byte { return f(slices.Clone(good)) }
	for name, d := range map[string][]byte{
		"damaged":                     mutated(func(d []byte) []byte { d[len(d)-1] ^= 1; return d }),
		"less than 1200 bytes":        mutated(func(d []byte) []byte { return d[:1199] }),
		"of another version":          mutated(func(d []byte) []byte { d[4] = 9; return d }),
		"a short header":              mutated(func(d []byte) []byte { d[0] = 0x40; return d }),
		"to a short connection ID":    mutated(func(d []byte) []byte { d[5] = 7; return d }),
		"0-RTT":                       mutated(func(d []byte) []byte { d[0] |= 0x10; return d }),
		"of a client behind a header": {0xc0},
	} {
		dropped := a.server.Stats().PacketsDropped
		a.server.Recv(a.now, Train{Buf: d, Local: aloneServer, Remote: aloneClient})
		if a.server.hello.awaited == nil || a.server.Stats().PacketsDropped != dropped+1 || a.server.Err() != nil {
			t.Fatalf("%s: taken for the first packet (%v)", name, a.server.Err())
		}
	}
	// In one train with what is not for it, and before it.
	overtaken := mutated(func(d []byte) []byte { d[0] |= 0x10; return d })
	a.server.Recv(a.now, Train{Buf: append(overtaken, buf[:first.N]...), SegSize: first.SegSize, Local: aloneServer, Remote: aloneClient})
	if a.server.hello.awaited != nil {
		t.Error("a first packet behind another in its train is not seen")
	}
	a.run()
	a.wantWorking("after what was no first packet")
}

// What no client can have sent, or would believe, is an error.
func TestAcceptIDs(t *testing.T) {
	for name, p := range map[string]AcceptParams{
		"a short connection ID":      {ClientDstConnID: connIDOf(7, 1), OrigDstConnID: connIDOf(7, 1)},
		"Retry of nothing":           {ClientDstConnID: connIDOf(8, 1), RetrySrcConnID: connIDOf(8, 1), Retried: true},
		"Retry of nothing, awaiting": {RetrySrcConnID: connIDOf(8, 1), Retried: true},
	} {
		p.SrcConnID, p.Local, p.Remote = connIDOf(8, 3), aloneServer, aloneClient
		if c, err := Accept(scriptedEpoch, aloneConfig(1), p); err == nil {
			c.Release()
			t.Errorf("%s: no error", name)
		}
	}
}

// A connection that waits for its client ends in time, or is closed, without a word.
func TestAcceptAwaitsInVain(t *testing.T) {
	cfg := aloneConfig(1)
	for _, closes := range []bool{false, true} {
		c, err := Accept(scriptedEpoch, cfg, AcceptParams{SrcConnID: connIDOf(8, 3), Local: aloneServer, Remote: aloneClient})
		if err != nil {
			t.Fatal(err)
		}
		if closes {
			c.Close(scriptedEpoch, true, 1, "")
		}
		for range 10 {
			at, ok := c.Timeout()
			if !ok {
				break
			}
			c.OnTimeout(at)
			if tr := c.Send(at, make([]byte, 65535)); tr.N != 0 {
				t.Fatalf("%d bytes are sent to nobody", tr.N)
			}
		}
		if !c.IsDrained() || c.Err() == nil {
			t.Errorf("closed %v: drained %v, %v", closes, c.IsDrained(), c.Err())
		}
	}
}

// After Retry the client sends to the connection ID that it was given, and nowhere else.
func TestAcceptAwaitsRetried(t *testing.T) {
	a := &alone{t: t, now: scriptedEpoch}
	cfg := aloneConfig(1)
	var err error
	a.client, err = Connect(a.now, cfg, ConnectParams{Local: aloneClient, Remote: aloneServer})
	a.must(err)
	defer a.client.Release()
	a.server, err = Accept(a.now, cfg, AcceptParams{SrcConnID: connIDOf(8, 3), Local: aloneServer, Remote: aloneClient, Retried: true,
		OrigDstConnID: connIDOf(8, 5), RetrySrcConnID: connIDOf(8, 6)})
	a.must(err)
	defer a.server.Release()
	a.run()
	if a.server.hello.awaited == nil || a.server.counts.packetsDropped == 0 {
		t.Error("a packet to another connection ID was taken")
	}
}

// Connections share a Config that is resolved.
func TestResolve(t *testing.T) {
	cfg, err := aloneConfig(1).Resolve()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := cfg.Resolve(); again != cfg || err != nil {
		t.Errorf("a Config that is resolved is copied: %v", err)
	}
	c, err := Accept(scriptedEpoch, cfg, AcceptParams{SrcConnID: connIDOf(8, 3), Local: aloneServer, Remote: aloneClient})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if c.cfg != cfg || cfg.MaxIdleTimeout != 30*time.Second {
		t.Errorf("the connection has another Config; its idle timeout is %v", cfg.MaxIdleTimeout)
	}
	if _, err := (&Config{MaxUDPPayload: 5}).Resolve(); err == nil {
		t.Error("5 bytes of UDP payload: no error")
	}
	if _, err := (*Config)(nil).Resolve(); err == nil {
		t.Error("no Config: no error")
	}
	if noTLS, err := new(Config).Resolve(); err != nil {
		t.Errorf("for SSLs of the program's: %v", err)
	} else if _, err := Accept(scriptedEpoch, noTLS, AcceptParams{SrcConnID: connIDOf(8, 3)}); err == nil {
		t.Error("without TLS of either kind: no error")
	}
}

func TestConnectDstConnIDTooShort(t *testing.T) {
	_, err := Connect(scriptedEpoch, aloneConfig(1), ConnectParams{Remote: aloneServer, DstConnID: connIDOf(7, 1)})
	if err == nil || err.Error() != "quic: ConnectParams.DstConnID has 7 bytes; 8 at least are required (RFC 9000, section 7.2)" {
		t.Errorf("7 bytes: %v", err)
	}
}
