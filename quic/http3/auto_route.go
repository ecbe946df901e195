package http3

import (
	"container/list"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// isOrigin tells whether the route is that to the origin itself, which nobody but the program has asked for.
func (r *route) isOrigin() bool { return r.addrs == nil }

// maxOrigins bounds the origins of which alternatives, records and failures are known: the one used longest ago goes.
const maxOrigins = 1000

// autoOrigin is what is known of an origin. AutoTransport.mu guards what follows the first fields.
type autoOrigin struct {
	key, host, port string

	altSvc string // the field that alts are from
	alts   []Alternative

	records      []string  // where HTTPS records say that HTTP/3 is, "host:port"; nil: they do not
	recordsUntil time.Time // when that is asked again
	asking       *httpsLookup

	routes     []*route // what follows from the above; nil: it is to be found out
	routeUntil time.Time
	best       int // the one of routes that worked last

	cooldown cooldown
	attempt  *autoAttempt // under way; nil: none
}

// originTable is the origins by key, the one used last at the front.
type originTable struct {
	byKey map[string]*list.Element
	used  list.List
}

func (ot *originTable) find(key string) *autoOrigin {
	e := ot.byKey[key]
	if e == nil {
		return nil
	}
	ot.used.MoveToFront(e)
	return e.Value.(*autoOrigin)
}

func (ot *originTable) add(o *autoOrigin) {
	if ot.byKey == nil {
		ot.byKey = make(map[string]*list.Element)
	}
	ot.byKey[o.key] = ot.used.PushFront(o)
	if ot.used.Len() > maxOrigins {
		last := ot.used.Remove(ot.used.Back()).(*autoOrigin)
		delete(ot.byKey, last.key)
	}
}

// origin returns what is known of an origin.
func (t *AutoTransport) origin(key string) *autoOrigin {
	t.mu.Lock()
	o := t.origins.find(key)
	t.mu.Unlock()
	if o != nil {
		return o
	}
	o = &autoOrigin{key: key}
	o.host, o.port, _ = net.SplitHostPort(key)
	if t.Alternatives != nil {
		o.alts = t.Alternatives.Get(key)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.origins.find(key); known != nil {
		return known
	}
	t.origins.add(o)
	return o
}

// route returns the way to an origin over HTTP/3 that is tried first; nil: none is known. t.mu is held.
func (t *AutoTransport) route(o *autoOrigin, now time.Time) *route {
	if o.routes == nil || !now.Before(o.routeUntil) {
		t.findRoutes(o, now)
	}
	if len(o.routes) == 0 {
		return nil
	}
	return o.routes[o.best]
}

// findRoutes sets what follows from alternatives and records: alternatives count for more, since they are the origin's own word.
func (t *AutoTransport) findRoutes(o *autoOrigin, now time.Time) {
	o.routes, o.best, o.routeUntil = []*route{}, 0, now.Add(maxHTTPSTTL)
	for _, a := range o.alts {
		if now.Before(a.Expires) && len(o.routes) < maxAlternatives {
			o.routes = append(o.routes, &route{origin: o.key, addrs: []string{a.addr(o.host)}, altUsed: altUsed(a, o.host)})
			o.routeUntil = earlier(o.routeUntil, a.Expires)
		}
	}
	switch {
	case len(o.routes) > 0:
	case t.Always:
		o.routes = append(o.routes, &route{origin: o.key})
	case len(o.records) > 0 && now.Before(o.recordsUntil):
		o.routes = append(o.routes, &route{origin: o.key, addrs: o.records})
		o.routeUntil = earlier(o.routeUntil, o.recordsUntil)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// altUsed is what requests to an alternative say in their Alt-Used field (RFC 7838, section 5).
func altUsed(a Alternative, originHost string) string {
	host, port, _ := net.SplitHostPort(a.addr(originHost))
	switch {
	case port != "443":
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// advertise takes over what an Alt-Svc field of a response of the origin says.
func (t *AutoTransport) advertise(o *autoOrigin, h map[string][]string) {
	text := strings.Join(h["Alt-Svc"], ",")
	now := time.Now()
	t.mu.Lock()
	if text == o.altSvc && !staleSoon(o.alts, now) {
		t.mu.Unlock()
		return
	}
	alts, told := alternatives(h, now)
	if !told {
		t.mu.Unlock()
		return
	}
	o.altSvc = text
	o.alts = alts
	if len(alts) == 0 {
		o.altSvc = ""
	}
	o.routes = nil
	t.mu.Unlock()
	t.keep(o.key, alts)
}

// staleSoon tells whether alternatives are so old that a response which repeats them is worth reading.
func staleSoon(alts []Alternative, now time.Time) bool {
	for _, a := range alts {
		if a.Expires.Sub(now) < defaultAltAge*time.Second/2 {
			return true
		}
	}
	return false
}

func (t *AutoTransport) keep(key string, alts []Alternative) {
	if t.Alternatives != nil {
		t.Alternatives.Put(key, alts)
	}
}

// forget forgets the alternatives or records that a route is from.
func (t *AutoTransport) forget(o *autoOrigin, r *route) {
	t.mu.Lock()
	if len(o.routes) == 0 || o.routes[o.best] != r {
		t.mu.Unlock()
		return // something else holds by now
	}
	fromAlts := r.altUsed != ""
	var left []Alternative
	if fromAlts {
		for _, a := range o.alts {
			if a.addr(o.host) != r.addrs[0] {
				left = append(left, a)
			}
		}
		o.alts, o.altSvc = left, ""
	} else {
		o.records = nil // until recordsUntil
	}
	o.routes = nil
	t.mu.Unlock()
	if fromAlts {
		t.keep(o.key, left)
	}
}

// isConnFailure tells whether an error means that HTTP/3 does not work with a server, rather than that a request, or a server that goes away,
// ended as they may.
func isConnFailure(err error) bool {
	var transport *quic.TransportError
	var idle *quic.IdleTimeoutError
	var version *quic.VersionNegotiationError
	var app *quic.ApplicationError
	if errors.As(err, &app) {
		return app.Code != uint64(h3.ErrCodeNoError)
	}
	return errors.As(err, &transport) || errors.As(err, &idle) || errors.As(err, &version)
}
