package netem

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// maxUnread is how many packets wait to be read.
const maxUnread = 4096

// conn is a socket of the network. It is a udp.MarkedPacketConn.
type conn struct {
	n     *Network
	side  Side
	local netip.AddrPort

	mu       sync.Mutex // taken after the network's
	change   sync.Cond
	arrived  []*Packet
	deadline time.Time
	timer    *time.Timer
	closed   bool
}

// ListenPacket opens a socket on one side of the network; port 0 stands for a free one. It carries ECN marks.
func (n *Network) ListenPacket(side Side, addr netip.AddrPort) (net.PacketConn, error) {
	c := &conn{n: n, side: side}
	c.change.L = &c.mu
	var err error
	c.local, err = n.attach(side, addr, c)
	return c, err
}

func (c *conn) receive(p *Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && len(c.arrived) < maxUnread {
		c.arrived = append(c.arrived, p)
		c.change.Signal()
	}
}

func (c *conn) ReadFromECN(p []byte) (n int, addr net.Addr, ecn uint8, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, nil, 0, net.ErrClosed
		case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
			return 0, nil, 0, os.ErrDeadlineExceeded
		case len(c.arrived) > 0:
			d := c.arrived[0]
			c.arrived = c.arrived[1:]
			return copy(p, d.Data), net.UDPAddrFromAddrPort(d.Src), d.ECN, nil
		}
		c.change.Wait()
	}
}

func (c *conn) ReadFrom(p []byte) (n int, addr net.Addr, err error) {
	n, addr, _, err = c.ReadFromECN(p)
	return n, addr, err
}

func (c *conn) WriteToECN(p []byte, addr net.Addr, ecn uint8) (n int, err error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("netem: %v is no UDP address", addr)
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	dst := to.AddrPort()
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	c.n.send(c.side, &Packet{Src: c.local, Dst: dst, ECN: ecn, Data: bytes.Clone(p)})
	return len(p), nil
}

func (c *conn) WriteTo(p []byte, addr net.Addr) (n int, err error) { return c.WriteToECN(p, addr, 0) }

func (c *conn) Close() error {
	c.n.detach(c.side, c.local)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.change.Broadcast()
	return nil
}

// DontFragment is true: the network does not.
func (c *conn) DontFragment() bool { return true }

func (c *conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil }
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.timer != nil {
		c.timer.Stop()
	}
	if !t.IsZero() {
		c.timer = time.AfterFunc(time.Until(t), c.change.Broadcast)
	}
	c.change.Broadcast()
	return nil
}
