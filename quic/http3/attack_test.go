package http3

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// Attacks on a server with handlers, by the names of their classes. What the frames of HTTP/3 alone can do is tested in package h3.

// TestAttackF1Handlers: a client that makes requests and gives both parts of their streams up gets the credit for others at once. That does not let it
// have more handlers run than streams may be open, though these handlers do not look at their contexts (CVE-2023-44487, CVE-2023-39325).
func TestAttackF1Handlers(t *testing.T) {
	for name, giveUp := range map[string]func(q *rawRequest){
		"RESET_STREAM and STOP_SENDING": func(q *rawRequest) { q.s.Abort(uint64(h3.ErrCodeRequestCancelled)) },
		"STOP_SENDING alone": func(q *rawRequest) {
			q.s.Close()
			q.s.CancelRead(uint64(h3.ErrCodeRequestCancelled))
		},
		"HEAD, flushed": func(q *rawRequest) { q.s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most, served atomic.Int32
				goOn := make(chan struct{})
				ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
					if n := running.Add(1); n > most.Load() {
						most.Store(n)
					}
					defer running.Add(-1)
					served.Add(1)
					w.(http.Flusher).Flush()
					<-goOn
				}, func(s *Server) { s.QUIC = &quic.Config{MaxStreamsBidi: 10} })
				p := ts.dial()
				for range 200 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					s, err := p.conn.OpenStream(ctx)
					cancel()
					if err != nil {
						break // requests that wait and are not given up keep their streams
					}
					q := &rawRequest{p: p, s: s, r: rawReader{s}}
					q.headers(head("HEAD", "/")...)
					synctest.Wait()
					giveUp(q)
					time.Sleep(20 * time.Millisecond)
				}
				if n := most.Load(); n > 10 {
					t.Errorf("%d handlers ran at once, and 10 streams may be open", n)
				}
				if served.Load() > 10 {
					t.Errorf("%d requests were served", served.Load())
				}
				close(goOn)
				q := p.open()
				q.headers(head("GET", "/")...).end()
				wantFields(":status", "200")(t, q.reply())
				synctest.Wait()
				if n := running.Load(); n != 0 {
					t.Errorf("%d handlers run at the end", n)
				}
			})
		})
	}
}
