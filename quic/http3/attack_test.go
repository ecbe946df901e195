package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/internal/heaptest"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// Attacks on a server with handlers, by the names of their classes. What the frames of HTTP/3 alone can do is tested in package h3.

// TestAttackF1Handlers: a client that makes requests and gives both parts of their streams up gets the credit for others at once. That does not let it
// have more handlers run than streams may be open, though these handlers do not look at their contexts (CVE-2023-44487, CVE-2023-39325).
func TestAttackF1Handlers(t *testing.T) {
	for name, giveUp := range map[string]func(q *rawRequest){
		"RESET_STREAM and STOP_SENDING": func(q *rawRequest) { q.s.Abort(uint64(h3.ErrCodeRequestCancelled)) },
		"STOP_SENDING alone": func(q *rawRequest) {
			q.s.Close()
			q.s.CancelRead(uint64(h3.ErrCodeRequestCancelled))
		},
		"HEAD, flushed": func(q *rawRequest) { q.s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most, served atomic.Int32
				goOn := make(chan struct{})
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					defer running.Add(-1)
					served.Add(1)
					w.(http.Flusher).Flush()
					<-goOn
				}, func(s *Server) { s.QUIC = &quic.Config{MaxStreamsBidi: 10} })
				p := ts.dial()
				for range 200 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					s, err := p.conn.OpenStream(ctx)
					cancel()
					if err != nil {
						break // requests that wait and are not given up keep their streams
					}
					q := &rawRequest{p: p, s: s, r: rawReader{s}}
					q.headers(head("HEAD", "/")...)
					synctest.Wait()
					giveUp(q)
					time.Sleep(20 * time.Millisecond)
				}
				if n := most.Load(); n > 10 {
					t.Errorf("%d handlers ran at once, and 10 streams may be open", n)
				}
				if served.Load() > 10 {
					t.Errorf("%d requests were served", served.Load())
				}
				close(goOn)
				q := p.open()
				q.headers(head("GET", "/")...).end()
				wantFields(":status", "200")(t, q.reply())
				synctest.Wait()
				if n := running.Load(); n != 0 {
					t.Errorf("%d handlers run at the end", n)
				}
			})
		})
	}
}

// TestAttackF19SlowBodies: a byte of each of 99 bodies every 29 s, as QUIC's idle timeout lets pass. ReadTimeout ends them all, and the handlers with them.
func TestAttackF19SlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int32
		errs := make(chan error, 99)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Add(-1)
			_, err := io.Copy(io.Discard, r.Body)
			if r.Method == "POST" {
				errs <- err
			}
		}, func(s *Server) { s.HTTP.ReadTimeout = 2 * time.Minute })
		p := ts.dial()
		var all []*rawRequest
		for range 99 {
			all = append(all, p.open().headers(head("POST", "/")...))
		}
		for range 4 {
			time.Sleep(29 * time.Second)
			for _, q := range all {
				q.data("x")
			}
		}
		if n := running.Load(); n != 99 {
			t.Fatalf("after 116 s %d handlers run", n)
		}
		wantFields(":status", "200")(t, p.get("/").reply())
		time.Sleep(5 * time.Second)
		for range all {
			if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("a body of 2 minutes ends with %v", err)
			}
		}
		if n := running.Load(); n != 0 {
			t.Errorf("%d handlers run at the end", n)
		}
		wantFields(":status", "200")(t, p.get("/").reply())
	})
}

