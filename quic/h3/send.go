package h3

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qpack"
)

// Messages on their way out (RFC 9114, section 4.1). What was begun of a frame is completed before anything else: what the core does not
// take of one waits in sendPart.pending. DATA frames are made as long as there is room, so that it is seldom more than a few bytes.

// SendRequest makes a request at a client: it opens a stream and sends m, the first n bytes of body, and the end if fin and n is all of
// body. n < len(body) says that there is no room for more now: EventWritable comes when there is. The header section is always taken, or
// else there is an error, and nothing was sent: ErrStreamLimit, ErrGoingAway, ErrFieldSectionTooLarge, ErrConnectNotEnabled, a
// *MessageError, or that of the connection. A body that is not of the content-length in m has the stream reset, whose ID is returned: a *StreamError that
// matches ErrContentLength. Nothing of body is kept, and of m nothing but strings.
func (c *Conn) SendRequest(now time.Time, m *Message, body []byte, fin bool) (id uint64, n int, err error) {
	c.setNow(now)
	switch {
	case !c.client:
		return 0, 0, ErrRole
	case c.core.IsClosed():
		return 0, 0, c.core.Err()
	case c.GoingAway():
		return 0, 0, ErrGoingAway
	case m.Protocol != "" && !c.settings.EnableConnect:
		return 0, 0, ErrConnectNotEnabled
	}
	c.newList()
	c.addPseudo(":method", m.Method)
	tunnel := m.Method == "CONNECT" && m.Protocol == ""
	if !tunnel || m.Scheme != "" {
		c.addPseudo(":scheme", m.Scheme)
	}
	if m.Authority != "" {
		c.addPseudo(":authority", m.Authority)
	}
	if !tunnel || m.Path != "" {
		c.addPseudo(":path", m.Path)
	}
	if m.Protocol != "" {
		c.addPseudo(":protocol", m.Protocol)
	}
	notes, err := c.addFields(m, false)
	if err != nil {
		return 0, 0, err
	}
	if id, err = c.core.OpenStream(); err != nil {
		if errors.Is(err, quic.ErrStreamLimit) || err == quic.ErrEarlyDataRejected { // which says that new ones can be opened soon
			c.wanted = true
			err = ErrStreamLimit
		}
		return 0, 0, err
	}
	s := c.newStream(id)
	c.requests++
	s.known, s.connect, s.extended, s.noContent = true, m.Method == "CONNECT", m.Protocol != "", m.Method == "HEAD"
	s.send.length = notes.length
	c.setOwnPriority(s, notes.priorityValue())
	n, err = c.sendHead(s, body, fin)
	return id, n, err
}

// SendResponse sends a response, or an interim one (m.Status 1xx, without body and fin), at a server. Else it is as SendRequest. To a
// request of method HEAD, and with status 204 or 304, body must be empty and fin set; the content-length of m is sent.
func (c *Conn) SendResponse(now time.Time, id uint64, m *Message, body []byte, fin bool) (n int, err error) {
	c.setNow(now)
	if c.client {
		return 0, ErrRole
	}
	s := c.find(id)
	switch {
	case s == nil:
		return 0, c.unknown()
	case s.raw:
		return 0, ErrUnknownStream
	case s.send.state != sendHead:
		return 0, s.sendError()
	}
	interim := m.Status >= 100 && m.Status < 200
	bare := s.send.head || m.Status == 204 || m.Status == 304
	switch {
	case m.Status < 100 || m.Status > 999 || m.Status == 101:
		return 0, &MessageError{"the status " + strconv.Itoa(m.Status) + " is not one of HTTP/3"}
	case interim && (len(body) > 0 || fin), bare && len(body) > 0:
		return 0, ErrMessageOrder
	}
	c.newList()
	c.addPseudo(":status", statusText(m.Status))
	notes, err := c.addFields(m, true)
	if err != nil {
		return 0, err
	}
	if interim {
		return 0, c.sendInterim(s)
	}
	if s.send.length = notes.length; bare {
		s.send.length = 0
	}
	n, err = c.sendHead(s, body, fin)
	c.afterEnd(s)
	return n, err
}

// statusTexts are the status codes that are sent often.
var statusTexts = func() (t [600]string) {
	for i := 100; i < len(t); i++ {
		t[i] = strconv.Itoa(i)
	}
	return t
}()

