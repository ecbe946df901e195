package h3test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// Server is an HTTP/3 server for a test. Its fields may be changed between NewUnstartedServer and Start. It must be closed.
type Server struct {
	// URL is "https://" with the server's address. It is set by Start.
	URL string

	// Config is the http.Server whose handler, timeouts and hooks hold. Its ConnState and BaseContext are called as ever; Start puts functions of
	// its own in front of them.
	Config *http.Server

	// HTTP3 is what says beside Config how to serve. Start sets its field HTTP. Default: an empty one.
	HTTP3 *http3.Server

	// TLS is the configuration of TLS. If it yields no certificate, the test's own is taken. Default nil: an empty one.
	TLS *tls.Config

	// Network is where the server is. Servers that are to reach each other share one. Default: a perfect one of its own.
	Network *quicnettest.Network

	// UDP has it be at a free port of 127.0.0.1 instead, on a socket of the system. Default false.
	UDP bool

	pc          net.PacketConn
	certificate *x509.Certificate
	client      *http.Client
	serving     chan error    // what Serve returned
	ended       chan struct{} // closed when Close has ended all

	mu      sync.Mutex // guards what follows
	states  map[net.Conn]http.ConnState
	changed chan struct{} // holds a token when states has changed
	sockets map[*clientSocket]struct{}
	closed  bool
}

// NewServer starts a server for a handler. It panics if that cannot be.
func NewServer(h http.Handler) *Server {
	s := NewUnstartedServer(h)
	s.Start()
	return s
}

// NewUnstartedServer returns a server that does not run yet, so that its fields can be changed before Start.
func NewUnstartedServer(h http.Handler) *Server {
	return &Server{Config: &http.Server{Handler: h}, HTTP3: new(http3.Server)}
}

// Start starts a server of NewUnstartedServer, which listens when it returns. It panics if that cannot be, such as with a setting that is refused.
func (s *Server) Start() {
	switch {
	case s.URL != "":
		panic("h3test: the server was started already")
	case s.closed:
		panic("h3test: the server was closed before it was started")
	}
	if s.Config == nil {
		s.Config = new(http.Server)
	}
	if s.HTTP3 == nil {
		s.HTTP3 = new(http3.Server)
	}
	var err error
	if s.pc, err = s.listen(); err != nil {
		panic(fmt.Sprintf("h3test: %v", err))
	}
	cfg := s.TLS.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	if len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil {
		cert, _ := pki()
		cfg.Certificates = []tls.Certificate{cert}
	}
	s.TLS = cfg
	roots := x509.NewCertPool()
	if len(cfg.Certificates) > 0 {
		if s.certificate, err = x509.ParseCertificate(cfg.Certificates[0].Certificate[0]); err != nil {
			panic(fmt.Sprintf("h3test: the certificate: %v", err))
		}
		roots.AddCert(s.certificate)
	}
	s.client = &http.Client{Transport: &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Dial: s.Dial}}
	s.states, s.changed = make(map[net.Conn]http.ConnState), make(chan struct{}, 1)
	s.sockets = make(map[*clientSocket]struct{})
	s.wrapConnState()
	opened := s.wrapBaseContext()
	s.HTTP3.HTTP = s.Config
	s.serving, s.ended = make(chan error, 1), make(chan struct{})
	s.URL = "https://" + s.pc.LocalAddr().String()
	go func() { s.serving <- s.HTTP3.ServeHTTP3(nil, s.pc, cfg, nil) }()
	select {
	case <-opened:
	case err := <-s.serving:
		s.URL = ""
		panic(fmt.Sprintf("h3test: %v", err))
	}
}

func (s *Server) listen() (net.PacketConn, error) {
	if s.UDP {
		return net.ListenPacket("udp4", "127.0.0.1:0")
	}
	if s.Network == nil {
		s.Network = quicnettest.NewNetwork(1, quicnettest.Link{})
	}
	return s.Network.ListenPacket("127.0.0.1:0")
}

// wrapBaseContext returns a channel that is closed when the server listens: then BaseContext is called.
func (s *Server) wrapBaseContext() <-chan struct{} {
	opened := make(chan struct{})
	tell := sync.OnceFunc(func() { close(opened) })
	hook := s.Config.BaseContext
	s.Config.BaseContext = func(l net.Listener) context.Context {
		tell()
		if hook != nil {
			return hook(l)
		}
		return context.Background()
	}
	return opened
}

