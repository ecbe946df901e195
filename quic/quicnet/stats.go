package quicnet

import (
	"sync/atomic"

	"github.com/boringquic/boringquic/quic/udp"
)

// EndpointStats are figures of an endpoint: how many connections there are now, and counts from its begin.
type EndpointStats struct {
	Handshaking int // connections whose handshake is under way, of clients and those that we dial
	Established int // whose handshake is complete, and which are not closed
	Waiting     int // of those, and of the ones before that have early data, that wait for Accept
	Closing     int // that are closed and not yet forgotten, some round trips later (RFC 9000, section 10.2)

	Completed uint64 // handshakes
	Failed    uint64 // handshakes that came to nothing
	Refused   uint64 // clients turned away with CONNECTION_REFUSED, before a handshake or after it

	InvalidTokens       uint64 // clients turned away with INVALID_TOKEN (RFC 9000, section 8.1.3)
	Retries             uint64 // clients asked to prove their address (quic.Config.Retry)
	VersionNegotiations uint64 // clients told which versions there are
	StatelessResets     uint64 // peers told that their connection is not known

	Sockets udp.Stats // of the endpoint's sockets, in sum, those that were closed included
}

// endpointCounts is what an endpoint counts itself.
type endpointCounts struct {
	handshaking, established, closing atomic.Int64
	completed, failed, refused        atomic.Uint64
}

// Stats returns the figures of now. They are not of one moment, if connections come and go meanwhile.
func (ep *Endpoint) Stats() EndpointStats {
	n := &ep.counts
	st := EndpointStats{
		Handshaking: int(n.handshaking.Load()), Established: int(n.established.Load()), Closing: int(n.closing.Load()),
		Completed: n.completed.Load(), Failed: n.failed.Load(), Refused: n.refused.Load(),
	}
	ep.mu.Lock()
	st.Waiting = len(ep.accepted.conns)
	ep.mu.Unlock()
	for _, sh := range ep.shards {
		sh.mu.Lock()
		core := sh.core.Stats()
		st.Sockets.Add(sh.past)
		sh.mu.Unlock()
		st.Refused += core.Refused
		st.InvalidTokens += core.InvalidTokens
		st.Retries += core.Retries
		st.VersionNegotiations += core.VersionNegotiations
		st.StatelessResets += core.StatelessResets
		for _, s := range sh.all() {
			st.Sockets.Add(s.sock.Stats())
		}
	}
	return st
}

// The states of a connection, as they are counted. c.mu is held.

func (c *Conn) countEstablished() {
	n := &c.shard.ep.counts
	n.established.Add(1)
	n.completed.Add(1)
}

func (c *Conn) countClosed() {
	ep := c.shard.ep
	n := &ep.counts
	n.closing.Add(1)
	if c.established {
		n.established.Add(-1)
	} else {
		n.failed.Add(1)
		ep.countSettled()
	}
	if ep.draining.Load() && n.handshaking.Load()+n.established.Load() == 0 {
		ep.mu.Lock()
		ep.idle.wake()
		ep.mu.Unlock()
	}
}

// countSettled counts a handshake that is over, in whichever way.
func (ep *Endpoint) countSettled() {
	if ep.counts.handshaking.Add(-1) == 0 && ep.settling.Load() {
		ep.mu.Lock()
		ep.settled.wake()
		ep.mu.Unlock()
	}
}
