package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// certificateKind is what the key of the servers' certificate is: it decides what a full handshake costs.
type certificateKind string

const (
	certificateECDSA certificateKind = "ecdsa-p256"
	certificateRSA   certificateKind = "rsa-2048"
)

// String is for people.
func (k certificateKind) String() string {
	if k == certificateRSA {
		return "RSA with 2,048 bits"
	}
	return "ECDSA with P-256"
}

func (k certificateKind) generate() (crypto.Signer, error) {
	switch k {
	case certificateECDSA:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case certificateRSA:
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, usage.Error(fmt.Errorf("give --certificate %s or %s in place of %q", certificateECDSA, certificateRSA, string(k)))
}

// writeCertificate makes the certificate that all servers use, and returns the names of its files. It is an end
// entity's, not an authority's: some implementations accept no authority's from a server. It names no key usage: others would
// not let one without that of an authority vouch for itself.
func writeCertificate(dir string, kind certificateKind) (cert, key string, err error) {
	private, err := kind.generate()
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "quic-perf"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
}
