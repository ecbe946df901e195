package h3

import "github.com/boringquic/boringquic/quic/internal/wire"

// Streams that are the application's: of types that Config.StreamType wants.

// takesRaw tells whether a bidirectional stream that begins with a frame of type typ is for the application, and makes it so. header is the part of p
// that holds the frame's header, or its end.
func (c *Conn) takesRaw(s *stream, typ uint64, header []byte) bool {
	first := !s.recv.begun
	s.recv.begun = true
	if !first || s.recv.state != recvHead || c.client == (s.id&1 == 0) || c.cfg.StreamType == nil || !c.cfg.StreamType(typ, false) {
		return false
	}
	used := len(header)
	if split := int(s.recv.header.split); split > 0 {
		header = s.recv.header.b[:split+used]
	}
	_, n := wire.ConsumeVarint(header)
	s.recv.section = append(s.recv.section[:0], header[n:]...) // what was taken for the length of a frame
	if !c.consume(s, used) {
		return true
	}
	c.leave(s)
	s.raw, s.known, s.recv.typ = true, true, typ
	c.tell(s, newsRaw|newsData)
	return true
}

// beginRaw makes a unidirectional stream, which begins with a type of n bytes, the application's.
func (c *Conn) beginRaw(id, typ uint64, n int) {
	s := c.newStream(id)
	s.raw, s.known, s.uncounted, s.recv.typ = true, true, true, typ
	s.send.state = sendOver
	if c.consume(s, n) {
		c.tell(s, newsRaw|newsData)
	}
}
