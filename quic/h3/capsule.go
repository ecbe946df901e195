package h3

import (
	"errors"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Types of capsules (RFC 9297, section 5.4).
const CapsuleDatagram = 0x00

// AppendCapsule appends a capsule (RFC 9297, section 3.2).
func AppendCapsule(b []byte, typ uint64, value []byte) []byte {
	return append(AppendCapsuleHeader(b, typ, uint64(len(value))), value...)
}

// AppendCapsuleHeader appends the type and length of a capsule whose value, of n bytes, is written behind it.
func AppendCapsuleHeader(b []byte, typ, n uint64) []byte {
	return wire.AppendVarint(wire.AppendVarint(b, typ), n)
}

// Capsule is one that CapsuleReader has read.
type Capsule struct {
	Type  uint64
	Value []byte
}

// ErrCapsuleTooLarge: a capsule that is wanted is longer than CapsuleReader.Max. What is to become of the stream is its protocol's to say.
var ErrCapsuleTooLarge = errors.New("h3: a capsule is larger than the limit")

// CapsuleReader takes capsules out of the bytes of a stream, in whichever pieces they come. Its zero value skips all, and can be used. Those that nobody wants are
// skipped, however long they are, without being kept (RFC 9297, section 3.2).
type CapsuleReader struct {
	// Max is how many bytes the value of a capsule may have that is wanted, all of which are held if they come in pieces. Default 0: 64 KiB; negative: any
	// number.
	Max int
	// Wants tells whether capsules of a type are wanted. Default nil: those of type CapsuleDatagram are.
	Wants func(typ uint64) bool

	header frameHeader // a capsule begins like a frame
	begun  bool
	skip   bool
	typ    uint64
	left   uint64
	value  []byte
}

// Next reads from p up to the end of a capsule that is wanted. It took n bytes of p: all of them if ok is false. c.Value is valid until
// p is changed and until the next call. The error is ErrCapsuleTooLarge, after which the CapsuleReader cannot go on.
func (r *CapsuleReader) Next(p []byte) (c Capsule, n int, ok bool, err error) {
	for {
		if !r.begun {
			typ, length, used, ok := r.header.consume(p[n:])
			n += used
			if !ok {
				return c, n, false, nil
			}
			if err := r.begin(typ, length); err != nil {
				return c, n, false, err
			}
		}
		part := p[n:]
		if uint64(len(part)) > r.left {
			part = part[:r.left]
		}
		n += len(part)
		r.left -= uint64(len(part))
		if !r.skip && (r.left > 0 || len(r.value) > 0) {
			r.value = append(r.value, part...)
			part = r.value
		}
		if r.left > 0 {
			return c, n, false, nil
		}
		r.begun = false
		if !r.skip {
			r.value = r.value[:0]
			return Capsule{r.typ, part}, n, true, nil
		}
	}
}

func (r *CapsuleReader) begin(typ, length uint64) error {
	most := r.Max
	if most == 0 {
		most = 64 << 10
	}
	if r.Wants != nil {
		r.skip = !r.Wants(typ)
	} else {
		r.skip = typ != CapsuleDatagram
	}
	if !r.skip && length > uint64(most) {
		return ErrCapsuleTooLarge
	}
	r.begun, r.typ, r.left = true, typ, length
	return nil
}

// End is asked at the end of the stream: it is false if that is within a capsule, which makes the message malformed (RFC 9297, section
// 3.3).
func (r *CapsuleReader) End() bool { return !r.begun && r.header.n == 0 }
