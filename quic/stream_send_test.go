package quic

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// writers are streams of the server's, each of which has size bytes to write, that the client reads.
type writers struct {
	*pair
	data     []byte
	sent     map[uint64]int
	asked    int             // events that asked for more
	unread   map[uint64]bool // streams that the client does not read
	onAsked  func(id uint64) // what is done in place of writing, if it is not nil
	finished int
	pause    bool      // has runUntil return
	last     time.Time // when a stream was told to write, or read to its end
	scratch  []byte
}

func newWriters(t *testing.T, size int, configure func(client, server *Config)) *writers {
	p := newPair(t, configure)
	p.run(func() bool { return !p.step() })
	return &writers{pair: p, data: make([]byte, size), sent: make(map[uint64]int), unread: make(map[uint64]bool), scratch: make([]byte, 64<<10)}
}

// open opens a stream and writes to it what it takes.
func (w *writers) open() uint64 {
	id, err := w.server.OpenUniStream()
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(id)
	return id
}

func (w *writers) write(id uint64) {
	n, err := w.server.StreamSend(id, w.data[w.sent[id]:], true)
	if err != nil {
		w.t.Fatal(err)
	}
	w.sent[id] += n
}

func (w *writers) total() (n int) {
	for _, sent := range w.sent {
		n += sent
	}
	return n
}

// runUntil has both sides do what there is to be done until so many streams have arrived, or nothing more happens.
func (w *writers) runUntil(finished int) {
	w.t.Helper()
	for moved := true; moved && w.finished < finished && !w.pause; {
		for _, c := range []*Conn{w.client, w.server} {
			for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
				w.handle(c, ev)
			}
		}
		moved = false
		for c, to := range map[*Conn]*Conn{w.server: w.client, w.client: w.server} {
			if out := c.Send(w.now, w.buf); out.N > 0 {
				moved = true
				w.deliver(to, out)
			}
		}
		if !moved {
			if moved = w.next().Sub(w.now) < time.Second; moved { // else all that is left to happen is a timeout
				w.tick()
			}
		}
	}
}

func (w *writers) handle(c *Conn, ev Event) {
	switch ev.Kind {
	case EventWritable:
		if w.asked++; w.asked > 100_000 {
			w.t.Fatal("streams are told to write again and again")
		}
		w.last = w.now
		if w.onAsked != nil {
			w.onAsked(ev.Stream)
		} else {
			w.write(ev.Stream)
		}
	case EventReadable:
		for n, fin := 1, false; n > 0 && !fin && !w.unread[ev.Stream]; {
			var err error
			var reset *StreamError
			if n, fin, err = c.StreamRecv(ev.Stream, w.scratch); err != nil && !errors.As(err, &reset) {
				w.t.Fatal(err)
			}
			if fin {
				w.finished++
				w.last = w.now
			}
		}
	}
}

func (w *writers) wantRest() {
	w.t.Helper()
	if a := &w.server.streams.admission; a.unsent != 0 || len(a.offers) != 0 {
		w.t.Errorf("at the end %d bytes count as unsent, and there are %d offers", a.unsent, len(a.offers))
	}
}

// What streams hold unsent is bounded in sum, but each takes a little whatever the others hold; and who was refused is told when there is
// room for a good part, so that all of it arrives and nobody is woken for little.
func TestUnsentBound(t *testing.T) {
	const streams, size = 20, 300_000
	w := newWriters(t, size, fullFrames)
	for range streams {
		w.open()
	}
	if got := w.total(); got != maxUnsent {
		t.Errorf("%d bytes were taken before any was sent, want %d", got, maxUnsent)
	}
	id, err := w.server.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{littleUnsent - 1, 1} {
		if got, err := w.server.StreamSend(id, w.data[:n], false); got != n || err != nil {
			t.Errorf("of %d bytes %d were taken: %v", n, got, err)
		}
	}
	if n, err := w.server.StreamSend(id, w.data[:1], true); n != 0 || err != nil {
		t.Errorf("%d bytes more than little were taken: %v", n, err)
	}
	w.sent[id] = size - 1
	w.runUntil(streams + 1)
	if w.finished != streams+1 {
		t.Errorf("%d of %d streams arrived", w.finished, streams+1)
	}
	if most := streams + streams*size/askedBytes*3/2; w.asked > most {
		t.Errorf("streams were told %d times to write, want at most %d", w.asked, most)
	}
	w.wantRest()
}

