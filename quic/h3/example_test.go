package h3_test

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
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
)

// host is an Endpoint on an address, with HTTP/3 on its connections. Where a program has a socket, this one has a list of datagrams.
type host struct {
	addr     netip.AddrPort
	endpoint *quic.Endpoint
	conns    []*quic.Conn
	http     map[*quic.Conn]*h3.Conn
	begin    func(c *h3.Conn)
	handle   func(c *h3.Conn, ev *h3.Event) // the application
}

type packet struct {
	b        []byte
	from, to netip.AddrPort
}

func (h *host) receive(now time.Time, p packet) {
	t := quic.Train{Buf: p.b, SegSize: len(p.b), Local: h.addr, Remote: p.from}
	r := h.endpoint.Route(now, t, make([]byte, 1500))
	if r.New {
		h.conns = append(h.conns, r.Conn)
	}
	if r.Conn != nil {
		r.Conn.Recv(now, t)
	}
}

// service reads the events of every connection, and returns what it has to send.
func (h *host) service(now time.Time) (out []packet) {
	buf := make([]byte, 64<<10)
	for _, c := range h.conns {
		for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
			switch ev.Kind {
			case quic.EventAsk:
				ev.Ask.Run()
				c.Answer(ev.Ask)
			case quic.EventEndpoint:
				c.HandleReply(now, h.endpoint.HandleEvent(c, *ev.Endpoint))
			default:
				h.event(now, c, &ev)
			}
		}
		for t := c.Send(now, buf); t.N > 0; t = c.Send(now, buf) {
			for b := buf[:t.N]; len(b) > 0; b = b[min(t.SegSize, len(b)):] {
				out = append(out, packet{bytes.Clone(b[:min(t.SegSize, len(b))]), h.addr, t.Remote})
			}
		}
	}
	return out
}

// event gives an event of the core to HTTP/3, which begins with the end of the handshake, and reads what it has to tell.
func (h *host) event(now time.Time, c *quic.Conn, ev *quic.Event) {
	if ev.Kind == quic.EventHandshakeComplete {
		conn, err := h3.New(now, c, nil)
		if err != nil {
			log.Fatal(err)
		}
		h.http[c] = conn
		if h.begin != nil {
			h.begin(conn)
		}
	}
	conn := h.http[c]
	if conn == nil {
		return
	}
	conn.HandleEvent(now, ev)
	for ev := conn.NextEvent(); ev != nil; ev = conn.NextEvent() {
		h.handle(conn, ev)
	}
}

// A server that answers a client's request, without a socket between them.
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
	now, done := time.Now(), false
	server := &host{addr: netip.MustParseAddrPort("192.0.2.1:443"), endpoint: serverEndpoint, http: map[*quic.Conn]*h3.Conn{}}
	server.handle = func(c *h3.Conn, ev *h3.Event) {
		if ev.Kind == h3.EventRequest {
			body := []byte("hello, " + ev.Message.Path[1:])
			// Of more than a little SendResponse may take a part: the rest waits for EventWritable.
			if _, err := c.SendResponse(now, ev.Stream, &h3.Message{Status: 200, Fields: []qpack.Field{
				{Name: "content-type", Value: "text/plain"},
			}}, body, true); err != nil {
				log.Fatal(err)
			}
		}
	}
	client := &host{addr: netip.MustParseAddrPort("192.0.2.2:50000"), endpoint: clientEndpoint, http: map[*quic.Conn]*h3.Conn{}}
	client.begin = func(c *h3.Conn) {
		request := &h3.Message{Method: "GET", Scheme: "https", Authority: "example.test", Path: "/world"}
		if _, _, err := c.SendRequest(now, request, nil, true); err != nil {
			log.Fatal(err)
		}
	}
	client.handle = func(c *h3.Conn, ev *h3.Event) {
		switch ev.Kind {
		case h3.EventResponse:
			fmt.Println(ev.Message.Status, ev.Message.Fields[0].Canonical, ev.Message.Fields[0].Value)
		case h3.EventData:
			b := make([]byte, 100)
			n, fin, err := c.StreamRecv(ev.Stream, b)
			fmt.Printf("%q, and that is all: %v %v\n", b[:n], fin, err)
			done = true
		}
	}
	c, err := clientEndpoint.Connect(now, &quic.Config{TLS: clientTLS}, quic.ConnectParams{
		ServerName: "example.test", Local: client.addr, Remote: server.addr,
	})
	if err != nil {
		log.Fatal(err)
	}
	client.conns = append(client.conns, c)
	for !done { // nothing is lost between these two, so that no timer needs to be looked at
		for _, p := range client.service(now) {
			server.receive(now, p)
		}
		for _, p := range server.service(now) {
			client.receive(now, p)
		}
		now = now.Add(time.Millisecond)
	}
	// Output:
	// 200 Content-Type text/plain
	// "hello, world", and that is all: true <nil>
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
	server = &tls.Config{NextProtos: []string{"h3"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	return server, &tls.Config{NextProtos: []string{"h3"}, RootCAs: roots}
}
