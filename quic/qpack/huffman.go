package qpack

import "encoding/binary"

// huffmanLens holds the length in bits of each byte's code, and of EOS (RFC 7541, appendix B). The code is canonical: codes ascend with
// their lengths, and those of one length with the bytes; lengths are all that it takes.
var huffmanLens = [257]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
	30, // EOS
}

const (
	eos            = 256
	huffmanMaxBits = 30
	huffmanMinBits = 5

	// fastBits is how many bits of input one look-up sees: enough for two of the short codes, and for every code of up to 11 bits.
	fastBits = 11
)

// huffmanFast is what one look-up finds: up to two bytes.
type huffmanFast struct {
	first, second byte
	firstBits     uint8 // length of the first byte's code; 0: that is longer than fastBits
	bits          uint8 // length of the codes of both, or of the first alone if second is not set
	count         uint8
}

var (
	huffmanCodes [257]uint32
	huffmanTable [1 << fastBits]huffmanFast

	// Codes of one length are those from huffmanBase up to, not including, huffmanLimit, left-aligned in 32 bits; they stand for the
	// symbols huffmanSorted[huffmanStart:].
	huffmanBase, huffmanLimit [huffmanMaxBits + 1]uint64
	huffmanStart              [huffmanMaxBits + 1]int
	huffmanSorted             [257]uint16
)

func init() {
	code, n := uint32(0), 0
	for l := 1; l <= huffmanMaxBits; l++ {
		code <<= 1
		huffmanBase[l], huffmanStart[l] = uint64(code)<<(64-l), n
		for sym, bits := range huffmanLens {
			if int(bits) == l {
				huffmanCodes[sym], huffmanSorted[n] = code, uint16(sym)
				code++
				n++
			}
		}
		huffmanLimit[l] = uint64(code) << (64 - l) // of the last length this is 2^64, which is 0: EOS ends the code
	}
	for i := range huffmanTable {
		e := &huffmanTable[i]
		sym, bits := huffmanSymbol(uint64(i)<<(64-fastBits), fastBits)
		if bits == 0 {
			continue
		}
		*e = huffmanFast{first: byte(sym), firstBits: uint8(bits), bits: uint8(bits), count: 1}
		if sym, more := huffmanSymbol(uint64(i)<<(64-fastBits+bits), fastBits-bits); more != 0 {
			e.second, e.bits, e.count = byte(sym), uint8(bits+more), 2
		}
	}
}

// huffmanSymbol finds the code that the uppermost bits of acc begin with, if it is at most maxBits long; bits is 0 if it is longer.
func huffmanSymbol(acc uint64, maxBits uint) (sym int, bits uint) {
	for l := uint(huffmanMinBits); l <= maxBits; l++ {
		if acc < huffmanLimit[l] || l == huffmanMaxBits {
			return int(huffmanSorted[huffmanStart[l]+int((acc-huffmanBase[l])>>(64-l))]), l
		}
	}
	return 0, 0
}

// huffmanLen is the length in bytes of s in the Huffman code.
func huffmanLen(s string) int {
	bits := 0
	for i := range len(s) {
		bits += int(huffmanLens[s[i]])
	}
	return (bits + 7) / 8
}

// appendHuffman appends s in the Huffman code, padded with the uppermost bits of EOS (RFC 7541, section 5.2).
func appendHuffman(b []byte, s string) []byte {
	var acc uint64 // the last n bits are still to be appended; n is below 32
	n := uint(0)
	for i := range len(s) {
		bits := uint(huffmanLens[s[i]])
		acc = acc<<bits | uint64(huffmanCodes[s[i]])
		if n += bits; n >= 32 {
			n -= 32
			b = binary.BigEndian.AppendUint32(b, uint32(acc>>n))
		}
	}
	for ; n >= 8; n -= 8 {
		b = append(b, byte(acc>>(n-8)))
	}
	if n > 0 {
		b = append(b, byte(acc<<(8-n))|byte(0xff>>n))
	}
	return b
}

// Results of consumeHuffman.
type huffmanResult int

const (
	huffmanOK huffmanResult = iota
	huffmanBad
	huffmanLong // more than limit bytes
)

// consumeHuffman decodes src and appends to dst what it stands for, limit bytes at most: it stops there. An EOS, padding of eight bits
// or more, and padding that is not the beginning of EOS are errors (RFC 7541, section 5.2).
func consumeHuffman(dst, src []byte, limit int) ([]byte, huffmanResult) {
	start := len(dst)
	most := len(src) * 8 / huffmanMinBits
	if most > limit {
		most = limit
	}
	dst = grow(dst, most+2)
	out := dst[start : start+most+2] // a look-up may write two bytes where one is left
	o := 0
	var acc uint64 // input, uppermost bits first; below them ones, as in EOS
	n := uint(0)   // bits of acc that are input
	for {
		if len(src) >= 8 {
			acc = acc&^(^uint64(0)>>n) | binary.BigEndian.Uint64(src)>>n
			taken := (63 - n) / 8
			src, n = src[taken:], n+taken*8
			acc |= ^uint64(0) >> n
		} else {
			acc &^= ^uint64(0) >> n
			for ; n <= 56 && len(src) > 0; n += 8 {
				acc |= uint64(src[0]) << (56 - n)
				src = src[1:]
			}
			acc |= ^uint64(0) >> n
		}
		for {
			e := &huffmanTable[acc>>(64-fastBits)]
			bits, count := uint(e.bits), int(e.count)
			if bits > n || count == 0 {
				bits, count = uint(e.firstBits), 1
			}
			if bits == 0 { // a long code
				sym, l := huffmanSymbol(acc, huffmanMaxBits)
				if l > n {
					break
				}
				if sym == eos {
					return dst, huffmanBad
				}
				if o >= most {
					return dst, huffmanLong
				}
				out[o] = byte(sym)
				o++
				acc, n = acc<<l|(1<<l-1), n-l
				continue
			}
			if bits > n {
				break
			}
			if o+count > most {
				return dst, huffmanLong
			}
			out[o], out[o+1] = e.first, e.second
			o += count
			acc, n = acc<<bits|(1<<bits-1), n-bits
		}
		if len(src) == 0 {
			break
		}
	}
	if n >= 8 || acc != ^uint64(0) { // what is left is padding
		return dst, huffmanBad
	}
	return dst[:start+o], huffmanOK
}

// grow returns b with room for n more bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, max(len(b)+n, cap(b)+cap(b)/4)), b...)
}
