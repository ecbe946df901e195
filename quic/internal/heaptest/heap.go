// Package heaptest measures Go's heap. Nothing but tests may import it.
package heaptest

import "runtime"

// Live returns the bytes of Go's heap that are reachable.
func Live() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC() // what the first one finds unused, cleanups may still hold
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
