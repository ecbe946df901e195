package http3

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// deadEnds is a fake of HTTP/3 that answers at some addresses only.
type deadEnds struct {
	*fakeH3
	dead string
}

func (d *deadEnds) connect(ctx context.Context, r *route, early func()) error {
	if d.where(r) != d.dead {
		return d.fakeH3.connect(ctx, r, early)
	}
	time.Sleep(10 * time.Second)
	d.w.set(func() { d.dialled = append(d.dialled, d.dead) })
	return errBlackHole
}

// An alternative that works is used on, though the origin names one before it that does not, and names both again in each response. It is tried first when its
// connection is lost, until the origin says something else.
func TestAutoWorkingAlternative(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.h3 = &deadEnds{w.h3, "example.com:1"}
		w.header.Set("Alt-Svc", `h3=":1"; ma=3600, h3=":2"; ma=7200`)
		wantHow(t, "the response that tells", w.get("/"), tcp)
		wantHow(t, "while the first is tried", w.get("/"), tcp)
		time.Sleep(11 * time.Second)
		for range 20 {
			took, how := w.timed("/")
			if how != "HTTP/3.0" || took != 0 {
				t.Fatalf("with the second: %s after %v", how, took)
			}
			time.Sleep(15 * time.Minute)
		}
		w.set(func() { clear(w.h3.live) })
		wantHow(t, "when its connection is lost", w.get("/"), "HTTP/3.0")
		if got, want := w.h3.dials(), []string{"example.com:1", "example.com:2", "example.com:2"}; !slices.Equal(got, want) {
			t.Errorf("dialled %q, want %q", got, want)
		}
		w.header.Set("Alt-Svc", `h3=":3", h3=":2"`)
		w.get("/")
		wantHow(t, "of other alternatives", w.get("/"), "HTTP/3.0")
		if got := w.h3.dials(); got[len(got)-1] != "example.com:3" {
			t.Errorf("dialled %q, the last of which should be the one that the origin prefers", got)
		}
	})
}

// What worked is used on as long as the origin names the same alternatives, in whatever words; a change of the network has it be found out anew.
func TestAutoWorkingAlternativeReworded(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.h3 = &deadEnds{w.h3, "example.com:1"}
		name := func(i int) {
			w.header.Set("Alt-Svc", fmt.Sprintf(`h3=":1"; ma=%d; persist=1, h3=":2"; ma=%d; persist=1, h2=":%d"`, 7200-i, 7200-i, 443+i%2))
		}
		name(0)
		wantHow(t, "the response that tells", w.get("/"), tcp)
		wantHow(t, "while the first is tried", w.get("/"), tcp)
		time.Sleep(11 * time.Second)
		for i := range 20 {
			name(i)
			took, how := w.timed("/")
			if how != "HTTP/3.0" || took != 0 {
				t.Fatalf("with the second: %s after %v", how, took)
			}
			time.Sleep(time.Second)
		}
		w.auto.NetworkChanged()
		w.auto.h3 = w.h3
		w.set(func() { clear(w.h3.live) })
		wantHow(t, "on another network", w.get("/"), "HTTP/3.0")
		if got, want := w.h3.dials(), []string{"example.com:1", "example.com:2", "example.com:1"}; !slices.Equal(got, want) {
			t.Errorf("dialled %q, want %q", got, want)
		}
	})
}

// An alternative that answered 421 (Misdirected Request) takes nothing from the one that works, though the origin names both on.
func TestAutoWorkingAlternativeBesideMisdirected(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.header.Set("Alt-Svc", `h3=":1", h3=":2"`)
		w.get("/")
		w.set(func() { w.status = 421 })
		wantHow(t, "misdirected", w.get("/"), tcp)
		w.set(func() { w.status = 0 })
		for range 3 {
			wantHow(t, "afterwards", w.get("/"), "HTTP/3.0")
		}
		if got, want := w.h3.dials(), []string{"example.com:1", "example.com:2"}; !slices.Equal(got, want) {
			t.Errorf("dialled %q, want %q", got, want)
		}
	})
}