// TestAttackF19MinBodyRate: what Server.MinBodyRate has to say of bodies that drip, and of those that do not.
func TestAttackF19MinBodyRate(t *testing.T) {
	type result struct {
		n    int64
		err  error
		took time.Duration
	}
	synctest.Test(t, func(t *testing.T) {
		results := make(chan result, 1)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				return
			}
			begun := time.Now()
			if d, err := time.ParseDuration(r.URL.Query().Get("own")); err == nil {
				http.NewResponseController(w).SetReadDeadline(begun.Add(d))
			}
			var n int64
			var err error
			if r.URL.Path == "/slow" { // it is the handler who takes its time
				for b := make([]byte, 10); err == nil; time.Sleep(time.Minute) {
					var m int
					m, err = r.Body.Read(b)
					n += int64(m)
				}
			} else {
				n, err = io.Copy(io.Discard, r.Body)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			if _, again := r.Body.Read(make([]byte, 1)); err != nil && !errors.Is(again, os.ErrDeadlineExceeded) {
				t.Errorf("a body that has ended with %v then gives %v", err, again)
			}
			results <- result{n, err, time.Since(begun)}
		}, func(s *Server) { s.MinBodyRate = 100; s.HTTP.ReadTimeout = 10 * time.Minute })
		for _, c := range []struct {
			name, path string
			size       int // bytes of each piece
			every      time.Duration
			pieces     int
			whole      bool
			ends       time.Duration // 0: it does not matter
		}{
			{"a byte a second", "/", 1, time.Second, 100, false, 11 * time.Second}, // 1 % more than ten seconds
			{"nothing", "/", 0, time.Second, 100, false, 10 * time.Second},
			{"just fast enough", "/", 200, 2 * time.Second, 100, true, 0},
			{"a little too slow", "/", 180, 2 * time.Second, 200, false, 82 * time.Second}, // each piece costs 0.2 s, and the last wait is for less than 2
			{"much now and then", "/", 10000, 9 * time.Second, 20, true, 0},
			{"what was sent fast is not saved up", "/", 100_000, 11 * time.Second, 2, false, 10 * time.Second},
			{"a handler that takes its time", "/slow", 100, 0, 1, true, 0},
			{"a deadline of the handler's own", "/?own=30s", 1, time.Second, 100, false, 30 * time.Second},
			{"a long one of the handler's own", "/?own=1h", 1, 30 * time.Second, 10, true, 0},
			{"ReadTimeout comes first", "/", 100, time.Second, 1000, false, 10 * time.Minute},
		} {
			p := ts.dial()
			q := p.open().headers(head("POST", c.path)...)
			var got result
			ended := false
			for i := range c.pieces {
				if i > 0 {
					time.Sleep(c.every)
				}
				select {
				case got = <-results:
					ended = true
				default:
					q.data(strings.Repeat("x", c.size))
					continue
				}
				break
			}
			if !ended {
				q.end()
				got = <-results
			}
			if whole := got.err == nil && got.n == int64(c.size*c.pieces); whole != c.whole || !c.whole && !errors.Is(got.err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %d bytes, %v, after %v", c.name, got.n, got.err, got.took)
			}
			if d := got.took - c.ends; c.ends > 0 && (d < -c.ends/10 || d > c.ends/10) {
				t.Errorf("%s: it ended after %v, want %v", c.name, got.took, c.ends)
			}
			wantFields(":status", "200")(t, p.get("/").reply())
		}
	})
}

