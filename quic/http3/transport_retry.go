package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// failureKind says what is known of a request that failed before its response came.
type failureKind uint8

const (
	final     failureKind = iota // it is not to be made again
	crowded                      // nothing was sent since there was no place for it, against what was thought
	unsent                       // nothing was sent since the connection takes no more
	rejected                     // the server has not processed it, and will not
	elsewhere                    // the same, and it is not to be made again over HTTP/3 (H3_VERSION_FALLBACK)
	tooEarly                     // it was sent as early data, which the server has not taken
	lost                         // the connection was lost, and nobody knows
	unproved                     // likewise, before its handshake was complete: a dial that waits for that would have failed
)

// failure is why RoundTrip failed on a connection.
type failure struct {
	err  error
	kind failureKind
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// kindOf returns what is known of a request whose roundTrip failed.
func kindOf(err error) failureKind {
	if f, ok := err.(*failure); ok {
		return f.kind
	}
	return final
}

// unwrapFailure returns what the caller of RoundTrip is told.
func unwrapFailure(err error) error {
	if f, ok := err.(*failure); ok {
		return streamFailure(f.err)
	}
	return err
}

// fateOf returns what is known of a request that waits when the connection ends with err: kind, unless that is before the handshake is complete. Then it
// is what a dial would have failed with if there was no early data, and the request with it; but a server that refuses the token of a session has
// looked at nothing else, and takes a client that comes without it (quicnet sees to that where a dial waits for the handshake).
func (cc *ClientConn) fateOf(err error, kind failureKind) failureKind {
	if cc.tls.Load() != nil {
		return kind
	}
	if e := (*quic.TransportError)(nil); errors.As(err, &e) && e.Remote && e.Code == quic.InvalidToken {
		return unsent
	}
	return unproved
}

// attempt is a request with what RoundTrip's tries to send it have in common.
type attempt struct {
	req     *http.Request // never changed
	body    *trackedBody  // nil: there is none
	length  int64         // of the body, -1 if nobody knows
	trace   *httptrace.ClientTrace
	altUsed string // value of the Alt-Used field; empty: there is none
	tries   int
	late    bool   // it must not be sent as early data
	sent    bool   // something of it may have left
	keep    bool   // the body is left alone while nothing of it was read and nothing was sent
	eager   []byte // the body, which RoundTrip has read; nil: it has not
}

// wasRead tells whether the body was read or closed.
func (r *attempt) wasRead() bool {
	return r.body != nil && (r.body.read.Load() || r.body.closed.Load())
}

// begin notes what the request's body is.
func (r *attempt) begin() {
	req := r.req
	r.length = outgoingLength(req)
	if r.length != 0 {
		r.body = &trackedBody{ReadCloser: req.Body}
	}
	r.late = req.Context().Value(withoutEarlyData{}) != nil
}

// wantsClose tells whether the connection is to be closed after the request.
func (r *attempt) wantsClose() bool {
	return r.req.Close || len(r.req.Header["Connection"]) > 0 && strings.EqualFold(r.req.Header["Connection"][0], "close")
}

// closeBody closes the body if that was not done.
func (r *attempt) closeBody() {
	if r.keep && !r.sent && !r.wasRead() {
		return
	}
	if r.body != nil {
		r.body.Close()
	} else if r.req.Body != nil {
		r.req.Body.Close()
	}
}

// maxTries bounds how often a request is sent, as net/http does for HTTP/2.
const maxTries = 7

// again tells whether the request is to be made again after a failure: nil if so. Else it returns what RoundTrip returns; the body is closed
// then.
func (r *attempt) again(fresh bool, err error) error {
	f, ok := err.(*failure)
	if !ok {
		r.closeBody()
		return err
	}
	giveUp := func(err error) error {
		r.closeBody()
		return err
	}
	r.tries++
	switch {
	case f.kind == crowded:
		r.tries-- // it waits for its place, as long as it takes
		return nil
	case f.kind == final, f.kind == elsewhere, f.kind == unproved, r.tries == maxTries:
		return giveUp(unwrapFailure(err))
	case f.kind == lost && (fresh || !isReplayable(r.req)):
		// A server that breaks off a new connection may not like the request; to send it once more would change nothing.
		return giveUp(unwrapFailure(err))
	}
	if err := r.rewind(f.err); err != nil {
		return err
	}
	if r.tries > 1 && f.kind != unsent && f.kind != tooEarly {
		if err := r.backOff(); err != nil {
			return giveUp(err)
		}
	}
	return nil
}

// rewind makes the body be there once more. Where it cannot, the error says so; the body is closed then.
func (r *attempt) rewind(cause error) error {
	if r.body == nil || r.eager != nil || !r.wasRead() {
		return nil
	}
	r.body.Close()
	if r.req.GetBody == nil {
		return fmt.Errorf("http3: cannot send the request again after its body was read (%w); define Request.GetBody to avoid this error", streamFailure(cause))
	}
	body, err := bodyAgain(r.req)
	if err != nil {
		return err
	}
	r.body = &trackedBody{ReadCloser: body}
	return nil
}

// bodyAgain calls a request's GetBody.
func bodyAgain(req *http.Request) (io.ReadCloser, error) {
	body, err := req.GetBody()
	if err == nil && body == nil {
		err = errors.New("http3: Request.GetBody returned neither a body nor an error")
	}
	return body, err
}

// backOff waits before the second retry for about a second, and twice as long each time.
func (r *attempt) backOff() error {
	d := time.Second << (r.tries - 2)
	d += time.Duration(0.1 * rand.Float64() * float64(d))
	timer := time.NewTimer(d)
	defer timer.Stop()
	ctx := r.req.Context()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctxerr.Of(ctx)
	case <-r.req.Cancel:
		return errRequestCanceled
	}
}

// errRequestCanceled is the error of a request whose Cancel channel was closed.
var errRequestCanceled = errors.New("http3: request canceled")

// headerTimeoutError is that of Transport.ResponseHeaderTimeout.
type headerTimeoutError struct{}

func (*headerTimeoutError) Error() string        { return "http3: timeout awaiting response headers" }
func (*headerTimeoutError) Timeout() bool        { return true }
func (*headerTimeoutError) Temporary() bool      { return true }
func (*headerTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// streamFailure returns what the program is told of an error of a stream or of a connection.
func streamFailure(err error) error {
	if e, ok := err.(*StreamError); ok {
		return &requestError{e}
	}
	return nameError(err)
}

// requestError is a *StreamError in which errors.As finds a *quic.StreamError, too.
type requestError struct{ *StreamError }

func (e *requestError) Unwrap() error { return e.StreamError }

// As makes the transport's error of it.
func (e *requestError) As(target any) bool {
	t, ok := target.(**quic.StreamError)
	if ok {
		*t = &quic.StreamError{StreamID: e.Stream, Code: uint64(e.Code), Remote: e.Remote}
	}
	return ok
}
