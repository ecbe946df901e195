package quic

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// stuffed returns a scripted client with whom conn, a server, has streams in all states, some with things to be read: 0 with all,
// 4 with data before a gap, 8 reset, 12 implicit, 16 with nothing yet read, whole, in more than one piece; and two datagrams.
func stuffed(t *testing.T, last ...[]byte) *scripted {
	p := newScriptedClient(t, func(p *scripted) { p.cfg.MaxDatagramFrameSize = 100 }, param(0x02, nil))
	p.handshake()
	p.ignoreIDs()
	p.events = nil
	big := strings.Repeat("x", 1000)
	for off := uint64(0); off < 40_000; off += 1000 {
		p.sendFrames(protect.OneRTT, streamFrame(16, off, big, off == 39_000))
	}
	p.conn.StreamSend(16, []byte("what we send is lost"), false)
	p.got, p.events = nil, nil
	datagram := func(s string) []byte { return append(frame(wire.FrameDatagram+1, uint64(len(s))), s...) }
	p.recvFrom(p.remote, p.encode(scriptedPacket{slot: protect.OneRTT, frames: append([][]byte{
		streamFrame(0, 0, "whole", true), streamFrame(4, 0, "part", false), streamFrame(4, 10, "behind", true),
		frame(wire.FrameResetStream, 8, 88, 0), datagram("one"), datagram("two")}, last...)}))
	return p
}

func (p *scripted) wantRead(id uint64, want string, wantFin bool, wantErr error) {
	p.t.Helper()
	buf := make([]byte, 100)
	n, fin, err := p.conn.StreamRecv(id, buf)
	if string(buf[:n]) != want || fin != wantFin || err != wantErr {
		p.t.Errorf("stream %d: read %q, %v, %v; want %q, %v, %v", id, buf[:n], fin, err, want, wantFin, wantErr)
	}
}

// wantAllRead reads what stuffed has sent.
func (p *scripted) wantAllRead() {
	p.t.Helper()
	c := p.conn
	if !c.KeepsReceived() || !c.IsClosed() || c.Err() == nil {
		p.t.Errorf("KeepsReceived: %v, IsClosed: %v, Err: %v", c.KeepsReceived(), c.IsClosed(), c.Err())
	}
	if got, want := slices.Collect(c.Readable()), []uint64{0, 4, 8, 16}; !slices.Equal(got, want) {
		p.t.Errorf("readable are %v, want %v", got, want)
	}
	p.wantRead(0, "whole", true, nil)
	p.wantRead(0, "", false, c.Err())
	p.wantRead(4, "part", false, nil)
	p.wantRead(4, "", false, c.Err())
	var reset *StreamError
	if _, _, err := c.StreamRecv(8, nil); !errors.As(err, &reset) || reset.Code != 88 {
		p.t.Errorf("a reset stream: %v", err)
	}
	p.wantRead(8, "", false, c.Err())
	p.wantRead(12, "", false, c.Err())
	total, into := 0, make([]Piece, 1)
	for fin, n := false, 0; !fin; {
		var err error
		if n, fin, err = c.StreamTake(16, into); n == 0 && err == nil {
			n, fin, err = c.StreamRecv(16, make([]byte, 2000))
			total += n
		} else if n > 0 {
			total += len(into[0].Bytes())
			c.StreamGive(into)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if _, _, err := c.StreamTake(16, into); total != 40_000 || err != c.Err() {
		p.t.Errorf("%d bytes were taken, then %v", total, err)
	}
	buf := make([]byte, 100)
	for _, want := range []string{"one", "two", ""} {
		if n, ok := c.DatagramRecv(buf); string(buf[:n]) != want || ok != (n > 0) {
			p.t.Errorf("a datagram %q, want %q", buf[:n], want)
		}
	}
	if n, err := c.StreamSend(4, []byte("x"), false); n != 0 || err != c.Err() {
		p.t.Errorf("StreamSend: %d, %v", n, err)
	}
}

func (p *scripted) wantNothing() {
	p.t.Helper()
	for _, id := range []uint64{0, 4, 8, 12, 16} {
		p.wantRead(id, "", false, p.conn.Err())
	}
	if n := p.conn.DatagramsReadable(); n > 0 || p.conn.KeepsReceived() || p.conn.streams.live.len() > 0 {
		p.t.Errorf("%d datagrams and %d streams are left", n, p.conn.streams.live.len())
	}
}

// What had arrived when the peer closes the connection is told of before the end, and can be read, also once the connection is drained.
func TestReadAfterClose(t *testing.T) {
	for name, last := range map[string][]byte{
		"transport": frame(wire.FrameConnectionClose, 0, 0, 0), "application": frame(wire.FrameConnectionCloseApp, 9, 0),
	} {
		for _, drained := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				p := stuffed(t, last)
				p.drain()
				var opened, readable []uint64
				datagrams, closed := 0, 0
				for _, ev := range p.events {
					if closed > 0 {
						t.Errorf("event %d came after the end", ev.Kind)
					}
					switch ev.Kind {
					case EventStreamOpened:
						opened = append(opened, ev.Stream)
					case EventReadable:
						readable = append(readable, ev.Stream)
					case EventDatagram:
						datagrams++
					case EventClosed:
						closed++
					case EventWritable, EventStreamsAvailable:
						t.Errorf("event %d came", ev.Kind)
					}
				}
				if !slices.Equal(readable, []uint64{0, 4, 8}) || datagrams != 1 || closed != 1 {
					t.Errorf("told: %v readable, %d datagrams, %d closed", readable, datagrams, closed)
				}
				if len(opened) > 0 {
					t.Errorf("streams %v were announced again", opened)
				}
				if drained {
					p.advance()
				}
				if p.conn.IsDrained() != drained {
					t.Fatal("drained:", p.conn.IsDrained())
				}
				p.wantAllRead()
				if _, ok := p.conn.NextEvent(); ok {
					t.Error("an event came of what was read")
				}
				if n := p.conn.streams.live.len(); n > 1 {
					t.Errorf("%d streams are kept, want the one with a gap", n)
				}
				p.conn.Release()
				p.wantNothing()
			})
		}
	}
}

