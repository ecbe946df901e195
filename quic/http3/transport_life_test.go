package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// countDials has a Transport count its dials.
func countDials(tr *Transport) *atomic.Int64 {
	n := new(atomic.Int64)
	dial := tr.Dial
	tr.Dial = func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
		n.Add(1)
		return dial(ctx, addr)
	}
	return n
}

// TestClientOneDial has many first requests at once share one dial, which does not end with the request that it was made for (C27, C28).
func TestClientOneDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveOver(t, quicnettest.NewNetwork(1, quicnettest.Link{Delay: 50 * time.Millisecond}), func(w http.ResponseWriter, r *http.Request) {})
		tr := ts.transport()
		dials := countDials(tr)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		var first error
		var wg sync.WaitGroup
		wg.Go(func() {
			_, first = tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil).WithContext(ctx))
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() { fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil)) })
		}
		wg.Wait()
		if !errors.Is(first, context.DeadlineExceeded) || dials.Load() != 1 {
			t.Errorf("the first request ended with %v; %d dials", first, dials.Load())
		}
		if start := time.Now(); true {
			fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
			if d := time.Since(start); d != 100*time.Millisecond {
				t.Errorf("a further request took %v, not a round trip", d)
			}
		}
		tr.CloseIdleConnections()
		synctest.Wait()
		if n := tr.count(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// TestClientCrowded has more requests than the server allows at once: they wait, and after a tenth of a second get another connection, as far as
// MaxConnsPerHost allows (C29).
func TestClientCrowded(t *testing.T) {
	for _, limit := range []int{0, 1, 2} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most atomic.Int64
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					n := running.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(time.Second)
					running.Add(-1)
				}, func(s *Server) { s.QUIC = &quic.Config{MaxStreamsBidi: 4} })
				tr := ts.transport()
				tr.MaxConnsPerHost = limit
				dials := countDials(tr)
				var wg sync.WaitGroup
				start := time.Now()
				for range 12 {
					wg.Go(func() { fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil)) })
				}
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				synctest.Wait()
				if _, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("who waits for a place was told %v", err)
				}
				wg.Wait()
				took := time.Since(start)
				want := map[int]struct {
					dials, most int64
					took        time.Duration
				}{0: {3, 12, 1 * time.Second}, 1: {1, 4, 3 * time.Second}, 2: {2, 8, 2 * time.Second}}[limit]
				// The server grants credit as streams come to their end, not always for all at once.
				if dials.Load() != want.dials || most.Load() != want.most || took < want.took || took > want.took+2500*time.Millisecond {
					t.Errorf("%d dials, %d at once, in %v, want %+v", dials.Load(), most.Load(), took, want)
				}
				tr.CloseIdleConnections()
				synctest.Wait()
			})
		})
	}
}

// TestClientIdle closes connections that are idle for too long, that are too many, whose request wants that, and those that the program
// wants closed, and no others (C30, C31).
func TestClientIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				<-hold
			}
		})
		get := func(tr *Transport, host, path string) {
			fetch(t, tr, newRequest(t, "GET", "https://"+host+path, nil))
			synctest.Wait()
		}
		tr := ts.transport()
		tr.IdleConnTimeout = 5 * time.Second
		get(tr, "localhost", "/")
		time.Sleep(4 * time.Second)
		get(tr, "localhost", "/")
		time.Sleep(4 * time.Second)
		if n := tr.count(); n != 1 {
			t.Errorf("after 4 s %d connections are left", n)
		}
		time.Sleep(1100 * time.Millisecond)
		if n := tr.count(); n != 0 {
			t.Errorf("after 5 s %d connections are left", n)
		}

		tr = ts.transport()
		tr.MaxIdleConns = 2
		tr.TLSClientConfig.ServerName = "localhost"
		for i := range 4 {
			get(tr, fmt.Sprintf("host%d", i), "/")
		}
		tr.mu.Lock()
		if tr.idle.n != 2 || tr.hosts["host2:443"] == nil || tr.hosts["host3:443"] == nil {
			t.Errorf("%d connections are idle, to %v", tr.idle.n, tr.hosts)
		}
		tr.mu.Unlock()
		done := make(chan struct{})
		go func() {
			get(tr, "host3", "/hold")
			close(done)
		}()
		synctest.Wait()
		tr.CloseIdleConnections()
		synctest.Wait()
		if n := tr.count(); n != 1 {
			t.Errorf("after CloseIdleConnections there are %d connections", n)
		}
		close(hold)
		<-done

		req := newRequest(t, "GET", "https://host3/", nil)
		req.Close = true
		fetch(t, tr, req)
		synctest.Wait()
		if n := tr.count(); n != 0 {
			t.Errorf("after Request.Close there are %d connections", n)
		}
		tr.DisableKeepAlives = true
		get(tr, "host3", "/")
		if n := tr.count(); n != 0 {
			t.Errorf("without keep-alives there are %d connections", n)
		}
		if tr.users != 0 || len(tr.hosts) != 0 {
			t.Errorf("%d users of the socket, %d hosts are left", tr.users, len(tr.hosts))
		}
	})
}

