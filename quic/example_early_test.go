package quic_test

import (
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// A client keeps the Session of a connection, as bytes that could lie in a file, and begins the next one with a request in its first
// flight. The server sees that the request is early: it may be a recording that somebody plays again, so that it only asks for what
// changes nothing.
func ExampleSession() {
	serverTLS, clientTLS := exampleTLS()
	serverEndpoint, err := quic.NewEndpoint(&quic.Config{TLS: serverTLS, EarlyData: true})
	if err != nil {
		log.Fatal(err)
	}
	clientEndpoint, err := quic.NewEndpoint(nil)
	if err != nil {
		log.Fatal(err)
	}
	buf, done := make([]byte, 1000), false
	server := &node{addr: netip.MustParseAddrPort("192.0.2.1:443"), endpoint: serverEndpoint}
	server.handle = func(c *quic.Conn, ev quic.Event) {
		if ev.Kind == quic.EventReadable {
			n, _, _ := c.StreamRecv(ev.Stream, buf)
			fmt.Printf("the server is asked %q, early: %v\n", buf[:n], c.StreamEarly(ev.Stream))
			c.StreamSend(ev.Stream, []byte("fine"), true)
		}
	}
	var kept []byte
	client := &node{addr: netip.MustParseAddrPort("192.0.2.2:50000"), endpoint: clientEndpoint}
	client.handle = func(c *quic.Conn, ev quic.Event) {
		switch ev.Kind {
		case quic.EventSession: // of which there are several: the last one is kept, for one connection
			if kept, err = ev.Session.MarshalBinary(); err != nil {
				log.Fatal(err)
			}
			done = done || !c.Stats().Resumed
		case quic.EventEarlyReady:
			id, _ := c.OpenStream()
			c.StreamSend(id, []byte("how are you?"), true)
		case quic.EventEarlyData:
			fmt.Println("the server has accepted early data:", ev.Accepted)
		case quic.EventReadable:
			n, _, _ := c.StreamRecv(ev.Stream, buf)
			fmt.Printf("the client is answered %q, resumed: %v\n", buf[:n], c.Stats().Resumed)
			done = true
		case quic.EventClosed:
			log.Fatal(c.Err())
		}
	}

	now := time.Now()
	connect := func(p quic.ConnectParams) {
		p.ServerName, p.Local, p.Remote = "example.test", client.addr, server.addr
		c, err := clientEndpoint.Connect(now, &quic.Config{TLS: clientTLS}, p)
		if err != nil {
			log.Fatal(err)
		}
		client.conns = append(client.conns, c)
		for done = false; !done; now = now.Add(time.Millisecond) {
			var queue []datagram
			for _, d := range client.service(now) {
				queue = append(queue, server.receive(now, d)...)
			}
			for _, d := range append(queue, server.service(now)...) {
				client.receive(now, d)
			}
		}
	}
	connect(quic.ConnectParams{})
	session := new(quic.Session)
	if err := session.UnmarshalBinary(kept); err != nil {
		log.Fatal(err)
	}
	connect(quic.ConnectParams{Session: session, EarlyData: true, ResendEarly: true})
	// Output:
	// the server is asked "how are you?", early: true
	// the server has accepted early data: true
	// the client is answered "fine", resumed: true
}
