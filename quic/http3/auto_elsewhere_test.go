package http3

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// A request that a server rejects reaches it over TCP without delay, also beside others that it serves over HTTP/3, which is used on then.
func TestAutoRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			first := make([]byte, 1000)
			if n, _ := s.Read(first); n > 300 {
				s.Abort(0x10b)
				return
			}
			time.Sleep(time.Second)
			eight(c, s)
		})
		b.get("/")
		done := make(chan string)
		go func() { done <- b.get("/") }()
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		wantHow(t, "what is rejected", b.do("GET", "/", nil, http.Header{"X": {strings.Repeat("x", 500)}}), "HTTP/2.0")
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		wantHow(t, "beside it", <-done, "33333333")
		wantHow(t, "after it", b.get("/"), "33333333")
	})
}

// What a server says that it does not serve over HTTP/3 (RFC 9114, section 8.1, H3_VERSION_FALLBACK) goes over TCP, and all else goes over HTTP/3 on; without TCP it
// fails at once.
func TestAutoVersionFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			first := make([]byte, 1000)
			if n, _ := s.Read(first); n > 300 {
				s.Abort(0x110)
				return
			}
			eight(c, s)
		})
		long := http.Header{"X": {strings.Repeat("x", 500)}}
		b.get("/")
		for range 3 {
			wantHow(t, "one that it serves", b.get("/"), "33333333")
			wantHow(t, "one that it does not", b.do("POST", "/", strings.NewReader("x"), long), "HTTP/2.0")
		}
		req := newRequest(t, "GET", "https://example.com/", nil)
		req.Header = long
		began := time.Now()
		_, err := b.auto.h3.(*Transport).RoundTrip(req)
		var e *StreamError
		if !errors.As(err, &e) || e.Code != 0x110 || time.Since(began) > time.Second {
			t.Errorf("without TCP: %v after %v", err, time.Since(began))
		}
	})
}
