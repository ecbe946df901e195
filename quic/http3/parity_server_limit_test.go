package http3_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serverLimitRows are handlers of the standard library, unchanged.
var serverLimitRows = []row{
	{id: "S62/TimeoutHandler", what: "http.TimeoutHandler", run: func(w *world) {
		slow := make(chan error, 1)
		s := w.serveHandler(http.TimeoutHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				<-r.Context().Done()
				time.Sleep(time.Second)
				_, err := io.WriteString(rw, "late")
				slow <- err
			case "/panic":
				panic(http.ErrAbortHandler)
			default:
				rw.Header().Set("A", "b")
				io.WriteString(rw, "quick")
			}
		}), time.Second, "too slow"))
		c := w.client()
		resp, text := c.get(s.url)
		w.check("quick", fmt.Sprint(resp.StatusCode, text, resp.Header["A"]), "200quick[b]")
		resp, text = c.get(s.url + "/slow")
		w.check("slow", fmt.Sprint(resp.StatusCode, text), "503too slow")
		w.check("its handler", <-slow, http.ErrHandlerTimeout)
		_, err := c.Get(s.url + "/panic")
		w.check("panic", failed(err), "error")
	}},
	{id: "S62/FileServer", what: "http.FileServer and StripPrefix", run: func(w *world) {
		dir := w.TempDir()
		data := someText(300000)
		w.ok(os.WriteFile(filepath.Join(dir, "file.txt"), []byte(data), 0o600))
		w.ok(os.WriteFile(filepath.Join(dir, "index.html"), []byte("<html>index"), 0o600))
		changed := time.Date(1999, 5, 6, 7, 8, 9, 0, time.UTC)
		w.ok(os.Chtimes(filepath.Join(dir, "file.txt"), changed, changed))
		s := w.serveHandler(http.StripPrefix("/files", http.FileServer(http.Dir(dir))))
		c := w.client()
		file := s.url + "/files/file.txt"
		resp, text := c.get(file)
		w.check("whole", fmt.Sprint(resp.StatusCode, resp.ContentLength, text == data, resp.Header["Accept-Ranges"], resp.Header["Content-Type"]), "200 300000 true [bytes] [text/plain; charset=utf-8]")
		resp, text = c.get(file, with("Range", "bytes=100-199"))
		w.check("a range", fmt.Sprint(resp.StatusCode, resp.ContentLength, resp.Header["Content-Range"], text == data[100:200]), "206 100 [bytes 100-199/300000] true")
		resp, _ = c.get(file, with("Range", "bytes=999999-"))
		w.check("beyond the end", resp.StatusCode, 416)
		resp, text = c.get(file, with("If-Modified-Since", changed.Format(http.TimeFormat)))
		w.check("not modified", fmt.Sprint(resp.StatusCode, text), "304")
		resp = c.do("HEAD", file, nil)
		w.check("HEAD", fmt.Sprint(resp.StatusCode, resp.ContentLength), "200 300000")
		resp, text = c.get(s.url + "/files/")
		w.check("index", fmt.Sprint(resp.StatusCode, text), "200<html>index")
		resp, _ = c.get(s.url + "/files/nothing")
		w.check("none", resp.StatusCode, 404)
		resp, _ = c.get(s.url + "/other")
		w.check("other prefix", resp.StatusCode, 404)
	}},
	{id: "S62/Pusher", what: "nobody pushes", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			p, ok := rw.(http.Pusher)
			w.check("Pusher", ok, false)
			if ok {
				w.check("Push", failed(p.Push("/x", nil)), "error")
			}
		})
		w.client().get(s.url)
	}},
	{id: "S63", what: "httputil.ReverseProxy", run: func(w *world) {
		more, gone := make(chan bool), make(chan error, 1)
		backend := w.as(h1).serve(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/length":
				fmt.Fprint(rw, r.ContentLength, r.TransferEncoding, r.Header["Upgrade"], r.Header["Connection"])
			case "/trailers":
				rw.Header().Set("Trailer", "T")
				body, _ := io.ReadAll(r.Body)
				fmt.Fprint(rw, string(body), trailerText(r.Trailer))
				rw.Header().Set("T", "v")
				rw.Header().Set(http.TrailerPrefix+"U", "w")
			case "/stream":
				io.WriteString(rw, "one")
				rw.(http.Flusher).Flush()
				<-more
				io.WriteString(rw, "two")
			case "/hang":
				io.WriteString(rw, "one")
				rw.(http.Flusher).Flush()
				<-r.Context().Done()
				gone <- r.Context().Err()
			case "/hints":
				rw.Header().Set("Link", "a")
				rw.WriteHeader(103)
				rw.WriteHeader(200)
			case "/abort":
				io.WriteString(rw, "one")
				rw.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
		})
		to, _ := url.Parse(backend.url)
		s := w.serveHandler(&httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() },
			Transport:     w.as(h1).client().rt,
			FlushInterval: -1,
			ErrorLog:      log.New(io.Discard, "", 0),
		})
		c := w.client()
		_, text := c.get(s.url + "/length")
		w.check("a GET has length 0", text, "0 [] [] []")
		text, _ = readAll(c.do("POST", s.url+"/length", strings.NewReader("abc")))
		w.check("a known length", text, "3 [] [] []")
		text, _ = readAll(c.do("POST", s.url+"/length", &onlyReader{strings.NewReader("abc")}))
		w.check("an unknown length", text, "-1 [chunked] [] []")
		body := &onEOF{r: strings.NewReader("body")}
		req := c.request("POST", s.url+"/trailers", body)
		req.Trailer = http.Header{"R": nil}
		body.f = func() { req.Trailer.Set("R", "s") }
		resp, err := c.Do(req)
		w.ok(err)
		text, err = readAll(resp)
		w.check("request trailers", text+kind(err), "bodyR:[]nil") // ReverseProxy has copied the map before
		w.check("response trailers", trailerText(resp.Trailer), "T:[v] U:[w]")
		resp = c.do("GET", s.url+"/stream", nil)
		p := make([]byte, 10)
		n, err := resp.Body.Read(p)
		w.check("streamed", string(p[:n])+kind(err), "onenil")
		more <- true
		text, err = readAll(resp)
		w.check("streamed to the end", text+kind(err), "twonil")
		ctx, cancel := context.WithCancel(w.Context())
		resp = c.do("GET", s.url+"/hang", nil, in(ctx))
		cancel()
		w.check("a client that goes", kind(<-gone), "canceled")
		resp.Body.Close()
		hints := ""
		resp, _ = c.get(s.url+"/hints", traced(&httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints += fmt.Sprint(code, h["Link"])
			return nil
		}}))
		w.check("interim responses", hints, "103 [a]")
		resp, err = c.Get(s.url + "/abort")
		if err == nil {
			_, err = readAll(resp)
		}
		w.check("a backend that breaks off", failed(err), "error")
	}},
	{id: "S63/to", what: "httputil.ReverseProxy with a Transport of the mode", run: func(w *world) {
		backend := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			rw.Header().Set("Trailer", "T")
			fmt.Fprint(rw, r.Method, r.Host, r.Header.Get("X-Forwarded-For"), r.ContentLength, string(body))
			rw.(http.Flusher).Flush() // else the length is known, and HTTP/1.1 has no trailers then
			rw.Header().Set("T", "v")
		})
		to, _ := url.Parse(backend.url)
		front := w.as(h1).serveHandler(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() }, Transport: w.client().rt})
		c := w.as(h1).client()
		_, text := c.get(front.url)
		w.check("GET", text, "GETa.test198.51.100.70")
		resp := c.do("POST", front.url, strings.NewReader("abc"))
		text, err := readAll(resp)
		w.check("POST", text+kind(err), "POSTa.test198.51.100.73abcnil")
		w.check("trailers", trailerText(resp.Trailer), "T:[v]")
	}},
}

// proxyTo is a proxy that sends everything on to s.
func proxyTo(s *server, rt http.RoundTripper) http.Handler {
	to, _ := url.Parse(s.url)
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: rt, ErrorLog: log.New(io.Discard, "", 0)}
}
