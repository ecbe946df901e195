package wire

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// longPacket is a packet with a long header and n bytes from the packet number on.
func longPacket(typ PacketType, version uint32, dcid, scid, token []byte, n int) []byte {
	b, lengthOff, pnOff := AppendLongHeader(nil, typ, version, dcid, scid, token, 0x1234, 2)
	b = append(b[:pnOff], bytes.Repeat([]byte{0xdd}, n)...)
	PutVarint2(b[lengthOff:], uint64(n))
	return b
}

// runVersions runs a test for each version.
func runVersions(t *testing.T, name string, f func(t *testing.T, version uint32)) {
	for _, version := range []uint32{Version1, Version2} {
		t.Run(fmt.Sprintf("%s, version %#x", name, version), func(t *testing.T) { f(t, version) })
	}
}

// firstOf turns the first byte of a long header of version 1 into that of another (RFC 9369, section 3.2): Initial is 0b01 in version
// 2, 0-RTT 0b10, Handshake 0b11 and Retry 0b00.
func firstOf(version uint32, first byte) byte {
	if version == Version2 {
		bits := map[byte]byte{0xc0: 0xd0, 0xd0: 0xe0, 0xe0: 0xf0, 0xf0: 0xc0}
		return bits[first&0xf0] | first&0x0f
	}
	return first
}

// The headers of RFC 9369, appendices A.2 to A.4.
func TestVectorsVersion2(t *testing.T) {
	const dcid, scid = "8394c8f03e515708", "f067a5502a4262b5"
	b, lengthOff, _ := AppendLongHeader(nil, Initial, Version2, unhex(t, dcid), nil, nil, 2, 4)
	PutVarint2(b[lengthOff:], 1182)
	if want := unhex(t, "d36b3343cf088394c8f03e5157080000449e00000002"); !bytes.Equal(b, want) {
		t.Errorf("A.2: %x, want %x", b, want)
	}
	b, lengthOff, _ = AppendLongHeader(nil, Initial, Version2, nil, unhex(t, scid), nil, 1, 2)
	PutVarint2(b[lengthOff:], 0x75)
	if want := unhex(t, "d16b3343cf0008f067a5502a4262b50040750001"); !bytes.Equal(b, want) {
		t.Errorf("A.3: %x, want %x", b, want)
	}
	retry := unhex(t, "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6")
	h, n := ConsumeLongHeader(retry)
	if n != len(retry) || h.Type != Retry || h.Version != Version2 || string(h.Token) != "token" || len(h.DstConnID) > 0 ||
		!bytes.Equal(h.SrcConnID, unhex(t, scid)) {
		t.Errorf("A.4: %+v, length %d", h, n)
	}
	if b := AppendRetryWithoutTag(nil, Version2, nil, h.SrcConnID, h.Token, 0x0f); !bytes.Equal(b, retry[:len(retry)-16]) {
		t.Errorf("A.4: %x, want %x", b, retry)
	}
}

