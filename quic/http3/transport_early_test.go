package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
	"github.com/boringquic/boringquic/quic/udp"
)

// TestClientEarlyData sends requests as early data on a resumed connection: a GET takes one round trip then, a POST and a request that wants
// it wait for the handshake, and one that the handler answers with 425 is made again after it (RFC 8470).
func TestClientEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 50 * time.Millisecond
		var early, tooEarly atomic.Int64
		ts := serveOver(t, quicnettest.NewNetwork(1, quicnettest.Link{Delay: delay}), func(w http.ResponseWriter, r *http.Request) {
			if EarlyData(r) {
				early.Add(1)
				if r.URL.Path == "/425" {
					tooEarly.Add(1)
					w.WriteHeader(http.StatusTooEarly)
					return
				}
			}
			b, _ := io.ReadAll(r.Body)
			io.WriteString(w, r.Method+string(b))
		}, func(s *Server) { s.QUIC = &quic.Config{EarlyData: true} })
		cache := tls.NewLRUClientSessionCache(10)
		for _, tt := range []struct {
			name, method, path string
			late               bool
			trips              time.Duration
			early, tooEarly    int64
		}{
			{name: "full handshake", method: "GET", path: "/", trips: 2},
			{name: "early", method: "GET", path: "/", trips: 1, early: 1},
			{name: "post", method: "POST", path: "/", trips: 2},
			{name: "wants to wait", method: "GET", path: "/", late: true, trips: 2},
			{name: "425", method: "HEAD", path: "/425", trips: 2, early: 1, tooEarly: 1},
		} {
			tr := ts.transport()
			tr.TLSClientConfig.ClientSessionCache = cache
			tr.EarlyData = true
			early.Store(0)
			tooEarly.Store(0)
			req := newRequest(t, tt.method, "https://localhost"+tt.path, nil)
			want := tt.method
			if tt.method == "POST" {
				req = newRequest(t, tt.method, "https://localhost"+tt.path, strings.NewReader("body"))
				want += "body"
			}
			if tt.late {
				req = req.WithContext(WithoutEarlyData(context.Background()))
			}
			if tt.method == "HEAD" {
				want = ""
			}
			start := time.Now()
			resp, got := fetch(t, tr, req)
			took := time.Since(start).Round(delay)
			if resp.StatusCode != 200 || got != want || took != tt.trips*2*delay || early.Load() != tt.early || tooEarly.Load() != tt.tooEarly {
				t.Errorf("%s: %d %q after %v, %d early, %d too early", tt.name, resp.StatusCode, got, took, early.Load(), tooEarly.Load())
			}
			if tt.trips == 1 && (resp.TLS == nil || !resp.TLS.DidResume) {
				t.Errorf("%s: TLS is %+v", tt.name, resp.TLS)
			}
			time.Sleep(time.Second) // for tickets
			tr.CloseIdleConnections()
			time.Sleep(time.Second)
		}
	})
}

// TestClientEarlyDataRejected has a server that does not know the ticket any more reject early data: requests in it are sent again by themselves.
func TestClientEarlyDataRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 20 * time.Millisecond})
		var served atomic.Int64
		handler := func(w http.ResponseWriter, r *http.Request) {
			served.Add(1)
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, r.URL.Path+r.Trailer.Get("X-Sum"))
		}
		option := func(s *Server) { s.QUIC = &quic.Config{EarlyData: true} }
		old, other := serveOver(t, n, handler, option), serveOver(t, n, handler, option)
		cache := tls.NewLRUClientSessionCache(10)
		for _, ts := range []*testServer{old, other} {
			tr := ts.transport()
			tr.TLSClientConfig.ClientSessionCache = cache
			tr.EarlyData = true
			for _, path := range []string{"/a", "/b"} {
				req := newRequest(t, "GET", "https://localhost"+path, nil)
				if path == "/a" { // the one in early data: trailers make no body of it that was read
					req.Trailer = http.Header{"X-Sum": {"1"}}
				}
				if _, got := fetch(t, tr, req); got != path+req.Trailer.Get("X-Sum") {
					t.Errorf("got %q", got)
				}
			}
			time.Sleep(time.Second)
			tr.wantNothingKept(t)
		}
		if served.Load() != 4 {
			t.Errorf("%d requests were served", served.Load())
		}
	})
}

