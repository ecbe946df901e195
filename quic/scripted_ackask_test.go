package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What conn asks a peer for that knows draft-ietf-quic-ack-frequency-12. Sections are of that draft unless said.

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
