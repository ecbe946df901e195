package quicnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// Path is a way from one of a client's local addresses to the server: see Conn.AddPath. All its methods are for any number of
// goroutines.
type Path struct {
	c       *Conn
	local   netip.AddrPort
	remote  netip.AddrPort // guarded by c.mu, as what follows: where the server was reached last
	sock    *socket        // that was opened for it; nil: it is one that the connection had anyway
	ready   bool           // validated
	err     error          // why it is over
	changed waiter
}

var (
	errServersPath = errors.New("only a client uses another path of its own will")
	errOnlyPath    = errors.New("quicnet: the connection has no other path that was validated: close the connection, or add one first")
	errNoAnswer    = errors.New("the server does not answer there")
	errLeft        = errors.New("the path was given up")
)

// AddPath has a client open a socket bound to local, "IP:PORT" with port 0 for a free one and no IP for the one that the system would take,
// and validates the path from there to the server, which takes a round trip (RFC 9000, section 8.2). The connection stays where it is:
// Path.Migrate moves it. If local is an address that the connection has a path from already, it is that one.
//
// A handshake that is not confirmed yet is waited for, and for a second that the server gives another connection ID. The error is
// quic.ErrMigrationDisabled if the server wants no clients that move, quic.ErrNoConnIDs, quic.ErrTooManyPaths if there are four
// already, that of package net if no socket could be bound, the system's if nothing can be sent from there, that of ctx or of the
// connection; or it says that no answer came.
func (c *Conn) AddPath(ctx context.Context, local string) (*Path, error) {
	p, _, err := c.addPath(ctx, local)
	if err != nil {
		return nil, fmt.Errorf("quicnet: add path from %s: %w", local, err)
	}
	return p, nil
}

// Migrate moves a client's connection to a local address, which is as for AddPath: if the connection has no path from there, one is
// added first. Where it was before stays on standby for as long as there are enough connection IDs, so that Migrate with the address that
// LocalAddr told then moves back; Conn.Paths tells what is there. The errors are those of AddPath. If it fails the connection stays
// where it is.
func (c *Conn) Migrate(ctx context.Context, local string) error {
	p, added, err := c.addPath(ctx, local)
	if err == nil {
		if err = p.migrate(ctx); err == nil {
			return nil
		}
		if added {
			p.Close()
		}
	}
	return fmt.Errorf("quicnet: migrate to %s: %w", local, err)
}

// Paths returns the paths of the connection as they are now, at most four; the one in use is the first.
func (c *Conn) Paths() []quic.PathInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Paths()
}

// Migrate has the connection send on the path from now on, which is as Conn.Migrate. It returns when it does; usually that is at
// once, and takes a round trip if the path is to be validated again.
func (p *Path) Migrate(ctx context.Context) error {
	if err := p.migrate(ctx); err != nil {
		return fmt.Errorf("quicnet: migrate to %s: %w", p.local, err)
	}
	return nil
}

func (p *Path) migrate(ctx context.Context) error {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	if err := c.untilAllowed(ctx, func() error { return c.core.Migrate(time.Now(), p.local, netip.AddrPort{}) }); err != nil {
		return err
	}
	c.handleEvents(time.Now())
	c.sendUnlocked()
	return p.wait(ctx, func() bool { return c.core.LocalAddr() == p.local }, func() {
		now := c.core.Paths()[0]
		c.core.Migrate(time.Now(), now.Local, now.Remote) // it is not moved to any more
	})
}

// Close gives the path up, and closes its socket unless another connection uses it. If it is in use the connection moves to another that
// was validated, one that it has left; without one the path is not closed, and the error says so. Closing it again does nothing.
func (p *Path) Close() error {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.err != nil || c.closed {
		return nil
	}
	paths := c.core.Paths()
	if paths[0].Local == p.local && !slices.ContainsFunc(paths[1:], func(o quic.PathInfo) bool { return o.Validated && o.Local != p.local }) {
		return errOnlyPath
	}
	c.leave(p.local)
	c.sendUnlocked()
	return nil
}

// LocalAddr returns the address that packets are sent from, a *net.UDPAddr; its IP may be unspecified, which stands for the one that the
// system takes.
func (p *Path) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.local) }

// RemoteAddr returns the server's address, a *net.UDPAddr.
func (p *Path) RemoteAddr() net.Addr {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return net.UDPAddrFromAddrPort(p.remote)
}

// Info returns the path as it is now; of one that is over, its addresses alone.
func (p *Path) Info() quic.PathInfo {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	for _, info := range p.c.core.Paths() { // the one in use first, where there are several from this address
		if info.Local == p.local && p.err == nil {
			return info
		}
	}
	return quic.PathInfo{Local: p.local, Remote: p.remote}
}

// Err returns why the path is over, nil if it is not.
func (p *Path) Err() error {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return p.err
}

