package quic_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// node is an Endpoint with its connections on one address. Where a program has a socket, this one has a list of datagrams.
type node struct {
	addr     netip.AddrPort
	endpoint *quic.Endpoint
	conns    []*quic.Conn
	handle   func(c *quic.Conn, ev quic.Event) // the application
}

type datagram struct {
	b        []byte
	from, to netip.AddrPort
}

// receive gives a datagram to the connection that it is for, and returns the Endpoint's own answer to it, if there is one.
func (n *node) receive(now time.Time, d datagram) []datagram {
	reply := make([]byte, 1500)
	t := quic.Train{Buf: d.b, SegSize: len(d.b), Local: n.addr, Remote: d.from}
	r := n.endpoint.Route(now, t, reply)
	if r.New {
		n.conns = append(n.conns, r.Conn)
	}
	if r.Conn != nil {
		r.Conn.Recv(now, t)
	}
	if r.Reply > 0 {
		return []datagram{{reply[:r.Reply], n.addr, d.from}}
	}
	return nil
}

// service reads the events of every connection, and returns what it has to send.
func (n *node) service(now time.Time) (out []datagram) {
	buf := make([]byte, 64<<10)
	for _, c := range n.conns {
		for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
			switch ev.Kind {
			case quic.EventAsk: // a certificate is to be verified: a busy program does it elsewhere
				ev.Ask.Run()
				c.Answer(ev.Ask)
			case quic.EventEndpoint:
				c.HandleReply(now, n.endpoint.HandleEvent(c, *ev.Endpoint))
			default:
				n.handle(c, ev)
			}
		}
		for t := c.Send(now, buf); t.N > 0; t = c.Send(now, buf) {
			for b := buf[:t.N]; len(b) > 0; b = b[min(t.SegSize, len(b)):] {
				out = append(out, datagram{bytes.Clone(b[:min(t.SegSize, len(b))]), n.addr, t.Remote})
			}
		}
	}
	return out
}

// A server that echoes and a client, without a socket between them.
func Example() {
	serverTLS, clientTLS := exampleTLS()
	serverEndpoint, err := quic.NewEndpoint(&quic.Config{TLS: serverTLS})
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
			n, fin, _ := c.StreamRecv(ev.Stream, buf)
			// Of more than a line StreamSend may take a part: the rest waits for EventWritable.
			c.StreamSend(ev.Stream, bytes.ToUpper(buf[:n]), fin)
		}
	}
	client := &node{addr: netip.MustParseAddrPort("192.0.2.2:50000"), endpoint: clientEndpoint}
	client.handle = func(c *quic.Conn, ev quic.Event) {
		switch ev.Kind {
		case quic.EventHandshakeComplete:
			fmt.Println("connected with", c.TLS().NegotiatedProtocol)
			id, _ := c.OpenStream()
			c.StreamSend(id, []byte("hello, world"), true)
		case quic.EventReadable:
			n, fin, _ := c.StreamRecv(ev.Stream, buf)
			fmt.Printf("received %q, and that is all: %v\n", buf[:n], fin)
			done = true
		case quic.EventClosed:
			fmt.Println(c.Err())
			done = true
		}
	}

	now := time.Now()
	c, err := clientEndpoint.Connect(now, &quic.Config{TLS: clientTLS}, quic.ConnectParams{
		ServerName: "example.test", Local: client.addr, Remote: server.addr,
	})
	if err != nil {
		log.Fatal(err)
	}
	client.conns = append(client.conns, c)
	// Nothing is lost between these two, so that no timer needs to be looked at; a real program calls OnTimeout.
	for !done {
		var queue []datagram
		for _, d := range client.service(now) {
			queue = append(queue, server.receive(now, d)...)
		}
		for _, d := range append(queue, server.service(now)...) {
			client.receive(now, d)
		}
		now = now.Add(time.Millisecond)
	}
	// Output:
	// connected with echo
	// received "HELLO, WORLD", and that is all: true
}

// exampleTLS makes a certificate for the server, and has the client trust it.
func exampleTLS() (server, client *tls.Config) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"example.test"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, NextProtos: []string{"echo"},
	}
	return server, &tls.Config{RootCAs: roots, NextProtos: []string{"echo"}}
}
