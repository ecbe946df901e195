package quic

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Settings that few programs change: what each says to the peer, and does.

// A value out of range is refused by name, and what is on the edge is taken.
func TestSettingsRanges(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(c *Config, v int)
		good []int
		bad  []int
	}{
		"MaxRecvUDPPayload":   {func(c *Config, v int) { c.MaxRecvUDPPayload = v }, []int{0, 1200, 65527}, []int{-1, 1, 1199, 65528}},
		"InitialWindow":       {func(c *Config, v int) { c.InitialWindow = v }, []int{0, 2, 1000}, []int{-1, 1, 1001}},
		"AckDelayExponent":    {func(c *Config, v int) { c.AckDelayExponent = v }, []int{-1, 0, 20}, []int{21}},
		"ActiveConnIDLimit":   {func(c *Config, v int) { c.ActiveConnIDLimit = v }, []int{0, 2, maxConnIDLimit}, []int{-1, 1, maxConnIDLimit + 1}},
		"AmplificationFactor": {func(c *Config, v int) { c.AmplificationFactor = v }, []int{0, 1, 3}, []int{-1, 4}},
		"Pacing":              {func(c *Config, v int) { c.Pacing = Pacing(v) }, []int{0, 1, 2}, []int{3, 255}},
		"MaxPacingRate":       {func(c *Config, v int) { c.MaxPacingRate = uint64(v) }, []int{0, 1, 1 << 62}, []int{-1}},
	} {
		try := func(v int) error {
			cfg := &Config{TLS: &tls.Config{NextProtos: []string{"test"}}}
			c.set(cfg, v)
			_, err := cfg.Resolve()
			return err
		}
		for _, v := range c.good {
			if err := try(v); err != nil {
				t.Errorf("%s %d: %v", name, v, err)
			}
		}
		for _, v := range c.bad {
			if err := try(v); err == nil || !strings.Contains(err.Error(), "Config."+name+" is ") {
				t.Errorf("%s %d: %v", name, v, err)
			}
		}
	}
}

