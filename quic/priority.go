package quic

import (
	"errors"
	"fmt"
)

// Priority is the place of a stream among those of its connection that have something to send (RFC 9218, section 4). See
// Conn.SetStreamPriority.
type Priority struct {
	Urgency     uint8 // 0 to 7: what is of urgency 0 leaves before what is of another
	Incremental bool  // it takes turns with others of its urgency: what came of it is of use before the rest has come
	Critical    bool  // it leaves before all that is not, of whatever urgency: for the little that other streams wait for
}

// DefaultPriority is that of a request which tells none (RFC 9218, section 4). It is not what a stream has that no priority was set for:
// such streams take turns, as Priority{Urgency: 3, Incremental: true} says.
var DefaultPriority = Priority{Urgency: 3}

const (
	maxUrgency = 7
	levels     = maxUrgency + 2 // level 0 is that of critical streams, the others are urgencies
)

// rank is a Priority such that 0 is that of streams which none was set for. Its lowest bit says that the stream is not incremental.
type rank uint8

const unsetRank = (3 + 1) << 1 // Priority{Urgency: 3, Incremental: true}, before it is made 0

func rankOf(p Priority) rank {
	r := (p.Urgency + 1) << 1
	if p.Critical {
		r = 0
	}
	if !p.Incremental {
		r |= 1
	}
	return rank(r ^ unsetRank)
}

// level is the order of what is sent: all of a level before the next one.
func (r rank) level() int { return int(r^unsetRank) >> 1 }

// whole tells whether the stream is not incremental: it is sent as a whole, behind those that were opened before it.
func (r rank) whole() bool { return r&1 != 0 }

// side is where the stream stands in arrays of two: 0 for an incremental one.
func (r rank) side() int { return int(r & 1) }

// key is what orders streams of all levels: the level, and below that n, which orders those of one level.
func (r rank) key(n uint64) uint64 { return uint64(r.level())<<levelShift | n }

// ranked is a stream with the key that it stands in a queue by: its level, and below that what orders streams of one level.
type ranked struct {
	key uint64
	s   *stream
}

const (
	heapArity = 4

	levelShift = 60
	turnsBit   = 1 << 59 // behind all of the same level that have it not
	orderMask  = turnsBit - 1
)

func (e ranked) level() int { return int(e.key >> levelShift) }

// rankedQueue is a queue of streams in the order of keys. Each stands in it at most once, and can be taken out. Most come in the order of their
// keys, and leave in it: those stand in a row, the others in a heap.
type rankedQueue struct {
	row  []ranked // keys rise; what was taken out has no stream any more, but at the front there is one
	gone int      // elements at the front of row that have left
	many int      // streams in row
	heap streamHeap
}

func (q *rankedQueue) len() int { return q.many + len(q.heap) }

// first returns the stream with the least key, nil if there is none.
func (q *rankedQueue) first() *stream {
	switch {
	case q.many == 0 && len(q.heap) == 0:
		return nil
	case q.many == 0 || len(q.heap) > 0 && q.heap[0].key < q.row[q.gone].key:
		return q.heap[0].s
	}
	return q.row[q.gone].s
}

func (q *rankedQueue) push(s *stream, queue int, key uint64) {
	s.queued[queue] = true
	if n := len(q.row); n > 0 && key < q.row[n-1].key {
		q.heap.push(ranked{key, s}, queue)
		return
	}
	if len(q.row) == cap(q.row) && q.many <= len(q.row)/2 {
		q.closeUp(queue)
	}
	s.place[queue-queueResend] = ^int32(len(q.row))
	q.row = append(q.row, ranked{key, s})
	q.many++
}

// closeUp closes the gaps of the row.
func (q *rankedQueue) closeUp(queue int) {
	row := q.row[:0]
	for _, e := range q.row[q.gone:] {
		if e.s != nil {
			e.s.place[queue-queueResend] = ^int32(len(row))
			row = append(row, e)
		}
	}
	clear(q.row[len(row):])
	q.row, q.gone = row, 0
}

// remove takes a stream out that stands in the queue.
func (q *rankedQueue) remove(s *stream, queue int) {
	s.queued[queue] = false
	i := s.place[queue-queueResend]
	if i >= 0 {
		q.heap.remove(int(i), queue)
		return
	}
	q.row[^i].s = nil
	if q.many--; q.many == 0 {
		q.row, q.gone = q.row[:0], 0
		return
	}
	for q.row[q.gone].s == nil {
		q.gone++
	}
}

// streamHeap is a heap of heapArity children each: few streams are moved, which all lie elsewhere.
type streamHeap []ranked

func (h *streamHeap) push(e ranked, queue int) {
	*h = append(*h, ranked{})
	h.up(len(*h)-1, e, queue)
}

