package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// ListenAndServeAll serves HTTP/1.1, HTTP/2 and HTTP/3 at one address, over TCP and UDP, as http.ListenAndServeTLS serves the first two. Responses over
// TCP tell clients of HTTP/3 (Alt-Svc). It returns when it fails. See Server.ListenAndServeAll for more.
func ListenAndServeAll(addr, certFile, keyFile string, handler http.Handler) error {
	s := &Server{HTTP: &http.Server{Addr: addr, Handler: handler}}
	return s.ListenAndServeAll(certFile, keyFile)
}

// ListenAndServeAll serves HTTP/1.1 and HTTP/2 over TCP, by HTTP, and HTTP/3 over UDP, at HTTP.Addr with the certificate of the files, which may be
// empty if HTTP.TLSConfig yields one. Port 0 stands for one that is free for both: HTTP.BaseContext is called with listeners that have it, and Endpoints tells it.
//
// HTTP.Handler becomes AltSvcHandler of what it was, so that responses over TCP tell of HTTP/3, as AltSvc says, while there is a listener for it.
//
// After ShutdownAll, CloseAll or HTTP.Shutdown it returns http.ErrServerClosed at once, as net/http does. HTTP.Close has HTTP/3 come to an end as
// Shutdown does. Shutdown and Close end HTTP/3 alone; TCP is served on, and HTTP/3 not advertised any more. When one of the listeners fails, the other one is closed
// as well, and the error returned: requests under way over TCP are finished.
func (s *Server) ListenAndServeAll(certFile, keyFile string) error {
	handler, tc := s.own()
	addr := s.HTTP.Addr
	if addr == "" {
		addr = ":https"
	}
	cfg, err := certificate(tc, certFile, keyFile)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return err
	}
	var h3 <-chan error
	l, err := listenBoth(addr, func(at string) (err error) {
		h3, err = s.begin(cfg, handler, func(lc quicnet.ListenConfig, cfg *quic.Config) (*quicnet.Endpoint, error) {
			return lc.Listen(at, cfg)
		})
		return err
	})
	if errors.Is(err, http.ErrServerClosed) {
		return http.ErrServerClosed
	}
	if err != nil {
		return err
	}
	return s.serveBoth(l, certFile, keyFile, handler, h3)
}

// ServeAll is ListenAndServeAll at sockets of the program's own, such as ListenAll's, which it takes over.
func (s *Server) ServeAll(l net.Listener, pc net.PacketConn, certFile, keyFile string) error {
	if l == nil {
		s.unopened(pc)
		return errors.New("http3: ServeAll was given no listener")
	}
	handler, tc := s.own()
	cfg, err := certificate(tc, certFile, keyFile)
	if err != nil {
		l.Close()
		s.unopened(pc)
		return err
	}
	h3, err := s.begin(cfg, handler, s.openSocket(pc))
	if err != nil {
		l.Close()
		s.unopened(pc)
		return err
	}
	return s.serveBoth(l, certFile, keyFile, handler, h3)
}

// ListenAll opens what ServeAll serves: a TCP listener and a UDP socket of one address. Port 0 stands for one that is free for both.
func ListenAll(addr string) (l net.Listener, pc *net.UDPConn, err error) {
	l, err = listenBoth(addr, func(at string) error {
		to, err := net.ResolveUDPAddr("udp", at)
		if err == nil {
			pc, err = net.ListenUDP("udp", to)
		}
		return err
	})
	return l, pc, err
}

// ShutdownAll is Shutdown of HTTP/3 and HTTP.Shutdown at the same time. It returns when both are done, or with an error of ctx.
func (s *Server) ShutdownAll(ctx context.Context) error {
	hs, tcp := s.overTCP(), make(chan error, 1)
	go func() { tcp <- hs.Shutdown(ctx) }()
	return errors.Join(s.Shutdown(ctx), <-tcp)
}

