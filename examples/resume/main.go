// Command resume connects three times to one server: by a full handshake, then by a resumed one, and at last with early data (0-RTT), by
// which the question leaves with the first packets. Sessions lie in a file, where the next run of a program would find them. The
// server runs in the same program.
//
//	go run ./examples/resume
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	serverTLS, clientTLS := localhost.TLS("example")
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: serverTLS, EarlyData: true})
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
	clientTLS.ClientSessionCache = sessions
	for _, early := range []bool{false, false, true} {
		if err := ask(ctx, server.Addr().String(), &quic.Config{TLS: clientTLS}, early); err != nil {
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
