package frameworks

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/quic/http3/h3test"
)

// server is a server of one version of HTTP, with a client for it.
type server struct {
	t      *testing.T
	proto  string // "HTTP/2.0", "HTTP/3.0"
	url    string
	client *http.Client
}

// each runs a test over HTTP/2 and over HTTP/3. serve starts a server for a handler, which may be called more than once.
func each(t *testing.T, f func(t *testing.T, serve func(http.Handler) *server)) {
	t.Run("HTTP2", func(t *testing.T) {
		f(t, func(h http.Handler) *server {
			s := httptest.NewUnstartedServer(h)
			s.EnableHTTP2 = true
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return &server{t, "HTTP/2.0", s.URL, s.Client()}
		})
	})
	t.Run("HTTP3", func(t *testing.T) {
		f(t, func(h http.Handler) *server {
			s := h3test.NewUnstartedServer(h)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.Start()
			t.Cleanup(s.Close)
			return &server{t, "HTTP/3.0", s.URL, s.Client()}
		})
	})
}

// answer is a response with its body.
type answer struct {
	*http.Response
	text string
	err  error // of reading the body
}

// do sends a request. fields are names and values by turns.
func (s *server) do(method, path string, body io.Reader, fields ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	if resp.Proto != s.proto {
		s.t.Errorf("%s %s: over %s, want %s", method, path, resp.Proto, s.proto)
	}
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text), err}
}

func (s *server) get(path string, fields ...string) answer {
	s.t.Helper()
	return s.do("GET", path, nil, fields...)
}

// want checks a response.
func (s *server) want(a answer, status int, text string) {
	s.t.Helper()
	if a.StatusCode != status || a.text != text || a.err != nil {
		s.t.Errorf("%s %s: %d %.100q, %v; want %d %.100q", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.text, a.err, status, text)
	}
}

// wantField checks a field of a response.
func (s *server) wantField(a answer, name, value string) {
	s.t.Helper()
	if got := strings.Join(a.Header.Values(name), "|"); got != value {
		s.t.Errorf("%s %s: %s is %q, want %q", a.Request.Method, a.Request.URL.Path, name, got, value)
	}
}

// letters is text of n bytes.
func letters(n int) string { return strings.Repeat("abcdefghijklmnopqrstuvwxyz012345", n/32+1)[:n] }

func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.URL.Path) }
