// Command echo is the smallest server and client over quicnet: the client sends a line on a stream, the server sends
// it back. Both run in this one program, over a real socket on the loopback interface.
//
//	go run ./examples/echo
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	serverTLS, clientTLS := localhost.TLS("echo")

	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go serve(ctx, server)

	conn, err := quicnet.Dial(ctx, server.Addr().String(), &quic.Config{TLS: clientTLS})
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
