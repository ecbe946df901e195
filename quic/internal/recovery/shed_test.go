package recovery

import (
	"errors"
	"testing"
)

// A peer that sends much and acknowledges nothing makes us remember maxBehind acknowledgements and twice what is in flight; the
// oldest packet in flight goes first, and its frames are sent again.
func TestShed(t *testing.T) {
	r := newRig(t, nil)
	r.send(AppSpace, eliciting)
	r.send(AppSpace, eliciting)
	for range maxBehind + 2 {
		r.send(AppSpace, ackOnly)
		r.l.Shed(r.now, &r.path, r)
	}
	r.wantLost()
	r.send(AppSpace, ackOnly)
	r.l.Shed(r.now, &r.path, r)
	r.wantLost(0, 1)
	r.wantCC("congestion 10000", "congestion 10000")
	r.wantInFlight(0, "both are given up")
	for range 10 * maxBehind {
		r.send(AppSpace, ackOnly)
		r.l.Shed(r.now, &r.path, r)
		if n := r.l.spaces[AppSpace].packets.len(); n > maxBehind {
			t.Fatalf("%d packets are remembered", n)
		}
	}
	// The record goes on: a late acknowledgement of what is forgotten, and one of what is not.
	r.ack(AppSpace, 0, 1)
	r.send(AppSpace, eliciting)
	r.ack(AppSpace, r.l.NextPN(AppSpace)-1)
	r.wantInFlight(0, "all is acknowledged")
}

// What is in flight stays, however much that is, and lost packets stay until their time is over.
func TestShedKeeps(t *testing.T) {
	r := newRig(t, nil)
	for range 2 * maxBehind {
		r.send(AppSpace, eliciting)
		r.l.Shed(r.now, &r.path, r)
	}
	r.wantLost()
	r.now += 10 * ms
	r.ack(AppSpace, 2*maxBehind-1) // everything before it but two is lost
	lost := len(r.lost)
	r.l.Shed(r.now, &r.path, r)
	if n := r.l.spaces[AppSpace].packets.len(); n != 2*maxBehind || len(r.lost) != lost {
		t.Errorf("%d packets are remembered, want %d, of which %d were declared lost now", n, 2*maxBehind, len(r.lost)-lost)
	}
	r.now += 10_000 * ms
	r.l.Shed(r.now, &r.path, r)
	if n := r.l.spaces[AppSpace].packets.len(); n > maxBehind {
		t.Errorf("%d packets are remembered after that", n)
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
