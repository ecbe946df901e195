package http3

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// TestClientBodyLengths sends bodies that are longer or shorter than declared: RoundTrip fails, and the server's handler does too (C8).
func TestClientBodyLengths(t *testing.T) {
	for _, tt := range []struct {
		name   string
		body   func() io.Reader
		length int64
		want   error
	}{
		{"long in memory", func() io.Reader { return strings.NewReader("abc") }, 2, errBodyTooLong},
		{"short in memory", func() io.Reader { return strings.NewReader("abc") }, 4, io.ErrUnexpectedEOF},
		{"long", func() io.Reader { return struct{ io.Reader }{strings.NewReader("abc")} }, 2, errBodyTooLong},
		{"short", func() io.Reader { return struct{ io.Reader }{strings.NewReader("abc")} }, 4, io.ErrUnexpectedEOF},
		{"long and large", func() io.Reader { return strings.NewReader(strings.Repeat("a", 1<<20)) }, 1<<20 - 1, errBodyTooLong},
		{"short and large", func() io.Reader { return strings.NewReader(strings.Repeat("a", 1<<20)) }, 1<<20 + 1, io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err == nil {
					t.Error("the handler has read to the end")
				}
			})
			req := newRequest(t, "PUT", "https://localhost/", tt.body())
			req.ContentLength, req.GetBody = tt.length, nil
			tr := ts.transport()
			if _, err := tr.RoundTrip(req); !errors.Is(err, tt.want) {
				t.Errorf("RoundTrip returned %v, not %v", err, tt.want)
			}
		})
	}
}

// TestClientResponses reads responses without a body, of unknown length, with trailers and compressed (C9, C11 to C13).
func TestClientResponses(t *testing.T) {
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/empty":
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Content-Length", "77")
			w.WriteHeader(304)
		case "/head":
			w.Header().Set("Content-Length", "5000")
		case "/stream":
			io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			io.WriteString(w, "b")
		case "/trailers":
			w.Header().Set("Trailer", "A, B")
			io.WriteString(w, "body")
			w.Header().Set("A", "1")
			w.Header().Set(http.TrailerPrefix+"C", "3")
		case "/gzip":
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
			zw := gzip.NewWriter(w)
			io.WriteString(zw, strings.Repeat("z", 5000))
			zw.Close()
		}
	})
	tr := ts.transport()
	for _, tt := range []struct {
		method, path string
		length       int64
		body         string
		noBody       bool
	}{
		{"GET", "/empty", 0, "", true},
		{"GET", "/204", 0, "", true},
		{"GET", "/304", 77, "", true},
		{"HEAD", "/head", 5000, "", true},
		{"HEAD", "/empty", -1, "", true},
		{"GET", "/stream", -1, "ab", false},
		{"GET", "/trailers", 4, "body", false},
		{"GET", "/gzip", -1, strings.Repeat("z", 5000), false},
	} {
		resp, body := fetch(t, tr, newRequest(t, tt.method, "https://localhost"+tt.path, nil))
		if resp.ContentLength != tt.length || body != tt.body || (resp.Body == http.NoBody) != tt.noBody {
			t.Errorf("%s %s: length %d, body %.10q, no body %v", tt.method, tt.path, resp.ContentLength, body, resp.Body == http.NoBody)
		}
		switch tt.path {
		case "/trailers":
			if got := resp.Trailer; got.Get("A") != "1" || got.Get("C") != "3" || len(got) != 3 || resp.Header.Get("Trailer") != "" {
				t.Errorf("trailers %v, header %v", got, resp.Header)
			}
		case "/gzip":
			if !resp.Uncompressed || resp.Header.Get("Content-Encoding") != "" {
				t.Errorf("uncompressed %v, header %v", resp.Uncompressed, resp.Header)
			}
		}
	}
	resp, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/trailers", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := resp.Trailer["A"]; !ok || len(resp.Trailer) != 2 || resp.Trailer.Get("A") != "" {
		t.Errorf("before the body was read the trailer is %v", resp.Trailer)
	}
	resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a read of a closed body returned %v", err)
	}
}

