package http3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// network is all that hosts of a row of the table reach each other by: streams for HTTP/1.1 and HTTP/2, datagrams for HTTP/3. It lives in
// memory, so that bubbles of testing/synctest see when all are waiting.
type network struct {
	mu            sync.Mutex
	listeners     map[string]*streamListener // by "host:port"
	sockets       map[netip.AddrPort]*socket
	names         map[string]string // other names, by "host:port"
	datagramNames map[string]netip.AddrPort
	conns         []*streamConn // the clients' ends, in the order of the dials
	port          uint16        // the last that a client was given
}

// latency is how long a datagram is on its way.
const latency = time.Millisecond

func newNetwork() *network {
	return &network{listeners: make(map[string]*streamListener), sockets: make(map[netip.AddrPort]*socket), names: make(map[string]string), datagramNames: make(map[string]netip.AddrPort), port: 50000}
}

func (n *network) clientAddr() netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.port++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, 7}), n.port)
}

// Streams.

type streamListener struct {
	net     *network
	name    string
	addr    netip.AddrPort
	offered chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// listen has name lead to a new listener at addr.
func (n *network) listen(name string, addr netip.AddrPort) *streamListener {
	l := &streamListener{net: n, name: name, addr: addr, offered: make(chan net.Conn, 100), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners[name] = l
	return l
}

func (l *streamListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.offered:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *streamListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		if l.net.listeners[l.name] == l {
			delete(l.net.listeners, l.name)
		}
	})
	return nil
}

func (l *streamListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// dial connects to the listener of that name.
func (n *network) dial(ctx context.Context, name string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	if other := n.names[name]; other != "" {
		name = other
	}
	l := n.listeners[name]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	client, server := streamPair(n.clientAddr(), l.addr)
	n.mu.Lock()
	n.conns = append(n.conns, client)
	n.mu.Unlock()
	select {
	case l.offered <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// streamConn is one end of a connection that takes 64 KiB each way before its writer waits.
type streamConn struct {
	local, remote netip.AddrPort
	in, out       *pipe
}

func streamPair(a, b netip.AddrPort) (*streamConn, *streamConn) {
	ab, ba := newPipe(), newPipe()
	return &streamConn{a, b, ba, ab}, &streamConn{b, a, ab, ba}
}

func (c *streamConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *streamConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *streamConn) CloseWrite() error           { c.out.end(io.EOF); return nil }
func (c *streamConn) LocalAddr() net.Addr         { return net.TCPAddrFromAddrPort(c.local) }
func (c *streamConn) RemoteAddr() net.Addr        { return net.TCPAddrFromAddrPort(c.remote) }

func (c *streamConn) Close() error {
	c.in.abandon()
	c.out.end(io.EOF)
	return nil
}

func (c *streamConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}
func (c *streamConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readDeadline, t)
	return nil
}
func (c *streamConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeDeadline, t)
	return nil
}

// pipe is one direction of a connection.
type pipe struct {
	mu                          sync.Mutex
	cond                        *sync.Cond
	buf                         bytes.Buffer
	err                         error // what the reader gets when buf is empty
	gone                        bool  // the reader's end is closed
	readDeadline, writeDeadline pipeDeadline
}

type pipeDeadline struct {
	timer  *time.Timer
	passed bool
}

const pipeSize = 64 << 10

func newPipe() *pipe {
	p := new(pipe)
	p.cond = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.gone:
			return 0, net.ErrClosed
		case p.readDeadline.passed:
			return 0, os.ErrDeadlineExceeded
		case p.buf.Len() > 0 || len(b) == 0:
			n, _ := p.buf.Read(b)
			p.cond.Broadcast()
			return n, nil
		case p.err != nil:
			return 0, p.err
		}
		p.cond.Wait()
	}
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		switch {
		case p.err != nil:
			return n, net.ErrClosed
		case p.gone:
			return n, syscall.EPIPE
		case p.writeDeadline.passed:
			return n, os.ErrDeadlineExceeded
		}
		room := min(pipeSize-p.buf.Len(), len(b))
		if room <= 0 {
			p.cond.Wait()
			continue
		}
		p.buf.Write(b[:room])
		b, n = b[room:], n+room
		p.cond.Broadcast()
	}
	return n, nil
}

func (p *pipe) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.cond.Broadcast()
}

func (p *pipe) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.buf.Reset()
	p.cond.Broadcast()
}

func (p *pipe) setDeadline(d *pipeDeadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = false
	if !t.IsZero() {
		if left := time.Until(t); left <= 0 {
			d.passed = true
		} else {
			var timer *time.Timer
			timer = time.AfterFunc(left, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				if d.timer == timer {
					d.passed = true
					p.cond.Broadcast()
				}
			})
			d.timer = timer
		}
	}
	p.cond.Broadcast()
}

// Datagrams.

// socket is a net.PacketConn on the network.
type socket struct {
	net     *network
	addr    netip.AddrPort
	arrived chan datagram
	closed  chan struct{}
	once    sync.Once

	mu  sync.Mutex
	cut bool // nothing passes any more, in either direction
}

type datagram struct {
	p    []byte
	from netip.AddrPort
	due  time.Time
}

func (n *network) open(addr netip.AddrPort) *socket {
	s := &socket{net: n, addr: addr, arrived: make(chan datagram, 10000), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sockets[addr] != nil {
		panic(fmt.Sprintf("two sockets at %v", addr))
	}
	n.sockets[addr] = s
	return s
}

func (s *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		select {
		case d := <-s.arrived:
			if left := time.Until(d.due); left > 0 {
				timer := time.NewTimer(left)
				select {
				case <-timer.C:
				case <-s.closed:
					timer.Stop()
					return 0, nil, net.ErrClosed
				}
			}
			if !s.isCut() {
				return copy(p, d.p), net.UDPAddrFromAddrPort(d.from), nil
			}
		case <-s.closed:
			return 0, nil, net.ErrClosed
		}
	}
}

func (s *socket) WriteTo(p []byte, to net.Addr) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	addr, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, err
	}
	s.net.mu.Lock()
	host := s.net.sockets[addr]
	s.net.mu.Unlock()
	if host != nil && !s.isCut() {
		select {
		case host.arrived <- datagram{bytes.Clone(p), s.addr, time.Now().Add(latency)}:
		default: // the network is full
		}
	}
	return len(p), nil
}

func (s *socket) isCut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

func (s *socket) setCut(cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = cut
}

func (s *socket) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		if s.net.sockets[s.addr] == s {
			delete(s.net.sockets, s.addr)
		}
	})
	return nil
}

func (s *socket) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(s.addr) }
func (s *socket) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (s *socket) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (s *socket) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