// TestClientServerGone has a server vanish without a word, and another one be at its address, which does not know the connection: the next request
// succeeds on another connection, within a time that is not the idle timeout's (C26). A POST that may have been processed is not sent again.
func TestClientServerGone(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 5 * time.Millisecond})
				var served atomic.Int64
				handler := func(w http.ResponseWriter, r *http.Request) { served.Add(1) }
				old := serveOver(t, n, handler)
				ts := serveOver(t, n, handler)
				tr := ts.transport()
				at := old.addr
				var dials atomic.Int64
				tr.Dial = func(context.Context, string) (net.PacketConn, net.Addr, error) {
					dials.Add(1)
					pc, err := n.ListenPacket("")
					return pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)), err
				}
				fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
				time.Sleep(10 * time.Second)
				n.SetDown(netip.MustParseAddrPort(old.addr).Addr(), true)
				at = ts.addr
				start := time.Now()
				req := newRequest(t, method, "https://localhost/", strings.NewReader(""))
				resp, err := tr.RoundTrip(req)
				took := time.Since(start)
				switch method {
				case "GET":
					if err != nil || took > 2*time.Second || dials.Load() != 2 {
						t.Errorf("got %v, %v after %v with %d dials", resp, err, took, dials.Load())
					}
				case "POST":
					if !errors.Is(err, errDead) || !errors.Is(err, net.ErrClosed) || took > 2*time.Second {
						t.Errorf("got %v after %v", err, took)
					}
					if fetch(t, tr, req); served.Load() != 2 {
						t.Errorf("%d requests were served", served.Load())
					}
				}
				tr.CloseIdleConnections()
				synctest.Wait()
			})
		})
	}
}

// TestClientServerSilent has a network that is silent for a while: a connection that is alive is not given up for it.
func TestClientServerSilent(t *testing.T) {
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprint("early data: ", early), func(t *testing.T) { testServerSilent(t, early) })
	}
}

func testServerSilent(t *testing.T, early bool) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 5 * time.Millisecond})
		ts := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, func(s *Server) { s.QUIC = &quic.Config{EarlyData: early} })
		tr := ts.transport()
		if early {
			tr.EarlyData, tr.TLSClientConfig.ClientSessionCache = true, tls.NewLRUClientSessionCache(1)
		}
		fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
		host := netip.MustParseAddrPort(ts.addr).Addr()
		n.SetDown(host, true)
		time.AfterFunc(3*time.Second, func() { n.SetDown(host, false) })
		if _, body := fetch(t, tr, newRequest(t, "POST", "https://localhost/", strings.NewReader("once"))); body != "once" {
			t.Errorf("got %q", body)
		}
		time.Sleep(15 * time.Second) // for the other connection, which was begun on suspicion
		tr.CloseIdleConnections()
		time.Sleep(time.Minute) // a connection that was lost ends by its timeout
	})
}

