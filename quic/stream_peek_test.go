package quic

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// TestReadRandom has a peer send on streams in any order, while the application looks, discards, reads, takes and stops, and compares with
// a plain model after each step: which bytes there are, whether the end is, what is told of, and what flow control counts.
func TestReadRandom(t *testing.T) {
	for range 30 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			for i := range 20 {
				playRead(t, rand.New(rand.NewPCG(seed, uint64(i))))
			}
		})
	}
}

// readRig plays with stream 0 of a server.
type readRig struct {
	t   *testing.T
	rng *rand.Rand
	st  streams

	data    []byte // all that the peer sends, if it does not reset the stream
	have    []bool // which of it has arrived
	base    int    // how much of it was consumed
	sized   bool   // its end has arrived
	reset   bool
	stopped bool
	over    bool

	told    bool // that there is something to read, since there was nothing or since the application has looked
	looked  bool
	waiting bool // EventReadable is to come
	resets  bool // EventStreamReset is
}

func playRead(t *testing.T, rng *rand.Rand) {
	cfg, err := (&Config{TLS: &tls.Config{NextProtos: []string{"test"}}}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	r := &readRig{t: t, rng: rng, data: make([]byte, rng.IntN(1<<rng.IntN(18)))}
	for i := range r.data {
		r.data[i] = byte(rng.Uint32())
	}
	r.have = make([]bool, len(r.data)+1)
	r.st.init(false, cfg)
	for steps := 0; !r.over; steps++ {
		if steps == 100_000 {
			t.Fatal("it does not come to its end")
		}
		switch what := rng.IntN(200); {
		case what < 70:
			r.receive()
		case what < 110:
			r.peek()
		case what < 150:
			r.discard()
		case what < 170:
			r.recv()
		case what < 198:
			r.take()
		case rng.IntN(8) > 0:
		case what == 198:
			r.receiveReset()
		default:
			r.stop()
		}
		if rng.IntN(2) == 0 {
			r.events()
		}
		r.check()
		if t.Failed() {
			t.FailNow()
		}
	}
	r.events()
	if r.st.live.get(0) != nil && r.st.live.get(0).recv.over == false {
		t.Error("the stream is not over")
	}
}

func (r *readRig) ready() (n int) {
	for r.have[r.base+n] {
		n++
	}
	return n
}

func (r *readRig) endsReady() bool { return r.sized && r.base+r.ready() == len(r.data) }

func (r *readRig) receive() {
	ready, ends := r.ready(), r.endsReady()
	start := r.rng.IntN(len(r.data) + 1)
	if r.rng.IntN(3) > 0 {
		start = min(r.base+ready+r.rng.IntN(3000), len(r.data)) / 1000 * 1000
	}
	end := min(start+r.rng.IntN(1<<r.rng.IntN(15)), len(r.data))
	fin := end == len(r.data) && r.rng.IntN(2) == 0
	for i := start; i < end && !r.reset && !r.stopped; i++ {
		r.have[i] = i >= r.base
	}
	r.sized = r.sized || fin
	switch err := r.st.handleStream(0, 0, uint64(start), r.data[start:end], fin); {
	case err != nil:
		r.t.Fatal(err)
	case r.stopped:
		r.over = r.sized
	case r.reset:
	case !r.told && (r.ready() > 0 || r.endsReady()):
		r.told, r.waiting = true, true
	case r.looked && (r.ready() > ready || r.endsReady() != ends):
		r.waiting, r.looked = true, false
	}
}

func (r *readRig) receiveReset() {
	size := uint64(len(r.data))
	if err := r.st.handleResetStream(0, 0, 77, size); err != nil {
		r.t.Fatal(err)
	}
	switch {
	case r.endsReady() && r.ready() == 0 || r.reset:
	case r.stopped:
		r.sized, r.reset, r.over = true, true, true
	default:
		r.waiting = r.waiting || !r.told || r.looked
		r.sized, r.reset, r.resets, r.told, r.looked = true, true, true, true, false
	}
}

func (r *readRig) stop() {
	if len(r.have) == 0 || r.st.find(0) == nil {
		return
	}
	if err := r.st.shutdown(0, 0, ReadDirection, 5); err != nil {
		r.t.Fatal(err)
	}
	r.stopped, r.waiting, r.resets, r.told, r.looked = true, false, false, false, false
	r.over = r.sized
}

// failed tells whether a call had to give an error, and was right to.
func (r *readRig) failed(err error) bool {
	var e *StreamError
	switch {
	case r.st.types[0].opened == 0:
		if err != ErrUnknownStream {
			r.t.Errorf("before the stream was opened: %v", err)
		}
	case r.stopped || r.reset:
		if !errors.As(err, &e) || e.Remote == r.stopped {
			r.t.Errorf("stopped %v, reset %v: %v", r.stopped, r.reset, err)
		}
		if !r.stopped {
			r.told, r.over = false, true
		}
	default:
		if err != nil {
			r.t.Error(err)
		}
		return err != nil
	}
	return true
}

func (r *readRig) peek() {
	p, fin, err := r.st.peek(0)
	if r.failed(err) {
		return
	}
	ready := r.ready()
	if len(p) == 0 != (ready == 0) || len(p) > ready || !bytes.Equal(p, r.data[r.base:r.base+len(p)]) {
		r.t.Errorf("a look at %d bytes, which are not those at %d, of %d that are there", len(p), r.base, ready)
	}
	if len(p) < ready && (r.base+len(p))%chunkSize != 0 {
		r.t.Errorf("a look at %d bytes from %d on, where %d are there", len(p), r.base, ready)
	}
	if want := r.endsReady() && len(p) == ready; fin != want {
		r.t.Errorf("fin is %v after a look at %d bytes of %d, want %v", fin, len(p), ready, want)
	}
	r.looked = r.told
}

func (r *readRig) discard() {
	ready := r.ready()
	for _, wrong := range []int{-1, ready + 1} {
		if _, err := r.st.skip(0, 0, wrong); err == nil {
			r.t.Fatalf("%d bytes were discarded of %d", wrong, ready)
		} else if r.reset || r.stopped || r.st.types[0].opened == 0 {
			r.failed(err)
			return
		}
	}
	n := r.rng.IntN(ready + 1)
	if p, _, _ := r.st.peek(0); r.rng.IntN(2) == 0 {
		n = len(p) // as a parser does
	}
	fin, err := r.st.skip(0, 0, n)
	if !r.failed(err) {
		r.consumed(n, fin)
	}
}

func (r *readRig) recv() {
	b := make([]byte, r.rng.IntN(1<<r.rng.IntN(16)))
	n, fin, err := r.st.recv(0, 0, b)
	if r.failed(err) {
		return
	}
	if n != min(len(b), r.ready()) || !bytes.Equal(b[:n], r.data[r.base:r.base+n]) {
		r.t.Errorf("%d bytes were read of %d into %d, or wrong ones", n, r.ready(), len(b))
	}
	r.consumed(n, fin)
}

func (r *readRig) take() {
	var pieces [2]Piece
	n, fin, err := r.st.take(0, 0, pieces[:])
	if r.failed(err) {
		return
	}
	total := 0
	for _, p := range pieces[:n] {
		if at := r.base + total; !bytes.Equal(p.Bytes(), r.data[at:at+len(p.Bytes())]) {
			r.t.Errorf("a piece of wrong bytes was taken at %d", at)
		}
		total += len(p.Bytes())
		clear(p.chunk)
		r.st.pool.put(p.chunk)
	}
	r.consumed(total, fin)
}

func (r *readRig) consumed(n int, fin bool) {
	r.base += n
	r.over = r.endsReady() && r.ready() == 0
	if fin != r.over {
		r.t.Errorf("fin is %v at %d of %d, whose end has come: %v", fin, r.base, len(r.data), r.sized)
	}
	r.told, r.looked = !r.over && r.ready() > 0, false
}

func (r *readRig) events() {
	var readable, reset bool
	for {
		var ev Event
		if r.st.nextEvent(&ev); ev.Kind == 0 {
			break
		}
		switch ev.Kind {
		case EventReadable:
			if readable {
				r.t.Error("EventReadable came twice")
			}
			readable = true
		case EventStreamReset:
			reset = ev.Code == 77
		}
	}
	if want := r.waiting && r.told; readable != want || reset != r.resets {
		r.t.Errorf("EventReadable %v, EventStreamReset %v; want %v, %v", readable, reset, want, r.resets)
	}
	r.waiting, r.resets = false, false
}

func (r *readRig) check() {
	consumed := r.base
	if s := r.st.live.get(0); s != nil {
		if (r.reset || r.stopped) && s.recv.highest > 0 {
			consumed = int(s.recv.highest) // what is dropped counts
		}
		if s.recv.window.consumed != uint64(r.base) && !r.sized && !r.stopped {
			r.t.Errorf("%d bytes count as consumed of the stream, want %d", s.recv.window.consumed, r.base)
		}
	}
	if got := int(r.st.recvWindow.consumed); got != consumed {
		r.t.Errorf("%d bytes count as consumed, want %d", got, consumed)
	}
	gaps := 0
	for i := r.base; i < len(r.data) && !r.reset && !r.stopped; i++ {
		if r.have[i] && (i == r.base || !r.have[i-1]) {
			gaps++
		}
	}
	if r.st.gaps != gaps {
		r.t.Errorf("%d pieces are counted, want %d", r.st.gaps, gaps)
	}
}

// What arrives behind bytes that the application has looked at and left is told of; a copy of them is not; and so is the bare end, and a reset.
func TestPeekTellsOfMore(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	readable := func(what string, want bool, frames ...[]byte) {
		t.Helper()
		p.events = nil
		p.sendFrames(protect.OneRTT, frames...)
		got := false
		for _, ev := range p.events {
			got = got || ev.Kind == EventReadable && ev.Stream == 0
		}
		if got != want {
			t.Errorf("%s: EventReadable came: %v, want %v", what, got, want)
		}
	}
	look := func(want string, wantFin bool) {
		t.Helper()
		if b, fin, err := p.conn.StreamPeek(0); string(b) != want || fin != wantFin || err != nil {
			t.Errorf("StreamPeek: %q, %v, %v; want %q, %v", b, fin, err, want, wantFin)
		}
	}
	readable("the first", true, streamFrame(0, 0, "ab", false))
	readable("more, before a look", false, streamFrame(0, 2, "c", false))
	look("abc", false)
	readable("a copy", false, streamFrame(0, 1, "bc", false))
	readable("behind a gap", false, streamFrame(0, 4, "e", false))
	readable("the gap", true, streamFrame(0, 3, "d", false))
	readable("more, before another look", false, streamFrame(0, 5, "f", false))
	look("abcdef", false)
	if fin, err := p.conn.StreamDiscard(0, 7); fin || err == nil || err.Error() != "quic: StreamDiscard of 7 bytes on stream 0, where 6 are there to be read" {
		t.Errorf("7 bytes of 6 were discarded: %v, %v", fin, err)
	}
	readable("the bare end", true, streamFrame(0, 6, "", true))
	look("abcdef", true)
	if fin, err := p.conn.StreamDiscard(0, 4); fin || err != nil {
		t.Errorf("StreamDiscard: %v, %v", fin, err)
	}
	look("ef", true)
	readable("the end again", false, streamFrame(0, 6, "", true))
	if fin, err := p.conn.StreamDiscard(0, 2); !fin || err != nil {
		t.Errorf("StreamDiscard of the last: %v, %v", fin, err)
	}
	if _, _, err := p.conn.StreamPeek(0); err != ErrUnknownStream {
		t.Errorf("StreamPeek after the end: %v", err)
	}
	if _, _, err := p.conn.StreamPeek(3); err != ErrUnknownStream && err != ErrStreamDirection {
		t.Errorf("StreamPeek of a stream that is not there: %v", err)
	}
}

func TestPeekTellsOfReset(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "ab", false))
	p.conn.StreamPeek(0)
	p.events = nil
	p.sendFrames(protect.OneRTT, frame(wire.FrameResetStream, 0, 7, 2))
	kinds := map[EventKind]int{}
	for _, ev := range p.events {
		kinds[ev.Kind]++
	}
	if kinds[EventReadable] != 1 || kinds[EventStreamReset] != 1 {
		t.Errorf("events %v, want EventReadable and EventStreamReset", kinds)
	}
	_, _, err := p.conn.StreamPeek(0)
	if e, ok := err.(*StreamError); !ok || e.Code != 7 || !e.Remote {
		t.Errorf("StreamPeek returned %v, want the peer's reset with code 7", err)
	}
	if _, err := p.conn.StreamDiscard(0, 0); err != ErrUnknownStream {
		t.Errorf("StreamDiscard after the reset was told: %v", err)
	}
}

