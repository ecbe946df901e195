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
	usual := usualAcks(25 * ms)
	for _, c := range []struct {
		name       string
		packets    int64 // in the window
		rtt, queue time.Duration
		min, max   time.Duration // of the peer's delay
		want       ackPolicy
	}{
		{"a small window", 63, 40 * ms, 30 * ms, ms, 25 * ms, usual},
		{"the smallest window", 64, 40 * ms, 10 * ms, ms, 25 * ms, ackPolicy{3, 3, 10 * ms, false, 0}},
		{"no queue", 10000, 40 * ms, 0, ms, 25 * ms, usual},
		{"next to no queue", 400, 40 * ms, ms / 2, ms, 25 * ms, usual},
		{"a short queue", 400, 40 * ms, 4 * ms, ms, 25 * ms, ackPolicy{19, 3, 10 * ms, false, 0}},
		{"a long queue", 400, 40 * ms, 20 * ms, ms, 25 * ms, ackPolicy{24, 3, 10 * ms, false, 0}},
		{"a large window", 100_000, 40 * ms, 20 * ms, ms, 25 * ms, ackPolicy{127, 3, 10 * ms, false, 0}},
		{"a long round trip", 400, 600 * ms, 100 * ms, ms, 25 * ms, ackPolicy{24, 3, 25 * ms, false, 0}},
		{"a short one", 400, 2 * ms, ms, ms, 25 * ms, ackPolicy{24, 3, ms, false, 0}},
		{"shorter than the peer's timers", 400, ms / 2, ms / 4, ms, 25 * ms, ackPolicy{24, 1, ms, false, 0}},
		{"a peer without delay", 400, 40 * ms, 20 * ms, 0, 0, ackPolicy{24, 3, 0, false, 0}},
		{"a peer with slow timers", 400, 40 * ms, 20 * ms, 30 * ms, 50 * ms, ackPolicy{24, 3, 30 * ms, false, 0}},
		{"not a whole number of microseconds", 410, 40*ms + 7, 20 * ms, ms, 25 * ms, ackPolicy{24, 3, 10 * ms, false, 0}},
	} {
		rec := recovery.NewPath(&fixedWindow{window: c.packets*1200 + 300}, c.rtt, 1200)
		rec.RTT.Min = c.rtt - c.queue
		a := ackFrequency{peerMin: c.min, peerMax: c.max}
		if got := a.wish(&rec, 1200, 3); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A frame is worth sending for twice or half as much of anything, or another reordering threshold.
func TestAckPolicyDiffers(t *testing.T) {
	p := ackPolicy{19, 3, 8000, false, 0}
	for _, c := range []struct {
		q    ackPolicy
		want bool
	}{
		{ackPolicy{19, 3, 8000, false, 0}, false}, {ackPolicy{19, 4, 8000, false, 0}, true}, {ackPolicy{38, 3, 8000, false, 0}, false}, {ackPolicy{39, 3, 8000, false, 0}, true},
		{ackPolicy{10, 3, 8000, false, 0}, false}, {ackPolicy{9, 3, 8000, false, 0}, true}, {ackPolicy{19, 3, 15999, false, 0}, false}, {ackPolicy{19, 3, 16000, false, 0}, true},
		{ackPolicy{19, 3, 4001, false, 0}, false}, {ackPolicy{19, 3, 4000, false, 0}, true}, {ackPolicy{19, 3, 0, false, 0}, true},
	} {
		if got := p.differs(&c.q); got != c.want {
			t.Errorf("%+v after %+v: %v, want %v", c.q, p, got, c.want)
		}
	}
	if p := (ackPolicy{1, 1, 0, false, 0}); p.differs(&p) {
		t.Error("no delay at all differs from itself")
	}
}

// There is one frame at a time, and not more than one in a round trip or in a max_ack_delay, whatever changes.
func TestAckFrequencyRate(t *testing.T) {
	const ms = time.Millisecond
	rec := recovery.NewPath(&fixedWindow{window: 400 * 1200}, 40*ms, 1200)
	a := ackFrequency{peerMax: 25 * ms}
	asks := func(at, srtt time.Duration, want bool, reason string) {
		t.Helper()
		rec.RTT.Smoothed = srtt
		p, ok := a.next(int64(at), &rec, 1200, 3)
		if ok != want {
			t.Errorf("%s: asked for %+v: %v, want %v", reason, p, ok, want)
		}
		if ok && !a.append(int64(at), newPacket(100), p) {
			t.Error("the frame does not fit")
		}
	}
	asks(1000*ms, 40*ms, true, "the first")
	asks(2000*ms, 80*ms, false, "it is under way")
	a.wished.onAcked(1)
	asks(1039*ms, 20*ms, true, "more than a round trip, as it is now, and a max_ack_delay have gone by")
	a.wished.onAcked(2)
	asks(1063*ms, 10*ms, false, "within a max_ack_delay")
	asks(1064*ms, 10*ms, true, "after a max_ack_delay")
	a.wished.onAcked(3)
	asks(1163*ms, 100*ms, false, "within a round trip")
	asks(1164*ms, 100*ms, true, "after a round trip")
	a.wished.onAcked(4)
	asks(2000*ms, 110*ms, false, "nothing much has changed")
	a.wished.tell.set()
	asks(2000*ms, 110*ms, true, "the last one was lost")
	if pkt := newPacket(20); a.append(1, pkt, ackPolicy{}) || len(pkt.b) > 0 || a.wished.tell.last() != 5 {
		t.Errorf("a frame of at most %d bytes was written where there is room for 20", maxAckFrequency)
	}
}

// Of several frames that are under way, the acknowledgement of the newest alone says what is in force.
func TestAckFrequencySeveralInFlight(t *testing.T) {
	rec := recovery.NewPath(&fixedWindow{window: 400 * 1200}, 40*time.Millisecond, 1200)
	a := ackFrequency{peerMax: 25 * time.Millisecond}
	send := func(now int64, srtt time.Duration) {
		t.Helper()
		rec.RTT.Smoothed = srtt
		pkt := newPacket(100)
		if p, ok := a.next(now, &rec, 1200, 3); !ok || !a.append(now, pkt, p) {
			t.Fatal("nothing was asked for")
		}
	}
	send(1e9, 40*time.Millisecond)
	a.wished.tell.onLost(1)
	send(2e9, 80*time.Millisecond)
	a.wished.tell.onLost(2)
	send(3e9, 20*time.Millisecond)
	for seq, want := range []time.Duration{25 * time.Millisecond, 25 * time.Millisecond, 25 * time.Millisecond, 5 * time.Millisecond} {
		if a.wished.onAcked(uint64(seq)); a.wished.maxDelay != want {
			t.Errorf("after the acknowledgement of frame %d: %v, want %v", seq, a.wished.maxDelay, want)
		}
	}
	a.wished.tell.set()
	send(4e9, 200*time.Millisecond)
	if a.wished.maxDelay != 25*time.Millisecond {
		t.Errorf("%v with a frame of 25 ms under way", a.wished.maxDelay)
	}
}
