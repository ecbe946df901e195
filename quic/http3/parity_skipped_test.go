package http3_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// skippedRows are behaviours that net/http of Go 1.27 tests over HTTP/1.1 and HTTP/2, and leaves out for its own HTTP/3, as far as other rows
// do not have them: see skippedByGo.
var skippedRows = []row{
	{id: "G1", what: "redirects of DELETE", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			var code int
			if n, _ := fmt.Sscanf(r.URL.Path, "/%d", &code); n == 1 {
				http.Redirect(rw, r, "/end", code)
				return
			}
			body, _ := io.ReadAll(r.Body)
			fmt.Fprint(rw, r.Method, string(body))
		})
		for code, want := range map[int]string{301: "GET", 302: "GET", 303: "GET", 307: "DELETEbody", 308: "DELETEbody"} {
			text, _ := readAll(w.client().do("DELETE", fmt.Sprint(s.url, "/", code), strings.NewReader("body")))
			w.check(fmt.Sprint(code), text, want)
		}
	}},
	{id: "G2", what: "a context that ends before http.Client.Timeout", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			io.WriteString(rw, "some")
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		c := w.client()
		c.Timeout = time.Hour
		ctx, cancel := context.WithCancel(w.Context())
		resp := c.do("GET", s.url, nil, in(ctx))
		time.AfterFunc(time.Second, cancel)
		_, err := readAll(resp)
		w.check("error", kind(err), "canceled")
		timeout, ok := err.(net.Error)
		w.check("it is no timeout", ok && timeout.Timeout(), false)
	}},
	{id: "G3", what: "which fields go along with a redirect", run: func(w *world) {
		show := func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, r.Header["Authorization"], r.Header["Cookie"], r.Header["Own"], r.UserAgent())
		}
		other := w.serve(show)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/same":
				http.Redirect(rw, r, "/end", 302)
			case "/other":
				http.Redirect(rw, r, other.url, 302)
			default:
				show(rw, r)
			}
		})
		set := func(r *http.Request) {
			for _, name := range []string{"Authorization", "Cookie", "Own", "User-Agent"} {
				r.Header.Set(name, "x=y")
			}
		}
		c := w.client()
		_, text := c.get(s.url+"/same", set)
		w.check("the same host", text, "[x=y] [x=y] [x=y]x=y")
		_, text = c.get(s.url+"/other", set)
		w.check("another host", text, "[] [] [x=y]x=y")
	}},
	{id: "G4", what: "a request's body is closed once", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(204) })
		c := w.client()
		for range 30 {
			body := &counted{r: io.LimitReader(zeros{}, 256<<10)}
			resp, err := c.rt.RoundTrip(c.request("POST", s.url, body))
			w.ok(err)
			resp.Body.Close()
			w.settle()
			w.check("closed", body.closed.Load(), 1)
		}
	}},
	{id: "G6", what: "a Content-Length that is none, of a handler", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "many")
			io.WriteString(rw, "body")
			rw.(http.Flusher).Flush()
		})
		resp, text := w.client().get(s.url)
		w.check("body", text, "body")
		w.check("length", fmt.Sprint(resp.ContentLength, resp.Header["Content-Length"]), "-1 []")
	}},
	{id: "G7", what: "http.ResponseController of a wrapper", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(wrapper{rw})
			w.check("SetReadDeadline", kind(rc.SetReadDeadline(time.Time{})), "nil")
			w.check("SetWriteDeadline", kind(rc.SetWriteDeadline(time.Time{})), "nil")
			w.check("EnableFullDuplex", kind(rc.EnableFullDuplex()), "nil")
			w.check("Flush", kind(rc.Flush()), "nil")
		})
		w.client().get(s.url)
	}},
	{id: "G8", what: "WriteTimeout counts for each request", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(6 * time.Second)
			}
		}, func(s *http.Server) { s.WriteTimeout = 5 * time.Second })
		c := w.client()
		for range 3 {
			c.get(s.url)
			time.Sleep(3 * time.Second)
		}
		w.check("dials", c.dials(), 1)
		_, err := c.Post(s.url+"/slow", "", nil)
		w.check("too late", failed(err), "error")
	}},
	{id: "G9", what: "a proxy that returns while its request is being sent on", run: func(w *world) {
		var wg sync.WaitGroup
		backend := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			wg.Add(1)
			defer wg.Done()
			http.NewResponseController(rw).EnableFullDuplex()
			io.CopyN(rw, r.Body, 1<<20)
			<-r.Context().Done()
		})
		through := w.client()
		front := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancel(context.Background())
			resp, err := through.Do(through.request("POST", backend.url, r.Body, in(ctx), func(r *http.Request) { r.ContentLength = 1 << 20 }))
			if err != nil {
				w.Error(err)
				cancel()
				return
			}
			_, err = io.CopyN(io.Discard, resp.Body, 1<<19)
			w.ok2(err)
			cancel() // while the handler returns, which closes the same body
			resp.Body.Close()
		})
		c := w.client()
		for range 3 {
			resp, err := c.Do(c.request("POST", front.url, io.LimitReader(zeros{}, 1<<20), func(r *http.Request) { r.ContentLength = 1 << 20 }))
			if err == nil {
				resp.Body.Close()
			}
		}
		w.settle()
		wg.Wait()
	}},
	{id: "G9/abort", what: "a handler that aborts while another goroutine reads", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			go io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		})
		c := w.client()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 10 {
					resp, err := c.rt.RoundTrip(c.request("POST", s.url, io.LimitReader(zeros{}, 1<<20), func(r *http.Request) { r.ContentLength = 1 << 20 }))
					w.check("error", failed(err), "error")
					if err == nil {
						resp.Body.Close()
					}
				}
			})
		}
		wg.Wait()
	}},
	{id: "G10", what: "Shutdown with a connection that has made no request", run: func(w *world) {
		s := w.serve(addrOf)
		w.raw(s)
		w.settle()
		start := time.Now()
		w.check("Shutdown", s.Shutdown(w.Context()), "<nil>")
		w.check("in time", time.Since(start) < 10*time.Second, true)
	}},
	{id: "G11", what: "SetKeepAlivesEnabled(false)", run: func(w *world) {
		s := w.serve(addrOf)
		c := w.client()
		c.get(s.url)
		s.http.SetKeepAlivesEnabled(false)
		w.settle()
		c.get(s.url)
		w.settle()
		c.get(s.url)
		w.check("another connection", c.dials() > 1, true)
	}},
	{id: "G12", what: "MaxConnsPerHost counts dials", run: func(w *world) {
		s := w.serve(addrOf)
		dialing, goOn := make(chan bool, 10), make(chan bool)
		c := w.client(func(o *clientOptions) {
			o.maxConnsPerHost, o.disableKeepAlives = 1, true
			o.onDial = func(context.Context) error {
				dialing <- true
				<-goOn
				return nil
			}
		})
		done := make(chan bool)
		for range 2 {
			go func() {
				c.get(s.url)
				done <- true
			}()
		}
		w.settle()
		w.check("dials at once", len(dialing), 1)
		<-dialing
		goOn <- true
		<-done
		<-dialing
		goOn <- true
		<-done
	}},
	{id: "G13", what: "Read and Close of a body of gzip at once", run: func(w *world) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		io.WriteString(z, someText(1<<20))
		z.Close()
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			rw.Write(packed.Bytes())
		})
		c := w.client()
		for range 20 {
			resp := c.do("GET", s.url, nil)
			read := make(chan bool)
			go func() {
				io.Copy(io.Discard, resp.Body)
				close(read)
			}()
			resp.Body.Close()
			<-read
		}
	}},
	{id: "G14", what: "requests that were given up leave their place", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hang" {
				<-r.Context().Done()
			}
		})
		c := w.client(func(o *clientOptions) { o.maxConnsPerHost = 1 })
		for range 10 {
			ctx, cancel := context.WithTimeout(w.Context(), time.Second)
			_, err := c.Do(c.request("GET", s.url+"/hang", nil, in(ctx)))
			w.check("given up", kind(err), "context deadline")
			cancel()
			c.get(s.url)
		}
	}},
	{id: "G15", what: "CloseIdleConnections while a request is made", run: func(w *world) {
		var c *client
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { c.CloseIdleConnections() })
		c = w.client()
		for range 10 {
			resp, _ := c.get(s.url)
			w.check("status", resp.StatusCode, 200)
		}
	}},
	{id: "G16", what: "an error that comes before a large body has left", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { http.Error(rw, "not here", 401) })
		c := w.client()
		for _, method := range []string{"POST", "PUT"} {
			for range 20 {
				resp := c.do(method, s.url, io.LimitReader(zeros{}, 2<<20), func(r *http.Request) { r.ContentLength = 2 << 20 })
				text, err := readAll(resp)
				w.check("answer", fmt.Sprint(resp.StatusCode, text, kind(err)), "401not here\nnil")
			}
		}
	}},
	{id: "G17", what: "a body without an end whose server goes", run: func(w *world) {
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) { io.Copy(rw, zeros{}) })
		resp := w.client().do("GET", s.url, nil)
		read := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, &slowly{resp.Body})
			read <- err
		}()
		time.Sleep(time.Second)
		s.Close()
		w.check("the body", failed(<-read), "error")
		resp.Body.Close()
	}},
	{id: "G18", what: "a request takes the connection that is free first", run: func(w *world) {
		out := make(chan bool)
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/first" {
				<-out
			}
			addrOf(rw, r)
		})
		var dials atomic.Int64
		stuck := make(chan bool)
		c := w.client(func(o *clientOptions) {
			o.onDial = func(context.Context) error {
				if dials.Add(1) > 1 {
					<-stuck
				}
				return nil
			}
		})
		got := make(chan string, 2)
		go func() {
			_, text := c.get(s.url + "/first")
			got <- text
		}()
		w.settle()
		go func() {
			_, text := c.get(s.url + "/second")
			got <- text
		}()
		w.settle()
		out <- true
		w.check("the same connection", <-got == <-got, true)
		close(stuck)
	}},
	{id: "G23", what: "gzip within gzip", run: func(w *world) {
		pack := func(p []byte) []byte {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write(p)
			z.Close()
			return b.Bytes()
		}
		once := pack([]byte("text"))
		s := w.serve(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			rw.Write(pack(once))
		})
		_, text := w.client().get(s.url)
		w.check("one is taken off", text == string(once), true)
	}},
}