// After the peer's end of the connection streams can be looked at and discarded as they can be read.
func TestPeekAfterClose(t *testing.T) {
	p := stuffed(t, frame(wire.FrameConnectionCloseApp, 9, 0))
	c := p.conn
	for _, want := range []struct {
		id   uint64
		data string
		fin  bool
	}{{0, "whole", true}, {4, "part", false}} {
		if b, fin, err := c.StreamPeek(want.id); string(b) != want.data || fin != want.fin || err != nil {
			t.Errorf("stream %d: StreamPeek: %q, %v, %v", want.id, b, fin, err)
		}
		if fin, err := c.StreamDiscard(want.id, len(want.data)); fin != want.fin || err != nil {
			t.Errorf("stream %d: StreamDiscard: %v, %v", want.id, fin, err)
		}
		if _, _, err := c.StreamPeek(want.id); err != c.Err() {
			t.Errorf("stream %d: StreamPeek of nothing: %v", want.id, err)
		}
		if _, err := c.StreamDiscard(want.id, 0); err != c.Err() {
			t.Errorf("stream %d: StreamDiscard of nothing: %v", want.id, err)
		}
	}
	total := 0
	for fin := false; !fin; {
		b, last, err := c.StreamPeek(16)
		if err != nil || len(b) == 0 {
			t.Fatalf("stream 16 at %d: StreamPeek: %d bytes, %v", total, len(b), err)
		}
		total += len(b)
		if fin, err = c.StreamDiscard(16, len(b)); err != nil || fin != last {
			t.Fatalf("stream 16 at %d: StreamDiscard: %v, %v", total, fin, err)
		}
	}
	if total != 40_000 {
		t.Errorf("%d bytes of stream 16 were there", total)
	}
	c.Close(p.now, true, 1, "")
	if _, _, err := c.StreamPeek(8); err != c.Err() {
		t.Errorf("StreamPeek after Close: %v", err)
	}
}

