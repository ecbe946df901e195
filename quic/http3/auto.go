package http3

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// AutoTransport is an http.RoundTripper for all versions of HTTP: over TCP at first, and over HTTP/3 where a server says that it has it, in an
// Alt-Svc field (RFC 7838) or in an HTTPS record of the DNS (RFC 9460). Its zero value is ready to use:
//
//	client := &http.Client{Transport: new(http3.AutoTransport)}
//
// For all that a program fetches without a client of its own:
//
//	http.DefaultTransport = new(http3.AutoTransport)
//
// It must not be copied, and its fields must not be changed once it is in use. Its methods are for any number of goroutines.
//
// # Which way a request goes
//
// A request whose origin is known to have HTTP/3, and is connected, goes over that connection. If there is no connection yet, HTTP/3 has
// RaceDelay to make one; then TCP starts as well, and the request goes over whichever connection is there first, as RFC 8305 has it
// for addresses. Connections compete, requests do not: a request is given to one of them, once, and after that it is not sent
// over the other, but where the server has not processed it for certain, or where it was early data (Transport.EarlyData): it leaves at once, and goes over TCP
// if that is connected before the handshake is complete.
// A connection on which the server has no place for a request yet is not there. If TCP wins, HTTP/3 goes on with its connection for the requests
// to come. If HTTP/3 wins, TCP is cancelled.
//
// Where HTTP/3 fails, because UDP does not get through, for instance, requests go over TCP at once for Cooldown, and for twice as long each
// time that it fails again, up to MaxCooldown. It has failed, too, where a connection is lost before all of a response has come; where the server
// closes it so, for whatever reason, has forgotten it, or is silent while it answers another, and no response has come whole on it; and where, before
// it has brought any response, it takes no more requests, rejects the only one that there is, or comes to an end within 5 s, even without a request. So it has
// where the server has broken off the responses to three requests, each sent after the one before had failed, and none has come whole between them (RFC
// 7838, section 2.4, leaves it to clients which alternatives they use). Those requests fail: they may have been processed. When that time is over HTTP/3 is
// tried beside TCP, which does not wait for it. A response that has come whole over HTTP/3 has all that forgotten; so has a change of the network
// (NetworkChanged), and with it the alternatives that their origin did not declare persistent.
//
// Plain http goes over TCP, and so do requests for which TCP.Proxy names a proxy, with CONNECT as their method, or with an Upgrade field. A
// function that dials for TCP (http.Transport.DialContext and others) is not asked about HTTP/3: who must not connect directly sets HTTP3.Dial as well.
//
// # Alternatives
//
// Alt-Svc counts in responses over TLS alone. What it names may be another host and port, and must have a certificate for the origin's name. Requests that
// go there have an Alt-Used field. If the answer is 421 (Misdirected Request), the alternative is forgotten, for a minute at least, and the request goes to
// the origin itself, if its body can be had once more. HTTPS records are looked up for origins of which no alternative is known, and delay a request to a
// new origin by 50 ms at most. Encrypted ClientHello is not done.
type AutoTransport struct {
	// TCP is for HTTP/1.1 and HTTP/2. Default nil: a clone of http.DefaultTransport, or, where that is no *http.Transport, of what it was at first.
	TCP *http.Transport

	// HTTP3 is for HTTP/3. Default nil: one with the TLSClientConfig of TCP, and its IdleConnTimeout, ResponseHeaderTimeout, ExpectContinueTimeout,
	// MaxIdleConns, MaxConnsPerHost, MaxResponseHeaderBytes, DisableCompression and DisableKeepAlives.
	HTTP3 *Transport

	// Always has HTTP/3 be tried for each https origin, whether or not it says that it has it. Default false.
	Always bool

	// RaceDelay is what HTTP/3 has before TCP starts as well. Default 0: 250 ms, the delay of RFC 8305, section 5; negative: none.
	RaceDelay time.Duration

	// Cooldown is for how long an origin's HTTP/3 is left alone after it has failed, and MaxCooldown the bound for its doubling. Default 0:
	// 5 minutes, and a day.
	Cooldown, MaxCooldown time.Duration

	// Alternatives keeps what Alt-Svc fields said beyond the life of the transport, see NewAltSvcFile. Default nil: they are kept in memory,
	// those of the 1,000 origins that were used last.
	Alternatives AltSvcCache

	// Resolver finds HTTPS records. Default nil: the name servers of /etc/resolv.conf are asked.
	Resolver HTTPSResolver

	// DisableHTTPSRecords has HTTPS records not be looked up. Default false.
	DisableHTTPSRecords bool

	once sync.Once
	tcp  *http.Transport
	h3   h3Side

	network networkWatch

	mu      sync.Mutex // guards what follows
	origins originTable
}

