package recovery

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// RFC 9002, section 6.1.1: three later packets acknowledged.
func TestPacketThreshold(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(10)
	r.at(100).ack(AppSpace, 2)
	r.wantLost()
	r.ack(AppSpace, 3)
	r.wantLost(0)
	r.wantCC("congestion 10000")
	r.ack(AppSpace, 6)
	r.wantLost(1)
	r.ack(AppSpace, 9)
	r.wantLost(4, 5) // but not 7 and 8
	r.wantAcked(2, 3, 6, 9)
	r.wantInFlight(2, "7 and 8 are left")
	if r.l.Stats.Lost != 4 || r.l.Stats.Spurious != 0 {
		t.Errorf("%+v", r.l.Stats)
	}
}

// RFC 9002, section 6.1.2: 9/8 of the larger of the last and the smoothed RTT, at least a millisecond.
func TestTimeThreshold(t *testing.T) {
	t.Run("the sample", func(t *testing.T) {
		r := newRig(t, nil)
		r.sendMany(2)
		r.at(101).ack(AppSpace, 1) // RTT 100
		r.wantLost()
		r.wantTimer(112.5, "packet 0, sent at 0")
		r.at(112.4999).l.OnTimeout(r.now, &r.path, r)
		r.wantLost()
		if probes, _ := r.timeout(); probes != 0 {
			t.Errorf("%d probes for a packet that was overtaken", probes)
		}
		r.wantLost(0)
		r.wantCC("congestion 10000")
		r.wantTimer(0, "nothing is in flight")
	})
	t.Run("the last RTT is larger than the smoothed one", func(t *testing.T) {
		r := newRig(t, nil)
		r.path.RTT.update(50*time.Millisecond, 0)
		r.sendMany(2)
		r.at(201).ack(AppSpace, 1)
		r.wantTimer(225, "9/8 of 200 ms")
	})
	t.Run("the smoothed RTT is larger than the last one", func(t *testing.T) {
		r := newRig(t, nil)
		r.path.RTT.update(400*time.Millisecond, 0)
		r.sendMany(2)
		r.at(201).ack(AppSpace, 1) // smoothed: 375
		r.wantTimer(421.875, "9/8 of 375 ms")
	})
	t.Run("a millisecond at least", func(t *testing.T) {
		r := newRig(t, nil)
		r.send(AppSpace, eliciting)
		r.send(AppSpace, eliciting)
		r.at(0.01).ack(AppSpace, 1)
		r.wantTimer(1, "the timer granularity")
	})
	t.Run("an acknowledgement finds what is too old", func(t *testing.T) {
		r := newRig(t, nil)
		r.send(AppSpace, eliciting)
		r.at(50).send(AppSpace, eliciting)
		r.at(150).ack(AppSpace, 1)
		r.wantLost(0)
	})
	t.Run("one after the other", func(t *testing.T) {
		r := newRig(t, nil)
		r.send(AppSpace, eliciting)
		r.at(5).send(AppSpace, eliciting)
		r.at(6).send(AppSpace, eliciting)
		r.at(106).ack(AppSpace, 2)
		r.wantTimer(112.5, "packet 0")
		r.timeout()
		r.wantLost(0)
		r.wantTimer(117.5, "packet 1")
		r.timeout()
		r.wantLost(1)
	})
	t.Run("what comes in time is not lost", func(t *testing.T) {
		r := newRig(t, nil)
		r.sendMany(2)
		r.at(101).ack(AppSpace, 1)
		r.at(110).ack(AppSpace, 0)
		r.wantTimer(0, "nothing is in flight")
		r.wantLost()
		r.wantCC()
	})
}

// Packets that only acknowledge are neither lost nor in flight, and are no reason to take others for lost.
func TestAckOnlyPackets(t *testing.T) {
	r := newRig(t, nil)
	for range 5 {
		r.send(AppSpace, ackOnly)
	}
	r.wantInFlight(0, "only acknowledgements")
	if r.l.spaces[AppSpace].eliciting > 0 {
		t.Error("something that elicits an acknowledgement is in flight")
	}
	r.wantTimer(0, "only acknowledgements")
	r.sendMany(1)
	if r.l.spaces[AppSpace].eliciting == 0 {
		t.Error("nothing that elicits an acknowledgement is in flight")
	}
	r.at(100).ack(AppSpace, 5)
	r.wantLost()
	r.wantCC()
	r.wantAcked(5)
	padded := SentPacket{Size: datagram, InFlight: true} // PADDING counts, and elicits nothing
	r.send(AppSpace, padded)
	r.wantInFlight(1, "padding")
	r.wantTimer(0, "padding")
	r.sendMany(3)
	r.at(300).ack(AppSpace, 9)
	r.wantLost(6)
	r.wantInFlight(2, "7 and 8 are left")
}

