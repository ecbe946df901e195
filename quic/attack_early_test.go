package quic

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// B7: a ticket is used from an address that its owner never had. It proves no address: the server answers what 0-RTT data asks for under the
// anti-amplification limit, and says that the address is not validated (RFC 9000, section 8.1; RFC 9001, section 9.2).
func TestAttackB7EarlySpoofedAddress(t *testing.T) {
	n := newEarlyNet(t)
	n.session.token = nil
	n.early("give me much")
	n.client.service()
	received, sent := 0, 0
	n.tap = func(d testDatagram) {
		if d.to == otherHost {
			sent += len(d.b)
		}
	}
	for _, d := range n.queue {
		received += len(d.b)
		n.server.one(d.b, otherHost)
	}
	n.queue = nil
	s := n.server.live[0]
	n.server.read(s)
	wantStream(t, s, 0, "give me much")
	if s.EarlyData() != EarlyAccepted || s.AddressValidated() || !s.StreamEarly(0) {
		t.Errorf("0-RTT data %v, address validated %v", s.EarlyData(), s.AddressValidated())
	}
	if n, err := s.StreamSend(0, make([]byte, 100_000), true); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	n.server.service()
	for range 50 {
		if sent > 3*received {
			t.Fatalf("%d bytes were sent for %d", sent, received)
		}
		at, ok := s.Timeout()
		if !ok {
			break
		}
		n.now = at
		s.OnTimeout(n.now)
		n.server.service()
	}
	if sent < received {
		t.Errorf("%d bytes were sent for %d: the answer does not begin", sent, received)
	}
	if !s.IsDrained() {
		t.Error("the connection is there still")
	}
	wantEmpty(t, "the server", n.server.Endpoint)
}

// B8: a recorded first flight is played again, a thousand times, to the server and to its siblings, from other addresses and when the
// connection is gone. Its 0-RTT data is accepted once.
func TestAttackB8EarlyReplay(t *testing.T) {
	n := newEarlyNet(t)
	n.session.token = nil
	n.early("once")
	n.client.service()
	var flight [][]byte
	for _, d := range n.queue {
		flight = append(flight, bytes.Clone(d.b))
	}
	sibling, err := n.server.Sibling(RandomConnIDs(8))
	if err != nil {
		t.Fatal(err)
	}
	other := &testHost{Endpoint: sibling, net: n.testNet, addr: serverHost}
	accepted, conns := 0, 0
	play := func(h *testHost, from netip.AddrPort) {
		for _, b := range flight {
			if r, _ := h.one(b, from); r.New {
				conns++
				h.read(r.Conn)
				if r.Conn.EarlyData() == EarlyAccepted {
					accepted++
				}
				if _, fin, err := r.Conn.StreamRecv(0, make([]byte, 10)); (r.Conn.EarlyData() == EarlyAccepted) != (fin && err == nil) {
					t.Fatalf("0-RTT data is %v, and the stream's end came: %v, %v", r.Conn.EarlyData(), fin, err)
				}
				r.Conn.Abandon(n.now, nil)
				h.read(r.Conn)
				r.Conn.Release()
			}
		}
		h.live = nil
	}
	for i := range 1000 {
		h := n.server
		if i%3 == 1 {
			h = other
		}
		play(h, netip.AddrPortFrom(clientHost.Addr(), uint16(1000+i%500)))
		n.now = n.now.Add(time.Second)
	}
	if accepted != 1 || conns < 500 {
		t.Errorf("of %d connections %d accepted the same 0-RTT data", conns, accepted)
	}
	// A server that was started anew knows nothing of what it accepted before, and accepts nothing.
	n.server.Endpoint, err = NewEndpoint(endpointConfig(1, func(c *Config) { c.EarlyData, c.TicketKeys = true, [][32]byte{{1}} }))
	if err != nil {
		t.Fatal(err)
	}
	session := n.getSession(n.cfg)
	n.server.Endpoint, err = NewEndpoint(endpointConfig(3, func(c *Config) { c.EarlyData, c.TicketKeys = true, [][32]byte{{1}} }))
	if err != nil {
		t.Fatal(err)
	}
	n.session = session
	n.session.token, n.queue = nil, nil
	c, _ := n.early("twice", resendEarly)
	n.run(func() bool { return c.tls.confirmed })
	if c.EarlyData() != EarlyRejected || !c.Stats().Resumed {
		t.Errorf("a server that was started anew: 0-RTT data %v, resumed %v", c.EarlyData(), c.Stats().Resumed)
	}
}

