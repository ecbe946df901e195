package main

// #include "internal.h"
import "C"

import (
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
)

// found is an event for the program.
type found struct {
	kind told
	core quic.Event
	http *h3.Event // until the next one is read
}

// told says what an event is of.
type told uint8

const (
	toldNothing told = iota
	toldAccepted
	toldCore
	toldHTTP
)

// teller is what telling events takes.
type teller struct {
	now   time.Time
	found found   // what is being told
	lent  lender  // what events refer to that were told
	over  []*conn // that EVENT_DRAINED was told of: to be forgotten with the next call
}

// next finds the connection's next event for the program, which is then in t.found, and does on the way what is not for the program. It
// tells whether there is one.
func (c *conn) next(t *teller) bool {
	ev := &t.found
	switch {
	case c.held != nil:
		*ev, c.held = *c.held, nil
		return true
	case c.accepted:
		c.accepted = false
		ev.kind = toldAccepted
		return true
	}
	for {
		if c.http != nil {
			for ev.http = c.http.NextEvent(); ev.http != nil; ev.http = c.http.NextEvent() {
				if httpKinds[ev.http.Kind] != 0 {
					ev.kind = toldHTTP
					return true
				}
			}
		}
		if c.pending != nil {
			ev.kind, ev.core, c.pending = toldCore, *c.pending, nil
			return true
		}
		ev.kind = toldNothing
		any := c.handleCore(t)
		if ev.kind == toldCore {
			return true
		}
		if !any {
			return false
		}
	}
}

// handleCore reads the core's events, up to one that is for the program, and tells whether there was any. Without HTTP/3 that one is in t.found then. HTTP/3
// is given all that there are before it is asked for its own, so that it writes what it gathers for the peer once, and not for each.
func (c *conn) handleCore(t *teller) (any bool) {
	ev := &t.found.core
	for c.pending == nil && c.readCore(ev) {
		any = true
		c.sent = false // whatever comes of it is to be sent
		switch ev.Kind {
		case quic.EventAsk:
			ev.Ask.Run()
			c.core.Answer(ev.Ask)
		case quic.EventEndpoint:
			c.core.HandleReply(t.now, c.endpoint.core.HandleEvent(c.core, *ev.Endpoint))
		default:
			if c.settings.http == nil {
				t.found.kind = toldCore
				return true
			}
			c.handleHTTP(t.now, ev)
		}
	}
	return any
}

// readCore reads the core's next event.
func (c *conn) readCore(ev *quic.Event) (ok bool) {
	if c.net != nil { // quicnet has taken them, and dealt with some
		return c.net.next(ev)
	}
	return c.core.ReadEvent(ev)
}

// bind has an event of a stream that is to wait come with what the program stores for the stream meanwhile. Those that begin a stream come with 0, and nothing can
// be stored any more once one that ends it is found.
func (c *conn) bind(f *found) {
	switch {
	case f.kind == toldHTTP && f.http.Data == nil:
		switch f.http.Kind {
		case h3.EventInterim, h3.EventResponse, h3.EventData, h3.EventTrailers, h3.EventWritable, h3.EventReset, h3.EventStopped, h3.EventPriority, h3.EventDatagram:
			f.http.Data = data(c.stored(f.http.Stream))
		}
	case f.kind == toldCore:
		c.bindCore(&f.core)
	}
}

// bindCore is bind of an event of the core without HTTP/3.
func (c *conn) bindCore(ev *quic.Event) {
	switch ev.Kind {
	case quic.EventReadable, quic.EventWritable, quic.EventStreamReset, quic.EventStreamStopped, quic.EventStreamAcked:
		if ev.Data == nil {
			ev.Data = data(c.stored(ev.Stream))
		}
	}
}

// data is what an Event has as its Data.
func data(s *stored) any {
	if s == nil {
		return nil
	}
	return s
}

// hold keeps the event that next has found until there is room for it.
func (c *conn) hold(t *teller) {
	c.held = new(found)
	*c.held = t.found
	c.bind(c.held)
}

