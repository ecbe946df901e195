package http3_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// echoHead answers with what a handler sees of the request.
func echoHead(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(rw, "%s %s host=%q len=%d body=%q%v", r.Method, r.RequestURI, r.Host, r.ContentLength, body, err)
}

// clientRows are what programs see of a client.
var clientRows = []row{
	{id: "C1", what: "requests that are none", run: func(w *world) {
		handled := 0
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { handled++ })
		dials := 0
		edits := map[string]func(*http.Request){
			"method":          func(r *http.Request) { r.Method = "BAD METHOD" },
			"name":            func(r *http.Request) { r.Header["Bad Name"] = []string{"x"} },
			"empty name":      func(r *http.Request) { r.Header[""] = []string{"x"} },
			"value":           func(r *http.Request) { r.Header["A"] = []string{"x\r\ny: z"} },
			"NUL":             func(r *http.Request) { r.Header["A"] = []string{"x\x00"} },
			"trailer name":    func(r *http.Request) { r.Trailer = http.Header{"Bad Name": {"x"}} },
			"trailer value":   func(r *http.Request) { r.Trailer = http.Header{"A": {"x\n"}} },
			"nil URL":         func(r *http.Request) { r.URL = nil },
			"no host":         func(r *http.Request) { r.URL.Host = "" },
			"nil Header":      func(r *http.Request) { r.Header = nil },
			"scheme":          func(r *http.Request) { r.URL.Scheme = "gopher" },
			"bad trailer":     func(r *http.Request) { r.Trailer = http.Header{"Content-Length": {"1"}} },
			"pseudo in field": func(r *http.Request) { r.Header[":path"] = []string{"/x"} },
		}
		for name, edit := range edits {
			c, body := w.client(), &counted{r: strings.NewReader("body")}
			req := c.request("POST", s.url, body)
			edit(req)
			resp, err := c.rt.RoundTrip(req)
			dials += c.dials()
			if err == nil {
				resp.Body.Close()
			}
			w.check(name, failed(err), "error")
			w.check(name+": the body is closed", body.closed.Load() > 0, true)
		}
		w.check("handled", handled, 0)
		w.check("dials", dials, 0)
	}},
	{id: "C1/blanks", what: "blanks around a value are none of it", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header()["A"] = []string{" c\td\t"}
			fmt.Fprintf(rw, "%q", r.Header["A"])
		})
		resp, err := w.client().Do(w.client().request("GET", s.url, nil, func(r *http.Request) { r.Header["A"], r.Header["Cookie"] = []string{"\ta b "}, []string{"c=1 ;d=2\t"} }, with("User-Agent", " me ")))
		w.check("request", failed(err), "nil")
		if err == nil {
			text, _ := readAll(resp)
			w.check("what the handler sees", text, `["a b"]`)
			w.check("what the client sees", fmt.Sprintf("%q", resp.Header["A"]), `["c\td"]`)
		}
	}},
	{id: "C2", what: "the request's body is closed", run: func(w *world) {
		closes := func(name string, c *client, url string, want string, edit ...func(*http.Request)) {
			body := &counted{r: strings.NewReader(someText(100000))}
			resp, err := c.rt.RoundTrip(c.request("POST", url, body, edit...))
			if err == nil {
				_, err = readAll(resp)
			}
			w.settle()
			w.check(name, failed(err), want)
			w.check(name+": closed", body.closed.Load() > 0, true)
		}
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/early":
				rw.WriteHeader(403)
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/hang":
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			default:
				io.Copy(io.Discard, r.Body)
			}
		})
		c := w.client()
		closes("served", c, s.url, "nil")
		closes("early", c, s.url+"/early", "nil")
		closes("abort", w.client(), s.url+"/abort", "error")
		closes("dial fails", w.client(func(o *clientOptions) { o.onDial = func(context.Context) error { return errors.New("no") } }), s.url, "error")
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		closes("cancelled", w.client(), s.url+"/hang", "error", in(ctx))
		closes("cancelled before", c, s.url, "error", in(ctx))
	}},
	{id: "C3", what: "the host of a request", run: func(w *world) {
		s := w.serve(echoHead)
		bucher := w.serveAlias(s, "bücher.test:443", "xn--bcher-kva.test:443")
		c := w.client()
		host := func(url string, edit ...func(*http.Request)) string {
			_, text := c.get(url, edit...)
			_, text, _ = strings.Cut(text, "host=")
			text, _, _ = strings.Cut(text, " ")
			return text
		}
		w.check("of the URL", host(s.url), `"a.test"`)
		w.check("default port", host(s.url+":443/"), `"a.test:443"`)
		w.check("of Request.Host", host(s.url, func(r *http.Request) { r.Host = "other.test:99" }), `"other.test:99"`)
		w.check("Header's Host does not count", host(s.url, with("Host", "x.test")), `"a.test"`)
		w.check("IDNA", host("https://"+bucher), `"xn--bcher-kva.test"`)
		w.check("IDNA of Request.Host", host(s.url, func(r *http.Request) { r.Host = "bücher.test" }), `"xn--bcher-kva.test"`)
		w.check("user info is none of it", host("https://user:pass@a.test/"), `"a.test"`)
	}},
	{id: "C3/user", what: "user info of the URL is Basic authentication", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			user, pass, ok := r.BasicAuth()
			fmt.Fprint(rw, user, pass, ok)
		})
		_, text := w.client().get("https://user:pass@" + s.url[len("https://"):])
		w.check("Authorization", text, "userpasstrue")
	}},
	{id: "C4", what: "a request's fields that belong to a connection", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, trailerText(r.Header), r.TransferEncoding, r.Close)
		})
		send := func(edit func(*http.Request)) string {
			resp, err := w.client().Do(w.client().request("GET", s.url, nil, func(r *http.Request) { r.Header.Set("User-Agent", ""); r.Header.Set("Accept-Encoding", "x") }, edit))
			if err != nil {
				return "error"
			}
			text, _ := readAll(resp)
			return text
		}
		set := func(name, value string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set(name, value) }
		}
		plain := "Accept-Encoding:[x][] false"
		w.check("plain", send(func(*http.Request) {}), plain)
		w.check("Connection: close", send(set("Connection", "close")), plain)
		w.check("Connection: keep-alive", send(set("Connection", "keep-alive")), plain)
		w.check("Connection: x", send(set("Connection", "x")), "error")
		w.check("Proxy-Connection", send(set("Proxy-Connection", "keep-alive")), plain)
		w.check("Keep-Alive", send(set("Keep-Alive", "x")), plain)
		w.check("Transfer-Encoding", send(set("Transfer-Encoding", "chunked")), plain)
		w.check("Transfer-Encoding: x", send(set("Transfer-Encoding", "x")), "error")
		w.check("Upgrade", send(set("Upgrade", "x")), "error")
		w.check("Te: trailers", send(set("Te", "trailers")), "Accept-Encoding:[x] Te:[trailers][] false")
		w.check("Content-Length is the request's own", send(set("Content-Length", "5")), plain)
	}},
	{id: "C5", what: "User-Agent", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintf(rw, "%q", r.Header["User-Agent"]) })
		c := w.client()
		_, text := c.get(s.url)
		w.check("default", text, `["Go-http-client/2.0"]`)
		_, text = c.get(s.url, func(r *http.Request) { r.Header.Set("User-Agent", "mine") })
		w.check("own", text, `["mine"]`)
		_, text = c.get(s.url, func(r *http.Request) { r.Header["User-Agent"] = []string{"one", "two"} })
		w.check("two", text, `["one"]`)
		_, text = c.get(s.url, func(r *http.Request) { r.Header.Set("User-Agent", "") })
		w.check("empty", text, `[]`)
		_, text = c.get(s.url, func(r *http.Request) { r.Header["User-Agent"] = nil })
		w.check("nil", text, `[]`)
	}},
	{id: "C6", what: "cookies arrive as one", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(rw, "%q %d", r.Header["Cookie"], len(r.Cookies()))
		})
		_, text := w.client().get(s.url, func(r *http.Request) { r.Header.Set("Cookie", "a=1; b=2;c=3") }, func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "d", Value: "4"})
		})
		w.check("Cookie", text, `["a=1; b=2; c=3; d=4"] 4`)
	}},
	{id: "C7", what: "Content-Length of requests", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(rw, "%v %d", r.Header["Content-Length"], r.ContentLength)
		})
		c := w.client()
		for name, want := range map[string]string{"GET nil": "[] 0", "GET NoBody": "[] 0", "POST nil": "[0] 0", "POST NoBody": "[0] 0", "POST abc": "[3] 3",
			"POST empty": "[0] 0", "PUT nil": "[0] 0", "PATCH nil": "[0] 0", "DELETE nil": "[] 0", "GET abc": "[3] 3", "POST unknown": "[] -1", "OPTIONS nil": "[] 0"} {
			method, kind, _ := strings.Cut(name, " ")
			var body io.Reader
			switch kind {
			case "NoBody":
				body = http.NoBody
			case "abc":
				body = strings.NewReader("abc")
			case "empty":
				body = strings.NewReader("")
			case "unknown":
				body = &onlyReader{strings.NewReader("abc")}
			}
			text, _ := readAll(c.do(method, s.url, body))
			w.check(name, text, want)
		}
	}},
	{id: "C8", what: "a body that is not as long as its Content-Length", run: func(w *world) {
		got := make(chan string, 10)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			got <- failed(err)
			time.Sleep(time.Second) // until the client has found out
			io.WriteString(rw, "answer")
		})
		for name, length := range map[string]int64{"longer": 3, "shorter": 9} {
			resp, err := w.client().Do(w.client().request("POST", s.url, &onlyReader{strings.NewReader("123456")}, func(r *http.Request) { r.ContentLength = length }))
			if err == nil {
				resp.Body.Close()
			}
			w.check(name, failed(err), "error")
			w.check(name+": not at the server's end", errors.Is(err, io.EOF), false)
			w.settle()
			select {
			case e := <-got:
				w.check(name+": what the handler sees", e, "error")
			default:
			}
		}
	}},
	{id: "C8/error", what: "a body whose Read fails", run: func(w *world) {
		oops := errors.New("oops")
		got := make(chan string, 10)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			got <- fmt.Sprint(err != nil && err != io.EOF)
		})
		_, err := w.client().Post(s.url, "", io.MultiReader(strings.NewReader("some"), errReader{oops}))
		w.check("the client's error", errors.Is(err, oops), true)
		w.settle()
		select {
		case e := <-got:
			w.check("the handler's error", e, true)
		default: // the request never arrived
		}
	}},
	{id: "C9", what: "gzip", run: func(w *world) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		io.WriteString(z, "unpacked")
		z.Close()
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Asked", fmt.Sprint(r.Header["Accept-Encoding"]))
			switch r.URL.Path {
			case "/never":
			case "/short":
				rw.Header().Set("Content-Encoding", "gzip")
				rw.Write(packed.Bytes()[:packed.Len()-4])
				return
			case "/bad":
				rw.Header().Set("Content-Encoding", "gzip")
				io.WriteString(rw, "this is no gzip at all")
				return
			case "/empty":
				rw.Header().Set("Content-Encoding", "gzip")
				return
			default:
				rw.Header().Set("Content-Encoding", strings.Trim(r.URL.Path, "/"))
				rw.Header().Set("Content-Length", fmt.Sprint(packed.Len()))
				rw.Write(packed.Bytes())
				return
			}
			io.WriteString(rw, "plain")
		})
		c := w.client()
		say := func(resp *http.Response) string {
			text, err := readAll(resp)
			if text == packed.String() {
				text = "packed"
			}
			return fmt.Sprint(resp.Header["Asked"], resp.Uncompressed, " ", resp.ContentLength > 0, " ", resp.Header["Content-Encoding"], len(resp.Header["Content-Length"]), " ", text, " ", kind(err))
		}
		w.check("asked for", say(c.do("GET", s.url+"/gzip", nil)), "[[gzip]] true false [] 0 unpacked nil")
		w.check("upper case", say(c.do("GET", s.url+"/GZIP", nil)), "[[gzip]] true false [] 0 unpacked nil")
		w.check("not used", say(c.do("GET", s.url+"/never", nil)), "[[gzip]] false true [] 1 plain nil")
		w.check("cut off", say(c.do("GET", s.url+"/short", nil)), "[[gzip]] true false [] 0 unpacked unexpected EOF")
		w.check("bad", say(c.do("GET", s.url+"/bad", nil)), "[[gzip]] true false [] 0  error")
		w.check("own", say(c.do("GET", s.url+"/gzip", nil, with("Accept-Encoding", "gzip"))), "[[gzip]] false true [gzip] 1 packed nil")
		w.check("Range", say(c.do("GET", s.url+"/never", nil, with("Range", "bytes=0-"))), "[[]] false true [] 1 plain nil")
		w.check("disabled", say(w.client(func(o *clientOptions) { o.disableCompression = true }).do("GET", s.url+"/never", nil)), "[[]] false true [] 1 plain nil")
		resp := c.do("HEAD", s.url+"/gzip", nil)
		w.check("HEAD", fmt.Sprint(resp.Header["Asked"], resp.Uncompressed, resp.Header["Content-Encoding"]), "[[]] false [gzip]")
		resp.Body.Close()
		resp = c.do("GET", s.url+"/gzip", nil)
		p := make([]byte, 3)
		io.ReadFull(resp.Body, p)
		resp.Body.Close()
		_, err := resp.Body.Read(p)
		w.check("Read after Close", failed(err), "error")
	}},
	{id: "C11", what: "responses without a body", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/204":
				rw.WriteHeader(204)
			case "/304":
				rw.WriteHeader(304)
			case "/length":
				rw.Header().Set("Content-Length", "99")
			}
		})
		c := w.client()
		for name, want := range map[string]string{"HEAD /length": "200 99 nil", "GET /204": "204 0 nil", "GET /304": "304 0 nil", "GET /": "200 0 nil"} {
			method, path, _ := strings.Cut(name, " ")
			resp := c.do(method, s.url+path, nil)
			noBody := resp.Body == http.NoBody
			text, err := readAll(resp)
			w.check(name, fmt.Sprint(resp.StatusCode, " ", resp.ContentLength, " ", text, kind(err)), want)
			w.check(name+": NoBody", noBody, true)
		}
	}},
	{id: "C13", what: "response trailers appear at the end", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Trailer", "A")
			io.WriteString(rw, "body")
			rw.Header().Set("A", "1")
		})
		resp := w.client().do("GET", s.url, nil)
		w.check("the field is gone", len(resp.Header["Trailer"]), 0)
		w.check("before", trailerText(resp.Trailer), "A:[]")
		readAll(resp)
		w.check("after", trailerText(resp.Trailer), "A:[1]")
	}},
	{id: "C14", what: "interim responses at the client", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			for _, code := range []int{100, 102, 103, 199} {
				rw.WriteHeader(code)
			}
			io.WriteString(rw, "final")
		})
		var got []string
		trace := &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
				got = append(got, fmt.Sprint(code))
				return nil
			},
			Got100Continue: func() { got = append(got, "continue") },
		}
		c := w.client()
		_, text := c.get(s.url, traced(trace))
		w.check("told", strings.Join(got, " "), "100 continue 102 103 199")
		w.check("final", text, "final")
		stop := errors.New("stop")
		resp, err := c.Do(c.request("GET", s.url, nil, traced(&httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return stop }})))
		if err == nil {
			resp.Body.Close()
		}
		w.check("a hook that fails", errors.Is(err, stop), true)
	}},
	{id: "C14/many", what: "many interim responses", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("A", someText(300))
			for range 100 {
				rw.WriteHeader(103)
			}
			io.WriteString(rw, "final")
		})
		got := 0
		c := w.client(func(o *clientOptions) { o.maxResponseHeaderBytes = 3000 })
		_, text := c.get(s.url, traced(&httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { got++; return nil }}))
		w.check("that somebody wants", fmt.Sprint(got, text), "100final")
		resp, err := c.Get(s.url)
		if err == nil {
			resp.Body.Close()
		}
		w.check("that nobody wants", failed(err), "error")
	}},
	{id: "C15", what: "Expect: 100-continue at the client", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/mute" {
				time.Sleep(5 * time.Second)
			}
			time.Sleep(time.Millisecond) // until the client waits
			if r.URL.Path == "/refuse" {
				rw.WriteHeader(417)
				return
			}
			start := time.Now()
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(rw, string(body), kind(err), time.Since(start).Round(time.Second))
		})
		for path, want := range map[string]string{"/": "bodynil0s 4", "/mute": "bodynil0s 4", "/refuse": " 0"} {
			body := &counted{r: strings.NewReader("body")}
			c := w.client(func(o *clientOptions) { o.expectContinueTimeout = time.Second })
			var waited atomic.Bool
			start := time.Now()
			resp := c.do("POST", s.url+path, body, with("Expect", "100-continue"), traced(&httptrace.ClientTrace{Wait100Continue: func() { waited.Store(true) }}))
			text, _ := readAll(resp)
			w.check(path, fmt.Sprint(text, " ", body.read.Load()), want)
			w.check(path+": Wait100Continue", waited.Load(), true)
			w.check(path+": when", time.Since(start).Round(time.Second), map[string]string{"/": "0s", "/mute": "5s", "/refuse": "0s"}[path])
		}
	}},
	{id: "C16", what: "ResponseHeaderTimeout", run: func(w *world) {
		ended := make(chan error, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
				ended <- r.Context().Err()
				return
			}
			rw.(http.Flusher).Flush()
			time.Sleep(10 * time.Second)
			io.WriteString(rw, "late body")
		})
		c := w.client(func(o *clientOptions) { o.responseHeaderTimeout = 5 * time.Second })
		_, text := c.get(s.url)
		w.check("the body may take longer", text, "late body")
		start := time.Now()
		_, err := c.Get(s.url + "/slow")
		var timeout interface{ Timeout() bool }
		w.check("Timeout()", errors.As(err, &timeout) && timeout.Timeout(), true)
		w.check("when", time.Since(start).Round(time.Second), "5s")
		w.check("the handler", kind(<-ended), "canceled")
		start = time.Now()
		_, err = c.Post(s.url+"/slow", "", io.MultiReader(strings.NewReader("a"), &slowReader{3 * time.Second}))
		w.check("after a body", time.Since(start).Round(time.Second), "8s")
		<-ended
	}},
	{id: "C17", what: "cancelling", run: func(w *world) {
		ended := make(chan error, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/before":
			case "/during":
				io.WriteString(rw, "some")
				rw.(http.Flusher).Flush()
			default:
				io.WriteString(rw, r.RemoteAddr)
				return
			}
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
		c := w.client()
		_, before := c.get(s.url)
		for _, path := range []string{"/before", "/during"} {
			for _, cause := range []string{"cancel", "timeout"} {
				ctx, cancel := context.WithCancel(w.Context())
				if cause == "timeout" {
					cancel()
					ctx, cancel = context.WithTimeout(w.Context(), time.Second)
				} else {
					time.AfterFunc(time.Second, cancel)
				}
				start := time.Now()
				resp, err := c.Do(c.request("GET", s.url+path, nil, in(ctx)))
				w.check(path+" "+cause+": head", failed(err), map[string]string{"/before": "error", "/during": "nil"}[path])
				text := ""
				if err == nil {
					text, err = readAll(resp)
				}
				w.check(path+" "+cause+": error", kind(err), map[string]string{"cancel": "canceled", "timeout": "context deadline"}[cause])
				w.check(path+" "+cause+": text", text, map[string]string{"/during": "some"}[path])
				w.check(path+" "+cause+": when", time.Since(start).Round(time.Second), "1s")
				w.check(path+" "+cause+": the handler", kind(<-ended), "canceled")
				cancel()
			}
		}
		_, after := c.get(s.url)
		w.check("the connection lives", before == after, true)
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		_, err := c.Do(c.request("GET", s.url, nil, in(ctx)))
		w.check("cancelled before", kind(err), "canceled")
		why := errors.New("why")
		ctx2, cancel2 := context.WithCancelCause(w.Context())
		time.AfterFunc(time.Second, func() { cancel2(why) })
		_, err = c.Do(c.request("GET", s.url+"/before", nil, in(ctx2)))
		w.check("a cause", errors.Is(err, why), true)
		<-ended
	}},
	{id: "C18", what: "http.Client.Timeout", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				io.WriteString(rw, "some")
				rw.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		})
		c := w.client()
		c.Timeout = time.Second
		for _, path := range []string{"/head", "/body"} {
			start := time.Now()
			resp, err := c.Get(s.url + path)
			if path == "/body" {
				w.check("head", failed(err), "nil")
				if err == nil {
					_, err = readAll(resp)
				}
			}
			var timeout interface{ Timeout() bool }
			w.check(path+": Timeout()", errors.As(err, &timeout) && timeout.Timeout(), true)
			w.check(path+": context.DeadlineExceeded", errors.Is(err, context.DeadlineExceeded), true)
			w.check(path+": when", time.Since(start).Round(time.Second), "1s")
		}
	}},
	{id: "C19", what: "a body that is closed early", run: func(w *world) {
		wrote := make(chan error, 100)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/small" {
				io.WriteString(rw, r.RemoteAddr)
				return
			}
			var err error
			for range 200 {
				if _, err = io.WriteString(rw, someText(100000)); err != nil {
					break
				}
			}
			wrote <- err
		})
		c := w.client()
		_, before := c.get(s.url + "/small")
		for range 30 { // if what was not read stayed in the connection's window, there would be no end
			resp := c.do("GET", s.url, nil)
			io.ReadFull(resp.Body, make([]byte, 1000))
			w.check("Close", kind(resp.Body.Close()), "nil")
			_, err := resp.Body.Read(make([]byte, 1))
			w.check("Read after Close", failed(err), "error")
			w.check("the handler", failed(<-wrote), "error")
		}
		_, after := c.get(s.url + "/small")
		w.check("the connection lives", before == after, true)
	}},
	{id: "C25", what: "a body is sent again if GetBody gives it", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprint(rw, string(body))
		})
		c := w.client()
		c.get(s.url)
		w.settle()
		s.Close()
		w.settle()
		w.again(s, func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprint(rw, "new "+string(body))
		})
		text, err := readAll(c.do("POST", s.url, strings.NewReader("body")))
		w.check("after a restart", text+kind(err), "new bodynil")
	}},
	{id: "C35", what: "redirects", run: func(w *world) {
		var s *server
		s = w.serve(func(rw http.ResponseWriter, r *http.Request) {
			var code int
			if n, _ := fmt.Sscanf(r.URL.Path, "/%d", &code); n == 1 {
				http.SetCookie(rw, &http.Cookie{Name: "c", Value: fmt.Sprint(code)})
				http.Redirect(rw, r, "/end", code)
				return
			}
			if r.URL.Path == "/loop" {
				http.Redirect(rw, r, "/loop", 302)
				return
			}
			body, _ := io.ReadAll(r.Body)
			cookie, _ := r.Cookie("c")
			fmt.Fprint(rw, r.Method, " ", string(body), " ", r.Header.Get("Referer"), " ", cookie, " ", r.Header.Get("Own"))
		})
		for code, want := range map[int]string{301: "GET ", 302: "GET ", 303: "GET ", 307: "POST body", 308: "POST body"} {
			c := w.client()
			c.Jar, _ = cookiejar.New(nil)
			text, err := readAll(c.do("POST", fmt.Sprint(s.url, "/", code), strings.NewReader("body"), with("Own", "x")))
			w.check(fmt.Sprint(code), text+kind(err), fmt.Sprintf("%s %s/%d c=%d xnil", want, s.url, code, code))
		}
		resp, err := w.client().Do(w.client().request("POST", s.url+"/307", &onlyReader{strings.NewReader("body")}))
		w.check("307 without GetBody", fmt.Sprint(resp.StatusCode, kind(err)), "307nil")
		resp.Body.Close()
		_, err = w.client().Get(s.url + "/loop")
		w.check("a loop", failed(err), "error")
		c := w.client()
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp = c.do("GET", s.url+"/301", nil)
		w.check("the last response", resp.StatusCode, 301)
		resp.Body.Close()
	}},
	{id: "C36", what: "CONNECT", only: multiplexed, why: "over HTTP/1.1 the tunnel is the connection", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			w.check("Host", r.Host, "b.test:25")
			rw.(http.Flusher).Flush()
			io.Copy(flushing{rw}, r.Body)
			io.WriteString(rw, "bye")
		})
		pr, pw := io.Pipe()
		req := &http.Request{Method: "CONNECT", URL: &url.URL{Scheme: "https", Host: "a.test"}, Host: "b.test:25", Header: http.Header{}, Body: pr, ContentLength: -1}
		resp, err := w.client().rt.RoundTrip(req)
		w.ok(err)
		_ = s
		p := make([]byte, 10)
		for _, word := range []string{"one", "two"} {
			io.WriteString(pw, word)
			n, err := resp.Body.Read(p)
			w.check("echo", string(p[:n])+kind(err), word+"nil")
		}
		pw.Close() // one half
		text, err := readAll(resp)
		w.check("the other half", text+kind(err), "byenil")
	}},
	{id: "C38", what: "TLS at the client", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, r.TLS.ServerName, len(r.TLS.PeerCertificates))
		}, func(s *http.Server) { s.TLSConfig.ClientAuth = tls.RequestClientCert })
		cert, _ := pki()
		verified := 0
		resp, text := w.client(func(o *clientOptions) {
			o.tls = func(c *tls.Config) {
				c.Certificates = []tls.Certificate{cert}
				c.VerifyConnection = func(tls.ConnectionState) error { verified++; return nil }
			}
		}).get(s.url)
		w.check("what the server sees", text, "a.test1")
		w.check("VerifyConnection", verified, 1)
		w.check("resp.TLS", resp.TLS != nil && resp.TLS.HandshakeComplete && len(resp.TLS.PeerCertificates) == 1 && resp.TLS.ServerName == "a.test", true)
		for name, f := range map[string]func(*tls.Config){
			"no roots":         func(c *tls.Config) { c.RootCAs = nil },
			"wrong name":       func(c *tls.Config) { c.ServerName = "wrong.example" },
			"VerifyConnection": func(c *tls.Config) { c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("no") } },
		} {
			_, err := w.client(func(o *clientOptions) { o.tls = f }).Get(s.url)
			w.check(name, failed(err), "error")
			var cert *tls.CertificateVerificationError
			w.check(name+": CertificateVerificationError", errors.As(err, &cert), name != "VerifyConnection")
		}
		_, text = w.client(func(o *clientOptions) { o.tls = func(c *tls.Config) { c.ServerName = "b.test" } }).get(s.url)
		w.check("another ServerName", text, "b.test0")
	}},
	{id: "C45", what: "what a Response says", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(201) })
		c := w.client()
		req := c.request("GET", s.url, nil)
		resp, err := c.Do(req)
		w.ok(err)
		resp.Body.Close()
		w.check("Proto", resp.Proto, "HTTP/2.0")
		w.check("version", fmt.Sprint(resp.ProtoMajor, resp.ProtoMinor), "2 0")
		w.check("Status", resp.Status, "201 Created")
		w.check("Request", resp.Request == req, true)
		w.check("TLS", resp.TLS != nil, true)
		w.check("Close", resp.Close, false)
		w.check("TransferEncoding", resp.TransferEncoding, "[]")
	}},
	{id: "C47", what: "RoundTrip returns while the body is being sent", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			http.NewResponseController(rw).EnableFullDuplex()
			rw.(http.Flusher).Flush()
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(rw, string(body), failed(err))
		})
		pr, pw := io.Pipe()
		resp := w.client().do("POST", s.url, pr)
		io.WriteString(pw, "a")
		io.WriteString(pw, "b")
		pw.Close()
		text, err := readAll(resp)
		w.check("whole", text+kind(err), "abnilnil")
		pr, pw = io.Pipe()
		resp = w.client().do("POST", s.url, pr)
		io.WriteString(pw, "a")
		pw.CloseWithError(errors.New("oops"))
		text, err = readAll(resp)
		w.check("success after the upload failed", text+kind(err) == "anilnil", false)
	}},
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// slowReader ends after a time.
type slowReader struct{ d time.Duration }

func (r *slowReader) Read([]byte) (int, error) {
	time.Sleep(r.d)
	return 0, io.EOF
}
