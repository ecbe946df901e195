//go:build !asan

package protect

import "testing"

// Under the address sanitizer what lives on the stack is moved to the heap, so this is for plain builds.
func TestAllocations(t *testing.T) {
	send, recv := pair(t, AES128GCMSHA256)
	buf, seal, open := train(8, 0)
	if n := testing.AllocsPerRun(100, func() {
		reseal(buf, 8)
		if !send.Seal(buf, seal) {
			t.Fatal("Seal refused")
		}
		recv.Open(buf, open)
		if open[7].Status != Opened {
			t.Fatal("not opened")
		}
	}); n != 0 {
		t.Errorf("%v allocations a train", n)
	}
	// Descriptors and buffer may live on the stack.
	if n := testing.AllocsPerRun(100, func() {
		var packet [64]byte
		fillPacket(packet[:], 0, 1)
		d := [1]SealDesc{sealDesc(0, len(packet), 0, 1)}
		if !send.Seal(packet[:], d[:]) {
			t.Fatal("Seal refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations for a packet on the stack", n)
	}
}
