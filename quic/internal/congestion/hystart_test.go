package congestion

import (
	"testing"
	"time"
)

// rounds drives a controller through rounds of slow start, each of so many packets that are acknowledged one by one.
type rounds struct {
	c   Controller
	now int64
	pn  int64 // the first packet number of the round
}

const packetsPerRound = 20

// round acknowledges a round's packets, packet i with the RTT that rtt tells, and returns how much the window grew.
func (r *rounds) round(rtt func(i int) time.Duration) int64 {
	before := r.c.Window()
	for i := range int64(packetsPerRound) {
		r.now += ms
		largest := r.pn + packetsPerRound - 1
		if i == packetsPerRound-1 {
			largest += packetsPerRound // the acknowledgements of the round made room for the next one
		}
		r.c.OnAck(r.now, Ack{Bytes: datagram, NewestPN: r.pn + i, LargestPN: largest, NewestSent: r.now - int64(rtt(int(i))),
			LatestRTT: rtt(int(i)), SRTT: rtt(int(i))})
	}
	r.pn += packetsPerRound
	return r.c.Window() - before
}

// constant is an RTT that does not change.
func constant(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// What a round adds in slow start, and in conservative slow start.
const (
	fullGrowth = packetsPerRound * datagram
	cssGrowth  = fullGrowth / 4
)

// wantGrowth plays a round and compares what it added.
func (r *rounds) wantGrowth(t *testing.T, rtt func(int) time.Duration, low, high int64, reason string) {
	t.Helper()
	if got := r.round(rtt); got < low || got > high {
		t.Fatalf("%s: the window grew by %d bytes, want %d to %d", reason, got, low, high)
	}
}

// RFC 9406, section 4.2: the RTT must grow by an eighth, but by no less than 4 and no more than 16 ms.
func TestHyStartThreshold(t *testing.T) {
	for _, c := range []struct {
		name         string
		before, then time.Duration
		css          bool
	}{
		{"an eighth", 80 * time.Millisecond, 90 * time.Millisecond, true},
		{"less than an eighth", 80 * time.Millisecond, 90*time.Millisecond - 1, false},
		{"4 ms of 10", 10 * time.Millisecond, 14 * time.Millisecond, true},
		{"less than 4 ms of 10", 10 * time.Millisecond, 14*time.Millisecond - 1, false},
		{"16 ms of 400", 400 * time.Millisecond, 416 * time.Millisecond, true},
		{"less than 16 ms of 400", 400 * time.Millisecond, 416*time.Millisecond - 1, false},
		{"none", 80 * time.Millisecond, 80 * time.Millisecond, false},
		{"less", 80 * time.Millisecond, 40 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, cc Controller) {
				r := rounds{c: cc, now: 1000 * ms}
				r.wantGrowth(t, constant(c.before), fullGrowth, fullGrowth, "the first round")
				if c.css {
					// Seven acknowledgements pass before there are eight samples.
					r.wantGrowth(t, constant(c.then), cssGrowth, 7*datagram+13*datagram/4, "the round in which the RTT grows")
					r.wantGrowth(t, constant(c.then), cssGrowth, cssGrowth, "the round after")
				} else {
					r.wantGrowth(t, constant(c.then), fullGrowth, fullGrowth, "the round in which the RTT changes")
					r.wantGrowth(t, constant(c.then), fullGrowth, fullGrowth, "the round after")
				}
			})
		})
	}
}

// Seven samples are not enough, nor are eight of which one is low: the smallest of a round counts.
func TestHyStartSamples(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		r := rounds{c: c, now: 1000 * ms}
		r.round(constant(100 * time.Millisecond))
		seven := func(i int) time.Duration {
			if i < 7 {
				return 200 * time.Millisecond
			}
			return 0 // an acknowledgement that gives no sample
		}
		r.wantGrowth(t, seven, fullGrowth, fullGrowth, "seven samples")
		r.round(constant(100 * time.Millisecond)) // what was before counts again
		low := func(i int) time.Duration {
			if i == 7 {
				return 100 * time.Millisecond
			}
			return 200 * time.Millisecond
		}
		r.wantGrowth(t, low, fullGrowth, fullGrowth, "a low sample among high ones")
		r.wantGrowth(t, constant(100*time.Millisecond), fullGrowth, fullGrowth, "a round as at first")
		r.round(func(int) time.Duration { return 0 })
		r.wantGrowth(t, constant(time.Second), fullGrowth, fullGrowth, "a round after one without samples has nothing to compare")
	})
}

