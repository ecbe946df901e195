package http3

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// A server that lets a connection have no request is none that is connected: requests go over TCP, and it is left alone. Connections are not opened on and on.
func TestAutoNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quicnettest.ServerConfig()
		cfg.MaxStreamsBidi = -1
		b := newBrokenH3With(t, cfg, nil, nil, nil)
		b.get("/")
		for i := range 5 {
			took, how := b.timed("/")
			if how != "HTTP/2.0" || took > 250*time.Millisecond {
				t.Errorf("%d: %s after %v", i, how, took)
			}
			time.Sleep(20 * time.Second)
		}
		if n := b.accepted.Load(); n != 1 {
			t.Errorf("%d connections over HTTP/3, want 1", n)
		}
	})
}

// A request waits for the first place of a connection, without a further one; where the server ends the connection instead, it fails.
func TestClientNoPlace(t *testing.T) {
	for _, end := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := quicnettest.ServerConfig()
			cfg.MaxStreamsBidi = -1
			b := newBrokenH3With(t, cfg, nil, func(c *quicnet.Conn, _ *quicnet.Stream) {
				if end {
					c.CloseWithError(0x100, "")
				}
			}, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			req := newRequest(t, "GET", "https://example.com/", nil).WithContext(ctx)
			if _, err := b.auto.h3.(*Transport).RoundTrip(req); errors.Is(err, context.DeadlineExceeded) == end {
				t.Errorf("a server that ends the connection: %v; %v", end, err)
			}
			if n := b.accepted.Load(); n != 1 {
				t.Errorf("a server that ends the connection: %v; %d connections, want 1", end, n)
			}
		})
	}
}

// A connection whose server has said that it goes before the pool has it is closed.
func TestClientGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBrokenH3(t, nil, func(_ *quicnet.Conn, control *quicnet.Stream) { control.Write(rawFrame(7, []byte{0})) }, eight)
		tr := b.auto.h3.(*Transport)
		cc, err := tr.DialClientConn(t.Context(), "example.com:443", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		tr.mu.Lock()
		h := tr.host(&route{origin: "example.com:443"})
		h.open++
		tr.add(h, cc)
		tr.mu.Unlock()
		time.Sleep(time.Second)
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if h.open != 0 || len(tr.hosts) > 0 {
			t.Errorf("%d connections are left, to %v", h.open, tr.hosts)
		}
	})
}
