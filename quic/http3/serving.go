package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// serving is what the connections of one call of Serve have in common.
type serving struct {
	s           *Server
	http        *http.Server
	handler     http.Handler
	own         bool            // contexts come from BaseContext
	given       context.Context // where they come from if not
	basing      gate
	base        context.Context // for who has called baseContext; nil: BaseContext has panicked
	h3          *h3.Config
	idleTimeout time.Duration
	maxValues   int       // of a header's fields; 0: any number
	listener    *listener // nil: connections are those of Server.Protocol
}

// http returns the http.Server that says how to serve.
func (s *Server) http() *http.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.HTTP == nil {
		return &emptyServer
	}
	return s.HTTP
}

var emptyServer http.Server

// ownHTTP has HTTP be an http.Server of this server's own, if it is not set, and returns it. s.mu is held.
func (s *Server) ownHTTP() *http.Server {
	if s.HTTP == nil {
		s.HTTP = new(http.Server)
	}
	return s.HTTP
}

// alpn is the protocol's name in TLS (RFC 9114, section 3.1).
const alpn = "h3"

// certificate returns a copy of a TLS configuration that yields a certificate. Its protocol is ours, and so is that of the configurations that its
// GetConfigForClient returns.
func certificate(cfg *tls.Config, certFile, keyFile string) (*tls.Config, error) {
	if cfg = cfg.Clone(); cfg == nil {
		cfg = new(tls.Config)
	}
	if certFile != "" || keyFile != "" {
		if certFile == "" || keyFile == "" {
			return nil, errors.New("http3: a certificate needs its key, and a key its certificate: one of the two files was not named")
		}
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("http3: the certificate cannot be used: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil {
		return nil, errors.New("http3: HTTP/3 needs a certificate: name its files, or set Certificates or GetCertificate in http.Server.TLSConfig")
	}
	cfg.NextProtos = []string{alpn}
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil || slices.Contains(chosen.NextProtos, alpn) {
				return chosen, err
			}
			chosen = chosen.Clone() // it may be for TCP too
			chosen.NextProtos = []string{alpn}
			return chosen, nil
		}
	}
	return cfg, nil
}

// newServing returns what connections work with. With own BaseContext says where contexts come from, and ctx is not looked at.
func (s *Server) newServing(ctx context.Context, own bool, h http.Handler) (*serving, error) {
	hs := s.http()
	srv := &serving{s: s, http: hs, handler: h, given: ctx, own: own, idleTimeout: hs.IdleTimeout, maxValues: maxHeaderValues(hs)}
	if h == nil {
		s.mu.Lock() // advertiseBy may be about to change it
		srv.handler = hs.Handler
		s.mu.Unlock()
	}
	if srv.idleTimeout == 0 {
		srv.idleTimeout = hs.ReadTimeout
	}
	maxBytes := hs.MaxHeaderBytes
	if maxBytes <= 0 {
		maxBytes = http.DefaultMaxHeaderBytes
	}
	if maxBytes > maxHeaderBytes {
		return nil, fmt.Errorf("http3: http.Server.MaxHeaderBytes is %d; over HTTP/3 it can be %d at most", maxBytes, maxHeaderBytes)
	}
	if p := s.AltSvc.Port; p < 0 || p > math.MaxUint16 {
		return nil, fmt.Errorf("http3: Server.AltSvc.Port is %d, which is no port", p)
	}
	headerTimeout := hs.ReadHeaderTimeout
	if headerTimeout == 0 {
		headerTimeout = hs.ReadTimeout
	}
	cfg := &h3.Config{
		MaxFieldSectionSize: uint64(maxBytes), HeaderTimeout: max(headerTimeout, 0), Origins: s.Origins,
		EnableConnect: s.ExtendedConnect, EnableDatagrams: s.Datagrams, NoGrease: s.QUIC != nil && s.QUIC.NoGrease,
	}
	var err error
	if srv.h3, err = cfg.Prepare(); err != nil {
		return nil, fmt.Errorf("http3: %w", err)
	}
	return srv, nil
}

// longest is the longest timeout that quic.Config has. Those of net/http may be longer.
const longest = 24 * time.Hour

