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
		alone := a.Bytes()
		b := n.StartFlow()
		time.Sleep(2 * time.Minute)
		x, y := a.Bytes()-alone, b.Bytes()
		if all := float64(x+y) * 8 / 120 / 10e6; all < 0.9 || all > 1 || x < y/2 || y < x/2 {
			t.Errorf("in two minutes they got %d and %d bytes: %.2f of the link", x, y, all)
		}
		t.Logf("alone %d, %d %d", alone, x, y)
	})
}
