package quic

import "net/netip"

// recentAttempts is how many of the last connection attempts are remembered with what Config.Retry has said of them.
const recentAttempts = 64

// attempts remembers what Config.Retry has said, since a client's first flight may be several datagrams, and is sent again while no
// answer comes: each would be an attempt of its own. What many attempts push out is asked again, which does no harm.
type attempts struct {
	recent [recentAttempts]attempt
	next   int
}

// attempt is a client's first flight with what Config.Retry has said of it.
type attempt struct {
	known bool
	first firstFlight
	retry bool
}

// demandsRetry tells whether Config.Retry wants a client to prove its address, which it is asked once for an attempt.
func (e *Endpoint) demandsRetry(dst *ConnID, remote netip.AddrPort) bool {
	if e.cfg.Retry == nil {
		return false
	}
	if e.attempts == nil {
		e.attempts = new(attempts)
	}
	first := e.resets.firstFlight(dst, remote)
	for i := range e.attempts.recent {
		if a := &e.attempts.recent[i]; a.known && a.first == first {
			return a.retry
		}
	}
	a := &e.attempts.recent[e.attempts.next]
	e.attempts.next = (e.attempts.next + 1) % recentAttempts
	*a = attempt{true, first, e.cfg.Retry(remote)}
	return a.retry
}

// EndpointStats are counts of an Endpoint from its begin.
type EndpointStats struct {
	Accepted            uint64 // connections that clients began, whatever became of them
	Refused             uint64 // attempts to begin one that were answered with CONNECTION_REFUSED
	InvalidTokens       uint64 // those that were answered with INVALID_TOKEN (RFC 9000, section 8.1.3)
	Retries             uint64 // Retry packets sent
	VersionNegotiations uint64 // Version Negotiation packets sent
	StatelessResets     uint64 // sent
}

// Stats returns the counts of now.
func (e *Endpoint) Stats() EndpointStats { return e.counts }
