package quiclb

import (
	"crypto/aes"
	"crypto/cipher"
)

// The passes of the Feistel network: those of the draft, and as many as, by section 8.7, nobody tells from randomness, for
// what no balancer has to undo.
const (
	idPasses    = 4
	noncePasses = 12
)

// permuter encrypts strings of 4 to 19 bytes in place: one of 16 bytes as an AES block, others by a Feistel network whose
// round function is AES (sections 5.4.1 and 5.4.2). What it holds is room that need not be allocated each time.
type permuter struct {
	in, out     [aes.BlockSize]byte
	left, right [(maxBlock + 1) / 2]byte
}

// encrypt encrypts b.
func (p *permuter) encrypt(block cipher.Block, b []byte, passes int) {
	if len(b) == aes.BlockSize {
		copy(p.in[:], b)
		block.Encrypt(p.out[:], p.in[:])
		copy(b, p.out[:])
		return
	}
	p.split(b)
	for i := 1; i <= passes; i++ {
		p.pass(block, len(b), i)
	}
	p.join(b)
}

// decrypt decrypts the first wanted bytes of b; the others may come out wrong, if that spares a pass.
func (p *permuter) decrypt(block cipher.Block, b []byte, passes, wanted int) {
	if len(b) == aes.BlockSize {
		copy(p.in[:], b)
		block.Decrypt(p.out[:], p.in[:])
		copy(b, p.out[:])
		return
	}
	first := 1
	if wanted <= len(b)/2 {
		first = 2 // the first pass changes the right half alone
	}
	p.split(b)
	for i := passes; i >= first; i-- {
		p.pass(block, len(b), i)
	}
	p.join(b)
}

// pass is one pass, which undoes itself: an odd one changes the right half, an even one the left half.
func (p *permuter) pass(block cipher.Block, n, i int) {
	half := (n + 1) / 2
	from, to := &p.left, &p.right
	if i%2 == 0 {
		from, to = to, from
	}
	p.in = [aes.BlockSize]byte{aes.BlockSize - 2: byte(n), aes.BlockSize - 1: byte(i)} // expand
	copy(p.in[:], from[:half])
	block.Encrypt(p.out[:], p.in[:])
	for k := range half {
		to[k] ^= p.out[k]
	}
	p.trim(n)
}

// trim clears the half bytes that do not count where n is odd: the byte in the middle belongs to both halves.
func (p *permuter) trim(n int) {
	if n%2 != 0 {
		p.left[n/2] &= 0xf0
		p.right[0] &= 0x0f
	}
}

func (p *permuter) split(b []byte) {
	half := (len(b) + 1) / 2
	copy(p.left[:half], b)
	copy(p.right[:half], b[len(b)-half:])
	p.trim(len(b))
}

func (p *permuter) join(b []byte) {
	half := (len(b) + 1) / 2
	middle := p.left[half-1] | p.right[0] // if there is one
	copy(b, p.left[:half])
	copy(b[len(b)-half:], p.right[:half])
	if len(b)%2 != 0 {
		b[half-1] = middle
	}
}
