package http3

import (
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// ErrorCode is an error code of HTTP/3 or QPACK (RFC 9114, section 8.1); package h3 names them.
type ErrorCode = h3.ErrorCode

// StreamError is why a request or its response ended before its time: one side reset the stream or wanted no more of it, or what came was no
// HTTP.
type StreamError = h3.StreamError

// ConnError is why a connection was closed by HTTP/3, on either side. It unwraps to the *quic.ApplicationError, and so to net.ErrClosed.
type ConnError struct {
	Code   ErrorCode
	Remote bool   // the peer closed the connection
	Reason string // a text for people

	cause *quic.ApplicationError
}

// Error tells the side, the code's name and the reason.
func (e *ConnError) Error() string {
	who := "this side"
	if e.Remote {
		who = "the peer"
	}
	s := fmt.Sprintf("http3: connection closed by %s: %s", who, e.Code)
	if e.Reason != "" {
		s += fmt.Sprintf(": %q", e.Reason)
	}
	return s
}

// Unwrap returns the *quic.ApplicationError.
func (e *ConnError) Unwrap() error { return e.cause }

// nameError gives an error of the transport that has a code of HTTP/3 a type and a text that name it. Other errors, and nil, it returns as
// they are.
func nameError(err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *quic.StreamError:
		return &StreamError{Stream: e.StreamID, Code: ErrorCode(e.Code), Remote: e.Remote}
	case *quic.ApplicationError:
		return &ConnError{Code: ErrorCode(e.Code), Remote: e.Remote, Reason: e.Reason, cause: e}
	}
	return err
}

// isClean tells whether an error is that of a connection that was closed without a complaint.
func isClean(err error) bool {
	app := (*quic.ApplicationError)(nil)
	return errors.As(err, &app) && ErrorCode(app.Code) == h3.ErrCodeNoError || quic.IsCleanClose(err)
}
