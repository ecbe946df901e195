package http3

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// wantNothingKept checks that connections hold nothing of requests that are over, and end when they have been idle for long.
func (t *Transport) wantNothingKept(tb testing.TB) {
	tb.Helper()
	t.mu.Lock()
	var conns []*ClientConn
	for _, h := range t.hosts {
		conns = append(conns, h.conns...)
	}
	t.mu.Unlock()
	for _, cc := range conns {
		cc.qc.Do(func(t *quicnet.Turn) {
			if cc.first != nil || len(cc.tunnels) > 0 {
				tb.Errorf("a call is linked: %v; %d tunnels are kept", cc.first != nil, len(cc.tunnels))
			}
			for id := uint64(0); id < 400; id += 4 {
				if t.Lookup(id) != nil {
					tb.Errorf("the Stream of %d is kept", id)
				}
			}
		})
	}
	time.Sleep(10 * time.Minute)
	if n := t.count(); n > 0 {
		tb.Errorf("after ten minutes without a request there are %d connections", n)
	}
}

// A connection keeps nothing of requests that are over, in whichever way they end, and is not kept alive for them.
func TestNothingIsKeptOfRequests(t *testing.T) {
	read := func(t *testing.T, r io.Reader, want string) {
		if b, err := io.ReadAll(r); string(b) != want || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	write := func(t *testing.T, w any) {
		if _, err := io.WriteString(w.(io.Writer), "hello"); err != nil {
			t.Error(err)
		}
	}
	closeWrite := func(body any) { body.(interface{ CloseWrite() error }).CloseWrite() }
	for name, tt := range map[string]struct {
		path string
		get  bool
		use  func(t *testing.T, resp *http.Response, cancel func())
	}{
		"a GET":              {get: true},
		"a GET rejected":     {path: "rejected", get: true},
		"a CONNECT":          {},
		"a CONNECT refused":  {path: "refused"},
		"a CONNECT rejected": {path: "rejected"},
		"a CONNECT reset":    {path: "reset"},
		"a Body of both ways": {use: func(t *testing.T, resp *http.Response, _ func()) {
			write(t, resp.Body)
			closeWrite(resp.Body)
			read(t, resp.Body, "hello")
		}},
		"a context that ends": {use: func(_ *testing.T, _ *http.Response, cancel func()) { cancel() }},
		"a Stream": {use: func(t *testing.T, resp *http.Response, _ func()) {
			s, err := StreamOf(resp)
			if err != nil {
				t.Fatal(err)
			}
			write(t, s)
			s.Close()
			read(t, s, "hello")
		}},
		"a Stream aborted": {use: func(t *testing.T, resp *http.Response, _ func()) {
			s, err := StreamOf(resp)
			if err != nil {
				t.Fatal(err)
			}
			write(t, s)
			s.Abort(uint64(h3.ErrCodeConnect))
		}},
		"a Stream of what is over": {use: func(t *testing.T, resp *http.Response, _ func()) {
			write(t, resp.Body)
			closeWrite(resp.Body)
			read(t, resp.Body, "hello")
			time.Sleep(time.Second)
			s, err := StreamOf(resp)
			if err != nil {
				t.Fatal(err)
			}
			read(t, s, "")
			if _, err := s.Write([]byte("x")); err != quic.ErrStreamEnded {
				t.Errorf("a write behind the end: %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen sync.Map
				ts := serveOver(t, quicnettest.NewNetwork(1, quicnettest.Link{Delay: 5 * time.Millisecond}), func(w http.ResponseWriter, r *http.Request) {
					_, again := seen.LoadOrStore(r.Header.Get("X-Request"), true)
					switch {
					case r.URL.Path == "/rejected" && !again:
						exchangeOf(r).abort(h3.ErrCodeRequestRejected)
					case r.URL.Path == "/reset":
						panic(http.ErrAbortHandler)
					case r.URL.Path == "/refused":
						w.WriteHeader(http.StatusForbidden)
					case r.Method == "CONNECT":
						s, err := TakeOver(w)
						if err != nil {
							return // the client has gone
						}
						io.Copy(s, s)
						s.Close()
					}
				}, func(s *Server) { s.ExtendedConnect = true })
				tr := ts.transport()
				for i := range 5 {
					ctx, cancel := context.WithCancel(context.Background())
					req := newRequest(t, "CONNECT", "https://localhost/"+tt.path, nil).WithContext(ctx)
					req.Header = http.Header{":protocol": {"echo"}, "X-Request": {string(rune('a' + i))}}
					if tt.get {
						req.Method = "GET"
						delete(req.Header, ":protocol")
					}
					resp, err := tr.RoundTrip(req)
					if (err != nil) != (tt.path == "reset") {
						t.Error(err)
					}
					if err == nil {
						if tt.use != nil {
							tt.use(t, resp, cancel)
						}
						resp.Body.Close()
					}
					cancel()
				}
				time.Sleep(time.Second)
				if n := tr.count(); n != 1 {
					t.Errorf("there are %d connections", n)
				}
				tr.wantNothingKept(t)
			})
		})
	}
}

// Requests that come while it is known that early data is rejected, and the handshake is not complete yet, wait for it: after HelloRetryRequest, after
// Version Negotiation, and where the ticket is not known.
func TestClientEarlyDataWhileRejected(t *testing.T) {
	for name, change := range map[string]func(*Server){
		"HelloRetryRequest":   func(s *Server) { s.HTTP.TLSConfig.CurvePreferences = []tls.CurveID{tls.CurveP384} },
		"Version Negotiation": func(s *Server) { s.QUIC.Versions = []uint32{quic.Version2} },
		"other keys":          func(s *Server) { s.QUIC.TicketKeys = [][32]byte{{2}} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 50 * time.Millisecond})
				store, cache := new(replays), tls.NewLRUClientSessionCache(10)
				before := func(s *Server) {
					s.QUIC = &quic.Config{EarlyData: true, TicketKeys: [][32]byte{{1}}, EarlyReplay: store, Versions: []uint32{quic.Version1}}
				}
				handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }
				for _, change := range []func(*Server){func(*Server) {}, change} {
					tr := serveOver(t, n, handler, before, change).transport()
					tr.TLSClientConfig.ClientSessionCache, tr.EarlyData = cache, true
					var requests sync.WaitGroup
					for i := range 40 {
						requests.Go(func() {
							time.Sleep(time.Duration(i) * 10 * time.Millisecond)
							resp, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil))
							if err != nil {
								t.Errorf("a GET %d ms after the first one: %v", 10*i, err)
								return
							}
							resp.Body.Close()
						})
					}
					requests.Wait()
					time.Sleep(time.Second)
					tr.wantNothingKept(t)
				}
			})
		})
	}
}
