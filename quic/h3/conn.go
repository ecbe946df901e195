package h3

import (
	"errors"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/rest"
	"github.com/boringquic/boringquic/quic/qpack"
)

// Conn is HTTP/3 on one connection, of either role, as a state machine without I/O: it works on a *quic.Conn that somebody else drives.
// It is not for concurrent use, and stands under the lock of its quic.Conn. After any call on it, its events are read with NextEvent until
// there is none; then the core's are dealt with as always.
type Conn struct {
	core    *quic.Conn
	cfg     *Config // resolved
	client  bool
	ended   bool // the connection is over
	settled bool // the peer's settings have come
	wanted  bool // EventCapacity is wanted
	resting rest.State
	now     time.Time
	base    time.Time // of times in nanoseconds
	nanos   int64     // now, since base: never 0

	enc   *qpack.Encoder
	dec   *qpack.Decoder
	local localStreams
	peer  peerStreams

	settings   Settings  // the peer's, or what they are taken for
	remembered *Settings // that 0-RTT data is sent under
	sessions   []*quic.Session

	ready, readyTail *stream // that something is to be told of, or read from

	streams   streamList         // all
	heads     streamList         // those whose header section has not arrived whole, with Config.HeaderTimeout
	blocked   streamList         // those that wait for entries of the dynamic table
	held      int                // bytes that are held of header sections
	unread    int                // bytes of datagrams that wait to be read, of all streams
	requests  int                // open ones
	ending    streamList         // those that are over but for the application, which has not read to the end
	lingering map[uint64]*stream // they by their IDs
	free      *stream            // for use again
	spare     int                // how many

	goaway     goaway
	pushes     pushIDs
	priorities priorities
	datagrams  *earlyDatagrams // nil: none have come or gone of late
	load       load

	atWork *work // nil: there was nothing to do since the connection rested
	active int64 // when the core last told of something
}

// New begins HTTP/3 on a connection: one whose handshake is complete, or that can send or has received 0-RTT data. It opens the
// control and QPACK streams and sends SETTINGS. Events of the core from then on belong to HandleEvent. cfg may be nil. The error says what
// is wrong with cfg.
func New(now time.Time, core *quic.Conn, cfg *Config) (*Conn, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		core: core, cfg: cfg, client: core.IsClient(), resting: rest.New, settings: defaultSettings(),
		now: now, nanos: int64(time.Second), base: now.Add(-time.Second),
	}
	c.goaway.init()
	c.load.init(c.nanos)
	if s := core.OfferedSession(); s != nil && core.EarlyData() == quic.EarlyOffered {
		if settings, ok := recall(s.AppData()); ok {
			c.settings, c.remembered = settings, &settings
		}
	}
	c.begin()
	return c, nil
}

// begin opens our streams, and once more if a server rejects 0-RTT data.
func (c *Conn) begin() {
	c.enc = qpack.NewEncoder(c.cfg.encoder())
	c.enc.SetClassifier(classifier)
	c.dec = qpack.NewDecoder(uint64(c.cfg.QPACKTableCapacity), uint64(c.cfg.QPACKBlockedStreams))
	c.dec.SetClassifier(classifier)
	c.local = newLocalStreams()
	c.openLocal()
}

// Stats are figures of a connection, from its begin.
type Stats struct {
	// EncoderBytes and DecoderBytes are bytes that were received on the peer's two QPACK streams, without the types that these begin with (RFC
	// 9204, section 4.2): instructions for our dynamic table, and what its decoder tells our encoder.
	EncoderBytes, DecoderBytes uint64
}

// Stats returns the figures of now.
func (c *Conn) Stats() Stats { return Stats{c.peer.encoder.read, c.peer.decoder.read} }

func (c *Config) encoder() qpack.EncoderConfig {
	e := qpack.EncoderConfig{TableCapacity: c.EncoderTableCapacity}
	if e.TableCapacity == 0 {
		e.TableCapacity = -1
	}
	return e
}

// setNow takes the time that a call was given. All of a turn mostly are given the same.
func (c *Conn) setNow(now time.Time) {
	if now != c.now {
		c.now, c.nanos = now, int64(now.Sub(c.base))
	}
}

// Core returns the connection that this is built on.
func (c *Conn) Core() *quic.Conn { return c.core }

