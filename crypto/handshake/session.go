package handshake

import (
	"crypto"
	_ "crypto/sha256" // the hashes of the cipher suites
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// state is what stays of the handshake for the life of the connection.
type state struct {
	serverName   string // that the client asked for
	protocol     string
	certificates *peerCertificates // nil: the peer sent none
	suite, group uint16
	complete     bool
	resumed      bool
	helloRetry   bool
	exporterLen  uint8
	exporter     [48]byte // exporter_master_secret of RFC 8446, section 7.1
}

// peerCertificates is what the peer has sent to prove who it is.
type peerCertificates struct {
	certs  []*x509.Certificate
	chains [][]*x509.Certificate
	ocsp   []byte
	scts   [][]byte
}

func (s *state) peer() *peerCertificates {
	if s.certificates == nil {
		s.certificates = new(peerCertificates)
	}
	return s.certificates
}

// ConnectionState returns what is known of the TLS connection, most of it when the handshake is complete. Its
// ExportKeyingMaterial works as crypto/tls's does: at a server from its own Finished on, at a client from the server's on; on a value
// from before that it returns an error. Any goroutine may call it at any time; over an SSL of the program's it works until Release, and must not
// be called by a callback of that SSL.
func (c *Conn) ConnectionState() tls.ConnectionState {
	s := &c.state
	out := blankState()
	out.Version = tls.VersionTLS13
	out.CipherSuite = s.suite
	out.CurveID = tls.CurveID(s.group)
	out.NegotiatedProtocol = s.protocol
	out.ServerName = s.serverName
	out.HandshakeComplete = s.complete
	out.DidResume = s.resumed
	out.NegotiatedProtocolIsMutual = true
	suite, secret := s.suite, s.exporter
	n := s.exporterLen
	if c.foreign() {
		boring.SetExporter(&out, c.exporter())
		out.PeerCertificates = c.parseForeignChain()
	} else {
		boring.SetExporter(&out, func(label string, context []byte, length int) ([]byte, error) {
			return export(suite, secret[:n], label, context, length)
		})
	}
	setHelloRetryRequest(&out, s.helloRetry)
	if p := s.certificates; p != nil {
		out.PeerCertificates, out.VerifiedChains = p.certs, p.chains
		out.OCSPResponse, out.SignedCertificateTimestamps = p.ocsp, p.scts
	}
	return out
}

// Protocol returns the application protocol that was negotiated, as ConnectionState does.
func (c *Conn) Protocol() string { return c.state.protocol }

// ServerName returns the name of the server, as ConnectionState does.
func (c *Conn) ServerName() string { return c.state.serverName }

// PeerCertificates returns the peer's certificates in DER form, its own first. They must not be changed.
func (c *Conn) PeerCertificates() [][]byte {
	if c.foreign() {
		return c.foreignChain()
	}
	if c.state.certificates == nil {
		return nil
	}
	var chain [][]byte
	for _, cert := range c.state.certificates.certs {
		chain = append(chain, cert.Raw)
	}
	return chain
}

// DidResume tells whether the session of an earlier connection was resumed, as ConnectionState does.
func (c *Conn) DidResume() bool { return c.state.resumed }

// blankState is the state of a connection of crypto/tls whose ExportKeyingMaterial returns an error, should SetExporter not be able
// to do better.
var blankState = sync.OnceValue(func() tls.ConnectionState {
	return tls.Client(nil, &tls.Config{Renegotiation: tls.RenegotiateOnceAsClient}).ConnectionState()
})

// noteInfo takes what EvInfo says: cipher suite, group, flags, ALPN and server name. stored is the ALPN protocol of a client's session.
func (s *state) noteInfo(b []byte, cfg *tls.Config, client bool, stored string) {
	if len(b) < 7 {
		return
	}
	s.suite, s.group = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	flags := binary.BigEndian.Uint16(b[4:])
	s.resumed, s.helloRetry = flags&boring.InfoResumed != 0, flags&boring.InfoHelloRetry != 0
	b = b[6:]
	proto := b[1 : 1+int(b[0])]
	name := b[1+len(proto):]
	if flags&boring.InfoEarly != 0 {
		proto = []byte(stored)
	}
	if len(cfg.NextProtos) == 0 { // an SSL of the program's
		s.protocol = string(proto)
		if s.serverName != string(name[1:]) {
			s.serverName = string(name[1:])
		}
		return
	}
	s.protocol = ""
	for _, ours := range cfg.NextProtos {
		if ours == string(proto) {
			s.protocol = ours // which all connections share
		}
	}
	if !client && s.serverName != string(name[1:]) {
		s.serverName = string(name[1:])
	}
}

// splitChain returns copies of the certificates in b, each of which stands after its 24-bit length.
func splitChain(b []byte) [][]byte {
	var chain [][]byte
	for len(b) >= 3 {
		n := 3 + (int(b[0])<<16 | int(b[1])<<8 | int(b[2]))
		if n > len(b) {
			break
		}
		chain = append(chain, append([]byte(nil), b[3:n]...))
		b = b[n:]
	}
	return chain
}

// noteSCTs takes a SignedCertificateTimestampList (RFC 6962, section 3.3), which BoringSSL has checked.
func (p *peerCertificates) noteSCTs(b []byte) {
	if len(b) < 2 {
		return
	}
	for b = b[2:]; len(b) >= 2; {
		n := 2 + int(binary.BigEndian.Uint16(b))
		if n > len(b) {
			return
		}
		p.scts = append(p.scts, append([]byte(nil), b[2:n]...))
		b = b[n:]
	}
}

// ExportKeyingMaterial returns n bytes that both ends can derive from the connection's secrets, label and context (RFC 8446,
// section 7.5). It fails before EventHandshakeComplete, and if n is more than 255 hashes.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	if c.foreign() {
		return c.exporter()(label, context, n)
	}
	if !c.state.complete {
		return nil, errNoExporter
	}
	return export(c.state.suite, c.state.exporter[:c.state.exporterLen], label, context, n)
}

var errNoExporter = errors.New("handshake: no keying material before the handshake is complete")

// export derives keying material of the exporter_master_secret, which is empty before there is one.
func export(suite uint16, master []byte, label string, context []byte, n int) ([]byte, error) {
	if len(master) == 0 {
		return nil, errNoExporter
	}
	hash := crypto.SHA256
	if suite == tls.TLS_AES_256_GCM_SHA384 {
		hash = crypto.SHA384
	}
	if n < 0 || n > 255*hash.Size() {
		return nil, errors.New("handshake: so much keying material cannot be exported")
	}
	empty, ctx := hash.New(), hash.New()
	ctx.Write(context)
	secret := make([]byte, hash.Size())
	out := make([]byte, n)
	defer clear(secret)
	if !boring.ExpandLabel(hash.Size(), secret, master, label, empty.Sum(nil)) ||
		!boring.ExpandLabel(hash.Size(), out, secret, "exporter", ctx.Sum(nil)) {
		return nil, errors.New("handshake: the label is too long")
	}
	return out, nil
}
