package http3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// eachTCP runs a test with a server of HTTP/2 and one of HTTP/1.1, in a bubble.
func eachTCP(t *testing.T, f func(t *testing.T, w *autoWorld, tcp string)) {
	for _, tcp := range []string{"HTTP/2.0", "HTTP/1.1"} {
		t.Run(tcp, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newAutoWorld(t, tcp == "HTTP/2.0"), tcp) })
		})
	}
}

func wantHow(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// A request goes over TCP until a response has told of HTTP/3, which requests after it use; "clear" takes that back.
func TestAutoAltSvc(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		wantHow(t, "before anything is known", w.get("/"), tcp)
		w.header.Set("Alt-Svc", `h2=":443", h3=":8443"; ma=100`)
		wantHow(t, "the response that tells", w.get("/"), tcp)
		wantHow(t, "the next", w.get("/"), "HTTP/3.0")
		wantHow(t, "one that repeats it", w.get("/"), "HTTP/3.0")
		if want := []string{"example.com:8443"}; !slices.Equal(w.h3.dials(), want) {
			t.Errorf("dialled %v, want %v", w.h3.dials(), want)
		}
		if want := []string{"example.com:8443", "example.com:8443"}; !slices.Equal(w.h3.altUsed(), want) {
			t.Errorf("Alt-Used: %q, want %q", w.h3.altUsed(), want)
		}
		w.header.Del("Alt-Svc")
		time.Sleep(99 * time.Second)
		wantHow(t, "before it has expired", w.get("/"), "HTTP/3.0")
		time.Sleep(2 * time.Second)
		wantHow(t, "when it has expired", w.get("/"), tcp)

		w.header.Set("Alt-Svc", `h3=":443"`)
		w.get("/")
		w.header.Set("Alt-Svc", "clear")
		wantHow(t, "the response that clears", w.get("/"), "HTTP/3.0")
		wantHow(t, "after it", w.get("/"), tcp)
	})
}

// HTTP/3 is given a head start, and no more than that.
func TestAutoRace(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name           string
		h3, tcp, delay time.Duration
		h3Err          error
		took           time.Duration
		how            string // "h3" or "tcp"
		dials          int    // over TCP
	}{
		{name: "quick", h3: 10 * ms, tcp: 10 * ms, took: 10 * ms, how: "h3"},
		{name: "just in time", h3: 249 * ms, tcp: 10 * ms, took: 249 * ms, how: "h3"},
		{name: "TCP quicker", h3: 400 * ms, tcp: 10 * ms, took: 260 * ms, how: "tcp", dials: 1},
		{name: "TCP slower", h3: 400 * ms, tcp: time.Minute, took: 400 * ms, how: "h3", dials: 1},
		{name: "black hole", h3: 10 * time.Second, h3Err: errBlackHole, tcp: 10 * ms, took: 260 * ms, how: "tcp", dials: 1},
		{name: "refused at once", h3: 5 * ms, h3Err: errBlackHole, tcp: 10 * ms, took: 15 * ms, how: "tcp", dials: 1},
		{name: "refused while TCP connects", h3: 300 * ms, h3Err: errBlackHole, tcp: 100 * ms, took: 350 * ms, how: "tcp", dials: 1},
		{name: "another delay", delay: time.Second, h3: 900 * ms, tcp: 10 * ms, took: 900 * ms, how: "h3"},
		{name: "no delay", delay: -1, h3: 20 * ms, tcp: 10 * ms, took: 10 * ms, how: "tcp", dials: 1},
		{name: "no delay, TCP slower", delay: -1, h3: 20 * ms, tcp: 30 * ms, took: 20 * ms, how: "h3", dials: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
				w.auto.Always, w.auto.RaceDelay = true, tt.delay
				w.h3.delay, w.h3.err, w.dialDelay = tt.h3, tt.h3Err, tt.tcp
				want := "HTTP/3.0"
				if tt.how == "tcp" {
					want = tcp
				}
				took, how := w.timed("/")
				wantHow(t, "the request", how, want)
				if took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				if w.dials() != tt.dials {
					t.Errorf("%d dials over TCP, want %d", w.dials(), tt.dials)
				}
				time.Sleep(time.Minute)
				if len(w.served()) != 1 {
					t.Errorf("servers got %q", w.served())
				}
			})
		})
	}
}