// TestAttackF19ManyConnections: hundreds of clients begin a body of a gigabyte, and are not heard of again. Until MinBodyRate ends it, each costs a handler that
// waits, and little more than an idle connection beside that.
func TestAttackF19ManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, most = 300, 48 << 10
		var running, late atomic.Int32
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Add(-1)
			if _, err := io.Copy(io.Discard, r.Body); errors.Is(err, os.ErrDeadlineExceeded) {
				late.Add(1)
			}
		}, func(s *Server) {
			s.MinBodyRate = 1000
			s.HTTP.IdleTimeout = time.Hour
			s.QUIC = &quic.Config{MaxIdleTimeout: time.Hour}
		})
		join := func(n int) {
			tr := &Transport{TLSClientConfig: quicnettest.ClientConfig().TLS, Dial: ts.dialPacket}
			conns := make([]*ClientConn, n)
			for i := range conns {
				var err error
				if conns[i], err = tr.DialClientConn(context.Background(), ts.addr, nil, nil); err != nil {
					t.Fatal(err)
				}
				r, w := io.Pipe()
				req, err := http.NewRequest("POST", "https://"+ts.addr+"/", r)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = 1e9
				go conns[i].RoundTrip(req) // fails when the connection is closed
				w.Write(make([]byte, 1000))
			}
			synctest.Wait()
			ts.net.SetLink(quicnettest.Link{Loss: 1})
			for _, c := range conns {
				c.Close()
			}
			time.Sleep(5 * time.Second)
			ts.net.SetLink(quicnettest.Link{})
		}
		join(n / 10)
		time.Sleep(time.Minute)
		before := heaptest.Live()
		join(n)
		if got := running.Load(); got != n {
			t.Errorf("%d handlers run, want %d", got, n)
		}
		if per := (heaptest.Live() - before) / n; per > most {
			t.Errorf("a client takes %d bytes of Go's heap, more than %d", per, most)
		} else {
			t.Logf("%d bytes", per)
		}
		time.Sleep(10 * time.Second)
		if running.Load() != 0 || late.Load() != n+n/10 {
			t.Errorf("after a while %d handlers run, and %d clients were too slow", running.Load(), late.Load())
		}
		wantFields(":status", "200")(t, ts.dial().get("/").reply())
	})
}

// TestAttackF20Handlers: handlers that panic, or return without a look at the body, again and again on one connection: each request has its
// error or its answer, and the connection lives.
func TestAttackF20Handlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/panic":
				panic(http.ErrAbortHandler)
			case "/late":
				io.WriteString(w, "begin")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
		})
		p := ts.dial()
		for range 300 { // three times what may be open at once
			for path, want := range map[string]h3.ErrorCode{"/panic": h3.ErrCodeInternal, "/late": h3.ErrCodeInternal, "/early": 0} {
				q := p.open().headers(head("POST", path)...)
				if rep := q.reply(); rep.code() != want || want == 0 && rep.status() != "200" {
					t.Fatalf("%s: %v", path, rep)
				}
				want = max(want, h3.ErrCodeNoError)
				if code := q.stopped(); code != want {
					t.Fatalf("%s: the client is asked to stop with %v, want %v", path, code, want)
				}
			}
		}
		wantFields(":status", "200")(t, p.get("/").reply())
	})
}

// TestAttackF21OddCase: names in whichever case have one canonical form, of the program's own and of the peer's ("foxstuck").
func TestAttackF21OddCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := false
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			served = true
			h := w.Header()
			h["cOnTeNt-LeNgTh"], h["tRANSFER-encoding"], h["CONNECTION"], h["x-oDD"] = []string{"5"}, []string{"chunked"}, []string{"x-odd"}, []string{"1"}
			if r.URL.Path == "/short" {
				h["cOnTeNt-LeNgTh"] = []string{"6"}
			}
			io.WriteString(w, "hello")
		})
		p := ts.dial()
		rep := p.get("/").reply()
		wantFields(":status", "200", "content-length", "5", "x-odd", "1", "transfer-encoding", "", "connection", "", "body", "hello")(t, rep)
		for _, f := range rep.head {
			if f.Name != strings.ToLower(f.Name) {
				t.Errorf("the field %s was sent", f.Name)
			}
		}
		if rep := p.get("/short").reply(); rep.code() != h3.ErrCodeInternal {
			t.Errorf("5 bytes of 6: %v", rep)
		}
		served = false
		for _, f := range []string{"Content-Length: 0", "cOnTeNt-LeNgTh: 0", "Transfer-Encoding: chunked", "Host: example.org"} {
			if rep := p.get("/", f).reply(); rep.code() != h3.ErrCodeMessage || served {
				t.Errorf("%s: %v, served %v", f, rep, served)
			}
		}
	})
}
