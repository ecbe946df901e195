package quic

import (
	"fmt"
	"net/netip"
	"time"
)

// What a client does of its own will: it probes paths, moves to them and leaves them (RFC 9000, section 9). What a server makes of it is in
// conn_path.go.

// ProbePath has a client validate the path from local to remote, which is kept for a later Migrate: EventPath tells that it is validated,
// which takes a round trip, or that it failed, which takes three probe timeouts. It does nothing to a path that is being validated. A
// local address that is not valid stands for the one in use, and so does a remote one; remote can only be where the server is reached now
// or an address that it prefers. Nothing but probes is sent on the path. Transmit.Local names local where one is to be sent.
//
// The error is ErrNotConfirmed, ErrMigrationDisabled, ErrNoConnIDs, ErrTooManyPaths or that of the connection, or tells what is wrong with
// the addresses.
func (c *Conn) ProbePath(now time.Time, local, remote netip.AddrPort) error {
	n := c.clock.read(now)
	p, err := c.pathTo(local, remote)
	if err == nil && p.challenge.at == 0 {
		c.startChallenge(n, p)
		c.signals.stirred = true
	}
	return err
}

// Migrate has a client move to the path from local to remote, as soon as it is validated: at once if it was, else it is validated first,
// as ProbePath does, and until then the connection stays where it is. EventPath tells with PathActivated that it has moved. Where it was
// before is kept on standby, and is gone back to if the new path fails, until there is no other connection ID for another path or
// AbandonPath is called. To go back is to migrate again. The arguments and errors are those of ProbePath.
//
// The new path has a connection ID of its own (RFC 9000, section 9.5) and, unless it differs in ports alone, round-trip time and
// congestion control begin anew (section 9.4).
func (c *Conn) Migrate(now time.Time, local, remote netip.AddrPort) error {
	n := c.clock.read(now)
	p, err := c.pathTo(local, remote)
	if err != nil {
		return err
	}
	for _, o := range c.paths.list {
		o.wanted = o.wanted && c.paths.roam.prefers(o.remote) && o != p // the server's wish does not end with ours
	}
	if p == c.path {
		return nil
	}
	if p.validated {
		c.moveTo(n, p)
	} else {
		p.wanted = true
	}
	if p.challenge.at == 0 {
		c.startChallenge(n, p) // also of one that was validated long ago
	}
	c.preferFrom(n, p.local)
	c.sweepPaths()
	c.updateLimits()
	c.signals.stirred = true
	return nil
}

// AbandonPath has a client forget a path, when its socket is gone, for example. If it is the one in use, the connection moves to another
// that was validated, or else to one that is being validated to the same address of the server, without waiting for the answer; if that
// fails too, the connection is over, with NO_VIABLE_PATH. Where there is none the error is ErrNoOtherPath, and nothing is done: the
// connection goes on, if only until its idle timeout, and a path that is probed meanwhile can be moved to. A path that is not known is
// no error. An address that is not valid stands for the one in use.
func (c *Conn) AbandonPath(now time.Time, local, remote netip.AddrPort) error {
	n := c.clock.read(now)
	switch {
	case c.err != nil:
		return c.err
	case !c.client:
		return errServerPath
	}
	local, remote = c.orInUse(local, remote)
	p := c.paths.ours(local, remote)
	if p == nil {
		return nil
	}
	if p == c.path {
		next := c.nextBest()
		if next == nil {
			return ErrNoOtherPath
		}
		c.moveTo(n, next)
	}
	p.abandon()
	c.sweepPaths()
	c.updateLimits()
	c.signals.stirred = true
	return nil
}

func (c *Conn) orInUse(local, remote netip.AddrPort) (_, _ netip.AddrPort) {
	if !local.IsValid() {
		local = c.path.local
	}
	if !remote.IsValid() {
		remote = c.path.remote
	}
	return local, remote
}

// ours returns the path of a client between two addresses as it names them, nil if there is none.
func (s *pathSet) ours(local, remote netip.AddrPort) *path {
	for _, p := range s.list {
		same := p.local == local || p.local.Addr().IsUnspecified() && p.local.Port() == local.Port()
		if same && p.remote == remote && p.state != pathAbandoned {
			return p
		}
	}
	return nil
}

