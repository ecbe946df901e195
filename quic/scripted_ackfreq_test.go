package quic

import (
	"bytes"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// draft-ietf-quic-ack-frequency-12. Sections are of that draft unless said.

// ackFrequencyFrame is an ACK_FREQUENCY frame, its delay in microseconds.
func ackFrequencyFrame(seq, threshold, delay, reordering uint64) []byte {
	return frame(wire.FrameAckFrequency, seq, threshold, delay, reordering)
}

const paramMinAckDelay = 0xff04de1b

// wantAck asserts that an acknowledgement of all that was sent has come, or that none has.
func (p *scripted) wantAck(reason string, want bool) {
	p.t.Helper()
	frames := p.take(wire.FrameAck)
	if len(frames) == 0 {
		if want {
			p.t.Errorf("%s: no acknowledgement came", reason)
		}
		return
	}
	if !want {
		p.t.Errorf("%s: an acknowledgement came, want none", reason)
	}
	if a, _, _ := wire.ConsumeAck(frames[len(frames)-1].raw, nil); a.Largest != p.nextPN[2]-1 {
		p.t.Errorf("%s: packet %d is acknowledged, want %d", reason, a.Largest, p.nextPN[2]-1)
	}
}

// pings sends n packets that want an acknowledgement, each in a datagram of its own.
func (p *scripted) pings(n int) {
	p.t.Helper()
	for range n {
		p.sendFrames(protect.OneRTT, frame(wire.FramePing))
	}
}

// quietly has whatever was to be acknowledged acknowledged, and forgets it.
func (p *scripted) quietly() {
	p.t.Helper()
	p.now = p.now.Add(time.Second)
	p.conn.OnTimeout(p.now)
	p.drain()
	p.got = nil
}

// Section 3: min_ack_delay is announced, by servers and clients, in microseconds; and not if the application does without.
func TestMinAckDelayAnnounced(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, c := range []struct {
			min, max time.Duration
			want     []byte // nil: no parameter
		}{
			{0, 0, varint(1000)}, {5 * time.Millisecond, 0, varint(5000)}, {25 * time.Millisecond, 0, varint(25000)},
			{1500 * time.Nanosecond, 0, varint(1)}, {1400 * time.Microsecond, 1400 * time.Microsecond, varint(1000)}, {-1, 0, nil},
		} {
			p := play(t, client, func(p *scripted) { p.cfg.MinAckDelay, p.cfg.MaxAckDelay = c.min, c.max })
			p.handshake()
			var got []byte
			for b := p.peerTP; len(b) > 0; {
				id, n := wire.ConsumeVarint(b)
				size, m := wire.ConsumeVarint(b[n:])
				value := b[n+m : n+m+int(size)]
				if id == paramMinAckDelay {
					got = value
				}
				b = b[n+m+int(size):]
			}
			if !bytes.Equal(got, c.want) {
				t.Errorf("client=%v, MinAckDelay %v: %x is announced, want %x", client, c.min, got, c.want)
			}
		}
	}
}

// Section 4: the threshold is how many packets go without an acknowledgement, and a delay ends the wait.
func TestAckFrequencyHonoured(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client)
		p.handshake()
		p.quietly()
		p.pings(1)
		p.wantAck("one packet", false)
		p.pings(1)
		p.wantAck("every second one is acknowledged before the frame comes", true)
		p.sendFrames(protect.OneRTT, ackFrequencyFrame(0, 5, 7000, 3))
		p.pings(4)
		p.wantAck("five packets, with that of the frame", false)
		p.pings(1)
		p.wantAck("the sixth", true)
		p.pings(5)
		p.wantAck("five packets", false)
		if d := p.advance(); d != 7*time.Millisecond {
			t.Errorf("the acknowledgement came after %v, want the 7 ms of the frame", d)
		}
		p.wantAck("the delay is over", true)

		p.nextPN[2]++ // a gap
		p.pings(2)
		p.wantAck("the reordering threshold is not reached", false)
		p.pings(1)
		p.wantAck("the reordering threshold is reached", true)

		p.sendFrames(protect.OneRTT, ackFrequencyFrame(1, 0, 1000, 1))
		p.wantAck("every packet", true)
		p.pings(1)
		p.wantAck("every packet", true)
	}
}

