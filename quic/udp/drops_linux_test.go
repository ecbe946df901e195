package udp

import "testing"

// What the kernel drops of a socket that nobody reads is counted, also once the socket is closed.
func TestOverflowed(t *testing.T) {
	to, err := Listen("udp4", "127.0.0.1:0", Options{ReadBuffer: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	from, err := Listen("udp4", "127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if n := to.Stats().Overflowed; n != 0 {
		t.Errorf("%d datagrams are lost before any was sent", n)
	}
	train := []Train{{Buf: make([]byte, 1200), Remote: to.LocalAddr()}}
	const most = 100000 // far more than the usual buffer of 208 KiB holds
	for i := 0; to.Stats().Overflowed == 0; i++ {
		if i == most {
			t.Fatalf("nothing overflowed after %d datagrams", most)
		}
		if err := from.Send(train); err != nil {
			t.Fatal(err)
		}
	}
	to.Close()
	if to.Stats().Overflowed == 0 {
		t.Error("the count is gone with the socket")
	}
	var sum Stats
	sum.Add(to.Stats())
	sum.Add(from.Stats())
	if sum.Sent != from.Stats().Sent || sum.Overflowed != to.Stats().Overflowed {
		t.Errorf("in sum %+v", sum)
	}
}