// pathTo returns a client's path, which it makes if need be and if that is allowed.
func (c *Conn) pathTo(local, remote netip.AddrPort) (*path, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case !c.client:
		return nil, errServerPath
	case !c.tls.confirmed:
		return nil, ErrNotConfirmed
	}
	local, remote = c.orInUse(local, remote)
	if p := c.paths.ours(local, remote); p != nil {
		return p, nil
	}
	switch {
	case !c.paths.leadsTo(remote):
		return nil, errUnknownServer
	case !sameFamily(local, remote):
		return nil, fmt.Errorf("quic: no datagram goes from %v to %v: both must be IPv4 or both IPv6", local, remote)
	case c.path.dcid.Len() == 0:
		// RFC 9000, section 9.5: such a peer should not be moved away from, since the path is all that it knows the connection by.
		return nil, fmt.Errorf("%w: the server's are empty, and it could not tell whose packets come from another address", ErrNoConnIDs)
	case c.paths.forbids(remote):
		return nil, ErrMigrationDisabled
	case len(c.paths.list) >= maxPaths && !c.freeLeft():
		return nil, ErrTooManyPaths
	}
	if c.peer.unused() == nil && !c.freeLeft() && !c.awaitsID() {
		return nil, ErrNoConnIDs
	}
	c.roaming()
	p := c.newPath(local, remote)
	p.own, p.lacksID = true, true
	c.giveID(p) // or it waits for the one that the peer gives for another that it is told to be done with
	c.events.pushPath(PathNew, p)
	c.expectFrom(remote)
	return p, nil
}

// awaitsID tells whether the peer is being told of a connection ID that is done with, for which it gives another, and no path waits for that.
func (c *Conn) awaitsID() bool {
	waiting := 0
	for _, p := range c.paths.list {
		if p.lacksID {
			waiting++
		}
	}
	return len(c.peer.retiring) > waiting
}

// sameFamily tells whether a datagram can go from one address to the other; a local one may be unknown.
func sameFamily(local, remote netip.AddrPort) bool {
	l, r := local.Addr(), remote.Addr()
	return !l.IsValid() || l.Unmap().Is4() == r.Unmap().Is4() || l.Is6() && l.IsUnspecified()
}

// leadsTo tells whether an address is known to be the server's.
func (s *pathSet) leadsTo(remote netip.AddrPort) bool {
	for _, p := range s.list {
		if p.remote == remote {
			return true
		}
	}
	return s.roam.prefers(remote)
}

// freeLeft forgets the path that was left first, so that there will be room and a connection ID for another, and tells whether there was
// one. That the peer gives the connection ID takes a round trip.
func (c *Conn) freeLeft() bool {
	var first *path
	for _, p := range c.paths.list {
		if p.state == PathStandby && p.left != 0 && (first == nil || p.left < first.left) {
			first = p
		}
	}
	if first == nil {
		return false
	}
	first.abandon()
	c.sweepPaths()
	return true
}

// moveTo has a client send on another path from now on. A PING tells the server, and is sent again by recovery until it has.
func (c *Conn) moveTo(now int64, p *path) {
	old := c.path
	c.counts.migrations++
	old.state, old.left = PathStandby, now
	switch {
	case old.validated:
	case old.challenge.at != 0:
		old.state = PathProbing
	default:
		old.abandon()
	}
	c.usePath(p)
	c.loss.RestartProbes() // that there was no answer on the other path says nothing of this one
	c.signals.ping = true
	c.offerIDs()
	if c.paths.roam.prefers(p.remote) {
		c.paths.roam.acted = true
		for _, o := range c.paths.list {
			if o.wanted && o.state == PathProbing {
				o.abandon() // RFC 9000, section 9.6.3: "MUST abandon validation of the original address"
			}
		}
	}
	if c.peer.unused() == nil {
		c.freeOld(old)
	}
}

// offerIDs gives the server connection IDs to send to where the client has moved, if it has none.
func (c *Conn) offerIDs() {
	if c.local.renew() {
		c.requestConnIDs()
	}
}

