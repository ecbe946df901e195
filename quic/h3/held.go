package h3

import "slices"

// Header sections that are not read where they lie: those that come in pieces, and those that cannot be decoded yet.

// hold reserves memory for a HEADERS frame of n bytes before any of it is gathered; ok is false if the stream has to wait for it. Each
// reservation is for a whole frame, so that what was begun can be completed, and others wait behind.
func (c *Conn) hold(s *stream, n int) (ok bool) {
	w := c.work()
	if !c.ended && (len(w.starved) > 0 || c.held > 0 && c.held+n > maxHeldSections) {
		s.recv.waiting = true
		w.starved = append(w.starved, s)
		return false
	}
	c.held += n
	s.recv.held = n
	return true
}

// keep keeps a section that cannot be decoded yet. One that is not gathered is short: it lay in one piece with the core.
func (c *Conn) keep(s *stream, section []byte, gathered bool) {
	r := &s.recv
	r.whole = true
	if !gathered {
		r.section = append(r.section[:0], section...)
		r.held = len(section)
		c.held += r.held
	}
}

// maxKeptSection is how much room for a section a stream keeps for the next one, in bytes.
const maxKeptSection = 4 << 10

// release lets go of the memory of a section, and has those that wait for it go on.
func (c *Conn) release(s *stream) {
	r, w := &s.recv, c.work()
	if r.waiting {
		r.waiting = false
		remove := func(of *[]*stream) {
			if i := slices.Index(*of, s); i >= 0 {
				*of = slices.Delete(*of, i, i+1)
			}
		}
		remove(&w.starved)
		remove(&w.backlog)
	}
	if r.blocked {
		r.blocked = false
		c.blocked.remove(s, linkBlocked)
	}
	r.whole = false
	if cap(r.section) > maxKeptSection {
		r.section = nil
	}
	if r.held == 0 {
		return
	}
	c.held -= r.held
	r.held = 0
	c.feedStarved()
}

// feedStarved has those go on that wait for memory, as far as there is some.
func (c *Conn) feedStarved() {
	w := c.atWork
	for w != nil && len(w.starved) > 0 {
		next := w.starved[0]
		need := int(next.recv.left)
		if !c.ended && c.held > 0 && c.held+need > maxHeldSections {
			break
		}
		w.starved = slices.Delete(w.starved, 0, 1)
		c.held += need
		next.recv.held, next.recv.waiting = need, false
		c.tell(next, newsRead)
	}
}

// endBlocked is the end of a stream whose section waits for entries that do not come any more, since the connection is over.
func (c *Conn) endBlocked(s *stream) {
	s.recv.state, s.recv.err = recvOver, c.core.Err()
	c.release(s)
}

// retryBacklog has the streams go on that waited for room on the decoder stream.
func (c *Conn) retryBacklog() {
	w := c.atWork
	if w == nil {
		return
	}
	for _, s := range w.backlog {
		s.recv.waiting = false
		c.tell(s, newsRead)
	}
	w.backlog = w.backlog[:0]
}

// retryUnblocked has the streams go on whose sections can be decoded now.
func (c *Conn) retryUnblocked() {
	for {
		id, ok := c.dec.NextUnblocked()
		if !ok {
			return
		}
		for s := c.blocked.first; s != nil; s = s.blocked.next {
			if s.id == id {
				s.recv.blocked = false
				c.blocked.remove(s, linkBlocked)
				c.tell(s, newsRead)
				break
			}
		}
	}
}
