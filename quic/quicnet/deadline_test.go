package quicnet

import (
	"io"
	"runtime"
	"testing"
	"time"
	"weak"
)

// TestDeadlinesKeepNothing has streams and connections with deadlines in an hour end, in each way: nothing of them stays in memory.
func TestDeadlinesKeepNothing(t *testing.T) {
	finish := func(ss, cs *Stream) {
		cs.Close()
		io.Copy(io.Discard, ss)
		ss.Close()
		io.Copy(io.Discard, cs)
	}
	ends := map[string]func(t *testing.T, s, c *Conn, ss, cs *Stream){
		"read to the end": func(_ *testing.T, _, _ *Conn, ss, cs *Stream) { finish(ss, cs) },
		"set later": func(_ *testing.T, _, _ *Conn, ss, cs *Stream) {
			finish(ss, cs)
			ss.SetDeadline(time.Now().Add(time.Hour))
			cs.SetDeadline(time.Now().Add(time.Hour))
		},
		"cancelled": func(_ *testing.T, _, _ *Conn, ss, cs *Stream) {
			cs.Abort(1)
			io.Copy(io.Discard, ss)
			ss.Abort(1)
		},
		"closed": func(t *testing.T, s, c *Conn, ss, cs *Stream) {
			c.Close()
			<-s.Context().Done()
			ss.SetDeadline(time.Now().Add(time.Hour))
			cs.SetDeadline(time.Now().Add(time.Hour))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			s, c := pair(t, serverConfig(), clientConfig())
			ended := func() (left []weak.Pointer[Stream]) { // in a frame of its own, which holds the streams
				ss, cs := streamPair(t, s, c)
				for _, x := range []*Stream{ss, cs} {
					x.SetReadDeadline(time.Now().Add(time.Minute))
					x.SetDeadline(time.Now().Add(time.Hour))
					left = append(left, weak.Make(x))
				}
				end(t, s, c, ss, cs)
				return left
			}()
			for i, p := range ended {
				wantCollected(t, p, "the stream", i)
			}
		})
	}
	t.Run("connection", func(t *testing.T) {
		ep := listen(t, serverConfig())
		clients := listen(t, nil)
		ended := func() (left []weak.Pointer[Conn]) {
			c, err := clients.Dial(testContext(t), ep.Addr().String(), clientConfig())
			if err != nil {
				t.Fatal(err)
			}
			s, err := ep.Accept(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			ss, cs := streamPair(t, s, c)
			ss.SetDeadline(time.Now().Add(time.Hour))
			cs.SetDeadline(time.Now().Add(time.Hour))
			c.Close()
			<-s.Context().Done()
			return []weak.Pointer[Conn]{weak.Make(s), weak.Make(c)}
		}()
		for i, p := range ended {
			wantCollected(t, p, "the connection", i)
		}
	})
}

// wantCollected waits for the garbage collector to find that nothing holds a thing.
func wantCollected[T any](t *testing.T, p weak.Pointer[T], what string, i int) {
	t.Helper()
	for hung := time.After(testTimeout / 6); p.Value() != nil; runtime.Gosched() {
		runtime.GC()
		if passed(hung) {
			t.Fatalf("%s (%d) is still in memory", what, i)
		}
	}
}