// A cache is told of alternatives that hold for a short time when half of it is over, not with each response that repeats them.
func TestAutoCacheOfShortLived(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, _ string) {
		cache := new(mapCache)
		w.auto.Alternatives = cache
		w.header.Set("Alt-Svc", `h3=":2"; ma=60, h3=":3"; ma=100000`)
		for range 100 {
			w.get("/")
			time.Sleep(time.Second)
		}
		if cache.puts != 4 {
			t.Errorf("told %d times in 100 s, want 4", cache.puts)
		}
		w.header.Set("Alt-Svc", "clear")
		w.get("/")
		for range 3 {
			w.get("/")
		}
		w.header.Set("Alt-Svc", `h2=":443"`)
		w.get("/")
		if cache.puts != 5 {
			t.Errorf("told %d times that there are none any more, want once", cache.puts-4)
		}
	})
}

// turningDNS answers as name servers do that are asked again: later, or never, or in another order.
type turningDNS struct {
	later   time.Duration // before an answer but the first
	targets [][]string    // of one priority, for each question; the last one for all that follow
	asked   int
}

func (d *turningDNS) LookupHTTPS(ctx context.Context, _ string) (records []HTTPSRecord, ttl time.Duration, err error) {
	d.asked++
	if d.asked > 1 && d.later > 0 {
		select {
		case <-time.After(d.later):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	for _, target := range d.targets[min(d.asked, len(d.targets))-1] {
		records = append(records, HTTPSRecord{Priority: 1, Target: target, ALPN: []string{"h3"}})
	}
	return records, 20 * time.Second, nil
}

// A connection is used on when the HTTPS records that it was made by are out of date, whatever has become of the DNS; they are asked for again for the next one.
func TestAutoRecordsOutlived(t *testing.T) {
	for name, dns := range map[string]turningDNS{
		"slow":      {later: 100 * time.Millisecond, targets: [][]string{{"a"}}},
		"hanging":   {later: time.Hour, targets: [][]string{{"a"}}},
		"others":    {targets: [][]string{{"a"}, {"b"}}},
		"withdrawn": {targets: [][]string{{"a"}, {}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newAutoWorld(t, true)
				w.auto.DisableHTTPSRecords, w.auto.Resolver = false, &dns
				for range 20 {
					wantHow(t, "a request", w.get("/"), "HTTP/3.0")
					time.Sleep(7 * time.Second)
				}
				if dials := w.h3.dials(); len(dials) != 1 || dns.asked != 1 {
					t.Errorf("dialled %q, asked %d times", dials, dns.asked)
				}
				w.set(func() { clear(w.h3.live) })
				w.get("/")
				synctest.Wait()
				if dns.asked != 2 {
					t.Errorf("when the connection is lost: asked %d times", dns.asked)
				}
			})
		})
	}
}

// moving is a fake of HTTP/3 whose server at one address goes away: connections to it turn out to be gone when a request is sent on them, and
// no others come about.
type moving struct {
	*fakeH3
	left  string
	after time.Duration // how long it takes until that turns out
}

func (m *moving) connect(ctx context.Context, r *route, early func()) error {
	if m.where(r) != m.left {
		return m.fakeH3.connect(ctx, r, early)
	}
	m.w.set(func() { m.dialled = append(m.dialled, m.left+" in vain") })
	return errBlackHole
}

func (m *moving) roundTripOn(req *http.Request, r *route) (*http.Response, bool, error) {
	if m.where(r) == m.left {
		time.Sleep(m.after)
		m.w.set(func() { delete(m.live, m.left) })
	}
	return m.fakeH3.roundTripOn(req, r)
}

