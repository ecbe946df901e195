package h3test_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/http3/h3test"
)

// What programs do that do not read RFCs, over a Server and a Transport both.

// A response that the client does not take is not sent, and the server's log says why: nobody else tells a handler that has returned.
func TestResponseTooLargeIsLogged(t *testing.T) {
	var logged bytes.Buffer
	s := h3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 10_000))
	}))
	s.Config.ErrorLog = log.New(&logged, "", 0)
	s.Start()
	tr := s.Client().Transport.(*http3.Transport)
	tr.MaxResponseHeaderBytes = 4096
	resp, err := s.Client().Get(s.URL + "/large")
	if err == nil {
		resp.Body.Close()
		t.Error("a response that is too large was taken")
	}
	s.Close() // then nobody writes to the log
	if got := logged.String(); !strings.Contains(got, "the response to GET /large of 127.0.0.1:") || !strings.Contains(got, "larger than the peer accepts") {
		t.Errorf("logged: %q", got)
	}
}

// A goroutine that a handler leaves behind, such as one that flushes now and then, must not cost the client the response.
func TestGoroutineLeftBehind(t *testing.T) {
	s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := make(chan struct{})
		go func() {
			close(begun)
			for r.Context().Err() == nil {
				w.Header()
			}
		}()
		<-begun
	}))
	defer s.Close()
	for range 100 {
		resp, err := s.Client().Post(s.URL, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}

// A goroutine that a handler leaves behind is told so, also while the client takes its time with the response.
func TestWriteAfterReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrote := make(chan error, 1)
		s := h3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("x", 8000))
			go func() {
				time.Sleep(time.Second)
				_, err := w.Write([]byte("more"))
				wrote <- err
			}()
		}))
		s.HTTP3.QUIC = &quic.Config{StreamSendBuffer: 4096}
		s.Start()
		defer s.Close()
		tr := s.Client().Transport.(*http3.Transport)
		tr.QUIC = &quic.Config{StreamReceiveWindow: 1000, MaxStreamReceiveWindow: 1000}
		resp, err := s.Client().Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := <-wrote; err == nil {
			t.Error("a write after the handler's return was taken")
		}
		if b, err := io.ReadAll(resp.Body); err != nil || len(b) != 8000 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// While one goroutine of a handler waits for a client that does not read, others have the header, and those that write wait in a way that
