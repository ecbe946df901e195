// Command shutdown ends a server without breaking anything off: requests that are under way are answered, clients that come later are
// refused, and the program ends when the last connection has. A server that is to end at SIGTERM calls Shutdown when that comes,
// as signal.NotifyContext tells it.
//
//	go run ./examples/shutdown
package main

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
	"math/big"
	"net"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"example"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	begun, finish := make(chan bool), make(chan bool)
	go serve(server, begun, finish)

	answer := make(chan error)
	go func() { answer <- request(ctx, server.Addr().String()) }()
	<-begun // a request is under way

	over := make(chan error)
	go func() { over <- server.Shutdown(ctx) }() // ctx bounds how long it may take
	for err == nil {                             // Shutdown may not have begun yet
		err = try(ctx, server.Addr().String())
	}
	fmt.Printf("a new client: %v\n", err)
	close(finish)
	if err := <-answer; err != nil {
		log.Fatal(err)
	}
	if err := <-over; err != nil {
		log.Fatal(err)
	}
	fmt.Println("shut down, nothing lost")
}

// serve answers requests, each of which is a stream, until there are no more connections.
func serve(server *quicnet.Endpoint, begun, finish chan bool) {
	for {
		conn, err := server.Accept(context.Background())
		if errors.Is(err, net.ErrClosed) {
			return // Shutdown was called
		}
		if err != nil {
			log.Fatal(err)
		}
		conn.HandleStreams(func(s *quicnet.Stream) {
			begun <- true
			<-finish // work that takes its time
			s.WriteFinal([]byte("the answer"))
		})
	}
}

// request asks for something and closes the connection when it has the answer: that is what Shutdown waits for.
func request(ctx context.Context, addr string) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := conn.OpenStream(ctx)
	if err != nil {
		return err
	}
	s.Close()
	answer, err := io.ReadAll(s)
	fmt.Printf("the request that was under way: %q, %v\n", answer, err)
	return err
}

// try connects, and tells why that fails.
func try(ctx context.Context, addr string) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

func dial(ctx context.Context, addr string) (*quicnet.Conn, error) {
	return quicnet.Dial(ctx, addr, &quic.Config{
		TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"example"}}, // examples/echo verifies
	})
}

func certificate() tls.Certificate {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}
