package quicnettest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// maxUnread is how many bytes wait at an address to be read, as in the buffer of a socket.
const maxUnread = 4 << 20

// packetConn is a net.PacketConn of a Network. A reader waits on a sync.Cond, which testing/synctest understands.
type packetConn struct {
	network *Network
	local   netip.AddrPort

	mu       sync.Mutex // taken without the network's
	change   sync.Cond  // something arrived, the deadline passed, or the conn was closed
	timer    *time.Timer
	timerAt  time.Time  // when timer fires; zero: it does not
	way      []datagram // on their way, by the time of their arrival
	arrived  []datagram
	unread   int // bytes of arrived
	deadline time.Time
	closed   bool
}

// datagram is a datagram that arrives at some time.
type datagram struct {
	b    []byte
	from netip.AddrPort
	at   time.Time
}

// ReadFrom waits for a datagram and copies it into p; what does not fit is lost.
func (c *packetConn) ReadFrom(p []byte) (n int, addr net.Addr, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		now := time.Now()
		c.settle(now)
		switch {
		case c.closed:
			return 0, nil, c.opError("read", net.ErrClosed)
		case !c.deadline.IsZero() && !now.Before(c.deadline):
			return 0, nil, c.opError("read", os.ErrDeadlineExceeded)
		case len(c.arrived) > 0:
			d := c.arrived[0]
			c.arrived[0] = datagram{}
			c.arrived = c.arrived[1:]
			c.unread -= len(d.b)
			if len(c.arrived) > 0 {
				c.change.Signal() // another reader
			}
			return copy(p, d.b), net.UDPAddrFromAddrPort(d.from), nil
		}
		c.arm(now)
		c.change.Wait()
	}
}

// WriteTo sends a datagram. The address must be a *net.UDPAddr or print like one.
func (c *packetConn) WriteTo(p []byte, addr net.Addr) (n int, err error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return 0, c.opError("write", net.ErrClosed)
	}
	to, ok := addrPort(addr)
	if !ok {
		return 0, c.opError("write", fmt.Errorf("%v is not an IP address with a port", addr))
	}
	if err := c.network.send(p, c.local, to); err != nil {
		return 0, c.opError("write", err)
	}
	return len(p), nil
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	if u, ok := a.(*net.UDPAddr); ok && u != nil {
		ap := unmap(u.AddrPort())
		return ap, ap.IsValid()
	}
	if a == nil {
		return netip.AddrPort{}, false
	}
	ap, err := netip.ParseAddrPort(a.String())
	return unmap(ap), err == nil
}

// expect takes a datagram that arrives now or later.
func (c *packetConn) expect(now time.Time, d datagram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	i := len(c.way) // almost always the last
	for i > 0 && d.at.Before(c.way[i-1].at) {
		i--
	}
	c.way = slices.Insert(c.way, i, d)
	c.settle(now)
	if len(c.arrived) > 0 {
		c.change.Signal()
	} else {
		c.arm(now)
	}
}

// settle moves what has arrived by now to where it is read. c.mu is held.
func (c *packetConn) settle(now time.Time) {
	for len(c.way) > 0 && !c.way[0].at.After(now) {
		d := c.way[0]
		c.way[0] = datagram{}
		c.way = c.way[1:]
		if c.unread+len(d.b) <= maxUnread {
			c.arrived = append(c.arrived, d)
			c.unread += len(d.b)
		}
	}
}

// arm sees to it that readers look again at the next arrival and at the deadline. c.mu is held.
func (c *packetConn) arm(now time.Time) {
	at := c.deadline
	if len(c.way) > 0 && (at.IsZero() || c.way[0].at.Before(at)) {
		at = c.way[0].at
	}
	if at.IsZero() || !c.timerAt.IsZero() && !at.Before(c.timerAt) {
		return
	}
	c.timerAt = at
	if c.timer == nil {
		c.timer = time.AfterFunc(at.Sub(now), c.onTimer)
	} else {
		c.timer.Reset(at.Sub(now))
	}
}

func (c *packetConn) onTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timerAt = time.Time{}
	c.change.Broadcast() // who finds nothing sets the timer again
}

// Close has calls that wait return net.ErrClosed, and frees the address.
func (c *packetConn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.way, c.arrived, c.unread = nil, nil, 0
	if c.timer != nil {
		c.timer.Stop()
	}
	c.change.Broadcast()
	c.mu.Unlock()
	c.network.forget(c)
	return nil
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// SetDeadline is SetReadDeadline: writes do not wait.
func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline has ReadFrom return os.ErrDeadlineExceeded from that time on; zero stands for never.
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.deadline = t
	c.change.Broadcast()
	return nil
}

// SetWriteDeadline does nothing: writes do not wait.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

func (c *packetConn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "memory", Source: c.LocalAddr(), Err: err}
}