// handleHTTP gives HTTP/3 an event of the core, and begins it with the first that it can begin with. What concerns the program, too, is told
// afterwards.
func (c *conn) handleHTTP(now time.Time, ev *quic.Event) {
	switch ev.Kind {
	case quic.EventHandshakeComplete, quic.EventEarlyReady, quic.EventStreamOpened, quic.EventReadable:
		if c.http == nil {
			conn, err := h3.New(now, c.core, c.settings.http)
			if err != nil { // the Config was prepared
				c.core.Fail(now, err)
				return
			}
			c.http = conn
		}
	}
	if c.http != nil {
		c.http.HandleEvent(now, ev)
	}
	switch ev.Kind {
	case quic.EventHandshakeComplete, quic.EventHandshakeConfirmed, quic.EventEarlyReady, quic.EventEarlyData, quic.EventPath, quic.EventMTU,
		quic.EventClosed, quic.EventDrained:
		c.pending = new(quic.Event)
		*c.pending = *ev
	}
}

// coreKinds are what C calls the events of the core.
var coreKinds = [...]C.uint32_t{
	quic.EventHandshakeComplete: C.BQUIC_EVENT_HANDSHAKE_COMPLETE, quic.EventHandshakeConfirmed: C.BQUIC_EVENT_CONFIRMED,
	quic.EventStreamOpened: C.BQUIC_EVENT_STREAM_OPENED, quic.EventReadable: C.BQUIC_EVENT_READABLE, quic.EventWritable: C.BQUIC_EVENT_WRITABLE,
	quic.EventStreamsAvailable: C.BQUIC_EVENT_STREAMS, quic.EventStreamReset: C.BQUIC_EVENT_STREAM_RESET, quic.EventStreamStopped: C.BQUIC_EVENT_STREAM_STOPPED,
	quic.EventStreamAcked: C.BQUIC_EVENT_STREAM_ACKED, quic.EventStreamFinished: C.BQUIC_EVENT_STREAM_FINISHED, quic.EventDatagram: C.BQUIC_EVENT_DATAGRAM,
	quic.EventDatagramWritable: C.BQUIC_EVENT_DATAGRAM_WRITABLE, quic.EventSession: C.BQUIC_EVENT_SESSION, quic.EventEarlyReady: C.BQUIC_EVENT_EARLY_READY,
	quic.EventEarlyData: C.BQUIC_EVENT_EARLY_DATA, quic.EventPath: C.BQUIC_EVENT_PATH, quic.EventMTU: C.BQUIC_EVENT_MTU,
	quic.EventClosed: C.BQUIC_EVENT_CLOSED, quic.EventDrained: C.BQUIC_EVENT_DRAINED,
}

// httpKinds are what C calls the events of HTTP/3; 0: it is not told of them.
var httpKinds = [...]C.uint32_t{
	h3.EventRequest: C.BQUIC_EVENT_REQUEST, h3.EventTooLarge: C.BQUIC_EVENT_TOO_LARGE, h3.EventInterim: C.BQUIC_EVENT_INTERIM,
	h3.EventResponse: C.BQUIC_EVENT_RESPONSE, h3.EventData: C.BQUIC_EVENT_READABLE, h3.EventTrailers: C.BQUIC_EVENT_TRAILERS,
	h3.EventWritable: C.BQUIC_EVENT_WRITABLE, h3.EventReset: C.BQUIC_EVENT_STREAM_RESET, h3.EventStopped: C.BQUIC_EVENT_STREAM_STOPPED,
	h3.EventRejected: C.BQUIC_EVENT_REJECTED, h3.EventPriority: C.BQUIC_EVENT_PRIORITY, h3.EventDatagram: C.BQUIC_EVENT_DATAGRAM,
	h3.EventDone: C.BQUIC_EVENT_STREAM_FINISHED, h3.EventRawStream: 0, h3.EventSettings: C.BQUIC_EVENT_SETTINGS, h3.EventGoAway: C.BQUIC_EVENT_GOAWAY,
	h3.EventCapacity: C.BQUIC_EVENT_STREAMS, h3.EventOrigin: 0, h3.EventSession: C.BQUIC_EVENT_SESSION, h3.EventShutdown: C.BQUIC_EVENT_SHUTDOWN,
}

// tell writes the event that is in t.found. What it refers to lies in the arena.
func (c *conn) tell(t *teller, out *C.bquic_event) {
	ev := &t.found
	blank(out)
	out.user_data = C.uint64_t(c.userData)
	*(*handle)(unsafe.Pointer(&out.conn)) = c.handle
	switch ev.kind {
	case toldAccepted:
		out.kind = C.BQUIC_EVENT_ACCEPTED
	case toldCore:
		c.tellCore(t, out, &ev.core)
	case toldHTTP:
		c.tellHTTP(t, out, ev.http)
	}
}

