package h3test_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/http3/h3test"
)

// zeros writes as many bytes as the path says.
func zeros(w http.ResponseWriter, r *http.Request) {
	n := 0
	fmt.Sscanf(r.URL.Path, "/%d", &n)
	io.CopyN(w, endless{}, int64(n))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Responses that nobody reads hold back their own streams, and no other request of the connection, until as many wait as may be open. net/http's client of
// HTTP/2 takes 1 GiB of a connection for that.
func TestUnreadBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := h3test.NewServer(http.HandlerFunc(zeros))
		defer s.Close()
		var open []*http.Response
		for i := range 99 { // of 100 requests at once
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			req, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/2000000", nil)
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatalf("while %d responses are not read: %v", i, err)
			}
			defer cancel()
			open = append(open, resp)
			time.Sleep(100 * time.Millisecond)
			if i%10 == 0 {
				small, err := s.Client().Get(s.URL + "/10")
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(small.Body); len(b) != 10 || err != nil {
					t.Fatalf("while %d responses are not read: %d bytes, %v", i, len(b), err)
				}
				small.Body.Close()
			}
		}
		for _, resp := range open {
			resp.Body.Close()
		}
		time.Sleep(time.Second)
		for range 3 { // what was not read was given back
			resp, err := s.Client().Get(s.URL + "/30000000")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != 30_000_000 || err != nil {
				t.Fatalf("%d bytes, %v", n, err)
			}
			resp.Body.Close()
		}
	})
}

// What programs do with the Body of a response, in any order and from several goroutines: it ends, nobody waits for ever, and the connection is as good
// as before.
func TestBodiesMisused(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(seed, 0))
		s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Trailer")
			zeros(w, r)
			w.Header().Set("X-Trailer", "x")
		}))
		defer s.Close()
		for range 200 {
			size := dice.IntN(1 << dice.IntN(21))
			resp, err := s.Client().Get(fmt.Sprint(s.URL, "/", size))
			if err != nil {
				t.Fatal(err)
			}
			var users sync.WaitGroup
			for range 1 + dice.IntN(3) {
				ops := make([]int, 1+dice.IntN(5))
				for i := range ops {
					ops[i] = dice.IntN(6)
				}
				users.Go(func() {
					closed := false
					for _, op := range ops {
						switch op {
						case 0, 1:
							resp.Body.Close()
							closed = true
						case 2:
							n, err := resp.Body.Read(make([]byte, 1000))
							if closed && (n > 0 || err == nil || errors.Is(err, io.EOF)) {
								t.Errorf("Read after Close: %d bytes, %v", n, err)
							}
						case 3:
							if n, err := resp.Body.Read(nil); n != 0 || closed && err == nil {
								t.Errorf("Read of nothing: %d bytes, %v, closed %v", n, err, closed)
							}
						case 4:
							io.CopyN(io.Discard, resp.Body, 10_000)
						case 5:
							io.Copy(io.Discard, resp.Body)
						}
					}
				})
			}
			users.Wait()
			if dice.IntN(4) > 0 {
				resp.Body.Close()
			} else { // it is left to the garbage collector, which does not do it
				defer resp.Body.Close()
			}
			small, err := s.Client().Get(s.URL + "/10")
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(small.Body)
			if len(b) != 10 || err != nil || small.Trailer.Get("X-Trailer") != "x" {
				t.Fatalf("%d bytes, %v, %v", len(b), err, small.Trailer)
			}
			small.Body.Close()
		}
	})
}

// A handler that goes on with what it has after WriteHeader and Flush: none of it reaches the client, but for trailers that it has declared, and
// those whose names begin with http.TrailerPrefix, whenever they are set.
func TestHeaderAfterFlush(t *testing.T) {
	s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Trailer", "X-Declared")
		h.Set("X-Before", "1")
		w.WriteHeader(200)
		h.Set("X-Before", "2")
		h.Set("X-After", "2")
		h.Set("Trailer", "X-Late")
		h.Set("X-Late", "2")
		w.(http.Flusher).Flush()
		io.WriteString(w, strings.Repeat("x", 20_000))
		h.Del("Trailer")
		h["X-Declared"] = []string{"a", "b"}
		h.Set(http.TrailerPrefix+"X-Prefixed", "c")
		r.Header.Set("X-Declared", "of the request")
		r.Trailer = http.Header{"X-Declared": {"of the request"}}
	}))
	defer s.Close()
	resp, err := s.Client().Post(s.URL, "", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); len(b) != 20_000 || err != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if h := resp.Header; h.Get("X-Before") != "1" || h.Get("X-After") != "" || h.Get("X-Late") != "" {
		t.Errorf("the header is %v", h)
	}
	if got := fmt.Sprint(resp.Trailer); got != "map[X-Declared:[a b] X-Prefixed:[c]]" {
		t.Errorf("the trailer is %s", got)
	}
}
