package quic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// TestStreamsRandom has an application, a peer and a network do to the streams of a connection what they may, in a random order, and
// compares them with a plain model after each step. Then the application writes what is left, but on a stream that has not taken all of a
// write only when it is told to; the peer takes everything: and all must be over.
func TestStreamsRandom(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { playStreams(t, seed, 2000) })
	}
}

func playStreams(t *testing.T, seed uint64, steps int) {
	r := newStreamsRig(t, seed)
	for range steps {
		r.step()
		r.check()
		if t.Failed() {
			t.Fatalf("seed %d: stopped", seed)
		}
	}
	r.finish()
}

// streamsRig plays with the streams of a client. All times are in nanoseconds.
type streamsRig struct {
	t       *testing.T
	rng     *rand.Rand
	st      streams
	now     int64
	models  []*modelStream // by stream number
	line    []*modelStream // that stand in line, or did before they ended
	plays   bool           // with priorities
	ranked  bool           // a stream has one
	whole   [9]bool        // of each level: the last offer was not to an incremental stream
	offers  []*modelStream
	sent    [][]recovery.Frame // packets under way
	maxData uint64
	data    []byte
}

// modelStream is a stream as the test sees it.
type modelStream struct {
	id, limit            uint64
	written, sent, base  int64
	acked                ranges.Set
	ended, finAcked, cut bool // by the application or the peer
	told                 bool // the application has been given the error of a reset
	resetAcked           bool
	state                seatState
	offeredAt            int64
	unused               bool // it was opened by one above it, and nobody has used it
	held                 bool // the application must not write before it is told to
	priority             Priority

	received, recvSent uint64 // what the peer has sent, and the largest offset
	recvEnd, recvOver  bool
}

func newStreamsRig(t *testing.T, seed uint64) *streamsRig {
	r := &streamsRig{t: t, rng: rand.New(rand.NewPCG(seed, 0)), now: 1e9, data: make([]byte, 1<<20), plays: seed&1 != 0}
	least := []int{1, 2, 3, 100, 5000, 40_000, 300_000, 1 << 20}[r.rng.IntN(8)]
	cfg := &Config{StreamSendBuffer: least, MaxStreamSendBuffer: least << r.rng.IntN(5), MaxStreamsBidi: 10, MaxStreamsUni: 10,
		StreamReceiveWindow: 50_000, MaxStreamReceiveWindow: 1 << 20, ReceiveWindow: 100_000, MaxReceiveWindow: 1 << 20}
	r.st.init(true, cfg)
	r.maxData = 1 << r.rng.IntN(24)
	r.st.setPeerParams(&wire.TransportParameters{InitialMaxData: r.maxData, MaxStreamsBidi: 1 << 20,
		MaxStreamDataBidiRemote: 1 << r.rng.IntN(24)})
	return r
}

func (r *streamsRig) live(m *modelStream) bool { return r.st.live.get(m.id) != nil }

// pick returns a stream that is not forgotten, nil if there is none.
func (r *streamsRig) pick() *modelStream {
	for range 5 {
		if n := len(r.models); n > 0 {
			if m := r.models[max(r.rng.IntN(n), n-1-r.rng.IntN(30))]; r.live(m) {
				return m
			}
		}
	}
	return nil
}

func (r *streamsRig) step() {
	m := r.pick()
	switch what := r.rng.IntN(100); {
	case m == nil || what < 8:
		if r.st.live.len() < 30 && !(r.rng.IntN(2) == 0 && r.use()) {
			r.open()
		}
	case what < 33:
		size := r.rng.IntN(1 << r.rng.IntN(21))
		r.write(m, size, r.rng.IntN(20) == 0)
	case what < 36:
		r.write(m, 0, r.rng.IntN(2) == 0)
	case what < 38:
		r.shutdown(m)
	case what < 40:
		r.stopSending(m)
	case what < 42:
		r.raise(m, uint64(r.rng.IntN(1<<20)))
	case what < 44:
		r.maxData += uint64(r.rng.IntN(1 << 20))
		r.st.handleMaxData(r.maxData)
	case what < 65:
		r.send()
		r.offerRoom()
	case what < 80:
		r.settleSent(true)
	case what < 84:
		r.settleSent(false)
	case what < 86:
		r.st.admission.tune(r.st.cfg, int64(r.rng.IntN(1<<20)))
		r.offerRoom()
	case what < 92:
		r.receive(m)
	case what < 95:
		r.read(m)
	case what < 97 && r.plays:
		r.prioritize(m)
	default:
		r.pass(int64(r.rng.IntN(30e6)))
	}
	if r.rng.IntN(3) > 0 {
		r.events(func(m *modelStream) {
			if r.rng.IntN(4) > 0 {
				r.write(m, r.rng.IntN(200_000), r.rng.IntN(10) == 0)
			}
		})
	}
}