// What is declared in transport parameters, by either role, and what stands for its default.
func TestSettingsDeclared(t *testing.T) {
	set := func(c *Config) { c.MaxRecvUDPPayload, c.AckDelayExponent, c.ActiveConnIDLimit = 1350, 12, 7 }
	p := newPair(t, func(client, server *Config) {
		client.KeepPeerParams, server.KeepPeerParams = true, true
		set(client)
		set(server)
	})
	plain := newPair(t, func(client, server *Config) {
		server.KeepPeerParams = true
		client.AckDelayExponent = -1
	})
	for name, c := range map[string]struct {
		conn                   *Conn
		size, exponent, connID int
	}{
		"client": {p.client, 1350, 12, 7}, "server": {p.server, 1350, 12, 7},
		"to a client by default": {plain.client, 65527, 3, 4}, "exponent 0": {plain.server, 65527, 0, 4},
	} {
		got, ok := c.conn.PeerParams()
		if !ok || got.MaxUDPPayloadSize != uint64(c.size) || int(got.AckDelayExponent) != c.exponent || got.ActiveConnIDLimit != uint64(c.connID) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

// RFC 9000, section 18.2: no larger datagrams are sent to a peer that has announced that it takes no more.
func TestMaxRecvUDPPayloadKept(t *testing.T) {
	p := newPair(t, func(client, server *Config) { server.MaxRecvUDPPayload = 1300 })
	id, err := p.client.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	largest := 0
	for range 400 {
		p.client.StreamSend(id, make([]byte, 1<<14), false)
		if out := p.client.Send(p.now, p.buf); out.N > 0 {
			largest = max(largest, out.SegSize)
			p.deliver(p.server, out)
		}
		p.step()
		p.server.StreamRecv(id, make([]byte, 1<<16))
		p.now = p.now.Add(time.Millisecond)
		p.client.OnTimeout(p.now)
		p.server.OnTimeout(p.now)
	}
	if largest != 1300 {
		t.Errorf("the largest datagram has %d bytes, and should have 1300", largest)
	}
}

// RFC 9000, section 19.3: the ACK Delay field is in units of the exponent that was announced.
func TestAckDelayExponentSet(t *testing.T) {
	p := newScriptedClient(t, func(p *scripted) { p.cfg.AckDelayExponent = 9; p.cfg.MaxAckDelay = 100 * time.Millisecond })
	p.handshake()
	p.pings(2) // which are acknowledged with what came before them
	p.take(wire.FrameAck)
	p.pings(1)
	p.wantAck("a single PING is acknowledged later", false)
	p.advance()
	frames := p.take(wire.FrameAck)
	if len(frames) != 1 {
		t.Fatalf("%d acknowledgements after max_ack_delay, want 1", len(frames))
	}
	f := frames[0]
	a, _, _ := wire.ConsumeAck(f.raw, nil)
	if delay := time.Duration(a.DelayRaw<<9) * time.Microsecond; delay < 99*time.Millisecond || delay > 100*time.Millisecond {
		t.Errorf("ACK Delay %d, which is %v; want 100 ms in units of 512 µs", a.DelayRaw, delay)
	}
}

func TestInitialWindowSet(t *testing.T) {
	for _, c := range []struct{ packets, want int }{{0, 12000}, {2, 2400}, {40, 48000}, {1000, 1_200_000}} {
		for _, algorithm := range []CongestionAlgorithm{CUBIC, NewReno} {
			p := newScriptedServer(t, func(p *scripted) { p.cfg.InitialWindow, p.cfg.Congestion = c.packets, algorithm })
			if got := p.conn.Stats().CongestionWindow; got != uint64(c.want) {
				t.Errorf("InitialWindow %d, algorithm %d: a window of %d bytes, want %d", c.packets, algorithm, got, c.want)
			}
		}
	}
}

// writer is a client with much to send, whose path has a round-trip time.
func newWriter(t *testing.T, set func(c *Config)) (p *scripted, id uint64) {
	const rtt = 100 * time.Millisecond
	p = newScriptedServer(t, param(0x04, varint(1<<30)), param(0x05, varint(1<<30)), param(0x06, varint(1<<30)), func(p *scripted) {
		p.cfg.InitialWindow = 100
		set(p.cfg)
	})
	p.handshake()
	p.conn.path.rec.RTT = recovery.NewRTT(rtt)
	id, err := p.conn.OpenStream()
	p.must(err)
	_, err = p.conn.StreamSend(id, make([]byte, 1000), false)
	p.must(err)
	p.drain()
	p.now = p.now.Add(rtt)
	p.recvFrom(p.remote, p.encode(oneRTT(p.ackReceived(protect.OneRTT)))) // a sample of 100 ms
	_, err = p.conn.StreamSend(id, make([]byte, 1<<18), false)
	p.must(err)
	return p, id
}

// Without pacing a whole window leaves at one instant, and nothing waits for a timer.
func TestPaceOff(t *testing.T) {
	p, _ := newWriter(t, func(c *Config) { c.Pacing, c.MaxPacingRate = PaceOff, 1000 })
	window, before := p.conn.path.rec.CC.Window(), p.bytes
	p.drain()
	if sent := int64(p.bytes - before); sent < window-2*minDatagramSize || sent > window {
		t.Errorf("%d bytes of a window of %d left at once", sent, window)
	}
	if p.conn.sending.paceAt != 0 {
		t.Error("pacing waits")
	}
}

// With PaceAhead a whole window is given out at once, in trains each of which is to leave when pacing would have it leave, none before the one
// before it, and acknowledgements behind them.
func TestPaceAhead(t *testing.T) {
	p, _ := newWriter(t, func(c *Config) { c.Pacing = PaceAhead })
	window := p.conn.path.rec.CC.Window()
	buf := make([]byte, 1<<16)
	sent, last, trains := int64(0), p.now, 0
	for {
		out := p.conn.Send(p.now, buf)
		if out.N == 0 {
			if !out.SendAt.IsZero() {
				t.Errorf("pacing waits until %v", out.SendAt.Sub(p.now))
			}
			break
		}
		sent += int64(out.N)
		at := out.SendAt
		if at.IsZero() {
			at = p.now
		}
		if at.Before(last) || at.Before(p.now) {
			t.Fatalf("train %d leaves %v after the one before", trains, at.Sub(last))
		}
		if trains > 2 && int64(out.N) > p.conn.path.rec.Train()+minDatagramSize {
			t.Errorf("train %d has %d bytes, and pacing allows %d", trains, out.N, p.conn.path.rec.Train())
		}
		last = at
		trains++
	}
	if sent < window-2*minDatagramSize || sent > window {
		t.Errorf("%d bytes of a window of %d were given out", sent, window)
	}
	if spread := last.Sub(p.now); spread < 20*time.Millisecond || spread > 100*time.Millisecond {
		t.Errorf("they are to leave within %v, with a round trip of 100 ms", spread)
	}
	p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing))))
	p.recvFrom(p.remote, p.encode(oneRTT(frame(wire.FramePing))))
	if out := p.conn.Send(p.now, buf); out.N == 0 || out.SendAt.Before(last) {
		t.Errorf("an acknowledgement of %d bytes is to leave %v before what was sent before it", out.N, last.Sub(out.SendAt))
	}
}

