package http3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic/http3"
)

var onlyH3 = []mode{h3}

const framesOfH3 = "frames, streams and codes of HTTP/3"

// openH3 opens a request on c.
func openH3(c rawClient) *rawH3Stream { return c.open().(*rawH3Stream) }

// setting is what SETTINGS said, which are waited for; 0: nothing of it.
func (c *rawH3) setting(id uint64) uint64 {
	c.wait(func() bool { return c.settings != nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings[id]
}

// goAwaysOf is what GOAWAY frames came on c so far.
func (c *rawH3) goAwaysOf() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.goAways)
}

// serverRawRows are what a server of HTTP/3 says on the wire.
var serverRawRows = []row{
	{id: "S19/wire", what: "the rest of a body that is too large", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, 10))
			if err != nil {
				rw.WriteHeader(413)
			}
		})
		c := w.raw(s)
		st := openH3(c)
		st.headers(false, head("POST", "/")...)
		st.data(someText(1000), false)
		w.check("status", st.response().status, "413")
		w.check("STOP_SENDING", st.stopped(), "H3_NO_ERROR")
		st = openH3(c)
		st.headers(false, head("POST", "/")...)
		st.data("little", true)
		w.check("another stream", st.response().status, "200")
	}},
	{id: "S20/wire", what: "resets of handlers that panic", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/panic":
				panic("oh no")
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/flushed":
				rw.Header().Set("Content-Length", "4")
				io.WriteString(rw, "done")
				rw.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			case "/short":
				rw.Header().Set("Content-Length", "40")
				io.WriteString(rw, "done")
			}
		})
		c := w.raw(s)
		for _, path := range []string{"/panic", "/abort", "/flushed", "/short"} {
			st := openH3(c)
			st.headers(true, head("GET", path)...)
			w.check(path, st.response().end, "reset H3_INTERNAL_ERROR")
		}
		st := openH3(c)
		st.headers(true, head("GET", "/")...)
		w.check("another stream", st.response().status, "200")
	}},
	{id: "S23/wire", what: "a body that nobody reads", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "enough") })
		st := openH3(w.raw(s))
		st.headers(false, head("POST", "/")...)
		st.data("some", false)
		resp := st.response()
		w.check("the response", resp.status+resp.body+resp.end, "200enough")
		w.check("STOP_SENDING", st.stopped(), "H3_NO_ERROR")
	}},
	{id: "S35", what: "extended CONNECT", only: onlyH3, why: "net/http has it over HTTP/2 behind a switch of GODEBUG alone", run: func(w *world) {
		handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/no" {
				rw.WriteHeader(501)
				return
			}
			w.check("Protocol", http3.Protocol(r), "websocket")
			w.check("request", fmt.Sprint(r.Method, r.Host, r.URL.Path, r.ContentLength), "CONNECTa.test/chat-1")
			rw.WriteHeader(200)
			rw.(http.Flusher).Flush()
			io.Copy(flushing{rw}, r.Body)
		})
		connect := func(path string) []field {
			return append([]field{{":protocol", "websocket"}}, head("CONNECT", path)...)
		}
		s := w.newServer()
		s.http.Handler = handler
		s.h3.serverFor(s).ExtendedConnect = true
		s.start()
		c := w.dialH3(s, frame(frameSettings, nil))
		st := openH3(c)
		st.headers(false, connect("/chat")...)
		st.data("one", false)
		w.settle()
		st.data("two", true)
		resp := st.response()
		w.check("echo", resp.status+resp.body+resp.end, "200onetwo")
		w.check("SETTINGS_ENABLE_CONNECT_PROTOCOL", c.setting(0x08), 1)
		st = openH3(c)
		st.headers(false, connect("/no")...)
		w.check("refused", st.response().status, "501")

		s = w.serveHandler(handler)
		c = w.dialH3(s, frame(frameSettings, nil))
		st = openH3(c)
		st.headers(false, connect("/chat")...)
		w.check("not allowed", st.response().end, "reset H3_MESSAGE_ERROR")
		w.check("not told", c.setting(0x08), 0)
	}},
	{id: "S38/wire", what: "the limit is told", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.serve(addrOf, func(s *http.Server) { s.MaxHeaderBytes = 10000 })
		c := w.dialH3(s, frame(frameSettings, nil))
		st := openH3(c)
		st.headers(true, head("GET", "/")...)
		st.response()
		w.check("SETTINGS_MAX_FIELD_SECTION_SIZE", c.setting(0x06) >= 10000 && c.setting(0x06) < 20000, true)
	}},
	{id: "S39", what: "a section that refers to one entry of the table thousands of times", only: onlyH3, why: "QPACK", run: func(w *world) {
		var handled atomic.Int64
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			handled.Add(1)
		})
		c := w.dialH3(s, frame(frameSettings, nil))
		enc := appendPrefixed(nil, 0x20, 5, 4096) // Set Dynamic Table Capacity
		enc = append(appendPrefixed(enc, 0x40, 5, 1), 'a')
		enc = append(appendPrefixed(enc, 0, 7, 3900), someText(3900)...)
		c.uni(0x2, enc)
		w.settle()
		bomb := section(head("GET", "/")...)
		bomb[0], bomb[1] = 2, 0 // Required Insert Count 1, Base 1
		bomb = append(bomb, strings.Repeat("\x80", 10000)...)
		st := openH3(c)
		st.send(frame(frameHeaders, bomb), true)
		w.check("of a header", st.response().status, "431")
		w.check("handled", handled.Load(), 0)

		trailer := append([]byte{2, 0}, strings.Repeat("\x80", 10000)...)
		st = openH3(c)
		st.headers(false, head("POST", "/")...)
		st.data("body", false)
		st.send(frame(frameHeaders, trailer), true)
		w.check("of trailers: success", st.response().end == "", false)
		st = openH3(c)
		st.headers(true, head("GET", "/")...)
		w.check("the connection lives", st.response().status, "200")
	}},
	{id: "S41/wire", what: "what ends a request's context", only: onlyH3, why: framesOfH3, run: func(w *world) {
		started, ended := make(chan bool), make(chan error, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			started <- true
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
		c := w.raw(s)
		for name, f := range map[string]func(*rawH3Stream){
			"RESET_STREAM": func(st *rawH3Stream) { st.CancelWrite(0x10c) },
			"STOP_SENDING": func(st *rawH3Stream) { st.CancelRead(0x10c) },
		} {
			st := openH3(c)
			st.headers(false, head("POST", "/")...)
			<-started
			f(st)
			w.check(name, kind(<-ended), "canceled")
		}
		w.check("log", s.log, "")
	}},
	{id: "S43", what: "a header that does not come", only: onlyH3, why: "over HTTP/1.1 and HTTP/2 it is the connection that waits", run: func(w *world) {
		for name, set := range map[string]func(*http.Server){
			"ReadHeaderTimeout": func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout = 3*time.Second, time.Hour },
			"ReadTimeout":       func(s *http.Server) { s.ReadTimeout, s.IdleTimeout = 3*time.Second, time.Hour },
		} {
			s := w.serve(addrOf, set)
			c := w.raw(s)
			st := openH3(c)
			start := time.Now()
			whole := frame(frameHeaders, section(head("GET", "/")...))
			for _, b := range whole[:5] {
				st.send([]byte{b}, false)
				time.Sleep(100 * time.Millisecond)
			}
			end := st.response().end
			w.check(name, end == "reset H3_REQUEST_INCOMPLETE" || end == "reset H3_REQUEST_REJECTED", true)
			w.check(name+": when", time.Since(start).Round(time.Second), "3s")
			st = openH3(c)
			st.headers(true, head("GET", "/")...)
			w.check(name+": the connection lives", st.response().status, "200")
		}
	}},
	{id: "S46/wire", what: "how an idle connection ends", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.serve(addrOf, func(s *http.Server) { s.IdleTimeout = 3 * time.Second })
		c := w.rawH3(s).(*rawH3)
		st := openH3(c)
		st.headers(true, head("GET", "/")...)
		st.response()
		start := time.Now()
		w.check("the code", c.closed(), "closed H3_NO_ERROR")
		w.check("when", time.Since(start).Round(time.Second), "3s")
		w.check("GOAWAY", c.goAwaysOf() != "[]", true)
	}},
	{id: "S50/wire", what: "Shutdown in two steps", only: onlyH3, why: framesOfH3, run: func(w *world) {
		running, finish := make(chan bool), make(chan bool)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			running <- true
			<-finish
			io.WriteString(rw, "done")
		})
		c := w.rawH3(s).(*rawH3)
		st := openH3(c)
		st.headers(true, head("GET", "/")...)
		<-running
		shut := make(chan error, 1)
		go func() { shut <- s.Shutdown(w.Context()) }()
		w.settle()
		w.check("GOAWAY", c.goAwaysOf(), fmt.Sprint([]uint64{1<<62 - 4, 4}))
		late := openH3(c)
		late.headers(true, head("GET", "/")...)
		w.check("a request that comes later", late.response().end, "reset H3_REQUEST_REJECTED")
		finish <- true
		w.check("the running one", st.response().body, "done")
		w.check("Shutdown", <-shut, "<nil>")
		w.check("the connection", c.closed(), "closed H3_NO_ERROR")
	}},
	{id: "S52/wire", what: "Close", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c := w.rawH3(s).(*rawH3)
		st := openH3(c)
		st.headers(true, head("GET", "/")...)
		w.settle()
		start := time.Now()
		s.Close()
		w.check("the code", strings.HasPrefix(c.closed(), "closed H3_"), true)
		w.check("at once", time.Since(start) < 100*time.Millisecond, true)
	}},
	{id: "S53/wire", what: "Connection: close is GOAWAY", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("Connection", "close") })
		c := w.rawH3(s).(*rawH3)
		st := openH3(c)
		st.headers(true, head("GET", "/")...)
		resp := st.response()
		w.settle()
		w.check("the response", fmt.Sprint(resp.status, resp.end, len(resp.header["Connection"])), "2000")
		w.check("GOAWAY", c.goAwaysOf() != "[]", true)
	}},
	{id: "S57/wire", what: "more streams than the server allows", only: onlyH3, why: framesOfH3, run: func(w *world) {
		s := w.newServer()
		s.limit = 10
		in1, out := make(chan bool, 100), make(chan bool)
		s.http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { in1 <- true; <-out })
		s.start()
		c := w.rawH3(s).(*rawH3)
		for range 10 {
			st := openH3(c)
			st.headers(true, head("GET", "/")...)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		_, err := c.conn.OpenStream(ctx)
		w.check("the eleventh", kind(err), "context deadline")
		w.check("handled", len(in1), 10)
		close(out)
		_, err = c.conn.OpenStream(w.Context())
		w.check("afterwards", kind(err), "nil")
	}},
	{id: "S61", what: "Alt-Svc", only: onlyH3, why: "it is about HTTP/3", run: func(w *world) {
		s := w.newServer()
		s.http.Handler = http.HandlerFunc(addrOf)
		srv := s.h3.serverFor(s)
		// A server of HTTP/1.1 that tells of ours.
		front := w.as(h1).serveHandler(srv.AltSvcHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host != "b.test" {
				rw.WriteHeader(421)
			}
		})))
		ask := func() string {
			resp, _ := w.as(h1).client().get(front.url)
			return resp.Header.Get("Alt-Svc")
		}
		w.check("before it serves", ask(), "")
		s.start()
		w.settle()
		w.check("while it serves", ask(), `h3=":443"; ma=86400`)
		w.check("Shutdown", s.Shutdown(w.Context()), "<nil>")
		w.check("afterwards", ask() == `h3=":443"; ma=86400`, false)
	}},
	{id: "S61/misdirected", what: "421 by the handler", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusMisdirectedRequest) })
		resp, _ := w.client().get(s.url)
		w.check("status", resp.StatusCode, 421)
	}},
	{id: "S64", what: "a WebSocket does not become an upgrade by itself", only: onlyH3, why: "RFC 9220", run: func(w *world) {
		upgraded := make(chan bool, 10)
		backend := w.as(h1).serve(func(rw http.ResponseWriter, r *http.Request) {
			upgraded <- r.Header.Get("Upgrade") != "" || r.Header.Get("Connection") == "Upgrade"
			rw.WriteHeader(400)
		})
		s := w.newServer()
		s.http.Handler = proxyTo(backend, w.as(h1).client().rt)
		s.h3.serverFor(s).ExtendedConnect = true
		s.start()
		st := openH3(w.raw(s))
		st.headers(false, append([]field{{":protocol", "websocket"}}, head("CONNECT", "/chat")...)...)
		st.data("", true)
		w.check("success", st.response().status == "200", false)
		select {
		case up := <-upgraded:
			w.check("upgraded", up, false)
		default: // the backend was not asked
		}
	}},
}