// A path MTU probe that is lost says nothing about congestion (RFC 9000, section 14.4).
func TestProbeLost(t *testing.T) {
	r := newRig(t, nil)
	mtu := eliciting
	mtu.Probe = true
	r.send(AppSpace, mtu)
	r.sendMany(3)
	r.at(100).ack(AppSpace, 3)
	r.wantLost(0)
	r.wantCC()
	r.wantInFlight(2, "1 and 2 are left")
}

// A probe carries the oldest of what is to be sent again (RFC 9002, section 6.2.4), however many packets before it carry nothing of the kind.
func TestProbeCarriesData(t *testing.T) {
	r := newRig(t, nil)
	for range 5 { // PING, or a challenge of a path, with an acknowledgement as often as not
		r.l.onPacketSent(r.now, AppSpace, eliciting, nil, &r.path)
		r.l.onPacketSent(r.now, AppSpace, eliciting, []Frame{{Type: wire.FrameAck}}, &r.path)
	}
	r.sendMany(3)
	for range 3 {
		r.lost = nil
		r.timeout()
		if got := slices.DeleteFunc(r.lost, func(id uint64) bool { return id == 0 }); !slices.Equal(got, []uint64{10, 11}) {
			t.Errorf("what was sent in packets %d is to be sent again, want that of 10 and 11", got)
		}
		r.l.onPacketSent(r.now, AppSpace, eliciting, nil, &r.path) // a probe that found no room for it
	}
}

// The PTO doubles with each timeout (RFC 9002, section 6.2.1), ten times at most, and stays then however many pass.
func TestBackoff(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(1)
	for i := range 300 {
		before := r.now
		if probes, _ := r.timeout(); probes != 2 || r.l.Timeouts() != min(i+1, 255) {
			t.Fatalf("timeout %d asks for %d packets, and is taken for number %d", i+1, probes, r.l.Timeouts())
		}
		if got, want := r.now-before, int64(r.l.PTO(&r.path))<<min(i, 10); got != want {
			t.Fatalf("timeout %d came after %v, not %v", i+1, time.Duration(got), time.Duration(want))
		}
		r.sendMany(1)
	}
	if r.l.Stats.PTOs != 300 {
		t.Errorf("%d timeouts are counted, not 300", r.l.Stats.PTOs)
	}
}

// What was sent on another path is acknowledged and lost, and says nothing of this one (RFC 9000, section 9.4).
func TestOtherPath(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(6)
	r.move()
	r.sendMany(1)
	r.wantInFlight(1, "on the new path")
	r.at(100).ack(AppSpace, 1, 5)
	r.wantLost(0, 2)
	r.wantAcked(5, 1) // the newest range first
	r.wantInFlight(1, "on the new path still")
	r.ack(AppSpace, 0, 2)
	r.wantCC()
	if len(r.cc.acks) != 0 {
		t.Errorf("the controller of the new path was told of %+v", r.cc.acks)
	}
	if r.path.RTT.HasSample() {
		t.Errorf("RTT %v", r.path.RTT.Latest)
	}
	r.ack(AppSpace, 6)
	r.wantInFlight(0, "everything is acknowledged")
	if len(r.cc.acks) != 1 || r.cc.acks[0].Bytes != datagram {
		t.Errorf("the controller was told of %+v, want one packet", r.cc.acks)
	}
}

// Every loss is one reaction, told by the newest packet, for the controller to judge whether it is of the same round.
func TestCongestionOnce(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(20)
	r.at(100).ack(AppSpace, 9)
	r.wantLost(0, 1, 2, 3, 4, 5, 6)
	r.wantCC("congestion 10006")
	r.ack(AppSpace, 10, 19)
	r.wantLost(7, 8, 11, 12, 13, 14, 15, 16)
	r.wantCC("congestion 10016")
}