// MaxPacingRate holds whatever the window would allow, from the second burst on.
func TestMaxPacingRate(t *testing.T) {
	const rate = 100_000
	p, id := newWriter(t, func(c *Config) { c.MaxPacingRate = rate })
	start, before := p.now, p.bytes
	for p.now.Before(start.Add(2 * time.Second)) {
		p.drain()
		at, ok := p.conn.Timeout()
		if !ok {
			t.Fatal("nothing is to come")
		}
		p.now = at
		p.conn.OnTimeout(p.now)
		p.recvFrom(p.remote, p.encode(oneRTT(p.ackReceived(protect.OneRTT))))
		p.conn.StreamSend(id, make([]byte, 1<<14), false)
	}
	sent, span := float64(p.bytes-before), p.now.Sub(start).Seconds()
	if most := rate*span + 2*14720; sent > most || sent < 0.8*rate*span {
		t.Errorf("%.0f bytes in %.2f s, want %d a second", sent, span, rate)
	}
}

// A smaller factor bounds a server as the one of RFC 9000, section 8.1, does, and the handshake still comes to its end.
func TestAmplificationFactor(t *testing.T) {
	for factor := 1; factor <= 3; factor++ {
		p := newScriptedClient(t, longChain, func(p *scripted) { p.cfg.AmplificationFactor = factor })
		p.sendTLS()
		if p.bytes > factor*1200 || p.bytes <= (factor-1)*1200 {
			t.Errorf("factor %d: the server sent %d bytes for 1200", factor, p.bytes)
		}
	}
	p := newPair(t, func(client, server *Config) { server.AmplificationFactor = 1 })
	if !p.server.IsEstablished() {
		t.Error("there was no handshake")
	}
}

// A peer may give as many connection IDs as the limit says, and no more (RFC 9000, section 5.1.1).
func TestActiveConnIDLimit(t *testing.T) {
	for _, limit := range []int{2, 4, maxConnIDLimit} {
		p := newScriptedClient(t, func(p *scripted) { p.cfg.ActiveConnIDLimit = limit })
		p.handshake()
		for seq := 1; seq <= limit; seq++ {
			if p.conn.IsClosed() {
				t.Fatalf("limit %d: closed after %d: %v", limit, seq, p.conn.Err())
			}
			p.sendFrames(protect.OneRTT, newConnectionIDFrame(uint64(seq), 0, string(rune('a'+seq))+"-peerid", [16]byte{byte(seq)}))
		}
		p.wantClose("one connection ID too many", ConnectionIDLimitError)
	}
}

