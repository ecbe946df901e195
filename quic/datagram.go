package quic

import (
	"errors"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Errors of Conn.DatagramSend.
var (
	// ErrDatagramQueueFull: too many datagrams wait to be sent; EventDatagramWritable comes when there is room.
	ErrDatagramQueueFull = errors.New("quic: too many datagrams wait to be sent")
	// ErrDatagramUnsupported: the peer takes no datagrams, or the handshake is not complete.
	ErrDatagramUnsupported = errors.New("quic: the peer takes no datagrams")
)

// ErrDatagramsOff: no datagram can ever be received, since Config.MaxDatagramFrameSize is 0. See Conn.TakesDatagrams.
var ErrDatagramsOff = errors.New("quic: no datagrams can be received: Config.MaxDatagramFrameSize is 0")

// datagrams are the DATAGRAM frames that wait for the application and for the network (RFC 9221). Neither is resent.
type datagrams struct {
	peer     uint64 // the largest frame that the peer takes
	in, out  datagramQueue
	readable bool            // to be told
	writable bool            // to be told
	wanted   bool            // a datagram was refused for want of room
	lead     int32           // bytes by which they are ahead of their share, while stream data waits; see appendPayload
	counts   *datagramCounts // nil: there were none
}

// datagramCounts is what Stats tells of DATAGRAM frames.
type datagramCounts struct {
	sent, received, dropped, unsent uint64
}

// count returns what is counted, to be changed.
func (d *datagrams) count() *datagramCounts {
	if d.counts == nil {
		d.counts = new(datagramCounts)
	}
	return d.counts
}

func (d *datagrams) setPeerParams(p *wire.TransportParameters) { d.peer = p.MaxDatagramFrameSize }

// maxSize returns the largest datagram for a packet with room bytes for frames.
func (d *datagrams) maxSize(room int) int {
	frame := int(min(uint64(room), d.peer))
	return max(frame-wire.DatagramHeaderLen(frame, true), 0)
}

// send is Conn.DatagramSend.
func (d *datagrams) send(b []byte, most int) error {
	switch {
	case most == 0:
		return ErrDatagramUnsupported
	case len(b) > most:
		return &DatagramTooLargeError{Size: len(b), Max: most}
	case d.out.len() == maxDatagramQueue:
		d.wanted = true
		return ErrDatagramQueueFull
	}
	d.out.push(b)
	return nil
}

// recv is Conn.DatagramRecv.
func (d *datagrams) recv(b []byte) (n int, ok bool) {
	if d.in.len() == 0 {
		return 0, false
	}
	n = copy(b, d.in.front())
	d.in.pop()
	return n, true
}

// handle takes a DATAGRAM frame of frameLen bytes, of which we take most. The oldest one goes when too many wait.
func (d *datagrams) handle(data []byte, frameLen, most int) *TransportError {
	if frameLen > most {
		return transportError(ProtocolViolation, "a DATAGRAM frame larger than was allowed")
	}
	d.count().received++
	if d.in.len() == maxDatagramQueue {
		d.in.pop()
		d.count().dropped++
	}
	d.readable = d.readable || d.in.len() == 0
	d.in.push(data)
	return nil
}

// append appends DATAGRAM frames as long as there are any and room.
func (d *datagrams) append(pkt *packet) {
	for d.out.len() > 0 {
		data := d.out.front()
		switch size := wire.DatagramHeaderLen(len(data), true) + len(data); {
		case size <= pkt.room() && uint64(size) <= d.peer:
			pkt.b = wire.AppendDatagramHeader(pkt.b, len(data), true)
			pkt.b = append(pkt.b, data...)
			pkt.datagram = len(data)
			pkt.ackEliciting = true
			d.count().sent++
		case size > pkt.whole || uint64(size) > d.peer: // the path, or the peer, takes less than when this one was accepted
			d.count().unsent++
		default:
			return
		}
		d.out.pop()
		d.writable = d.writable || d.wanted
		d.wanted = false
	}
}

// purge is Conn.DatagramPurge.
func (d *datagrams) purge(drop func([]byte) bool) (n int) {
	for range d.out.len() {
		b := d.out.front()
		d.out.pop()
		if drop(b) {
			n++
		} else {
			d.out.push(b)
		}
	}
	if n > 0 {
		d.count().unsent += uint64(n)
		d.writable = d.writable || d.wanted
		d.wanted = false
	}
	return n
}

// dropQueued drops all that wait to be sent, and says so to whom they left no room.
func (d *datagrams) dropQueued() {
	if n := d.out.len(); n > 0 {
		d.count().unsent += uint64(n)
	}
	d.out = datagramQueue{}
	d.writable = d.writable || d.wanted
	d.wanted = false
}

// waits tells whether the next datagram to be sent has that size.
func (d *datagrams) waits(size int) bool { return d.out.len() > 0 && len(d.out.front()) == size }

// nextEvent returns the kind of event that there is to tell, 0 if there is none.
func (d *datagrams) nextEvent() EventKind {
	switch {
	case d.readable:
		d.readable = false
		return EventDatagram
	case d.writable:
		d.writable = false
		return EventDatagramWritable
	}
	return 0
}

// MaxDatagramSize returns the largest datagram, in bytes, that DatagramSend takes now; 0 if the peer takes none, or the
// handshake is not complete and no 0-RTT data may be sent.
func (c *Conn) MaxDatagramSize() int {
	header := 1 + c.path.dcid.Len() + maxPNLen
	switch {
	case c.tls.complete:
	case c.keys.HasWrite(protect.ZeroRTT), c.client && c.tls.early == EarlyRejected && c.resume.resend: // what is queued now is sent later
		header = wire.LongHeaderLen(wire.ZeroRTT, c.path.dcid.Len(), c.local.first.Len(), 0, maxPNLen)
	default:
		return 0
	}
	return c.datagrams.maxSize(c.path.maxDatagram() - header - protect.Overhead)
}

// TakesDatagrams tells whether the peer may send us datagrams, which Config.MaxDatagramFrameSize says.
func (c *Conn) TakesDatagrams() bool { return c.cfg.MaxDatagramFrameSize > 0 }

// MaxQueuedDatagrams is how many datagrams wait at most to be sent, and how many to be read.
const MaxQueuedDatagrams = maxDatagramQueue

// DatagramPeek returns the datagram that DatagramRecv would copy, without a copy and without forgetting it; ok is false if there is none. It is
// only to be read, and valid until the next call on the Conn.
func (c *Conn) DatagramPeek() (b []byte, ok bool) {
	if c.datagrams.in.len() == 0 {
		return nil, false
	}
	b = c.datagrams.in.front()
	return b[:len(b):len(b)], true
}

// DatagramBytesReadable returns how many bytes the datagrams have that wait for DatagramRecv.
func (c *Conn) DatagramBytesReadable() int { return c.datagrams.in.bytes() }

// DatagramsQueued returns how many datagrams of DatagramSend wait to be sent, and how many bytes they have.
func (c *Conn) DatagramsQueued() (n, bytes int) {
	return c.datagrams.out.len(), c.datagrams.out.bytes()
}

// DatagramPurge drops those datagrams that wait to be sent and that drop says are of no use any more, and returns how many. drop must neither
// keep nor change what it is given, nor call the Conn. Stats counts them as unsent.
func (c *Conn) DatagramPurge(drop func(datagram []byte) bool) (n int) { return c.datagrams.purge(drop) }

// datagramQueue is a ring of datagrams whose memory is used again. One that is idle takes little.
type datagramQueue struct {
	ring *datagramRing // nil: it was empty for a while
}

type datagramRing struct {
	slots     [][]byte // a power of two of them, at most maxDatagramQueue
	head, len int
}

func (q *datagramQueue) len() int {
	if q.ring == nil {
		return 0
	}
	return q.ring.len
}

// datagramSlots is how many slots a queue starts with.
const datagramSlots = 8

func (q *datagramQueue) push(b []byte) {
	if q.ring == nil {
		q.ring = &datagramRing{slots: make([][]byte, datagramSlots)}
	}
	r := q.ring
	if r.len == len(r.slots) {
		bigger := make([][]byte, 2*len(r.slots))
		for i := range r.len {
			bigger[i] = r.slots[(r.head+i)%len(r.slots)]
		}
		r.slots, r.head = bigger, 0
	}
	slot := &r.slots[(r.head+r.len)%len(r.slots)]
	*slot = append((*slot)[:0], b...)
	r.len++
}

func (q *datagramQueue) front() []byte { return q.ring.slots[q.ring.head] }

func (q *datagramQueue) pop() {
	q.ring.head = (q.ring.head + 1) % len(q.ring.slots)
	q.ring.len--
}

// bytes returns the sum of the datagrams' sizes.
func (q *datagramQueue) bytes() (n int) {
	for i := range q.len() {
		n += len(q.ring.slots[(q.ring.head+i)%len(q.ring.slots)])
	}
	return n
}

// rest lets memory go that an empty queue keeps.
func (q *datagramQueue) rest() {
	if q.len() == 0 {
		q.ring = nil
	}
}