// A single stream is woken early enough that it never runs dry.
func TestUnsentSingle(t *testing.T) {
	w := newWriters(t, 2_000_000, fullFrames)
	w.open()
	w.runUntil(1)
	if w.finished != 1 {
		t.Error("the stream did not arrive")
	}
	w.wantRest()
}

// Streams that were told to write, and do not, leave the room to others when they say so, and when they are reset.
func TestAskedInVain(t *testing.T) {
	const streams, size = 20, 300_000
	for _, c := range []struct {
		name   string
		refuse func(w *writers, id uint64) error
		later  int // streams that write in the end after all
	}{
		{"declined", func(w *writers, id uint64) error { _, err := w.server.StreamSend(id, nil, false); return err }, 10},
		{"reset", func(w *writers, id uint64) error { return w.server.StreamShutdown(id, WriteDirection, 1) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWriters(t, size, fullFrames)
			refused := make(map[uint64]bool)
			w.onAsked = func(id uint64) {
				if len(refused) == streams/2 {
					w.write(id)
				} else if err := c.refuse(w, id); err != nil {
					t.Fatal(err)
				} else {
					refused[id] = true
				}
			}
			for range streams {
				id := w.open()
				if w.sent[id] == size {
					t.Fatal("a stream took all at once")
				}
			}
			w.runUntil(streams / 2)
			if w.finished != streams/2 {
				t.Errorf("%d of %d streams arrived, when as many refused to write", w.finished, streams/2)
			}
			if c.later > 0 {
				w.onAsked = nil
				for id := range refused {
					w.write(id)
				}
				w.runUntil(streams)
			}
			if w.finished != streams/2+c.later {
				t.Errorf("%d streams arrived, want %d", w.finished, streams/2+c.later)
			}
			w.wantRest()
		})
	}
}

