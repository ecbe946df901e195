package http3

import (
	"errors"
	"net/http"
	"time"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// Stream is the stream of a request that its handler has taken over, for protocols on top of HTTP/3, in the manner of http.Hijacker. What is
// read and written are the bodies of the request and the response, without the frames around them (RFC 9114, section 4.1), so for an
// extended CONNECT the two directions of the tunnel. It is the program's to end: by Close, and reading to the end or CancelRead. Codes of
// CancelRead, CancelWrite and Abort are ErrorCodes.
//
// At a client, StreamOf gives one for the response to a CONNECT.
type Stream struct {
	*quicnet.Stream
	of streamOwner
}

// streamOwner is what a Stream belongs to: the exchange of a server or the call of a client. All but do runs under the connection's lock.
type streamOwner interface {
	do(f func(t *quicnet.Turn, c *h3.Conn)) // also deals with what comes of it
	isOver() bool                           // nothing arrives any more
	inbox() *inbox
}

func (x *exchange) do(f func(t *quicnet.Turn, c *h3.Conn)) {
	x.sc.conn.Do(func(t *quicnet.Turn) {
		f(t, x.sc.h3)
		x.sc.drain(t)
	})
}

func (x *exchange) isOver() bool  { return x.done || x.sc.closed }
func (x *exchange) inbox() *inbox { return x.tunnel.datagrams }

// errNotTakeable is what TakeOver returns for a ResponseWriter that is none of ours.
var errNotTakeable = errors.New("http3: the ResponseWriter is not that of a request over HTTP/3")

// TakeOver gives a handler the stream of its request. The header section of the response is sent if it was not, with the status that WriteHeader
// has chosen, and what was written. From then on the Stream is all that is to be used, not the ResponseWriter nor the request's Body; it
// lives on when the handler returns. The request's context ends with the handler; Stream.Context tells when the client gives the stream up. Deadlines that
// the server has set are taken away. w may be wrapped, if the wrapper has a method Unwrap as http.ResponseController wants it.
//
// The error says that w is not of HTTP/3, that the response has no body, that the stream was taken over before, or, where something of the response is still to be
// sent, that the client has gone.
func TakeOver(w http.ResponseWriter) (*Stream, error) {
	r, err := responseOf(w)
	if err != nil {
		return nil, err
	}
	r.lock()
	defer r.mu.Unlock()
	switch {
	case r.state == nil:
		return nil, errHandlerReturned
	case r.state.tookOver:
		return nil, errTakenOver
	}
	if r.state.status == 0 {
		r.writeHeader(http.StatusOK)
	}
	if r.isHead() || !bodyAllowed(r.state.status) {
		return nil, http.ErrBodyNotAllowed
	}
	if !r.state.sent || r.state.n > 0 {
		if err := r.flush(); err != nil {
			return nil, err
		}
	}
	x := r.x
	s := x.openStream()
	x.sc.conn.Do(func(t *quicnet.Turn) {
		x.sc.clearWriteDeadline(x)
		x.setReadDeadline(t, time.Time{}) // also where one has passed
		if x.tunnel == nil {
			x.tunnel = new(tunnel)
		}
		x.tunnel.datagrams = newInbox()
	})
	r.state.tookOver, r.state.err = true, errTakenOver
	x.set(markClosed)
	return &Stream{s, x}, nil
}

// errTakenOver is what the ResponseWriter of a stream that was taken over returns.
var errTakenOver = errors.New("http3: the stream was taken over")

// responseOf finds our ResponseWriter in one that may be wrapped.
func responseOf(w http.ResponseWriter) (*response, error) {
	for {
		switch t := w.(type) {
		case *response:
			return t, nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil, errNotTakeable
		}
	}
}

// Settings returns what the peer has told of itself; ok is false before it has.
func (s *Stream) Settings() (settings h3.Settings, ok bool) {
	s.of.do(func(_ *quicnet.Turn, c *h3.Conn) { settings, ok = c.PeerSettings() })
	return settings, ok
}
