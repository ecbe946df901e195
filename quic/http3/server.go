package http3

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// Server serves HTTP/3. Its zero value serves http.DefaultServeMux on UDP port 443, once it is given a certificate. Fields must not be
// changed once it serves. All methods are for any number of goroutines.
type Server struct {
	// HTTP is the http.Server whose fields say what is served and how: Addr (default ":https"), Handler (default http.DefaultServeMux),
	// TLSConfig, ReadTimeout, ReadHeaderTimeout, WriteTimeout, IdleTimeout, MaxHeaderBytes, ConnState, ErrorLog, BaseContext, ConnContext and
	// DisableGeneralOptionsHandler; with Go 1.27 MaxHeaderValueCount. It may serve HTTP/1.1 and HTTP/2 at the same time. Default: an empty one.
	// When it begins to serve TLS net/http writes to its TLSConfig, which Serve and the like read: ListenAndServeAll and ServeAll see to the
	// order; a program that serves TCP in a goroutine of its own has another http.Server do that, as in the example of AltSvcHandler, or gives ServeHTTP3 a copy of
	// the configuration.
	//
	// BaseContext is called with a net.Listener that has nothing but an address and Close. ConnState and ConnContext are called with a net.Conn
	// that has addresses and Close, and cannot be read or written; its method QUIC returns the *quicnet.Conn. One of the two that panics has its
	// connection closed, and ErrorLog told.
	//
	// When HTTP.Shutdown is called this server shuts down as well, by a function that it registers there: HTTP.Shutdown does not wait for
	// it. HTTP.Close does not know of it. Functions that were registered at HTTP are called by HTTP.Shutdown alone.
	HTTP *http.Server

	// QUIC is the transport's configuration. Its TLS is not used: HTTP.TLSConfig is. Where MaxIdleTimeout is 0 it is long enough for
	// HTTP.IdleTimeout. Default: a zero one.
	QUIC *quic.Config

	// ListenConfig is what else quicnet can be told: Shards, for servers that have more to do than one core can, and OnPath, and OnHandshakeError,
	// in place of which HTTP.ErrorLog is written to. Its Protocol is not used, and Shards is for ListenAndServe and
	// ListenAndServeTLS.
	ListenConfig quicnet.ListenConfig

	// Datagrams has clients send HTTP datagrams (RFC 9297), for CONNECT requests, extended ones too, that are taken over with TakeOver. A request of another method
	// of which one comes is ended with H3_DATAGRAM_ERROR (section 2). Default false: none may be sent.
	Datagrams bool

	// ExtendedConnect allows extended CONNECT (RFC 9220), by which WebSockets and other protocols run over a stream. Protocol tells of a
	// request which one it asks for.
	ExtendedConnect bool

	// Origins are what clients are told that the server answers for, beside the one that they have asked (RFC 9412), each like
	// "https://example.org". Its certificate must be good for them. Default: nothing is told.
	Origins []string

	// Early says what becomes of requests that came as early data and whose method is not safe. Default EarlyReject.
	Early EarlyPolicy

	// MinBodyRate is how fast a client must send the body of a request while the handler waits for it, in bytes a second, against clients that keep handlers
	// with a byte now and then. Only the time that the handler waits counts, and ten seconds of it are free. A body that comes too slowly ends with
	// an error that matches os.ErrDeadlineExceeded, as one does for which HTTP.ReadTimeout has passed. A handler that sets a read deadline, by
	// http.ResponseController, has chosen for itself; tunnels (CONNECT, TakeOver) have no such limit. Default 0: none.
	MinBodyRate int

	// AltSvc is how AltSvcHandler and SetAltSvcHeader advertise this server.
	AltSvc AltSvc

	shared struct { // what the connections of Protocol have in common
		sync.Once
		srv *serving
		err error
	}
	advert atomic.Pointer[string] // the value of Alt-Svc; nil: there is none

	mu  sync.Mutex // guards what follows; taken after a connection's lock
	tcp struct {
		serves bool        // ListenAndServeAll or ServeAll has HTTP serve TCP
		tls    *tls.Config // what HTTP.TLSConfig was before
	}
	onShutdown []func()
	hooked     bool // HTTP.Shutdown tells us
	ended      bool // Shutdown or Close was called
	closed     bool // Close was
	listening  []*listener
	conns      map[*serverConn]struct{}
	empty      chan struct{} // closed when no connection is left; nil: nobody waits for that
}

