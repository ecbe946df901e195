package qpack

import "math/bits"

const (
	hashK0 = 0xa0761d6478bd642f
	hashK1 = 0xe7037ed1a0b428db
)

// hashString mixes the bytes of s into 64 bits. Runs give the same: nothing here may depend on chance. Whoever makes strings collide
// makes the encoder compare a few more, or misjudge what they are worth.
func hashString(s string) uint64 {
	h := uint64(len(s)) * hashK1
	for len(s) > 16 {
		h = mix(load64(s)^hashK0, load64(s[8:])^h)
		s = s[16:]
	}
	switch n := len(s); {
	case n >= 8:
		return mix(load64(s)^hashK0, load64(s[n-8:])^h)
	case n >= 4:
		return mix(uint64(load32(s))<<32|uint64(load32(s[n-4:])), hashK0^h)
	case n > 0:
		return mix(uint64(s[0])<<16|uint64(s[n/2])<<8|uint64(s[n-1]), hashK0^h)
	}
	return mix(hashK0, h)
}

// hashPair is the hash of a field, from those of its name and value.
func hashPair(name, value uint64) uint64 { return mix(name^hashK1, value^hashK0) }

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
