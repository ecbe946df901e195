package h3

import (
	"errors"

	"github.com/boringquic/boringquic/quic"
)

// How exchanges end before their time.

// ErrTooLarge is what a *StreamError unwraps to where a field section was larger than Config.MaxFieldSectionSize.
var ErrTooLarge = errors.New("h3: a field section is larger than the limit")

// stopReading is the end of what we read of a stream, at our wish.
func (c *Conn) stopReading(s *stream, err error) {
	r := &s.recv
	if s.lingers {
		c.endLinger(s)
	}
	if r.state >= recvEnd {
		r.drain = false
		return
	}
	if (!r.fin || r.whole) && !s.raw { // also where the end was read, and a section was not (RFC 9204, section 2.2.2.2)
		c.dec.CancelStream(s.id)
	}
	r.state, r.err, r.frame = recvOver, err, betweenFrames
	r.section = r.section[:0]
	c.heads.remove(s, linkHead)
	c.release(s)
	s.news &^= newsRead | newsData | newsTrailers | newsReset
}

// failStream ends a stream for an error of the peer's: with RESET_STREAM, and STOP_SENDING if it has not ended.
func (c *Conn) failStream(s *stream, code ErrorCode, reason string) {
	c.failStreamFor(s, &StreamError{Stream: s.id, Code: code, Reason: reason})
}

func (c *Conn) failStreamFor(s *stream, err *StreamError) {
	c.stopReading(s, err)
	s.recv.state, s.recv.err = recvOver, err
	s.send.state = sendOver
	s.send.drop()
	s.news &^= newsWritable
	c.core.StreamShutdown(s.id, quic.ReadDirection|quic.WriteDirection, uint64(err.Code))
	if s.known && !s.rejected {
		c.tell(s, newsReset)
	}
}

// malformed ends a stream on which a malformed message came (RFC 9114, section 4.1.2).
func (c *Conn) malformed(s *stream, reason string) {
	if c.load.spend(c, costReset) {
		c.failStream(s, ErrCodeMessage, reason)
	}
}

// tooLarge acts on a field section that is larger than the limit. A request can be answered: with 431.
func (c *Conn) tooLarge(s *stream) {
	r := &s.recv
	if !c.load.spend(c, costReset) {
		return
	}
	if c.client || r.state != recvHead {
		c.failStreamFor(s, &StreamError{Stream: s.id, Code: ErrCodeExcessiveLoad, Reason: "a field section is larger than the limit", Cause: ErrTooLarge})
		return
	}
	c.heads.remove(s, linkHead)
	if !r.fin { // the section, if it was not decoded, and a trailer section
		c.dec.CancelStream(s.id)
	}
	r.state, r.drain, s.known = recvOver, true, true
	r.err = &StreamError{Stream: s.id, Code: ErrCodeExcessiveLoad, Reason: "the header section is larger than the limit", Cause: ErrTooLarge}
	c.tell(s, newsTooLarge|newsRead)
}

// onReset acts on RESET_STREAM.
func (c *Conn) onReset(s *stream, code ErrorCode) {
	r := &s.recv
	c.core.StreamPeek(s.id) // takes the error, so that the core can forget the stream
	if r.state >= recvEnd {
		r.drain = false
		return
	}
	c.stopReading(s, &StreamError{Stream: s.id, Code: code, Remote: true})
	switch {
	case s.raw:
		c.tell(s, newsReset)
	case c.client && code == ErrCodeRequestRejected:
		c.reject(s)
	case c.client:
		c.tell(s, newsReset)
	default:
		if !c.load.spend(c, costReset) {
			return
		}
		if s.known {
			c.tell(s, newsReset)
			return
		}
		s.send.state = sendOver
		c.core.StreamShutdown(s.id, quic.WriteDirection, uint64(ErrCodeRequestIncomplete))
	}
}

// onReadError acts on an error of the core's for a stream that we read.
func (c *Conn) onReadError(s *stream, err error) {
	var reset *quic.StreamError
	if errors.As(err, &reset) && reset.Remote {
		c.onReset(s, ErrorCode(reset.Code))
		return
	}
	if s.recv.err == nil && s.recv.state < recvEnd {
		s.recv.err = err
	}
}

// onStopped acts on STOP_SENDING. The core has reset what we send.
func (c *Conn) onStopped(s *stream, code ErrorCode) {
	c.core.StreamSend(s.id, nil, false) // takes the error, so that the core can forget the stream
	if s.send.state == sendOver {
		return
	}
	s.send.state, s.send.code = sendOver, code
	s.send.err = &StreamError{Stream: s.id, Code: code, Remote: true}
	s.send.drop()
	s.news &^= newsWritable
	if !c.client && !c.load.spend(c, costReset) {
		return
	}
	c.tell(s, newsStopped)
}

// reject ends a request of a client's that the server has not processed.
func (c *Conn) reject(s *stream) {
	if s.rejected {
		return
	}
	s.rejected = true
	c.leave(s)
	c.stopReading(s, &StreamError{Stream: s.id, Code: ErrCodeRequestRejected, Remote: true})
	s.send.state = sendOver
	s.send.drop()
	s.news = newsRejected
	c.tell(s, newsRejected)
	c.core.StreamShutdown(s.id, quic.ReadDirection|quic.WriteDirection, uint64(ErrCodeRequestCancelled))
}
