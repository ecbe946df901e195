package http3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ok200 is the head of a response.
func ok200(more ...field) []field { return append([]field{{":status", "200"}}, more...) }

// path is a request's.
func path(x rawExchange) string {
	for _, f := range x.request() {
		if f.name == ":path" {
			return f.value
		}
	}
	return ""
}

// clientWireRows are what a client makes of a server's bytes.
var clientWireRows = []row{
	{id: "C10", what: "a response that is not as long as its Content-Length", run: func(w *world) {
		s := w.rawServe(func(x rawExchange) {
			switch path(x) {
			case "/shorter":
				x.headers(false, ok200(field{"content-length", "10"})...)
				x.data("12345", false)
				w.settle()
				x.data("", true)
			case "/longer":
				x.headers(false, ok200(field{"content-length", "3"})...)
				x.data("12345", true)
			case "/none":
				x.headers(true, ok200(field{"content-length", "3"})...)
				x.data("", true)
			case "/two":
				x.headers(false, ok200(field{"content-length", "3"}, field{"content-length", "4"})...)
				x.data("123", true)
			case "/bad":
				x.headers(false, ok200(field{"content-length", "+3"})...)
				x.data("123", true)
			}
		})
		for _, path := range []string{"/shorter", "/longer", "/none", "/two", "/bad"} {
			resp, err := w.client().Get(s.url + path)
			if err == nil {
				_, err = readAll(resp)
			}
			w.check(path, failed(err), "error")
			if path == "/shorter" || path == "/none" {
				w.check(path+": io.ErrUnexpectedEOF", errors.Is(err, io.ErrUnexpectedEOF), true)
			}
		}
	}},
	{id: "C12", what: "a response that ends with its head", run: func(w *world) {
		s := w.rawServe(func(x rawExchange) {
			if path(x) == "/data" {
				x.headers(false, ok200()...)
				x.data("", true)
				return
			}
			x.headers(true, ok200()...)
		})
		resp, text := w.client().get(s.url)
		w.check("with the head", fmt.Sprint(resp.ContentLength, text), "0")
		resp, text = w.client().get(s.url + "/data")
		w.check("with DATA", fmt.Sprint(resp.ContentLength, text), "-1")
	}},
	{id: "C14/final", what: "after interim responses the final one is awaited", run: func(w *world) {
		s := w.rawServe(func(x rawExchange) {
			for _, status := range []string{"100", "103", "100", "150"} {
				x.headers(false, field{":status", status})
			}
			if path(x) == "/101" {
				x.headers(false, field{":status", "101"})
			}
			x.headers(false, ok200(field{"content-length", "4"})...)
			x.data("body", w.mode != h1)
		})
		_, text := w.client().get(s.url)
		w.check("final", text, "body")
		resp, err := w.client().Get(s.url + "/101")
		if err == nil {
			resp.Body.Close()
		}
		w.check("101", failed(err), "error")
	}},
	{id: "C20", what: "a whole response before the upload is over", run: func(w *world) {
		s := w.rawServe(func(x rawExchange) {
			x.headers(false, ok200(field{"content-length", "6"})...)
			x.data("enough", w.mode != h1)
			x.stopUpload()
		})
		body := &endless{}
		resp, err := w.client().Do(w.client().request("POST", s.url, body))
		w.check("response", failed(err), "nil")
		if err == nil {
			w.settle()
			text, err := readAll(resp)
			w.check("body", text+kind(err), "enoughnil")
		}
		w.settle()
		w.check("the upload ends", body.closed.Load(), true)
	}},
	{id: "C21", what: "a request that the server rejects is sent again", only: multiplexed, why: "HTTP/1.1 cannot reject a request", run: func(w *world) {
		for _, method := range []string{"GET", "POST"} {
			var tries atomic.Int64
			s := w.rawServe(func(x rawExchange) {
				if tries.Add(1) == 1 {
					x.reset("rejected")
					return
				}
				x.headers(false, ok200()...)
				x.data(x.body(), true)
			})
			resp, err := w.client().Do(w.client().request(method, s.url, strings.NewReader("body")))
			text := ""
			if err == nil {
				text, err = readAll(resp)
			}
			w.check(method, fmt.Sprint(text, kind(err), tries.Load()), "bodynil2")
		}
		var tries atomic.Int64
		s := w.rawServe(func(x rawExchange) {
			tries.Add(1)
			x.body()
			x.reset("rejected")
		})
		resp, err := w.client().Do(w.client().request("POST", s.url, &onlyReader{strings.NewReader("body")}))
		if err == nil {
			resp.Body.Close()
		}
		w.check("a body that is gone", failed(err), "error")
		w.check("tries with a body that is gone", tries.Load(), 1)
		w.check("it names GetBody", strings.Contains(fmt.Sprint(err), "GetBody"), true)
	}},
	{id: "C22", what: "GOAWAY", only: multiplexed, why: "HTTP/1.1 has no streams", run: func(w *world) {
		var mu sync.Mutex
		var log []string
		s := w.rawServe(func(x rawExchange) {
			mu.Lock()
			log = append(log, fmt.Sprint(path(x), " on ", x.conn()))
			mu.Unlock()
			if x.conn() == 0 && path(x) == "/unprocessed" {
				x.goAway(false)
				return
			}
			if x.conn() == 0 && path(x) == "/last" {
				x.goAway(true)
				w.settle()
			}
			if path(x) == "/long" {
				time.Sleep(time.Second)
			}
			x.headers(false, ok200()...)
			x.data(path(x), true)
		})
		c := w.client()
		long := make(chan string)
		go func() {
			_, text := c.get(s.url + "/long")
			long <- text
		}()
		w.settle()
		_, text := c.get(s.url + "/unprocessed")
		w.check("a request that is not processed", text, "/unprocessed")
		w.check("one that was there before", <-long, "/long")
		w.check("where", strings.Join(log, ", "), "/long on 0, /unprocessed on 0, /unprocessed on 1")
		log = nil
		c = w.client()
		s2 := w.rawServe(func(x rawExchange) {
			if x.conn() == 0 && path(x) == "/last" {
				x.goAway(true)
				w.settle()
			}
			x.headers(false, ok200()...)
			x.data(fmt.Sprint(path(x), x.conn()), true)
		})
		_, text = c.get(s2.url + "/last")
		w.check("the last one is served", text, "/last0")
		_, text = c.get(s2.url + "/next")
		w.check("the next takes another connection", text, "/next1")
	}},
	{id: "C23", what: "a response that is broken off is not asked for again", run: func(w *world) {
		for _, code := range []string{"internal", "cancel", "rejected"} {
			var tries atomic.Int64
			s := w.rawServe(func(x rawExchange) {
				tries.Add(1)
				x.headers(false, ok200(field{"content-length", "10"})...)
				x.data("12345", false)
				w.settle()
				x.reset(code)
			})
			resp, err := w.client().Get(s.url)
			text := ""
			if err == nil {
				text, err = readAll(resp)
			}
			w.check(code, fmt.Sprint(text, failed(err), tries.Load()), "12345error1")
		}
		for _, code := range []string{"internal", "cancel"} {
			var tries atomic.Int64
			s := w.rawServe(func(x rawExchange) {
				tries.Add(1)
				x.reset(code)
			})
			resp, err := w.client().Post(s.url, "", nil)
			if err == nil {
				resp.Body.Close()
			}
			w.check(code+" of a POST before any response", fmt.Sprint(failed(err), tries.Load()), "error1")
		}
	}},
	{id: "C24", what: "a connection that is lost", run: func(w *world) {
		for _, req := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "DELETE", "POST Idempotency-Key", "POST X-Idempotency-Key"} {
			var tries atomic.Int64
			s := w.rawServe(func(x rawExchange) {
				if path(x) == "/first" || tries.Add(1) > 1 {
					x.headers(true, ok200()...)
					return
				}
				x.closeConn()
			})
			c := w.client()
			c.get(s.url + "/first") // a connection that has worked
			method, key, _ := strings.Cut(req, " ")
			resp, err := c.Do(c.request(method, s.url, nil, func(r *http.Request) {
				if key != "" {
					r.Header.Set(key, "1")
				}
			}))
			if err == nil {
				resp.Body.Close()
			}
			w.check(req, fmt.Sprint(failed(err), " ", tries.Load()), map[bool]string{true: "error 1", false: "nil 2"}[req == "POST" || req == "PUT" || req == "DELETE"])
		}
		var tries atomic.Int64
		s := w.rawServe(func(x rawExchange) {
			tries.Add(1)
			x.closeConn()
		})
		_, err := w.client().Get(s.url)
		w.check("a connection that never worked", fmt.Sprint(failed(err), tries.Load()), "error1")
	}},
	{id: "C32", what: "responses with a large head", run: func(w *world) {
		s := w.rawServe(func(x rawExchange) {
			n := 0
			fmt.Sscanf(path(x), "/%d", &n)
			f := ok200()
			for range 4 {
				f = append(f, field{"a", someText(n / 4)})
			}
			x.headers(true, f...)
		})
		c := w.client(func(o *clientOptions) { o.maxResponseHeaderBytes = 10000 })
		for path, want := range map[string]string{"/5000": "nil", "/40000": "error"} {
			resp, err := c.Get(s.url + path)
			if err == nil {
				resp.Body.Close()
			}
			w.check(path, failed(err), want)
		}
		resp, err := w.client().Get(s.url + "/400000") // the default is 10 MiB
		if err == nil {
			resp.Body.Close()
		}
		w.check("the default", failed(err), "nil")
	}},
	{id: "C34", what: "malformed responses", run: func(w *world) {
		heads := map[string][]field{
			"connection":        ok200(field{"connection", "close"}),
			"transfer-encoding": ok200(field{"transfer-encoding", "chunked"}),
			"NUL in a value":    ok200(field{"a", "x\x00y"}),
			"blank in a name":   ok200(field{"a b", "x"}),
			"upper case":        ok200(field{"A", "x"}),
			"no status":         {{"a", "x"}},
			"bad status":        {{":status", "2x0"}},
			"short status":      {{":status", "20"}},
			"two statuses":      {{":status", "200"}, {":status", "200"}},
			"late status":       {{"a", "x"}, {":status", "200"}},
			"another pseudo":    ok200(field{":path", "/"}),
			"long status":       {{":status", "2000"}},
		}
		var names []string
		for name := range heads {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			if w.mode == h1 && (name == "connection" || name == "upper case" || strings.Contains(name, "status") || name == "another pseudo" || name == "transfer-encoding") {
				continue // HTTP/1.1 has a status line, and its own framing
			}
			got := make(chan string, 1)
			s := w.rawServe(func(x rawExchange) {
				x.headers(false, heads[name]...)
				x.data("body", false)
				sent, stop := x.resets()
				got <- sent + stop
			})
			c := w.client()
			resp, err := c.Get(s.url)
			text := ""
			if err == nil {
				p := make([]byte, 4)
				io.ReadFull(resp.Body, p)
				text = string(p)
			}
			w.check(name, failed(err)+text, "error")
			if err == nil {
				resp.Body.Close()
			}
			if w.mode == h3 && err != nil {
				w.check(name+": how", strings.Contains(<-got, "H3_MESSAGE_ERROR"), true)
			}
		}
	}},
	{id: "C34/trailers", what: "malformed trailers", only: multiplexed, why: "HTTP/1.1 has no pseudo-fields", run: func(w *world) {
		s := w.rawServe(func(x rawExchange) {
			x.headers(false, ok200()...)
			x.data("body", false)
			x.headers(true, field{":status", "200"})
		})
		resp, err := w.client().Get(s.url)
		if err == nil {
			_, err = readAll(resp)
		}
		w.check("the body's end", failed(err), "error")
	}},
	{id: "C44", what: "httptrace", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Millisecond) // until the client has told all that it has done
			if r.Method == "POST" {
				io.Copy(io.Discard, r.Body)
				time.Sleep(10 * time.Millisecond)
			}
			rw.WriteHeader(103)
			io.WriteString(rw, "x")
		})
		var mu sync.Mutex
		var got []string
		say := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf(format, args...))
		}
		trace := tracing(say)
		c := w.client(func(o *clientOptions) { o.expectContinueTimeout = time.Hour })
		events := func(method string, body io.Reader, edit ...func(*http.Request)) string {
			mu.Lock()
			got = nil
			mu.Unlock()
			resp := c.do(method, s.url, body, append(edit, traced(trace))...)
			readAll(resp)
			w.settle()
			mu.Lock()
			defer mu.Unlock()
			return strings.Join(got, " ")
		}
		w.check("first", events("GET", nil), "GetConn(a.test:443) TLSHandshakeStart TLSHandshakeDone(a.test,nil) GotConn(false,false) WroteHeaders WroteRequest(nil) GotFirstResponseByte Got1xxResponse(103)")
		w.check("second", events("GET", nil), "GetConn(a.test:443) GotConn(true,true) WroteHeaders WroteRequest(nil) GotFirstResponseByte Got1xxResponse(103)")
		w.check("expecting", events("POST", strings.NewReader("body"), with("Expect", "100-continue")),
			"GetConn(a.test:443) GotConn(true,true) WroteHeaders Wait100Continue GotFirstResponseByte Got1xxResponse(100) Got100Continue WroteRequest(nil) Got1xxResponse(103)")
		resp := c.do("GET", s.url, nil, traced(&httptrace.ClientTrace{}))
		_, err := readAll(resp)
		w.check("no hooks", kind(err), "nil")
	}},
	{id: "C46", what: "many at once, some of which are cancelled", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			n := 0
			fmt.Sscanf(r.URL.Path, "/%d", &n)
			time.Sleep(time.Duration(n%7) * time.Millisecond)
			io.Copy(rw, r.Body)
			rw.Write([]byte(someText(n * 50)))
		})
		c := w.client(func(o *clientOptions) { o.maxConnsPerHost = 4 })
		var wg sync.WaitGroup
		var served, cancelled, wrong atomic.Int64
		for n := range 1000 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(w.Context())
				defer cancel()
				if n%3 == 0 {
					time.AfterFunc(time.Duration(n%11)*time.Millisecond, cancel)
				}
				resp, err := c.Do(c.request("GET", fmt.Sprint(s.url, "/", n), nil, in(ctx)))
				text := ""
				if err == nil {
					text, err = readAll(resp)
				}
				switch {
				case err == nil && text == someText(n*50):
					served.Add(1)
				case n%3 == 0 && kind(err) == "canceled":
					cancelled.Add(1)
				default:
					wrong.Add(1)
					w.Logf("%d: %v, %d bytes", n, err, len(text))
				}
			})
		}
		wg.Wait()
		w.check("wrong", wrong.Load(), 0)
		w.check("all", served.Load()+cancelled.Load(), 1000)
		_, text := c.get(s.url + "/3")
		w.check("afterwards", len(text), 150)
	}},
}

// endless is a body without an end.
type endless struct{ closed atomic.Bool }

func (e *endless) Read(p []byte) (int, error) {
	if e.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	for i := range p {
		p[i] = 'x'
	}
	time.Sleep(20 * time.Millisecond)
	return len(p), nil
}

func (e *endless) Close() error {
	e.closed.Store(true)
	return nil
}
