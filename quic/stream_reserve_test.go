package quic

import "testing"

// StreamReserve is what StreamSend takes at least, whatever other streams have written and want.
func TestStreamReserve(t *testing.T) {
	a := newAlone(t, nil)
	a.run()
	c := a.client
	want := func(id uint64, n int) {
		t.Helper()
		if got := c.StreamReserve(id); got != n {
			t.Errorf("stream %d: %d bytes, want %d", id, got, n)
		}
	}
	want(0, littleUnsent) // it is opened by what is written
	want(1, 0)            // the server's, which is not open
	want(3, 0)            // which only the server writes to
	send := func(id uint64, n int, fin bool) (took int) {
		took, err := c.StreamSend(id, make([]byte, n), fin)
		if err != nil {
			t.Fatal(err)
		}
		return took
	}
	send(0, 1000, false)
	want(0, littleUnsent-1000)
	send(0, littleUnsent, false)
	want(0, 0)
	for id := uint64(4); send(id, 1<<20, false) > 0; id += 4 { // until all of what streams share is taken, and others wait
	}
	send(2, 1000, false)
	want(2, littleUnsent-1000)
	if n := send(2, c.StreamReserve(2), true); n != littleUnsent-1000 {
		t.Errorf("%d bytes were taken of what is taken in any case", n)
	}
	want(2, 0)
	c.Close(a.now, true, 0, "")
	want(6, 0)
}
