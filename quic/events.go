package quic

import (
	"net/netip"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of event.
const (
	// EventHandshakeComplete: TLS is done and, on a client, the server is authenticated; 1-RTT data may flow.
	EventHandshakeComplete EventKind = iota + 1
	// EventHandshakeConfirmed: RFC 9001, section 4.1.2.
	EventHandshakeConfirmed
	// EventAsk: TLS waits for an answer (certificate, verification, signature). Run Event.Ask.Run outside the
	// connection's lock, then call Conn.Answer under it.
	EventAsk
	// EventStreamOpened: the peer opened Event.Stream. Streams below it of the same type are announced too, each
	// once, in ascending order.
	EventStreamOpened
	// EventReadable: Event.Stream went from having nothing to read to having data, the end or a reset.
	EventReadable
	// EventWritable: Event.Stream, on which StreamSend had accepted less than all, can take data again; or its
	// peer sent STOP_SENDING, which StreamSend will report. Room is kept free for the stream until StreamSend is called, for 50 ms at
	// least: an application that does not want to write says so by a call with nothing, so that others do not wait for it. It is not
	// told of a stream that the application has ended since.
	EventWritable
	// EventStreamsAvailable: the peer raised its limit on streams that we may open, of the type of Event.Stream
	// (0 bidirectional, 2 unidirectional: see StreamTypeBidi and StreamTypeUni).
	EventStreamsAvailable
	// EventStreamReset: RESET_STREAM came for Event.Stream, with Event.Code, which StreamRecv will report too: this is told
	// though nobody reads. It is not told of a stream on which ReadDirection was shut down, nor of one read to its end.
	EventStreamReset
	// EventStreamStopped: STOP_SENDING came for Event.Stream, with Event.Code, and what we send on it was reset for it; StreamSend
	// will report it too. It is not told of a stream that we had reset, nor of one that was acknowledged to its end.
	EventStreamStopped
	// EventStreamAcked: all that was written on Event.Stream, its end included, was acknowledged (RFC 9000, figure 2: Data Recvd).
	// Told once, before EventStreamFinished, and never of a stream that was reset.
	EventStreamAcked
	// EventStreamFinished: both parts of Event.Stream are done, acknowledged and read; the connection has
	// forgotten the stream.
	EventStreamFinished
	// EventDatagram: there are DATAGRAM frames to read, where there were none.
	EventDatagram
	// EventDatagramWritable: the queue of outgoing datagrams, which was full, has room.
	EventDatagramWritable
	// EventSession: the server gave a ticket (RFC 8446, section 4.6.1) or a token (RFC 9000, section 8.1.3), and Event.Session is what a
	// later connection can begin with. Each one with another ticket is a further Session: the first four tickets of a connection are told.
	// One with the ticket of the one before (Session.SameTicket) has a newer token, and replaces it.
	EventSession
	// EventEarlyReady: a client may open streams and send data before the handshake is complete: 0-RTT data (RFC 9001, section
	// 4.6). It comes once, only with ConnectParams.EarlyData and a Session that allows it, and then before EventHandshakeComplete.
	// OpenStream and StreamSend keep to what the server allowed the connection before.
	EventEarlyReady
	// EventEarlyData: what became of 0-RTT data. At a client Event.Accepted tells whether the server has accepted them; it comes once,
	// after EventEarlyReady and before EventHandshakeComplete. If they are rejected, Event.Resent tells whether all that was written is sent
	// again, by itself (ConnectParams.ResendEarly). Else every stream that was opened is over: calls that name one fail with
	// ErrEarlyDataRejected until this event is read; with that they are forgotten, and the IDs of streams that are opened then begin with the
	// lowest again. Who has IDs of before must drop them: once OpenStream has given one to another stream, it means that.
	// A server is told where a client has offered 0-RTT data.
	EventEarlyData
	// EventPath: Event.Path tells what has become of a path, on both roles. If nobody reads them, the newest sixteen wait.
	EventPath
	// EventMTU: UDP datagrams now carry at most Event.MaxUDPPayload bytes: the path was found to carry more, or less, than was known, or
	// it is another path. Conn.MaxDatagramSize has changed with it. Told first when it is no longer 1200.
	EventMTU
	// EventEndpoint: Event.Endpoint must be given to the Endpoint that routes to this connection, and its reply to
	// Conn.HandleReply.
	EventEndpoint
	// EventClosed: the connection is over; Conn.Err tells why. No stream or datagram event comes after it. If the end was not ours
	// (Conn.KeepsReceived), those of what had arrived came before it, and that can still be read.
	EventClosed
	// EventDrained: the connection's state can be forgotten (RFC 9000, section 10.2), and the Conn released once what had arrived
	// is read or not wanted. The last event.
	EventDrained
)

// Event is something that happened on a connection, read with Conn.NextEvent. Events are edge-triggered: each is told
// once, and again only after the condition went away and came back.
type Event struct {
	Kind          EventKind
	Stream        uint64         // a stream ID; see Kind
	Data          any            // of events of a stream, but EventStreamOpened: what SetStreamData stored for it
	Code          uint64         // EventStreamReset and EventStreamStopped: the peer's application error code
	Session       *Session       // EventSession: the caller's to keep
	Accepted      bool           // EventEarlyData
	Resent        bool           // EventEarlyData of a client, not accepted
	Ask           *handshake.Ask // EventAsk
	Endpoint      *EndpointEvent // EventEndpoint: the reader's to keep
	Path          *PathEvent     // EventPath: the reader's to keep
	MaxUDPPayload int            // EventMTU: bytes
}

// EndpointEventKind says what an EndpointEvent asks of the Endpoint.
type EndpointEventKind uint8

// The kinds of EndpointEvent.
const (
	// NeedConnectionIDs: issue Count more connection IDs for this connection.
	NeedConnectionIDs EndpointEventKind = iota + 1
	// RetireConnectionID: the peer has retired connection ID Seq, and nothing sent to it is under way any more; stop routing it.
	RetireConnectionID
	// AddResetToken: a datagram to no known connection ID that ends in Token is a stateless reset for this connection.
	AddResetToken
	// RemoveResetToken: Token is no longer to be looked for.
	RemoveResetToken
	// HandshakeOver: a server's handshake is complete; it no longer counts against Config.MaxHandshakes.
	HandshakeOver
	// HandshakeFailed: a server's connection was closed, by either side, before its handshake was complete. It no longer counts
	// against Config.MaxHandshakes, though it is there until it is drained.
	HandshakeFailed
	// ConnDrained: forget the connection altogether.
	ConnDrained
	// AddRemoteAddress: what comes from Remote, another address of the server's, is for this connection, if our connection IDs are empty
	// and nothing else tells.
	AddRemoteAddress
	// NeedToken: make a token for the client's next connection from Remote (RFC 9000, section 9.3).
	NeedToken
)

// EndpointEvent is what a Conn needs its Endpoint to do. Conn and Endpoint never call each other, so that each may
// stand under a lock of its own: whoever drives them carries these over.
type EndpointEvent struct {
	Kind  EndpointEventKind
	Count int
	Seq   uint64
	Token [statelessResetTokenLen]byte

	Remote  netip.AddrPort // AddRemoteAddress and NeedToken
	Version uint32         // NeedToken: which QUIC version the token is for
}

// EndpointReply is the Endpoint's answer to an EndpointEvent, to be given to Conn.HandleReply. Its zero value says
// nothing.
type EndpointReply struct {
	IDs   []IssuedConnID
	Token []byte // in answer to NeedToken

	none bool // IDs were asked for, and there are none
}

// IssuedConnID is a connection ID that an Endpoint routes to a connection (RFC 9000, section 5.1.1).
type IssuedConnID struct {
	ID         ConnID
	Seq        uint64
	ResetToken [statelessResetTokenLen]byte
}
