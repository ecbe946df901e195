package quic

import (
	"net/netip"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// path is a 4-tuple with what is known of it (RFC 9000, sections 8 and 9).
type path struct {
	local, remote                netip.AddrPort
	rec                          *recovery.Path // RTT, congestion control, pacing, ECN; shared by paths that differ in their port alone
	dcid                         ConnID         // where we send to
	dcidSeq                      uint64         // the sequence number of dcid
	usedSeq                      uint64         // the sequence number of our connection ID that the peer last sent to
	received                     uint64         // bytes from remote and to it, which bound what may be sent as long as it is not validated
	sent                         uint64
	packetsSent, packetsReceived uint64
	left                         int64 // when a client moved away from it; 0: it has not
	lacksID                      bool  // there was no connection ID for it yet: nothing is sent
	validated                    bool  // the peer has shown that it receives at remote
	own                          bool  // we began it, as a client: no limit but the probes' own holds for what is sent on it before it is validated
	wanted                       bool  // it is to be moved to once it is validated
	failed                       bool  // it is abandoned since its validation failed
	state                        PathState
	amplify                      uint8 // Config.AmplificationFactor
	challenge                    challenge
	spin                         spin
}

// The states of a path, as a server goes through them:
//
//	            a packet that is no probe, the newest
//	probing ------------------------------------------> active
//	   |     <-- another is active, and this one was       |  ^
//	   |         never validated                           |  |  the active one fails, or the
//	   |                                                   |  |  peer is back
//	   |  its validation fails, or ends when it was left,  v  |
//	   |  or there are too many                          standby
//	   v                                                   |
//	abandoned <--------------------------------------------+
//	                       the active one is validated
//
// There is at most one on standby, the last one that was validated, while the active one is not. A client's path goes from probing to
// standby when it is validated, between standby and active when the client moves, of which it may have several, and is abandoned when its
// validation fails or the client wants it no more. What is abandoned is forgotten once the train at hand is done with.

// pathSet is every path of a connection, and what is to be answered on any.
type pathSet struct {
	list      []*path        // at most maxPaths
	responses []pathResponse // at most maxPathResponses
	roam      *roaming       // nil: the peer was never heard from elsewhere, or of an address that it prefers
	sizes     sizeLimits     // of the datagrams on all of them
}

type pathResponse struct {
	path *path
	data [8]byte
}

// pathBucket bounds how fast new paths are made: a bucket of newPathBurst, refilled at newPathRate a second.
type pathBucket struct {
	since int64
	used  float32
}

// take takes one path out of the bucket, and tells whether there was one.
func (b *pathBucket) take(now int64) bool {
	b.used = max(b.used-float32(now-b.since)*newPathRate/1e9, 0)
	b.since = now
	if b.used > newPathBurst-1 {
		return false
	}
	b.used++
	return true
}

// firstPath makes the path that the connection begins on.
func (c *Conn) firstPath(local, remote netip.AddrPort, dcid ConnID, validated bool) {
	c.path = c.newPath(local, remote)
	c.path.state, c.path.dcid, c.path.validated = PathActive, dcid, validated
}

// newPath adds a path to the list.
func (c *Conn) newPath(local, remote netip.AddrPort) *path {
	p := &path{local: local, remote: remote, amplify: uint8(c.cfg.AmplificationFactor)}
	for _, o := range c.paths.list {
		if o.sameHosts(p) {
			p.rec = o.rec
		}
	}
	if p.rec == nil {
		p.rec = c.newRecovery(remote)
	}
	c.paths.list = append(c.paths.list, p)
	return p
}

// sameHosts tells whether two paths differ in ports at most: then it is most likely a NAT that gave another one, and round-trip time and
// congestion control go on (RFC 9000, section 9.4).
func (p *path) sameHosts(o *path) bool {
	return p.remote.Addr() == o.remote.Addr() && p.local.Addr() == o.local.Addr()
}

// newRecovery returns what a path to another host begins with.
func (c *Conn) newRecovery(remote netip.AddrPort) *recovery.Path {
	ceiling := c.paths.sizes.ceiling(c.cfg, remote)
	size := minDatagramSize
	if c.cfg.DisablePMTUD {
		size = ceiling
	}
	rec := recovery.NewPath(c.cfg.newController(size), c.cfg.InitialRTT, size)
	rec.Pace(c.cfg.Pacing == PaceOff, int64(c.cfg.MaxPacingRate))
	if !c.cfg.DisablePMTUD {
		rec.SearchSize(!remote.Addr().Unmap().Is4())
	}
	rec.SetCeiling(ceiling)
	c.loss.AddPath(&rec)
	return &rec
}

// newController returns the congestion controller of a path whose datagrams are that large.
func (cfg *Config) newController(size int) congestion.Controller {
	if cfg.Congestion == NewReno {
		cc := congestion.NewNewReno(size)
		cc.Begin(cfg.InitialWindow, !cfg.DisableHyStart)
		return cc
	}
	cc := congestion.NewCUBIC(size)
	cc.Begin(cfg.InitialWindow, !cfg.DisableHyStart)
	return cc
}

// limited tells whether the anti-amplification limit holds for a path.
func (p *path) limited() bool { return !p.validated && !p.own }

// allowance returns how many bytes may be sent to a path's address now (RFC 9000, section 8.1).
func (p *path) allowance() uint64 {
	if !p.limited() {
		return 1 << 62
	}
	most := uint64(p.amplify) * p.received
	return most - min(p.sent, most)
}

// dataAllowance is how much of the allowance is there for other packets than probes. As long as the path is not validated some is left for
// the challenges to come: else, where one of them or its answer is lost, a peer that only receives would never be asked again, nor hear
// anything of us.
func (p *path) dataAllowance() uint64 {
	allowance := p.allowance()
	if ch := &p.challenge; p.limited() && ch.at != 0 {
		return allowance - min(uint64(maxPathChallenges-ch.sent)*maxPathProbe, allowance)
	}
	return allowance
}

// silenced tells whether the anti-amplification limit keeps us from sending on the path in use.
func (c *Conn) silenced() bool { return c.path.dataAllowance() < c.leastDatagram() }

// leastDatagram is the room without which no datagram is begun, in bytes: a handshake is not carried on with less than a full
// one, nor is anything sent where Initial packets still can be, which fill one.
func (c *Conn) leastDatagram() uint64 {
	if c.tls.complete && c.spaces[recovery.InitialSpace] == nil {
		return minCoalesced
	}
	return minDatagramSize
}

// receivePath finds the path of a train. nil says that there is none yet; ok is false if the train is to be dropped. A server makes it when
// a packet on it has proved authentic. To a client, packets from an address of the server's count on whichever of its own they come.
func (c *Conn) receivePath(t *Train) (p *path, ok bool) {
	if c.path.local == t.Local && c.path.remote == t.Remote {
		return c.path, true
	}
	if p := c.paths.find(t.Local, t.Remote, c.path); p != nil {
		return p, true
	}
	// A client's address does not change during the handshake, nor does a server's, ever, but to one where the client has gone to look for
	// it (RFC 9000, section 9).
	if !c.tls.confirmed {
		return nil, false
	}
	for _, p := range c.paths.list {
		if p.remote == t.Remote {
			return nil, true
		}
	}
	if c.client {
		return nil, c.paths.roam.reachedAt(t.Remote)
	}
	return nil, c.cfg.MayMigrate == nil || c.cfg.MayMigrate(t.Remote)
}

// find returns the path that is the 4-tuple, nil if there is none: better one whose local address is known than one that matches any.
func (s *pathSet) find(local, remote netip.AddrPort, active *path) (found *path) {
	for _, p := range s.list {
		switch {
		case p.remote != remote:
		case p.local == local:
			return p
		case p.matches(local) && (found == nil || p == active):
			found = p
		}
	}
	return found
}

// matches tells whether a local address can be the path's, where one of both is not known as a whole.
func (p *path) matches(local netip.AddrPort) bool {
	if !p.local.IsValid() || !local.IsValid() {
		return true
	}
	return p.local.Addr().IsUnspecified() && (p.local.Port() == local.Port() || p.local.Port() == 0)
}

// standby returns the path to go back to, nil if there is none.
func (s *pathSet) standby() *path {
	for _, p := range s.list {
		if p.state == PathStandby {
			return p
		}
	}
	return nil
}

// arrivedOn returns the path of an authentic packet to our connection ID usedSeq, which it makes if need be. It is nil if new paths came
// too fast, or for a packet to a connection ID that was retired meanwhile: such a packet counts like any other, but nothing is sent to where it came from.
func (c *Conn) arrivedOn(now int64, t *inTrain, usedSeq uint64) *path {
	if t.path == nil {
		t.path = c.paths.find(t.Local, t.Remote, c.path) // which an earlier packet of the train may have made
	}
	if t.path != nil || c.client || c.local.index(usedSeq) < 0 || !c.roaming().appeared.take(now) {
		return t.path
	}
	if len(c.paths.list) >= maxPaths {
		c.evictPath()
	}
	p := c.newPath(t.Local, t.Remote)
	p.received = uint64(len(t.Buf))
	p.usedSeq = usedSeq
	// RFC 9000, section 9.5: a peer that moved on purpose took another connection ID, and so do we.
	p.lacksID = c.path.dcid.Len() > 0 && !c.shareID(p)
	t.path = p
	c.events.pushPath(PathNew, p)
	c.tellReuse(p)
	return p
}

// evictPath forgets the oldest path that is neither in use nor the one to go back to.
func (c *Conn) evictPath() {
	for _, p := range c.paths.list {
		if p.state == PathProbing || p.state == pathAbandoned {
			p.abandon()
			c.sweepPaths()
			return
		}
	}
}

// abandon has a path that is not active forgotten at the next sweep. Packets of the train at hand may still come from it.
func (p *path) abandon() {
	p.state, p.challenge, p.wanted = pathAbandoned, challenge{}, false
}

// sweepPaths forgets the paths that were abandoned, with the connection IDs and the recovery that were theirs alone.
func (c *Conn) sweepPaths() {
	s := &c.paths
	for i := 0; i < len(s.list); {
		p := s.list[i]
		if p.state != pathAbandoned {
			i++
			continue
		}
		s.list = append(s.list[:i], s.list[i+1:]...)
		if p.failed {
			c.events.pushPath(PathFailed, p)
		} else {
			c.events.pushPath(PathClosed, p)
		}
		sharedID, sharedRec := p.lacksID, false
		for _, o := range s.list {
			sharedID = sharedID || !o.lacksID && o.dcidSeq == p.dcidSeq
			sharedRec = sharedRec || o.rec == p.rec
		}
		switch {
		case sharedID:
		case p.failed && !c.client:
			c.keepID(p)
		default:
			c.dropID(p.dcidSeq)
		}
		if !sharedRec {
			c.loss.ForgetPath(p.rec)
		}
		answers := s.responses[:0]
		for _, r := range s.responses {
			if r.path != p {
				answers = append(answers, r)
			}
		}
		s.responses = answers
	}
}

// follow goes after the peer to the path of its newest packet (RFC 9000, section 9.3), at once or, to the address that we prefer, once it is
// validated (section 9.6.2).
func (c *Conn) follow(now int64, p *path) {
	wait := !p.validated && c.prefersLocal(p)
	for _, o := range c.paths.list {
		o.wanted = wait && o == p
	}
	switch {
	case p == c.path:
		if p.validated {
			c.dropKept()
		}
	case !wait:
		c.migrate(now, p)
	case p.challenge.at == 0:
		c.startChallenge(now, p)
	}
}

// migrate follows the peer to a path.
func (c *Conn) migrate(now int64, p *path) {
	c.counts.migrations++
	old, back := c.path, c.paths.standby()
	c.usePath(p)
	c.renewToken()
	if p.validated {
		// The peer is back where it was: someone else had forwarded its packets (section 9.3.3), or it thought better of it.
		old.leave()
		if back != nil && back != p {
			back.abandon()
		}
		return
	}
	c.startChallenge(now, p)
	if !old.validated {
		old.leave()
		return
	}
	if back != nil {
		back.abandon()
	}
	old.state = PathStandby
	c.startChallenge(now, old) // section 9.3.3: who is still there?
}

// leave is for a path that the peer has left. While its validation is under way it is kept: what was sent to its address still counts.
func (p *path) leave() {
	p.state = PathProbing
	if p.challenge.at == 0 {
		p.abandon()
	}
}

// goBack leaves the active path, which could not be validated, for one that was (RFC 9000, section 9.3.2).
func (c *Conn) goBack(p *path) {
	c.path.failed = true
	c.path.abandon()
	c.usePath(p)
	c.loss.RestartProbes()
	if c.client {
		c.signals.ping = true // so that the server comes along
		c.offerIDs()
		if p.challenge.at == 0 {
			c.startChallenge(c.clock.now, p)
		}
	}
	c.sweepPaths()
}
