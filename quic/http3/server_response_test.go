package http3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// What handlers write, as a client sees it that knows nothing of this package. The names S1 and so on are the list of behaviours of net/http
// that the package is held to.

// TestResponses is one request each.
func TestResponses(t *testing.T) {
	for name, c := range map[string]struct {
		method  string // GET if empty
		fields  []string
		handler http.HandlerFunc
		check   func(t *testing.T, r *rawReply)
	}{
		"S1 more than declared": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "3")
				io.WriteString(w, "abc")
				if _, err := io.WriteString(w, "d"); !errors.Is(err, http.ErrContentLength) {
					t.Errorf("Write returned %v", err)
				}
			},
			check: wantReset(h3.ErrCodeInternal),
		},
		"S2 less than declared": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "3")
				io.WriteString(w, "ab")
			},
			check: wantReset(h3.ErrCodeInternal),
		},
		"S2 less than declared, flushed": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "3")
				io.WriteString(w, "ab")
				w.(http.Flusher).Flush()
			},
			check: wantReset(h3.ErrCodeInternal),
		},
		"S5 length added": {
			handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
			check:   wantFields("content-length", "5", ":status", "200"),
		},
		"S28 TE is of requests": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("TE", "gzip")
				w.Header().Set(http.TrailerPrefix+"TE", "gzip")
				w.WriteHeader(http.StatusEarlyHints)
				io.WriteString(w, "hello")
			},
			check: wantFields(":status", "200", "te", "", "body", "hello"),
		},
		"S5 none after Flush": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				io.WriteString(w, "hello")
			},
			check: wantFields("content-length", "", "body", "hello"),
		},
		"S5 empty": {
			handler: func(w http.ResponseWriter, r *http.Request) {},
			check:   wantFields("content-length", "0", "content-type", "", "body", ""),
		},
		"S5 HEAD without a byte": {
			method:  "HEAD",
			handler: func(w http.ResponseWriter, r *http.Request) {},
			check:   wantFields("content-length", "", "body", ""),
		},
		"S6 HEAD counted": {
			method: "HEAD",
			handler: func(w http.ResponseWriter, r *http.Request) {
				for range 3 {
					if n, err := w.Write(make([]byte, 10_000)); n != 10_000 || err != nil {
						t.Errorf("Write returned %d, %v", n, err)
					}
				}
			},
			check: wantFields("content-length", "30000", "body", "", "content-type", "application/octet-stream"),
		},
		"S6 HEAD declared": {
			method:  "HEAD",
			handler: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "77") },
			check:   wantFields("content-length", "77", "body", ""),
		},
		"S6 HEAD flushed": {
			method: "HEAD",
			handler: func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "hello")
				w.(http.Flusher).Flush()
				io.WriteString(w, "more")
			},
			check: wantFields("body", "", ":status", "200"),
		},
		"S7 204": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(204)
				if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
					t.Errorf("Write returned %v", err)
				}
			},
			check: wantFields(":status", "204", "content-length", "", "body", "", "content-type", ""),
		},
		"S7 304 with a length": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "1000")
				w.WriteHeader(304)
			},
			check: wantFields(":status", "304", "content-length", "1000", "body", ""),
		},
		"S8 Date": {
			handler: func(w http.ResponseWriter, r *http.Request) {},
			check: func(t *testing.T, r *rawReply) {
				if _, err := time.Parse(http.TimeFormat, r.head.get("date")); err != nil {
					t.Error(err)
				}
			},
		},
		"S8 own Date": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Date", "then") },
			check:   wantFields("date", "then"),
		},
		"S8 no Date": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.Header()["Date"] = nil },
			check:   wantFields("date", ""),
		},
		"S9 sniffed": {
			handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html><body>") },
			check:   wantFields("content-type", "text/html; charset=utf-8"),
		},
		"S9 not with a nil type": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = nil
				io.WriteString(w, "<html><body>")
			},
			check: wantFields("content-type", ""),
		},
		"S9 not with an encoding": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "br")
				io.WriteString(w, "<html><body>")
			},
			check: wantFields("content-type", "", "content-encoding", "br"),
		},
		"S9 in small pieces": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				for _, c := range "<html><body>" + strings.Repeat("x", 20_000) {
					w.Write([]byte(string(c)))
				}
			},
			check: wantFields("content-type", "text/html; charset=utf-8", "content-length", ""),
		},
		"S10 101": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) },
			check:   wantReset(h3.ErrCodeInternal),
		},
		"S10 99": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(99) },
			check:   wantReset(h3.ErrCodeInternal),
		},
		"S10 1000": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(1000) },
			check:   wantReset(h3.ErrCodeInternal),
		},
		"S10 999": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(999) },
			check:   wantFields(":status", "999"),
		},
		"S11 second WriteHeader": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("A", "1")
				w.WriteHeader(404)
				w.Header().Set("A", "2")
				w.Header().Set("B", "2")
				w.WriteHeader(500)
			},
			check: wantFields(":status", "404", "a", "1", "b", ""),
		},
		"S12 interim responses": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Link", "</a>")
				w.Header().Set("Content-Length", "2")
				w.Header().Set("Transfer-Encoding", "chunked")
				w.WriteHeader(103)
				w.Header().Add("Link", "</b>")
				w.WriteHeader(103)
				w.WriteHeader(102)
				io.WriteString(w, "ok")
			},
			check: func(t *testing.T, r *rawReply) {
				if len(r.interim) != 3 || r.interim[0].get("link") != "</a>" || r.interim[1].get("link") != "</a>|</b>" ||
					r.interim[2].get(":status") != "102" || r.interim[0].get("content-length")+r.interim[0].get("transfer-encoding") != "" {
					t.Error(r)
				}
				wantFields(":status", "200", "link", "</a>|</b>", "content-length", "2", "body", "ok")(t, r)
			},
		},
		"S14 declared trailers": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "A, b")
				w.Header().Add("Trailer", "C")
				io.WriteString(w, "body")
				w.Header().Set("A", "1")
				w.Header().Set("B", "2")
				w.Header().Set("D", "not declared")
				w.Header().Set(http.TrailerPrefix+"E", "5")
				w.Header()[http.TrailerPrefix+"f"] = []string{"6", "7"}
			},
			check: func(t *testing.T, r *rawReply) {
				wantFields("trailer", "A, b|C", "body", "body")(t, r)
				tr := r.trailers
				if tr.get("a") != "1" || tr.get("b") != "2" || tr.get("c") != "" || tr.get("d") != "" || tr.get("e") != "5" || tr.get("f") != "6|7" {
					t.Error(r)
				}
			},
		},
		"S14 trailers without a body": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0") },
			check: func(t *testing.T, r *rawReply) {
				if r.err != nil || r.trailers.get("grpc-status") != "0" || r.status() != "200" {
					t.Error(r)
				}
			},
		},
		"S14 declared and not set": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "A")
				io.WriteString(w, "body")
			},
			check: func(t *testing.T, r *rawReply) {
				if r.err != nil || r.trailers != nil || string(r.body) != "body" {
					t.Error(r)
				}
			},
		},
		"S14 trailers after a flush": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "A")
				io.WriteString(w, "body")
				w.(http.Flusher).Flush()
				w.Header().Set("A", "1")
			},
			check: func(t *testing.T, r *rawReply) {
				if r.err != nil || r.trailers.get("a") != "1" || string(r.body) != "body" {
					t.Error(r)
				}
			},
		},
		"S15 forbidden trailers": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "Content-Length, Transfer-Encoding, Trailer, Ok, Bad Name")
				io.WriteString(w, "body")
				w.Header().Set("Content-Length", "1")
				w.Header().Set("Transfer-Encoding", "1")
				w.Header().Set("Ok", "1")
				w.Header()["Bad Name"] = []string{"1"}
				w.Header().Set(http.TrailerPrefix+"Content-Length", "1")
				w.Header().Add(http.TrailerPrefix+"Value", "bad\n")
				w.Header().Add(http.TrailerPrefix+"Value", "good")
			},
			check: func(t *testing.T, r *rawReply) {
				if r.err != nil || len(r.trailers) != 2 || r.trailers.get("ok") != "1" || r.trailers.get("value") != "good" {
					t.Error(r)
				}
			},
		},
		"S27 invalid fields are dropped": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Bad Name"] = []string{"1"}
				w.Header()["Bad-Value"] = []string{"a\nb", "c"}
				w.Header()["lower"] = []string{"1"}
				w.Header()["Größe"] = []string{"1"}
			},
			check: wantFields("bad name", "", "bad-value", "c", "lower", "1", ":status", "200"),
		},
		"fields of HTTP/1.1 are dropped": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				for _, name := range []string{"Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade"} {
					w.Header().Set(name, "x")
				}
			},
			check: wantFields("proxy-connection", "", "keep-alive", "", "transfer-encoding", "", "upgrade", "", ":status", "200"),
		},
		"a length that is no number is dropped": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "many")
				io.WriteString(w, "hello")
			},
			check: wantFields("content-length", "5", "body", "hello"),
		},
		"S20 panic": {
			handler: func(w http.ResponseWriter, r *http.Request) { panic("oh no") },
			check:   wantReset(h3.ErrCodeInternal),
		},
		"S21 ErrAbortHandler": {
			handler: func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
			check:   wantReset(h3.ErrCodeInternal),
		},
		"S22 panic after all was flushed": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "5")
				io.WriteString(w, "hello")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			},
			check: wantReset(h3.ErrCodeInternal),
		},
		"S36 OPTIONS *": {
			method:  "OPTIONS *",
			handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
			check:   wantFields(":status", "200", "content-length", "0"),
		},
		"S56 ReadFrom": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				if n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader(strings.Repeat("y", 300_000))); n != 300_000 || err != nil {
					t.Errorf("ReadFrom returned %d, %v", n, err)
				}
			},
			check: wantFields("body", strings.Repeat("y", 300_000), "content-type", "text/plain; charset=utf-8"),
		},
		"exactly the buffer": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte("z"), bufferSize)) },
			check:   wantFields("content-length", strconv.Itoa(bufferSize), "body", strings.Repeat("z", bufferSize)),
		},
		"one more than the buffer": {
			handler: func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte("z"), bufferSize+1)) },
			check:   wantFields("content-length", "", "body", strings.Repeat("z", bufferSize+1)),
		},
		"a string, longer than the buffer": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "a")
				io.WriteString(w, strings.Repeat("s", 3*bufferSize))
			},
			check: wantFields("body", "a"+strings.Repeat("s", 3*bufferSize)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := serveTest(t, c.handler)
				p := ts.dial()
				method, path, _ := strings.Cut(c.method, " ")
				if method == "" {
					method = "GET"
				}
				if path == "" {
					path = "/"
				}
				r := p.open().headers(head(method, path, c.fields...)...).end().reply()
				c.check(t, r)
				if r := p.get("/").reply(); r.err == nil && r.status() == "" {
					t.Errorf("the connection does not serve any more: %v", r)
				}
			})
		})
	}
}

