// Command echo is the smallest server and client over quicnet: the client sends a line on a stream, the server sends
// it back. Both run in this one program, over a real socket on the loopback interface.
//
//	go run ./examples/echo
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
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

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cert, roots := certificate()

	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go serve(ctx, server)

	conn, err := quicnet.Dial(ctx, server.Addr().String(), &quic.Config{
		TLS: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"echo"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(stream, "hello over QUIC")
	stream.Close() // the end of what we send; we can still read
	answer, err := io.ReadAll(stream)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("the server answered %q\n", answer)
}

func serve(ctx context.Context, server *quicnet.Endpoint) {
	for {
		conn, err := server.Accept(ctx)
		if err != nil {
			return
		}
		conn.HandleStreams(func(stream *quicnet.Stream) {
			if _, err := io.Copy(stream, stream); err == nil {
				stream.Close() // that was all; without it, the stream is reset when we return
			}
		})
	}
}

// certificate makes a certificate for localhost and the roots that trust it.
func certificate() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
