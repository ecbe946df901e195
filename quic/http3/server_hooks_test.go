package http3

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/h3"
)

// Contexts, and the hooks of http.Server.

// TestContextEnds: S9 of the users' list and S41, a request's context is done whatever ends the request, though the handler neither reads nor
// writes.
func TestContextEnds(t *testing.T) {
	for name, end := range map[string]func(ts *testServer, p *rawPeer, q *rawRequest){
		"RESET_STREAM": func(ts *testServer, p *rawPeer, q *rawRequest) { q.s.CancelWrite(uint64(h3.ErrCodeRequestCancelled)) },
		"STOP_SENDING": func(ts *testServer, p *rawPeer, q *rawRequest) { q.s.CancelRead(uint64(h3.ErrCodeRequestCancelled)) },
		"both":         func(ts *testServer, p *rawPeer, q *rawRequest) { q.s.Abort(uint64(h3.ErrCodeRequestCancelled)) },
		"close":        func(ts *testServer, p *rawPeer, q *rawRequest) { p.conn.CloseWithError(uint64(h3.ErrCodeNoError), "") },
		"bad close": func(ts *testServer, p *rawPeer, q *rawRequest) {
			p.conn.CloseWithError(uint64(h3.ErrCodeInternal), "oops")
		},
		"S52 Close":   func(ts *testServer, p *rawPeer, q *rawRequest) { ts.Close() },
		"a violation": func(ts *testServer, p *rawPeer, q *rawRequest) { p.control.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, ended := make(chan struct{}), make(chan struct{})
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					close(began)
					<-r.Context().Done()
					close(ended)
				})
				p := ts.dial()
				q := p.open().headers(head("POST", "/")...)
				<-began
				end(ts, p, q)
				<-ended
				synctest.Wait()
				if s := ts.log.String(); s != "" { // U26
					t.Errorf("the log says %s", s)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // the handler's return
		var ctx context.Context
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { ctx = r.Context() })
		ts.dial().get("/").reply()
		synctest.Wait()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Error(ctx.Err())
		}
	})
}

// A BaseContext that returns nil is a panic, as net/http's is, and what was opened before it is closed: a program that recovers can listen again.
func TestBaseContextNil(t *testing.T) {
	cert, err := tls.LoadX509KeyPair(certFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	s := &Server{HTTP: &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, BaseContext: func(net.Listener) context.Context { return nil }}}
	func() {
		defer func() {
			if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "nil context") {
				t.Errorf("the panic is %v", v)
			}
		}()
		t.Errorf("returned %v", s.Serve(pc))
	}()
	if err := pc.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) || len(s.listening) > 0 {
		t.Errorf("the socket's deadline can be set: %v; %d endpoints are served", err, len(s.listening))
	}
}

// TestContexts: S40, BaseContext and ConnContext, and that what they give ends requests.
func TestContexts(t *testing.T) {
	type key string
	synctest.Test(t, func(t *testing.T) {
		base, cancel := context.WithCancel(context.WithValue(context.Background(), key("base"), "b"))
		defer cancel()
		var conns atomic.Int32
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Context().Value(key("base")), r.Context().Value(key("conn")))
			if r.URL.Path == "/wait" {
				<-r.Context().Done()
			}
		}, func(s *Server) {
			s.HTTP.BaseContext = func(l net.Listener) context.Context {
				if _, err := l.Accept(); err == nil || l.Addr() == nil {
					t.Error("the listener is not what is documented")
				}
				return base
			}
			s.HTTP.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
				if c.RemoteAddr().(*net.UDPAddr).Port == 0 || c.LocalAddr().(*net.UDPAddr).Port == 0 {
					t.Errorf("the addresses are %v and %v", c.LocalAddr(), c.RemoteAddr())
				}
				if _, err := c.Write(nil); err == nil {
					t.Error("the connection can be written")
				}
				return context.WithValue(ctx, key("conn"), conns.Add(1))
			}
		})
		p := ts.dial()
		wantFields("body", "b1")(t, p.get("/").reply())
		wantFields("body", "b1")(t, p.get("/").reply())
		wantFields("body", "b2")(t, ts.dial().get("/").reply())
		q := p.get("/wait")
		synctest.Wait()
		cancel()
		wantFields("body", "b1")(t, q.reply())
		wantFields("body", "b1")(t, p.get("/wait").reply()) // whose context is done from the beginning
	})
}

