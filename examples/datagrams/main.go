// Command datagrams sends numbered datagrams (RFC 9221), which the server sends back: they arrive whole or not at all, in any order.
// How they are counted tells what became of them.
//
//	go run ./examples/datagrams
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

const (
	count = 500
	size  = 1000 // bytes
	pace  = 500 * time.Microsecond
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	serverTLS, clientTLS := localhost.TLS("example")
	server, err := quicnet.Listen("127.0.0.1:0", &quic.Config{
		TLS:                  serverTLS,
		MaxDatagramFrameSize: 65535, // any that fits into a packet; 0 would be none
	})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go serve(ctx, server)

	conn, err := quicnet.Dial(ctx, server.Addr().String(), &quic.Config{
		TLS:                  clientTLS,
		MaxDatagramFrameSize: 65535,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	var tooLarge *quic.DatagramTooLargeError
	if err := conn.SendDatagram(ctx, make([]byte, 5000)); errors.As(err, &tooLarge) {
		fmt.Printf("at most %d bytes fit into a datagram\n", tooLarge.Max)
	}

	back := make(chan int)
	go func() { back <- receive(ctx, conn) }()
	// Congestion control keeps us from sending more than the network carries, but nothing keeps us from sending more than the other side's
	// program reads: what it is too slow for is dropped there. So programs send datagrams at a rate of their own.
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	b := make([]byte, size)
	for i := range count {
		<-ticker.C
		binary.BigEndian.PutUint64(b, uint64(i))
		if err := conn.SendDatagram(ctx, b); err != nil { // b is ours again then
			log.Fatal(err)
		}
	}
	n := <-back
	st := conn.Stats()
	fmt.Printf("%d datagrams sent in %d packets, %d came back, and %d were dropped for want of a reader\n",
		st.DatagramFramesSent, st.PacketsSent, n, st.DatagramFramesDropped)
}

// receive counts the datagrams that come back, each once, until all have or none has for a while.
func receive(ctx context.Context, conn *quicnet.Conn) int {
	seen := make(map[uint64]bool)
	b := make([]byte, 1500) // what does not fit would be lost
	for len(seen) < count {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		n, err := conn.ReceiveDatagram(wait, b)
		cancel()
		if err != nil || n != size {
			break
		}
		seen[binary.BigEndian.Uint64(b)] = true
	}
	return len(seen)
}

func serve(ctx context.Context, server *quicnet.Endpoint) {
	conn, err := server.Accept(ctx)
	if err != nil {
		return
	}
	b := make([]byte, 1500)
	for {
		n, err := conn.ReceiveDatagram(ctx, b)
		if err != nil {
			return
		}
		conn.SendDatagram(ctx, b[:n])
	}
}
