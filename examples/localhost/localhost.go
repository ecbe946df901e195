// Package localhost has the TLS of the examples, each of which is server and client in one program. Who copies an example can import it.
package localhost

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log"
	"math/big"
	"net"
	"time"
)

// TLS returns the configuration of a server with a new certificate for localhost and the addresses of loopback, good for an hour, and that of a
// client which trusts it. Both speak protocols (ALPN), none of which is named for HTTP/3: package http3 does that. A server that others
// reach has a certificate by tls.LoadX509KeyPair in its place, and its clients need not be told of it.
func TLS(protocols ...string) (server, client *tls.Config) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, NextProtos: protocols}
	return server, &tls.Config{RootCAs: roots, NextProtos: protocols}
}
