package protect_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/boringquic/boringquic/crypto/internal/boring"
	"github.com/boringquic/boringquic/crypto/internal/boring/alloctest"
	"github.com/boringquic/boringquic/crypto/protect"
)

// Whichever allocation fails, alone or with all that follow, keys are as before or as they should be, never between, and nothing is
// lost.
func TestAllocationFails(t *testing.T) {
	runtime.LockOSThread() // each thread has an error queue of its own
	defer runtime.UnlockOSThread()
	for _, suite := range []protect.Suite{protect.AES128GCMSHA256, protect.AES256GCMSHA384, protect.ChaCha20Poly1305SHA256} {
		t.Run(suite.String(), func(t *testing.T) {
			secret := bytes.Repeat([]byte{1}, 32)
			if suite == protect.AES256GCMSHA384 {
				secret = bytes.Repeat([]byte{1}, 48)
			}
			live, keys := alloctest.Live(), boring.PacketKeysLive()
			first := alloctest.Count()
			n := int64(1)
			for i := int64(0); i <= n; i++ {
				for _, more := range []bool{false, true} {
					alloctest.FailAt(i, more)
					life(t, suite, secret)
					alloctest.FailAt(0, false)
					if i == 0 {
						n = (alloctest.Count() - first)
					}
				}
			}
			if n < 20 {
				t.Errorf("%d allocations: this test looks in the wrong place", n)
			}
			if got := boring.PacketKeysLive(); got != keys {
				t.Errorf("%d keys are left, %d before", got, keys)
			}
			if got := alloctest.Live(); got > live {
				t.Errorf("%d bytes are left, %d before", got, live)
			}
		})
	}
}

// life runs the keys of two ends through what a connection does with them. Each step that fails is taken again without a fault, and must
// have changed nothing.
func life(t *testing.T, suite protect.Suite, secret []byte) {
	t.Helper()
	a, b := protect.NewKeys(), protect.NewKeys()
	defer a.Release()
	defer b.Release()
	again := func(name string, step func() error) bool {
		if step() == nil {
			return true
		}
		alloctest.FailAt(0, false)
		if err := step(); err != nil {
			t.Errorf("%s: once more: %v", name, err)
			return false
		}
		return true
	}
	if !a.Live() || !b.Live() {
		// Out of memory at the start: all that follows must say so.
		for _, k := range []*protect.Keys{a, b} {
			if !k.Live() && (k.InstallRead(protect.OneRTT, suite, secret) == nil || k.HasRead(protect.OneRTT)) {
				t.Error("keys without memory")
			}
		}
		return
	}
	again("Initial", func() error { return a.InstallInitial(1, []byte("dcid-of-8"), true) })
	again("Initial", func() error { return b.InstallInitial(1, []byte("dcid-of-8"), false) })
	exchange(t, a, b, protect.Initial, 0)
	again("write", func() error { return a.InstallWrite(protect.OneRTT, suite, secret) })
	again("read", func() error { return b.InstallRead(protect.OneRTT, suite, secret) })
	exchange(t, a, b, protect.OneRTT, 1)
	for i := range 2 {
		a.Rest()
		b.Rest()
		again("wake", func() error { return opens(a, b, int64(64+i)) })
		a.Rest()
		again("advance write", a.AdvanceWrite)
		b.Rest()
		again("wake", func() error { return opens(a, b, int64(66+i)) })
		exchange(t, a, b, protect.OneRTT, int64(2+2*i))
		b.Rest()
		again("advance read", func() error { return b.AdvanceRead(int64(2 + 2*i)) })
		exchange(t, a, b, protect.OneRTT, int64(3+2*i))
	}
	if a.WriteGen() != 2 || b.ReadGen() != 2 {
		t.Errorf("generations %d and %d, want 2", a.WriteGen(), b.ReadGen())
	}
}

// opens tells whether b can open a packet of a; if not, that is for want of a key.
func opens(a, b *protect.Keys, pn int64) error {
	const size, pnOff = 60, 9
	buf := make([]byte, size)
	buf[0], buf[pnOff+3] = 0x43|byte(a.WriteGen()&1)<<2, byte(pn)
	if !a.Seal(buf, []protect.SealDesc{{Len: size, PNOff: pnOff, PNLen: 4, PN: pn, Slot: protect.OneRTT, Gen: a.WriteGen()}}) {
		return errors.New("Seal failed")
	}
	open := []protect.OpenDesc{{Len: size, PNOff: pnOff, Slot: protect.OneRTT, Largest: pn - 1}}
	sealed := bytes.Clone(buf)
	switch b.Open(buf, open); {
	case open[0].Status == protect.Opened && open[0].PN == pn && open[0].Gen == a.WriteGen():
		return nil
	case open[0].Status == protect.NoKey && bytes.Equal(buf, sealed):
		return errors.New("no key")
	}
	panic(fmt.Sprintf("%+v", open[0]))
}

// exchange seals a train of eight packets, of which more than one mask is made at once, and opens it.
func exchange(t *testing.T, a, b *protect.Keys, slot protect.Slot, pn int64) {
	t.Helper()
	const n, size, pnOff = 8, 60, 9
	buf := make([]byte, n*size)
	var seal []protect.SealDesc
	var open []protect.OpenDesc
	gen := uint32(0)
	if slot == protect.OneRTT {
		gen = a.WriteGen()
	}
	for i := range n {
		p := buf[i*size:]
		if p[0] = 0x43 | byte(gen&1)<<2; slot == protect.Initial {
			p[0] = 0xc3
		}
		p[pnOff+2], p[pnOff+3] = byte(pn), byte(i)
		seal = append(seal, protect.SealDesc{Off: uint32(i * size), Len: size, PNOff: pnOff, PNLen: 4, PN: pn<<8 + int64(i), Slot: slot, Gen: gen})
		open = append(open, protect.OpenDesc{Off: uint32(i * size), Len: size, PNOff: pnOff, Slot: slot, Largest: pn<<8 - 1})
	}
	if !a.Seal(buf, seal) {
		t.Error("Seal failed") // it allocates nothing that it cannot do without
		return
	}
	b.Open(buf, open)
	for i := range open {
		if open[i].Status != protect.Opened || open[i].PN != pn<<8+int64(i) {
			t.Errorf("slot %d, packet %d: %+v", slot, i, open[i])
			return
		}
	}
}