// TestClientRequestTrailers sends trailers that have their values when the body was read, with a body and without.
func TestClientRequestTrailers(t *testing.T) {
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		_, announced := r.Trailer["A"]
		b, err := io.ReadAll(r.Body)
		if err != nil || !announced || r.Trailer.Get("A") != "later" {
			t.Errorf("announced %v, body %q, %v, trailer %v", announced, b, err, r.Trailer)
		}
	})
	tr := ts.transport()
	for _, body := range []string{"", "body"} {
		req := newRequest(t, "POST", "https://localhost/", nil)
		req.Trailer = http.Header{"A": nil}
		req.Body = &atEnd{Reader: strings.NewReader(body), f: func() { req.Trailer.Set("A", "later") }}
		req.ContentLength = -1
		fetch(t, tr, req)
	}
}

// atEnd calls f at the end.
type atEnd struct {
	io.Reader
	f func()
}

func (a *atEnd) Read(p []byte) (n int, err error) {
	if n, err = a.Reader.Read(p); err == io.EOF {
		a.f()
	}
	return n, err
}
func (a *atEnd) Close() error { return nil }

// TestClientInterim has interim responses be told of, in order, and bounds them (C14).
func TestClientInterim(t *testing.T) {
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			w.Header().Set("X", string(rune('a'+i)))
			w.WriteHeader(103)
		}
		if r.URL.Path == "/flood" {
			w.Header().Set("X", strings.Repeat("x", 1000))
			for range 100 {
				w.WriteHeader(103)
			}
		}
		io.WriteString(w, "final")
	})
	tr := ts.transport()
	tr.MaxResponseHeaderBytes = 10_000
	var told []string
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			told = append(told, http.StatusText(code)+" "+h.Get("X"))
			if h.Get("X") == "stop" {
				return errors.New("enough")
			}
			return nil
		},
	})
	resp, body := fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil).WithContext(ctx))
	if strings.Join(told, ",") != "Early Hints a,Early Hints b,Early Hints c" || body != "final" || resp.Header.Get("X") != "c" {
		t.Errorf("told %q, then %q %v", told, body, resp.Header)
	}
	var malformed *StreamError // of package h3, which has a bound of its own
	if _, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/flood", nil)); !errors.Is(err, errInterimTooLarge) && !errors.As(err, &malformed) {
		t.Errorf("a flood that nobody sees ended with %v", err)
	}
	refuse := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return errBodyClosed },
	})
	if _, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil).WithContext(refuse)); err != errBodyClosed {
		t.Errorf("the program's error became %v", err)
	}
}

// TestClientExpectContinue holds a body back until the server asks for it, the time is over, or the response is there (C15).
func TestClientExpectContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/ask":
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				w.Write(b)
			case "/silent":
				time.Sleep(5 * time.Second)
				b, _ := io.ReadAll(r.Body)
				w.Write(b)
			case "/refuse":
				io.WriteString(w, "no")
			}
		})
		tr := ts.transport()
		tr.ExpectContinueTimeout = 2 * time.Second
		for _, tt := range []struct {
			path, want string
			read       bool
		}{{"/ask", "body", true}, {"/silent", "body", true}, {"/refuse", "no", false}} {
			body := &closeCounter{Reader: strings.NewReader("body")}
			req := newRequest(t, "PUT", "https://localhost"+tt.path, body)
			req.Header.Set("Expect", "100-continue")
			req.ContentLength = 4
			var got100, waited bool
			start := time.Now()
			req = req.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
				Got100Continue: func() { got100 = true }, Wait100Continue: func() { waited = true },
			}))
			_, got := fetch(t, tr, req)
			synctest.Wait()
			if got != tt.want || body.reads > 0 != tt.read || body.closes != 1 {
				t.Errorf("%s: got %q, %d reads, %d closes", tt.path, got, body.reads, body.closes)
			}
			if !waited || got100 != (tt.path != "/refuse") {
				t.Errorf("%s: waited %v, 100 %v", tt.path, waited, got100)
			}
			if d := time.Since(start); tt.path == "/silent" && d < 5*time.Second || tt.path == "/refuse" && d > time.Second {
				t.Errorf("%s took %v", tt.path, d)
			}
		}
	})
}

