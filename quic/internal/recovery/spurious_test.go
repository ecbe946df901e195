package recovery

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// A packet that was given up and arrives is acknowledged, and the reaction to its loss is taken back.
func TestSpuriousLoss(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(5)
	r.at(100).ack(AppSpace, 4)
	r.wantLost(0, 1)
	r.wantCC("congestion 10001")
	r.wantAcked(4)
	r.at(101).ack(AppSpace, 0)
	r.wantAcked(0)
	r.wantCC() // packet 1 is lost still
	r.at(102).ack(AppSpace, 1)
	r.wantAcked(1)
	r.wantCC("spurious")
	r.ack(AppSpace, 0, 1)
	r.wantAcked() // once only
	r.wantCC()
	if r.l.Stats.Lost != 2 || r.l.Stats.Spurious != 2 {
		t.Errorf("%+v", r.l.Stats)
	}
	r.wantInFlight(2, "2 and 3 are left")
}

// Losses that were real remain, whatever else was spurious.
func TestSpuriousLossOfEarlierReaction(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(5)
	r.at(100).ack(AppSpace, 4)
	r.wantLost(0, 1)
	r.wantCC("congestion 10001")
	r.at(110).sendMany(5) // 5 to 9
	r.at(200).ack(AppSpace, 2, 3, 9)
	r.wantLost(5, 6)
	r.wantCC("congestion 10111")
	r.at(201).ack(AppSpace, 0, 1)
	r.wantCC() // they did not bring the second reaction
	r.ack(AppSpace, 5)
	r.wantCC()
	r.ack(AppSpace, 6)
	r.wantCC("spurious")
}

// A CE mark is a reason of its own: what it brought is not taken back.
func TestSpuriousLossBesideMark(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(r *rig)
	}{
		{"the mark comes with the loss", func(r *rig) {
			r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 1, CE: 1}, 3, 4)
			r.wantLost(0, 1)
		}},
		{"the mark comes after it", func(r *rig) {
			r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 2}, 3, 4)
			r.wantLost(0, 1)
			r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 2, CE: 1}, 3, 4, 5)
		}},
		{"the mark comes before it", func(r *rig) {
			r.ackWith(AppSpace, 0, &wire.ECNCounts{CE: 1}, 2)
			r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 2, CE: 1}, 3, 4)
			r.wantLost(0, 1)
		}},
		{"the mark brings the next reaction", func(r *rig) {
			r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 2}, 3, 4)
			r.wantLost(0, 1)
			marked := eliciting
			marked.ECT = true
			pn := r.at(110).send(AppSpace, marked)
			r.at(200).ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 2, CE: 1}, pn)
		}},
	} {
		r := newRig(t, nil)
		marked := eliciting
		marked.ECT = true
		for range 6 {
			r.send(AppSpace, marked)
		}
		r.at(100)
		c.run(r)
		r.cc.told = nil
		r.ack(AppSpace, 0, 1)
		if len(r.cc.told) > 0 {
			t.Errorf("%s: the controller heard %v", c.name, r.cc.told)
		}
	}
}

// With a real controller: the window is back where it was.
func TestSpuriousLossRestoresWindow(t *testing.T) {
	for name, cc := range map[string]congestion.Controller{"NewReno": congestion.NewNewReno(datagram), "CUBIC": congestion.NewCUBIC(datagram)} {
		r := newRig(t, nil)
		r.path.CC = cc
		r.sendMany(9)
		r.at(100).ack(AppSpace, 0)
		before := cc.Window()
		r.ack(AppSpace, 5)
		if after := cc.Window(); after >= before {
			t.Errorf("%s: window %d after a loss, %d before", name, after, before)
		}
		r.wantLost(1, 2)
		r.at(110).ack(AppSpace, 1, 2)
		if after := cc.Window(); after < before {
			t.Errorf("%s: window %d after the loss was found spurious, %d before it", name, after, before)
		}
	}
}

// Reordering that was seen is allowed for: in packets (RFC 9002, section 6.1.1).
func TestSpuriousLossRaisesPacketThreshold(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(20)
	r.at(100).ack(AppSpace, 7)
	r.wantLost(0, 1, 2, 3, 4)
	r.ack(AppSpace, 2) // five later ones had been acknowledged, by number
	r.at(200).sendMany(8)
	r.at(300).ack(AppSpace, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
	r.wantLost()
	r.ack(AppSpace, 25) // 20 is five below
	r.wantLost()
	r.ack(AppSpace, 26)
	r.wantLost(20)
	r.ack(AppSpace, 27)
	r.wantLost(21)
}

// A peer cannot raise it without bound: age decides in the end.
func TestSpuriousLossThresholdBound(t *testing.T) {
	r := newRig(t, nil)
	for range 3000 {
		r.send(AppSpace, eliciting)
	}
	r.at(100).ack(AppSpace, 2000)
	r.lost = nil
	r.ack(AppSpace, 0)
	for range 3000 {
		r.send(AppSpace, eliciting)
	}
	r.now += ms
	r.ack(AppSpace, 4500)
	// 1998 and 1999 were within three of 2000; 3500 is a thousand below 4500.
	if want := 2 + (3500 - 2000); len(r.lost) != want {
		t.Errorf("%d packets lost, want %d: those that 1000 others have overtaken", len(r.lost), want)
	}
}

// And in time: 9/8 of the RTT become 5/4, 3/2 and 2, a step for each flight in which a packet came late.
func TestSpuriousLossRaisesAge(t *testing.T) {
	r := newRig(t, nil)
	r.path.RTT.update(100*time.Millisecond, 0)
	at := 0.0
	for _, age := range []float64{112.5, 125, 150, 200, 200} {
		first := int64(r.l.NextPN(AppSpace))
		r.at(at)
		for range 3 {
			r.send(AppSpace, eliciting)
		}
		r.at(at+100).ack(AppSpace, first+2)
		r.wantTimer(at+age, "the RTT, and what was learnt")
		r.timeout()
		r.wantLost(uint64(first), uint64(first+1))
		r.ack(AppSpace, first)
		r.ack(AppSpace, first+1) // the same flight
		at += 1000
	}
}

// A loss is remembered for three probe timeouts, and no longer.
func TestSpuriousLossForgotten(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(5)
	r.at(100).ack(AppSpace, 4)
	r.wantLost(0, 1)
	pto := r.path.RTT.pto()
	r.now += int64(3*pto) - 100*ms
	pn := r.send(AppSpace, eliciting)
	r.ack(AppSpace, 2, 3, pn)
	if start := r.l.spaces[AppSpace].packets.start; start != 0 {
		t.Errorf("packets below %d are forgotten, %v after they were sent", start, 3*r.path.RTT.pto())
	}
	r.now += 1000 * ms
	pn = r.send(AppSpace, eliciting)
	r.acked = nil
	r.ack(AppSpace, pn)
	r.ack(AppSpace, 0, 1)
	r.wantAcked(uint64(pn))
	if n := r.l.spaces[AppSpace].packets.len(); n != 0 {
		t.Errorf("%d packets are remembered", n)
	}
	if r.l.Stats.Spurious != 0 {
		t.Errorf("%+v", r.l.Stats)
	}
}