func statusText(status int) string {
	if status < len(statusTexts) {
		return statusTexts[status]
	}
	return strconv.Itoa(status)
}

// newList begins the list of a section's fields.
func (c *Conn) newList() {
	w := c.work()
	w.list = w.list[:0]
}

func (c *Conn) addPseudo(name, value string) {
	w := c.work()
	w.list = append(w.list, qpack.Field{Name: name, Value: value})
}

// addFields adds the regular fields of a message, and checks all of it.
func (c *Conn) addFields(m *Message, response bool) (notes fieldNotes, err error) {
	w := c.work()
	pseudo := len(w.list)
	w.list = append(w.list, m.Fields...)
	c.enc.Prepare(w.list)
	fault := notes.read(w.list[pseudo:])
	if fault == "" && !response {
		fault = c.requestFault(w.list[:pseudo], m, notes.host)
	}
	if fault != "" {
		return notes, &MessageError{fault}
	}
	return notes, c.fits()
}

// requestFault checks what a request of ours says of its target.
func (c *Conn) requestFault(pseudo []qpack.Field, m *Message, host *qpack.Field) string {
	var notes pseudoNotes
	for i := range pseudo {
		f := &pseudo[i]
		notes.note(pseudoClass(f.Name), fieldClass(f.Class) != classUnknown)
	}
	if host == nil || notes.seen&pseudoAuthority != 0 {
		if host != nil && host.Value != m.Authority {
			return ":authority and Host are not the same"
		}
		return m.requestFault(notes, true)
	}
	with := *m
	with.Authority = host.Value
	return with.requestFault(notes, true)
}

// fits tells whether the peer accepts the section in work.list.
func (c *Conn) fits() error {
	if c.settings.MaxFieldSectionSize == NoLimit {
		return nil
	}
	size, list := uint64(0), c.work().list
	for i := range list {
		size += list[i].Size()
	}
	if size > c.settings.MaxFieldSectionSize {
		return ErrFieldSectionTooLarge
	}
	return nil
}

// encodeSection makes a HEADERS frame of work.list, which was prepared; the frame is valid until the next one is made, and has room for
// another header behind it. Instructions for the peer's decoder are sent before it, and none for which the peer gives no credit now (RFC 9204, section 2.1.3); our encoder stream goes before all others.
func (c *Conn) encodeSection(id uint64) []byte {
	room := 0
	if c.enc.MayInstruct() && c.local.opened > localEncoder && len(c.local.out[localEncoder]) == 0 && c.settings.QPACKTableCapacity > 0 {
		room = c.core.StreamCredit(c.local.ids[localEncoder])
	}
	w := c.work()
	w.out = append(w.out[:0], make([]byte, maxFrameHeader)...)
	w.out = slices.Grow(c.enc.AppendPrepared(w.out, id, room), maxFrameHeader) // what follows may be the header of a DATA frame
	c.flushEncoder()
	var header [maxFrameHeader]byte
	h := appendFrameHeader(header[:0], frameHeaders, uint64(len(w.out)-maxFrameHeader))
	at := maxFrameHeader - len(h)
	copy(w.out[at:], h)
	clear(w.list)
	return w.out[at:]
}

// sendInterim sends the interim response in work.list.
func (c *Conn) sendInterim(s *stream) error {
	if len(s.send.pending) >= maxInterimBacklog {
		return ErrInterimBacklog
	}
	frame := c.encodeSection(s.id)
	return c.sendFrames(s, frame, nil, false)
}

// sendHead sends the header section in work.list, and what it can of the body.
func (c *Conn) sendHead(s *stream, body []byte, fin bool) (n int, err error) {
	if err := s.checkLength(len(body), fin); err != nil {
		return 0, c.breakLength(s, err)
	}
	frame := c.encodeSection(s.id)
	p := &s.send
	p.state = sendBody
	size, room := len(frame)+len(body)+maxFrameHeader, 0
	if size > usualRoom {
		if room, err = c.core.StreamRoom(s.id); err != nil {
			return 0, s.fromCore(err)
		}
	}
	first := len(body)
	if size > usualRoom {
		first = dataSize(len(body), room-len(frame))
	}
	if first > 0 {
		frame = appendFrameHeader(frame, frameData, uint64(first))
	}
	last := fin && first == len(body)
	if err := c.sendFrames(s, frame, body[:first], last); err != nil {
		return 0, err
	}
	p.count(first)
	if first == len(body) {
		return first, nil
	}
	n, err = c.sendBody(s, body[first:], fin)
	return first + n, err
}

