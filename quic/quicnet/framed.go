package quicnet

import (
	"time"

	"github.com/boringquic/boringquic/quic"
)

// What of a Stream goes to the core, or to the connection's Protocol if that frames it. Whatever a Protocol does may bring events, which
// are dealt with at once. c.mu is held.

func (s *Stream) coreRecv(p []byte) (n int, fin bool, err error) {
	c := s.c
	if s.mode == rawStream {
		return c.core.StreamRecv(s.id, p)
	}
	now := time.Now()
	n, fin, err = c.seat.protocol.StreamRecv(c.seat.begin(now), s.id, p)
	c.handleEvents(now)
	if n == 0 && !fin && err == nil && len(p) > 0 && c.closed {
		err = c.core.Err() // nothing more will come
	}
	return n, fin, err
}

// coreTake takes pieces of memory; of a Protocol that has none to give it takes none.
func (s *Stream) coreTake(into []quic.Piece) (n int, fin bool, err error) {
	c := s.c
	if s.mode == rawStream {
		return c.core.StreamTake(s.id, into)
	}
	taker, ok := c.seat.protocol.(Taker)
	if !ok {
		return 0, false, nil
	}
	now := time.Now()
	n, err = taker.StreamTake(c.seat.begin(now), s.id, into)
	c.handleEvents(now)
	return n, false, err
}

func (s *Stream) coreSend(p []byte, fin bool) (n int, err error) {
	c := s.c
	if s.mode == rawStream {
		return c.core.StreamSend(s.id, p, fin)
	}
	now := time.Now()
	n, err = c.seat.protocol.StreamSend(c.seat.begin(now), s.id, p, fin)
	c.handleEvents(now)
	if n == 0 && err == nil && (len(p) > 0 || fin) && c.closed {
		err = c.core.Err()
	}
	return n, err
}

// coreShutdown leaves the events to the caller.
func (s *Stream) coreShutdown(dir quic.Direction, code uint64) error {
	c := s.c
	switch {
	case s.rejected:
		return quic.ErrEarlyDataRejected
	case s.mode == rawStream:
		return c.core.StreamShutdown(s.id, dir, code)
	}
	return c.seat.protocol.StreamShutdown(c.seat.begin(time.Now()), s.id, dir, code)
}

// onFinished is told that the core has forgotten the stream. Of a framed one there may be more to come: what the Protocol has read and
// its reader has not.
func (s *Stream) onFinished() {
	s.cutEnd(&quic.StreamError{StreamID: s.id}) // the Protocol has reset what was ended, and was not acknowledged
	if s.mode != rawStream && !s.isOver() {
		s.mode = framedOver
		return
	}
	s.recv.disarm()
	s.send.disarm()
	delete(s.c.streams, s.id)
}
