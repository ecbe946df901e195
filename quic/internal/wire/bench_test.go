package wire

import (
	"testing"

	"github.com/boringquic/boringquic/quic/internal/ranges"
)

// BenchmarkConsume measures the parsing of what a busy connection receives: headers, and the frames that fill packets.
func BenchmarkConsume(b *testing.B) {
	long, lengthOff, pnOff := AppendLongHeader(nil, Handshake, Version1, make([]byte, 8), make([]byte, 8), nil, 1, 2)
	long = append(long, make([]byte, 1000)...)
	PutVarint2(long[lengthOff:], uint64(len(long)-pnOff))
	acks := []ranges.Range{{Start: 10, End: 890}, {Start: 900, End: 990}, {Start: 1000, End: 1045}}
	ack, _ := AppendAck(nil, acks, 100, nil, 100)
	stream := append(AppendStreamHeader(nil, 4, 1<<20, 1400, false, false), make([]byte, 1400)...)
	scratch := make([]ranges.Range, 0, 16)
	for _, c := range []struct {
		name    string
		consume func() (n int)
	}{
		{"long header", func() int { _, n := ConsumeLongHeader(long); return n }},
		{"ACK", func() int { _, _, n := ConsumeAck(ack, scratch); return n }},
		{"STREAM", func() int { _, _, _, _, n := ConsumeStream(stream); return n }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.consume() <= 0 {
					b.Fatal("it was not parsed")
				}
			}
		})
	}
}
