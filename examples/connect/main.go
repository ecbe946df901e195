// Command connect has a protocol of its own, an echo, over a stream of HTTP/3 that extended CONNECT opens (RFC 9220), as WebSocket and WebTransport do:
// both sides take the stream over, and send each other HTTP datagrams (RFC 9297), too.
//
//	go run ./examples/connect
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/http3"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server, client := localhost.TLS()
	udp, err := net.ListenPacket("udp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http3.Server{HTTP: &http.Server{Handler: http.HandlerFunc(echo), TLSConfig: server}, ExtendedConnect: true, Datagrams: true}
	defer srv.Close()
	go srv.Serve(udp)

	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	req, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://localhost:"+port+"/chat", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header[":protocol"] = []string{"echo"} // as net/http has it for HTTP/2
	resp, err := (&http3.Transport{TLSClientConfig: client, EnableDatagrams: true}).RoundTrip(req)
	if err != nil {
		log.Fatal(err)
	}
	stream, err := http3.StreamOf(resp)
	if err != nil {
		log.Fatal(resp.Status, err)
	}
	defer stream.CancelRead(0)
	in := bufio.NewReader(stream)
	for _, line := range []string{"first", "second"} {
		fmt.Fprintln(stream, line)
		answer, err := in.ReadString('\n')
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print("the stream brings back: ", answer)
	}
	if err := datagram(ctx, stream); err != nil {
		log.Fatal(err)
	}
	stream.Close() // the end of what we send
	if _, err := in.ReadByte(); err != io.EOF {
		log.Fatal("the server does not end: ", err)
	}
	fmt.Println("both sides have ended")
}

// datagram sends a datagram until it, or a copy, has come back: datagrams may be lost.
func datagram(ctx context.Context, stream *http3.Stream) error {
	for {
		if err := stream.SendDatagram([]byte("third")); err != nil {
			return err
		}
		patience, cancel := context.WithTimeout(ctx, time.Second)
		buf := make([]byte, 100)
		n, err := stream.ReceiveDatagram(patience, buf)
		cancel()
		if err == nil {
			fmt.Printf("a datagram brings back: %s\n", buf[:n])
			return nil
		}
		if patience.Err() == nil || ctx.Err() != nil {
			return err
		}
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	if http3.Protocol(r) != "echo" {
		http.Error(w, "echo is all that there is", http.StatusNotImplemented)
		return
	}
	stream, err := http3.TakeOver(w)
	if err != nil {
		return // the client has gone
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, err := stream.ReceiveDatagram(stream.Context(), buf)
			if err != nil {
				return
			}
			stream.SendDatagram(buf[:n])
		}
	}()
	if _, err := io.Copy(stream, stream); err != nil {
		stream.Abort(uint64(h3.ErrCodeRequestCancelled))
		return
	}
	stream.Close()
}
