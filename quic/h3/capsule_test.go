package h3

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// readCapsules reads what comes in pieces. At the end it says whether that is within a capsule.
func readCapsules(r *CapsuleReader, pieces ...[]byte) (out []Capsule, end bool, err error) {
	for _, p := range pieces {
		p = bytes.Clone(p)
		for {
			c, n, ok, err := r.Next(p)
			if err != nil {
				return out, false, err
			}
			if ok {
				c.Value = bytes.Clone(c.Value)
				out = append(out, c)
			} else if n != len(p) {
				return out, false, fmt.Errorf("%d bytes of %d were taken", n, len(p))
			}
			clear(p[:n]) // the caller's buffer is used again
			if p = p[n:]; !ok {
				break
			}
		}
	}
	return out, r.End(), nil
}

// longVarint is v in more bytes than it needs, as any length is allowed (RFC 9000, section 16).
func longVarint(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v|3<<62) }

// TestCapsulesSplit: capsules that come in two pieces, cut at each byte, in three, and in pieces of one byte, are those that come whole; and an end is
// an end where one capsule is over and the next has not begun, and nowhere else (RFC 9297, section 3.3).
func TestCapsulesSplit(t *testing.T) {
	all := func(n int) *CapsuleReader { return &CapsuleReader{Max: n, Wants: func(uint64) bool { return true }} }
	parts := [][]byte{
		AppendCapsule(nil, CapsuleDatagram, nil),
		AppendCapsule(nil, CapsuleDatagram, []byte("x")),
		AppendCapsule(nil, 1<<62-1, bytes.Repeat([]byte("unknown"), 20)),
		AppendCapsule(nil, 0x29, nil),
		append(longVarint(CapsuleDatagram), append(longVarint(5), "hello"...)...),
		AppendCapsule(nil, CapsuleDatagram, bytes.Repeat([]byte("d"), 300)),
		append(longVarint(0x2843), longVarint(0)...),
		AppendCapsule(nil, CapsuleDatagram, []byte("last")),
	}
	whole := bytes.Join(parts, nil)
	ends := map[int]bool{0: true}
	at := 0
	for _, p := range parts {
		at += len(p)
		ends[at] = true
	}
	for name, reader := range map[string]func() *CapsuleReader{"datagrams": func() *CapsuleReader { return new(CapsuleReader) }, "all": func() *CapsuleReader { return all(300) }} {
		want, end, err := readCapsules(reader(), whole)
		if wanted := map[string]int{"datagrams": 5, "all": len(parts)}[name]; len(want) != wanted || !end || err != nil {
			t.Fatalf("%s: %d capsules, end %v, %v", name, len(want), end, err)
		}
		check := func(what string, pieces ...[]byte) {
			t.Helper()
			got, end, err := readCapsules(reader(), pieces...)
			if fmt.Sprint(got) != fmt.Sprint(want) || !end || err != nil {
				t.Fatalf("%s, %s: %v, end %v, %v", name, what, got, end, err)
			}
		}
		for i := range len(whole) + 1 {
			check(fmt.Sprint("cut at ", i), whole[:i], whole[i:])
			for j := i; j <= len(whole); j += 7 {
				check(fmt.Sprint("cut at ", i, " and ", j), whole[:i], whole[i:j], whole[j:])
			}
			if _, end, err := readCapsules(reader(), whole[:i]); end != ends[i] || err != nil {
				t.Fatalf("%s: after %d bytes the end is %v, %v", name, i, end, err)
			}
		}
		var bits [][]byte
		for i := range whole {
			bits = append(bits, whole[i:i+1], nil)
		}
		check("byte for byte", bits...)
	}
	for i := range len(whole) { // the limit holds however the header was cut
		if _, _, err := readCapsules(all(299), whole[:i], whole[i:]); !errors.Is(err, ErrCapsuleTooLarge) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// TestCapsulesRandom: the same for capsules and pieces by chance.
func TestCapsulesRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		var whole []byte
		var want []Capsule
		for range dice.IntN(12) {
			typ := dice.Uint64N(3)
			value := make([]byte, dice.IntN(1<<dice.IntN(12)))
			for i := range value {
				value[i] = byte(dice.Uint32())
			}
			if whole = AppendCapsule(whole, typ, value); typ != 2 {
				want = append(want, Capsule{typ, value})
			}
		}
		var pieces [][]byte
		for rest := whole; len(rest) > 0; {
			n := min(dice.IntN(1<<dice.IntN(11)), len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		got, end, err := readCapsules(&CapsuleReader{Wants: func(typ uint64) bool { return typ != 2 }}, pieces...)
		if fmt.Sprint(got) != fmt.Sprint(want) || !end || err != nil {
			t.Fatalf("seed %d: %d capsules of %d, end %v, %v", seed, len(got), len(want), end, err)
		}
	}
}
