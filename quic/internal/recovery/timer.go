package recovery

import (
	"math"
	"time"
)

// PTO returns the probe timeout that a peer has on the path whose round-trip times are like ours, without backoff, if we may delay
// acknowledgements by that much.
func (p *Path) PTO(maxAckDelay time.Duration) time.Duration { return p.RTT.pto() + maxAckDelay }

// PTO returns the probe timeout of the AppSpace, with the peer's max_ack_delay and without backoff: the unit of several
// other timers (RFC 9000, sections 8.2.4 and 10.2).
func (l *Loss) PTO(path *Path) time.Duration { return path.RTT.pto() + l.maxAckDelay }

// Timer returns when OnTimeout is due, 0 if never (RFC 9002, section 6.2 and appendix A.8).
func (l *Loss) Timer(path *Path) int64 {
	if at, _ := l.lossTimer(path); at != 0 {
		return at
	}
	at, _ := l.probeTime(path)
	if expiry, _ := l.probeTimer(); expiry != 0 && (at == 0 || expiry < at) {
		return expiry
	}
	return at
}

// lossTimer returns when the next packet is lost for its age, and in which space; 0 if none is, or if a probe is due before that. As long
// as a packet of the path in use is to be lost there is no probe timeout (RFC 9002, section 6.2.1), but one that was sent on a path with a
// longer round-trip time, which may be a mere guess, says nothing of whether the path in use carries anything.
func (l *Loss) lossTimer(path *Path) (at int64, sp Space) {
	at, sp = l.earliestLoss()
	if at == 0 || l.spaces[sp].lossPath == path.id {
		return at, sp
	}
	if probe, _ := l.probeTime(path); probe != 0 && probe < at {
		return 0, sp
	}
	return at, sp
}

func (l *Loss) earliestLoss() (at int64, sp Space) {
	for i, s := range l.spaces {
		if s != nil && s.lossTime != 0 && (at == 0 || s.lossTime < at) {
			at, sp = s.lossTime, Space(i)
		}
	}
	return at, sp
}

// probeTime returns when the next probe is due, and in which space.
func (l *Loss) probeTime(path *Path) (at int64, sp Space) {
	if l.blocked {
		return 0, 0
	}
	shift := min(l.ptoCount, maxBackoff)
	for i, s := range l.spaces {
		if s == nil || s.eliciting == 0 {
			continue
		}
		wait := path.RTT.pto()
		if Space(i) == AppSpace {
			if !l.confirmed {
				continue // the peer may not be able to process 1-RTT packets yet (section 6.2.1)
			}
			wait += l.maxAckDelay
		}
		if t := s.lastSent + int64(wait<<shift); at == 0 || t < at {
			at, sp = t, Space(i)
		}
	}
	if at != 0 || l.validated {
		return at, sp
	}
	// A client must not wait for a server that may not send: it probes with nothing in flight (section 6.2.2.1).
	sp = l.deadlockSpace()
	last := l.lastDropped
	for _, s := range l.spaces[:AppSpace] {
		if s != nil {
			last = max(last, s.lastSent)
		}
	}
	return last + int64(path.RTT.pto()<<shift), sp
}

func (l *Loss) deadlockSpace() Space {
	if l.hasHandshake {
		return HandshakeSpace
	}
	return InitialSpace
}

// OnTimeout is called when Timer is due. It declares packets lost that have become too old, or else answers that probes
// packets are to be sent in a space, with the oldest data that is not acknowledged, which it hands to h as if lost.
func (l *Loss) OnTimeout(now int64, path *Path, h Handler) (probes int, sp Space) {
	if at, sp := l.lossTimer(path); at != 0 {
		if at <= now {
			l.detect(now, sp, path, h)
		}
		return 0, sp
	}
	if at, p := l.probeTimer(); at != 0 && at <= now {
		l.loseProbe(now, p)
		return 0, sp
	}
	at, sp := l.probeTime(path)
	if at == 0 || at > now {
		return 0, sp
	}
	if l.ptoCount < math.MaxUint8 {
		l.ptoCount++
	}
	l.Stats.PTOs++
	if l.spaces[sp].eliciting == 0 {
		l.spaces[sp].lastSent = now
		return 1, sp
	}
	l.resend(sp, 2, h)
	return 2, sp
}