// How many streams may be opened follows the peer's limit, and is 0 once the connection is over.
func TestStreamsOpenable(t *testing.T) {
	p := newScriptedClient(t, param(0x08, []byte{3}), param(0x09, []byte{1}))
	wantOpenable := func(bidi, uni int) {
		t.Helper()
		if b, u := p.conn.StreamsOpenable(false), p.conn.StreamsOpenable(true); b != bidi || u != uni {
			t.Errorf("%d and %d streams may be opened, want %d and %d", b, u, bidi, uni)
		}
	}
	wantOpenable(0, 0)
	p.handshake()
	wantOpenable(3, 1)
	p.conn.OpenStream()
	p.conn.OpenUniStream()
	wantOpenable(2, 0)
	p.sendFrames(protect.OneRTT, frame(wire.FrameMaxStreamsUni, 5))
	wantOpenable(2, 4)
	p.sendFrames(protect.OneRTT, frame(wire.FrameConnectionCloseApp, 0, 0))
	wantOpenable(0, 0)
}

// A message of several parts is written to memory that is large enough from the first part on.
func TestStreamSendPartsOnce(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "GET", true))
	if _, err := p.conn.StreamSendParts(0, [][]byte{make([]byte, 10), make([]byte, 3), make([]byte, smallChunk)}, true); err != nil {
		t.Fatal(err)
	}
	st := &p.conn.streams
	if pieces := st.live.get(0).send.buf.data.pieces; len(pieces) != 1 || len(pieces[0]) != 2*smallChunk || st.pool.free != nil {
		t.Errorf("%d pieces, and others that were given up: %v", len(pieces), st.pool.free != nil)
	}
}

