package http3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// What handlers see of requests.

// TestRequestFields: S26, S29, S32, S33, S40 and S58, what an http.Request is like.
func TestRequestFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts *testServer
		ts = serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			want := http.Header{"X-Multiple": {"1", "2"}, "Cookie": {"a=b; c=d"}, "User-Agent": {"raw"}, "X-Odd_name": {"3"}}
			if !reflect.DeepEqual(r.Header, want) {
				t.Errorf("the header is %v", r.Header)
			}
			got := fmt.Sprint(r.Method, r.URL, r.URL.Path, r.URL.RawQuery, r.RequestURI, r.Host, r.Proto, r.ProtoMajor, r.ProtoMinor, r.ContentLength,
				r.Body == http.NoBody, r.Trailer == nil, r.URL.Host, r.URL.Scheme)
			if want := fmt.Sprint("GET", "/a/b?c=d&e", "/a/b", "c=d&e", "/a/b?c=d&e", "example.org", "HTTP/3.0", 3, 0, 0, true, true, "", ""); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if r.TLS == nil || r.TLS.NegotiatedProtocol != "h3" || !r.TLS.HandshakeComplete || r.TLS.Version != 0x304 {
				t.Errorf("TLS is %+v", r.TLS)
			}
			if _, _, err := net.SplitHostPort(r.RemoteAddr); err != nil {
				t.Error(err)
			}
			if r.Context().Value(http.ServerContextKey) != ts.HTTP {
				t.Error("the context does not know the server")
			}
			if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); !ok || a.String() != ts.addr {
				t.Errorf("the context's local address is %v, not %v", a, ts.addr)
			}
			if EarlyData(r) || Protocol(r) != "" || QUICConn(r) == nil {
				t.Error("EarlyData, Protocol or QUICConn is wrong")
			}
		})
		p := ts.dial()
		rep := p.get("/a/b?c=d&e", "x-multiple: 1", "cookie: a=b", "user-agent: raw", "cookie: c=d", "x-multiple: 2", "x-odd_name: 3").reply()
		wantFields(":status", "200")(t, rep)
	})
}

// TestTargets: paths and what becomes of them, compared with package net/url, which the usual ones do not come by.
func TestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s|%s|%s|%v|%s|%s", r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery, r.URL.Fragment, r.URL)
		})
		p := ts.dial()
		for path, want := range map[string]string{
			"/":          "/|||false||/",
			"/?":         "/|||true||/?",
			"/??":        "/||?|false||/??",
			"//a//b":     "//a//b|||false||//a//b",
			"/a%20b":     "/a b|||false||/a%20b",
			"/a%2fb?%20": "/a/b|/a%2fb|%20|false||/a%2fb?%20",
			"/a:b@c":     "/a:b@c|||false||/a:b@c",
			"/a#b":       "/a#b|/a#b||false||/a#b",
			"/x?a#b":     "/x||a#b|false||/x?a#b",
			"/a/../b":    "/a/../b|||false||/a/../b",
		} {
			rep := p.get(path).reply()
			if got := string(rep.body); got != want && !(path == "/a#b" && strings.HasSuffix(got, "|/a%23b")) {
				t.Errorf("%s becomes %s, not %s (%v)", path, got, want, rep.err)
			}
		}
		wantReset(h3.ErrCodeMessage)(t, p.get("/%zz").reply())
	})
}

