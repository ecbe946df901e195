package main

// #include "internal.h"
import "C"

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// netConn is what a connection of the event loop has: the Protocol that lives in its turn. Whatever C wants of the connection is done under
// the lock of quicnet's (within); events come under the same one. What waits, waits without it.
type netConn struct {
	conn  *conn
	quic  *quicnet.Conn // nil: it is being made, or did not come about
	queue *queue        // where events go; nil: nowhere
	from  *socket       // that has accepted it; nil: we have dialled

	turn   *quicnet.Turn // while the lock is held
	teller teller
	freed  bool
	live   bool // it has a handle
	untold bool // which its queue has not told yet: the program does not know of the connection
	over   atomic.Bool

	opened, accepted [2]uint64           // streams of the peer's, bidirectional and unidirectional
	unacked          map[uint64]struct{} // streams that were ended and have not arrived
	lost             bool                // some never will
	full             bool                // there was no room for a datagram

	events []quic.Event // of the core, that HTTP/3 and the program do not know yet
	raised [2]bool      // there is an EventStreamsAvailable among them
	told   []found      // events that wait to be told
	queued bool         // in queue.ready; guarded by the queue's lock

	bells map[uint64]bell // of what is waited for: a stream, or anyBell

	making // while quic is nil
}

// making is a connection that does not exist yet.
type making struct {
	solo   sync.Mutex // in place of the connection's lock
	cancel context.CancelFunc
	moved  *netConn // what it has become, whose connection has its handle now
	failed error    // why it did not come about
}

// anyBell rings for all but single streams.
const anyBell = 1<<64 - 1

// maxUntold is how many events of a connection wait to be told before the core's are taken any more. Where one place is left, HTTP/3 is given all that the core
// has at once, and keeps what it makes of them: what it may keep of a stream is bounded by h3, and the streams by what the peer may open, which also bounds the
// core's events: further ones of a stream come when the program has acted on it.
const maxUntold = 128

// Of events that need no act of the program's, so many wait, the newest.
const (
	maxUntoldPaths    = 16
	maxUntoldSessions = 4
)

// newNetConn makes a connection in its first turn.
func newNetConn(t *quicnet.Turn, s *settings, q *queue) *netConn {
	n := &netConn{quic: t.Conn, queue: q, turn: t}
	n.conn = &conn{net: n, core: t.Core, settings: s, at: -1}
	n.conn.object.self = n.conn
	return n
}

// netConnOf returns the connection of a handle if it is one of the event loop, else nil.
func netConnOf(h C.uint64_t) *netConn {
	if o := lookup(handle(h)); o != nil && handle(h).kind() == kindConn {
		return o.self.(*conn).net
	}
	return nil
}

// within calls f with the connection's lock, also while there is no connection. A panic strikes the connection alone.
func (n *netConn) within(f func(c *conn) error) (err error) {
	for n.quic == nil {
		n.solo.Lock()
		next := n.moved
		if next == nil {
			defer n.solo.Unlock()
			return n.run(f)
		}
		n.solo.Unlock()
		n = next
	}
	n.quic.Do(func(t *quicnet.Turn) {
		n.turn = t
		err = n.run(f)
	})
	return err
}

// do is within for what needs a connection.
func (n *netConn) do(f func(c *conn) error) error {
	return n.within(func(c *conn) error {
		if err := c.net.usable(); err != nil {
			return err
		}
		return f(c)
	})
}

var errMaking = &fault{errState, "the connection is still being made: BQUIC_EVENT_HANDSHAKE_COMPLETE, or bquic_conn_wait, tells when it is there"}

// usable says why there is no connection.
func (n *netConn) usable() error {
	switch {
	case n.freed:
		return handleError(n.conn.handle, kindConn)
	case n.failed != nil:
		return &fault{errClosed, n.failed.Error()}
	case n.quic == nil:
		return errMaking
	}
	return nil
}

func (n *netConn) run(f func(c *conn) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			fault := panicked(v, debug.Stack())
			surrender(&n.conn.object, fault)
			err = fault
		}
	}()
	err = f(n.conn)
	n.pump()
	return err
}

// HandleEvent, of quicnet.Protocol, takes note of what has happened, and wakes who waits for it.
func (n *netConn) HandleEvent(t *quicnet.Turn, ev *quic.Event) (woke bool) {
	n.turn = t
	_ = n.run(func(c *conn) error {
		bell := uint64(anyBell)
		switch ev.Kind {
		case quic.EventStreamOpened:
			n.opened[ev.Stream>>1&1]++
		case quic.EventReadable, quic.EventWritable, quic.EventStreamReset:
			bell = ev.Stream
		case quic.EventStreamStopped, quic.EventStreamAcked, quic.EventStreamFinished:
			if c.noteCut(ev.Stream); len(n.unacked) == 0 {
				woke = n.ring(anyBell)
			}
			bell = ev.Stream
		case quic.EventDatagramWritable:
			n.full = false
		case quic.EventEarlyData:
			if c.core.IsClient() && !ev.Accepted && !ev.Resent {
				n.unacked = nil
				n.ringAll()
			}
		case quic.EventClosed:
			n.over.Store(true)
			n.lost, n.unacked = len(n.unacked) > 0, nil
			n.ringAll()
		}
		if n.queue != nil || n.conn.settings.http != nil {
			n.keep(ev)
		}
		woke = n.ring(bell) || woke
		return nil
	})
	return woke
}

