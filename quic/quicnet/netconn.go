package quicnet

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// NetConn returns the stream as a net.Conn, for code that was written for TCP. Both are for any number of goroutines, and what is
// done to the one is done to the other; usually the stream is left alone from then on.
//
// Close ends both directions, as Stream.Finish does: what was written arrives, with its end, and what the peer sends from then on is
// dropped. That is like TCP with one difference: a peer that goes on writing is told so by a *quic.StreamError with code 0, on this
// stream alone. Where the peer's net.Conn or connection was closed first, Close returns nil. Calls that wait return then, and later ones too, an error that matches net.ErrClosed. Like a *net.TCPConn, the
// net.Conn has methods CloseWrite, which ends our direction alone as Stream.Close does, and CloseRead; and it is an io.ReaderFrom and
// an io.WriterTo, so that io.Copy is fast. Deadlines are those of the stream, and the addresses are the connection's.
//
// As with TCP, a peer cannot tell the Close of a program that has failed from that of one that has sent all. Stream.Abort can be told.
//
// The peer's QUIC accepts a new stream only when something was sent on it: whoever opens a stream for a protocol in which the other
// side speaks first has to send something before. A unidirectional stream gives a net.Conn of which one direction fails with
// quic.ErrStreamDirection.
func (s *Stream) NetConn() net.Conn { return &netConn{s: s} }

// netConn is a Stream as a net.Conn.
type netConn struct {
	s      *Stream
	closed atomic.Bool
}

// err is what a call returns: once Close was called, that.
func (c *netConn) err(op string, err error) error {
	if err == nil || !c.closed.Load() {
		return err
	}
	return &net.OpError{Op: op, Net: "quic", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: net.ErrClosed}
}

func (c *netConn) Read(p []byte) (n int, err error) {
	n, err = c.s.Read(p)
	return n, c.err("read", err)
}

func (c *netConn) Write(p []byte) (n int, err error) {
	n, err = c.s.Write(p)
	return n, c.err("write", err)
}

func (c *netConn) ReadFrom(r io.Reader) (n int64, err error) {
	n, err = c.s.ReadFrom(r)
	return n, c.err("readfrom", err)
}

func (c *netConn) WriteTo(w io.Writer) (n int64, err error) {
	n, err = c.s.WriteTo(w)
	return n, c.err("writeto", err)
}

func (c *netConn) Close() error {
	if c.closed.Swap(true) {
		return c.err("close", net.ErrClosed)
	}
	err := c.s.Finish()
	if stopped := (*quic.StreamError)(nil); errors.As(err, &stopped) && stopped.Remote && stopped.Code == 0 || quic.IsCleanClose(err) {
		return nil // the peer was first
	}
	return err
}

func (c *netConn) CloseWrite() error { return c.err("close", c.s.Close()) }

func (c *netConn) CloseRead() error {
	c.s.CancelRead(0)
	return nil
}

func (c *netConn) LocalAddr() net.Addr                { return c.s.c.LocalAddr() }
func (c *netConn) RemoteAddr() net.Addr               { return c.s.c.RemoteAddr() }
func (c *netConn) SetDeadline(t time.Time) error      { return c.s.SetDeadline(t) }
func (c *netConn) SetReadDeadline(t time.Time) error  { return c.s.SetReadDeadline(t) }
func (c *netConn) SetWriteDeadline(t time.Time) error { return c.s.SetWriteDeadline(t) }
