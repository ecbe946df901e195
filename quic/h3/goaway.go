package h3

import (
	"time"

	"github.com/boringquic/boringquic/quic"
)

// maxRequestID is the highest ID of a client's bidirectional stream: in a GOAWAY frame it says that one with a lower ID will follow
// (RFC 9114, section 5.2).
const maxRequestID = 1<<62 - 4

// goaway is the end of a connection that is agreed upon (RFC 9114, section 5.2).
type goaway struct {
	next  uint64 // above the highest request that was taken, at a server
	peer  uint64 // that of the peer's GOAWAY, noStream: none has come
	sent  uint64 // that of ours, likewise
	asked bool   // Shutdown was called
	last  bool   // the last GOAWAY was sent
	told  bool   // EventShutdown was
	looks uint8  // how often it was looked at whether the last one has arrived
	timer int64  // when the last one is to be sent, or its arrival to be looked at, 0: not
}

func (g *goaway) init() { g.peer, g.sent = noStream, noStream }

// takes tells whether a server takes a request on a stream that the client has opened.
func (g *goaway) takes(id uint64) bool { return !g.last || id < g.sent }

func (g *goaway) onOpened(id uint64) { g.next = max(g.next, id+4) }

// finished tells once that a connection that was shut down has no requests any more, and that the peer knows which of them were taken. Until
// then it stays: a request that has crossed the GOAWAY is rejected, so that its client can repeat it; if the connection ended without the GOAWAY, the client would
// have to assume that the request was processed (RFC 9114, section 5.4).
func (c *Conn) finished() bool {
	g := &c.goaway
	if !g.last || g.told || c.requests > 0 || g.looks < maxGoAwayLooks && !c.client && !c.controlAcked() {
		return false
	}
	g.told, g.timer = true, 0
	return true
}

// controlAcked tells whether the peer has acknowledged all that was written on our control stream.
func (c *Conn) controlAcked() bool {
	n, err := c.core.StreamAcked(c.local.ids[localControl])
	return err != nil || n == c.local.controlSent && len(c.local.out[localControl]) == 0
}

// Shutdown begins the end of the connection (RFC 9114, section 5.2). A server sends a first GOAWAY that says so, and, when requests that
// were under way then have come, after a round trip, a second one that says which of them it has taken; later ones are
// rejected. A client sends GOAWAY and makes no more requests. Those that are open go on. EventShutdown tells when there is none; at a server not before
// the client has acknowledged the second GOAWAY, or been given some round trips for that.
func (c *Conn) Shutdown(now time.Time) {
	c.setNow(now)
	g := &c.goaway
	if g.asked || c.ended {
		return
	}
	g.asked = true
	if c.client {
		g.last = true
		c.sendGoAway(0) // the lowest push ID: none is taken
		return
	}
	c.sendGoAway(maxRequestID)
	c.awaitGoAway()
}

// awaitGoAway sets the timer for what a GOAWAY frame is waited for: requests that were under way when it came.
func (c *Conn) awaitGoAway() {
	rtt := c.core.Stats().SmoothedRTT
	c.goaway.timer = c.nanos + int64(max(rtt+rtt/2, minGoAwayWait))<<c.goaway.looks
}

const (
	// minGoAwayWait is the least time between the two GOAWAY frames of a server.
	minGoAwayWait = 5 * time.Millisecond

	// maxGoAwayLooks is how often it is looked at whether the client has acknowledged the second one, each time after twice as long: so for
	// 22 round trips, and 75 ms at least.
	maxGoAwayLooks = 4
)

func (c *Conn) sendGoAway(id uint64) {
	c.goaway.sent = id
	c.local.write(c, localControl, appendIntFrame(nil, frameGoAway, id))
}

// finishGoAway sends a server's second GOAWAY, and then looks whether it has arrived.
func (c *Conn) finishGoAway() {
	g := &c.goaway
	if !g.last {
		g.last = true
		c.priorities.early = nil // nothing of these is taken any more
		c.sendGoAway(g.next)
	} else {
		g.looks++
	}
	if g.timer = 0; g.looks < maxGoAwayLooks && !c.controlAcked() {
		c.awaitGoAway()
	}
}

// GoingAway tells whether one side is shutting the connection down, so that a client can make no more requests on it.
func (c *Conn) GoingAway() bool { return c.goaway.asked || c.goaway.peer != noStream }

// onGoAway acts on the peer's GOAWAY.
func (c *Conn) onGoAway(id uint64) *connError {
	g := &c.goaway
	switch {
	case c.client && id&3 != 0:
		return connErr(ErrCodeID, "the ID of GOAWAY is not one of a request")
	case id > g.peer:
		return connErr(ErrCodeID, "the ID of GOAWAY is higher than before")
	}
	g.peer = id
	if c.client {
		for s := c.streams.first; s != nil; s = s.all.next {
			if !s.raw && s.id >= id && s.id&3 == quic.StreamTypeBidi {
				c.reject(s)
			}
		}
	}
	c.push(Event{Kind: EventGoAway, ID: id})
	return nil
}

// Timeout is when OnTimeout is wanted, the zero Time if not at all.
func (c *Conn) Timeout() time.Time {
	at := c.goaway.timer
	sooner := func(t int64) {
		if at == 0 || t < at {
			at = t
		}
	}
	if s := c.heads.first; s != nil {
		sooner(s.head.at + int64(c.cfg.HeaderTimeout))
	}
	if s := c.blocked.first; s != nil {
		sooner(s.blocked.at + int64(c.cfg.BlockedTimeout))
	}
	if rest := c.restAt(); rest != 0 {
		sooner(rest)
	}
	if at == 0 || c.ended {
		return time.Time{}
	}
	return c.base.Add(time.Duration(at))
}

// OnTimeout does what is due at now.
func (c *Conn) OnTimeout(now time.Time) {
	c.setNow(now)
	if c.ended {
		return
	}
	t := c.nanos
	if at := c.goaway.timer; at != 0 && at <= t {
		c.finishGoAway()
	}
	for s := c.heads.first; s != nil && s.head.at+int64(c.cfg.HeaderTimeout) <= t; s = c.heads.first {
		c.expire(s, "the header section did not arrive in time")
	}
	for s := c.blocked.first; s != nil && s.blocked.at+int64(c.cfg.BlockedTimeout) <= t; s = c.blocked.first {
		c.expire(s, "the header section waits for table entries that do not arrive")
	}
	if rest := c.restAt(); rest != 0 && rest <= t {
		c.rest()
	}
}

// expire ends a stream that has taken too long.
func (c *Conn) expire(s *stream, reason string) {
	code := ErrCodeRequestIncomplete
	if c.client {
		code = ErrCodeRequestCancelled
	}
	c.heads.remove(s, linkHead)
	c.blocked.remove(s, linkBlocked)
	c.failStream(s, code, reason)
}