// keep has an event be told.
func (n *netConn) keep(ev *quic.Event) {
	switch ev.Kind {
	case quic.EventStreamsAvailable:
		raised := &n.raised[ev.Stream>>1&1]
		if *raised {
			return
		}
		*raised = true
	case quic.EventMTU:
		n.newest(ev.Kind, 1)
	case quic.EventPath:
		n.newest(ev.Kind, maxUntoldPaths)
	case quic.EventSession:
		if i := len(n.events) - 1; i >= 0 && n.events[i].Kind == ev.Kind && n.events[i].Session.SameTicket(ev.Session) {
			n.events = n.events[:i]
		}
		n.newest(ev.Kind, maxUntoldSessions)
	}
	n.events = append(n.events, *ev)
	if n.conn.settings.http == nil {
		n.conn.bindCore(&n.events[len(n.events)-1])
	}
}

// newest makes room for one more event of a kind, of which most are kept.
func (n *netConn) newest(kind quic.EventKind, most int) {
	first, count := 0, 0
	for i := len(n.events) - 1; i >= 0; i-- {
		if n.events[i].Kind == kind {
			first, count = i, count+1
		}
	}
	if count >= most {
		n.events = slices.Delete(n.events, first, first+1)
	}
}

// next reads the oldest event that was kept.
func (n *netConn) next(ev *quic.Event) (ok bool) {
	if len(n.events) == 0 {
		return false
	}
	*ev, n.events[0] = n.events[0], quic.Event{}
	if n.events = n.events[1:]; len(n.events) == 0 {
		n.events = nil
	}
	if ev.Kind == quic.EventStreamsAvailable {
		n.raised[ev.Stream>>1&1] = false
	}
	return true
}

// pump finds out what there is to be told, and has the queue know. Where that was freed there is none any more, and nobody ever hears of a connection that
// was not told of.
func (n *netConn) pump() {
	n.gather()
	if len(n.told) == 0 || !n.live && n.quic != nil || n.queue.push(n) {
		return
	}
	n.queue, n.told = nil, nil
	if n.untold {
		n.known()
		unregister(&n.conn.object)
		n.freed, n.events = true, nil
		n.conn.core.Close(n.turn.Now, true, n.CloseCode(), "")
	}
	n.gather()
}

// known takes note that the program knows of the connection, or never will.
func (n *netConn) known() {
	n.untold = false
	n.from.waiting.Add(-1)
}

// gather finds out what there is to be told. Without a queue nobody is told, and HTTP/3 goes on.
func (n *netConn) gather() {
	if n.freed || n.quic == nil {
		return
	}
	n.teller.now = n.turn.Now
	for len(n.told) < maxUntold && n.conn.next(&n.teller) {
		if n.queue != nil {
			f := n.teller.found.owned()
			n.conn.bind(&f)
			n.told = append(n.told, f)
		}
		if n.teller.found.kind == toldHTTP {
			n.ring(n.teller.found.http.Stream)
			n.ring(anyBell)
		}
	}
	n.teller.found = found{}
}

// owned returns an event that stays as it is when others are found. What HTTP/3 tells lies in its memory until then.
func (f found) owned() found {
	if f.kind != toldHTTP {
		f.http = nil
		return f
	}
	ev := *f.http
	if ev.Message != nil {
		m := *ev.Message
		m.Fields = slices.Clone(m.Fields)
		ev.Message = &m
	}
	ev.Fields = slices.Clone(ev.Fields)
	f.http = &ev
	return f
}

// tell writes events that wait, as many as there is room for, and returns how many.
func (n *netConn) tell(t *teller, room []C.bquic_event) (count int) {
	_ = n.within(func(c *conn) error {
		n := c.net
		for count < len(room) && len(n.told) > 0 && !n.freed {
			t.found = n.told[0]
			n.told[0] = found{}
			if n.told = n.told[1:]; len(n.told) == 0 {
				n.told = nil
			}
			c.tell(t, &room[count])
			count++
			if t.found.kind == toldAccepted {
				n.known()
			}
			if len(n.told) == 0 {
				n.gather()
			}
		}
		return nil
	})
	return count
}