// clientRawRows are what a client of HTTP/3 says on the wire.
var clientRawRows = []row{
	{id: "C17/wire", what: "how a request is given up", only: onlyH3, why: framesOfH3, run: func(w *world) {
		got := make(chan string, 1)
		s := w.rawServe(func(x rawExchange) {
			if path(x) == "/body" {
				x.headers(false, ok200()...)
				x.data("some", false)
			}
			sent, stop := x.resets()
			got <- sent + ", " + stop
		})
		for name, f := range map[string]func(c *client){
			"cancelled": func(c *client) {
				ctx, cancel := context.WithTimeout(w.Context(), time.Second)
				defer cancel()
				c.Do(c.request("POST", s.url, &endless{}, in(ctx)))
			},
			"ResponseHeaderTimeout": func(c *client) {
				c.h3.ResponseHeaderTimeout = time.Second
				pr, pw := io.Pipe()
				time.AfterFunc(500*time.Millisecond, func() { pw.Close() })
				c.Post(s.url, "", pr)
			},
			"Body.Close": func(c *client) {
				resp := c.do("POST", s.url+"/body", &endless{})
				resp.Body.Close()
			},
			"a body that fails": func(c *client) {
				c.Post(s.url, "", io.MultiReader(strings.NewReader("some"), &slowReader{time.Second}, errReader{errors.New("oops")}))
			},
		} {
			f(w.client())
			end := <-got
			if name == "ResponseHeaderTimeout" { // the request was whole
				w.check(name, end, ", stop H3_REQUEST_CANCELLED")
				continue
			}
			w.check(name, end, "reset H3_REQUEST_CANCELLED, stop H3_REQUEST_CANCELLED")
		}
	}},
	{id: "C22/wire", what: "a second GOAWAY with a larger ID", only: onlyH3, why: framesOfH3, run: func(w *world) {
		closed := make(chan string, 1)
		s := w.rawServe(func(x rawExchange) {
			c := x.(*rawH3Exchange).c
			c.control.Write(frame(frameGoAway, appendVarint(nil, 8)))
			w.settle()
			c.control.Write(frame(frameGoAway, appendVarint(nil, 12)))
			closed <- c.closed()
		})
		_, err := w.client().Post(s.url, "", nil)
		w.check("the request", failed(err), "error")
		w.check("the connection", <-closed, "closed H3_ID_ERROR")
	}},
	{id: "C30/wire", what: "how an idle connection is closed", only: onlyH3, why: framesOfH3, run: func(w *world) {
		closed := make(chan string, 1)
		s := w.rawServe(func(x rawExchange) {
			x.headers(true, ok200()...)
			closed <- x.(*rawH3Exchange).c.closed()
		})
		w.client(func(o *clientOptions) { o.idleConnTimeout = 2 * time.Second }).get(s.url)
		start := time.Now()
		w.check("the code", <-closed, "closed H3_NO_ERROR")
		w.check("when", time.Since(start).Round(time.Second), "2s")
	}},
	{id: "C32/wire", what: "limits that the peers tell each other", only: onlyH3, why: framesOfH3, run: func(w *world) {
		told := make(chan uint64, 10)
		s := w.rawServe(func(x rawExchange) {
			told <- x.(*rawH3Exchange).c.setting(0x06)
			x.headers(true, ok200()...)
		}, func(s *server) { s.settings = []byte{0x06, 0x43, 0xe8} }) // 1000
		c := w.client(func(o *clientOptions) { o.maxResponseHeaderBytes = 5000 })
		c.get(s.url)
		w.check("ours", <-told, 5000)
		w.settle()
		_, err := c.Do(c.request("GET", s.url, nil, with("A", someText(2000))))
		w.check("a header beyond the server's", failed(err), "error")
		w.settle()
		w.check("it was not sent", len(told), 0)
		c.get(s.url, with("A", someText(500)))
		w.check("dials", c.dials(), 1)
	}},
	{id: "C33", what: "push", only: onlyH3, why: framesOfH3, run: func(w *world) {
		closed := make(chan string, 1)
		s := w.rawServe(func(x rawExchange) {
			x.(*rawH3Exchange).send(frame(framePush, append([]byte{0}, section(head("GET", "/pushed")...)...)), false)
			closed <- x.(*rawH3Exchange).c.closed()
		})
		_, err := w.client().Post(s.url, "", nil)
		w.check("the request", failed(err), "error")
		w.check("the connection", <-closed, "closed H3_ID_ERROR")
	}},
	{id: "C37", what: "extended CONNECT waits for SETTINGS", only: onlyH3, why: framesOfH3, run: func(w *world) {
		connect := func(c *client, url string) (*http.Response, error) {
			ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
			defer cancel()
			return c.rt.RoundTrip(c.request("CONNECT", url, nil, func(r *http.Request) { r.Header[":protocol"] = []string{"x"} }, in(ctx)))
		}
		answer := func(x rawExchange) { x.headers(true, ok200()...) }
		yes := w.rawServe(answer)
		resp, err := connect(w.client(), yes.url)
		w.check("allowed", failed(err), "nil")
		if err == nil {
			w.check("status", resp.StatusCode, 200)
			resp.Body.Close()
		}
		no := w.rawServe(answer, func(s *server) { s.settings = []byte{} })
		_, err = connect(w.client(), no.url)
		w.check("not allowed", errors.Is(err, http3.ErrExtendedConnect), true)
		late := w.rawServe(answer, func(s *server) { s.settingsAfter = 3 * time.Second })
		start := time.Now()
		resp, err = connect(w.client(), late.url)
		w.check("later", failed(err), "nil")
		if err == nil {
			resp.Body.Close()
		}
		w.check("when", time.Since(start).Round(time.Second), "3s")
	}},
	{id: "C38/ALPN", what: "a server that does not speak HTTP/3", only: onlyH3, why: "it is about the token h3", run: func(w *world) {
		s := w.rawServe(func(rawExchange) {}, func(s *server) { s.alpn = "other" })
		_, err := w.client().Get(s.url)
		w.check("error", failed(err), "error")
	}},
}
