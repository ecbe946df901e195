package quic

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

func TestParseHeader(t *testing.T) {
	dst, src, long := []byte("destination!"), []byte("src"), bytes.Repeat([]byte{7}, 255)
	longPacket := func(typ wire.PacketType, version uint32, token []byte) []byte {
		b, lengthOff, pnOff := wire.AppendLongHeader(nil, typ, version, dst, src, token, 1, 2)
		b = append(b, make([]byte, 30)...)
		wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
		return b
	}
	for _, version := range []uint32{Version1, Version2} {
		retry, err := AppendRetry(nil, version, dst, src, ConnID{len: 3, b: [20]byte{1, 2, 3}}, []byte("a token"), 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			packet []byte
			want   Header
			whole  bool // it reaches to the end of its datagram
		}{
			{name: "Initial", packet: longPacket(wire.Initial, version, []byte("token")),
				want: Header{Type: PacketInitial, Version: version, DstConnID: dst, SrcConnID: src, Token: []byte("token")}},
			{name: "Initial without a token", packet: longPacket(wire.Initial, version, nil),
				want: Header{Type: PacketInitial, Version: version, DstConnID: dst, SrcConnID: src}},
			{name: "0-RTT", packet: longPacket(wire.ZeroRTT, version, nil),
				want: Header{Type: PacketZeroRTT, Version: version, DstConnID: dst, SrcConnID: src}},
			{name: "Handshake", packet: longPacket(wire.Handshake, version, nil),
				want: Header{Type: PacketHandshake, Version: version, DstConnID: dst, SrcConnID: src}},
			{name: "Retry", packet: retry, whole: true,
				want: Header{Type: PacketRetry, Version: version, DstConnID: src, SrcConnID: []byte{1, 2, 3}, Token: []byte("a token")}},
			{name: "1-RTT", packet: append(append([]byte{0x40}, dst...), make([]byte, 30)...), whole: true,
				want: Header{Type: PacketOneRTT, DstConnID: dst}},
			{name: "Version Negotiation", packet: AppendVersionNegotiation(nil, dst, long, []uint32{5, Version2}, 1), whole: true,
				want: Header{Type: PacketVersionNegotiation, DstConnID: long, SrcConnID: dst, Versions: []uint32{5, Version2}}},
			{name: "another version", packet: append(append(append([]byte{0x80, 0xba, 0xba, 0xba, 0xba, 255}, long...), 3), src...), whole: true,
				want: Header{Type: PacketOther, Version: 0xbabababa, DstConnID: long, SrcConnID: src}},
		} {
			c.want.Len = len(c.packet)
			datagram := slices.Clone(c.packet)
			if !c.whole {
				datagram = append(datagram, "the next packet"...)
			}
			h, ok := ParseHeader(datagram, len(dst))
			if same := h.Type == c.want.Type && h.Version == c.want.Version && h.Len == c.want.Len && bytes.Equal(h.DstConnID, c.want.DstConnID) &&
				bytes.Equal(h.SrcConnID, c.want.SrcConnID) && bytes.Equal(h.Token, c.want.Token) && slices.Equal(h.Versions, c.want.Versions); !ok || !same {
				t.Errorf("%s of version %#x: %+v, %v; want %+v", c.name, version, h, ok, c.want)
			}
			if c.whole {
				continue
			}
			for cut := range c.packet {
				if h, ok := ParseHeader(c.packet[:cut], len(dst)); ok {
					t.Errorf("%s, cut to %d of %d bytes: %+v", c.name, cut, len(c.packet), h)
				}
			}
		}
	}
	for _, c := range []struct {
		name  string
		in    string
		idLen int
	}{
		{"nothing", "", 0},
		{"a short header with less than a connection ID", "40 01020304 050607", 8},
		{"a connection ID of 21 bytes in version 1", "e0 00000001 15" + strings.Repeat("07", 21) + "00 04 00112233", 0},
		{"Version Negotiation without a version", "c0 00000000 01 07 01 08", 0},
		{"Version Negotiation that ends within one", "c0 00000000 01 07 01 08 000000", 0},
		{"another version, cut in a connection ID", "c0 babababa 05 01020304", 0},
		{"Retry without a tag", "f0 00000001 01 07 01 08 746f6b656e", 0},
		{"a length of connection IDs that no version has", "40 01020304", 21},
		{"a negative one", "40 01020304", -1},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.in, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := ParseHeader(b, c.idLen); ok || h.Type != 0 {
			t.Errorf("%s: %+v, %v", c.name, h, ok)
		}
	}
	if PacketOther.String() != "of another version" || PacketType(0).String() != "unknown" || PacketType(99).String() != "unknown" {
		t.Error("names of types are wrong")
	}
	if !VersionSupported(Version1) || !VersionSupported(Version2) || VersionSupported(0) || VersionSupported(0xbabababa) {
		t.Error("VersionSupported is wrong")
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{0x40, 1, 2, 3, 4}, 4)
	f.Add([]byte{0xc0, 0, 0, 0, 1, 1, 7, 1, 8, 0, 4, 0, 0, 0, 0}, 4)
	f.Add([]byte{0xc0, 0, 0, 0, 0, 1, 7, 1, 8, 0, 0, 0, 1}, 4)
	f.Add([]byte{0xf0, 0x6b, 0x33, 0x43, 0xcf, 1, 7, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}, 4)
	f.Fuzz(func(t *testing.T, b []byte, idLen int) {
		h, ok := ParseHeader(b, idLen)
		switch {
		case !ok:
			if h.Type != 0 || h.Len != 0 {
				t.Errorf("%+v of what is no packet", h)
			}
		case h.Len <= 0 || h.Len > len(b) || h.Type == 0 || len(h.DstConnID) > 255 || len(h.SrcConnID) > 255:
			t.Errorf("%+v of %d bytes", h, len(b))
		case h.Type != PacketOther && h.Type != PacketVersionNegotiation && (len(h.DstConnID) > 20 || len(h.SrcConnID) > 20):
			t.Errorf("%+v has a connection ID that is too long", h)
		case h.Type == PacketInitial || h.Type == PacketHandshake || h.Type == PacketZeroRTT || h.Type == PacketRetry:
			if !VersionSupported(h.Version) {
				t.Errorf("%+v is of a version that is not supported", h)
			}
		}
	})
}

