package frameworks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFileServer(t *testing.T) {
	dir := t.TempDir()
	big := letters(3 << 20)
	at := time.Unix(1e9, 0)
	for name, text := range map[string]string{"a.txt": "0123456789", "big.bin": big, "sub/index.html": "<p>index"} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	each(t, func(t *testing.T, serve func(http.Handler) *server) {
		s := serve(http.StripPrefix("/files", http.FileServer(http.Dir(dir))))
		s.want(s.get("/files/a.txt"), 200, "0123456789")
		s.want(s.get("/files/big.bin"), 200, big)
		s.want(s.get("/files/sub/"), 200, "<p>index")
		head := s.do("HEAD", "/files/big.bin", nil)
		s.want(head, 200, "")
		s.wantField(head, "Content-Length", fmt.Sprint(len(big)))
		s.wantField(head, "Last-Modified", at.UTC().Format(http.TimeFormat))

		part := s.get("/files/a.txt", "Range", "bytes=2-4")
		s.want(part, 206, "234")
		s.wantField(part, "Content-Range", "bytes 2-4/10")
		s.want(s.get("/files/big.bin", "Range", "bytes=1000000-"), 206, big[1000000:])
		s.want(s.get("/files/a.txt", "Range", "bytes=-3"), 206, "789")
		if several := s.get("/files/a.txt", "Range", "bytes=0-0,9-9"); several.StatusCode != 206 || !strings.HasPrefix(several.Header.Get("Content-Type"), "multipart/byteranges") {
			t.Errorf("two ranges: %d, %v", several.StatusCode, several.Header)
		}
		if none := s.get("/files/a.txt", "Range", "bytes=20-"); none.StatusCode != 416 {
			t.Errorf("beyond the end: %d", none.StatusCode)
		}
		s.want(s.get("/files/a.txt", "If-Modified-Since", at.UTC().Format(http.TimeFormat)), 304, "")
		s.want(s.get("/files/missing"), 404, "404 page not found\n")
		if list := s.get("/files/"); !strings.Contains(list.text, `<a href="a.txt">`) {
			t.Errorf("directory: %s", list.text)
		}
		moved := s.get("/files/sub/index.html") // which is redirected to /files/sub/
		s.want(moved, 200, "<p>index")
	})
}

func TestTimeoutHandler(t *testing.T) {
	each(t, func(t *testing.T, serve func(http.Handler) *server) {
		gone := make(chan error, 1)
		s := serve(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-r.Context().Done()
				var err error
				for err == nil { // until TimeoutHandler has noticed, too
					_, err = io.WriteString(w, "too late")
				}
				gone <- err
				return
			}
			w.Header().Set("X-Field", "y")
			w.WriteHeader(201)
			io.Copy(w, r.Body)
		}), 200*time.Millisecond, "it took too long"))
		quick := s.do("POST", "/", strings.NewReader("text"))
		s.want(quick, 201, "text")
		s.wantField(quick, "X-Field", "y")
		s.want(s.get("/slow"), 503, "it took too long")
		if err := <-gone; err != http.ErrHandlerTimeout {
			t.Errorf("the handler's write: %v", err)
		}
	})
}

func TestMaxBytesReader(t *testing.T) {
	each(t, func(t *testing.T, serve func(http.Handler) *server) {
		s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1000))
			var tooLarge *http.MaxBytesError
			if errors.As(err, &tooLarge) {
				http.Error(w, fmt.Sprint("more than ", tooLarge.Limit), http.StatusRequestEntityTooLarge)
				return
			}
			fmt.Fprint(w, len(text), err)
		}))
		s.want(s.do("POST", "/", strings.NewReader(letters(1000))), 200, "1000 <nil>")
		s.want(s.do("POST", "/", strings.NewReader(letters(1001))), 413, "more than 1000\n")
		s.want(s.do("POST", "/", io.MultiReader(strings.NewReader(letters(5<<20)))), 413, "more than 1000\n")
		s.want(s.do("POST", "/", strings.NewReader("x")), 200, "1 <nil>") // others go on
	})
}

