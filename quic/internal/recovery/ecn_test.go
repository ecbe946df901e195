package recovery

import (
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// marked sends n packets, marked as long as the path says so, and returns how many were.
func (r *rig) marked(n int) (ect int) {
	for range n {
		p := eliciting
		p.ECT = r.path.ECN.Mark()
		if p.ECT {
			ect++
		}
		r.send(AppSpace, p)
	}
	return ect
}

// upTo are the packet numbers from low to high.
func upTo(low, high int64) (pns []int64) {
	for pn := low; pn <= high; pn++ {
		pns = append(pns, pn)
	}
	return pns
}

// RFC 9000, section 13.4.2 and appendix A.4: from testing to capable, or to failed.
func TestECNValidation(t *testing.T) {
	counts := func(ect0, ect1, ce uint64) *wire.ECNCounts { return &wire.ECNCounts{ECT0: ect0, ECT1: ect1, CE: ce} }
	type ack struct {
		low, high int64 // packets 0 to 9 are marked, 10 to 14 are not
		counts    *wire.ECNCounts
		state     ECNState
		told      []string
	}
	for _, c := range []struct {
		name string
		acks []ack
	}{
		{"all arrive", []ack{{0, 9, counts(10, 0, 0), ECNCapable, nil}}},
		{"some are acknowledged", []ack{{0, 1, counts(2, 0, 0), ECNCapable, nil}, {2, 9, counts(10, 0, 0), ECNCapable, nil}}},
		{"the counts are ahead of the acknowledgement", []ack{{0, 1, counts(7, 0, 0), ECNCapable, nil}, {2, 9, counts(10, 0, 0), ECNFailed, nil}}},
		{"CE counts as arrived", []ack{{0, 9, counts(9, 0, 1), ECNCapable, []string{"congestion 10000"}}}},
		{"CE twice", []ack{{0, 1, counts(1, 0, 1), ECNCapable, []string{"congestion 10000"}},
			{2, 3, counts(3, 0, 1), ECNCapable, nil}, {4, 9, counts(8, 0, 2), ECNCapable, []string{"congestion 10000"}}}},
		{"no counts", []ack{{0, 1, nil, ECNFailed, nil}}},
		{"no counts any more", []ack{{0, 1, counts(2, 0, 0), ECNCapable, nil}, {2, 3, nil, ECNFailed, nil}}},
		{"no counts for what was not marked", []ack{{10, 14, nil, ECNUnknown, nil}}},
		{"all zero", []ack{{0, 9, counts(0, 0, 0), ECNFailed, nil}}},
		{"one too few", []ack{{0, 9, counts(9, 0, 0), ECNFailed, nil}}},
		{"one too few since", []ack{{0, 1, counts(2, 0, 0), ECNCapable, nil}, {2, 3, counts(3, 0, 0), ECNFailed, nil}}},
		{"more than were sent", []ack{{0, 9, counts(11, 0, 0), ECNFailed, nil}}},
		{"more than were sent, with CE", []ack{{0, 9, counts(10, 0, 1), ECNFailed, nil}}},
		{"ECT(1), which we do not send", []ack{{0, 9, counts(10, 1, 0), ECNFailed, nil}}},
		{"ECT(0) made ECT(1)", []ack{{0, 9, counts(0, 10, 0), ECNFailed, nil}}},
		{"ECT(0) falls", []ack{{0, 5, counts(6, 0, 0), ECNCapable, nil}, {10, 10, counts(5, 0, 1), ECNFailed, nil}}},
		{"CE falls", []ack{{0, 5, counts(4, 0, 2), ECNCapable, []string{"congestion 10000"}}, {10, 10, counts(6, 0, 1), ECNFailed, nil}}},
		{"counts of an older acknowledgement say nothing",
			[]ack{{5, 9, counts(5, 0, 0), ECNCapable, nil}, {3, 3, counts(0, 0, 0), ECNCapable, nil}, {4, 4, nil, ECNCapable, nil}}},
		{"what was not marked does not make it capable", []ack{{10, 14, counts(0, 0, 0), ECNUnknown, nil}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			if n := r.marked(15); n != 10 {
				t.Fatalf("%d of 15 packets are marked, want 10", n)
			}
			if r.path.ECN.State != ECNUnknown {
				t.Fatalf("state %d after the packets of the test", r.path.ECN.State)
			}
			r.now += 100 * ms
			r.path.reordering.threshold = 100 // losses are another matter
			for i, a := range c.acks {
				r.ackWith(AppSpace, 0, a.counts, upTo(a.low, a.high)...)
				if r.path.ECN.State != a.state {
					t.Errorf("acknowledgement %d: state %d, want %d", i, r.path.ECN.State, a.state)
				}
				r.wantCC(a.told...)
			}
			if mark := r.path.ECN.Mark(); mark != (r.path.ECN.State == ECNCapable) {
				t.Errorf("marking goes on: %v", mark)
			}
		})
	}
}

// A path that failed stays so, and its counts are not looked at.
func TestECNFailed(t *testing.T) {
	r := newRig(t, nil)
	r.marked(15)
	r.now += 100 * ms
	r.ack(AppSpace, upTo(0, 4)...)
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 9, CE: 1}, upTo(0, 9)...)
	if r.path.ECN.State != ECNFailed {
		t.Errorf("state %d", r.path.ECN.State)
	}
	r.wantCC()
}

// A path on which every marked packet is lost is one that drops them (RFC 9000, section 13.4.2).
func TestECNAllMarkedLost(t *testing.T) {
	r := newRig(t, nil)
	r.marked(14)
	r.now += 100 * ms
	r.ack(AppSpace, 11)
	if r.path.ECN.State != ECNUnknown {
		t.Errorf("nine lost: state %d", r.path.ECN.State)
	}
	r.ack(AppSpace, 12)
	if r.path.ECN.State != ECNFailed {
		t.Errorf("ten lost: state %d", r.path.ECN.State)
	}
	// On a path that carries marks, losses are but losses.
	r = newRig(t, nil)
	r.marked(5)
	r.now += 100 * ms
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 5}, upTo(0, 4)...)
	if n := r.marked(30); n != 30 {
		t.Errorf("%d of 30 packets are marked on a path that carries marks", n)
	}
	r.now += 100 * ms
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 6}, 34)
	if r.path.ECN.State != ECNCapable || len(r.lost) < 20 {
		t.Errorf("state %d after %d losses", r.path.ECN.State, len(r.lost))
	}
}

// The counts are those of one packet number space.
func TestECNSpaces(t *testing.T) {
	r := newRig(t, nil)
	p := eliciting
	p.ECT = true
	for _, sp := range []Space{InitialSpace, HandshakeSpace, AppSpace} {
		r.send(sp, p)
		r.send(sp, p)
	}
	r.now += 100 * ms
	for _, sp := range []Space{AppSpace, InitialSpace, HandshakeSpace} {
		r.ackWith(sp, 0, &wire.ECNCounts{ECT0: 2}, 0, 1)
		if r.path.ECN.State != ECNCapable {
			t.Fatalf("space %d: state %d", sp, r.path.ECN.State)
		}
	}
}