// ListenAndServe listens on the UDP address HTTP.Addr and serves until Shutdown or Close, after which it returns http.ErrServerClosed.
// HTTP.TLSConfig must yield a certificate.
func (s *Server) ListenAndServe() error { return s.ListenAndServeTLS("", "") }

// ListenAndServeTLS is ListenAndServe with a certificate and its key from files in PEM. They may be empty if HTTP.TLSConfig yields one.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	cfg, err := certificate(s.http().TLSConfig, certFile, keyFile)
	if err != nil {
		return err
	}
	addr := s.http().Addr
	if addr == "" {
		addr = ":https"
	}
	return s.serve(context.Background(), true, cfg, nil, func(lc quicnet.ListenConfig, cfg *quic.Config) (*quicnet.Endpoint, error) {
		return lc.Listen(addr, cfg)
	})
}

// Serve serves on a socket of the program's own, which it takes over: it is closed when Shutdown or Close is done, unless
// ListenConfig.Socket.KeepOpen leaves it to another server. Several calls at once serve on several addresses. Only a *net.UDPConn itself is
// fast.
func (s *Server) Serve(pc net.PacketConn) error {
	return s.ServeHTTP3(nil, pc, nil, nil)
}

// ServeHTTP3 is Serve in the shape that net/http's own HTTP/3 has: with a context that those of all requests come from, and a TLS
// configuration and a handler in place of those of HTTP. Each of them may be nil: then it is HTTP's.
func (s *Server) ServeHTTP3(ctx context.Context, pc net.PacketConn, cfg *tls.Config, h http.Handler) error {
	if cfg == nil {
		cfg = s.http().TLSConfig
	}
	cfg, err := certificate(cfg, "", "")
	if err != nil {
		s.unopened(pc)
		return err
	}
	opened, open := false, s.openSocket(pc)
	err = s.serve(ctx, ctx == nil, cfg, h, func(lc quicnet.ListenConfig, cfg *quic.Config) (*quicnet.Endpoint, error) {
		opened = true
		return open(lc, cfg)
	})
	if !opened {
		s.unopened(pc)
	}
	return err
}

// unopened closes a socket that the server was given and did not come to use.
func (s *Server) unopened(pc net.PacketConn) {
	if c, ok := pc.(*net.UDPConn); pc == nil || ok && c == nil {
		return
	}
	if !s.ListenConfig.Socket.KeepOpen {
		pc.Close()
	}
}

// openSocket returns what opens an endpoint on a socket of the program's, which is closed if that fails.
func (s *Server) openSocket(pc net.PacketConn) func(quicnet.ListenConfig, *quic.Config) (*quicnet.Endpoint, error) {
	return func(lc quicnet.ListenConfig, cfg *quic.Config) (*quicnet.Endpoint, error) {
		sock, err := udp.New(pc, s.ListenConfig.Socket)
		if err != nil {
			s.unopened(pc)
			return nil, err
		}
		ep, err := lc.NewEndpoint(sock, cfg)
		if err != nil {
			sock.Close()
		}
		return ep, err
	}
}

// Protocol serves a connection of an endpoint that the program has made itself, as quicnet.ListenConfig.Protocol wants it: so HTTP/3 shares a
// socket with other protocols, and the endpoint is the program's to configure and to close. quic.Config.TLS must have "h3" among NextProtos;
// connections with another protocol are left to the program (nil). Shutdown and Close end the connections, those that come later too, and leave the endpoint
// alone.
//
// Where several such endpoints, or one that is made anew, accept each other's 0-RTT data (quic.Config.EarlyReplay), quic.Config.EarlyContext must be
// what EarlyContext returns.
func (s *Server) Protocol(t *quicnet.Turn) quicnet.Protocol {
	if t.Core.TLS().NegotiatedProtocol != alpn {
		return nil
	}
	s.shared.Do(func() {
		if s.shared.srv, s.shared.err = s.newServing(nil, true, nil); s.shared.err == nil {
			s.hook()
		}
	})
	if s.shared.err != nil {
		t.Core.Close(t.Now, true, uint64(h3.ErrCodeInternal), s.shared.err.Error())
		return nil
	}
	return s.shared.srv.newServerConn(t)
}

// EarlyContext is for quic.Config.EarlyContext of an endpoint that Protocol serves. It stands for the settings that clients remember with their sessions
// and rely on in 0-RTT data (RFC 9114, section 7.2.4.2), such as http.Server.MaxHeaderBytes: a server with other ones rejects that data, and
// clients send it again. Serve, ListenAndServe and the like see to it. The error is that of Check.
func (s *Server) EarlyContext() ([]byte, error) {
	srv, err := s.newServing(nil, true, nil)
	if err != nil {
		return nil, err
	}
	return srv.earlyContext(nil), nil
}