// HandleEvent is given each event of the core that is the application's, in order: those of streams, datagrams, the handshake, sessions and
// early data, EventClosed and EventDrained. Others it does not look at.
func (c *Conn) HandleEvent(now time.Time, ev *quic.Event) {
	c.setNow(now)
	if c.ended && ev.Kind != quic.EventReadable && ev.Kind != quic.EventStreamReset {
		return
	}
	c.active = c.nanos
	c.resting.Wake(c.nanos)
	switch ev.Kind {
	case quic.EventReadable, quic.EventWritable, quic.EventStreamReset, quic.EventStreamStopped, quic.EventStreamFinished:
		s, ok := ev.Data.(*stream)
		if !ok && ev.Data == nil && ev.Kind != quic.EventStreamFinished {
			s = c.find(ev.Stream) // it became ours after the event was read
		}
		if s != nil {
			c.onStreamEvent(s, ev)
		} else {
			c.onUniEvent(ev)
		}
	case quic.EventStreamOpened:
		c.onOpened(ev.Stream)
	case quic.EventStreamsAvailable:
		if ev.Stream == quic.StreamTypeUni {
			c.openLocal()
		} else if c.wanted {
			c.wanted = false
			c.push(Event{Kind: EventCapacity})
		}
	case quic.EventDatagram:
		c.readDatagrams()
	case quic.EventEarlyData:
		c.onEarlyData(ev)
	case quic.EventSession:
		c.onSession(ev.Session)
	case quic.EventClosed:
		c.onClosed()
	}
}

// onOpened acts on a stream that the peer has opened.
func (c *Conn) onOpened(id uint64) {
	if id&quic.StreamTypeUni != 0 {
		return // its type tells more
	}
	if c.client {
		if c.cfg.StreamType == nil { // RFC 9114, section 6.1
			c.fail(connErr(ErrCodeStreamCreation, "a bidirectional stream of the server's"))
			return
		}
	} else if !c.goaway.takes(id) {
		c.dec.CancelStream(id)
		c.core.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, uint64(ErrCodeRequestRejected))
		return
	}
	s := c.newStream(id)
	c.requests++
	c.goaway.onOpened(id)
	if c.cfg.HeaderTimeout > 0 {
		c.heads.push(s, linkHead, c.nanos)
	}
	if !c.client {
		c.takeEarly(s)
	}
}

// onStreamEvent acts on an event of a stream that is in the hands of this package.
func (c *Conn) onStreamEvent(s *stream, ev *quic.Event) {
	switch ev.Kind {
	case quic.EventReadable:
		if s.raw {
			c.tell(s, newsData)
		} else if s.recv.state < recvEnd || s.recv.drain {
			c.tell(s, newsRead)
		}
	case quic.EventWritable:
		c.onWritable(s)
	case quic.EventStreamReset:
		c.onReset(s, ErrorCode(ev.Code))
	case quic.EventStreamStopped:
		c.onStopped(s, ErrorCode(ev.Code))
	case quic.EventStreamFinished:
		c.onFinished(s)
	}
}

// onFinished acts on the end of a stream: the core has forgotten it.
func (c *Conn) onFinished(s *stream) {
	s.over = true
	if s.recv.state >= recvEnd {
		c.leave(s)
	}
	if s.recv.state == recvEnd && s.send.state == sendEnd {
		c.load.onDone()
	}
	switch {
	case !s.known || s.rejected:
		// A request that is there to its end may still wait for the dynamic table, while nobody wants its response any more.
		c.stopReading(s, &StreamError{Stream: s.id, Code: ErrCodeRequestCancelled})
		c.leave(s)
		if !s.queued {
			c.forget(s)
		}
	case s.recv.state <= recvEnd && !s.recv.endTold && !s.raw:
		c.linger(s)
	default:
		c.tell(s, newsDone)
	}
}

// linger keeps a stream that the core has forgotten until the application has come to its end, too.
func (c *Conn) linger(s *stream) {
	if c.lingering == nil {
		c.lingering = make(map[uint64]*stream)
	}
	s.lingers, c.lingering[s.id] = true, s
	c.ending.push(s, linkEnding, 0)
	if c.ending.len <= maxLingering {
		return
	}
	if s = c.ending.first; s.recv.whole { // a section that cannot be decoded yet
		c.failStream(s, ErrCodeInternal, "too many streams are over whose field sections cannot be decoded")
	} else {
		c.endLinger(s)
	}
}

// tellEnd notes that the application knows of the end.
func (c *Conn) tellEnd(s *stream) {
	s.recv.endTold = true
	if s.lingers {
		c.endLinger(s)
	}
}

func (c *Conn) endLinger(s *stream) {
	c.leave(s)
	s.lingers = false
	delete(c.lingering, s.id)
	c.ending.remove(s, linkEnding)
	c.tell(s, newsDone)
}

// leave takes a stream out of all lists of those that something is awaited of.
func (c *Conn) leave(s *stream) {
	c.heads.remove(s, linkHead)
	c.blocked.remove(s, linkBlocked)
	if !s.uncounted {
		s.uncounted = true
		c.requests--
	}
}

