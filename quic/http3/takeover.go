package http3

import (
	"context"
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
	arrived() chan struct{}                 // holds a token when a goroutine is to look for a datagram
}

func (x *exchange) do(f func(t *quicnet.Turn, c *h3.Conn)) {
	x.sc.conn.Do(func(t *quicnet.Turn) {
		f(t, x.sc.h3)
		x.sc.drain(t)
	})
}

func (x *exchange) isOver() bool           { return x.done || x.sc.closed }
func (x *exchange) arrived() chan struct{} { return x.tunnel.datagrams }

// errNotTakeable is what TakeOver returns for a ResponseWriter that is none of ours.
var errNotTakeable = errors.New("http3: the ResponseWriter is not that of a request over HTTP/3")

// TakeOver gives a handler the stream of its request. The header section of the response is sent if it was not, with the status that WriteHeader
// has chosen, and what was written. From then on the Stream is all that is to be used, not the ResponseWriter nor the request's Body; it
// lives on when the handler returns. The request's context ends with the handler; Stream.Context tells when the client gives the stream up. Deadlines that
// the server has set are taken away. w may be wrapped, if the wrapper has a method Unwrap as http.ResponseController wants it.
//
// The error says that w is not of HTTP/3, that the response has no body, that the stream was taken over before, or that the client has gone.
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
		x.tunnel.datagrams = make(chan struct{}, 1)
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

// SendDatagram sends an HTTP datagram of the stream (RFC 9297, section 2), which p is copied for. It may be lost. The error says that
// one of the sides has not enabled datagrams (Server.Datagrams, Transport.EnableDatagrams), that what is sent on the stream was ended, by Close for
// example, or that p is larger than MaxDatagramSize.
func (s *Stream) SendDatagram(p []byte) (err error) {
	s.of.do(func(_ *quicnet.Turn, c *h3.Conn) { err = c.SendDatagram(s.ID(), p) })
	return nameError(err)
}

// ReceiveDatagram waits for an HTTP datagram of the stream and copies it into p; what does not fit into p is lost. The error is that
// of ctx, or says that none can come any more: the connection is over, or what the peer sends on the stream is, which is known when somebody has read that to its
// end (RFC 9297, section 2.1).
func (s *Stream) ReceiveDatagram(ctx context.Context, p []byte) (n int, err error) {
	for {
		ok, over := false, false
		s.of.do(func(_ *quicnet.Turn, c *h3.Conn) {
			if n, ok = c.RecvDatagram(s.ID(), p); !ok {
				over = s.of.isOver() || c.DatagramsOver(s.ID())
			}
		})
		arrived := s.of.arrived()
		if ok || over {
			tell(arrived) // there may be more, or it is over, for another goroutine
			if ok {
				return n, nil
			}
			return 0, errStreamOver
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// tellDatagram has a goroutine look whether there is a datagram.
func (x *exchange) tellDatagram() {
	if x.tunnel != nil {
		tell(x.tunnel.datagrams)
	}
}

// tell puts a token into a channel that has none; a nil channel is one that nobody waits on.
func tell(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// MaxDatagramSize returns how many bytes a datagram can have now, 0 if none can be sent.
func (s *Stream) MaxDatagramSize() (n int) {
	s.of.do(func(_ *quicnet.Turn, c *h3.Conn) { n = c.MaxDatagramSize(s.ID()) })
	return n
}

// Settings returns what the peer has told of itself; ok is false before it has.
func (s *Stream) Settings() (settings h3.Settings, ok bool) {
	s.of.do(func(_ *quicnet.Turn, c *h3.Conn) { settings, ok = c.PeerSettings() })
	return settings, ok
}