// What the controller learns from an acknowledgement.
func TestAckToController(t *testing.T) {
	r := newRig(t, nil)
	r.cc.window = 10 * datagram
	r.sendMany(10)
	r.at(100).ack(AppSpace, 0, 1, 2)
	got := r.cc.acks[0]
	want := congestion.Ack{Bytes: 3 * datagram, InFlight: 7 * datagram, OldestSent: 10_000 * ms, NewestSent: 10_002 * ms,
		NewestPN: 2, LargestPN: 9, LatestRTT: 98 * time.Millisecond, MinRTT: 98 * time.Millisecond, SRTT: 98 * time.Millisecond}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	r.at(110).ack(AppSpace, 0, 1, 2) // nothing new
	if len(r.cc.acks) != 1 {
		t.Errorf("the controller was told of %+v", r.cc.acks[1:])
	}
	r.ack(AppSpace, 8) // 3, 4 and 5 are lost first
	if got := r.cc.acks[1]; got.Bytes != datagram || got.InFlight != 3*datagram || got.LatestRTT != 102*time.Millisecond {
		t.Errorf("got %+v", got)
	}
	r.ack(AppSpace, 7)
	if got := r.cc.acks[2]; got.Bytes != datagram || got.LatestRTT != 0 || got.MinRTT != 98*time.Millisecond {
		t.Errorf("no sample: got %+v", got)
	}
	r.ack(AppSpace, 3)
	if len(r.cc.acks) != 3 {
		t.Errorf("of what had been given up the controller was told %+v", r.cc.acks[3:])
	}
}

// The application limits only while the window was not used up (RFC 9002, section 7.8).
func TestAppLimited(t *testing.T) {
	for _, c := range []struct {
		name    string
		limited bool
		slow    bool
		window  int64 // packets
		sent    int
		want    bool
	}{
		{"nothing held back", false, false, 100, 51, false},
		{"nothing held back, and half the window", false, false, 100, 50, true},
		{"nothing held back, slow start, and half the window", false, true, 100, 50, true},
		{"little in flight", true, false, 100, 10, true},
		{"as much as the window", true, false, 100, 100, false},
		{"three datagrams less", true, false, 100, 97, false},
		{"four datagrams less", true, false, 100, 96, true},
		{"slow start, more than half", true, true, 100, 51, false},
		{"slow start, half", true, true, 100, 50, true},
	} {
		r := newRig(t, nil)
		r.cc.window, r.cc.slow = c.window*datagram, c.slow
		for range c.sent {
			r.send(AppSpace, eliciting)
		}
		r.path.SetAppLimited(c.limited)
		if want := (c.window - int64(c.sent)) * datagram; r.path.Available() != want {
			t.Errorf("%s: %d bytes of the window are left, want %d", c.name, r.path.Available(), want)
		}
		r.at(100).ack(AppSpace, int64(c.sent-1))
		if got := r.cc.acks[0].AppLimited; got != c.want {
			t.Errorf("%s: limited %v", c.name, got)
		}
	}
}

