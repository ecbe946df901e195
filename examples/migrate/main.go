// Command migrate has a client move in the middle of a download: to a socket of another port, and back to the first. On a machine with two
// networks the address to move to would be one of the other network's. A program that need not choose sets Dialer.FollowNetwork.
//
//	go run ./examples/migrate
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	content := make([]byte, 32<<20)
	rand.Read(content)
	serverTLS, clientTLS := localhost.TLS("example")
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go serve(ctx, server, content)

	dialer := quicnet.Dialer{OnPath: func(_ *quicnet.Conn, ev quic.PathEvent) { fmt.Println("the path from", ev.Local, "is", ev.Kind) }}
	conn, err := dialer.Dial(ctx, server.Addr().String(), &quic.Config{TLS: clientTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	s, err := conn.AcceptUniStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	first, got := conn.LocalAddr().String(), sha256.New()
	for _, local := range []string{":0", first} {
		if _, err := io.CopyN(got, s, int64(len(content)/3)); err != nil {
			log.Fatal(err)
		}
		if err := conn.Migrate(ctx, local); err != nil { // it returns when the server has answered there
			log.Fatal(err)
		}
		fmt.Println("the connection is at", conn.LocalAddr())
	}
	if _, err := io.Copy(got, s); err != nil {
		log.Fatal(err)
	}
	want := sha256.Sum256(content)
	fmt.Println("moved", conn.Stats().Migrations, "times, checksum right:", bytes.Equal(got.Sum(nil), want[:]))
}

// serve sends the content to the first client, and waits until that closes the connection.
func serve(ctx context.Context, server *quicnet.Endpoint, content []byte) {
	conn, err := server.Accept(ctx)
	if err != nil {
		log.Fatal(err)
	}
	s, err := conn.OpenUniStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.WriteFinal(content); err != nil {
		log.Fatal(err)
	}
	<-conn.Context().Done()
}
