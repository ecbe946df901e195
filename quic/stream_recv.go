package quic

import (
	"fmt"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// recvPart is the receiving part of a stream (RFC 9000, section 3.2, figure 3).
type recvPart struct {
	data     chunks
	got      ranges.Set // what was received from data.base on
	window   recvWindow
	highest  uint64    // the largest offset received
	code     uint64    // of the reset
	stopErr  uint64    // the code that the application gave when it stopped reading
	blocked  uint64    // one more than the limit in the peer's last STREAM_DATA_BLOCKED frame
	sized    bool      // highest is the final size
	reset    bool      // the peer has reset its part
	stop     sentState // of STOP_SENDING
	stopHeld bool      // it is to leave, but later: see stream_stop.go
	stopped  bool      // the application reads no more: what comes is dropped
	told     bool      // EventReadable stands: the application knows that there is something to read
	looked   bool      // the application has looked at it, and left it: what comes behind it is told of again
	over     bool      // nothing is left to be read: Data Read or Reset Read
}

// ready returns how many bytes are there to be read in order.
func (p *recvPart) ready() int64 {
	if len(p.got) == 0 || p.got[0].Start > p.data.base {
		return 0
	}
	return p.got[0].End - p.data.base
}

// atEnd tells whether all was received and read.
func (p *recvPart) atEnd() bool { return p.sized && uint64(p.data.base) == p.highest }

// endsReady tells whether what is there to be read in order goes to the end.
func (p *recvPart) endsReady() bool { return p.sized && uint64(p.data.base+p.ready()) == p.highest }

// readable tells whether StreamRecv has something to tell.
func (p *recvPart) readable() bool {
	return !p.over && !p.stopped && (p.reset || p.ready() > 0 || p.atEnd())
}

// handleStream acts on a STREAM frame.
func (st *streams) handleStream(now int64, id, off uint64, data []byte, fin bool) *TransportError {
	s, err := st.receiving(id, st.receives(id))
	if s == nil {
		return err
	}
	end := off + uint64(len(data))
	p := s.recv
	ready, ends := p.ready(), p.endsReady()
	if err := st.reach(p, end, fin); err != nil {
		return err
	}
	start := max(off, uint64(p.data.base))
	if p.reset || p.over {
		return nil
	}
	if p.stopped {
		st.discard(now, s)
		return nil
	}
	if start < end {
		if err := st.keep(p, int64(start), data[start-off:]); err != nil {
			return err
		}
	}
	if p.looked && (p.ready() > ready || p.endsReady() != ends) {
		p.told, p.looked = false, false
	}
	st.tellReadable(s)
	return nil
}

// reach checks what a frame that reaches up to end says against flow control and the final size, and counts it (RFC 9000,
// sections 4.1 and 4.5).
func (st *streams) reach(p *recvPart, end uint64, final bool) *TransportError {
	if end > p.highest && !p.sized {
		if end > p.window.limit || end-p.highest > st.recvWindow.limit-st.recvUsed {
			return transportError(FlowControlError, "more data than was allowed")
		}
	}
	if p.sized && (end > p.highest || final && end != p.highest) || final && end < p.highest {
		return transportError(FinalSizeError, "the final size changed")
	}
	if end > p.highest {
		st.news++
		st.recvUsed += end - p.highest
		p.highest = end
	}
	p.sized = p.sized || final
	return nil
}

// errNotKept says that a packet is to be treated as if it had not arrived. It is never sent.
var errNotKept = transportError(InternalError, "stream data in too many pieces")

// keep copies data to its place. What would be one more piece than may wait is not kept: the sender, which has lost much, sends it
// again.
func (st *streams) keep(p *recvPart, off int64, data []byte) *TransportError {
	gaps, end := len(p.got), off+int64(len(data))
	if (gaps >= maxStreamGaps || (st.gaps+1)*gapBytes > maxGapBytes) && !p.got.Joins(off, end) {
		return errNotKept
	}
	p.got.Add(off, end)
	st.gaps += len(p.got) - gaps
	p.data.write(st.pool, off, data)
	return nil
}

// gapBytes is what a piece of out-of-order data costs in bookkeeping, in bytes.
const gapBytes = 16

func (st *streams) tellReadable(s *stream) {
	if !s.recv.told && s.recv.readable() {
		s.recv.told = true
		st.tell(s, streamReadable)
	}
}

// handleResetStream acts on a RESET_STREAM frame. What was received and not read is dropped (RFC 9000, section 3.2).
func (st *streams) handleResetStream(now int64, id, code, size uint64) *TransportError {
	s, err := st.receiving(id, st.receives(id))
	if s == nil {
		return err
	}
	p := s.recv
	ended := p.reset || p.over || p.atEnd()
	if err := st.reach(p, size, true); err != nil {
		return err
	}
	if ended {
		st.glitches++
		return nil
	}
	p.reset, p.code = true, code
	st.count().StreamsResetRemote++
	if !p.stopped {
		st.tell(s, streamReset)
	}
	if p.looked {
		p.told, p.looked = false, false
	}
	st.discard(now, s)
	st.tellReadable(s)
	return nil
}

// discard drops what is there, and gives the peer's credit for it back.
func (st *streams) discard(now int64, s *stream) {
	p := s.recv
	st.recvWindow.drop(now, st.rtt, p.highest-uint64(p.data.base), st.cfg.MaxReceiveWindow)
	st.gaps -= len(p.got)
	p.got = nil
	p.data.clear(st.pool)
	p.data.base = int64(p.highest)
	if p.stopped && p.sized {
		p.over = true
		p.stop = sentNone
		st.releaseStop(s)
		st.settle(s)
	}
}

// readableBy finds a stream for the application to read, or the error that it is to be told.
func (st *streams) readableBy(id uint64) (*stream, error) {
	s, err := st.usable(id, st.receives(id))
	if err != nil {
		return nil, err
	}
	p := s.recv
	switch {
	case p.over:
		return nil, ErrUnknownStream
	case p.stopped:
		return nil, &StreamError{StreamID: id, Code: p.stopErr}
	case p.reset:
		p.over, p.told = true, false
		st.settle(s)
		return nil, &StreamError{StreamID: id, Code: p.code, Remote: true}
	}
	return s, nil
}

// recv is Conn.StreamRecv.
func (st *streams) recv(now int64, id uint64, b []byte) (n int, fin bool, err error) {
	s, err := st.readableBy(id)
	if err != nil {
		return 0, false, err
	}
	p := s.recv
	if n = int(min(int64(len(b)), p.ready())); n > 0 {
		p.data.read(st.pool, b[:n])
	}
	return n, st.onRead(now, s, n), nil
}

// take is Conn.StreamTake.
func (st *streams) take(now int64, id uint64, into []Piece) (n int, fin bool, err error) {
	s, err := st.readableBy(id)
	if err != nil {
		return 0, false, err
	}
	p := s.recv
	taken, ready := 0, p.ready()
	for ; n < len(into); n++ {
		piece := p.data.take(ready - int64(taken))
		if piece.chunk == nil {
			break
		}
		into[n] = piece
		taken += len(piece.Bytes())
	}
	return n, st.onRead(now, s, taken), nil
}

// peek is Conn.StreamPeek.
func (st *streams) peek(id uint64) (b []byte, fin bool, err error) {
	s, err := st.readableBy(id)
	if err != nil {
		return nil, false, err
	}
	p := s.recv
	ready := p.ready()
	if ready > 0 {
		piece, at := p.data.at(p.data.base)
		b = piece[at:min(int64(at)+ready, int64(len(piece)))]
		b = b[:len(b):len(b)]
	}
	p.looked = p.told
	return b, p.endsReady() && int64(len(b)) == ready, nil
}

// skip is Conn.StreamDiscard.
func (st *streams) skip(now int64, id uint64, n int) (fin bool, err error) {
	s, err := st.readableBy(id)
	if err != nil {
		return false, err
	}
	p := s.recv
	if ready := p.ready(); n < 0 || int64(n) > ready {
		return false, fmt.Errorf("quic: StreamDiscard of %d bytes on stream %d, where %d are there to be read", n, id, ready)
	}
	p.data.drop(st.pool, p.data.base+int64(n))
	return st.onRead(now, s, n), nil
}

// onRead notes that the application has taken n bytes of a stream, and tells whether those were the last ones.
func (st *streams) onRead(now int64, s *stream, n int) (fin bool) {
	p := s.recv
	if n > 0 {
		gaps := len(p.got)
		if p.got.RemoveBelow(p.data.base); len(p.got) == 0 {
			p.data.empty(st.pool) // a stream of which nothing waits holds no memory
		}
		st.gaps += len(p.got) - gaps
		st.consumed(now, uint64(n))
		if !p.sized && p.window.consume(now, st.rtt, uint64(n), st.cfg.MaxStreamReceiveWindow) {
			st.control.push(s, queueControl)
		}
	}
	if p.atEnd() {
		p.over, p.told = true, false
		st.settle(s)
		return true
	}
	p.told, p.looked = p.ready() > 0, false
	return false
}
