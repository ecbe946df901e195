package h3

import (
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of event. "The application" is who reads them.
const (
	// EventRequest, at a server: a whole, valid header section of a request came, in Event.Message. Fin: nothing follows it.
	EventRequest EventKind = iota + 1
	// EventTooLarge, at a server: the header section of a request is larger than Config.MaxFieldSectionSize. The stream can be answered (431),
	// and what the peer goes on to send on it is dropped: StreamRecv fails.
	EventTooLarge
	// EventInterim, at a client: an interim response (1xx) came, in Event.Message (RFC 9114, section 4.1).
	EventInterim
	// EventResponse, at a client: the final response's header section came, in Event.Message. Fin: nothing follows it.
	EventResponse
	// EventData: the stream has bytes of the body, or its end, for StreamRecv. It is told again only when what was there has been read,
	// so that StreamRecv returned less than it was asked for, and more has come.
	EventData
	// EventTrailers: StreamRecv has come to the trailer section, in Event.Fields. The end follows.
	EventTrailers
	// EventWritable: a stream on which a call took less than all can take more.
	EventWritable
	// EventReset: the exchange has failed in the direction that we read: the peer reset its part with Event.Code, or what it sent was malformed and
	// the whole stream was reset, by us, with Event.Code: Event.Err tells. Nothing more can be read; if it was the peer's reset, our own part lives.
	// It is not told of a request that the application has not been told of. The stream may be forgotten by then, so that StreamRecv tells only that.
	EventReset
	// EventStopped: the peer does not want what we send on the stream (STOP_SENDING, with Event.Code). Writing is over. What can be read stays so.
	EventStopped
	// EventRejected, at a client: the server has not processed the request and will not (GOAWAY, or a reset with H3_REQUEST_REJECTED, or
	// 0-RTT data that was rejected): it can be made again, on another connection if Conn.GoingAway says so. The stream is over, Event.Code
	// is H3_REQUEST_REJECTED, and nothing else is told of it.
	EventRejected
	// EventPriority, at a server: the client has changed the priority of a request that EventRequest has told of, to Event.Priority
	// (PRIORITY_UPDATE). It was already applied to the stream.
	EventPriority
	// EventDatagram: there are HTTP datagrams of the stream for RecvDatagram, where there were none.
	EventDatagram
	// EventDone: the stream is over in both directions, and acknowledged, or was given up, and is forgotten. Of a request that EventRequest told of, or
	// that SendRequest made, it is the last event, unless EventRejected was; Event.Data has what SetStreamData stored. Of requests that the end of the connection
	// finds open it is not told: the core's EventClosed stands for it.
	EventDone
	// EventRawStream: the peer has opened a stream that Config.StreamType wanted, of type Event.Type. It is the application's. Of this
	// and of streams that were taken over EventData, EventWritable, EventReset, EventStopped and EventDone are told as the core tells them.
	EventRawStream
	// EventSettings: the peer's SETTINGS have come: see PeerSettings. Once.
	EventSettings
	// EventGoAway: the peer shuts the connection down (GOAWAY) with Event.ID: at a client, requests whose stream has that ID or one above were
	// told as EventRejected just before. It may come again, with a lower ID.
	EventGoAway
	// EventCapacity, at a client: requests can be made again after ErrStreamLimit.
	EventCapacity
	// EventOrigin, at a client: the server answers for Event.Origins (RFC 9412). An empty list is told too.
	EventOrigin
	// EventSession, at a client: Event.Session is what later connections can begin with, the server's settings included. This takes the place of
	// the core's event of that name.
	EventSession
	// EventShutdown: a connection that Shutdown was called for has no request any more and will have none. It can be closed.
	EventShutdown
)

// Event is something that happened, read with Conn.NextEvent. It and what it points to, but for Session, are valid until the next call of
// NextEvent or HandleEvent: who keeps an Event, a Message, Fields or Origins copies them; the strings in them may be kept.
type Event struct {
	Kind     EventKind
	Fin      bool // EventRequest, EventResponse
	Stream   uint64
	Code     ErrorCode     // EventReset, EventStopped, EventRejected
	Err      error         // EventReset: a *StreamError, the receiver's to keep
	Message  *Message      // EventRequest, EventInterim, EventResponse
	Fields   []qpack.Field // EventTrailers
	Priority quic.Priority // EventPriority
	Type     uint64        // EventRawStream
	ID       uint64        // EventGoAway
	Origins  []string      // EventOrigin
	Session  *quic.Session // EventSession: the receiver's
	Data     any           // of an event of a stream: what SetStreamData stored for it
}