// Those who are told to write, and do not, leave the room to others even where nothing is on its way any more that could remind of them.
func TestDeclinedAtRest(t *testing.T) {
	const streams, size = 20, 300_000
	w := newWriters(t, size, fullFrames)
	var asked []uint64
	w.onAsked = func(id uint64) {
		asked = append(asked, id)
		w.pause = len(asked) == maxOffers
	}
	for range streams {
		w.open()
	}
	w.runUntil(streams)
	if w.finished != 0 || len(asked) != maxOffers {
		t.Fatalf("%d streams arrived, and %d were told to write, want %d", w.finished, len(asked), maxOffers)
	}
	w.onAsked, w.pause = nil, false
	for _, id := range asked {
		if n, err := w.server.StreamSend(id, nil, false); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	w.runUntil(streams - len(asked))
	if want := streams - len(asked); w.finished != want {
		t.Errorf("%d of %d streams arrived", w.finished, want)
	}
	w.wantRest()
}

// Where nobody answers, room is offered to the next ones after a while, so that all are told in the end, and who writes at last has
// room.
func TestOffersUnanswered(t *testing.T) {
	const streams, size = 20, 300_000
	w := newWriters(t, size, fullFrames)
	told := make(map[uint64]int)
	w.onAsked = func(id uint64) { told[id]++ }
	var last uint64
	for range streams {
		last = w.open()
	}
	start := w.now
	w.runUntil(streams)
	if w.finished != 0 || len(told) != streams || w.asked != streams {
		t.Fatalf("%d streams arrived, and %d were told to write %d times, want all once", w.finished, len(told), w.asked)
	}
	if d, most := w.last.Sub(start), streams/maxOffers*time.Duration(offerLife)+100*time.Millisecond; d > most {
		t.Errorf("it took %v to tell all, want at most %v", d, most)
	}
	w.onAsked = nil
	w.write(last)
	w.runUntil(1)
	if w.finished != 1 {
		t.Error("a stream that was told last, and wrote, did not arrive")
	}
	for id := range told {
		if id != last {
			w.write(id)
		}
	}
	w.runUntil(streams)
	if w.finished != streams {
		t.Errorf("%d of %d streams arrived", w.finished, streams)
	}
	w.wantRest()
}

// A stream that ends while it waits, or when it was told of room, leaves that to others: none of them may keep it.
func TestEndedWhileWaiting(t *testing.T) {
	const streams, size = 20, 300_000
	for _, c := range []struct {
		name string
		end  func(w *writers, id uint64)
	}{
		{"finished", func(w *writers, id uint64) {
			_, err := w.server.StreamSend(id, nil, true)
			w.must(err)
		}},
		{"reset", func(w *writers, id uint64) { w.must(w.server.StreamShutdown(id, WriteDirection, 1)) }},
		{"stopped by the peer", func(w *writers, id uint64) {
			// The peer has not heard of a stream of which nothing was sent.
			if err := w.server.streams.handleStopSending(w.server.clock.now, id, 1); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, told := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				w := newWriters(t, size, fullFrames)
				ended := make(map[uint64]bool)
				w.onAsked = func(id uint64) {
					switch {
					case ended[id]: // the peer's wish is told by EventWritable too
					case told && len(ended) < streams/2:
						c.end(w, id)
						ended[id] = true
					default:
						w.write(id)
					}
				}
				for i := range streams {
					if id := w.open(); !told && i < streams/2 {
						c.end(w, id)
						ended[id] = true
					}
				}
				start := w.now
				w.runUntil(streams)
				left := 0
				for id := range w.sent {
					if ended[id] {
						continue
					}
					if left++; w.sent[id] != size {
						t.Errorf("stream %d took %d of %d bytes", id, w.sent[id], size)
					}
				}
				if left != streams/2 || w.last.Sub(start) > 100*time.Millisecond {
					t.Errorf("%d streams were left, after %v", left, w.last.Sub(start))
				}
				w.wantRest()
			})
		}
	}
}

// The peer's window closes while a stream waits: it is told of room only once there is, and the others meanwhile have theirs.
func TestWindowClosedWhileWaiting(t *testing.T) {
	const size = 1_000_000
	w := newWriters(t, size, func(client, server *Config) {
		fullFrames(client, server)
		client.StreamReceiveWindow, client.MaxStreamReceiveWindow = 64<<10, 64<<10
	})
	closed := w.open()
	w.unread[closed] = true
	w.runUntil(1)
	if n := w.sent[closed]; n > 64<<10+maxUnsent || w.asked > 4 {
		t.Errorf("a stream that is not read took %d bytes, and was told %d times to write more", n, w.asked)
	}
	for range 4 {
		w.open()
	}
	w.runUntil(4)
	if w.finished != 4 {
		t.Errorf("%d of 4 streams arrived beside one that is not read", w.finished)
	}
	delete(w.unread, closed)
	w.handle(w.client, Event{Kind: EventReadable, Stream: closed})
	w.runUntil(5)
	if w.finished != 5 {
		t.Errorf("the stream did not arrive once it was read: it took %d bytes", w.sent[closed])
	}
	w.wantRest()
}

// Buffers of a few bytes are slow, and nothing else: no stream is told to write what it cannot.
func TestTinySendBuffers(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4, 5, 7, 100, 1199, 4097} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			const streams = 12
			w := newWriters(t, 40*size, func(client, server *Config) {
				fullFrames(client, server)
				server.StreamSendBuffer, server.MaxStreamSendBuffer = size, size
			})
			for range streams {
				w.open()
			}
			w.runUntil(streams)
			if w.finished != streams {
				t.Errorf("%d of %d streams arrived", w.finished, streams)
			}
			if most := streams * 40 * 5; w.asked > most {
				t.Errorf("streams were told %d times to write, want at most %d", w.asked, most)
			}
			w.wantRest()
		})
	}
	p := newScripted(t, false, nil)
	p.cfg.StreamSendBuffer, p.cfg.MaxStreamSendBuffer = 3, 2
	if _, err := p.cfg.resolve(); err == nil {
		t.Error("MaxStreamSendBuffer below StreamSendBuffer is taken")
	}
}

