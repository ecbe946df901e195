package http3

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// attemptTimeout bounds an attempt to connect over HTTP/3, all routes taken together.
const attemptTimeout = 30 * time.Second

// autoAttempt is an attempt to connect to an origin over HTTP/3, which all requests to it share. It belongs to none of them, and goes on when
// they end: so it is found out whether HTTP/3 works.
type autoAttempt struct {
	began  time.Time
	before cooldown      // what it was when the attempt began
	on     networkID     // what there was then
	done   chan struct{} // closed when what follows is set
	route  *route        // that there is a connection for
	err    error
}

// connectH3 returns the attempt to connect to an origin that is under way, or begins one.
func (t *AutoTransport) connectH3(ctx context.Context, o *autoOrigin) *autoAttempt {
	now := time.Now()
	on := t.network.now(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.attempt != nil {
		return o.attempt
	}
	a := &autoAttempt{began: now, before: o.cooldown, on: on, done: make(chan struct{})}
	o.attempt = a
	var routes []*route
	if r := t.route(o, now); r != nil && !r.stale {
		routes = o.routes
	}
	// As with net/http, the hooks of httptrace in the request's context tell of the dial that it caused.
	go t.try(context.WithoutCancel(ctx), o, a, routes)
	return a
}

// try connects over the first of routes that works.
func (t *AutoTransport) try(ctx context.Context, o *autoOrigin, a *autoAttempt, routes []*route) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	a.err = errNoConn // what led to HTTP/3 is gone
	for _, r := range routes {
		if a.err = t.h3.connect(ctx, r); a.err == nil {
			a.route = r
			break
		}
	}
	if a.err != nil && len(routes) > 0 && t.network.now(time.Now()) == a.on {
		t.failed(o, time.Time{})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o.attempt = nil
	if a.route != nil {
		o.works = a.route.key()
		o.preferWorking()
	}
	close(a.done)
}

// headStart is how long TCP still waits for an attempt over HTTP/3. That began with the first request that wanted it, and where it has
// failed before, nothing waits for it.
func (t *AutoTransport) headStart(a *autoAttempt) time.Duration {
	d := t.RaceDelay
	if d == 0 {
		d = defaultRaceDelay
	}
	if a.before.recent() {
		d = 0
	}
	return d - time.Since(a.began)
}

// race sends a request over HTTP/3 or TCP, whichever is connected first.
func (t *AutoTransport) race(req *http.Request, o *autoOrigin) (*http.Response, error) {
	ctx := req.Context()
	a := t.connectH3(ctx, o)
	if d := t.headStart(a); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-a.done:
		case <-timer.C:
		case <-ctx.Done():
			closeBody(req)
			return nil, ctxerr.Of(ctx)
		case <-req.Cancel:
			closeBody(req)
			return nil, errRequestCanceled
		}
	}
	select {
	case <-a.done:
		if a.err == nil {
			return t.winH3(req, o, a)
		}
		return t.overTCP(req, o)
	default:
		return t.bothWays(req, o, a)
	}
}

// winH3 sends a request over the connection that an attempt has made, or over TCP if it turns out that it has gone already.
func (t *AutoTransport) winH3(req *http.Request, o *autoOrigin, a *autoAttempt) (*http.Response, error) {
	resp, again, err := t.overHTTP3(req, o, a.route)
	if again != nil {
		return t.overTCP(again, o)
	}
	return resp, err
}

