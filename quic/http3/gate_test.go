package http3

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Who comes to a gate while it is being opened waits until it is, also in a bubble, and after a panic.
func TestGate(t *testing.T) {
	for _, panics := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var g gate
			var wg sync.WaitGroup
			began, calls := time.Now(), 0
			for range 10 {
				wg.Go(func() {
					defer func() { recover() }()
					g.do(func() {
						calls++
						time.Sleep(time.Minute)
						if panics {
							panic("a hook")
						}
					})
					if d := time.Since(began); d != time.Minute {
						t.Errorf("it was open after %v", d)
					}
				})
			}
			wg.Wait()
			g.do(func() { calls++ })
			if calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}
