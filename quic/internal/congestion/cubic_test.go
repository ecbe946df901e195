package congestion

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// rfc9438 is congestion avoidance as RFC 9438, section 4, writes it down: in segments and seconds.
type rfc9438 struct {
	cwnd, wMax, prior, wEst, k float64
	epoch                      float64 // when it began; below 0: not yet
}

// onLoss is sections 4.6 and 4.7.
func (r *rfc9438) onLoss() {
	r.prior = r.cwnd
	if r.cwnd < r.wMax {
		r.wMax = r.cwnd * (1 + 0.7) / 2
	} else {
		r.wMax = r.cwnd
	}
	r.cwnd = max(0.7*r.cwnd, 2)
	r.epoch = -1
}

// wCubic is figure 1 of section 4.2.
func (r *rfc9438) wCubic(t float64) float64 { return 0.4*math.Pow(t-r.k, 3) + r.wMax }

// onAck is sections 4.2 to 4.5 for one acknowledgement.
func (r *rfc9438) onAck(now, segments, rtt float64) {
	if r.epoch < 0 {
		r.epoch, r.wEst = now, r.cwnd
		r.k = math.Cbrt((r.wMax - r.cwnd) / 0.4)
	}
	t := now - r.epoch
	alpha := 1.0
	if r.wEst < r.prior {
		alpha = 3 * 0.3 / 1.7
	}
	r.wEst += alpha * segments / r.cwnd
	if r.wCubic(t) < r.wEst {
		r.cwnd = max(r.cwnd, r.wEst)
		return
	}
	target := min(max(r.wCubic(t+rtt), r.cwnd), 1.5*r.cwnd)
	r.cwnd = min(r.cwnd+segments*(target-r.cwnd)/r.cwnd, MaxWindow/datagram)
}

// cubicRun drives CUBIC and the RFC's formulas side by side, with acknowledgements spread over each round trip.
type cubicRun struct {
	t   *testing.T
	c   *CUBIC
	ref rfc9438
	rtt time.Duration
	now int64
}

func newCubicRun(t *testing.T, window int64, rtt time.Duration) *cubicRun {
	r := &cubicRun{t: t, c: NewCUBIC(datagram), rtt: rtt, now: 1000 * ms}
	grow(r.c, window*datagram)
	r.ref.cwnd = float64(window)
	return r
}

func (r *cubicRun) segments() float64 { return float64(r.c.Window()) / datagram }

// lose reacts to a loss, a round trip before the next acknowledgement that counts.
func (r *cubicRun) lose() {
	r.c.OnCongestion(r.now, r.now-1)
	r.ref.onLoss()
	r.now += 2 * int64(r.rtt)
}

// round acknowledges a window, two packets at a time.
func (r *cubicRun) round() {
	packets := r.c.Window() / datagram
	for n := int64(0); n < packets; n += 2 {
		r.now += 2 * int64(r.rtt) / packets
		sent := r.now - int64(r.rtt)
		r.c.OnAck(r.now, Ack{Bytes: 2 * datagram, OldestSent: sent, NewestSent: sent, InFlight: (packets - 2) * datagram, SRTT: r.rtt})
		r.ref.onAck(float64(r.now)/1e9, 2, r.rtt.Seconds())
	}
}

// wantReference compares with the formulas: within half a percent, or a tenth of a segment.
func (r *cubicRun) wantReference() {
	r.t.Helper()
	if got, want := r.segments(), r.ref.cwnd; math.Abs(got-want) > max(0.005*want, 0.1) {
		r.t.Fatalf("at %v: window of %.2f segments, RFC 9438 says %.2f (W_max %.2f, K %.2f s, W_est %.2f)",
			time.Duration(r.now), got, want, r.ref.wMax, r.ref.k, r.ref.wEst)
	}
}

// Through two losses, the second before the window is back, in all three regions.
func TestCUBICFormulas(t *testing.T) {
	for _, window := range []int64{10, 50, 300, 2000} {
		for _, rtt := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprintf("%d segments, %v", window, rtt), func(t *testing.T) {
				r := newCubicRun(t, window, rtt)
				r.lose()
				wantWindow(t, r.c, window*datagram*7/10, "a loss")
				for range 20 {
					r.round()
					r.wantReference()
				}
				r.lose()
				r.wantReference()
				for range 30 {
					r.round()
					r.wantReference()
				}
			})
		}
	}
}