// Records that are out of date are not dialled: when the connection that was made by them is lost, also just as it is to be used, the DNS is asked
// where the server is by now, and nothing counts as broken.
func TestAutoRecordsOutOfDate(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newAutoWorld(t, true)
				dns := &turningDNS{targets: [][]string{{"a"}, {"b"}}}
				w.auto.DisableHTTPSRecords, w.auto.Resolver = false, dns
				wantHow(t, "the first request", w.get("/"), "HTTP/3.0")
				time.Sleep(21 * time.Second)
				wantHow(t, "when the records are out of date", w.get("/"), "HTTP/3.0")
				w.auto.h3 = &moving{fakeH3: w.h3, left: "a:443"}
				if !late {
					w.set(func() { clear(w.h3.live) })
				}
				wantHow(t, "when the server has moved", w.get("/"), "HTTP/3.0")
				wantHow(t, "the next", w.get("/"), "HTTP/3.0")
				if got, want := w.h3.dials(), []string{"a:443", "b:443"}; !slices.Equal(got, want) || dns.asked != 2 {
					t.Errorf("dialled %q, asked %d times; want %q, twice", got, dns.asked, want)
				}
			})
		})
	}
}

// An alternative that holds no more when its connection turns out to be gone leaves nothing to dial, and nothing that counts as broken.
func TestAutoNothingToDial(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		m := &moving{fakeH3: w.h3}
		w.auto.h3 = m
		w.header.Set("Alt-Svc", `h3=":1"; ma=60`)
		w.get("/")
		wantHow(t, "while it holds", w.get("/"), "HTTP/3.0")
		m.left, m.after = "example.com:1", time.Minute
		w.header.Set("Alt-Svc", `h3=":2"`)
		wantHow(t, "when it is gone", w.get("/"), tcp)
		wantHow(t, "the next", w.get("/"), "HTTP/3.0")
		if got, want := w.h3.dials(), []string{"example.com:1", "example.com:2"}; !slices.Equal(got, want) {
			t.Errorf("dialled %q, want %q", got, want)
		}
	})
}

// An origin whose HTTPS records lead to what answers 421 (Misdirected Request) is not asked for anew with each request, whether or not they
// are out of date.
func TestAutoRecordsMisdirected(t *testing.T) {
	for _, age := range []time.Duration{0, 25 * time.Second} {
		t.Run(fmt.Sprint(age), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newAutoWorld(t, true)
				dns := &turningDNS{targets: [][]string{{"a"}}}
				w.auto.DisableHTTPSRecords, w.auto.Resolver = false, dns
				wantHow(t, "the first request", w.get("/"), "HTTP/3.0")
				time.Sleep(age)
				w.set(func() { w.status = 421 })
				for range 5 {
					wantHow(t, "misdirected", w.get("/"), "HTTP/2.0")
					time.Sleep(failedTTL / 6)
				}
				if w.h3.requests != 2 || dns.asked != 1 {
					t.Errorf("%d requests over HTTP/3, want 2; asked %d times, want once", w.h3.requests, dns.asked)
				}
			})
		})
	}
}

// A request whose Cancel channel is closed tells nothing of TCP, nor of a connection over HTTP/3.
func TestAutoCancelChannelTellsNothing(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		send := func(after time.Duration) {
			body := &onceBody{Reader: strings.NewReader("x")}
			req, _ := http.NewRequest("POST", "https://example.com/", body)
			cancel := make(chan struct{})
			req.Cancel = cancel
			if after == 0 {
				close(cancel)
			} else {
				time.AfterFunc(after, func() { close(cancel) })
			}
			if resp, err := w.auto.RoundTrip(req); err == nil {
				t.Errorf("a response: %s", resp.Status)
			}
			synctest.Wait()
			if body.closed == 0 {
				t.Error("the body is open")
			}
		}
		w.h3.err = errBlackHole
		wantHow(t, "broken", w.get("/"), tcp)
		w.auto.TCP.CloseIdleConnections()
		w.set(func() { w.dialDelay = time.Minute })
		send(time.Second)
		w.set(func() { w.dialDelay, w.h3.err = 0, nil })
		wantHow(t, "while it is left alone", w.get("/"), tcp)
		if n := len(w.h3.dials()); n != 1 {
			t.Errorf("%d dials, want 1", n)
		}

		time.Sleep(time.Hour)
		w.get("/") // TCP does not wait for HTTP/3
		synctest.Wait()
		wantHow(t, "when it works", w.get("/"), "HTTP/3.0")
		dials, served := w.dials(), len(w.served())
		send(0)
		if len(w.h3.dials()) != 2 || w.dials() != dials || len(w.served()) != served {
			t.Errorf("dialled %q and TCP %d times, and servers got %d requests", w.h3.dials(), w.dials()-dials, len(w.served())-served)
		}
	})
}

