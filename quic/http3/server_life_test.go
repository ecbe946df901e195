package http3

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// The life of connections and servers: timeouts, shutting down.

// TestReadHeaderTimeout: S43.
func TestReadHeaderTimeout(t *testing.T) {
	for name, set := range map[string]func(*http.Server){
		"ReadHeaderTimeout": func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout = 3*time.Second, time.Hour },
		"ReadTimeout":       func(s *http.Server) { s.ReadTimeout = 3 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {}, func(s *Server) { set(s.HTTP) })
				p := ts.dial()
				q := p.open().write(rawFrame(1, rawSection(head("GET", "/")...))[:5])
				began := time.Now()
				rep := q.reply()
				if d := time.Since(began); d < 2900*time.Millisecond || d > 4*time.Second {
					t.Errorf("it took %v", d)
				}
				wantReset(h3.ErrCodeRequestIncomplete)(t, rep)
				wantFields(":status", "200")(t, p.get("/").reply())
			})
		})
	}
}

// TestReadTimeout: S44.
func TestReadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			_, err := io.ReadAll(r.Body)
			ne := net.Error(nil)
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("Read returned %v", err)
			}
			if d := time.Since(began); d < 4*time.Second || d > 6*time.Second {
				t.Errorf("after %v", d)
			}
			io.WriteString(w, "late")
		}, func(s *Server) { s.HTTP.ReadTimeout = 5 * time.Second })
		wantFields("body", "late")(t, ts.dial().open().headers(head("POST", "/")...).data("x").reply())
	})
}

// TestWriteTimeout: S45, for a handler that sleeps, one whose client does not read, and one that has returned.
func TestWriteTimeout(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"asleep": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "begin")
			w.(http.Flusher).Flush()
			time.Sleep(7 * time.Second)
			if r.Context().Err() == nil {
				t.Error("the context is not done")
			}
			_, err := w.Write(make([]byte, 2*bufferSize))
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write returned %v", err)
			}
		},
		"blocked": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000000")
			_, err := w.Write(make([]byte, 100_000_000))
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write returned %v", err)
			}
		},
		"returned": func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100_000)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := serveTest(t, handler, func(s *Server) { s.HTTP.WriteTimeout = 5 * time.Second })
				p := ts.dial(func(c *quic.Config) {
					c.StreamReceiveWindow, c.MaxStreamReceiveWindow = 10_000, 10_000
					c.KeepAlive = 5 * time.Second
				})
				q := p.get("/")
				time.Sleep(10 * time.Second)
				wantReset(h3.ErrCodeInternal)(t, q.reply())
			})
		})
	}
}

// A handler that waits for the request's body is told the same when the time to write has passed.
func TestWriteTimeoutWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read returned %v", err)
			}
			if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Copy returned %v", err)
			}
		}, func(s *Server) { s.HTTP.WriteTimeout = 5 * time.Second })
		wantReset(h3.ErrCodeInternal)(t, ts.dial().open().headers(head("POST", "/")...).data("x").reply())
	})
}

