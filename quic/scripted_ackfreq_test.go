package quic

import (
	"bytes"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What a peer may ask conn for by draft-ietf-quic-ack-frequency-12. Sections are of that draft unless said.

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