// TestMalformed: S26 to S31, S28 and S59: no handler sees what is no HTTP, and the connection lives.
func TestMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/good" {
				t.Errorf("a handler saw %s %s %v", r.Method, r.URL, r.Header)
			}
		})
		p := ts.dial()
		without := func(name string) []string {
			return slices.DeleteFunc(head("GET", "/"), func(f string) bool { return strings.HasPrefix(f, name+":") })
		}
		for name, fields := range map[string][]string{
			"S26 upper case":              head("GET", "/", "Upper: x"),
			"S27 bad name":                head("GET", "/", "bad name: x"),
			"S27 NUL":                     head("GET", "/", "a: x\x00"),
			"S27 CR":                      head("GET", "/", "a: x\r"),
			"S27 LF":                      head("GET", "/", "a: x\ny"),
			"S28 connection":              head("GET", "/", "connection: close"),
			"S28 proxy-connection":        head("GET", "/", "proxy-connection: close"),
			"S28 keep-alive":              head("GET", "/", "keep-alive: 1"),
			"S28 transfer-encoding":       head("GET", "/", "transfer-encoding: chunked"),
			"S28 upgrade":                 head("GET", "/", "upgrade: x"),
			"S28 te":                      head("GET", "/", "te: gzip"),
			"S29 host differs":            head("GET", "/", "host: other.org"),
			"S29 no authority":            without(":authority"),
			"S29 empty authority":         append(without(":authority"), ":authority: "),
			"S30 userinfo":                append(without(":authority"), ":authority: a@example.org"),
			"S30 empty path":              append(without(":path"), ":path: "),
			"S30 no slash":                append(without(":path"), ":path: a"),
			"S31 no path":                 without(":path"),
			"S31 no method":               without(":method"),
			"S31 no scheme":               without(":scheme"),
			"S31 twice":                   append(head("GET", "/"), ":path: /"),
			"S31 unknown":                 append(head("GET", "/"), ":what: x"),
			"S31 late":                    append(head("GET", "/", "a: b"), ":authority: example.org"),
			"S31 status":                  append(head("GET", "/"), ":status: 200"),
			"S35 :protocol, not enabled":  append(head("CONNECT", "/"), ":protocol: websocket"),
			"S34 CONNECT with a path":     head("CONNECT", "/"),
			"S59 +5":                      head("POST", "/", "content-length: +5"),
			"S59 -1":                      head("POST", "/", "content-length: -1"),
			"S59 no digits":               head("POST", "/", "content-length: five"),
			"S59 two that differ":         head("POST", "/", "content-length: 5", "content-length: 6"),
			"S3 a length and nothing":     head("POST", "/", "content-length: 5"),
			"a length that is very large": head("POST", "/", "content-length: 99999999999999999999"),
		} {
			q := p.open()
			q.s.WriteFinal(rawFrame(1, rawSection(fields...)))
			rep := q.reply()
			if rep.code() != h3.ErrCodeMessage {
				t.Errorf("%s: %v", name, rep)
			}
		}
		wantFields(":status", "200")(t, p.get("/good").reply())
		wantFields(":status", "200")(t, p.get("/good", "te: trailers", "host: example.org").reply())
	})
}

// TestHost: S29, Host serves where there is no :authority, and is not among the fields.
func TestHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.Header["Host"]) })
		rep := ts.dial().open().headers(":method: GET", ":scheme: https", ":path: /", "host: h.example").end().reply()
		wantFields("body", "h.example[]")(t, rep)
	})
}

// TestBodyLengths: S3, S4 and S58.
func TestBodyLengths(t *testing.T) {
	for name, c := range map[string]struct {
		length string
		parts  []string
		want   string // what the handler sees: ContentLength, body, error
		code   h3.ErrorCode
	}{
		"right":               {"5", []string{"hello"}, "5 hello <nil>", 0},
		"in pieces":           {"5", []string{"he", "", "llo"}, "5 hello <nil>", 0},
		"none":                {"", nil, "-1  <nil>", 0},
		"empty DATA":          {"", []string{""}, "-1  <nil>", 0},
		"no length":           {"", []string{"hello"}, "-1 hello <nil>", 0},
		"S3 longer":           {"3", []string{"hello"}, "3  bad", h3.ErrCodeMessage},
		"S3 longer in pieces": {"3", []string{"hel", "lo"}, "3 hel bad", h3.ErrCodeMessage},
		"S4 shorter":          {"7", []string{"hello"}, "7 hello bad", h3.ErrCodeMessage},
		"twice the same":      {"5, 5", []string{"hello"}, "", h3.ErrCodeMessage},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seen := make(chan string, 1)
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					b, err := io.ReadAll(r.Body)
					text := "<nil>"
					if err != nil {
						text = "bad"
						if errors.Is(err, io.EOF) {
							t.Errorf("the error is %v", err)
						}
					}
					seen <- fmt.Sprint(r.ContentLength, " ", string(b), " ", text)
				})
				fields := head("POST", "/")
				if c.length != "" {
					fields = append(fields, "content-length: "+c.length)
				}
				q := ts.dial().open().headers(fields...)
				synctest.Wait()
				for _, part := range c.parts {
					q.data(part)
					synctest.Wait()
				}
				rep := q.end().reply()
				if c.code != 0 {
					wantReset(c.code)(t, rep)
				} else {
					wantFields(":status", "200")(t, rep)
				}
				if c.want == "" {
					return
				}
				if got := <-seen; got != c.want && !(c.code != 0 && strings.HasSuffix(got, "bad")) {
					t.Errorf("the handler saw %q, not %q", got, c.want)
				}
			})
		})
	}
}

