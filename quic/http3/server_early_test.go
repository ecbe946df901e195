package http3

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// TestAttackB8EarlyRequests: what becomes of requests that come before the handshake is complete (RFC 8470).
func TestAttackB8EarlyRequests(t *testing.T) {
	for name, c := range map[string]struct {
		policy EarlyPolicy
		get    string // what the handler tells: EarlyData, TLS.HandshakeComplete
		post   string // likewise, or the status
	}{
		"reject": {EarlyReject, "true false", "425"},
		"wait":   {EarlyWait, "true false", "false true"},
		"serve":  {EarlyServe, "true false", "true false"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 50 * time.Millisecond})
				ts := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprint(w, EarlyData(r), r.TLS.HandshakeComplete)
				}, func(s *Server) {
					s.Early = c.policy
					s.QUIC = &quic.Config{EarlyData: true}
				})
				p := ts.dialEarly(func(first *rawPeer) {
					if rep := first.open().headers(head("POST", "/")...).end().reply(); string(rep.body) != "false true" {
						t.Errorf("a request that was not early: %v", rep)
					}
				})
				get, post := p.get("/"), p.open().headers(head("POST", "/")...).end()
				if rep := get.reply(); string(rep.body) != c.get {
					t.Errorf("GET: %v", rep)
				}
				rep := post.reply()
				if got := strings.TrimPrefix(rep.status()+" "+string(rep.body), "200 "); strings.TrimSpace(got) != c.post || rep.err != nil {
					t.Errorf("POST: %v", rep)
				}
				if rep := p.open().headers(head("POST", "/")...).end().reply(); string(rep.body) != "false true" {
					t.Errorf("a request after the handshake: %v", rep)
				}
			})
		})
	}
}

// dialEarly returns a client that resumes the session of a first one, with which talk may do something, and that can send early data now.
func (ts *testServer) dialEarly(talk func(first *rawPeer)) *rawPeer {
	ts.t.Helper()
	cfg := quicnettest.ClientConfig()
	cfg.TLS.NextProtos = []string{"h3"}
	sessions := make(chan *quic.Session, 8)
	d := quicnet.Dialer{Endpoint: ts.net.Listen(ts.t, "", nil), OnSession: func(s *quic.Session) { sessions <- s }}
	peer := func(dial func(context.Context, string, *quic.Config) (*quicnet.Conn, error)) *rawPeer {
		conn, err := dial(context.Background(), ts.addr, cfg)
		if err != nil {
			ts.t.Fatal(err)
		}
		ts.t.Cleanup(func() { conn.Close() })
		p := &rawPeer{t: ts.t, conn: conn, settings: make(map[uint64]uint64)}
		p.begin()
		return p
	}
	first := peer(d.Dial)
	talk(first)
	d = quicnet.Dialer{Endpoint: d.Endpoint, Session: <-sessions}
	first.conn.Close()
	return peer(d.DialEarly)
}

// TestAltSvc: S61, what responses over HTTP/1.1 and HTTP/2 tell while the server listens, and that they tell nothing while it does not.
func TestAltSvc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, w.Header()["Alt-Svc"]) })
		h := ts.AltSvcHandler(ts.HTTP.Handler)
		ask := func(major int) string {
			w := &headerOnly{http.Header{}}
			h.ServeHTTP(w, &http.Request{ProtoMajor: major})
			return w.h.Get("Alt-Svc")
		}
		synctest.Wait()
		_, port, _ := strings.Cut(ts.addr, ":")
		if got := ask(2); got != `h3=":`+port+`"; ma=86400` {
			t.Errorf("while the server listens: %s", got)
		}
		if got := ask(3); got != "" {
			t.Errorf("over HTTP/3: %s", got)
		}
		w := &headerOnly{http.Header{}}
		ts.AltSvcHandler(nil).ServeHTTP(w, httptest.NewRequest("GET", "/", nil)) // net/http's own multiplexer
		if w.h.Get("Alt-Svc") == "" {
			t.Errorf("without a handler the header is %v", w.h)
		}
		ts.Close()
		if got := ask(1); got != "" {
			t.Errorf("when the server is closed: %s", got)
		}
		if err := ts.SetAltSvcHeader(http.Header{}); err != ErrNoAltSvc {
			t.Errorf("SetAltSvcHeader returned %v", err)
		}
	})
	for want, a := range map[string]AltSvc{
		`h3=":8443"; ma=60`: {Port: 8443, MaxAge: time.Minute},
		"":                  {MaxAge: -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			ts := serveTest(t, nil, func(s *Server) { s.AltSvc = a })
			synctest.Wait()
			h := http.Header{}
			ts.SetAltSvcHeader(h)
			if got := h.Get("Alt-Svc"); got != want {
				t.Errorf("%+v: %s", a, got)
			}
		})
	}
}

type headerOnly struct{ h http.Header }

func (w *headerOnly) Header() http.Header         { return w.h }
func (w *headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (w *headerOnly) WriteHeader(int)             {}

// TestKeepOpen: a socket outlives its server, and serves another one.
func TestKeepOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{})
		pc, err := n.ListenPacket("")
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		for _, name := range []string{"first", "second"} {
			s := &Server{HTTP: &http.Server{TLSConfig: quicnettest.ServerConfig().TLS, Handler: http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name) })}}
			s.ListenConfig.Socket.KeepOpen = true
			done := make(chan error, 1)
			go func() { done <- s.Serve(pc) }()
			ts := &testServer{Server: s, t: t, net: n, addr: pc.LocalAddr().String()}
			wantFields("body", name)(t, ts.dial().get("/").reply())
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := <-done; err != http.ErrServerClosed {
				t.Error(err)
			}
		}
	})
}

// An early request that waits for the handshake, and that its client gives up, is answered all the same: its stream would stay, and with it the connection.
func TestEarlyRequestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 50 * time.Millisecond})
		ts := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				t.Error("the request was served")
			}
		}, func(s *Server) {
			s.Early, s.QUIC = EarlyWait, &quic.Config{EarlyData: true}
		})
		p := ts.dialEarly(func(first *rawPeer) { first.get("/").reply() })
		q := p.open().headers(head("POST", "/")...)
		time.Sleep(10 * time.Millisecond) // until that has left
		q.s.CancelWrite(uint64(h3.ErrCodeRequestCancelled))
		q.s.SetReadDeadline(time.Now().Add(time.Minute))
		wantReset(h3.ErrCodeRequestRejected)(t, q.reply())
	})
}