// wrapConnState has the server's connections noted.
func (s *Server) wrapConnState() {
	hook := s.Config.ConnState
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		if s.states[c] = state; state == http.StateClosed {
			delete(s.states, c)
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
		s.mu.Unlock()
		if hook != nil {
			hook(c, state)
		}
	}
}

// Addr returns the server's address, a *net.UDPAddr. It is nil before Start.
func (s *Server) Addr() net.Addr {
	if s.pc == nil {
		return nil
	}
	return s.pc.LocalAddr()
}

// Certificate returns the server's certificate, nil if TLS chooses one for each client, or before Start.
func (s *Server) Certificate() *x509.Certificate { return s.certificate }

// Client returns an http.Client that reaches the server, trusts its certificate, and takes example.com and the names beneath it for the
// server, too. Its Transport is an *http3.Transport, whose fields may be changed before its first request. It is nil before Start. Close
// ends it.
func (s *Server) Client() *http.Client { return s.client }

// Dial is for http3.Transport.Dial of clients: it gives a socket in the server's network, and the address that addr, "HOST:PORT", stands for. A
// HOST is an IP address, or example.com or a name beneath it, which stand for the server.
func (s *Server) Dial(_ context.Context, addr string) (net.PacketConn, net.Addr, error) {
	if s.pc == nil {
		return nil, nil, errors.New("h3test: the server was not started")
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	to, err := s.pc.LocalAddr(), nil
	if host != "example.com" && !strings.HasSuffix(host, ".example.com") {
		if to, err = resolve(addr); err != nil {
			return nil, nil, err
		}
	}
	var pc net.PacketConn
	if s.UDP {
		pc, err = net.ListenPacket("udp4", "127.0.0.1:0")
	} else {
		pc, err = s.Network.ListenPacket("127.0.0.1:0")
	}
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		pc.Close()
		return nil, nil, errClosed
	}
	if s.UDP {
		return pc, to, nil // it ends with its connection
	}
	socket := &clientSocket{PacketConn: pc, s: s}
	s.sockets[socket] = struct{}{}
	return socket, to, nil
}

// resolve reads an address.
func resolve(addr string) (net.Addr, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	if a.IP == nil {
		return nil, fmt.Errorf("h3test: %q names no host", addr)
	}
	return a, nil
}

var errClosed = fmt.Errorf("h3test: the server is closed: %w", net.ErrClosed)

// clientSocket is a client's socket in memory, which Server.Close closes: in a bubble nothing is left then that waits for time to pass.
type clientSocket struct {
	net.PacketConn
	s *Server
}

func (c *clientSocket) Close() error {
	c.s.mu.Lock()
	delete(c.s.sockets, c)
	c.s.mu.Unlock()
	return c.PacketConn.Close()
}

// closePatience is how long Close waits before it says what for, and CloseClientConnections before it gives up.
const closePatience = 5 * time.Second

// Close ends the server, and blocks until all requests are done, as often as it is called. Clients of the network in memory lose their sockets then.
func (s *Server) Close() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	switch {
	case s.URL == "":
		return
	case !first:
		<-s.ended
		return
	}
	defer close(s.ended)
	s.client.CloseIdleConnections()
	timer := time.AfterFunc(closePatience, s.logStates)
	defer timer.Stop()
	s.HTTP3.Shutdown(context.Background()) // without a context that ends there is no error
	if err := <-s.serving; err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Printf("h3test: the server had come to an end: %v", err)
	}
	s.mu.Lock()
	var left []*clientSocket
	for c := range s.sockets {
		left = append(left, c)
	}
	s.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
}

// logStates tells what Close waits for.
func (s *Server) logStates() {
	s.mu.Lock()
	defer s.mu.Unlock()
	log.Printf("h3test: Server.Close waits for requests on %d connections", len(s.states))
	for c, state := range s.states {
		log.Printf("  %v is %v", c.RemoteAddr(), state)
	}
}

// CloseClientConnections closes the connections that there are, with what is under way on them, and waits until that is done.
func (s *Server) CloseClientConnections() {
	s.mu.Lock()
	left := make(map[net.Conn]bool)
	for c := range s.states {
		left[c] = true
	}
	s.mu.Unlock()
	for c := range left {
		c.Close()
	}
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	for len(left) > 0 {
		select {
		case <-s.changed:
		case <-timer.C:
			return
		}
		s.mu.Lock()
		for c := range left {
			if _, open := s.states[c]; !open {
				delete(left, c)
			}
		}
		s.mu.Unlock()
	}
}
