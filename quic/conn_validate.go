package quic

import (
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// challenge is a path validation under way (RFC 9000, section 8.2).
type challenge struct {
	data   [maxPathChallenges][8]byte
	sent   int   // how many were
	due    bool  // one is to be sent now
	padded bool  // one was sent in a datagram of full size
	at     int64 // when the next one is to be sent; 0: no validation is under way
	begun  int64 // when it began
	end    int64 // when to give up
}

// startChallenge begins to validate a path. If that is under way already it goes on: an answer to what was sent still counts.
func (c *Conn) startChallenge(now int64, p *path) {
	if ch := &p.challenge; ch.at != 0 && now < ch.end {
		ch.onTimer(now)
		return
	}
	wait := c.challengeTime(p)
	if p.own && !p.validated {
		// Section 8.2.4 recommends for a new path what its round-trip time might be, also where one is known of another port: where that
		// is short, a server that is behind with reading would be taken for none.
		wait = max(wait, int64(3*usualInitialRTT))
	}
	p.challenge = challenge{due: true, at: now, begun: now, end: now + maxPathChallenges*wait}
}

// challengeTime is how long an answer is waited for: the longest probe timeout of the paths that are known, the one that is left among
// them, and on one whose round-trip time is not known at least what is usual, whatever Config.InitialRTT says (RFC 9000, section 8.2.4).
func (c *Conn) challengeTime(p *path) int64 {
	wait := int64(0)
	if !p.rec.RTT.HasSample() {
		wait = int64(3 * usualInitialRTT)
	}
	for _, o := range c.paths.list {
		wait = max(wait, c.pto(o.rec))
	}
	return wait
}

// nextChallenge makes the data of the next PATH_CHALLENGE frame, and sets when it is to be followed.
func (c *Conn) nextChallenge(now int64, p *path) ([8]byte, bool) {
	ch := &p.challenge
	var data [8]byte
	if ch.sent == maxPathChallenges || !c.random(data[:]) {
		return data, false
	}
	ch.data[ch.sent] = data
	ch.sent++
	ch.due = false
	ch.at = now + c.challengeTime(p)
	switch ch.sent {
	case maxPathChallenges - 1:
		// The last one is sent when half of the time that is left has passed: all of them may be lost within a moment, and the round-trip
		// time is known now that ch.end was set without.
		ch.at = max(ch.at, now+(ch.end-now)/2)
	case maxPathChallenges:
		ch.end = max(ch.end, ch.at)
	}
	return data, true
}

// handlePathChallenge queues the answer, which goes out on the path that the frame came on.
func (c *Conn) handlePathChallenge(p *path, data [8]byte) {
	s := &c.paths
	c.streams.count().PathChallengesReceived++
	if p == nil {
		return // new paths came too fast
	}
	if p.state == pathAbandoned {
		if c.client {
			return // we have left it for good
		}
		p.state, p.failed = PathProbing, false // it is of use again
	}
	if c.prefersLocal(p) && !p.validated && p.challenge.at == 0 {
		c.startChallenge(c.clock.now, p) // RFC 9000, section 9.6.2: "MUST probe on the path toward the client"
	}
	if len(s.responses) >= maxPathResponses {
		s.responses = append(s.responses[:0], s.responses[1:]...)
	}
	s.responses = append(s.responses, pathResponse{p, data})
}

// handlePathResponse validates the path whose challenge is answered, on whichever path the answer came (RFC 9000, section
// 8.2.3). One that nobody waits for is ignored.
func (c *Conn) handlePathResponse(now int64, data [8]byte) {
	for _, p := range c.paths.list {
		if p.challenge.answers(data) {
			c.onValidated(now, p)
			return
		}
	}
}

func (ch *challenge) answers(data [8]byte) bool {
	if ch.at == 0 {
		return false
	}
	for _, d := range ch.data[:ch.sent] {
		if d == data {
			return true
		}
	}
	return false
}

func (c *Conn) onValidated(now int64, p *path) {
	if c.client {
		c.onOwnValidated(now, p)
		return
	}
	padded, before := p.challenge.padded, p.validated
	p.validated, p.challenge = padded || p.state != PathProbing, challenge{}
	if keep := p.wanted || c.prefersLocal(p); p.state == PathProbing && !keep {
		p.abandon() // it was left meanwhile
		return
	}
	if p.validated && !before {
		c.events.pushPath(PathValidated, p)
	}
	if p.wanted && p.validated {
		p.wanted = false
		c.migrate(now, p)
	}
	c.renewToken()
	switch {
	case !padded:
		// Section 8.2.1: the address is good, and whether the path carries full datagrams is to be seen.
		c.startChallenge(now, p)
	case p == c.path:
		if back := c.paths.standby(); back != nil {
			back.abandon()
		}
	}
}

// onPathTimer acts on challenges that were not answered.
func (c *Conn) onPathTimer(now int64) {
	failed := false
	for _, p := range c.paths.list {
		before := p.challenge
		if !p.challenge.onTimer(now) {
			continue
		}
		switch {
		case p == c.path && c.isLastHope(p) && now < before.begun+maxPathChallenges*challengeAgainAfter:
			before.again(now)
			p.challenge = before
		case p.state == PathActive:
			failed = true
		case p.state == PathProbing || c.client:
			p.failed = true
			p.abandon()
		}
	}
	c.sweepPaths()
	if failed {
		c.onValidationFailed()
	}
	c.loss.SetAmplificationLimited(c.silenced()) // what is kept for challenges may have changed
}

// challengeAgainAfter is how far apart challenges are that follow the first maxPathChallenges on a path that is the last hope, in ns.
const challengeAgainAfter = int64(3 * usualInitialRTT)

// isLastHope tells whether the connection ends if a path is given up: where round trips are short, loss can take the answers to all
// challenges while the peer is there. Then it is asked again, for as long as section 8.2.4 recommends to wait on a new path.
func (c *Conn) isLastHope(p *path) bool {
	if c.client {
		return !p.validated && c.nextBest() == nil
	}
	return !p.validated && c.paths.standby() == nil
}

// again has one more challenge be sent, in place of the last one: answers to those before still count.
func (ch *challenge) again(now int64) {
	ch.sent, ch.due, ch.at, ch.end = maxPathChallenges-1, true, now, now+challengeAgainAfter
}

func (c *Conn) onValidationFailed() {
	back := c.paths.standby()
	if c.client {
		// One that is being validated is moved to when it is: to give up for it what was validated before would end the connection where
		// nothing reaches the server for a while.
		if back = c.nextBest(); back != nil && c.path.validated && !back.validated {
			back.wanted, back = true, nil
		}
	}
	if back != nil {
		c.goBack(back)
		c.updateLimits()
		return
	}
	c.events.pushPath(PathFailed, c.path)
	if !c.path.validated {
		// RFC 9000, section 9.3.2: without a validated path the connection ends silently.
		c.err = &TransportError{Code: NoViablePath, Reason: "the new path could not be validated"}
		c.forget()
	}
}

// onTimer tells whether a validation has failed.
func (ch *challenge) onTimer(now int64) (failed bool) {
	switch {
	case ch.at == 0:
		return false
	case now >= ch.end:
		*ch = challenge{}
		return true
	case now >= ch.at && ch.sent < maxPathChallenges:
		ch.due = true
	}
	return false
}

// timer returns when onPathTimer has something to do, 0 if never.
func (s *pathSet) timer() (at int64) {
	for _, p := range s.list {
		at = earlier(at, p.challenge.timer())
	}
	return at
}

func (ch *challenge) timer() int64 {
	if ch.due || ch.sent == maxPathChallenges {
		return ch.end // it is Send's turn, or the peer's
	}
	return ch.at
}

// answering tells whether a PATH_RESPONSE waits to be sent on p.
func (s *pathSet) answering(p *path) bool {
	for i := range s.responses {
		if s.responses[i].path == p {
			return true
		}
	}
	return false
}

// nextProbing returns a path on which a PATH_CHALLENGE or PATH_RESPONSE waits and may be sent, nil if there is none, or if it is not only,
// where that is not nil.
func (c *Conn) nextProbing(now int64, only *path) *path {
	s, active := &c.paths, c.path
	if (only == nil || only == active) && (active.challenge.due || c.mayAnswer(now)) && active.allowance() >= c.leastProbe(active) {
		return active
	}
	for _, p := range s.list {
		if p != active && (only == nil || only == p) && (p.challenge.due || s.answering(p)) && !p.lacksID && p.allowance() >= c.leastProbe(p) {
			return p
		}
	}
	return nil
}

// mayAnswer tells whether PATH_RESPONSE frames wait for the path in use and may be sent. They are many if the peer likes, and so wait for the
// congestion window, but for one datagram in each probe timeout: a peer that waits for the answer sends nothing else to where we are,
// acknowledgements included, so that a window that is full would stay so.
func (c *Conn) mayAnswer(now int64) bool {
	if !c.paths.answering(c.path) {
		return false
	}
	return c.windowOpen(c.path) || now-c.roaming().answered >= c.pto(c.path.rec)
}

// windowOpen tells whether the congestion window of a path has room for a datagram.
func (c *Conn) windowOpen(p *path) bool { return p.rec.Available() >= int64(p.maxDatagram()) }

// leastProbe returns how many bytes a datagram with one PATH_CHALLENGE or PATH_RESPONSE frame has on a path: a peer that knows nothing of
// being elsewhere may send very little there, of which no part may be lost for its validation.
func (c *Conn) leastProbe(p *path) uint64 {
	pnLen := wire.PacketNumberLen(c.loss.NextPN(recovery.AppSpace), c.loss.LargestAcked(recovery.AppSpace))
	return uint64(1 + p.dcid.Len() + pnLen + pathFrameLen + protect.Overhead)
}

// pathFrameLen is how long PATH_CHALLENGE and PATH_RESPONSE frames are, in bytes, and maxPathProbe not less than leastProbe.
const (
	pathFrameLen = 9
	maxPathProbe = 64
)

// appendProbes appends what waits for path p to a packet: all answers that fit, and a challenge.
func (c *Conn) appendProbes(now int64, pkt *packet, p *path) {
	s := &c.paths
	kept := s.responses[:0]
	for _, r := range s.responses {
		if r.path != p || pkt.room() < pathFrameLen {
			kept = append(kept, r)
			continue
		}
		pkt.b = wire.AppendPathResponse(pkt.b, r.data)
		pkt.ackEliciting = true
	}
	if p == c.path && len(kept) < len(s.responses) && pkt.room() > 0 {
		// Section 9.3.3: not merely a probe, so that the peer comes back if someone else's copy of its packet led it away.
		pkt.b = append(pkt.b, wire.FramePing)
	}
	s.responses = kept
	if p.challenge.due && pkt.room() >= pathFrameLen {
		if data, ok := c.nextChallenge(now, p); ok {
			pkt.b = wire.AppendPathChallenge(pkt.b, data)
			pkt.ackEliciting = true
		}
		p.challenge.due = false
	}
}
