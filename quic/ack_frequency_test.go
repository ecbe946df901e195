package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// fixedWindow is a congestion controller that says what it is told to say.
type fixedWindow struct {
	congestion.Controller
	window int64
}

func (c *fixedWindow) Window() int64 { return c.window }

// What is asked for, by the window, the round trip and what the peer announced.
func TestAckWish(t *testing.T) {
	const ms = time.Millisecond
	usual := ackPolicy{threshold: 1, reordering: 1, maxDelay: 25 * ms}
	for _, c := range []struct {
		name       string
		packets    int64 // in the window
		rtt, queue time.Duration
		min, max   time.Duration // of the peer's delay
		want       ackPolicy
	}{
		{"a small window", 63, 40 * ms, 30 * ms, ms, 25 * ms, usual},
		{"the smallest window", 64, 40 * ms, 10 * ms, ms, 25 * ms, ackPolicy{3, 3, 10 * ms}},
		{"no queue", 10000, 40 * ms, 0, ms, 25 * ms, usual},
		{"next to no queue", 400, 40 * ms, ms / 2, ms, 25 * ms, usual},
		{"a short queue", 400, 40 * ms, 4 * ms, ms, 25 * ms, ackPolicy{19, 3, 10 * ms}},
		{"a long queue", 400, 40 * ms, 20 * ms, ms, 25 * ms, ackPolicy{24, 3, 10 * ms}},
		{"a large window", 100_000, 40 * ms, 20 * ms, ms, 25 * ms, ackPolicy{127, 3, 10 * ms}},
		{"a long round trip", 400, 600 * ms, 100 * ms, ms, 25 * ms, ackPolicy{24, 3, 25 * ms}},
		{"a short one", 400, 2 * ms, ms, ms, 25 * ms, ackPolicy{24, 3, ms}},
		{"shorter than the peer's timers", 400, ms / 2, ms / 4, ms, 25 * ms, ackPolicy{24, 1, ms}},
		{"a peer without delay", 400, 40 * ms, 20 * ms, 0, 0, ackPolicy{24, 3, 0}},
		{"a peer with slow timers", 400, 40 * ms, 20 * ms, 30 * ms, 50 * ms, ackPolicy{24, 3, 30 * ms}},
		{"not a whole number of microseconds", 410, 40*ms + 7, 20 * ms, ms, 25 * ms, ackPolicy{24, 3, 10 * ms}},
	} {
		rec := recovery.NewPath(1, &fixedWindow{window: c.packets*1200 + 300}, c.rtt, 1200)
		rec.RTT.Min = c.rtt - c.queue
		a := ackFrequency{peerMin: c.min, peerMax: c.max}
		if got := a.wish(&rec, 1200, 3); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A frame is worth sending for twice or half as much of anything, or another reordering threshold.
func TestAckPolicyDiffers(t *testing.T) {
	p := ackPolicy{19, 3, 8000}
	for _, c := range []struct {
		q    ackPolicy
		want bool
	}{
		{ackPolicy{19, 3, 8000}, false}, {ackPolicy{19, 4, 8000}, true}, {ackPolicy{38, 3, 8000}, false}, {ackPolicy{39, 3, 8000}, true},
		{ackPolicy{10, 3, 8000}, false}, {ackPolicy{9, 3, 8000}, true}, {ackPolicy{19, 3, 15999}, false}, {ackPolicy{19, 3, 16000}, true},
		{ackPolicy{19, 3, 4001}, false}, {ackPolicy{19, 3, 4000}, true}, {ackPolicy{19, 3, 0}, true},
	} {
		if got := p.differs(&c.q); got != c.want {
			t.Errorf("%+v after %+v: %v, want %v", c.q, p, got, c.want)
		}
	}
	if p := (ackPolicy{1, 1, 0}); p.differs(&p) {
		t.Error("no delay at all differs from itself")
	}
}