// open opens the next stream, or one a little above it, so that those between are left to be used.
func (r *streamsRig) open() {
	next := uint64(len(r.models)) << 2
	id, err := next, error(nil)
	if r.rng.IntN(3) > 0 {
		id, err = r.st.open(false)
	} else {
		id += uint64(r.rng.IntN(4)) << 2
		err = r.st.openID(id)
	}
	if err != nil || id < next {
		r.t.Fatalf("stream %d was opened, and %d is the next: %v", id, next, err)
	}
	for ; next <= id; next += 4 {
		r.models = append(r.models, &modelStream{id: next, limit: r.st.sendSize(next), priority: Priority{Urgency: 3, Incremental: true}, unused: true})
	}
	r.begin(r.models[id>>2])
}

// use begins with the first stream that was left to be used, of which the application or the peer is the first to do so, and tells whether
// there is one.
func (r *streamsRig) use() bool {
	for _, m := range r.models {
		if m.unused {
			if r.rng.IntN(2) == 0 {
				r.st.handleStream(r.now, m.id, 0, nil, false)
			}
			r.begin(m)
			return true
		}
	}
	return false
}

func (r *streamsRig) begin(m *modelStream) {
	m.unused = false
	r.st.setUser(m.id, m)
	if got := r.st.user(m.id); got != m {
		r.t.Fatalf("the stream's data is %v, want %v", got, m)
	}
}

// The model of admission, which remembers only who waits in which order and who was told when.

func (m *modelStream) free() int64 { return min(m.written, int64(m.limit)) - m.sent }

func (r *streamsRig) sums() (held, unsent int64) {
	for _, m := range r.models {
		if !m.cut {
			held += m.written - m.base
			unsent += max(m.free(), 0)
		}
	}
	return held, unsent
}

func (r *streamsRig) own(m *modelStream) int64 {
	held, _ := r.sums()
	limit := r.st.admission.limit
	mine, stuck := m.written-m.base, m.written-m.sent-max(m.free(), 0)
	return max(0, min(limit-mine, maxUnsent-stuck, max(maxSendBuffers*limit-held, min(sendBufferFloor, limit)-mine)))
}

// shared is the room that a stream shares with all that are as urgent, or more.
func (r *streamsRig) shared(m *modelStream) int64 {
	left := int64(maxUnsent)
	for _, o := range r.models {
		if levelOf(o.priority) > levelOf(m.priority) {
			continue
		}
		if !o.cut {
			left -= max(o.free(), 0)
		}
		if o.state == seatOffered {
			left -= askedBytes
		}
	}
	return left
}

// front returns who is served next of those in line.
func (r *streamsRig) front() (front *modelStream) {
	for _, m := range r.line {
		if front == nil || r.ranked && r.precedes(m, front) {
			front = m
		}
	}
	return front
}

// precedes tells whether m is served before o, which stands in line before it, or where m is not in line.
func (r *streamsRig) precedes(m, o *modelStream) bool {
	a, b := m.priority, o.priority
	switch {
	case levelOf(a) != levelOf(b):
		return levelOf(a) < levelOf(b)
	case a.Incremental != b.Incremental:
		return slices.Contains(r.line, m) && a.Incremental == r.whole[levelOf(a)]
	}
	return !a.Incremental && m.id < o.id
}

// first drops from the line who has ended, or waits for its own acknowledgements, up to one that does not, which it returns.
func (r *streamsRig) first() *modelStream {
	for m := r.front(); m != nil; m = r.front() {
		if m.state == seatWaiting && r.own(m) >= max(min(r.st.admission.limit/4, sendBufferFloor), 1) {
			return m
		}
		r.leave(m)
	}
	return nil
}

