package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A request that leaves as early data waits for TCP no longer than another one where nothing comes back, and needs no TCP where something does. What is not
// safe, or must not be early data, is sent once, over what is connected first.
func TestAutoEarlyRace(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name           string
		method         string // empty: GET
		late           bool   // it must not be early data
		handshake, tcp time.Duration
		h3Err, tcpErr  error
		took           time.Duration
		how            string // "h3", "tcp" or "error"
		dials, served  int    // over TCP, and how often servers got the request
	}{
		{name: "it works", handshake: 30 * ms, tcp: 10 * ms, took: 40 * ms, how: "h3", served: 1},
		{name: "just in time", handshake: 239 * ms, tcp: 10 * ms, took: 249 * ms, how: "h3", served: 1},
		{name: "TCP slower", handshake: 400 * ms, tcp: time.Minute, took: 410 * ms, how: "h3", dials: 1, served: 1},
		{name: "TCP fails", handshake: 400 * ms, tcpErr: errBlackHole, took: 410 * ms, how: "h3", dials: 1, served: 1},
		{name: "black hole", handshake: 10 * time.Second, h3Err: errBlackHole, tcp: 10 * ms, took: 260 * ms, how: "tcp", dials: 1, served: 1},
		{name: "an answer after TCP's", handshake: 400 * ms, tcp: 10 * ms, took: 260 * ms, how: "tcp", dials: 1, served: 2},
		{name: "refused at once", handshake: 5 * ms, h3Err: errBlackHole, tcp: 10 * ms, took: 25 * ms, how: "tcp", dials: 1, served: 1},
		{name: "refused while TCP connects", handshake: 300 * ms, h3Err: errBlackHole, tcp: 100 * ms, took: 350 * ms, how: "tcp", dials: 1, served: 1},
		{name: "both fail", handshake: 300 * ms, h3Err: errBlackHole, tcpErr: errBlackHole, took: 310 * ms, how: "error", dials: 1},
		{name: "POST", method: "POST", handshake: 30 * ms, tcp: 10 * ms, took: 40 * ms, how: "h3", served: 1},
		{name: "POST, TCP quicker", method: "POST", handshake: 400 * ms, tcp: 10 * ms, took: 260 * ms, how: "tcp", dials: 1, served: 1},
		{name: "POST, black hole", method: "POST", handshake: 10 * time.Second, h3Err: errBlackHole, tcp: 10 * ms, took: 260 * ms, how: "tcp", dials: 1, served: 1},
		{name: "no early data, TCP quicker", late: true, handshake: 400 * ms, tcp: 10 * ms, took: 260 * ms, how: "tcp", dials: 1, served: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
				w.auto.Always = true
				w.h3.delay, w.h3.early, w.h3.err = 10*ms, tt.handshake, tt.h3Err
				w.dialDelay, w.dialErr = tt.tcp, tt.tcpErr
				ctx := t.Context()
				if tt.late {
					ctx = WithoutEarlyData(ctx)
				}
				var body io.Reader
				if tt.method == "POST" {
					body = &onceBody{Reader: strings.NewReader("x")}
				}
				req, _ := http.NewRequestWithContext(ctx, tt.method, "https://example.com/", body)
				began := time.Now()
				how := w.send(req)
				took := time.Since(began)
				switch {
				case tt.how == "h3":
					wantHow(t, "the request", how, "HTTP/3.0")
				case tt.how == "tcp":
					wantHow(t, "the request", how, tcp)
				case !strings.HasPrefix(how, "error: "):
					t.Errorf("the request: %s", how)
				}
				if took != tt.took || w.dials() != tt.dials {
					t.Errorf("it took %v and %d dials over TCP, want %v and %d", took, w.dials(), tt.took, tt.dials)
				}
				time.Sleep(time.Minute)
				if got := w.served(); len(got) != tt.served {
					t.Errorf("servers got %q, want %d", got, tt.served)
				}
			})
		})
	}
}

// While the handshake of a connection that takes early data is under way, requests that come later are not sent so behind the head start.
func TestAutoEarlyLater(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, tcp string) {
		w.auto.Always = true
		w.h3.early, w.h3.err = 10*time.Second, errBlackHole
		w.dialDelay = time.Millisecond
		wantHow(t, "the first", w.get("/"), tcp)
		for range 3 {
			took, how := w.timed("/")
			if how != tcp || took != 0 {
				t.Errorf("later: %s after %v, want %s at once", how, took, tcp)
			}
		}
		if w.h3.requests != 1 {
			t.Errorf("%d requests over HTTP/3, want 1", w.h3.requests)
		}
		time.Sleep(10 * time.Second)
		wantHow(t, "when it counts as broken", w.get("/"), tcp)
		if n := len(w.h3.dials()); n != 1 {
			t.Errorf("%d dials, want 1", n)
		}
	})
}

