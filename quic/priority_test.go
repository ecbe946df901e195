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

// TestPriorityModel writes on 10,000 streams, changes their priorities, lets packets get lost, and moves the limits of flow control, in a random
// order, and compares each frame that leaves with a plain model of RFC 9218, section 10.
func TestPriorityModel(t *testing.T) {
	for streams, steps := range map[int]int{10_000: 5_000, 300: 10_000, 20: 30_000} {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("streams=%d,seed=%d", streams, seed), func(t *testing.T) {
			r := newOrderRig(t, seed, streams)
			for range steps {
				r.step()
			}
			r.finish()
			if r.round < steps/5 {
				t.Errorf("only %d frames were sent", r.round)
			}
		})
	}
}

// orderRig plays with the streams of a client, of which each is of one direction.
type orderRig struct {
	t      *testing.T
	rng    *rand.Rand
	st     streams
	most   int // streams
	models []*orderModel
	alive  []*orderModel
	sent   [][]recovery.Frame
	credit int64 // of the connection, left
	max    uint64
	data   []byte
	round  int           // counts frames
	run    [9]sideRun    // of each level
	live   []*orderModel // with something to send, made by eligible
}

// sideRun is how much was sent on end of incremental streams, or of others, while one of the other side had something to send.
type sideRun struct {
	incremental bool
	n           int
}

// orderModel is a stream as the test sees it.
type orderModel struct {
	id                   uint64
	p                    Priority
	written, sent, limit int64
	lost, acked          ranges.Set
	fin, finDue, finDone bool
	cut                  bool
	turn                 int // bytes of its turn
	turnBegan, lastTurn  int // in rounds: the turn that it has, or had last, and the one before
	since                int // in rounds: when it had nothing to send, last
}

func (m *orderModel) hasLost() bool {
	return !m.cut && (len(m.lost) > 0 || m.finDue && m.sent == m.written)
}
func (m *orderModel) hasFresh() bool { return !m.cut && m.sent < min(m.written, m.limit) }

func newOrderRig(t *testing.T, seed uint64, most int) *orderRig {
	r := &orderRig{t: t, rng: rand.New(rand.NewPCG(seed, 0)), most: most, data: make([]byte, 1<<20), max: 1 << 20}
	cfg := &Config{StreamSendBuffer: 1 << 20, MaxStreamSendBuffer: 1 << 20}
	r.credit = int64(r.max)
	r.st.init(true, cfg)
	r.st.setPeerParams(&wire.TransportParameters{InitialMaxData: r.max, MaxStreamsUni: 1 << 20, MaxStreamDataUni: 50_000})
	for range most {
		r.open()
	}
	return r
}

func (r *orderRig) open() {
	id, err := r.st.open(true)
	if err != nil {
		r.t.Fatal(err)
	}
	m := &orderModel{id: id, limit: 50_000, p: Priority{Urgency: 3, Incremental: true}}
	r.models = append(r.models, m)
	r.alive = append(r.alive, m)
}

func (r *orderRig) byID(id uint64) *orderModel { return r.models[id>>2] }

func (r *orderRig) step() {
	var m *orderModel
	if len(r.alive) > 0 {
		m = r.alive[r.rng.IntN(len(r.alive))]
	}
	switch what := r.rng.IntN(100); {
	case m == nil:
		r.open()
	case what < 35:
		for range 1 + r.rng.IntN(4) {
			r.write(m, r.rng.IntN(1<<r.rng.IntN(18)), r.rng.IntN(8) == 0)
		}
	case what < 50:
		r.prioritize(m)
	case what < 53:
		r.shutdown(m)
	case what < 56:
		m.limit += int64(r.rng.IntN(100_000))
		if err := r.st.handleMaxStreamData(m.id, uint64(m.limit)); err != nil {
			r.t.Fatal(err)
		}
	case what < 60:
		r.raise(uint64(r.rng.IntN(200_000)))
	case what < 85:
		for range 1 + r.rng.IntN(5) {
			r.send()
		}
	case what < 90:
		r.settleSent(false)
	default:
		r.settleSent(true)
	}
	if r.rng.IntN(100) == 0 {
		if err := r.st.check(); err != nil {
			r.t.Fatal(err)
		}
	}
	for ev := (Event{Kind: 1}); ev.Kind != 0; r.st.nextEvent(&ev) {
		ev = Event{}
	}
}

func (r *orderRig) raise(by uint64) {
	r.max += by
	r.credit += int64(by)
	r.st.handleMaxData(r.max)
}

func (r *orderRig) write(m *orderModel, size int, fin bool) {
	n, err := r.st.send(0, m.id, r.data[:size], fin)
	if m.cut || m.fin {
		if err == nil {
			r.t.Fatalf("stream %d took a write after its end", m.id)
		}
		return
	}
	if err != nil {
		r.t.Fatal(err)
	}
	m.written += int64(n)
	if n == size && fin {
		m.fin, m.finDue = true, true
	}
}

