package quicnet

import "slices"

// acceptQueue holds connections whose handshake is complete, or that have early data, until Accept takes them, at most maxAcceptQueue. Closed ones take no
// place from others: they are dropped at once when they have nothing to be read, and else stay as long as no other wants their place.
// It is guarded by the Endpoint's lock.
type acceptQueue struct {
	conns []*Conn // the oldest first
	dead  int     // how many of them are closed
}

// queueState is where a connection is with regard to the acceptQueue.
type queueState uint8

const (
	notQueued queueState = iota
	queued
	queuedDead // and closed since
)

// push appends a connection; false says that there is no place.
func (q *acceptQueue) push(c *Conn) bool {
	if len(q.conns) == maxAcceptQueue {
		if q.dead == 0 {
			return false
		}
		q.drop(slices.IndexFunc(q.conns, func(c *Conn) bool { return c.queue == queuedDead }))
	}
	c.queue = queued
	q.conns = append(q.conns, c)
	return true
}

// pop returns the oldest connection, nil if there is none.
func (q *acceptQueue) pop() *Conn {
	if len(q.conns) == 0 {
		return nil
	}
	c := q.conns[0]
	q.drop(0)
	return c
}

// onClosed takes note that a connection is closed; keep says that it has something to be read.
func (q *acceptQueue) onClosed(c *Conn, keep bool) {
	if c.queue != queued {
		return
	}
	c.queue = queuedDead
	q.dead++
	if !keep {
		q.drop(slices.Index(q.conns, c))
	}
}

// clear empties the queue, and returns what it held.
func (q *acceptQueue) clear() []*Conn {
	all := q.conns
	for _, c := range all {
		c.queue = notQueued
	}
	*q = acceptQueue{}
	return all
}

func (q *acceptQueue) drop(i int) {
	c := q.conns[i]
	if c.queue == queuedDead {
		q.dead--
	}
	c.queue = notQueued
	if i == 0 {
		q.conns[0] = nil
		q.conns = q.conns[1:]
		return
	}
	q.conns = slices.Delete(q.conns, i, i+1)
}
