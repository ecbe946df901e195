package quic

import (
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// cryptoStream carries the bytes of TLS in one packet number space, both ways (RFC 9000, section 19.6). It has no end and
// no flow control but a bound on what may lie ahead of what TLS has taken. Its bytes lie in chunks that nobody pools: they are
// few, and when they are done with there may be no more for the life of the connection.
type cryptoStream struct {
	in       chunks
	received ranges.Set // beyond what TLS has taken
	out      sendBuffer
}

// handle takes the data of a CRYPTO frame. limit bounds, in bytes, how far it may reach beyond what TLS has taken
// (RFC 9000, section 7.5). What is the next for TLS is not kept but returned, if nothing else waits: that is how almost all
// data comes.
func (s *cryptoStream) handle(off uint64, data []byte, limit int) (next []byte, err *TransportError) {
	start, end := int64(off), int64(off)+int64(len(data))
	if end > s.in.base+int64(limit) {
		return nil, transportError(CryptoBufferExceeded, "CRYPTO data too far ahead")
	}
	if start < s.in.base {
		data = data[min(s.in.base-start, int64(len(data))):]
		start = s.in.base
	}
	if len(data) == 0 {
		return nil, nil
	}
	if start == s.in.base && len(s.received) == 0 {
		s.in.base = end
		return data, nil
	}
	s.received.Add(start, end)
	if len(s.received) > maxStreamGaps {
		return nil, transportError(CryptoBufferExceeded, "CRYPTO data in too many pieces")
	}
	s.in.write(nil, start, data)
	return nil, nil
}

// end returns the offset behind all that was received.
func (s *cryptoStream) end() int64 {
	if n := len(s.received); n > 0 {
		return s.received[n-1].End
	}
	return s.in.base
}

// readable returns how many bytes are there for TLS to take.
func (s *cryptoStream) readable() int {
	if len(s.received) == 0 || s.received[0].Start > s.in.base {
		return 0
	}
	return int(s.received[0].End - s.in.base)
}

// read takes len(p) bytes, at most readable.
func (s *cryptoStream) read(p []byte) {
	s.in.read(nil, p)
	s.received.RemoveBelow(s.in.base)
	if len(s.received) == 0 {
		s.in.clear(nil)
	}
}

// leftover tells whether bytes wait that TLS has not taken, in order or not.
func (s *cryptoStream) leftover() bool { return len(s.received) > 0 }

// write queues bytes of TLS for sending.
func (s *cryptoStream) write(data []byte) { s.out.write(nil, data) }

// wantsSend tells whether there is something to send.
func (s *cryptoStream) wantsSend() bool { return s.out.pending() }

// resends tells whether something is to be sent again.
func (s *cryptoStream) resends() bool { return s.out.resends() }

// append appends CRYPTO frames to p as long as there are bytes and room.
func (s *cryptoStream) append(p *packet) {
	for s.out.pending() {
		off, n := s.out.next()
		n = min(n, p.room()-wire.CryptoHeaderLen(uint64(off), min(n, p.room())))
		if n <= 0 || !p.note(recovery.Frame{Type: wire.FrameCrypto, Off: uint64(off), Len: uint32(n)}) {
			return
		}
		p.b = wire.AppendCryptoHeader(p.b, uint64(off), n)
		p.b = s.out.data.append(p.b, off, n)
		p.ackEliciting = true
		s.out.onSent(off, n)
	}
}

func (s *cryptoStream) onAcked(f recovery.Frame) {
	s.out.onAcked(nil, int64(f.Off), int64(f.Len))
	if s.out.done() {
		s.out.data.clear(nil)
		s.out.gaps = nil
	}
}

func (s *cryptoStream) onLost(f recovery.Frame) (again bool) {
	return s.out.onLost(int64(f.Off), int64(f.Len))
}
