package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// The hook of net/http for an HTTP/3 that is not its own. No version documents it, and it has had two shapes:
//
//	Go 1.27	http.Server calls TLSNextProto["http/3"] from ListenAndServeTLS, http.Transport what RegisterProtocol was given for the
//		scheme "http/3": each only if its Protocols has HTTP3, which no exported function sets.
//	Go 1.28	http.Server.Serve notes a net.Listener with the methods ServeHTTP3 and Shutdown, and ServeTLS serves HTTP/3 where its
//		listener has a method HTTP3PacketConn; the Transport is as before, but that its dialer is given the configuration of TLS.
//
// Which one there is a trial shows, on a Server and a Transport that nobody else has, so that nothing depends on version numbers, and a
// version without any is not changed by it: Go 1.26 would take the registration for that of a URL scheme.

// hookKind is a shape of the hook.
type hookKind uint8

const (
	noHook hookKind = iota
	hook127
	hook128
)

// hooks returns which shapes the running net/http has, for servers and for transports.
var hooks = sync.OnceValues(func() (server, transport hookKind) {
	transport = tryTransport()
	switch {
	case new(http.Server).Serve(&serverHook{}) == nil:
		server = hook128
	case transport == hook127:
		server = hook127 // which nothing shows before it serves
	}
	return server, transport
})

func tryTransport() hookKind {
	b := new(transport128)
	if registers(b) && b.registered {
		return hook128
	}
	// One that knows the scheme refuses what cannot dial, one that does not takes anything.
	if registers(new(transport127)) && !registers(http.NewFileTransport(http.Dir("/"))) {
		return hook127
	}
	return noHook
}

// registers tells whether an http.Transport takes rt for its HTTP/3. It panics if not.
func registers(rt http.RoundTripper) (ok bool) {
	defer func() { ok = recover() == nil }()
	new(http.Transport).RegisterProtocol("http/3", rt)
	return true
}

// hasHTTP3 tells whether Protocols has HTTP3, which nothing but its String tells.
func hasHTTP3(p *http.Protocols) bool { return p != nil && strings.Contains(p.String(), "HTTP3") }

// errHook is why the running net/http does not take this package's HTTP/3.
func errHook(what, instead string, kind hookKind) error {
	why := "it has no hook for that"
	if kind != noHook {
		why = what + ".Protocols has no HTTP3, which no exported function sets"
	}
	return fmt.Errorf("http3: net/http of %s does not take HTTP/3 from here: %s; use %s itself: %w", runtime.Version(), why, instead,
		errors.ErrUnsupported)
}

// RegisterServer has an http.Server serve HTTP/3 by s, where the running net/http has a hook for that; nil stands for a zero Server. It is called
// before hs serves, once. s.HTTP becomes hs, and must be that or nil.
//
// With Go 1.28, hs.ServeTLS then serves HTTP/3 on the sockets that it is given as PacketListener, with the contexts and the handler of hs; hs.Shutdown
// and hs.Close end it. With Go 1.27, hs.ListenAndServeTLS does on UDP, if hs.Protocols has HTTP3, which takes more than net/http
// exports; hs.Shutdown ends it, and hs.Close does not know of it.
//
// Where there is no hook, or HTTP3 is missing, the error matches errors.ErrUnsupported, and nothing has changed: Server.ListenAndServe and
// Server.Serve work with all versions.
func RegisterServer(hs *http.Server, s *Server) (err error) {
	if s == nil {
		s = new(Server)
	}
	if s.HTTP != nil && s.HTTP != hs {
		return errors.New("http3: RegisterServer was given a Server whose HTTP is another http.Server")
	}
	kind, _ := hooks()
	switch {
	case kind == hook128:
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("http3: net/http refused: %v", v) // it has one already
			}
		}()
		if err = hs.Serve(&serverHook{s: s}); err == nil {
			s.HTTP = hs
		}
		return err
	case kind == noHook || !hasHTTP3(hs.Protocols):
		return errHook("http.Server", "http3.Server", kind)
	case hs.TLSNextProto["http/3"] != nil:
		return errors.New("http3: the http.Server has an HTTP/3 already")
	}
	if hs.TLSNextProto == nil {
		hs.TLSNextProto = make(map[string]func(*http.Server, *tls.Conn, http.Handler))
	}
	s.HTTP = hs
	hs.TLSNextProto["http/3"] = s.serve127
	return nil
}