// RFC 9406, section 4.2: an RTT below what conservative slow start began with ends it.
func TestHyStartResumes(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		r := rounds{c: c, now: 1000 * ms}
		r.round(constant(100 * time.Millisecond))
		r.round(constant(150 * time.Millisecond))
		r.wantGrowth(t, constant(150*time.Millisecond), cssGrowth, cssGrowth, "conservative slow start")
		// Seven acknowledgements pass until there are eight samples of the round.
		r.wantGrowth(t, constant(150*time.Millisecond-1), 7*datagram/4+13*datagram, fullGrowth, "an RTT below that at its start")
		r.wantGrowth(t, constant(150*time.Millisecond), fullGrowth, fullGrowth, "slow start goes on")
		for range 20 {
			r.round(constant(150 * time.Millisecond))
		}
		if !c.SlowStart() {
			t.Error("slow start is over")
		}
	})
}

// RFC 9406, section 4.2: after five rounds of conservative slow start, the first of them a part, it is over.
func TestHyStartExit(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		r := rounds{c: c, now: 1000 * ms}
		r.round(constant(100 * time.Millisecond))
		for i := range 5 {
			if !c.SlowStart() {
				t.Fatalf("slow start is over after %d rounds, want 5", i)
			}
			r.round(constant(150 * time.Millisecond))
		}
		if c.SlowStart() {
			t.Fatal("slow start goes on after five rounds")
		}
		if got := r.round(constant(150 * time.Millisecond)); got > 2*datagram {
			t.Errorf("in congestion avoidance the window grew by %d bytes", got)
		}
	})
}

// RFC 9406, section 4.3: it is for the first slow start only. A later one knows where to stop, and must get there.
func TestHyStartFirstSlowStartOnly(t *testing.T) {
	for name, prepare := range map[string]func(r *rounds){
		"not in conservative slow start": func(r *rounds) { r.round(constant(100 * time.Millisecond)) },
		"in conservative slow start": func(r *rounds) {
			r.round(constant(100 * time.Millisecond))
			r.round(constant(150 * time.Millisecond))
		},
		"after it": func(r *rounds) {
			for range 6 {
				r.round(constant(100 * time.Millisecond))
			}
			for range 6 {
				r.round(constant(150 * time.Millisecond))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, c Controller) {
				r := rounds{c: c, now: 1000 * ms}
				prepare(&r)
				r.now += 1000 * ms
				c.OnCongestion(r.now, r.now-1)
				threshold := c.Window()
				c.OnPersistentCongestion()
				for n := 0; c.SlowStart(); n++ {
					before := c.Window()
					c.OnAck(r.now, Ack{Bytes: datagram, NewestSent: r.now - 1, NewestPN: r.pn, LargestPN: r.pn + 1,
						LatestRTT: time.Duration(100+10*n) * time.Millisecond})
					r.pn++
					if got := c.Window(); got != before+datagram {
						t.Fatalf("at a window of %d, threshold %d, it grew by %d", before, threshold, got-before)
					}
				}
				if c.Window() < threshold {
					t.Errorf("slow start ended at %d, its threshold was %d", c.Window(), threshold)
				}
			})
		})
	}
}

// Begin takes HyStart++ out of slow start: round trips that get longer change nothing, and a loss ends it as ever.
func TestBeginWithoutHyStart(t *testing.T) {
	for name, begin := range map[string]func() Controller{
		"CUBIC":   func() Controller { c := NewCUBIC(datagram); c.Begin(32, false); return c },
		"NewReno": func() Controller { c := NewNewReno(datagram); c.Begin(32, false); return c },
	} {
		r := &rounds{c: begin()}
		if got := r.c.Window(); got != 32*datagram {
			t.Fatalf("%s: the window begins with %d bytes", name, got)
		}
		r.c.SetMaxDatagram(datagram + 100)
		if got := r.c.Window(); got != 32*(datagram+100) {
			t.Errorf("%s: with larger datagrams the window begins with %d bytes", name, got)
		}
		r.c.SetMaxDatagram(datagram)
		for i := range 12 {
			r.wantGrowth(t, constant(time.Duration(20+10*i)*time.Millisecond), fullGrowth, fullGrowth, name)
		}
		r.c.OnCongestion(r.now, r.now)
		if r.c.SlowStart() {
			t.Errorf("%s: a loss does not end slow start", name)
		}
	}
}