// Figure 1 of RFC 9438 itself: K seconds after the reduction the window is back at W_max, flat; then it grows as it slowed.
func TestCUBICShape(t *testing.T) {
	r := newCubicRun(t, 1000, 100*time.Millisecond)
	r.lose()
	r.round()
	k := math.Cbrt(1000 * 0.3 / 0.4)
	begin := float64(r.now) / 1e9
	for {
		r.round()
		since := float64(r.now)/1e9 - begin
		low, high := 0.4*math.Pow(since-0.1-k, 3)+1000, 0.4*math.Pow(since+0.2-k, 3)+1000
		if got := r.segments(); got < low-1 || got > high+1 {
			t.Fatalf("%.1f s after the reduction, K is %.1f s: %.1f segments, want %.1f to %.1f", since, k, got, low, high)
		}
		if since > 2*k {
			break
		}
	}
	if got := r.segments(); got < 1280 || got > 1340 {
		t.Errorf("after twice K: %.1f segments, want as many above W_max as there were below", got)
	}
}

// RFC 9438, section 4.3: on short paths it grows no slower than Reno would with its reduction: by 0.53 segments each
// round trip until the window before the loss is reached, then by one.
func TestCUBICRenoFriendly(t *testing.T) {
	check := func(r *cubicRun, prior float64) {
		t.Helper()
		for range 60 {
			before, now := r.segments(), r.now
			r.round()
			trips := float64(r.now-now) / float64(r.rtt)
			want := 0.53
			switch {
			case before >= prior:
				want = 1
			case before > prior-1:
				continue // a part of the round trip at each rate
			}
			if grown := (r.segments() - before) / trips; math.Abs(grown-want) > 0.08 {
				t.Errorf("at %.2f segments, %.2f before the loss: grew by %.3f, want %.2f", before, prior, grown, want)
			}
		}
	}
	r := newCubicRun(t, 50, 10*time.Millisecond)
	r.lose()
	check(r, 50)
	// Two losses in a row: W_max is below the window before the second one, which is what counts here.
	r = newCubicRun(t, 50, 10*time.Millisecond)
	r.lose()
	r.lose()
	check(r, 35)
}

// RFC 9438, section 4.7: a loss below the last W_max makes room for others.
func TestCUBICFastConvergence(t *testing.T) {
	r := newCubicRun(t, 1000, 100*time.Millisecond)
	r.lose()
	for r.segments() < 900 {
		r.round()
	}
	at := r.segments()
	r.lose()
	k := math.Cbrt((at*0.85 - at*0.7) / 0.4)
	for end := r.now + int64(k*1e9); r.now < end; {
		r.round()
	}
	if got, want := r.segments(), at*0.85; math.Abs(got-want) > 0.01*want {
		t.Errorf("a loss at %.1f segments after one at 1000: the plateau is at %.1f, want %.1f", at, got, want)
	}
	// A loss above W_max is remembered as it is.
	for r.segments() < at*1.1 {
		r.round()
	}
	at = r.segments()
	r.lose()
	k = math.Cbrt(at * 0.3 / 0.4)
	for end := r.now + int64(k*1e9); r.now < end; {
		r.round()
	}
	if got := r.segments(); math.Abs(got-at) > 0.01*at {
		t.Errorf("a loss at %.1f segments, more than before: the plateau is at %.1f", at, got)
	}
}

// RFC 9438, section 5.8: time in which the application sends too little does not count, however it shows: as
// acknowledgements that are marked so, or as silence.
func TestCUBICIdle(t *testing.T) {
	const pause = int64(10 * time.Second)
	for name, rest := range map[string]func(r *cubicRun){
		"silent after everything was acknowledged at once": func(r *cubicRun) {
			r.c.OnAck(r.now, Ack{Bytes: 1, OldestSent: r.now - 2*int64(r.rtt), NewestSent: r.now - int64(r.rtt), SRTT: r.rtt})
			r.now += pause + int64(r.rtt)
		},
		"limited by the application": func(r *cubicRun) {
			for end := r.now + pause; r.now < end; r.now += 100 * ms {
				r.c.OnAck(r.now, Ack{Bytes: datagram, NewestSent: r.now - int64(r.rtt), SRTT: r.rtt, AppLimited: true})
			}
		},
		"silent after that": func(r *cubicRun) {
			r.c.OnAck(r.now, Ack{Bytes: datagram, NewestSent: r.now - int64(r.rtt), SRTT: r.rtt, AppLimited: true})
			r.now += pause
		},
	} {
		t.Run(name, func(t *testing.T) {
			busy, idle := newCubicRun(t, 500, 50*time.Millisecond), newCubicRun(t, 500, 50*time.Millisecond)
			for _, r := range []*cubicRun{busy, idle} {
				r.lose()
				for range 10 {
					r.round()
				}
			}
			rest(idle)
			for i := range 200 {
				busy.round()
				idle.round()
				if a, b := busy.segments(), idle.segments(); math.Abs(a-b) > 0.02*a {
					t.Fatalf("%d rounds after a pause: %.1f segments, without a pause %.1f", i+1, b, a)
				}
			}
		})
	}
}