// onClosed notes the end of the connection. What had arrived can still be read (quic.Conn.KeepsReceived), and waits for nothing: for no entries of the
// dynamic table, since none come any more, and not for memory, of which it takes no more than flow control had let in.
func (c *Conn) onClosed() {
	c.ended = true
	for s := c.blocked.first; s != nil; s = c.blocked.first {
		c.endBlocked(s)
	}
	c.feedStarved()
}

// fail closes the connection for an error of the peer's.
func (c *Conn) fail(e *connError) { c.Close(c.now, e.code, e.reason) }

// Close closes the connection at once, with an error code of HTTP/3's.
func (c *Conn) Close(now time.Time, code ErrorCode, reason string) {
	c.setNow(now)
	c.core.Close(now, true, uint64(code), reason)
}

// work is what a connection needs that has streams of requests, or something to tell.
type work struct {
	event   Event         // what NextEvent has returned
	message Message       // that it points to
	events  []Event       // of the connection as a whole
	told    int           // how many of events were
	fields  []qpack.Field // of the message that is told
	list    []qpack.Field // what is being encoded
	out     []byte        // likewise
	starved []*stream     // those that wait for memory
	backlog []*stream     // those that wait for room on the decoder stream
}

// work returns what there is to work with.
func (c *Conn) work() *work {
	if c.atWork == nil {
		c.atWork = new(work)
	}
	return c.atWork
}

// push has NextEvent tell something of the connection.
func (c *Conn) push(ev Event) {
	w := c.work()
	w.events = append(w.events, ev)
}

// NextEvent returns what has happened, in memory that is used again by the next call; nil says that there is nothing, and must be seen once at the
// end of each turn: what is gathered for the peer, such as acknowledgements of QPACK, is written then.
func (c *Conn) NextEvent() *Event {
	for {
		if w := c.atWork; w != nil {
			if w.told < len(w.events) {
				w.event, w.events[w.told] = w.events[w.told], Event{}
				w.told++
				return &w.event
			}
			w.events, w.told = w.events[:0], 0
		}
		s := c.ready
		if s == nil {
			if c.flush(); c.ready != nil {
				continue
			}
			c.dropFields()
			if c.atWork != nil {
				c.atWork.event = Event{}
			}
			if !c.ended && c.finished() {
				ev := &c.work().event
				ev.Kind = EventShutdown
				return ev
			}
			return nil
		}
		if s.news == 0 {
			c.popReady()
			if s.over && !s.lingers {
				c.forget(s)
			}
			continue
		}
		if c.nextOf(s) {
			return &c.atWork.event
		}
	}
}

// nextOf makes an event of one piece of news of a stream, and tells whether there is one.
func (c *Conn) nextOf(s *stream) (ok bool) {
	n := s.news & -s.news
	s.news &^= n
	switch {
	case n == newsRead:
		return c.read(s)
	case !s.known:
		return false
	}
	ev := &c.work().event
	*ev = Event{Stream: s.id, Data: s.data}
	switch n {
	case newsTooLarge:
		ev.Kind = EventTooLarge
	case newsData:
		ev.Kind = EventData
	case newsTrailers:
		ev.Kind, ev.Fields = EventTrailers, s.recv.trailers
	case newsReset:
		ev.Kind, ev.Err = EventReset, s.recv.err
		var failure *StreamError
		if errors.As(s.recv.err, &failure) {
			ev.Code = failure.Code
		}
	case newsRejected:
		ev.Kind, ev.Code = EventRejected, ErrCodeRequestRejected
	case newsStopped:
		ev.Kind, ev.Code = EventStopped, s.send.code
	case newsWritable:
		ev.Kind = EventWritable
	case newsPriority:
		ev.Kind, ev.Priority = EventPriority, s.priority
	case newsDatagram:
		ev.Kind = EventDatagram
	case newsRaw:
		ev.Kind, ev.Type = EventRawStream, s.recv.typ
	case newsDone:
		ev.Kind = EventDone
	}
	return true
}

// maxKeptFields is for how many fields of a message there is room until the next one.
const maxKeptFields = 64

// dropFields lets go of what the last message has brought: its strings are in the application's hands, or in nobody's.
func (c *Conn) dropFields() {
	w := c.atWork
	if w == nil || len(w.fields) == 0 {
		return
	}
	clear(w.fields)
	if w.fields = w.fields[:0]; cap(w.fields) > maxKeptFields {
		w.fields = nil
	}
	w.message = Message{}
}

// flush writes what was gathered for the peer, if it is still there.
func (c *Conn) flush() {
	if b := c.dec.Instructions(); len(b) > 0 {
		n := len(b)
		if !c.ended {
			n = c.local.write(c, localDecoder, b)
		}
		c.dec.Sent(n)
		if n > 0 {
			c.retryBacklog()
		}
	}
}