// AltSvcCache keeps alternatives by origin, "host:port". It is asked once for each origin that comes into use, and told of each change. Its
// methods are called by any number of goroutines, and should be quick. Slices that are given or returned must not be changed by either side.
type AltSvcCache interface {
	// Get returns the alternatives of an origin, in order of preference.
	Get(origin string) []Alternative

	// Put replaces them. An empty list has the origin be forgotten.
	Put(origin string, alternatives []Alternative)
}

const (
	defaultRaceDelay   = 250 * time.Millisecond
	defaultCooldown    = 5 * time.Minute
	defaultMaxCooldown = 24 * time.Hour
)

// h3Side is what AutoTransport needs of a Transport.
type h3Side interface {
	connect(ctx context.Context, r *route, early func()) error
	connected(r *route) bool
	roundTripOn(req *http.Request, r *route) (resp *http.Response, sent bool, err error)
	CloseIdleConnections()
}

// firstDefault is http.DefaultTransport as it was before programs could replace it.
var firstDefault = func() *http.Transport {
	if d, ok := http.DefaultTransport.(*http.Transport); ok {
		return d
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
}()

func (t *AutoTransport) init() {
	t.tcp = t.TCP
	if t.tcp == nil {
		if d, ok := http.DefaultTransport.(*http.Transport); ok {
			t.tcp = d.Clone()
		} else { // an AutoTransport itself, for instance
			t.tcp = firstDefault.Clone()
		}
	}
	if t.h3 != nil {
		return
	}
	h3 := t.HTTP3
	if h3 == nil {
		h3 = transportLike(t.tcp)
	}
	t.h3 = h3
}

// transportLike returns a Transport with the settings of an http.Transport.
func transportLike(tcp *http.Transport) *Transport {
	h3 := &Transport{
		IdleConnTimeout: tcp.IdleConnTimeout, ResponseHeaderTimeout: tcp.ResponseHeaderTimeout, ExpectContinueTimeout: tcp.ExpectContinueTimeout,
		MaxIdleConns: tcp.MaxIdleConns, MaxConnsPerHost: tcp.MaxConnsPerHost, MaxResponseHeaderBytes: tcp.MaxResponseHeaderBytes,
		DisableCompression: tcp.DisableCompression, DisableKeepAlives: tcp.DisableKeepAlives, TLSHandshakeTimeout: tcp.TLSHandshakeTimeout,
	}
	h3.TLSClientConfig = tcp.Clone().TLSClientConfig // also while tcp is in use elsewhere
	return h3
}

// RoundTrip implements http.RoundTripper.
func (t *AutoTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.once.Do(t.init)
	key := t.originOf(req)
	if key == "" {
		return t.tcp.RoundTrip(req)
	}
	o := t.origin(key)
	r := t.choose(req.Context(), o)
	if r == nil {
		return t.overTCP(req, o)
	}
	resp, err := t.overBoth(req, o, r)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// overBoth sends a request over HTTP/3 if there is a connection, and else over what is connected first.
func (t *AutoTransport) overBoth(req *http.Request, o *autoOrigin, r *route) (*http.Response, error) {
	changed := r.stale
	if t.h3.connected(r) {
		resp, again, err := t.overHTTP3(req, o, r)
		if again == nil {
			return resp, err
		}
		req, changed = again, true
	}
	if changed && t.choose(req.Context(), o) == nil {
		return t.overTCP(req, o)
	}
	return t.race(req, o)
}

// CloseIdleConnections closes the connections that are idle, of all versions.
func (t *AutoTransport) CloseIdleConnections() {
	t.once.Do(t.init)
	t.tcp.CloseIdleConnections()
	t.h3.CloseIdleConnections()
}

// NetworkChanged tells that the machine has another network than before, so that what did not work may work now: no origin's HTTP/3 counts as
// broken any more, and alternatives that are not persistent are forgotten (RFC 7838, section 2.2). The transport also finds
// out by itself, while something is broken, from the address that the system would send from.
func (t *AutoTransport) NetworkChanged() {
	t.once.Do(t.init)
	t.network.changed()
	for _, o := range t.forgetNetwork() {
		t.keep(o)
	}
}

// originOf returns the origin of a request that may go over HTTP/3, "host:port"; empty for others.
func (t *AutoTransport) originOf(req *http.Request) string {
	u := req.URL
	if u == nil || u.Scheme != "https" || u.Host == "" || req.Header == nil || req.Method == http.MethodConnect {
		return ""
	}
	if req.Header["Upgrade"] != nil {
		return ""
	}
	if t.tcp.Proxy != nil {
		// An error of Proxy is for TCP to report, which asks again.
		if proxy, err := t.tcp.Proxy(req); proxy != nil || err != nil {
			return ""
		}
	}
	addr, err := authorityAddr(u)
	if err != nil {
		return ""
	}
	return strings.ToLower(addr)
}

// overTCP sends a request over TCP, and listens to what the response says of alternatives.
func (t *AutoTransport) overTCP(req *http.Request, o *autoOrigin) (*http.Response, error) {
	out, noConn := req, func() bool { return false }
	if t.hasFailed(o) {
		out, noConn = watchTCP(req)
	}
	resp, err := t.tcp.RoundTrip(out)
	if err != nil && noConn() && requestEnded(req.Context(), req) == nil {
		t.tcpFailed(o)
	}
	if resp != nil {
		resp.Request = req
	}
	t.learn(req, o, resp, err)
	return resp, err
}

// watchTCP returns a request for http.Transport that is like req, and what tells whether a connection was looked for and not found: any other failure is
// that of the request.
func watchTCP(req *http.Request) (out *http.Request, noConn func() bool) {
	var sought, found atomic.Bool
	out = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { sought.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { found.Store(true) },
	}))
	return out, func() bool { return sought.Load() && !found.Load() }
}