// TestDeadlines: S48.
func TestDeadlines(t *testing.T) {
	for name, handler := range map[string]func(t *testing.T, w http.ResponseWriter, r *http.Request, rc *http.ResponseController) (whole bool){
		"read, past": func(t *testing.T, w http.ResponseWriter, r *http.Request, rc *http.ResponseController) bool {
			rc.SetReadDeadline(time.Now().Add(-time.Second))
			wantDeadline(t, r)
			rc.SetReadDeadline(time.Now().Add(time.Hour)) // does not help
			wantDeadline(t, r)
			return true
		},
		"read, while it waits": func(t *testing.T, w http.ResponseWriter, r *http.Request, rc *http.ResponseController) bool {
			time.AfterFunc(time.Second, func() { rc.SetReadDeadline(time.Now().Add(time.Second)) })
			wantDeadline(t, r)
			return true
		},
		"read, later, then never": func(t *testing.T, w http.ResponseWriter, r *http.Request, rc *http.ResponseController) bool {
			rc.SetReadDeadline(time.Now().Add(time.Second))
			rc.SetReadDeadline(time.Now().Add(3 * time.Second))
			time.Sleep(2 * time.Second)
			if n, err := r.Body.Read(make([]byte, 10)); n != 1 || err != nil {
				t.Errorf("Read returned %d, %v", n, err)
			}
			rc.SetReadDeadline(time.Time{})
			time.Sleep(3 * time.Second)
			rc.SetReadDeadline(time.Now().Add(time.Second))
			wantDeadline(t, r)
			return true
		},
		"write, past": func(t *testing.T, w http.ResponseWriter, r *http.Request, rc *http.ResponseController) bool {
			rc.SetWriteDeadline(time.Now().Add(-time.Second))
			wantLate(t, w)
			return false
		},
		"write, later, then never": func(t *testing.T, w http.ResponseWriter, r *http.Request, rc *http.ResponseController) bool {
			rc.SetWriteDeadline(time.Now().Add(time.Second))
			rc.SetWriteDeadline(time.Now().Add(3 * time.Second))
			time.Sleep(2 * time.Second)
			rc.SetWriteDeadline(time.Time{})
			time.Sleep(5 * time.Second)
			return true
		},
		"write, too late to be moved": func(t *testing.T, w http.ResponseWriter, r *http.Request, rc *http.ResponseController) bool {
			rc.SetWriteDeadline(time.Now().Add(time.Second))
			time.Sleep(2 * time.Second)
			rc.SetWriteDeadline(time.Time{})
			wantLate(t, w)
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				whole := make(chan bool, 1)
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					whole <- handler(t, w, r, http.NewResponseController(w))
					w.Write(make([]byte, 100_000))
				})
				q := ts.dial(func(c *quic.Config) { c.KeepAlive = 5 * time.Second }).open().headers(head("POST", "/")...).data("x")
				rep := q.reply()
				if <-whole {
					wantFields(":status", "200")(t, rep)
				} else {
					wantReset(h3.ErrCodeInternal)(t, rep)
				}
			})
		})
	}
}

// wantDeadline reads until a deadline has passed.
func wantDeadline(t *testing.T, r *http.Request) {
	t.Helper()
	if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read returned %v", err)
	}
}

func wantLate(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	if _, err := w.Write(make([]byte, 2*bufferSize)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write returned %v", err)
	}
}

// TestIdleTimeout: S46.
func TestIdleTimeout(t *testing.T) {
	for name, set := range map[string]func(*http.Server){
		"IdleTimeout":      func(s *http.Server) { s.IdleTimeout = 50 * time.Second },
		"ReadTimeout":      func(s *http.Server) { s.ReadTimeout = 50 * time.Second },
		"less than QUIC's": func(s *http.Server) { s.IdleTimeout = 5 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var timeout time.Duration
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(2 * timeout) }, func(s *Server) {
					set(s.HTTP)
					timeout = max(s.HTTP.IdleTimeout, s.HTTP.ReadTimeout)
				})
				p := ts.dial(func(c *quic.Config) { c.MaxIdleTimeout = time.Hour; c.KeepAlive = 10 * time.Second })
				time.Sleep(timeout - time.Second)
				wantFields(":status", "200")(t, p.get("/").reply()) // a request that takes longer
				began := time.Now()
				<-p.conn.Context().Done()
				if d := time.Since(began); d < timeout-time.Second || d > timeout+2*time.Second {
					t.Errorf("after %v", d)
				}
				if err := p.conn.Err(); !errors.Is(err, &quic.ApplicationError{Code: uint64(h3.ErrCodeNoError), Remote: true}) {
					t.Errorf("the connection ended with %v", err)
				}
				if len(p.goneAway()) == 0 {
					t.Error("there was no GOAWAY")
				}
			})
		})
	}
}

// Timeouts of net/http that are longer than any of QUIC's are as good as the longest of these.
func TestTimeoutsWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const forever = time.Duration(math.MaxInt64)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {}, func(s *Server) {
			s.HTTP.ReadTimeout, s.HTTP.ReadHeaderTimeout, s.HTTP.WriteTimeout, s.HTTP.IdleTimeout = forever, forever, forever, forever
		})
		tr := ts.transport()
		tr.TLSHandshakeTimeout, tr.ResponseHeaderTimeout, tr.IdleConnTimeout, tr.ExpectContinueTimeout = forever, forever, forever, forever
		tr.QUIC = &quic.Config{MaxIdleTimeout: -1}
		cc, err := tr.DialClientConn(t.Context(), "localhost:443", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, idle := range []time.Duration{0, time.Minute, 23 * time.Hour} {
			time.Sleep(idle)
			fetch(t, cc, newRequest(t, "GET", "https://localhost/", nil))
		}
		cc.Close()
	})
}

