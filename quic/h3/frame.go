package h3

import "github.com/boringquic/boringquic/quic/internal/wire"

// Types of frames (RFC 9114, section 7.2; RFC 9218, section 7; RFC 9412, section 3.1).
const (
	frameData                  = 0x00
	frameHeaders               = 0x01
	frameCancelPush            = 0x03
	frameSettings              = 0x04
	framePushPromise           = 0x05
	frameGoAway                = 0x07
	frameOrigin                = 0x0c
	frameMaxPushID             = 0x0d
	framePriorityUpdateRequest = 0xf0700
	framePriorityUpdatePush    = 0xf0701
)

// Types of unidirectional streams (RFC 9114, section 6.2; RFC 9204, section 4.2).
const (
	streamControl      = 0x00
	streamPush         = 0x01
	streamQPACKEncoder = 0x02
	streamQPACKDecoder = 0x03
)

// isHTTP2Frame tells whether a frame type is one of HTTP/2's that HTTP/3 reserves: receiving one is an error (RFC 9114, section 7.2.8).
func isHTTP2Frame(typ uint64) bool { return typ == 0x02 || typ == 0x06 || typ == 0x08 || typ == 0x09 }

// frameHeader gathers the type and the length of a frame, which may come byte by byte.
type frameHeader struct {
	b [16]byte
	n uint8 // bytes of b

	split uint8 // bytes of b that came before the rest, of the last one that was read
}

// consume reads the header of a frame from p, behind what it has gathered. It returns how many bytes of p it took, which are all of p if
// the header is not complete.
func (h *frameHeader) consume(p []byte) (typ, length uint64, used int, ok bool) {
	if h.n == 0 {
		h.split = 0
		if len(p) >= 2 && p[0] < 0x40 && p[1] < 0x80 { // as most are: a type of one byte, a length of one or two
			if p[1] < 0x40 {
				return uint64(p[0]), uint64(p[1]), 2, true
			}
			if len(p) >= 3 {
				return uint64(p[0]), uint64(p[1]&0x3f)<<8 | uint64(p[2]), 3, true
			}
		}
		if typ, length, used, ok = consumeFrameHeader(p); ok {
			return typ, length, used, true
		}
	}
	before := int(h.n)
	h.n += uint8(copy(h.b[before:], p))
	typ, length, used, ok = consumeFrameHeader(h.b[:h.n])
	if !ok {
		return 0, 0, len(p), false
	}
	h.n, h.split = 0, uint8(before)
	return typ, length, used - before, true
}

func consumeFrameHeader(p []byte) (typ, length uint64, used int, ok bool) {
	typ, n := wire.ConsumeVarint(p)
	if n < 0 {
		return 0, 0, 0, false
	}
	length, m := wire.ConsumeVarint(p[n:])
	if m < 0 {
		return 0, 0, 0, false
	}
	return typ, length, n + m, true
}

// maxFrameHeader is the longest header of a frame of the types that this package sends many of, in bytes: a type of one byte, a length of eight.
const maxFrameHeader = 9

// appendFrameHeader appends the type and the length of a frame.
func appendFrameHeader(b []byte, typ, length uint64) []byte {
	return wire.AppendVarint(wire.AppendVarint(b, typ), length)
}

// appendIntFrame appends a frame whose payload is one integer: GOAWAY, MAX_PUSH_ID.
func appendIntFrame(b []byte, typ, v uint64) []byte {
	return wire.AppendVarint(appendFrameHeader(b, typ, uint64(wire.SizeVarint(v))), v)
}

// reserved returns the n-th of the numbers that are reserved for greasing, of frames, settings, streams and errors (RFC 9114, section
// 7.2.8).
func reserved(n uint64) uint64 { return 0x1f*n + 0x21 }