// A train is a batch: it is acknowledged once if at all (section 6.4, and RFC 9000, section 13.2.2).
func TestAcksOfTrains(t *testing.T) {
	for _, c := range []struct {
		asked   bool // for an acknowledgement of 32 packets
		packets int  // in a train
		want    int  // acknowledgements of 128 packets
	}{
		{false, 64, 2}, {false, 32, 4}, {false, 2, 64}, {false, 1, 64},
		{true, 64, 2}, {true, 32, 4}, {true, 2, 4}, {true, 1, 4},
	} {
		p := newScriptedClient(t)
		p.handshake()
		if c.asked {
			p.sendFrames(protect.OneRTT, ackFrequencyFrame(0, 31, 25_000, 1))
		}
		p.quietly()
		for range 128 / c.packets {
			var train []byte
			size := 0
			for range c.packets {
				datagram := p.encode(oneRTT(frame(wire.FramePing), make([]byte, 10)))
				size = len(datagram)
				train = append(train, datagram...)
			}
			p.conn.Recv(p.now, Train{Buf: train, SegSize: size, Local: p.local, Remote: p.remote})
			p.drain()
		}
		if n := len(p.take(wire.FrameAck)); n != c.want {
			t.Errorf("%+v: %d acknowledgements", c, n)
		}
	}
}

// Section 4: a frame that is not newer than the newest is ignored.
func TestAckFrequencySequence(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.quietly()
	p.sendFrames(protect.OneRTT, ackFrequencyFrame(7, 9, 7000, 3))
	p.sendFrames(protect.OneRTT, ackFrequencyFrame(7, 0, 7000, 3))
	p.sendFrames(protect.OneRTT, ackFrequencyFrame(6, 0, 7000, 3))
	p.wantAck("both others are obsolete", false)
	p.sendFrames(protect.OneRTT, ackFrequencyFrame(8, 0, 7000, 3))
	p.wantAck("a newer one", true)
	p.sendFrames(protect.OneRTT, ackFrequencyFrame(wire.MaxVarint, 9, 7000, 3))
	p.sendFrames(protect.OneRTT, ackFrequencyFrame(9, 0, 7000, 3))
	p.wantAck("nothing is newer", false)
	p.wantIdle("all were legal")
}

// Section 5: IMMEDIATE_ACK asks for an acknowledgement at once, once.
func TestImmediateAck(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client)
		p.handshake()
		p.quietly()
		p.sendFrames(protect.OneRTT, frame(wire.FrameImmediateAck))
		p.wantAck("with no other frame", true)
		p.sendFrames(protect.OneRTT, ackFrequencyFrame(0, 100, 25000, 100))
		p.pings(10)
		p.wantAck("far from due", false)
		p.sendFrames(protect.OneRTT, frame(wire.FrameImmediateAck))
		p.wantAck("at once", true)
		p.pings(10)
		p.wantAck("it is over", false)
	}
}

