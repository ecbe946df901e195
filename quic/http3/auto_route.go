package http3

import (
	"container/list"
	"errors"
	"hash/maphash"
	"net"
	"slices"
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

	altSvc   uint64    // hash of the field that alts are from; 0: of none
	altAgain time.Time // when the same field is read again, since it has alts hold longer
	alts     []Alternative
	altsAre  int // how many alts there were before

	refused      []string // alternatives that answered 421 (Misdirected Request), "host:port"
	refusedUntil time.Time

	records      []string  // where HTTPS records say that HTTP/3 is, "host:port"; nil: they do not
	recordsUntil time.Time // when that is asked again
	asking       *httpsLookup

	routes     []*route // what follows from the above, the one that worked last at the front; nil: it is to be found out
	routeUntil time.Time
	works      string // the key of the route that worked last; empty: none, or the origin names other alternatives since, or the network is another one

	cooldown  cooldown
	worked    time.Time    // when a response was seen to have come whole over HTTP/3, or the connection ended that it came on
	brokenOff int          // requests over HTTP/3 since, one after the other, whose responses were broken off
	attempt   *autoAttempt // under way; nil: none
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

// known returns what is known by now of an origin: it may have been forgotten, and found again, while connections to it lived on.
func (ot *originTable) known(o *autoOrigin) *autoOrigin {
	if e := ot.byKey[o.key]; e != nil {
		return e.Value.(*autoOrigin)
	}
	return o
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
	return o.routes[0]
}

// findRoutes sets what follows from alternatives and records: alternatives count for more, since they are the origin's own word. Records that are out
// of date still lead to the connection that was made by them.
func (t *AutoTransport) findRoutes(o *autoOrigin, now time.Time) {
	o.routes, o.routeUntil = []*route{}, now.Add(maxHTTPSTTL)
	verdict := func(how finding, ended time.Time) {
		switch how {
		case works:
			t.worked(o, ended)
		case fails:
			t.failed(o, ended)
		case breaksOff:
			t.brokeOff(o)
		}
	}
	byRecords := &route{origin: o.key, addrs: o.records, verdict: verdict}
	for _, a := range o.alts {
		if now.Before(a.Expires) && len(o.routes) < maxAlternatives {
			o.routes = append(o.routes, &route{origin: o.key, addrs: []string{a.addr(o.host)}, altUsed: altUsed(a, o.host), verdict: verdict})
			o.routeUntil = earlier(o.routeUntil, a.Expires)
		}
	}
	switch {
	case len(o.routes) > 0:
	case t.Always:
		o.routes = append(o.routes, &route{origin: o.key, verdict: verdict})
	case len(o.records) == 0:
	case now.Before(o.recordsUntil):
		o.routes = append(o.routes, byRecords)
		o.routeUntil = earlier(o.routeUntil, o.recordsUntil)
	case t.h3.connected(byRecords):
		byRecords.stale = true
		o.routes = append(o.routes, byRecords)
		o.routeUntil = now // as long as there is the connection
	}
	o.preferWorking()
}

// preferWorking puts the route that worked last at the front, in a new list: attempts to connect go through the old one.
func (o *autoOrigin) preferWorking() {
	i := slices.IndexFunc(o.routes, func(r *route) bool { return r.key() == o.works })
	if i > 0 {
		o.routes = slices.Concat(o.routes[i:i+1], o.routes[:i], o.routes[i+1:])
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

// altSvcSeed is for the hashes of Alt-Svc fields, which are kept in place of the fields: those may be long, and origins are many.
var altSvcSeed = maphash.MakeSeed()

// advertise takes over what an Alt-Svc field of a response of the origin says.
func (t *AutoTransport) advertise(o *autoOrigin, h map[string][]string) {
	hash := maphash.String(altSvcSeed, strings.Join(h["Alt-Svc"], ","))
	now := time.Now()
	t.mu.Lock()
	o = t.origins.known(o)
	if hash == o.altSvc && now.Before(o.altAgain) {
		t.mu.Unlock()
		return
	}
	alts, told := alternatives(h, now)
	if !told {
		t.mu.Unlock()
		return
	}
	again := halfway(alts, now)
	if now.Before(o.refusedUntil) {
		alts = slices.DeleteFunc(alts, func(a Alternative) bool { return slices.Contains(o.refused, a.addr(o.host)) })
		again = earlier(again, o.refusedUntil)
	}
	if !slices.EqualFunc(alts, o.alts, func(a, b Alternative) bool { return a.addr(o.host) == b.addr(o.host) }) {
		o.works = ""
	}
	nothing := len(alts) == 0 && len(o.alts) == 0
	o.setAlternatives(alts, hash)
	o.altAgain = again
	t.mu.Unlock()
	if !nothing {
		t.keep(o)
	}
}

// setAlternatives replaces what is known of alternatives. hash is that of the Alt-Svc field that says so; 0: it is no field.
func (o *autoOrigin) setAlternatives(alts []Alternative, hash uint64) {
	o.alts, o.altSvc, o.routes = alts, hash, nil
	o.altsAre++
}

// halfway is when half of the time has passed for which all alternatives hold.
func halfway(alts []Alternative, now time.Time) time.Time {
	until := now.Add(maxAltSvcAge * time.Second)
	for _, a := range alts {
		until = earlier(until, a.Expires)
	}
	return now.Add(until.Sub(now) / 2)
}

// keep tells the cache which alternatives an origin has. It is told again where they have changed meanwhile: of changes at once, the last one stays.
func (t *AutoTransport) keep(o *autoOrigin) {
	if t.Alternatives == nil {
		return
	}
	for told := -1; ; {
		t.mu.Lock()
		alts, are := o.alts, o.altsAre
		t.mu.Unlock()
		if told == are {
			return
		}
		t.Alternatives.Put(o.key, alts)
		told = are
	}
}

// forget forgets the alternative that a route is from, whatever the origin has said since, or the records, and has them not be learnt anew for failedTTL:
// the origin may well repeat them in its next response.
func (t *AutoTransport) forget(o *autoOrigin, r *route) {
	until := time.Now().Add(failedTTL)
	t.mu.Lock()
	o = t.origins.known(o)
	if r.altUsed == "" {
		defer t.mu.Unlock()
		if slices.Equal(o.records, r.addrs) {
			o.records, o.routes = nil, nil
			if o.recordsUntil.Before(until) {
				o.recordsUntil = until
			}
		}
		return
	}
	var left []Alternative
	for _, a := range o.alts {
		if a.addr(o.host) != r.addrs[0] {
			left = append(left, a)
		}
	}
	known := len(left) < len(o.alts)
	o.setAlternatives(left, 0)
	o.refuse(r.addrs[0], until)
	t.mu.Unlock()
	if known {
		t.keep(o)
	}
}

// refuse notes that an alternative does not serve the origin, which holds until then with all that were noted before and still hold.
func (o *autoOrigin) refuse(addr string, until time.Time) {
	if o.refusedUntil.Before(time.Now()) || len(o.refused) == maxAlternatives {
		o.refused = nil
	}
	if !slices.Contains(o.refused, addr) {
		o.refused = append(o.refused, addr)
	}
	o.refusedUntil = until
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
