package h3

import (
	"runtime"
	"testing"
	"time"
)

// TestWakingCost bounds what both ends of a connection allocate for a request that comes alone after a rest, also where thousands have gone before, so that
// one that is merely slow does not pay for its being quiet.
func TestWakingCost(t *testing.T) {
	const n, mostAllocs, mostBytes = 50, 110, 16 << 10
	p := newH3Exchanges(t, nil)
	p.do(20_000, 100)
	var allocs, bytes uint64
	for range n {
		p.pass(2 * time.Duration(restAfter))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.do(1, 1)
		runtime.ReadMemStats(&after)
		allocs += after.Mallocs - before.Mallocs
		bytes += after.TotalAlloc - before.TotalAlloc
	}
	t.Logf("%d allocations of %d bytes in all", allocs/n, bytes/n)
	if allocs > n*mostAllocs || bytes > n*mostBytes {
		t.Errorf("a request after a rest takes %d allocations of %d bytes in all, more than %d and %d", allocs/n, bytes/n, mostAllocs, mostBytes)
	}
}