// OpenRequests returns how many requests are open, those included whose header section has not arrived whole.
func (c *Conn) OpenRequests() int { return c.requests }

// RequestsOpenable returns how many requests a client can make now.
func (c *Conn) RequestsOpenable() int {
	if !c.client || c.GoingAway() {
		return 0
	}
	return c.core.StreamsOpenable(false)
}

// PeerSettings returns the peer's settings. ok is false before they have come: then they are the defaults, or at a client with 0-RTT data those that
// the server sent to the connection before.
func (c *Conn) PeerSettings() (s Settings, ok bool) { return c.settings, c.settled }

// SetStreamData stores a value of the application's with a stream, which events of the stream carry.
func (c *Conn) SetStreamData(id uint64, v any) {
	if s := c.find(id); s != nil {
		s.data = v
	}
}

// StreamData returns what SetStreamData stored, nil if nothing was or the stream is over.
func (c *Conn) StreamData(id uint64) any {
	if s := c.find(id); s != nil {
		return s.data
	}
	if s := c.lingering[id]; s != nil {
		return s.data
	}
	return nil
}

// StreamShutdown ends a part of a stream before its time, or both, as quic.Conn.StreamShutdown does: reading with STOP_SENDING, writing
// with RESET_STREAM.
func (c *Conn) StreamShutdown(id uint64, dir quic.Direction, code ErrorCode) error {
	s := c.findAny(id)
	if s == nil {
		return c.unknown()
	}
	if dir&quic.ReadDirection != 0 {
		c.endReading(s, code)
	}
	if dir&quic.WriteDirection != 0 {
		s.send.state = sendOver
		s.send.drop()
	}
	if s.over {
		return nil
	}
	return c.core.StreamShutdown(id, dir, uint64(code))
}

// endReading is the end of what the application reads of a stream, at its wish.
func (c *Conn) endReading(s *stream, code ErrorCode) {
	c.tellEnd(s)
	c.stopReading(s, &StreamError{Stream: s.id, Code: code})
}

// StreamStopLater ends reading as StreamShutdown does, but STOP_SENDING leaves when quic.Conn.StreamStopLater sends it: as a rule once the peer has all
// that we send on the stream. It is for a server that answers without reading the rest of the request, with ErrCodeNoError (RFC 9114, section 4.1):
// there are clients to which STOP_SENDING is the end of the response, too.
func (c *Conn) StreamStopLater(now time.Time, id uint64, code ErrorCode) error {
	c.setNow(now)
	s := c.findAny(id)
	if s == nil {
		return c.unknown()
	}
	c.endReading(s, code)
	if s.over {
		return nil
	}
	return c.core.StreamStopLater(now, id, uint64(code))
}

// unknown is the error for a stream that is not there.
func (c *Conn) unknown() error {
	if err := c.core.Err(); err != nil {
		return err
	}
	return ErrUnknownStream
}

// TakeOver makes a stream the application's: from here on frames of it are not parsed or made, and StreamRecv, StreamSend and StreamShutdown are those of
// the core. buffered are bytes that come before what StreamRecv will return: of a frame that has begun; they are the caller's. It fails with
// ErrMessageOrder while a header section is being read or written.
func (c *Conn) TakeOver(id uint64) (buffered []byte, err error) {
	s := c.find(id)
	if s == nil {
		return nil, c.unknown()
	}
	r := &s.recv
	switch {
	case s.raw:
		buffered = append(buffered, r.section...)
		r.section = r.section[:0]
		return buffered, nil
	case r.frame == inHeaders || r.blocked || r.waiting || len(s.send.pending) > 0:
		return nil, ErrMessageOrder
	}
	switch r.frame {
	case inData:
		buffered = appendFrameHeader(nil, frameData, r.left)
	case inSkipped:
		buffered = appendFrameHeader(nil, r.typ, r.left)
	default:
		buffered = append(buffered, r.header.b[:r.header.n]...)
	}
	c.leave(s)
	s.raw, s.known = true, true
	return buffered, nil
}

// restAt is when the connection lets go of memory that only makes the next requests faster, as the core does, in nanoseconds; 0: never, as while it has
// requests, or something to tell.
func (c *Conn) restAt() int64 {
	if c.streams.first != nil || c.ended || c.atWork != nil && c.atWork.told != len(c.atWork.events) {
		return 0
	}
	return c.resting.At(c.active, c.datagrams != nil) // streams of datagrams may yet come: RFC 9297, section 2.1, has them kept for the order of a round trip
}

func (c *Conn) rest() {
	c.resting = 0
	c.enc.Rest()
	c.dec.Rest()
	c.free, c.spare = nil, 0
	c.atWork = nil
	c.priorities.cache = nil
	c.datagrams = nil
}