func TestLongHeader(t *testing.T) {
	id0, id8, id20 := []byte{}, []byte("12345678"), bytes.Repeat([]byte{7}, 20)
	for _, c := range []struct {
		name       string
		typ        PacketType
		dcid, scid []byte
		token      []byte
		pn         int64
		pnLen      int
		payload    int // bytes behind the packet number
		first      byte
	}{
		{name: "Initial", typ: Initial, dcid: id8, scid: id0, pn: 0, pnLen: 1, payload: 19, first: 0xc0},
		{name: "Initial with a token", typ: Initial, dcid: id8, scid: id8, token: []byte("token"), pn: 0x1234, pnLen: 2,
			payload: 100, first: 0xc1},
		{name: "Initial with a long token", typ: Initial, dcid: id8, scid: id8, token: make([]byte, 300), pn: 1, pnLen: 3,
			payload: 100, first: 0xc2},
		{name: "0-RTT", typ: ZeroRTT, dcid: id20, scid: id8, pn: 0x123456, pnLen: 3, payload: 17, first: 0xd2},
		{name: "Handshake", typ: Handshake, dcid: id0, scid: id20, pn: 0x12345678, pnLen: 4, payload: 1200, first: 0xe3},
		{name: "as long as its Length can say", typ: Handshake, dcid: id8, scid: id8, pn: 9, pnLen: 1, payload: 16382,
			first: 0xe0},
	} {
		runVersions(t, c.name, func(t *testing.T, version uint32) {
			prefix := []byte{0xaa, 0xbb}
			b, lengthOff, pnOff := AppendLongHeader(prefix, c.typ, version, c.dcid, c.scid, c.token, c.pn, c.pnLen)
			if got, want := len(b)-len(prefix), LongHeaderLen(c.typ, len(c.dcid), len(c.scid), len(c.token), c.pnLen); got != want {
				t.Errorf("LongHeaderLen says %d bytes, the header has %d", want, got)
			}
			if want := firstOf(version, c.first); b[2] != want {
				t.Errorf("first byte %#x, want %#x", b[2], want)
			}
			if want := AppendPacketNumber(nil, c.pn, c.pnLen); !bytes.Equal(b[pnOff:], want) {
				t.Errorf("packet number %x, want %x", b[pnOff:], want)
			}
			b = append(b, make([]byte, c.payload)...)
			PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
			b = b[len(prefix):]
			pnOff -= len(prefix)
			h, n := ConsumeLongHeader(append(slices.Clip(b), "the next packet of the datagram"...))
			if n != len(b) || h.Len != len(b) {
				t.Fatalf("length %d, Len %d; want %d", n, h.Len, len(b))
			}
			if h.Type != c.typ || h.Version != version || h.PNOffset != pnOff || !bytes.Equal(h.DstConnID, c.dcid) ||
				!bytes.Equal(h.SrcConnID, c.scid) || !bytes.Equal(h.Token, c.token) {
				t.Errorf("parsed %+v", h)
			}
			if h.TooShortToOpen() != (c.pnLen+c.payload < 20) {
				t.Errorf("TooShortToOpen is %v with %d bytes from the packet number on", h.TooShortToOpen(), c.pnLen+c.payload)
			}
			for cut := range b {
				if _, n := ConsumeLongHeader(b[:cut]); n != -1 {
					t.Fatalf("cut to %d of %d bytes: length %d, want -1", cut, len(b), n)
				}
			}
		})
	}
}

// What a version 1 packet with a long header may not be: -1 for all.
func TestLongHeaderMalformed(t *testing.T) {
	const invariants = "00000001 02 d1d2 01 51"
	for _, c := range []struct{ name, in string }{
		{"empty", ""},
		{"a short header", "40 00000001 02 d1d2 01 51 14" + "00112233445566778899aabbccddeeff00112233"},
		{"another version", "c0 00000002 02 d1d2 01 51 00 04 00112233"},
		{"Version Negotiation", "c0 00000000 02 d1d2 01 51 00000001 00000001 00000001 00000001"},
		{"Destination Connection ID of 21 bytes", "e0 00000001 15" + "000102030405060708090a0b0c0d0e0f1011121314" + "00 04 00112233"},
		{"Source Connection ID of 21 bytes", "e0 00000001 00 15" + "000102030405060708090a0b0c0d0e0f1011121314" + "04 00112233"},
		{"Destination Connection ID longer than what is there", "e0 00000001 08 d1d2"},
		{"Source Connection ID longer than what is there", "e0 00000001 02 d1d2 09 51"},
		{"no Source Connection ID length", "e0 00000001 02 d1d2"},
		{"Initial, no token length", "c0" + invariants},
		{"Initial, token longer than what is there", "c0" + invariants + "05 01020304"},
		{"Initial, token of 2^62-1 bytes", "c0" + invariants + "ffffffffffffffff 01020304"},
		{"Initial, token takes everything", "c0" + invariants + "04 01020304"},
		{"Initial, Length one too large", "c0" + invariants + "00 05 00112233"},
		{"Handshake, no Length", "e0" + invariants},
		{"Handshake, Length cut short", "e0" + invariants + "40"},
		{"Handshake, Length one too large", "e0" + invariants + "05 00112233"},
		{"Handshake, Length 2^62-1", "e0" + invariants + "ffffffffffffffff 00112233"},
		{"Retry shorter than its tag", "f0" + invariants + "00112233445566778899aabbccddee"},
	} {
		if h, n := ConsumeLongHeader(unhex(t, c.in)); n != -1 || h.Len != 0 {
			t.Errorf("%s: length %d, %+v; want -1 and nothing", c.name, n, h)
		}
	}
}

