// Command tunnel carries TCP connections over one QUIC connection, a stream for each: a listener near the client, a dialler near the
// server that it wants to reach. Here an HTTP server is reached through it, all in one program.
//
//	go run ./examples/tunnel
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "you asked for %s", r.URL.Path)
	}))
	defer target.Close()

	serverTLS, clientTLS := localhost.TLS("tunnel")
	// The far end: each stream becomes a TCP connection to the target.
	far, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer far.Close()
	go func() {
		for {
			conn, err := far.Accept(ctx)
			if err != nil {
				return
			}
			conn.HandleStreams(func(s *quicnet.Stream) {
				tcp, err := net.Dial("tcp", target.Listener.Addr().String())
				if err != nil {
					s.Abort(1) // the near end is told at once
					return
				}
				join(s, tcp)
			})
		}
	}()

	// The near end: each TCP connection becomes a stream.
	conn, err := quicnet.Dial(ctx, far.Addr().String(), &quic.Config{TLS: clientTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	near, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer near.Close()
	go func() {
		for {
			tcp, err := near.Accept()
			if err != nil {
				return
			}
			go func() {
				s, err := conn.OpenStream(ctx)
				if err != nil {
					tcp.Close()
					return
				}
				join(s, tcp)
			}()
		}
	}()

	resp, err := http.Get("http://" + near.Addr().String() + "/through/the/tunnel")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", resp.Status, body)
}

// join copies between a stream and a TCP connection until both directions have ended. An end of the one is an end of the other; a
// failure aborts both: Close alone would have the other side take what has got through for all.
func join(s *quicnet.Stream, tcp net.Conn) {
	conn := s.NetConn()
	defer conn.Close()
	defer tcp.Close()
	done := make(chan error)
	oneWay := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if err == nil {
			err = to.(interface{ CloseWrite() error }).CloseWrite()
		}
		done <- err
	}
	go oneWay(conn, tcp)
	go oneWay(tcp, conn)
	for range 2 {
		if err := <-done; err != nil {
			s.Abort(2) // so that the other direction ends, too
			tcp.(*net.TCPConn).SetLinger(0)
			tcp.Close()
		}
	}
}
