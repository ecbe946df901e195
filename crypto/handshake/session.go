package handshake

import (
	"crypto"
	_ "crypto/sha256" // the hashes of the cipher suites
	_ "crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// ConnectionState returns what is known of the TLS connection, most of it when the handshake is complete. Its
// ExportKeyingMaterial does not work: use that of Conn.
func (c *Conn) ConnectionState() tls.ConnectionState {
	s := c.state
	s.Version = tls.VersionTLS13
	s.CipherSuite = c.suite
	if c.client {
		s.ServerName = c.serverName
	}
	return s
}

// noteInfo takes what EvInfo says: cipher suite, group, flags, ALPN and server name.
func (c *Conn) noteInfo(b []byte) {
	if len(b) < 7 {
		return
	}
	flags := binary.BigEndian.Uint16(b[4:])
	c.suite = binary.BigEndian.Uint16(b)
	c.state.CurveID = tls.CurveID(binary.BigEndian.Uint16(b[2:]))
	c.state.DidResume = flags&boring.InfoResumed != 0
	setHelloRetryRequest(&c.state, flags&boring.InfoHelloRetry != 0)
	c.state.NegotiatedProtocolIsMutual = true
	b = b[6:]
	proto := b[1 : 1+int(b[0])]
	name := b[1+len(proto):]
	c.state.NegotiatedProtocol = string(proto)
	c.state.ServerName = string(name[1:])
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
func (c *Conn) noteSCTs(b []byte) {
	if len(b) < 2 {
		return
	}
	for b = b[2:]; len(b) >= 2; {
		n := 2 + int(binary.BigEndian.Uint16(b))
		if n > len(b) {
			return
		}
		c.state.SignedCertificateTimestamps = append(c.state.SignedCertificateTimestamps, append([]byte(nil), b[2:n]...))
		b = b[n:]
	}
}

// ExportKeyingMaterial returns n bytes that both ends can derive from the connection's secrets, label and context (RFC 8446,
// section 7.5). It fails before EventHandshakeComplete, and if n is more than 255 hashes.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, n int) ([]byte, error) {
	if !c.state.HandshakeComplete || len(c.exporter) == 0 {
		return nil, errors.New("handshake: no keying material before the handshake is complete")
	}
	hash := crypto.SHA256
	if c.suite == tls.TLS_AES_256_GCM_SHA384 {
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
	if !boring.ExpandLabel(hash.Size(), secret, c.exporter, label, empty.Sum(nil)) ||
		!boring.ExpandLabel(hash.Size(), out, secret, "exporter", ctx.Sum(nil)) {
		return nil, errors.New("handshake: the label is too long")
	}
	return out, nil
}