// What must not be sent, with the exact error of each.
func TestAckFrequencyErrors(t *testing.T) {
	off := func(p *scripted) { p.cfg.MinAckDelay = -1 }
	for _, c := range []struct {
		name   string
		option scriptedOption
		frames [][]byte
		want   TransportErrorCode
	}{
		{"s4: delay of 2^14 ms", nil, [][]byte{ackFrequencyFrame(0, 1, 1<<14*1000, 1)}, ProtocolViolation},
		{"s4: delay of 2^62-1 µs", nil, [][]byte{ackFrequencyFrame(0, 1, wire.MaxVarint, 1)}, ProtocolViolation},
		{"s4: delay below min_ack_delay", nil, [][]byte{ackFrequencyFrame(0, 1, 999, 1)}, ProtocolViolation},
		{"s4: delay below a min_ack_delay that was set", func(p *scripted) { p.cfg.MinAckDelay = 10 * time.Millisecond },
			[][]byte{ackFrequencyFrame(0, 1, 9999, 1)}, ProtocolViolation},
		{"s4: the same in an obsolete frame", nil, [][]byte{ackFrequencyFrame(5, 1, 1000, 1), ackFrequencyFrame(4, 1, 0, 1)},
			ProtocolViolation},
		{"cut short, RFC 9000 s12.4", nil, [][]byte{frame(wire.FrameAckFrequency, 0, 1, 1000)}, FrameEncodingError},
		{"nothing but a type, RFC 9000 s12.4", nil, [][]byte{frame(wire.FrameAckFrequency)}, FrameEncodingError},
		{"a type in four bytes, RFC 9000 s12.4", nil, [][]byte{{0x80, 0, 0, wire.FrameAckFrequency, 0, 1, 0x43, 0xe8, 1}},
			ProtocolViolation},
		{"IMMEDIATE_ACK in two bytes, RFC 9000 s12.4", nil, [][]byte{{0x40, wire.FrameImmediateAck}}, ProtocolViolation},
		{"s3: ACK_FREQUENCY without min_ack_delay", off, [][]byte{ackFrequencyFrame(0, 1, 1000, 1)}, FrameEncodingError},
		{"s3: IMMEDIATE_ACK without min_ack_delay", off, [][]byte{frame(wire.FrameImmediateAck)}, FrameEncodingError},
	} {
		for _, client := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				option := c.option
				if option == nil {
					option = func(*scripted) {}
				}
				p := play(t, client, option)
				p.handshake()
				p.sendFrames(protect.OneRTT, c.frames...)
				p.wantClose(c.name, c.want)
			})
		}
	}
	for _, delay := range []uint64{1000, 1<<14*1000 - 1} {
		p := newScriptedClient(t)
		p.handshake()
		p.sendFrames(protect.OneRTT, ackFrequencyFrame(0, wire.MaxVarint, delay, wire.MaxVarint))
		p.wantIdle("the smallest and the largest delay are legal")
	}
}

// Frames that say nothing new cost a peer that sends them without end its connection.
func TestAckFrequencyFlood(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, ackFrequencyFrame(1, 9, 7000, 3))
	flood := bytes.Repeat(ackFrequencyFrame(0, 9, 7000, 3), 100)
	for range 1 + glitchBurst/100 {
		p.recvFrom(p.remote, p.encode(oneRTT(flood)))
	}
	p.wantClose("obsolete frames without end", ProtocolViolation)
}

// askedFrame is an ACK_FREQUENCY frame that came, and the number of its packet.
type askedFrame struct {
	wire.AckFrequency
	pn int64
}

// asking has conn send to a peer that lets it ask: in a stream whose flow control is no limit.
func asking(options ...scriptedOption) []scriptedOption {
	return append([]scriptedOption{param(paramMinAckDelay, varint(1000)), param(0x04, varint(1<<40)), param(0x05, varint(1<<40)),
		param(0x06, varint(1<<40)), param(0x07, varint(1<<40))}, options...)
}

// fill has conn send all that it may on a stream, and returns the ACK_FREQUENCY frames that came.
func (p *scripted) fill(id uint64) []askedFrame {
	p.t.Helper()
	data := make([]byte, 64<<10)
	for {
		if n, err := p.conn.StreamSend(id, data, false); err != nil || n < len(data) {
			p.must(err)
			break
		}
	}
	p.drain()
	for p.conn.sending.paceAt > 0 {
		p.advance()
	}
	return p.takeAckFrequency()
}

// acknowledge acknowledges all that came, after a round trip.
func (p *scripted) acknowledge(rtt time.Duration) {
	p.t.Helper()
	p.now = p.now.Add(rtt)
	p.got = nil
	p.recvFrom(p.remote, p.encode(oneRTT(p.ackReceived(protect.OneRTT))))
}

// bulk has conn send without a pause for so many round trips, of which each is longer than the one before by a millisecond, as
// queues fill. It returns the ACK_FREQUENCY frames that came.
func (p *scripted) bulk(id uint64, rounds int) (frames []askedFrame) {
	p.t.Helper()
	for i := range rounds {
		frames = append(frames, p.fill(id)...)
		p.acknowledge(time.Duration(20+i) * time.Millisecond)
	}
	return frames
}

func (p *scripted) takeAckFrequency() (frames []askedFrame) {
	for _, f := range p.take(wire.FrameAckFrequency) {
		a, n := wire.ConsumeAckFrequency(f.raw)
		if n != len(f.raw) || f.slot != protect.OneRTT {
			p.t.Errorf("malformed, or at the wrong level: %v", f)
		}
		frames = append(frames, askedFrame{a, f.pn})
	}
	return frames
}

