package quicnet

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// SurvivePanics has a panic in a connection's turn end that connection, with INTERNAL_ERROR, in place of the program: one of the core, of a Protocol,
// or of this package where it acts for them, on whichever goroutine. cause is told of what panicked and of the stack, and returns what the connection's
// error unwraps to, of which the peer learns nothing; it is called under locks, so that it may not wait, nor call what is in this package. Nil stands
// for how it is by default: panics go on. It is for all endpoints, and is to be called before there are any.
//
// Go programs should leave it: what a panic has left behind nobody knows, and it shows a fault that is to be repaired. It is for a library in a process
// that belongs to others, such as the C API.
func SurvivePanics(cause func(value any, stack []byte) error) {
	if cause == nil {
		survive.Store(nil)
		return
	}
	survive.Store(&cause)
}

var survive atomic.Pointer[func(value any, stack []byte) error]

// damage is what panics have done to a connection.
type damage uint8

const (
	closing damage = iota + 1 // there was one, and the core has closed the connection
	lost                      // the core is not asked any more
)

// guard is deferred where a connection's turn may panic. c.mu is held.
func (c *Conn) guard(now time.Time) {
	f := survive.Load()
	if f == nil {
		return
	}
	if v := recover(); v != nil {
		c.onPanic(now, (*f)(v, debug.Stack()))
	}
}

// onPanic closes the connection. If that fails, too, or it has been struck before, the core is not asked any more.
func (c *Conn) onPanic(now time.Time, cause error) {
	if c.struck == 0 {
		c.struck = closing
		if c.tries(func() { c.core.Fail(now, cause) }) {
			c.handleEvents(now)
			return
		}
	}
	if c.struck == lost || c.drained {
		return
	}
	c.struck = lost
	c.tries(func() { c.shard.reply(c, quic.EndpointEvent{Kind: quic.ConnDrained}) })
	c.tries(c.core.Release)
	if !c.closed {
		c.tries(func() { c.onClosed(now) })
		if c.seat != nil {
			c.tries(func() { c.seat.handle(now, &quic.Event{Kind: quic.EventClosed}) })
		}
	}
	if !c.tries(c.onDrained) {
		c.shard.forget(c)
	}
}

// tries calls f, and tells whether it returned. A panic in it is not told: there was one before it.
func (c *Conn) tries(f func()) (returned bool) {
	defer func() { _ = recover() }()
	f()
	return true
}

func (c *Conn) guarded(now time.Time, f func()) {
	defer c.guard(now)
	f()
}

// recvTrain, onTimers and sendTrain are what the core does in each turn, guarded.

func (c *Conn) recvTrain(now time.Time, t quic.Train) {
	defer c.guard(now)
	c.core.Recv(now, t)
}

func (c *Conn) onTimers(now time.Time) {
	defer c.guard(now)
	c.core.OnTimeout(now)
}

// sendTrain is Send. If it panics, what it says is CONNECTION_CLOSE.
func (c *Conn) sendTrain(now time.Time, buf []byte) (t quic.Transmit) {
	before := c.struck
	if t = c.trySend(now, buf); before == 0 && c.struck == closing && !c.drained {
		t = c.trySend(now, buf)
	}
	return t
}

func (c *Conn) trySend(now time.Time, buf []byte) (t quic.Transmit) {
	defer c.guard(now)
	return c.core.Send(now, buf)
}

// guard is deferred where a shard's endpoint may panic on what has arrived: that is lost. sh.mu is held.
func (sh *shard) guard() {
	f := survive.Load()
	if f == nil {
		return
	}
	if v := recover(); v != nil {
		(*f)(v, debug.Stack())
	}
}