// TestClientTimeouts (C16, C18).
func TestClientTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{}, 10)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				io.WriteString(w, "begin")
				w.(http.Flusher).Flush()
			}
			if r.URL.Path != "/" {
				<-r.Context().Done()
				ended <- struct{}{}
			}
		})
		tr := ts.transport()
		tr.ResponseHeaderTimeout = 3 * time.Second
		start := time.Now()
		_, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/header", nil))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("without a header RoundTrip returned %v after %v", err, time.Since(start))
		}
		<-ended
		client := &http.Client{Transport: tr, Timeout: 2 * time.Second}
		resp, err := client.Get("https://localhost/body")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(resp.Body)
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("the body ended with %v", err)
		}
		<-ended
		resp.Body.Close()
		fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil))
		if tr.count() != 1 {
			t.Errorf("there are %d connections", tr.count())
		}
		tr.CloseIdleConnections()
		synctest.Wait()
	})
}

// TestClientCancel cancels requests at all stages: the server is told, the error is the context's, and the connection serves others on with all of
// its credit (C17, C19).
func TestClientCancel(t *testing.T) {
	cause := errors.New("the cause")
	for _, stage := range []string{"header", "body", "idle body", "upload", "close"} {
		t.Run(stage, func(t *testing.T) {
			arrived, gone := make(chan struct{}), make(chan error, 1)
			ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					w.Write(make([]byte, 3<<20))
					return
				}
				close(arrived) // only now it is cancelled: else the handler might never have seen it
				if stage != "header" && stage != "upload" {
					w.Write(make([]byte, 2<<20)) // more than the window
				}
				<-r.Context().Done()
				gone <- nil
			})
			tr := ts.transport()
			tr.QUIC = &quic.Config{StreamReceiveWindow: 64 << 10, MaxStreamReceiveWindow: 64 << 10, ReceiveWindow: 100 << 10, MaxReceiveWindow: 100 << 10}
			ctx, cancel := context.WithCancelCause(context.Background())
			req := newRequest(t, "GET", "https://localhost/x", nil).WithContext(ctx)
			pr, pw := io.Pipe()
			if stage == "upload" {
				req.Method, req.Body = "PUT", pr
			}
			if stage == "header" || stage == "upload" {
				go func() {
					<-arrived
					cancel(cause)
				}()
			}
			resp, err := tr.RoundTrip(req)
			switch stage {
			case "header", "upload":
				if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
					t.Fatalf("RoundTrip returned %v", err)
				}
				if stage == "upload" {
					if _, err := pw.Write([]byte("x")); err != io.ErrClosedPipe {
						t.Errorf("the request's body is not closed: %v", err)
					}
				}
			case "body":
				io.ReadFull(resp.Body, make([]byte, 10))
				cancel(cause)
				if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
					t.Errorf("the body ended with %v", err)
				}
			case "idle body":
				cancel(cause)
			case "close":
				resp.Body.Close()
			}
			<-gone
			cancel(nil)
			for range 3 { // three times the connection's window
				if _, body := fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil)); len(body) != 3<<20 {
					t.Errorf("%d bytes came", len(body))
				}
			}
			if tr.count() != 1 {
				t.Errorf("there are %d connections", tr.count())
			}
		})
	}
}