// stickyCache gives whatever session it was given, whoever asks.
type stickyCache struct{ session *tls.ClientSessionState }

func (c *stickyCache) Get(string) (*tls.ClientSessionState, bool)    { return c.session, c.session != nil }
func (c *stickyCache) Put(_ string, session *tls.ClientSessionState) { c.session = session }

// B9: a ticket that one virtual host gave is used with another, which asks for certificates: it is not resumed, and nothing of 0-RTT is read
// (CVE-2025-23419).
func TestAttackB9TicketAcrossHosts(t *testing.T) {
	cache := &stickyCache{}
	shared := newEarlyClient(t).context
	play := func(name string) *scripted {
		return newScriptedClient(t, func(p *scripted) {
			p.context, p.cfg.EarlyData = shared, true
			p.tlsConfig.ClientSessionCache, p.tlsConfig.ServerName, p.tlsConfig.InsecureSkipVerify = cache, name, true
			base := p.cfg.TLS
			secret := base.Clone()
			secret.ClientAuth = tls.RequireAnyClientCert
			base.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				if info.ServerName == "secret.test" {
					return secret, nil
				}
				return nil, nil
			}
		})
	}
	play("public.test").handshake()
	again := play("public.test")
	again.sendEarly(streamFrame(0, 0, "x", true))
	again.handshake()
	if again.conn.EarlyData() != EarlyAccepted {
		t.Fatalf("with its own host the ticket is of no use: %v", again.conn.EarlyData())
	}
	for _, name := range []string{"secret.test", "other.test"} {
		p := play(name)
		if !p.keys.HasWrite(protect.ZeroRTT) {
			t.Fatal("no 0-RTT is offered")
		}
		p.sendEarly(streamFrame(0, 0, "x", true))
		p.drain()
		if p.conn.EarlyData() == EarlyAccepted || p.conn.streams.types[0].opened > 0 {
			t.Errorf("%s: 0-RTT data was read with a ticket of another host", name)
		}
		p.keys.Drop(protect.ZeroRTT)
		p.handshake()
		if p.conn.Stats().Resumed {
			t.Errorf("%s: a session of another host was resumed", name)
		}
	}
}

// B10: a ticket and a token of one version are of no use with another (RFC 9369, section 5).
func TestAttackB10SessionAcrossVersions(t *testing.T) {
	for _, v := range []uint32{Version1, Version2} {
		n := newEarlyNet(t)
		n.server.cfg.Versions = []uint32{v, Version1 ^ Version2 ^ v}
		n.cfg = endpointConfig(2, func(c *Config) { c.Versions = []uint32{v} })
		s := n.getSession(n.cfg)
		if s.Version() != v {
			t.Fatalf("a session of version 0x%x", s.Version())
		}
		retryAlways(n.server.cfg)
		for _, same := range []bool{true, false} {
			other := *s
			if !same {
				other.version = Version1 ^ Version2 ^ v
			}
			cfg := endpointConfig(4, func(c *Config) { c.Versions = []uint32{other.version} })
			c := n.client.connect(cfg, ConnectParams{Session: &other, EarlyData: true})
			n.run(func() bool { return c.tls.confirmed })
			if c.Stats().Resumed != same || (c.EarlyData() == EarlyAccepted) != same || c.retried == same {
				t.Errorf("version 0x%x, same %v: resumed %v, 0-RTT data %v, Retry %v", v, same, c.Stats().Resumed, c.EarlyData(), c.retried)
			}
			c.Close(n.now, true, 0, "")
		}
	}
}

