package quicnet

import (
	"cmp"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Stream is a stream of a connection: an io.Reader of what the peer sends, an io.Writer, and an io.Closer of the sending part
// alone. A unidirectional stream has one of the two parts, and the methods of the other return quic.ErrStreamDirection. All
// methods are for any number of goroutines, but reads by several get pieces in no certain order, and so do writes.
//
// A stream takes memory, and counts against the limits on streams, until it has been read to its end or CancelRead was called,
// and Close or CancelWrite was called too. Finish does what of that is left.
type Stream struct {
	c          *Conn
	id         uint64
	recv, send half
	written    uint64 // bytes
	acked      uint64 // of those, as far as it was noted
	fate       *fate  // nil: nobody has asked
	writing    int32  // calls of Write that have not returned
	arrived    bool   // all was acknowledged, the end included
	early      bool   // see Early
	rejected   bool   // the core has forgotten it, and may use its ID for another
	mode       streamMode
}

// streamMode says whether a Stream's bytes go to the core or to the connection's Protocol.
type streamMode uint8

const (
	rawStream    streamMode = iota
	framedStream            // to the Protocol
	framedOver              // the same, of a stream that the core has forgotten
)

// half is one part of a stream, guarded by the connection's lock.
type half struct {
	waiter
	err      error     // why no more goes this way: io.EOF, *quic.StreamError, quic.ErrStreamEnded
	deadline *deadline // nil: none was ever set
}

// ID returns the stream's ID (RFC 9000, section 2.1).
func (s *Stream) ID() uint64 { return s.id }

// Conn returns the connection that the stream belongs to.
func (s *Stream) Conn() *Conn { return s.c }

// Early tells, at a server, whether the client opened the stream by early data (0-RTT), while the handshake was not complete: what has come
// on it may be a recording that somebody has sent again, whom the server does not know (RFC 9001, section 9.2). A request that changes
// something should wait for Conn.Handshake, which shows that the client is there, or be refused, as HTTP does with 425
// (RFC 8470, section 5.2). It does not change when the handshake is complete. At a client, and without quic.Config.EarlyData, it is false.
func (s *Stream) Early() bool { return s.early }

// Read reads what has arrived, and waits while there is nothing. At the end of the stream the error is io.EOF; a
// *quic.StreamError tells that the peer, or CancelRead, has ended it before its time.
func (s *Stream) Read(p []byte) (n int, err error) {
	return s.receive(len(p) == 0, func() (int, error) { return s.readNow(p) })
}

// receive calls read, with the connection's lock held, until there is something or an error; once only if it may come to nothing.
func (s *Stream) receive(once bool, read func() (int, error)) (n int, err error) {
	c := s.c
	c.mu.Lock()
	flushed := false
	for {
		n, err = read()
		if n > 0 || err != nil || once {
			break
		}
		// Before it sleeps, a reader sees to it that the peer knows how much more it may send.
		if !flushed && c.flushUnlocked() {
			flushed = true
			continue
		}
		s.recv.wait(&c.mu)
	}
	s.recv.wake() // there may be more for another reader
	claimed := c.wantsTurn()
	c.mu.Unlock()
	if claimed {
		c.flush()
	}
	return n, err
}

// readNow reads without waiting; n == 0 without an error says that there is nothing.
func (s *Stream) readNow(p []byte) (n int, err error) {
	if err := s.readError(); err != nil {
		return 0, err
	}
	n, fin, err := s.coreRecv(p)
	return n, s.onRead(n, fin, err)
}

// takeNow is readNow for pieces of memory, of which it fills n.
func (s *Stream) takeNow(into []quic.Piece) (n int, err error) {
	if err := s.readError(); err != nil {
		return 0, err
	}
	n, fin, err := s.coreTake(into)
	return n, s.onRead(n, fin, err)
}

// readError returns why there is nothing to be read any more, or for now.
func (s *Stream) readError() error {
	if h := &s.recv; h.err == nil && h.deadline != nil && h.deadline.expired {
		return s.timeout("read")
	}
	return s.recv.err
}

// onRead notes what a read brought, and returns what to tell of it: an end is told after the data before it.
func (s *Stream) onRead(n int, fin bool, err error) error {
	h := &s.recv
	switch {
	case err != nil:
		h.err = err
		s.settle()
	case fin:
		h.err = io.EOF
		s.settle()
		if n == 0 {
			err = io.EOF
		}
	}
	if h.err != nil && s.isOver() {
		s.c.handleEvents(time.Now()) // the core may be done with the stream, and have nothing to send, nor a timer, with which it would be heard of
	}
	return err
}

// Write queues p for sending and waits until all of it is queued; how much may wait unsent or unacknowledged is
// quic.Config.StreamSendBuffer. That it returns says nothing about what the peer has received: Acked and AckedBytes do. With an empty
// p it sends nothing, so that the peer does not even learn of a new stream, and tells whether the stream can be written to. A
// *quic.StreamError tells that the peer wants no more, or that CancelWrite was called, or Close before all was queued.
func (s *Stream) Write(p []byte) (n int, err error) { return s.write(p, false) }

// WriteFinal is Write and Close in one: the end of the stream leaves in the packet with the last bytes of p, where Close after Write
// may cost another packet. If the error is not nil, less than p was queued and the stream has not ended. If a Write of another goroutine
// waits meanwhile, it does what Close does then.
func (s *Stream) WriteFinal(p []byte) (n int, err error) { return s.write(p, true) }

func (s *Stream) write(p []byte, final bool) (n int, err error) {
	c := s.c
	c.mu.Lock()
	s.writing++
	for {
		m, err := s.writeNow(p[n:], final)
		n += m
		if err != nil || n == len(p) {
			s.writing--
			s.send.wake()
			claimed := false
			if n > 0 || final && err == nil {
				claimed = c.claim()
			} else if s.mode != rawStream {
				claimed = c.wantsTurn()
			}
			c.mu.Unlock()
			if claimed {
				c.flushSoon(n)
			}
			return n, err
		}
		if m > 0 && c.claim() {
			c.mu.Unlock()
			c.flushSoon(m)
			c.mu.Lock()
			continue // there may be room by now
		}
		if m > 0 && s.mode != rawStream {
			continue // a Protocol may take one frame a call
		}
		s.waitToWrite()
	}
}

// waitToWrite waits until there is reason to try again. What the core has found out at the last try is dealt with before: that may be
// that there is room now, for this stream or for others.
func (s *Stream) waitToWrite() {
	c := s.c
	ch := s.send.enter(&c.mu)
	c.handleEvents(time.Now())
	c.mu.Unlock()
	<-ch
	c.mu.Lock()
	s.send.leave(&c.mu)
}

// writeNow queues what there is room for, and the end after it if all of a final piece is.
func (s *Stream) writeNow(p []byte, final bool) (n int, err error) {
	h := &s.send
	switch {
	case h.err != nil:
		return 0, h.err
	case h.deadline != nil && h.deadline.expired:
		s.decline()
		s.c.handleEvents(time.Now())
		return 0, s.timeout("write")
	case final && s.writing > 1 && !s.c.closed:
		s.cancel(quic.WriteDirection, 0)
		return 0, h.err
	}
	n, err = s.coreSend(p, final)
	s.written += uint64(n)
	switch {
	case err != nil:
		h.err = err
		s.settle()
	case final && n == len(p):
		s.onEnded()
	}
	return n, err
}

// onEnded notes that the end of what we send was written.
func (s *Stream) onEnded() {
	s.send.err = quic.ErrStreamEnded
	s.c.ending(1)
	s.settle()
}

// offer wakes a writer for the room that the core has kept free for the stream. If there is none, others may have it.
func (s *Stream) offer() (woke bool) {
	if woke = s.send.wake(); !woke {
		s.decline()
	}
	return woke
}

// decline lets other streams have the room that was kept free for this one. What the core has to say against a write it says once, and
// the next one is to be told.
func (s *Stream) decline() {
	if s.rejected {
		return // a stream with its ID is another, and would be opened if there is none
	}
	if _, err := s.c.core.StreamSend(s.id, nil, false); err != nil && s.send.err == nil {
		s.send.err = err
		s.settle()
	}
}

// copyBuffers are what WriteTo and ReadFrom work with.
var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// tailSize is how much WriteTo copies at once of a stream that it has taken pieces of, in bytes: what lies between two of them, such as the end
// of a DATA frame of HTTP/3. If it copied more, that would be what it could take.
const tailSize = 16 << 10

// errInvalidWrite is what io.Copy says, too, of a Write that tells of more bytes than it was given, or of less than none.
var errInvalidWrite = errors.New("quicnet: an io.Writer has returned an impossible number of bytes")

// WriteTo reads the stream to its end and writes it to w. io.Copy uses it. Large amounts are written from the memory that they
// were received into.
func (s *Stream) WriteTo(w io.Writer) (written int64, err error) {
	var buf *[64 << 10]byte // nil while it waits: many streams may do that at once
	room := len(buf)        // how much of it is used
	defer func() {
		if buf != nil {
			copyBuffers.Put(buf)
		}
	}()
	var pieces [8]quic.Piece
	for {
		taken := 0
		n, err := s.receive(false, func() (n int, err error) {
			s.c.core.StreamGive(pieces[:])
			if taken, err = s.takeNow(pieces[:]); taken > 0 || err != nil {
				room = tailSize
				return taken, err
			}
			if buf == nil {
				buf = copyBuffers.Get().(*[64 << 10]byte)
			}
			if n, err = s.readNow(buf[:room]); n == 0 {
				copyBuffers.Put(buf)
				buf = nil
			}
			return n, err
		})
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		for i := range max(taken, 1) {
			var p []byte
			if taken > 0 {
				p = pieces[i].Bytes()
			} else {
				p = buf[:n]
			}
			m, err := w.Write(p)
			if m < 0 || m > len(p) {
				m, err = 0, cmp.Or(err, errInvalidWrite)
			}
			written += int64(m)
			if err == nil && m < len(p) {
				err = io.ErrShortWrite
			}
			if err != nil {
				return written, err
			}
		}
	}
}

// ReadFrom reads r to its end and writes it to the stream, which it does not close. io.Copy uses it.
func (s *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[64 << 10]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{r}, buf[:])
}