func wantReset(code h3.ErrorCode) func(*testing.T, *rawReply) {
	return func(t *testing.T, r *rawReply) {
		t.Helper()
		if r.code() != code {
			t.Errorf("the stream was not reset with %v: %v", code, r)
		}
	}
}

// wantFields checks header fields, and the body.
func wantFields(pairs ...string) func(*testing.T, *rawReply) {
	return func(t *testing.T, r *rawReply) {
		t.Helper()
		if r.err != nil {
			t.Errorf("the response is not complete: %v", r)
		}
		for i := 0; i < len(pairs); i += 2 {
			got := r.head.get(pairs[i])
			if pairs[i] == "body" {
				got = string(r.body)
			}
			if got != pairs[i+1] {
				t.Errorf("%s is %.80q, not %.80q: %v", pairs[i], got, pairs[i+1], r)
			}
		}
	}
}

// TestPanicIsLogged: S20, S21 and S11, what the log says.
func TestPanicIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    []string // nil: nothing
	}{
		"panic":    {func(w http.ResponseWriter, r *http.Request) { panic("oh no") }, []string{"panic serving 192.", "oh no", "TestPanicIsLogged"}},
		"abort":    {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, nil},
		"ordinary": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }, nil},
		"twice": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(200)
			w.WriteHeader(200)
		}, []string{"superfluous WriteHeader call from", "(", ".go:"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := serveTest(t, c.handler)
				p := ts.dial()
				p.get("/").reply()
				synctest.Wait()
				got := ts.log.String()
				for _, w := range c.want {
					if !strings.Contains(got, w) {
						t.Errorf("the log lacks %q: %s", w, got)
					}
				}
				if c.want == nil && got != "" {
					t.Errorf("the log says %s", got)
				}
			})
		})
	}
}