// Streams that write much are served in the order in which they came, however little leaves at a time.
func TestWaitInTurn(t *testing.T) {
	w := newWriters(t, 300_000, fullFrames)
	first := w.open()
	waiting := []uint64{w.open(), w.open()}
	w.buf = w.buf[:4<<10]
	for range 80 {
		if out := w.server.Send(w.now, w.buf); out.N > 0 {
			w.deliver(w.client, out)
		} else {
			w.tick()
		}
		if out := w.client.Send(w.now, w.buf); out.N > 0 {
			w.deliver(w.server, out)
		}
		if late := w.open(); w.sent[late] != 0 {
			t.Fatalf("stream %d took %d bytes before streams that wait", late, w.sent[late])
		}
		for ev, ok := w.server.NextEvent(); ok; ev, ok = w.server.NextEvent() {
			if ev.Kind == EventWritable && ev.Stream != first && len(waiting) > 0 {
				if ev.Stream != waiting[0] {
					t.Fatalf("stream %d was told before %d", ev.Stream, waiting[0])
				}
				waiting = waiting[1:]
				w.write(ev.Stream)
			}
		}
	}
	if len(waiting) > 0 {
		t.Errorf("streams %v were not told to write", waiting)
	}
}

// Streams that are reset while they wait to be told are not told, and leave the room to others.
func TestResetWhileWaiting(t *testing.T) {
	const streams, size = 20, 300_000
	w := newWriters(t, size, fullFrames)
	for i := range streams {
		id := w.open()
		if i >= streams/2 {
			continue
		}
		if err := w.server.StreamShutdown(id, WriteDirection, 1); err != nil {
			t.Fatal(err)
		}
		if w.sent[id] == 0 {
			w.open() // beside those that had written something, one that had not
			w.sent[id] = size
		}
	}
	w.onAsked = func(id uint64) {
		if s := w.server.streams.live.get(id); s != nil && !s.send.cut { // else it was told before it was reset
			w.write(id)
		}
	}
	w.runUntil(streams)
	if left := streams/2 + len(w.sent) - streams; w.finished != left {
		t.Errorf("%d of %d streams arrived", w.finished, left)
	}
	w.wantRest()
}

// What the peer does not read counts neither against the other streams nor without bound.
func TestStuckStreams(t *testing.T) {
	const stuck, window, size = 8, 32 << 10, 900_000
	w := newWriters(t, size, func(client, server *Config) {
		fullFrames(client, server)
		client.StreamReceiveWindow, client.MaxStreamReceiveWindow = window, window
	})
	for range stuck {
		w.unread[w.open()] = true
	}
	w.runUntil(1)
	for id := range w.unread {
		if n := w.sent[id]; n < window || n > window+maxUnsent {
			t.Errorf("a stream that is not read took %d bytes, want %d to %d", n, window, window+maxUnsent)
		}
	}
	w.wantRest()
	for range 3 {
		w.open()
	}
	w.runUntil(3)
	if w.finished != 3 {
		t.Errorf("%d of 3 streams arrived beside %d that are not read", w.finished, stuck)
	}
	w.wantRest()
	// The memory of all is bounded too, but for the little that each may have.
	if most := maxSendBuffers*w.server.streams.admission.limit + stuck*sendBufferFloor; w.server.streams.admission.held > most {
		t.Errorf("%d bytes are held, want at most %d", w.server.streams.admission.held, most)
	}
}