func (r *streamsRig) leave(m *modelStream) {
	r.line = slices.DeleteFunc(r.line, func(o *modelStream) bool { return o == m })
}

// offerRoom is what Conn does after it has packed a train, and when the timer is due.
func (r *streamsRig) offerRoom() {
	r.st.offerRoom(r.now)
	r.offer()
}

// offer tells streams of room.
func (r *streamsRig) offer() {
	for m := r.first(); m != nil; m = r.first() {
		least := int64(askedBytes)
		if len(r.line) == 1 {
			least = sendBufferFloor
		}
		if r.shared(m) < least {
			for len(r.offers) > 0 && r.now-r.offers[0].offeredAt >= offerLife {
				r.offers[0].state = seatIdle
				r.offers = r.offers[1:]
			}
		}
		if r.shared(m) < least {
			return
		}
		r.leave(m)
		r.whole[levelOf(m.priority)] = !m.priority.Incremental
		m.state, m.offeredAt = seatOffered, r.now
		r.offers = append(r.offers, m)
	}
}

func (r *streamsRig) answer(m *modelStream, state seatState) {
	if m.state == seatOffered {
		m.state = seatIdle
		r.offers = slices.DeleteFunc(r.offers, func(o *modelStream) bool { return o == m })
	}
	if state != m.state && (state == seatWaiting || m.ended || m.cut) {
		m.state = state
	}
	if r.ranked && (m.ended || m.cut) {
		r.leave(m)
	}
	if m.state == seatWaiting {
		r.enqueue(m)
	}
}

func (r *streamsRig) enqueue(m *modelStream) {
	if !slices.Contains(r.line, m) {
		r.line = append(r.line, m)
	}
}

func (r *streamsRig) write(m *modelStream, size int, fin bool) {
	room, _ := r.st.room(m.id)
	m.told = m.told || m.cut // room has given the error
	if !r.live(m) {
		return
	}
	n, err := r.writeParts(m, size, fin)
	if err == nil && (n == size) != (size <= room) {
		r.t.Fatalf("stream %d took %d bytes of %d, and had told of room for %d", m.id, n, size, room)
	}
	if m.cut || m.ended {
		if err == nil {
			r.t.Fatalf("stream %d took a write after its end", m.id)
		}
		m.told = true
		return
	}
	if err != nil {
		r.t.Fatalf("stream %d: %v", m.id, err)
	}
	want := r.own(m)
	if shared := r.shared(m); int64(size)+m.written-m.sent > littleUnsent {
		switch {
		case m.state == seatOffered:
			want = min(want, shared+askedBytes)
		case r.front() != nil && r.front() != m && !(r.ranked && !slices.Contains(r.line, m) && r.precedes(m, r.front())):
			want = 0
		default:
			want = min(want, shared)
		}
	}
	if want = min(max(want, 0), int64(size)); int64(n) != want {
		r.t.Fatalf("stream %d took %d bytes of %d, want %d", m.id, n, size, want)
	}
	m.written += int64(n)
	m.held = n < size
	switch {
	case n < size:
		r.answer(m, seatWaiting)
	case fin:
		m.ended, m.told = true, true
		r.answer(m, seatIdle)
	case m.state == seatOffered:
		r.answer(m, seatIdle)
	}
	r.offer()
}

// writeParts writes in one piece or in several.
func (r *streamsRig) writeParts(m *modelStream, size int, fin bool) (int, error) {
	if r.rng.IntN(2) == 0 {
		return r.st.send(r.now, m.id, r.data[:size], fin)
	}
	var parts [][]byte
	for left := r.data[:size]; len(left) > 0 || r.rng.IntN(3) == 0; {
		n := r.rng.IntN(len(left) + 1)
		parts, left = append(parts, left[:n]), left[n:]
	}
	return r.st.sendParts(r.now, m.id, parts, fin)
}

func (r *streamsRig) cutOff(m *modelStream, told bool) {
	if m.cut || m.ended && m.finAcked && m.base == m.written {
		return
	}
	m.cut, m.told, m.held = true, told || m.told, false
	r.answer(m, seatIdle)
	r.offer()
}