// A reverse proxy at the front of a server of HTTP/1.1.
func TestReverseProxy(t *testing.T) {
	seen := make(chan *http.Request, 100)
	cancelled, next := make(chan struct{}, 10), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		switch r.URL.Path {
		case "/echo":
			http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Trailer", "X-Sum")
			n, _ := io.Copy(w, r.Body)
			w.Header().Set("X-Sum", fmt.Sprint(n))
		case "/hints":
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			io.WriteString(w, "hinted")
		case "/events":
			for i := range 3 {
				fmt.Fprintln(w, "event", i)
				http.NewResponseController(w).Flush()
				<-next // until the client has it
			}
		case "/wait":
			w.WriteHeader(200)
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
			cancelled <- struct{}{}
		case "/broken":
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer backend.Close()
	target, _ := url.Parse(backend.URL)

	each(t, func(t *testing.T, serve func(http.Handler) *server) {
		proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		}}
		s := serve(proxy)

		// A request without a body has none at the backend, either.
		s.want(s.get("/echo"), 200, "")
		if r := <-seen; r.ContentLength != 0 || r.Header.Get("Transfer-Encoding") != "" || r.Header.Get("X-Forwarded-Proto") != "https" {
			t.Errorf("the backend got length %d, %v", r.ContentLength, r.Header)
		}
		text := letters(2 << 20)
		whole := s.do("POST", "/echo", strings.NewReader(text))
		s.want(whole, 200, text)
		if r := <-seen; r.ContentLength != int64(len(text)) {
			t.Errorf("the backend got length %d", r.ContentLength)
		}
		if got := whole.Trailer.Get("X-Sum"); got != fmt.Sprint(len(text)) {
			t.Errorf("trailer: %q", got)
		}
		s.want(s.do("POST", "/echo", io.MultiReader(strings.NewReader(text))), 200, text) // of unknown length
		if r := <-seen; r.ContentLength != -1 {
			t.Errorf("the backend got length %d", r.ContentLength)
		}

		hints := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == 103 && h.Get("Link") != "" {
				hints++
			}
			return nil
		}})
		req, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/hints", nil)
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		<-seen
		if hints != 1 {
			t.Errorf("%d early hints", hints)
		}

		// What the backend flushes arrives at once.
		resp, err = s.client.Get(s.url + "/events")
		if err != nil {
			t.Fatal(err)
		}
		<-seen
		lines := bufio.NewScanner(resp.Body)
		for i := 0; lines.Scan(); i++ {
			if lines.Text() != fmt.Sprint("event ", i) {
				t.Errorf("line %d: %s", i, lines.Text())
			}
			next <- struct{}{}
		}
		resp.Body.Close()

		// A client that goes has the backend's request end.
		ctx, cancel := context.WithCancel(t.Context())
		req, _ = http.NewRequestWithContext(ctx, "GET", s.url+"/wait", nil)
		if resp, err = s.client.Do(req); err != nil {
			t.Fatal(err)
		}
		<-seen
		cancel()
		<-cancelled
		resp.Body.Close()

		// A backend that breaks off is no success.
		resp, err = s.client.Get(s.url + "/broken")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		<-seen
		if err == nil {
			t.Error("a response that was broken off looks complete")
		}
	})
}

// A reverse proxy whose backend has the same version of HTTP.
func TestReverseProxyBothSides(t *testing.T) {
	each(t, func(t *testing.T, serve func(http.Handler) *server) {
		backend := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Proto", r.Proto)
			io.Copy(w, r.Body)
			w.Header().Set(http.TrailerPrefix+"X-End", "yes")
		}))
		target, _ := url.Parse(backend.url)
		s := serve(&httputil.ReverseProxy{Transport: backend.client.Transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
		text := letters(1 << 20)
		a := s.do("POST", "/", strings.NewReader(text))
		s.want(a, 200, text)
		s.wantField(a, "X-Proto", s.proto)
		if a.Trailer.Get("X-End") != "yes" {
			t.Errorf("trailers: %v", a.Trailer)
		}
	})
}