// TestSpellings: where a header map has a field in several spellings, what comes of it is the same each time.
func TestSpellings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["content-length"], h["CONTENT-LENGTH"] = []string{"7"}, []string{"5"}
			h["content-encoding"], h["Content-Encoding"] = []string{""}, []string{"own"}
			if r.URL.Path == "/own" {
				h["Content-Length"] = []string{"3"}
			}
			if r.URL.Path == "/close" {
				h["connection"], h["Connection"] = []string{"keep-alive"}, []string{"close"}
			}
			io.WriteString(w, r.URL.Query().Get("body"))
		})
		p := ts.dial()
		for range 50 { // the order of a map is another each time
			wantFields("body", "abcde", "content-length", "5", "content-type", "")(t, p.get("/?body=abcde").reply())
			wantFields("body", "abc", "content-length", "3")(t, p.get("/own?body=abc").reply())
			q := ts.dial()
			wantFields("body", "abcde")(t, q.get("/close?body=abcde").reply())
			<-q.conn.Context().Done()
		}
	})
}

// TestFlush: S17, what was written is there while the handler runs; and FlushError tells of a client that is gone.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone, told := make(chan struct{}), make(chan error, 2)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
			io.WriteString(w, "now")
			if err := rc.Flush(); err != nil {
				t.Error(err)
			}
			<-gone
			<-r.Context().Done()
			told <- rc.Flush()
			_, err := io.WriteString(w, strings.Repeat("x", 2*bufferSize))
			told <- err
		})
		q := ts.dial().get("/")
		if h, err := q.nextHead(); err != nil || h.get(":status") != "200" {
			t.Fatal(h, err)
		}
		if _, b, err := q.r.frame(); err != nil || string(b) != "now" {
			t.Fatalf("%q, %v", b, err)
		}
		close(gone)
		q.s.CancelRead(uint64(h3.ErrCodeRequestCancelled))
		for range 2 {
			err := <-told
			if se := (*StreamError)(nil); !errors.As(err, &se) || se.Code != h3.ErrCodeRequestCancelled || !se.Remote {
				t.Errorf("got %v", err)
			}
		}
		if s := ts.log.String(); s != "" {
			t.Errorf("the log says %s", s)
		}
	})
}