// TestClientGoAway shuts a server down and has another take over: requests under way end, later ones go to the new one, none fails (C22).
func TestClientGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 5 * time.Millisecond})
		var served atomic.Int64
		handler := func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			time.Sleep(50 * time.Millisecond)
			served.Add(1)
			w.Write(b)
		}
		old, next := serveOver(t, n, handler), serveOver(t, n, handler)
		tr := old.transport()
		var at atomic.Pointer[string]
		at.Store(&old.addr)
		tr.Dial = func(context.Context, string) (net.PacketConn, net.Addr, error) {
			pc, err := n.ListenPacket("")
			return pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(*at.Load())), err
		}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				for j := range 5 {
					want := fmt.Sprint(i, j)
					if _, got := fetch(t, tr, newRequest(t, "POST", "https://localhost/", strings.NewReader(want))); got != want {
						t.Errorf("got %q, want %q", got, want)
					}
				}
			})
		}
		time.Sleep(90 * time.Millisecond)
		at.Store(&next.addr)
		if err := old.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if served.Load() != 200 {
			t.Errorf("%d requests were served, of 200 that were made", served.Load())
		}
		tr.CloseIdleConnections()
		synctest.Wait()
		if n := tr.count(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// TestClientStress has a thousand goroutines send requests that they cancel at random, or close half-way: what is not cancelled is right, and in
// the end nothing is left: no request, no stream credit, no goroutine (C46).
func TestClientStress(t *testing.T) {
	before := runtime.NumGoroutine()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			io.Copy(w, r.Body)
			return
		}
		w.Write(bytes.Repeat([]byte(r.URL.Path[1:2]), 20_000))
	})
	tr := ts.transport()
	tr.MaxConnsPerHost = 2
	var wg sync.WaitGroup
	var whole, cancelled atomic.Int64
	for i := range 1000 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 3 {
				ctx, cancel := context.WithCancel(context.Background())
				kind := rnd.IntN(4)
				if kind == 1 {
					time.AfterFunc(time.Duration(rnd.IntN(30_000))*time.Microsecond, cancel)
				}
				letter := string(rune('a' + rnd.IntN(26)))
				req := newRequest(t, "GET", "https://localhost/"+letter, nil).WithContext(ctx)
				if rnd.IntN(2) == 0 {
					req = newRequest(t, "POST", "https://localhost/", struct{ io.Reader }{strings.NewReader(strings.Repeat(letter, 20_000))}).WithContext(ctx)
				}
				resp, err := tr.RoundTrip(req)
				if err == nil && kind == 2 {
					io.ReadFull(resp.Body, make([]byte, rnd.IntN(20_000)))
					resp.Body.Close()
				} else if err == nil {
					var b []byte
					if b, err = io.ReadAll(resp.Body); err == nil && string(b) != strings.Repeat(letter, 20_000) {
						t.Errorf("%d bytes of %q came, not 20000 of %q", len(b), b[:min(1, len(b))], letter)
					}
					resp.Body.Close()
					if err == nil {
						whole.Add(1)
					}
				}
				if err != nil && (kind != 1 || !errors.Is(err, context.Canceled)) {
					t.Errorf("kind %d: %v", kind, err)
				}
				if err != nil {
					cancelled.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	tr.waitIdle(t)
	tr.mu.Lock()
	for _, h := range tr.hosts {
		for _, cc := range h.conns {
			cc.mu.Lock()
			if cc.places.open+cc.places.reserved != 0 {
				t.Errorf("places: %+v", cc.places)
			}
			cc.mu.Unlock()
		}
	}
	tr.mu.Unlock()
	for range 200 { // more than the server's limit: credit for streams is there again, in time
		if _, body := fetch(t, tr, newRequest(t, "GET", "https://localhost/x", nil)); len(body) != 20_000 {
			t.Errorf("%d bytes came", len(body))
		}
	}
	t.Logf("%d whole, %d cancelled", whole.Load(), cancelled.Load())
	tr.CloseIdleConnections()
	ts.Close()
	wantGoroutines(t, before)
}

// wantGoroutines waits until no more goroutines run than before.
func wantGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 3000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		<-time.After(time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines run, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

// TestClientTrace has httptrace be told of everything, in order (C44).
func TestClientTrace(t *testing.T) {
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") })
	tr := ts.transport()
	var mu sync.Mutex
	var told []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(format, args...))
	}
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GetConn:              func(addr string) { note("GetConn %s", addr) },
		GotConn:              func(i httptrace.GotConnInfo) { note("GotConn %v %v %v", i.Reused, i.WasIdle, i.Conn.RemoteAddr()) },
		ConnectStart:         func(network, addr string) { note("ConnectStart %s %s", network, addr) },
		ConnectDone:          func(network, addr string, err error) { note("ConnectDone %s %s %v", network, addr, err) },
		TLSHandshakeStart:    func() { note("TLSHandshakeStart") },
		TLSHandshakeDone:     func(s tls.ConnectionState, err error) { note("TLSHandshakeDone %s %v", s.NegotiatedProtocol, err) },
		WroteHeaderField:     func(k string, v []string) { note("field %s", k) },
		WroteHeaders:         func() { note("WroteHeaders") },
		WroteRequest:         func(i httptrace.WroteRequestInfo) { note("WroteRequest %v", i.Err) },
		GotFirstResponseByte: func() { note("GotFirstResponseByte") },
	})
	want := []string{"GetConn localhost:443", "TLSHandshakeStart", "ConnectStart udp " + ts.addr, "ConnectDone udp " + ts.addr + " <nil>",
		"TLSHandshakeDone h3 <nil>", "GotConn false false " + ts.addr, "field :authority", "field :method", "field :path", "field :scheme",
		"field user-agent", "field accept-encoding", "WroteHeaders", "WroteRequest <nil>", "GotFirstResponseByte"}
	for range 2 {
		fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil).WithContext(ctx))
		tr.waitIdle(t)
		mu.Lock()
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told\n%q, want\n%q", told, want)
		}
		told = nil
		mu.Unlock()
		want = append([]string{want[0], "GotConn true true " + ts.addr}, want[6:]...)
	}
}

