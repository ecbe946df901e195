// Package tlsfiles makes the commands' TLS configurations from files, or without any.
package tlsfiles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"

	"golang.org/x/net/idna"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// Server returns the configuration of a server with the certificate chain and key of two PEM files, or, when both
// names are empty, with a certificate made on the spot and signed by itself for the given hosts.
func Server(certFile, keyFile string, hosts []string, alpn ...string) (*tls.Config, error) {
	if (certFile == "") != (keyFile == "") {
		return nil, usage.Error(errors.New("--cert and --key go together: give both or neither"))
	}
	var cert tls.Certificate
	var err error
	if certFile == "" {
		cert, err = selfSigned(hosts)
	} else {
		cert, err = pair(certFile, keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("no usable certificate: %w", err)
	}
	return withKeyLog(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: alpn})
}

func pair(certFile, keyFile string) (cert tls.Certificate, err error) {
	chain, err := smallfile.Read(certFile)
	if err != nil {
		return cert, err
	}
	key, err := smallfile.Read(keyFile)
	if err != nil {
		return cert, err
	}
	return tls.X509KeyPair(chain, key)
}

// Client returns the configuration of a client that trusts the system's roots, or the certificates in the PEM file
// caFile, or, if insecure, everybody.
func Client(insecure bool, caFile string, alpn ...string) (*tls.Config, error) {
	if insecure && caFile != "" {
		return nil, usage.Error(errors.New("--insecure and --ca exclude each other: give one of them"))
	}
	cfg := &tls.Config{InsecureSkipVerify: insecure, NextProtos: alpn}
	if caFile != "" {
		pem, err := smallfile.Read(caFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
	}
	return withKeyLog(cfg)
}

// withKeyLog honours SSLKEYLOGFILE: the file's lines let Wireshark and the like decrypt a capture.
func withKeyLog(cfg *tls.Config) (*tls.Config, error) {
	name := os.Getenv("SSLKEYLOGFILE")
	if name == "" {
		return cfg, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write the key log that SSLKEYLOGFILE names: %w", err)
	}
	cfg.KeyLogWriter = io.Writer(f)
	return cfg, nil
}

// names makes names of hosts what DNS and certificates have. Underscores, which hosts of some networks have, are left to them.
var names = idna.New(idna.MapForLookup(), idna.StrictDomainName(false))

func selfSigned(hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "boringquic, self-signed"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(14 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if h != "" {
			name, err := names.ToASCII(h)
			if err != nil {
				return tls.Certificate{}, fmt.Errorf("%q is no name of a host", h)
			}
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
