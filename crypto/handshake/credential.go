package handshake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// credential is a tls.Certificate as BoringSSL takes it.
type credential struct {
	boring *boring.Credential
	signer crypto.Signer // nil if BoringSSL has the key
}

// credentialKey identifies a tls.Certificate by the memory that its fields refer to. As the key holds the pointers, that
// memory cannot be used anew for something else.
type credentialKey struct {
	chain     *[]byte
	leaf      *byte
	ocsp, sct *byte
	sigalgs   *tls.SignatureScheme
	chainLen  int
	key       any // a pointer, or another comparable value
}

// maxCredentials bounds the parsed certificates that a Context keeps, for programs whose GetCertificate makes new ones.
const maxCredentials = 256

// credential returns cert in BoringSSL's form, from the cache if it was seen before.
func (x *Context) credential(cert *tls.Certificate) (*credential, error) {
	key, cacheable := keyOf(cert)
	if cacheable {
		x.mu.Lock()
		c := x.credentials[key]
		x.mu.Unlock()
		if c != nil {
			return c, nil
		}
	}
	c, err := newCredential(cert)
	if err != nil {
		return nil, err
	}
	if cacheable {
		x.mu.Lock()
		if len(x.credentials) >= maxCredentials {
			clear(x.credentials)
		}
		x.credentials[key] = c
		x.mu.Unlock()
	}
	return c, nil
}

func keyOf(cert *tls.Certificate) (credentialKey, bool) {
	if len(cert.Certificate) == 0 || len(cert.Certificate[0]) == 0 {
		return credentialKey{}, false
	}
	key := credentialKey{chain: &cert.Certificate[0], leaf: &cert.Certificate[0][0], chainLen: len(cert.Certificate)}
	if len(cert.OCSPStaple) > 0 {
		key.ocsp = &cert.OCSPStaple[0]
	}
	if scts := cert.SignedCertificateTimestamps; len(scts) > 0 && len(scts[0]) > 0 {
		key.sct = &scts[0][0]
	}
	if len(cert.SupportedSignatureAlgorithms) > 0 {
		key.sigalgs = &cert.SupportedSignatureAlgorithms[0]
	}
	switch k := cert.PrivateKey.(type) {
	case nil:
		return key, false
	case ed25519.PrivateKey:
		if len(k) == 0 {
			return key, false
		}
		key.key = &k[0]
	default:
		if !reflect.ValueOf(k).Comparable() {
			return key, false
		}
		key.key = k
	}
	return key, true
}

func newCredential(cert *tls.Certificate) (*credential, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("handshake: a tls.Certificate without a certificate")
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
	if len(scts) > 0 && len(scts) < 1<<16 {
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
