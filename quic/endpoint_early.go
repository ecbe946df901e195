package quic

import (
	"slices"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// earlyAttempts keeps 0-RTT packets that came before the Initial packet of their connection, which a network that reorders brings about
// (RFC 9000, section 5.2.2). Nothing of them is known to be authentic: they are few, and for a short time. They are bounded by maxEarlyAttempts, maxEarlyPackets,
// maxUndecryptableBytes and maxEarlyWait; what is too old goes when another comes.
type earlyAttempts struct {
	list []earlyAttempt // the oldest first
}

type earlyAttempt struct {
	first   firstFlight
	since   time.Time
	packets []earlyPacket
	bytes   int
}

// keepEarly keeps a datagram that begins with a 0-RTT packet, if there is room. Where clients have to prove their address first it would be
// in vain: a client sends its 0-RTT data again after a Retry.
func (e *Endpoint) keepEarly(now time.Time, d []byte, t *Train, h *wire.LongHeader) {
	dst, ok := MakeConnID(h.DstConnID)
	if !ok || dst.Len() < minInitialDCIDLen || !e.cfg.EarlyData || e.refusing || e.crowded() || len(d) > maxUndecryptableBytes {
		return
	}
	if e.early == nil {
		e.early = new(earlyAttempts)
	}
	a := e.early.of(now, e.resets.firstFlight(&dst, t.Remote))
	if a == nil || len(a.packets) >= maxEarlyPackets || a.bytes+len(d) > maxUndecryptableBytes {
		return
	}
	a.packets = append(a.packets, earlyPacket{slices.Clone(d), protect.ZeroRTT, t.ECN})
	a.bytes += len(d)
}

// takeEarly hands over what is kept for an attempt.
func (e *Endpoint) takeEarly(now time.Time, first firstFlight) []earlyPacket {
	if e.early == nil {
		return nil
	}
	s := e.early
	s.expire(now)
	i := s.index(first)
	if i < 0 {
		return nil
	}
	packets := s.list[i].packets
	if s.list = slices.Delete(s.list, i, i+1); len(s.list) == 0 {
		s.list = nil
	}
	return packets
}

// of returns what is kept for an attempt, which may be nothing yet; nil if there are too many others.
func (s *earlyAttempts) of(now time.Time, first firstFlight) *earlyAttempt {
	s.expire(now)
	if i := s.index(first); i >= 0 {
		return &s.list[i]
	}
	if len(s.list) >= maxEarlyAttempts {
		return nil
	}
	s.list = append(s.list, earlyAttempt{first: first, since: now})
	return &s.list[len(s.list)-1]
}

func (s *earlyAttempts) index(first firstFlight) int {
	return slices.IndexFunc(s.list, func(a earlyAttempt) bool { return a.first == first })
}

// expire forgets what is too old.
func (s *earlyAttempts) expire(now time.Time) {
	n := 0
	for n < len(s.list) && now.Sub(s.list[n].since) > maxEarlyWait {
		n++
	}
	s.list = slices.Delete(s.list, 0, n)
	if len(s.list) == 0 {
		s.list = nil
	}
}
