package protect

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"testing"
)

// goSeal protects a 1-RTT packet as RFC 9001, section 5, says, by Go's own cryptography.
func goSeal(t *testing.T, suite Suite, secret, packet []byte, pn int64) {
	t.Helper()
	newHash, keyLen := sha256.New, 16
	if suite == AES256GCMSHA384 {
		newHash, keyLen = sha512.New384, 32
	}
	key := goExpand(t, newHash, secret, "quic key", keyLen)
	nonce := goExpand(t, newHash, secret, "quic iv", 12)
	for i := range 8 {
		nonce[4+i] ^= byte(pn >> (56 - 8*i))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	header := packet[:testPNOff+4]
	payload := packet[len(header) : len(packet)-Overhead]
	aead.Seal(payload[:0], nonce, payload, header)
	hp, err := aes.NewCipher(goExpand(t, newHash, secret, "quic hp", keyLen))
	if err != nil {
		t.Fatal(err)
	}
	var mask [16]byte
	hp.Encrypt(mask[:], packet[testPNOff+4:])
	packet[0] ^= mask[0] & 0x1f
	for i := range 4 {
		packet[testPNOff+i] ^= mask[1+i]
	}
}

func goExpand(t *testing.T, h func() hash.Hash, secret []byte, label string, n int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := append([]byte{byte(n >> 8), byte(n), byte(len(label))}, label...)
	out, err := hkdf.Expand(h, secret, string(append(info, 0)), n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAgainstGo(t *testing.T) {
	for _, suite := range []Suite{AES128GCMSHA256, AES256GCMSHA384} {
		for _, size := range []int{testPNOff + 20, 50, 1200, 1472, 9000, 65535} {
			t.Run(fmt.Sprintf("%s/%d", suite, size), func(t *testing.T) {
				send, recv := pair(t, suite)
				secret := bytes.Repeat([]byte{0x5a}, suite.secretLen())
				pn := int64(0x0123456789abcdef)
				want := make([]byte, size)
				fillPacket(want, 0, pn)
				goSeal(t, suite, secret, want, pn)
				got := sealOne(t, send, pn, size)
				if !bytes.Equal(got, want) {
					t.Fatal("BoringSSL and Go seal differently")
				}
				d := []OpenDesc{openDesc(0, size, pn-1)}
				if recv.Open(got, d); d[0].Status != Opened || d[0].PN != pn {
					t.Fatalf("Open: %+v", d[0])
				}
				fillPacket(want, 0, pn)
				if !bytes.Equal(got[:size-Overhead], want[:size-Overhead]) {
					t.Error("the plaintext differs")
				}
			})
		}
	}
}

// Every bit pattern of one damaged byte anywhere in the packet is noticed, and the last 16 bytes survive.
func TestTampered(t *testing.T) {
	for _, suite := range suites {
		send, recv := pair(t, suite)
		packet := sealOne(t, send, 5, 120)
		for i := range packet {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				bad := bytes.Clone(packet)
				bad[i] ^= flip
				tail := bytes.Clone(bad[len(bad)-Overhead:])
				d := []OpenDesc{openDesc(0, len(bad), 4)}
				recv.Open(bad, d)
				if d[0].Status != Failed {
					t.Fatalf("%s: byte %d ^ %#x: %+v", suite, i, flip, d[0])
				}
				if !bytes.Equal(bad[len(bad)-Overhead:], tail) {
					t.Fatalf("%s: byte %d ^ %#x: the last 16 bytes changed", suite, i, flip)
				}
			}
		}
		for n := range packet {
			if d := openOne(recv, packet[:n], 4); d.Status == Opened || n < testPNOff+20 && d.Status != TooShort {
				t.Fatalf("%s: first %d bytes: %+v", suite, n, d)
			}
		}
		if d := openOne(recv, packet, 4); d.Status != Opened {
			t.Fatalf("%s: untouched packet: %+v", suite, d)
		}
	}
}

func TestOpenBadDescriptors(t *testing.T) {
	send, recv := pair(t, AES128GCMSHA256)
	packet := sealOne(t, send, 0, 100)
	const maxPN = 1<<62 - 1
	for _, c := range []struct {
		name string
		d    OpenDesc
		want OpenStatus
	}{
		{"offset at the end", openDesc(100, 100, -1), TooShort},
		{"length past the end", openDesc(0, 101, -1), TooShort},
		{"one past the end", openDesc(1, 100, -1), TooShort},
		{"offset and length that wrap", OpenDesc{Off: 1<<32 - 50, Len: 100, PNOff: testPNOff, Slot: OneRTT}, TooShort},
		{"largest values", OpenDesc{Off: 1<<32 - 1, Len: 1<<32 - 1, PNOff: 1<<16 - 1, Slot: 255}, TooShort},
		{"packet number past the end", OpenDesc{Len: 100, PNOff: 200, Slot: OneRTT}, TooShort},
		{"packet number at 0", OpenDesc{Len: 100, Slot: OneRTT}, TooShort},
		{"no room for a sample", OpenDesc{Len: 100, PNOff: 81, Slot: OneRTT}, TooShort},
		{"empty", OpenDesc{}, TooShort},
		{"no such slot", OpenDesc{Len: 100, PNOff: testPNOff, Slot: 4}, TooShort},
		{"largest below -1", openDesc(0, 100, -2), TooShort},
		{"largest above 2^62-1", openDesc(0, 100, maxPN+1), TooShort},
		{"slot without a key", OpenDesc{Len: 100, PNOff: testPNOff, Slot: Handshake}, NoKey},
		{"largest 2^62-1", openDesc(0, 100, maxPN), Failed},
		{"another path", OpenDesc{Len: 100, PNOff: testPNOff, Slot: OneRTT, Largest: -1, PathID: 1}, Failed},
		{"good", openDesc(0, 100, -1), Opened},
	} {
		buf := bytes.Clone(packet)
		d := []OpenDesc{c.d}
		recv.Open(buf, d)
		if d[0].Status != c.want {
			t.Errorf("%s: status %d, want %d", c.name, d[0].Status, c.want)
		}
		if (c.want == TooShort || c.want == NoKey) && !bytes.Equal(buf, packet) {
			t.Errorf("%s: the packet was touched", c.name)
		}
	}
	recv.Open(nil, nil)
	d := []OpenDesc{openDesc(0, 0, -1)}
	if recv.Open(nil, d); d[0].Status != TooShort {
		t.Errorf("empty buffer: status %d", d[0].Status)
	}
}

func TestSealBadDescriptors(t *testing.T) {
	send, _ := pair(t, AES128GCMSHA256)
	good := sealDesc(0, 100, 0, 1)
	for name, change := range map[string]func(d *SealDesc){
		"offset past the end":        func(d *SealDesc) { d.Off = 101 },
		"length past the end":        func(d *SealDesc) { d.Len = 201 },
		"offset and length wrap":     func(d *SealDesc) { d.Off, d.Len = 1<<32-50, 100 },
		"no room for tag and sample": func(d *SealDesc) { d.Len = testPNOff + 19 },
		"packet number at 0":         func(d *SealDesc) { d.PNOff = 0 },
		"no packet number":           func(d *SealDesc) { d.PNLen = 0 },
		"packet number of 5 bytes":   func(d *SealDesc) { d.PNLen = 5 },
		"length unlike the header's": func(d *SealDesc) { d.PNLen = 3 },
		"slot without a key":         func(d *SealDesc) { d.Slot = Handshake },
		"no such slot":               func(d *SealDesc) { d.Slot = 4 },
		"negative packet number":     func(d *SealDesc) { d.PN = -1 },
		"packet number 2^62":         func(d *SealDesc) { d.PN = 1 << 62 },
	} {
		buf := make([]byte, 200)
		fillPacket(buf[:100], 0, 1)
		fillPacket(buf[100:], 0, 2)
		before := bytes.Clone(buf)
		bad := sealDesc(100, 100, 0, 2)
		change(&bad)
		if send.Seal(buf, []SealDesc{good, bad}) {
			t.Errorf("%s: sealed", name)
		}
		if !bytes.Equal(buf, before) {
			t.Errorf("%s: a packet was touched", name)
		}
	}
	if !send.Seal(nil, nil) {
		t.Error("nothing to seal is no mistake")
	}
}

// What is sealed from pieces of other memory is what would be sealed in place, and the pieces are as before.
func TestSealPieces(t *testing.T) {
	for _, suite := range suites {
		send, _ := pair(t, suite)
		const size, header = 300, testPNOff + 4
		pieces := make([][]byte, MaxPieces)
		for i := range pieces {
			pieces[i] = make([]byte, 2*size)
			rand.NewChaCha8([32]byte{byte(i)}).Read(pieces[i])
		}
		before := make([][]byte, len(pieces))
		var want, got []byte
		var inPlace, pieced []SealDesc
		for i, prefix := range []int{0, 1, 20, MaxPrefix, 33, 5, 0, 7, size - header - Overhead} {
			prefix = min(prefix, MaxPrefix)
			packet, number, off := make([]byte, size), i%MaxPieces, prefix+3*i
			fillPacket(packet, 0, int64(i))
			short := bytes.Clone(packet)
			clear(short[header+prefix:])
			copy(packet[header+prefix:size-Overhead], pieces[number][off:])
			d := sealDesc(i*size, size, 0, int64(i))
			inPlace = append(inPlace, d)
			d.Piece, d.PieceOff, d.Prefix = uint8(number+1), uint16(off), uint8(prefix)
			pieced = append(pieced, d)
			want, got = append(want, packet...), append(got, short...)
		}
		for i := range pieces {
			before[i] = bytes.Clone(pieces[i])
		}
		if !send.Seal(want, inPlace) || !send.Seal(got, pieced, pieces...) {
			t.Fatal("Seal refused")
		}
		for i := 0; i < len(want); i += size {
			if !bytes.Equal(got[i:i+size], want[i:i+size]) {
				t.Errorf("%s, packet %d differs", suite, i/size)
			}
		}
		for i := range pieces {
			if !bytes.Equal(pieces[i], before[i]) {
				t.Errorf("%s: piece %d was changed", suite, i)
			}
		}
	}
}

func TestSealBadPieces(t *testing.T) {
	send, _ := pair(t, AES128GCMSHA256)
	for name, change := range map[string]func(d *SealDesc){
		"no such piece":          func(d *SealDesc) { d.Piece = 3 },
		"a number out of range":  func(d *SealDesc) { d.Piece = MaxPieces + 1 },
		"offset past the end":    func(d *SealDesc) { d.PieceOff = 200 },
		"data past the end":      func(d *SealDesc) { d.PieceOff = 200 - (100 - testPNOff - 4 - Overhead - 10) + 1 },
		"no room for the prefix": func(d *SealDesc) { d.PieceOff = 9 },
		"prefix too long":        func(d *SealDesc) { d.Prefix = MaxPrefix + 1; d.PieceOff = 100 },
		"prefix past the end":    func(d *SealDesc) { d.Len, d.Prefix = 60, 60-testPNOff-4-Overhead+1 },
	} {
		buf := make([]byte, 100)
		fillPacket(buf, 0, 1)
		before := bytes.Clone(buf)
		d := sealDesc(0, 100, 0, 1)
		d.Piece, d.PieceOff, d.Prefix = 2, 20, 10
		change(&d)
		if send.Seal(buf, []SealDesc{d}, make([]byte, 1000), make([]byte, 200)) || !bytes.Equal(buf, before) {
			t.Errorf("%s: sealed", name)
		}
	}
	buf := make([]byte, 100)
	fillPacket(buf, 0, 1)
	if send.Seal(buf, []SealDesc{sealDesc(0, 100, 0, 1)}, make([][]byte, MaxPieces+1)...) {
		t.Error("sealed with too many pieces")
	}
}

// A long train of all slots at once, with gaps, out of order and one packet spoilt.
func TestTrain(t *testing.T) {
	send, recv := newKeys(t), newKeys(t)
	for s := Initial; s <= OneRTT; s++ {
		suite := suites[int(s)%len(suites)]
		secret := bytes.Repeat([]byte{byte(s) + 1}, suite.secretLen())
		if send.InstallWrite(s, suite, secret) != nil || recv.InstallRead(s, suite, secret) != nil {
			t.Fatal("install")
		}
	}
	const n, size = 200, 111
	buf := make([]byte, n*size)
	seal, open := make([]SealDesc, n), make([]OpenDesc, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i, j := range rng.Perm(n) {
		pn := int64(1000 + j)
		fillPacket(buf[j*size:(j+1)*size], 0, pn)
		seal[i] = sealDesc(j*size, size, 0, pn)
		seal[i].Slot = Slot(j % 4)
		if seal[i].Slot != OneRTT {
			buf[j*size] = 0xc3
		}
		open[j] = openDesc(j*size, size, 999)
		open[j].Slot = seal[i].Slot
	}
	if !send.Seal(buf, seal) {
		t.Fatal("Seal refused")
	}
	buf[77*size+60] ^= 1
	recv.Open(buf, open)
	for j, d := range open {
		if j == 77 {
			if d.Status != Failed {
				t.Errorf("the spoilt packet: %+v", d)
			}
			continue
		}
		if d.Status != Opened || d.PN != int64(1000+j) {
			t.Fatalf("packet %d: %+v", j, d)
		}
		if p := buf[j*size:]; binary.BigEndian.Uint32(p[testPNOff:]) != uint32(d.PN) || p[size-Overhead-1] != size-Overhead-1 {
			t.Fatalf("packet %d: plaintext differs", j)
		}
	}
}

// RFC 9000, appendix A.3, through Open: the sender truncates, the receiver knows the largest.
func TestPacketNumberDecoding(t *testing.T) {
	send, recv := pair(t, AES128GCMSHA256)
	for _, c := range []struct {
		largest, pn int64
		pnLen       uint8
	}{
		{0xa82f30ea, 0xa82f9b32, 2},
		{-1, 0, 1}, {-1, 127, 1}, {0, 128, 1}, {255, 256, 1}, {255, 130, 1}, {1000, 1000 - 126, 1}, {1000, 1001 + 127, 1},
		{1 << 32, 1<<32 + 1<<31, 4}, {1 << 32, 1<<32 - 1<<30, 4}, {1<<62 - 2, 1<<62 - 1, 4}, {1<<62 - 1, 1<<62 - 100, 1},
		{1<<62 - 1, 1<<62 - 1, 3},
	} {
		buf := make([]byte, 60)
		fillPacket(buf, 0, 0)
		buf[0] = 0x40 | (c.pnLen - 1)
		for i := range int(c.pnLen) {
			buf[testPNOff+i] = byte(c.pn >> (8 * (int(c.pnLen) - 1 - i)))
		}
		d := sealDesc(0, 60, 0, c.pn)
		d.PNLen = c.pnLen
		if !send.Seal(buf, []SealDesc{d}) {
			t.Fatal("Seal refused")
		}
		if got := openOne(recv, buf, c.largest); got.Status != Opened || got.PN != c.pn || got.PNLen != c.pnLen {
			t.Errorf("largest %d, %d in %d bytes: %+v", c.largest, c.pn, c.pnLen, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	packet := unhex(f, vectorClientPacket)
	f.Add(packet, uint32(0), uint32(1200), uint16(18), uint8(0), int64(-1))
	f.Add(unhex(f, vectorChaChaPacket), uint32(0), uint32(21), uint16(1), uint8(3), int64(654360563))
	f.Add([]byte{}, uint32(1<<32-1), uint32(1<<32-1), uint16(1<<16-1), uint8(255), int64(1<<62))
	k := newKeys(f)
	if k.InstallInitial(version1, unhex(f, vectorDCID), false) != nil ||
		k.InstallRead(OneRTT, ChaCha20Poly1305SHA256, unhex(f, vectorChaChaSecret)) != nil {
		f.Fatal("install")
	}
	f.Fuzz(func(t *testing.T, b []byte, off, n uint32, pnOff uint16, slot uint8, largest int64) {
		d := []OpenDesc{{Off: off, Len: n, PNOff: pnOff, Slot: Slot(slot), Largest: largest}}
		before := bytes.Clone(b)
		k.Open(b, d)
		if d[0].Status == Opened && int(pnOff)+int(d[0].PNLen)+Overhead > int(n) {
			t.Fatalf("%+v", d[0])
		}
		if d[0].Status >= NoKey && !bytes.Equal(b, before) {
			t.Fatal("touched")
		}
	})
}
