package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// chooseCert chooses a server's certificate as crypto/tls does.
func chooseCert(cfg *tls.Config, info *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cfg.GetCertificate != nil && (len(cfg.Certificates) == 0 || info.ServerName != "") {
		cert, err := cfg.GetCertificate(info)
		if cert != nil || err != nil {
			return cert, err
		}
	}
	if len(cfg.Certificates) == 0 {
		return nil, errNoCertificates
	}
	if len(cfg.Certificates) == 1 {
		return &cfg.Certificates[0], nil
	}
	//lint:ignore SA1019 deprecated, and still in force
	if byName := cfg.NameToCertificate; byName != nil {
		name := strings.ToLower(info.ServerName)
		if cert := byName[name]; cert != nil {
			return cert, nil
		}
		if name != "" {
			labels := strings.Split(name, ".")
			labels[0] = "*" // alone, for a name of one label
			if cert := byName[strings.Join(labels, ".")]; cert != nil {
				return cert, nil
			}
		}
	}
	for i := range cfg.Certificates {
		if info.SupportsCertificate(&cfg.Certificates[i]) == nil {
			return &cfg.Certificates[i], nil
		}
	}
	return &cfg.Certificates[0], nil
}

// maxRSABits is the longest RSA key of a peer that is worked with, as in crypto/tls.
const maxRSABits = 8192

// runVerify judges the peer, in the order that crypto/tls documents: the chain, VerifyPeerCertificate, VerifyConnection.
func (a *Ask) runVerify() {
	if !a.resumed && !a.runVerifyChain() {
		return
	}
	if f := a.cfg.VerifyConnection; f != nil {
		if err := f(a.state); err != nil {
			a.fail(alertBadCertificate, err)
		}
	}
}

// runVerifyChain judges the chain of a full handshake.
func (a *Ask) runVerifyChain() (ok bool) {
	certs, err := a.ctx.parseChain(a.rawChain)
	if err != nil {
		a.fail(alertBadCertificate, err)
		return false
	}
	if len(certs) > 0 && !supportedKey(certs[0]) {
		a.fail(alertUnsupportedCertificate, fmt.Errorf("handshake: the peer's certificate has a key of type %T",
			certs[0].PublicKey))
		return false
	}
	if len(certs) > 0 && a.verifiesChain() {
		chains, err := a.verifyChain(certs)
		if err != nil {
			a.fail(alertFor(err), &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err})
			return false
		}
		a.state.VerifiedChains = chains
	}
	a.ctx.keepParsed(certs)
	a.state.PeerCertificates = certs
	if f := a.cfg.VerifyPeerCertificate; f != nil && (a.ctx.client || a.cfg.ClientAuth != tls.NoClientCert) {
		if err := f(a.rawChain, a.state.VerifiedChains); err != nil {
			a.fail(alertBadCertificate, err)
			return false
		}
	}
	return true
}

// parseChain parses the certificates of a peer but for those that the Context has kept.
func (x *Context) parseChain(raw [][]byte) ([]*x509.Certificate, error) {
	certs := make([]*x509.Certificate, len(raw))
	for i, der := range raw {
		x.mu.Lock()
		certs[i] = x.parsed[string(der)]
		x.mu.Unlock()
		if certs[i] != nil {
			continue
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("handshake: the peer's certificate: %w", err)
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return nil, fmt.Errorf("handshake: the peer's certificate has an RSA key of more than %d bits", maxRSABits)
		}
		certs[i] = cert
	}
	return certs, nil
}

// maxParsed bounds the certificates of peers that a Context keeps.
const maxParsed = 64

// keepParsed keeps the certificates of a chain that was found good, which connections share from then on, as they do in crypto/tls:
// a client that comes back to a server, whose certificate it would parse each time, has it at hand.
func (x *Context) keepParsed(certs []*x509.Certificate) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, cert := range certs {
		if x.parsed[string(cert.Raw)] != nil {
			continue
		}
		if len(x.parsed) >= maxParsed {
			clear(x.parsed)
		}
		x.parsed[string(cert.Raw)] = cert
	}
}

