// Command clientcert has client and server prove who they are, and agree on a version of their protocol: TLS client certificates and
// ALPN. Then a client without a certificate tries, and is told what was missing.
//
//	go run ./examples/clientcert
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ca := newAuthority()

	lc := quicnet.ListenConfig{OnHandshakeError: func(remote net.Addr, err error) {
		fmt.Printf("the server refused a client: %v\n", err)
	}}
	server, err := lc.Listen("127.0.0.1:0", &quic.Config{TLS: &tls.Config{
		Certificates: []tls.Certificate{ca.issue("localhost")},
		NextProtos:   []string{"greeting/2", "greeting/1"}, // the one that we like best first
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    ca.pool,
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go serve(ctx, server)

	for _, proto := range []string{"greeting/1", "greeting/2"} {
		answer, err := ask(ctx, server.Addr().String(), &tls.Config{
			RootCAs: ca.pool, ServerName: "localhost", NextProtos: []string{proto},
			Certificates: []tls.Certificate{ca.issue("gopher")},
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("the server answered %q\n", answer)
	}

	_, err = ask(ctx, server.Addr().String(), &tls.Config{
		RootCAs: ca.pool, ServerName: "localhost", NextProtos: []string{"greeting/2"}, // and no certificate
	})
	var alert tls.AlertError
	if !errors.As(err, &alert) {
		log.Fatalf("without a certificate: %v", err)
	}
	fmt.Printf("without a certificate: %v\n", alert)
}

func serve(ctx context.Context, server *quicnet.Endpoint) {
	for {
		conn, err := server.Accept(ctx)
		if err != nil {
			return
		}
		state := conn.ConnectionState()
		name := state.PeerCertificates[0].Subject.CommonName // which has been verified
		conn.HandleStreams(func(s *quicnet.Stream) {
			defer s.Finish()
			fmt.Fprintf(s, "hello, %s, over %s", name, state.NegotiatedProtocol)
		})
	}
}

// ask makes a connection and reads what the server has to say. That a server does not accept a client's certificate comes after Dial
// has returned, since in TLS 1.3 the client is done first: here it is the error of reading.
func ask(ctx context.Context, addr string, config *tls.Config) (string, error) {
	conn, err := quicnet.Dial(ctx, addr, &quic.Config{TLS: config})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	s, err := conn.OpenStream(ctx)
	if err != nil {
		return "", err
	}
	s.Close() // the server learns of the stream with that
	answer, err := io.ReadAll(s)
	return string(answer), err
}

// authority is a certificate authority for this program.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority() *authority {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		log.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate for a name, good for servers and for clients.
func (a *authority) issue(name string) tls.Certificate {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	return key
}
