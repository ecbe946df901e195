package h3

import (
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// The frames of request streams, on their way in (RFC 9114, sections 4.1 and 7).

// stepResult is where step has stopped.
type stepResult uint8

const (
	stepNothing stepResult = iota // there is nothing for the application now
	stepMessage                   // Conn.telling is a header section
	stepBody                      // bytes of the body can be read
	stepEnd                       // the message is over
)

// read reads the frames of a stream up to what is to be told of it, and makes an event of that; ok is false if it is nothing.
func (c *Conn) read(s *stream) (ok bool) {
	r := &s.recv
	if r.drain {
		c.drain(s)
		return false
	}
	switch c.step(s, false) {
	case stepNothing:
		return false
	case stepBody, stepEnd:
		c.tell(s, newsData)
		return false
	}
	t := c.work()
	m, ev := &t.message, &t.event
	*ev = Event{Stream: s.id, Data: s.data, Message: m}
	switch {
	case !c.client:
		ev.Kind, s.known = EventRequest, true
		if s.datagrams.len > 0 {
			c.tell(s, newsDatagram)
		}
		if s.send.state == sendOver { // STOP_SENDING came before the header section was whole
			c.tell(s, newsStopped)
		}
	case m.Status < 200:
		ev.Kind = EventInterim
	default:
		ev.Kind = EventResponse
	}
	if ev.Fin = r.state == recvEnd; ev.Fin {
		c.tellEnd(s)
	} else {
		c.tell(s, newsRead)
	}
	return true
}

// step reads frames of a stream up to what is for the application. It fails the stream or the connection where the peer is in error.
// The end of a body is left with the core unless the application reads (taking), as its bytes are.
func (c *Conn) step(s *stream, taking bool) stepResult {
	r := &s.recv
	for {
		switch {
		case r.state == recvEnd:
			return stepEnd
		case r.state == recvOver || r.blocked || r.waiting || s.raw || c.isOver():
			return stepNothing // where a section had us close the connection, what was read to its end is no whole message
		case r.whole:
			r.whole = false
			if c.decode(s, r.section, true) {
				return c.headDone(s)
			}
			continue
		case r.fin:
			return c.endOf(s)
		}
		p, fin, err := c.core.StreamPeek(s.id)
		if err != nil {
			c.onReadError(s, err)
			return stepNothing
		}
		if len(p) == 0 {
			if !fin {
				return stepNothing
			}
			if c.leaves(s, true, taking) {
				return stepEnd
			}
			if !c.consume(s, 0) {
				return stepNothing
			}
			continue
		}
		switch r.frame {
		case inData:
			return stepBody
		case inHeaders, inSkipped:
			n := len(p)
			if uint64(n) > r.left {
				n = int(r.left)
			}
			if c.leaves(s, fin && n == len(p), taking) {
				return stepEnd
			}
			if r.frame == inHeaders {
				r.section = append(r.section, p[:n]...)
			}
			r.left -= uint64(n)
			if !c.consume(s, n) {
				return stepNothing
			}
			if r.left > 0 {
				continue
			}
			r.whole, r.frame = r.frame == inHeaders, betweenFrames
		case betweenFrames:
			typ, length, used, ok := r.header.consume(p)
			r.last = fin
			if !ok {
				if !c.consume(s, used) {
					return stepNothing
				}
				continue
			}
			if c.leaves(s, fin && (used == len(p) || typ == frameHeaders && length == uint64(len(p)-used)), taking) {
				r.header.n = r.header.split
				return stepEnd
			}
			message, ok := c.beginFrame(s, typ, length, p, used)
			if !ok {
				return stepNothing
			}
			if message {
				return c.headDone(s)
			}
		}
	}
}

// leaves tells whether what comes next is left with the core until the application reads: at a client, behind a header section, what is the last of the
// stream, since the core may forget a stream that was read to its end. At a server it keeps it for the response, so that a request is looked at as
// far as it has come.
func (c *Conn) leaves(s *stream, last, taking bool) bool {
	return last && !taking && c.client && s.recv.state != recvHead
}

// consume takes n bytes from the core that were looked at; ok is false if they are not there any more.
func (c *Conn) consume(s *stream, n int) (ok bool) {
	fin, err := c.core.StreamDiscard(s.id, n)
	if err != nil {
		c.onReadError(s, err)
		return false
	}
	s.recv.fin = fin
	return true
}

// beginFrame acts on the header of a frame, which ends after used bytes of p, and consumes it, and what of the frame it can at once. message tells
// that Conn.telling is a header section; ok is false if no more is to be read now.
func (c *Conn) beginFrame(s *stream, typ, length uint64, p []byte, used int) (message, ok bool) {
	if s.id&1 != 0 { // RFC 9114, section 6.1
		if !c.takesRaw(s, typ, p[:used]) {
			c.fail(connErr(ErrCodeStreamCreation, "a bidirectional stream of the server's"))
		}
		return false, false
	}
	switch typ {
	case frameData:
		return false, c.beginData(s, length) && c.consume(s, used)
	case frameHeaders:
		return c.beginHeaders(s, length, p, used)
	}
	if c.takesRaw(s, typ, p[:used]) {
		return false, false
	}
	if e := c.otherFrame(typ, length); e != nil {
		c.fail(e)
		return false, false
	}
	if !c.load.odd(c, s, costUnknownFrame) {
		return false, false
	}
	r := &s.recv
	if r.typ, r.left = typ, length; length > 0 {
		r.frame = inSkipped
	}
	return false, c.consume(s, used)
}

// otherFrame returns what is wrong with a frame on a request stream that is neither DATA nor HEADERS; unknown ones are skipped, and so is
// ORIGIN, which MUST be ignored on any stream but the server's control stream (RFC 9412, section 2; RFC 8336, section 2.1).
func (c *Conn) otherFrame(typ, length uint64) *connError {
	switch typ {
	case framePushPromise:
		if c.client {
			if length == 0 {
				return connErr(ErrCodeFrame, "an empty PUSH_PROMISE frame")
			}
			return connErr(ErrCodeID, "PUSH_PROMISE, and no push was allowed") // RFC 9114, section 7.2.5
		}
	case frameCancelPush, frameSettings, frameGoAway, frameMaxPushID, framePriorityUpdateRequest, framePriorityUpdatePush:
	default:
		if !isHTTP2Frame(typ) {
			return nil
		}
	}
	return connErr(ErrCodeFrameUnexpected, fmt.Sprintf("a frame of type 0x%x on a request stream", typ))
}

// beginData acts on the header of a DATA frame.
func (c *Conn) beginData(s *stream, length uint64) (ok bool) {
	r := &s.recv
	if r.state != recvBody {
		c.fail(connErr(ErrCodeFrameUnexpected, "a DATA frame before the header section, or behind the trailer section"))
		return false
	}
	r.received += length
	if r.length >= 0 && r.received > uint64(r.length) {
		reason := fmt.Sprintf("the content-length is %d, and there are %d bytes or more", r.length, r.received)
		if !s.hasContent() {
			reason = "a body where there can be none"
		}
		c.malformed(s, reason)
		return false
	}
	if length == 0 {
		return c.load.odd(c, s, costEmptyData)
	}
	r.frame, r.left = inData, length
	return true
}

// hasContent tells whether the message that a stream brings can have a body (RFC 9110, section 6.4.1).
func (s *stream) hasContent() bool {
	return !(s.noContent || s.recv.status == 204 || s.recv.status == 304)
}

// beginHeaders acts on the header of a HEADERS frame.
func (c *Conn) beginHeaders(s *stream, length uint64, p []byte, used int) (message, ok bool) {
	r := &s.recv
	switch {
	case r.state == recvTail:
		c.fail(connErr(ErrCodeFrameUnexpected, "a HEADERS frame behind the trailer section"))
		return false, false
	case r.state == recvBody && s.connect: // RFC 9114, section 4.4
		c.fail(connErr(ErrCodeFrameUnexpected, "a HEADERS frame in a CONNECT tunnel"))
		return false, false
	case length > c.cfg.MaxFieldSectionSize+sectionSlack:
		r.frame, r.typ, r.left = inSkipped, frameHeaders, length
		if !c.consume(s, used) {
			return false, false
		}
		c.tooLarge(s)
		return false, r.state != recvOver || r.drain
	case length <= uint64(len(p)-used): // all of it is at hand, as it is but for long ones: it is read where it lies
		end := used + int(length)
		message = c.decode(s, p[used:end], false)
		if r.waiting { // there is no room on the decoder stream: the frame stays with the core, under flow control
			r.header.n = r.header.split
			return false, false
		}
		if message && r.last && r.length >= 0 && !c.checkWhole(s, p[end:]) {
			return false, false
		}
		if r.state == recvOver && !r.drain || c.isOver() {
			return false, false
		}
		return message, c.consume(s, end)
	}
	r.frame, r.left, r.section = inHeaders, length, r.section[:0]
	return false, c.consume(s, used) && c.hold(s, int(length))
}

// checkWhole holds a body to its content-length where all of it lies behind the header section already: then the application does not even see the message.
func (c *Conn) checkWhole(s *stream, p []byte) (ok bool) {
	sum := uint64(0)
	for len(p) > 0 {
		typ, length, used, ok := consumeFrameHeader(p)
		if !ok || length > uint64(len(p)-used) {
			return true // it is another error, and told when it is read
		}
		if typ == frameData {
			sum += length
		}
		p = p[used+int(length):]
	}
	if s.hasContent() && sum != uint64(s.recv.length) {
		c.malformed(s, fmt.Sprintf("the content-length is %d, and there are %d bytes", s.recv.length, sum))
		return false
	}
	return true
}

// decode decodes a field section; message tells that it is a header section, in Conn.work. gathered tells whether section is that of the
// stream, and was consumed, or still with the core.
func (c *Conn) decode(s *stream, section []byte, gathered bool) (message bool) {
	r, w := &s.recv, c.work()
	into := w.fields[:0]
	if r.state == recvBody {
		into = nil // trailers are kept until the application is told
	}
	fields, err := c.dec.Decode(s.id, section, into, c.cfg.MaxFieldSectionSize)
	switch {
	case err == nil:
	case errors.Is(err, qpack.ErrTooLarge):
		c.release(s)
		c.tooLarge(s)
		return false
	case errors.Is(err, qpack.ErrBlocked) && c.ended:
		c.endBlocked(s)
		return false
	case errors.Is(err, qpack.ErrBlocked):
		c.keep(s, section, gathered)
		r.blocked = true
		c.blocked.push(s, linkBlocked, c.nanos)
		return false
	case errors.Is(err, qpack.ErrBacklog):
		r.waiting, r.whole = true, gathered
		w.backlog = append(w.backlog, s)
		return false
	default:
		c.fail(qpackError(err))
		return false
	}
	c.release(s)
	if r.state == recvBody {
		return c.onTrailers(s, fields)
	}
	w.fields = fields
	return c.onHead(s, fields)
}

func qpackError(err error) *connError {
	var e *qpack.Error
	if errors.As(err, &e) {
		return connErr(ErrorCode(e.Code), e.Text)
	}
	return connErr(ErrCodeInternal, err.Error())
}

// onHead acts on a decoded header section.
func (c *Conn) onHead(s *stream, fields []qpack.Field) (message bool) {
	m, r := &c.work().message, &s.recv
	var priority, fault string
	if c.client {
		fault = m.parseResponse(fields)
	} else {
		priority, fault = m.parseRequest(fields, c.cfg.EnableConnect)
	}
	if fault != "" {
		c.malformed(s, fault)
		return false
	}
	if c.client && m.Status < 200 {
		return c.onInterim(s)
	}
	c.heads.remove(s, linkHead)
	r.state, r.status, r.length = recvBody, m.Status, m.ContentLength
	if c.client {
		if s.connect && m.Status < 300 {
			r.length = -1 // RFC 9110, section 9.3.6
		} else {
			s.connect = false
			if !s.hasContent() {
				r.length = 0
			}
		}
		return true
	}
	s.connect, s.extended = m.Method == "CONNECT", m.Protocol != ""
	s.send.head = m.Method == "HEAD"
	c.setRequestPriority(s, m, priority)
	if c.core.EarlyData() == quic.EarlyAccepted {
		m.Early = c.core.StreamEarly(s.id)
	}
	return true
}

// onInterim acts on an interim response. Nothing is kept of it, so that there may be many, but not at any rate.
func (c *Conn) onInterim(s *stream) (message bool) { return c.load.odd(c, s, costInterim) }

// headDone acts on a header section in Conn.telling, whose frame was consumed: the end may have come with it.
func (c *Conn) headDone(s *stream) stepResult {
	if !s.recv.fin {
		return stepMessage
	}
	if s.recv.state == recvHead {
		c.malformed(s, "the stream ends with an interim response")
		return stepNothing
	}
	if c.endOf(s) != stepEnd {
		return stepNothing
	}
	if m := &c.work().message; m.ContentLength < 0 {
		m.ContentLength = 0
	}
	return stepMessage
}

// onTrailers acts on a decoded trailer section.
func (c *Conn) onTrailers(s *stream, fields []qpack.Field) (message bool) {
	if fault := trailerFault(fields); fault != "" {
		c.malformed(s, fault)
		return false
	}
	s.recv.state, s.recv.trailers = recvTail, fields
	c.tell(s, newsTrailers)
	return false
}

// endOf acts on the end of a stream, which was read.
func (c *Conn) endOf(s *stream) stepResult {
	r := &s.recv
	switch {
	case r.frame != betweenFrames || r.header.n > 0: // RFC 9114, section 7.1
		c.fail(connErr(ErrCodeFrame, "a stream that ends within a frame"))
	case r.state == recvHead && c.client:
		c.malformed(s, "the stream ends before a response")
	case r.state == recvHead:
		c.load.spend(c, costReset)
		c.failStream(s, ErrCodeRequestIncomplete, "the stream ends before a request")
	case r.length >= 0 && r.received != uint64(r.length) && s.hasContent():
		c.malformed(s, fmt.Sprintf("the content-length is %d, and there are %d bytes", r.length, r.received))
	default:
		r.state = recvEnd
		return stepEnd
	}
	return stepNothing
}

// StreamRecv is quic.Conn.StreamRecv for a body: it copies bytes of DATA frames to p. fin says that the message is over: that its
// body had the length that content-length told, and that EventTrailers, if there are trailers, can be read from NextEvent.
// A *StreamError tells that the peer reset the stream, or that what it sent was malformed.
func (c *Conn) StreamRecv(id uint64, p []byte) (n int, fin bool, err error) {
	s := c.findAny(id)
	if s == nil {
		return 0, false, c.unknown()
	}
	r := &s.recv
	if s.raw {
		return c.recvRaw(s, p)
	}
	if r.state == recvHead {
		return 0, false, c.notYet(s)
	}
	for {
		if r.frame == inData && r.state == recvBody {
			size := len(p) - n
			if uint64(size) > r.left {
				size = int(r.left)
			}
			if size == 0 {
				return n, false, nil
			}
			k, end, err := c.core.StreamRecv(id, p[n:n+size])
			if err != nil {
				c.onReadError(s, err)
				return n, false, r.failure(c, err)
			}
			n += k
			r.left -= uint64(k)
			r.fin = end
			if r.left == 0 {
				r.frame = betweenFrames
			} else if !end {
				return n, false, nil
			}
		}
		switch c.step(s, true) {
		case stepBody:
			if n == len(p) {
				return n, false, nil
			}
		case stepEnd:
			c.tellEnd(s)
			return n, true, nil
		default:
			return n, false, r.failure(c, nil)
		}
	}
}

// StreamTake is quic.Conn.StreamTake for a body: it hands over pieces of the memory that a DATA frame lies in, without a copy, to be given back
// by quic.Conn.StreamGive. It leaves the last bytes of each frame, at least one, and the end of the message to StreamRecv: n == 0 without an error does
// not mean that there is nothing.
func (c *Conn) StreamTake(id uint64, into []quic.Piece) (n int, err error) {
	s := c.find(id)
	if s == nil || s.raw {
		return 0, nil
	}
	r := &s.recv
	if r.state != recvBody || r.frame != inData || r.left <= pieceSize {
		return 0, nil
	}
	if most := (r.left - 1) / pieceSize; uint64(len(into)) > most {
		into = into[:most]
	}
	n, end, err := c.core.StreamTake(id, into)
	if err != nil {
		c.onReadError(s, err)
		return n, r.failure(c, err)
	}
	for i := range n {
		r.left -= uint64(len(into[i].Bytes()))
	}
	if r.fin = end; end { // in the middle of a frame
		c.step(s, true)
	}
	return n, nil
}

// pieceSize is how large a piece of quic.Conn.StreamTake is at the most, in bytes.
const pieceSize = 16 << 10

// failure is the error of a stream that can be read no more, nil if it can.
func (r *recvPart) failure(c *Conn, err error) error {
	if r.err != nil {
		return r.err
	}
	if err != nil {
		return err
	}
	if c.isOver() {
		return c.core.Err()
	}
	return nil
}

// isOver tells whether the connection is closed, and nothing that had arrived can be read any more.
func (c *Conn) isOver() bool { return c.core.IsClosed() && !c.core.KeepsReceived() }

// notYet is what StreamRecv says before the header section is there.
func (c *Conn) notYet(s *stream) error {
	if s.recv.err != nil {
		return s.recv.err
	}
	return c.core.Err()
}

// recvRaw is StreamRecv of a stream that was taken over.
func (c *Conn) recvRaw(s *stream, p []byte) (n int, fin bool, err error) {
	if r := &s.recv; len(r.section) > 0 {
		n = copy(p, r.section)
		r.section = append(r.section[:0], r.section[n:]...)
		return n, false, nil
	}
	return c.core.StreamRecv(s.id, p)
}

// drain drops what comes on a stream that nobody reads, and that the peer may end in its own time.
func (c *Conn) drain(s *stream) {
	for {
		p, fin, err := c.core.StreamPeek(s.id)
		if err != nil || len(p) == 0 && !fin {
			return
		}
		if end, err := c.core.StreamDiscard(s.id, len(p)); end || err != nil {
			s.recv.fin = end
			return
		}
	}
}