// freeOld forgets the paths that were left before newest was, so that the peer gives other connection IDs for theirs.
func (c *Conn) freeOld(newest *path) {
	for _, p := range c.paths.list {
		if p.state == PathStandby && p.left != 0 && p != newest {
			p.abandon()
		}
	}
}

// serveWaiting gives connection IDs to the paths on which a probe or an answer waits for one.
func (c *Conn) serveWaiting() {
	for _, p := range c.paths.list {
		if p.lacksID && p.state != pathAbandoned && (p.challenge.at != 0 || c.paths.answering(p)) {
			c.giveID(p)
		}
	}
}

// usePath makes p the path in use.
func (c *Conn) usePath(p *path) {
	c.path, p.state, p.wanted, p.left = p, PathActive, false, 0
	c.sending.paceAt = 0
	c.events.pushPath(PathActivated, p)
}

// nextBest returns the path to move to when the one in use is gone: the one that was left last, or another that was validated, or one that is being validated
// between the same addresses of the server; nil if there is none.
func (c *Conn) nextBest() *path {
	var best *path
	for _, p := range c.paths.list {
		switch {
		case p == c.path || p.lacksID:
		case p.state == PathStandby && (best == nil || best.state != PathStandby || p.left > best.left):
			best = p
		case best == nil && p.state == PathProbing && p.challenge.at != 0 && p.remote == c.path.remote:
			best = p
		}
	}
	return best
}

// A client that has another path to go to looks whether the one in use still carries anything: validation is for that too (RFC 9000,
// section 8.2). While data comes, and nothing of ours is under way that must be acknowledged, it sends a PING each signEvery, and one
// more when no more data comes for as long: that may be since the path is dead. Where doubtAfter probe timeouts in a row find no
// answer, it validates the path again, and leaves it if that fails.
const (
	signEvery  = int64(time.Second)
	doubtAfter = 2
)

// wantsSign tells whether a PING is to go along with an acknowledgement for that, and notes that it does.
func (c *Conn) wantsSign(now int64) bool {
	if !c.client || len(c.paths.list) == 1 || c.loss.Eliciting() || now-c.paths.roam.sign < signEvery {
		return false
	}
	c.paths.roam.sign = now
	return true
}

// signAt is when a client whose server fell silent asks whether it is there, 0 if never.
func (c *Conn) signAt() int64 {
	if !c.client || len(c.paths.list) == 1 || c.paths.roam.heard <= c.paths.roam.sign {
		return 0
	}
	return c.paths.roam.heard + signEvery
}

func (c *Conn) askForSign(now int64) {
	c.paths.roam.sign = now
	if !c.loss.Eliciting() {
		c.signals.ping = true
	}
}

// doubtPath is called when a probe timeout has passed.
func (c *Conn) doubtPath(now int64) {
	if moved := c.counts.migrations > 0 || c.path.own; c.client && moved && c.loss.Timeouts() >= doubtAfter {
		// The server may have used IDs where we did not hear of it, on a path that we gave up before its answer came.
		c.local.useAll()
		c.offerIDs()
	}
	if c.client && len(c.paths.list) > 1 && c.loss.Timeouts() >= doubtAfter && c.path.challenge.at == 0 && c.nextBest() != nil {
		c.startChallenge(now, c.path)
	}
}

// heardOnLeft is told that the server sends to where the client was before. If that is no packet that was under way, the server does not
// reach it where it is now, and has gone back.
func (c *Conn) heardOnLeft(now int64, p *path) {
	if r := c.paths.roam; p.left != 0 && now-p.left > signEvery && now-r.doubted > signEvery && c.path.challenge.at == 0 {
		r.doubted = now
		c.startChallenge(now, c.path)
	}
}

// onOwnValidated is told that the server has answered on a path of a client.
func (c *Conn) onOwnValidated(now int64, p *path) {
	p.validated, p.challenge = true, challenge{}
	if p.state == PathProbing {
		p.state = PathStandby
	}
	c.events.pushPath(PathValidated, p)
	if p.wanted && p != c.path {
		c.moveTo(now, p)
	}
}
