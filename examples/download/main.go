// Command download fetches 64 MiB over one stream with a progress bar. The server runs in the same program.
//
//	go run ./examples/download
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

const size = 64 << 20

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	file := make([]byte, size)
	rand.Read(file)

	serverTLS, clientTLS := localhost.TLS("example")
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go serve(ctx, server, file)

	conn, err := quicnet.Dial(ctx, server.Addr().String(), &quic.Config{TLS: clientTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	stream.Close() // nothing to send: opening the stream is the request

	sum := sha256.New()
	var out io.Writer = sum
	if term.IsTerminal(int(os.Stderr.Fd())) {
		out = io.MultiWriter(sum, progressbar.DefaultBytes(size, "downloading"))
	}
	start := time.Now()
	n, err := io.Copy(out, stream)
	if err != nil {
		log.Fatal(err)
	}
	if [32]byte(sum.Sum(nil)) != sha256.Sum256(file) {
		log.Fatal("the bytes that arrived are not the bytes that were sent")
	}
	fmt.Printf("%d bytes, checksum right, %.0f Mbit/s\n", n, float64(n)*8/1e6/time.Since(start).Seconds())
}

func serve(ctx context.Context, server *quicnet.Endpoint, file []byte) {
	conn, err := server.Accept(ctx)
	if err != nil {
		return
	}
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		return
	}
	stream.Write(file)
	stream.Finish() // ended, and nothing is to be read
}
