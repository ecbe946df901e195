package quic

import (
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// wide is a configuration under which neither flow control nor the limit on streams holds anything back.
func wide(client, server *Config) {
	fullFrames(client, server)
	client.ReceiveWindow, client.StreamReceiveWindow, client.MaxStreamsUni = 1<<50, 1<<50, 1<<20
}

// BenchmarkPack measures what it takes to fill trains with packets of stream data, from the scheduler of the streams to the record of
// what was sent, and without their encryption. An operation is a packet.
//
// With one stream the packets are full; with more, each has written 100 bytes, so that it is the scheduler's turn as often as it can be.
func BenchmarkPack(b *testing.B) {
	for _, streams := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) { benchmarkPack(b, streams) })
	}
}

func benchmarkPack(b *testing.B, streams int) {
	p := newPair(b, wide)
	p.move(p.openStream(), 64<<20, make([]byte, 64<<10)) // so that the window is large
	p.server.cfg.Rand = iotest.ErrReader(io.EOF)         // so that no packet number is left out
	data := make([]byte, maxUnsent)
	if streams > 1 {
		data = data[:100]
	}
	ids := make([]uint64, streams)
	for i := range ids {
		var err error
		if ids[i], err = p.server.OpenUniStream(); err != nil {
			b.Fatal(err)
		}
	}
	var t outTrain
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		b.StopTimer()
		first := p.server.loss.NextPN(recovery.AppSpace)
		for _, id := range ids {
			if _, err := p.server.StreamSend(id, data, false); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for more := true; more; more = t.n > 0 {
			p.now = p.now.Add(time.Millisecond) // past all pacing
			t = outTrain{now: p.server.clock.read(p.now), buf: p.buf[:0], path: p.server.path}
			p.server.packTrain(&t)
			done += t.n
		}
		b.StopTimer()
		p.acknowledge(first)
		b.StartTimer()
	}
}

// acknowledge has the server believe that the client acknowledges all packets from a number on.
func (p *pair) acknowledge(first int64) {
	p.t.Helper()
	in := inPacket{slot: protect.OneRTT, space: recovery.AppSpace, path: p.server.path, now: p.server.clock.now}
	frame, _ := wire.AppendAck(nil, []ranges.Range{{Start: first, End: p.server.loss.NextPN(recovery.AppSpace)}}, 0, nil, 100)
	if n, err := p.server.handleAck(&in, frame); n != len(frame) || err != nil {
		p.t.Fatal(n, err)
	}
}

// BenchmarkReassembly measures how received data of a stream are put in order and read: pieces of 1,400 bytes, 40 in a row, that come
// in order, in the reverse order, and every other one late. An operation is a piece.
func BenchmarkReassembly(b *testing.B) {
	const size, batch = 1400, 40
	orders := map[string]func(i int) int{
		"in order": func(i int) int { return i },
		"reverse":  func(i int) int { return batch - 1 - i },
		"gaps":     func(i int) int { return i*2%batch + i*2/batch },
	}
	for name, order := range orders {
		b.Run(name, func(b *testing.B) {
			p := newPair(b, wide)
			id := p.openStream()
			st, off := &p.client.streams, uint64(1)
			data, buf := make([]byte, size), make([]byte, size*batch)
			b.SetBytes(size)
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += batch {
				for i := range batch {
					if err := st.handleStream(0, id, off+uint64(order(i)*size), data, false); err != nil {
						b.Fatal(err)
					}
				}
				if n, _, err := st.recv(0, id, buf); n != len(buf) || err != nil {
					b.Fatal(n, err)
				}
				for ev := (Event{Kind: 1}); ev.Kind != 0; {
					ev = Event{}
					st.nextEvent(&ev)
				}
				off += uint64(len(buf))
			}
		})
	}
}
