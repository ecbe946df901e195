package quic

import (
	"bytes"
	"crypto/tls"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// resumption is what passes to a connection from those before it, and from it to others.
type resumption struct {
	serverName string        // a client's: that the certificate is verified for
	limits     sessionLimits // the server's, of this connection
	last       *Session      // the newest with a ticket that was told, of our own
}

// newResumption returns what a client begins with.
func newResumption(cfg *Config, p *ConnectParams) *resumption {
	return &resumption{serverName: nameOf(cfg.TLS, p)}
}

// nameOf returns the name that a server has to prove.
func nameOf(cfg *tls.Config, p *ConnectParams) string {
	if cfg.ServerName != "" {
		return cfg.ServerName
	}
	return p.ServerName
}

// onTicket takes a session ticket of the server.
func (c *Conn) onTicket(ev *handshake.Event) {
	if len(ev.Data) > maxSessionTicket || len(c.resume.serverName) > 255 {
		return
	}
	s := c.newSession()
	s.ticket = bytes.Clone(ev.Data)
	s.expires = c.clock.time(c.clock.now).Add(usualTicketLife).Truncate(time.Second)
	c.events.pushSession(s)
}

// usualTicketLife is how long a ticket is taken for good of which nothing else is known.
const usualTicketLife = 24 * time.Hour

// onNewToken takes a token of the server. It goes with the newest ticket, as long as nobody has seen that, and else with the same
// once more: two Sessions with one token would each have it used.
func (c *Conn) onNewToken(token []byte) {
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