// TestResponseWriterOffers: S18 and S49.
func TestResponseWriterOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			_, flusher := w.(http.Flusher)
			_, stringer := w.(io.StringWriter)
			_, flushError := w.(interface{ FlushError() error })
			_, notifier := w.(http.CloseNotifier)
			_, hijacker := w.(http.Hijacker)
			_, pusher := w.(http.Pusher)
			fmt.Fprint(w, flusher, stringer, flushError, notifier, hijacker, pusher)
			rc := http.NewResponseController(w)
			if _, _, err := rc.Hijack(); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Hijack returned %v", err)
			}
			if err := rc.EnableFullDuplex(); err != nil {
				t.Error(err)
			}
		})
		wantFields("body", "true true true true false false")(t, ts.dial().get("/").reply())
	})
}

// TestWriteAfterReturn: S55, a goroutine that the handler leaves behind gets errors, and does no harm to others' responses.
func TestWriteAfterReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var left http.ResponseWriter
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/first" {
				left = w
				io.WriteString(w, "first")
				return
			}
			io.WriteString(w, "sec")
			for range 100 {
				if _, err := left.Write([]byte("stray")); !errors.Is(err, errHandlerReturned) {
					t.Errorf("Write returned %v", err)
				}
			}
			left.WriteHeader(500)
			left.Header().Set("A", "b")
			if err := left.(interface{ FlushError() error }).FlushError(); err == nil {
				t.Error("FlushError returned nil")
			}
			io.WriteString(w, "ond")
		})
		p := ts.dial()
		wantFields("body", "first")(t, p.get("/first").reply())
		wantFields("body", "second", "content-length", "6")(t, p.get("/second").reply())
	})
}

