package quicnet_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// A server answers the first line of each connection's first stream.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cert, roots := certificate()

	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"greeting"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept(ctx)
			if err != nil {
				return
			}
			stream, err := conn.AcceptStream(ctx)
			if err != nil {
				continue
			}
			name, _ := io.ReadAll(stream)
			fmt.Fprintf(stream, "hello, %s", name)
			stream.Close()
		}
	}()

	conn, err := quicnet.Dial(ctx, server.Addr().String(), &quic.Config{
		TLS: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"greeting"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(stream, "gopher")
	stream.Close()
	answer, err := io.ReadAll(stream)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer)
	// Output: hello, gopher
}

// certificate makes a certificate for localhost, and the roots that trust it.
func certificate() (tls.Certificate, *x509.CertPool) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		NotAfter:     time.Now().Add(time.Hour),
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
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, roots
}