// drawPriority draws a priority: a usual one every other time.
func drawPriority(rng *rand.Rand) Priority {
	p := Priority{Urgency: uint8(rng.IntN(8)), Incremental: rng.IntN(2) == 0}
	switch rng.IntN(8) {
	case 0, 1, 2, 3:
		p.Urgency = 3
	case 4:
		p.Urgency, p.Critical = 0, true
	}
	return p
}

// levelOf is where a priority stands in the order: critical streams go before those of all urgencies.
func levelOf(p Priority) int {
	if p.Critical {
		return 0
	}
	return int(p.Urgency) + 1
}

func (r *orderRig) prioritize(m *orderModel) {
	p := drawPriority(r.rng)
	if err := r.st.setPriority(0, m.id, p); err != nil {
		r.t.Fatal(err)
	}
	if p != m.p {
		m.turn, m.since = 0, r.round
	}
	m.p = p
}

func (r *orderRig) shutdown(m *orderModel) {
	if err := r.st.shutdown(0, m.id, WriteDirection, 1); err != nil {
		r.t.Fatal(err)
	}
	m.cut = true
}

// eligible collects what may be sent, and notes of the others that they have nothing.
func (r *orderRig) eligible() {
	r.live = r.live[:0]
	for _, m := range r.alive {
		if m.hasLost() || m.hasFresh() {
			r.live = append(r.live, m)
		}
		if m.hasLost() || !m.hasFresh() || r.credit == 0 {
			m.since = r.round
		}
	}
}

// send has a packet leave, and looks at each frame of it.
func (r *orderRig) send() (any bool) {
	var loss recovery.Loss
	loss.Init(true)
	pkt := packet{loss: &loss, header: header{sp: recovery.AppSpace}, b: make([]byte, 0, 100+r.rng.IntN(1400))}
	r.st.appendControl(&pkt)
	r.settleControl(pkt.b)
	start := len(pkt.b)
	r.st.appendData(&pkt)
	var frames []recovery.Frame
	for b := pkt.b[start:]; len(b) > 0; {
		id, off, fin, data, n := wire.ConsumeStream(b)
		if n <= 0 {
			r.t.Fatalf("no STREAM frame: %x", b[:min(len(b), 20)])
		}
		b = b[n:]
		frames = append(frames, recovery.Frame{Type: wire.FrameStream, Flags: finFlag(fin), ID: id, Off: off, Len: uint32(len(data))})
		r.onFrame(r.byID(id), int64(off), len(data), fin)
	}
	if pkt.room() > 100 {
		r.eligible()
		for _, m := range r.live {
			if m.hasLost() || r.credit > 0 {
				r.t.Fatalf("%d bytes of a packet are left, and stream %d has something to send: %+v", pkt.room(), m.id, m)
			}
		}
	}
	if len(frames) > 0 {
		r.sent = append(r.sent, frames)
	}
	return len(frames) > 0
}

// settleControl acknowledges all control frames at once.
func (r *orderRig) settleControl(b []byte) {
	for len(b) > 0 {
		typ, n := consumeAnyFrame(b)
		if n <= 0 {
			r.t.Fatalf("a malformed frame %x", b[:min(len(b), 20)])
		}
		if typ == wire.FrameResetStream {
			id, _ := wire.ConsumeVarint(b[1:])
			r.st.onFrameAcked(0, recovery.Frame{Type: wire.FrameResetStream, ID: id})
			r.forget(r.byID(id))
		}
		b = b[n:]
	}
}

func (r *orderRig) forget(m *orderModel) {
	if r.st.live.get(m.id) == nil {
		r.alive = slices.DeleteFunc(r.alive, func(o *orderModel) bool { return o == m })
	}
}

func (r *orderRig) onFrame(m *orderModel, off int64, n int, fin bool) {
	r.round++
	r.eligible()
	resend := off < m.sent || n == 0
	if !slices.Contains(r.live, m) || resend && !m.hasLost() || !resend && (!m.hasFresh() || r.credit < int64(n)) {
		r.t.Fatalf("stream %d, [%d, %d) fin %v: %+v", m.id, off, off+int64(n), fin, m)
	}
	for _, o := range r.live {
		lost, fresh := o.hasLost(), o.hasFresh() && r.credit > 0
		same := levelOf(o.p) == levelOf(m.p)
		switch {
		case o == m:
		case levelOf(o.p) < levelOf(m.p) && (lost || fresh):
			r.t.Fatalf("stream %d sends with %+v, and %d waits with %+v", m.id, m.p, o.id, o.p)
		case !resend && same && lost:
			r.t.Fatalf("stream %d sends new data, and %d has lost some", m.id, o.id)
		case !o.p.Incremental && same && (!m.p.Incremental && o.id < m.id || m.p.Incremental && resend) && (resend && lost || !resend && fresh):
			r.t.Fatalf("stream %d sends (lost: %v), and %d is before it", m.id, resend, o.id)
		}
	}
	if resend {
		m.lost.Sub(off, off+int64(n))
	} else {
		r.onFresh(m, n)
		m.sent += int64(n)
		r.credit -= int64(n)
		if m.turn += n; m.turn >= sendQuantum || !m.hasFresh() {
			m.turn = 0
		}
	}
	if fin {
		m.finDue = false
	}
}