// A small message of several parts leaves in one STREAM frame with its end.
func TestStreamSendParts(t *testing.T) {
	p := newScriptedClient(t)
	p.handshake()
	p.sendFrames(protect.OneRTT, streamFrame(0, 0, "GET", true))
	p.ignoreIDs()
	p.got = nil
	if n, err := p.conn.StreamSendParts(0, [][]byte{[]byte("head"), nil, []byte("ers"), []byte("body")}, true); n != 11 || err != nil {
		t.Fatalf("StreamSendParts: %d, %v", n, err)
	}
	p.drain()
	p.wantStream("the answer", 0, 0, "headersbody", true)
	p.wantIdle("nothing follows")
	if _, err := p.conn.StreamSendParts(0, nil, true); err != ErrStreamEnded {
		t.Errorf("StreamSendParts after the end: %v", err)
	}
	if _, err := p.conn.StreamRoom(0); err != ErrStreamEnded {
		t.Errorf("StreamRoom after the end: %v", err)
	}
}

// Neither a look, nor a discard, nor a write in parts costs an allocation.
func TestStreamCallsAllocateNothing(t *testing.T) {
	cfg, err := (&Config{TLS: &tls.Config{NextProtos: []string{"test"}}}).resolve()
	if err != nil {
		t.Fatal(err)
	}
	var st streams
	st.init(false, cfg)
	st.setPeerParams(&wire.TransportParameters{InitialMaxData: 1 << 40, MaxStreamDataBidiLocal: 1 << 40})
	data, off := make([]byte, 100), uint64(0)
	loss := new(recovery.Loss)
	loss.Init(false)
	pkt := &packet{loss: loss, header: header{sp: recovery.AppSpace}, b: make([]byte, 0, 1200)}
	user := any(t)
	turn := func() {
		if err := st.handleStream(0, 0, off, data, false); err != nil {
			t.Fatal(err)
		}
		st.setUser(0, user)
		for ev := (Event{Kind: 1}); ev.Kind != 0; st.nextEvent(&ev) {
			ev = Event{}
		}
		if b, _, err := st.peek(0); len(b) == 0 || err != nil || st.user(0) != user {
			t.Fatalf("a look at %d bytes, %v", len(b), err)
		}
		for b, _, _ := st.peek(0); len(b) > 0; b, _, _ = st.peek(0) {
			if _, err := st.skip(0, 0, len(b)); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := st.sendParts(0, 0, [][]byte{data[:10], data[10:]}, false); n != 100 || err != nil {
			t.Fatal(n, err)
		}
		pkt.b = pkt.b[:0]
		st.appendData(pkt)
		st.onStreamAcked(0, st.find(0), recovery.Frame{Type: wire.FrameStream, Off: off, Len: 100})
		off += 100
	}
	for range 1000 {
		turn()
	}
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
