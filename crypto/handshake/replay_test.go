package handshake

import (
	"encoding/binary"
	"runtime"
	"testing"
)

func idOf(n uint64) (id [32]byte) {
	binary.LittleEndian.PutUint64(id[:], n)
	return id
}

// A filter remembers for a window at least, whenever the time is looked at, and never longer than two where anything comes.
func TestReplayFilterWindow(t *testing.T) {
	const begin = 1_800_000_000
	for offset := int64(0); offset < 2*replayWindow; offset += 11 {
		for _, step := range []int64{1, 60, replayWindow - 1, replayWindow, replayWindow + 1} {
			f := newReplayFilter()
			want := func(n uint64, at int64, refused string) {
				t.Helper()
				if got := f.fresh(idOf(n), at); got != refused {
					t.Fatalf("offset %d, step %d, id %d at %d: %q, want %q", offset, step, n, at-begin, got, refused)
				}
			}
			want(0, begin, "")
			want(1, begin+offset, "")
			for at := begin + offset; at < begin+offset+replayWindow; at += step {
				want(1, at, reasonReplayed)
				want(uint64(at), at, "") // others, so that time goes on
			}
			want(1, begin+offset+replayWindow-1, reasonReplayed)
			want(2, begin+offset+2*replayWindow, "") // the first of a new span, if there was none since
			want(3, begin+offset+3*replayWindow, "")
			if n := len(f.young) + len(f.old); n > 3 {
				t.Fatalf("%d entries are left", n)
			}
		}
	}
}

// With a clock that goes back, what was forgotten could come again as a ticket of the right age. Nothing is accepted in 0-RTT then, until
// the clock is past that.
func TestReplayFilterClock(t *testing.T) {
	const begin = 1_800_000_000
	f := newReplayFilter()
	for at := int64(begin); at <= begin+10*replayWindow; at += replayWindow / 2 {
		if got := f.fresh(idOf(uint64(at)), at); got != "" {
			t.Fatal(got)
		}
	}
	end := int64(begin + 10*replayWindow)
	for at := int64(begin); at <= end; at += replayWindow / 2 {
		// Whatever was accepted at some time is refused at each time within a window of it.
		for now := at - replayWindow; now <= at+replayWindow; now += replayWindow / 4 {
			if now <= end && f.fresh(idOf(uint64(at)), now) == "" {
				t.Fatalf("what came at %d was accepted again at %d", at-begin, now-begin)
			}
		}
	}
	if got := f.fresh(idOf(1), begin); got != reasonClockBack {
		t.Errorf("a clock that went back: %q", got)
	}
	if got := f.fresh(idOf(2), end); got != "" {
		t.Errorf("a clock that is right again: %q", got)
	}
}

// A full filter refuses, and takes the memory that it is said to take; it is as good as new when the time is over.
func TestReplayFilterFull(t *testing.T) {
	const begin = 1_800_000_000
	f := newReplayFilter()
	before := heap()
	id := uint64(0)
	for _, at := range []int64{begin, begin + replayWindow} {
		for range maxReplayEntries {
			id++
			if got := f.fresh(idOf(id*0x9e3779b97f4a7c15), at); got != "" {
				t.Fatalf("id %d: %q", id, got)
			}
		}
		for range 3 {
			if got := f.fresh(idOf(0), at); got != reasonFull {
				t.Errorf("a full filter: %q", got)
			}
		}
		if got := f.fresh(idOf(id*0x9e3779b97f4a7c15), at); got != reasonReplayed {
			t.Errorf("a replay at a full filter: %q", got)
		}
	}
	if size := heap() - before; size > 20<<20 || size < 1<<20 {
		t.Errorf("a full filter has %d bytes, said to be less than 20 MiB", size)
	}
	f.forget(idOf(id * 0x9e3779b97f4a7c15))
	if got := f.fresh(idOf(0), begin+replayWindow); got != "" {
		t.Errorf("there is a place again: %q", got)
	}
	if got := f.fresh(idOf(1), begin+10*replayWindow); got != "" {
		t.Errorf("later: %q", got)
	}
	if size := heap() - before; size > 1<<20 {
		t.Errorf("%d bytes are left", size)
	}
	runtime.KeepAlive(f)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