// Check tells what is wrong with the server's fields, in one sentence; nil if nothing is. Those who serve by Protocol call it before.
func (s *Server) Check() error {
	_, err := s.newServing(nil, true, nil)
	return err
}

// Endpoints returns the endpoints that the server listens on, for their Stats, Addr, SetTicketKeys and the like: one for each
// call of ListenAndServe, Serve or the like that has not returned.
func (s *Server) Endpoints() (all []*quicnet.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listening {
		if l.ep != nil {
			all = append(all, l.ep)
		}
	}
	return all
}

// RegisterOnShutdown has f be called, on a goroutine of its own, when Shutdown is.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onShutdown = append(s.onShutdown, f)
}

// Shutdown ends the server without breaking anything off: clients are told to open no new requests (GOAWAY), those under way come to
// their end, and connections are closed as they become idle. Clients whose handshakes are under way are served, too. It returns when that is
// done, or with the error of ctx; what still runs then goes on, and Close ends it. The functions that wait in ListenAndServe, Serve and ServeHTTP3 return at once.
//
// A Server that was shut down cannot be used again.
func (s *Server) Shutdown(ctx context.Context) error {
	conns, listening, first := s.end(false)
	if first {
		s.mu.Lock()
		for _, f := range s.onShutdown {
			go f()
		}
		s.mu.Unlock()
	}
	for _, sc := range conns {
		sc.conn.Do(func(t *quicnet.Turn) { sc.Drain(t) })
	}
	eps, err := refuse(ctx, listening)
	if err != nil {
		return err
	}
	if err := waitFor(ctx, s.whenEmpty()); err != nil {
		return err
	}
	for _, ep := range eps {
		ep.Close()
	}
	return nil
}

// refuse has no clients come any more, and waits for those whose handshakes are under way: whichever of them will be served is known to the
// server when it returns. It returns the endpoints.
func refuse(ctx context.Context, listening []*listener) (eps []*quicnet.Endpoint, err error) {
	for _, l := range listening {
		if isClosed(l.opened) && l.ep != nil { // others may take a while to open
			l.ep.Refuse()
		}
	}
	for _, l := range listening {
		if err := waitFor(ctx, l.opened); err != nil {
			return nil, err
		}
		if l.ep != nil {
			l.ep.Refuse()
			eps = append(eps, l.ep)
		}
	}
	for _, ep := range eps {
		if ep.WaitHandshakes(ctx) != nil {
			return nil, ctx.Err()
		}
	}
	return eps, nil
}

// waitFor waits until ch is closed, or for the error of ctx. Where there is nothing to wait for, ctx does not matter.
func waitFor(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
	case <-ctx.Done():
		if !isClosed(ch) {
			return ctx.Err()
		}
	}
	return nil
}

// Close ends the server and all its connections at once. It is always nil.
func (s *Server) Close() error {
	conns, listening, _ := s.end(true)
	for _, sc := range conns {
		sc.conn.Close()
	}
	for _, l := range listening {
		if isClosed(l.opened) && l.ep != nil { // else whoever opens it closes it
			l.ep.Close()
		}
	}
	return nil
}

// end has the server take no new connections, and returns what there is.
func (s *Server) end(closed bool) (conns []*serverConn, listening []*listener, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = !s.ended
	s.ended, s.closed = true, s.closed || closed
	s.advertise()
	for _, l := range s.listening {
		l.cancel()
	}
	for sc := range s.conns {
		conns = append(conns, sc)
	}
	return conns, s.listening, first
}

// whenEmpty returns a channel that is closed when the server has no connection.
func (s *Server) whenEmpty() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil {
		s.empty = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.empty)
		}
	}
	return s.empty
}

// add notes a connection, and tells whether Shutdown or Close was called, and whether Close was. The connection's lock is held.
func (s *Server) add(sc *serverConn) (ended, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[*serverConn]struct{})
	}
	s.conns[sc] = struct{}{}
	return s.ended, s.closed
}

// remove notes that a connection is closed. The connection's lock is held.
func (s *Server) remove(sc *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, sc)
	if len(s.conns) == 0 && s.empty != nil {
		select {
		case <-s.empty:
		default:
			close(s.empty)
		}
	}
}
