// Command coreloop drives the bare core, package quic, with sockets and loops of its own: no goroutine, clock or
// socket is the library's. A client sends a line, a server sends it back in capitals.
//
//	go run ./examples/coreloop
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/boringquic/boringquic/examples/localhost"
	"github.com/boringquic/boringquic/quic"
)

// loop is one socket with its endpoint and the connections that are routed over it.
type loop struct {
	socket *net.UDPConn
	local  netip.AddrPort
	ep     *quic.Endpoint
	conns  map[*quic.Conn]bool
	handle func(c *quic.Conn, ev quic.Event) // the application
}

func newLoop(cfg *quic.Config, handle func(*quic.Conn, quic.Event)) *loop {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		log.Fatal(err)
	}
	ep, err := quic.NewEndpoint(cfg)
	if err != nil {
		log.Fatal(err)
	}
	local := socket.LocalAddr().(*net.UDPAddr).AddrPort()
	return &loop{socket, local, ep, make(map[*quic.Conn]bool), handle}
}

// run reads, routes, reacts and sends until done is closed, or until the last connection is gone if done is nil.
func (l *loop) run(done <-chan struct{}) {
	buf := make([]byte, 64<<10)
	reply := make([]byte, 1500)
	for {
		select {
		case <-done:
			return
		default:
		}
		if done == nil && len(l.conns) == 0 {
			return
		}
		l.socket.SetReadDeadline(l.deadline())
		n, remote, err := l.socket.ReadFromUDPAddrPort(buf)
		now := time.Now()
		switch {
		case err == nil:
			l.route(now, quic.Train{Buf: buf[:n], Local: l.local, Remote: remote}, reply)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			log.Fatal(err)
		}
		for c := range l.conns {
			if at, ok := c.Timeout(); ok && !now.Before(at) {
				c.OnTimeout(now)
			}
			l.service(now, c)
		}
	}
}

// route gives a train to the connections that it is for, or sends the endpoint's own reply.
func (l *loop) route(now time.Time, t quic.Train, reply []byte) {
	for len(t.Buf) > 0 {
		r := l.ep.Route(now, t, reply)
		if r.Reply > 0 {
			l.socket.WriteToUDPAddrPort(reply[:r.Reply], t.Remote)
		}
		if r.Conn != nil {
			l.conns[r.Conn] = true
			part := t
			part.Buf = t.Buf[:r.N]
			r.Conn.Recv(now, part)
		}
		t.Buf = t.Buf[r.N:]
	}
}

// service drains a connection's events and sends what it has to send.
func (l *loop) service(now time.Time, c *quic.Conn) {
	for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
		switch ev.Kind {
		case quic.EventAsk: // TLS wants a certificate verified: user code, which a busy program runs elsewhere
			ev.Ask.Run()
			c.Answer(ev.Ask)
		case quic.EventEndpoint:
			c.HandleReply(now, l.ep.HandleEvent(c, *ev.Endpoint))
		case quic.EventDrained:
			delete(l.conns, c)
			c.Release()
			return
		default:
			l.handle(c, ev)
		}
	}
	var train [16 << 10]byte
	for t := c.Send(now, train[:]); t.N > 0; t = c.Send(now, train[:]) {
		for b := train[:t.N]; len(b) > 0; b = b[min(t.SegSize, len(b)):] {
			l.socket.WriteToUDPAddrPort(b[:min(t.SegSize, len(b))], t.Remote)
		}
	}
}

// deadline is when the first connection needs OnTimeout, and at most 50 ms away.
func (l *loop) deadline() time.Time {
	first := time.Now().Add(50 * time.Millisecond)
	for c := range l.conns {
		if at, ok := c.Timeout(); ok && at.Before(first) {
			first = at
		}
	}
	return first
}

// shout is the server's application: what a stream brings goes back in capitals.
func shout(c *quic.Conn, ev quic.Event) {
	if ev.Kind != quic.EventReadable {
		return
	}
	var buf [1024]byte
	for {
		n, fin, err := c.StreamRecv(ev.Stream, buf[:])
		if err != nil { // the client has given up: so do we, or the stream would stay
			c.StreamShutdown(ev.Stream, quic.WriteDirection, 0)
			return
		}
		if n == 0 && !fin {
			return
		}
		// Of more than a line StreamSend may take a part: the rest would have to wait for EventWritable.
		c.StreamSend(ev.Stream, bytes.ToUpper(buf[:n]), fin)
		if fin {
			return
		}
	}
}

// ask is the client's application: one stream, one line, one answer.
func ask(c *quic.Conn, ev quic.Event) {
	switch ev.Kind {
	case quic.EventHandshakeComplete:
		id, err := c.OpenStream()
		if err != nil {
			log.Fatal(err)
		}
		c.StreamSend(id, []byte("hello over the bare core"), true)
	case quic.EventReadable:
		var buf [1024]byte
		n, _, err := c.StreamRecv(ev.Stream, buf[:])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("the server answered %q\n", buf[:n])
		c.Close(time.Now(), true, 0, "done")
	case quic.EventClosed:
		var app *quic.ApplicationError
		if !errors.As(c.Err(), &app) {
			log.Fatal(c.Err())
		}
	}
}

func main() {
	serverTLS, clientTLS := localhost.TLS("example")
	server := newLoop(&quic.Config{TLS: serverTLS}, shout)
	done := make(chan struct{})
	go server.run(done)
	defer close(done)

	client := newLoop(nil, ask)
	c, err := client.ep.Connect(time.Now(), &quic.Config{TLS: clientTLS}, quic.ConnectParams{
		ServerName: "localhost", Local: client.local, Remote: server.local,
	})
	if err != nil {
		log.Fatal(err)
	}
	client.conns[c] = true
	client.service(time.Now(), c)
	client.run(nil)
}
