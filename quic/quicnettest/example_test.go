package quicnettest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// greet is the server of a protocol that is to be tested: on each stream it answers a name with a greeting.
func greet(ctx context.Context, conn *quicnet.Conn) {
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		name, err := bufio.NewReader(stream).ReadString('\n')
		if err != nil {
			stream.CancelWrite(1)
			continue
		}
		fmt.Fprintf(stream, "hello, %s", name)
		stream.Finish() // and not Close alone: what may follow the line is not read
	}
}

// ask is its client.
func ask(ctx context.Context, conn *quicnet.Conn, name string) (string, error) {
	stream, err := conn.OpenStream(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(stream, name)
	stream.Close()
	answer, err := io.ReadAll(stream)
	return string(answer), err
}

// A network without sockets, between one server and its clients. In a test, Network.Listen closes the endpoints when it ends.
func Example() {
	ctx := context.Background()
	network := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 5 * time.Millisecond, Loss: 0.01})
	endpoint := func(addr string, server bool) *quicnet.Endpoint {
		pc, err := network.ListenPacket(addr)
		if err != nil {
			log.Fatal(err)
		}
		cfg := quicnettest.ServerConfig()
		if !server {
			cfg = nil
		}
		ep, err := quicnettest.NewEndpoint(pc, cfg)
		if err != nil {
			log.Fatal(err)
		}
		return ep
	}
	server, client := endpoint("192.0.2.1:443", true), endpoint("", false)
	defer server.Close()
	defer client.Close()
	go func() {
		for conn, err := server.Accept(ctx); err == nil; conn, err = server.Accept(ctx) {
			go greet(ctx, conn)
		}
	}()

	conn, err := client.Dial(ctx, "192.0.2.1:443", quicnettest.ClientConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	answer, err := ask(ctx, conn, "gopher")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(answer)
	// Output: hello, gopher
}

// A test of a protocol over both ends of a connection.
func ExamplePipe() {
	test := func(t *testing.T) { // func TestGreeting(t *testing.T)
		server, client := quicnettest.Pipe(t, nil, nil)
		go greet(t.Context(), server)
		if answer, err := ask(t.Context(), client, "gopher"); err != nil || answer != "hello, gopher\n" {
			t.Errorf("the answer is %q, %v", answer, err)
		}
	}
	tests = append(tests, test) // for this example alone, which go test runs with them
}
