package http3

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever the server had set for the request does not hold for a stream that was taken over: not its timeouts, though they have passed, nor MinBodyRate.
func TestTakeOverEndsDeadlines(t *testing.T) {
	for _, c := range []struct {
		name        string
		read, write time.Duration
		rate        int
		before      time.Duration // the handler waits before TakeOver
		readFirst   bool          // and reads a byte before that
	}{
		{name: "none"},
		{name: "ReadTimeout", read: 5 * time.Second, before: time.Second},
		{name: "ReadTimeout that has passed", read: time.Second, before: 2 * time.Second},
		{name: "WriteTimeout", write: 5 * time.Second, before: time.Second},
		{name: "MinBodyRate", rate: 100, before: time.Second},
		{name: "MinBodyRate, read", rate: 100, before: time.Second, readFirst: true},
		{name: "MinBodyRate and ReadTimeout, read", read: 5 * time.Second, rate: 100, before: time.Second, readFirst: true},
		{name: "MinBodyRate and ReadTimeout that has passed, read", read: time.Second, rate: 100, before: 2 * time.Second, readFirst: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					if c.readFirst {
						io.ReadFull(r.Body, make([]byte, 1))
					}
					time.Sleep(c.before)
					s, err := TakeOver(w)
					if err != nil {
						t.Error(err)
						return
					}
					go func() {
						if _, err := io.Copy(s, s); err != nil {
							t.Error(err)
						}
						s.Close()
					}()
				}, func(s *Server) {
					s.MinBodyRate, s.HTTP.ReadTimeout, s.HTTP.WriteTimeout = c.rate, c.read, c.write
				})
				q := ts.dial().open().headers(head("POST", "/")...)
				if c.readFirst {
					q.data("a")
				}
				for range 25 {
					time.Sleep(time.Second)
					q.data("x")
				}
				if rep := q.end().reply(); rep.err != nil || string(rep.body) != strings.Repeat("x", 25) {
					t.Errorf("the client has %v", rep)
				}
			})
		})
	}
}