// What is offered: all versions and a reserved one, or what the caller says; to the client, from the server.
func TestAppendVersionNegotiation(t *testing.T) {
	b := AppendVersionNegotiation([]byte("before"), []byte("server"), []byte("client"), nil, 0xff12345678)
	h, ok := ParseHeader(bytes.TrimPrefix(b, []byte("before")), 0)
	if !ok || string(h.DstConnID) != "client" || string(h.SrcConnID) != "server" || b[6] != 0xff {
		t.Errorf("%+v, %v, first byte %#x", h, ok, b[6])
	}
	if want := []uint32{0x1a3a5a7a, Version1, Version2}; !slices.Equal(h.Versions, want) {
		t.Errorf("versions %#x, want %#x", h.Versions, want)
	}
	if again := AppendVersionNegotiation([]byte("before"), []byte("server"), []byte("client"), []uint32{}, 0xff12345678); !bytes.Equal(again, b) {
		t.Errorf("an empty list of versions: %x, want %x", again, b)
	}
	for _, n := range []int{255, 256} {
		b := AppendVersionNegotiation(nil, make([]byte, n), make([]byte, n), []uint32{1}, 0)
		h, ok := ParseHeader(b, 0)
		if ok != (n == 255) || ok && len(h.DstConnID) != n {
			t.Errorf("connection IDs of %d bytes: %d bytes, %v", n, len(b), ok)
		}
	}
	if b := AppendVersionNegotiation([]byte("before"), nil, make([]byte, 256), nil, 0); string(b) != "before" {
		t.Errorf("a connection ID of 256 bytes: %q", b)
	}
}

// The vectors of RFC 9001, appendix A.4, and RFC 9369, appendix A.4.
func TestAppendRetryVectors(t *testing.T) {
	newID, _ := MakeConnID([]byte{0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5})
	orig := []byte{0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}
	for version, want := range map[uint32]string{
		Version1: "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba",
		Version2: "cf6b3343cf0008f067a5502a4262b5746f6b656ec8646ce8bfe33952d955543665dcc7b6",
	} {
		b, err := AppendRetry([]byte("before"), version, orig, nil, newID, []byte("token"), 0x0f)
		if got := hex.EncodeToString(bytes.TrimPrefix(b, []byte("before"))); got != want || err != nil {
			t.Errorf("version %#x: %s (%v), want %s", version, got, err, want)
		}
	}
}

func TestAppendRetryErrors(t *testing.T) {
	newID, _ := MakeConnID([]byte("new"))
	long := make([]byte, 21)
	for _, c := range []struct {
		name     string
		version  uint32
		dst, src []byte
		token    []byte
		want     string
	}{
		{"version", 0xbabababa, nil, nil, []byte("t"), "quic: version 0xbabababa is not supported, and its Retry packets are not known"},
		{"destination", Version1, long, nil, []byte("t"), "quic: connection IDs of 21 and 0 bytes; they have 20 at most"},
		{"source", Version1, nil, long, []byte("t"), "quic: connection IDs of 0 and 21 bytes; they have 20 at most"},
		{"no token", Version1, nil, nil, nil, "quic: a Retry token has 1 to 900 bytes, not 0"},
		{"a long token", Version1, nil, nil, make([]byte, 901), "quic: a Retry token has 1 to 900 bytes, not 901"},
		{"the same connection ID", Version1, []byte("new"), nil, []byte("t"),
			"quic: Retry must give the client another connection ID to send to (RFC 9000, section 17.2.5.1)"},
	} {
		if b, err := AppendRetry([]byte("before"), c.version, c.dst, c.src, newID, c.token, 0); err == nil || err.Error() != c.want || string(b) != "before" {
			t.Errorf("%s: %q, %v; want %s", c.name, b, err, c.want)
		}
	}
}
