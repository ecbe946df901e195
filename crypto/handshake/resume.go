package handshake

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"time"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// A session of a client as EventSessionTicket tells it: sessionFormat, the first eight bytes of the SHA-256 of all that follows, server
// name and ALPN protocol, each after a byte of length, and what BoringSSL makes of an SSL_SESSION. The hash finds damage, which would
// otherwise look to the server like a client without the ticket's secret, and end the handshake. It does not find malice: whoever can
// write sessions can read them.
const (
	sessionFormat    = 1
	sessionHeader    = 1 + sessionSum
	sessionSum       = 8
	maxSession       = 68 << 10
	ticketLifetimeLn = 4
)

// session is what is in a client's session.
type session struct {
	serverName, protocol string
	tls                  []byte // aliases what was decoded
}

// encodeSession makes a session of what BoringSSL tells.
func (s *state) encodeSession(tls []byte) []byte {
	b := make([]byte, sessionHeader, sessionHeader+2+len(s.serverName)+len(s.protocol)+len(tls))
	b[0] = sessionFormat
	b = append(append(b, byte(len(s.serverName))), s.serverName...)
	b = append(append(b, byte(len(s.protocol))), s.protocol...)
	b = append(b, tls...)
	sum := sha256.Sum256(b[sessionHeader:])
	copy(b[1:], sum[:sessionSum])
	return b
}

// decodeSession takes a session apart. It fails if b is damaged, or is no session of this form.
func decodeSession(b []byte) (s session, ok bool) {
	if len(b) < sessionHeader || len(b) > maxSession || b[0] != sessionFormat {
		return s, false
	}
	sum := sha256.Sum256(b[sessionHeader:])
	if !bytes.Equal(sum[:sessionSum], b[1:sessionHeader]) {
		return s, false
	}
	b = b[sessionHeader:]
	for _, field := range []*string{&s.serverName, &s.protocol} {
		if len(b) == 0 || len(b) <= int(b[0]) {
			return s, false
		}
		*field = string(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
	}
	s.tls = b
	return s, len(b) > 0
}

// offerSession gives BoringSSL the session that is to be resumed, if it is one for this server. Whether it is offered is asked then.
func (c *Conn) offerSession(b []byte) (offered bool) {
	s, ok := decodeSession(b)
	if !ok || s.serverName != c.state.serverName || !c.setup.settings.tickets || !c.tls.SetSession(s.tls) {
		return false
	}
	c.setup.protocol = s.protocol
	c.drain()
	return true
}

// runSession judges the chain that the server of a session has shown, as it is judged in a full handshake, so that a session whose
// certificates have expired, or are not trusted any more, is not offered.
func (a *Ask) runSession() {
	a.refused = a.judgeStored() != nil
}

// judgeStored judges the chain in a session or a ticket.
func (a *Ask) judgeStored() error {
	certs, err := a.ctx.parseChain(a.rawChain)
	if err != nil {
		return err
	}
	now := time.Now()
	if a.cfg.Time != nil {
		now = a.cfg.Time()
	}
	if a.ctx.client && len(certs) == 0 {
		return errNoCertificates
	}
	if len(certs) > 0 && now.After(certs[0].NotAfter) { // whether or not the chain is verified
		return x509.CertificateInvalidError{Cert: certs[0], Reason: x509.Expired}
	}
	if len(certs) > 0 && a.verifiesChain() {
		if a.state.VerifiedChains, err = a.verifyChain(certs); err != nil {
			return err
		}
	}
	a.ctx.keepParsed(certs)
	a.state.PeerCertificates = certs
	return nil
}

// runTicket judges a ticket of ours that a client has come with.
func (a *Ask) runTicket() {
	if len(a.rawChain) > 0 && a.judgeStored() != nil {
		a.refused = true
		return
	}
	if !a.early {
		return
	}
	if s := a.params.EarlyReplay; s != nil {
		a.earlyRefused = askStore(s, a.helloID, a.now)
		return
	}
	a.earlyRefused = a.ctx.replays.fresh(a.helloID, a.now)
	a.noted = a.earlyRefused == ""
}

// forTicket takes what EvAskTicket says.
func (a *Ask) forTicket(ev *boring.TLSEvent, s *setup) {
	b := ev.Data
	if a.early = ev.Code != 0; a.early {
		b = b[copy(a.helloID[:], b):]
	}
	a.kind, a.rawChain, a.params, a.now = askTicket, splitChain(b), s.params, s.unixNow()
}

func (c *Conn) answerTicket(a *Ask) {
	s := c.setup
	answer := byte(0)
	if !a.refused {
		answer |= boring.TicketResume
		s.peer = storedPeer(a)
	}
	if a.early && a.earlyRefused == "" && !a.refused {
		answer |= boring.TicketEarlyData
	}
	s.earlyRefused = a.earlyRefused
	c.run(boring.OpTicket, c.readLevel, []byte{answer})
	if c.err != nil && a.noted {
		a.ctx.replays.forget(a.helloID)
	}
}

func (c *Conn) answerSession(a *Ask) {
	offered := []byte{1}
	if a.refused {
		offered[0] = 0
	} else {
		c.setup.peer = storedPeer(a)
	}
	c.setup.rawChain, c.state.certificates = nil, nil
	c.run(boring.OpStart, Initial, offered)
}

// storedPeer is what is known of the peer from a session or ticket, nil if that has no certificates.
func storedPeer(a *Ask) *peerCertificates {
	if len(a.state.PeerCertificates) == 0 {
		return nil
	}
	return &peerCertificates{certs: a.state.PeerCertificates, chains: a.state.VerifiedChains}
}

// sessionEvent makes EventSessionTicket of what BoringSSL tells.
func (c *Conn) sessionEvent(ev *boring.TLSEvent) Event {
	lifetime := binary.BigEndian.Uint32(ev.Data)
	return Event{
		Kind: EventSessionTicket, Level: Application, Data: c.state.encodeSession(ev.Data[ticketLifetimeLn:]),
		EarlyData: ev.Code != 0, Lifetime: time.Duration(lifetime) * time.Second,
	}
}
