package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// ErrEarlyDataRejected is what streams end with on which a client had written before the handshake was complete, where the server has
// rejected that and it is not to be sent again (RFC 9001, section 4.6.2).
var ErrEarlyDataRejected = errors.New("quic: the server has rejected the data that was sent before the handshake was complete")

// PanicError is the error of a connection that ended because the program's code panicked: a callback of the tls.Config, a
// tls.ClientSessionCache.
type PanicError = handshake.PanicError

// MaxErrorCode is the largest error code, of the transport or of an application, that can be told to a peer: 2^62-1 (RFC 9000, section
// 16).
const MaxErrorCode = wire.MaxVarint

// TransportErrorCode is a QUIC transport error code (RFC 9000, section 20.1).
type TransportErrorCode uint64

// The transport error codes of RFC 9000, section 20.1, and RFC 9368, section 10.2.
const (
	NoError                 TransportErrorCode = 0x00
	InternalError           TransportErrorCode = 0x01
	ConnectionRefused       TransportErrorCode = 0x02
	FlowControlError        TransportErrorCode = 0x03
	StreamLimitError        TransportErrorCode = 0x04
	StreamStateError        TransportErrorCode = 0x05
	FinalSizeError          TransportErrorCode = 0x06
	FrameEncodingError      TransportErrorCode = 0x07
	TransportParameterError TransportErrorCode = 0x08
	ConnectionIDLimitError  TransportErrorCode = 0x09
	ProtocolViolation       TransportErrorCode = 0x0a
	InvalidToken            TransportErrorCode = 0x0b
	ApplicationErrorCode    TransportErrorCode = 0x0c
	CryptoBufferExceeded    TransportErrorCode = 0x0d
	KeyUpdateError          TransportErrorCode = 0x0e
	AEADLimitReached        TransportErrorCode = 0x0f
	NoViablePath            TransportErrorCode = 0x10
	VersionNegotiationCode  TransportErrorCode = 0x11

	// CryptoErrorBase plus a TLS alert is the code that the alert travels under (RFC 9001, section 4.8).
	CryptoErrorBase TransportErrorCode = 0x100
)

var transportErrorNames = map[TransportErrorCode]string{
	NoError:                 "NO_ERROR",
	InternalError:           "INTERNAL_ERROR",
	ConnectionRefused:       "CONNECTION_REFUSED",
	FlowControlError:        "FLOW_CONTROL_ERROR",
	StreamLimitError:        "STREAM_LIMIT_ERROR",
	StreamStateError:        "STREAM_STATE_ERROR",
	FinalSizeError:          "FINAL_SIZE_ERROR",
	FrameEncodingError:      "FRAME_ENCODING_ERROR",
	TransportParameterError: "TRANSPORT_PARAMETER_ERROR",
	ConnectionIDLimitError:  "CONNECTION_ID_LIMIT_ERROR",
	ProtocolViolation:       "PROTOCOL_VIOLATION",
	InvalidToken:            "INVALID_TOKEN",
	ApplicationErrorCode:    "APPLICATION_ERROR",
	CryptoBufferExceeded:    "CRYPTO_BUFFER_EXCEEDED",
	KeyUpdateError:          "KEY_UPDATE_ERROR",
	AEADLimitReached:        "AEAD_LIMIT_REACHED",
	NoViablePath:            "NO_VIABLE_PATH",
	VersionNegotiationCode:  "VERSION_NEGOTIATION_ERROR",
}

// String returns the name that the RFC gives the code, or CRYPTO_ERROR with the TLS alert, by its number and by its name.
func (c TransportErrorCode) String() string {
	if name, ok := transportErrorNames[c]; ok {
		return name
	}
	if alert, ok := c.alert(); ok {
		name := ""
		if text := strings.TrimPrefix(alert.Error(), "tls: "); !strings.HasPrefix(text, "alert(") {
			name = ", " + text
		}
		return fmt.Sprintf("CRYPTO_ERROR(alert %d%s)", uint8(alert), name)
	}
	return fmt.Sprintf("error 0x%x", uint64(c))
}

