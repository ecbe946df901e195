package wire

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// RFC 9000, appendix A.2, and the ends of each length.
func TestPacketNumberLen(t *testing.T) {
	for _, c := range []struct {
		name             string
		pn, largestAcked int64
		want             int
	}{
		{name: "A.2, 16 bits", pn: 0xac5c02, largestAcked: 0xabe8b3, want: 2},
		{name: "A.2, 18 bits", pn: 0xace8fe, largestAcked: 0xabe8b3, want: 3},
		{name: "the first", pn: 0, largestAcked: -1, want: 1},
		{name: "the next", pn: 1, largestAcked: 0, want: 1},
		{name: "128 not acknowledged", pn: 127, largestAcked: -1, want: 1},
		{name: "129 not acknowledged", pn: 128, largestAcked: -1, want: 2},
		{name: "128 ahead", pn: 1128, largestAcked: 1000, want: 1},
		{name: "129 ahead", pn: 1129, largestAcked: 1000, want: 2},
		{name: "2^15 ahead", pn: 1 << 15, largestAcked: 0, want: 2},
		{name: "2^15+1 ahead", pn: 1<<15 + 1, largestAcked: 0, want: 3},
		{name: "2^23 ahead", pn: 1 << 23, largestAcked: 0, want: 3},
		{name: "2^23+1 ahead", pn: 1<<23 + 1, largestAcked: 0, want: 4},
		{name: "2^31 ahead", pn: 1 << 31, largestAcked: 0, want: 4},
		{name: "the last number", pn: MaxPacketNumber, largestAcked: MaxPacketNumber - 1, want: 1},
		{name: "more than four bytes would tell", pn: MaxPacketNumber, largestAcked: -1, want: 4},
	} {
		if got := PacketNumberLen(c.pn, c.largestAcked); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}

func TestAppendPacketNumber(t *testing.T) {
	for n, want := range map[int]string{1: "78", 2: "5678", 3: "345678", 4: "12345678"} {
		if got := AppendPacketNumber([]byte{0xee}, 0x9a12345678, n); !bytes.Equal(got, append([]byte{0xee}, unhex(t, want)...)) {
			t.Errorf("%d bytes: %x, want ee%s", n, got, want)
		}
	}
}

// RFC 9000, appendix A.3, and what lies at the ends of the window and of all packet numbers.
func TestDecodePacketNumber(t *testing.T) {
	for _, c := range []struct {
		name      string
		largest   int64
		truncated uint32
		n         int
		want      int64
	}{
		{name: "A.3", largest: 0xa82f30ea, truncated: 0x9b32, n: 2, want: 0xa82f9b32},
		{name: "the first", largest: -1, truncated: 0, n: 1, want: 0},
		{name: "nothing received, low", largest: -1, truncated: 0x80, n: 1, want: 0x80},
		{name: "nothing received, high: there is nothing below 0", largest: -1, truncated: 0xff, n: 1, want: 0xff},
		{name: "four bytes", largest: -1, truncated: 0xffffffff, n: 4, want: 0xffffffff},
		{name: "next", largest: 0xff, truncated: 0, n: 1, want: 0x100},
		{name: "up by half a window", largest: 0x1ff, truncated: 0x80, n: 1, want: 0x280},
		{name: "up by more is down", largest: 0x1ff, truncated: 0x81, n: 1, want: 0x181},
		{name: "down by half a window is up", largest: 0x27f, truncated: 0, n: 1, want: 0x300},
		{name: "down by less", largest: 0x27f, truncated: 1, n: 1, want: 0x201},
		{name: "late", largest: 0x200, truncated: 0xf0, n: 1, want: 0x1f0},
		{name: "the end of all numbers", largest: MaxPacketNumber - 1, truncated: 0xff, n: 1, want: MaxPacketNumber},
		{name: "none beyond the end", largest: MaxPacketNumber - 1, truncated: 0x00, n: 1, want: MaxPacketNumber - 0xff},
		{name: "none beyond the end, four bytes", largest: MaxPacketNumber - 1, truncated: 0, n: 4, want: MaxPacketNumber - 0xffffffff},
	} {
		if got := DecodePacketNumber(c.largest, c.truncated, c.n); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

// What PacketNumberLen chooses is enough for any peer that has received what it acknowledged, in any order.
func TestPacketNumberRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200_000 {
		pn := random.Int64N(1 << (1 + random.Int64N(62)))
		ahead := 1 + random.Int64N(min(pn+1, 1<<(1+random.Int64N(31))))
		largestAcked := pn - ahead // not below -1
		n := PacketNumberLen(pn, largestAcked)
		truncated := uint32(pn & (1<<(8*n) - 1))
		// The receiver may have any number from the largest acknowledged one to the one before this, or, when the packet
		// was overtaken, a few above it.
		received := largestAcked + random.Int64N(ahead)
		for _, largest := range []int64{largestAcked, received, pn - 1, min(pn+30, MaxPacketNumber)} {
			if got := DecodePacketNumber(largest, truncated, n); got != pn {
				t.Fatalf("%#x in %d bytes, largest acknowledged %#x, largest received %#x: decoded as %#x",
					pn, n, largestAcked, largest, got)
			}
		}
	}
}
