package quicnet

import (
	"io"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Turn is what a Protocol, or a function given to Conn.Do, works with while it has the connection's lock. It is valid until that returns.
type Turn struct {
	Conn *Conn      // whose methods may not be called here, since they take the lock
	Core *quic.Conn // all of it may be called but NextEvent, Recv, Send, OnTimeout, Answer, HandleReply and Release
	Now  time.Time

	woke bool
}

// Do calls f with the connection's lock, deals with what comes of it, and sends what is there: with what other goroutines add at
// about the same time in one train, as Stream.Write does. It takes the lock once, and allocates nothing on a connection that has a
// Protocol. f keeps to what is said at Protocol: it may not wait, and calls no methods that take the lock, Do included. On a
// connection that is closed f is called all the same; what it tries fails there.
//
// It is for goroutines that are not in a turn: called from a Protocol's methods, it would wait for itself for ever.
func (c *Conn) Do(f func(t *Turn)) {
	c.mu.Lock()
	now := time.Now()
	var t *Turn
	if c.framer() != nil {
		t = c.seat.begin(now)
	} else {
		t = &Turn{Conn: c, Core: c.core, Now: now}
	}
	f(t)
	t.woke = false
	c.endTurn(now, 0)
}

// endTurn deals with what a turn outside of a batch has brought, lets the lock go, and sends. The turn has written n bytes.
func (c *Conn) endTurn(now time.Time, n int) {
	c.handleEvents(now)
	claimed := c.wantsTurn()
	c.mu.Unlock()
	if claimed {
		c.flushSoon(n)
	}
}

// wantsTurn tells whether the caller is to send what calls on the core have left to be sent. If not, it sees to it that the Protocol's
// timer is right. c.mu is held.
func (c *Conn) wantsTurn() bool {
	if c.core.WantsSend() {
		return c.claim()
	}
	if p := c.framer(); p != nil && !c.flushing && !c.drained && !p.Timeout().Equal(c.seat.asked) {
		c.arm(time.Now())
	}
	return false
}

// Stream returns the Stream with an ID of a stream that the core has, or that is over and has a Stream still; it makes one if there is none.
// Its Read, Write, WriteFinal, Close, CancelRead, CancelWrite, Abort, WriteTo and ReadFrom come to the Protocol's StreamRecv,
// StreamSend and StreamShutdown; deadlines, Context and Acked are as ever. It must be ended by those who use it, as any Stream, or by End:
// it stays, and with it some 128 bytes, until both parts have ended. AckedBytes counts the bytes that frame what was written, too,
// but is never more than that. A Stream does not know of a reset that came before it was made: the Protocol does.
func (t *Turn) Stream(id uint64) *Stream { return t.stream(id, framedStream) }

// RawStream is Stream for one whose bytes go to the core as they are, and that is woken by the core's events: for a stream that is
// taken over from the Protocol, which must leave it alone from then on. If there is a Stream for the ID, it becomes one such.
func (t *Turn) RawStream(id uint64) *Stream { return t.stream(id, rawStream) }

// Lookup returns the Stream that there is for an ID, nil if there is none.
func (t *Turn) Lookup(id uint64) *Stream { return t.Conn.streams[id] }

func (t *Turn) stream(id uint64, mode streamMode) *Stream {
	c := t.Conn
	s := c.streams[id]
	if s == nil {
		s = c.addStream(id)
	}
	if c.framer() == nil {
		mode = rawStream
	}
	if s.mode != framedOver {
		s.mode = mode
	}
	return s
}

// WakeRead has a goroutine that waits in a Read of s look again: the Protocol's StreamRecv has something for it. It tells whether any waits.
// The caller need not.
func (t *Turn) WakeRead(s *Stream) bool {
	woke := s.recv.wake()
	t.woke = t.woke || woke
	return woke
}

// WakeWrite has a goroutine that waits in a Write of s look again: on quic.EventWritable, or when the Protocol has room of its own. If
// none waits, the room that the core has kept free for the stream is left to others.
func (t *Turn) WakeWrite(s *Stream) bool {
	woke := s.offer()
	t.woke = t.woke || woke
	return woke
}

// SetReadDeadline is Stream.SetReadDeadline for who has the connection's lock.
func (t *Turn) SetReadDeadline(s *Stream, deadline time.Time) {
	t.woke = s.setDeadlineLocked(&s.recv, deadline) || t.woke
}

// End ends both parts of s for the program, though not for the peer: what waits in its calls, and later calls, return err, where
// the part has not ended otherwise. With io.EOF reads are at the end of what was sent, and writes return quic.ErrStreamEnded. It is for a Stream whose
// user has gone, such as the handler of a request, and for one of which the Protocol will be told nothing more.
func (t *Turn) End(s *Stream, err error) {
	t.woke = s.recv.n+s.send.n > 0 || t.woke
	s.recv.end(err)
	if err == io.EOF {
		err = quic.ErrStreamEnded
	}
	s.send.end(err)
	s.settle()
}

// StoreSession has a session be stored and told of as the Dialer says, for a SessionKeeper. If nobody wants sessions it does nothing.
func (t *Turn) StoreSession(s *quic.Session) {
	if r := t.Conn.resume; r != nil && r.store != nil {
		r.onSession(t.Conn, s)
	}
}

// Go has task.Serve called in a goroutine that may have served others before, and serves none meanwhile: its stack has grown by
// then. It allocates nothing but, where no goroutine is free, that. A panic in Serve ends the program.
func (t *Turn) Go(task Task) {
	t.Conn.shard.workers.run(task)
	t.woke = true
}

// LocalAddr returns our address, as far as it is known: its IP may be unspecified. The peer's is Core.RemoteAddr.
func (t *Turn) LocalAddr() netip.AddrPort { return t.Conn.localAddr() }
