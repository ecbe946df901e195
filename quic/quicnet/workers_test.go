package quicnet

import (
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
)

// idleWorkers returns how many wait, once every goroutine of the bubble does.
func idleWorkers(w *workers) int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.idle)
}

// Handlers that run one after the other share a goroutine, and each has its own stream.
func TestWorkersAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w workers
		var got []*Stream
		want := make([]*Stream, 100)
		for i := range want {
			want[i] = &Stream{id: uint64(i)}
			w.start(func(s *Stream) { got = append(got, s) }, want[i])
			if n := idleWorkers(&w); n != 1 {
				t.Fatalf("%d workers wait after stream %d, want 1", n, i)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("handled: %v", got)
		}
		w.stop() // the bubble does not end before its goroutines
	})
}

// What comes together is served by few goroutines, in the order in which it came.
func TestWorkersServeWhatWaits(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // else each handler may have a processor of its own
	synctest.Test(t, func(t *testing.T) {
		var w workers
		var got []*Stream
		want := make([]*Stream, 1000)
		for i := range want {
			want[i] = &Stream{id: uint64(i)}
			w.start(func(s *Stream) { got = append(got, s) }, want[i])
		}
		if n := idleWorkers(&w); n > 10 { // two, unless one is interrupted in its task
			t.Errorf("%d workers for %d streams", n, len(want))
		}
		if !slices.Equal(got, want) {
			t.Errorf("handled: %v", got)
		}
		if w.waiting != nil || w.called {
			t.Errorf("room for %d tasks is kept; a worker is expected: %v", cap(w.waiting), w.called)
		}
		w.stop()
	})
}

// A task that takes its time holds up none of those that have come with it.
func TestWorkersWaitForNoTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w workers
		gate := make(chan struct{})
		done := 0
		for range 100 {
			w.start(func(*Stream) { <-gate }, nil)
			w.start(func(*Stream) { done++ }, nil)
			synctest.Wait()
		}
		if done != 100 {
			t.Errorf("%d of 100 tasks were served", done)
		}
		close(gate)
		synctest.Wait()
		w.stop()
	})
}

// A queue that is never empty keeps no more room than it needs.
func TestWorkersQueue(t *testing.T) {
	w := workers{called: true} // one that never comes
	served := 0
	for i := range 10000 {
		w.start(func(*Stream) { served++ }, nil)
		if i < 10 {
			continue
		}
		task, found, _ := w.next(nil, false)
		if !found {
			t.Fatal("no task is found")
		}
		task.serve()
	}
	if served != 9990 || len(w.waiting)-w.first != 10 || cap(w.waiting) > 64 {
		t.Errorf("%d tasks were served, %d wait, there is room for %d", served, len(w.waiting)-w.first, cap(w.waiting))
	}
}

// Handlers that run at once have a goroutine each, few of which are kept; when all is over none is left.
func TestWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w workers
		const n = maxIdleWorkers + 50
		gate := make(chan struct{})
		enter := make(chan struct{}, n)
		wait := func(*Stream) {
			enter <- struct{}{}
			<-gate
		}
		for range n {
			w.start(wait, nil)
		}
		synctest.Wait()
		if got, idle := len(enter), idleWorkers(&w); got != n || idle != 0 {
			t.Errorf("%d of %d handlers run at once, %d workers wait", got, n, idle)
		}
		close(gate)
		if got := idleWorkers(&w); got != maxIdleWorkers {
			t.Errorf("%d workers wait, want %d", got, maxIdleWorkers)
		}
		w.stop()
		last := make(chan struct{})
		w.start(func(*Stream) { close(last) }, nil) // an event that was on its way when the socket was closed
		<-last
		if got := idleWorkers(&w); got != 0 {
			t.Errorf("%d workers wait after the end", got)
		}
	})
}

// A handler may end its goroutine.
func TestWorkerGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w workers
		for range 3 {
			w.start(func(*Stream) { runtime.Goexit() }, nil)
		}
		if n := idleWorkers(&w); n != 0 {
			t.Errorf("%d workers wait that are gone", n)
		}
		done := false
		w.start(func(*Stream) { done = true }, nil)
		if n := idleWorkers(&w); n != 1 || !done {
			t.Errorf("the next handler has run: %v; %d workers wait", done, n)
		}
		w.stop()
	})
}