// Close ends what we send: the peer reads the end of the stream after all that was written. Reading goes on. The error tells that
// what was written will not all arrive.
//
// A Write of another goroutine that waits meanwhile fails, as one of a net.Conn does. Then the peer must not take for complete what it
// has got: the stream is reset, as by CancelWrite(0), and both Write and Close return that *quic.StreamError.
func (s *Stream) Close() error {
	c := s.c
	c.mu.Lock()
	err := s.closeNow()
	s.unlockAndFlush()
	return err
}

// closeNow is Close with the connection's lock held.
func (s *Stream) closeNow() error {
	h := &s.send
	switch {
	case h.err != nil:
	case s.writing > 0 && !s.c.closed:
		s.cancel(quic.WriteDirection, 0)
	default:
		if _, h.err = s.coreSend(nil, true); h.err == nil {
			s.onEnded()
		} else {
			s.settle()
		}
		h.wake()
	}
	if errors.Is(h.err, quic.ErrStreamEnded) {
		return nil
	}
	return h.err
}

// CancelRead ends the receiving part before its time: the peer is asked to stop sending, with an error code of the
// application's (STOP_SENDING), and what has arrived is dropped. On a part that has been read to its end it does nothing.
// A code above quic.MaxErrorCode, which cannot be told, becomes quic.MaxErrorCode, here and in the other calls that take one.
func (s *Stream) CancelRead(code uint64) { s.cancelAndFlush(quic.ReadDirection, code) }

