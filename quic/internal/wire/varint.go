package wire

import "encoding/binary"

// MaxVarint is the largest variable-length integer, 2^62-1 (RFC 9000, section 16).
const MaxVarint = 1<<62 - 1

// SizeVarint returns the length of v's shortest encoding: 1, 2, 4 or 8 bytes.
func SizeVarint(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	}
	return 8
}

// AppendVarint appends v, at most MaxVarint, in its shortest encoding.
func AppendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, byte(v>>8)|0x40, byte(v))
	case v < 1<<30:
		return append(b, byte(v>>24)|0x80, byte(v>>16), byte(v>>8), byte(v))
	case v <= MaxVarint:
		return binary.BigEndian.AppendUint64(b, v|0xc0<<56)
	}
	panic("wire: integer above 2^62-1")
}

// AppendVarint2 appends v, below 2^14, in two bytes, so that PutVarint2 can change it later.
func AppendVarint2(b []byte, v uint64) []byte { return append(b, byte(v>>8)|0x40, byte(v)) }

// PutVarint2 writes v, below 2^14, into the first two bytes of b.
func PutVarint2(b []byte, v uint64) { b[0], b[1] = byte(v>>8)|0x40, byte(v) }

// ConsumeVarint parses a variable-length integer, of any length that can hold it (RFC 9000, section 16).
func ConsumeVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, -1
	}
	n = 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, -1
	}
	switch n {
	case 1:
		return uint64(b[0]), 1
	case 2:
		return uint64(b[0]&0x3f)<<8 | uint64(b[1]), 2
	case 4:
		return uint64(binary.BigEndian.Uint32(b) & 0x3fffffff), 4
	}
	return binary.BigEndian.Uint64(b) & MaxVarint, 8
}

// consumeBytes parses a length and that many bytes.
func consumeBytes(b []byte) (p []byte, n int) {
	size, n := ConsumeVarint(b)
	if n < 0 || size > uint64(len(b)-n) {
		return nil, -1
	}
	end := n + int(size)
	return b[n:end:end], end
}

// consumeShortBytes parses a one-byte length and that many bytes.
func consumeShortBytes(b []byte) (p []byte, n int) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, -1
	}
	end := 1 + int(b[0])
	return b[1:end:end], end
}