// quicConfig returns the transport's configuration.
func (srv *serving) quicConfig(tc *tls.Config) *quic.Config {
	cfg := new(quic.Config)
	if srv.s.QUIC != nil {
		*cfg = *srv.s.QUIC
	}
	cfg.TLS = tc
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	for _, d := range []time.Duration{srv.http.ReadHeaderTimeout, srv.http.ReadTimeout, srv.http.WriteTimeout} {
		if d > 0 {
			cfg.HandshakeTimeout = min(cfg.HandshakeTimeout, d)
		}
	}
	if cfg.MaxIdleTimeout == 0 {
		// HTTP's own timeout comes first, since it tells the client.
		cfg.MaxIdleTimeout = max(30*time.Second, min(srv.idleTimeout, longest)+5*time.Second)
	}
	if srv.s.Datagrams && cfg.MaxDatagramFrameSize == 0 {
		cfg.MaxDatagramFrameSize = 65535
	}
	if cfg.EarlyData {
		cfg.EarlyContext = srv.earlyContext(cfg.EarlyContext)
	}
	return cfg
}

// earlyContext returns what tickets are bound to beside a context of the program's own: our settings, which clients rely on in 0-RTT data.
func (srv *serving) earlyContext(own []byte) []byte {
	settings, _ := srv.h3.EarlyContext() // the Config was checked when it was prepared
	return append(own[:len(own):len(own)], settings...)
}

// listener is the endpoint of a call of Serve. The server knows of it before it is opened: a client that comes at once, and whose handler runs, is
// nobody whom Shutdown could overlook.
type listener struct {
	cancel context.CancelFunc // has the call return
	opened chan struct{}      // closed when ep is set, or cannot be
	ep     *quicnet.Endpoint  // guarded by Server.mu until then; nil: there is none
}

func (l *listener) port() int { return l.ep.Addr().(*net.UDPAddr).Port }

// baseContext returns what requests' contexts come from.
func (srv *serving) baseContext(l net.Listener) context.Context {
	srv.basing.do(func() {
		base := srv.given
		if srv.own {
			base = context.Background()
		}
		if hook := srv.http.BaseContext; srv.own && hook != nil {
			if base = hook(l); base == nil {
				panic("http3: BaseContext returned a nil context")
			}
		}
		srv.base = context.WithValue(base, http.ServerContextKey, srv.http)
	})
	if srv.base == nil {
		panic(http.ErrAbortHandler) // BaseContext has panicked, and the log says so
	}
	return srv.base
}

// addrListener is the net.Listener that BaseContext is called with.
type addrListener struct {
	addr  net.Addr
	close func() error
}

func (l addrListener) Addr() net.Addr          { return l.addr }
func (l addrListener) Close() error            { return l.close() }
func (addrListener) Accept() (net.Conn, error) { return nil, errNoData }

// serve serves an endpoint that open opens, until the server or the endpoint ends.
func (s *Server) serve(ctx context.Context, own bool, tc *tls.Config, h http.Handler,
	open func(quicnet.ListenConfig, *quic.Config) (*quicnet.Endpoint, error)) error {
	srv, err := s.newServing(ctx, own, h)
	if err != nil {
		return err
	}
	accepting, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := &listener{cancel: cancel, opened: make(chan struct{})}
	if srv.listener = l; !s.listen(l) {
		return http.ErrServerClosed
	}
	lc := s.ListenConfig
	lc.Protocol = srv.newServerConn
	if lc.OnHandshakeError == nil && lc.Logger == nil {
		lc.OnHandshakeError = srv.onHandshakeError
	}
	ep, err := open(lc, srv.quicConfig(tc))
	closed := s.onOpen(l, ep)
	if err != nil {
		s.unlisten(l)
		return fmt.Errorf("http3: %w", err)
	}
	if closed {
		ep.Close()
		return http.ErrServerClosed
	}
	based := false
	defer func() {
		if !based { // BaseContext has panicked, and nobody will close the endpoint
			ep.Close()
			s.unlisten(l)
		}
	}()
	srv.baseContext(addrListener{ep.Addr(), ep.Close})
	based = true
	_, err = ep.Accept(accepting) // nothing is offered: it waits for the end
	if s.isEnded() {
		return http.ErrServerClosed
	}
	s.unlisten(l)
	return fmt.Errorf("http3: %w", err)
}

// listen notes an endpoint that is about to be opened; false says that the server has come to its end.
func (s *Server) listen(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.listening = append(s.listening, l)
	s.hookLocked()
	return true
}

