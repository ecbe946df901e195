package quic

import (
	"io"
	"testing"
	"testing/iotest"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// sendAhead has the server fill its window with packets of a stream that nobody receives, and returns the numbers of the first
// and of the next one.
func (p *pair) sendAhead(id uint64, scratch []byte) (first, next int64) {
	p.t.Helper()
	first = p.server.loss.NextPN(recovery.AppSpace)
	for {
		if n, err := p.server.StreamSend(id, scratch, false); err != nil || n < len(scratch) {
			break
		}
	}
	for p.server.Send(p.now, p.buf).N > 0 || p.server.sending.paceAt > 0 {
		p.now = p.now.Add(1e6)
	}
	return first, p.server.loss.NextPN(recovery.AppSpace)
}

// BenchmarkHandleAck measures ACK frames of 45 packets that hold data of one stream; an operation is one packet.
func BenchmarkHandleAck(b *testing.B) {
	p := newPair(b, func(client, server *Config) {
		fullFrames(client, server)
		client.ReceiveWindow, client.StreamReceiveWindow, server.StreamSendBuffer = 1<<50, 1<<50, 1<<30
	})
	id, scratch := p.openStream(), make([]byte, 64<<10)
	p.move(id, 64<<20, scratch)                  // so that the window is large
	p.server.cfg.Rand = iotest.ErrReader(io.EOF) // so that no packet number is left out
	var frame []byte
	in := inPacket{slot: protect.OneRTT, space: recovery.AppSpace, path: p.server.path}
	b.ReportAllocs()
	for done := 0; done < b.N; {
		b.StopTimer()
		first, next := p.sendAhead(id, scratch)
		now := p.server.clock.now
		b.StartTimer()
		for end := first; end < next; {
			end = min(end+45, next)
			now += 1e5
			in.now = now
			frame, _ = wire.AppendAck(frame[:0], []ranges.Range{{Start: first, End: end}}, 0, nil, 100)
			if n, err := p.server.handleAck(&in, frame); n != len(frame) || err != nil {
				b.Fatal(n, err)
			}
		}
		done += int(next - first)
	}
}
