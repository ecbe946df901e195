package http3

import (
	"errors"
	"net"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// The net.Conns by which net/http's hooks are told of connections.

// errNoData is what their methods for data return.
var errNoData = errors.New("http3: a connection of HTTP/3 cannot be read or written as a whole")

// noData is what they have in common: data goes over streams.
type noData struct{}

func (noData) Read([]byte) (int, error)         { return 0, errNoData }
func (noData) Write([]byte) (int, error)        { return 0, errNoData }
func (noData) SetDeadline(time.Time) error      { return errNoData }
func (noData) SetReadDeadline(time.Time) error  { return errNoData }
func (noData) SetWriteDeadline(time.Time) error { return errNoData }

// handle is what ConnState and ConnContext are called with. It has the addresses of the begin, and can be closed.
type handle struct {
	noData
	conn          *quicnet.Conn
	local, remote net.Addr
}

// netConn returns the connection's handle. Where there is ConnState, ConnContext is given the same one: programs find by it what they have noted.
func (sc *serverConn) netConn(t *quicnet.Turn) net.Conn {
	if sc.states != nil {
		return sc.states.conn
	}
	return &handle{conn: sc.conn, local: net.UDPAddrFromAddrPort(t.LocalAddr()), remote: net.UDPAddrFromAddrPort(t.Core.RemoteAddr())}
}

func (h *handle) Close() error         { return h.conn.Close() }
func (h *handle) LocalAddr() net.Addr  { return h.local }
func (h *handle) RemoteAddr() net.Addr { return h.remote }

// QUIC returns the QUIC connection.
func (h *handle) QUIC() *quicnet.Conn { return h.conn }

// tracedConn is what httptrace.GotConnInfo has. Others use the connection, too, so that it cannot be closed.
type tracedConn struct {
	noData
	qc *quicnet.Conn
}

func (c tracedConn) Close() error         { return errNoData }
func (c tracedConn) LocalAddr() net.Addr  { return c.qc.LocalAddr() }
func (c tracedConn) RemoteAddr() net.Addr { return c.qc.RemoteAddr() }

// QUIC returns the QUIC connection, as ClientConn.QUIC does.
func (c tracedConn) QUIC() *quicnet.Conn { return c.qc }
