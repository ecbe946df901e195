// Package alloctest counts what BoringSSL allocates, and makes allocations fail, in tests: a program that imports it takes over
// BoringSSL's allocations. Nothing but tests may import it.
package alloctest

// #include "alloc.h"
import "C"

// Live returns the bytes that BoringSSL holds now.
func Live() int64 { return int64(C.bq_alloc_live()) }

// Peak returns the most bytes that BoringSSL has held at a time since Peak was called last.
func Peak() int64 { return int64(C.bq_alloc_peak()) }

// Count returns how many allocations there have been.
func Count() int64 { return int64(C.bq_alloc_count()) }

// FailAt has the n-th allocation from now on fail, counted from 1, and with more also all after it; 0: none fails any more.
func FailAt(n int64, more bool) {
	cmore := C.int(0)
	if more {
		cmore = 1
	}
	C.bq_alloc_fail(C.int64_t(n), cmore)
}