func (r *streamsRig) shutdown(m *modelStream) {
	dir := Direction(1 + r.rng.IntN(3))
	if dir == ReadDirection && r.rng.IntN(2) == 0 {
		if err := r.st.stopLater(r.now, m.id, 7); err != nil {
			r.t.Fatal(err)
		}
	} else if err := r.st.shutdown(r.now, m.id, dir, 7); err != nil {
		r.t.Fatal(err)
	}
	if dir&WriteDirection != 0 {
		m.told = true
		r.cutOff(m, true)
	}
	if dir&ReadDirection != 0 {
		m.recvOver = true
	}
}

func (r *streamsRig) stopSending(m *modelStream) {
	if err := r.st.handleStopSending(r.now, m.id, 8); err != nil {
		r.t.Fatal(err)
	}
	r.cutOff(m, false)
}

func (r *streamsRig) prioritize(m *modelStream) {
	p := drawPriority(r.rng)
	if err := r.st.setPriority(r.now, m.id, p); err != nil {
		r.t.Fatal(err)
	}
	if p == m.priority {
		return
	}
	if !r.ranked {
		r.ranked = true
		r.line = slices.DeleteFunc(r.line, func(o *modelStream) bool { return o.state != seatWaiting })
	}
	m.priority = p
	if slices.Contains(r.line, m) {
		r.leave(m)
		r.enqueue(m)
	}
	r.offer()
}

func (r *streamsRig) raise(m *modelStream, by uint64) {
	if err := r.st.handleMaxStreamData(m.id, m.limit+by); err != nil {
		r.t.Fatal(err)
	}
	m.limit += by
}

// send has a packet of random size leave.
func (r *streamsRig) send() (any bool) {
	var loss recovery.Loss
	loss.Init(true)
	pkt := packet{loss: &loss, header: header{sp: recovery.AppSpace}, b: make([]byte, 0, 100+r.rng.IntN(1400))}
	r.st.appendControl(&pkt)
	r.st.appendData(&pkt)
	var frames []recovery.Frame
	for b := pkt.b; len(b) > 0; {
		typ, n := consumeAnyFrame(b)
		if n <= 0 {
			r.t.Fatalf("a malformed frame %x", b[:min(len(b), 20)])
		}
		frames = append(frames, r.onFrame(typ, b[:n]))
		b = b[n:]
	}
	if len(frames) > 0 {
		r.sent = append(r.sent, frames)
	}
	return len(frames) > 0
}

func (r *streamsRig) onFrame(typ uint64, b []byte) recovery.Frame {
	f := recovery.Frame{Type: uint8(typ)}
	fields := b
	next := func() (v uint64) {
		v, n := wire.ConsumeVarint(fields)
		fields = fields[n:]
		return v
	}
	next()
	switch {
	case typ >= wire.FrameStream && typ < wire.FrameStream+8:
		id, off, fin, data, _ := wire.ConsumeStream(b)
		f = recovery.Frame{Type: wire.FrameStream, Flags: finFlag(fin), ID: id, Off: off, Len: uint32(len(data))}
		m, end := r.models[id>>2], int64(off)+int64(len(data))
		if m.cut || int64(off) > m.sent || end > m.written || end > int64(m.limit) || fin && (!m.ended || end != m.written) {
			r.t.Fatalf("stream %d: sent [%d, %d) fin %v; %+v", id, off, end, fin, m)
		}
		m.sent = max(m.sent, end)
	case typ == wire.FrameMaxStreamData || typ == wire.FrameStreamDataBlocked:
		f.ID, f.Off = next(), next()
	case typ == wire.FrameResetStream:
		f.ID = next()
		if next(); next() != uint64(r.models[f.ID>>2].sent) {
			r.t.Fatal("a reset with another final size")
		}
	case typ == wire.FrameStopSending:
		f.ID = next()
	default:
		f.Off = next()
		if typ == wire.FrameMaxStreamsUni || typ == wire.FrameStreamsBlockedUni {
			f.ID = StreamTypeUni
		}
		if typ == wire.FrameMaxStreamsBidi || typ == wire.FrameMaxStreamsUni {
			f.ID++
		}
	}
	return f
}

