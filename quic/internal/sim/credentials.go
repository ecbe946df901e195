package sim

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"
)

// ServerName is the name in the simulated server's certificate.
const ServerName = "server.test"

// Protocol is the ALPN protocol of the simulated hosts.
const Protocol = "sim"

// credentials are a self-signed Ed25519 certificate, always the same one: signatures and certificate have one length.
var credentials = sync.OnceValue(func() tls.Certificate {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: ServerName},
		DNSNames:              []string{ServerName},
		NotBefore:             epoch.Add(-time.Hour),
		NotAfter:              epoch.Add(24 * 365 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// tlsConfigs returns the TLS configurations of a client and a server that trust each other, in the World's time. The key
// share is X25519's, so that a ClientHello has one length.
func tlsConfigs(w *World) (client, server *tls.Config) {
	cert := credentials()
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	curves := []tls.CurveID{tls.X25519}
	client = &tls.Config{
		RootCAs: roots, ServerName: ServerName, NextProtos: []string{Protocol}, CurvePreferences: curves, Time: w.Now,
		MinVersion: tls.VersionTLS13,
	}
	server = &tls.Config{
		Certificates: []tls.Certificate{cert}, NextProtos: []string{Protocol}, CurvePreferences: curves, Time: w.Now,
		MinVersion: tls.VersionTLS13,
	}
	return client, server
}
