package http3

import (
	"context"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// HTTP datagrams of streams that were taken over (RFC 9297, section 2).

// inbox is for who reads the HTTP datagrams of a stream. They wait with HTTP/3 while that has the stream. A nil inbox is nobody's.
type inbox struct {
	arrived chan struct{} // holds a token when a goroutine is to look
	left    [][]byte      // that nobody had read when the stream was over, the oldest first. Guarded by the connection's lock
}

func newInbox() *inbox { return &inbox{arrived: make(chan struct{}, 1)} }

// tell has a goroutine look.
func (in *inbox) tell() {
	if in == nil {
		return
	}
	select {
	case in.arrived <- struct{}{}:
	default: // a token is there already
	}
}

// keep takes over what is left of a stream that HTTP/3 is about to forget.
func (in *inbox) keep(c *h3.Conn, id uint64) {
	if in != nil {
		in.left = c.TakeDatagrams(id)
	}
}

// read copies the oldest datagram to p and forgets it.
func (in *inbox) read(c *h3.Conn, id uint64, p []byte) (n int, ok bool) {
	if len(in.left) == 0 {
		return c.RecvDatagram(id, p)
	}
	n = copy(p, in.left[0])
	in.left = in.left[1:]
	return n, true
}

// errUnwantedDatagram is why a request ends of which a datagram has come, and that is none that has such.
func errUnwantedDatagram(id uint64) error {
	return &StreamError{Stream: id, Code: h3.ErrCodeDatagram, Reason: "an HTTP datagram of a request that has none"}
}

// SendDatagram sends an HTTP datagram of the stream (RFC 9297, section 2), which p is copied for. It may be lost. The error says that
// one of the sides has not enabled datagrams (Server.Datagrams, Transport.EnableDatagrams), that what is sent on the stream was ended, by Close for
// example, or that p is larger than MaxDatagramSize.
func (s *Stream) SendDatagram(p []byte) (err error) {
	s.of.do(func(_ *quicnet.Turn, c *h3.Conn) { err = c.SendDatagram(s.ID(), p) })
	return nameError(err)
}

// ReceiveDatagram waits for an HTTP datagram of the stream and copies it into p; what does not fit into p is lost. The error is that
// of ctx, or says that none is left and none can come any more: the connection is over, or what the peer sends on the stream is, which is known when somebody
// has read that to its end (RFC 9297, section 2.1).
func (s *Stream) ReceiveDatagram(ctx context.Context, p []byte) (n int, err error) {
	in := s.of.inbox()
	for {
		ok, over := false, false
		s.of.do(func(_ *quicnet.Turn, c *h3.Conn) {
			n, ok = in.read(c, s.ID(), p)
			over = !ok && (s.of.isOver() || c.DatagramsOver(s.ID()))
		})
		if ok || over {
			in.tell() // there may be more, or it is over, for another goroutine
			if ok {
				return n, nil
			}
			return 0, errStreamOver
		}
		select {
		case <-in.arrived:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// MaxDatagramSize returns how many bytes a datagram can have now, 0 if none can be sent.
func (s *Stream) MaxDatagramSize() (n int) {
	s.of.do(func(_ *quicnet.Turn, c *h3.Conn) { n = c.MaxDatagramSize(s.ID()) })
	return n
}

// tellDatagram has a goroutine look whether there is a datagram, or whether one can still come.
func (x *exchange) tellDatagram() {
	if x.tunnel != nil {
		x.tunnel.datagrams.tell()
	}
}
