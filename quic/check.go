package quic

import (
	"errors"
	"fmt"
	"slices"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// Check returns an error if the connection's state contradicts itself, which is a fault of this package: for tests, such as those that
// drive many connections at random. It may be called between any two calls, changes nothing, and takes time in proportion to how many
// packets are in flight.
func (c *Conn) Check() error {
	if c.state != stateActive {
		return nil
	}
	if err := c.loss.Check(); err != nil {
		return err
	}
	if err := c.checkPaths(); err != nil {
		return err
	}
	if err := c.checkEarly(); err != nil {
		return err
	}
	if err := c.streams.check(); err != nil {
		return err
	}
	if err := c.checkConnIDs(); err != nil {
		return err
	}
	if err := c.checkVersion(); err != nil {
		return err
	}
	return c.checkTimers()
}

// checkEarly looks for 0-RTT keys that should be gone, and streams that wait for what has come.
func (c *Conn) checkEarly() error {
	switch may := c.tls.early == EarlyOffered || c.tls.early == EarlyAccepted; {
	case c.keys.HasWrite(protect.ZeroRTT) && (!c.client || c.tls.complete || !may):
		return fmt.Errorf("quic: keys to send 0-RTT packets with, and 0-RTT data is %v", c.tls.early)
	case c.keys.HasRead(protect.ZeroRTT) && (c.client || c.tls.early != EarlyAccepted || c.tls.complete && (c.resume == nil || c.resume.dropAt == 0)):
		return fmt.Errorf("quic: keys to open 0-RTT packets with, and 0-RTT data is %v", c.tls.early)
	case c.tls.complete && c.client && (c.resume.fresh != nil || c.resume.offered != nil || c.tls.early == EarlyOffered):
		return errors.New("quic: 0-RTT is not at its end, and the handshake is complete")
	}
	for s := range c.streams.live.all {
		id := s.id
		t := &c.streams.types[id&3]
		if s.barred && (!c.streams.barred || id>>2 < t.limit) {
			return fmt.Errorf("quic: stream %d is barred, and %d are allowed", id, t.limit)
		}
		if !s.send.over && s.send.window.used > s.send.window.limit || c.streams.sendWindow.used > c.streams.sendWindow.limit {
			return fmt.Errorf("quic: more was sent on stream %d, or on all, than the peer allows", id)
		}
	}
	return nil
}

// checkConnIDs looks for connection IDs of ours out of order, or beyond the bounds, and for a renewal that nothing will bring about.
func (c *Conn) checkConnIDs() error {
	l := &c.local
	told, retiring := true, false
	for i := range l.ids {
		id := &l.ids[i]
		if id.seq >= l.next || i > 0 && id.seq <= l.ids[i-1].seq {
			return fmt.Errorf("quic: connection ID %d is out of order, and the next is %d", id.seq, l.next)
		}
		told = told && (id.tell == sentNone || id.tell == sentAcked)
		retiring = retiring || id.seq < l.retirePriorTo
	}
	switch {
	case l.retirePriorTo > l.next:
		return fmt.Errorf("quic: connection IDs before %d are to be retired, and the next is %d", l.retirePriorTo, l.next)
	case len(l.ids) > 2*maxIssuedConnIDs+1:
		return fmt.Errorf("quic: the peer has %d connection IDs", len(l.ids))
	case l.countLate() > maxLateConnIDs:
		return fmt.Errorf("quic: %d connection IDs were retired and are kept", l.countLate())
	case l.stale && l.len() > 0 && c.tls.complete && told && !retiring && !l.asked && len(l.ids) > 0:
		return errors.New("quic: connection IDs are to be renewed, and nothing is waited for")
	}
	return nil
}

// checkPaths looks for paths that are kept twice, too long, or not at all.
func (c *Conn) checkPaths() error {
	s := &c.paths
	all := s.list
	if len(all) > maxPaths {
		return fmt.Errorf("quic: %d paths are kept, at most %d may be", len(all), maxPaths)
	}
	recoveries := map[*recovery.Path]bool{}
	var states [pathAbandoned + 1]int
	for i, p := range all {
		for _, o := range all[:i] {
			if o == p || o.remote == p.remote && o.local == p.local {
				return fmt.Errorf("quic: the path to %v is kept twice", p.remote)
			}
			if (o.rec == p.rec) != o.sameHosts(p) {
				return fmt.Errorf("quic: the paths to %v and %v share their recovery or should", p.remote, o.remote)
			}
		}
		recoveries[p.rec] = true
		states[p.state]++
		if !p.lacksID && c.tls.complete && c.peer.find(p.dcidSeq) == nil {
			return fmt.Errorf("quic: the path to %v sends to a connection ID that was retired", p.remote)
		}
		if err := c.checkPath(p, all[:i]); err != nil {
			return err
		}
	}
	if n := c.loss.Paths(); n != len(recoveries) {
		return fmt.Errorf("quic: recovery knows %d paths, and there are %d", n, len(recoveries))
	}
	if c.path.state != PathActive || states[PathActive] != 1 || states[PathStandby] > 1 && !c.client || states[pathAbandoned] > 0 {
		return fmt.Errorf("quic: of the paths %v are probing, active, on standby and abandoned", states)
	}
	if r := s.roam; r != nil && len(r.kept) > 0 {
		if len(r.kept) > maxConnIDLimit {
			return fmt.Errorf("quic: %d connection IDs of paths that were given up are kept", len(r.kept))
		}
		for _, k := range r.kept {
			if id := c.peer.find(k.seq); id != nil && (!id.used || slices.ContainsFunc(all, func(p *path) bool { return !p.lacksID && p.dcidSeq == k.seq })) {
				return fmt.Errorf("quic: connection ID %d is kept for a path that was given up, and another has it or may take it", k.seq)
			}
		}
	}
	for _, r := range s.responses {
		if !slices.Contains(all, r.path) {
			return errors.New("quic: an answer waits for a path that is forgotten")
		}
	}
	return nil
}

// checkPath looks for what no path of a client, or of a server, may be.
func (c *Conn) checkPath(p *path, others []*path) error {
	if p.wanted && (p.state != PathProbing || p.challenge.at == 0) {
		return fmt.Errorf("quic: the path to %v is wanted, and nothing validates it: from %v, state %v, validated %v, challenge at %d", p.remote, p.local, p.state, p.validated, p.challenge.at)
	}
	if !c.client {
		if p.own || p.left != 0 {
			return fmt.Errorf("quic: a server has begun the path to %v", p.remote)
		}
		return nil
	}
	for _, o := range others {
		if !o.lacksID && !p.lacksID && o.dcidSeq == p.dcidSeq {
			return fmt.Errorf("quic: two paths of a client share connection ID %d", p.dcidSeq)
		}
	}
	if p.state == PathStandby && !p.validated || p != c.path && !p.own && p.left == 0 || p == c.path && p.lacksID {
		return fmt.Errorf("quic: a client's path from %v to %v is %v, validated: %v, own: %v, lacks a connection ID: %v", p.local, p.remote,
			p.state, p.validated, p.own, p.lacksID)
	}
	return nil
}

// checkVersion looks for keys of another version that are of no use.
func (c *Conn) checkVersion() error {
	if !slices.Contains(c.cfg.Versions, c.version) {
		return fmt.Errorf("quic: the version is 0x%x, and Config.Versions %#x", c.version, c.cfg.Versions)
	}
	h := c.hello
	if h == nil || h.negotiation.otherKeys == nil {
		return nil
	}
	if n := &h.negotiation; n.other == c.version || c.spaces[recovery.InitialSpace] == nil {
		return fmt.Errorf("quic: there are Initial keys of version 0x%x beside those of 0x%x, or behind them", n.other, c.version)
	}
	return nil
}

// checkTimers looks for packets that nobody waits for.
func (c *Conn) checkTimers() error {
	silenced := c.silenced()
	if c.loss.AmplificationLimited() != silenced {
		return fmt.Errorf("quic: recovery takes the peer's address for limited: %v, and it is: %v", !silenced, silenced)
	}
	if c.tls.confirmed && !silenced && c.loss.Eliciting() && c.loss.Timer(c.path.rec) == 0 {
		return errors.New("quic: packets are in flight that elicit acknowledgements, and there is no timer")
	}
	if c.loss.Full() && !c.loss.Eliciting() {
		return errors.New("quic: the record of sent packets is full, and nothing is in flight whose acknowledgement would make room")
	}
	return nil
}