// overHTTP3 sends a request over HTTP/3. If again is not nil there was no connection for it after all, and again is to be sent another way: nothing of
// the request has left, or it is one that may be sent again by the rules of Transport.
func (t *AutoTransport) overHTTP3(req *http.Request, o *autoOrigin, r *route) (resp *http.Response, again *http.Request, err error) {
	resp, sent, err := t.h3.roundTripOn(req, r)
	if err == nil {
		if resp.StatusCode == http.StatusMisdirectedRequest && !r.isOrigin() {
			resp, err = t.misdirected(req, o, r, resp)
		}
		t.learn(req, o, resp, err)
		return resp, nil, err
	}
	if requestEnded(req.Context(), req) != nil {
		if !sent {
			closeBody(req) // nobody has taken it over
		}
		return nil, nil, err
	}
	if !sent {
		return nil, req, err
	}
	if errors.Is(err, errNoConn) {
		again = anew(req)
	}
	return nil, again, err
}

// misdirected forgets an alternative that does not serve the origin, and sends the request to the origin itself, if its body can be had once more
// (RFC 7838, section 6; RFC 9110, section 15.5.20).
func (t *AutoTransport) misdirected(req *http.Request, o *autoOrigin, r *route, resp *http.Response) (*http.Response, error) {
	t.forget(o, r)
	again := anew(req)
	if again == nil {
		return resp, nil
	}
	resp.Body.Close()
	return t.tcp.RoundTrip(again)
}

// anew returns a request like one that was sent, with its body as it was; nil if that cannot be had.
func anew(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	if req.GetBody == nil {
		return nil
	}
	body, err := bodyAgain(req)
	if err != nil {
		return nil
	}
	again := *req
	again.Body = body
	return &again
}

// learn takes from a response what it says of alternatives. That counts if it comes from the origin, for certain: over TLS, and asked for
// under the origin's own name. In a 421 it does not count (RFC 7838, section 6).
func (t *AutoTransport) learn(req *http.Request, o *autoOrigin, resp *http.Response, err error) {
	if err != nil || resp.TLS == nil || resp.StatusCode == http.StatusMisdirectedRequest || resp.Header["Alt-Svc"] == nil {
		return
	}
	if req.Host != "" && req.Host != req.URL.Host {
		return
	}
	t.advertise(o, resp.Header)
}