type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// slowly reads a little every millisecond.
type slowly struct{ r io.Reader }

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.r.Read(p[:min(len(p), 1000)])
}

// skippedByGo says for each test of Go 1.27's net/http that its HTTP/3 is left out of (http3SkippedMode) which row has the behaviour behind it.
var skippedByGo = map[string]string{
	// client_test.go
	"TestPostRedirects": "C35", "TestDeleteRedirects": "G1", "TestClientTimeout": "C18", "TestClientTimeoutCancel": "G2",
	"TestClientCopyHeadersOnRedirect": "G3", "TestClientStripHeadersOnRepeatedRedirect": "G3", "TestClientCallsCloseOnlyOnce": "G4",
	// clientconn_test.go
	"TestTransportNewClientConnRoundTrip": "G5", "TestClientConnReserveAll": "G5/places", "TestClientConnReserveParallel": "G5/places",
	"TestClientConnReserveRelease": "G5/places", "TestClientConnReserveAndConsume": "G5/places", "TestClientConnRoundTripBlocks": "G5/blocks",
	// clientserver_test.go
	"TestChunkedResponseHeaders": "G6", "TestCancelRequestMidBody": "C17", "TestTrailersServerToClient": "S14", "TestTransportUserAgent": "C5",
	"TestTransportRejectsInvalidHeaders": "C1", "TestInterruptWithPanic": "S20", "TestServerUndeclaredTrailers": "S14", "TestWriteHeaderNoCodeCheck": "S10",
	// responsecontroller_test.go
	"TestResponseControllerHijack": "S18", "TestResponseControllerSetPastWriteDeadline": "S48", "TestResponseControllerSetFutureWriteDeadline": "S48",
	"TestResponseControllerSetPastReadDeadline": "S48", "TestResponseControllerSetFutureReadDeadline": "S48", "TestWrappedResponseController": "G7",
	"TestResponseControllerEnableFullDuplex": "S49",
	// serve_test.go
	"TestServerReadTimeout": "S44", "TestServerNoReadTimeout": "S44/none", "TestServerWriteTimeout": "S45", "TestWriteDeadlineEnforcedPerStream": "G8",
	"TestTimeoutHandlerPanicRecovery": "S62/TimeoutHandler", "TestHandlerPanicNil": "S20", "TestHandlerPanic": "S20", "TestRequestLimit": "S38",
	"TestRequestHeaderValueCountLimit": "S60", "TestRequestTrailerHeaderValueCountLimit": "S60", "TestClientWriteShutdown": "S58/wire",
	"TestTransportAndServerSharedBodyRace": "G9", "TestServerRequestContextCancel_ServeHTTPDone": "S41", "TestServerContext_ServerContextKey": "S40",
	"TestServerContext_LocalAddrContextKey": "S40", "TestServerShutdown": "S50", "TestServerShutdownStateNew": "G10", "TestServerKeepAlivesEnabled": "G11",
	"TestServerContexts": "S40", "TestContentEncodingNoSniffing": "S9", "TestParseFormCleanup": "S54",
	// transport_test.go
	"TestTransportConnectionCloseOnResponse": "S53", "TestTransportMaxConnsPerHostIncludeDialInProgress": "G12", "TestRoundTripGzip": "C9",
	"TestTransportGzip": "C9", "TestTransportProxyDialDoesNotMutateProxyConnectHeader": "G22", "TestTransportGzipRecursive": "G23",
	"TestTransportGzipShort": "C9", "TestTransportGzipConcurrentCloseAndRead": "G13", "TestTransportPersistConnContextLeakMaxConnsPerHost": "G14",
	"TestTransportIdleConnCrash": "G15", "TestIssue3595": "G16", "TestIssue4191_InfiniteGetTimeout": "G17", "TestTransportResponseHeaderTimeout": "C16",
	"TestTransportCancelRequest": "C17", "TestTransportCancelRequestWithBody": "C17", "TestTransportCancelRequestBeforeDo": "C17",
	"TestTransportCloseResponseBody": "C19", "TestTransportSocketLateBinding": "G18", "TestTransportLimits1xxResponses": "C14/many",
	"TestTransportDoesNotLimitDelivered1xxResponses": "C14/many", "TestTransportDialContext": "C28/values", "TestTransportRemovesConnsAfterIdle": "C30",
	"TestTransportRemovesConnsAfterBroken": "C26", "TestTransportContentEncodingCaseInsensitive": "C9", "TestTransportPrefersResponseOverWriteError": "G16",
	"TestTransportResponseHeaderLength": "C32", "TestTransportEventTrace": "C44", "TestTransportEventTrace_NoHooks": "C44",
	"TestTransportIdleConnTimeout": "C30", "TestTransportIDNA": "C3", "TestHandlerAbortRacesBodyRead": "G9/abort",
}

// elsewhere are rows that only newer versions of Go have, or that other tests stand for.
var elsewhere = map[string]string{
	"S60": "Go 1.27 and later", "G5": "Go 1.26 and later", "G5/places": "Go 1.26 and later", "G5/blocks": "Go 1.26 and later",
	"G22": "TestAutoProxy: ours knows proxies in AutoTransport alone, which leaves them to http.Transport",
}

func TestSkippedByGo(t *testing.T) {
	have := make(map[string]bool)
	for _, r := range allRows() {
		have[r.id] = true
	}
	for name, id := range skippedByGo {
		if !have[id] && elsewhere[id] == "" {
			t.Errorf("%s stands for row %s, which there is not", name, id)
		}
	}
	if len(skippedByGo) != 80 {
		t.Errorf("%d tests, want 80", len(skippedByGo))
	}
}