// A stream that comes with the close is announced before it.
func TestOpenedWithClose(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.events = nil
	p.sendFrames(protect.OneRTT, streamFrame(2, 0, "new", true), frame(wire.FrameConnectionCloseApp, 0, 0))
	kinds := []EventKind{}
	for _, ev := range p.events {
		kinds = append(kinds, ev.Kind)
	}
	if want := []EventKind{EventStreamOpened, EventReadable, EventClosed}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	p.wantRead(2, "new", true, nil)
}

// Where a connection ends by silence or by a stateless reset, what had arrived can be read as well.
func TestReadAfterSilence(t *testing.T) {
	t.Run("idle timeout", func(t *testing.T) {
		p := stuffed(t)
		for !p.conn.IsDrained() {
			p.advance()
		}
		p.wantAllRead()
	})
	t.Run("stateless reset", func(t *testing.T) {
		p := stuffed(t)
		p.conn.err = &StatelessResetError{} // a server gets none
		p.conn.drain()
		p.wantAllRead()
	})
}

// Where we close the connection, or find an error, everything ends at once; so it does when the application closes a connection that the
// peer has closed, and on a stream of one that it wants no more of.
func TestOwnCloseEndsAtOnce(t *testing.T) {
	p := stuffed(t)
	p.conn.Close(p.now, true, 1, "")
	p.wantNothing()
	p = stuffed(t, frame(wire.FrameHandshakeDone))
	p.wantClose("a client's HANDSHAKE_DONE", ProtocolViolation)
	p.wantNothing()
	p = stuffed(t, frame(wire.FrameConnectionCloseApp, 9, 0))
	if err := p.conn.StreamShutdown(0, ReadDirection, 1); err != p.conn.Err() {
		t.Errorf("StreamShutdown: %v", err)
	}
	p.wantRead(0, "", false, p.conn.Err())
	p.conn.Close(p.now, true, 1, "")
	p.wantNothing()
	var err *ApplicationError
	if !errors.As(p.conn.Err(), &err) || !err.Remote {
		t.Errorf("Err is %v, want the peer's", p.conn.Err())
	}
}

// Of what is not wanted nothing more is told, though it waited to be.
func TestKeptUnwanted(t *testing.T) {
	p := stuffed(t, frame(wire.FrameConnectionCloseApp, 7, 0))
	for _, id := range []uint64{0, 4, 8, 16} {
		p.conn.StreamShutdown(id, ReadDirection, 1)
	}
	for ev, ok := p.conn.NextEvent(); ok; ev, ok = p.conn.NextEvent() {
		if ev.Kind == EventReadable || ev.Kind == EventStreamReset {
			t.Errorf("event %d of stream %d", ev.Kind, ev.Stream)
		}
	}
	if got := slices.Collect(p.conn.Readable()); len(got) != 0 {
		t.Errorf("readable are %v", got)
	}
}