// settleSent has a packet be acknowledged or lost.
func (r *streamsRig) settleSent(acked bool) {
	if len(r.sent) == 0 {
		return
	}
	i := r.rng.IntN(len(r.sent))
	frames := r.sent[i]
	r.sent = slices.Delete(r.sent, i, i+1)
	for _, f := range frames {
		if !acked {
			r.st.onFrameLost(f)
			continue
		}
		r.st.onFrameAcked(r.now, f)
		if f.Type == wire.FrameResetStream {
			r.models[f.ID>>2].resetAcked = true
		}
		if f.Type != wire.FrameStream {
			continue
		}
		if m := r.models[f.ID>>2]; !m.cut {
			m.acked.Add(int64(f.Off), int64(f.Off)+int64(f.Len))
			m.finAcked = m.finAcked || f.Flags != 0
			if base := m.base; len(m.acked) > 0 && m.acked[0].Start == 0 {
				if m.base = m.acked[0].End; m.base > base {
					if m.state == seatWaiting {
						r.enqueue(m)
					}
					r.offer()
				}
			}
		}
	}
}

// pass lets time pass, to the timer of admission and beyond.
func (r *streamsRig) pass(d int64) {
	end := r.now + d
	if at := r.st.admission.timer(); at != 0 && at <= end {
		r.now = max(r.now, at)
		r.offerRoom()
		if at := r.st.admission.timer(); at != 0 && at <= r.now {
			r.t.Fatal("the timer is due again at once")
		}
	}
	r.now = end
	if r.st.onStopTimer(r.now); r.st.stopTimer() != 0 && r.st.stopTimer() <= r.now {
		r.t.Fatal("STOP_SENDING is due and does not leave")
	}
}

// events reads what there is to tell.
func (r *streamsRig) events(writable func(m *modelStream)) {
	for {
		var ev Event
		if r.st.nextEvent(&ev); ev.Kind == 0 {
			return
		}
		m := r.models[ev.Stream>>2]
		if ev.Data != m {
			r.t.Fatalf("event %d of stream %d has data %v", ev.Kind, ev.Stream, ev.Data)
		}
		if ev.Kind == EventWritable {
			if m.ended || m.told {
				r.t.Fatalf("stream %d is told to write after its end", m.id)
			}
			m.held = false
			writable(m)
		}
	}
}

// The receiving parts: only their sums are compared.

