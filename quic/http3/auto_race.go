package http3

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
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
	early  chan struct{} // closed when offer is set
	offer  *route        // on which early data can be sent until the handshake is complete
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
	a := &autoAttempt{began: now, before: o.cooldown, on: on, early: make(chan struct{}), done: make(chan struct{})}
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
	a.err = errNoConn // where what led to HTTP/3 is gone
	for _, r := range routes {
		if a.err = t.h3.connect(ctx, r, func() { a.takesEarly(r) }); a.err == nil {
			a.route = r
			break
		}
	}
	if a.err != nil && a.err != errNoConn && t.network.now(time.Now()) == a.on {
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

// takesEarly notes that there is a connection for a route that takes early data. The first one counts: with the next, the head start is over as a rule.
func (a *autoAttempt) takesEarly(r *route) {
	if a.offer == nil {
		a.offer = r
		close(a.early)
	}
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

// race sends a request over HTTP/3 or TCP, whichever is connected first. HTTP/3 counts as connected when the handshake is complete; what may be early data is
// sent before that, within the head start.
func (t *AutoTransport) race(req *http.Request, o *autoOrigin) (*http.Response, error) {
	a := t.connectH3(req.Context(), o)
	var e *earlyRequest
	if d := t.headStart(a); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		var out outcome
		var over bool
		if e, out, over = t.waitForH3(req, o, a, timer.C); over {
			return out.resp, out.err
		}
	}
	select {
	case <-a.done:
		if a.err == nil || e != nil {
			return t.winH3(req, o, a, e)
		}
		return t.overTCP(req, o)
	default:
		return t.bothWays(req, o, a, e)
	}
}

// waitForH3 waits until an attempt to connect is done, or the head start is over. If the request may be early data and can be sent so, it is: e is what has
// become of it. If over is set the request has ended, with out.
func (t *AutoTransport) waitForH3(req *http.Request, o *autoOrigin, a *autoAttempt, end <-chan time.Time) (e *earlyRequest, out outcome, over bool) {
	ctx, early := req.Context(), a.early
	if !mayBeEarly(req) || ctx.Value(withoutEarlyData{}) != nil || req.Cancel != nil {
		early = nil
	}
	for {
		select {
		case <-early:
			early, e = nil, t.sendEarly(req, o, a.offer)
		case out := <-e.outcome():
			if e = nil; !out.again {
				return nil, out, true
			}
		case <-a.done:
			return e, outcome{}, false
		case <-end:
			return e, outcome{}, false
		case <-ctx.Done():
			e.giveUp()
			closeBody(req)
			return nil, outcome{err: ctxerr.Of(ctx)}, true
		case <-req.Cancel:
			closeBody(req)
			return nil, outcome{err: errRequestCanceled}, true
		}
	}
}

// winH3 sends a request over the connection that an attempt has made, if it was not sent as early data, or over TCP if it turns out that it has gone already.
func (t *AutoTransport) winH3(req *http.Request, o *autoOrigin, a *autoAttempt, e *earlyRequest) (*http.Response, error) {
	if e != nil {
		if out := <-e.out; !out.again {
			return out.resp, out.err
		}
		if a.err != nil {
			return t.overTCP(req, o)
		}
	}
	resp, again, err := t.overHTTP3(req, o, a.route)
	if again != nil {
		return t.overTCP(again, o)
	}
	return resp, err
}

// bothWays has TCP connect as well, and sends the request over what is connected first. If it is under way as early data, TCP takes it over only where it is
// connected before the handshake of HTTP/3 is complete.
func (t *AutoTransport) bothWays(req *http.Request, o *autoOrigin, a *autoAttempt, e *earlyRequest) (*http.Response, error) {
	c := newContest(req, e)
	go func() {
		resp, err := t.tcp.RoundTrip(c.req)
		c.tcp <- outcome{resp: resp, err: err} // nobody waits for it if HTTP/3 has won
	}()
	ctx, done := req.Context(), a.done
	var failed error                  // TCP's, which has found no connection
	var ended, cancel <-chan struct{} // once TCP does not look after them
	for failed == nil || done != nil || e != nil {
		select {
		case out := <-e.outcome():
			e = nil
			switch {
			case out.again:
			case c.claim(wonByH3):
				c.cancel()
				return out.resp, out.err
			default:
				out.drop()
			}
		case <-done:
			if done = nil; a.err == nil && c.claim(wonByH3) {
				c.cancel()
				return t.winH3(req, o, a, e)
			}
		case tcp := <-c.tcp:
			if tcp.err == nil {
				e.giveUp()
				tcp.resp.Body = c.until(tcp.resp.Body)
				t.learn(req, o, tcp.resp, nil)
				return tcp.resp, nil
			}
			c.cancel()
			if c.winner.Load() == wonByTCP {
				e.giveUp()
				return nil, tcp.err // it has closed the body
			}
			if !c.sought.Load() || requestEnded(ctx, req) != nil {
				e.giveUp()
				closeBody(req)
				return nil, tcp.err
			}
			failed, ended, cancel = tcp.err, ctx.Done(), req.Cancel // HTTP/3 may find one
		case <-ended:
			e.giveUp()
			closeBody(req)
			return nil, ctxerr.Of(ctx)
		case <-cancel:
			closeBody(req)
			return nil, errRequestCanceled
		}
	}
	t.tcpFailed(o)
	closeBody(req)
	return nil, &bothFailedError{failed, a.err}
}

// earlyRequest is a request under way as early data. It is one that may be repeated, and has no body.
type earlyRequest struct {
	out     chan outcome
	dropped chan struct{} // closed when TCP has taken over
	once    sync.Once
}

// outcome is what has become of a request.
type outcome struct {
	resp  *http.Response
	err   error
	again bool // it is to be sent another way
}

// drop lets go of a response that nobody wants.
func (o *outcome) drop() {
	if o.resp != nil {
		o.resp.Body.Close()
	}
}

// sendEarly sends a request that has no Cancel channel as early data.
func (t *AutoTransport) sendEarly(req *http.Request, o *autoOrigin, r *route) *earlyRequest {
	e := &earlyRequest{out: make(chan outcome, 1), dropped: make(chan struct{})}
	early := *req
	early.Cancel = e.dropped // as a context that ends would, without being tied to the response
	go func() {
		resp, again, err := t.overHTTP3(&early, o, r)
		e.out <- outcome{resp, err, again != nil}
	}()
	return e
}

// outcome returns the channel that tells, nil if e is nil.
func (e *earlyRequest) outcome() <-chan outcome {
	if e == nil {
		return nil
	}
	return e.out
}

// drop cancels the request.
func (e *earlyRequest) drop() {
	if e != nil {
		e.once.Do(func() { close(e.dropped) })
	}
}

// giveUp is drop for the last who might have waited for the outcome.
func (e *earlyRequest) giveUp() {
	if e == nil {
		return
	}
	e.drop()
	go func() {
		out := <-e.out
		out.drop()
	}()
}

// A contest decides which connection a request goes over: the first one that is there claims it.
type contest struct {
	req    *http.Request // what TCP is given
	early  *earlyRequest // that TCP takes over; nil: there is none
	cancel context.CancelFunc
	tcp    chan outcome
	winner atomic.Int32
	sought atomic.Bool // TCP has begun to look for a connection: there is nothing wrong with the request
}

const (
	wonByH3 = 1 + iota
	wonByTCP
)

func newContest(req *http.Request, early *earlyRequest) *contest {
	c := &contest{early: early, tcp: make(chan outcome, 1)}
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
		c.early.drop()
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