// onOpen notes that an endpoint is open, or with nil that it cannot be. It tells whether Close was called meanwhile, which did not find it.
func (s *Server) onOpen(l *listener, ep *quicnet.Endpoint) (closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.ep = ep
	close(l.opened)
	s.advertise()
	return s.closed
}

// hook has HTTP.Shutdown call ours.
func (s *Server) hook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hookLocked()
}

func (s *Server) hookLocked() {
	if s.HTTP != nil && !s.hooked {
		s.hooked = true
		s.HTTP.RegisterOnShutdown(func() { s.Shutdown(context.Background()) })
	}
}

func (s *Server) unlisten(l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.listening, l); i >= 0 {
		s.listening = append(s.listening[:i:i], s.listening[i+1:]...) // Shutdown may have the old ones in its hands
	}
	s.advertise()
}

func (s *Server) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// serveHTTP calls the handler, as net/http chooses it.
func (srv *serving) serveHTTP(w *response, r *http.Request) {
	h := srv.handler
	if h == nil {
		h = http.DefaultServeMux
	}
	if r.RequestURI == "*" && r.Method == http.MethodOptions && !srv.http.DisableGeneralOptionsHandler {
		h = http.HandlerFunc(serveOptions)
	}
	h.ServeHTTP(w, r)
}

// serveOptions answers OPTIONS * (RFC 9110, section 9.3.7), and reads a little of a body that has no meaning yet.
func serveOptions(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "0")
	io.Copy(io.Discard, io.LimitReader(r.Body, 4<<10))
}

// onHandshakeError logs what net/http logs.
func (srv *serving) onHandshakeError(remote net.Addr, err error) {
	srv.logf("http3: TLS handshake error from %v: %v", remote, err)
}

// logf writes to http.Server.ErrorLog.
func (srv *serving) logf(format string, args ...any) {
	if l := srv.http.ErrorLog; l != nil {
		l.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// begin sees to it that ConnContext and ConnState were called before a handler is. It runs without locks. Where one of them panics, the connection ends:
// what its handlers rely on is not there.
func (sc *serverConn) begin(x *exchange) {
	begun := false
	defer func() {
		if !begun {
			sc.end()
		}
	}()
	sc.once.do(func() {
		if l := sc.srv.listener; l != nil {
			<-l.opened // a handler finds its own endpoint among Endpoints
		}
		sc.local = sc.conn.LocalAddr()
		ctx := sc.srv.baseContext(addrListener{sc.local, sc.conn.Close})
		if hook := sc.srv.http.ConnContext; hook != nil {
			var c net.Conn
			sc.conn.Do(func(t *quicnet.Turn) { c = sc.netConn(t) })
			if ctx = hook(ctx, c); ctx == nil {
				panic("http3: ConnContext returned a nil context")
			}
		}
		sc.ctx = ctx
		if ctx.Done() != nil {
			sc.follow(ctx)
		}
	})
	sc.states.tell()
	if sc.ctx == nil {
		panic(http.ErrAbortHandler) // it was so with another request
	}
	if sc.ctx.Err() != nil {
		x.ctx.endWith(sc.ctx)
	}
	begun = true
}

// end ends the connection, of which a hook has panicked.
func (sc *serverConn) end() {
	sc.conn.Do(func(t *quicnet.Turn) {
		if !sc.closed {
			sc.h3.Close(t.Now, h3.ErrCodeInternal, "")
			sc.drain(t)
		}
	})
}

// logPanic says, as net/http does, what has panicked for a client.
func (srv *serving) logPanic(remote any, v any) {
	buf := make([]byte, 64<<10)
	buf = buf[:runtime.Stack(buf, false)]
	srv.logf("http3: panic serving %v: %v\n%s", remote, v, buf)
}

// follow has the contexts of all requests end with ctx.
func (sc *serverConn) follow(ctx context.Context) {
	stop := context.AfterFunc(ctx, sc.cancelAll)
	sc.conn.Do(func(*quicnet.Turn) {
		if sc.stop = stop; sc.closed {
			go stop()
		}
	})
}

// cancelAll ends all requests' contexts since the one that they come from has.
func (sc *serverConn) cancelAll() {
	sc.conn.Do(func(t *quicnet.Turn) {
		for x := sc.exchanges; x != nil; x = x.next {
			x.ctx.endWith(sc.ctx)
		}
	})
}