// CancelWrite ends the sending part before its time: the peer is told, with an error code of the application's, that no more
// comes (RESET_STREAM), and what has not arrived may never. On a part that has been ended and has arrived it does nothing.
func (s *Stream) CancelWrite(code uint64) { s.cancelAndFlush(quic.WriteDirection, code) }

// Abort ends both parts of the stream before their time: it is CancelRead and CancelWrite at once.
func (s *Stream) Abort(code uint64) { s.cancelAndFlush(quic.ReadDirection|quic.WriteDirection, code) }

func (s *Stream) cancelAndFlush(dir quic.Direction, code uint64) {
	s.c.mu.Lock()
	s.cancel(dir, code)
	s.unlockAndFlush()
}

// Finish is Close and CancelRead(0) in one: all that is owed to a stream on which nothing more is to be read or written, such as
// one whose request has been answered. What was written arrives, with its end; what the peer has not ended yet it is asked to
// stop, and what it has sent beyond what was read is dropped. Then the stream takes no memory and no place among those that the peer
// may open once that is acknowledged. The error is Close's; a part that the stream does not have gives none.
func (s *Stream) Finish() error {
	s.c.mu.Lock()
	err := s.closeNow()
	if errors.Is(err, quic.ErrStreamDirection) {
		err = nil
	}
	s.cancel(quic.ReadDirection, 0)
	s.unlockAndFlush()
	return err
}