// TestStrayWriter: a goroutine that still writes when the handler returns does not have the client take a part for the whole.
func TestStrayWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stray := make(chan error, 1)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			go func() {
				_, err := w.Write(make([]byte, 64<<20)) // more than a client takes that does not read
				stray <- err
			}()
			time.Sleep(time.Second)
		})
		q := ts.dial().get("/")
		if err := <-stray; err == nil {
			t.Error("the stray write succeeded")
		}
		wantReset(h3.ErrCodeInternal)(t, q.reply())
	})
}

// TestCloseNotify is for what still uses http.CloseNotifier.
func TestCloseNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notified := make(chan bool, 1)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			notified <- <-w.(http.CloseNotifier).CloseNotify()
		})
		q := ts.dial().get("/")
		synctest.Wait()
		q.s.Abort(uint64(h3.ErrCodeRequestCancelled))
		if !<-notified {
			t.Error("false")
		}
	})
}

// TestContextAfter: contexts that are made of a request's are done with it, and cost no goroutine.
func TestContextAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := make(chan struct{})
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			stop := context.AfterFunc(r.Context(), func() { t.Error("a function that was stopped ran") })
			if !stop() || stop() {
				t.Error("stop does not tell what it did")
			}
			context.AfterFunc(ctx, func() { close(ran) })
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(r.Context().Err(), context.Canceled) {
				t.Errorf("%v, %v", ctx.Err(), r.Context().Err())
			}
			late := make(chan struct{})
			if stop := context.AfterFunc(r.Context(), func() { close(late) }); stop() {
				t.Error("a function was stopped that had to run at once")
			}
			<-late
		})
		q := ts.dial().get("/")
		synctest.Wait()
		q.s.Abort(uint64(h3.ErrCodeRequestCancelled))
		<-ran
	})
}

// TestAnsweredIsLetGo: a request whose handler has returned is no longer held, though the client has still to take the response; the connection
// is not idle before it has. One with a deadline for that is held.
func TestAnsweredIsLetGo(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			const delay = 50 * time.Millisecond
			var states []http.ConnState
			served := make(chan *serverConn, 1)
			ts := serveOver(t, quicnettest.NewNetwork(1, quicnettest.Link{Delay: delay}), func(w http.ResponseWriter, r *http.Request) {
				served <- w.(*response).x.sc
			}, func(s *Server) {
				s.HTTP.WriteTimeout = timeout
				s.HTTP.ConnState = func(_ net.Conn, state http.ConnState) { states = append(states, state) }
			})
			p := ts.dial()
			s := p.get("/")
			sc := <-served
			look := func(wantHeld int, wantOpen int32) {
				t.Helper()
				synctest.Wait()
				sc.conn.Do(func(*quicnet.Turn) {
					held := 0
					for x := sc.exchanges; x != nil; x = x.next {
						held++
					}
					if held != wantHeld || sc.open != wantOpen {
						t.Errorf("with a timeout of %v: %d requests are held, %d open; want %d and %d", timeout, held, sc.open, wantHeld, wantOpen)
					}
				})
			}
			held := 0
			if timeout > 0 {
				held = 1
			}
			look(held, 1)
			if last := states[len(states)-1]; last != http.StateActive {
				t.Errorf("the connection is %v while the response is under way", last)
			}
			if rep := s.reply(); rep.status() != "200" {
				t.Errorf("%v", rep)
			}
			time.Sleep(4 * delay)
			look(0, 0)
			if last := states[len(states)-1]; last != http.StateIdle {
				t.Errorf("the connection is %v", last)
			}
		})
	}
}