// usualRoom is how many bytes the core takes of a stream that has nothing waiting, as a rule, without being asked. Where it takes less the rest is kept.
const usualRoom = 4 << 10

// dataSize is how long the payload of a DATA frame is to be so that the frame fits into room, 0 if it is not worth it.
func dataSize(want, room int) int {
	for _, header := range [...]int{2, 3, 5, 9} {
		n := min(want, room-header)
		if n <= 0 {
			return 0
		}
		if 1+wire.SizeVarint(uint64(n)) <= header {
			return n
		}
		if k := maxPayload[header]; n > k && k > 0 && room-header-2 <= k {
			return k // one byte more would have the length take two more
		}
	}
	return 0
}

// maxPayload is how long a DATA frame can be whose header has that many bytes.
var maxPayload = [...]int{2: 1<<6 - 1, 3: 1<<14 - 1, 5: 1<<30 - 1, 9: 0}

// sendFrames sends frames and what follows of a body, and keeps what the core does not take: it has begun.
func (c *Conn) sendFrames(s *stream, frames, body []byte, fin bool) error {
	p := &s.send
	if len(p.pending) > 0 { // an interim response, of which not all was taken
		p.pending = append(append(p.pending, frames...), body...)
		p.fin = fin
		p.end(fin)
		return nil
	}
	parts := [...][]byte{frames, body}
	n, err := c.core.StreamSendParts(s.id, parts[:], fin)
	if err != nil {
		return s.fromCore(err)
	}
	p.keep(parts[:], n, fin)
	return nil
}

// keep keeps what the core has not taken, after n bytes, of parts.
func (p *sendPart) keep(parts [][]byte, n int, fin bool) {
	for _, b := range parts {
		k := min(n, len(b))
		n -= k
		if k < len(b) {
			p.pending = append(p.pending, b[k:]...)
		}
	}
	p.fin = fin && len(p.pending) > 0
	p.end(fin)
}

// end notes that the end was taken, from the application.
func (p *sendPart) end(fin bool) {
	if fin {
		p.state = sendEnd
	}
}

// afterEnd stops what comes on a stream whose request was too large to be read, once it is answered (RFC 9114, section 4.1).
func (c *Conn) afterEnd(s *stream) {
	if s.recv.drain && s.send.state == sendEnd && !s.recv.fin {
		s.recv.drain = false
		c.core.StreamStopLater(c.now, s.id, uint64(ErrCodeNoError))
	}
}

// count notes that n bytes of the body were taken.
func (p *sendPart) count(n int) {
	if p.length >= 0 {
		p.length -= int64(n)
	}
}

// StreamSend is quic.Conn.StreamSend for a body: it sends bytes of p, in DATA frames, and the end if fin and all of p was taken. n <
// len(p) without an error says that there is no room now, and EventWritable comes. It fails with ErrContentLength, and resets the stream,
// where the body is longer than declared, or ends and is shorter.
func (c *Conn) StreamSend(id uint64, p []byte, fin bool) (n int, err error) {
	s := c.find(id)
	switch {
	case s == nil:
		return 0, c.unknown()
	case s.raw:
		return c.core.StreamSend(id, p, fin)
	case s.send.state != sendBody:
		return 0, s.sendError()
	}
	if err := s.checkLength(len(p), fin); err != nil {
		return 0, c.breakLength(s, err)
	}
	n, err = c.sendBody(s, p, fin)
	c.afterEnd(s)
	return n, err
}

