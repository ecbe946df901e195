package quicnet

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// roaming is what only a connection has that uses several paths, or whose program wants to know of them. It is guarded by the
// connection's lock.
type roaming struct {
	paths   []*Path // that are not over
	allowed waiter  // for the handshake to be confirmed, and for connection IDs
	follow  *follower
	onPath  func(*Conn, quic.PathEvent)
	untold  []quic.PathEvent // at most maxUntoldPathEvents
	telling bool             // a goroutine tells of them
}

// roaming returns the connection's, which it makes if there is none. c.mu is held.
func (c *Conn) roaming() *roaming {
	if c.roam == nil {
		c.roam = &roaming{onPath: c.shard.ep.onPath}
	}
	return c.roam
}

// onPath acts on what has happened to a path. c.mu is held.
func (c *Conn) onPath(ev *quic.PathEvent) (woke bool) {
	if ev.Kind == quic.PathActivated {
		c.heardAt = netip.Addr{} // that was where the path before began
	}
	if c.roam == nil && c.shard.ep.onPath == nil {
		return false
	}
	r := c.roaming()
	r.tell(c, ev)
	for _, p := range slices.Clone(r.paths) {
		if p.local == ev.Local {
			switch ev.Kind {
			case quic.PathValidated:
				p.ready, p.remote = true, ev.Remote
			case quic.PathActivated:
				p.remote = ev.Remote
			case quic.PathFailed:
				c.onPathOver(p, errNoAnswer)
			case quic.PathClosed:
				c.onPathOver(p, errLeft)
			}
		}
		woke = p.changed.wake() || woke
	}
	return woke
}

// onPathOver acts on the end of one of the core's paths: that from its address is over when there is none left. c.mu is held.
func (c *Conn) onPathOver(p *Path, err error) {
	if !slices.ContainsFunc(c.core.Paths(), func(info quic.PathInfo) bool { return info.Local == p.local }) {
		c.end(p, err)
	}
}

// end ends a path, and lets go of its socket. c.mu is held.
func (c *Conn) end(p *Path, err error) {
	if p.err == nil {
		p.err = err
	}
	c.roam.paths = slices.DeleteFunc(c.roam.paths, func(o *Path) bool { return o == p })
	if p.sock != nil {
		c.shard.release(p.sock)
		p.sock = nil
	}
	p.changed.wake()
}

// onClosed has all calls return. c.mu is held.
func (r *roaming) onClosed() {
	r.allowed.wake()
	for _, p := range r.paths {
		p.changed.wake()
	}
}

// onDrained lets go of all sockets. c.mu is held.
func (r *roaming) onDrained(c *Conn) {
	for len(r.paths) > 0 {
		c.end(r.paths[0], c.core.Err())
	}
}

// tell has the program told of a path, on a goroutine that holds no lock, one event after the other. c.mu is held.
func (r *roaming) tell(c *Conn, ev *quic.PathEvent) {
	if r.onPath == nil || len(r.untold) == maxUntoldPathEvents {
		return
	}
	r.untold = append(r.untold, *ev)
	if !r.telling {
		r.telling = true
		go c.tellPaths()
	}
}

func (c *Conn) tellPaths() {
	for {
		c.mu.Lock()
		r := c.roam
		events := r.untold
		r.untold = nil
		r.telling = len(events) > 0
		c.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, ev := range events {
			r.onPath(c, ev)
		}
	}
}

// open opens a socket at a local address for a path, or shares the one that is there.
func (sh *shard) open(local netip.AddrPort) (*socket, error) {
	if local.Port() != 0 {
		sh.mu.Lock()
		s := sh.socketAt(local)
		if s != nil && (s.local == local || s.sock.Features().PacketInfo) {
			s.users++
			sh.mu.Unlock()
			return s, nil
		}
		sh.mu.Unlock()
	}
	sock, err := sh.ep.openSocket(local)
	if err != nil {
		return nil, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.ended {
		sock.Close()
		return nil, errEndpointClosed
	}
	s := sh.add(sock, false)
	s.users = 1
	s.start()
	return s, nil
}

// openSocket opens a further socket of the endpoint.
func (ep *Endpoint) openSocket(local netip.AddrPort) (*udp.Socket, error) {
	if ep.open != nil {
		return ep.open(local.String())
	}
	network := "udp6"
	if local.Addr().Is4() {
		network = "udp4"
	}
	return udp.Listen(network, local.String(), ep.options)
}

// release closes a socket that no connection uses any more.
func (sh *shard) release(s *socket) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.users--; s.users <= 0 && !s.kept {
		sh.remove(s)
	}
}

// onSocketEnd acts on the end of a socket that was not asked for: a failure, or the end of the endpoint. Connections go on over others
// that they have, unless it was the endpoint's own: then that ends, but for one that Dial has opened for a single connection.
func (sh *shard) onSocketEnd(s *socket, err error) {
	sh.mu.Lock()
	ended, oneShot := sh.ended, sh.oneShot
	conns := make([]*Conn, 0, len(sh.conns))
	for c := range sh.conns {
		conns = append(conns, c)
	}
	if !s.kept && !ended {
		sh.remove(s)
	}
	sh.mu.Unlock()
	if s.kept && (ended || !oneShot || !slices.ContainsFunc(conns, func(c *Conn) bool { return c.hasOther(s) })) {
		sh.ep.onSocketEnd(s.local, err)
		return
	}
	if ended {
		return
	}
	err = fmt.Errorf("quicnet: the socket failed: %w", err)
	for _, c := range conns {
		c.onSocketFailed(s, err)
	}
}

// hasOther tells whether a connection has a path that was validated over another socket.
func (c *Conn) hasOther(s *socket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.other(s)
}

func (c *Conn) other(s *socket) bool {
	return !c.closed && slices.ContainsFunc(c.core.Paths(), func(info quic.PathInfo) bool {
		return info.Validated && !s.serves(info.Local)
	})
}

// onSocketFailed has a connection go on over another socket, or ends it.
func (c *Conn) onSocketFailed(s *socket, err error) {
	c.mu.Lock()
	now := time.Now()
	inUse := s.serves(c.core.LocalAddr())
	if inUse && !c.other(s) {
		c.mu.Unlock()
		c.abandon(err)
		return
	}
	if c.roam != nil {
		for _, p := range c.roam.paths {
			if s.serves(p.local) {
				p.err = err
			}
		}
	}
	for _, info := range c.core.Paths() {
		if s.serves(info.Local) {
			c.core.AbandonPath(now, info.Local, info.Remote)
		}
	}
	c.handleEvents(now)
	claimed := c.claim()
	c.mu.Unlock()
	if claimed {
		c.flush()
	}
}