// TestLongRequest: a request that takes longer than QUIC's idle timeout, while nothing is sent, is not cut off, whose client is there.
func TestLongRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(5 * time.Minute) })
		p := ts.dial()
		wantFields(":status", "200")(t, p.get("/").reply())
		began := time.Now()
		<-p.conn.Context().Done() // without a request it ends in silence
		if d := time.Since(began); d > 40*time.Second {
			t.Errorf("after %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // and one whose client is not there ends
		n := quicnettest.NewNetwork(1, quicnettest.Link{})
		ended := make(chan struct{})
		ts := serveOver(t, n, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(ended)
		})
		p := ts.dial()
		p.get("/")
		synctest.Wait()
		n.SetDown(p.conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), true)
		began := time.Now()
		<-ended
		if d := time.Since(began); d > time.Minute {
			t.Errorf("after %v", d)
		}
	})
}

// TestHandshakeTimeout: S47, the smallest of the timeouts that are set.
func TestHandshakeTimeout(t *testing.T) {
	s := &Server{HTTP: &http.Server{ReadTimeout: 4 * time.Second, WriteTimeout: 3 * time.Second}}
	srv, err := s.newServing(nil, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := srv.quicConfig(nil).HandshakeTimeout; d != 3*time.Second {
		t.Errorf("it is %v", d)
	}
	s.QUIC = &quic.Config{HandshakeTimeout: time.Second}
	if d := srv.quicConfig(nil).HandshakeTimeout; d != time.Second {
		t.Errorf("it is %v", d)
	}
}

// TestShutdown: S50, S51.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, goOn := make(chan struct{}), make(chan struct{})
		ts := serveOver(t, quicnettest.NewNetwork(1, quicnettest.Link{Delay: 50 * time.Millisecond}), func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				close(began)
				<-goOn
			}
			io.WriteString(w, "done")
		})
		var registered atomic.Int32
		ts.RegisterOnShutdown(func() { registered.Add(1) })
		idle, busy := ts.dial(), ts.dial()
		slow := busy.get("/slow")
		<-began
		over := make(chan error, 1)
		go func() { over <- ts.Shutdown(context.Background()) }()
		synctest.Wait()
		if err := <-ts.done; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		<-idle.conn.Context().Done()
		if err := idle.conn.Err(); !errors.Is(err, &quic.ApplicationError{Code: uint64(h3.ErrCodeNoError), Remote: true}) {
			t.Errorf("the idle connection ended with %v", err)
		}
		time.Sleep(time.Second)
		if g := busy.goneAway(); len(g) != 2 || g[0] != 1<<62-4 || g[1] != slow.s.ID()+4 {
			t.Errorf("GOAWAY came with %v", g)
		}
		wantReset(h3.ErrCodeRequestRejected)(t, busy.get("/").reply())
		select {
		case err := <-over:
			t.Errorf("Shutdown returned %v while a request was open", err)
		default:
		}
		close(goOn)
		wantFields("body", "done")(t, slow.reply())
		if err := <-over; err != nil {
			t.Error(err)
		}
		<-busy.conn.Context().Done()
		if err := busy.conn.Err(); !errors.Is(err, &quic.ApplicationError{Code: uint64(h3.ErrCodeNoError), Remote: true}) {
			t.Errorf("the busy connection ended with %v", err)
		}
		ts.Shutdown(context.Background())
		synctest.Wait()
		if n := registered.Load(); n != 1 {
			t.Errorf("the registered function ran %d times", n)
		}
		pc, _ := ts.net.ListenPacket("")
		if err := ts.Serve(pc); err != http.ErrServerClosed {
			t.Errorf("Serve after Shutdown returned %v", err)
		}
		pc.Close()
	})
}

// TestShutdownExpires: S50, ctx ends first: what runs goes on.
func TestShutdownExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			close(began)
			time.Sleep(10 * time.Second)
			io.WriteString(w, "done")
		})
		q := ts.dial().get("/")
		<-began
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := ts.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v", err)
		}
		wantFields("body", "done")(t, q.reply())
	})
}