func supportedKey(cert *x509.Certificate) bool {
	switch cert.PublicKey.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

func (a *Ask) verifiesChain() bool {
	if a.ctx.client {
		return !a.cfg.InsecureSkipVerify
	}
	return a.cfg.ClientAuth >= tls.VerifyClientCertIfGiven
}

func (a *Ask) verifyChain(certs []*x509.Certificate) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{Roots: a.cfg.RootCAs, DNSName: a.serverName, Intermediates: x509.NewCertPool()}
	if !a.ctx.client {
		opts.Roots, opts.KeyUsages = a.cfg.ClientCAs, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if a.cfg.Time != nil {
		opts.CurrentTime = a.cfg.Time()
	}
	for _, cert := range certs[1:] {
		opts.Intermediates.AddCert(cert)
	}
	return Verify(certs[0], opts)
}

// Verify is cert.Verify that tries again to read the system's roots: Go reads them once, and where no file descriptor was left then, no certificate
// would ever be good.
func Verify(cert *x509.Certificate, opts x509.VerifyOptions) ([][]*x509.Certificate, error) {
	chains, err := cert.Verify(opts)
	var unread x509.SystemRootsError
	if !errors.As(err, &unread) {
		return chains, err
	}
	if opts.Roots, err = x509.SystemCertPool(); err != nil {
		return nil, unread
	}
	return cert.Verify(opts)
}

// alertFor is the alert that tells the peer what x509.Certificate.Verify found.
func alertFor(err error) uint8 {
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return alertUnknownCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return alertCertificateExpired
	}
	return alertBadCertificate
}

// forSigning takes what EvAskSign says: the credential and the input.
func (a *Ask) forSigning(creds []*credential, b []byte) bool {
	if len(b) < 8 {
		return false
	}
	id := binary.LittleEndian.Uint64(b)
	for _, cred := range creds {
		if cred.boring.ID() == id {
			a.signer, a.input = cred.signer, append([]byte(nil), b[8:]...)
		}
	}
	return a.signer != nil
}

func (a *Ask) runSign() {
	opts := signerOpts(tls.SignatureScheme(a.sigalg))
	err := fmt.Errorf("handshake: no signatures by %v", tls.SignatureScheme(a.sigalg))
	if opts != nil {
		a.signature, err = crypto.SignMessage(a.signer, rand.Reader, a.input, opts)
	}
	if err != nil {
		a.fail(alertInternalError, fmt.Errorf("handshake: signing: %w", err))
	}
}

// signerOpts returns what a crypto.Signer is told of an algorithm of TLS 1.3, nil if it is none.
func signerOpts(alg tls.SignatureScheme) crypto.SignerOpts {
	pss := func(h crypto.Hash) crypto.SignerOpts {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
	}
	switch alg {
	case tls.PSSWithSHA256:
		return pss(crypto.SHA256)
	case tls.PSSWithSHA384:
		return pss(crypto.SHA384)
	case tls.PSSWithSHA512:
		return pss(crypto.SHA512)
	case tls.ECDSAWithP256AndSHA256:
		return crypto.SHA256
	case tls.ECDSAWithP384AndSHA384:
		return crypto.SHA384
	case tls.ECDSAWithP521AndSHA512:
		return crypto.SHA512
	case tls.Ed25519:
		return crypto.Hash(0)
	}
	return nil
}

// addrConn is what ClientHelloInfo.Conn is in QUIC: two addresses. All else fails.
type addrConn struct{ local, remote netip.AddrPort }

func (c addrConn) LocalAddr() net.Addr              { return udpAddr(c.local) }
func (c addrConn) RemoteAddr() net.Addr             { return udpAddr(c.remote) }
func (c addrConn) Read([]byte) (int, error)         { return 0, errNoIO }
func (c addrConn) Write([]byte) (int, error)        { return 0, errNoIO }
func (c addrConn) Close() error                     { return errNoIO }
func (c addrConn) SetDeadline(time.Time) error      { return errNoIO }
func (c addrConn) SetReadDeadline(time.Time) error  { return errNoIO }
func (c addrConn) SetWriteDeadline(time.Time) error { return errNoIO }

func udpAddr(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(a)
}

var errNoIO = errors.New("handshake: ClientHelloInfo.Conn of a QUIC connection has addresses alone")
