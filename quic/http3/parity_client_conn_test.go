package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// tracing tells of each event but those of the look-up and the connecting, which differ with what is below.
func tracing(say func(string, ...any)) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:              func(hostPort string) { say("GetConn(%s)", hostPort) },
		GotConn:              func(i httptrace.GotConnInfo) { say("GotConn(%v,%v)", i.Reused, i.WasIdle) },
		GotFirstResponseByte: func() { say("GotFirstResponseByte") },
		Got100Continue:       func() { say("Got100Continue") },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			say("Got1xxResponse(%d)", code)
			return nil
		},
		TLSHandshakeStart: func() { say("TLSHandshakeStart") },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			say("TLSHandshakeDone(%s,%s)", s.ServerName, kind(err))
		},
		WroteHeaders:    func() { say("WroteHeaders") },
		Wait100Continue: func() { say("Wait100Continue") },
		WroteRequest:    func(i httptrace.WroteRequestInfo) { say("WroteRequest(%s)", kind(i.Err)) },
	}
}

// addrOf answers with the client's address, which tells connections apart.
func addrOf(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.RemoteAddr) }

// clientConnRows are which connections a client opens, uses and closes.
var clientConnRows = []row{
	{id: "C26", what: "a connection whose server was started anew", run: func(w *world) {
		s := w.serve(addrOf)
		c := w.client()
		_, before := c.get(s.url)
		w.settle()
		w.crash(s)
		w.again(s, addrOf)
		start := time.Now()
		_, after := c.get(s.url)
		w.check("another connection", before != after, true)
		w.check("soon", time.Since(start) < 5*time.Second, true)
	}},
	{id: "C27", what: "concurrent first requests", run: func(w *world) {
		var here sync.WaitGroup
		here.Add(20)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			here.Done()
			here.Wait()
			addrOf(rw, r)
		})
		c := w.client()
		var wg sync.WaitGroup
		var mu sync.Mutex
		addrs := make(map[string]bool)
		for range 20 {
			wg.Go(func() {
				_, text := c.get(s.url)
				mu.Lock()
				defer mu.Unlock()
				addrs[text] = true
			})
		}
		wg.Wait()
		w.check("connections used", len(addrs), 1)
		if w.mode == h3 { // over HTTP/2 net/http may dial more, and closes all but one
			w.check("dials", c.dials(), 1)
		}
	}},
	{id: "C28", what: "a dial outlives the request that began it", run: func(w *world) {
		s := w.serve(addrOf)
		dialing, goOn := make(chan context.Context, 10), make(chan bool)
		c := w.client(func(o *clientOptions) {
			o.onDial = func(ctx context.Context) error {
				dialing <- ctx
				<-goOn
				return ctx.Err()
			}
			o.maxConnsPerHost = 1
		})
		ctx, cancel := context.WithCancel(w.Context())
		first := make(chan error, 1)
		go func() {
			_, err := c.Do(c.request("GET", s.url, nil, in(ctx)))
			first <- err
		}()
		dialCtx := <-dialing
		second := make(chan string, 1)
		go func() {
			_, text := c.get(s.url)
			second <- text
		}()
		w.settle()
		cancel()
		w.check("the first request", kind(<-first), "canceled")
		w.check("the dial goes on", kind(dialCtx.Err()), "nil")
		close(goOn)
		w.check("the second is served", <-second != "", true)
		w.check("dials", c.dials(), 1)
	}},
	{id: "C28/fails", what: "a dial that fails", run: func(w *world) {
		no := errors.New("no way")
		tries := 0
		s := w.serve(addrOf)
		c := w.client(func(o *clientOptions) {
			o.onDial = func(context.Context) error {
				if tries++; tries == 1 {
					return no
				}
				return nil
			}
		})
		_, err := c.Get(s.url)
		w.check("the error", errors.Is(err, no), true)
		_, text := c.get(s.url)
		w.check("the next request dials again", text != "", true)
	}},
	{id: "C28/values", what: "the dial has the values of the request's context", run: func(w *world) {
		s := w.serve(addrOf)
		got := make(chan any, 1)
		c := w.client(func(o *clientOptions) {
			o.onDial = func(ctx context.Context) error {
				got <- ctx.Value(ctxKey("k"))
				return nil
			}
		})
		c.get(s.url, in(context.WithValue(w.Context(), ctxKey("k"), "v")))
		w.check("value", <-got, "v")
	}},
	{id: "C29", what: "more requests than the server takes at once", run: func(w *world) {
		in1, out := make(chan bool, 1000), make(chan bool)
		s := w.newServer()
		s.limit = 10
		s.http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hang" {
				in1 <- true
				<-out
			}
			addrOf(rw, r)
		})
		s.start()
		c := w.client(func(o *clientOptions) { o.maxConnsPerHost = 1 })
		if w.mode == h1 {
			c = w.client(func(o *clientOptions) { o.maxConnsPerHost = 10 })
		}
		c.get(s.url)
		done := make(chan error, 20)
		for range 20 {
			go func() {
				resp, err := c.Get(s.url + "/hang")
				if err == nil {
					_, err = readAll(resp)
				}
				done <- err
			}()
		}
		w.settle()
		w.check("handled at once", len(in1), 10)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		_, err := c.Do(c.request("GET", s.url, nil, in(ctx)))
		w.check("one that waits no longer", kind(err), "context deadline")
		close(out)
		for range 20 {
			w.check("in the end", kind(<-done), "nil")
		}
		w.check("handled", len(in1), 20)
	}},
	{id: "C30", what: "how long connections are kept", run: func(w *world) {
		var st states
		s := w.serve(addrOf, func(s *http.Server) { s.ConnState = st.hook })
		c := w.client(func(o *clientOptions) { o.idleConnTimeout = 5 * time.Second })
		_, a := c.get(s.url)
		time.Sleep(4 * time.Second)
		_, b := c.get(s.url)
		w.check("kept", a == b, true)
		time.Sleep(6 * time.Second)
		_, d := c.get(s.url)
		w.check("let go", a != d, true)

		c = w.client(func(o *clientOptions) { o.disableKeepAlives = true })
		_, a = c.get(s.url)
		_, b = c.get(s.url)
		w.check("DisableKeepAlives", a != b, true)

		c = w.client()
		_, a = c.get(s.url)
		_, b = c.get(s.url, func(r *http.Request) { r.Close = true })
		_, d = c.get(s.url)
		w.check("Request.Close: the one before is another's", a != d && b != d, true)

		c = w.client(func(o *clientOptions) { o.maxIdleConns = 1 })
		other := w.serve(addrOf)
		_, a = c.get(s.url)
		c.get(other.url)
		w.settle()
		_, b = c.get(s.url)
		w.check("MaxIdleConns", a != b, true)
	}},
	{id: "C31", what: "CloseIdleConnections", run: func(w *world) {
		in1, out := make(chan bool), make(chan bool)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hang" {
				in1 <- true
				<-out
			}
			addrOf(rw, r)
		})
		c := w.client()
		_, a := c.get(s.url)
		c.CloseIdleConnections()
		_, b := c.get(s.url)
		w.check("an idle one", a != b, true)
		got := make(chan string)
		go func() {
			_, text := c.get(s.url + "/hang")
			got <- text
		}()
		<-in1
		c.CloseIdleConnections()
		w.settle()
		out <- true
		w.check("one in use goes on", <-got, b)
	}},
	{id: "C30/ClientConn", what: "concurrency of requests to two hosts", run: func(w *world) {
		one, two := w.serve(addrOf), w.serve(addrOf)
		c := w.client()
		_, a := c.get(one.url)
		_, b := c.get(two.url)
		_, d := c.get(one.url)
		w.check("each has its connection", fmt.Sprint(a != b, a == d), "true true")
	}},
}