// A sender with a large window asks for few acknowledgements, with ever larger sequence numbers, and not in every packet.
func TestAckFrequencyAsked(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client, asking()...)
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		if frames := p.bulk(id, 2); len(frames) != 0 {
			t.Errorf("client=%v: %+v is asked for with a small window", client, frames)
		}
		frames := p.bulk(id, 20)
		if len(frames) == 0 || len(frames) > 10 {
			t.Fatalf("client=%v: %d frames in 20 round trips", client, len(frames))
		}
		for i, f := range frames {
			if f.Seq != frames[0].Seq+uint64(i) || f.Threshold < 3 || f.Threshold >= mostThinned || f.Reordering != 3 ||
				f.MaxDelay < 1000 || f.MaxDelay > uint64(p.conn.Stats().SmoothedRTT/4/time.Microsecond) {
				t.Errorf("client=%v: frame %d is %+v", client, i, f)
			}
		}
		if last := frames[len(frames)-1].Threshold; last < 30 {
			t.Errorf("client=%v: the last threshold is %d, with a window of %d bytes", client, last, p.conn.Stats().CongestionWindow)
		}
	}
}

// Nothing is asked of a peer that did not announce min_ack_delay, nor by an application that does without.
func TestAckFrequencyNotAsked(t *testing.T) {
	for name, option := range map[string]scriptedOption{
		"the peer did not announce it": param(paramMinAckDelay, nil),
		"the application does without": func(p *scripted) { p.cfg.MinAckDelay = -1 },
	} {
		p := newScriptedServer(t, asking(option)...)
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		if frames := p.bulk(id, 22); len(frames) != 0 {
			t.Errorf("%s: %+v", name, frames)
		}
		p.ignored[wire.FramePing] = true
		p.now = p.now.Add(time.Second)
		p.conn.OnTimeout(p.now)
		p.drain()
		if n := len(p.take(wire.FrameImmediateAck)); n != 0 {
			t.Errorf("%s: %d IMMEDIATE_ACK frames", name, n)
		}
	}
}

// What is asked for keeps to the peer's min_ack_delay and max_ack_delay.
func TestAckFrequencyBounds(t *testing.T) {
	for _, c := range []struct {
		min, max uint64 // microseconds and milliseconds
		want     uint64 // microseconds
	}{{20_000, 25, 20_000}, {0, 1, 1000}, {25_000, 25, 25_000}, {0, 0, 0}} {
		p := newScriptedServer(t, asking(param(paramMinAckDelay, varint(c.min)), param(0x0b, varint(c.max)))...)
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		frames := p.bulk(id, 22)
		if len(frames) == 0 {
			t.Errorf("%+v: nothing was asked for", c)
		}
		for _, f := range frames {
			if f.MaxDelay != c.want {
				t.Errorf("%+v: a delay of %d µs", c, f.MaxDelay)
			}
		}
	}
}

// asked has conn send in bulk until it asks for at least that threshold. That is not acknowledged yet.
func (p *scripted) asked(threshold uint64) (id uint64, f askedFrame) {
	p.t.Helper()
	p.handshake()
	id, err := p.conn.OpenStream()
	p.must(err)
	for range 30 {
		if frames := p.fill(id); len(frames) > 0 && frames[0].Threshold >= threshold {
			return id, frames[0]
		}
		p.acknowledge(30 * time.Millisecond)
	}
	p.t.Fatal("nothing is asked for")
	return 0, f
}

// lost has conn find out that a packet was lost, by an acknowledgement of all others or by its timer.
func (p *scripted) lost(how string, pn int64) {
	p.t.Helper()
	p.received[2].Sub(pn, pn+1)
	if how == "loss" {
		p.acknowledge(30 * time.Millisecond)
		p.drain()
		return
	}
	for range 1000 { // pacing comes first
		if p.advance(); len(p.take(wire.FrameImmediateAck)) > 0 {
			return
		}
	}
	p.t.Fatal("no probe came")
}

