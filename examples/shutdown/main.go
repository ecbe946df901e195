// Command shutdown ends a server without breaking anything off: requests that are under way are answered, clients that come later are
// refused, and the program ends when the last connection has. A server that is to end at SIGTERM calls Shutdown when that comes,
// as signal.NotifyContext tells it.
//
//	go run ./examples/shutdown
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	serverTLS, clientTLS := localhost.TLS("example")
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	begun, finish := make(chan bool), make(chan bool)
	go serve(server, begun, finish)

	answer := make(chan error)
	go func() { answer <- request(ctx, server.Addr().String(), clientTLS) }()
	<-begun // a request is under way

	over := make(chan error)
	go func() { over <- server.Shutdown(ctx) }() // ctx bounds how long it may take
	for err == nil {                             // Shutdown may not have begun yet
		err = try(ctx, server.Addr().String(), clientTLS)
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
func request(ctx context.Context, addr string, conf *tls.Config) error {
	conn, err := dial(ctx, addr, conf)
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
func try(ctx context.Context, addr string, conf *tls.Config) error {
	conn, err := dial(ctx, addr, conf)
	if err != nil {
		return err
	}
	return conn.Close()
}

func dial(ctx context.Context, addr string, conf *tls.Config) (*quicnet.Conn, error) {
	return quicnet.Dial(ctx, addr, &quic.Config{TLS: conf})
}
