package quic

import (
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
	stirred  bool          // a timer may be due sooner than it was at the last Send
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

// shutdown is Conn.StreamShutdown.
func (st *streams) shutdown(now int64, id uint64, dir Direction, code uint64) error {
	send, recv := dir&WriteDirection != 0 && st.sends(id), dir&ReadDirection != 0 && st.receives(id)
	s, err := st.usable(id, send || recv)
	if err != nil {
		return err
	}
	if recv {
		st.stopRecv(now, s, code, false) // before what would have STOP_SENDING leave that was held
	}
	if send {
		st.resetSend(now, s, code, false)
		s.send.told = true
	}
	st.settle(s)
	return nil
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
	st.forgetStops()
}

// consumed counts bytes that were read or dropped, over all streams.
func (st *streams) consumed(now int64, n uint64) {
	st.recvWindow.consume(now, st.rtt, n, st.cfg.MaxReceiveWindow)
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
