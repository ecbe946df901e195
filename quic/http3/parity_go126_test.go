//go:build go1.26

package http3_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// clientConn is what http.ClientConn and ours have in common.
type clientConn interface {
	RoundTrip(*http.Request) (*http.Response, error)
	Close() error
	Err() error
	Reserve() error
	Release()
	Available() int
	InFlight() int
}

// clientConn connects to s.
func (c *client) clientConn(ctx context.Context, s *server) (clientConn, error) {
	if c.w.mode == h3 {
		return c.h3.DialClientConn(ctx, s.name, nil, nil)
	}
	return c.rt.(*http.Transport).NewClientConn(ctx, "https", s.name)
}

func init() {
	versionRows = append(versionRows, []row{
		{id: "G5", what: "requests over a connection of the program's own", run: func(w *world) {
			s := w.serve(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Host) })
			c := w.client()
			cc, err := c.clientConn(w.Context(), s)
			w.ok(err)
			for _, host := range []string{"one.test", "two.test"} {
				resp, err := cc.RoundTrip(c.request("GET", "https://"+host+"/", nil))
				w.ok(err)
				text, _ := readAll(resp)
				w.check(host, text, host)
				c.CloseIdleConnections() // it is not one of the pool
			}
			w.check("Err", kind(cc.Err()), "nil")
			cc.Close()
			w.check("Err after Close", failed(cc.Err()), "error")
			_, err = cc.RoundTrip(c.request("GET", "https://one.test/", nil))
			w.check("RoundTrip after Close", failed(err), "error")
		}},
		{id: "G5/places", what: "places on a connection of the program's own", run: func(w *world) {
			s := w.newServer()
			s.limit = 3
			s.http.Handler = http.HandlerFunc(addrOf)
			s.start()
			c := w.client()
			cc, err := c.clientConn(w.Context(), s)
			w.ok(err)
			defer cc.Close()
			w.settle()
			n := cc.Available()
			w.check("Available", n, 3)
			for i := range n {
				w.check("Reserve", kind(cc.Reserve()), "nil")
				w.check("Available and InFlight", fmt.Sprint(cc.Available(), cc.InFlight()), fmt.Sprint(n-i-1, i+1))
			}
			w.check("one too many", failed(cc.Reserve()), "error")
			for range n {
				cc.Release()
			}
			w.check("Available after Release", cc.Available(), n)
			for range 10 {
				w.check("again and again", kind(cc.Reserve()), "nil")
				cc.Release()
			}
			var wg sync.WaitGroup
			var good, bad atomic.Int64
			for range n + 2 {
				wg.Go(func() {
					if cc.Reserve() == nil {
						good.Add(1)
					} else {
						bad.Add(1)
					}
				})
			}
			wg.Wait()
			w.check("many at once", fmt.Sprint(good.Load(), bad.Load()), fmt.Sprint(n, 2))
			resp, err := cc.RoundTrip(c.request("GET", s.url, nil))
			w.check("RoundTrip takes a place", kind(err), "nil")
			if err == nil {
				resp.Body.Close()
			}
		}},
		{id: "G5/blocks", what: "RoundTrip waits for a place", run: func(w *world) {
			var handled, answered atomic.Int64
			out := make(chan bool)
			s := w.newServer()
			s.limit = 3
			s.http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				handled.Add(1)
				<-out
			})
			s.start()
			c := w.client()
			cc, err := c.clientConn(w.Context(), s)
			w.ok(err)
			defer cc.Close()
			w.settle()
			n := cc.Available()
			for range n + 2 {
				go func() {
					resp, err := cc.RoundTrip(c.request("GET", s.url, nil))
					answered.Add(1)
					if err != nil {
						w.Error(err)
						return
					}
					resp.Body.Close()
				}()
			}
			w.settle()
			w.check("handled and answered", fmt.Sprint(handled.Load(), answered.Load()), fmt.Sprint(n, 0))
			for i := range n + 2 {
				out <- true
				time.Sleep(time.Second)
				w.check("answered", answered.Load(), i+1)
			}
		}},
	}...)
}