// TestClientConnDirect uses a connection without a pool: places are reserved, given back and waited for, and the hook tells of changes.
func TestClientConnDirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { <-hold }, func(s *Server) { s.QUIC = &quic.Config{MaxStreamsBidi: 3} })
		tr := ts.transport()
		var hooks atomic.Int64
		cc, err := tr.DialClientConn(context.Background(), "localhost:443", nil, func() { hooks.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		state := func(available, inFlight int) {
			t.Helper()
			synctest.Wait()
			if a, f := cc.Available(), cc.InFlight(); a != available || f != inFlight {
				t.Errorf("available %d, in flight %d, want %d and %d", a, f, available, inFlight)
			}
		}
		state(3, 0)
		for range 3 {
			if err := cc.Reserve(); err != nil {
				t.Error(err)
			}
		}
		if err := cc.Reserve(); err != errNoPlace {
			t.Errorf("a fourth Reserve returned %v", err)
		}
		state(0, 3)
		cc.Release()
		state(1, 2)
		var wg sync.WaitGroup
		get := func() { fetch(t, cc, newRequest(t, "GET", "https://elsewhere.test/", nil)) }
		for range 4 { // two of them with the places that are reserved, one with what is free, and one that waits
			wg.Go(get)
			synctest.Wait()
		}
		state(0, 3)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := cc.RoundTrip(newRequest(t, "GET", "https://x.test/", nil).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("RoundTrip returned %v", err)
		}
		before := hooks.Load()
		close(hold)
		wg.Wait()
		time.Sleep(time.Second)                                     // acknowledgements take their time
		if a, f := cc.Available(), cc.InFlight(); a < 2 || f != 0 { // the server may grant the third when it is asked
			t.Errorf("available %d, in flight %d at the end", a, f)
		}
		if hooks.Load() == before {
			t.Error("the hook was not called")
		}
		if n := tr.count(); n != 0 {
			t.Errorf("the pool has %d connections", n)
		}
		cc.Close()
		if err := cc.Err(); err != errClientConnClosed || !errors.Is(err, net.ErrClosed) {
			t.Errorf("Err is %v", err)
		}
		if _, err := cc.RoundTrip(newRequest(t, "GET", "https://x.test/", nil)); err != errClientConnClosed {
			t.Errorf("after Close RoundTrip returned %v", err)
		}
		if err := cc.Reserve(); err != errClientConnClosed {
			t.Errorf("after Close Reserve returned %v", err)
		}
		state(0, 0)
	})
}

// TestClientConnEnded: what has ended before it has begun is not sent, and its place is free.
func TestClientConnEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int64
		ts := serveTest(t, func(http.ResponseWriter, *http.Request) { served.Add(1) })
		cc, err := ts.transport().DialClientConn(context.Background(), "localhost:443", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		closed := make(chan struct{})
		close(closed)
		for range 20 {
			for _, req := range []*http.Request{newRequest(t, "GET", "https://x.test/", nil).WithContext(ctx), newRequest(t, "GET", "https://x.test/", nil)} {
				if req.Context() != ctx {
					req.Cancel = closed
				}
				if err := cc.Reserve(); err != nil {
					t.Fatal(err)
				}
				if _, err := cc.RoundTrip(req); err == nil {
					t.Error("a response")
				}
			}
		}
		time.Sleep(time.Second)
		if served.Load() > 0 || cc.InFlight() > 0 {
			t.Errorf("%d were served, %d are under way", served.Load(), cc.InFlight())
		}
	})
}