// onFresh checks who takes turns with whom.
func (r *orderRig) onFresh(m *orderModel, n int) {
	u := levelOf(m.p)
	if m.p.Incremental && m.turn == 0 {
		for _, o := range r.live {
			// o waits since before m had its turn before, and had none since.
			if o != m && o.p == m.p && o.hasFresh() && !o.hasLost() && o.since < m.turnBegan && o.turnBegan < m.turnBegan && m.since < m.turnBegan {
				r.t.Fatalf("stream %d has another turn (%d), and %d had none (%d) since %d", m.id, m.turnBegan, o.id, o.turnBegan, o.since)
			}
		}
		m.turnBegan = r.round
	}
	run := &r.run[u]
	if run.incremental != m.p.Incremental {
		*run = sideRun{incremental: m.p.Incremental}
	}
	if !slices.ContainsFunc(r.live, func(o *orderModel) bool {
		return levelOf(o.p) == u && o.p.Incremental != m.p.Incremental && o.hasFresh() && !o.hasLost()
	}) {
		run.n = 0
		return
	}
	if run.n += n; run.n >= sendQuantum+1500 {
		r.t.Fatalf("%d bytes of incremental=%v were sent, while the other side had some of level %d", run.n, m.p.Incremental, u)
	}
}

// settleSent has a packet be acknowledged or lost; of what is lost some is acknowledged later.
func (r *orderRig) settleSent(acked bool) {
	if len(r.sent) == 0 {
		return
	}
	i := r.rng.IntN(len(r.sent))
	frames := r.sent[i]
	if acked || r.rng.IntN(4) > 0 {
		r.sent = slices.Delete(r.sent, i, i+1)
	}
	for _, f := range frames {
		m, start, end := r.byID(f.ID), int64(f.Off), int64(f.Off)+int64(f.Len)
		if !acked {
			r.st.onFrameLost(f)
			m.lost.Add(start, end)
			for _, a := range m.acked {
				m.lost.Sub(a.Start, a.End)
			}
			m.finDue = m.finDue || f.Flags != 0 && !m.finDone
			continue
		}
		r.st.onFrameAcked(0, f)
		m.acked.Add(start, end)
		m.lost.Sub(start, end)
		if f.Flags != 0 {
			m.finDone, m.finDue = true, false
		}
		r.forget(m)
	}
}

// finish has everything be written to its end, sent and acknowledged.
func (r *orderRig) finish() {
	r.raise(1 << 40)
	for i := 0; len(r.alive) > 0; i++ {
		if i == 100_000 {
			r.t.Fatalf("%d streams never end, such as %+v", len(r.alive), r.alive[0])
		}
		if i == 0 {
			for _, m := range slices.Clone(r.alive) {
				m.limit = 1 << 40
				r.st.handleMaxStreamData(m.id, uint64(m.limit))
			}
		}
		for _, m := range slices.Clone(r.alive[max(0, len(r.alive)-50):]) {
			if !m.cut && !m.fin {
				r.write(m, 0, true)
			}
		}
		for range 200 {
			if !r.send() {
				break
			}
		}
		for len(r.sent) > 0 {
			r.settleSent(r.rng.IntN(10) > 0)
		}
	}
	if err := r.st.check(); err != nil {
		r.t.Error(err)
	}
	for ev := (Event{Kind: 1}); ev.Kind != 0; r.st.nextEvent(&ev) {
		ev = Event{}
	}
	if r.st.rest(); r.st.order != nil {
		r.t.Error("the order is kept while nothing waits")
	}
}

// A rankedQueue gives out the least key, whatever came in which order and was taken out, and has little more room than it ever needed.
func TestRankedQueue(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 50 {
		var q rankedQueue
		in := map[*stream]uint64{}
		next, most, unordered := uint64(1<<40), 0, rng.IntN(4)
		for range 2000 {
			switch rng.IntN(5) {
			case 0, 1:
				key := next
				if next++; rng.IntN(10) < unordered {
					key = rng.Uint64N(1<<40)<<20 | next // each key is there once
				}
				s := new(stream)
				q.push(s, queueFresh, key)
				in[s] = key
			case 2: // any one
				for s := range in {
					q.remove(s, queueFresh)
					delete(in, s)
					break
				}
			default:
				if s := q.first(); s != nil {
					for _, key := range in {
						if key < in[s] {
							t.Fatalf("seed %#x: the first has key %d, and there is %d", seed, in[s], key)
						}
					}
					q.remove(s, queueFresh)
					delete(in, s)
				}
			}
			if most = max(most, len(in)); q.len() != len(in) || (q.first() == nil) != (len(in) == 0) {
				t.Fatalf("seed %#x: %d streams are in the queue, and it says %d", seed, len(in), q.len())
			}
		}
		if len(q.row) > 4*most+16 {
			t.Errorf("seed %#x: the row has %d elements, and never more than %d streams were in the queue", seed, len(q.row), most)
		}
	}
}
