package recovery

import (
	"slices"
	"testing"
	"time"
)

// persistentRig has a smoothed RTT of 100 ms without variation: three probe timeouts of 100 + 1 + 25 ms are 378 ms. Its
// first packet is acknowledged, the rest begins at 200 ms.
func persistentRig(t *testing.T) *rig {
	r := newRig(t, nil)
	r.send(AppSpace, eliciting)
	r.at(100).ack(AppSpace, 0)
	r.path.RTT.Var = 0
	r.at(200)
	return r
}

// RFC 9002, section 7.6: losses over three probe timeouts, with nothing acknowledged between.
func TestPersistentCongestion(t *testing.T) {
	type packet struct {
		at float64 // ms
		SentPacket
	}
	padded := SentPacket{Size: datagram, InFlight: true}
	mtu := eliciting
	mtu.Probe = true
	for _, c := range []struct {
		name  string
		sent  []packet
		acked []int // beside the last packet
		want  bool
	}{
		{name: "more than 378 ms", sent: []packet{{200, eliciting}, {578.001, eliciting}}, want: true},
		{name: "378 ms", sent: []packet{{200, eliciting}, {578, eliciting}}},
		{name: "several in it", sent: []packet{{200, eliciting}, {300, eliciting}, {400, eliciting}, {600, eliciting}}, want: true},
		{name: "one acknowledged between them",
			sent: []packet{{200, eliciting}, {300, eliciting}, {400, eliciting}, {600, eliciting}}, acked: []int{2}},
		{name: "one acknowledged, and long enough after it",
			sent: []packet{{200, eliciting}, {300, eliciting}, {400, eliciting}, {779, eliciting}}, acked: []int{1}, want: true},
		{name: "one acknowledged, and long enough before it",
			sent: []packet{{200, eliciting}, {579, eliciting}, {580, eliciting}, {600, eliciting}}, acked: []int{2}, want: true},
		{name: "one acknowledged before them", sent: []packet{{200, eliciting}, {210, eliciting}, {600, eliciting}}, acked: []int{0}, want: true},
		{name: "an acknowledgement between them counts as one",
			sent: []packet{{200, eliciting}, {300, ackOnly}, {600, eliciting}}, acked: []int{1}},
		{name: "one that is alone", sent: []packet{{200, eliciting}}},
		{name: "padding at the ends elicits nothing", sent: []packet{{200, padded}, {400, eliciting}, {500, eliciting}, {900, padded}}},
		{name: "a path MTU probe does not count", sent: []packet{{200, mtu}, {400, eliciting}, {500, eliciting}, {900, mtu}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := persistentRig(t)
			for _, p := range c.sent {
				r.at(p.at).send(AppSpace, p.SentPacket)
			}
			var acks []int64
			for _, i := range c.acked {
				acks = append(acks, int64(1+i))
			}
			// All are too old when the last one is acknowledged. Its RTT is as ever.
			r.at(2000)
			last := r.send(AppSpace, eliciting)
			r.at(2100)
			r.ack(AppSpace, append(acks, last)...)
			if got := slices.Contains(r.cc.told, "persistent"); got != c.want {
				t.Errorf("persistent congestion %v; the controller heard %v", got, r.cc.told)
			}
			r.wantInFlight(0, "all are lost or acknowledged")
		})
	}
}

// The losses may come to light with several acknowledgements.
func TestPersistentCongestionInPieces(t *testing.T) {
	for _, acked := range []bool{false, true} {
		r := persistentRig(t)
		for _, at := range []float64{200, 201, 390, 600, 601, 700} { // packets 1 to 6
			r.at(at).send(AppSpace, eliciting)
		}
		if r.at(701); acked {
			r.ack(AppSpace, 3, 5)
			r.wantCC("congestion 10201")
		} else {
			r.ack(AppSpace, 5)
			r.wantCC("congestion 10390")
		}
		if start := r.l.spaces[AppSpace].packets.start; start != 4 {
			t.Errorf("the first packet that is remembered is %d", start)
		}
		r.at(800).ack(AppSpace, 6)
		if acked {
			r.wantCC("congestion 10600")
		} else {
			r.wantCC("congestion 10600", "persistent")
		}
	}
}

// What was sent before the first sample of the RTT does not count (RFC 9002, section 7.6.2): a server that was slow to answer
// is no congestion.
func TestPersistentCongestionBeforeSample(t *testing.T) {
	r := newRig(t, nil)
	for _, at := range []float64{0, 1000, 3000, 7000} {
		r.at(at).send(AppSpace, eliciting)
	}
	r.at(7020).ack(AppSpace, 3)
	r.wantLost(0, 1, 2)
	r.wantCC("congestion 13000")
	r.at(7100).send(AppSpace, eliciting) // 4
	r.at(7900).send(AppSpace, eliciting) // 5
	r.at(8500).send(AppSpace, eliciting) // 6
	r.at(8520).ack(AppSpace, 6)
	r.wantCC("congestion 17900", "persistent") // 4 and 5 are enough by themselves
}

// After it the smallest RTT is what was seen last (RFC 9002, section 5.2).
func TestPersistentCongestionMinRTT(t *testing.T) {
	r := persistentRig(t)
	r.send(AppSpace, eliciting)
	r.at(1900).send(AppSpace, eliciting)
	r.at(2000).send(AppSpace, eliciting)
	r.at(2300).ack(AppSpace, 3)
	r.wantCC("congestion 11900", "persistent")
	if r.path.RTT.Min != 300*time.Millisecond {
		t.Errorf("smallest RTT %v, want that of the last sample", r.path.RTT.Min)
	}
}

// Each space counts for itself, and so do paths.
func TestPersistentCongestionApart(t *testing.T) {
	r := persistentRig(t)
	r.send(HandshakeSpace, eliciting)
	r.at(600).send(AppSpace, eliciting)
	r.at(2000)
	a, b := r.send(HandshakeSpace, eliciting), r.send(AppSpace, eliciting)
	r.at(2100).ack(HandshakeSpace, a)
	r.ack(AppSpace, b)
	r.wantCC("congestion 10200", "congestion 10600")

	r = persistentRig(t)
	r.send(AppSpace, eliciting)
	r.at(600).send(AppSpace, eliciting)
	r.move()
	r.at(2000)
	b = r.send(AppSpace, eliciting)
	r.at(2100).ack(AppSpace, b)
	r.wantLost(1, 2)
	r.wantCC()
}