// A Length that is true but too small leaves the packet whole, so that the next one can be found.
func TestLongHeaderTooShortToOpen(t *testing.T) {
	for n := range 40 {
		first := longPacket(Handshake, Version1, []byte("d"), []byte("s"), nil, n)
		second := longPacket(Initial, Version1, []byte("d"), []byte("s"), nil, 50)
		datagram := append(slices.Clone(first), second...)
		h, m := ConsumeLongHeader(datagram)
		if m != len(first) || h.TooShortToOpen() != (n < 20) {
			t.Errorf("%d bytes from the packet number on: length %d, too short %v; want %d, %v", n, m, h.TooShortToOpen(), len(first), n < 20)
			continue
		}
		if h, m := ConsumeLongHeader(datagram[m:]); m != len(second) || h.Type != Initial {
			t.Errorf("behind a packet of %d bytes: %v, length %d", n, h.Type, m)
		}
	}
}

// Packets of one datagram (RFC 9000, section 12.2): each type but Retry, then one with a short header.
func TestCoalescedPackets(t *testing.T) {
	dcid, scid := []byte("destination"), []byte("src")
	var datagram []byte
	types := []PacketType{Initial, ZeroRTT, Handshake, Initial}
	for i, typ := range types {
		datagram = append(datagram, longPacket(typ, Version1, dcid, scid, []byte("tok")[:i%2*3], 20+i)...)
	}
	short, _ := AppendShortHeader(nil, dcid, false, true, 5, 1)
	datagram = append(datagram, append(short, make([]byte, 30)...)...)
	rest := datagram
	for i, typ := range types {
		h, n := ConsumeLongHeader(rest)
		if n < 0 || h.Type != typ || h.Len-h.PNOffset != 20+i || !bytes.Equal(h.DstConnID, dcid) || !bytes.Equal(h.SrcConnID, scid) {
			t.Fatalf("packet %d: %+v, length %d; want %v", i, h, n, typ)
		}
		rest = rest[n:]
	}
	if IsLongHeader(rest[0]) || len(rest) != 1+len(dcid)+1+30 {
		t.Errorf("behind the packets with long headers stand %d bytes, the first %#x", len(rest), rest[0])
	}
	if _, n := ConsumeLongHeader(rest); n != -1 {
		t.Errorf("a short header parses as a long one of length %d", n)
	}
}

func TestShortHeader(t *testing.T) {
	for _, c := range []struct {
		name           string
		dcid           string
		spin, keyPhase bool
		pn             int64
		pnLen          int
		want           string
	}{
		{name: "plain", dcid: "d1d2d3d4", pn: 7, pnLen: 1, want: "40 d1d2d3d4 07"},
		{name: "two bytes", dcid: "d1", pn: 0xaabbccdd, pnLen: 2, want: "41 d1 ccdd"},
		{name: "spin", dcid: "d1", spin: true, pn: 7, pnLen: 3, want: "62 d1 000007"},
		{name: "key phase", dcid: "d1", keyPhase: true, pn: 7, pnLen: 4, want: "47 d1 00000007"},
		{name: "both, no connection ID", spin: true, keyPhase: true, pn: 7, pnLen: 1, want: "64 07"},
	} {
		b, pnOff := AppendShortHeader([]byte{0xee}, unhex(t, c.dcid), c.spin, c.keyPhase, c.pn, c.pnLen)
		if want := append([]byte{0xee}, unhex(t, c.want)...); !bytes.Equal(b, want) || pnOff != len(want)-c.pnLen {
			t.Errorf("%s: %x, packet number at %d; want %x", c.name, b, pnOff, want)
		}
		if IsLongHeader(b[1]) || !HasFixedBit(b[1]) {
			t.Errorf("%s: first byte %#x is no short header of version 1", c.name, b[1])
		}
	}
}

// What every version shares (RFC 8999, section 5.1): any version, connection IDs of any length.
func TestInvariants(t *testing.T) {
	for _, version := range []uint32{0, Version1, 0x6b3343cf, 0xffffffff} {
		for _, lens := range [][2]int{{0, 0}, {8, 8}, {20, 0}, {0, 20}, {21, 255}, {255, 21}, {255, 255}} {
			dcid, scid := bytes.Repeat([]byte{1}, lens[0]), bytes.Repeat([]byte{2}, lens[1])
			b := appendInvariants([]byte{0x80}, version, dcid, scid)
			v, d, s, n := ConsumeInvariants(append(slices.Clip(b), 0xff, 0xff))
			if v != version || !bytes.Equal(d, dcid) || !bytes.Equal(s, scid) || n != len(b) {
				t.Errorf("version %#x, connection IDs of %v bytes: %#x, %d, %d, length %d", version, lens, v, len(d), len(s), n)
			}
			for cut := range b {
				if _, _, _, n := ConsumeInvariants(b[:cut]); n != -1 {
					t.Fatalf("connection IDs of %v bytes, cut to %d: length %d, want -1", lens, cut, n)
				}
			}
			b[0] &^= 0x80
			if _, _, _, n := ConsumeInvariants(b); n != -1 {
				t.Errorf("a short header has no such fields, length %d", n)
			}
		}
	}
}

