package recovery

import (
	"errors"
	"math"
	"testing"
)

// A peer that sends much and acknowledges nothing makes us remember MaxBehind acknowledgements and twice what is in flight; the
// oldest packet in flight goes first, and its frames are sent again.
func TestShed(t *testing.T) {
	r := newRig(t, nil)
	r.send(AppSpace, eliciting)
	r.send(AppSpace, eliciting)
	for range MaxBehind + 2 {
		r.send(AppSpace, ackOnly)
		r.l.Shed(r.now, &r.path, r)
	}
	r.wantLost()
	r.send(AppSpace, ackOnly)
	r.l.Shed(r.now, &r.path, r)
	r.wantLost(0, 1)
	r.wantCC("congestion 10000", "congestion 10000")
	r.wantInFlight(0, "both are given up")
	for range 10 * MaxBehind {
		r.send(AppSpace, ackOnly)
		r.l.Shed(r.now, &r.path, r)
		if n := r.l.spaces[AppSpace].packets.len(); n > MaxBehind {
			t.Fatalf("%d packets are remembered", n)
		}
	}
	// The record goes on: a late acknowledgement of what is forgotten, and one of what is not.
	r.ack(AppSpace, 0, 1)
	r.send(AppSpace, eliciting)
	r.ack(AppSpace, r.l.NextPN(AppSpace)-1)
	r.wantInFlight(0, "all is acknowledged")
}

// What is in flight stays, however much that is. A lost packet stays until its time is over, unless it keeps too much behind it.
func TestShedKeeps(t *testing.T) {
	r := newRig(t, nil)
	for range MaxInFlight {
		r.send(AppSpace, eliciting)
		r.l.Shed(r.now, &r.path, r)
	}
	r.wantLost()
	if n := r.l.app.packets.len(); n != MaxInFlight || !r.l.Full() {
		t.Errorf("%d packets are remembered, want %d, and the record is full: %v", n, MaxInFlight, r.l.Full())
	}
	r.now += 10 * ms
	r.ack(AppSpace, upTo(1, MaxInFlight-1)...)
	r.wantLost(0)
	if n := r.l.app.packets.len(); n > 0 {
		t.Errorf("%d packets are remembered behind a lost one", n)
	}
	if r.l.Full() {
		t.Error("the record is full with one packet in flight")
	}
	if err := r.l.Check(); err != nil {
		t.Error(err)
	}
}

// One lost packet at the front and a long time until it is forgotten: what is remembered stays within its bound, and there is room for
// more at all times.
func TestShedBehindLost(t *testing.T) {
	r := newRig(t, nil)
	r.send(AppSpace, eliciting)
	for range 3 * MaxBehind {
		r.send(AppSpace, eliciting)
		r.ack(AppSpace, r.l.NextPN(AppSpace)-1)
		r.l.Shed(r.now, &r.path, r)
		if n := r.l.app.packets.len(); n > MaxBehind+2 || r.l.Full() {
			t.Fatalf("%d packets are remembered, want at most %d, and the record is full: %v", n, MaxBehind+2, r.l.Full())
		}
	}
	r.wantLost(0)
}

// Acknowledgements in the Handshake space, to a peer that has us send them and acknowledges nothing.
func TestShedEarly(t *testing.T) {
	r := newRig(t, func(l *Loss) { l.Init(false) })
	for _, sp := range []Space{InitialSpace, HandshakeSpace} {
		first := r.send(sp, eliciting)
		for range 10 * MaxBehindEarly {
			r.send(sp, ackOnly)
			r.l.Shed(r.now, &r.path, r)
			if n := r.l.spaces[sp].packets.len(); n > MaxBehindEarly+2 {
				t.Fatalf("%d packets are remembered, want at most %d", n, MaxBehindEarly+2)
			}
		}
		r.wantLost(uint64(first))
	}
	r.wantInFlight(0, "all is given up")
}

// Frames are bounded too: a packet has up to MaxFrames of them.
func TestShedFrames(t *testing.T) {
	r := newRig(t, nil)
	frames := make([]Frame, MaxFrames)
	sent := 0
	for ; !r.l.Full(); sent++ {
		r.l.onPacketSent(r.now, AppSpace, eliciting, frames, &r.path)
	}
	if want := MaxFramesNoted / MaxFrames; sent != want {
		t.Errorf("the record is full after %d packets, want %d", sent, want)
	}
	for range MaxBehind + 2*sent {
		r.send(AppSpace, ackOnly)
		r.l.Shed(r.now, &r.path, r)
	}
	if n := r.l.app.frames.len(); n > 2*MaxFramesNoted {
		t.Errorf("%d frames are remembered, want at most %d", n, 2*MaxFramesNoted)
	}
}

// A number left out at the front of a long flight is remembered like one in its middle.
func TestAckOfSkippedAtFront(t *testing.T) {
	r := newRig(t, nil)
	r.l.Skip(r.now, &r.path, 0)
	r.l.spaces[AppSpace].skipAt = 1
	r.send(AppSpace, eliciting)
	r.now += 10 * ms
	r.ack(AppSpace, 0)
	r.l.Skip(r.now, &r.path, 1<<20) // leaves out 1
	for range 4 * keepAcks {
		r.send(AppSpace, eliciting)
	}
	r.now += 10 * ms
	pns := upTo(1, r.l.NextPN(AppSpace)-1)
	if err := r.l.OnAck(r.now, AppSpace, ackRanges(pns...), 0, nil, &r.path, r); !errors.Is(err, ErrSkipped) {
		t.Errorf("%v, want ErrSkipped", err)
	}
}

// A lost packet at the front of many with many frames, all of which are acknowledged: with nothing in flight neither an acknowledgement
// nor a timer would make room, so that there has to be some.
func TestFramesBehindLost(t *testing.T) {
	for _, byTimer := range []bool{false, true} {
		r := newRig(t, nil)
		if byTimer {
			r.path.reordering.threshold = math.MaxInt32 // so that the timer finds the loss
		}
		r.send(AppSpace, eliciting)
		frames := make([]Frame, MaxFrames)
		for range 2 * MaxFramesNoted / MaxFrames {
			pn := r.l.NextPN(AppSpace)
			r.l.onPacketSent(r.now, AppSpace, eliciting, frames, &r.path)
			r.ack(AppSpace, pn)
			r.l.Shed(r.now, &r.path, r)
			if byTimer && r.path.InFlight > 0 && r.l.Full() {
				r.timeout()
				r.l.Shed(r.now, &r.path, r)
			}
			if r.l.Full() && r.path.InFlight == 0 {
				t.Fatalf("by timer %v: the record is full after %d packets, with nothing in flight", byTimer, pn)
			}
		}
		r.wantLost(0)
	}
}