// addPath is AddPath without its prefix to errors. It tells whether the path was not there before.
func (c *Conn) addPath(ctx context.Context, local string) (p *Path, added bool, err error) {
	if err := ctxerr.Of(ctx); err != nil {
		return nil, false, err
	}
	if !c.client {
		return nil, false, errServersPath
	}
	c.mu.Lock()
	remote, err := c.core.RemoteAddr(), c.ready()
	c.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	addr, err := parseLocal(local, remote)
	if err != nil {
		return nil, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p = c.pathFrom(addr); p == nil {
		added = true
		c.mu.Unlock()
		s, err := c.shard.open(addr)
		c.mu.Lock()
		if err == nil {
			p, err = c.probe(ctx, s, addr)
		}
		if err != nil {
			return nil, false, err
		}
	}
	if err := p.wait(ctx, func() bool { return p.ready }, func() { c.leave(p.local) }); err != nil {
		return nil, false, err
	}
	return p, added, nil
}

// parseLocal reads a local address for a path to a server.
func parseLocal(local string, remote netip.AddrPort) (netip.AddrPort, error) {
	text := local
	if strings.HasPrefix(local, ":") {
		any := netip.IPv6Unspecified()
		if remote.Addr().Is4() {
			any = netip.IPv4Unspecified()
		}
		text = "[" + any.String() + "]" + local
		if any.Is4() {
			text = any.String() + local
		}
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return a, errors.New("it is not IP:PORT, with port 0 for a free one, nor :PORT")
	}
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	if a.Addr().Is4() != remote.Addr().Unmap().Is4() {
		return a, fmt.Errorf("it is not of the IP version of the server's address %v", remote)
	}
	return a, nil
}

// pathFrom returns the path from an address if there is one: a Path that was added, or another that the core has. c.mu is held.
func (c *Conn) pathFrom(local netip.AddrPort) *Path {
	if local.Port() == 0 {
		return nil
	}
	r := c.roaming()
	for _, p := range r.paths {
		if p.local == local {
			return p
		}
	}
	for _, info := range c.core.Paths() {
		if a := info.Local; a == local || a.Addr().IsUnspecified() && a.Port() == local.Port() {
			for _, p := range r.paths {
				if p.local == a {
					return p
				}
			}
			p := &Path{c: c, local: a, remote: info.Remote, ready: info.Validated || info.State == quic.PathActive}
			r.paths = append(r.paths, p)
			return p
		}
	}
	return nil
}

// probe begins to validate the path from a local address over a socket that was opened for it, and lets go of that if it cannot. c.mu is held.
func (c *Conn) probe(ctx context.Context, s *socket, local netip.AddrPort) (*Path, error) {
	if local.Port() == 0 || local.Addr().IsUnspecified() {
		local = s.local
	}
	p := &Path{c: c, local: local, remote: c.core.RemoteAddr(), sock: s}
	err := c.untilAllowed(ctx, func() error { return c.core.ProbePath(time.Now(), local, netip.AddrPort{}) })
	if err == nil {
		err = c.ready() // or nobody would let go of it any more
	}
	if err != nil {
		c.shard.release(s)
		return nil, err
	}
	r := c.roaming()
	r.paths = append(r.paths, p)
	c.handleEvents(time.Now())
	c.sendUnlocked()
	return p, nil
}

// untilAllowed tries something for which the handshake has to be confirmed, and an unused connection ID of the server has to be there,
// until they are. c.mu is held, but not while it waits.
func (c *Conn) untilAllowed(ctx context.Context, try func() error) error {
	r := c.roaming()
	patience, cancel := context.WithTimeout(ctx, connIDPatience)
	defer cancel()
	for {
		err := try()
		wait := ctx
		switch {
		case errors.Is(err, quic.ErrNotConfirmed):
		case errors.Is(err, quic.ErrNoConnIDs) && patience.Err() == nil:
			wait = patience
		default:
			r.allowed.wake() // it may be so for all
			return err
		}
		if e := r.allowed.waitContext(wait, &c.mu); e != nil && ctx.Err() != nil {
			return e
		}
		if e := c.ready(); e != nil {
			r.allowed.wake()
			return e
		}
	}
}

// wait waits until something is so of a path that is not over. If ctx ends first, giveUp is called. c.mu is held, but not meanwhile.
func (p *Path) wait(ctx context.Context, so func() bool, giveUp func()) error {
	c := p.c
	defer p.changed.wake() // it is so for all
	for {
		switch {
		case c.closed:
			return c.core.Err()
		case p.err != nil:
			return p.err
		case so():
			return nil
		}
		if err := p.changed.waitContext(ctx, &c.mu); err != nil {
			if p.err == nil && !c.closed && !so() {
				giveUp()
				c.handleEvents(time.Now())
				c.sendUnlocked()
			}
			return err
		}
	}
}

// sendUnlocked sends what there is, if nobody else is about to. c.mu is held, but not meanwhile.
func (c *Conn) sendUnlocked() {
	if c.claim() {
		c.mu.Unlock()
		c.flush()
		c.mu.Lock()
	}
}

// leave has the core give up all paths from a local address. c.mu is held.
func (c *Conn) leave(local netip.AddrPort) {
	now := time.Now()
	for _, info := range c.core.Paths() {
		if info.Local == local {
			c.core.AbandonPath(now, local, info.Remote)
		}
	}
	c.handleEvents(now)
}

// isGone tells whether an error of a send says that nothing reaches the network from where it was to be sent: there is no
// route, or the address is not ours any more.
func isGone(err error) bool {
	for _, e := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EINVAL,
		syscall.ENODEV, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
