package quic

import (
	"bytes"
	"crypto/tls"
	"math/rand/v2"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// StreamTake and StreamRecv in any mixture yield the stream's bytes in order, whatever is lost and reordered meanwhile, and
// pieces that were given back carry later bytes.
func TestStreamTake(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var st streams
	cfg, err := (&Config{TLS: &tls.Config{NextProtos: []string{"test"}}}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	st.init(false, cfg)
	const size = 400_000
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	var got []byte
	var pieces [3]Piece
	buf := make([]byte, 30_000)
	taken, fin := 0, false
	for off := 0; !fin; {
		for range 1 + random.IntN(40) { // a window of segments, in any order, some twice
			start := min(off+random.IntN(40)*1000, size)
			end := min(start+1000, size)
			if err := st.handleStream(0, 0, uint64(start), data[start:end], end == size); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		if random.IntN(4) > 0 {
			if n, fin, err = st.take(0, 0, pieces[:]); err != nil {
				t.Fatal(err)
			}
			for _, p := range pieces[:n] {
				got = append(got, p.Bytes()...)
				taken++
				clear(p.Bytes())
				st.pool.put(p.chunk)
			}
			clear(pieces[:])
		}
		if n == 0 && !fin {
			if n, fin, err = st.recv(0, 0, buf[:random.IntN(len(buf))]); err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
		off = len(got) / 1000 * 1000
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("%d bytes were read, not the %d received", len(got), size)
	}
	if taken < 5 {
		t.Errorf("only %d pieces were taken", taken)
	}
	if st.gaps != 0 || st.recvWindow.consumed != size {
		t.Errorf("%d gaps are counted and %d bytes consumed, want 0 and %d", st.gaps, st.recvWindow.consumed, size)
	}
}

// A reset is told by StreamTake as by StreamRecv.
func TestStreamTakeReset(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, frame(wire.FrameResetStream, 0, 7, 0))
	_, _, err := p.conn.StreamTake(0, make([]Piece, 1))
	if e, ok := err.(*StreamError); !ok || e.Code != 7 || !e.Remote {
		t.Errorf("StreamTake returned %v, want the peer's reset with code 7", err)
	}
}
