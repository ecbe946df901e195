package h3

import (
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// stream is a stream that carries requests, or one that the application has taken over. The core keeps it with its own stream (StreamData),
// so that no map is needed. It is used again when it is over.
type stream struct {
	id   uint64
	data any // the application's

	news   news    // what NextEvent has to tell of it
	queued bool    // it stands in Conn.ready
	known  bool    // the application knows of it: it was told, or has made it
	over   bool    // the core has forgotten it
	raw    bool    // it was taken over, or is of a type that is the application's
	next   *stream // in Conn.ready

	recv recvPart
	send sendPart

	early     bool // the request came in 0-RTT data
	connect   bool // of method CONNECT: only DATA frames follow the header section (RFC 9114, section 4.4)
	noContent bool // a client's: the response has no content whatever it says, since the method is HEAD
	extended  bool // CONNECT with :protocol
	rejected  bool // EventRejected is told, and nothing after it
	lingers   bool // it is in Conn.lingering
	uncounted bool // it does not count among the requests that are open

	priority  quic.Priority
	updated   bool // priority is that of a PRIORITY_UPDATE, which no Priority field replaces
	datagrams datagramQueue

	all, head, blocked, ending links // of the lists of Conn
}

// news is a set of things to be told of a stream, in the order in which they are.
type news uint16

const (
	newsRead     news = 1 << iota // its frames are to be read: there may be something to tell
	newsRaw                       // EventRawStream
	newsTooLarge                  // EventTooLarge
	newsData                      // EventData
	newsTrailers                  // EventTrailers
	newsReset                     // EventReset
	newsRejected                  // EventRejected
	newsStopped                   // EventStopped
	newsWritable                  // EventWritable
	newsPriority                  // EventPriority
	newsDatagram                  // EventDatagram
	newsDone                      // EventDone
)

// recvState is how far the message that a stream brings has come (RFC 9114, section 4.1).
type recvState uint8

const (
	recvHead recvState = iota // the header section of a request, or of the final response, is to come
	recvBody                  // frames of the body, or the trailer section, are to come
	recvTail                  // the trailer section was read: nothing of HTTP may follow
	recvEnd                   // the end was read
	recvOver                  // nothing more is read: it was reset, stopped or malformed
)

// frameState is where in a frame a stream stands.
type frameState uint8

const (
	betweenFrames frameState = iota // the next bytes are the header of a frame
	inData                          // left bytes of a DATA frame are to come
	inHeaders                       // left bytes of a HEADERS frame are to come, which are gathered in section
	inSkipped                       // left bytes are to come that nobody wants
)

// recvPart is the receiving side of a stream.
type recvPart struct {
	state   recvState
	frame   frameState
	whole   bool  // section is a whole one, to be decoded
	blocked bool  // it needs entries of the dynamic table that have not come
	waiting bool  // it stands in Conn.starved or Conn.backlog: memory, or room on the decoder stream, is wanting
	fin     bool  // the core's stream was read to its end
	drain   bool  // what comes is dropped
	begun   bool  // a frame has begun
	last    bool  // what is being looked at goes to the end of the stream
	odd     uint8 // frames that are of no use, up to freeOddities
	endTold bool  // the application knows of the end
	typ     uint64
	left    uint64
	header  frameHeader
	section []byte // of a HEADERS frame, as far as it was gathered
	held    int    // bytes of Conn.held that are for section

	length   int64  // what content-length says, -1: none
	received uint64 // bytes of DATA frames, those included that are announced and have not come
	status   int    // of the response
	err      error  // why the state is recvOver
	trailers []qpack.Field
}

// sendState is how far the message that we send has come.
type sendState uint8

const (
	sendHead sendState = iota // the header section is to come
	sendBody                  // body and trailer section may follow
	sendEnd                   // the end was taken
	sendOver                  // nothing more is sent: it was reset
)

// sendPart is the sending side of a stream. What was begun of a frame is completed before anything else: pending.
type sendPart struct {
	state   sendState
	wants   bool      // the application is to be told when there is room
	fin     bool      // the end follows pending
	head    bool      // the request was HEAD: the response has no content
	code    ErrorCode // of the peer's STOP_SENDING
	err     error     // why the state is sendOver, nil if that was our wish
	pending []byte    // begins with what the core is to take next
	length  int64     // bytes that the declared content-length leaves, -1: none was declared
}

// drop lets go of what was not sent.
func (p *sendPart) drop() { p.pending, p.wants, p.fin = p.pending[:0], false, false }

// links are the place of a stream in one of the lists of Conn.
type links struct {
	prev, next *stream
	on         bool
	at         int64 // when the stream came into it, in nanoseconds
}

// streamList is a list of streams, in the order in which they came into it. of tells which of a stream's links it uses.
type streamList struct {
	first, last *stream
	len         int
}

func (l *streamList) push(s *stream, of func(*stream) *links, at int64) {
	k := of(s)
	if k.on {
		return
	}
	*k = links{prev: l.last, on: true, at: at}
	if l.last != nil {
		of(l.last).next = s
	} else {
		l.first = s
	}
	l.last = s
	l.len++
}

func (l *streamList) remove(s *stream, of func(*stream) *links) {
	if of(s).on {
		l.unlink(s, of)
	}
}

func (l *streamList) unlink(s *stream, of func(*stream) *links) {
	k := of(s)
	if k.prev != nil {
		of(k.prev).next = k.next
	} else {
		l.first = k.next
	}
	if k.next != nil {
		of(k.next).prev = k.prev
	} else {
		l.last = k.prev
	}
	*k = links{}
	l.len--
}

func linkAll(s *stream) *links     { return &s.all }
func linkHead(s *stream) *links    { return &s.head }
func linkBlocked(s *stream) *links { return &s.blocked }
func linkEnding(s *stream) *links  { return &s.ending }

// maxFreeStreams is how many streams that are over are kept for use again.
const maxFreeStreams = 128

// newStream returns a stream that nothing was done with, and has the core keep it.
func (c *Conn) newStream(id uint64) *stream {
	s := c.free
	if s == nil {
		s = new(stream)
	} else {
		c.free = s.next
		c.spare--
		section, pending := s.recv.section, s.send.pending
		*s = stream{}
		s.recv.section, s.send.pending = section[:0], pending[:0]
	}
	s.id, s.priority = id, quic.DefaultPriority
	s.recv.length, s.send.length = -1, -1
	c.core.SetStreamData(id, s)
	c.streams.push(s, linkAll, 0)
	return s
}

// forget lets go of a stream that the core has forgotten, and that nothing is to be told of.
func (c *Conn) forget(s *stream) {
	c.release(s)
	c.streams.remove(s, linkAll)
	s.data, s.recv.err, s.recv.trailers, s.send.err = nil, nil, nil, nil
	c.unread -= s.datagrams.bytes
	s.datagrams.clear()
	if c.spare >= maxFreeStreams || s.queued {
		return
	}
	const most = 4 << 10
	if cap(s.recv.section) > most {
		s.recv.section = nil
	}
	if cap(s.send.pending) > most {
		s.send.pending = nil
	}
	s.next, c.free = c.free, s
	c.spare++
}

// find returns a stream that is not over, nil if there is none.
func (c *Conn) find(id uint64) *stream {
	s, _ := c.core.StreamData(id).(*stream)
	return s
}

// findAny is find, and findOver where that finds nothing.
func (c *Conn) findAny(id uint64) *stream {
	if s := c.find(id); s != nil {
		return s
	}
	return c.findOver(id)
}

// findOver returns a stream that the core has forgotten, and that was not read to its end, nil if there is none.
func (c *Conn) findOver(id uint64) *stream {
	if s := c.lingering[id]; s != nil {
		return s
	}
	for s := c.streams.last; s != nil; s = s.all.prev {
		if s.id == id && !s.recv.endTold {
			return s
		}
	}
	return nil
}

// tell has NextEvent tell something of a stream.
func (c *Conn) tell(s *stream, n news) {
	s.news |= n
	if s.queued {
		return
	}
	s.queued, s.next = true, nil
	if c.readyTail != nil {
		c.readyTail.next = s
	} else {
		c.ready = s
	}
	c.readyTail = s
}

func (c *Conn) popReady() {
	s := c.ready
	c.ready = s.next
	if c.ready == nil {
		c.readyTail = nil
	}
	s.queued, s.next = false, nil
}
