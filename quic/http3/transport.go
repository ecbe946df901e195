package http3

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// Transport is an http.RoundTripper that speaks HTTP/3 and nothing else, over connections that it keeps and shares as http.Transport does.
// Its zero value is ready to use; it must not be copied, and its fields must not be changed once it is in use (Clone). All its methods are
// for any number of goroutines. Fields that http.Transport has, too, mean the same, with the same defaults unless they say otherwise.
//
// There is one connection to a server as long as its limit on requests at once allows; requests beyond it wait, and after a tenth of a
// second a further connection is opened, if MaxConnsPerHost allows and no connection waits for the server to take its first request.
//
// The net.Conn in httptrace.GotConnInfo has a method QUIC() *quicnet.Conn, which is as ClientConn.QUIC.
//
// A request is sent again, on another connection, when it is certain that the server has not processed it: it was not sent, the server
// has rejected it (H3_REQUEST_REJECTED) or has said by GOAWAY that it will not be served (RFC 9114, section 5.2). Where
// a connection that had worked before is lost while a request waits for its response, the request is sent again if to do it twice does no harm: a
// GET, HEAD, OPTIONS or TRACE, or one with an Idempotency-Key or X-Idempotency-Key. In both cases only if it has no body or http.Request.GetBody can
// give it once more, or nothing was read of it yet.
//
// A request with the method CONNECT is sent as it stands (RFC 9114, section 4.4), and as extended CONNECT (RFC 9220) if its header has
// ":protocol", as with HTTP/2 in net/http: it waits for the server's settings and fails with ErrExtendedConnect if the server does not know
// that. In both, the request's Body goes to the server and the response's Body comes from it, at the same time. See StreamOf for more.
type Transport struct {
	// TLSClientConfig is the configuration of TLS. NextProtos and the versions are ours; a ServerName that is empty is taken from the
	// request's URL. With a ClientSessionCache, sessions are resumed. Default nil: that of the zero tls.Config.
	TLSClientConfig *tls.Config

	// QUIC is the configuration of connections. TLS in it must be nil; HandshakeTimeout is TLSHandshakeTimeout if that is set. The server may
	// open three unidirectional streams at least, whatever MaxStreamsUni says, and none that are bidirectional. ReceiveWindow is 64 MiB by default, so that a
	// hundred responses that nobody reads yet do not keep others from coming. Default nil: that of the zero quic.Config.
	QUIC *quic.Config

	// TLSHandshakeTimeout bounds the handshake, which is that of QUIC and TLS at once, without the look-up of the name. Default 0:
	// quic.Config.HandshakeTimeout, which is 10 s by default.
	TLSHandshakeTimeout time.Duration

	// Dial gives the socket for a connection to addr, "HOST:PORT", and the address that datagrams are sent to, in place of the transport's own
	// socket and the look-up of HOST: for proxies (SOCKS5's UDP ASSOCIATE, CONNECT-UDP), for networks in memory. What the
	// address prints as must be "IP:PORT". The certificate is still that of HOST. The socket is closed with the connection. Where HTTPS records name several
	// places for an origin (AutoTransport), Dial is called for one after the other, a quarter of a second apart or when one has failed, so that calls
	// may be under way at once. When one place has answered, the contexts of the calls for others end, and their sockets are closed. Default nil.
	Dial func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error)

	// EarlyData has requests that are safe (GET, HEAD, OPTIONS, TRACE, without a body) be sent before the handshake is complete, where
	// TLSClientConfig.ClientSessionCache has a session that allows it (0-RTT, RFC 8470). Whoever records them can have them arrive a second
	// time. One that the server answers with 425 (Too Early), or rejects with all early data, is sent again after the handshake. A request whose
	// context has WithoutEarlyData waits for the handshake. Of a name with several addresses the first one is taken to answer then: nobody has waited for it when
	// requests are sent. Where HTTPS records name several places (AutoTransport), there is no early data, since the first one that answers is taken.
	// Default false.
	EarlyData bool

	// EnableDatagrams has HTTP datagrams be taken (RFC 9297), and their use be announced to servers. Default false.
	EnableDatagrams bool

	// DisableKeepAlives has each connection serve one request. Default false.
	DisableKeepAlives bool

	// DisableCompression has no "Accept-Encoding: gzip" be added to requests that say nothing about it, whose responses are decompressed then. Default
	// false.
	DisableCompression bool

	// MaxIdleConns bounds connections without a request, to all servers together: the one that has been idle for longest is closed.
	// Default 0: no bound.
	MaxIdleConns int

	// MaxConnsPerHost bounds connections to a server, those that are being opened included. Requests for which there is no room wait. Default 0: no
	// bound.
	MaxConnsPerHost int

	// IdleConnTimeout is how long a connection without a request is kept. Default 0: until QUIC's idle timeout ends it
	// (quic.Config.MaxIdleTimeout, or less if the server says so).
	IdleConnTimeout time.Duration

	// ResponseHeaderTimeout is how long the response's header may take once the request is sent, its body included. Default 0: as
	// long as it takes.
	ResponseHeaderTimeout time.Duration

	// ExpectContinueTimeout is how long the body of a request with "Expect: 100-continue" is held back for the server's word. Default 0:
	// the body is sent at once.
	ExpectContinueTimeout time.Duration

	// MaxResponseHeaderBytes bounds a response's header, and its trailers, in bytes as RFC 9114, section 4.2.2, counts them, after
	// decompression: name, value and 32 for each field. Servers are told it. Default 0: 10 MiB.
	MaxResponseHeaderBytes int64

	// Logger is told what concerns nobody's request, such as a callback that panicked. Default nil: nothing is logged.
	Logger *slog.Logger

	mu       sync.Mutex
	hosts    map[string]*host // by "HOST:PORT"
	idle     idleList
	endpoint *quicnet.Endpoint // nil while there is no connection
	users    int               // connections, and dials, on it
}

