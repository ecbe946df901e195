package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// RFC 9002, section 7.7: what the window allows is spread over the round trip, with either controller. No more leaves at one instant
// than a burst of ten datagrams, and a whole window takes a good part of the round trip.
func TestPacing(t *testing.T) {
	const rtt = 100 * time.Millisecond
	for _, algorithm := range []CongestionAlgorithm{CUBIC, NewReno} {
		p := newScriptedServer(t, param(0x04, varint(1<<30)), param(0x05, varint(1<<30)), param(0x06, varint(1<<30)),
			func(p *scripted) { p.cfg.Congestion = algorithm })
		p.handshake()
		p.conn.path.rec.RTT = recovery.NewRTT(rtt) // that of the handshake was none
		id, err := p.conn.OpenStream()
		p.must(err)
		for round := 0; ; round++ {
			if round > 0 {
				p.recvFrom(p.remote, p.encode(oneRTT(p.ackReceived(protect.OneRTT))))
			}
			start, window := p.now, int(p.conn.path.rec.CC.Window())
			sent, spread := 0, time.Duration(0)
			for p.now.Before(start.Add(rtt)) {
				if _, err := p.conn.StreamSend(id, make([]byte, 1<<16), false); err != nil {
					t.Fatal(err)
				}
				before := p.bytes
				p.drain()
				if n := p.bytes - before; n > 0 {
					sent, spread = sent+n, p.now.Sub(start)
					if round > 0 && n > 11*minDatagramSize {
						t.Fatalf("algorithm %d, round %d: %d bytes at one instant, window %d", algorithm, round, n, window)
					}
				}
				at, ok := p.conn.Timeout()
				if end := start.Add(rtt); !ok || at.After(end) {
					at = end
				}
				p.now = at
				p.conn.OnTimeout(p.now)
			}
			if round > 0 && sent > window { // in the first round the round-trip time is not known
				t.Fatalf("algorithm %d, round %d: %d bytes for a window of %d", algorithm, round, sent, window)
			}
			if window > 60*minDatagramSize {
				if spread < rtt/4 || sent < window-2*minDatagramSize {
					t.Errorf("algorithm %d: %d bytes of a window of %d within %v", algorithm, sent, window, spread)
				}
				break
			}
			if round > 20 {
				t.Fatalf("the window is still %d", window)
			}
		}
	}
}

// RFC 9002, section 7.8: a window that the application, or the peer's flow control, does not use up does not grow.
func TestWindowUnused(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes int // written each round
		limit uint64
		grows bool
	}{
		{"the application sends little", 3000, 1 << 30, false},
		{"flow control allows little", 1 << 16, 3000, false},
		{"all is used", 1 << 16, 1 << 30, true},
	} {
		p := newScriptedServer(t, param(0x04, varint(1<<30)), param(0x05, varint(c.limit)), param(0x06, varint(c.limit)))
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		window := p.conn.path.rec.CC.Window()
		for round := range uint64(20) {
			if _, err := p.conn.StreamSend(id, make([]byte, c.bytes), false); err != nil {
				t.Fatal(err)
			}
			p.drain()
			p.now = p.now.Add(50 * time.Millisecond)
			p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT), frame(wire.FrameMaxStreamData, id, (round+2)*c.limit))
			p.got = nil
		}
		if got := p.conn.path.rec.CC.Window(); (got > window) != c.grows {
			t.Errorf("%s: the window is %d, was %d", c.name, got, window)
		}
	}
}

// C5: a peer that acknowledges nothing holds what the initial window allows, and a probe now and then, further and further apart.
func TestAttackC5AckWithheld(t *testing.T) {
	p := newScriptedServer(t, param(0x04, varint(1<<30)), param(0x05, varint(1<<30)), param(0x06, varint(1<<30)))
	p.handshake()
	id, err := p.conn.OpenStream()
	p.must(err)
	if _, err := p.conn.StreamSend(id, make([]byte, 1<<20), true); err != nil {
		t.Fatal(err)
	}
	window := p.conn.path.rec.CC.Window()
	before := p.bytes
	p.drain()
	for range 200 { // the peer goes on sending, so that the connection does not become idle
		p.now = p.now.Add(time.Second)
		p.conn.OnTimeout(p.now)
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
		if n := p.conn.path.rec.InFlight; n > window+2*int64(p.conn.loss.Stats.PTOs)*minDatagramSize {
			t.Fatalf("%d bytes in flight after %d timeouts, of a window of %d", n, p.conn.loss.Stats.PTOs, window)
		}
	}
	if n := p.conn.loss.Stats.PTOs; n == 0 || n > 20 {
		t.Errorf("%d probe timeouts in 200 s", n)
	}
	if n := int64(p.bytes - before); n > 3*window+200*100 {
		t.Errorf("%d bytes sent for a window of %d", n, window)
	}
	// Silence ends it.
	for !p.conn.IsDrained() {
		p.advance()
	}
}

