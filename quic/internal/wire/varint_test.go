package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// unhex decodes a test vector; spaces in it are ignored.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 9000, appendix A.1.
func TestVarintVectors(t *testing.T) {
	for _, c := range []struct {
		encoded string
		value   uint64
		minimal bool
	}{
		{encoded: "c2197c5eff14e88c", value: 151_288_809_941_952_652, minimal: true},
		{encoded: "9d7f3e7d", value: 494_878_333, minimal: true},
		{encoded: "7bbd", value: 15_293, minimal: true},
		{encoded: "25", value: 37, minimal: true},
		{encoded: "4025", value: 37},
	} {
		b := unhex(t, c.encoded)
		if v, n := ConsumeVarint(append(b, 0xff)); v != c.value || n != len(b) {
			t.Errorf("%s: %d, %d bytes; want %d, %d bytes", c.encoded, v, n, c.value, len(b))
		}
		if got := AppendVarint(nil, c.value); c.minimal && !bytes.Equal(got, b) {
			t.Errorf("%d is encoded as %x, want %s", c.value, got, c.encoded)
		}
	}
}

// Each length at both its ends, and what is not the shortest (RFC 9000, section 16, table 4).
func TestVarintBounds(t *testing.T) {
	for _, c := range []struct {
		value   uint64
		encoded string
	}{
		{0, "00"}, {1, "01"}, {63, "3f"},
		{64, "4040"}, {16383, "7fff"},
		{16384, "80004000"}, {1<<30 - 1, "bfffffff"},
		{1 << 30, "c000000040000000"}, {MaxVarint, "ffffffffffffffff"},
	} {
		want := unhex(t, c.encoded)
		got := AppendVarint([]byte{0xaa}, c.value)
		if !bytes.Equal(got[1:], want) || got[0] != 0xaa {
			t.Errorf("%d is encoded as %x, want %x behind what was there", c.value, got, want)
		}
		if n := SizeVarint(c.value); n != len(want) {
			t.Errorf("SizeVarint(%d) = %d, want %d", c.value, n, len(want))
		}
		if v, n := ConsumeVarint(want); v != c.value || n != len(want) {
			t.Errorf("%x: %d, %d bytes; want %d", want, v, n, c.value)
		}
		for cut := range want {
			if _, n := ConsumeVarint(want[:cut]); n != -1 {
				t.Errorf("%x: length %d, want -1", want[:cut], n)
			}
		}
	}
	for _, b := range []string{"05", "4005", "80000005", "c000000000000005"} {
		if v, n := ConsumeVarint(unhex(t, b)); v != 5 || n != len(b)/2 {
			t.Errorf("%s: %d, %d bytes; want 5, %d bytes", b, v, n, len(b)/2)
		}
	}
}

func TestAppendVarintPanicsAboveItsRange(t *testing.T) {
	for _, v := range []uint64{MaxVarint + 1, 1<<64 - 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic for %d: it would be cut in silence", v)
				}
			}()
			AppendVarint(nil, v)
		}()
	}
}

func TestVarint2(t *testing.T) {
	for _, v := range []uint64{0, 1, 63, 64, 16383} {
		b := AppendVarint2(nil, 0x2aaa)
		PutVarint2(b, v)
		if got, n := ConsumeVarint(b); got != v || n != 2 {
			t.Errorf("PutVarint2(%d): %d in %d bytes", v, got, n)
		}
		if got, n := ConsumeVarint(AppendVarint2(nil, v)); got != v || n != 2 {
			t.Errorf("AppendVarint2(%d): %d in %d bytes", v, got, n)
		}
	}
}

// A length never reaches beyond the end, whatever it says, and what is returned cannot be appended into what follows.
func TestConsumeBytes(t *testing.T) {
	for _, c := range []struct {
		name  string
		in    string
		want  string
		n     int
		short bool // with a one-byte length
	}{
		{name: "empty", in: "00ff", n: 1},
		{name: "two", in: "02aabbcc", want: "aabb", n: 3},
		{name: "to the end", in: "02aabb", want: "aabb", n: 3},
		{name: "a length of two bytes", in: "4002aabb", want: "aabb", n: 4},
		{name: "one too many", in: "03aabb", n: -1},
		{name: "2^62-1", in: "ffffffffffffffffaabb", n: -1},
		{name: "nothing", in: "", n: -1},
		{name: "length cut short", in: "40", n: -1},
		{name: "empty", in: "00ff", n: 1, short: true},
		{name: "to the end", in: "02aabb", want: "aabb", n: 3, short: true},
		{name: "one too many", in: "03aabb", n: -1, short: true},
		{name: "255", in: "ff", n: -1, short: true},
		{name: "nothing", in: "", n: -1, short: true},
	} {
		consume := consumeBytes
		if c.short {
			consume = consumeShortBytes
		}
		p, n := consume(unhex(t, c.in))
		if n != c.n || !bytes.Equal(p, unhex(t, c.want)) {
			t.Errorf("%s, short %v: %x, %d; want %s, %d", c.name, c.short, p, n, c.want, c.n)
		}
		if cap(p) != len(p) {
			t.Errorf("%s, short %v: room for %d more bytes of the packet", c.name, c.short, cap(p)-len(p))
		}
	}
}
