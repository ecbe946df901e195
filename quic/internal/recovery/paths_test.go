package recovery

import (
	"slices"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// another adds a second path with a controller of its own, which becomes the one in use: r.path and r.cc are it from then on. It
// returns the first.
func (r *rig) another() (first *Path, firstCC *recorder) {
	first, firstCC = new(Path), r.cc
	*first = r.path
	for i, p := range r.l.paths {
		if p == &r.path {
			r.l.paths[i] = first
		}
	}
	r.cc = &recorder{window: 1 << 20}
	r.path = NewPath(r.cc, 333*time.Millisecond, datagram)
	r.l.AddPath(&r.path)
	return first, firstCC
}

// Whichever path is in use when it comes to light, a packet is settled on the one that it left by: in flight, round-trip time and
// congestion (RFC 9000, section 9.4).
func TestSettledWhereSent(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(6) // 0 to 5
	first, firstCC := r.another()
	r.at(10).sendMany(6) // 6 to 11
	r.at(100).ack(AppSpace, 0, 1, 5)
	if first.InFlight != 2*datagram || r.path.InFlight != 6*datagram {
		t.Errorf("%d and %d bytes are in flight", first.InFlight, r.path.InFlight)
	}
	if !first.RTT.HasSample() || r.path.RTT.HasSample() {
		t.Error("the round-trip time is not that of the path that the packet was sent on")
	}
	if len(firstCC.acks) != 1 || firstCC.acks[0].Bytes != 3*datagram || len(r.cc.acks) != 0 {
		t.Errorf("the controllers heard %+v and %+v", firstCC.acks, r.cc.acks)
	}
	r.wantLost(2) // 3 and 4 are within three of 5
	// Of another path's packets, time alone tells: they went another way.
	r.at(101).ack(AppSpace, 11)
	r.wantLost(6, 7, 8)
	r.at(250).ack(AppSpace, 10)
	r.wantLost(3, 4, 9)
	if want := []string{"congestion 10002", "congestion 10004"}; !slices.Equal(firstCC.told, want) {
		t.Errorf("the first path's controller heard %v, want %v", firstCC.told, want)
	}
	r.wantCC("congestion 10012", "congestion 10013")
	if first.InFlight != 0 || r.path.InFlight != 0 {
		t.Errorf("%d and %d bytes are in flight", first.InFlight, r.path.InFlight)
	}
	// What was lost arrived after all: each path takes its own reaction back.
	r.ack(AppSpace, 3, 4, 6, 7, 8, 9)
	r.wantCC("spurious")
	if first.PacketThreshold() != packetThreshold {
		t.Errorf("packets that another path's have overtaken raised the threshold to %d", first.PacketThreshold())
	}
}

// What was sent on a path with a long round-trip time, and is lost when that has passed, keeps no probe of the path in use from being sent.
func TestProbeBeforeLossElsewhere(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(2) // 0 and 1, of which nothing will be heard
	r.another()
	r.send(AppSpace, eliciting)
	r.at(20).ack(AppSpace, 2)
	r.wantTimer(83, "the probe timeout of the path in use is earlier than 375, when 0 is lost")
	if probes, _ := r.timeout(); probes != 2 {
		t.Errorf("%d probes are to be sent", probes)
	}
	r.wantLost(0, 1)
}

// There is a timer as long as anything that elicits an acknowledgement is in flight, on whichever path, forgotten ones included; and
// what was sent on a forgotten path is sent again if it is lost.
func TestForgottenPath(t *testing.T) {
	r := newRig(t, nil)
	r.sendMany(3)
	first, firstCC := r.another()
	r.l.ForgetPath(first)
	r.wantTimer(2+333+4*333/2+25, "the round-trip time is that of the path in use")
	probes, _ := r.timeout()
	if probes == 0 {
		t.Error("no probe is to be sent")
	}
	r.wantLost(0, 1)
	r.send(AppSpace, eliciting)
	r.now += 400 * ms
	r.ack(AppSpace, 3)
	r.wantLost(0, 1, 2)
	r.wantCC()
	if len(firstCC.told) > 0 {
		t.Errorf("a forgotten path's controller heard %v", firstCC.told)
	}
	r.wantInFlight(0, "all is settled")
	r.wantTimer(0, "nothing is in flight")
}

// Losses of one path say nothing of ECN on another, and the peer's counts go on over all of them (RFC 9000, section 13.4.2).
func TestECNOfTwoPaths(t *testing.T) {
	r := newRig(t, nil)
	r.marked(15) // 0 to 14, of which ten are marked
	first, _ := r.another()
	r.now += 10 * ms
	r.marked(15) // 15 to 29
	r.now += 500 * ms
	pn := r.send(AppSpace, eliciting)
	r.now += 100 * ms
	r.ack(AppSpace, pn) // all else is lost
	if len(r.lost) != 30 || first.ECN.State != ECNFailed || r.path.ECN.State != ECNFailed {
		t.Fatalf("%d packets lost, states %d and %d", len(r.lost), first.ECN.State, r.path.ECN.State)
	}

	r = newRig(t, nil)
	r.marked(15)
	first, _ = r.another()
	r.now += 500 * ms
	r.marked(15)
	r.now += 100 * ms
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 10}, upTo(15, 29)...)
	if first.ECN.State != ECNFailed || r.path.ECN.State != ECNCapable {
		t.Errorf("states %d and %d, want failed for the losses and capable", first.ECN.State, r.path.ECN.State)
	}

	// The first path drops marks, the second does not: while both are in one acknowledgement nobody can tell which.
	r = newRig(t, nil)
	r.marked(15)
	first, _ = r.another()
	r.now += ms
	r.marked(15)
	r.now += 100 * ms
	r.path.RTT = NewRTT(time.Second)
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 2}, 13, 14, 0, 1, 15, 16)
	if first.ECN.State != ECNUnknown || r.path.ECN.State != ECNUnknown {
		t.Errorf("states %d and %d, want unknown still", first.ECN.State, r.path.ECN.State)
	}
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 4}, 17, 18)
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 4}, 30-1)
	if first.ECN.State != ECNUnknown || r.path.ECN.State != ECNCapable {
		t.Errorf("states %d and %d, want unknown and capable", first.ECN.State, r.path.ECN.State)
	}
	// Marks of congestion are told to the path whose packets were acknowledged with them.
	r.cc.told = nil
	pn = r.send(AppSpace, SentPacket{Size: datagram, AckEliciting: true, InFlight: true, ECT: true})
	r.now += 100 * ms
	r.ackWith(AppSpace, 0, &wire.ECNCounts{ECT0: 4, CE: 1}, pn)
	if !slices.Contains(r.cc.told, "congestion 10101") {
		t.Errorf("the controller heard %v", r.cc.told)
	}
}

