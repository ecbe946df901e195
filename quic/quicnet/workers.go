package quicnet

import (
	"slices"
	"sync"
)

// workers are the goroutines that serve tasks: those of a Protocol, and the handlers of streams. What has come together is served by few of
// them: one whose task is over takes the next that waits, with a stack that has grown by then and no switch to another goroutine,
// which would cost a small request a tenth of what it takes. But no task waits for another to end: whenever one waits, a worker is on its way
// that serves none, and who comes to a task while others wait sends for the next one.
type workers struct {
	mu      sync.Mutex
	waiting []task // from first on, the oldest first
	first   int
	called  bool            // a worker was woken or started, and has not looked yet: it is so whenever a task waits
	idle    []chan struct{} // of those that rest; the last one goes first
	stopped bool
}

// task is a Task, or a stream for its handler.
type task struct {
	task   Task
	handle func(*Stream)
	stream *Stream
}

func (t *task) serve() {
	if t.task != nil {
		t.task.Serve()
	} else {
		t.handle(t.stream)
	}
}

// start has a handler called for a stream.
func (w *workers) start(handle func(*Stream), s *Stream) { w.give(task{handle: handle, stream: s}) }

// run has a Task served.
func (w *workers) run(t Task) { w.give(task{task: t}) }

func (w *workers) give(t task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == cap(w.waiting) && w.first > len(w.waiting)/2 {
		w.waiting = slices.Delete(w.waiting, 0, w.first)
		w.first = 0
	}
	w.waiting = append(w.waiting, t)
	if !w.called {
		w.call()
	}
}

// call has a worker come. w.mu is held.
func (w *workers) call() {
	w.called = true
	n := len(w.idle)
	if n == 0 {
		go w.work()
		return
	}
	w.idle[n-1] <- struct{}{}
	w.idle = w.idle[:n-1]
}

func (w *workers) work() {
	wake := make(chan struct{}, 1)
	called := true
	for {
		t, found, rests := w.next(wake, called)
		called = false
		switch {
		case found:
			t.serve()
		case rests:
			if _, called = <-wake; !called {
				return
			}
		default:
			return
		}
	}
}

// next returns the task that has waited longest. called says that this is the worker that was called: if more wait, another one is. Where
// there is no task, rests says that wake tells when to look again, unless it is closed.
func (w *workers) next(wake chan struct{}, called bool) (t task, found, rests bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if called {
		w.called = false
	}
	if w.first == len(w.waiting) {
		if w.stopped || len(w.idle) == maxIdleWorkers {
			return task{}, false, false
		}
		w.idle = append(w.idle, wake)
		return task{}, false, true
	}
	t, w.waiting[w.first] = w.waiting[w.first], task{}
	w.first++
	if w.first < len(w.waiting) {
		if called {
			w.call()
		}
		return t, true, false
	}
	w.first, w.waiting = 0, w.waiting[:0]
	if cap(w.waiting) > keepTasks {
		w.waiting = nil
	}
	return t, true, false
}

// stop ends the workers that rest, and the others when their tasks are over.
func (w *workers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wake := range w.idle {
		close(wake)
	}
	w.idle, w.stopped = nil, true
}
