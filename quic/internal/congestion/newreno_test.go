package congestion

import (
	"testing"
	"time"
)

const (
	datagram = 1200
	ms       = int64(time.Millisecond)
)

// controllers are all there are, for what they have in common.
var controllers = map[string]func(maxDatagram int) Controller{
	"NewReno": func(n int) Controller { return NewNewReno(n) },
	"CUBIC":   func(n int) Controller { return NewCUBIC(n) },
}

// each runs a test with each controller for datagrams of 1,200 bytes.
func each(t *testing.T, test func(t *testing.T, c Controller)) {
	for name, build := range controllers {
		t.Run(name, func(t *testing.T) { test(t, build(datagram)) })
	}
}

// wantWindow compares the window, and gives the reason for what it should be.
func wantWindow(t *testing.T, c Controller, want int64, reason string) {
	t.Helper()
	if got := c.Window(); got != want {
		t.Fatalf("%s: window %d, want %d", reason, got, want)
	}
}

// RFC 9002, section 7.2: ten datagrams, but no more than the larger of 14,720 bytes and two datagrams.
func TestInitialWindow(t *testing.T) {
	for name, build := range controllers {
		for _, c := range []struct {
			maxDatagram int
			want        int64
		}{{1200, 12000}, {1472, 14720}, {1500, 14720}, {7360, 14720}, {9000, 18000}, {65527, 131054}} {
			if got := build(c.maxDatagram).Window(); got != c.want {
				t.Errorf("%s, datagrams of %d bytes: window %d, want %d", name, c.maxDatagram, got, c.want)
			}
		}
	}
}

// RFC 9002, section 7.3.1: in slow start the window grows by what is acknowledged.
func TestSlowStart(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		window, now := c.Window(), 1000*ms
		for range 6 {
			for acked := int64(0); acked < window; acked += datagram {
				before := c.Window()
				c.OnAck(now, Ack{Bytes: datagram, NewestSent: now - 100*ms})
				wantWindow(t, c, before+datagram, "an acknowledgement in slow start")
			}
			window, now = 2*window, now+100*ms
			wantWindow(t, c, window, "a round of slow start")
			if !c.SlowStart() {
				t.Fatal("slow start is over, and nothing was lost")
			}
		}
	})
}

// RFC 9002, section 7.3.2: what was sent before the reaction to a loss brings no second one, and does not grow the window.
func TestOneReductionPerRound(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		grow(c, 100*datagram)
		c.OnCongestion(1000*ms, 900*ms)
		reduced := c.Window()
		if reduced >= 100*datagram || c.SlowStart() {
			t.Fatalf("after a loss: window %d, slow start %v", reduced, c.SlowStart())
		}
		for _, sent := range []int64{1, 900 * ms, 999 * ms, 1000 * ms} {
			c.OnCongestion(1050*ms, sent)
			wantWindow(t, c, reduced, "a second loss of the same round")
			c.OnAck(1060*ms, Ack{Bytes: 50 * datagram, NewestSent: sent, SRTT: 100 * time.Millisecond})
			wantWindow(t, c, reduced, "an acknowledgement of what was sent before the reaction")
		}
		c.OnCongestion(1100*ms, 1000*ms+1)
		if got := c.Window(); got >= reduced {
			t.Errorf("a loss of the next round: window %d, want less than %d", got, reduced)
		}
	})
}

// grow brings a new controller to a window in slow start.
func grow(c Controller, window int64) {
	c.OnAck(1, Ack{Bytes: window - c.Window(), NewestSent: 1})
}

// RFC 9002, section 7.6: the window falls to two datagrams, and grows again in slow start up to half of what it was.
func TestPersistentCongestion(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		grow(c, 100*datagram)
		c.OnCongestion(1000*ms, 900*ms)
		threshold := c.Window()
		c.OnPersistentCongestion()
		wantWindow(t, c, 2*datagram, "persistent congestion")
		if !c.SlowStart() {
			t.Fatal("no slow start after persistent congestion")
		}
		for c.SlowStart() {
			before := c.Window()
			c.OnAck(1010*ms, Ack{Bytes: datagram, NewestSent: 800 * ms, SRTT: 100 * time.Millisecond}) // no recovery period any more
			wantWindow(t, c, before+datagram, "slow start after persistent congestion")
		}
		wantWindow(t, c, threshold, "the end of that slow start")
	})
}

