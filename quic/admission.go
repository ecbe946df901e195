package quic

import "slices"

// admission decides how much of what the application writes is taken: it owns the room for data that was written and not acknowledged,
// that of each stream and that which all streams of a connection share. A stream's part in it is its seat.
//
// Of what was never sent the streams together hold about maxUnsent, and those that want more wait in line. They are offered room
// (EventWritable) when there is a good part of it, a few at a time. What is offered is kept free for the stream until it answers
// by a call of StreamSend, or until it ends; or, where another one waits for it, for offerLife.
//
// Once a stream has a priority, the line is a rankedLine: in the order in which streams send. What less urgent streams hold, or
// are offered, leaves room for more urgent ones: for each urgency, maxUnsent bounds what waits that is as urgent or more. Of one urgency, what
// was written first counts, whatever its place: who comes later and is sent first waits for that much at most.
//
// Invariants, after each call and the calls of next that follow it:
//   - held is the sum of what all streams hold, unsent that of their seats' counts, and a seat's count is what seatCount says.
//   - The streams that are in seatOffered are those of offers, the oldest first, and there are at most maxOffers, or maxRankedOffers.
//   - A stream that is in seatWaiting stands in line, unless its own room is less than worth: then it holds something, and comes back
//     with an acknowledgement of that. One that has ended, or was reset, is in seatIdle.
//   - Where a stream stands in line, the shared room is less than what is offered. Since that ends when something leaves, or
//     is reset, or an offer is answered, or grows old, nobody waits for ever unless the peer has us wait.
type admission struct {
	limit   int64 // bytes that one stream may hold
	held    int64 // bytes that all streams hold
	unsent  int64 // of those, bytes that were never sent, and that the peer's limit on their stream lets us send
	waiting streamQueue
	offers  []offer
	line    *rankedLine // in place of waiting; nil: no stream has a priority
}

// rankedLine is the line of streams with priorities. Where streams of one urgency take turns, a turn is one offer.
type rankedLine struct {
	sides
	unsent [levels]int64 // what of admission.unsent is of each level
}

// offer is room that is kept free for a stream, askedBytes of it.
type offer struct {
	to *stream
	at int64 // when it was made
}

// seat is where the sending part of a stream stands with admission.
type seat struct {
	state seatState
	count int64 // bytes of it that count as unsent
}

type seatState uint8

const (
	seatIdle    seatState = iota // it wants no room
	seatWaiting                  // StreamSend took less than all of what it was given: it is to be told when there is room
	seatOffered                  // it was told, and StreamSend has not been called since
)

const (
	// maxUnsent bounds what all streams hold that was never sent, in bytes: it is written shortly before it leaves, while it is in the
	// processor's caches. What the peer's limit on its stream holds back does not count, but is bounded in the same way on each stream.
	maxUnsent = 256 << 10

	// littleUnsent is what each stream may hold of that, in bytes, whatever the others do, if it is all that it wants to write.
	littleUnsent = 4 << 10

	// askedBytes is what is kept free for a stream that was told that it may write, in bytes.
	askedBytes = 64 << 10

	// maxOffers is how many streams at a time have been told so.
	maxOffers = maxUnsent / askedBytes

	// maxRankedOffers is that where streams have priorities: as many for each level.
	maxRankedOffers = maxOffers * levels

	// offerLife is how long room is kept free at least for a stream that was told so, in nanoseconds, while others wait for it. A
	// writer that is woken needs microseconds, one that has to read a file milliseconds.
	offerLife = int64(50e6)

	// sendBufferFloor is what each stream may hold for sending even if others hold all that is allowed in sum, in bytes.
	sendBufferFloor = 16 << 10

	// maxSendBuffers bounds what all streams hold for sending, in units of what one may.
	maxSendBuffers = 8
)

// tune has a stream hold three times what the path carries in a round trip, within what cfg says.
func (a *admission) tune(cfg *Config, carried int64) {
	a.limit = min(max(3*carried, int64(cfg.StreamSendBuffer)), int64(cfg.MaxStreamSendBuffer))
}

// seatCount is what of a part counts as unsent, and what does not since the peer's limit on the stream holds it back.
func seatCount(p *sendPart) (free, stuck int64) {
	all := p.buf.end - p.buf.sent
	free = min(all, int64(min(p.window.available(), 1<<62)))
	return free, all - free
}

