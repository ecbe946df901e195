package protect_test

import (
	"testing"

	"github.com/boringquic/boringquic/crypto/internal/boring/alloctest"
	"github.com/boringquic/boringquic/crypto/protect"
)

// TestMemory bounds the C memory of the keys that a connection has after its handshake: 1-RTT keys of both directions and the next one for
// reading, of which those of header protection alone are left when it rests. TLS keeps nothing there at a server: see package handshake's TestMemory.
func TestMemory(t *testing.T) {
	const n, most, mostRested = 1000, 2560, 400
	keys := make([]*protect.Keys, n)
	before := alloctest.Live()
	for i := range keys {
		k := protect.NewKeys()
		keys[i] = k
		if err := k.InstallInitial(1, []byte("dcid-of-8"), false); err != nil {
			t.Fatal(err)
		}
		for _, s := range []protect.Slot{protect.Handshake, protect.OneRTT} {
			for _, install := range []func(protect.Slot, protect.Suite, []byte) error{k.InstallRead, k.InstallWrite} {
				if err := install(s, protect.AES256GCMSHA384, make([]byte, 48)); err != nil {
					t.Fatal(err)
				}
			}
		}
		k.Drop(protect.Initial)
		k.Drop(protect.Handshake)
	}
	per := (alloctest.Live() - before) / n
	t.Logf("%d bytes", per)
	if per > most {
		t.Errorf("the keys of an idle connection take %d bytes of C memory, more than %d", per, most)
	}
	if per < 600 {
		t.Errorf("%d bytes cannot be all: this test looks in the wrong place", per)
	}
	for _, k := range keys {
		k.Rest()
	}
	rested := (alloctest.Live() - before) / n
	t.Logf("%d bytes at rest", rested)
	if rested > mostRested {
		t.Errorf("the keys of a resting connection take %d bytes of C memory, more than %d", rested, mostRested)
	}
	for _, k := range keys {
		k.Release()
	}
	if left := alloctest.Live() - before; left > 0 { // below: what tests before left to the garbage collector
		t.Errorf("%d bytes are left after Release", left)
	}
}