// a bubble knows; the pieces come whole and in order. What is still being written when the handler returns does not look complete.
func TestCallsBesideWrite(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			began := make(chan struct{})
			s := h3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var writers sync.WaitGroup
				w.(http.Flusher).Flush()
				w.Header().Set("Late", "no effect")
				writers.Go(func() { w.Write(bytes.Repeat([]byte("a"), 20_000)) })
				synctest.Wait()
				if w.Header().Get("Late") == "" {
					t.Error("the header is gone")
				}
				writers.Go(func() { w.Write(bytes.Repeat([]byte("b"), 20_000)) })
				writers.Go(func() { w.(http.Flusher).Flush() })
				synctest.Wait() // which never returned
				if n, err := r.Body.Read(make([]byte, 9)); n != 7 && err != nil {
					t.Errorf("the body: %d bytes, %v", n, err)
				}
				close(began)
				if !leaves {
					writers.Wait()
				}
			}))
			s.HTTP3.QUIC = &quic.Config{StreamSendBuffer: 4096}
			s.Start()
			defer s.Close()
			tr := s.Client().Transport.(*http3.Transport)
			tr.QUIC = &quic.Config{StreamReceiveWindow: 1000, MaxStreamReceiveWindow: 1000}
			resp, err := s.Client().Post(s.URL, "", strings.NewReader("request"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			<-began
			b, err := io.ReadAll(resp.Body)
			if leaves {
				if err == nil {
					t.Errorf("a response of %d bytes, that was still being written, looks complete", len(b))
				}
				return
			}
			if want := strings.Repeat("a", 20_000) + strings.Repeat("b", 20_000); string(b) != want || err != nil {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

// Shutdown of a server without connections succeeds whatever its context is, as that of an http.Server.
func TestShutdownOfNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 {
		if err := new(http3.Server).Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// A Dial function that returns nothing is that request's error, and does not end the program.
func TestDialOfNothing(t *testing.T) {
	closed := false
	for want, dial := range map[string]func(context.Context, string) (net.PacketConn, net.Addr, error){
		"neither a socket nor an error": func(context.Context, string) (net.PacketConn, net.Addr, error) { return nil, nil, nil },
		"no address": func(context.Context, string) (net.PacketConn, net.Addr, error) {
			pc, err := net.ListenPacket("udp", "127.0.0.1:0")
			return closeNoted{pc, &closed}, nil, err
		},
	} {
		_, err := (&http.Client{Transport: &http3.Transport{Dial: dial}}).Get("https://example.com/")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
	if !closed {
		t.Error("the socket was not closed")
	}
}

// A GetBody that returns nothing is that request's error.
func TestGetBodyOfNothing(t *testing.T) {
	s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			io.Copy(io.Discard, r.Body)
			http3.QUICConn(r).Close() // which has the client send the request again
		}
	}))
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	req, _ := http.NewRequest(http.MethodPost, s.URL, io.MultiReader(strings.NewReader("body")))
	req.Header.Set("Idempotency-Key", "x")
	req.GetBody = func() (io.ReadCloser, error) { return nil, nil }
	if _, err := s.Client().Do(req); err == nil || !strings.Contains(err.Error(), "GetBody returned neither a body nor an error") {
		t.Error(err)
	}
}

// closeNoted notes that it was closed.
type closeNoted struct {
	net.PacketConn
	closed *bool
}

func (c closeNoted) Close() error { *c.closed = true; return c.PacketConn.Close() }

// A request whose response the server has reset, without a word about the request, is over for the server, too: a handler that reads its body
// is not left waiting.
func TestResetEndsUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan error, 1)
		s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
			_, err := io.Copy(io.Discard, r.Body)
			read <- err
		}))
		defer s.Close()
		body, end := io.Pipe()
		resp, err := s.Client().Post(s.URL, "", body)
		if err == nil {
			resp.Body.Close()
			t.Error("there is a response after the deadline")
		}
		select {
		case err := <-read:
			if err == nil {
				t.Error("the body that was broken off looks complete")
			}
		case <-time.After(time.Minute):
			t.Error("the handler still waits for the body")
		}
		end.Close()
	})
}

// What tests do with a Server out of order.
func TestServerOutOfOrder(t *testing.T) {
	panics := func(f func()) (v any) {
		defer func() { v = recover() }()
		f()
		return nil
	}
	unstarted := h3test.NewUnstartedServer(nil)
	if _, _, err := unstarted.Dial(t.Context(), "example.com:443"); err == nil {
		t.Error("a server that was not started is dialled")
	}
	unstarted.CloseClientConnections()
	if unstarted.Client() != nil || unstarted.Addr() != nil || unstarted.Certificate() != nil {
		t.Error("a server that was not started has a client, an address or a certificate")
	}
	unstarted.Close()
	unstarted.Close()
	if panics(unstarted.Start) == nil {
		t.Error("a server that was closed starts")
	}
	s := h3test.NewServer(nil)
	if panics(s.Start) == nil {
		t.Error("a server starts twice")
	}
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s.Close()
	s.CloseClientConnections()
	if _, err := s.Client().Get(s.URL); err == nil {
		t.Error("a server that was closed answers")
	}
	if _, _, err := s.Dial(t.Context(), "example.com:443"); err == nil {
		t.Error("a server that was closed is dialled")
	}
}

// Whoever calls Close while it waits for a handler waits as well, and so do those who call it at once.
func TestCloseWhileHandlerHangs(t *testing.T) {
	log.SetOutput(io.Discard) // it says what it waits for
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		begun, goOn := make(chan struct{}), make(chan struct{})
		s := h3test.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			<-goOn // whatever its context says
		}))
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Client().Get(s.URL); err == nil {
				t.Error("a request that was broken off has an answer")
			}
		})
		<-begun
		var closed atomic.Int32
		for range 3 {
			all.Go(func() { s.Close(); closed.Add(1) })
		}
		time.Sleep(time.Minute)
		s.CloseClientConnections()
		time.Sleep(time.Minute)
		if n := closed.Load(); n != 3 {
			t.Errorf("%d of 3 calls of Close have returned when no connection was left", n)
		}
		close(goOn)
		all.Wait()
	})
}

