package h3

import (
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
)

// ErrorCode is an error code of HTTP/3 or QPACK, with which streams are reset and connections closed.
type ErrorCode uint64

// The error codes of RFC 9114, section 8.1, of RFC 9204, section 6, and of RFC 9297, section 5.2.
const (
	ErrCodeDatagram             ErrorCode = 0x33  // H3_DATAGRAM_ERROR
	ErrCodeNoError              ErrorCode = 0x100 // H3_NO_ERROR
	ErrCodeGeneralProtocol      ErrorCode = 0x101 // H3_GENERAL_PROTOCOL_ERROR
	ErrCodeInternal             ErrorCode = 0x102 // H3_INTERNAL_ERROR
	ErrCodeStreamCreation       ErrorCode = 0x103 // H3_STREAM_CREATION_ERROR
	ErrCodeClosedCriticalStream ErrorCode = 0x104 // H3_CLOSED_CRITICAL_STREAM
	ErrCodeFrameUnexpected      ErrorCode = 0x105 // H3_FRAME_UNEXPECTED
	ErrCodeFrame                ErrorCode = 0x106 // H3_FRAME_ERROR
	ErrCodeExcessiveLoad        ErrorCode = 0x107 // H3_EXCESSIVE_LOAD
	ErrCodeID                   ErrorCode = 0x108 // H3_ID_ERROR
	ErrCodeSettings             ErrorCode = 0x109 // H3_SETTINGS_ERROR
	ErrCodeMissingSettings      ErrorCode = 0x10a // H3_MISSING_SETTINGS
	ErrCodeRequestRejected      ErrorCode = 0x10b // H3_REQUEST_REJECTED
	ErrCodeRequestCancelled     ErrorCode = 0x10c // H3_REQUEST_CANCELLED
	ErrCodeRequestIncomplete    ErrorCode = 0x10d // H3_REQUEST_INCOMPLETE
	ErrCodeMessage              ErrorCode = 0x10e // H3_MESSAGE_ERROR
	ErrCodeConnect              ErrorCode = 0x10f // H3_CONNECT_ERROR
	ErrCodeVersionFallback      ErrorCode = 0x110 // H3_VERSION_FALLBACK
	ErrCodeDecompressionFailed  ErrorCode = 0x200 // QPACK_DECOMPRESSION_FAILED
	ErrCodeEncoderStream        ErrorCode = 0x201 // QPACK_ENCODER_STREAM_ERROR
	ErrCodeDecoderStream        ErrorCode = 0x202 // QPACK_DECODER_STREAM_ERROR
)

var errorCodeNames = map[ErrorCode]string{
	ErrCodeDatagram:             "H3_DATAGRAM_ERROR",
	ErrCodeNoError:              "H3_NO_ERROR",
	ErrCodeGeneralProtocol:      "H3_GENERAL_PROTOCOL_ERROR",
	ErrCodeInternal:             "H3_INTERNAL_ERROR",
	ErrCodeStreamCreation:       "H3_STREAM_CREATION_ERROR",
	ErrCodeClosedCriticalStream: "H3_CLOSED_CRITICAL_STREAM",
	ErrCodeFrameUnexpected:      "H3_FRAME_UNEXPECTED",
	ErrCodeFrame:                "H3_FRAME_ERROR",
	ErrCodeExcessiveLoad:        "H3_EXCESSIVE_LOAD",
	ErrCodeID:                   "H3_ID_ERROR",
	ErrCodeSettings:             "H3_SETTINGS_ERROR",
	ErrCodeMissingSettings:      "H3_MISSING_SETTINGS",
	ErrCodeRequestRejected:      "H3_REQUEST_REJECTED",
	ErrCodeRequestCancelled:     "H3_REQUEST_CANCELLED",
	ErrCodeRequestIncomplete:    "H3_REQUEST_INCOMPLETE",
	ErrCodeMessage:              "H3_MESSAGE_ERROR",
	ErrCodeConnect:              "H3_CONNECT_ERROR",
	ErrCodeVersionFallback:      "H3_VERSION_FALLBACK",
	ErrCodeDecompressionFailed:  "QPACK_DECOMPRESSION_FAILED",
	ErrCodeEncoderStream:        "QPACK_ENCODER_STREAM_ERROR",
	ErrCodeDecoderStream:        "QPACK_DECODER_STREAM_ERROR",
}