// HTTP/3 that loses goes on, and serves the next request.
func TestAutoLoserIsUsedLater(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		w.h3.delay = time.Second
		wantHow(t, "the first", w.get("/"), tcp)
		took, how := w.timed("/")
		if how != tcp || took != 0 {
			t.Errorf("while HTTP/3 still connects: %s after %v, want %s at once", how, took, tcp)
		}
		time.Sleep(time.Second)
		wantHow(t, "when it is connected", w.get("/"), "HTTP/3.0")
		if len(w.h3.dials()) != 1 {
			t.Errorf("dialled %v", w.h3.dials())
		}
	})
}

// What is broken is left alone, for twice as long each time, and tried again beside TCP, which does not wait. A response has it forgotten.
func TestAutoCooldown(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always, w.auto.Cooldown, w.auto.MaxCooldown = true, time.Minute, 3*time.Minute
		w.h3.err, w.h3.delay = errBlackHole, time.Second
		request := func(what, want string, dials int) {
			t.Helper()
			took, how := w.timed("/")
			synctest.Wait()
			wantHow(t, what, how, want)
			if len(w.h3.dials()) != dials {
				t.Errorf("%s: %d dials, want %d", what, len(w.h3.dials()), dials)
			}
			if dials > 1 && took != 0 {
				t.Errorf("%s: it took %v", what, took)
			}
		}
		request("the first", tcp, 1)
		time.Sleep(time.Second) // until the dial has failed
		for i, wait := range []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute, 3 * time.Minute} {
			time.Sleep(wait - 2*time.Second)
			request("while it is left alone", tcp, 1+i)
			time.Sleep(3 * time.Second)
			request("when it is tried again", tcp, 2+i)
			time.Sleep(time.Second)
		}
		time.Sleep(3 * time.Minute)
		w.set(func() { w.h3.err = nil })
		request("when it works again", tcp, 6)
		time.Sleep(2 * time.Second)
		request("once it is connected", "HTTP/3.0", 6)

		// Now the first cool-down is the shortest again.
		w.set(func() { w.h3.err = errBlackHole; clear(w.h3.live) })
		if took, how := w.timed("/"); how != tcp || took != 250*time.Millisecond {
			t.Errorf("broken again: %s after %v", how, took)
		}
		time.Sleep(61 * time.Second)
		request("tried again", tcp, 8)
	})
}

// A network that changes has what was broken forgotten, with the alternatives that are not persistent.
func TestAutoNetworkChanges(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		name := "wifi"
		w.auto.network.look = func() string { return name }
		cache := &mapCache{}
		w.auto.Alternatives = cache
		w.header.Set("Alt-Svc", `h3=":1"; persist=1, h3=":2"`)
		w.h3.err = errBlackHole
		w.get("/")
		wantHow(t, "broken", w.get("/"), tcp)
		time.Sleep(2 * time.Second)
		w.set(func() { w.h3.err = nil })
		wantHow(t, "the same network", w.get("/"), tcp)
		w.header.Del("Alt-Svc")
		name = "cable"
		time.Sleep(2 * time.Second)
		wantHow(t, "another network", w.get("/"), "HTTP/3.0")
		if got := cache.text("example.com:443"); got != ":1" {
			t.Errorf("after the change there is %s", got)
		}
		w.auto.NetworkChanged()
		wantHow(t, "told of another network", w.get("/"), "HTTP/3.0")

		w.header.Set("Alt-Svc", `h3=":2"`)
		w.get("/")
		w.header.Del("Alt-Svc")
		w.auto.NetworkChanged()
		wantHow(t, "nothing persistent", w.get("/"), tcp)
		if got := cache.text("example.com:443"); got != "" {
			t.Errorf("after the last change there is %s", got)
		}
	})
}

// mapCache is an AltSvcCache.
type mapCache struct {
	m    map[string][]Alternative
	puts int
}

func (c *mapCache) Get(origin string) []Alternative { return c.m[origin] }

func (c *mapCache) Put(origin string, alts []Alternative) {
	if c.m == nil {
		c.m = make(map[string][]Alternative)
	}
	c.puts++
	c.m[origin] = alts
}

func (c *mapCache) text(origin string) string {
	var out []string
	for _, a := range c.m[origin] {
		out = append(out, a.addr(""))
	}
	return strings.Join(out, " ")
}