func (c *conn) tellCore(t *teller, out *C.bquic_event, ev *quic.Event) {
	out.kind, out.stream, out.value = coreKinds[ev.Kind], C.uint64_t(ev.Stream), C.uint64_t(ev.Code)
	out.stream_data = streamData(ev.Data)
	switch ev.Kind {
	case quic.EventStreamsAvailable:
		out.stream, out.value = 0, C.uint64_t(ev.Stream)
	case quic.EventSession:
		t.lendSession(out, ev.Session)
	case quic.EventEarlyData:
		switch {
		case ev.Accepted:
			out.value = 1
		case ev.Resent:
			out.value = 2
		}
	case quic.EventPath:
		p := (*C.bquic_path)(t.lent.take(C.sizeof_bquic_path))
		*p = C.bquic_path{}
		setAddr(&p.local, ev.Path.Local)
		setAddr(&p.remote, ev.Path.Remote)
		out.value = pathKinds[ev.Path.Kind]
		point(&out.data, unsafe.Pointer(p))
		out.data_len = C.sizeof_bquic_path
	case quic.EventMTU:
		out.value = C.uint64_t(ev.MaxUDPPayload)
	case quic.EventDrained:
		t.over = append(t.over, c)
	}
}

var pathKinds = [...]C.uint64_t{
	quic.PathNew: C.BQUIC_PATH_NEW, quic.PathValidated: C.BQUIC_PATH_VALIDATED, quic.PathFailed: C.BQUIC_PATH_FAILED, quic.PathClosed: C.BQUIC_PATH_CLOSED,
	quic.PathActivated: C.BQUIC_PATH_ACTIVATED, quic.PathReused: C.BQUIC_PATH_REUSED,
}

func (t *teller) lendSession(out *C.bquic_event, s *quic.Session) {
	if b, err := s.MarshalBinary(); err == nil { // the error says that its AppData is too long, which nobody here sets but HTTP/3
		point(&out.data, t.lent.copy(b))
		out.data_len = C.size_t(len(b))
	}
}

// streamData is the number that was stored for a stream.
func streamData(v any) C.uint64_t {
	if s, there := v.(*stored); there {
		return C.uint64_t(s.value)
	}
	return 0
}

func (c *conn) tellHTTP(t *teller, out *C.bquic_event, ev *h3.Event) {
	out.kind, out.stream, out.value = httpKinds[ev.Kind], C.uint64_t(ev.Stream), C.uint64_t(ev.Code)
	out.stream_data = streamData(ev.Data)
	if ev.Fin {
		out.flags = C.BQUIC_FIN
	}
	switch ev.Kind {
	case h3.EventRequest, h3.EventInterim, h3.EventResponse:
		t.lendMessage(out, ev.Message, ev.Message.Fields)
	case h3.EventTrailers:
		t.lendMessage(out, nil, ev.Fields)
	case h3.EventPriority:
		out.value = C.uint64_t(packPriority(ev.Priority))
	case h3.EventGoAway:
		out.stream, out.value = 0, C.uint64_t(ev.ID)
	case h3.EventCapacity:
		out.value = quic.StreamTypeBidi
	case h3.EventSession:
		t.lendSession(out, ev.Session)
	}
}

func packPriority(p quic.Priority) uint32 {
	n := uint32(p.Urgency)
	if p.Incremental {
		n += 256
	}
	return n
}

// lendMessage lends a header section; m is nil for trailers.
func (t *teller) lendMessage(out *C.bquic_event, m *h3.Message, fields []qpack.Field) {
	var pseudo [maxPseudo]qpack.Field
	head := pseudo[:0]
	if m != nil {
		head = pseudoFields(head, m)
	}
	msg := (*C.bquic_h3_message)(t.lent.take(C.sizeof_bquic_h3_message))
	blank(msg)
	list, n := t.lent.fields(head, fields)
	point(&msg.fields, list)
	msg.fields_len, msg.content_length = C.uint32_t(n), -1
	if m != nil {
		msg.status, msg.content_length, msg.early, msg.priority = C.int32_t(m.Status), C.int64_t(m.ContentLength), boolean(m.Early), C.uint32_t(packPriority(m.Priority))
	}
	point(&out.data, unsafe.Pointer(msg))
	out.data_len = C.sizeof_bquic_h3_message
}