// An acknowledgement of what was not sent, or was left out on purpose, is an error (RFC 9000, sections 13.1 and 21.4).
func TestAckOfUnsent(t *testing.T) {
	for _, c := range []struct {
		name string
		pns  []int64
		want error
	}{
		{"the last packet", []int64{7}, nil},
		{"the next number", []int64{8}, ErrUnsent},
		{"the next number and the last", []int64{7, 8}, ErrUnsent},
		{"the largest number there is", []int64{wire.MaxPacketNumber}, ErrUnsent},
		{"around what was skipped", []int64{4, 6}, nil},
		{"what was skipped", []int64{5}, ErrSkipped},
		{"over what was skipped", []int64{4, 5, 6}, ErrSkipped},
		{"what was skipped, beside others", []int64{0, 1, 2, 5, 7}, ErrSkipped},
	} {
		r := skipper(t)
		err := r.l.OnAck(r.now, AppSpace, ackRanges(c.pns...), 0, nil, &r.path, r)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	r := newRig(t, nil)
	if err := r.l.OnAck(r.now, HandshakeSpace, ackRanges(0), 0, nil, &r.path, r); !errors.Is(err, ErrUnsent) {
		t.Errorf("packet 0 of a space in which none was sent: %v", err)
	}
}

// skipper has sent packets 0 to 7 but for 5.
func skipper(t *testing.T) *rig {
	r := newRig(t, nil)
	r.l.Skip(r.now, &r.path, 0) // plans the first
	r.l.spaces[AppSpace].skipAt = 5
	for range 8 {
		if r.l.SkipDue() {
			r.l.Skip(r.now, &r.path, 0)
			continue
		}
		r.send(AppSpace, eliciting)
	}
	r.now += 100 * ms
	return r
}

// Who acknowledges packet by packet is found out just the same: a number is remembered until it has been overtaken.
func TestAckOfSkippedOneByOne(t *testing.T) {
	r := skipper(t)
	for pn := range int64(5) {
		r.ack(AppSpace, pn)
	}
	if err := r.l.OnAck(r.now, AppSpace, ackRanges(5), 0, nil, &r.path, r); !errors.Is(err, ErrSkipped) {
		t.Errorf("%v, want ErrSkipped", err)
	}
	r = skipper(t)
	r.ack(AppSpace, 0, 1, 2, 3, 4)
	if err := r.l.OnAck(r.now, AppSpace, ackRanges(0, 1, 2, 3, 4, 5, 6), 0, nil, &r.path, r); !errors.Is(err, ErrSkipped) {
		t.Errorf("%v, want ErrSkipped", err)
	}
	r = skipper(t)
	r.ack(AppSpace, 0, 1, 2, 3, 4)
	r.ack(AppSpace, 0, 1, 2, 3, 4, 6)
	r.ack(AppSpace, 0, 1, 2, 3, 4, 6, 7)
	r.wantLost()
	r.wantInFlight(0, "everything is acknowledged")
	if n := r.l.spaces[AppSpace].packets.len(); n != 0 {
		t.Errorf("%d packets are remembered, want none", n)
	}
}

// Numbers are left out only after the handshake is confirmed, and about once in a window of packets.
func TestSkipPlan(t *testing.T) {
	r := newRig(t, func(l *Loss) { l.Init(false) })
	if r.l.SkipDue() {
		t.Error("a number is to be skipped before the handshake is confirmed")
	}
	r.l.SetHandshakeConfirmed()
	r.cc.window = 200 * datagram
	for _, random := range []uint64{0, 1, 399, 400, 1<<64 - 1} {
		if !r.l.SkipDue() {
			t.Fatal("no number is to be skipped, where one is due")
		}
		r.l.Skip(r.now, &r.path, random)
		for n := int64(0); ; n++ {
			if r.l.SkipDue() {
				if want := 100 + int64(random%400); n != want {
					t.Errorf("random %d: the next one is skipped after %d packets, want %d", random, n, want)
				}
				break
			}
			r.send(AppSpace, eliciting)
		}
	}
	if next := r.l.NextPN(AppSpace); next != 100+101+499+100+100+int64((1<<64-1)%400)+4 {
		t.Errorf("next packet number %d", next)
	}
}

// A packet of many frames tells all of them; one of none tells none.
func TestFramesOfPacket(t *testing.T) {
	r := newRig(t, nil)
	frames := make([]Frame, 64)
	for i := range frames {
		frames[i] = Frame{Type: wire.FrameStream, ID: uint64(1000 + i)}
	}
	r.l.onPacketSent(r.now, AppSpace, eliciting, frames, &r.path)
	r.l.onPacketSent(r.now, AppSpace, eliciting, nil, &r.path)
	r.l.onPacketSent(r.now, AppSpace, eliciting, frames[:2], &r.path)
	frames[0].ID = 5 // what was noted does not change with it
	r.at(100).ack(AppSpace, 1)
	r.wantAcked()
	r.ack(AppSpace, 2)
	r.wantAcked(1000, 1001)
	r.ack(AppSpace, 0)
	var all []uint64
	for i := range uint64(64) {
		all = append(all, 1000+i)
	}
	r.wantAcked(all...)
}

// frameLog is a Handler that keeps what it is told as it is told.
type frameLog struct{ acked, lost []Frame }

func (h *frameLog) OnFrameAcked(_ Space, f Frame) { h.acked = append(h.acked, f) }

func (h *frameLog) OnFrameLost(_ Space, f Frame) bool {
	h.lost = append(h.lost, f)
	return true
}

// Frames whose data follow each other are told of in one, and no others.
func TestFramesPutTogether(t *testing.T) {
	stream := func(id, off uint64, n uint32, flags uint8) Frame {
		return Frame{Type: wire.FrameStream, ID: id, Off: off, Len: n, Flags: flags}
	}
	ack := func(largest uint64) Frame { return Frame{Type: wire.FrameAck, Off: largest} }
	for _, c := range []struct {
		name    string
		packets [][]Frame
		acked   []int64
		want    []Frame
	}{
		{"three packets of one stream", [][]Frame{{stream(4, 0, 100, 0)}, {stream(4, 100, 50, 0)}, {stream(4, 150, 1, 0)}},
			[]int64{0, 1, 2}, []Frame{stream(4, 0, 151, 0)}},
		{"with an end", [][]Frame{{stream(4, 7, 100, 0)}, {stream(4, 107, 50, FlagFin)}}, []int64{0, 1},
			[]Frame{stream(4, 7, 150, FlagFin)}},
		{"with a bare end", [][]Frame{{stream(4, 7, 100, 0)}, {stream(4, 107, 0, FlagFin)}}, []int64{0, 1},
			[]Frame{stream(4, 7, 100, FlagFin)}},
		{"a packet is missing", [][]Frame{{stream(4, 0, 100, 0)}, {stream(4, 100, 50, 0)}, {stream(4, 150, 1, 0)}},
			[]int64{0, 2}, []Frame{stream(4, 150, 1, 0), stream(4, 0, 100, 0)}},
		{"two streams", [][]Frame{{stream(4, 0, 100, 0), stream(8, 100, 50, 0)}, {stream(8, 150, 1, 0)}}, []int64{0, 1},
			[]Frame{stream(4, 0, 100, 0), stream(8, 100, 51, 0)}},
		{"out of order", [][]Frame{{stream(4, 100, 100, 0)}, {stream(4, 0, 100, 0)}}, []int64{0, 1},
			[]Frame{stream(4, 100, 100, 0), stream(4, 0, 100, 0)}},
		{"sent twice", [][]Frame{{stream(4, 0, 100, 0)}, {stream(4, 0, 100, 0)}}, []int64{0, 1},
			[]Frame{stream(4, 0, 100, 0), stream(4, 0, 100, 0)}},
		{"a crypto stream", [][]Frame{{{Type: wire.FrameCrypto, Len: 10}}, {{Type: wire.FrameCrypto, Off: 10, Len: 5}}},
			[]int64{0, 1}, []Frame{{Type: wire.FrameCrypto, Len: 15}}},
		{"acknowledgements between", [][]Frame{{ack(3), stream(4, 0, 100, 0)}, {ack(5), stream(4, 100, 9, 0)}}, []int64{0, 1},
			[]Frame{ack(3), stream(4, 0, 100, 0), ack(5), stream(4, 100, 9, 0)}},
		{"more than a Frame holds", [][]Frame{{stream(4, 0, 1<<32-1, 0)}, {stream(4, 1<<32-1, 1, 0)}}, []int64{0, 1},
			[]Frame{stream(4, 0, 1<<32-1, 0), stream(4, 1<<32-1, 1, 0)}},
		{"none", [][]Frame{nil, nil}, []int64{0, 1}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, log := newRig(t, nil), frameLog{}
			for _, frames := range c.packets {
				r.l.onPacketSent(r.now, AppSpace, eliciting, frames, &r.path)
			}
			if err := r.l.OnAck(r.now+50*ms, AppSpace, ackRanges(c.acked...), 0, nil, &r.path, &log); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(log.acked, c.want) || log.lost != nil {
				t.Errorf("acknowledged %v, want %v; lost %v", log.acked, c.want, log.lost)
			}
		})
	}
}