// What a cache has kept is used by the first request; it is told of changes, not of each response.
func TestAutoCache(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		cache := &mapCache{m: map[string][]Alternative{
			"example.com:443": {{Port: 9, Expires: time.Now().Add(-time.Second)}, {Host: "alt.example", Port: 8, Expires: time.Now().Add(time.Hour)}}}}
		w.auto.Alternatives = cache
		w.header.Set("Alt-Svc", `h3=":7"`)
		wantHow(t, "the first request", w.get("/"), "HTTP/3.0")
		for range 3 {
			wantHow(t, "others", w.get("/"), "HTTP/3.0")
		}
		if got := cache.text("example.com:443"); got != ":7" || cache.puts != 1 {
			t.Errorf("the cache has %s after %d calls", got, cache.puts)
		}
		if want := []string{"alt.example:8", "example.com:7"}; !slices.Equal(w.h3.dials(), want) {
			t.Errorf("dialled %v, want %v", w.h3.dials(), want)
		}
		time.Sleep(13 * time.Hour)
		w.get("/")
		if cache.puts != 2 {
			t.Errorf("what has half expired was put %d times", cache.puts)
		}
	})
}

// What is not for HTTP/3 goes over TCP, though the origin has it.
func TestAutoOnlyTCP(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		how := w.do("GET", "/", nil, http.Header{"Upgrade": {"x"}, "Connection": {"Upgrade"}})
		if tcp == "HTTP/2.0" && !strings.Contains(how, "http2: invalid Upgrade") || tcp == "HTTP/1.1" && how != tcp {
			t.Errorf("an upgrade: %s", how)
		}
		wantHow(t, "a GET", w.get("/"), "HTTP/3.0")
		n := len(w.h3.dials())
		w.get("http://example.com/")
		if len(w.h3.dials()) != n {
			t.Error("plain http was tried over HTTP/3")
		}
	})
}

// Where a proxy is set, nothing goes another way, and nothing is looked up.
func TestAutoProxy(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		dns := &fakeDNS{}
		w.auto.Always, w.auto.DisableHTTPSRecords, w.auto.Resolver = true, false, dns
		proxied := true
		w.auto.TCP.Proxy = func(r *http.Request) (*url.URL, error) {
			switch {
			case r.URL.Path == "/bad":
				return nil, errors.New("no such proxy")
			case proxied:
				return url.Parse("http://proxy.example:3128")
			}
			return nil, nil
		}
		w.dialErr = errors.New("the proxy is down")
		if how := w.get("/"); !strings.Contains(how, "the proxy is down") {
			t.Error(how)
		}
		if how := w.get("/bad"); !strings.Contains(how, "no such proxy") {
			t.Error(how)
		}
		if len(w.h3.dials()) > 0 || len(dns.asked) > 0 {
			t.Errorf("dialled %v, asked for %v", w.h3.dials(), dns.asked)
		}
		proxied = false
		wantHow(t, "without a proxy", w.get("/"), "HTTP/3.0")
	})
}

// HTTPS records lead to HTTP/3, and a new origin waits 50 ms for them at most.
func TestAutoHTTPSRecords(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		record := map[string][]HTTPSRecord{"example.com": {{Priority: 1, Target: "svc.example", Port: 8443, ALPN: []string{"h3"}}}}
		for _, tt := range []struct {
			name          string
			dns           *fakeDNS
			took          time.Duration
			how, then     string
			asked, askedL int // after the first two requests, and a minute later
		}{
			{"in time", &fakeDNS{records: record, ttl: time.Hour, delay: 30 * time.Millisecond}, 30 * time.Millisecond, "HTTP/3.0", "HTTP/3.0", 1, 1},
			{"too late", &fakeDNS{records: record, ttl: time.Hour, delay: 300 * time.Millisecond}, 50 * time.Millisecond, tcp, "HTTP/3.0", 1, 1},
			{"none", &fakeDNS{ttl: time.Hour, delay: 30 * time.Millisecond}, 30 * time.Millisecond, tcp, tcp, 1, 1},
			{"for a moment", &fakeDNS{records: record}, 0, "HTTP/3.0", "HTTP/3.0", 1, 2},
			{"failure", &fakeDNS{err: errors.New("no server")}, 0, tcp, tcp, 1, 2},
			{"no answer", &fakeDNS{delay: time.Hour}, 50 * time.Millisecond, tcp, tcp, 1, 2},
		} {
			auto := &AutoTransport{TCP: w.auto.TCP, h3: w.h3, Resolver: tt.dns}
			w.client.Transport = auto
			w.set(func() { clear(w.h3.live); w.h3.used = nil })
			took, how := w.timed("/")
			if how != tt.how || took != tt.took {
				t.Errorf("%s: %s after %v, want %s after %v", tt.name, how, took, tt.how, tt.took)
			}
			time.Sleep(6 * time.Second)
			wantHow(t, tt.name+", then", w.get("/"), tt.then)
			if n := tt.dns.count(); n != tt.asked {
				t.Errorf("%s: asked %d times", tt.name, n)
			}
			time.Sleep(time.Minute)
			w.set(func() { clear(w.h3.live) })
			wantHow(t, tt.name+", later", w.get("/"), tt.then)
			if n := tt.dns.count(); n != tt.askedL {
				t.Errorf("%s: asked %d times after a minute, want %d", tt.name, n, tt.askedL)
			}
			if len(w.h3.altUsed()) > 0 && w.h3.altUsed()[0] != "" {
				t.Errorf("%s: Alt-Used: %q, which is for Alt-Svc", tt.name, w.h3.altUsed())
			}
			time.Sleep(time.Hour)
		}
		if slices.ContainsFunc(w.h3.dials(), func(a string) bool { return a != "svc.example:8443" }) {
			t.Errorf("dialled %v", w.h3.dials())
		}
	})
}