// A server whose settings are refused does not start, and says why, where it would have clients wait for nobody. What is not set is the default.
func TestStartRefused(t *testing.T) {
	for want, set := range map[string]func(*h3test.Server){
		"MaxHeaderBytes":              func(s *h3test.Server) { s.Config.MaxHeaderBytes = 1 << 30 },
		"KeepAlive":                   func(s *h3test.Server) { s.HTTP3.QUIC = &quic.Config{KeepAlive: 48 * time.Hour} },
		"http: Server closed":         func(s *h3test.Server) { s.HTTP3.Close() },
		"":                            func(s *h3test.Server) { s.HTTP3, s.Config = nil, nil },
		`"nonsense" is not an origin`: func(s *h3test.Server) { s.HTTP3.Origins = []string{"nonsense"} },
	} {
		for _, udp := range []bool{false, true} {
			s := h3test.NewUnstartedServer(http.NotFoundHandler())
			s.UDP = udp
			set(s)
			said := func() (said string) {
				defer func() {
					if v := recover(); v != nil {
						said = fmt.Sprint(v)
					}
				}()
				s.Start()
				return ""
			}()
			if (said == "") != (want == "") || !strings.Contains(said, want) {
				t.Errorf("it panics with %q, want %q", said, want)
			}
			s.Close()
		}
	}
}

// Hooks and bodies that take their time do so in a bubble, too, where time passes only while all that wait do so on channels and the like.
func TestHooksThatSleep(t *testing.T) {
	for name, set := range map[string]func(*http.Server){
		"ConnState": func(hs *http.Server) {
			hs.ConnState = func(net.Conn, http.ConnState) { time.Sleep(time.Second) }
		},
		"ConnContext": func(hs *http.Server) {
			hs.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { time.Sleep(time.Second); return ctx }
		},
		"BaseContext": func(hs *http.Server) {
			hs.BaseContext = func(net.Listener) context.Context { time.Sleep(time.Second); return context.Background() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := h3test.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				set(s.Config)
				s.Start()
				defer func() {
					s.Close()
					time.Sleep(time.Minute) // until ConnState was told of that
				}()
				began := time.Now()
				var all sync.WaitGroup
				for range 3 {
					all.Go(func() {
						resp, err := s.Client().Get(s.URL)
						if err != nil {
							t.Error(err)
							return
						}
						resp.Body.Close()
					})
				}
				all.Wait()
				if took := time.Since(began); took < time.Second || took > time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// slowToClose is a Body that waits in Read for its Close, which takes its time.
type slowToClose struct{ closed chan struct{} }

func (b *slowToClose) Read([]byte) (int, error) { <-b.closed; return 0, io.EOF }
func (b *slowToClose) Close() error             { time.Sleep(time.Second); close(b.closed); return nil }

// Who gives a request up waits for its Body's Close, however long that takes.
func TestBodyThatIsSlowToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := h3test.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		body := &slowToClose{make(chan struct{})}
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, body)
		began := time.Now()
		if _, err := s.Client().Do(req); err == nil || time.Since(began) != time.Minute+time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A server that allows no requests is not besieged with connections: requests wait on those that there are.
func TestServerWithoutStreams(t *testing.T) {
	for _, each := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := h3test.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.HTTP3.QUIC = &quic.Config{MaxStreamsBidi: -1}
			var conns atomic.Int32
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					conns.Add(1)
				}
			}
			s.Start()
			defer s.Close()
			s.Client().Transport.(*http3.Transport).DisableKeepAlives = each
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
					if _, err := s.Client().Do(req); !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := conns.Load(); n > 3 {
				t.Errorf("there were %d connections for three requests", n)
			}
		})
	}
}