// replays is a store against replays that servers share.
type replays struct{ seen sync.Map }

func (r *replays) Fresh(id [32]byte, _ time.Time) (bool, error) {
	_, known := r.seen.LoadOrStore(id, true)
	return !known, nil
}

// TestEarlyDataOtherSettings: a server that knows the tickets of another one, whose settings were others, rejects early data, rather than break the word
// that clients rely on in it (RFC 9114, section 7.2.4.2). With the same settings it accepts it.
func TestEarlyDataOtherSettings(t *testing.T) {
	before := func(s *Server) { s.HTTP.MaxHeaderBytes, s.ExtendedConnect, s.Datagrams = 1<<20, true, true }
	for name, tt := range map[string]struct {
		after func(s *Server)
		early bool
	}{
		"the same":         {before, true},
		"smaller header":   {func(s *Server) { before(s); s.HTTP.MaxHeaderBytes = 1 << 16 }, false},
		"no CONNECT":       {func(s *Server) { before(s); s.ExtendedConnect = false }, false},
		"own context":      {func(s *Server) { before(s); s.QUIC.EarlyContext = []byte("other") }, false},
		"through Protocol": {func(s *Server) { before(s); s.HTTP.MaxHeaderBytes = 1 << 16 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 20 * time.Millisecond})
				store, cache := new(replays), tls.NewLRUClientSessionCache(10)
				var early atomic.Bool
				for i, options := range []func(*Server){before, tt.after} {
					ts := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) { early.Store(EarlyData(r)) }, func(s *Server) {
						s.QUIC = &quic.Config{EarlyData: true, TicketKeys: [][32]byte{{1}}, EarlyReplay: store}
						options(s)
					})
					tr := ts.transport()
					if name == "through Protocol" && i == 1 {
						tr = transportOn(t, n, serveByProtocol(t, n, ts.Server))
					}
					tr.TLSClientConfig.ClientSessionCache, tr.EarlyData = cache, true
					fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
					time.Sleep(time.Second)
					tr.CloseIdleConnections()
					time.Sleep(time.Second)
				}
				if early.Load() != tt.early {
					t.Errorf("the second server took the request as early data: %v", early.Load())
				}
			})
		})
	}
}

// serveByProtocol serves on an endpoint of the test's own, and returns its address.
func serveByProtocol(t *testing.T, n *quicnettest.Network, s *Server) string {
	t.Helper()
	cfg := *s.QUIC
	cfg.TLS = s.HTTP.TLSConfig.Clone()
	cfg.TLS.NextProtos = []string{"h3"}
	var err error
	if cfg.EarlyContext, err = s.EarlyContext(); err != nil {
		t.Fatal(err)
	}
	pc, err := n.ListenPacket("")
	if err != nil {
		t.Fatal(err)
	}
	sock, err := udp.New(pc, udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ep, err := quicnet.ListenConfig{Protocol: s.Protocol}.NewEndpoint(sock, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return ep.Addr().String()
}

// suspicious is the socket of a server that takes every token for a Retry token that is wrong, says so, and keeps nothing, as nginx does after a reload.
type suspicious struct {
	net.PacketConn
	refused map[string]bool // the connection IDs that clients chose
}

func (s *suspicious) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(p)
		if err != nil {
			return n, from, err
		}
		h, ok := quic.ParseHeader(p[:n], 8)
		if id := string(h.DstConnID); ok && len(h.Token) > 0 && !s.refused[id] {
			s.refused[id] = true
			s.refuse(&h, from)
		} else if !s.refused[id] {
			return n, from, err
		}
	}
}