// TestBodyReads reads bodies in all ways, from a client that sends a byte at a time, and with windows of a few bytes.
func TestBodyReads(t *testing.T) {
	want := strings.Repeat("0123456789", 500)
	for name, read := range map[string]func(r io.Reader) ([]byte, error){
		"ReadAll": io.ReadAll,
		"a byte at a time": func(r io.Reader) (all []byte, err error) {
			for b := make([]byte, 1); ; {
				n, err := r.Read(b)
				all = append(all, b[:n]...)
				if err == io.EOF {
					return all, nil
				}
				if err != nil {
					return all, err
				}
			}
		},
		"WriterTo": func(r io.Reader) ([]byte, error) {
			var b bytes.Buffer
			_, err := r.(io.WriterTo).WriteTo(&b)
			return b.Bytes(), err
		},
		"Copy": func(r io.Reader) ([]byte, error) {
			var b bytes.Buffer
			_, err := io.Copy(struct{ io.Writer }{&b}, r)
			return b.Bytes(), err
		},
	} {
		for _, window := range []uint64{0, 7} {
			t.Run(fmt.Sprintf("%s, window %d", name, window), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
						b, err := read(r.Body)
						if err != nil {
							t.Error(err)
						}
						if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
							t.Errorf("at the end Read returned %d, %v", n, err)
						}
						w.Write(b)
					}, func(s *Server) {
						if window > 0 {
							s.QUIC = &quic.Config{StreamReceiveWindow: window, MaxStreamReceiveWindow: window}
						}
					})
					q := ts.dial().open()
					go func() {
						frames := append(rawFrame(1, rawSection(head("POST", "/")...)), rawFrame(0, []byte(want[:1000]))...)
						frames = append(frames, rawFrame(0x21, []byte("grease"))...)
						frames = append(frames, rawFrame(0, []byte(want[1000:]))...)
						for i := range frames {
							q.s.Write(frames[i : i+1])
							if i%50 == 0 {
								synctest.Wait()
							}
						}
						q.end()
					}()
					wantFields("body", want)(t, q.reply())
				})
			})
		}
	}
}

// TestBodyIsTaken: of a body in large DATA frames what lies between pieces of the memory that it was received into is copied, and no more: that
// would be what could be taken.
func TestBodyIsTaken(t *testing.T) {
	const frame, frames, piece = 128 << 10, 16, 16 << 10
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			var sizes writeSizes
			n, err := io.Copy(&sizes, r.Body)
			if err != nil || n != frame*frames {
				t.Errorf("%d bytes, %v", n, err)
			}
			copied := 0
			for _, size := range sizes {
				if size > piece {
					copied += size
				}
			}
			if copied > 4*piece { // before the first piece
				t.Errorf("%d of %d bytes were copied by more than a piece at once", copied, n)
			}
		})
		q := ts.dial().open().headers(head("POST", "/")...)
		body := strings.Repeat("0123456789abcdef", frame/16)
		for range frames {
			q.data(body)
		}
		wantFields(":status", "200")(t, q.end().reply())
	})
}

// writeSizes are the sizes of writes.
type writeSizes []int

func (w *writeSizes) Write(p []byte) (int, error) {
	*w = append(*w, len(p))
	return len(p), nil
}

// TestWriterToError: the error of a writer is not taken for the body's.
func TestWriterToError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			pr, pw := io.Pipe()
			pr.CloseWithError(os.ErrPermission)
			if _, err := io.Copy(pw, r.Body); !errors.Is(err, os.ErrPermission) {
				t.Errorf("Copy returned %v", err)
			}
		})
		wantFields(":status", "200")(t, ts.dial().open().headers(head("POST", "/")...).data("hello").end().reply())
	})
}

// TestExpectContinue: S13.
func TestExpectContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if e := r.Header["Expect"]; e != nil {
				t.Errorf("Expect is %v", e)
			}
			if r.URL.Path == "/no" {
				w.WriteHeader(417)
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Write(b)
		})
		p := ts.dial()
		q := p.open().headers(head("POST", "/yes", "expect: 100-continue")...)
		if h, err := q.nextHead(); err != nil || h.get(":status") != "100" {
			t.Fatalf("%v, %v", h, err)
		}
		wantFields("body", "hello")(t, q.data("hello").end().reply())
		if rep := p.open().headers(head("POST", "/no", "expect: 100-continue")...).reply(); rep.status() != "417" || rep.interim != nil || rep.err != nil {
			t.Error(rep)
		}
		if rep := p.get("/yes", "expect: 100-continue").reply(); rep.interim != nil || rep.err != nil { // there is no body to wait for
			t.Error(rep)
		}
	})
}

