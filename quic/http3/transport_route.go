package http3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// connect has a connection for a route be in the pool whose handshake is complete: at once if there is one, else it is dialled, or a dial that is under way is
// waited for. early is called when there is one that takes early data until then. If ctx ends meanwhile the dial goes on.
func (t *Transport) connect(ctx context.Context, rt *route, early func()) error {
	for !t.connected(rt) {
		cc, err := t.anyConn(ctx, rt)
		if err != nil {
			return err
		}
		if cc.tls.Load() == nil {
			early()
		}
		select {
		case <-cc.established:
		case <-ctx.Done():
			return ctxerr.Of(ctx)
		}
		if cc.tls.Load() != nil {
			return nil
		}
		if err = cc.Err(); cc.fateOf(err, lost) != unsent && err != errIdleClosed && !t.connected(rt) {
			return fmt.Errorf("http3: dial %s: %w", rt.origin, err)
		}
	}
	return ctxerr.Of(ctx)
}

// anyConn returns a connection for a route that is in the pool, where early data may be all that it takes yet. The error is errNoConn where MaxConnsPerHost
// has those come to their end first that there are.
func (t *Transport) anyConn(ctx context.Context, rt *route) (*ClientConn, error) {
	if err := ctxerr.Of(ctx); err != nil {
		return nil, err
	}
	t.mu.Lock()
	h := t.host(rt)
	if cc := h.serving(); cc != nil {
		t.mu.Unlock()
		return cc, nil
	}
	if len(h.conns) == 0 && h.dials == 0 && !t.mayOpen(h) {
		t.mu.Unlock()
		return nil, errNoConn
	}
	w := &want{ready: make(chan struct{}, 1), ctx: ctx, conn: true}
	t.await(h, w)
	t.mu.Unlock()
	err := t.wait(h, w, nil)
	return w.cc, err
}

// connected tells whether there is a connection for a route that takes requests, and whose handshake is complete.
func (t *Transport) connected(rt *route) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hosts[rt.key()]
	return h != nil && slices.ContainsFunc(h.conns, func(cc *ClientConn) bool { return cc.tls.Load() != nil && cc.takes() })
}

// roundTripOn is RoundTrip over a connection of a route. The error is errNoConn if there is none, and if the request is better sent another way. sent
// tells whether anything of the request may have left; if not, its body was neither read nor closed.
func (t *Transport) roundTripOn(req *http.Request, rt *route) (resp *http.Response, sent bool, err error) {
	if err := checkRequest(req); err != nil {
		return nil, false, err
	}
	r := attempt{req: req, trace: httptrace.ContextClientTrace(req.Context()), altUsed: rt.altUsed, keep: true}
	r.begin()
	resp, err = t.send(&r, rt, false)
	return resp, r.sent || r.wasRead(), err
}

// send sends a request, once or until it is clear what has become of it.
func (t *Transport) send(r *attempt, rt *route, dials bool) (*http.Response, error) {
	var last error
	for {
		cc, err := t.acquire(r, rt, dials)
		if err != nil {
			if err == errNoConn && last != nil {
				err = &noOtherConnError{last}
			}
			r.closeBody()
			return nil, err
		}
		fresh := !cc.worked.Load()
		resp, err := cc.roundTrip(r)
		if err == nil {
			resp.Request = r.req
			return resp, nil
		}
		last = unwrapFailure(err)
		if !dials && r.goesElsewhere(kindOf(err)) {
			r.closeBody()
			return nil, &noOtherConnError{last}
		}
		if err = r.again(fresh, err); err != nil {
			return nil, err
		}
	}
}

// goesElsewhere tells whether a request that has failed on a connection is better sent another way, where there is one, than on this connection again or not at
// all: the server does not want it, or it was early data, which may be repeated, and has had no answer.
func (r *attempt) goesElsewhere(kind failureKind) bool {
	return kind == rejected || kind == elsewhere || kind == unproved && isReplayable(r.req)
}

// noOtherConnError is an errNoConn for a request that is to be sent again, after the cause.
type noOtherConnError struct{ cause error }

func (e *noOtherConnError) Error() string        { return e.cause.Error() }
func (e *noOtherConnError) Unwrap() error        { return e.cause }
func (e *noOtherConnError) Is(target error) bool { return target == errNoConn }

// route is a way to an origin over HTTP/3.
type route struct {
	origin  string   // "host:port": certificates are checked for the host
	addrs   []string // where to connect to, "host:port" each, the preferred one first; nil: to the origin itself
	altUsed string   // value of the Alt-Used field of requests; empty: there is none
	verdict verdict  // nil: nobody wants to know
	stale   bool     // addrs are of HTTPS records that are out of date: it leads to the connection that there is, and is not dialled
}

// verdict is called when it turns out how HTTP/3 works over a route, with locks held. ended is when the connection did, whose end may be found out later by who
// reads a response; zero: it goes on.
type verdict func(how finding, ended time.Time)

// finding is what a verdict says.
type finding uint8

const (
	works     finding = iota // a response has come whole
	fails                    // HTTP/3 does not work there after all
	breaksOff                // a response will not come whole, though the connection goes on
)

// errNoConn is what sending over a route fails with if there is no connection. Nothing was sent then.
var errNoConn = errors.New("http3: no connection")