// RFC 9002, section 7.2: two datagrams are the least.
func TestMinimumWindow(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		for i := range int64(50) {
			c.OnCongestion((i+1)*100*ms, (i+1)*100*ms-1)
		}
		wantWindow(t, c, 2*datagram, "loss after loss")
		c.SetMaxDatagram(1400)
		wantWindow(t, c, 2800, "larger datagrams")
		c.OnCongestion(6000*ms, 5999*ms)
		wantWindow(t, c, 2800, "a loss at the minimum")
		c.SetMaxDatagram(1200)
		wantWindow(t, c, 2800, "smaller datagrams")
	})
}

// RFC 9002, section 7.8: a window that is not used up does not grow.
func TestAppLimited(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		a := Ack{Bytes: 10 * datagram, NewestSent: 1, AppLimited: true, SRTT: 100 * time.Millisecond}
		c.OnAck(100*ms, a)
		wantWindow(t, c, 10*datagram, "slow start, limited by the application")
		grow(c, 100*datagram)
		c.OnCongestion(1000*ms, 900*ms)
		reduced := c.Window()
		for now := 1100 * ms; now < 100_000*ms; now += 100 * ms {
			a.NewestSent = now - 50*ms
			c.OnAck(now, a)
		}
		wantWindow(t, c, reduced, "congestion avoidance, limited by the application")
	})
}

// The window keeps below MaxWindow in slow start and after.
func TestMaxWindow(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		grow(c, MaxWindow-datagram)
		c.OnAck(2*ms, Ack{Bytes: 1 << 30, NewestSent: 1})
		wantWindow(t, c, MaxWindow, "slow start")
		c.OnCongestion(1000*ms, 900*ms)
		for now := int64(1100); now < 1_000_000; now += 100 {
			c.OnAck(now*ms, Ack{Bytes: c.Window(), NewestSent: (now - 50) * ms, SRTT: 100 * time.Millisecond})
			if c.Window() > MaxWindow {
				t.Fatalf("window %d", c.Window())
			}
		}
		if _, reno := c.(*NewReno); !reno {
			wantWindow(t, c, MaxWindow, "congestion avoidance for a quarter of an hour")
		}
	})
}

// A reaction to losses that were none is taken back, once, and never makes the window smaller.
func TestSpuriousLoss(t *testing.T) {
	each(t, func(t *testing.T, c Controller) {
		c.OnSpurious()
		wantWindow(t, c, 10*datagram, "a spurious loss without a reaction")
		grow(c, 100*datagram)
		c.OnCongestion(1000*ms, 900*ms)
		c.OnSpurious()
		wantWindow(t, c, 100*datagram, "a spurious loss")
		if !c.SlowStart() {
			t.Error("slow start does not go on after a spurious loss")
		}
		c.OnAck(1200*ms, Ack{Bytes: 10 * datagram, NewestSent: 1100 * ms})
		c.OnSpurious()
		wantWindow(t, c, 110*datagram, "the same again, with a window that has grown")

		c.OnCongestion(2000*ms, 1900*ms)
		c.OnCongestion(3000*ms, 2900*ms)
		before := c.Window()
		c.OnSpurious()
		if got := c.Window(); got <= before || got >= 110*datagram {
			t.Errorf("the second of two reactions taken back: window %d, want what it was before that one only", got)
		}
	})
}

// RFC 9002, section 7.3.3: half of the window is left, and each window that is acknowledged adds one datagram.
func TestNewRenoCongestionAvoidance(t *testing.T) {
	c := NewNewReno(datagram)
	grow(c, 20*datagram)
	c.OnCongestion(1000*ms, 900*ms)
	wantWindow(t, c, 10*datagram, "a loss")
	for packets := int64(10); packets < 15; packets++ {
		for range packets - 1 {
			c.OnAck(1200*ms, Ack{Bytes: datagram, NewestSent: 1100 * ms})
			wantWindow(t, c, packets*datagram, "within a window")
		}
		c.OnAck(1200*ms, Ack{Bytes: datagram, NewestSent: 1100 * ms})
		wantWindow(t, c, (packets+1)*datagram, "a whole window acknowledged")
	}
	// What was acknowledged before a loss does not count after it.
	c.OnAck(1300*ms, Ack{Bytes: 14 * datagram, NewestSent: 1200 * ms})
	c.OnCongestion(1400*ms, 1350*ms)
	wantWindow(t, c, 15*datagram/2, "another loss")
	c.OnAck(1500*ms, Ack{Bytes: 7 * datagram, NewestSent: 1450 * ms})
	wantWindow(t, c, 15*datagram/2, "less than a window since")
	c.OnAck(1500*ms, Ack{Bytes: datagram / 2, NewestSent: 1450 * ms})
	wantWindow(t, c, 15*datagram/2+datagram, "a window since")
}
