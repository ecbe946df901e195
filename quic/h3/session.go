package h3

import "github.com/boringquic/boringquic/quic"

// 0-RTT data, and what is remembered for it (RFC 9114, section 7.2.4.2).

// onSession acts on a session of a client's: it is told once the server's settings are known, which go with it.
func (c *Conn) onSession(s *quic.Session) {
	if c.settled {
		c.tellSession(s)
		return
	}
	if len(c.sessions) == maxSessions {
		c.sessions = append(c.sessions[:0], c.sessions[1:]...)
	}
	c.sessions = append(c.sessions, s)
}

// tellSession tells of a copy: the core's own may be in somebody's hands.
func (c *Conn) tellSession(s *quic.Session) {
	with := *s
	with.SetAppData(c.settings.remember())
	c.push(Event{Kind: EventSession, Session: &with})
}

// onEarlyData acts on what a server says of 0-RTT data.
func (c *Conn) onEarlyData(ev *quic.Event) {
	if !c.client || ev.Accepted {
		return
	}
	c.remembered = nil
	if !c.settled {
		c.settings = defaultSettings()
	}
	if c.wanted { // since it was known that new streams have to wait for this
		c.wanted = false
		c.push(Event{Kind: EventCapacity})
	}
	if ev.Resent {
		c.onResent()
		return
	}
	for s := c.streams.first; s != nil; {
		next := s.all.next
		s.over = true
		c.reject(s)
		s = next
	}
	c.begin()
}

// onResent is for streams that go on as if nothing had been. What needs a setting that the server has not sent now does not: datagrams (RFC 9297, section
// 2.1.1) and extended CONNECT (RFC 9220, section 3).
func (c *Conn) onResent() {
	c.core.DatagramPurge(func([]byte) bool { return true })
	for s := c.streams.first; s != nil; s = s.all.next {
		if s.extended {
			c.reject(s)
		}
	}
}