// Spaces know nothing of each other.
func TestSpacesApart(t *testing.T) {
	r := newRig(t, nil)
	for range 5 {
		for _, sp := range []Space{InitialSpace, HandshakeSpace, AppSpace} {
			r.send(sp, eliciting)
		}
	}
	r.at(100).ack(HandshakeSpace, 4)
	r.wantLost(0, 1)
	r.wantAcked(4)
	for sp, want := range map[Space]int64{InitialSpace: -1, HandshakeSpace: 4, AppSpace: -1} {
		if got := r.l.LargestAcked(sp); got != want {
			t.Errorf("space %d: largest acknowledged %d, want %d", sp, got, want)
		}
		if got := r.l.NextPN(sp); got != 5 {
			t.Errorf("space %d: next packet number %d", sp, got)
		}
	}
	r.wantInFlight(12, "two are lost and one is acknowledged")
	r.ack(InitialSpace, 3)
	r.wantLost(0)
	r.ack(AppSpace, 0, 1, 2, 3, 4)
	r.wantLost()
	if got := fmt.Sprint(r.l.spaces[InitialSpace].eliciting > 0, r.l.spaces[HandshakeSpace].eliciting > 0, r.l.spaces[AppSpace].eliciting > 0); got != "true true false" {
		t.Errorf("in flight: %s", got)
	}
}