func (s *suspicious) refuse(h *quic.Header, to net.Addr) {
	params := quic.AcceptParams{Version: h.Version, Remote: to.(*net.UDPAddr).AddrPort(), AddressValidated: true}
	params.SrcConnID, _ = quic.MakeConnID([]byte("serverid"))
	params.PeerConnID, _ = quic.MakeConnID(h.SrcConnID)
	params.ClientDstConnID, _ = quic.MakeConnID(h.DstConnID)
	params.OrigDstConnID = params.ClientDstConnID
	c, err := quic.Accept(time.Now(), quicnettest.ServerConfig(), params)
	if err != nil {
		panic(err)
	}
	defer c.Release()
	c.Close(time.Now(), false, uint64(quic.InvalidToken), "")
	b := make([]byte, 1500)
	s.WriteTo(b[:c.Send(time.Now(), b).N], to)
}

// A server that refuses the token of a session has read no request, which is made again, early data or not.
func TestClientEarlyDataTokenRefused(t *testing.T) {
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 20 * time.Millisecond})
			ts := newTestServer(t, n, func(http.ResponseWriter, *http.Request) {}, func(s *Server) { s.QUIC = &quic.Config{EarlyData: true} })
			pc := &suspicious{ts.listenPacket(), map[string]bool{}}
			go func() { ts.done <- ts.Serve(pc) }()
			cache := tls.NewLRUClientSessionCache(10)
			for range 4 {
				for _, method := range []string{"GET", "POST"} {
					tr := ts.transport()
					tr.TLSClientConfig.ClientSessionCache, tr.EarlyData = cache, early
					req := newRequest(t, method, "https://localhost/", nil)
					if method == "POST" {
						req = newRequest(t, method, "https://localhost/", strings.NewReader("body"))
					}
					fetch(t, tr, req)
					time.Sleep(time.Second)
					tr.CloseIdleConnections()
					time.Sleep(time.Second)
				}
			}
			ts.Close()
			if len(pc.refused) != 7 {
				t.Errorf("early data %v: %d tokens were refused", early, len(pc.refused))
			}
		})
	}
}

// A request that waits for the end of a handshake which early data was sent in fails when that does, as it would without early data: a further
// session, and a further wait, would bring nothing.
func TestClientEarlyDataServerDown(t *testing.T) {
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 20 * time.Millisecond})
			ts := serveOver(t, n, func(http.ResponseWriter, *http.Request) {}, func(s *Server) { s.QUIC = &quic.Config{EarlyData: true} })
			tr := ts.transport()
			tr.TLSClientConfig.ClientSessionCache, tr.EarlyData = tls.NewLRUClientSessionCache(10), early
			fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
			time.Sleep(time.Second)
			tr.CloseIdleConnections()
			n.SetLink(quicnettest.Link{Loss: 1})
			start := time.Now()
			_, err := tr.RoundTrip(newRequest(t, "POST", "https://localhost/", strings.NewReader("body")))
			if e := (*quic.IdleTimeoutError)(nil); !errors.As(err, &e) || time.Since(start) != 10*time.Second {
				t.Errorf("early data %v: %v after %v", early, err, time.Since(start))
			}
		})
	}
}

// An upload that was stopped sends nothing more, at whatever point its goroutine is: after early data was rejected the stream with its ID is another
// request's.
func TestStoppedUploadSendsNoTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 20 * time.Millisecond})
		read := make(chan error, 1)
		ts := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			read <- err
		})
		tr := ts.transport()
		body, w := io.Pipe()
		req := newRequest(t, "POST", "https://localhost/", body)
		req.Trailer = http.Header{"X-Sum": {"1"}}
		done := make(chan error, 1)
		go func() {
			_, err := tr.RoundTrip(req)
			done <- err
		}()
		w.Write([]byte("some of it"))
		time.Sleep(time.Second)
		var cc *ClientConn
		tr.mu.Lock()
		for _, h := range tr.hosts {
			cc = h.conns[0]
		}
		tr.mu.Unlock()
		var cl *call
		cc.qc.Do(func(t *quicnet.Turn) {
			cl = cc.first
			cl.stopUpload(t, false)
		})
		if err := cl.sendTrailers(req.Trailer); err != errUploadStopped {
			t.Errorf("trailers after the end: %v", err)
		}
		cl.cancel(context.Canceled)
		if err := <-done; err == nil {
			t.Error("the request was answered")
		}
		if err := <-read; err == nil {
			t.Error("the handler has read a body that looks whole")
		}
		w.Close()
	})
}
