package netem

import (
	"testing"
	"testing/synctest"
	"time"
)

// Two flows fill the link, and share it.
func TestFlowsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Link{Rate: Both[int64](10e6), Delay: Both(15 * time.Millisecond), Queue: 25})
		defer n.Close()
		a := n.StartFlow()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		alone := a.Bytes()
		b := n.StartFlow()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		x, y := a.Bytes()-alone, b.Bytes()
		if all := float64(x+y) * 8 / 120 / 10e6; all < 0.9 || all > 1 || x < y/2 || y < x/2 {
			t.Errorf("in two minutes they got %d and %d bytes: %.2f of the link", x, y, all)
		}
		t.Logf("alone %d, %d %d", alone, x, y)
	})
}

// byTime is a queue that counts bytes: what would wait for longer finds no place.
type byTime time.Duration

func (q byTime) Join(_ time.Time, wait time.Duration, _ *Packet) bool { return wait < time.Duration(q) }

// A flow with smaller packets gets less of the link where the queue counts packets, and about what it should where it counts bytes.
func TestFlowSizes(t *testing.T) {
	share := func(l Link) (part float64) {
		synctest.Test(t, func(t *testing.T) {
			l.Rate, l.Delay = Both[int64](10e6), Both(15*time.Millisecond)
			n := New(1, l)
			defer n.Close()
			large, small := n.startFlow(1500), n.startFlow(1228)
			time.Sleep(time.Minute)
			synctest.Wait()
			part = float64(small.Bytes()) / float64(large.Bytes()+small.Bytes())
		})
		return part
	}
	packets := share(Link{Queue: 25})
	bytes := share(Link{Queue: 1000, AQM: [2]AQM{ToClient: byTime(30 * time.Millisecond)}})
	if t.Logf("%.2f and %.2f", packets, bytes); packets > 0.4 || bytes < 0.4 || bytes > 0.6 {
		t.Errorf("small packets have %.2f of the link by a queue that counts packets, %.2f by one that counts bytes", packets, bytes)
	}
}
