package protect

import (
	"bytes"
	"crypto"
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

var suites = []Suite{AES128GCMSHA256, AES256GCMSHA384, ChaCha20Poly1305SHA256}

// pair returns the 1-RTT keys of a sender and a receiver.
func pair(t testing.TB, suite Suite) (send, recv *Keys) {
	t.Helper()
	send, recv = newKeys(t), newKeys(t)
	secret := bytes.Repeat([]byte{0x5a}, suite.secretLen())
	if err := send.InstallWrite(OneRTT, suite, secret); err != nil {
		t.Fatal(err)
	}
	if err := recv.InstallRead(OneRTT, suite, secret); err != nil {
		t.Fatal(err)
	}
	return send, recv
}

const testPNOff = 9 // a short header with a connection ID of 8 bytes

// sealOne returns one protected 1-RTT packet of size bytes with 4 bytes of packet number.
func sealOne(t testing.TB, k *Keys, pn int64, size int) []byte {
	t.Helper()
	buf := make([]byte, size)
	fillPacket(buf, k.WriteGen(), pn)
	if !k.Seal(buf, []SealDesc{sealDesc(0, size, k.WriteGen(), pn)}) {
		t.Fatal("Seal refused")
	}
	return buf
}

func fillPacket(p []byte, gen uint32, pn int64) {
	p[0] = 0x43 | byte(gen&1)<<2
	for i := 1; i < len(p); i++ {
		p[i] = byte(i)
	}
	for i := range 4 {
		p[testPNOff+i] = byte(pn >> (24 - 8*i))
	}
}

func sealDesc(off, size int, gen uint32, pn int64) SealDesc {
	return SealDesc{Off: uint32(off), Len: uint32(size), PNOff: testPNOff, PNLen: 4, PN: pn, Slot: OneRTT, Gen: gen}
}

func openDesc(off, size int, largest int64) OpenDesc {
	return OpenDesc{Off: uint32(off), Len: uint32(size), PNOff: testPNOff, Largest: largest, Slot: OneRTT}
}

func openOne(k *Keys, packet []byte, largest int64) OpenDesc {
	d := []OpenDesc{openDesc(0, len(packet), largest)}
	k.Open(bytes.Clone(packet), d)
	return d[0]
}

func TestDescriptorLayout(t *testing.T) {
	var o OpenDesc
	var s SealDesc
	wantOpen, wantSeal := boring.DescLayouts()
	open := []uintptr{
		unsafe.Offsetof(o.Largest), unsafe.Offsetof(o.PN), unsafe.Offsetof(o.Off), unsafe.Offsetof(o.Len),
		unsafe.Offsetof(o.PathID), unsafe.Offsetof(o.Gen), unsafe.Offsetof(o.PNOff), unsafe.Offsetof(o.Slot),
		unsafe.Offsetof(o.Status), unsafe.Offsetof(o.PNLen), unsafe.Offsetof(o.First), unsafe.Sizeof(o),
	}
	seal := []uintptr{
		unsafe.Offsetof(s.PN), unsafe.Offsetof(s.Off), unsafe.Offsetof(s.Len), unsafe.Offsetof(s.PathID),
		unsafe.Offsetof(s.Gen), unsafe.Offsetof(s.PNOff), unsafe.Offsetof(s.Slot), unsafe.Offsetof(s.PNLen),
		unsafe.Offsetof(s.PieceOff), unsafe.Offsetof(s.Piece), unsafe.Offsetof(s.Prefix), unsafe.Sizeof(s),
	}
	for i := range open {
		if open[i] != wantOpen[i] {
			t.Errorf("OpenDesc, place %d: %d in Go, %d in C", i, open[i], wantOpen[i])
		}
	}
	for i := range seal {
		if seal[i] != wantSeal[i] {
			t.Errorf("SealDesc, place %d: %d in Go, %d in C", i, seal[i], wantSeal[i])
		}
	}
}

// RFC 9001, sections 6.1 to 6.5, as one story.
func TestKeyUpdate(t *testing.T) {
	for _, suite := range suites {
		t.Run(suite.String(), func(t *testing.T) {
			send, recv := pair(t, suite)
			old := sealOne(t, send, 7, 100)
			late := sealOne(t, send, 9, 100)
			for range 3 {
				if err := send.AdvanceWrite(); err != nil {
					t.Fatal(err)
				}
				first := sealOne(t, send, 10, 100)
				// Open commits nothing: the same packet opens again and again under the next generation.
				for range 2 {
					if d := openOne(recv, first, 9); d.Status != Opened || d.Gen != recv.ReadGen()+1 || d.PN != 10 {
						t.Fatalf("first packet of the next generation: %+v", d)
					}
				}
				if d := openOne(recv, old, 9); d.Status != Opened || d.Gen != recv.ReadGen() {
					t.Fatalf("old packet before the update: %+v", d)
				}
				if err := recv.AdvanceRead(10); err != nil {
					t.Fatal(err)
				}
				if d := openOne(recv, first, 9); d.Status != Opened || d.Gen != recv.ReadGen() {
					t.Fatalf("new packet after the update: %+v", d)
				}
				if d := openOne(recv, late, 10); d.Status != Opened || d.Gen != recv.ReadGen()-1 || d.PN != 9 {
					t.Fatalf("late packet of the old generation: %+v", d)
				}
				recv.DropPrevious()
				if d := openOne(recv, late, 10); d.Status != Failed {
					t.Fatalf("late packet without the previous key: %+v", d)
				}
				old = sealOne(t, send, 7, 100)
				late = sealOne(t, send, 9, 100)
			}
			if send.WriteGen() != 3 || recv.ReadGen() != 3 {
				t.Errorf("generations %d and %d, want 3", send.WriteGen(), recv.ReadGen())
			}
		})
	}
}

// RFC 9001, section 9.5: a forged packet must not tell by the time that it takes which key its phase and number stood for.
// One for a key that is gone is worked through like any other, as its cleared payload shows.
func TestForgedForDroppedKey(t *testing.T) {
	for _, suite := range suites {
		send, recv := pair(t, suite)
		var forged [][]byte
		for range 3 {
			forged = append(forged, sealOne(t, send, 9, 100), sealOne(t, send, 11, 100))
			if err := errors.Join(send.AdvanceWrite(), recv.AdvanceRead(10)); err != nil {
				t.Fatal(err)
			}
			recv.DropPrevious()
		}
		for i, packet := range forged {
			packet[len(packet)-1] ^= 1 // so that the one of the current key fails too
			tail := bytes.Clone(packet[len(packet)-Overhead:])
			d := []OpenDesc{openDesc(0, len(packet), 10)}
			recv.Open(packet, d)
			payload := packet[testPNOff+4 : len(packet)-Overhead]
			if d[0].Status != Failed || !bytes.Equal(payload, make([]byte, len(payload))) ||
				!bytes.Equal(packet[len(packet)-Overhead:], tail) {
				t.Errorf("%s, packet %d: %+v, %x", suite, i, d[0], packet)
			}
		}
	}
}

func TestSealNeedsCurrentGeneration(t *testing.T) {
	send, _ := pair(t, AES128GCMSHA256)
	buf := make([]byte, 100)
	fillPacket(buf, 1, 0)
	before := bytes.Clone(buf)
	for _, gen := range []uint32{1, 2, 1<<32 - 1} {
		if send.Seal(buf, []SealDesc{sealDesc(0, 100, gen, 0)}) {
			t.Errorf("sealed with generation %d", gen)
		}
	}
	if !bytes.Equal(buf, before) {
		t.Error("a refused Seal changed the packet")
	}
}

func TestInstallErrors(t *testing.T) {
	k := newKeys(t)
	for _, c := range []struct {
		name  string
		slot  Slot
		suite Suite
		len   int
	}{
		{"unknown suite", OneRTT, 0x1304, 32},
		{"secret too short", OneRTT, AES128GCMSHA256, 31},
		{"secret too long", OneRTT, AES128GCMSHA256, 48},
		{"secret of the wrong hash", OneRTT, AES256GCMSHA384, 32},
		{"no secret", Handshake, ChaCha20Poly1305SHA256, 0},
		{"no such slot", 4, AES128GCMSHA256, 32},
	} {
		if k.InstallRead(c.slot, c.suite, make([]byte, c.len)) == nil {
			t.Errorf("%s: InstallRead took it", c.name)
		}
		if k.InstallWrite(c.slot, c.suite, make([]byte, c.len)) == nil {
			t.Errorf("%s: InstallWrite took it", c.name)
		}
	}
	if k.InstallInitial(version1, make([]byte, 21), true) == nil || k.InstallInitial(2, nil, true) == nil {
		t.Error("InstallInitial took a long connection ID or another version")
	}
	if k.AdvanceRead(0) == nil || k.AdvanceWrite() == nil {
		t.Error("a key update without keys")
	}
	for s := Initial; s <= 5; s++ {
		if k.HasRead(s) || k.HasWrite(s) {
			t.Errorf("slot %d has a key", s)
		}
	}
}

func TestExpandLabelLimits(t *testing.T) {
	secret := make([]byte, 32)
	if ExpandLabel(crypto.MD5, secret, "x", nil, 16) != nil || ExpandLabel(crypto.SHA256, secret, "x", nil, -1) != nil ||
		ExpandLabel(crypto.SHA256, secret, "x", nil, 255*32+1) != nil ||
		ExpandLabel(crypto.SHA256, secret, string(make([]byte, 250)), nil, 16) != nil ||
		ExpandLabel(crypto.SHA256, secret, "x", make([]byte, 256), 16) != nil {
		t.Error("ExpandLabel took what it cannot")
	}
	if len(ExpandLabel(crypto.SHA384, secret, string(make([]byte, 249)), make([]byte, 255), 255*48)) != 255*48 {
		t.Error("ExpandLabel refused the largest that it can")
	}
}

func TestDropAndReplace(t *testing.T) {
	k := newKeys(t)
	for range 3 { // Initial keys are replaced after Retry
		if err := k.InstallInitial(version1, []byte{1, 2, 3, 4, 5, 6, 7, 8}, true); err != nil {
			t.Fatal(err)
		}
	}
	if !k.HasRead(Initial) || !k.HasWrite(Initial) || k.Suite(Initial) != AES128GCMSHA256 {
		t.Error("no Initial keys")
	}
	k.Drop(Initial)
	k.Drop(Initial)
	k.Drop(9)
	if k.HasRead(Initial) || k.HasWrite(Initial) {
		t.Error("Initial keys after Drop")
	}
	d := []OpenDesc{{Len: 100, PNOff: 18}}
	if k.Open(make([]byte, 100), d); d[0].Status != NoKey {
		t.Errorf("status %d without a key", d[0].Status)
	}
}

// Rest frees the 1-RTT keys. They are there again for the next packet, of whichever generation, and with them all that could be done before.
func TestRest(t *testing.T) {
	for _, suite := range suites {
		for _, labels := range []uint32{version1, version2} {
			send, recv := newKeys(t), newKeys(t)
			secret := bytes.Repeat([]byte{0x5a}, suite.secretLen())
			if errors.Join(send.SetVersion(labels), recv.SetVersion(labels), send.InstallWrite(OneRTT, suite, secret), recv.InstallRead(OneRTT, suite, secret)) != nil {
				t.Fatal("install")
			}
			recv.Rest()
			live := boring.PacketKeysLive()
			for gen := range uint32(4) {
				pn := int64(10 * gen)
				current := sealOne(t, send, pn, 100)
				send.Rest()
				if again := sealOne(t, send, pn, 100); !bytes.Equal(again, current) {
					t.Fatalf("%v, generation %d: after a rest a packet is sealed with another key", suite, gen)
				}
				send.Rest()
				if err := send.AdvanceWrite(); err != nil {
					t.Fatal(err)
				}
				next := sealOne(t, send, pn+5, 100)
				forged := bytes.Clone(next)
				forged[99]++
				for _, first := range []struct {
					packet []byte
					status OpenStatus
					gen    uint32
				}{{current, Opened, gen}, {next, Opened, gen + 1}, {forged, Failed, gen + 1}, {current[:10], TooShort, 0}} {
					recv.Rest()
					recv.Rest()
					if n := boring.PacketKeysLive(); n != live {
						t.Fatalf("%d pieces of C memory at rest, %d before", n, live)
					}
					if d := openOne(recv, first.packet, pn-1); d.Status != first.status || d.Gen != first.gen {
						t.Fatalf("%v, first packet after a rest: %+v, want status %d of generation %d", suite, d, first.status, first.gen)
					}
					if n := boring.PacketKeysLive(); n != live+2 {
						t.Fatalf("%d pieces of C memory after it, want %d", n, live+2)
					}
				}
				recv.Rest()
				if err := recv.AdvanceRead(pn + 5); err != nil || recv.ReadGen() != gen+1 {
					t.Fatalf("AdvanceRead at rest: %v", err)
				}
				recv.Rest()
				if d := openOne(recv, current, pn+5); d.Status != Opened || d.Gen != gen {
					t.Fatalf("a late packet of the previous key after a rest: %+v", d)
				}
				recv.DropPrevious()
				recv.Rest()
			}
			recv.Drop(OneRTT)
			if d := openOne(recv, make([]byte, 100), 0); d.Status != NoKey {
				t.Errorf("after Drop: %+v", d)
			}
			recv.Rest()
			recv.Release()
			recv.Rest()
			send.Release()
		}
	}
}

// All C memory goes, once, by Release or by the garbage collector.
func TestMemory(t *testing.T) {
	runtime.GC()
	use := func() *Keys {
		k := NewKeys()
		secret := make([]byte, 32)
		for s := Initial; s <= OneRTT; s++ {
			for range 2 {
				if k.InstallRead(s, AES128GCMSHA256, secret) != nil || k.InstallWrite(s, AES128GCMSHA256, secret) != nil {
					t.Fatal("install")
				}
			}
		}
		for range 3 {
			if k.AdvanceRead(1) != nil || k.AdvanceWrite() != nil {
				t.Fatal("update")
			}
		}
		return k
	}
	base := boring.PacketKeysLive()
	k := use()
	if n := boring.PacketKeysLive() - base; n != 1+4*4+2 {
		t.Errorf("%d pieces of C memory, want 19", n)
	}
	k.Drop(Initial)
	k.Drop(Handshake)
	k.Drop(ZeroRTT)
	k.DropPrevious()
	if n := boring.PacketKeysLive() - base; n != 1+4+1 {
		t.Errorf("%d pieces of C memory in an idle connection, want 6", n)
	}
	k.Release()
	k.Release()
	if n := boring.PacketKeysLive() - base; n != 0 {
		t.Errorf("%d pieces of C memory after Release", n)
	}
	if k.InstallRead(OneRTT, AES128GCMSHA256, make([]byte, 32)) == nil || k.InstallInitial(version1, nil, true) == nil ||
		k.AdvanceRead(1) == nil || k.AdvanceWrite() == nil || k.HasRead(OneRTT) {
		t.Error("a released Keys still works")
	}
	k.Drop(OneRTT)
	k.DropPrevious()
	buf := make([]byte, 100)
	fillPacket(buf, 0, 0)
	d := []OpenDesc{openDesc(0, 100, -1)}
	if k.Open(buf, d); d[0].Status != NoKey || k.Seal(buf, []SealDesc{sealDesc(0, 100, 0, 0)}) {
		t.Error("a released Keys opens or seals")
	}

	use() // left to the garbage collector
	for range 1000 {
		if boring.PacketKeysLive() == base {
			return
		}
		runtime.GC()
		runtime.Gosched()
	}
	t.Errorf("%d pieces of C memory after garbage collection", boring.PacketKeysLive()-base)
}
