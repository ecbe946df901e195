package quicnet

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/boringquic/boringquic/quic"
)

// fate is what of a stream's end only those need who ask: most streams have none. It is guarded by the connection's lock.
type fate struct {
	peer   error           // the *quic.StreamError with which the peer gave the stream up, the first one
	ctx    context.Context // nil until somebody asks
	cancel context.CancelCauseFunc
	acked  waiter // for everything to be acknowledged, or never to be
}

func (s *Stream) needFate() *fate {
	if s.fate == nil {
		s.fate = new(fate)
	}
	return s.fate
}

// Context returns a context that is done when the stream is over for the program: when both parts have ended, the one by Close or
// CancelWrite or at the peer's wish, the other by reading to the end or CancelRead; when the peer gives it up, also while nobody reads
// or writes; or when the connection is closed. context.Cause tells which: a *quic.StreamError if a part was ended early, the error of
// the connection, or context.Canceled if all was as it should be. So what works for a stream can stop when nobody waits for its
// result any more. That the peer has got everything is not meant: see Acked.
//
// The peer gives a stream up by a reset (RESET_STREAM), and, if it has opened it, by asking us to send no more (STOP_SENDING). On a
// stream that we have opened the latter ends our part alone: a server that has seen enough of a request may answer it all the same.
func (s *Stream) Context() context.Context {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	f := s.needFate()
	if f.ctx == nil {
		f.ctx, f.cancel = context.WithCancelCause(context.Background())
		s.settle()
	}
	return f.ctx
}

// settle is called when a part was ended, or the connection closed: no call of the part waits any more, so that its deadline's timer
// is stopped; and the stream's context may be done by now. c.mu is held.
func (s *Stream) settle() {
	for _, h := range [...]*half{&s.recv, &s.send} {
		if h.err != nil || s.c.closed {
			h.disarm()
		}
	}
	if s.mode == framedOver && s.isOver() && s.c.streams[s.id] == s {
		delete(s.c.streams, s.id)
	}
	f := s.fate
	if f == nil || f.ctx == nil {
		return
	}
	switch {
	case f.peer != nil:
		f.cancel(f.peer)
	case s.isOver():
		f.cancel(s.cutError())
	case s.c.closed:
		f.cancel(s.c.core.Err())
	}
}

// isOver tells whether nothing more is to be read or written.
func (s *Stream) isOver() bool {
	return (s.recv.err != nil || !s.receives()) && (s.send.err != nil || !s.sends())
}

// cutError returns the error of a part that was ended before its time, by either side or with the connection; nil if none was.
func (s *Stream) cutError() error {
	var cut *quic.StreamError
	switch send, recv := s.send.err, s.recv.err; {
	case errors.As(send, &cut), errors.As(recv, &cut):
		return cut
	case errors.Is(send, net.ErrClosed), errors.Is(send, quic.ErrEarlyDataRejected):
		return send
	case errors.Is(recv, net.ErrClosed), errors.Is(recv, quic.ErrEarlyDataRejected):
		return recv
	}
	return nil
}

// onPeerEnds notes that the peer has reset its part of the stream, or wants no more of ours.
func (s *Stream) onPeerEnds(err *quic.StreamError, ours bool) (woke bool) {
	f := s.needFate()
	if f.peer == nil && !(ours && s.id&1 == 0 == s.c.client) {
		f.peer = err
	}
	// A part that we had ended is not acknowledged now, and never will be. Others learn of it from the core, by the next call.
	if ours {
		s.noteAcked()
		s.cutEnd(err)
	}
	s.settle()
	woke = f.acked.n > 0
	if s.mode != rawStream { // of others the core tells the reader and the writer
		read, write := s.recv.wake(), s.send.wake()
		woke = woke || read || write
	}
	return woke
}

// onArrived notes that all that was written, and the end, was acknowledged.
func (s *Stream) onArrived() (woke bool) {
	if s.mode != rawStream && !errors.Is(s.send.err, quic.ErrStreamEnded) {
		return false // the Protocol has ended it itself
	}
	s.arrived, s.acked = true, s.written
	s.c.ending(-1)
	return s.fate != nil && s.fate.acked.wake()
}

// errNotEnded is what Acked returns while there is nothing to wait for.
var errNotEnded = errors.New("quicnet: Acked waits for a stream that was ended: Close or WriteFinal comes first")

// Acked waits until everything that was written on the stream, its end included, is acknowledged: then the peer's QUIC has it all,
// although the peer's program may not have read it yet. It is called after Close, Finish or WriteFinal, and fails at once before. The
// error is ctx's, a *quic.StreamError if the sending part was reset or the peer wants no more of it (without the code, if a Protocol has reset it), or
// that of the connection if it was closed too early.
//
// A side that closes a connection soon after its last Write waits for Acked first, or calls Conn.CloseGracefully.
func (s *Stream) Acked(ctx context.Context) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		err := error(nil)
		switch {
		case s.arrived:
		case !s.sends():
			err = quic.ErrStreamDirection
		case s.send.err == nil:
			err = errNotEnded
		case !errors.Is(s.send.err, quic.ErrStreamEnded):
			err = s.send.err
		case c.closed:
			err = c.core.Err()
		default:
			if err = s.needFate().acked.waitContext(ctx, &c.mu); err == nil {
				continue
			}
			return fmt.Errorf("quicnet: acked: %w", err)
		}
		if s.fate != nil {
			s.fate.acked.wake() // it is so for all
		}
		return err
	}
}

// AckedBytes returns how many bytes of what was written, from the start of the stream, are acknowledged: an honest figure for
// progress bars, which Write's is not, since that is told as soon as bytes are queued. It grows to the number of bytes written, and
// stays as it is when the sending part was reset. Once the connection is closed it is what it was when it was last asked for,
// or all if all was acknowledged.
func (s *Stream) AckedBytes() uint64 {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.noteAcked()
	return s.acked
}

// noteAcked notes how much is acknowledged while the core still knows.
func (s *Stream) noteAcked() {
	if s.arrived || s.rejected || !s.sends() {
		return
	}
	if n, err := s.c.core.StreamAcked(s.id); err == nil {
		s.acked = min(n, s.written) // of a framed one, n counts what frames take, too
	}
}

// ending counts streams whose end was written and is not acknowledged yet, for CloseGracefully. c.mu is held.
func (c *Conn) ending(n int) {
	if c.unacked += n; c.unacked == 0 {
		c.lingering.wake()
	}
}

// peerEnds acts on the peer's RESET_STREAM or, where ours says that it is about what we send, STOP_SENDING. Of a stream that is
// still to be accepted it is kept until then: the peer's limit on streams bounds how many those are.
func (c *Conn) peerEnds(ev *quic.Event, ours bool) (woke bool) {
	err := &quic.StreamError{StreamID: ev.Stream, Code: ev.Code, Remote: true}
	if s := c.streams[ev.Stream]; s != nil {
		return s.onPeerEnds(err, ours)
	}
	if p := &c.peers[typeIndex(ev.Stream)]; ev.Stream&1 == 0 != c.client && ev.Stream>>2 >= p.accepted {
		if c.early == nil {
			c.early = make(map[uint64]error)
		}
		if c.early[ev.Stream] == nil {
			c.early[ev.Stream] = err
		}
	}
	return false
}
