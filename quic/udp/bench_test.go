package udp

import (
	"fmt"
	"testing"
)

// BenchmarkTrain sends a train over the loopback interface and receives it, both in one goroutine.
func BenchmarkTrain(b *testing.B) {
	for _, o := range []Options{{}, {NoGRO: true}, {NoGSO: true, NoGRO: true}} {
		for _, segments := range []int{1, 10, 44} {
			b.Run(fmt.Sprintf("segments=%d/gso=%v/gro=%v", segments, !o.NoGSO, !o.NoGRO), func(b *testing.B) {
				benchmarkTrain(b, o, segments)
			})
		}
	}
}

func benchmarkTrain(b *testing.B, o Options, segments int) {
	from, to := open(b, "udp4", "127.0.0.1:0", o), open(b, "udp4", "127.0.0.1:0", o)
	out := []Train{{Buf: pattern(segments * 1472), SegSize: 1472, Remote: to.LocalAddr(), ECN: 2}}
	in := buffers(8)
	b.SetBytes(int64(len(out[0].Buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := from.Send(out); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < len(out[0].Buf); {
			n, err := to.Recv(in)
			if err != nil {
				b.Fatal(err)
			}
			for i := range in[:n] {
				got += len(in[i].Buf)
			}
		}
	}
}

// BenchmarkSend sends trains to several peers in one call.
func BenchmarkSend(b *testing.B) {
	from := open(b, "udp4", "127.0.0.1:0", Options{})
	const peers = 32
	var out [peers]Train
	for i := range out {
		to := open(b, "udp4", "127.0.0.1:0", Options{ReadBuffer: -1})
		out[i] = Train{Buf: pattern(1200), Remote: to.LocalAddr()}
	}
	b.Run("together", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			from.Send(out[:])
		}
	})
	b.Run("one by one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for i := range out {
				from.Send(out[i : i+1])
			}
		}
	})
}