// StreamCredit is what flow control lets a stream send beyond what waits, of the stream and of the connection.
func TestStreamCredit(t *testing.T) {
	p := newPair(t, func(client, server *Config) {
		server.StreamReceiveWindow, server.MaxStreamReceiveWindow = 1000, 1000
		server.ReceiveWindow, server.MaxReceiveWindow = 1500, 1500
	})
	want := func(id uint64, n int, why string) {
		t.Helper()
		if got := p.client.StreamCredit(id); got != n {
			t.Errorf("%s: %d bytes, want %d", why, got, n)
		}
	}
	a, _ := p.client.OpenStream()
	b, _ := p.client.OpenStream()
	want(a, 1000, "nothing was written")
	p.client.StreamSend(a, make([]byte, 300), false)
	want(a, 700, "300 bytes wait")
	p.step()
	want(a, 700, "300 bytes were sent")
	want(b, 1000, "of the connection's 1200 are left")
	p.client.StreamSend(a, make([]byte, 700), false)
	want(a, 0, "all that may be sent was written")
	p.client.StreamSend(a, make([]byte, 100), false)
	want(a, 0, "more than may be sent was written")
	p.step()
	want(b, 500, "the connection's limit")
	p.client.StreamSend(b, nil, true)
	want(b, 0, "it has ended")
	want(400, 0, "no such stream")

	// What waits of others goes before, but for what goes after.
	p = newPair(t, func(_, server *Config) {
		server.StreamReceiveWindow, server.MaxStreamReceiveWindow = 1000, 1000
		server.ReceiveWindow, server.MaxReceiveWindow = 1500, 1500
	})
	a, _ = p.client.OpenStream()
	b, _ = p.client.OpenStream()
	c, _ := p.client.OpenStream()
	p.client.StreamSend(a, make([]byte, 600), false)
	p.client.StreamSend(b, make([]byte, 700), false)
	want(c, 200, "1300 of the connection's 1500 bytes wait on other streams")
	p.client.SetStreamPriority(c, Priority{Urgency: 3})
	want(c, 200, "of the same urgency")
	p.client.SetStreamPriority(a, Priority{Urgency: 4})
	want(c, 800, "600 of them are less urgent")
	p.client.SetStreamPriority(c, Priority{Urgency: 2})
	want(c, 1000, "all of them are")

	p = newPair(t, func(client, _ *Config) { client.StreamSendBuffer, client.MaxStreamSendBuffer = 100, 100 })
	a, _ = p.client.OpenStream()
	want(a, 100, "no more is buffered")
	p.client.StreamSend(a, make([]byte, 30), false)
	want(a, 70, "30 bytes wait")
	p.client.StreamSend(a, make([]byte, 70), false)
	want(a, 0, "the buffer is full")
}

// To ask a stream for its room is not to be told that it was stopped: that StreamSend still tells, and EventWritable that it has something to tell.
func TestStreamRoomAsks(t *testing.T) {
	p := newScriptedServer(t, limitStreams(10))
	p.handshake()
	id, err := p.conn.OpenUniStream()
	p.must(err)
	_, err = p.conn.StreamSend(id, []byte("some"), false)
	p.must(err)
	p.drain()
	p.events = nil
	p.got = nil
	p.sendFrames(protect.OneRTT, frame(wire.FrameStopSending, id, 7))
	want := &StreamError{StreamID: id, Code: 7, Remote: true}
	var stream *StreamError
	for range 2 {
		if _, err := p.conn.StreamRoom(id); !errors.As(err, &stream) || *stream != *want {
			t.Fatalf("StreamRoom of a stream that was stopped: %v", err)
		}
		if n := p.conn.StreamCredit(id); n != 0 {
			t.Fatalf("StreamCredit of a stream that was stopped: %d", n)
		}
		p.drain()
		p.sendFrames(protect.OneRTT, p.ackReceived(protect.OneRTT)) // of RESET_STREAM
	}
	p.wantEvents("it was stopped", Event{Kind: EventStreamStopped, Stream: id, Code: 7}, Event{Kind: EventWritable, Stream: id})
	if _, err := p.conn.StreamSend(id, []byte("more"), false); !errors.As(err, &stream) || *stream != *want {
		t.Errorf("StreamSend after it: %v", err)
	}
	p.events = nil
	p.drain()
	p.wantEvents("it was told", Event{Kind: EventStreamFinished, Stream: id})
	if _, err := p.conn.StreamRoom(id); err != ErrUnknownStream {
		t.Errorf("StreamRoom of a stream that is over: %v", err)
	}
}
