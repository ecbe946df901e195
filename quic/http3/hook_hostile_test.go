package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// hookedPeer is a client through net/http's hook, and a server that does as serve likes with each stream: control is its control stream, and k which of
// the connection's requests it is. ok is false where the running net/http has no hook.
func hookedPeer(t *testing.T, serve func(control, s *quicnet.Stream, k int)) (post func(body io.Reader) error, conns *atomic.Int32, ok bool) {
	if _, kind := hooks(); kind == noHook {
		return nil, nil, false
	}
	cfg := hookTLS(t)
	server := cfg.Clone()
	server.NextProtos = []string{"h3"}
	ep, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	conns = new(atomic.Int32)
	ctx := context.Background()
	serveConn := func(c *quicnet.Conn) {
		control, err := sendSettings(c)
		if err != nil {
			return
		}
		for k := 0; ; k++ {
			s, err := c.AcceptStream(ctx)
			if err != nil {
				return
			}
			serve(control, s, k)
		}
	}
	go func() {
		for c, err := ep.Accept(ctx); err == nil; c, err = ep.Accept(ctx) {
			conns.Add(1)
			go serveConn(c)
		}
	}()
	tr := hookedClient(t, cfg, nil)
	post = func(body io.Reader) error {
		req := newRequest(t, "POST", "https://"+ep.Addr().String(), body)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	return post, conns, true
}

// A request without a body that a GOAWAY frame has crossed is made again on another connection.
func TestHookedGoAwayCrosses(t *testing.T) {
	post, conns, ok := hookedPeer(t, func(control, s *quicnet.Stream, k int) {
		if k == 2 {
			control.Write([]byte{7, 1, 8})
			return
		}
		io.Copy(io.Discard, s)
		s.WriteFinal([]byte{1, 3, 0, 0, 0xd9})
	})
	if !ok {
		return
	}
	for i := range 10 {
		if err := post(http.NoBody); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if n := conns.Load(); n != 5 {
		t.Errorf("there were %d connections for ten requests, of which each takes two", n)
	}
	post(http.NoBody)
	post(http.NoBody)
	if err := post(strings.NewReader("body")); err == nil {
		t.Error("a request whose body may have been read was sent again")
	}
}

// A server that rejects all requests, by itself or with GOAWAY, does not have net/http connect without end.
func TestHookedAllRejected(t *testing.T) {
	for name, reject := range map[string]func(control, s *quicnet.Stream, k int){
		"reset":  func(_, s *quicnet.Stream, _ int) { s.Abort(uint64(h3.ErrCodeRequestRejected)) },
		"GOAWAY": func(control, _ *quicnet.Stream, _ int) { control.Write([]byte{7, 1, 0}) },
	} {
		post, conns, ok := hookedPeer(t, reject)
		if !ok {
			return
		}
		for i := range 5 {
			var e *StreamError
			if err := post(http.NoBody); !errors.As(err, &e) || e.Code != h3.ErrCodeRequestRejected {
				t.Errorf("%s: request %d: %v", name, i, err)
			}
		}
		if n := conns.Load(); n > 5 {
			t.Errorf("%s: %d connections for five requests", name, n)
		}
	}
}

// A request that waits for a place when its connection ends is made again on another one, whatever ended it, and so is one that is rejected; the first of a
// connection is not.
func TestHookedConnUnprocessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quicnettest.ServerConfig()
		cfg.MaxStreamsBidi = 1
		b := newBrokenH3With(t, cfg, nil, nil, func(c *quicnet.Conn, s *quicnet.Stream) {
			switch s.ID() {
			case 0:
				io.Copy(io.Discard, s) // else it holds its place
				eight(c, s)
			case 4:
				s.Abort(uint64(h3.ErrCodeRequestRejected))
			case 8:
				time.Sleep(time.Second)
				c.CloseWithError(0x102, "")
			}
		})
		cc, err := b.auto.h3.(*Transport).DialClientConn(t.Context(), "example.com:443", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &hookedConn{ClientConn: cc}
		get := func() error {
			resp, err := c.RoundTrip(newRequest(t, "GET", "https://example.com/", nil))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			time.Sleep(100 * time.Millisecond) // for the server's credit
			return err
		}
		var over *overError
		if err := get(); err != nil {
			t.Error(err)
		}
		if err := get(); !errors.As(err, &over) {
			t.Errorf("rejected: %v", err)
		}
		failed := make(chan error)
		go func() { failed <- get() }()
		synctest.Wait()
		if err := get(); !errors.As(err, &over) {
			t.Errorf("while it waits: %v", err)
		}
		if err := <-failed; err == nil || errors.As(err, &over) {
			t.Errorf("one that was sent: %v", err)
		}
		c = &hookedConn{ClientConn: cc}
		if err := get(); err == nil || errors.As(err, &over) {
			t.Errorf("the first: %v", err)
		}
	})
}