// A request that ends while it is under way as early data ends then, whatever TCP does.
func TestAutoEarlyCancelled(t *testing.T) {
	eachTCP(t, func(t *testing.T, w *autoWorld, _ string) {
		w.auto.Always = true
		w.h3.early, w.h3.err = time.Hour, errBlackHole
		w.dialDelay = time.Minute
		for _, after := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			req, _ := http.NewRequestWithContext(ctx, "GET", "https://example.com/", nil)
			began := time.Now()
			_, err := w.client.Do(req)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != after {
				t.Errorf("%v after %v, want the context's error after %v", err, time.Since(began), after)
			}
		}
		synctest.Wait()
		if len(w.served()) > 0 {
			t.Errorf("servers got %q", w.served())
		}
	})
}

// newEarlyH3 is a server whose HTTP/3 takes early data, and a client that has a session with it, and no connection. What is dialled is dead from then on
// where dead says so.
func newEarlyH3(t *testing.T, dead func(addr string) bool) *brokenH3 {
	cfg := quicnettest.ServerConfig()
	cfg.EarlyData = true
	b := newBrokenH3With(t, cfg, nil, nil, eight)
	tr := b.auto.h3.(*Transport)
	tr.EarlyData, tr.TLSClientConfig.ClientSessionCache = true, tls.NewLRUClientSessionCache(10)
	ready := false
	tr.Dial = func(_ context.Context, addr string) (net.PacketConn, net.Addr, error) {
		to := netip.MustParseAddrPort(b.addr)
		if ready && dead(addr) {
			to = netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), to.Port()) // as sessions are for one port
		}
		pc, err := b.net.ListenPacket("")
		return pc, net.UDPAddrFromAddrPort(to), err
	}
	b.header.Set("Alt-Svc", `h3=":1", h3=":2"`)
	b.get("/")
	wantHow(t, "at first", b.get("/"), "33333333")
	time.Sleep(time.Second) // for tickets
	b.auto.CloseIdleConnections()
	ready = true
	return b
}

// An alternative that swallows early data has the next one be tried, whose connection is used then.
func TestAutoEarlyNextAlternative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newEarlyH3(t, func(addr string) bool { return addr == "example.com:1" })
		for range 2 {
			wantHow(t, "while the first is tried", b.get("/"), "HTTP/2.0")
		}
		time.Sleep(11 * time.Second)
		wantHow(t, "when the next is connected", b.get("/"), "33333333")
	})
}

// The same while there is no TCP that the request could go over meanwhile.
func TestAutoEarlyNextAlternativeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newEarlyH3(t, func(addr string) bool { return addr == "example.com:1" })
		b.set(func() { b.dialErr = errBlackHole })
		for range 2 {
			wantHow(t, "over the next", b.get("/"), "33333333")
		}
		if n := b.accepted.Load(); n != 2 {
			t.Errorf("%d connections over HTTP/3, want 2", n)
		}
	})
}

// A server that refuses the token of a session, and early data with it, is connected to without.
func TestAutoEarlyTokenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 20 * time.Millisecond})
		ts := newTestServer(t, n, func(http.ResponseWriter, *http.Request) {}, func(s *Server) { s.QUIC = &quic.Config{EarlyData: true} })
		pc := &suspicious{ts.listenPacket(), map[string]bool{}}
		go func() { ts.done <- ts.Serve(pc) }()
		tr := ts.transport()
		tr.TLSClientConfig.ClientSessionCache, tr.EarlyData = tls.NewLRUClientSessionCache(10), true
		tcp := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errBlackHole }}
		auto := &AutoTransport{Always: true, HTTP3: tr, TCP: tcp}
		for range 4 {
			for _, method := range []string{"GET", "POST"} {
				req := newRequest(t, method, "https://localhost/", nil)
				resp, err := auto.RoundTrip(req)
				if err != nil {
					t.Fatalf("%s: %v", method, err)
				}
				resp.Body.Close()
				time.Sleep(time.Second)
				auto.CloseIdleConnections()
				time.Sleep(time.Second)
			}
		}
		ts.Close()
		if len(pc.refused) != 7 {
			t.Errorf("%d tokens were refused", len(pc.refused))
		}
	})
}

// That CloseIdleConnections closes a connection in whose handshake early data could be sent is no sign that HTTP/3 does not work: it is dialled again.
func TestAutoEarlyClosedIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newEarlyH3(t, func(addr string) bool { return addr == "example.com:2" })
		b.net.SetLink(quicnettest.Link{Delay: 50 * time.Millisecond})
		time.AfterFunc(20*time.Millisecond, b.auto.CloseIdleConnections)
		wantHow(t, "a POST", b.do("POST", "/", strings.NewReader("x"), nil), "33333333")
		if n := b.accepted.Load(); n != 3 { // with the one of before, and the one that was closed
			t.Errorf("%d connections were accepted, want 3", n)
		}
	})
}