// T4: a server that gives tickets without end. Four are told, those that nobody reads included, and the connection goes on until its
// bound of TLS bytes is reached.
func TestAttackTicketFlood(t *testing.T) {
	p := newScriptedServer(t)
	p.handshake()
	p.events = nil
	off := p.cryptoOff[protect.OneRTT]
	for i := range 200 {
		body := append([]byte{0, 0, 14, 16, 1, 2, 3, 4, 1, byte(i), 0, 200}, bytes.Repeat([]byte{byte(i)}, 200)...)
		body = append(body, 0, 0)
		msg := append([]byte{4, 0, 0, byte(len(body))}, body...)
		p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.OneRTT, frames: [][]byte{cryptoFrame(off, msg)}}))
		off += uint64(len(msg))
		waiting := 0
		for _, ev := range p.conn.events.queue[p.conn.events.head:] {
			if ev.Kind == EventSession {
				waiting++
			}
		}
		if waiting > maxSessions {
			t.Fatalf("%d sessions wait", waiting)
		}
	}
	p.drain()
	told := 0
	for _, ev := range p.events {
		if ev.Kind == EventSession {
			told++
		}
	}
	if told == 0 || told > maxSessions || p.conn.IsClosed() {
		t.Errorf("%d sessions were told; closed: %v", told, p.conn.Err())
	}
}

// 0-RTT packets that come before an Initial packet that never comes: the Endpoint keeps no more of them than its bounds say, for no longer
// than they say, and none where clients have to prove their address.
func TestAttackEarlyBeforeInitialFlood(t *testing.T) {
	n := newEarlyNet(t)
	packet := func(conn, size int) []byte {
		b, lengthOff, pnOff := wire.AppendLongHeader(nil, wire.ZeroRTT, Version1, fmt.Appendf(nil, "conn%04d", conn), []byte("src"), nil, 0, 4)
		b = append(b, make([]byte, size-len(b))...)
		wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
		return b
	}
	check := func() {
		t.Helper()
		s := n.server.early
		if len(s.list) > maxEarlyAttempts {
			t.Fatalf("something is kept of %d connections", len(s.list))
		}
		for _, a := range s.list {
			size := 0
			for _, p := range a.packets {
				size += len(p.b)
			}
			if len(a.packets) > maxEarlyPackets || size > maxUndecryptableBytes || size != a.bytes {
				t.Fatalf("%d packets of %d bytes are kept of one connection; %d are counted", len(a.packets), size, a.bytes)
			}
		}
	}
	most := [2]int{}
	for i := range 20_000 {
		r, answer := n.server.one(packet(i%100, 60+i*7%1400), clientHost)
		if r.Conn != nil || answer != nil {
			t.Fatal("a 0-RTT packet is answered")
		}
		check()
		for _, a := range n.server.early.list {
			most = [2]int{max(most[0], len(a.packets)), max(most[1], a.bytes)}
		}
	}
	if len(n.server.early.list) != maxEarlyAttempts || most[1] < maxUndecryptableBytes*3/4 {
		t.Errorf("the bounds are not reached: %d connections, %v packets and bytes", len(n.server.early.list), most)
	}
	for range 100 {
		n.server.one(packet(7, 60), clientHost)
	}
	n.now = n.now.Add(maxEarlyWait + time.Millisecond)
	for range 2 * maxEarlyPackets {
		n.server.one(packet(101, 60), clientHost)
	}
	if l := n.server.early.list; len(l) != 1 || len(l[0].packets) != maxEarlyPackets {
		t.Errorf("after their time something is kept of %d connections, of the last one %d packets", len(l), len(l[len(l)-1].packets))
	}
	n.now = n.now.Add(maxEarlyWait + time.Millisecond)
	n.server.cfg.MaxHandshakes = 1
	n.server.one(packet(102, 60), clientHost)
	if got := n.server.takeEarly(n.now, 0); got != nil {
		t.Error("a packet of nobody is handed over")
	}
	if l := n.server.early.list; len(l) > 1 {
		t.Errorf("an endpoint that demands Retry keeps something of %d connections", len(l))
	}
}

