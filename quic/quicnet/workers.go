package quicnet

import "sync"

// workers are the goroutines that call the handlers of streams. One whose handler has returned waits for the next stream: its stack has
// grown by then, and to grow one for each small request would cost a third of what the request does.
type workers struct {
	mu      sync.Mutex
	idle    []chan task // the last one goes first
	stopped bool
}

// task is a Task, or a stream for its handler.
type task struct {
	task   Task
	handle func(*Stream)
	stream *Stream
}

// start has a handler called for a stream.
func (w *workers) start(handle func(*Stream), s *Stream) { w.give(task{handle: handle, stream: s}) }

// run has a Task served.
func (w *workers) run(t Task) { w.give(task{task: t}) }

func (w *workers) give(t task) {
	w.mu.Lock()
	n := len(w.idle)
	if n == 0 {
		w.mu.Unlock()
		go w.work(t)
		return
	}
	next := w.idle[n-1]
	w.idle = w.idle[:n-1]
	w.mu.Unlock()
	next <- t
}

func (w *workers) work(t task) {
	next := make(chan task, 1)
	for ok := true; ok; t, ok = <-next {
		if t.task != nil {
			t.task.Serve()
		} else {
			t.handle(t.stream)
		}
		t = task{}
		if !w.rest(next) {
			return
		}
	}
}

// rest notes that a worker waits for a task in next; false says that it is not to.
func (w *workers) rest(next chan task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || len(w.idle) == maxIdleWorkers {
		return false
	}
	w.idle = append(w.idle, next)
	return true
}

// stop ends the workers that wait, and the others when their handlers have returned.
func (w *workers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, next := range w.idle {
		close(next)
	}
	w.idle, w.stopped = nil, true
}
