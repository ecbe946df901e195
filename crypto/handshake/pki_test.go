package handshake_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// issued is a certificate with its key and the authority that signed it.
type issued struct {
	tls  tls.Certificate
	cert *x509.Certificate
	key  crypto.Signer
}

// pool is a CertPool of the certificate alone.
func (c *issued) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

var serials = struct {
	sync.Mutex
	n int64
}{}

// issue makes a certificate for server.test and client.test, signed by parent, or by itself if that is nil. edit may
// change the template.
func issue(t testing.TB, key crypto.Signer, parent *issued, edit func(*x509.Certificate)) *issued {
	t.Helper()
	serials.Lock()
	serials.n++
	serial := serials.n
	serials.Unlock()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "boringquic test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"server.test", "client.test"},

		BasicConstraintsValid: true,
		IsCA:                  parent == nil,
	}
	if edit != nil {
		edit(template)
	}
	signer, issuer := key, template
	if parent != nil {
		signer, issuer = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c := &issued{cert: cert, key: key, tls: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}}
	if parent != nil && parent.tls.Certificate != nil {
		c.tls.Certificate = append(c.tls.Certificate, parent.tls.Certificate...)
	}
	return c
}

func ecdsaKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ed25519Key(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var rsaKey = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// opaque is a crypto.Signer whose key cannot be seen.
type opaque struct{ crypto.Signer }

func (o opaque) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return o.Signer.Sign(r, digest, opts)
}

// authority and leaf serve the tests that do not care.
var (
	authority = sync.OnceValue(func() *issued { return issue(fataler{}, mustEd25519(), nil, nil) })
	leaf      = sync.OnceValue(func() *issued { return issue(fataler{}, mustEd25519(), authority(), nil) })
)

func mustEd25519() crypto.Signer { return ed25519Key(fataler{}) }

// fataler is a testing.TB for what is made once for all tests.
type fataler struct{ testing.TB }

func (fataler) Helper()           {}
func (fataler) Fatal(args ...any) { panic(args) }

var p256 = elliptic.P256()

// addresses has a certificate speak for addresses, not names.
func addresses(c *x509.Certificate) {
	c.DNSNames = nil
	c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")}
}