// Probe hands the oldest data in flight of a space to h as if it were lost, and tells whether there is any.
func (l *Loss) Probe(sp Space, h Handler) bool {
	if s := l.spaces[sp]; s == nil || s.eliciting == 0 {
		return false
	}
	l.resend(sp, 2, h)
	return true
}

// Resend hands all data in flight of a space to h as if it were lost, and tells whether any of it is to be sent again.
func (l *Loss) Resend(sp Space, h Handler) bool {
	return l.spaces[sp] != nil && l.resend(sp, math.MaxInt, h) > 0
}

// resend hands the frames of the oldest packets in flight that have something to be sent again to h, which are not lost for that: of most packets, and
// it returns of how many. Those before them, with a PING, say, or a challenge of another path, would have each probe carry nothing for as long as nothing
// is acknowledged.
func (l *Loss) resend(sp Space, most int, h Handler) (found int) {
	s := l.spaces[sp]
	for pn := s.scan; pn < s.packets.end && found < most; pn++ {
		r := s.packets.at(pn)
		if r.flags&ackEliciting == 0 || r.flags&(acked|lost|probe) != 0 {
			continue
		}
		again := false
		for i := range int64(r.frames) {
			again = h.OnFrameLost(sp, *s.frames.at(r.frame + i)) || again
		}
		if again {
			found++
		}
	}
	return found
}

// Requeue takes every packet of a space out of flight and hands its frames to h as lost, without a word to the congestion
// controller: after a Retry (RFC 9000, section 17.2.5.3).
func (l *Loss) Requeue(sp Space, h Handler) {
	s := l.spaces[sp]
	for pn := s.packets.start; pn < s.packets.end; pn++ {
		r := s.packets.at(pn)
		if r.flags&(acked|lost|skipped) != 0 {
			continue
		}
		l.settle(s, r)
		r.flags |= lost
		for i := range int64(r.frames) {
			h.OnFrameLost(sp, *s.frames.at(r.frame + i))
		}
	}
	s.scan = s.packets.end
	l.ptoCount = 0
}

// RestartProbes has probe timeouts be counted from the first again: another path is in use, of which those that found no answer say nothing.
func (l *Loss) RestartProbes() { l.ptoCount = 0 }

// Void takes every packet of a space out of flight that the peer will never open: 0-RTT packets that it has rejected. Their frames are
// handed to h as lost, without a word to the congestion controller, and an acknowledgement of one of them means nothing.
func (l *Loss) Void(sp Space, h Handler) {
	l.Requeue(sp, h)
	s := l.spaces[sp]
	for pn := s.packets.start; pn < s.packets.end; pn++ {
		s.packets.at(pn).frames = 0
	}
}

// Timeouts returns how many probe timeouts have passed since anything was acknowledged, 255 for more than that.
func (l *Loss) Timeouts() int { return int(l.ptoCount) }

// Restart forgets all packets of a space, whose numbers begin at 0 again: a client begins another connection in the place of the one that
// it has begun (RFC 9000, section 6.2).
func (l *Loss) Restart(sp Space) {
	s := l.spaces[sp]
	for pn := s.packets.start; pn < s.packets.end; pn++ {
		l.settle(s, s.packets.at(pn))
	}
	*s = space{largestAcked: -1}
	l.ptoCount, l.lastDropped = 0, 0
}

// Discard forgets a space whose keys are gone: nothing of it is in flight any more, and probing starts anew (RFC 9002, section 6.4).
func (l *Loss) Discard(sp Space) {
	s := l.spaces[sp]
	if s == nil {
		return
	}
	for pn := s.packets.start; pn < s.packets.end; pn++ {
		l.settle(s, s.packets.at(pn))
	}
	l.lastDropped = max(l.lastDropped, s.lastSent) // from which a client's probes against deadlock still count
	l.spaces[sp] = nil
	l.ptoCount = 0
}