// Section 4 and RFC 9000, section 13.3: a frame that was lost is followed by a newer one, and one that arrived by none.
func TestResendAckFrequency(t *testing.T) {
	resend(t, func(t *testing.T, how string) {
		p := newScriptedServer(t, asking()...)
		id, first := p.asked(16) // a loss does not change so much
		p.lost(how, first.pn)
		second := p.takeAckFrequency()
		if len(second) != 1 || second[0].Seq != first.Seq+1 {
			t.Fatalf("after %+v was lost came %+v, want one that is newer", first, second)
		}
		p.acknowledge(30 * time.Millisecond) // the first one is found to be lost now, if not before
		if more := p.fill(id); len(more) > 0 {
			t.Errorf("%+v came, although %+v was acknowledged", more, second)
		}
	})
}

// Section 7: until the frame is acknowledged, PTO reckons with the longest delay that the peer may have heard of; from then on with
// the one that was asked for.
func TestAckFrequencyPTO(t *testing.T) {
	p := newScriptedServer(t, asking()...)
	delay := func() time.Duration {
		rtt := &p.conn.path.rec.RTT
		return p.conn.loss.PTO(p.conn.path.rec) - (rtt.Smoothed + max(4*rtt.Var, time.Millisecond))
	}
	id, f := p.asked(1)
	if f.MaxDelay >= 25_000 || delay() != 25*time.Millisecond {
		t.Fatalf("%v before %+v is acknowledged, want 25 ms", delay(), f)
	}
	p.acknowledge(30 * time.Millisecond)
	if asked := time.Duration(f.MaxDelay) * time.Microsecond; delay() != asked {
		t.Errorf("%v after %+v is acknowledged", delay(), f)
	}
	was := delay()
	for range 30 {
		if frames := p.fill(id); len(frames) > 0 {
			asked := time.Duration(frames[0].MaxDelay) * time.Microsecond
			if asked <= was || delay() != asked {
				t.Errorf("%v while %+v is under way, want the longer of that and %v", delay(), frames[0], was)
			}
			return
		}
		p.acknowledge(80 * time.Millisecond) // which has a longer delay asked for
	}
	t.Error("nothing more was asked for")
}

// Of several frames that are under way, the acknowledgement of the newest alone says what is in force.
func TestAckFrequencySeveralInFlight(t *testing.T) {
	rec := recovery.NewPath(1, &fixedWindow{window: 400 * 1200}, 40*time.Millisecond, 1200)
	a := ackFrequency{peerMax: 25 * time.Millisecond}
	send := func(now int64, srtt time.Duration) {
		t.Helper()
		rec.RTT.Smoothed = srtt
		pkt := newPacket(100)
		if p, ok := a.next(now, &rec, 1200, 3); !ok || !a.append(now, pkt, p) {
			t.Fatal("nothing was asked for")
		}
	}
	send(1e9, 40*time.Millisecond)
	a.wished.tell.onLost(1)
	send(2e9, 80*time.Millisecond)
	a.wished.tell.onLost(2)
	send(3e9, 20*time.Millisecond)
	for seq, want := range []time.Duration{25 * time.Millisecond, 25 * time.Millisecond, 25 * time.Millisecond, 5 * time.Millisecond} {
		if a.wished.onAcked(uint64(seq)); a.wished.maxDelay != want {
			t.Errorf("after the acknowledgement of frame %d: %v, want %v", seq, a.wished.maxDelay, want)
		}
	}
	a.wished.tell.set()
	send(4e9, 200*time.Millisecond)
	if a.wished.maxDelay != 25*time.Millisecond {
		t.Errorf("%v with a frame of 25 ms under way", a.wished.maxDelay)
	}
}

// Section 7: both probes of a PTO ask for an acknowledgement at once, with whatever else is in them.
func TestProbesAskForAcknowledgement(t *testing.T) {
	for _, client := range []bool{false, true} {
		p := play(t, client, asking()...)
		p.handshake()
		id, err := p.conn.OpenStream()
		p.must(err)
		p.conn.StreamSend(id, []byte("hello"), false)
		p.drain()
		p.got = nil
		p.ignored[wire.FramePing] = true
		for range 3 {
			p.advance()
			var packets []int64
			for _, f := range p.take(wire.FrameImmediateAck) {
				packets = append(packets, f.pn)
			}
			if len(packets) != 2 || packets[0] == packets[1] {
				t.Fatalf("client=%v: IMMEDIATE_ACK in packets %v, want it in both probes", client, packets)
			}
			p.wantStream("the data in the probe", id, 0, "hello", false)
			p.wantIdle("nothing else")
		}
	}
}