// 0-RTT packets that come after the Initial packet and before TLS has decided are bounded too, and go with the decision.
func TestAttackEarlyBeforeKeys(t *testing.T) {
	p := newEarlyClient(t, func(p *scripted) {
		p.cfg.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	})
	// The ClientHello without its last byte, so that TLS waits.
	hello := p.cryptoOut[protect.Initial]
	p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.Initial, frames: [][]byte{cryptoFrame(0, hello[:len(hello)-1])}}))
	for i := range 100 {
		p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.ZeroRTT, dstID: []byte("first-dcid"),
			frames: [][]byte{streamFrame(uint64(4*i), 0, string(make([]byte, 300)), true)}}))
		if packets, size := p.conn.hello.early.held(true); packets > maxEarlyPackets || size > maxUndecryptableBytes {
			t.Fatalf("%d packets of %d bytes are kept", packets, size)
		}
	}
	packets, _ := p.conn.hello.early.held(true)
	if packets != maxEarlyPackets {
		t.Errorf("%d packets are kept, want %d", packets, maxEarlyPackets)
	}
	p.cryptoOff[protect.Initial], p.cryptoOut[protect.Initial] = uint64(len(hello)-1), hello[len(hello)-1:]
	p.sendTLS()
	if got := p.conn.streams.types[0].opened; got != uint64(packets) || p.conn.hello.early.packets != nil {
		t.Errorf("%d streams were opened, want %d", got, packets)
	}
	p.handshake()
}

// An idle connection of a server that has accepted 0-RTT data takes no more than another: what 0-RTT needs goes with its keys and streams.
func TestEarlyIdleState(t *testing.T) {
	p := newEarlyClient(t)
	p.sendEarly(streamFrame(0, 0, "x", true))
	p.handshake()
	p.now = p.conn.clock.time(p.conn.earlyDropAt())
	p.conn.OnTimeout(p.now)
	if p.conn.keys.HasRead(protect.ZeroRTT) || p.conn.hello != nil || !p.conn.StreamEarly(0) {
		t.Errorf("keys %v, early %v", p.conn.keys.HasRead(protect.ZeroRTT), p.conn.StreamEarly(0))
	}
	wantStream(t, p.conn, 0, "x")
	p.conn.StreamSend(0, nil, true)
	p.drain()
	p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	for p.conn.resume != nil {
		if p.advance() > time.Minute {
			t.Fatalf("the state of 0-RTT is still there: %+v", p.conn.resume)
		}
	}
	if p.conn.StreamEarly(0) || p.conn.IsClosed() || p.conn.streams.live.len() > 0 {
		t.Errorf("early %v, closed %v, %d streams", p.conn.StreamEarly(0), p.conn.IsClosed(), p.conn.streams.live.len())
	}
	p = newScriptedClient(t)
	p.handshake()
	if p.conn.resume != nil {
		t.Error("a server without 0-RTT data has the state of it")
	}
}

// T4: a server that gives tokens without end. Of each span of time maxNewTokens are taken, so that an application that stores a Session for
// each has little to do, and the first ones after a quiet time are.
func TestAttackTokenFlood(t *testing.T) {
	p := newScriptedServer(t)
	p.handshake()
	sessions := func() (n int, last *Session) {
		p.drain()
		for _, ev := range p.events {
			if ev.Kind == EventSession {
				n, last = n+1, ev.Session
			}
		}
		p.events = nil
		return n, last
	}
	sessions()
	for span := range 3 {
		told := 0
		for i := range 10 * maxNewTokens {
			token := fmt.Sprintf("token %d of %d", i, span)
			p.sendFrames(protect.OneRTT, append(frame(wire.FrameNewToken, uint64(len(token))), token...))
			n, last := sessions()
			if told += n; n == 1 && string(last.token) != token {
				t.Fatalf("%s: the Session has %q", token, last.token)
			}
		}
		if told != maxNewTokens {
			t.Errorf("%d tokens were taken", told)
		}
		p.now = p.now.Add(newTokenSpan + time.Second)
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	}
	if p.conn.IsClosed() {
		t.Error(p.conn.Err())
	}
}