// A request whose Cancel channel is closed while it waits ends then, as over TCP alone; HTTP/3 connects on.
func TestAutoCancelChannel(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, _ string) {
		w.auto.Always = true
		w.h3.delay, w.dialDelay = time.Minute, 2*time.Minute
		for _, after := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond} {
			body := &onceBody{Reader: strings.NewReader("x")}
			req, _ := http.NewRequest("POST", "https://example.com/", body)
			cancel := make(chan struct{})
			req.Cancel = cancel
			time.AfterFunc(after, func() { close(cancel) })
			began := time.Now()
			if _, err := w.auto.RoundTrip(req); err == nil || time.Since(began) != after {
				t.Errorf("%v after %v, want an error after %v", err, time.Since(began), after)
			}
			synctest.Wait()
			if body.closed == 0 {
				t.Errorf("after %v the body is open", after)
			}
		}
		time.Sleep(time.Minute)
		if len(w.served()) > 0 {
			t.Errorf("servers got %q", w.served())
		}
	})
}

// misdirecting is a fake of HTTP/3 which answers 421 (Misdirected Request), while something else happens.
type misdirecting struct {
	*fakeH3
	meanwhile func()
}

func (m *misdirecting) roundTripOn(req *http.Request, r *route) (*http.Response, bool, error) {
	resp, sent, err := m.fakeH3.roundTripOn(req, r)
	resp.StatusCode = 421
	m.meanwhile()
	return resp, sent, err
}

// An alternative that answers 421 (Misdirected Request) is forgotten though the origin says something else of alternatives at that time (RFC 7838, section 6).
func TestAutoMisdirectedMeanwhile(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		m := &misdirecting{w.h3, func() {
			w.auto.advertise(w.auto.origin("example.com:443"), http.Header{"Alt-Svc": {`h3=":1"; ma=100, h3=":2"`}})
		}}
		w.auto.h3 = m
		w.header.Set("Alt-Svc", `h3=":1"`)
		w.get("/")
		w.header.Set("Alt-Svc", `h3=":1", h3=":2"`)
		wantHow(t, "misdirected", w.get("/"), tcp)
		w.auto.h3 = w.h3
		wantHow(t, "the next", w.get("/"), "HTTP/3.0")
		if got, want := w.h3.dials(), []string{"example.com:1", "example.com:2"}; !slices.Equal(got, want) {
			t.Errorf("dialled %q, want %q", got, want)
		}
	})
}

// slowCache is a cache that something happens to while it is told of the first change.
type slowCache struct {
	mapCache
	meanwhile func()
}

func (c *slowCache) Put(origin string, alts []Alternative) {
	if f := c.meanwhile; f != nil {
		c.meanwhile = nil
		f()
	}
	c.mapCache.Put(origin, alts)
}

// Of changes at once the last one stays in a cache, in whatever order it is told.
func TestAutoCacheKeepsLast(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, _ string) {
		w.auto.once.Do(w.auto.init)
		o := w.auto.origin("example.com:443")
		for field, want := range map[string]string{`h3=":2"`: ":2", "clear": ""} {
			cache := &slowCache{meanwhile: func() { w.auto.advertise(o, http.Header{"Alt-Svc": {field}}) }}
			w.auto.Alternatives = cache
			w.auto.advertise(o, http.Header{"Alt-Svc": {`h3=":1"`}})
			if got := cache.text("example.com:443"); got != want {
				t.Errorf("%s: the cache has %q, want %q", field, got, want)
			}
		}
	})
}