// ownRoom returns how many more bytes the part takes by all bounds but that on what waits to be sent. Where it is small, what the part
// holds makes it so, and with an acknowledgement of that it grows.
func (a *admission) ownRoom(p *sendPart) int64 {
	held := p.buf.held()
	_, stuck := seatCount(p)
	all := max(maxSendBuffers*a.limit-a.held, min(sendBufferFloor, a.limit)-held)
	return max(min(a.limit-held, maxUnsent-stuck, all), 0)
}

// worth is the least room of a stream's own that it is told of.
func (a *admission) worth() int64 { return max(min(a.limit/4, sendBufferFloor), 1) }

// before returns how many unsent bytes leave before what is written on a stream now, or take turns with it; its own are among them.
func (a *admission) before(s *stream) (n int64) {
	if a.line == nil {
		return a.unsent
	}
	for _, more := range a.line.unsent[:s.rank.level()+1] {
		n += more
	}
	return n
}

// shared returns how many bytes of the room that a stream shares with others are neither taken nor kept free.
func (a *admission) shared(s *stream) int64 {
	left := maxUnsent - a.before(s)
	if a.line == nil {
		return left - askedBytes*int64(len(a.offers))
	}
	level := s.rank.level()
	for i := range a.offers {
		if a.offers[i].to.rank.level() <= level {
			left -= askedBytes
		}
	}
	return left
}

// room returns how many bytes the part takes of a write of n. Of what waits to be sent each has to wait for those before it, unless it
// is little.
func (a *admission) room(s *stream, n int64) int64 {
	p := s.send
	own, shared := a.ownRoom(p), a.shared(s)
	switch {
	case n+p.buf.end-p.buf.sent <= littleUnsent:
		return own
	case p.seat.state == seatOffered:
		shared += askedBytes
	case a.isBehind(s):
		return 0
	}
	return max(min(own, shared), 0)
}

// first returns the stream at the front of the line, nil if none waits.
func (a *admission) first() *stream {
	if a.line != nil {
		return a.line.first()
	}
	return a.waiting.head
}

// isBehind tells whether somebody in line is to be served before s, whether or not s stands there.
func (a *admission) isBehind(s *stream) bool {
	first := a.first()
	if first == nil || first == s {
		return false
	}
	if a.line == nil {
		return true
	}
	if u, v := s.rank.level(), first.rank.level(); u != v {
		return u > v
	}
	return !s.rank.whole() || !first.rank.whole() || s.id > first.id
}

func (a *admission) enqueue(s *stream) {
	if a.line != nil {
		a.line.push(s, queueWaiting)
	} else {
		a.waiting.push(s, queueWaiting)
	}
}

// dequeue takes first out of the line.
func (a *admission) dequeue(s *stream) {
	if a.line != nil {
		a.line.remove(s, queueWaiting)
	} else {
		a.waiting.pop(queueWaiting)
	}
}

// onlyOne tells whether one stream stands in line.
func (a *admission) onlyOne() bool {
	if a.line != nil {
		return a.line.len() == 1
	}
	return a.waiting.head == a.waiting.tail
}

// most returns how many bytes a write may have that the part takes whole.
func (a *admission) most(s *stream) int64 {
	p := s.send
	little := min(a.ownRoom(p), littleUnsent-(p.buf.end-p.buf.sent))
	return max(a.room(s, maxUnsent), little)
}

// reserve returns how many bytes the part takes whole whatever others hold and want.
func (a *admission) reserve(p *sendPart) int64 {
	_, stuck := seatCount(p)
	return max(min(sendBufferFloor-p.buf.held(), a.limit-p.buf.held(), maxUnsent-stuck, littleUnsent-(p.buf.end-p.buf.sent)), 0)
}

// onWrite notes that n bytes were written to a part.
func (a *admission) onWrite(s *stream, n int) {
	a.held += int64(n)
	a.recount(s)
}

// count changes by how much a part counts as unsent.
func (a *admission) count(s *stream, n int64) {
	a.unsent += n
	s.send.seat.count += n
	if a.line != nil {
		a.line.unsent[s.rank.level()] += n
	}
}

// onSent notes that n bytes of a part were sent for the first time.
func (a *admission) onSent(s *stream, n int) { a.count(s, -int64(n)) }

// recount brings the count of a part up to date, after something was written to it or the peer's limit on it was raised.
func (a *admission) recount(s *stream) {
	free, _ := seatCount(s.send)
	a.count(s, free-s.send.seat.count)
}

