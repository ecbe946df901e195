package quic

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// train is one under way.
type flyingTrain struct {
	at   time.Time
	to   *Conn
	buf  []byte
	what Transmit
}

// download has the server send size bytes on one stream to a client that is delay away, and reads all that a train brought at once. It
// returns how long that takes, from the first byte that is written.
func (p *pair) download(size int, delay time.Duration) time.Duration {
	p.t.Helper()
	var flying []flyingTrain
	var start time.Time
	id, written, read := uint64(0), 0, 0
	scratch := make([]byte, 1<<20)
	write := func() {
		n, err := p.server.StreamSend(id, scratch[:min(size-written, len(scratch))], written+len(scratch) >= size)
		p.must(err)
		written += n
	}
	for read < size {
		for _, c := range []*Conn{p.client, p.server} {
			for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
				switch ev.Kind {
				case EventAsk:
					ev.Ask.Run()
					c.Answer(ev.Ask)
				case EventWritable:
					write()
				case EventReadable:
					n, _, err := c.StreamRecv(ev.Stream, scratch)
					p.must(err)
					read += n
				}
			}
			if c == p.server && start.IsZero() && p.client.IsEstablished() && c.IsEstablished() {
				var err error
				id, err = c.OpenUniStream()
				p.must(err)
				start = p.now
				write()
			}
			to := p.server
			if c == p.server {
				to = p.client
			}
			for out := c.Send(p.now, p.buf); out.N > 0; out = c.Send(p.now, p.buf) {
				flying = append(flying, flyingTrain{p.now.Add(delay), to, append([]byte(nil), p.buf[:out.N]...), out})
			}
		}
		next := time.Time{}
		for _, c := range []*Conn{p.client, p.server} {
			if at, ok := c.Timeout(); ok && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
		if len(flying) > 0 && !next.Before(flying[0].at) {
			f := flying[0]
			flying = flying[1:]
			p.now = f.at
			f.to.Recv(p.now, Train{Buf: f.buf, SegSize: f.what.SegSize, Local: f.what.Remote, Remote: f.what.Local, ECN: f.what.ECN})
			continue
		}
		if next.After(p.now) {
			p.now = next
		}
		p.client.OnTimeout(p.now)
		p.server.OnTimeout(p.now)
		if p.client.IsClosed() || p.server.IsClosed() {
			p.t.Fatal(p.client.Err(), p.server.Err())
		}
	}
	return p.now.Sub(start)
}

// Windows grow as the path asks for, though each is consumed in one piece and so updated but once in a round trip.
func TestSmallWindowsGrow(t *testing.T) {
	const size, delay = 2 << 20, 200 * time.Millisecond
	for _, c := range []struct {
		name         string
		stream, conn uint64 // initial windows, 0 for the defaults
		most         time.Duration
	}{
		{"defaults", 0, 0, 4 * time.Second},
		{"stream", 16 << 10, 0, 6 * time.Second},
		{"connection", 0, 16 << 10, 6 * time.Second},
		{"both", 16 << 10, 16 << 10, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startPair(t, 1<<16, func(client, server *Config) {
				fullFrames(client, server)
				client.StreamReceiveWindow, client.ReceiveWindow = c.stream, c.conn
			})
			d := p.download(size, delay)
			t.Logf("%d bytes in %v", size, d)
			if d > c.most {
				t.Errorf("%d bytes took %v, want at most %v", size, d, c.most)
			}
		})
	}
}

// A window that is taken slowly stays as it is, in whatever pieces that is.
func TestSlowWindowStays(t *testing.T) {
	const size, rtt = 16 << 10, int64(100e6)
	for _, c := range []struct {
		piece uint64
		every int64
		grows bool
	}{
		{size, 5 * rtt, false}, {size, 3 * rtt, true}, {size / 2, 5 * rtt / 2, false}, {size / 2, 3 * rtt / 2, true},
		{size / 4, 5 * rtt / 4, false}, {size / 4, 3 * rtt / 4, true}, {size / 100, rtt / 20, false}, {size / 100, rtt / 30, true},
	} {
		w := newRecvWindow(size)
		for i := range int64(200) {
			w.consume(1e9+i*c.every, rtt, min(c.piece, w.limit-w.consumed), 1<<20)
		}
		if grown := w.size > size; grown != c.grows {
			t.Errorf("%d bytes every %v: the window is %d", c.piece, time.Duration(c.every), w.size)
		}
	}
}

// Bytes that a peer has reset before it sent any of them give their credit back, but are no reason for a larger window, however fast: the
// connection would keep for the peer what its application does not read, in exchange for nothing.
func TestResetsGrowNoWindow(t *testing.T) {
	p := newMobile(t)
	for range 10 { // which makes for a long round trip
		p.conn.Ping()
		p.drain()
		p.now = p.now.Add(time.Second)
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT))
	}
	st := &p.conn.streams
	granted := st.recvWindow.limit
	for i := range uint64(100) {
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT), frame(wire.FrameResetStream, 4*i, 0, p.conn.cfg.StreamReceiveWindow/2))
		p.must(p.conn.StreamShutdown(4*i, ReadDirection|WriteDirection, 0))
		p.now = p.now.Add(time.Millisecond)
	}
	if p.conn.IsClosed() {
		t.Fatal(p.conn.Err())
	}
	if w := &st.recvWindow; w.size != p.conn.cfg.ReceiveWindow || w.limit < 10*granted {
		t.Errorf("the window has %d bytes and ends at %d, want %d, and the credit back", w.size, w.limit, p.conn.cfg.ReceiveWindow)
	}
}