// Names that are not in the DNS are not asked for.
func TestAutoNotInDNS(t *testing.T) {
	for host, want := range map[string]bool{"example.com": true, "a.b.example.com": true, "192.0.2.1": false, "2001:db8::1": false, "localhost": false,
		"x.localhost": false, "printer.local": false, "x.onion": false, "intranet": false} {
		if got := inDNS(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

// 421 (Misdirected Request) from an alternative has it forgotten and the request sent to the origin, if its body can be had again. That the origin
// goes on to name it does not count for a while.
func TestAutoMisdirected(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		for _, tt := range []struct {
			name string
			body io.Reader
			want string
		}{
			{"no body", nil, tcp},
			{"a body that can be had again", strings.NewReader("x"), tcp},
			{"one that cannot", io.MultiReader(strings.NewReader("x")), "Misdirected Request"},
		} {
			w.header.Set("Alt-Svc", `h3="other.example:443"`)
			w.status = 0
			w.get("/")
			wantHow(t, tt.name+", before", w.get("/"), "HTTP/3.0")
			w.status = 421
			wantHow(t, tt.name, w.do("POST", "/", tt.body, nil), tt.want)
			w.status = 0
			for range 5 {
				wantHow(t, tt.name+", after", w.get("/"), tcp)
				time.Sleep(failedTTL / 6)
			}
			time.Sleep(failedTTL / 3)
			w.get("/")
			wantHow(t, tt.name+", a minute later", w.get("/"), "HTTP/3.0")
		}
	})
}

// A connection that is gone when a request wants it costs nothing but another attempt; an error after something was sent is the request's.
func TestAutoLostConnection(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		wantHow(t, "at first", w.get("/"), "HTTP/3.0")
		w.h3.send = errNoConn
		wantHow(t, "gone before anything was sent", w.do("POST", "/once", io.MultiReader(strings.NewReader("x")), nil), tcp)
		if w.bodies["/once"] != 1 {
			t.Errorf("the body came %d times", w.bodies["/once"])
		}
		w.h3.send = &noOtherConnError{errors.New("gone")}
		wantHow(t, "sent, and to be sent again", w.get("/again"), tcp)
		if how := w.do("POST", "/gone", io.MultiReader(strings.NewReader("x")), nil); !strings.HasSuffix(how, "gone") {
			t.Errorf("a body that cannot be had again: %s", how)
		}
		w.h3.send = errors.New("reset")
		if how := w.do("POST", "/reset", io.MultiReader(strings.NewReader("x")), nil); !strings.Contains(how, "reset") {
			t.Errorf("after it was sent: %s", how)
		}
		if w.bodies["/reset"] != 0 {
			t.Error("the request went over TCP as well")
		}
	})
}

// What both sides say is told where neither connects, and neither counts as broken then.
func TestAutoBothFail(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		w.dialErr = errors.New("unreachable")
		for _, delay := range []time.Duration{0, 300 * time.Millisecond, time.Second} {
			w.h3.delay, w.h3.err = delay, errBlackHole
			body := &onceBody{Reader: strings.NewReader("x")}
			how := w.do("POST", "/", body, nil)
			if !strings.Contains(how, "unreachable") {
				t.Error(how)
			}
			if delay > 250*time.Millisecond && !strings.Contains(how, "no answer") {
				t.Error(how)
			}
			if body.closed != 1 {
				t.Errorf("the body was closed %d times", body.closed)
			}
			time.Sleep(2 * time.Second)
		}
		w.dialErr = nil
		w.h3.err = nil
		w.h3.delay = 0
		wantHow(t, "when all works again", w.get("/"), "HTTP/3.0")
	})
}

// A server that has HTTP/3 alone is reached, though TCP fails first.
func TestAutoTCPFailsFirst(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		w.dialErr = errors.New("refused")
		w.h3.delay = time.Second
		body := &onceBody{Reader: strings.NewReader("x")}
		wantHow(t, "a POST", w.do("POST", "/p", body, nil), "HTTP/3.0")
		if w.bodies["/p"] != 1 || body.closed != 1 {
			t.Errorf("the body came %d times and was closed %d times", w.bodies["/p"], body.closed)
		}
	})
}