// remove takes the i-th element out.
func (h *streamHeap) remove(i, queue int) {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = ranked{}
	*h = (*h)[:last]
	switch {
	case i == last:
	case i > 0 && e.key < (*h)[(i-1)/heapArity].key:
		h.up(i, e, queue)
	default:
		h.down(i, e, queue)
	}
}

func (h streamHeap) set(i int, e ranked, queue int) {
	h[i] = e
	e.s.place[queue-queueResend] = int32(i)
}

// up puts e at i, which is free, or above.
func (h streamHeap) up(i int, e ranked, queue int) {
	for i > 0 {
		parent := (i - 1) / heapArity
		if h[parent].key <= e.key {
			break
		}
		h.set(i, h[parent], queue)
		i = parent
	}
	h.set(i, e, queue)
}

// down puts e at i, which is free, or below.
func (h streamHeap) down(i int, e ranked, queue int) {
	for {
		first := heapArity*i + 1
		if first >= len(h) {
			break
		}
		child := first
		for k := first + 1; k < min(first+heapArity, len(h)); k++ {
			if h[k].key < h[child].key {
				child = k
			}
		}
		if e.key <= h[child].key {
			break
		}
		h.set(i, h[child], queue)
		i = child
	}
	h.set(i, e, queue)
}

// sides are two queues of streams, incremental ones and others, the most urgent first: of the former who has waited longest, of the latter
// the lowest ID. Where there are both of one urgency they take turns, so that neither has the other wait for long (RFC 9218, section 10).
type sides struct {
	at     [2]rankedQueue
	turns  [levels]sideTurn
	pushed uint64 // how many incremental streams were, which orders them
}

// sideTurn is whose turn it is among the streams of one urgency.
type sideTurn struct {
	incremental bool
	used        int32 // how much of the turn was, in whatever unit
}

func (q *sides) len() int { return q.at[0].len() + q.at[1].len() }

func (q *sides) push(s *stream, queue int) {
	if s.queued[queue] {
		return
	}
	n := s.id & orderMask
	if !s.rank.whole() {
		q.pushed++
		n = q.pushed
	}
	q.at[s.rank.side()].push(s, queue, s.rank.key(n))
}

func (q *sides) remove(s *stream, queue int) {
	if s.queued[queue] {
		q.at[s.rank.side()].remove(s, queue)
	}
}

func (q *sides) first() *stream {
	turn, whole := q.at[0].first(), q.at[1].first()
	switch {
	case whole == nil:
		return turn
	case turn == nil:
		return whole
	}
	a, b := turn.rank.level(), whole.rank.level()
	if a < b || a == b && q.turns[a].incremental {
		return turn
	}
	return whole
}

// onServed notes that a stream has had n of a turn, which is over with most.
func (q *sides) onServed(s *stream, n, most int32) {
	t := &q.turns[s.rank.level()]
	if incremental := !s.rank.whole(); t.incremental != incremental {
		*t = sideTurn{incremental: incremental}
	}
	if t.used += n; t.used >= most {
		*t = sideTurn{incremental: !t.incremental}
	}
}

// sendOrder is the order in which streams send, once one has a priority: the queues resend and fresh of streams are empty then. Of each
// urgency what was lost is sent first: streams that are not incremental by their ID, then the others; and then what is new.
type sendOrder struct {
	resend rankedQueue
	fresh  sides
	lost   uint64 // how many incremental streams were put into resend
}

func (o *sendOrder) push(s *stream, queue int) {
	if queue == queueFresh {
		o.fresh.push(s, queueFresh)
		return
	}
	if s.queued[queue] {
		return
	}
	n := s.id & orderMask
	if !s.rank.whole() {
		o.lost++
		n = o.lost&orderMask | turnsBit
	}
	o.resend.push(s, queue, s.rank.key(n))
}

// remove takes a stream out of one queue, or leaves it where it is not.
func (o *sendOrder) remove(s *stream, queue int) {
	switch {
	case queue == queueFresh:
		o.fresh.remove(s, queue)
	case s.queued[queue]:
		o.resend.remove(s, queue)
	}
}

// next returns the stream that sends next, and whether what was lost. credit tells whether new data may be sent.
func (o *sendOrder) next(credit bool) (s *stream, resend bool) {
	if credit {
		s = o.fresh.first()
	}
	if lost := o.resend.first(); lost != nil && (s == nil || lost.rank.level() <= s.rank.level()) {
		return lost, true
	}
	return s, false
}