func (r *streamsRig) receive(m *modelStream) {
	p := r.st.live.get(m.id).recv
	if p.over || p.sized {
		return
	}
	off := p.highest - uint64(r.rng.Int64N(int64(p.highest)+1))
	n := min(uint64(r.rng.IntN(3000)), p.window.limit-off, p.highest-off+r.st.recvWindow.limit-r.st.recvUsed)
	var err *TransportError
	switch r.rng.IntN(20) {
	case 0:
		err = r.st.handleResetStream(r.now, m.id, 9, p.highest)
	case 1:
		err = r.st.handleStream(r.now, m.id, p.highest, nil, true)
	default:
		err = r.st.handleStream(r.now, m.id, off, r.data[:n], false)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *streamsRig) read(m *modelStream) {
	if s := r.st.live.get(m.id); !s.recv.over && !s.recv.stopped {
		r.st.recv(r.now, m.id, make([]byte, r.rng.IntN(5000)))
	}
}

func (r *streamsRig) check() {
	a := &r.st.admission
	if held, unsent := r.sums(); a.held != held || a.unsent != unsent {
		r.t.Errorf("held %d, unsent %d; want %d, %d", a.held, a.unsent, held, unsent)
	}
	if err := r.st.check(); err != nil {
		r.t.Error(err)
	}
	if len(a.offers) != len(r.offers) || len(a.offers) > maxOffers && !r.ranked || len(a.offers) > maxRankedOffers {
		r.t.Errorf("%d offers, want %d", len(a.offers), len(r.offers))
	}
	for i, m := range r.offers {
		if a.offers[i].to.id != m.id || a.offers[i].at != m.offeredAt {
			r.t.Errorf("offer %d is %+v, want to %d", i, a.offers[i], m.id)
		}
	}
	gaps, used, standing := 0, uint64(0), 0
	for s := range r.st.live.all {
		m := r.models[s.id>>2]
		gaps += len(s.recv.got)
		used += s.recv.highest
		if s.send.seat.state != m.state {
			r.t.Errorf("stream %d is in state %d, want %d", s.id, s.send.seat.state, m.state)
		}
		if s.send.seat.state == seatWaiting && !s.queued[queueWaiting] {
			if standing++; s.send.buf.held() == 0 {
				r.t.Errorf("stream %d waits beside the line, and for nothing", s.id)
			}
		}
		if n, err := r.st.acked(s.id); n != uint64(m.base) || err != nil {
			r.t.Errorf("stream %d: %d bytes are acknowledged (%v), want %d", s.id, n, err, m.base)
		}
	}
	if r.st.gaps != gaps || used > r.st.recvUsed || r.st.recvWindow.consumed > r.st.recvUsed {
		r.t.Errorf("gaps %d, want %d; received %d, of which live streams %d", r.st.gaps, gaps, r.st.recvUsed, used)
	}
	if r.ranked != (r.st.order != nil) {
		r.t.Errorf("there is an order: %v, want %v", r.st.order != nil, r.ranked)
	}
	if r.ranked {
		for _, m := range r.line {
			if s := r.st.live.get(m.id); s == nil || !s.queued[queueWaiting] {
				r.t.Errorf("stream %d does not stand in line", m.id)
			}
		}
		if n := a.line.len(); n != len(r.line) || a.first() != nil && a.first().id != r.front().id {
			r.t.Errorf("%d streams stand in line, want %d; or another is the first", n, len(r.line))
		}
		return
	}
	n := 0
	for s := a.waiting.head; s != nil; s = s.next[queueWaiting] {
		if n >= len(r.line) || r.line[n].id != s.id {
			r.t.Errorf("stream %d stands at place %d, which is wrong", s.id, n)
			return
		}
		n++
	}
	if n != len(r.line) {
		r.t.Errorf("%d streams stand in line, want %d", n, len(r.line))
	}
}

// finish ends all streams.
func (r *streamsRig) finish() {
	for _, m := range r.models {
		if r.live(m) {
			r.raise(m, 1<<40)
			r.st.handleResetStream(r.now, m.id, 9, r.st.live.get(m.id).recv.highest)
			r.st.shutdown(r.now, m.id, ReadDirection, 1)
		}
	}
	r.maxData += 1 << 40
	r.st.handleMaxData(r.maxData)
	left := make(map[*modelStream]int)
	last := func(m *modelStream) {
		if _, ok := left[m]; !ok {
			left[m] = r.rng.IntN(min(1<<20, int(r.st.admission.limit)*50))
		}
		before := m.written
		r.write(m, left[m], true)
		left[m] -= int(m.written - before)
	}
	for i := 0; r.st.live.len() > 0; i++ {
		if i == 100_000 {
			r.t.Fatalf("%d streams never end; %d bytes held, %d unsent, %d offers", r.st.live.len(), r.st.admission.held,
				r.st.admission.unsent, len(r.st.admission.offers))
		}
		for _, m := range r.models {
			if r.live(m) && !m.held && !m.told && i == 0 {
				last(m)
			}
		}
		if r.rng.IntN(20) == 0 {
			r.st.rest()
		}
		r.events(last)
		for r.send() {
		}
		r.offerRoom()
		for len(r.sent) > 0 {
			r.settleSent(r.rng.IntN(20) > 0)
		}
		r.check()
		if r.t.Failed() {
			r.t.FailNow()
		}
		r.pass(1e6)
	}
	for i := range r.st.unused {
		for s := r.st.unused[i]; s != nil; s = s.next[queueEvents] {
			if s.user != nil {
				r.t.Errorf("stream %d is over, and its data is kept", s.id)
			}
		}
	}
	r.st.rest()
	if r.st.order != nil || r.st.admission.line != nil {
		r.t.Error("the order is kept while nothing waits")
	}
	if a := &r.st.admission; a.held != 0 || a.unsent != 0 || len(a.offers) != 0 || a.timer() != 0 {
		r.t.Errorf("at the end %d bytes are held, %d unsent, and there are %d offers", a.held, a.unsent, len(a.offers))
	}
}