// CloseAll is Close of HTTP/3 and HTTP.Close.
func (s *Server) CloseAll() error {
	return errors.Join(s.Close(), s.overTCP().Close())
}

// overTCP returns the http.Server that serves TCP, or will.
func (s *Server) overTCP() *http.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ownHTTP()
}

// portTries is how many ports are tried that are free for TCP, until one is free for UDP as well.
const portTries = 50

// listenBoth opens a TCP listener, and has openUDP open what belongs to it, at the same address. Where the system chooses the port and it is taken for
// UDP, another one is tried.
func listenBoth(addr string, openUDP func(addr string) error) (net.Listener, error) {
	for n := 1; ; n++ {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("http3: no TCP listener for HTTP/1.1 and HTTP/2: %w", err)
		}
		if err = openUDP(udpAddr(addr, l.Addr())); err == nil {
			return l, nil
		}
		l.Close()
		if n == portTries || !anyPort(addr) || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("http3: no UDP socket for HTTP/3: %w", err)
		}
	}
}

// anyPort tells whether the system chooses the port of an address.
func anyPort(addr string) bool {
	_, port, _ := net.SplitHostPort(addr)
	n, err := net.LookupPort("tcp", port)
	return err == nil && n == 0
}

// udpAddr is addr with the port of a TCP listener at it.
func udpAddr(addr string, l net.Addr) string {
	host, _, _ := net.SplitHostPort(addr)
	if tcp, ok := l.(*net.TCPAddr); ok {
		return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	return addr
}

// own returns the handler and the configuration of TLS that the program has set. It has HTTP be one that is the server's own.
func (s *Server) own() (http.Handler, *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hs, tc := s.ownHTTP(), s.tcp.tls
	if !s.tcp.serves {
		tc = hs.TLSConfig.Clone() // before another call has it serve
	}
	h := hs.Handler
	if a, ok := h.(altSvcHandler); ok && a.s == s {
		h = a.next
	}
	if h == nil {
		h = http.DefaultServeMux
	}
	return h, tc
}

// advertiseBy has the responses of HTTP tell of HTTP/3, which it is about to serve. Where it does so already, on another listener, it is not touched: its
// goroutines read its fields, and net/http has changed its TLSConfig.
func (s *Server) advertiseBy(handler http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tcp.serves {
		return
	}
	s.HTTP.Handler = altSvcHandler{s, handler}
	s.tcp.serves, s.tcp.tls = true, s.HTTP.TLSConfig.Clone()
}

// begin serves HTTP/3 on an endpoint that open opens, and returns when that is open. What serving ends with comes from the channel.
func (s *Server) begin(cfg *tls.Config, handler http.Handler,
	open func(quicnet.ListenConfig, *quic.Config) (*quicnet.Endpoint, error)) (<-chan error, error) {
	opened, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.serve(nil, true, cfg, handler, func(lc quicnet.ListenConfig, cfg *quic.Config) (*quicnet.Endpoint, error) {
			ep, err := open(lc, cfg)
			if err == nil {
				close(opened)
			}
			return ep, err
		})
	}()
	select {
	case <-opened:
		return ended, nil
	case err := <-ended:
		return nil, err
	}
}

// serveBoth serves TCP, too, and waits for the end of one of the two.
func (s *Server) serveBoth(l net.Listener, certFile, keyFile string, handler http.Handler, h3 <-chan error) error {
	hs := s.HTTP
	s.advertiseBy(handler)
	tcp := make(chan error, 1)
	go func() { tcp <- hs.ServeTLS(l, certFile, keyFile) }()
	for {
		select {
		case err := <-tcp:
			go s.Shutdown(context.Background())
			return err
		case err := <-h3:
			if err == http.ErrServerClosed {
				h3 = nil // HTTP/3 alone, or HTTP as well: then tcp tells
				continue
			}
			l.Close()
			<-tcp
			return err
		}
	}
}
