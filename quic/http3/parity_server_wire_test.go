package http3_test

import (
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// refusals sends each request with a client that speaks frames, on one connection over HTTP/2 and HTTP/3, and checks that no handler sees
// it; over HTTP/3 its stream is to be reset with H3_MESSAGE_ERROR (RFC 9114, 4.1.2) and the connection to live.
func (w *world) refusals(requests map[string][]field) {
	var mu sync.Mutex
	served := make(map[string]bool)
	s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		served[r.Header.Get("Row")] = true
	})
	c := w.raw(s)
	var names []string
	for name := range requests {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if w.mode == h1 {
			c = w.raw(s)
		}
		st := c.open()
		st.headers(true, append(requests[name], field{"row", name})...)
		resp := st.response()
		w.settle()
		mu.Lock()
		saw := served[name]
		mu.Unlock()
		outcome := "refused"
		if saw || resp.end == "" && resp.status < "400" {
			outcome = "served"
		}
		w.check(name, outcome, "refused")
		if w.mode == h3 && outcome == "refused" {
			w.check(name+": how", resp.end, "reset H3_MESSAGE_ERROR")
		}
	}
	if w.mode == h1 {
		c = w.raw(s)
	}
	st := c.open()
	st.headers(true, head("GET", "/")...)
	w.check("the connection afterwards", st.response().status, "200")
}

// without is f without the fields of a name.
func without(f []field, name string) (out []field) {
	for _, x := range f {
		if x.name != name {
			out = append(out, x)
		}
	}
	return out
}

// replaced is f with another value for name.
func replaced(f []field, name, value string) (out []field) {
	for _, x := range f {
		if x.name == name {
			x.value = value
		}
		out = append(out, x)
	}
	return out
}

var multiplexed = []mode{h2, h3}

