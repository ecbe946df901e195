package quic

import (
	"cmp"
	"math"
	"slices"

	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// streams is every stream of a connection, with flow control over all of them (RFC 9000, sections 2 to 4).
type streams struct {
	client bool
	ended  bool // the connection is over: what had arrived is left to be read, and nothing else
	// rejected says that all streams are over which a client has opened, since the server rejects 0-RTT data, and that the application has not
	// been told.
	rejected bool
	barred   bool          // streams may be barred
	untold   bool          // the types may have something to tell: streams that were opened, or a limit that was raised
	spare    int16         // how many streams are in unused
	pool     *chunkPool    // nil: there are none
	live     streamTable   // those whose state is kept; others are implicit or over
	unused   [3]*stream    // for streams to come, at most maxFreeStreams, the last first, linked as queueEvents: bidirectional, of the client's, of the server's
	types    [4]streamType // by the two low bits of a stream ID

	cfg        *Config
	recvWindow recvWindow // of the connection
	recvUsed   uint64     // the sum of the largest offsets received
	gaps       int        // pieces of received data, over all streams
	rtt        int64      // for the tuning of windows

	sendSizes  [3]uint64 // the peer's initial limits: see sendSize
	sendWindow sendWindow
	admission  admission

	control, resend, fresh, ready streamQueue

	order    *sendOrder // in place of resend and fresh; nil: no stream has a priority
	glitches int32      // frames without effect, since the bucket was last charged
	news     int32      // frames that brought stream data beyond all before them, since then
	seldom   *seldom    // nil: nothing of it is needed
}

// streamType is the state of all streams of one type, of which the i-th has ID 4i + type.
type streamType struct {
	limit     uint64 // how many may be opened over the connection's life: of our own by the peer, of the peer's by us
	opened    uint64 // how many were
	announced uint64 // the peer's: of how many the application was told
	// Of those that were opened and have no state, the peer's exist, and ours are over, but for these: of the peer's they are over, and ours
	// exist, since one above them was opened (openID), and were never used.
	except    ranges.Set
	done      uint64  // the peer's: how many that are over; ours: how many were opened before 0-RTT data was rejected, and are forgotten
	tell      sentVal // MAX_STREAMS of the peer's, STREAMS_BLOCKED of ours
	wanted    bool    // ours: the application waits for a higher limit
	available bool    // ours: it is to be told of one
}

// sendQuantum is how many bytes of a stream are sent before it is another one's turn.
const sendQuantum = 16 << 10

func (st *streams) init(client bool, cfg *Config) {
	st.client, st.cfg = client, cfg
	st.recvWindow = newRecvWindow(cfg.ReceiveWindow)
	st.admission.tune(cfg, 0)
	st.rtt = int64(cfg.InitialRTT)
	bidi, uni := st.peerType(StreamTypeBidi), st.peerType(StreamTypeUni)
	bidi.limit, uni.limit = st.maxOpen(StreamTypeBidi), st.maxOpen(StreamTypeUni)
}

// tune has streams hold for sending what the path carries in three round trips: it may be in flight, in a queue of the network, and
// behind a packet that is sent again. So a fast path is not idle for want of data. What a queue adds to the round trip
// does not make the path carry more.
func (st *streams) tune(rec *recovery.Path) {
	rtt := &rec.RTT
	st.rtt = int64(rtt.Smoothed)
	carried := rec.CC.Window()
	if rtt.Smoothed > 0 && rtt.Min < rtt.Smoothed {
		carried = int64(float64(carried) * float64(rtt.Min) / float64(rtt.Smoothed))
	}
	st.admission.tune(st.cfg, carried)
}

// setPeerParams takes the peer's limits.
func (st *streams) setPeerParams(p *wire.TransportParameters) {
	ours, theirs := st.localBit(), 1-st.localBit()
	st.sendSizes[ours] = p.MaxStreamDataBidiRemote
	st.sendSizes[theirs] = p.MaxStreamDataBidiLocal
	st.sendSizes[StreamTypeUni] = p.MaxStreamDataUni
	st.sendWindow.raise(p.InitialMaxData)
	st.each(func(id uint64) bool { st.raiseFirst(st.live.get(id)); return true }, func(s *stream) bool { return !s.barred })
	st.raiseStreams(true, p.MaxStreamsBidi)
	st.raiseStreams(false, p.MaxStreamsUni)
}

// sendSize returns the peer's initial limit on a stream that we send on: bidirectional ones of the client's and the server's have one each, our
// unidirectional ones a third.
func (st *streams) sendSize(id uint64) uint64 {
	if isUni(id) {
		return st.sendSizes[StreamTypeUni]
	}
	return st.sendSizes[id&1]
}

// raiseFirst gives a stream that was opened before the peer's limits were known, or under older ones, what they allow it.
func (st *streams) raiseFirst(s *stream) {
	if !s.send.over && s.send.window.raise(st.sendSize(s.id)) {
		st.admission.recount(s)
		st.queueData(s)
	}
}

func (st *streams) localBit() uint64 {
	if st.client {
		return 0
	}
	return 1
}

func (st *streams) localType(typ uint64) *streamType { return &st.types[typ|st.localBit()] }
func (st *streams) peerType(typ uint64) *streamType  { return &st.types[typ|1-st.localBit()] }

func (st *streams) isLocal(id uint64) bool  { return isServer(id) != st.client }
func (st *streams) sends(id uint64) bool    { return !isUni(id) || st.isLocal(id) }
func (st *streams) receives(id uint64) bool { return !isUni(id) || !st.isLocal(id) }

// open is Conn.OpenStream and OpenUniStream.
func (st *streams) open(uni bool) (id uint64, err error) {
	if st.rejected {
		return 0, ErrEarlyDataRejected
	}
	typ := uint64(StreamTypeBidi)
	if uni {
		typ = StreamTypeUni
	}
	id = st.localType(typ).opened<<2 | typ | st.localBit()
	if err := st.openNew(id); err != nil {
		return 0, err
	}
	return id, nil
}

// openID is Conn.OpenStreamID.
func (st *streams) openID(id uint64) error {
	switch t := &st.types[id&3]; {
	case st.rejected:
		return ErrEarlyDataRejected
	case st.isLocal(id) && id>>2 >= t.opened:
		return st.openNew(id)
	case st.isLocal(id) && st.find(id) != nil:
		return nil
	}
	return ErrUnknownStream
}

// openNew opens a stream of ours that is not open, and with it all lower ones of its type (RFC 9000, section 2.1).
func (st *streams) openNew(id uint64) error {
	t, n := &st.types[id&3], id>>2
	if n >= t.limit {
		if !t.wanted {
			t.wanted = true
			t.tell.set()
		}
		return ErrStreamLimit
	}
	if skipped := n - t.opened; skipped > 0 {
		if uint64(t.except.Size())+skipped > maxSkippedStreams {
			return ErrStreamsSkipped
		}
		t.except.Add(int64(t.opened), int64(n))
	}
	t.opened = n + 1
	st.create(id)
	return nil
}

// use notes that a stream of ours is used for the first time that one above it has opened. If it was opened under the limits of 0-RTT data
// that was rejected, it has to wait like the others until the peer allows as many.
func (st *streams) use(s *stream) {
	t, n := &st.types[s.id&3], s.id>>2
	t.except.Sub(int64(n), int64(n)+1)
	if n >= t.limit {
		s.barred, st.barred = true, true
		if t.tell.state() == sentNone {
			t.tell.set()
		}
	}
}

func (st *streams) create(id uint64) *stream {
	s := st.reuse(id)
	s.id = id
	if st.sends(id) {
		s.send.window.limit = st.sendSize(id)
	}
	if st.receives(id) {
		s.recv.window = newRecvWindow(st.cfg.StreamReceiveWindow)
	}
	if st.pool == nil {
		st.pool = new(chunkPool)
	}
	st.live.add(s)
	return s
}

// maxFreeStreams is how many streams that are over are kept for reuse until the connection rests.
const maxFreeStreams = 128

// retire keeps a stream for reuse if it is over and nothing refers to it.
func (st *streams) retire(s *stream) {
	if s.over() && s.queued == [numQueues]bool{} && st.spare < maxFreeStreams {
		unused := st.unusedLike(s.id)
		s.queued[queueEvents] = true
		s.next[queueEvents], *unused = *unused, s
		st.spare++
	}
}

// reuse returns a stream for an ID, in which nothing is set, but whose slices may have room.
func (st *streams) reuse(id uint64) *stream {
	unused := st.unusedLike(id)
	s := *unused
	if s == nil {
		return newStream(st.sends(id), st.receives(id))
	}
	st.spare--
	*unused = s.next[queueEvents]
	s.renew()
	return s
}

// unusedLike returns where streams for use again are that have the same parts.
func (st *streams) unusedLike(id uint64) **stream {
	if !isUni(id) {
		return &st.unused[0]
	}
	return &st.unused[1+id&1]
}

// find returns a stream's state, which is made if the stream was opened by one above it. nil: the stream is over, or was never
// opened.
func (st *streams) find(id uint64) *stream {
	if s := st.live.get(id); s != nil || st.ended {
		return s
	}
	if !st.implicit(id) {
		return nil
	}
	s := st.create(id)
	if st.isLocal(id) {
		st.use(s)
	}
	return s
}

// implicit tells of a stream without state whether one above it has opened it: then it may be used.
func (st *streams) implicit(id uint64) bool {
	t := &st.types[id&3]
	return id>>2 < t.opened && st.isLocal(id) == t.except.Contains(int64(id>>2))
}

// asked finds a stream for a question about its sending part, which changes nothing: of a stream that one above it has opened it returns a
// state that is not kept.
func (st *streams) asked(id uint64) (*stream, error) {
	sends := st.sends(id)
	if st.live.get(id) != nil || !sends || st.rejected || st.ended || !st.implicit(id) {
		return st.usable(id, sends)
	}
	s := newStream(sends, st.receives(id))
	s.id, s.barred = id, st.isLocal(id) && id>>2 >= st.types[id&3].limit
	s.send.window.limit = st.sendSize(id)
	return s, nil
}

// usable finds a stream for the application. goes tells whether it goes in the direction that is asked for.
func (st *streams) usable(id uint64, goes bool) (*stream, error) {
	if !goes {
		return nil, ErrStreamDirection
	}
	if st.rejected {
		return nil, ErrEarlyDataRejected
	}
	if s := st.find(id); s != nil {
		return s, nil
	}
	return nil, ErrUnknownStream
}

// receiving finds the stream that a frame of the peer is about, and opens it if need be. nil without an error says that
// the stream is over. goes tells whether the frame fits the stream's direction.
func (st *streams) receiving(id uint64, goes bool) (*stream, *TransportError) {
	if !goes {
		return nil, transportError(StreamStateError, "the stream does not go in this direction")
	}
	t := &st.types[id&3]
	switch n := id >> 2; {
	case n < t.opened:
	case st.isLocal(id):
		return nil, transportError(StreamStateError, "a stream that was not opened")
	case n >= t.limit:
		return nil, transportError(StreamLimitError, "more streams than were allowed")
	default:
		t.opened, st.untold = n+1, true
	}
	return st.find(id), nil
}

// shutdown is Conn.StreamShutdown.
func (st *streams) shutdown(now int64, id uint64, dir Direction, code uint64) error {
	send, recv := dir&WriteDirection != 0 && st.sends(id), dir&ReadDirection != 0 && st.receives(id)
	s, err := st.usable(id, send || recv)
	if err != nil {
		return err
	}
	if send {
		st.resetSend(now, s, code, false)
		s.send.told = true
	}
	if recv {
		st.stopRecv(now, s, code)
	}
	st.settle(s)
	return nil
}

// openable is Conn.StreamsOpenable.
func (st *streams) openable(uni bool) int {
	if st.rejected {
		return 0
	}
	t := st.localType(typeOf(!uni))
	return int(min(max(t.limit, t.opened)-t.opened, math.MaxInt))
}

// setUser is Conn.SetStreamData.
func (st *streams) setUser(id uint64, v any) {
	s := st.live.get(id)
	if s == nil && v != nil {
		s = st.find(id)
	}
	if s != nil {
		s.user = v
	}
}

// user is Conn.StreamData.
func (st *streams) user(id uint64) any {
	if s := st.live.get(id); s != nil {
		return s.user
	}
	return nil
}

// acked is Conn.StreamAcked.
func (st *streams) acked(id uint64) (uint64, error) {
	s, err := st.asked(id)
	if err != nil {
		return 0, err
	}
	return uint64(s.send.buf.data.base), nil
}

// settle forgets a stream that is over.
func (st *streams) settle(s *stream) {
	p := s.send
	if !p.over {
		if p.cut {
			p.over = p.told && p.reset == sentAcked
		} else {
			p.over = p.end == sentAcked && p.buf.done()
			if p.over {
				st.tell(s, streamAcked)
			}
		}
	}
	if !s.over() || st.live.get(s.id) != s {
		return
	}
	st.live.remove(s)
	if st.ended {
		return
	}
	st.unqueueData(s)
	if st.receives(s.id) {
		s.recv.data.empty(st.pool)
	}
	if st.sends(s.id) {
		s.send.buf.data.empty(st.pool)
	}
	st.tell(s, streamFinished)
	if t := &st.types[s.id&3]; !st.isLocal(s.id) {
		t.except.Add(int64(s.id>>2), int64(s.id>>2)+1)
		t.done++
		st.grant(s.id&2, max(st.maxOpen(s.id&2)/4, 1))
	}
}

// rest lets go of what is kept for reuse.
func (st *streams) rest() {
	st.unused, st.spare = [3]*stream{}, 0
	for s := range st.live.all { // of long-lived ones nothing but the room for pieces is kept
		if !s.recv.over && len(s.recv.got) == 0 {
			s.recv.got = nil
			s.recv.data.rest()
		}
		if p := s.send; !p.over && p.buf.done() {
			p.buf.data.rest()
			p.buf.gaps = nil
		}
	}
	if st.pool != nil {
		*st.pool = chunkPool{}
	}
	if st.live.fit(); st.live.len() == 0 {
		st.pool = nil
	}
	st.admission.rest()
	st.restOrder()
}

// end lets go of everything, when the connection is closed.
func (st *streams) end() {
	*st = streams{client: st.client, cfg: st.cfg, seldom: st.seldom}
}

// maxOpen is how many streams of a type, StreamTypeBidi or StreamTypeUni, the peer may have open at a time.
func (st *streams) maxOpen(typ uint64) uint64 {
	if typ == StreamTypeBidi {
		return uint64(max(st.cfg.MaxStreamsBidi, 0))
	}
	return uint64(max(st.cfg.MaxStreamsUni, 0))
}

// grant lets the peer open as many more streams of a type as are over, if that is at least so many.
func (st *streams) grant(typ, least uint64) {
	t := st.peerType(typ)
	if limit := min(t.done+st.maxOpen(typ), wire.MaxStreamsLimit); limit >= t.limit+least {
		t.limit = limit
		t.tell.set()
	}
}

// consumed counts bytes that were read or dropped, over all streams.
func (st *streams) consumed(now int64, n uint64) {
	st.recvWindow.consume(now, st.rtt, n, st.cfg.MaxReceiveWindow)
}

// tell has the application be told of something.
func (st *streams) tell(s *stream, what streamEvents) {
	s.events |= what
	st.ready.push(s, queueEvents)
}

// nextEvent fills in an Event with what there is to tell; its Kind is left 0 if there is nothing. Streams are announced before anything
// else is told of them.
func (st *streams) nextEvent(ev *Event) {
	if st.untold {
		if st.nextOfTypes(ev); ev.Kind != 0 {
			return
		}
		st.untold = false
	}
	for st.ready.head != nil {
		s := st.ready.head
		switch {
		case s.events&streamReset != 0:
			s.events &^= streamReset
			ev.Kind, ev.Code = EventStreamReset, s.recv.code
		case s.events&streamStopped != 0:
			s.events &^= streamStopped
			ev.Kind, ev.Code = EventStreamStopped, s.send.code
		case s.events&streamReadable != 0:
			s.events &^= streamReadable
			if !s.recv.told {
				continue // read already
			}
			ev.Kind = EventReadable
		case s.events&streamWritable != 0:
			s.events &^= streamWritable
			if s.send.told {
				continue // ended since
			}
			ev.Kind = EventWritable
		case s.events&streamAcked != 0:
			s.events &^= streamAcked
			ev.Kind = EventStreamAcked
		case s.events&streamFinished != 0:
			s.events &^= streamFinished
			ev.Kind = EventStreamFinished
		default:
			st.ready.pop(queueEvents)
			if s.over() {
				s.user = nil
			}
			st.retire(s)
			continue
		}
		ev.Stream, ev.Data = s.id, s.user
		return
	}
}

// nextOfTypes is nextEvent for what is told of types of streams.
func (st *streams) nextOfTypes(ev *Event) {
	for typ := range uint64(4) {
		t := &st.types[typ]
		switch {
		case !st.isLocal(typ) && t.announced < t.opened:
			t.announced++
			ev.Kind, ev.Stream = EventStreamOpened, (t.announced-1)<<2|typ
			return
		case t.available:
			t.available = false
			ev.Kind, ev.Stream = EventStreamsAvailable, typ&^1
			return
		}
	}
}

// readable is Conn.Readable.
func (st *streams) readable(yield func(uint64) bool) {
	st.each(yield, func(s *stream) bool { return s.recv.readable() })
}

// writable is Conn.Writable.
func (st *streams) writable(yield func(uint64) bool) {
	st.each(yield, func(s *stream) bool { p := s.send; return !p.over && !p.cut && !p.fin && st.admission.room(s, 1) > 0 })
}

// each yields the streams that are wanted, in the order of Conn.Readable. What yield does to streams does not matter.
func (st *streams) each(yield func(uint64) bool, want func(*stream) bool) {
	type place struct{ key, id uint64 }
	var few [128]place // as a rule there are no more, and no memory is made
	found := few[:0]
	for s := range st.live.all {
		if want(s) {
			key := s.rank.key(s.id & orderMask)
			if !s.rank.whole() {
				key |= turnsBit
			}
			found = append(found, place{key, s.id})
		}
	}
	slices.SortFunc(found, func(a, b place) int { return cmp.Compare(a.key, b.key) })
	for _, f := range found {
		if !yield(f.id) {
			return
		}
	}
}

// raiseStreams takes the peer's limit on streams of ours and tells whether it is higher.
func (st *streams) raiseStreams(bidi bool, limit uint64) bool {
	t := st.localType(typeOf(bidi))
	if limit <= t.limit {
		return false
	}
	t.limit = limit
	t.tell = 0
	if st.barred {
		st.unbar()
	}
	if limit <= t.opened {
		return true // none more may be opened: 0-RTT data, which was rejected, has opened more than are allowed now
	}
	t.available, t.wanted = t.available || t.wanted, false
	st.untold = true
	return true
}

// startOver is what becomes of the streams that a client has opened when the server rejects its 0-RTT data (RFC 9001, section 4.6.2): all of
// them are forgotten, or else begin anew, with what was written on them, under limits that are still to be told.
func (st *streams) startOver() {
	if st.rejected {
		bidi, uni := st.localType(StreamTypeBidi).opened, st.localType(StreamTypeUni).opened
		*st = streams{client: st.client, cfg: st.cfg, rejected: true, rtt: st.rtt, seldom: st.seldom}
		st.init(st.client, st.cfg)
		st.localType(StreamTypeBidi).done, st.localType(StreamTypeUni).done = bidi, uni
		return
	}
	st.sendSizes, st.sendWindow = [3]uint64{}, sendWindow{}
	for _, typ := range []uint64{StreamTypeBidi, StreamTypeUni} {
		t := st.localType(typ)
		t.limit, t.tell = 0, 0
	}
	st.each(func(id uint64) bool { st.rollBack(st.live.get(id)); return true }, func(*stream) bool { return true })
	st.barred = st.live.len() > 0
}

// rollBack has a stream be as if nothing was ever sent of it. It is barred until the peer's limit on streams is found to allow it.
func (st *streams) rollBack(s *stream) {
	s.barred = true
	if p := s.send; !p.over { // what a stream does not have is shared by all
		p.window = sendWindow{}
		p.buf.sent, p.buf.gaps = 0, nil
		switch {
		case p.cut:
			p.buf.end, p.size = 0, 0
			p.reset.set()
		case p.fin:
			p.end.set()
		}
		st.admission.recount(s)
	}
	if s.recv.stop != sentNone {
		s.recv.stop.set()
	}
}

// unbar lets streams go on that the peer's limits allow. If there are others, the peer is told that they wait.
func (st *streams) unbar() {
	st.barred = false
	allowed := func(s *stream) bool { return s.barred && s.id>>2 < st.types[s.id&3].limit }
	st.each(func(id uint64) bool {
		s := st.live.get(id)
		s.barred = false
		st.raiseFirst(s)
		st.queueData(s) // it may have an end to tell, and nothing else
		if s.send.reset.due() || s.recv.stop.due() {
			st.control.push(s, queueControl)
		}
		return true
	}, allowed)
	for s := range st.live.all {
		if s.barred {
			st.barred = true
			if t := &st.types[s.id&3]; t.tell.state() == sentNone {
				t.tell.set()
			}
		}
	}
}

func typeOf(bidi bool) uint64 {
	if bidi {
		return StreamTypeBidi
	}
	return StreamTypeUni
}

// handleMaxStreams acts on a MAX_STREAMS frame (RFC 9000, section 19.11).
func (st *streams) handleMaxStreams(bidi bool, limit uint64) *TransportError {
	if limit > wire.MaxStreamsLimit {
		return transportError(FrameEncodingError, "MAX_STREAMS above 2^60")
	}
	if !st.raiseStreams(bidi, limit) {
		st.glitches++
	}
	return nil
}

// handleMaxData acts on a MAX_DATA frame.
func (st *streams) handleMaxData(limit uint64) *TransportError {
	if !st.sendWindow.raise(limit) {
		st.glitches++
	}
	return nil
}

// handleDataBlocked, handleStreamDataBlocked and handleStreamsBlocked act on frames that tell of a peer held back. Limits
// rise as data is read, so that there is nothing to do; a frame that says nothing new is counted.
func (st *streams) handleDataBlocked(limit uint64) *TransportError {
	n := st.count()
	n.DataBlockedReceived++
	st.noteBlocked(&n.dataBlocked, limit)
	return nil
}

func (st *streams) handleStreamDataBlocked(id, limit uint64) *TransportError {
	s, err := st.receiving(id, st.receives(id))
	if s != nil {
		st.count().StreamDataBlockedReceived++
		st.noteBlocked(&s.recv.blocked, limit)
	}
	return err
}

func (st *streams) handleStreamsBlocked(bidi bool, limit uint64) *TransportError {
	if limit > wire.MaxStreamsLimit {
		return transportError(FrameEncodingError, "STREAMS_BLOCKED above 2^60")
	}
	if n := st.count(); bidi {
		n.StreamsBlockedBidiReceived++
		st.noteBlocked(&n.bidiBlocked, limit)
	} else {
		n.StreamsBlockedUniReceived++
		st.noteBlocked(&n.uniBlocked, limit)
	}
	st.grant(typeOf(bidi), 1)
	return nil
}

func (st *streams) noteBlocked(last *uint64, limit uint64) {
	if limit < *last {
		st.glitches++
	}
	*last = max(*last, limit+1)
}
