package http3

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// Messages that are cut off at each byte, and what comes then: whoever waits for more is told, with whatever ends the message.

// cutStep is at which bytes messages are cut off.
func cutStep() int {
	if raceEnabled {
		return 5
	}
	return 1
}

// cutIdle is how long a connection lives that is silent.
const cutIdle = 20 * time.Second

var cutResponses = map[string][]byte{
	"plain": slices.Concat(rawFrame(1, rawSection(":status: 200", "content-length: 5")), rawFrame(0, []byte("hello"))),
	"interim": slices.Concat(rawFrame(1, rawSection(":status: 103", "link: a")), rawFrame(1, rawSection(":status: 200")),
		rawFrame(0, []byte("hello"))),
	"trailers": slices.Concat(rawFrame(1, rawSection(":status: 200", "trailer: x-t")), rawFrame(0, []byte("hello")), rawFrame(1, rawSection("x-t: 1"))),
	"blocked":  slices.Concat(rawFrame(1, []byte{2, 0, 0xd9, 0x80}), rawFrame(0, []byte("hello"))),
	"blocked trailers": slices.Concat(rawFrame(1, rawSection(":status: 200")), rawFrame(0, []byte("hello")),
		rawFrame(1, []byte{2, 0, 0x80})),
	"204":    rawFrame(1, rawSection(":status: 204")),
	"grease": slices.Concat(rawFrame(0x21, []byte("abc")), rawFrame(1, rawSection(":status: 200")), rawFrame(0x40, []byte("x")), rawFrame(0, []byte("h"))),
	"gzip":   slices.Concat(rawFrame(1, rawSection(":status: 200", "content-encoding: gzip")), rawFrame(0, []byte("hello"))),
}

// TestCutResponses has a Transport without any timeout get them. There is an end where there is one of the stream or of the connection; where the server
// is silent instead, and alive, the request's context ends it.
func TestCutResponses(t *testing.T) {
	for name, b := range cutResponses {
		for cut := 0; cut <= len(b); cut += cutStep() {
			for _, ending := range []string{"close", "reset", "end", "lost", "silence"} {
				synctest.Test(t, func(t *testing.T) { cutResponse(t, b[:cut], ending) })
				if t.Failed() {
					t.Fatalf("%s, %d of %d bytes, then %s", name, cut, len(b), ending)
				}
			}
		}
	}
}

func cutResponse(t *testing.T, b []byte, ending string) {
	n := quicnettest.NewNetwork(1, quicnettest.Link{})
	cfg := quicnettest.ServerConfig()
	cfg.TLS.NextProtos = []string{"h3"}
	cfg.MaxIdleTimeout = cutIdle
	ep := n.Listen(t, "", cfg)
	var served atomic.Int32
	serve := func(c *quicnet.Conn) {
		ctx := context.Background()
		if _, err := sendSettings(c); err != nil {
			return
		}
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		served.Add(1)
		if ending == "end" {
			s.WriteFinal(b)
			return
		}
		s.Write(b)
		time.Sleep(time.Second)
		switch ending {
		case "close":
			c.CloseWithError(0x100, "")
		case "reset":
			s.CancelWrite(0x10c)
		case "lost":
			n.SetLink(quicnettest.Link{Loss: 1})
		}
	}
	go func() {
		for c, err := ep.Accept(context.Background()); err == nil; c, err = ep.Accept(context.Background()) {
			go serve(c)
		}
	}()
	tr := transportOn(t, n, ep.Addr().String())
	tr.QUIC = &quic.Config{MaxIdleTimeout: cutIdle}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err := tr.RoundTrip(newRequest(t, "GET", "https://localhost/", nil).WithContext(ctx))
		if err == nil {
			io.ReadAll(resp.Body)
			resp.Body.Close()
		}
	}()
	time.Sleep(time.Minute)
	if ending == "silence" {
		cancel()
		time.Sleep(time.Second)
	}
	select {
	case <-done:
	default:
		t.Error("the client waits")
	}
	if n := served.Load(); n != 1 {
		t.Errorf("the request came %d times", n)
	}
	tr.CloseIdleConnections()
	ep.Close()
	time.Sleep(time.Minute)
	if n := tr.count(); n > 0 {
		t.Errorf("%d connections are left", n)
	}
}

