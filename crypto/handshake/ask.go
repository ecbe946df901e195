package handshake

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

type askKind uint8

const (
	askServerCert askKind = iota // configuration and certificate for a ClientHello
	askClientCert                // certificate for a CertificateRequest
	askVerify                    // the peer's chain
	askFinal                     // a server's last word where the client sent no certificate
	askSign
	askSession // a client's session's chain
	askTicket  // a ticket at a server: the client's chain in it, and whether it is a replay
)

// Ask is a question of TLS to the program. Run answers it; Conn.Answer hands the answer back. It refers to nothing of its
// connection.
type Ask struct {
	kind askKind
	done bool

	ctx *Context
	cfg *tls.Config

	hello      []byte                      // askServerCert: the ClientHello
	params     Params                      // askServerCert
	request    *tls.CertificateRequestInfo // askClientCert
	rawChain   [][]byte                    // askVerify
	state      tls.ConnectionState         // askVerify, askFinal
	serverName string                      // askVerify at a client: what the certificate must be good for
	signer     crypto.Signer               // askSign
	sigalg     uint16                      // askSign
	input      []byte                      // askSign
	resumed    bool                        // askVerify, askFinal: the chain has been judged
	helloID    [32]byte                    // askTicket: of a ClientHello with 0-RTT
	early      bool                        // askTicket: there is 0-RTT
	now        int64                       // askTicket: seconds since 1970

	// The answer.
	refused      bool   // askSession, askTicket: no resumption
	earlyRefused string // askTicket: why there is no 0-RTT
	noted        bool   // askTicket: the Context's filter has noted helloID

	err       error
	alert     uint8
	newConfig *tls.Config // from GetConfigForClient
	settings  settings    // of newConfig
	cred      *credential // nil: no certificate
	signature []byte
}

// Run runs the program's code that the answer takes: callbacks, crypto/x509, a crypto.Signer. It may be called on any
// goroutine, and takes as long as that code takes. It is to be called once. If that code panics, Run returns, and the answer
// ends the connection with a *PanicError; so it does if that code calls runtime.Goexit, but then Run does not return, and
// Answer has to be called by a deferred function.
func (a *Ask) Run() {
	returned := false
	defer func() {
		if !returned {
			a.fail(alertInternalError, errGoexit)
		}
		a.done = true
	}()
	err := guard(func() error { a.run(); return nil })
	if returned = true; err != nil {
		a.fail(alertInternalError, err)
	}
}

func (a *Ask) run() {
	switch a.kind {
	case askServerCert:
		a.runServerCert()
	case askClientCert:
		a.runClientCert()
	case askVerify, askFinal:
		a.runVerify()
	case askSign:
		a.runSign()
	case askSession:
		a.runSession()
	case askTicket:
		a.runTicket()
	}
}

// fail is the answer that ends the handshake.
func (a *Ask) fail(alert uint8, err error) { a.alert, a.err = alert, err }

// newAsk makes the Ask of an event of BoringSSL, and answers it at once if that takes no code of the program's.
func (c *Conn) newAsk(ev *boring.TLSEvent) Event {
	s := c.setup
	a := &Ask{ctx: s.ctx, cfg: c.cfg}
	inline := false
	switch {
	case ev.Kind == boring.EvAskCert && !c.client:
		a.kind, a.hello, a.params = askServerCert, s.hello, s.params
		s.hello, s.wantHello = nil, false
		inline = c.cfg.GetConfigForClient == nil && c.cfg.GetCertificate == nil
	case ev.Kind == boring.EvAskCert:
		a.kind, a.request = askClientCert, parseCertRequest(ev.Data)
		inline = c.cfg.GetClientCertificate == nil
	case ev.Kind == boring.EvAskVerify:
		if a.resumed = c.state.resumed; a.resumed && s.peer != nil {
			p := c.state.peer()
			p.certs, p.chains = s.peer.certs, s.peer.chains
		}
		a.kind, a.rawChain, a.state, a.serverName = askVerify, s.rawChain, c.ConnectionState(), s.serverName
		inline = a.resumed && c.cfg.VerifyConnection == nil
	case ev.Kind == boring.EvAskSession:
		a.kind, a.rawChain, a.serverName = askSession, s.rawChain, s.serverName
	case ev.Kind == boring.EvAskTicket:
		a.forTicket(ev, s)
		inline = len(a.rawChain) == 0 && s.params.EarlyReplay == nil
	case ev.Kind == boring.EvAskSign:
		a.kind, a.sigalg = askSign, ev.Code
		if !a.forSigning(s.creds, ev.Data) {
			c.fail(alertInternalError, errors.New("handshake: a signature by an unknown key"))
			return Event{}
		}
	}
	c.ask = a
	if inline {
		a.Run()
		c.Answer(a)
		return Event{}
	}
	return Event{Kind: EventAsk, Level: Level(ev.Level), Ask: a}
}

// needsJudgement tells whether a server's callbacks are still to judge the connection, the client having sent no
// certificate.
func (c *Conn) needsJudgement() bool {
	if c.client || c.judged {
		return false
	}
	return c.cfg.VerifyConnection != nil ||
		c.cfg.VerifyPeerCertificate != nil && c.cfg.ClientAuth != tls.NoClientCert && !c.state.resumed
}

// askFinally asks for the judgement of needsJudgement.
func (c *Conn) askFinally() Event {
	c.ask = &Ask{kind: askFinal, ctx: c.setup.ctx, cfg: c.cfg, state: c.ConnectionState(), resumed: c.state.resumed}
	return Event{Kind: EventAsk, Level: Application, Ask: c.ask}
}

