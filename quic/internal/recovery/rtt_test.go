package recovery

import (
	"math"
	"testing"
	"time"
)

// RFC 9002, section 5, computed by hand. All in milliseconds.
func TestRTT(t *testing.T) {
	type sample struct {
		latest, ackDelay      float64
		min, smoothed, rttvar float64
		reason                string
	}
	for _, c := range []struct {
		name    string
		samples []sample
	}{
		{"samples", []sample{
			{latest: 100, ackDelay: 20, min: 100, smoothed: 100, rttvar: 50, reason: "the first: half of it is the variation, and no delay counts"},
			{latest: 120, ackDelay: 10, min: 100, smoothed: 101.25, rttvar: 40, reason: "120-10: 7/8 100 + 1/8 110; 3/4 50 + 1/4 10"},
			{latest: 105, ackDelay: 10, min: 100, smoothed: 101.71875, rttvar: 30.9375, reason: "105-10 would be below the smallest"},
			{latest: 80, min: 80, smoothed: 99.00390625, rttvar: 28.6328125, reason: "the smallest so far"},
			{latest: 90, ackDelay: 10, min: 80, smoothed: 96.62841796875, rttvar: 26.2255859375, reason: "90-10 is the smallest, which is allowed"},
		}},
		{"the delay has no part in the smallest", []sample{
			{latest: 50, min: 50, smoothed: 50, rttvar: 25},
			{latest: 60, ackDelay: 40, min: 50, smoothed: 51.25, rttvar: 21.25, reason: "60-40 is below the smallest: nothing is taken off"},
			{latest: 40, ackDelay: 30, min: 40, smoothed: 49.84375, rttvar: 18.75, reason: "nor from what is the smallest itself"},
		}},
		{"no variation", []sample{
			{latest: 10, min: 10, smoothed: 10, rttvar: 5},
			{latest: 10, min: 10, smoothed: 10, rttvar: 3.75},
			{latest: 10, min: 10, smoothed: 10, rttvar: 2.8125},
		}},
		{"no time at all is a nanosecond", []sample{
			{latest: 0, min: 1e-6, smoothed: 1e-6, rttvar: 0},
			{latest: -5, min: 1e-6, smoothed: 1e-6, rttvar: 0},
		}},
	} {
		r := NewRTT(333 * time.Millisecond)
		if r.HasSample() || r.Smoothed != 333*time.Millisecond || r.Var != 166500*time.Microsecond {
			t.Errorf("before the first sample: %+v", r)
		}
		if pto := r.pto(); pto != 999*time.Millisecond {
			t.Errorf("before the first sample the probe timeout is %v, want 333 + 4 * 166.5 ms", pto)
		}
		near := func(got time.Duration, want float64) bool { return math.Abs(got.Seconds()*1000-want) < 1e-5 }
		for i, s := range c.samples {
			r.update(time.Duration(s.latest*1e6), time.Duration(s.ackDelay*1e6))
			if !r.HasSample() || !near(r.Min, s.min) || !near(r.Smoothed, s.smoothed) || !near(r.Var, s.rttvar) {
				t.Errorf("%s, sample %d (%s): smallest %v, smoothed %v, variation %v; want %v, %v, %v ms",
					c.name, i, s.reason, r.Min, r.Smoothed, r.Var, s.min, s.smoothed, s.rttvar)
			}
			if want := s.smoothed + max(4*s.rttvar, 1); math.Abs(r.pto().Seconds()*1000-want) > 1e-4 {
				t.Errorf("%s, sample %d: probe timeout %v, want %v ms", c.name, i, r.pto(), want)
			}
		}
	}
}

// Which acknowledgements give a sample (RFC 9002, section 5.1).
func TestRTTSamples(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(r *rig) // packets 0 to 4 were sent 100 ms ago, 3 of them only acknowledgements
		want time.Duration
	}{
		{"the largest, and it elicited it", func(r *rig) { r.ack(AppSpace, 2) }, 100 * time.Millisecond},
		{"the largest and others", func(r *rig) { r.ack(AppSpace, 0, 1, 2, 3, 4) }, 100 * time.Millisecond},
		{"the largest did not elicit it, another did", func(r *rig) { r.ack(AppSpace, 2, 3) }, 100 * time.Millisecond},
		{"the largest did not elicit it, nor did any", func(r *rig) { r.ack(AppSpace, 3) }, 0},
		{"the largest is known already", func(r *rig) {
			r.ack(AppSpace, 3)
			r.ack(AppSpace, 2, 3)
		}, 0},
		{"it is below the largest", func(r *rig) {
			r.ack(AppSpace, 3)
			r.ack(AppSpace, 2)
		}, 0},
		{"it was sent on another path", func(r *rig) {
			r.move()
			r.ack(AppSpace, 4)
		}, 0},
		{"the same again", func(r *rig) {
			r.ack(AppSpace, 4)
			r.path.RTT = NewRTT(time.Second)
			r.ack(AppSpace, 4)
		}, 0},
		{"the largest had been given up", func(r *rig) {
			r.ack(AppSpace, 4) // 0 and 1 are lost
			r.path.RTT = NewRTT(time.Second)
			r.ack(AppSpace, 0, 1)
		}, 0},
	} {
		r := newRig(t, nil)
		for pn := range 5 {
			p := eliciting
			if pn == 3 {
				p = ackOnly
			}
			r.send(AppSpace, p)
		}
		r.now += 100 * ms
		c.run(r)
		if r.path.RTT.Latest != c.want || r.path.RTT.HasSample() != (c.want != 0) {
			t.Errorf("%s: RTT %v, want %v", c.name, r.path.RTT.Latest, c.want)
		}
	}
}

// What of the peer's delay counts (RFC 9002, section 5.3).
func TestAckDelay(t *testing.T) {
	for _, c := range []struct {
		name      string
		sp        Space
		confirmed bool
		delay     time.Duration
		want      time.Duration // taken off a sample of 200 ms
	}{
		{"Initial packets are answered at once", InitialSpace, false, 20 * time.Millisecond, 0},
		{"Handshake", HandshakeSpace, false, 20 * time.Millisecond, 20 * time.Millisecond},
		{"more than max_ack_delay, before the handshake is confirmed", HandshakeSpace, false, 60 * time.Millisecond, 60 * time.Millisecond},
		{"1-RTT, the same", AppSpace, false, 60 * time.Millisecond, 60 * time.Millisecond},
		{"after it", AppSpace, true, 60 * time.Millisecond, 25 * time.Millisecond},
		{"less than max_ack_delay", AppSpace, true, 10 * time.Millisecond, 10 * time.Millisecond},
		{"more than the sample", HandshakeSpace, false, time.Hour, 0},
		{"below zero", AppSpace, true, -time.Second, 0},
	} {
		r := newRig(t, func(l *Loss) {
			l.Init(false)
			l.SetMaxAckDelay(25 * time.Millisecond)
			if c.confirmed {
				l.SetHandshakeConfirmed()
			}
		})
		r.path.RTT.update(100*time.Millisecond, 0)
		pn := r.send(c.sp, eliciting)
		r.now += 200 * ms
		r.ackWith(c.sp, c.delay, nil, pn)
		if want := (7*100*time.Millisecond + 200*time.Millisecond - c.want) / 8; r.path.RTT.Smoothed != want {
			t.Errorf("%s: smoothed %v, want %v", c.name, r.path.RTT.Smoothed, want)
		}
	}
}
