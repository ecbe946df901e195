package quicnet

import (
	"time"

	"github.com/boringquic/boringquic/quic/udp"
)

// onSendError is told of a train that could not be sent, or not all of it: t.Err says why. The caller has the right to send for the
// connection, and holds no lock. What was in it is lost, as it could be on the network.
func (c *Conn) onSendError(now time.Time, t *udp.Train) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