// C1 and C2: who acknowledges what he has not got, or what was never sent, is found out: by numbers left out on purpose, within two
// and a half windows, before his window is larger than an honest one.
func TestAttackC1OptimisticAcks(t *testing.T) {
	p := newScriptedServer(t, param(0x04, varint(1<<30)), param(0x05, varint(1<<30)), param(0x06, varint(1<<30)))
	p.handshake()
	id, err := p.conn.OpenStream()
	p.must(err)
	packets := uint64(0)
	buf := make([]byte, 1<<16)
	start := p.conn.Stats().PacketsSent
	for !p.conn.IsClosed() {
		if _, err := p.conn.StreamSend(id, make([]byte, 1<<16), false); err != nil {
			t.Fatal(err)
		}
		for p.conn.Send(p.now, buf).N > 0 { // the attacker does not even look
		}
		packets = p.conn.Stats().PacketsSent - start
		if packets > 1000 {
			t.Fatalf("%d packets were acknowledged unseen", packets)
		}
		p.now = p.now.Add(10 * time.Millisecond)
		largest := p.conn.loss.NextPN(2) - 1
		p.recvFrom(p.remote, p.encode(oneRTT(ackFrame(largest))))
	}
	p.keys, p.got = nil, nil
	if err, ok := p.conn.Err().(*TransportError); !ok || err.Code != ProtocolViolation {
		t.Errorf("Err is %v, want PROTOCOL_VIOLATION", p.conn.Err())
	}
	t.Logf("found out after %d packets", packets)
}

// C9: delays and exponents at their largest overflow nothing, and the round-trip time is what it is.
func TestAttackC9AckDelay(t *testing.T) {
	for _, delay := range []uint64{0, 1 << 20, 1 << 41, 1 << 42, 1 << 43, wire.MaxVarint} {
		p := newScriptedClient(t, param(0x0a, varint(20)), param(0x0b, varint(1<<14-1)), param(0x01, varint(wire.MaxVarint)))
		p.handshake()
		for range 10 {
			p.conn.Ping()
			p.drain()
			p.now = p.now.Add(30 * time.Millisecond)
			p.sendFrames(protect.OneRTT, frame(wire.FrameAck, uint64(p.largest[2]), delay, 0, 0))
		}
		s := p.conn.Stats()
		if p.conn.IsClosed() || s.SmoothedRTT < s.MinRTT || s.SmoothedRTT > 31*time.Millisecond || s.LatestRTT != 30*time.Millisecond {
			t.Errorf("delay %d: round-trip time %v, at least %v, latest %v; Err %v", delay, s.SmoothedRTT, s.MinRTT, s.LatestRTT,
				p.conn.Err())
		}
		if at, ok := p.conn.Timeout(); !ok || at.Before(p.now) || at.After(p.now.Add(24*time.Hour)) {
			t.Errorf("delay %d: the timer is at %v", delay, at)
		}
	}
}

// C10: ECN counts that lie switch ECN off, and nothing else; all marked CE is congestion (RFC 9000, section 13.4.2).
func TestAttackC10ECNLies(t *testing.T) {
	for _, c := range []struct {
		name                string
		ect0, ect1, ce      int // in the second acknowledgement, beyond the first, of 10 packets
		capable, congestion bool
	}{
		{"honest", 10, 0, 0, true, false},
		{"a count falls", -5, 0, 15, false, false},
		{"fewer than were marked", 5, 0, 0, false, false},
		{"more than were sent", 200, 0, 0, false, false},
		{"ECT(1), which was never sent", 0, 10, 0, false, false},
		{"all CE", 0, 0, 10, true, true},
	} {
		p := newScriptedClient(t)
		p.handshake()
		p.conn.path.rec.ECN = recovery.ECN{} // the peer has not counted during the handshake
		p.marked = 0
		ack := func(ect0, ect1, ce int) []byte {
			b := p.ackReceived(protect.OneRTT)
			b[0] = wire.FrameAckECN
			return append(b, frame(uint64(ect0), uint64(ect1), uint64(ce))...)
		}
		round := func() (marked int) {
			for range 10 {
				p.conn.Ping()
				p.drain()
			}
			p.now = p.now.Add(10 * time.Millisecond)
			return p.marked
		}
		first := round()
		p.sendFrames(protect.OneRTT, ack(first, 0, 0))
		second := round()
		if second-first != 10 || !p.conn.Stats().ECNCapable {
			t.Fatalf("%d packets were marked, ECN capable: %v", second-first, p.conn.Stats().ECNCapable)
		}
		window := p.conn.path.rec.CC.Window()
		p.sendFrames(protect.OneRTT, ack(first+c.ect0, c.ect1, c.ce))
		if got := p.conn.Stats().ECNCapable; got != c.capable || p.conn.IsClosed() {
			t.Errorf("%s: ECN capable: %v, Err %v", c.name, got, p.conn.Err())
		}
		if got := p.conn.path.rec.CC.Window() < window; got != c.congestion {
			t.Errorf("%s: the window is %d, was %d", c.name, p.conn.path.rec.CC.Window(), window)
		}
		p.got = nil
		before := p.marked
		p.conn.Ping()
		p.drain()
		if got := p.marked > before; got != c.capable {
			t.Errorf("%s: the next packet is marked: %v", c.name, got)
		}
	}
}
