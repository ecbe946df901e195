package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
)

// RegisterTransport has an http.Transport make its HTTP/3 connections by t, where the running net/http has a hook for that; nil stands for a zero
// Transport. It is called before tr is used, once. Then tr makes all its requests over HTTP/3, in its own pool, with its TLSClientConfig; t
// says what concerns a connection alone, such as QUIC, Dial and MaxResponseHeaderBytes. Proxies are not supported.
//
// Both with Go 1.27 and with 1.28 that takes that tr.Protocols has HTTP3 and nothing else, which no exported function of net/http sets. Where
// it is missing, or there is no hook, the error matches errors.ErrUnsupported, and nothing has changed: a Transport works by itself with all
// versions.
func RegisterTransport(tr *http.Transport, t *Transport) (err error) {
	if t == nil {
		t = new(Transport)
	}
	_, kind := hooks()
	if kind == noHook || !hasHTTP3(tr.Protocols) {
		return errHook("http.Transport", "http3.Transport", kind)
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("http3: net/http refused: %v", v) // it has one already
		}
	}()
	hook := transportHook{t: t, tr: tr}
	if kind == hook128 {
		tr.RegisterProtocol("http/3", &transport128{transportHook: hook})
	} else {
		tr.RegisterProtocol("http/3", &transport127{hook})
	}
	return nil
}

// transportHook is what both shapes of the hook have in common.
type transportHook struct {
	t  *Transport
	tr *http.Transport
}

// RoundTrip makes it an http.RoundTripper, as RegisterProtocol wants. net/http does not call it, but for a URL whose scheme is "http/3".
func (h *transportHook) RoundTrip(req *http.Request) (*http.Response, error) {
	closeBody(req)
	return nil, errors.New(`http3: "http/3" is not the scheme of a URL`)
}

func (h *transportHook) dial(ctx context.Context, addr string, proxy *url.URL, cfg *tls.Config, stateHook func()) (http.RoundTripper, error) {
	if proxy != nil {
		return nil, fmt.Errorf("http3: HTTP/3 through the proxy %s: %w", proxy.Redacted(), errors.ErrUnsupported)
	}
	cc, err := h.t.DialClientConn(ctx, addr, cfg, stateHook)
	if err != nil {
		return nil, err
	}
	return &hookedConn{ClientConn: cc}, nil
}

// transport127 dials for http.Transport of Go 1.27.
type transport127 struct{ transportHook }

func (h *transport127) DialClientConn(ctx context.Context, addr string, proxy *url.URL, stateHook func()) (http.RoundTripper, error) {
	return h.dial(ctx, addr, proxy, h.tr.TLSClientConfig, stateHook)
}

// transport128 dials for http.Transport of Go 1.28, which tells that it has noted it.
type transport128 struct {
	transportHook
	registered bool
}

func (h *transport128) Registered(*http.Transport) { h.registered = true }

func (h *transport128) DialClientConn(ctx context.Context, addr string, proxy *url.URL, cfg *tls.Config, stateHook func()) (http.RoundTripper, error) {
	return h.dial(ctx, addr, proxy, cfg, stateHook)
}

// hookedConn is a connection in the pool of an http.Transport.
type hookedConn struct {
	*ClientConn
	asked atomic.Bool // a request came
}

// RoundTrip has net/http take another connection where this one can be used no more, or the server has not processed the request. net/http does so
// without end, so the first request of a connection fails instead: the server may treat all of them like that.
func (c *hookedConn) RoundTrip(req *http.Request) (*http.Response, error) {
	first := !c.asked.Swap(true)
	if err := c.Err(); err != nil && !first {
		return nil, &overError{err}
	}
	resp, err := c.try(req)
	kind := kindOf(err)
	if err = unwrapFailure(err); !first && (kind == unsent || kind == rejected) && (req.Body == nil || req.Body == http.NoBody) {
		return nil, &overError{err} // a body may still be being read, which net/http does not expect
	}
	return resp, err
}

// overError is what makes net/http drop a connection from its pool and send the request on another one: it looks for the method.
type overError struct{ err error }

func (e *overError) Error() string           { return e.err.Error() }
func (e *overError) Unwrap() error           { return e.err }
func (*overError) IsHTTP2NoCachedConnError() {}