// TestShutdownWhileOpening: a client comes before the server has noted that its endpoint is open, and Shutdown is called then. Its request is served.
// Close does not wait for that.
func TestShutdownWhileOpening(t *testing.T) {
	inOpening := func(end func(t *testing.T, ts *testServer, q *rawRequest, noteOpen func())) {
		synctest.Test(t, func(t *testing.T) {
			open, noted := make(chan struct{}), make(chan struct{})
			n := quicnettest.NewNetwork(1, quicnettest.Link{})
			var ts *testServer
			ts = newTestServer(t, n, func(w http.ResponseWriter, r *http.Request) {
				if n := len(ts.Endpoints()); n != 1 {
					t.Errorf("a handler finds %d endpoints", n)
				}
				select {
				case <-time.After(10 * time.Second):
					io.WriteString(w, "done")
				case <-r.Context().Done():
				}
			})
			pc := ts.listenPacket()
			cfg, err := certificate(ts.HTTP.TLSConfig, "", "")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				ts.done <- ts.serve(nil, true, cfg, nil, func(lc quicnet.ListenConfig, cfg *quic.Config) (*quicnet.Endpoint, error) {
					ep, err := ts.openSocket(pc)(lc, cfg)
					close(open)
					<-noted
					return ep, err
				})
			}()
			<-open
			q := ts.dial().get("/")
			synctest.Wait()
			end(t, ts, q, func() { close(noted) })
			if err := <-ts.done; err != http.ErrServerClosed {
				t.Errorf("Serve returned %v", err)
			}
		})
	}
	inOpening(func(t *testing.T, ts *testServer, q *rawRequest, noteOpen func()) {
		over := make(chan error, 1)
		go func() { over <- ts.Shutdown(context.Background()) }()
		synctest.Wait()
		noteOpen()
		wantFields("body", "done")(t, q.reply())
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	inOpening(func(t *testing.T, ts *testServer, q *rawRequest, noteOpen func()) {
		ts.Close()
		noteOpen()
		if r := q.reply(); r.err == nil {
			t.Error("there is a response after Close")
		}
	})
}

// TestShutdownHandshakes: clients whose handshakes are under way when Shutdown is called are served.
func TestShutdownHandshakes(t *testing.T) {
	const delay = 50 * time.Millisecond
	for _, after := range []time.Duration{delay + delay/2, 2*delay + delay/2} { // when the server has answered, and when the client has
		synctest.Test(t, func(t *testing.T) {
			ts := serveOver(t, quicnettest.NewNetwork(1, quicnettest.Link{Delay: delay}), func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(10 * time.Second)
				io.WriteString(w, "done")
			})
			synctest.Wait()
			over := make(chan error, 1)
			time.AfterFunc(after, func() { over <- ts.Shutdown(context.Background()) })
			wantFields("body", "done")(t, ts.dial().get("/").reply())
			if err := <-over; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHTTPShutdown: http.Server.Shutdown ends HTTP/3 as well.
func TestHTTPShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {})
		p := ts.dial()
		p.get("/").reply()
		ts.HTTP.Shutdown(context.Background())
		if err := <-ts.done; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		<-p.conn.Context().Done()
	})
}

// TestConnectionClose: S53.
func TestConnectionClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			io.WriteString(w, "bye")
		})
		p := ts.dial()
		wantFields("body", "bye", "connection", "")(t, p.get("/").reply())
		<-p.conn.Context().Done()
		if err := p.conn.Err(); !errors.Is(err, &quic.ApplicationError{Code: uint64(h3.ErrCodeNoError), Remote: true}) || len(p.goneAway()) == 0 {
			t.Errorf("the connection ended with %v, after GOAWAY %v", err, p.goneAway())
		}
		wantFields("body", "bye")(t, ts.dial().get("/").reply()) // others come
	})
}

// TestBlockedHandlers: S57.
func TestBlockedHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/quick" {
				<-goOn
			}
		}, func(s *Server) { s.QUIC = &quic.Config{MaxStreamsBidi: 1001} })
		p := ts.dial()
		var all []*rawRequest
		for range 1000 {
			all = append(all, p.get("/"))
		}
		wantFields(":status", "200")(t, p.get("/quick").reply())
		close(goOn)
		for _, q := range all {
			wantFields(":status", "200")(t, q.reply())
		}
	})
}