type onceBody struct {
	io.Reader
	closed int
}

func (c *onceBody) Close() error { c.closed++; return nil }

// A request that ends while it waits has its body closed, and its error is its context's, with the cause.
func TestAutoCancel(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		w.h3.delay, w.h3.err, w.dialDelay = time.Minute, errBlackHole, time.Minute
		reason := errors.New("the reason")
		for _, after := range []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond} {
			body := &onceBody{Reader: strings.NewReader("x")}
			ctx, cancel := context.WithTimeoutCause(t.Context(), after, reason)
			req, _ := http.NewRequestWithContext(ctx, "POST", "https://example.com/", body)
			began := time.Now()
			_, err := w.client.Do(req)
			cancel()
			byTCP := after == 300*time.Millisecond // of which net/http tells the cause alone
			if !byTCP && !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, reason) || time.Since(began) != after {
				t.Errorf("%v after %v, want the context's error and its cause after %v", err, time.Since(began), after)
			}
			synctest.Wait()
			if body.closed == 0 {
				t.Errorf("after %v the body is open", after)
			}
		}
		if len(w.served()) > 0 {
			t.Errorf("servers got %q", w.served())
		}
	})
}

// A request that is wrong fails at once, and does not wait for a connection.
func TestAutoInvalidRequest(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		w.h3.delay = time.Minute
		began := time.Now()
		how := w.do("GET", "/", nil, http.Header{"Bad Name": {"x"}})
		if !strings.Contains(how, "invalid header") || time.Since(began) > time.Second {
			t.Errorf("%s after %v", how, time.Since(began))
		}
	})
}

// Origins that were used longest ago are forgotten.
func TestAutoManyOrigins(t *testing.T) {
	auto := &AutoTransport{DisableHTTPSRecords: true}
	auto.origin("first:443")
	for i := range maxOrigins + 10 {
		auto.origin(strings.Repeat("x", i+1))
		auto.origin("first:443")
	}
	if n := len(auto.origins.byKey); n != maxOrigins || auto.origins.used.Len() != n {
		t.Errorf("%d origins are known, %d in the list", n, auto.origins.used.Len())
	}
	if auto.origins.find("first:443") == nil || auto.origins.find("x") != nil {
		t.Error("the wrong one was forgotten")
	}
}

// A connection of HTTP/1.1 that comes too late cannot be written to.
func TestAutoLateConnIsClosed(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://example.com/", nil)
	c := newContest(req, nil)
	c.claim(wonByH3)
	c.gotConn(httptrace.GotConnInfo{Conn: client})
	if _, err := client.Write([]byte("GET")); err == nil || c.req.Context().Err() == nil {
		t.Errorf("writing: %v; context: %v", err, c.req.Context().Err())
	}
}

// If HTTP/3 has the request when TCP gets its connection, nothing of the request is written there, its body is not touched, and an HTTP/2 connection
// serves others on.
func TestAutoTCPComesTooLate(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.once.Do(w.auto.init)
		for _, when := range []string{"a new connection", "one that was idle"} {
			body := &onceBody{Reader: strings.NewReader(strings.Repeat("x", 10000))}
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://example.com/late", body)
			c := newContest(req, nil)
			c.claim(wonByH3) // and TCP was not cancelled yet
			if resp, err := w.auto.tcp.RoundTrip(c.req); err == nil {
				t.Errorf("%s: a response: %v", when, resp.Status)
			}
			get, _ := http.NewRequestWithContext(t.Context(), "GET", "https://example.com/late", nil)
			c = newContest(get, nil)
			c.claim(wonByH3)
			if resp, err := w.auto.tcp.RoundTrip(c.req); err == nil {
				t.Errorf("%s: a response: %v", when, resp.Status)
			}
			time.Sleep(time.Second)
			if rest, _ := io.ReadAll(body); len(rest) != 10000 || body.closed > 0 {
				t.Errorf("%s: %d bytes of the body are left, and it was closed %d times", when, len(rest), body.closed)
			}
			dials := w.dials()
			wantHow(t, "another request", w.get("/other"), tcp)
			if tcp == "HTTP/2.0" && w.dials() != dials {
				t.Errorf("%s: the connection was lost", when)
			}
		}
		for _, line := range w.served() {
			if strings.HasSuffix(line, "/late") {
				t.Errorf("the server got %s", line)
			}
		}
	})
}
