package h3

import (
	"errors"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// Conn is HTTP/3 on one connection, of either role, as a state machine without I/O: it works on a *quic.Conn that somebody else drives.
// It is not for concurrent use, and stands under the lock of its quic.Conn. After any call on it, its events are read with NextEvent until
// there is none; then the core's are dealt with as always.
type Conn struct {
	core *quic.Conn
	cfg  *Config
}

var errNotYet = errors.New("h3: not yet implemented")

// New begins HTTP/3 on a connection: one whose handshake is complete, or that can send or has received 0-RTT data. It opens the
// control and QPACK streams and sends SETTINGS. Events of the core from then on belong to HandleEvent. cfg may be nil. The error says what
// is wrong with cfg.
func New(now time.Time, core *quic.Conn, cfg *Config) (*Conn, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	return &Conn{core: core, cfg: cfg}, errNotYet
}

// HandleEvent is given each event of the core that is the application's, in order: those of streams, datagrams, the handshake, sessions and
// early data, EventClosed and EventDrained. Others it does not look at.
func (c *Conn) HandleEvent(now time.Time, ev *quic.Event) {}

// NextEvent returns what has happened; ok is false if there is nothing, and that must be seen once at the end of each turn: what is
// gathered for the peer, such as acknowledgements of QPACK, is written then.
func (c *Conn) NextEvent() (ev Event, ok bool) { return ev, false }

// Timeout is when OnTimeout is wanted, the zero Time if not at all.
func (c *Conn) Timeout() time.Time { return time.Time{} }

// OnTimeout does what is due at now.
func (c *Conn) OnTimeout(now time.Time) {}

// Core returns the connection that this is built on.
func (c *Conn) Core() *quic.Conn { return c.core }

// SendRequest makes a request at a client: it opens a stream and sends m, the first n bytes of body, and the end if fin and n is all of
// body. n < len(body) says that there is no room for more now: EventWritable comes when there is. The header section is always taken, or
// else there is an error, and nothing was sent: ErrStreamLimit, ErrGoingAway, ErrFieldSectionTooLarge, ErrConnectNotEnabled, a
// *MessageError, or that of the connection. Nothing of m or body is kept.
func (c *Conn) SendRequest(now time.Time, m *Message, body []byte, fin bool) (id uint64, n int, err error) {
	return 0, 0, errNotYet
}

// SendResponse sends a response, or an interim one (m.Status 1xx, without body and fin), at a server. Else it is as SendRequest. To a
// request of method HEAD, and with status 204 or 304, body must be empty and fin set; the content-length of m is sent.
func (c *Conn) SendResponse(now time.Time, id uint64, m *Message, body []byte, fin bool) (n int, err error) {
	return 0, errNotYet
}

// SendTrailers sends a trailer section, and the end: of a request or a response whose body was written with StreamSend and without fin.
// It is to be called when all of the body was taken.
func (c *Conn) SendTrailers(now time.Time, id uint64, fields []qpack.Field) error { return errNotYet }

// StreamSend is quic.Conn.StreamSend for a body: it sends bytes of p, in DATA frames, and the end if fin and all of p was taken. n <
// len(p) without an error says that there is no room now, and EventWritable comes. It fails with ErrContentLength, and resets the stream,
// where the body is longer than declared, or ends and is shorter.
func (c *Conn) StreamSend(id uint64, p []byte, fin bool) (n int, err error) { return 0, errNotYet }

// StreamRecv is quic.Conn.StreamRecv for a body: it copies bytes of DATA frames to p. fin says that the message is over: that its
// body had the length that content-length told, and that EventTrailers, if there are trailers, can be read from NextEvent.
// A *StreamError tells that the peer reset the stream, or that what it sent was malformed.
func (c *Conn) StreamRecv(id uint64, p []byte) (n int, fin bool, err error) {
	return 0, false, errNotYet
}

// StreamShutdown ends a part of a stream before its time, or both, as quic.Conn.StreamShutdown does: reading with STOP_SENDING, writing
// with RESET_STREAM.
func (c *Conn) StreamShutdown(id uint64, dir quic.Direction, code ErrorCode) error { return errNotYet }

// SetStreamData stores a value of the application's with a stream, which events of the stream carry. StreamData returns it, nil if there is none.
func (c *Conn) SetStreamData(id uint64, v any) {}

// StreamData returns what SetStreamData stored, nil if nothing was or the stream is over.
func (c *Conn) StreamData(id uint64) any { return nil }

// Shutdown begins the end of the connection (RFC 9114, section 5.2). A server sends a first GOAWAY that says so, and, when requests that
// were under way then have come, after a round trip, a second one that says which of them it has taken; later ones are
// rejected. A client sends GOAWAY and makes no more requests. Those that are open go on. EventShutdown tells when there is none.
func (c *Conn) Shutdown(now time.Time) {}

// Close closes the connection at once, with an error code of HTTP/3's.
func (c *Conn) Close(now time.Time, code ErrorCode, reason string) {
	c.core.Close(now, true, uint64(code), reason)
}

// GoingAway tells whether one side is shutting the connection down, so that a client can make no more requests on it.
func (c *Conn) GoingAway() bool { return false }

// OpenRequests returns how many requests are open, those included whose header section has not arrived whole.
func (c *Conn) OpenRequests() int { return 0 }

// RequestsOpenable returns how many requests a client can make now.
func (c *Conn) RequestsOpenable() int { return 0 }

// SetPriority sets the priority with which a stream is sent on this side. On a server it takes the place of what the client asked for.
func (c *Conn) SetPriority(id uint64, p quic.Priority) error { return errNotYet }

// UpdatePriority has a client ask its server for another priority of a request's response (PRIORITY_UPDATE, RFC 9218, section 7), and
// sets it for what is sent on the stream too.
func (c *Conn) UpdatePriority(id uint64, p quic.Priority) error { return errNotYet }

// SendDatagram sends an HTTP datagram of a request's stream (RFC 9297, section 2.1); p is copied. The errors are ErrDatagramsNotEnabled, ErrUnknownStream and
// those of quic.Conn.DatagramSend.
func (c *Conn) SendDatagram(id uint64, p []byte) error { return errNotYet }

// RecvDatagram copies the oldest HTTP datagram of a stream into p and forgets it; ok is false if there is none. What does not fit into p is
// lost.
func (c *Conn) RecvDatagram(id uint64, p []byte) (n int, ok bool) { return 0, false }

// MaxDatagramSize returns how long an HTTP datagram of a stream may be now, in bytes, 0 if none can be sent.
func (c *Conn) MaxDatagramSize(id uint64) int { return 0 }

// TakeOver makes a stream the application's: from here on frames of it are not parsed or made, and StreamRecv, StreamSend and StreamShutdown are those of
// the core. buffered are bytes that came before what StreamRecv will return, of a frame that has begun; they are the caller's.
func (c *Conn) TakeOver(id uint64) (buffered []byte, err error) { return nil, errNotYet }

// PeerSettings returns the peer's settings. ok is false before they have come: then they are the defaults, or at a client with 0-RTT data those that
// the server sent to the connection before.
func (c *Conn) PeerSettings() (s Settings, ok bool) { return defaultSettings(), false }