// TestClientConnectionCloses has the server close the connection before the response, in the middle of one, and after one that was not
// read yet, which can be read all the same.
func TestClientConnectionCloses(t *testing.T) {
	for _, tt := range []struct {
		name, path string
	}{{"before", "/before"}, {"within", "/within"}, {"after", "/after"}} {
		t.Run(tt.name, func(t *testing.T) {
			var ts *testServer
			closed := make(chan struct{})
			ts = serveTest(t, func(w http.ResponseWriter, r *http.Request) {
				c := QUICConn(r)
				switch r.URL.Path {
				case "/within":
					w.Header().Set("Content-Length", "100")
					io.WriteString(w, "half")
					w.(http.Flusher).Flush()
					fallthrough
				case "/before":
					go func() {
						time.Sleep(20 * time.Millisecond)
						c.CloseWithError(uint64(h3.ErrCodeInternal), "gone")
						close(closed)
					}()
					<-r.Context().Done()
				case "/after":
					w.Write(bytes.Repeat([]byte("x"), 30_000))
					go func() {
						time.Sleep(50 * time.Millisecond)
						c.CloseWithError(uint64(h3.ErrCodeNoError), "")
						close(closed)
					}()
				}
			})
			tr := ts.transport()
			fetch(t, tr, newRequest(t, "OPTIONS", "https://localhost/", nil))
			req := newRequest(t, "POST", "https://localhost"+tt.path, nil)
			resp, err := tr.RoundTrip(req)
			var conn *ConnError
			if tt.name == "before" {
				if !errors.As(err, &conn) || conn.Code != h3.ErrCodeInternal || !conn.Remote || !errors.Is(err, net.ErrClosed) {
					t.Errorf("RoundTrip returned %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			<-closed
			time.Sleep(20 * time.Millisecond)
			b, err := io.ReadAll(resp.Body)
			if tt.name == "after" {
				if err != nil || len(b) != 30_000 {
					t.Errorf("%d bytes, %v", len(b), err)
				}
				return
			}
			if string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &conn) {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// TestClientCreditUnasked has the server allow more requests while none waits for that, when the core has nobody to tell: the next one finds it.
func TestClientCreditUnasked(t *testing.T) {
	for _, limit := range []int64{1, 2, 50} {
		synctest.Test(t, func(t *testing.T) {
			n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 5 * time.Millisecond})
			ts := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "yes") }, func(s *Server) {
				s.QUIC = &quic.Config{MaxStreamsBidi: limit}
			})
			tr := ts.transport()
			tr.MaxConnsPerHost = 1
			for range 2 {
				var all sync.WaitGroup
				for range limit { // nobody waits, and nothing is left
					all.Go(func() {
						if _, body := fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil)); body != "yes" {
							t.Errorf("got %q", body)
						}
					})
				}
				all.Wait()
				time.Sleep(time.Second)
			}
			begin := time.Now()
			fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
			if took := time.Since(begin); took > 100*time.Millisecond {
				t.Errorf("limit %d: a request took %v", limit, took)
			}
			tr.CloseIdleConnections()
			time.Sleep(time.Second)
		})
	}
}

// TestClientRejected: of a request that was rejected nothing is kept, and it keeps no connection alive.
func TestClientRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, nil, func(_ *quicnet.Conn, s *quicnet.Stream) { s.Abort(uint64(h3.ErrCodeRequestRejected)) })
		cc, err := b.auto.h3.(*Transport).DialClientConn(t.Context(), "example.com:443", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "POST", "CONNECT"} {
			req := newRequest(t, method, "https://example.com/", nil)
			if method == "POST" {
				req.Body = io.NopCloser(io.MultiReader(strings.NewReader("x")))
			}
			if _, err := cc.RoundTrip(req); err == nil {
				t.Errorf("%s: a response", method)
			}
		}
		cc.QUIC().Do(func(*quicnet.Turn) {
			if cc.first != nil || len(cc.tunnels) > 0 {
				t.Errorf("a request is kept, and %d tunnels", len(cc.tunnels))
			}
		})
		time.Sleep(time.Minute)
		if cc.Err() == nil {
			t.Error("the connection is kept alive")
		}
	})
}