// alert returns the TLS alert that travels under the code, if it is one for alerts.
func (c TransportErrorCode) alert() (alert tls.AlertError, ok bool) {
	if c < CryptoErrorBase || c > CryptoErrorBase+0xff {
		return 0, false
	}
	return tls.AlertError(c - CryptoErrorBase), true
}

// TransportError is why a connection was closed by the transport, on either side (CONNECTION_CLOSE of type 0x1c,
// RFC 9000, section 19.19). It unwraps to net.ErrClosed, to the cause where that was local, and to the tls.AlertError that
// Code stands for, whichever side sent it.
type TransportError struct {
	Code      TransportErrorCode
	Remote    bool   // the peer closed the connection
	FrameType uint64 // the frame that brought the error, 0 if none or not known
	Reason    string // a text for people, never longer than a packet, as the peer sent it if Remote
	Cause     error  // the local error behind Code, such as a certificate that did not verify; may be nil
}

// Error tells which side closed the connection, the code's name and the reason.
func (e *TransportError) Error() string {
	s := fmt.Sprintf("quic: connection closed by %s: %s", side(e.Remote), e.Code)
	if e.FrameType != 0 {
		s += fmt.Sprintf(", for %s", wire.FrameName(e.FrameType))
	}
	if e.Reason != "" {
		s += fmt.Sprintf(": %q", e.Reason)
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Is matches a *TransportError of the same code and side.
func (e *TransportError) Is(target error) bool {
	t, ok := target.(*TransportError)
	return ok && t.Code == e.Code && t.Remote == e.Remote
}

// Unwrap returns net.ErrClosed, the cause and the TLS alert.
func (e *TransportError) Unwrap() []error {
	all := []error{net.ErrClosed}
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	if alert, ok := e.Code.alert(); ok {
		all = append(all, alert)
	}
	return all
}

// ApplicationError is why a connection was closed by the application, on either side (CONNECTION_CLOSE of type
// 0x1d, RFC 9000, section 19.19). It unwraps to net.ErrClosed.
type ApplicationError struct {
	Code   uint64 // 0 to 2^62-1, of the application protocol's choosing
	Remote bool   // the peer closed the connection
	Reason string // a text for people
}

// Error tells which side closed the connection, the code and the reason.
func (e *ApplicationError) Error() string {
	who := "this side's application"
	if e.Remote {
		who = "the peer's application"
	}
	s := fmt.Sprintf("quic: connection closed by %s: code 0x%x", who, e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(": %q", e.Reason)
	}
	return s
}

// Is matches an *ApplicationError of the same code and side.
func (e *ApplicationError) Is(target error) bool {
	t, ok := target.(*ApplicationError)
	return ok && t.Code == e.Code && t.Remote == e.Remote
}

// Unwrap returns net.ErrClosed.
func (e *ApplicationError) Unwrap() error { return net.ErrClosed }

// StreamError is why a stream ended before its time: the peer reset its sending part (RESET_STREAM) or asked us to
// stop sending (STOP_SENDING), or the application here did either.
type StreamError struct {
	StreamID uint64
	Code     uint64 // the application's error code
	Remote   bool   // the peer ended it
}

// Error tells which stream, which side and the code.
func (e *StreamError) Error() string {
	return fmt.Sprintf("quic: stream %d ended early by %s: code 0x%x", e.StreamID, side(e.Remote), e.Code)
}

// Is matches a *StreamError of the same stream, code and side.
func (e *StreamError) Is(target error) bool {
	t, ok := target.(*StreamError)
	return ok && *t == *e
}

// IdleTimeoutError is why a connection ended in silence: nothing arrived for the idle timeout (RFC 9000, section
// 10.1), or the handshake did not finish in time. It is a timeout in the sense of net.Error and unwraps to
// net.ErrClosed.
type IdleTimeoutError struct {
	Handshake bool // the handshake did not finish
}

// Error tells which timeout it was.
func (e *IdleTimeoutError) Error() string {
	if e.Handshake {
		return "quic: timeout: the handshake did not finish in time"
	}
	return "quic: timeout: nothing was received from the peer for the idle timeout"
}

// Timeout is true.
func (e *IdleTimeoutError) Timeout() bool { return true }

// Temporary is false: the connection is gone.
func (e *IdleTimeoutError) Temporary() bool { return false }

// Is matches any *IdleTimeoutError of the same kind.
func (e *IdleTimeoutError) Is(target error) bool {
	t, ok := target.(*IdleTimeoutError)
	return ok && *t == *e
}

// Unwrap returns net.ErrClosed.
func (e *IdleTimeoutError) Unwrap() error { return net.ErrClosed }

// VersionNegotiationError is why a client gave up: the server speaks none of our versions (RFC 9000, section 6.2).
type VersionNegotiationError struct {
	Offered []uint32 // the versions that the server listed
}

// Error lists the server's versions, without those that are reserved (RFC 9000, section 15) and that nobody speaks.
func (e *VersionNegotiationError) Error() string {
	spoken := make([]string, 0, len(e.Offered))
	for _, v := range e.Offered {
		if v&0x0f0f0f0f != 0x0a0a0a0a {
			spoken = append(spoken, fmt.Sprintf("0x%08x", v))
		}
	}
	if len(spoken) == 0 {
		return "quic: the server speaks none of our versions, and names none that it speaks"
	}
	return "quic: the server speaks none of our versions, only " + strings.Join(spoken, ", ")
}

// Is matches any *VersionNegotiationError.
func (e *VersionNegotiationError) Is(target error) bool {
	_, ok := target.(*VersionNegotiationError)
	return ok
}

// Unwrap returns net.ErrClosed.
func (e *VersionNegotiationError) Unwrap() error { return net.ErrClosed }

// StatelessResetError is why a connection ended: the peer no longer knows it (RFC 9000, section 10.3).
type StatelessResetError struct{}

// Error says so.
func (e *StatelessResetError) Error() string {
	return "quic: stateless reset: the peer has lost the connection's state"
}

// Is matches any *StatelessResetError.
func (e *StatelessResetError) Is(target error) bool {
	_, ok := target.(*StatelessResetError)
	return ok
}

// Unwrap returns net.ErrClosed.
func (e *StatelessResetError) Unwrap() error { return net.ErrClosed }

// DatagramTooLargeError is why a datagram was not sent: what the peer takes, and what the path carries, is less. The limit of an
// application that has to know it beforehand is Conn.MaxDatagramSize; it can change while a connection lives.
type DatagramTooLargeError struct {
	Size int // of the datagram, in bytes
	Max  int // how large it may be now, in bytes
}

// Error tells both sizes.
func (e *DatagramTooLargeError) Error() string {
	return fmt.Sprintf("quic: a datagram of %d bytes is too large: at most %d can be sent", e.Size, e.Max)
}

// Is matches any *DatagramTooLargeError of the same sizes.
func (e *DatagramTooLargeError) Is(target error) bool {
	t, ok := target.(*DatagramTooLargeError)
	return ok && *t == *e
}

// IsCleanClose tells whether err is, or wraps, the error of a connection that one side closed on purpose and without a complaint:
// with application error code 0, which is what a Go program's Close sends, or with the transport's NO_ERROR. It tells such an end
// from failures, which errors.Is(err, net.ErrClosed) does not: that matches every connection that is over. A protocol that has
// another code for a good end (HTTP/3's is 0x100) compares with an *ApplicationError of its own.
//
// It is false for nil, for the end of a stream (io.EOF), and for the error of a stream that was ended early. It is for calls that wait
// for something new, as AcceptStream does: in the middle of a stream the same error means that the rest of it is lost.
func IsCleanClose(err error) bool {
	if app := (*ApplicationError)(nil); errors.As(err, &app) {
		return app.Code == 0
	}
	transport := (*TransportError)(nil)
	return errors.As(err, &transport) && transport.Code == NoError
}

// sentinel is an error of a fixed text that matches another one, too.
type sentinel struct {
	text  string
	match error
}

func (e *sentinel) Error() string { return e.text }
func (e *sentinel) Unwrap() error { return e.match }

func side(remote bool) string {
	if remote {
		return "the peer"
	}
	return "this side"
}

// transportError is an error that we found in what the peer sent; it closes the connection.
func transportError(code TransportErrorCode, reason string) *TransportError {
	return &TransportError{Code: code, Reason: reason}
}