// sendBody sends bytes of the body, as many as there is room for.
func (c *Conn) sendBody(s *stream, b []byte, fin bool) (n int, err error) {
	p := &s.send
	if len(p.pending) > 0 {
		if err := c.sendPending(s); err != nil {
			return 0, err
		}
		if len(p.pending) > 0 { // an end alone goes with them: all of b was taken
			p.wants = len(b) > 0
			p.fin = fin && len(b) == 0
			p.end(p.fin)
			return 0, nil
		}
	}
	if len(b) == 0 {
		if _, err := c.core.StreamSend(s.id, nil, fin); err != nil {
			return 0, s.fromCore(err)
		}
		p.end(fin)
		return 0, nil
	}
	for len(b) > 0 {
		room, err := c.core.StreamRoom(s.id)
		if err != nil {
			return n, s.fromCore(err)
		}
		k := max(dataSize(len(b), room), 1)
		var header [maxFrameHeader]byte
		h := appendFrameHeader(header[:0], frameData, uint64(k))
		parts := [...][]byte{h, b[:k]}
		last := fin && k == len(b)
		taken, err := c.core.StreamSendParts(s.id, parts[:], last)
		if err != nil {
			return n, s.fromCore(err)
		}
		if taken == 0 {
			p.wants = true
			return n, nil
		}
		n += k
		b = b[k:]
		p.count(k)
		if p.keep(parts[:], taken, last); len(p.pending) > 0 {
			p.wants = len(b) > 0
			return n, nil
		}
	}
	return n, nil
}

// sendPending sends what was begun.
func (c *Conn) sendPending(s *stream) error {
	p := &s.send
	n, err := c.core.StreamSend(s.id, p.pending, p.fin)
	if err != nil {
		return s.fromCore(err)
	}
	if p.pending = append(p.pending[:0], p.pending[n:]...); len(p.pending) == 0 {
		p.fin = false
	}
	return nil
}

// onWritable acts on room for a stream on which the core had taken less than all.
func (c *Conn) onWritable(s *stream) {
	p := &s.send
	if s.raw {
		c.tell(s, newsWritable)
		return
	}
	if len(p.pending) > 0 && (c.sendPending(s) != nil || len(p.pending) > 0) {
		return
	}
	if p.wants {
		p.wants = false
		c.tell(s, newsWritable)
	}
}

// SendTrailers sends a trailer section, and the end: of a request or a response whose body was written with StreamSend and without fin.
// It is to be called when all of the body was taken.
func (c *Conn) SendTrailers(now time.Time, id uint64, fields []qpack.Field) error {
	c.setNow(now)
	s := c.find(id)
	switch {
	case s == nil:
		return c.unknown()
	case s.raw || s.connect:
		return ErrMessageOrder
	case s.send.state != sendBody:
		return s.sendError()
	}
	w := c.work()
	w.list = append(w.list[:0], fields...)
	c.enc.Prepare(w.list)
	if fault := trailerFault(w.list); fault != "" {
		return &MessageError{fault}
	}
	if err := s.checkLength(0, true); err != nil {
		return c.breakLength(s, err)
	}
	if err := c.fits(); err != nil {
		return err
	}
	err := c.sendFrames(s, c.encodeSection(id), nil, true)
	c.afterEnd(s)
	return err
}

// checkLength holds n more bytes of a body, and its end if fin, to the declared content-length.
func (s *stream) checkLength(n int, fin bool) error {
	left := s.send.length
	if left >= 0 && (int64(n) > left || fin && int64(n) < left) {
		return ErrContentLength
	}
	return nil
}

// breakLength resets a stream whose body is not of the declared length.
func (c *Conn) breakLength(s *stream, err error) error {
	code := ErrCodeInternal
	if c.client {
		code = ErrCodeRequestCancelled
	}
	s.send.state = sendOver
	s.send.err = &StreamError{Stream: s.id, Code: code, Reason: "the body does not have the declared length", Cause: err}
	s.send.drop()
	s.news &^= newsWritable
	c.core.StreamShutdown(s.id, quic.WriteDirection, uint64(code))
	return s.send.err
}

// sendError is why nothing can be sent on a stream in its state.
func (s *stream) sendError() error {
	switch {
	case s.send.state == sendOver && s.send.err != nil:
		return s.send.err
	case s.send.state == sendOver:
		return quic.ErrStreamEnded
	case s.send.state == sendEnd:
		return errAfterEnd
	}
	return ErrMessageOrder
}

// fromCore notes an error of the core's for a stream that we send on.
func (s *stream) fromCore(err error) error {
	var e *quic.StreamError
	if errors.As(err, &e) {
		s.send.state = sendOver
		s.send.drop()
		if s.send.err == nil {
			s.send.code = ErrorCode(e.Code)
			s.send.err = &StreamError{Stream: s.id, Code: s.send.code, Remote: e.Remote}
		}
		return s.send.err
	}
	return err
}