// leave ends the parts that are not over, of a stream that nobody will use any more.
func (s *Stream) leave() {
	s.c.mu.Lock()
	var dir quic.Direction
	if s.recv.err == nil && s.receives() {
		dir |= quic.ReadDirection
	}
	if s.send.err == nil && s.sends() {
		dir |= quic.WriteDirection
	}
	if dir == 0 {
		s.c.mu.Unlock()
		return
	}
	s.cancel(dir, 0)
	s.unlockAndFlush()
}

// cancel ends parts of the stream before their time. The connection's lock is held.
func (s *Stream) cancel(dir quic.Direction, code uint64) {
	c := s.c
	code = min(code, quic.MaxErrorCode)
	write := dir&quic.WriteDirection != 0 && s.sends()
	if write {
		s.noteAcked()
	}
	// The only other errors are of a stream that is over, and of one that does not go in that direction.
	if done := s.coreShutdown(dir, code) == nil; done || s.mode != rawStream {
		err := &quic.StreamError{StreamID: s.id, Code: code}
		if dir&quic.ReadDirection != 0 && s.receives() {
			s.recv.end(err)
		}
		if write && done {
			s.cutEnd(err)
		}
		if write {
			s.send.end(err)
		}
		s.settle()
	}
	c.handleEvents(time.Now())
}

// cutEnd notes that an end that was written, and has not arrived, never will.
func (s *Stream) cutEnd(err error) {
	if s.arrived || !errors.Is(s.send.err, quic.ErrStreamEnded) {
		return
	}
	s.send.err = err
	s.c.ending(-1)
	if s.fate != nil {
		s.fate.acked.wake()
	}
}

// unlockAndFlush lets the connection's lock go, and sends what ending parts of the stream has left to be sent.
func (s *Stream) unlockAndFlush() {
	c := s.c
	claimed := c.wantsTurn()
	c.mu.Unlock()
	if claimed {
		c.flushSoon(0)
	}
}

// end notes why no more goes a way, if that is new.
func (h *half) end(err error) {
	if h.err == nil {
		h.err = err
		h.wake()
	}
}

// sends and receives tell which parts the stream has (RFC 9000, section 2.1).
func (s *Stream) sends() bool    { return typeIndex(s.id) == bidi || s.id&1 == 0 == s.c.client }
func (s *Stream) receives() bool { return typeIndex(s.id) == bidi || s.id&1 == 0 != s.c.client }
