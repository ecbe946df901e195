// Command resume connects three times to one server: by a full handshake, then by a resumed one, and at last with early data (0-RTT), by
// which the question leaves with the first packets. Sessions lie in a file, where the next run of a program would find them. The
// server runs in the same program.
//
//	go run ./examples/resume
package main

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
	"os"
	"path/filepath"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cert, roots := certificate()
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{
		TLS:       &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"example"}},
		EarlyData: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go serve(ctx, server)

	dir, err := os.MkdirTemp("", "resume")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	sessions, err := quicnet.NewFileSessionCache(filepath.Join(dir, "sessions"))
	if err != nil {
		log.Fatal(err)
	}
	cfg := &quic.Config{TLS: &tls.Config{
		RootCAs: roots, ServerName: "localhost", NextProtos: []string{"example"}, ClientSessionCache: sessions,
	}}
	for _, early := range []bool{false, false, true} {
		if err := ask(ctx, server.Addr().String(), cfg, early); err != nil {
			log.Fatal(err)
		}
	}
}

// ask asks the server one question over a connection of its own, and says how that came about.
func ask(ctx context.Context, addr string, cfg *quic.Config, early bool) error {
	given := make(chan struct{}, 8) // sessions for later connections
	dialer := quicnet.Dialer{
		ResendEarly: true, // the question may arrive twice, so it may be asked again
		OnSession:   func(*quic.Session) { given <- struct{}{} },
	}
	dial := dialer.Dial
	if early {
		dial = dialer.DialEarly
	}
	conn, err := dial(ctx, addr, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		return err
	}
	if _, err := stream.WriteFinal([]byte("what time is it?")); err != nil {
		return err
	}
	answer, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	if err := conn.Handshake(ctx); err != nil { // by now early data was accepted or not
		return err
	}
	<-given // as a rule it was there before the answer
	fmt.Printf("%s; resumed: %v, early data: %v\n", answer, conn.ConnectionState().DidResume, conn.EarlyData())
	return nil
}

func serve(ctx context.Context, server *quicnet.Endpoint) {
	for {
		conn, err := server.Accept(ctx)
		if err != nil {
			return
		}
		conn.HandleStreams(func(s *quicnet.Stream) {
			question, err := io.ReadAll(s)
			if err != nil {
				return
			}
			// What came as early data may be a recording. This question is harmless; others wait until the client has shown that it is there.
			if s.Early() && string(question) != "what time is it?" {
				if err := conn.Handshake(ctx); err != nil {
					return
				}
			}
			s.WriteFinal([]byte("it is " + time.Now().Format(time.TimeOnly)))
		})
	}
}

// certificate returns a certificate for localhost, and the roots that trust it.
func certificate() (tls.Certificate, *x509.CertPool) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true}
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
