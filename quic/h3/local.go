package h3

import (
	"io"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// The unidirectional streams that we open (RFC 9114, section 6.2; RFC 9204, section 4.2).
const (
	localControl = iota
	localEncoder
	localDecoder
	numLocal
)

var localTypes = [numLocal]uint64{streamControl, streamQPACKEncoder, streamQPACKDecoder}

// localStreams are they. What the core has no room for waits in out, and is completed when there is some.
type localStreams struct {
	ids    [numLocal]uint64
	out    [numLocal][]byte
	opened int  // how many are
	grease bool // the stream of a reserved type was opened, or is not wanted

	controlSent uint64 // bytes of the control stream that the core has taken
}

// noStream is no stream's ID.
const noStream = 1 << 63

func newLocalStreams() localStreams {
	return localStreams{ids: [numLocal]uint64{noStream, noStream, noStream}}
}

// criticalPriority is the priority of streams that others wait for, also those of urgency 0: instructions must not wait for the end of a long response,
// nor may that take the credit that they were made under (RFC 9204, section 2.1.3).
var criticalPriority = quic.Priority{Critical: true}

// openLocal opens our streams, as far as the peer allows now.
func (c *Conn) openLocal() {
	l := &c.local
	for l.opened < numLocal {
		id, err := c.core.OpenUniStream()
		if err != nil {
			return // EventStreamsAvailable tells when there are more
		}
		i := l.opened
		l.opened++
		l.ids[i] = id
		c.core.SetStreamPriority(id, criticalPriority)
		first := wire.AppendVarint(nil, localTypes[i])
		if i == localControl {
			first = c.appendFirstFrames(first)
		}
		l.out[i] = append(first, l.out[i]...)
		l.onWritable(c, i)
	}
	if !l.grease && !c.cfg.NoGrease {
		c.openGrease()
	}
}

// appendFirstFrames appends what the control stream begins with: SETTINGS, and what may follow at once.
func (c *Conn) appendFirstFrames(b []byte) []byte {
	settings := c.cfg.appendSettings(nil, c.client)
	if !c.cfg.NoGrease { // RFC 9114, section 7.2.4.1
		settings = appendSetting(settings, reserved(c.random()), c.random())
	}
	b = append(appendFrameHeader(b, frameSettings, uint64(len(settings))), settings...)
	if len(c.cfg.Origins) > 0 && !c.client {
		b = appendOrigins(b, c.cfg.Origins)
	}
	if !c.cfg.NoGrease { // section 7.2.8
		payload := wire.AppendVarint(nil, c.random())
		b = append(appendFrameHeader(b, reserved(c.random()), uint64(len(payload))), payload...)
	}
	return b
}

// openGrease sends a stream of a reserved type (RFC 9114, section 6.2.3).
func (c *Conn) openGrease() {
	if c.core.StreamsOpenable(true) == 0 {
		return // it is not worth asking for one
	}
	id, err := c.core.OpenUniStream()
	if err != nil {
		return
	}
	c.local.grease = true
	c.core.StreamSend(id, wire.AppendVarint(wire.AppendVarint(nil, reserved(c.random())), c.random()), true)
}

// random returns a number for greasing, below 2^32.
func (c *Conn) random() uint64 {
	var b [4]byte
	io.ReadFull(c.cfg.Rand, b[:]) // where there is no randomness the number is 0, which is as good for the peer
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

// write sends b on one of our streams, behind what waits for it, and returns how much of b was taken: all of it on the control stream, where
// what does not fit is kept.
func (l *localStreams) write(c *Conn, i int, b []byte) (n int) {
	if i < l.opened && len(l.out[i]) == 0 {
		var err error
		if n, err = l.send(c, i, b); err != nil {
			return len(b) // the connection is over, or will be: our streams are critical
		}
	}
	if n < len(b) && i == localControl {
		l.out[i] = append(l.out[i], b[n:]...)
		return len(b)
	}
	return n
}

// send gives the core what it has room for.
func (l *localStreams) send(c *Conn, i int, b []byte) (n int, err error) {
	n, err = c.core.StreamSend(l.ids[i], b, false)
	if i == localControl {
		l.controlSent += uint64(n)
	}
	return n, err
}

// onWritable completes what waits on one of our streams.
func (l *localStreams) onWritable(c *Conn, i int) {
	if b := l.out[i]; len(b) > 0 {
		n, err := l.send(c, i, b)
		if err != nil {
			return
		}
		l.out[i] = b[n:]
		if n < len(b) {
			return
		}
		l.out[i] = nil
	}
	switch i {
	case localEncoder:
		c.flushEncoder()
	case localDecoder:
		c.flush()
	}
}

// of returns which of our streams id is, -1 if none.
func (l *localStreams) of(id uint64) int {
	for i, own := range l.ids {
		if own == id {
			return i
		}
	}
	return -1
}

// flushEncoder sends what our encoder has for the peer's decoder.
func (c *Conn) flushEncoder() {
	if b := c.enc.Instructions(); len(b) > 0 {
		c.enc.Sent(c.local.write(c, localEncoder, b))
	}
}
