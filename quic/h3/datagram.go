package h3

import (
	"slices"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// HTTP datagrams (RFC 9297, section 2): a DATAGRAM frame begins with the ID of the stream of their request, divided by four.

// maxQuarterID is the highest Quarter Stream ID (RFC 9297, section 2.1).
const maxQuarterID = 1<<60 - 1

// datagramQueue holds datagrams of a stream that wait to be read. The memory of those that were read is used again.
type datagramQueue struct {
	ring  [][]byte
	head  int
	len   int
	bytes int
}

// push adds a copy of b; the oldest are dropped for it if there are too many, or more than most bytes.
func (q *datagramQueue) push(b []byte, most int) {
	for q.len > 0 && (q.len == maxDatagrams || q.bytes+len(b) > most) {
		at, full := q.head, q.len == len(q.ring)
		if q.pop(); !full { // else b is copied to its place
			q.ring[at] = nil
		}
	}
	if q.len == len(q.ring) {
		ring := make([][]byte, max(2*len(q.ring), 4))
		for i := range q.len {
			ring[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = ring, 0
	}
	at := &q.ring[(q.head+q.len)%len(q.ring)]
	*at = append((*at)[:0], b...)
	q.len++
	q.bytes += len(b)
}

// maxKeptDatagram is how long a datagram may be whose memory is used again, in bytes.
const maxKeptDatagram = 2 << 10

// pop removes the oldest datagram, which is valid until the next push.
func (q *datagramQueue) pop() []byte {
	b := q.ring[q.head]
	if cap(b) > maxKeptDatagram {
		q.ring[q.head] = nil
	}
	q.head = (q.head + 1) % len(q.ring)
	q.len--
	q.bytes -= len(b)
	return b
}

func (q *datagramQueue) clear() { *q = datagramQueue{} }

// earlyDatagrams holds datagrams that came before the stream of their request (RFC 9297, section 2.1). A nil one holds none.
type earlyDatagrams struct {
	list  []earlyDatagram
	bytes int
	buf   []byte // for one that is being read or written
}

type earlyDatagram struct {
	id      uint64
	payload []byte
}

// waiting returns how many there are.
func (e *earlyDatagrams) waiting() int {
	if e == nil {
		return 0
	}
	return len(e.list)
}

// someDatagrams returns the connection's earlyDatagrams, which are made if need be.
func (c *Conn) someDatagrams() *earlyDatagrams {
	if c.datagrams == nil {
		c.datagrams = new(earlyDatagrams)
	}
	return c.datagrams
}

func (e *earlyDatagrams) push(id uint64, b []byte) {
	for len(e.list) > 0 && (len(e.list) == maxEarlyDatagrams || e.bytes+len(b) > maxEarlyBytes) {
		e.bytes -= len(e.list[0].payload)
		e.list = append(e.list[:0], e.list[1:]...)
	}
	e.list = append(e.list, earlyDatagram{id, append([]byte(nil), b...)})
	e.bytes += len(b)
}

// takeFor gives a stream that was opened its datagrams.
func (e *earlyDatagrams) takeFor(c *Conn, s *stream) {
	if e.waiting() == 0 {
		return
	}
	kept := e.list[:0]
	for _, d := range e.list {
		if d.id != s.id {
			kept = append(kept, d)
			continue
		}
		e.bytes -= len(d.payload)
		c.giveDatagram(s, d.payload)
	}
	clear(e.list[len(kept):])
	e.list = kept
}

func (c *Conn) giveDatagram(s *stream, b []byte) {
	q := &s.datagrams
	c.unread -= q.bytes
	if q.push(b, min(maxDatagramBytes, (maxAllDatagramBytes-c.unread)/2)); q.len == 1 {
		c.tell(s, newsDatagram)
	}
	c.unread += q.bytes
}

// usualDatagram is for how long a datagram there is room at once, in bytes: as long as most paths carry.
const usualDatagram = 1500

// readDatagrams takes the DATAGRAM frames that have come.
func (c *Conn) readDatagrams() {
	e := c.someDatagrams()
	for !c.isOver() {
		b, ok := c.core.DatagramPeek()
		if !ok {
			return
		}
		if cap(e.buf) < len(b) {
			e.buf = make([]byte, max(len(b), usualDatagram))
		}
		n, _ := c.core.DatagramRecv(e.buf[:len(b)])
		if err := c.onDatagram(e.buf[:n]); err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *Conn) onDatagram(b []byte) *connError {
	if !c.cfg.EnableDatagrams {
		return nil // nobody said that they are understood
	}
	quarter, n := wire.ConsumeVarint(b)
	if n < 0 || quarter > maxQuarterID {
		return connErr(ErrCodeDatagram, "a DATAGRAM frame without a Quarter Stream ID, or with one that is too high")
	}
	id, payload := quarter<<2, b[n:]
	if s := c.find(id); s != nil {
		if !c.recvOver(s) { // else it MUST be dropped silently
			c.giveDatagram(s, payload)
		}
		return nil
	}
	switch {
	case c.client:
		return nil // of a request that is over, or was never made
	case quarter >= c.core.PeerStreamLimit(false):
		return connErr(ErrCodeID, "an HTTP datagram of a stream beyond the limit")
	case id >= c.goaway.next:
		c.someDatagrams().push(id, payload)
	}
	return nil
}

// datagramsEnabled tells whether both sides have said that they understand HTTP datagrams (RFC 9297, section 2.1.1): our SETTINGS wait where the peer allows no
// stream for them. Deviation: what counts as said is what the core has taken, which may send a datagram ahead of it.
func (c *Conn) datagramsEnabled() bool {
	return c.cfg.EnableDatagrams && c.local.controlSent > 0 && c.settings.H3Datagram && c.core.MaxDatagramSize() > 0
}

// SendDatagram sends an HTTP datagram of a request's stream, as long as we have not ended what we send on that (RFC 9297, section 2.1); p is copied. The errors
// are ErrDatagramsNotEnabled, ErrUnknownStream, quic.ErrStreamEnded, a *StreamError where the peer wants no more, and those of quic.Conn.DatagramSend.
func (c *Conn) SendDatagram(id uint64, p []byte) error {
	if !c.datagramsEnabled() {
		return ErrDatagramsNotEnabled
	}
	s := c.find(id)
	if s == nil || id&3 != quic.StreamTypeBidi {
		return c.unknown()
	}
	switch {
	case s.send.state == sendEnd:
		return quic.ErrStreamEnded
	case s.send.state == sendOver:
		return s.sendError()
	case s.raw: // only the core knows
		if _, err := c.core.StreamRoom(id); err != nil {
			return err
		}
	}
	e := c.someDatagrams()
	e.buf = append(wire.AppendVarint(e.buf[:0], id>>2), p...)
	return c.core.DatagramSend(e.buf)
}

// RecvDatagram copies the oldest HTTP datagram of a stream into p and forgets it; ok is false if there is none. What does not fit into p is
// lost.
func (c *Conn) RecvDatagram(id uint64, p []byte) (n int, ok bool) {
	s := c.find(id)
	if s == nil || s.datagrams.len == 0 {
		return 0, false
	}
	return copy(p, c.popDatagram(s)), true
}

// popDatagram removes the oldest datagram of a stream, of which there is one; it is valid until the next one comes.
func (c *Conn) popDatagram(s *stream) []byte {
	b := s.datagrams.pop()
	c.unread -= len(b)
	return b
}

// TakeDatagrams returns the HTTP datagrams of a stream that wait for RecvDatagram, the oldest first, and forgets them; they are the caller's. It is for
// EventDone, with which those are lost that nobody has read: until the next call of NextEvent it still finds them.
func (c *Conn) TakeDatagrams(id uint64) (all [][]byte) {
	s := c.find(id)
	if s == nil && c.ready != nil && c.ready.id == id {
		s = c.ready // which the core has forgotten, and of which EventDone has just been told
	}
	for s != nil && s.datagrams.len > 0 {
		all = append(all, slices.Clone(c.popDatagram(s)))
	}
	return all
}

// DatagramsOver tells whether no HTTP datagram of a stream can arrive any more, since its receiving part is over: it was read to its end, reset, or stopped by
// us (RFC 9297, section 2.1). Those that have arrived can still be read, until EventDone.
func (c *Conn) DatagramsOver(id uint64) bool {
	s := c.find(id)
	return s == nil || c.recvOver(s)
}

// recvOver tells whether the receiving part of a stream is over; of one that was taken over the core knows.
func (c *Conn) recvOver(s *stream) bool {
	return s.recv.state >= recvEnd || s.raw && c.core.StreamFinished(s.id)
}

// MaxDatagramSize returns how long an HTTP datagram of a stream may be now, in bytes, 0 if none can be sent.
func (c *Conn) MaxDatagramSize(id uint64) int {
	if !c.datagramsEnabled() {
		return 0
	}
	return max(c.core.MaxDatagramSize()-wire.SizeVarint(id>>2), 0)
}