// TestRequestTrailers: S16.
func TestRequestTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bad" {
				if _, err := io.ReadAll(r.Body); err == nil {
					t.Error("a pseudo-header field among the trailers was no error")
				}
				return
			}
			if want := (http.Header{"A": nil, "B-C": nil}); !reflect.DeepEqual(r.Trailer, want) || r.Header["Trailer"] != nil {
				t.Errorf("before the end: %v, %v", r.Trailer, r.Header)
			}
			io.Copy(io.Discard, r.Body)
			if want := (http.Header{"A": {"1", "2"}, "B-C": nil, "D": {"3"}}); !reflect.DeepEqual(r.Trailer, want) {
				t.Errorf("after the end: %v", r.Trailer)
			}
		})
		p := ts.dial()
		q := p.open().headers(head("POST", "/", "trailer: A, content-length", "trailer: b-c")...).data("x")
		wantFields(":status", "200")(t, q.headers("a: 1", "a: 2", "d: 3", "content-length: 3").end().reply())
		q = p.open().headers(head("POST", "/bad")...).data("x").headers("a: 1", ":path: /").end()
		wantReset(h3.ErrCodeMessage)(t, q.reply())
	})
}

// TestMaxBytesReader: S19, the response is delivered, and the rest of the body is not wanted.
func TestMaxBytesReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			if me := (*http.MaxBytesError)(nil); !errors.As(err, &me) {
				t.Errorf("got %v", err)
			}
			http.Error(w, "too much", http.StatusRequestEntityTooLarge)
		})
		p := ts.dial()
		q := p.open().headers(head("POST", "/")...).data("more than ten bytes")
		wantFields(":status", "413", "body", "too much\n")(t, q.reply())
		if c := q.stopped(); c != h3.ErrCodeNoError {
			t.Errorf("stopped with %v", c)
		}
		if len(p.goneAway()) > 0 {
			t.Error("the connection shuts down")
		}
	})
}

// TestEarlyResponse: S23 and S24, a response does not wait for the request's end.
func TestEarlyResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stray := make(chan error, 1)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stray" {
				go func() {
					_, err := r.Body.Read(make([]byte, 10))
					stray <- err
				}()
				synctest.Wait()
			}
			io.WriteString(w, "enough")
		})
		p := ts.dial()
		q := p.open().headers(head("POST", "/")...).data("hello")
		wantFields("body", "enough")(t, q.reply())
		if c := q.stopped(); c != h3.ErrCodeNoError {
			t.Errorf("stopped with %v", c)
		}
		q = p.open().headers(head("POST", "/stray")...)
		wantFields("body", "enough")(t, q.reply())
		if err := <-stray; !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("the stray read returned %v", err)
		}
	})
}

// TestAnswerBeforeStop: a client that goes on to write when it has the response is not yet told to stop, and soon is (S23, S24).
func TestAnswerBeforeStop(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"reads nothing": func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 413) },
		"closes the body": func(w http.ResponseWriter, r *http.Request) {
			defer r.Body.Close()
			http.Error(w, "no", 413)
		},
		"reads some": func(w http.ResponseWriter, r *http.Request) {
			io.ReadAll(http.MaxBytesReader(w, r.Body, 3))
			http.Error(w, "no", 413)
		},
		"writes more than fits": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(413)
			w.Write(make([]byte, 300_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := serveTest(t, handler).dial().open().headers(head("POST", "/")...).data("hello")
				wantFields(":status", "413")(t, q.reply())
				for range 5 {
					time.Sleep(10 * time.Millisecond)
					if _, err := q.s.Write(rawFrame(0, []byte("more"))); err != nil {
						t.Fatalf("the response is there, and the client writes on: %v", err)
					}
				}
				time.Sleep(100 * time.Millisecond)
				if _, err := q.s.Write(rawFrame(0, []byte("more"))); err == nil {
					t.Error("the client is not asked to stop")
				}
				if c := q.stopped(); c != h3.ErrCodeNoError {
					t.Errorf("stopped with %v", c)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // what no handler sees
		ts := serveTest(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler is called") }, func(s *Server) { s.HTTP.MaxHeaderBytes = 1000 })
		q := ts.dial().open().headers(append(head("POST", "/"), "x", strings.Repeat("v", 8000))...).data("hello")
		wantFields(":status", "431")(t, q.reply())
		q.data("more")
		time.Sleep(200 * time.Millisecond)
		if c := q.stopped(); c != h3.ErrCodeNoError {
			t.Errorf("stopped with %v", c)
		}
	})
}

// TestBodyClose: S25. The client is asked to stop though the handler goes on.
func TestBodyClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			r.Body.Close()
			if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
				t.Errorf("Read returned %v", err)
			}
			if err := r.Body.Close(); err != nil {
				t.Error(err)
			}
			<-goOn
			if r.Context().Err() != nil {
				t.Error("the context is done")
			}
			io.WriteString(w, "all the same")
		})
		q := ts.dial().open().headers(head("POST", "/")...)
		if c := q.stopped(); c != h3.ErrCodeNoError {
			t.Errorf("stopped with %v", c)
		}
		close(goOn)
		wantFields("body", "all the same")(t, q.reply())
	})
}

