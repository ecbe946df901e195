package quic

import (
	"net/netip"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// recentAttempts is how many of the last connection attempts are remembered with what became of them.
const recentAttempts = 64

// attempts remembers the last attempts that came to nothing at first sight, since a client's first flight may be several datagrams,
// and is sent again while no answer comes: each would be an attempt of its own. What many attempts push out is taken for new, which
// does no harm.
type attempts struct {
	recent [recentAttempts]attempt
	next   int
}

// attempt is a client's first flight, and what has been done about it.
type attempt struct {
	known   bool
	first   firstFlight
	asked   bool // Config.Retry was called
	retry   bool // and said so
	refused bool // it is counted among Refused
}

// attemptOf returns what is remembered of an attempt, which is nothing if it is new.
func (e *Endpoint) attemptOf(dst *ConnID, remote netip.AddrPort) *attempt {
	if e.attempts == nil {
		e.attempts = new(attempts)
	}
	s := e.attempts
	first := e.resets.firstFlight(dst, remote)
	for i := range s.recent {
		if a := &s.recent[i]; a.known && a.first == first {
			return a
		}
	}
	a := &s.recent[s.next]
	s.next = (s.next + 1) % recentAttempts
	*a = attempt{known: true, first: first}
	return a
}

// demandsRetry tells whether Config.Retry wants a client to prove its address, which it is asked once for an attempt.
func (e *Endpoint) demandsRetry(dst *ConnID, remote netip.AddrPort) bool {
	if e.cfg.Retry == nil {
		return false
	}
	a := e.attemptOf(dst, remote)
	if !a.asked {
		a.asked, a.retry = true, e.cfg.Retry(remote)
	}
	return a.retry
}

// refuse answers an attempt with CONNECTION_REFUSED, and counts it once.
func (e *Endpoint) refuse(d []byte, h *wire.LongHeader, dst *ConnID, remote netip.AddrPort, reply []byte) int {
	n := e.closeAttempt(d, h, ConnectionRefused, reply)
	if n == 0 {
		return 0
	}
	if a := e.attemptOf(dst, remote); !a.refused {
		a.refused = true
		e.counts.Refused++
	}
	return n
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