// TestProtocolOnOwnEndpoint: HTTP/3 shares an endpoint with another protocol, and leaves it alone.
func TestProtocolOnOwnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "h3") })
		synctest.Wait()
		if eps := ts.Endpoints(); len(eps) != 1 || eps[0].Addr().String() != ts.addr {
			t.Errorf("the endpoints are %v", eps)
		}
		ep := ts.ownEndpoint()
		wantFields("body", "h3")(t, ts.dial().get("/").reply())
		accepted := make(chan error, 1)
		go func() {
			_, err := ep.Accept(t.Context())
			accepted <- err
		}()
		cfg := quicnettest.ClientConfig()
		cfg.TLS.NextProtos = []string{"other"}
		c, err := ts.net.Listen(t, "", nil).Dial(t.Context(), ep.Addr().String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-accepted; err != nil {
			t.Error(err)
		}
		p := ts.dial()
		if err := ts.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-p.conn.Context().Done()
		if c.Err() != nil {
			t.Errorf("the other protocol's connection ended with %v", c.Err())
		}
	})
}

// A server that was closed serves nobody who comes to an endpoint of the program's afterwards.
func TestProtocolAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { t.Error("a request was served") })
		ts.ownEndpoint()
		ts.Close()
		cfg := quicnettest.ClientConfig()
		cfg.TLS.NextProtos = []string{"h3"}
		c, err := ts.net.Listen(t, "", nil).Dial(t.Context(), ts.addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.OpenStream(t.Context()); err == nil { // else it has ended already
			s.WriteFinal(rawFrame(1, rawSection(head("GET", "/")...)))
		}
		<-c.Context().Done()
		if !isClean(c.Err()) {
			t.Errorf("the client's connection ended with %v", c.Err())
		}
	})
}

// TestWhatIsMissing: the sentences of servers that cannot serve.
func TestWhatIsMissing(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cert := quicnettest.ServerConfig().TLS
	for name, c := range map[string]struct {
		serve func() error
		want  string
	}{
		"no certificate": {(&Server{}).ListenAndServe, "HTTP/3 needs a certificate"},
		"no key":         {func() error { return (&Server{}).ListenAndServeTLS("cert.pem", "") }, "needs its key"},
		"no file":        {func() error { return (&Server{}).ListenAndServeTLS("/nonexistent/cert.pem", "/nonexistent/key.pem") }, "certificate cannot be used"},
		"port in use":    {(&Server{HTTP: &http.Server{Addr: taken.LocalAddr().String(), TLSConfig: cert}}).ListenAndServe, "address already in use"},
		"no port":        {(&Server{HTTP: &http.Server{Addr: "localhost:nonsense", TLSConfig: cert}}).ListenAndServe, "nonsense"},
		"no UDP port":    {(&Server{AltSvc: AltSvc{Port: 1 << 16}, HTTP: &http.Server{TLSConfig: cert}}).ListenAndServe, "AltSvc.Port is 65536"},
		"too large":      {(&Server{HTTP: &http.Server{MaxHeaderBytes: 1 << 30, TLSConfig: cert}}).ListenAndServe, "MaxHeaderBytes"},
	} {
		if err := c.serve(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "http3: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// To set a deadline for reading holds nothing that a turn of the connection wants: with a client that gives its request up in that moment, the connection, and
// all others of its socket, would stand still for ever.
func TestReadDeadlinesLeaveTurnsAlone(t *testing.T) {
	for name, set := range map[string]func(w http.ResponseWriter, r *http.Request){
		"by http.ResponseController": func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Hour))
		},
		"by MinBodyRate": func(w http.ResponseWriter, r *http.Request) { r.Body.Read(make([]byte, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
				r.Body.Read(make([]byte, 1))
				x, done := exchangeOf(r), make(chan struct{})
				x.sc.conn.Do(func(*quicnet.Turn) {
					go func() {
						defer close(done)
						set(w, r)
					}()
					for range 1000 { // which waits for this turn meanwhile
						runtime.Gosched()
						if !x.ctx.mu.TryLock() {
							t.Error("the lock of the request's context is held")
							return
						}
						x.ctx.mu.Unlock()
					}
				})
				<-done
			}, func(s *Server) { s.MinBodyRate = 1 })
			wantFields(":status", "200")(t, ts.dial().open().headers(head("POST", "/")...).data("ab").end().reply())
		})
	}
}