// String returns the name that the RFC gives the code, or its number.
func (c ErrorCode) String() string {
	if name, ok := errorCodeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("error 0x%x", uint64(c))
}

// StreamError is why the exchange of a stream ended before its time: the peer reset it, or we did, since what the peer sent, or the
// application, was no HTTP.
type StreamError struct {
	Stream uint64
	Code   ErrorCode
	Remote bool   // the peer ended it
	Reason string // for people, empty if Remote
	Cause  error  // ErrTooLarge, ErrContentLength, or nil
}

// Unwrap returns the cause.
func (e *StreamError) Unwrap() error { return e.Cause }

// Error tells the stream, the side, the code's name and the reason.
func (e *StreamError) Error() string {
	who := "this side"
	if e.Remote {
		who = "the peer"
	}
	s := fmt.Sprintf("h3: stream %d ended early by %s: %s", e.Stream, who, e.Code)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is matches a *StreamError of the same stream, code and side.
func (e *StreamError) Is(target error) bool {
	t, ok := target.(*StreamError)
	return ok && t.Stream == e.Stream && t.Code == e.Code && t.Remote == e.Remote
}

// Errors of the methods of Conn. Where a method passes on what the connection itself says, the errors are those of package quic.
var (
	// ErrStreamLimit: the peer allows no more requests now. EventCapacity comes when it does.
	ErrStreamLimit = errors.New("h3: the peer's limit on requests is reached")

	// ErrGoingAway: no request can be made on this connection any more, since one side is shutting it down (GOAWAY).
	ErrGoingAway = errors.New("h3: the connection is shutting down and takes no more requests")

	// ErrFieldSectionTooLarge: the fields are more than the peer accepts by its SETTINGS_MAX_FIELD_SECTION_SIZE (RFC 9114, section
	// 4.2.2). Nothing was sent.
	ErrFieldSectionTooLarge = errors.New("h3: the header section is larger than the peer accepts")

	// ErrConnectNotEnabled: extended CONNECT needs the server's SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220, section 3), which it has
	// not sent, or not yet: EventSettings tells when its settings are there.
	ErrConnectNotEnabled = errors.New("h3: the server has not enabled extended CONNECT")

	// ErrDatagramsNotEnabled: HTTP datagrams need SETTINGS_H3_DATAGRAM of both sides (RFC 9297, section 2.1.1).
	ErrDatagramsNotEnabled = errors.New("h3: HTTP datagrams are not enabled by both sides")

	// ErrUnknownStream: there is no such stream, or it is over, or it is not one of the kind that the call is for.
	ErrUnknownStream = errors.New("h3: no such stream, or it is over")

	// ErrContentLength: the body is longer or shorter than the content-length that was declared for it. The stream was reset, so that
	// the peer does not take the message for a complete one.
	ErrContentLength = errors.New("h3: the body does not have the declared content-length")

	// ErrMessageOrder: the call is not what may follow on this stream: a second final response, a body before the header section, a
	// body where there can be none, anything after the end. After the end it matches quic.ErrStreamEnded, too.
	ErrMessageOrder = errors.New("h3: this may not be sent at this point of the message")
	errAfterEnd     = fmt.Errorf("%w: %w", ErrMessageOrder, quic.ErrStreamEnded)

	// ErrControlBacklog: the peer takes nothing on our control stream, and much waits there.
	ErrControlBacklog = errors.New("h3: the peer does not read our control stream")

	// ErrInterimBacklog: the interim response was not sent, since the client does not take those before it.
	ErrInterimBacklog = errors.New("h3: the client takes no more interim responses")

	// ErrRole: the call is for the other role.
	ErrRole = errors.New("h3: the call is for the other role, client or server")
)

// MessageError tells what in a message that was to be sent is not allowed. Nothing was sent.
type MessageError struct{ Reason string }

// Error says what was wrong.
func (e *MessageError) Error() string { return "h3: the message cannot be sent: " + e.Reason }

// connError is what ends a connection: an error of the peer's, or a load that is not to be borne.
type connError struct {
	code   ErrorCode
	reason string
}

func connErr(code ErrorCode, reason string) *connError { return &connError{code, reason} }