// bothWays has TCP connect as well, and sends the request over what is connected first.
func (t *AutoTransport) bothWays(req *http.Request, o *autoOrigin, a *autoAttempt) (*http.Response, error) {
	c := newContest(req)
	go func() {
		resp, err := t.tcp.RoundTrip(c.req)
		c.tcp <- tcpOutcome{resp, err} // nobody waits for it if HTTP/3 has won
	}()
	var tcp tcpOutcome
	select {
	case <-a.done:
		if a.err == nil && c.claim(wonByH3) {
			c.cancel()
			return t.winH3(req, o, a)
		}
		tcp = <-c.tcp
	case tcp = <-c.tcp:
	}
	if tcp.err == nil {
		tcp.resp.Body = c.until(tcp.resp.Body)
		t.learn(req, o, tcp.resp, nil)
		return tcp.resp, nil
	}
	defer c.cancel()
	if c.winner.Load() == wonByTCP {
		return nil, tcp.err // it has closed the body
	}
	if ctx := req.Context(); c.sought.Load() && requestEnded(ctx, req) == nil {
		// TCP found no connection. HTTP/3 may.
		select {
		case <-a.done:
		case <-ctx.Done():
			closeBody(req)
			return nil, ctxerr.Of(ctx)
		case <-req.Cancel:
			closeBody(req)
			return nil, errRequestCanceled
		}
		if a.err == nil && c.claim(wonByH3) {
			return t.winH3(req, o, a)
		}
		t.tcpFailed(o)
		tcp.err = &bothFailedError{tcp.err, a.err}
	}
	closeBody(req)
	return nil, tcp.err
}

// A contest decides which connection a request goes over: the first one that is there claims it.
type contest struct {
	req    *http.Request // what TCP is given
	cancel context.CancelFunc
	tcp    chan tcpOutcome
	winner atomic.Int32
	sought atomic.Bool // TCP has begun to look for a connection: there is nothing wrong with the request
}

const (
	wonByH3 = 1 + iota
	wonByTCP
)

type tcpOutcome struct {
	resp *http.Response
	err  error
}

func newContest(req *http.Request) *contest {
	c := &contest{tcp: make(chan tcpOutcome, 1)}
	ctx, cancel := context.WithCancel(req.Context())
	c.cancel = cancel
	c.req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.sought.Store(true) },
		GotConn: c.gotConn,
	}))
	if req.Body != nil && req.Body != http.NoBody {
		c.req.Body = &contestBody{c, req.Body}
	}
	return c
}

// claim gives the request to one side, and tells whether it is that side's.
func (c *contest) claim(side int32) bool {
	return c.winner.CompareAndSwap(0, side) || c.winner.Load() == side
}

// gotConn is called by http.Transport when it has a connection, before it writes the request. If HTTP/3 has the request by then, it
// must not be written. The context is cancelled, which HTTP/2 asks right before it writes HEADERS. HTTP/1.1 does not ask, but its connection
// is for this request alone, and nothing can be written to it any more once it is closed.
func (c *contest) gotConn(info httptrace.GotConnInfo) {
	if c.claim(wonByTCP) {
		return
	}
	c.cancel()
	if tc, ok := info.Conn.(*tls.Conn); ok && tc.ConnectionState().NegotiatedProtocol == "h2" {
		return
	}
	info.Conn.Close()
}

// contestBody is a request's body for TCP, which does not touch it before the request is its own.
type contestBody struct {
	c    *contest
	body io.ReadCloser
}

func (b *contestBody) Read(p []byte) (int, error) {
	if !b.c.claim(wonByTCP) {
		return 0, context.Canceled
	}
	return b.body.Read(p)
}

func (b *contestBody) Close() error {
	if b.c.winner.Load() != wonByTCP {
		return nil
	}
	return b.body.Close()
}

// until returns the body of a response over TCP such that the context of the contest is let go of at its end.
func (c *contest) until(body io.ReadCloser) io.ReadCloser {
	b := contestResponse{body, c.cancel}
	if w, ok := body.(io.Writer); ok { // 101 (Switching Protocols)
		return struct {
			contestResponse
			io.Writer
		}{b, w}
	}
	return b
}

type contestResponse struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b contestResponse) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.cancel()
	}
	return n, err
}

func (b contestResponse) Close() error {
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

// bothFailedError is that of a request for which there was no connection of either kind. For programs it is what TCP says.
type bothFailedError struct{ tcp, h3 error }

func (e *bothFailedError) Error() string { return e.tcp.Error() + "; and over HTTP/3: " + e.h3.Error() }

func (e *bothFailedError) Unwrap() error { return e.tcp }

// Timeout makes this a net.Error that passes on what TCP says.
func (e *bothFailedError) Timeout() bool {
	t, ok := e.tcp.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary is as Timeout.
func (e *bothFailedError) Temporary() bool { return e.Timeout() }
