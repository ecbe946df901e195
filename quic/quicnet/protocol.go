package quicnet

import (
	"errors"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Protocol is an application that lives in a connection's turn, such as HTTP/3: it is given the core's events in the batch in which they
// came, and what it writes leaves with that batch. So it answers small things, refuses bad ones and reads the heads of messages without a
// goroutine, and starts one, by Turn.Go, for what may take its time. ListenConfig.Protocol and Dialer.Protocol give connections one.
//
// All its methods are called under the connection's lock, one at a time, by whichever goroutine has it: often the one that reads
// the socket, for which all connections wait. So none may wait, none may run code of the program's user, and none may call methods of
// Conn, Stream or Endpoint that take a lock, which are all but ID and Conn of a Stream: they would wait for themselves. What a
// Protocol has to work with is the Turn. What it does to the core brings events, too; those are handed to HandleEvent when it
// has returned, until there are none.
//
// It may also be a Drainer and a SessionKeeper.
type Protocol interface {
	// HandleEvent is given each event of the core that concerns an application, in order: of the handshake, early data and sessions, of
	// streams and datagrams, of paths, and of the end; quic.EventAsk and quic.EventEndpoint are dealt with before. It tells whether it woke
	// anybody; what Turn.WakeRead, WakeWrite and Go have woken needs not be told. ev is valid until it returns.
	//
	// Streams that were made by Turn.Stream are not woken by an event, but for resets (quic.EventStreamReset, EventStreamStopped) and the end of
	// the connection: the Protocol knows whether it means something to them. Those of Turn.RawStream are. On quic.EventEarlyData of a client, where the server has rejected early data (not Accepted, not
	// Resent), all Streams have ended with quic.ErrEarlyDataRejected, and a Protocol begins anew: whatever it has opened is forgotten,
	// and IDs begin with the lowest again.
	//
	// quic.EventClosed is the last event but quic.EventDrained, which comes exactly once and after which nothing is called
	// but the methods for Streams. After EventClosed all calls that wait on Streams look again; what had arrived can still be read
	// by StreamRecv, if the end was not ours (quic.Conn.KeepsReceived).
	HandleEvent(t *Turn, ev *quic.Event) (woke bool)

	// AfterEvents is called when HandleEvent has been given all events that there were: once for what a batch has brought. It tells what
	// HandleEvent does. What it does to the core may bring further events, after which it is called again.
	AfterEvents(t *Turn) (woke bool)

	// Timeout returns when OnTimeout is to be called; the zero Time: never. It is asked after each turn. A time that has passed stands
	// for one a millisecond from now.
	Timeout() time.Time

	// OnTimeout is called when Timeout has passed, or a little later, after the core's own timers. It tells what HandleEvent does.
	OnTimeout(t *Turn) (woke bool)

	// StreamRecv, StreamSend and StreamShutdown are what the methods of a Stream that was made by Turn.Stream come to, with the contracts of
	// quic.Conn.StreamRecv, StreamSend and StreamShutdown. With an error of the first two no more goes that way; further calls of
	// the Stream return it without asking again. A StreamSend that takes less than all without an error has the caller wait for
	// Turn.WakeWrite, a StreamRecv that has nothing has it wait for Turn.WakeRead. p is valid until they return.
	//
	// A Stream lives until both its parts are over for the program, which may be later than the core's quic.EventStreamFinished: then,
	// too, they are called.
	StreamRecv(t *Turn, id uint64, p []byte) (n int, fin bool, err error)
	StreamSend(t *Turn, id uint64, p []byte, fin bool) (n int, err error)
	StreamShutdown(t *Turn, id uint64, dir quic.Direction, code uint64) error
}

// Drainer is a Protocol that can come to a good end.
type Drainer interface {
	Protocol

	// Drain is called once when Endpoint.Shutdown begins, for a Protocol that tells its peer to go elsewhere (GOAWAY), lets what is under way
	// come to its end, and closes the connection then, by Turn.Core.Close: that is what Shutdown waits for. It tells what HandleEvent
	// does.
	Drain(t *Turn) (woke bool)

	// CloseCode is the application error code with which the end of the Endpoint and Conn.Close close the connection, in place of 0.
	CloseCode() uint64
}

// SessionKeeper is a Protocol of clients that has something to store with each session before others may have it, such as the server's settings.
type SessionKeeper interface {
	Protocol

	// KeepsSessions tells whether what quic.EventSession brings is stored and told of (Dialer.OnSession, tls.Config.ClientSessionCache)
	// only when Turn.StoreSession says so, which may be later and for another quic.Session. It is asked for each session.
	KeepsSessions() bool
}

// Taker is a Protocol whose bodies Stream.WriteTo, and so io.Copy, writes from the memory that they were received into.
type Taker interface {
	Protocol

	// StreamTake is StreamRecv without a copy, as quic.Conn.StreamTake is, for pieces that have no frames in them. n == 0 without an error
	// does not mean that there is nothing: StreamRecv is asked then, which alone tells of the end.
	StreamTake(t *Turn, id uint64, into []quic.Piece) (n int, err error)
}

// Task is what Turn.Go runs. A pointer to a struct that there is anyway makes one without an allocation.
type Task interface{ Serve() }

// seat is what a connection has for its Protocol.
type seat struct {
	protocol Protocol             // nil: not asked for yet
	open     func(*Turn) Protocol // Dialer.Protocol
	turn     Turn
	ev       quic.Event
	told     bool      // of an event, and AfterEvents is still to be called
	asked    time.Time // what Timeout returned last
}

// framer returns the connection's Protocol, nil if it has none. c.mu is held.
func (c *Conn) framer() Protocol {
	if c.seat == nil {
		return nil
	}
	return c.seat.protocol
}

// Protocol returns the connection's Protocol, nil if it has none: then it is an ordinary one, whose streams are accepted and opened.
func (c *Conn) Protocol() Protocol {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.framer()
}

// attach asks for the connection's Protocol, if it has none. It tells whether it has one. c.mu is held.
func (c *Conn) attach(now time.Time, open func(*Turn) Protocol) bool {
	if c.framer() != nil {
		return true
	}
	if open == nil || c.closed {
		return false
	}
	s := &seat{turn: Turn{Conn: c, Core: c.core, Now: now}}
	s.protocol = open(&s.turn)
	c.seat = nil
	if s.protocol == nil {
		return false
	}
	c.seat = s
	return true
}

// attachClient is attach for a connection that we dial.
func (c *Conn) attachClient(now time.Time) {
	if c.client && c.seat != nil {
		c.attach(now, c.seat.open)
	}
}

// begin returns the Turn of a call of the Protocol.
func (s *seat) begin(now time.Time) *Turn {
	s.turn.Now = now
	return &s.turn
}

// woke tells whether a call of the Protocol woke anybody.
func (s *seat) woke(told bool) bool {
	woke := s.turn.woke || told
	s.turn.woke = false
	return woke
}

// handle gives an event to the Protocol.
func (s *seat) handle(now time.Time, ev *quic.Event) (woke bool) {
	if s.protocol == nil {
		return false
	}
	switch ev.Kind {
	case quic.EventAsk, quic.EventEndpoint, quic.EventDrained: // the last one comes from onDrained
		return false
	}
	if ev != &s.ev { // it lies on the stack, and would escape to the heap
		s.ev = *ev
	}
	s.told = true
	return s.woke(s.protocol.HandleEvent(s.begin(now), &s.ev))
}

// afterEvents tells the Protocol that it knows of all events.
func (s *seat) afterEvents(now time.Time) (woke bool) {
	s.told = false
	return s.woke(s.protocol.AfterEvents(s.begin(now)))
}

// onDrained is the last that the Protocol hears of the connection.
func (s *seat) onDrained() {
	if s.protocol != nil {
		s.ev, s.told = quic.Event{Kind: quic.EventDrained}, false
		s.woke(s.protocol.HandleEvent(s.begin(time.Now()), &s.ev))
	}
}

// timeout returns the earlier one of the core's time and the Protocol's.
func (s *seat) timeout(at time.Time, ok bool) (time.Time, bool) {
	if s.protocol == nil {
		return at, ok
	}
	s.asked = s.protocol.Timeout()
	if s.asked.IsZero() || ok && at.Before(s.asked) {
		return at, ok
	}
	return s.asked, true
}

// onTimeout calls the Protocol's OnTimeout, if it is time.
func (s *seat) onTimeout(now time.Time) (woke bool) {
	if s.protocol == nil {
		return false
	}
	if at := s.protocol.Timeout(); at.IsZero() || at.After(now) {
		return false
	}
	return s.woke(s.protocol.OnTimeout(s.begin(now)))
}

// drain has a Drainer say good-bye.
func (c *Conn) drain() {
	c.mu.Lock()
	d, ok := c.framer().(Drainer)
	if !ok || c.closed {
		c.mu.Unlock()
		return
	}
	now := time.Now()
	c.seat.woke(d.Drain(c.seat.begin(now)))
	c.endTurn(now, 0)
}

// closeCode returns the error code for an end for which nobody has named one. c.mu is held.
func (c *Conn) closeCode(code uint64) uint64 {
	if d, ok := c.framer().(Drainer); ok && code == 0 {
		return d.CloseCode()
	}
	return code
}

// storesSession tells whether a session that the server has given is stored at once.
func (c *Conn) storesSession() bool {
	k, ok := c.framer().(SessionKeeper)
	return !ok || !k.KeepsSessions()
}

// errProtocol is what AcceptStream and AcceptUniStream return where a Protocol has the connection's streams.
var errProtocol = errors.New("quicnet: the connection's streams belong to its Protocol")
