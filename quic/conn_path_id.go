package quic

import (
	"net/netip"
	"slices"
)

// Which connection ID of the peer's a path sends to (RFC 9000, section 9.5).

// giveID gives a path a connection ID if it lacks one, as soon as there is one that no path sends to, and tells whether it has one
// (RFC 9000, section 9.3). It is called when there is something to be sent: the peer has given us few, and more of them might never arrive
// where the peer was before.
func (c *Conn) giveID(p *path) bool {
	if !p.lacksID {
		return true
	}
	id := c.peer.unused()
	if id == nil {
		c.spareID(p)
		return false
	}
	p.lacksID = false
	c.useID(p, id)
	return true
}

// keptID is a connection ID of the peer's whose path a server has given up, with where that led and what the peer sent to there.
type keptID struct {
	seq           uint64
	usedSeq       uint64
	local, remote netip.AddrPort
}

// keepID has a server whose validation of a path has failed not retire the connection ID yet. If the peer is there all the same, or behind a NAT
// of there, it takes that again (shareID): on the path that the server has gone back to nobody may hear of the retirement, and give another.
func (c *Conn) keepID(p *path) {
	r := c.roaming()
	r.kept = slices.DeleteFunc(r.kept, func(k keptID) bool { return c.peer.find(k.seq) == nil })
	r.kept = append(r.kept, keptID{p.dcidSeq, p.usedSeq, p.local, p.remote})
}

// dropKept retires what keepID has kept: the peer was heard on the path in use.
func (c *Conn) dropKept() {
	if r := c.paths.roam; r != nil {
		for _, k := range r.kept {
			c.dropID(k.seq)
		}
		r.kept = nil
	}
}

// shareID has a server's new path send to a connection ID that another has or had, if it may: a peer that sends to the same one of ours as there
// has not changed its address by itself (RFC 9000, section 9.5), and to the address of before any may be sent to again.
func (c *Conn) shareID(p *path) bool {
	reuse := !c.cfg.DisableConnIDReuse
	for _, o := range c.paths.list {
		if reuse && o != p && !o.lacksID && o.usedSeq == p.usedSeq && (p.dcid.Len() == 0 || o == c.path) {
			p.dcid, p.dcidSeq = o.dcid, o.dcidSeq
		}
	}
	if p.dcid.Len() > 0 || c.paths.roam == nil {
		return p.dcid.Len() > 0
	}
	kept := c.paths.roam.kept
	for i, k := range kept {
		same := k.local == p.local && k.remote == p.remote
		if id := c.peer.find(k.seq); id != nil && (same || reuse && k.usedSeq == p.usedSeq) {
			c.paths.roam.kept = slices.Delete(kept, i, i+1)
			c.useID(p, id)
			return true
		}
	}
	return false
}

// spareID has a server forget, for the sake of p, which lacks a connection ID, what was kept of paths that were given up, or the path that was
// probed first and waits for nothing: the client gives another when that one's is retired.
func (c *Conn) spareID(p *path) {
	if c.client || len(c.peer.retiring) > 0 {
		return
	}
	if r := c.paths.roam; r != nil && len(r.kept) > 0 {
		c.dropKept()
		return
	}
	for _, o := range c.paths.list {
		if o.state == pathAbandoned {
			return // its own is about to be
		}
	}
	for _, o := range c.paths.list {
		if o != p && o.state == PathProbing && !o.lacksID && o.challenge.at == 0 && !c.paths.answering(o) && !o.wanted {
			o.abandon()
			return
		}
	}
}

// rebind gives the other paths that something is sent on another connection ID for one that was retired.
func (s *pathSet) rebind(c *Conn) {
	for _, p := range s.list {
		p.lacksID = p.lacksID || c.peer.find(p.dcidSeq) == nil
		used := p.state == PathStandby || p.challenge.at != 0 || s.answering(p)
		if p != c.path && used && !c.giveID(p) {
			p.abandon()
		}
	}
}
