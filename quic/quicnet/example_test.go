package quicnet_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"os"
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

// Whoever has the last word waits until it has arrived before closing the connection: Close alone would lose it.
func ExampleConn_CloseGracefully() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cert, roots := certificate()
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"news"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		conn, err := server.Accept(ctx)
		if err != nil {
			return
		}
		s, err := conn.OpenUniStream(ctx)
		if err != nil {
			return
		}
		s.WriteFinal([]byte("that is all"))
		// A client that is gone is not waited for longer than ctx says.
		if err := conn.CloseGracefully(ctx, 0, ""); err != nil {
			log.Print(err)
		}
	}()

	conn, err := quicnet.Dial(ctx, server.Addr().String(), &quic.Config{
		TLS: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"news"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	s, err := conn.AcceptUniStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	news, err := io.ReadAll(s)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", news)
	_, err = conn.AcceptUniStream(ctx)
	fmt.Println("closed on purpose:", quic.IsCleanClose(err))
	// Output:
	// that is all
	// closed on purpose: true
}

// Work for a stream stops when nobody waits for its result any more, though nothing is read or written meanwhile.
func ExampleStream_Context() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cert, roots := certificate()
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"search"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	stopped := make(chan error)
	go func() {
		conn, err := server.Accept(ctx)
		if err != nil {
			return
		}
		conn.HandleStreams(func(s *quicnet.Stream) {
			defer s.Finish()
			<-s.Context().Done() // the search would take this context
			stopped <- context.Cause(s.Context())
		})
	}()

	conn, err := quicnet.Dial(ctx, server.Addr().String(), &quic.Config{
		TLS: &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"search"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	s, err := conn.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(s, "what is the answer?")
	s.Abort(3) // never mind
	fmt.Println(<-stopped)
	// Output: quic: stream 0 ended early by the peer: code 0x3
}

// A server's log tells which clients failed and why.
func ExampleListenConfig_logger() {
	cert, _ := certificate()
	refused := make(chan error, 1)
	server, err := quicnet.ListenConfig{
		Logger:           slog.New(slog.NewTextHandler(os.Stderr, nil)),
		OnHandshakeError: func(_ net.Addr, err error) { refused <- err },
	}.Listen("127.0.0.1:0", &quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"example/2"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	_, err = quicnet.Dial(context.Background(), server.Addr().String(), &quic.Config{
		TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"example/1"}},
	})
	var alert tls.AlertError
	fmt.Println("the client knows:", errors.As(err, &alert), alert)
	fmt.Println("the server knows:", errors.As(<-refused, &alert), alert)
	// Output:
	// the client knows: true tls: no application protocol
	// the server knows: true tls: no application protocol
}