// setPriority is Conn.SetStreamPriority.
func (st *streams) setPriority(now int64, id uint64, p Priority) error {
	if p.Urgency > maxUrgency {
		return fmt.Errorf("quic: urgency %d of stream %d; it may be 0 to %d", p.Urgency, id, maxUrgency)
	}
	s, err := st.usable(id, st.sends(id))
	if err != nil {
		return err
	}
	r := rankOf(p)
	if s.rank == r {
		return nil
	}
	st.rankStreams()
	resend, fresh := s.queued[queueResend], s.queued[queueFresh]
	st.unqueueData(s)
	st.admission.setRank(s, r)
	s.turn = 0
	if resend {
		st.order.push(s, queueResend)
	}
	if fresh {
		st.order.push(s, queueFresh)
	}
	st.offerRoom(now)
	return nil
}

// rankStreams has streams keep to their priorities from now on, until the connection rests.
func (st *streams) rankStreams() {
	if st.order != nil {
		return
	}
	st.order = new(sendOrder)
	for st.resend.head != nil {
		st.queueData(st.resend.pop(queueResend)) // if it is not over
	}
	for st.fresh.head != nil {
		st.queueData(st.fresh.pop(queueFresh))
	}
	st.admission.rankStreams(&st.live)
}

// restOrder lets go of the order if there is nothing in it.
func (st *streams) restOrder() {
	if o, a := st.order, &st.admission; o != nil && o.resend.len() == 0 && o.fresh.len() == 0 && a.restLine() {
		st.order = nil
	}
}

// check looks for a stream in the wrong place, or in none, and for sums that are wrong.
func (st *streams) check() error {
	a := &st.admission
	var held int64
	var unsent [levels]int64
	queued := 0
	for s := range st.live.all {
		p := s.send
		free, _ := seatCount(p)
		held += p.buf.held()
		unsent[s.rank.level()] += free
		for queue := queueResend; queue <= queueWaiting && st.order != nil; queue++ {
			if s.queued[queue] {
				queued++
			}
		}
		lost := p.buf.resends() || p.end.due() && p.buf.sent == p.buf.end
		fresh := p.buf.sent < p.buf.end && p.window.available() > 0
		if !p.cut && !s.barred && (lost && !s.queued[queueResend] || fresh && !lost && !s.queued[queueFresh] && !s.queued[queueResend]) {
			return fmt.Errorf("quic: stream %d has something to send and is not queued", s.id)
		}
	}
	if err := st.checkStops(); err != nil {
		return err
	}
	sum := int64(0)
	for u, n := range unsent {
		if sum += n; a.line != nil && a.line.unsent[u] != n {
			return fmt.Errorf("quic: %d bytes of level %d count as unsent, and are %d", a.line.unsent[u], u, n)
		}
	}
	for typ := range uint64(4) {
		if t := &st.types[typ]; !st.untold && (t.available || !st.isLocal(typ) && t.announced < t.opened) {
			return fmt.Errorf("quic: streams of type %d are to be told of, and will not be", typ)
		}
	}
	if a.held != held || a.unsent != sum {
		return fmt.Errorf("quic: %d bytes count as held and %d as unsent; they are %d and %d", a.held, a.unsent, held, sum)
	}
	if (st.order == nil) != (a.line == nil) || st.order != nil && (st.resend.head != nil || st.fresh.head != nil || a.waiting.head != nil) {
		return errors.New("quic: streams are queued with priorities and without")
	}
	if st.order == nil {
		return nil
	}
	o := st.order
	n := 0
	for _, q := range []struct {
		*rankedQueue
		queue int
		side  int
	}{{&o.resend, queueResend, -1}, {&o.fresh.at[0], queueFresh, 0}, {&o.fresh.at[1], queueFresh, 1}, {&a.line.at[0], queueWaiting, 0}, {&a.line.at[1], queueWaiting, 1}} {
		n += q.len()
		many := 0
		wrong := func(e ranked, place int, least uint64) bool {
			return e.key < least || int(e.s.place[q.queue-queueResend]) != place || !e.s.queued[q.queue] || e.level() != e.s.rank.level() ||
				q.side >= 0 && e.s.rank.side() != q.side
		}
		for i, e := range q.row {
			if e.s == nil {
				continue
			}
			many++
			if i < q.gone || wrong(e, ^i, q.row[max(i-1, 0)].key) {
				return fmt.Errorf("quic: stream %d is in the wrong place of the row of queue %d", e.s.id, q.queue)
			}
		}
		for i, e := range q.heap {
			if wrong(e, i, q.heap[max(i-1, 0)/heapArity].key) {
				return fmt.Errorf("quic: stream %d is in the wrong place of the heap of queue %d", e.s.id, q.queue)
			}
		}
		if many != q.many || many == 0 && len(q.row) > 0 || many > 0 && q.row[q.gone].s == nil {
			return fmt.Errorf("quic: the row of queue %d has %d streams, and %d are counted", q.queue, many, q.many)
		}
	}
	if n != queued {
		return fmt.Errorf("quic: %d streams are queued, and %d of those that live", n, queued)
	}
	return nil
}
