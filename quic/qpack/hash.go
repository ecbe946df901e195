package qpack

import "math/bits"

const (
	hashK0 = 0xa0761d6478bd642f
	hashK1 = 0xe7037ed1a0b428db
)

// hashString mixes the bytes of s into 64 bits. Runs give the same: nothing here may depend on chance. Whoever makes strings collide
// makes the encoder compare a few more, or misjudge what they are worth.
func hashString[T string | []byte](s T) uint64 {
	n := len(s)
	h := uint64(n) * hashK1
	i := 0
	for ; n-i > 16; i += 16 {
		h = mix(load64(s, i)^hashK0, load64(s, i+8)^h)
	}
	switch left := n - i; {
	case left >= 8:
		return mix(load64(s, i)^hashK0, load64(s, n-8)^h)
	case left >= 4:
		return mix(load32(s, i)<<32|load32(s, n-4), hashK0^h)
	case left > 0:
		return mix(uint64(s[i])<<16|uint64(s[i+left/2])<<8|uint64(s[n-1]), hashK0^h)
	}
	return mix(hashK0, h)
}

// hashPair is the hash of a field, from those of its name and value.
func hashPair(name, value uint64) uint64 { return mix(name^hashK1, value^hashK0) }

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func load32[T string | []byte](s T, i int) uint64 {
	_ = s[i+3]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24
}

func load64[T string | []byte](s T, i int) uint64 {
	_ = s[i+7]
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}