// serverWireRows are what a server makes of a request's bytes.
var serverWireRows = []row{
	{id: "S3", what: "a request body longer than its Content-Length", only: multiplexed, why: "RFC 9112, 6.3: over HTTP/1.1 what is longer is the next request", run: func(w *world) {
		got := make(chan string, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			got <- failed(err)
		})
		st := w.raw(s).open()
		st.headers(false, head("POST", "/", field{"content-length", "3"})...)
		st.data("12", false)
		w.settle()
		st.data("345", true)
		w.check("Body.Read", <-got, "error")
		resp := st.response()
		w.check("how", resp.end, map[mode]string{h2: "reset PROTOCOL_ERROR", h3: "reset H3_MESSAGE_ERROR"}[w.mode])
	}},
	{id: "S4", what: "a request body shorter than its Content-Length", run: func(w *world) {
		got := make(chan string, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			got <- fmt.Sprint(err != nil && err != io.EOF)
		})
		st := w.raw(s).open()
		st.headers(false, head("POST", "/", field{"content-length", "5"})...)
		st.data("12", false)
		w.settle()
		st.data("34", true)
		w.check("Body.Read fails", <-got, true)
		resp := st.response()
		if w.mode == h3 {
			w.check("how", resp.end, "reset H3_MESSAGE_ERROR")
		}
		w.check("success", resp.end == "" && resp.status == "200", false)
	}},
	{id: "S3/FIN", what: "Content-Length with a request that ends with its head", only: multiplexed, why: "HTTP/1.1 has no end but the length", run: func(w *world) {
		w.refusals(map[string][]field{"no body at all": head("POST", "/", field{"content-length", "3"})})
	}},
	{id: "S26", what: "field names", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header()["X-Lower-Case"] = []string{"1"}
			rw.Header()["x-raw"] = []string{"1"}
			fmt.Fprint(rw, r.Header["X-Some-Name"], r.Header["x-some-name"])
		})
		st := w.raw(s).open()
		st.headers(true, head("GET", "/", field{"x-some-name", "v"})...)
		resp := st.response()
		w.check("canonical", resp.body, "[v] []")
		w.check("lower case", fmt.Sprint(resp.header["X-Lower-Case"], resp.header["X-Raw"]), "[1] [1]")
		w.refusals(map[string][]field{"upper case": head("GET", "/", field{"X-Some-Name", "v"})})
	}},
	{id: "S27", what: "names and values that are none", run: func(w *world) {
		w.refusals(map[string][]field{
			"blank in name":  head("GET", "/", field{"a b", "v"}),
			"empty name":     head("GET", "/", field{"", "v"}),
			"colon in name":  head("GET", "/", field{"a:b", "v"}),
			"NUL in name":    head("GET", "/", field{"a\x00b", "v"}),
			"beyond ASCII":   head("GET", "/", field{"caf\xc3\xa9", "v"}),
			"NUL in value":   head("GET", "/", field{"a", "v\x00w"}),
			"CR in value":    head("GET", "/", field{"a", "v\rw"}),
			"LF in value":    head("GET", "/", field{"a", "v\nw"}),
			"DEL in value":   head("GET", "/", field{"a", "v\x7fw"}),
			"0x01 in value":  head("GET", "/", field{"a", "v\x01w"}),
			"NUL in path":    head("GET", "/\x00"),
			"LF in path":     head("GET", "/\n"),
			"blank in path":  head("GET", "/a b"),
			"blank in verb":  head("G T", "/"),
			"LF in cookie":   head("GET", "/", field{"cookie", "a=\nb"}),
			"empty verb":     head("", "/"),
			"LF in host":     replaced(head("GET", "/"), ":authority", "a.test\nx"),
			"blank in host":  replaced(head("GET", "/"), ":authority", "a b.test"),
			"slash in host":  replaced(head("GET", "/"), ":authority", "a.test/b"),
			"value with TAB": head("GET", "/", field{"a", "v\x0bw"}), // a vertical one
		})
	}},
	{id: "S27/accepted", what: "values that are unusual", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintf(rw, "%q", r.Header["A"]) })
		for name, f := range map[string]field{"TAB": {"a", "v\tw"}, "empty": {"a", ""}, "bytes beyond ASCII": {"a", "caf\xc3\xa9"}, "odd name": {"a", "1"}} {
			st := w.raw(s).open()
			st.headers(true, head("GET", "/", f, field{"!#$%&'*+-.^_`|~1a", "x"})...)
			resp := st.response()
			w.check(name, resp.status+resp.body, fmt.Sprintf("200[%q]", f.value))
		}
	}},
	{id: "S27/response", what: "fields of a response that are none", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header()["Bad Name"] = []string{"1"}
			rw.Header()[""] = []string{"1"}
			rw.Header()[":status"] = []string{"500"}
			rw.Header()["Good"] = []string{"a", "b"}
			rw.Header()["Bad-Value"] = []string{"a\x00b", "good"}
			rw.Header()["Lines"] = []string{"a\r\nb: c"}
			io.WriteString(rw, "x")
		})
		resp, err := w.client().Get(s.url)
		w.check("response", failed(err), "nil")
		if err == nil {
			body, err := readAll(resp)
			w.check("body", body+kind(err), "xnil")
			w.check("status", resp.StatusCode, 200)
			w.check("good", resp.Header["Good"], "[a b]")
			w.check("bad names", len(resp.Header["Bad Name"])+len(resp.Header[""])+len(resp.Header[":status"]), 0)
			w.check("bad value", resp.Header["Bad-Value"], "[good]")
			w.check("lines", fmt.Sprint(resp.Header["Lines"], resp.Header["B"]), "[] []")
		}
	}},
	{id: "S28", what: "fields that belong to a connection", only: multiplexed, why: "RFC 9112 has them for HTTP/1.1", run: func(w *world) {
		w.refusals(map[string][]field{
			"connection":        head("GET", "/", field{"connection", "close"}),
			"proxy-connection":  head("GET", "/", field{"proxy-connection", "keep-alive"}),
			"keep-alive":        head("GET", "/", field{"keep-alive", "x"}),
			"transfer-encoding": head("GET", "/", field{"transfer-encoding", "chunked"}),
			"upgrade":           head("GET", "/", field{"upgrade", "x"}),
			"te":                head("GET", "/", field{"te", "gzip"}),
			"te and more":       head("GET", "/", field{"te", "trailers, gzip"}),
		})
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Header.Get("Te")) })
		st := w.raw(s).open()
		st.headers(true, head("GET", "/", field{"te", "trailers"})...)
		resp := st.response()
		w.check("te: trailers", resp.status+resp.body, "200trailers")
	}},
	{id: "S28/response", what: "a handler's fields that belong to a connection", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Upgrade"} {
				rw.Header().Set(name, "x")
			}
			rw.Header().Set("Transfer-Encoding", "chunked")
			io.WriteString(rw, "body")
		})
		resp, err := w.client().Get(s.url)
		w.check("response", failed(err), "nil")
		if err == nil {
			body, err := readAll(resp)
			w.check("body", body+kind(err), "bodynil")
			for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Upgrade", "Transfer-Encoding"} {
				w.check(name, len(resp.Header[name]), 0)
			}
		}
	}},
	{id: "S29", what: "which host is meant", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, r.Host, " ", r.Header["Host"], r.URL.Host)
		})
		for name, fields := range map[string][]field{
			"authority":     replaced(head("GET", "/"), ":authority", "b.test:8443"),
			"host alone":    append(without(head("GET", "/"), ":authority"), field{"host", "b.test:8443"}),
			"both the same": replaced(head("GET", "/", field{"host", "b.test:8443"}), ":authority", "b.test:8443"),
		} {
			st := w.raw(s).open()
			st.headers(true, fields...)
			resp := st.response()
			w.check(name, resp.status+resp.body, "200b.test:8443 []")
		}
		w.refusals(map[string][]field{
			"host and authority differ":    head("GET", "/", field{"host", "c.test"}),
			"neither":                      without(head("GET", "/"), ":authority"),
			"empty":                        replaced(head("GET", "/"), ":authority", ""),
			"empty host alone":             append(without(head("GET", "/"), ":authority"), field{"host", ""}),
			"two hosts":                    append(without(head("GET", "/"), ":authority"), field{"host", "a.test"}, field{"host", "b.test"}),
			"authority and an empty host":  head("GET", "/", field{"host", ""}),
			"authority and two good hosts": head("GET", "/", field{"host", "a.test"}, field{"host", "b.test"}),
		})
	}},
	{id: "S30", what: "authorities and paths that are none", run: func(w *world) {
		w.refusals(map[string][]field{
			"userinfo":        replaced(head("GET", "/"), ":authority", "user@a.test"),
			"empty path":      head("GET", ""),
			"no slash":        head("GET", "path"),
			"star of GET":     head("GET", "*"),
			"bad escape":      head("GET", "/%zz"),
			"absolute":        head("GET", "https://a.test/"),
			"star and more":   head("OPTIONS", "*a"),
			"userinfo of own": append(without(head("GET", "/"), ":authority"), field{"host", "user@a.test"}),
		})
	}},
	{id: "S30/lenient", what: "authorities and paths that net/http lets pass", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, r.Host, " ", r.URL.Path, " ", r.URL.RawQuery)
		})
		for name, f := range map[string][]field{
			"fragment":     head("GET", "/a#b"),
			"double slash": head("GET", "//a/b"),
			"dots":         head("GET", "/a/../b"),
			"odd port":     replaced(head("GET", "/"), ":authority", "a.test:x"),
			"IPv6":         replaced(head("GET", "/"), ":authority", "[2001:db8::1]:443"),
			"odd query":    head("GET", "/?a=%zz&&?"),
			"upper case":   replaced(head("GET", "/"), ":authority", "A.Test"),
		} {
			st := w.raw(s).open()
			st.headers(true, f...)
			w.check(name, st.response().body, map[string]string{"fragment": "a.test /a#b ", "double slash": "a.test //a/b ", "dots": "a.test /a/../b ", "odd port": "a.test:x / ",
				"IPv6": "[2001:db8::1]:443 / ", "odd query": "a.test / a=%zz&&?", "upper case": "A.Test / "}[name])
		}
	}},
	{id: "S31", what: "pseudo-fields", only: multiplexed, why: "HTTP/1.1 has a request line", run: func(w *world) {
		good := head("GET", "/")
		w.refusals(map[string][]field{
			"two methods":     append([]field{{":method", "GET"}}, good...),
			"two paths":       append([]field{{":path", "/"}}, good...),
			"two schemes":     append([]field{{":scheme", "https"}}, good...),
			"two authorities": append([]field{{":authority", "a.test"}}, good...),
			"unknown":         append([]field{{":unknown", "x"}}, good...),
			"late":            append([]field{{"a", "b"}}, good...),
			"status":          append([]field{{":status", "200"}}, good...),
			"no method":       without(good, ":method"),
			"no scheme":       without(good, ":scheme"),
			"no path":         without(good, ":path"),
			"protocol of GET": append([]field{{":protocol", "x"}}, good...),
			"bad scheme":      replaced(good, ":scheme", "1 2"),
		})
		st := w.raw(w.serve(func(http.ResponseWriter, *http.Request) {})).open()
		st.headers(true)
		w.check("no field at all: success", st.response().outcome() == "served", false)
	}},
	{id: "S16/pseudo", what: "pseudo-fields and bad names in trailers", only: multiplexed, why: "HTTP/1.1 has none", run: func(w *world) {
		got := make(chan string, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			got <- failed(err)
		})
		for name, trailer := range map[string]field{"pseudo": {":path", "/"}, "status": {":status", "200"}, "unknown pseudo": {":x", "y"}} {
			st := w.raw(s).open()
			st.headers(false, head("POST", "/", field{"trailer", "a"})...)
			st.data("body", false)
			w.settle()
			st.headers(true, trailer)
			w.check(name+": Body.Read", <-got, "error")
			resp := st.response()
			w.check(name+": success", resp.outcome() == "served", false)
			if w.mode == h3 {
				w.check(name+": how", resp.end, "reset H3_MESSAGE_ERROR")
			}
		}
	}},
	{id: "S32", what: "what a Request says", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			w.check("Proto", r.Proto, "HTTP/2.0")
			w.check("ProtoMajor", r.ProtoMajor, 2)
			w.check("ProtoMinor", r.ProtoMinor, 0)
			w.check("URL", r.URL.String(), "/p%2Fa/th?q=1&r=%20")
			w.check("Path", r.URL.Path, "/p/a/th")
			w.check("RawPath", r.URL.RawPath, "/p%2Fa/th")
			w.check("RequestURI", r.RequestURI, "/p%2Fa/th?q=1&r=%20")
			w.check("Method", r.Method, "GET")
			w.check("Host", r.Host, "a.test")
			w.check("TLS", r.TLS != nil && r.TLS.HandshakeComplete && r.TLS.Version == 0x304, true)
			w.check("ALPN", r.TLS.NegotiatedProtocol, "h2")
			w.check("ServerName", r.TLS.ServerName, "a.test")
			w.check("RemoteAddr", strings.HasPrefix(r.RemoteAddr, "198.51.100.7:5"), true)
			w.check("Close", r.Close, false)
			w.check("Pattern", r.Pattern, "")
		})
		w.client().get(s.url + "/p%2Fa/th?q=1&r=%20")
	}},
	{id: "S33", what: "cookies in crumbs", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, len(r.Header["Cookie"]), r.Header.Get("Cookie"), len(r.Cookies()))
		})
		st := w.raw(s).open()
		st.headers(true, head("GET", "/", field{"cookie", "a=1"}, field{"cookie", "b=2; c=3"}, field{"cookie", "d=4"})...)
		w.check("joined", st.response().body, "1a=1; b=2; c=3; d=44")
	}},
	{id: "S34", what: "CONNECT", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			w.check("URL.Host", r.URL.Host, "b.test:25")
			w.check("Host", r.Host, "b.test:25")
			w.check("Path", r.URL.Path, "")
			w.check("RequestURI", r.RequestURI, "b.test:25")
			w.check("ContentLength", r.ContentLength, -1)
			rw.WriteHeader(200)
			rw.(http.Flusher).Flush()
			io.Copy(flushing{rw}, r.Body)
		})
		st := w.raw(s).open()
		st.headers(false, field{":method", "CONNECT"}, field{":authority", "b.test:25"})
		st.data("one", false)
		w.settle()
		st.data("two", true)
		resp := st.response()
		w.check("echo", resp.status+resp.body+resp.end, "200onetwo")
	}},
	{id: "S34/malformed", what: "CONNECT with what it must not have", only: multiplexed, why: "HTTP/1.1 has a request line", run: func(w *world) {
		connect := []field{{":method", "CONNECT"}, {":authority", "b.test:25"}}
		w.refusals(map[string][]field{
			"scheme":       append([]field{{":scheme", "https"}}, connect...),
			"path":         append([]field{{":path", "/"}}, connect...),
			"no authority": connect[:1],
		})
	}},
	{id: "S36", what: "OPTIONS *", run: func(w *world) {
		handler := func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.RequestURI+" "+r.URL.Path) }
		s := w.serve(handler)
		own := w.serve(handler, func(s *http.Server) { s.DisableGeneralOptionsHandler = true })
		for name, s := range map[string]*server{"general": s, "own": own} {
			st := w.raw(s).open()
			st.headers(true, head("OPTIONS", "*")...)
			resp := st.response()
			w.check(name, resp.status+resp.body, map[string]string{"general": "200", "own": "200* *"}[name])
			st = w.raw(s).open()
			st.headers(true, head("OPTIONS", "/x")...)
			w.check(name+": /x", st.response().body, "/x /x")
		}
	}},
	{id: "S58/wire", what: "the ways in which a request's body can end", only: multiplexed, why: "HTTP/1.1 has no frames", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(rw, r.ContentLength, string(body), kind(err))
		})
		c := w.raw(s)
		st := c.open()
		st.headers(true, head("POST", "/")...)
		w.check("with the head", st.response().body, "0nil")
		st = c.open()
		st.headers(false, head("POST", "/")...)
		w.settle()
		st.data("", true)
		w.check("an empty DATA", st.response().body, "-1nil")
		st = c.open()
		st.headers(false, head("POST", "/")...)
		st.data("", false)
		st.data("a", false)
		st.data("", false)
		st.data("b", true)
		w.check("empty DATA between", st.response().body, "-1abnil")
		st = c.open()
		st.headers(false, head("POST", "/", field{"content-length", "0"})...)
		st.data("", true)
		w.check("length 0", st.response().body, "0nil")
	}},
	{id: "S59", what: "Content-Length values", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			fmt.Fprint(rw, r.ContentLength)
		})
		for _, values := range []string{"+1", "-1", "a", "1a", "0x1", " ", "1,1", "1,2", "1|2", "9223372036854775808", "1.0"} {
			fields := head("POST", "/")
			for _, v := range strings.Split(values, "|") {
				fields = append(fields, field{"content-length", v})
			}
			st := w.raw(s).open()
			st.headers(false, fields...)
			st.data("x", true)
			resp := st.response()
			w.check(values, resp.outcome() == "served", false)
			if w.mode == h3 {
				w.check(values+": how", resp.end, "reset H3_MESSAGE_ERROR")
			}
		}
		for values, want := range map[string]string{"1": "1", "01": "1", "1|1": "1"} {
			fields := head("POST", "/")
			for _, v := range strings.Split(values, "|") {
				fields = append(fields, field{"content-length", v})
			}
			st := w.raw(s).open()
			st.headers(false, fields...)
			st.data("x", true)
			resp := st.response()
			w.check(values, resp.outcome()+resp.body, "served"+want)
		}
	}},
	{id: "S38", what: "MaxHeaderBytes", run: func(w *world) {
		var handled atomic.Int64
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { handled.Add(1) }, func(s *http.Server) { s.MaxHeaderBytes = 10000 })
		c := w.raw(s)
		open := func() rawStream {
			if w.mode == h1 {
				c = w.raw(s)
			}
			return c.open()
		}
		for _, size := range []int{5000, 15000, 40000} {
			st := open()
			third := field{"a", someText(size / 3)}
			st.headers(true, head("GET", "/", third, third, third)...)
			w.check(fmt.Sprint(size), st.response().status, map[int]string{5000: "200", 15000: "431", 40000: "431"}[size])
			st = open()
			st.headers(true, head("GET", "/")...)
			w.check(fmt.Sprint("after ", size), st.response().status, "200")
		}
		w.check("handled", handled.Load(), 4)
		many := head("GET", "/")
		for range 1000 {
			many = append(many, field{"a", "b"}) // 34 bytes each, as RFC 9114, 4.2.2 counts, and 2 otherwise
		}
		st := w.raw(s).open()
		st.headers(true, many...)
		w.check("many small ones", st.response().status, "431")
	}},
	{id: "S38/trailers", what: "MaxHeaderBytes and trailers", only: multiplexed, why: "net/http limits them otherwise over HTTP/1.1", run: func(w *world) {
		got := make(chan string, 1)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			got <- failed(err)
		}, func(s *http.Server) { s.MaxHeaderBytes = 10000 })
		c := w.raw(s)
		st := c.open()
		st.headers(false, head("POST", "/", field{"trailer", "a"})...)
		st.data("body", false)
		st.headers(true, field{"a", someText(40000)})
		w.check("Body.Read", <-got, "error")
		w.check("success", st.response().outcome() == "served", false)
	}},
	{id: "S37", what: "no handler, and patterns of a ServeMux", run: func(w *world) {
		http.DefaultServeMux = http.NewServeMux()
		http.HandleFunc("GET /items/{id}/{rest...}", func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, r.PathValue("id"), r.PathValue("rest"), r.Pattern)
		})
		s := w.serve(nil)
		c := w.client()
		_, text := c.get(s.url + "/items/7/a/b")
		w.check("path values", text, "7a/bGET /items/{id}/{rest...}")
		resp, _ := c.get(s.url + "/nothing")
		w.check("404", resp.StatusCode, 404)
		resp = c.do("POST", s.url+"/items/7/a", nil)
		resp.Body.Close()
		w.check("405", fmt.Sprint(resp.StatusCode, resp.Header["Allow"]), "405 [GET, HEAD]")
	}},
}

// flushing is a ResponseWriter that sends each Write at once.
type flushing struct{ rw http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.rw.Write(p)
	f.rw.(http.Flusher).Flush()
	return n, err
}
