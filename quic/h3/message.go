package h3

import (
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/qpack"
)

// Message is the header section of a request or a response, with its pseudo-header fields taken apart (RFC 9114, section 4.3).
//
// Received ones are valid: names are lower-case tokens, values have no control characters and no white space around them, what
// must be there is there, and what is forbidden is not.
type Message struct {
	// Of requests. Path is the path with the query, "*" for an OPTIONS request to the server as a whole, and empty for CONNECT, as Scheme is. Authority is
	// :authority, or the Host field where that is all there is; the Host field is not among Fields of a received request.
	Method, Scheme, Authority, Path string
	Protocol                        string // of an extended CONNECT (RFC 9220), such as "websocket"

	// Status of a response, 100 to 999 without 101.
	Status int

	// ContentLength is what the content-length field of a received message says, -1 if there is none; where a request or response ends with
	// its header section it is 0 then. In a message to be sent it is not looked at: what Fields say counts, and the body is held to it.
	ContentLength int64

	// Priority of a received request: what its Priority field says (RFC 9218, section 5), or a PRIORITY_UPDATE that came before it, and
	// quic.DefaultPriority where neither does. Of a request to be sent it is not looked at: its Priority field is.
	Priority quic.Priority

	// Early, at a server: the request came in 0-RTT data, which may be a recording (RFC 8470, section 5.1): see quic.Conn.StreamEarly.
	Early bool

	// Fields are the others, in their order. Cookie fields of a received message are joined into one (RFC 9114, section 4.2.1).
	Fields []qpack.Field
}
