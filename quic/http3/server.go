package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Server serves HTTP/3. Its zero value serves http.DefaultServeMux on UDP port 443, once it is given a certificate. Fields must not be
// changed once it serves. All methods are for any number of goroutines.
type Server struct {
	// HTTP is the http.Server whose fields say what is served and how: Addr (default ":https"), Handler (default http.DefaultServeMux),
	// TLSConfig, ReadTimeout, ReadHeaderTimeout, WriteTimeout, IdleTimeout, MaxHeaderBytes, ConnState, ErrorLog, BaseContext, ConnContext and
	// DisableGeneralOptionsHandler; with Go 1.27 MaxHeaderValueCount. It may serve HTTP/1.1 and HTTP/2 at the same time. Default: an empty one.
	//
	// BaseContext is called with a net.Listener that has nothing but an address. ConnState and ConnContext are called with a net.Conn that
	// has addresses and Close, and cannot be read or written.
	//
	// When HTTP.Shutdown is called this server shuts down as well, by a function that it registers there; HTTP.Shutdown does not wait for it.
	HTTP *http.Server

	// QUIC is the transport's configuration. Its TLS is not used: HTTP.TLSConfig is. Default: that of a zero quic.Config, in which the
	// idle timeout is long enough for HTTP.IdleTimeout.
	QUIC *quic.Config

	// Shards is how many sockets share the address, as quicnet.ListenConfig.Shards has it, for servers that have more to do than one
	// core can. Default 1; negative: one for each core. It is for ListenAndServe and ListenAndServeTLS.
	Shards int

	// Datagrams has clients send HTTP datagrams (RFC 9297), for protocols that are taken over with TakeOver.
	Datagrams bool

	// ExtendedConnect allows extended CONNECT (RFC 9220), by which WebSockets and other protocols run over a stream. Protocol tells of a
	// request which one it asks for.
	ExtendedConnect bool

	// Early says what becomes of requests that came as early data and whose method is not safe. Default EarlyReject.
	Early EarlyPolicy

	// AltSvc is how AltSvcHandler and SetAltSvcHeader advertise this server.
	AltSvc AltSvc

	mu         sync.Mutex // guards what follows
	onShutdown []func()
}

// EarlyPolicy is what a server does with a request whose method is not safe and that came as early data (RFC 8470, section 3).
type EarlyPolicy uint8

// What a server can do with such a request.
const (
	EarlyReject EarlyPolicy = iota // answer 425 (Too Early)
	EarlyWait                      // serve it when the handshake is complete
	EarlyServe                     // serve it at once: the handler looks after itself
)

// AltSvc is what an Alt-Svc field says of a server (RFC 7838).
type AltSvc struct {
	Port   int           // UDP port that clients reach the server at. Default: the one that it listens on
	MaxAge time.Duration // for how long clients remember it, in whole seconds. Default 24 hours; negative: nothing is advertised
}

// errNotYet is what serving fails with until it is built.
var errNotYet = errors.New("http3: serving is not built yet")

// ListenAndServe listens on the UDP address HTTP.Addr and serves until Shutdown or Close, after which it returns http.ErrServerClosed.
// HTTP.TLSConfig must yield a certificate.
func (s *Server) ListenAndServe() error { return errNotYet }

// ListenAndServeTLS is ListenAndServe with a certificate and its key from files in PEM. They may be empty if HTTP.TLSConfig yields one.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error { return errNotYet }

// Serve serves on a socket of the program's own, which it takes over, and closes when it returns. Several calls at once serve on several
// addresses. Only a *net.UDPConn itself is fast.
func (s *Server) Serve(pc net.PacketConn) error { return errNotYet }

// ServeHTTP3 is Serve with a context that those of all requests come from, and with a TLS configuration and a handler in place of those of HTTP.
func (s *Server) ServeHTTP3(ctx context.Context, pc net.PacketConn, cfg *tls.Config, h http.Handler) error {
	return errNotYet
}

// Shutdown ends the server without breaking anything off: clients are told to open no new requests (GOAWAY), those under way come to
// their end, and connections are closed as they become idle. It returns when that is done, or with the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error { return errNotYet }

// Close ends the server and all its connections at once.
func (s *Server) Close() error { return errNotYet }

// RegisterOnShutdown has f be called, on a goroutine of its own, when Shutdown is.
func (s *Server) RegisterOnShutdown(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onShutdown = append(s.onShutdown, f)
}