// serverHook is what http.Server.Serve of Go 1.28 notes. To earlier ones it is a net.Listener at its end.
type serverHook struct {
	endedListener
	s *Server
}

// ServeHTTP3 is called by net/http: ctx is of hs.BaseContext, cfg has a certificate and the protocol "h3".
func (l *serverHook) ServeHTTP3(ctx context.Context, pc net.PacketConn, cfg *tls.Config, h http.Handler) error {
	return l.s.ServeHTTP3(ctx, pc, cfg, h)
}

// Shutdown is called by net/http on a goroutine of its own; for Close with a context that has ended.
func (l *serverHook) Shutdown(ctx context.Context) error { return l.s.shutDownOrClose(ctx) }

// shutDownOrClose is Shutdown that closes the server when ctx ends.
func (s *Server) shutDownOrClose(ctx context.Context) error {
	if err := s.Shutdown(ctx); err != nil {
		s.Close()
		return err
	}
	return nil
}

// handler127 is what http.Server of Go 1.27 calls TLSNextProto["http/3"] with.
type handler127 interface {
	http.Handler
	Addr() string
	TLSConfig() *tls.Config
	ListenErrHook(error) // to be called once: ListenAndServeTLS waits for it
	ShutdownContext() context.Context
}

// serve127 serves HTTP/3 for http.Server.ListenAndServeTLS of Go 1.27.
func (s *Server) serve127(hs *http.Server, _ *tls.Conn, h http.Handler) {
	host, ok := h.(handler127)
	if !ok {
		return
	}
	addr := host.Addr()
	if addr == "" {
		addr = ":https"
	}
	cfg, err := certificate(host.TLSConfig(), "", "")
	listening := false
	if err == nil {
		hs.RegisterOnShutdown(func() {
			if ctx := host.ShutdownContext(); ctx != nil {
				s.shutDownOrClose(ctx)
			}
		})
		err = s.serve(nil, true, cfg, h, func(lc quicnet.ListenConfig, cfg *quic.Config) (*quicnet.Endpoint, error) {
			ep, err := lc.Listen(addr, cfg)
			if err == nil {
				listening = true
				host.ListenErrHook(nil)
			}
			return ep, err
		})
	}
	switch {
	case !listening:
		host.ListenErrHook(err)
	case !errors.Is(err, http.ErrServerClosed):
		(&serving{http: hs}).logf("http3: the server on %s has ended: %v", addr, err)
	}
}

// PacketListener is a socket for http.Server.ServeTLS of Go 1.28, which serves HTTP/3 on it if RegisterServer has registered one. Other
// versions, and http.Servers without HTTP/3, are given an error by its Accept.
func PacketListener(pc net.PacketConn) net.Listener { return &packetListener{pc: pc} }

type packetListener struct {
	endedListener
	pc net.PacketConn
}

// HTTP3PacketConn is what net/http looks for.
func (l *packetListener) HTTP3PacketConn() net.PacketConn { return l.pc }
func (l *packetListener) Close() error                    { return l.pc.Close() }
func (l *packetListener) Addr() net.Addr                  { return l.pc.LocalAddr() }

// endedListener is a net.Listener that accepts nothing.
type endedListener struct{}

var errNotForTCP = fmt.Errorf("http3: net/http of %s does not serve HTTP/3 on a listener like this; use http3.Server itself: %w", runtime.Version(),
	errors.ErrUnsupported)

func (endedListener) Accept() (net.Conn, error) { return nil, errNotForTCP }
func (endedListener) Close() error              { return nil }
func (endedListener) Addr() net.Addr            { return &net.UDPAddr{} }