// TestConnState: S42.
func TestConnState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		goOn := make(chan struct{})
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if last := got[len(got)-1]; last != "active" {
				t.Errorf("while a handler runs the state is %s", last)
			}
			mu.Unlock()
			<-goOn
		}, func(s *Server) {
			s.HTTP.ConnState = func(c net.Conn, s http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, s.String())
				if c.RemoteAddr() == nil || c.LocalAddr() == nil {
					t.Error("a connection without addresses")
				}
			}
		})
		want := func(states ...string) {
			t.Helper()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, states) {
				t.Errorf("the states were %v, not %v", got, states)
			}
		}
		p := ts.dial()
		want("new")
		a, b := p.get("/"), p.get("/")
		want("new", "active")
		goOn <- struct{}{}
		want("new", "active")
		goOn <- struct{}{}
		a.reply()
		b.reply()
		want("new", "active", "idle")
		go func() { goOn <- struct{}{} }()
		p.get("/").reply()
		want("new", "active", "idle", "active", "idle")
		p.conn.Close()
		want("new", "active", "idle", "active", "idle", "closed")
	})
}

// A hook that panics ends its connection, for all that is under way on it, and the log says so; the next connection is served.
func TestHooksPanic(t *testing.T) {
	onState := func(state http.ConnState) func(*http.Server, func() bool) {
		return func(hs *http.Server, first func() bool) {
			hs.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == state && first() {
					panic("oh no")
				}
			}
		}
	}
	for name, set := range map[string]func(hs *http.Server, first func() bool){
		"new": onState(http.StateNew), "active": onState(http.StateActive), "idle": onState(http.StateIdle), "closed": onState(http.StateClosed),
		"ConnContext": func(hs *http.Server, first func() bool) {
			hs.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
				if first() {
					panic("oh no")
				}
				return ctx
			}
		},
		"no context": func(hs *http.Server, first func() bool) {
			hs.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
				if first() {
					return nil
				}
				return ctx
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var panicked atomic.Bool
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {}, func(s *Server) {
					set(s.HTTP, func() bool { return !panicked.Swap(true) })
				})
				tr := ts.transport()
				var both sync.WaitGroup
				for range 2 {
					both.Go(func() {
						if resp, err := tr.RoundTrip(newRequest(t, "POST", "https://localhost/", nil)); err == nil {
							resp.Body.Close()
						}
					})
				}
				both.Wait()
				tr.CloseIdleConnections()
				time.Sleep(time.Minute)
				want := map[string]string{"no context": "ConnContext returned a nil context"}[name]
				if got := ts.log.String(); strings.Count(got, "panic serving 192.") != 1 || !strings.Contains(got, cmp.Or(want, "oh no")) {
					t.Errorf("the log says %s", got)
				}
				ts.mu.Lock()
				if n := len(ts.conns); n > 0 {
					t.Errorf("%d connections are left", n)
				}
				ts.mu.Unlock()
				fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
			})
		})
	}
}

// A context whose deadline has passed says so, as contexts made of it would: it is the deadline that the request's own context tells.
func TestContextDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, cancel := context.WithTimeoutCause(context.Background(), time.Second, errors.New("the cause"))
		defer cancel()
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			_, ok := r.Context().Deadline()
			fmt.Fprint(w, ok, " ", r.Context().Err(), ", ", context.Cause(r.Context()))
		}, func(s *Server) { s.HTTP.BaseContext = func(net.Listener) context.Context { return base } })
		p := ts.dial()
		for range 2 { // the second one's context is over from the beginning
			wantFields("body", "true context deadline exceeded, the cause")(t, p.get("/").reply())
		}
	})
}

// ConnContext and ConnState are given the same net.Conn, by which programs find what they have noted of a connection.
func TestHooksHaveOneConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := make(map[net.Conn]string)
		note := func(c net.Conn, what string) {
			mu.Lock()
			defer mu.Unlock()
			seen[c] += what + " "
		}
		ts := serveTest(t, func(http.ResponseWriter, *http.Request) {}, func(s *Server) {
			s.HTTP.ConnState = func(c net.Conn, state http.ConnState) { note(c, state.String()) }
			s.HTTP.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
				note(c, "context")
				return ctx
			}
		})
		for range 2 {
			ts.dial().get("/").reply()
		}
		time.Sleep(time.Second) // until the connections are idle
		mu.Lock()
		defer mu.Unlock()
		for _, states := range seen {
			if len(seen) != 2 || len(strings.Fields(states)) != 4 {
				t.Errorf("the hooks were told of %v", seen)
			}
		}
	})
}