// bell returns what is closed when something has happened to a stream, or, of anyBell, to the connection.
func (n *netConn) bell(of uint64) <-chan struct{} {
	if n.bells == nil {
		n.bells = make(map[uint64]bell)
	}
	b := n.bells[of]
	next := b.listen()
	n.bells[of] = b
	return next
}

// ring has those who wait look again, and tells whether there may be any.
func (n *netConn) ring(of uint64) bool {
	b := n.bells[of]
	delete(n.bells, of)
	return b.ring()
}

func (n *netConn) ringAll() {
	for of := range n.bells {
		n.ring(of)
	}
}

// await calls try, under the lock, until it is done, at most timeout nanoseconds. It is called again when the bell has rung.
func (n *netConn) await(of uint64, timeout C.uint64_t, try func(c *conn) (done bool, err error)) error {
	p := patience{timeout: timeout, over: timeout == 0}
	defer p.end()
	for {
		done := false
		var bell <-chan struct{}
		err := n.within(func(c *conn) (err error) {
			if err = c.net.usable(); err == nil {
				done, err = try(c)
			}
			switch {
			case p.over: // nobody would wait for it
			case err == errMaking:
				bell = c.net.bell(anyBell)
			case err == nil && !done:
				bell = c.net.bell(of)
			}
			return err
		})
		switch {
		case done || err != nil && err != errMaking:
			return err
		case p.over:
			return errExpired
		}
		p.wait(bell)
	}
}

var errExpired = &fault{errTimeout, "nothing has come in the time that was given"}

// ring has other threads of the program look again that wait for stream id, of which this one has ended a part, or for BQUIC_WAIT_DELIVERED.
func (c *conn) ring(id uint64) {
	if c.net != nil {
		c.net.ring(id)
		c.net.ring(anyBell)
	}
}

// noteEnd notes that the end of a stream was written, for BQUIC_WAIT_DELIVERED, and for who waits to write more.
func (c *conn) noteEnd(id uint64, ended bool) {
	if c.net == nil || !ended {
		return
	}
	if c.net.unacked == nil {
		c.net.unacked = make(map[uint64]struct{})
	}
	c.net.unacked[id] = struct{}{}
	c.net.ring(id)
}

// noteCut notes that a stream's end has arrived, or never will.
func (c *conn) noteCut(id uint64) {
	if c.net != nil {
		delete(c.net.unacked, id)
	}
}

// noteFull notes that there was no room for a datagram.
func (c *conn) noteFull(err error) {
	if c.net != nil && errors.Is(err, quic.ErrDatagramQueueFull) {
		c.net.full = true
	}
}

// close is bquic_conn_close.
func (n *netConn) close(code uint64, reason string) error {
	if err := n.do(func(c *conn) error { n = c.net; return nil }); err != nil {
		return err
	}
	return n.quic.CloseWithError(code, reason)
}

// freeConn is bquic_conn_free.
func freeConn(h handle) error {
	o := lookup(h)
	for o != nil && !unregister(o) {
		o = lookup(h) // it has become a connection meanwhile, or was freed
	}
	if o == nil {
		return handleError(h, kindConn)
	}
	o.self.(*conn).net.leave()
	return nil
}

// leave lets a connection go whose handle is gone.
func (n *netConn) leave() {
	_ = n.within(func(c *conn) error {
		n = c.net
		n.freed = true
		n.events, n.told = nil, nil
		n.ringAll()
		return nil
	})
	if n.quic == nil {
		n.cancel()
		return
	}
	_ = n.quic.Close()
}

// What follows is for HTTP/3, and for quicnet.Protocol.

func (n *netConn) Timeout() (at time.Time) {
	if http := n.conn.http; http != nil {
		at = http.Timeout()
	}
	return at
}

func (n *netConn) OnTimeout(t *quicnet.Turn) bool {
	n.turn = t
	_ = n.run(func(c *conn) error {
		c.http.OnTimeout(t.Now)
		return nil
	})
	return false
}

// Drain is not called: nobody calls quicnet.Endpoint.Shutdown. CloseCode belongs to it.
func (n *netConn) Drain(*quicnet.Turn) bool { return false }

// AfterEvents does nothing: HandleEvent has acted on each event.
func (n *netConn) AfterEvents(*quicnet.Turn) bool { return false }

func (n *netConn) CloseCode() uint64 {
	if n.conn.settings.http != nil {
		return uint64(h3.ErrCodeNoError)
	}
	return 0
}

// There are no Streams: C names them by their IDs.

var errNoStream = errors.New("there is no Stream")

func (n *netConn) StreamRecv(*quicnet.Turn, uint64, []byte) (int, bool, error) {
	return 0, false, errNoStream
}

func (n *netConn) StreamSend(*quicnet.Turn, uint64, []byte, bool) (int, error) { return 0, errNoStream }

func (n *netConn) StreamShutdown(*quicnet.Turn, uint64, quic.Direction, uint64) error {
	return errNoStream
}
