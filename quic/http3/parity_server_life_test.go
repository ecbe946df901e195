package http3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

type ctxKey string

// states collects what ConnState is told.
type states struct {
	mu    sync.Mutex
	conns map[net.Conn]string
	order []net.Conn
}

func (s *states) hook(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[net.Conn]string)
	}
	if _, ok := s.conns[c]; !ok {
		s.order = append(s.order, c)
	}
	s.conns[c] += state.String() + " "
}

// of is what happened to the n-th connection.
func (s *states) of(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.order) {
		return "none"
	}
	return strings.TrimSpace(s.conns[s.order[n]])
}

// serverLifeRows are the life of connections and servers, and the contexts of requests.
var serverLifeRows = []row{
	{id: "S40", what: "what a request's context carries", run: func(w *world) {
		bases, conns := 0, 0
		var s *server
		s = w.serve(func(rw http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			srv, _ := ctx.Value(http.ServerContextKey).(*http.Server)
			w.check("ServerContextKey", srv == s.http, true)
			addr, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr)
			w.check("LocalAddrContextKey", addr, "192.0.2.1:443")
			w.check("base", ctx.Value(ctxKey("base")), "B")
			w.check("conn", ctx.Value(ctxKey("conn")), "BC")
		}, func(s *http.Server) {
			s.BaseContext = func(l net.Listener) context.Context {
				bases++
				w.check("listener", l.Addr(), "192.0.2.1:443")
				return context.WithValue(context.Background(), ctxKey("base"), "B")
			}
			s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
				conns++
				w.check("addresses", fmt.Sprint(c.LocalAddr(), strings.HasPrefix(c.RemoteAddr().String(), "198.51.100.7:")), "192.0.2.1:443 true")
				srv, _ := ctx.Value(http.ServerContextKey).(*http.Server)
				w.check("ServerContextKey in ConnContext", srv == s, true)
				return context.WithValue(ctx, ctxKey("conn"), fmt.Sprint(ctx.Value(ctxKey("base")), "C"))
			}
		})
		c := w.client()
		for range 3 {
			resp, _ := c.get(s.url)
			w.check("status", resp.StatusCode, 200)
		}
		w.check("calls", fmt.Sprint(bases, conns), "1 1")
	}},
	{id: "S41", what: "the request's context ends with the request", run: func(w *world) {
		started, ended := make(chan context.Context, 1), make(chan error, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/read" {
				io.Copy(io.Discard, r.Body)
			}
			started <- r.Context()
			if r.URL.Path == "/return" {
				return
			}
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
		st := w.raw(s).open()
		st.headers(true, head("GET", "/return")...)
		st.response()
		w.settle()
		w.check("the handler returns", kind((<-started).Err()), "canceled")

		c := w.raw(s)
		st = c.open()
		st.headers(true, head("GET", "/")...)
		<-started
		st.cancel()
		w.check("the client gives up", kind(<-ended), "canceled")

		c = w.raw(s)
		st = c.open()
		st.headers(false, head("POST", "/read", field{"content-length", "4"})...)
		st.data("body", w.mode != h1)
		<-started
		st.cancel()
		w.check("it gives up after a body", kind(<-ended), "canceled")

		if w.mode != h1 {
			st = c.open()
			st.headers(false, head("POST", "/")...)
			st.data("more to come", false)
			<-started
			st.cancel()
			w.check("it gives up while it sends", kind(<-ended), "canceled")
		}
		c = w.raw(s)
		st = c.open()
		st.headers(true, head("GET", "/")...)
		<-started
		c.close()
		w.check("the connection ends", kind(<-ended), "canceled")

		ctx, cancel := context.WithCancel(w.Context())
		go w.client().Do(w.client().request("GET", s.url, nil, in(ctx)))
		<-started
		cancel()
		w.check("the client's context", kind(<-ended), "canceled")
	}},
	{id: "S42", what: "ConnState", run: func(w *world) {
		var st states
		in1, out := make(chan bool), make(chan bool)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				in1 <- true
				<-out
			}
		}, func(s *http.Server) { s.ConnState = st.hook })
		c := w.client()
		c.get(s.url)
		w.settle()
		w.check("after one request", st.of(0), "new active idle")
		n := map[mode]int{h1: 1, h2: 2, h3: 2}[w.mode] // requests at once on a connection
		done := make(chan bool)
		for range n {
			go func() {
				if resp, err := c.Get(s.url + "/wait"); err == nil {
					resp.Body.Close()
				}
				done <- true
			}()
		}
		for range n {
			<-in1
		}
		for range n {
			w.settle()
			w.check("as long as one is open", st.of(0), "new active idle active")
			out <- true
			<-done
		}
		w.settle()
		w.check("none open", st.of(0), "new active idle active idle")
		c.CloseIdleConnections()
		w.settle()
		w.check("closed", st.of(0), "new active idle active idle closed")
	}},
	{id: "S44", what: "ReadTimeout and a body that does not come", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			start := time.Now()
			body, err := io.ReadAll(r.Body)
			var timeout net.Error
			w.check("read", string(body), "some")
			w.check("os.ErrDeadlineExceeded", errors.Is(err, os.ErrDeadlineExceeded), true)
			w.check("net.Error", errors.As(err, &timeout) && timeout.Timeout(), true)
			w.check("when", time.Since(start).Round(time.Second), "5s")
			rw.WriteHeader(408)
		}, func(s *http.Server) { s.ReadTimeout = 5 * time.Second })
		pr, pw := io.Pipe()
		go io.WriteString(pw, "some")
		resp, err := w.client().Post(s.url, "", pr)
		w.check("the answer arrives", failed(err), "nil")
		if err == nil {
			w.check("status", resp.StatusCode, 408)
			resp.Body.Close()
		}
		pw.Close()
	}},
	{id: "S44/none", what: "no ReadTimeout", run: func(w *world) {
		for _, timeout := range []time.Duration{0, -1} {
			s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				fmt.Fprint(rw, string(body), kind(err))
			}, func(s *http.Server) { s.ReadTimeout, s.WriteTimeout, s.ReadHeaderTimeout = timeout, timeout, timeout })
			pr, pw := io.Pipe()
			go func() {
				io.WriteString(pw, "a")
				time.Sleep(20 * time.Second)
				io.WriteString(pw, "b")
				pw.Close()
			}()
			text, err := readAll(w.client().do("POST", s.url, pr))
			w.check(fmt.Sprint(timeout), text+kind(err), "abnilnil")
		}
	}},
	{id: "S45", what: "WriteTimeout", run: func(w *world) {
		wrote := make(chan error, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(10 * time.Second)
			}
			_, err := io.WriteString(rw, someText(100000))
			if err == nil {
				err = http.NewResponseController(rw).Flush()
			}
			wrote <- err
		}, func(s *http.Server) { s.WriteTimeout = 5 * time.Second })
		c := w.client()
		_, text := c.get(s.url)
		w.check("in time", len(text), 100000)
		<-wrote
		resp, err := c.Get(s.url + "/slow")
		if err == nil {
			_, err = readAll(resp)
		}
		w.check("too late: the client", failed(err), "error")
		err = <-wrote
		w.check("too late: the handler", failed(err), "error")
		w.check("too late: os.ErrDeadlineExceeded", errors.Is(err, os.ErrDeadlineExceeded), true)
	}},
	{id: "S45/stuck", what: "WriteTimeout and a client that does not read", run: func(w *world) {
		wrote, returned := make(chan error, 1), make(chan time.Duration, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			start := time.Now()
			var err error
			for range 1000 {
				if _, err = io.WriteString(rw, someText(100000)); err != nil {
					break
				}
			}
			wrote <- err
			returned <- time.Since(start)
		}, func(s *http.Server) { s.WriteTimeout = 5 * time.Second })
		resp := w.client().do("GET", s.url, nil)
		err := <-wrote
		w.check("the handler", failed(err), "error")
		w.check("os.ErrDeadlineExceeded", errors.Is(err, os.ErrDeadlineExceeded), true)
		w.check("when", (<-returned).Round(time.Second), "5s")
		_, err = readAll(resp)
		w.check("the client", failed(err), "error")
	}},
	{id: "S46", what: "IdleTimeout", run: func(w *world) {
		for _, idle := range []bool{true, false} {
			var st states
			s := w.serve(func(rw http.ResponseWriter, r *http.Request) {}, func(s *http.Server) {
				s.ConnState = st.hook
				if s.ReadTimeout = 8 * time.Second; idle {
					s.IdleTimeout, s.ReadTimeout = 8*time.Second, 0
				}
			})
			c := w.client()
			c.get(s.url)
			time.Sleep(6 * time.Second)
			c.get(s.url)
			w.check("early enough", c.dials(), 1)
			w.settle()
			time.Sleep(10 * time.Second)
			w.settle()
			w.check("the connection", strings.HasSuffix(st.of(0), "idle closed"), true)
			c.get(s.url)
			w.check("too late", c.dials(), 2)
		}
	}},
	{id: "S48", what: "deadlines of a request", run: func(w *world) {
		read := func(r *http.Request) string {
			p := make([]byte, 10)
			n, err := r.Body.Read(p)
			return string(p[:n]) + kind(err)
		}
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(rw)
			rc.EnableFullDuplex()
			start := time.Now()
			switch r.URL.Path {
			case "/past":
				w.check("SetReadDeadline", kind(rc.SetReadDeadline(time.Now().Add(-time.Second))), "nil")
				w.check("past", read(r), "deadline")
			case "/future":
				rc.SetReadDeadline(start.Add(time.Second))
				w.check("future: first", read(r), "somenil")
				w.check("future: then", read(r), "deadline")
				w.check("future: when", time.Since(start).Round(100*time.Millisecond), "1s")
			case "/extend":
				rc.SetReadDeadline(start.Add(time.Second))
				read(r)
				rc.SetReadDeadline(start.Add(3 * time.Second))
				w.check("extended", read(r), "morenil") // at 2 s
			case "/zero":
				rc.SetReadDeadline(start.Add(time.Second))
				read(r)
				rc.SetReadDeadline(time.Time{})
				w.check("lifted", read(r), "morenil")
			case "/write":
				w.check("SetWriteDeadline", kind(rc.SetWriteDeadline(time.Now().Add(-time.Second))), "nil")
				_, err := io.WriteString(rw, someText(100000))
				w.check("write after a past one", failed(err), "error")
				return
			case "/writefuture":
				rc.SetWriteDeadline(start.Add(time.Second))
				io.WriteString(rw, "before ")
				rc.Flush()
				time.Sleep(2 * time.Second)
				io.WriteString(rw, "after")
				w.check("Flush after a future one", failed(rc.Flush()), "error")
				return
			case "/writezero":
				rc.SetWriteDeadline(start.Add(time.Second))
				rc.SetWriteDeadline(time.Time{})
				time.Sleep(2 * time.Second)
			}
			io.WriteString(rw, "answer")
		})
		for _, path := range []string{"/past", "/future", "/extend", "/zero", "/write", "/writefuture", "/writezero"} {
			pr, pw := io.Pipe()
			go func() {
				if path != "/past" {
					io.WriteString(pw, "some")
				}
				time.Sleep(2 * time.Second)
				io.WriteString(pw, "more")
				pw.Close()
			}()
			text := ""
			resp, err := w.client().Post(s.url+path, "", pr)
			if err == nil {
				text, err = readAll(resp)
			}
			pr.Close()
			if strings.HasPrefix(path, "/write") && path != "/writezero" {
				w.check(path+": the client", failed(err), "error")
				continue
			}
			w.check(path+": the client", text+kind(err), "answernil")
		}
	}},
	{id: "S49", what: "EnableFullDuplex", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			w.check("EnableFullDuplex", kind(http.NewResponseController(rw).EnableFullDuplex()), "nil")
			for {
				p := make([]byte, 100)
				n, err := r.Body.Read(p)
				rw.Write(p[:n])
				rw.(http.Flusher).Flush()
				if err != nil {
					return
				}
			}
		})
		pr, pw := io.Pipe()
		go io.WriteString(pw, "0")
		resp := w.client().do("POST", s.url, pr)
		for i := range 10 {
			p := make([]byte, 100)
			n, err := resp.Body.Read(p)
			w.check("echo", string(p[:n])+kind(err), fmt.Sprint(i)+"nil")
			io.WriteString(pw, fmt.Sprint(i+1))
		}
		pw.Close()
		text, err := readAll(resp)
		w.check("the end", text+kind(err), "10nil")
	}},
	{id: "S50", what: "Shutdown", run: func(w *world) {
		running, finish := make(chan bool), make(chan bool)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				running <- true
				<-finish
				w.check("its context lives", kind(r.Context().Err()), "nil")
			}
			io.WriteString(rw, "done")
		})
		c := w.client()
		c.get(s.url)
		slow := make(chan string, 1)
		go func() {
			resp, err := c.Get(s.url + "/slow")
			text := ""
			if err == nil {
				text, err = readAll(resp)
			}
			slow <- text + kind(err)
		}()
		<-running
		ctx, cancel := context.WithTimeout(w.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		w.check("Shutdown that is too short", kind(s.Shutdown(ctx)), "context deadline")
		w.check("when", time.Since(start).Round(time.Second), "2s")
		w.check("Serve returned", <-s.served, http.ErrServerClosed)
		shut := make(chan error, 1)
		go func() { shut <- s.Shutdown(w.Context()) }()
		w.settle()
		_, err := w.client().Get(s.url)
		w.check("a new connection", failed(err), "error")
		w.check("Shutdown waits", len(shut), 0)
		finish <- true
		w.check("the running request", <-slow, "donenil")
		w.check("Shutdown", <-shut, "<nil>")
		w.check("Shutdown again", s.Shutdown(w.Context()), "<nil>")
	}},
	{id: "S47", what: "a handshake takes no longer than the smallest of the timeouts that are set", run: func(w *world) {
		for _, c := range []struct {
			name                string
			header, read, write time.Duration
			want                time.Duration
		}{
			{"ReadHeaderTimeout alone", 3 * time.Second, 0, 0, 3 * time.Second},
			{"ReadTimeout alone", 0, 2 * time.Second, 0, 2 * time.Second},
			{"WriteTimeout alone", 0, 0, 4 * time.Second, 4 * time.Second},
			{"the first of all", 2 * time.Second, 4 * time.Second, 3 * time.Second, 2 * time.Second},
			{"the last of all", 4 * time.Second, 3 * time.Second, 2 * time.Second, 2 * time.Second},
		} {
			s := w.serve(nil, func(hs *http.Server) {
				hs.ReadHeaderTimeout, hs.ReadTimeout, hs.WriteTimeout, hs.IdleTimeout = c.header, c.read, c.write, time.Second
			})
			goOn := make(chan struct{})
			cl := w.client(func(o *clientOptions) {
				o.tls = func(tc *tls.Config) {
					tc.VerifyConnection = func(tls.ConnectionState) error { <-goOn; return nil } // the client does not finish
				}
			})
			failed := make(chan error)
			go func() {
				_, err := cl.Get(s.url)
				failed <- err
			}()
			time.Sleep(c.want - 100*time.Millisecond)
			w.check(c.name+": before", s.log.String(), "")
			time.Sleep(200 * time.Millisecond)
			w.check(c.name+": told", strings.Count(s.log.String(), "TLS handshake error from 198.51.100.7:"), 1)
			close(goOn)
			w.check(c.name+": the client has an error", <-failed != nil, true)
		}
	}},
	{id: "S50/idle", what: "Shutdown while all are idle, and a server in its place", run: func(w *world) {
		var st states
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "one") }, func(s *http.Server) { s.ConnState = st.hook })
		c := w.client()
		c.get(s.url)
		w.settle()
		start := time.Now()
		w.check("Shutdown", s.Shutdown(w.Context()), "<nil>")
		w.check("at once", time.Since(start) < 3*time.Second, true)
		w.settle()
		w.check("the connection", st.of(0), "new active idle closed")
		next := w.again(s, func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "two") })
		_, text := c.get(next.url)
		w.check("the next server", text, "two")
	}},
	{id: "S51", what: "RegisterOnShutdown", run: func(w *world) {
		s := w.newServer()
		calls, hang := make(chan bool, 10), make(chan bool)
		defer close(hang)
		s.http.Handler = http.NotFoundHandler()
		s.onShutdown(func() { calls <- true })
		s.onShutdown(func() { calls <- true; <-hang }) // that one hangs does not matter
		s.onShutdown(func() { calls <- true })
		s.start()
		w.client().get(s.url)
		w.check("Shutdown", s.Shutdown(w.Context()), "<nil>")
		w.settle()
		w.check("calls", len(calls), 3)
	}},
	{id: "S51/http.Server", what: "http.Server.Shutdown shuts ours down as well", only: []mode{h3}, why: "the others are the http.Server itself", run: func(w *world) {
		s := w.serve(addrOf)
		c := w.client()
		c.get(s.url)
		calls := make(chan bool, 1)
		s.http.RegisterOnShutdown(func() { calls <- true })
		w.check("Shutdown", s.http.Shutdown(w.Context()), "<nil>")
		w.settle()
		w.check("calls", len(calls), 1)
		w.check("Serve returned", <-s.served, http.ErrServerClosed)
	}},
	{id: "S52", what: "Close", run: func(w *world) {
		running, ended := make(chan bool), make(chan error, 1)
		var st states
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			io.WriteString(rw, "some")
			rw.(http.Flusher).Flush()
			running <- true
			<-r.Context().Done()
			ended <- r.Context().Err()
		}, func(s *http.Server) { s.ConnState = st.hook })
		got := make(chan error, 1)
		go func() {
			resp, err := w.client().Get(s.url)
			if err == nil {
				_, err = readAll(resp)
			}
			got <- err
		}()
		<-running
		w.check("Close", s.Close(), "<nil>")
		w.check("the handler's context", kind(<-ended), "canceled")
		w.check("the client", failed(<-got), "error")
		w.check("Serve returned", <-s.served, http.ErrServerClosed)
		w.settle()
		w.check("the connection", strings.HasSuffix(st.of(0), "closed"), true)
		_, err := w.client().Get(s.url)
		w.check("a new connection", failed(err), "error")
	}},
	{id: "S53", what: "Connection: close of a handler", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/close" {
				rw.Header().Set("Connection", "close")
			}
			io.WriteString(rw, "body")
		})
		c := w.client()
		c.get(s.url)
		w.check("dials", c.dials(), 1)
		resp, text := c.get(s.url + "/close")
		w.check("the response is whole", fmt.Sprint(resp.StatusCode, text), "200body")
		w.check("the field", len(resp.Header["Connection"]), 0)
		w.settle()
		c.get(s.url)
		w.check("dials afterwards", c.dials(), 2)
	}},
	{id: "S54", what: "files of a multipart form go after the handler", run: func(w *world) {
		names := make(chan string, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			w.ok2(r.ParseMultipartForm(10))
			f, _, err := r.FormFile("file")
			w.ok2(err)
			if file, ok := f.(*os.File); ok {
				_, err := os.Stat(file.Name())
				w.check("there", kind(err), "nil")
				names <- file.Name()
			} else {
				names <- ""
			}
			f.Close()
		})
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		part, _ := m.CreateFormFile("file", "name")
		io.WriteString(part, someText(11<<20))
		m.Close()
		resp := w.client().do("POST", s.url, &b, func(r *http.Request) { r.Header.Set("Content-Type", m.FormDataContentType()) })
		resp.Body.Close()
		w.settle()
		name := <-names
		w.check("a file was used", name != "", true)
		_, err := os.Stat(name)
		w.check("gone", errors.Is(err, os.ErrNotExist), true)
	}},
	{id: "S57", what: "many handlers that hang", run: func(w *world) {
		in1, out := make(chan bool), make(chan bool)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hang" {
				in1 <- true
				<-out
			}
			io.WriteString(rw, "x")
		})
		c := w.client()
		c.get(s.url)
		n := 1000
		if w.mode == h1 {
			n = 100 // each takes a connection
		}
		done := make(chan string, n)
		for range n {
			go func() {
				resp, err := c.Get(s.url + "/hang")
				if err == nil {
					_, err = readAll(resp)
				}
				done <- kind(err)
			}()
		}
		for range 90 {
			<-in1
		}
		_, text := c.get(s.url)
		w.check("the server lives", text, "x")
		go func() {
			for range n - 90 {
				<-in1
			}
		}()
		close(out)
		failures := 0
		for range n {
			if k := <-done; k != "nil" {
				failures++
			}
		}
		w.check("failures", failures, 0)
	}},
}

// ok2 is ok for goroutines that are not the row's own.
func (w *world) ok2(err error) {
	w.Helper()
	if err != nil {
		w.Error(err)
	}
}

// again starts a server where s was.
func (w *world) again(s *server, h http.HandlerFunc) *server {
	next := w.newServer()
	next.url, next.name, next.addr = s.url, s.name, s.addr
	next.http.Handler = h
	next.start()
	return next
}