// A window that is acknowledged as a whole, and so is empty once in every round trip, is not idle: it grows with time.
func TestCUBICEmptyIsNotIdle(t *testing.T) {
	r := newCubicRun(t, 10, 200*time.Millisecond)
	r.lose()
	for range 60 {
		sent := r.now
		r.now += int64(r.rtt)
		r.c.OnAck(r.now, Ack{Bytes: r.c.Window(), OldestSent: sent, NewestSent: sent, SRTT: r.rtt})
		r.ref.onAck(float64(r.now)/1e9, r.ref.cwnd, r.rtt.Seconds())
		r.wantReference()
	}
	if r.segments() < 20 {
		t.Errorf("%.1f segments after twelve seconds", r.segments())
	}
}

// A pause while the epoch has not begun shifts nothing, and one before a loss is forgotten with it.
func TestCUBICIdleWithoutEpoch(t *testing.T) {
	limited := Ack{Bytes: datagram, AppLimited: true, SRTT: 50 * time.Millisecond}
	busy, idle := newCubicRun(t, 500, 50*time.Millisecond), newCubicRun(t, 500, 50*time.Millisecond)
	idle.c.OnAck(1, limited)
	busy.lose()
	idle.lose()
	limited.NewestSent = idle.now
	idle.c.OnAck(idle.now, limited)
	idle.now += int64(10 * time.Second)
	for i := range 200 {
		busy.round()
		idle.round()
		if a, b := busy.segments(), idle.segments(); math.Abs(a-b) > 0.02*a {
			t.Fatalf("%d rounds after a pause: %.1f segments, without a pause %.1f", i+1, b, a)
		}
	}
}

// After a reaction that was taken back the window grows on from where it was.
func TestCUBICSpurious(t *testing.T) {
	r := newCubicRun(t, 500, 50*time.Millisecond)
	r.lose()
	for range 150 {
		r.round()
	}
	before := r.c.Window()
	r.lose()
	r.c.OnSpurious()
	wantWindow(t, r.c, before, "a spurious loss")
	if r.c.SlowStart() {
		t.Error("slow start after a spurious loss in congestion avoidance")
	}
	for range 40 {
		was := r.c.Window()
		r.round()
		if now := r.c.Window(); now < was || now > was+was/5 {
			t.Fatalf("from %d to %d in a round after a spurious loss", was, now)
		}
	}
	if r.c.Window() == before {
		t.Error("the window does not grow any more")
	}
}

// The end of slow start without a loss begins an epoch with W_max where it is (RFC 9438, section 4.10).
func TestCUBICAfterHyStart(t *testing.T) {
	c := NewCUBIC(datagram)
	r := rounds{c: c, now: 1000 * ms}
	r.round(constant(100 * time.Millisecond))
	for c.SlowStart() {
		r.round(constant(150 * time.Millisecond))
	}
	from := c.Window()
	for range 10 {
		was := c.Window()
		r.round(constant(150 * time.Millisecond))
		if grown := c.Window() - was; grown < 0 || grown > 2*datagram {
			t.Fatalf("a round of congestion avoidance added %d bytes to %d", grown, was)
		}
	}
	if c.Window() <= from {
		t.Errorf("the window stays at %d", from)
	}
	begin := r.now - 10*packetsPerRound*ms
	for r.now < begin+10_000*ms {
		sent := r.now
		r.now += 150 * ms
		c.OnAck(r.now, Ack{Bytes: c.Window(), OldestSent: sent, NewestSent: sent, SRTT: 150 * time.Millisecond})
	}
	if grown := (c.Window() - from) / datagram; grown < 380 || grown > 440 {
		t.Errorf("in ten seconds it grew by %d segments, want C t^3, which is 400 and what a round trip more brings", grown)
	}
}
