package recovery

import (
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// BenchmarkSparseAcks is the cost of acknowledgements that leave out every second packet, each in 64 ranges, for flights of
// different sizes: a packet must not cost more in a larger flight.
func BenchmarkSparseAcks(b *testing.B) {
	for _, flight := range []int{1 << 10, 1 << 12, 1 << 14} {
		b.Run(fmt.Sprint(flight), func(b *testing.B) {
			for range b.N {
				r := rig{path: NewPath(&recorder{window: 1 << 40}, time.Second, datagram), now: 10_000 * ms}
				r.l.AddPath(&r.path)
				r.l.Init(false)
				r.l.SetHandshakeConfirmed()
				for range flight {
					r.l.onPacketSent(r.now, AppSpace, eliciting, nil, &r.path)
				}
				for end := int64(128); end <= int64(flight); end += 128 {
					var acks []ranges.Range
					for pn := end - 1; pn >= end-128; pn -= 2 {
						acks = append(acks, ranges.Range{Start: pn, End: pn + 1})
					}
					if err := r.l.OnAck(r.now, AppSpace, acks, 0, nil, &r.path, &r); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*flight), "ns/packet")
		})
	}
}
