package quicnet

import (
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// onSendError is told of a train that could not be sent, or not all of it: t.Err says why. The caller has the right to send for the
// connection, and holds no lock. What was in it is lost, as it could be on the network.
func (c *Conn) onSendError(now time.Time, t *udp.Train) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if udp.IsTooLarge(t.Err) {
		c.core.HandleTooLarge(now, t.Local, t.Remote, t.SegSize)
		c.handleEvents(now)
		return
	}
	if r := c.roam; r == nil || c.closed || !isGone(t.Err) {
		return
	}
	for _, p := range c.roam.paths {
		if p.local == t.Local && !p.ready && p.err == nil {
			p.err = t.Err
			c.leave(p.local)
			c.more = true // the server is told, by whoever has the right to send
			break
		}
	}
	if t.Local == c.core.LocalAddr() {
		c.lookElsewhere(c.follow)
	}
}

// searched returns cfg as it is for connections over a socket: without a search for the size of datagrams where the system may fragment
// them, which would have any size arrive.
func searched(sock *udp.Socket, cfg *quic.Config) *quic.Config {
	if cfg == nil || cfg.DisablePMTUD || sock.Features().DontFragment {
		return cfg
	}
	own := *cfg
	own.DisablePMTUD, own.MaxUDPPayload = true, 0
	return &own
}
