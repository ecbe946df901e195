package quic

import (
	"net/netip"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// roaming is what a connection keeps beside its paths once it can have more than one; few have it.
type roaming struct {
	appeared pathBucket // a server's
	token    netip.Addr // a server's: the client's address that it has a token for
	answered int64      // when PATH_RESPONSE frames were last sent beyond the congestion window of the path in use
	kept     []keptID   // a server's, of paths that were given up; see keepID

	// A client's:
	first     netip.AddrPort    // where the server was reached by the handshake
	preferred [2]netip.AddrPort // where the server would rather be reached, by IPv4 and IPv6; not valid: nowhere
	disabled  bool              // the server has sent disable_active_migration
	acted     bool              // we have moved to a preferred address
	heard     int64             // when something was acknowledged while there was more than one path
	doubted   int64             // when the path in use was last validated for what came on another
	sign      int64             // when the server was last asked for a sign of life, for want of other packets that elicit one
}

// roaming returns the pathSet's roaming, which it makes if there is none.
func (c *Conn) roaming() *roaming {
	if c.paths.roam == nil {
		c.paths.roam = &roaming{}
		if c.client {
			c.paths.roam.first = c.path.remote
		} else {
			c.paths.roam.token = c.path.remote.Addr()
		}
	}
	return c.paths.roam
}

// prefers tells whether the server has named an address as one that it prefers.
func (r *roaming) prefers(remote netip.AddrPort) bool {
	return r != nil && remote.IsValid() && (remote == r.preferred[0] || remote == r.preferred[1])
}

// reachedAt tells whether a client has reached the server at an address before, which may send from there for as long as it has not
// followed the client elsewhere (RFC 9000, section 9.6.2).
func (r *roaming) reachedAt(remote netip.AddrPort) bool {
	return r != nil && (remote == r.first || r.acted && r.prefers(remote))
}

// forbids tells whether a new path to an address of the server's is against its disable_active_migration (RFC 9000, section 9). Such a path
// differs from the one of the handshake in its local address.
func (s *pathSet) forbids(remote netip.AddrPort) bool {
	r := s.roam
	return r != nil && r.disabled && !r.acted && !r.prefers(remote)
}

// setPeerParams takes what a server's transport parameters say of paths.
func (c *Conn) setRoamingParams(tp *wire.TransportParameters) {
	if !c.client || !tp.DisableActiveMigration && tp.PreferredAddress == nil {
		return
	}
	r := c.roaming()
	r.disabled = tp.DisableActiveMigration
	if a := tp.PreferredAddress; a != nil {
		for i, addr := range [2]netip.AddrPort{a.IPv4, a.IPv6} {
			r.preferred[i] = c.acceptablePreferred(addr)
		}
	}
}

// acceptablePreferred returns a preferred address as the connection writes addresses, or one that is not valid if it is none to send to: a server
// must not lead its clients to send into their own machine or network, where it is not itself (RFC 9000, section 21.5.3).
func (c *Conn) acceptablePreferred(a netip.AddrPort) netip.AddrPort {
	now := c.path.remote.Addr()
	if !a.IsValid() || a.Port() == 0 || scopeOf(a.Addr()) == scopeNowhere {
		return netip.AddrPort{}
	}
	if s := scopeOf(a.Addr()); s != scopeGlobal && s != scopeOf(now) {
		return netip.AddrPort{}
	}
	if now.Is4In6() && a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}

// scope is how far an address reaches.
type scope uint8

const (
	scopeNowhere  scope = iota // no host: unspecified, multicast, broadcast
	scopeLoopback              // this machine
	scopeLink                  // this link
	scopePrivate               // this organisation: RFC 1918, RFC 4193 and, for those behind a carrier's NAT, RFC 6598
	scopeGlobal
)

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func scopeOf(a netip.Addr) scope {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240):
		return scopeNowhere
	case a.IsLoopback():
		return scopeLoopback
	case a.IsLinkLocalUnicast():
		return scopeLink
	case a.IsPrivate() || sharedSpace.Contains(a):
		return scopePrivate
	}
	return scopeGlobal
}

// preferFrom has a client, whose handshake is confirmed, validate the address that the server prefers, of the family of the one in use, from a local
// address; and move there if it succeeds (RFC 9000, sections 9.6.1 and 9.6.3). It does nothing once it has moved there, or if the server
// prefers none. From each local address it is tried once.
func (c *Conn) preferFrom(now int64, local netip.AddrPort) {
	r := c.paths.roam
	if r == nil || r.acted || c.cfg.IgnorePreferredAddress {
		return
	}
	to := r.preferred[1]
	if c.path.remote.Addr().Unmap().Is4() {
		to = r.preferred[0]
	}
	if !to.IsValid() || to == c.path.remote {
		return
	}
	for _, o := range c.paths.list {
		if o.wanted && o.remote == to && o.local != local && o != c.path {
			o.abandon() // the client has gone elsewhere
		}
	}
	c.sweepPaths()
	p, err := c.pathTo(local, to)
	if err != nil {
		return // there is no connection ID for it: then the server is not to be reached there
	}
	if p.validated { // since the application has probed it
		c.moveTo(now, p)
	} else {
		p.wanted = true
	}
	if p.challenge.at == 0 {
		c.startChallenge(now, p)
	}
}

// expectFrom has what comes from another address of the server lead here, where addresses are all that the Endpoint goes by.
func (c *Conn) expectFrom(remote netip.AddrPort) {
	if c.local.len() == 0 {
		c.events.pushEndpoint(EndpointEvent{Kind: AddRemoteAddress, Remote: remote})
	}
}

// prefersLocal tells whether a path leads to the address that a server prefers, and the one in use does not: then it is validated before it
// is used (RFC 9000, section 9.6.2).
func (c *Conn) prefersLocal(p *path) bool {
	pref := &c.cfg.PreferredAddress
	return !c.client && pref.is(p.local) && p.local != c.path.local
}

// renewToken asks the Endpoint for a token for the address that the client has moved to (RFC 9000, section 9.3). A token is good for an IP
// address, whatever the port.
func (c *Conn) renewToken() {
	if r := c.paths.roam; r != nil && !c.client && c.path.validated && r.token != c.path.remote.Addr() {
		r.token = c.path.remote.Addr()
		c.askToken()
	}
}

// askToken asks the Endpoint for a token for the client's next connection: it is good for the version of this one (RFC 9369, section 5).
func (c *Conn) askToken() {
	c.events.pushEndpoint(EndpointEvent{Kind: NeedToken, Remote: c.path.remote, Version: c.version})
}
