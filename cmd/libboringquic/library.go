package main

// #include <stdlib.h>
// #include "internal.h"
import "C"

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
	"unsafe"
)

//export bq_go_init
func bq_go_init(percent C.int32_t, limit C.uint64_t) C.int32_t {
	return C.int32_t(call(func() error {
		if limit > math.MaxInt64 {
			return faultf(errArgument, "memory_limit is %d, and can be at most 2^63-1", uint64(limit))
		}
		if percent == 0 {
			percent = 100
		}
		if limit == 0 {
			limit = math.MaxInt64
		}
		if percent < 0 && limit == math.MaxInt64 {
			return faultf(errArgument, "gc_percent is below 0 and memory_limit is 0, so that no memory would ever be used again")
		}
		debug.SetGCPercent(int(percent))
		debug.SetMemoryLimit(int64(limit))
		return nil
	}))
}

// bq_go_begin has Go's runtime open the two descriptors that it waits with, which it would do when it first sets a timer, as the collection of garbage
// does, too: then it ends the process where none is left.
//
//export bq_go_begin
func bq_go_begin() C.int32_t {
	return C.int32_t(call(func() error {
		first, err := newSign()
		if err == nil {
			var second sign
			if second, err = newSign(); err == nil {
				second.close()
			}
			first.close()
		}
		if err != nil {
			return faultf(errState, "the library begins with two descriptors, and cannot have them: %v", err)
		}
		time.AfterFunc(time.Hour, func() {}).Stop()
		return nil
	}))
}

//export bq_go_live_objects
func bq_go_live_objects() C.int64_t { return C.int64_t(objects.live.Load()) }

//export bq_go_memory_stats
func bq_go_memory_stats(m *C.bquic_memory) C.int32_t {
	return C.int32_t(call(func() error {
		s := []metrics.Sample{
			{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
			{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/sched/threads/total:threads"},
		}
		metrics.Read(s)
		m.used = C.uint64_t(s[0].Value.Uint64())
		m.reserved = C.uint64_t(s[1].Value.Uint64() - s[2].Value.Uint64())
		m.cleanups = C.uint64_t(s[3].Value.Uint64())
		m.threads = 0
		if s[4].Value.Kind() == metrics.KindUint64 { // since Go 1.26
			m.threads = C.uint32_t(s[4].Value.Uint64())
		}
		return nil
	}))
}

// readRootsEnv has Go know what names roots in place of the system's. Its environment is a copy, of about when main begins, and a program may have set these
// since. They stay what they are for the program: what is written to its environment is what was read there.
func readRootsEnv() {
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		switch value := text(C.getenv((*C.char)(unsafe.Pointer(unsafe.StringData(name + "\x00"))))); value {
		case os.Getenv(name):
		case "":
			os.Unsetenv(name)
		default:
			os.Setenv(name, value)
		}
	}
}

// A process of one core has two of Go's processors. With one the runtime takes it away from each call that is out in C for 20 us, as a program is between
// two calls of ours, since nobody else could run Go: then the next call has to wake threads to get it back, again and again.
func init() {
	if runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2)
	}
}

// A thread that calls us often is one goroutine to Go, which runs, as Go sees it, without an end, also while it is out in C. After 10 ms of that Go takes
// its processor away, which the next call has to get back, and looks every 20 us what becomes of it: some 3 % of the time where a process has one core.
// So it lets others have their turn before that; of several such threads the one that comes first when it is time. Who pauses as long has given a turn.
const turnEvery = 5 * time.Millisecond

var lastTurn atomic.Int64 // of others, in ns since began

// turnIsDue tells whether it is time for a turn of others, which is taken for made then.
func turnIsDue(now time.Time) bool {
	at, last := now.Sub(began), lastTurn.Load()
	since := at - time.Duration(last)
	return since >= turnEvery && lastTurn.CompareAndSwap(last, int64(at)) && since < 2*turnEvery
}

// afterTurn is the time, once other goroutines have had their turn if it was time for that. What programs call again and again asks for it.
func afterTurn() time.Time {
	now := time.Now()
	if turnIsDue(now) {
		runtime.Gosched()
		now = time.Now()
	}
	return now
}

// began is one moment on both clocks: Go's, and C's CLOCK_MONOTONIC in nanoseconds, which is not later.
var began, beganC = sameMoment()

// sameMoment reads both clocks as close to each other as a few attempts allow: some 100 ns.
func sameMoment() (t time.Time, c uint64) {
	best := uint64(math.MaxUint64)
	for range 16 {
		before := uint64(C.bquic_now())
		now := time.Now()
		if gap := uint64(C.bquic_now()) - before; gap < best {
			t, c, best = now, before, gap
		}
	}
	return t, c
}

// moment is the time.Time of a time of C's; 0 is now.
func moment(ns C.uint64_t) time.Time {
	if ns == 0 {
		return time.Now()
	}
	return began.Add(time.Duration(uint64(ns) - beganC))
}

// ns is the time of C's of a time.Time.
func ns(t time.Time) C.uint64_t { return C.uint64_t(beganC + uint64(t.Sub(began))) }
