package qpack

// maxInt is the largest prefixed integer that is understood: 62 bits, as RFC 9204, section 4.1.1, asks for.
const maxInt = 1<<62 - 1

// maxIntLen is the length of the longest prefixed integer that is understood, in bytes: the prefix, and 62 bits in groups of seven, of
// which leading zero groups are a part (RFC 9204, section 7.4).
const maxIntLen = 1 + 9

// appendInt appends v, at most maxInt, as an integer with a prefix of bits bits; the bits above the prefix are those of first (RFC 7541,
// section 5.1).
func appendInt(b []byte, first byte, bits uint, v uint64) []byte {
	if v < 1<<bits-1 {
		return append(b, first|byte(v))
	}
	return appendLongInt(b, first, bits, v)
}

// appendLongInt is appendInt of an integer that takes more than the prefix.
func appendLongInt(b []byte, first byte, bits uint, v uint64) []byte {
	limit := uint64(1)<<bits - 1
	b = append(b, first|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// sizeInt is the number of bytes that appendInt appends.
func sizeInt(bits uint, v uint64) int {
	limit := uint64(1)<<bits - 1
	if v < limit {
		return 1
	}
	n := 2
	for v -= limit; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// Results of parsers in place of a length.
const (
	parseShort = 0  // the input ends too early
	parseBad   = -1 // the input is malformed
)

// consumeInt parses an integer with a prefix of bits bits and returns its length, parseShort, or parseBad where it is above maxInt or
// longer than maxIntLen.
func consumeInt(b []byte, bits uint) (v uint64, n int) {
	if len(b) == 0 {
		return 0, parseShort
	}
	limit := uint64(1)<<bits - 1
	v = uint64(b[0]) & limit
	if v < limit {
		return v, 1
	}
	for n = 1; n < len(b); n++ {
		if n == maxIntLen {
			return 0, parseBad
		}
		c := b[n]
		v += uint64(c&0x7f) << (7 * uint(n-1)) // below 2^63 + 2^8: no overflow
		if c < 0x80 {
			if v > maxInt {
				return 0, parseBad
			}
			return v, n + 1
		}
	}
	if n >= maxIntLen {
		return 0, parseBad
	}
	return 0, parseShort
}

// rawString is a string literal as it came (RFC 9204, section 4.1.2).
type rawString struct {
	huffman bool
	bytes   []byte
}

// consumeString parses a string literal whose length has a prefix of bits bits, above which there is the bit for Huffman; it returns the
// literal's length, parseShort or parseBad.
func consumeString(b []byte, bits uint) (s rawString, n int) {
	length, n := consumeInt(b, bits)
	if n <= 0 {
		return s, n
	}
	if length > uint64(len(b)-n) {
		return s, parseShort
	}
	end := n + int(length)
	return rawString{b[0]&(1<<bits) != 0, b[n:end]}, end
}