// A client behind a NAT that gives it another port goes on to send to the same connection ID. That is told, and the server answers to the same
// one, unless that is not wanted (RFC 9000, section 9.5).
func TestConnIDReuse(t *testing.T) {
	for _, disabled := range []bool{false, true} {
		p := newMobile(t, func(p *scripted) { p.cfg.DisableConnIDReuse = disabled })
		p.events = nil
		before := p.conn.DestinationID()
		from := p.port(7)
		p.sendFrom(from, "conn-cid", frame(wire.FramePing))
		if p.conn.RemoteAddr() != from {
			t.Fatalf("the server is at %v", p.conn.RemoteAddr())
		}
		if same := p.conn.DestinationID() == before; same == disabled {
			t.Errorf("reuse disabled %v: the connection ID is the same: %v", disabled, same)
		}
		var told []PathEvent
		for _, ev := range p.events {
			if ev.Kind == EventPath && ev.Path.Kind == PathReused {
				told = append(told, *ev.Path)
			}
		}
		want := PathEvent{Kind: PathReused, Local: p.local, Remote: from, OtherLocal: p.local, OtherRemote: p.remote}
		if len(told) != 1 || told[0] != want {
			t.Errorf("told %+v, want %+v", told, want)
		}
	}
	p := newMobile(t)
	p.events = nil
	p.sendFrom(p.port(8), string(p.conn.local.ids[1].id.Bytes()), frame(wire.FramePing))
	for _, ev := range p.events {
		if ev.Kind == EventPath && ev.Path.Kind == PathReused {
			t.Errorf("told of a connection ID of its own: %+v", *ev.Path)
		}
	}
}

// SetMaxIdleTimeout changes what a connection of either role tells its peer and keeps to itself, as long as nothing came or left.
func TestSetMaxIdleTimeout(t *testing.T) {
	p := newPair(t, nil)
	if err := p.client.SetMaxIdleTimeout(time.Second); err == nil {
		t.Error("a connection that is established takes another idle timeout")
	}
	public := &Config{TLS: &tls.Config{NextProtos: []string{"test"}, InsecureSkipVerify: true}}
	c, err := Connect(p.now, public, ConnectParams{Local: p.client.LocalAddr(), Remote: p.client.RemoteAddr()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if err := c.SetMaxIdleTimeout(1500 * time.Microsecond); err != nil {
		t.Fatal(err)
	}
	if public.MaxIdleTimeout != 0 || c.cfg.MaxIdleTimeout != 2*time.Millisecond || c.idle.timeout != int64(2*time.Millisecond) {
		t.Errorf("the shared config has %v, the connection's %v and %v", public.MaxIdleTimeout, c.cfg.MaxIdleTimeout, c.idle.timeout)
	}
	server := *p.server.cfg
	server.KeepPeerParams = true
	s, err := Accept(p.now, &server, AcceptParams{SrcConnID: ConnID{}, AddressValidated: true, Local: p.client.RemoteAddr(), Remote: p.client.LocalAddr()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if err := s.SetMaxIdleTimeout(7 * time.Second); err != nil {
		t.Fatal(err)
	}
	own := &pair{t: t, now: p.now, client: c, server: s, buf: p.buf}
	own.run(func() bool { return c.IsEstablished() && s.IsEstablished() })
	atServer, _ := s.PeerParams()
	atClient, _ := c.PeerParams()
	if atServer.MaxIdleTimeout != 2*time.Millisecond || atClient.MaxIdleTimeout != 7*time.Second {
		t.Errorf("the server was told %v, and the client %v", atServer.MaxIdleTimeout, atClient.MaxIdleTimeout)
	}
}