func TestVersionNegotiation(t *testing.T) {
	long := bytes.Repeat([]byte{3}, 255) // of a version that allows more than 20 bytes; it is to be echoed (section 17.2.1)
	for _, c := range []struct {
		name       string
		dcid, scid []byte
		versions   []uint32
		random     byte
		first      byte
	}{
		{name: "one version", dcid: []byte("client"), scid: []byte("srv"), versions: []uint32{Version1}, first: 0xc0},
		{name: "several", dcid: []byte{}, scid: long, versions: []uint32{Version1, 0x0a0a0a0a, 0xffffffff}, random: 0xff, first: 0xff},
		{name: "long connection IDs", dcid: long, scid: long, versions: []uint32{Version1}, random: 0x80, first: 0xc0},
	} {
		b := AppendVersionNegotiation(nil, c.dcid, c.scid, c.versions, c.random)
		if b[0] != c.first {
			t.Errorf("%s: first byte %#x, want %#x", c.name, b[0], c.first)
		}
		d, s, versions, n := ConsumeVersionNegotiation(b)
		if n != len(b) || !bytes.Equal(d, c.dcid) || !bytes.Equal(s, c.scid) || !slices.Equal(versions, c.versions) {
			t.Errorf("%s: %x, %x, %x, length %d", c.name, d, s, versions, n)
		}
		header := len(b) - 4*len(c.versions)
		for cut := range b {
			_, _, _, n := ConsumeVersionNegotiation(b[:cut])
			if whole := cut > header && (cut-header)%4 == 0; whole != (n == cut) || !whole && n != -1 {
				t.Errorf("%s, cut to %d: length %d", c.name, cut, n)
			}
		}
	}
	if _, _, _, n := ConsumeVersionNegotiation(unhex(t, "c0 00000001 00 00 00000001")); n != -1 {
		t.Errorf("a packet of version 1 parses as Version Negotiation of length %d", n)
	}
}

func TestRetry(t *testing.T) {
	tag := bytes.Repeat([]byte{9}, 16)
	runVersions(t, "Retry", func(t *testing.T, version uint32) {
		for _, token := range [][]byte{{}, {1}, bytes.Repeat([]byte{2}, 1000)} {
			b := AppendRetryWithoutTag(nil, version, []byte("dst"), []byte("source"), token, 0xfa)
			if want := firstOf(version, 0xfa); b[0] != want {
				t.Errorf("first byte %#x, want %#x, with the random bits in the lower half", b[0], want)
			}
			b = append(b, tag...)
			h, n := ConsumeLongHeader(b)
			if n != len(b) || h.Type != Retry || h.Version != version || h.Len != n || h.PNOffset != 0 || !bytes.Equal(h.Token, token) ||
				string(h.DstConnID) != "dst" || string(h.SrcConnID) != "source" {
				t.Errorf("token of %d bytes: %+v, length %d", len(token), h, n)
			}
			if cap(h.Token) != len(h.Token) {
				t.Error("the token can be appended into the tag")
			}
		}
	})
}

// A Length of one, two, four or eight bytes is the same Length.
func TestLengthNotMinimal(t *testing.T) {
	for _, length := range []string{"15", "4015", "80000015", "c000000000000015"} {
		b := append(unhex(t, "e0 00000001 01 d1 00"+length), make([]byte, 0x15)...)
		if h, n := ConsumeLongHeader(b); n != len(b) || h.Len-h.PNOffset != 0x15 {
			t.Errorf("Length %s: %+v, length %d", length, h, n)
		}
	}
}

func TestPacketTypeString(t *testing.T) {
	got := fmt.Sprint(Initial, ZeroRTT, Handshake, OneRTT, Retry, VersionNegotiation)
	if want := "Initial 0-RTT Handshake 1-RTT Retry Version Negotiation"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