var cutRequests = map[string][]byte{
	"plain":    slices.Concat(rawFrame(1, rawSection(head("POST", "/", "content-length: 5")...)), rawFrame(0, []byte("hello"))),
	"trailers": slices.Concat(rawFrame(1, rawSection(head("POST", "/")...)), rawFrame(0, []byte("hello")), rawFrame(1, rawSection("x-t: 1"))),
	"blocked": slices.Concat(rawFrame(1, slices.Concat([]byte{2, 0}, rawSection(head("POST", "/")...)[2:], []byte{0x80})),
		rawFrame(0, []byte("hello"))),
	"blocked trailers": slices.Concat(rawFrame(1, rawSection(head("POST", "/")...)), rawFrame(0, []byte("hello")), rawFrame(1, []byte{2, 0, 0x80})),
	"taken over":       slices.Concat(rawFrame(1, rawSection(head("POST", "/take")...)), rawFrame(0, []byte("hello"))),
	"CONNECT":          slices.Concat(rawFrame(1, rawSection(":method: CONNECT", ":authority: a:1")), rawFrame(0, []byte("hello"))),
}

// TestCutRequests has handlers of a Server without any timeout read them, and write more than the client takes. No handler outlives what ends its request, and no
// connection what ends that.
func TestCutRequests(t *testing.T) {
	for name, b := range cutRequests {
		for cut := 0; cut <= len(b); cut += cutStep() {
			for _, ending := range []string{"close", "abort", "reset", "end", "lost", "silence"} {
				synctest.Test(t, func(t *testing.T) { cutRequest(t, b[:cut], ending, cut%2 == 0) })
				if t.Failed() {
					t.Fatalf("%s, %d of %d bytes, then %s", name, cut, len(b), ending)
				}
			}
		}
	}
}

func cutRequest(t *testing.T, b []byte, ending string, narrow bool) {
	var running atomic.Int32
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		if r.URL.Path == "/take" {
			if s, err := TakeOver(w); err == nil {
				io.ReadAll(s)
				s.Close()
			}
			return
		}
		io.ReadAll(r.Body)
		w.Write(make([]byte, 100_000))
	}, func(s *Server) { s.QUIC = &quic.Config{MaxIdleTimeout: cutIdle} })
	p := ts.dial(func(c *quic.Config) {
		if c.MaxIdleTimeout = cutIdle; narrow {
			c.StreamReceiveWindow, c.MaxStreamReceiveWindow = 1, 1
		}
	})
	q := p.open()
	if ending == "end" {
		q.s.WriteFinal(b)
	} else {
		q.write(b)
	}
	time.Sleep(time.Second)
	switch ending {
	case "close":
		p.conn.CloseWithError(0x100, "")
	case "abort":
		q.s.Abort(0x10c)
	case "reset":
		q.s.CancelWrite(0x10c)
	case "lost":
		ts.net.SetLink(quicnettest.Link{Loss: 1})
	}
	time.Sleep(2 * time.Minute)
	if n := running.Load(); n > 0 && (ending == "close" || ending == "abort" || ending == "lost") {
		t.Error("the handler runs, and the request is over")
	}
	p.conn.CloseWithError(0x100, "")
	time.Sleep(2 * time.Minute)
	if n := running.Load(); n > 0 {
		t.Error("the handler runs, and the connection is over")
	}
	ts.Server.mu.Lock()
	defer ts.Server.mu.Unlock()
	if n := len(ts.Server.conns); n > 0 {
		t.Errorf("%d connections are left", n)
	}
}
