package main

// #include "internal.h"
import "C"

import (
	"sync"
	"unsafe"
)

// queue is a bquic_queue: the connections that have events to tell, and a descriptor that is readable as long as there are any.
type queue struct {
	object
	teller // of the call of wait

	mu      sync.Mutex // taken after the lock of a connection, never before
	ready   []*netConn // the one that has waited longest first
	sign    sign       // is up as long as ready has any
	bell    bell
	waiting bool // wait is called
	freed   bool
}

//export bq_go_queue_new
func bq_go_queue_new(h *C.uint64_t) C.int32_t {
	return C.int32_t(call(func() error {
		s, err := newSign()
		if err != nil {
			return err
		}
		q := &queue{sign: s}
		q.object.self = q
		register(&q.object, kindQueue)
		*h = C.uint64_t(q.handle)
		return nil
	}))
}

//export bq_go_queue_free
func bq_go_queue_free(h C.uint64_t) C.int32_t {
	return C.int32_t(in(handle(h), kindQueue, func(q *queue) error {
		if !unregister(&q.object) {
			return handleError(handle(h), kindQueue)
		}
		q.free()
		return nil
	}))
}

// free lets go of everything: at once, or when the call of wait returns.
func (q *queue) free() {
	q.mu.Lock()
	ready, waiting := q.ready, q.waiting
	q.ready, q.freed = nil, true
	q.bell.ring()
	q.mu.Unlock()
	for _, n := range ready {
		_ = n.within(func(*conn) error { return nil }) // whoever it was to tell of is gone: see pump
	}
	if !waiting {
		q.release()
	}
}

//export bq_go_queue_fd
func bq_go_queue_fd(h C.uint64_t, fd *C.int32_t) C.int32_t {
	return C.int32_t(in(handle(h), kindQueue, func(q *queue) error {
		*fd = C.int32_t(q.sign.fd())
		return nil
	}))
}

//export bq_go_queue_wait
func bq_go_queue_wait(h C.uint64_t, events *C.bquic_event, most C.uint32_t, timeout C.uint64_t, count *C.int32_t) C.int32_t {
	return C.int32_t(in(handle(h), kindQueue, func(q *queue) (err error) {
		if err := q.enter(handle(h)); err != nil {
			return err
		}
		n, room := 0, unsafe.Slice(events, most)
		defer func() {
			if q.exit() { // what the events point to went with it
				abandon(room[:n])
				err = handleError(handle(h), kindQueue)
			}
		}()
		n, err = q.wait(handle(h), room, timeout)
		*count = C.int32_t(n)
		return err
	}))
}

// abandon frees the connections that are new with events which the program will not see: it does not know of them.
func abandon(events []C.bquic_event) {
	for i := range events {
		if ev := &events[i]; ev.kind == C.BQUIC_EVENT_ACCEPTED {
			_ = freeConn(*(*handle)(unsafe.Pointer(&ev.conn)))
		}
	}
}

// wait is bquic_queue_wait.
func (q *queue) wait(h handle, room []C.bquic_event, timeout C.uint64_t) (n int, err error) {
	q.forget()
	q.lent.reset()
	p := patience{timeout: timeout, over: timeout == 0}
	defer p.end()
	for {
		for n < len(room) {
			c := q.pop()
			if c == nil {
				break
			}
			n += c.tell(&q.teller, room[n:])
		}
		if n > 0 || p.over {
			return n, nil
		}
		bell, freed := q.listen()
		if freed {
			return 0, handleError(h, kindQueue)
		}
		if bell == nil {
			continue
		}
		p.wait(bell)
	}
}

// push has a connection be asked for events; false: nobody will ever ask. Its lock is held.
func (q *queue) push(n *netConn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.freed || n.queued {
		return !q.freed
	}
	n.queued = true
	q.ready = append(q.ready, n)
	if len(q.ready) == 1 {
		q.sign.raise()
		q.bell.ring()
	}
	return true
}

func (q *queue) isFreed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.freed
}

// pop returns the connection that is to be asked, nil if there is none.
func (q *queue) pop() *netConn {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ready) == 0 {
		return nil
	}
	n := q.ready[0]
	n.queued = false
	q.ready[0] = nil
	if q.ready = q.ready[1:]; len(q.ready) == 0 {
		q.ready = nil
		q.sign.lower()
	}
	return n
}

// listen returns what is closed when a connection has come; nil: there is one.
func (q *queue) listen() (bell <-chan struct{}, freed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.freed || len(q.ready) > 0 {
		return nil, q.freed
	}
	return q.bell.listen(), false
}

// enter begins a call that uses the descriptor and the memory that is lent.
func (q *queue) enter(h handle) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.freed:
		return handleError(h, kindQueue)
	case q.waiting:
		return faultf(errBusy, "another thread is waiting for the queue's events")
	}
	q.waiting = true
	return nil
}

// exit ends it, and tells whether the queue was freed meanwhile.
func (q *queue) exit() (freed bool) {
	q.mu.Lock()
	q.waiting, freed = false, q.freed
	q.mu.Unlock()
	if freed {
		q.release()
	}
	return freed
}

// release lets go of what is not Go's, and of what the next call would have, when there is none any more.
func (q *queue) release() {
	q.sign.close()
	q.lent.free()
	q.forget()
}

// forget frees the connections of which BQUIC_EVENT_DRAINED was told.
func (q *queue) forget() {
	for _, c := range q.over {
		if unregister(&c.object) {
			c.net.leave()
		}
	}
	clear(q.over)
	q.over = q.over[:0]
}
