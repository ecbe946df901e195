package quic

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// resumption is what passes to a connection from those before it, and from it to others.
type resumption struct {
	// A client's.
	serverName string                    // that the certificate is verified for
	offered    *Session                  // that 0-RTT data is sent with, until the handshake is complete
	resend     bool                      // ConnectParams.ResendEarly
	limits     sessionLimits             // the server's, of this connection
	fresh      *wire.TransportParameters // the server's, which are not in force yet
	last       *Session                  // the newest with a ticket that was told, of our own
	tokens     int                       // of NEW_TOKEN frames, since tokenSince
	tokenSince int64

	// Of a server that has accepted 0-RTT data.
	clientDst, peerSrc ConnID    // see earlyIDs
	opened             [2]uint64 // streams that were opened before the handshake was complete, bidirectional and unidirectional
	dropAt             int64     // when the keys of 0-RTT packets go; 0: they are gone, or the handshake is not complete
}

// resumeFrom has a client begin with what it knows of the server, as far as that fits. It returns what TLS is to have of it.
func (c *Conn) resumeFrom(p *ConnectParams) handshake.Params {
	name := c.cfg.TLS.ServerName
	if name == "" {
		name = p.ServerName
	}
	c.resume = &resumption{serverName: name, resend: p.ResendEarly}
	out := handshake.Params{ServerName: p.ServerName}
	s := p.Session
	if s == nil || s.serverName != name || !slices.Contains(c.cfg.Versions, s.version) {
		return out
	}
	c.version = s.version
	if len(c.hello.token) == 0 {
		c.hello.token = bytes.Clone(s.token)
	}
	if len(s.ticket) > 0 && !c.tls.foreign && c.cfg.CipherSuite == 0 && c.clock.time(c.clock.now).Before(s.expires) {
		out.Session, out.EarlyData = s.ticket, p.EarlyData && s.EarlyData()
		c.resume.offered = s
	}
	return out
}

// SetSession is ConnectParams.Session for a client that has neither sent nor received anything, and early is ConnectParams.EarlyData: for
// programs that have a connection before they know what to resume. It replaces a Session that was set before, unless 0-RTT data can be sent
// with that already; nil stands for none. The other ConnectParams hold. The connection has another ClientHello then, and an EventAsk of the one
// before is not told any more.
//
// The error is that of the connection, or says that it is too late, or that it is a server's, or one over an SSL of the program's.
func (c *Conn) SetSession(s *Session, early bool) error {
	switch {
	case c.err != nil:
		return c.err
	case !c.client || c.tls.foreign || c.counts.udpSent+c.counts.udpReceived > 0 || c.tls.early != EarlyNone:
		return errSessionLate
	}
	h := c.hello
	n := &h.negotiation
	p := ConnectParams{ServerName: n.begin.ServerName, Session: s, EarlyData: early, ResendEarly: c.resume.resend}
	if !h.ownToken {
		h.token = nil
	}
	c.path.rec.RTT, c.streams.rtt = recovery.NewRTT(c.cfg.InitialRTT), 0 // another Session may have been set before
	c.beginFrom(&p)
	return c.firstFlightAgain()
}

var errSessionLate = errors.New("quic: a Session is for a client that has not begun to send, and has no SSL of the program's")

// beginFrom has a client begin with what p says.
func (c *Conn) beginFrom(p *ConnectParams) {
	c.version = c.cfg.Versions[0]
	hp := c.resumeFrom(p)
	hp.CipherSuite = c.cfg.CipherSuite
	if s := p.Session; s != nil {
		if rtt := s.initialRTT(c.path.local.Addr(), c.path.remote.Addr()); rtt > 0 {
			c.path.rec.RTT, c.streams.rtt = recovery.NewRTT(rtt), int64(rtt)
		}
	}
	n := &c.hello.negotiation
	n.original, n.begin = c.version, &hp
}

// initialRTT returns the round-trip time to begin with on a path, if s knows it, and 0 if not. RFC 9002, section 6.2.2, allows that
// on the same network, which is not known: the server's address must be the same, and ours, where it is known. What was learnt on
// another network after all costs a few probes, but no more of them for a short time than for minRememberedRTT.
//
// The congestion window of s is not made use of: a window that was right once may fill a queue now, and to find out takes more care
// than a number gives. RFC 9002, section 7.2, says how large the first one is.
func (s *Session) initialRTT(local, remote netip.Addr) time.Duration {
	known := func(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }
	if s.path.rtt == 0 || s.path.remote != remote || known(local) && known(s.path.local) && local != s.path.local {
		return 0
	}
	return min(max(s.path.rtt, minRememberedRTT), maxRememberedRTT)
}

// Bounds of a round-trip time that is remembered of another connection.
const (
	minRememberedRTT = 20 * time.Millisecond
	maxRememberedRTT = time.Second
)

// onTicket takes a session ticket of the server.
func (c *Conn) onTicket(ev *handshake.Event) {
	if len(ev.Data) > maxSessionTicket || len(c.resume.serverName) > 255 {
		return
	}
	s := c.newSession()
	s.ticket, s.early = bytes.Clone(ev.Data), ev.EarlyData
	s.expires = c.clock.time(c.clock.now).Add(min(ev.Lifetime, maxTicketLife)).Truncate(time.Second)
	c.events.pushSession(s)
	if c.trace != nil {
		c.trace.event(c, &qlog.TLSParametersSet{Initiator: qlog.Remote, ResumptionAllowed: true})
	}
}

// maxTicketLife is how long a ticket may be used, whatever its server says (RFC 8446, section 4.6.1).
const maxTicketLife = 7 * 24 * time.Hour

// onNewToken takes a token of the server. It goes with the newest ticket, as long as nobody has seen that, and else with the same
// once more: two Sessions with one token would each have it used. Of many tokens the first are taken: for each the application may write
// a file.
func (c *Conn) onNewToken(token []byte) {
	r := c.resume
	if c.clock.now-r.tokenSince > int64(newTokenSpan) {
		r.tokens, r.tokenSince = 0, c.clock.now
	}
	if r.tokens++; r.tokens > maxNewTokens {
		return
	}
	s := c.events.lastSession()
	if s == nil {
		if last := c.resume.last; last != nil {
			s = new(Session)
			*s = *last
		} else {
			s = c.newSession()
		}
		c.events.pushSession(s)
	}
	s.token = token
}

// newSession returns what is known of the connection for a Session.
func (c *Conn) newSession() *Session {
	return &Session{
		version: c.version, serverName: c.resume.serverName, alpn: c.TLS().NegotiatedProtocol, limits: c.resume.limits,
	}
}

// onSessionTold completes a Session at the moment that the application takes it.
func (c *Conn) onSessionTold(s *Session) {
	rec := c.path.rec
	s.path = sessionPath{local: c.path.local.Addr(), remote: c.path.remote.Addr(), window: uint64(rec.CC.Window())}
	if rec.RTT.HasSample() {
		s.path.rtt = rec.RTT.Smoothed
	}
	if s.ticket != nil {
		last := *s
		last.token = nil
		c.resume.last = &last
	}
}