// A client that says nothing is asked to stop 100 ms after Close, not when the next packet has come: the handler's answer may take long.
func TestBodyCloseSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed time.Time
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			closed = time.Now()
			r.Body.Close()
			time.Sleep(20 * time.Second)
		})
		q := ts.dial().open().headers(head("POST", "/")...).data("the first part")
		var err error
		for err == nil {
			time.Sleep(time.Millisecond)
			_, err = q.s.Write(nil) // which sends nothing
		}
		if se := (*quic.StreamError)(nil); !errors.As(err, &se) || !se.Remote || se.Code != uint64(h3.ErrCodeNoError) {
			t.Error(err)
		}
		if d := time.Since(closed); d < 100*time.Millisecond || d > 110*time.Millisecond {
			t.Errorf("asked to stop after %v", d)
		}
		wantFields(":status", "200")(t, q.reply())
	})
}

// TestConnect: S34 and S35, tunnels both ways.
func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != "CONNECT" {
				t.Errorf("the method is %s", r.Method)
			}
			fmt.Fprint(w, r.Host, r.URL.Host, r.URL.Path, r.RequestURI, Protocol(r), r.Header[":protocol"], " ")
			w.(http.Flusher).Flush()
			io.Copy(w, r.Body)
		}, func(s *Server) { s.ExtendedConnect = true })
		p := ts.dial()
		q := p.open().headers(":method: CONNECT", ":authority: example.org:80")
		if h, err := q.nextHead(); err != nil || h.get(":status") != "200" || h.get("content-length")+h.get("content-type") != "" {
			t.Fatal(h, err)
		}
		rep := q.data("hello").end().rest()
		if got := string(rep.body); got != "example.org:80example.org:80example.org:80[] hello" || rep.err != nil {
			t.Errorf("got %q, %v", got, rep.err)
		}
		q = p.open().headers(append(head("CONNECT", "/chat"), ":protocol: websocket")...)
		if h, err := q.nextHead(); err != nil || h.get(":status") != "200" {
			t.Fatal(h, err)
		}
		if rep := q.data("hello").end().rest(); string(rep.body) != "example.org/chat/chatwebsocket[websocket] hello" || rep.err != nil {
			t.Errorf("got %q, %v", rep.body, rep.err)
		}
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.settings[8] != 1 {
			t.Errorf("the settings are %v", p.settings)
		}
	})
}

// TestTooLarge: S38, S39, S60: a header that is too large is answered, and the connection lives.
func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan error, 1)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			seen <- err
		}, func(s *Server) { s.HTTP.MaxHeaderBytes = 4000 })
		p := ts.dial()
		rep := p.get("/", "big: "+strings.Repeat("x", 4000)).reply()
		wantFields(":status", "431")(t, rep)
		var many []string
		for range 100 {
			many = append(many, "a: b") // 34 bytes each
		}
		wantFields(":status", "200")(t, p.get("/", many...).reply())
		<-seen
		wantFields(":status", "431")(t, p.get("/", append(many, many...)...).reply())
		q := p.open().headers(head("POST", "/")...).data("x").headers("big: " + strings.Repeat("x", 4000)).end() // trailers
		q.reply()
		if err := <-seen; err == nil {
			t.Error("trailers that are too large were no error")
		}
		wantFields(":status", "200")(t, p.get("/").reply())
	})
}

