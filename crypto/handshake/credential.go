package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// credential is a tls.Certificate as BoringSSL takes it, and what it was made of.
type credential struct {
	boring *boring.Credential
	signer crypto.Signer // nil if BoringSSL has the key
	source tls.Certificate
}

// credentialKey finds the credentials of a tls.Certificate by its private key: a pointer, or another comparable value. As the
// map holds that, its memory cannot be used anew for another key.
type credentialKey any

// maxCredentials bounds the credentials that a Context keeps, for programs whose GetCertificate makes new ones, and maxVariants
// those of one private key, which differ in the chain or in what is stapled to it.
const (
	maxCredentials = 256
	maxVariants    = 8
)

// credential returns cert in BoringSSL's form, from the cache if it was seen before. Whether it was, its bytes tell: programs
// renew a staple in place, and cut several certificates from one piece of memory.
func (x *Context) credential(cert *tls.Certificate) (*credential, error) {
	key, cacheable := keyOf(cert)
	if cacheable {
		x.mu.Lock()
		c := x.credentials.find(key, cert)
		x.mu.Unlock()
		if c != nil {
			return c, nil
		}
	}
	c, err := newCredential(cert)
	if err != nil || !cacheable {
		return c, err
	}
	c.source = copyPublic(cert)
	x.mu.Lock()
	x.credentials.add(key, c)
	x.mu.Unlock()
	return c, nil
}

// maxChain bounds the certificates of a chain of ours.
const maxChain = 64

// credentials is the cache of a Context.
type credentials struct {
	byKey map[credentialKey][]*credential // the newest first
	n     int
}

func (s *credentials) find(key credentialKey, cert *tls.Certificate) *credential {
	for _, c := range s.byKey[key] {
		if samePublic(&c.source, cert) {
			return c
		}
	}
	return nil
}

func (s *credentials) add(key credentialKey, c *credential) {
	if s.n >= maxCredentials || s.byKey == nil {
		s.byKey, s.n = make(map[credentialKey][]*credential), 0
	}
	variants := s.byKey[key]
	if len(variants) == maxVariants {
		variants = variants[:maxVariants-1]
		s.n--
	}
	s.byKey[key] = append([]*credential{c}, variants...)
	s.n++
}

// samePublic compares all that BoringSSL is told of a certificate but for the private key, which the leaf fits or not.
func samePublic(a, b *tls.Certificate) bool {
	return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal) && bytes.Equal(a.OCSPStaple, b.OCSPStaple) &&
		slices.EqualFunc(a.SignedCertificateTimestamps, b.SignedCertificateTimestamps, bytes.Equal) &&
		slices.Equal(a.SupportedSignatureAlgorithms, b.SupportedSignatureAlgorithms)
}

// copyPublic copies what samePublic compares.
func copyPublic(cert *tls.Certificate) tls.Certificate {
	out := tls.Certificate{
		OCSPStaple:                   bytes.Clone(cert.OCSPStaple),
		SupportedSignatureAlgorithms: slices.Clone(cert.SupportedSignatureAlgorithms),
	}
	for _, der := range cert.Certificate {
		out.Certificate = append(out.Certificate, bytes.Clone(der))
	}
	for _, sct := range cert.SignedCertificateTimestamps {
		out.SignedCertificateTimestamps = append(out.SignedCertificateTimestamps, bytes.Clone(sct))
	}
	return out
}

func keyOf(cert *tls.Certificate) (key credentialKey, ok bool) {
	switch k := cert.PrivateKey.(type) {
	case nil:
		return nil, false
	case ed25519.PrivateKey:
		if len(k) == 0 {
			return nil, false
		}
		return &k[0], true
	default:
		return k, reflect.ValueOf(k).Comparable()
	}
}

// checkUsage refuses a certificate that must not sign a handshake (RFC 8446, section 4.4.2.2: "The certificate MUST allow the key to be
// used for signing (i.e., the digitalSignature bit MUST be set if the Key Usage extension is present)"). Peers refuse it, or worse, only
// some of them do.
func checkUsage(cert *tls.Certificate) error {
	if len(cert.Certificate) == 0 {
		return nil // for others to judge
	}
	leaf := cert.Leaf
	if leaf == nil || !bytes.Equal(leaf.Raw, cert.Certificate[0]) {
		var err error
		if leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return fmt.Errorf("handshake: the certificate: %w", err)
		}
	}
	hasUsage := slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidKeyUsage) })
	if hasUsage && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("handshake: the certificate's key usage has no digitalSignature, which TLS 1.3 requires (RFC 8446, " +
			"section 4.4.2.2)")
	}
	return nil
}

// oidKeyUsage is id-ce-keyUsage (RFC 5280, section 4.2.1.3).
var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

func newCredential(cert *tls.Certificate) (*credential, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("handshake: a tls.Certificate without a certificate")
	}
	if err := checkUsage(cert); err != nil {
		return nil, err
	}
	if len(cert.Certificate) > maxChain {
		return nil, fmt.Errorf("handshake: a chain of more than %d certificates", maxChain)
	}
	c := &credential{}
	p := boring.CredentialParams{OCSP: cert.OCSPStaple}
	for _, der := range cert.Certificate {
		if len(der) == 0 || len(der) >= 1<<24 {
			return nil, errors.New("handshake: a certificate of a length that TLS cannot carry")
		}
		p.Chain = append(append(p.Chain, byte(len(der)>>16), byte(len(der)>>8), byte(len(der))), der...)
	}
	var scts []byte
	for _, sct := range cert.SignedCertificateTimestamps {
		scts = append(binary.BigEndian.AppendUint16(scts, uint16(len(sct))), sct...)
	}
	if len(scts) >= 1<<16 || len(cert.OCSPStaple) >= 1<<24 {
		return nil, errors.New("handshake: SignedCertificateTimestamps or an OCSPStaple of a length that TLS cannot carry")
	}
	if len(scts) > 0 {
		p.SCTs = append(binary.BigEndian.AppendUint16(nil, uint16(len(scts))), scts...)
	}
	for _, alg := range cert.SupportedSignatureAlgorithms {
		p.SignatureAlgorithms = append(p.SignatureAlgorithms, uint16(alg))
	}
	switch key := cert.PrivateKey.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("handshake: the private key: %w", err)
		}
		defer clear(der)
		p.Key = der
	case crypto.Signer:
		c.signer = key
	default:
		return nil, fmt.Errorf("handshake: a private key of type %T is not a crypto.Signer", key)
	}
	var err error
	if c.boring, err = boring.NewCredential(p); err != nil {
		return nil, fmt.Errorf("handshake: certificate and private key: %w", err)
	}
	return c, nil
}
