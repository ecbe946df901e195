package quicnet

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// follower has a client move by itself when its network is gone (Dialer.FollowNetwork). It is guarded by the connection's lock.
type follower struct {
	looking  bool   // a goroutine looks for another path
	heard    bool   // something was received since a timeout was noted last
	timeouts uint64 // the connection's probe timeouts, when something was received last
}

// onReceived is told that something has arrived. c.mu is held.
func (r *roaming) onReceived() {
	r.allowed.wake()
	if r.follow != nil {
		r.follow.heard = true
	}
}

// lookElsewhere has a goroutine look for another path, if it may and none does. c.mu is held.
func (c *Conn) lookElsewhere(look func()) {
	f := c.roam.follow
	if f == nil || f.looking || c.closed || !c.established {
		return
	}
	f.looking, f.heard = true, false
	go func() {
		look()
		c.mu.Lock()
		f.looking = false
		c.mu.Unlock()
	}()
}

// noteTimeout is told that a timer of the connection has expired: after several probe timeouts without an answer it may be that the
// local address is gone. c.mu is held.
func (c *Conn) noteTimeout() {
	f := c.roam.follow
	if f == nil {
		return
	}
	n := c.core.Stats().Timeouts
	switch {
	case f.heard:
		f.heard, f.timeouts = false, n
	case n >= f.timeouts+followAfterTimeouts:
		f.timeouts = n
		c.lookElsewhere(c.followIfGone)
	}
}

// followIfGone is follow if the local address is not the machine's any more.
func (c *Conn) followIfGone() {
	c.mu.Lock()
	local := c.localAddr().Addr()
	c.mu.Unlock()
	if local.IsUnspecified() {
		return // it is not known
	}
	sock, err := c.shard.ep.openSocket(netip.AddrPortFrom(local, 0))
	if err == nil {
		sock.Close()
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		c.follow()
	}
}

// follow tries to move to where the network is now, until that succeeds, the connection is over, the server turns out not to allow
// it, or something is received where it was.
func (c *Conn) follow() {
	ctx := c.Context()
	for pause := followPause; ; pause = min(2*pause, maxFollowPause) {
		err := c.moveElsewhere(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, quic.ErrMigrationDisabled) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		c.mu.Lock()
		works := c.roam.follow.heard
		c.mu.Unlock()
		if works {
			return
		}
	}
}

// moveElsewhere moves to a new socket, for which the system chooses the address. Before that it looks whether the system has a way to
// the server at all, and another than before: a path that comes to nothing costs a connection ID, and they are few. If it is
// the same, sending goes on there by itself.
func (c *Conn) moveElsewhere(ctx context.Context) error {
	c.mu.Lock()
	old, was, remote := c.core.LocalAddr(), c.localAddr().Addr(), c.core.RemoteAddr()
	c.mu.Unlock()
	if c.shard.ep.open == nil {
		ip, ok := routeTo(remote)
		if !ok {
			return syscall.ENETUNREACH
		}
		if ip == was {
			return nil
		}
	}
	p, _, err := c.addPath(ctx, ":0")
	if err != nil {
		return err
	}
	if err := p.migrate(ctx); err != nil {
		p.Close()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave(old)
	c.sendUnlocked()
	return nil
}