// TestMultipartForm: S54.
func TestMultipartForm(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(0); err != nil {
				t.Error(err)
			}
			if files, _ := os.ReadDir(dir); len(files) == 0 {
				t.Error("the form made no file: this test shows nothing")
			}
			if r.URL.Path == "/panic" {
				panic(http.ErrAbortHandler)
			}
		})
		var b bytes.Buffer
		mw := multipart.NewWriter(&b)
		fw, _ := mw.CreateFormFile("f", "name")
		fw.Write(make([]byte, 100<<10))
		fw.Write(make([]byte, 11<<20)) // more than is kept in memory whatever is asked for
		mw.Close()
		p := ts.dial()
		for _, path := range []string{"/", "/panic"} {
			p.open().headers(head("POST", path, "content-type: "+mw.FormDataContentType())...).data(b.String()).end().reply()
			synctest.Wait()
			if files, _ := os.ReadDir(dir); len(files) > 0 {
				t.Errorf("%s: files are left: %v", path, files)
			}
		}
	})
}

// TestMux: S37.
func TestMux(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) })
		ts := serveTest(t, mux.ServeHTTP)
		p := ts.dial()
		wantFields("body", "17")(t, p.get("/items/17").reply())
		wantFields(":status", "404")(t, p.get("/nothing").reply())
		wantFields(":status", "405")(t, p.open().headers(head("POST", "/items/17")...).end().reply())
	})
	synctest.Test(t, func(t *testing.T) { // S37, a nil Handler
		ts := serveTest(t, nil)
		wantFields(":status", "404")(t, ts.dial().get("/nothing-of-the-kind").reply())
	})
	synctest.Test(t, func(t *testing.T) { // S36
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) },
			func(s *Server) { s.HTTP.DisableGeneralOptionsHandler = true })
		wantFields("body", "*")(t, ts.dial().open().headers(head("OPTIONS", "*")...).end().reply())
	})
}

// TestLargeUpload: bodies that io.Copy writes from the memory that they were received into, in frames of all sizes, and with an end in the middle of one.
func TestLargeUpload(t *testing.T) {
	for name, c := range map[string]struct {
		frames []int
		cut    int // bytes of the last frame that do not come
	}{
		"one frame":              {frames: []int{1_000_000}},
		"several":                {frames: []int{100_000, 16384, 1, 0, 16385, 32768, 50_000, 65536}},
		"cut":                    {frames: []int{100_000}, cut: 1},
		"cut where a piece ends": {frames: []int{16384*4 + 100}, cut: 100},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type outcome struct {
					b   []byte
					err error
				}
				seen := make(chan outcome, 1)
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					var b bytes.Buffer
					_, err := io.Copy(struct{ io.Writer }{&b}, r.Body)
					seen <- outcome{b.Bytes(), err}
				})
				q := ts.dial().open().headers(head("POST", "/")...)
				var want []byte
				for i, n := range c.frames {
					p := make([]byte, n)
					for j := range p {
						p[j] = byte(j*7 + j>>8 + i)
					}
					f := rawFrame(0, p)
					if i == len(c.frames)-1 {
						f, p = f[:len(f)-c.cut], p[:len(p)-c.cut]
					}
					want = append(want, p...)
					q.write(f)
				}
				q.end()
				got := <-seen
				if c.cut == 0 {
					if got.err != nil || !bytes.Equal(got.b, want) {
						t.Errorf("%d bytes of %d came, %v", len(got.b), len(want), got.err)
					}
				} else if got.err == nil || errors.Is(got.err, io.EOF) || !bytes.HasPrefix(want, got.b) {
					t.Errorf("%d bytes came, %v", len(got.b), got.err)
				}
			})
		})
	}
}

// A handler that has asked for the body itself has the client asked once.
func TestExpectContinueOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusContinue)
			io.Copy(w, r.Body)
		})
		q := ts.dial().open().headers(head("POST", "/", "expect: 100-continue")...)
		synctest.Wait()
		rep := q.data("body").end().reply()
		if wantFields("body", "body")(t, rep); len(rep.interim) != 1 {
			t.Errorf("the client was asked %d times", len(rep.interim))
		}
	})
}

// HEAD with too many fields is refused as any other request is, but without contents.
func TestTooManyFieldsOfHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, nil)
		ts.shared.Do(func() { ts.shared.srv, ts.shared.err = ts.newServing(nil, true, nil) })
		ts.shared.srv.maxValues = 2 // http.Server.MaxHeaderValueCount, which Go has from 1.27 on
		ts.ownEndpoint()
		p := ts.dial()
		for method, body := range map[string]string{"GET": tooLargeText, "HEAD": ""} {
			wantFields(":status", "431", "body", body)(t, p.open().headers(head(method, "/", "a: 1", "b: 2", "c: 3")...).end().reply())
		}
	})
}