// Paths are numbered anew when the numbers are used up, and what was sent on one stays with it.
func TestPathNumbers(t *testing.T) {
	r := newRig(t, nil)
	first, _ := r.another()
	gone := NewPath(r.cc, time.Second, datagram)
	r.l.AddPath(&gone)
	for _, p := range []*Path{first, &r.path, &gone} {
		r.l.onPacketSent(r.now, AppSpace, eliciting, nil, p)
	}
	r.l.ForgetPath(&gone)
	for range 3 * maxPathID {
		p := NewPath(r.cc, time.Second, datagram)
		r.l.AddPath(&p)
		if p.InFlight != 0 {
			t.Fatal("a new path has something in flight")
		}
		r.l.ForgetPath(&p)
	}
	r.check()
	last := NewPath(r.cc, time.Second, datagram)
	r.l.AddPath(&last)
	r.now += 10 * ms
	r.ack(AppSpace, 0, 1, 2)
	if first.InFlight != 0 || r.path.InFlight != 0 || last.InFlight != 0 {
		t.Errorf("%d, %d and %d bytes in flight", first.InFlight, r.path.InFlight, last.InFlight)
	}
}

// Without pacing trains are as long as the window lets them be: what is sent datagram by datagram costs several times as much.
func TestTrainUnpaced(t *testing.T) {
	for _, c := range []struct{ window, want int64 }{{1 << 20, 64 << 10}, {100_000, 12_500}, {8_000, datagram}} {
		p := NewPath(&still{recorder{window: c.window}}, time.Second, datagram)
		p.Pace(true, 0)
		if got := p.Train(); got != c.want {
			t.Errorf("with a window of %d bytes a train has %d, and should have %d", c.window, got, c.want)
		}
	}
}