// answer notes that a stream that was told of room has made its use of it, if it was. What it leaves is for others: there
// may be nothing on its way, so that no acknowledgement would remind of them.
func (a *admission) answer(s *stream) {
	if s.send.seat.state == seatOffered {
		s.send.seat.state = seatIdle
		i := slices.IndexFunc(a.offers, func(o offer) bool { return o.to == s })
		a.offers = slices.Delete(a.offers, i, i+1)
	}
}

// wait puts a stream in line that was refused room. It is not one that was told of room and has not answered.
func (a *admission) wait(s *stream) {
	s.send.seat.state = seatWaiting
	a.enqueue(s)
}

// onAcked notes that n bytes of a part were acknowledged: if it waits for room of its own, it may have it now.
func (a *admission) onAcked(s *stream, n int64) {
	a.held -= n
	if s.send.seat.state == seatWaiting {
		a.enqueue(s)
	}
}

// leave is the end of what a stream wants, when the application has ended it.
func (a *admission) leave(s *stream) {
	a.answer(s)
	s.send.seat.state = seatIdle
	if a.line != nil {
		a.line.remove(s, queueWaiting)
	}
}

// drop is the end of a stream that is reset, and is called before its buffer is emptied.
func (a *admission) drop(s *stream) {
	p := s.send
	a.leave(s)
	a.held -= p.buf.held()
	a.count(s, -p.seat.count)
}

// next returns the next stream to be told of room, nil if there is none, or none in line: those that wait in their order, once there is
// room for a good part. Where several wait, few are told at a time, and each of much: what they write is in the processor's caches when
// it leaves, and each is woken seldom. It is to be called until it returns nil, after all that could have made room.
func (a *admission) next(now int64) *stream {
	for s := a.first(); s != nil; s = a.first() {
		p := s.send
		if p.seat.state != seatWaiting || a.ownRoom(p) < a.worth() {
			a.dequeue(s) // with the next acknowledgement it is back
			continue
		}
		if !a.mayOffer(s) && !(a.takeBack(now) && a.mayOffer(s)) {
			return nil
		}
		a.dequeue(s)
		p.seat.state = seatOffered
		a.offers = append(a.offers, offer{s, now})
		if a.line != nil {
			a.line.onServed(s, 1, 1)
		}
		return s
	}
	return nil
}

// mayOffer tells whether there is enough room to tell the first in line of it.
func (a *admission) mayOffer(s *stream) bool {
	least := int64(askedBytes)
	if a.onlyOne() {
		least = sendBufferFloor
	}
	return a.shared(s) >= least && len(a.offers) < maxRankedOffers
}

// takeBack takes back offers that were not answered for too long, and tells whether there were any. Their streams wait no more:
// they have been told, and have to ask again.
func (a *admission) takeBack(now int64) bool {
	n := 0
	for n < len(a.offers) && now-a.offers[n].at >= offerLife {
		a.offers[n].to.send.seat.state = seatIdle
		n++
	}
	a.offers = slices.Delete(a.offers, 0, n)
	return n > 0
}

// timer is when next is to be called because an offer gets old while others wait, 0: never.
func (a *admission) timer() int64 {
	if len(a.offers) == 0 || a.first() == nil {
		return 0
	}
	return a.offers[0].at + offerLife
}

// rest lets go of memory that nobody needs for now.
func (a *admission) rest() {
	if len(a.offers) == 0 {
		a.offers = nil
	}
}

// rankStreams has the line be a rankedLine.
func (a *admission) rankStreams(live *streamTable) {
	a.line = new(rankedLine)
	for a.waiting.head != nil {
		if s := a.waiting.pop(queueWaiting); s.send.seat.state == seatWaiting {
			a.enqueue(s)
		}
	}
	for s := range live.all {
		a.line.unsent[s.rank.level()] += s.send.seat.count
	}
}

// setRank gives a stream its priority. There is a rankedLine.
func (a *admission) setRank(s *stream, r rank) {
	waits, count := s.queued[queueWaiting], s.send.seat.count
	a.line.remove(s, queueWaiting)
	a.line.unsent[s.rank.level()] -= count
	s.rank = r
	a.line.unsent[r.level()] += count
	if waits {
		a.enqueue(s)
	}
}

// restLine lets go of the rankedLine, and tells whether there is none, unless streams hold something.
func (a *admission) restLine() bool {
	if a.held == 0 && a.first() == nil && len(a.offers) == 0 {
		a.line = nil
	}
	return a.line == nil
}