// RoundTrip implements http.RoundTripper. It returns when the response's header is there, perhaps while the request's body is still being
// sent, which ends when the response's Body is closed or read to its end and the request's is not wanted any more.
//
// If the context of the request ends, before or after RoundTrip has returned, the request is cancelled: the error matches that of the context, and the connection
// serves other requests on. Request.Cancel counts until RoundTrip has returned.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := checkRequest(req); err != nil {
		closeBody(req)
		return nil, err
	}
	origin, err := authorityAddr(req.URL)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	r := attempt{req: req, trace: httptrace.ContextClientTrace(req.Context())}
	r.begin()
	return t.send(&r, &route{origin: origin}, true)
}

// Clone returns a Transport of the same settings without connections.
func (t *Transport) Clone() *Transport {
	c := &Transport{
		Dial: t.Dial, EarlyData: t.EarlyData, EnableDatagrams: t.EnableDatagrams,
		TLSHandshakeTimeout: t.TLSHandshakeTimeout, DisableKeepAlives: t.DisableKeepAlives,
		DisableCompression: t.DisableCompression, MaxIdleConns: t.MaxIdleConns, MaxConnsPerHost: t.MaxConnsPerHost,
		IdleConnTimeout: t.IdleConnTimeout, ResponseHeaderTimeout: t.ResponseHeaderTimeout,
		ExpectContinueTimeout: t.ExpectContinueTimeout, MaxResponseHeaderBytes: t.MaxResponseHeaderBytes, Logger: t.Logger,
	}
	if t.TLSClientConfig != nil {
		c.TLSClientConfig = t.TLSClientConfig.Clone()
	}
	if t.QUIC != nil {
		q := *t.QUIC
		c.QUIC = &q
	}
	return c
}

// withoutEarlyData is the key of WithoutEarlyData.
type withoutEarlyData struct{}

// WithoutEarlyData returns a context for requests that are not to be sent as early data, though Transport.EarlyData is set.
func WithoutEarlyData(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutEarlyData{}, true)
}
