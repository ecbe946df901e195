package quic

import (
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// path is a 4-tuple with what is known of it (RFC 9000, sections 8 and 9).
type path struct {
	local, remote netip.AddrPort
	rec           *recovery.Path // RTT, congestion control, pacing, ECN; shared by paths that differ in their port alone
	dcid          ConnID         // where we send to
	dcidSeq       uint64         // the sequence number of dcid
	usedSeq       uint64         // the sequence number of our connection ID that the peer last sent to
	lacksID       bool           // there was no connection ID for it yet: nothing is sent
	maxDatagram   int            // bytes
	validated     bool           // the peer has shown that it receives at remote
	received      uint64         // bytes from remote and to it, which count as long as it is not validated
	sent          uint64
	challenge     challenge
}

// challenge is a path validation under way (RFC 9000, section 8.2).
type challenge struct {
	data   [maxPathChallenges][8]byte
	sent   int   // how many were
	due    bool  // one is to be sent now
	at     int64 // when the next one is to be sent; 0: no validation is under way
	end    int64 // when to give up
	padded bool  // one was sent in a datagram of full size
}

// pathSet is every path but the one in use, and what is to be answered on any.
type pathSet struct {
	others    []*path
	fallback  *path          // the last validated path, while the one in use is not
	responses []pathResponse // at most maxPathResponses
	recent    int            // paths that appeared since recentAt, for a bound on their rate
	recentAt  int64
}

type pathResponse struct {
	path *path
	data [8]byte
}

// maxNewPaths bounds the paths that may appear within a second.
const maxNewPaths = 5

func (c *Conn) newPath(local, remote netip.AddrPort) *path {
	p := &path{local: local, remote: remote, maxDatagram: c.cfg.MaxUDPPayload}
	for _, o := range append([]*path{c.path}, c.paths.others...) {
		if o != nil && o.sameHosts(p) {
			p.rec = o.rec
			return p
		}
	}
	p.rec = c.newRecovery(p)
	return p
}

// sameHosts tells whether two paths differ in ports at most: then it is most likely a NAT that gave another one, and round-trip time and
// congestion control go on (RFC 9000, section 9.4).
func (p *path) sameHosts(o *path) bool {
	return p.remote.Addr() == o.remote.Addr() && p.local.Addr() == o.local.Addr()
}

// newRecovery returns what a path to another host begins with.
func (c *Conn) newRecovery(p *path) *recovery.Path {
	var cc congestion.Controller
	if c.cfg.Congestion == NewReno {
		cc = congestion.NewNewReno(p.maxDatagram)
	} else {
		cc = congestion.NewCUBIC(p.maxDatagram)
	}
	rec := recovery.NewPath(cc, c.cfg.InitialRTT, p.maxDatagram)
	c.loss.AddPath(&rec)
	return &rec
}

// limitDatagram takes the peer's max_udp_payload_size.
func (p *path) limitDatagram(limit uint64) {
	p.maxDatagram = int(min(uint64(p.maxDatagram), limit))
	p.rec.CC.SetMaxDatagram(p.maxDatagram)
}

// allowance returns how many bytes may be sent to a path's address now (RFC 9000, section 8.1).
func (p *path) allowance() uint64 {
	if p.validated {
		return 1 << 62
	}
	return amplificationFactor*p.received - min(p.sent, amplificationFactor*p.received)
}

// silenced tells whether the anti-amplification limit keeps us from sending on the path in use.
func (c *Conn) silenced() bool { return c.path.allowance() < c.leastDatagram() }

// leastDatagram is the room without which no datagram is begun, in bytes: a handshake is not carried on with less than a full
// one.
func (c *Conn) leastDatagram() uint64 {
	if c.tls.complete {
		return minCoalesced
	}
	return minDatagramSize
}

// is tells whether the path is the 4-tuple. A local address that is not known matches any.
func (p *path) is(local, remote netip.AddrPort) bool {
	return p.remote == remote &&
		(p.local == local || !p.local.IsValid() || !local.IsValid() || p.local.Addr().IsUnspecified())
}

// receivePath finds the path of a train. nil says that it is a new one, to be made when a packet on it has proved
// authentic; ok is false if the train is to be dropped.
func (c *Conn) receivePath(now int64, t *Train) (p *path, ok bool) {
	if c.path.is(t.Local, t.Remote) {
		return c.path, true
	}
	// A server's address does not change (RFC 9000, section 9), and a client's not during the handshake.
	if c.client || !c.tls.confirmed {
		return nil, false
	}
	if p := c.paths.find(t.Local, t.Remote); p != nil {
		return p, true
	}
	return nil, c.paths.mayAppear(now) && (c.cfg.MayMigrate == nil || c.cfg.MayMigrate(t.Remote))
}

func (s *pathSet) find(local, remote netip.AddrPort) *path {
	for _, p := range s.others {
		if p.is(local, remote) {
			return p
		}
	}
	return nil
}

// mayAppear bounds the rate of new paths, so that an attacker with many addresses gains nothing.
func (s *pathSet) mayAppear(now int64) bool {
	if now-s.recentAt > int64(time.Second) {
		s.recent, s.recentAt = 0, now
	}
	return s.recent < maxNewPaths
}

// addPath makes the path of an authentic packet that came from a new address to our connection ID usedSeq.
func (c *Conn) addPath(t *Train, usedSeq uint64) *path {
	s := &c.paths
	s.recent++
	if len(s.others) >= maxPaths-1 {
		s.evict(c)
	}
	p := c.newPath(t.Local, t.Remote)
	p.maxDatagram = c.path.maxDatagram
	p.usedSeq = usedSeq
	p.dcid, p.dcidSeq = c.path.dcid, c.path.dcidSeq
	// RFC 9000, section 9.5: a peer that moved on purpose took another connection ID, and so do we.
	p.lacksID = usedSeq != c.path.usedSeq && p.dcid.Len() > 0
	s.others = append(s.others, p)
	return p
}

// giveID gives a path a connection ID if it lacks one, as soon as there is one that no path sends to, and tells whether it has one
// (RFC 9000, section 9.3).
func (c *Conn) giveID(p *path) bool {
	if !p.lacksID {
		return true
	}
	id := c.peer.unused()
	if id == nil {
		return false
	}
	p.lacksID = false
	c.useID(p, id)
	return true
}

// evict forgets the oldest path that is not the fallback.
func (s *pathSet) evict(c *Conn) {
	for _, p := range s.others {
		if p != s.fallback {
			c.forgetPath(p)
			return
		}
	}
}

// forgetPath forgets a path that is not in use, and the connection ID that only it sent to.
func (c *Conn) forgetPath(p *path) {
	s := &c.paths
	shared := p.lacksID || c.path.dcidSeq == p.dcidSeq
	kept := s.others[:0]
	for _, o := range s.others {
		if o != p {
			kept = append(kept, o)
			shared = shared || !o.lacksID && o.dcidSeq == p.dcidSeq
		}
	}
	s.others = kept
	answers := s.responses[:0]
	for _, r := range s.responses {
		if r.path != p {
			answers = append(answers, r)
		}
	}
	s.responses = answers
	if s.fallback == p {
		s.fallback = nil
	}
	if !shared {
		c.dropID(p.dcidSeq)
	}
	c.releaseRecovery(p.rec)
}

// releaseRecovery forgets the recovery of a path that was forgotten, unless it is another path's too.
func (c *Conn) releaseRecovery(rec *recovery.Path) {
	if c.path.rec == rec {
		return
	}
	for _, o := range c.paths.others {
		if o.rec == rec {
			return
		}
	}
	c.loss.ForgetPath(rec)
}

// rebind gives the paths that are not in use another connection ID for one that was retired.
func (s *pathSet) rebind(c *Conn) {
	for i := 0; i < len(s.others); {
		p := s.others[i]
		p.lacksID = p.lacksID || c.peer.find(p.dcidSeq) == nil
		if !c.giveID(p) {
			c.forgetPath(p)
			continue
		}
		i++
	}
}

// migrate follows the peer to the path of its newest packet (RFC 9000, section 9.3).
func (c *Conn) migrate(now int64, p *path) {
	s := &c.paths
	old := c.path
	for i, o := range s.others {
		if o == p {
			s.others[i] = old
		}
	}
	c.path = p
	c.counts.migrations++
	if p.validated {
		s.settle(c)
		return
	}
	c.startChallenge(now, p)
	if old.validated {
		s.fallback = old
		c.startChallenge(now, old) // section 9.3.3: who is still there?
	}
}

// settle forgets the path that was left, once the one in use is validated.
func (s *pathSet) settle(c *Conn) {
	if s.fallback != nil {
		c.forgetPath(s.fallback)
	}
}

// startChallenge begins to validate a path.
func (c *Conn) startChallenge(now int64, p *path) {
	p.challenge = challenge{due: true, at: now, end: now + maxPathChallenges*c.challengeTime(p)}
}

// challengeTime is how long an answer is waited for (RFC 9000, section 8.2.4).
func (c *Conn) challengeTime(p *path) int64 {
	return int64(max(c.loss.PTO(c.path.rec), c.loss.PTO(p.rec)))
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
	if ch.sent == maxPathChallenges {
		ch.end = max(ch.end, ch.at)
	}
	return data, true
}

// handlePathChallenge queues the answer, which goes out on the path that the frame came on.
func (c *Conn) handlePathChallenge(p *path, data [8]byte) {
	s := &c.paths
	if len(s.responses) >= maxPathResponses {
		s.responses = append(s.responses[:0], s.responses[1:]...)
	}
	s.responses = append(s.responses, pathResponse{p, data})
}

// handlePathResponse validates the path whose challenge is answered, on whichever path the answer came (RFC 9000, section
// 8.2.3). One that nobody waits for is ignored.
func (c *Conn) handlePathResponse(now int64, data [8]byte) {
	if c.path.challenge.answers(data) {
		c.onValidated(now, c.path)
		return
	}
	for _, p := range c.paths.others {
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
	padded := p.challenge.padded
	p.validated, p.challenge = true, challenge{}
	switch {
	case p != c.path && p != c.paths.fallback:
		c.forgetPath(p) // it was left meanwhile
	case !padded:
		// Section 8.2.1: the address is good, and whether the path carries full datagrams is to be seen.
		c.startChallenge(now, p)
	case p == c.path:
		c.paths.settle(c)
	}
}

// onPathTimer acts on challenges that were not answered.
func (c *Conn) onPathTimer(now int64) {
	for i := len(c.paths.others) - 1; i >= 0; i-- {
		if p := c.paths.others[i]; p.challenge.onTimer(now) && p != c.paths.fallback {
			c.forgetPath(p)
		}
	}
	if !c.path.challenge.onTimer(now) {
		return
	}
	back := c.paths.fallback
	if back == nil {
		if !c.path.validated {
			// RFC 9000, section 9.3.2: without a validated path the connection ends silently.
			c.err = &TransportError{Code: NoViablePath, Reason: "the peer's new address could not be validated"}
			c.forget()
		}
		return
	}
	failed := c.path
	c.paths.fallback = nil
	for i, o := range c.paths.others {
		if o == back {
			c.paths.others[i] = failed
		}
	}
	c.path = back
	c.forgetPath(failed)
	c.updateLimits()
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
func (s *pathSet) timer(active *path) int64 {
	at := active.challenge.timer()
	for _, p := range s.others {
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

// nextProbing returns a path on which a PATH_CHALLENGE or PATH_RESPONSE waits and may be sent, nil if there is none.
func (s *pathSet) nextProbing(active *path) *path {
	// Answers on the path in use are many if the peer likes, and wait for its congestion window.
	answers := active.rec.Available() >= int64(active.maxDatagram) && s.answering(active)
	if (active.challenge.due || answers) && active.allowance() >= minPathProbe {
		return active
	}
	for _, p := range s.others {
		if (p.challenge.due || s.answering(p)) && !p.lacksID && p.allowance() >= minPathProbe {
			return p
		}
	}
	return nil
}

// minPathProbe is the least that may be sent on a path for a probe of it to be made, in bytes.
const minPathProbe = 64

// appendProbes appends what waits for path p to a packet: all answers that fit, and a challenge.
func (c *Conn) appendProbes(now int64, pkt *packet, p *path) {
	s := &c.paths
	kept := s.responses[:0]
	for _, r := range s.responses {
		if r.path != p || pkt.room() < 9 {
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
	if p.challenge.due && pkt.room() >= 9 {
		if data, ok := c.nextChallenge(now, p); ok {
			pkt.b = wire.AppendPathChallenge(pkt.b, data)
			pkt.ackEliciting = true
		}
		p.challenge.due = false
	}
}