// TestClientEarlyResponse has the server answer while the request is being uploaded: the response is whole (C20, C47).
func TestClientEarlyResponse(t *testing.T) {
	for _, status := range []int{200, 413} {
		answer := bytes.Repeat([]byte("x"), 300<<10)
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
			io.ReadFull(r.Body, make([]byte, 10))
			w.WriteHeader(status)
			w.Write(answer)
		})
		tr := ts.transport()
		closed := make(chan struct{})
		req := newRequest(t, "POST", "https://localhost/", &endlessBody{closed: closed})
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, answer) || resp.StatusCode != status {
			t.Errorf("%d: %d bytes, %v", resp.StatusCode, len(got), err)
		}
		resp.Body.Close()
		<-closed
	}
}

// endlessBody is one that never ends.
type endlessBody struct {
	closed chan struct{}
	once   sync.Once
}

func (e *endlessBody) Read(p []byte) (int, error) {
	select {
	case <-e.closed:
		return 0, os.ErrClosed
	default:
		return len(p), nil
	}
}
func (e *endlessBody) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// TestClientUploadFails has the body fail: the response's reader, or RoundTrip, is told, and the server does not take it for complete.
func TestClientUploadFails(t *testing.T) {
	failure := errors.New("disk on fire")
	seen := make(chan error, 1)
	begun := make(chan struct{}, 2)
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		if r.URL.Path == "/early" {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
		}
		_, err := io.ReadAll(r.Body)
		seen <- err
	})
	tr := ts.transport()
	body := func() io.Reader { return io.MultiReader(strings.NewReader("some"), &failingReader{begun, failure}) }
	if _, err := tr.RoundTrip(newRequest(t, "POST", "https://localhost/", body())); !errors.Is(err, failure) {
		t.Errorf("RoundTrip returned %v", err)
	}
	if err := <-seen; err == nil {
		t.Error("the handler has read to the end")
	}
	pr, pw := io.Pipe()
	resp, err := tr.RoundTrip(newRequest(t, "POST", "https://localhost/early", pr))
	if err != nil {
		t.Fatal(err)
	}
	pw.CloseWithError(failure)
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, failure) {
		t.Errorf("the body ended with %v", err)
	}
	if err := <-seen; err == nil {
		t.Error("the handler has read to the end")
	}
	resp.Body.Close()
}

// failingReader fails when the handler has begun: a reset before that takes the whole request away, and no handler ever hears of it.
type failingReader struct {
	begun <-chan struct{}
	err   error
}

func (f *failingReader) Read([]byte) (int, error) {
	<-f.begun
	return 0, f.err
}

// TestClientFullDuplex talks both ways at once, and ends each way by itself; in a CONNECT with the response's body alone (C36).
func TestClientFullDuplex(t *testing.T) {
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(bytes.ToUpper(buf[:n]))
			w.(http.Flusher).Flush()
			if err != nil {
				io.WriteString(w, "bye")
				return
			}
		}
	})
	tr := ts.transport()
	talk := func(name string, r io.Reader, w io.Writer, end func() error) {
		buf := make([]byte, 5)
		for _, s := range []string{"hello", "world"} {
			io.WriteString(w, s)
			if _, err := io.ReadFull(r, buf); err != nil || string(buf) != strings.ToUpper(s) {
				t.Fatalf("%s: %q, %v", name, buf, err)
			}
		}
		end()
		if b, err := io.ReadAll(r); err != nil || string(b) != "bye" {
			t.Errorf("%s: at the end %q, %v", name, b, err)
		}
	}
	for _, method := range []string{"POST", "CONNECT"} {
		pr, pw := io.Pipe()
		resp, err := tr.RoundTrip(newRequest(t, method, "https://localhost:443/", pr))
		if err != nil {
			t.Fatal(err)
		}
		talk(method, resp.Body, pw, pw.Close)
		resp.Body.Close()
	}
	resp, err := tr.RoundTrip(newRequest(t, "CONNECT", "https://localhost:443/", nil))
	if err != nil {
		t.Fatal(err)
	}
	tunnel := resp.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	talk("tunnel", tunnel, tunnel, tunnel.CloseWrite)
	tunnel.Close()
	fetch(t, tr, newRequest(t, "POST", "https://localhost/", nil))
	tr.waitIdle(t)
}
