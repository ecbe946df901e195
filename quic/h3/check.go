package h3

import "fmt"

// Check looks for contradictions in the state of the connection, for tests. It takes time in proportion to the streams that are open.
func (c *Conn) Check() error {
	if c.ended {
		return nil
	}
	open, held, unread, n := 0, 0, 0, 0
	for s := c.streams.first; s != nil; s = s.all.next {
		n++
		r := &s.recv
		if !s.uncounted {
			open++
		}
		held += r.held
		unread += s.datagrams.bytes
		switch {
		case n > c.streams.len:
			return fmt.Errorf("h3: the list of streams does not end")
		case !s.over && c.find(s.id) != s && c.find(s.id) != nil: // the core has forgotten it before it tells so
			return fmt.Errorf("h3: stream %d is not what the core has of it", s.id)
		case s.over && !s.queued && !s.lingers:
			return fmt.Errorf("h3: stream %d is over, and nobody will forget it", s.id)
		case s.lingers != (c.lingering[s.id] == s):
			return fmt.Errorf("h3: stream %d lingers %v, and is there %v", s.id, s.lingers, c.lingering[s.id] == s)
		case r.blocked != s.blocked.on:
			return fmt.Errorf("h3: stream %d is blocked %v, in the list %v", s.id, r.blocked, s.blocked.on)
		case r.state >= recvEnd && (r.held > 0 || r.blocked || r.waiting):
			return fmt.Errorf("h3: stream %d holds %d bytes of a section that nobody waits for", s.id, r.held)
		case s.send.state == sendOver && len(s.send.pending) > 0:
			return fmt.Errorf("h3: stream %d has %d bytes to send, and was reset", s.id, len(s.send.pending))
		case s.news != 0 && !s.queued:
			return fmt.Errorf("h3: stream %d has news %b that nobody reads", s.id, s.news)
		}
	}
	switch {
	case n != c.streams.len:
		return fmt.Errorf("h3: %d streams in a list of %d", n, c.streams.len)
	case open != c.requests:
		return fmt.Errorf("h3: %d requests are open, and %d are counted", open, c.requests)
	case held != c.held:
		return fmt.Errorf("h3: %d bytes of sections are held, and %d are counted", held, c.held)
	case unread != c.unread:
		return fmt.Errorf("h3: %d bytes of datagrams wait, and %d are counted", unread, c.unread)
	case c.ending.len != len(c.lingering):
		return fmt.Errorf("h3: %d streams linger, of which %d are in the list", len(c.lingering), c.ending.len)
	}
	return nil
}