// Answer hands back the Ask that was told last, whose Run has returned, and lets the handshake go on. An error comes as
// EventAlert too, but for those of a wrong Ask.
func (c *Conn) Answer(a *Ask) error {
	switch {
	case c.released:
		return errReleased
	case a == nil || a != c.ask:
		return errors.New("handshake: not the Ask that is to be answered")
	case !a.done:
		return errors.New("handshake: an Ask whose Run has not returned")
	}
	c.ask = nil
	if c.err != nil {
		return c.err
	}
	if a.err != nil {
		c.fail(a.alert, a.err)
		return c.err
	}
	switch a.kind {
	case askServerCert, askClientCert:
		c.answerCert(a)
	case askSession:
		c.answerSession(a)
	case askTicket:
		c.answerTicket(a)
	case askVerify:
		if certs := a.state.PeerCertificates; len(certs) > 0 {
			p := c.state.peer()
			p.certs, p.chains = certs, a.state.VerifiedChains
		}
		c.setup.rawChain, c.judged = nil, true
		c.run(boring.OpVerify, c.readLevel, nil)
	case askFinal:
		c.judged = true
	case askSign:
		c.run(boring.OpSign, c.readLevel, a.signature)
	}
	return c.err
}

func (c *Conn) answerCert(a *Ask) {
	if a.newConfig != nil {
		if err := c.replaceConfig(a.newConfig, a.settings); err != nil {
			c.fail(alertInternalError, err)
			return
		}
	}
	if a.cred != nil {
		if err := c.useCredential(a.cred); err != nil {
			c.fail(alertInternalError, err)
			return
		}
	}
	if c.client {
		c.run(boring.OpCert, c.readLevel, nil)
	} else {
		c.proceed()
	}
}

// replaceConfig puts the tls.Config of GetConfigForClient in place of the one before.
func (c *Conn) replaceConfig(cfg *tls.Config, s settings) error {
	if !c.tls.SetALPN(s.alpn) || !c.tls.SetGroups(s.groups) {
		return errMemory
	}
	c.tls.SetFlags(false, cfg.KeyLogWriter != nil, s.tickets)
	c.cfg, c.setup.settings, c.setup.replaced = cfg, s, true
	return c.setClientAuth(cfg)
}

func (a *Ask) runClientCert() {
	cert, err := a.clientCert()
	if err != nil {
		a.fail(alertInternalError, err)
		return
	}
	if len(cert.Certificate) == 0 {
		return // the server may do without
	}
	if a.cred, err = a.ctx.credential(cert); err != nil {
		a.fail(alertInternalError, err)
	}
}

// clientCert chooses as crypto/tls does.
func (a *Ask) clientCert() (*tls.Certificate, error) {
	if f := a.cfg.GetClientCertificate; f != nil {
		cert, err := withContext(a.request, f)
		if cert == nil && err == nil {
			err = errors.New("handshake: GetClientCertificate returned neither a certificate nor an error")
		}
		return cert, err
	}
	for i := range a.cfg.Certificates {
		if a.request.SupportsCertificate(&a.cfg.Certificates[i]) == nil {
			return &a.cfg.Certificates[i], nil
		}
	}
	return &tls.Certificate{}, nil
}

func (a *Ask) runServerCert() {
	var cert *tls.Certificate
	next, err := a.replay(a.cfg, func(info *tls.ClientHelloInfo) (next *tls.Config, err error) {
		if f := a.cfg.GetConfigForClient; f != nil {
			if next, err = f(info); err != nil || next != nil && next != a.cfg {
				return next, err
			}
		}
		cert, err = chooseCert(a.cfg, info)
		return nil, err
	})
	if err == nil && next != nil {
		// Only a ClientHelloInfo that was made for the new configuration speaks for it.
		a.newConfig = next
		if a.settings, err = a.ctx.resolve(next); err == nil {
			_, err = a.replay(next, func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				cert, err = chooseCert(next, info)
				return nil, err
			})
		}
	}
	if err == nil && cert == nil {
		err = errors.New("handshake: crypto/tls cannot read the ClientHello")
	}
	if err == nil {
		a.cred, err = a.ctx.credential(cert)
	}
	switch {
	case errors.Is(err, errNoCertificates):
		a.fail(alertUnrecognizedName, err)
	case err != nil:
		a.fail(alertInternalError, err)
	}
}

// errReplayed ends crypto/tls's handshake when it has served its purpose.
var errReplayed = errors.New("handshake: replayed")

// replay has crypto/tls read the ClientHello under cfg, so that f gets the genuine ClientHelloInfo.
func (a *Ask) replay(cfg *tls.Config, f func(*tls.ClientHelloInfo) (*tls.Config, error)) (next *tls.Config, err error) {
	replayed := false
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS13
	cfg.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		replayed = true
		info.Conn = addrConn{local: a.params.LocalAddr, remote: a.params.RemoteAddr}
		err = guardApart(func() (err error) {
			next, err = f(info)
			return err
		})
		return nil, errReplayed
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	q := tls.QUICServer(&tls.QUICConfig{TLSConfig: cfg})
	defer q.Close()
	readErr := q.Start(ctx)
	if readErr == nil {
		readErr = q.HandleData(tls.QUICEncryptionLevelInitial, a.hello)
	}
	if !replayed {
		return nil, fmt.Errorf("handshake: crypto/tls cannot read the ClientHello: %w", readErr)
	}
	return next, err
}

var errNoCertificates = errors.New("handshake: no certificate for the client")
