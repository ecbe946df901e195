package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/eyeballs"
)

// Of the places that a route has, as an HTTPS record may name them, the first that answers is taken, also with sockets of Transport.Dial: one that does not
// answer, one whose name the DNS does not answer for and one that fails hold up no other.
func TestClientDialsEachPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {})
		tr := ts.transport()
		var mu sync.Mutex
		var dialled []string
		real := tr.Dial
		tr.Dial = func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
			mu.Lock()
			dialled = append(dialled, addr)
			mu.Unlock()
			switch addr {
			case "hangs:443":
				<-ctx.Done()
				return nil, nil, ctx.Err()
			case "fails:443":
				return nil, nil, errBlackHole
			case "silent:443":
				pc, _, err := real(ctx, addr)
				return pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:9")), err
			}
			return real(ctx, addr)
		}
		addrs := []string{"silent:443", "hangs:443", "fails:443", "serves:443", "serves:444"}
		begin := time.Now()
		if err := tr.connect(t.Context(), &route{origin: "localhost:443", addrs: addrs}, func() {}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took >= 3*eyeballs.Delay {
			t.Errorf("it took %v", took)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(dialled, addrs[:4]) {
			t.Errorf("dialled %q, want %q", dialled, addrs[:4])
		}
	})
}

// A session goes to the first place that is connected to, not to one that never gets so far.
func TestClientSessionOfLaterPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {})
		cache := tls.NewLRUClientSessionCache(10)
		for i := range 3 {
			tr := ts.transport()
			tr.TLSClientConfig.ClientSessionCache = cache
			real := tr.Dial
			tr.Dial = func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
				if addr == "fails:443" {
					return nil, nil, errBlackHole
				}
				return real(ctx, addr)
			}
			if resumed := connectAndFetch(t, tr, "fails:443", "serves:443").TLS.DidResume; resumed != (i > 0) {
				t.Errorf("connection %d has resumed a session: %v", i, resumed)
			}
		}
	})
}

// connectAndFetch connects to one of several places and sends a request there.
func connectAndFetch(t *testing.T, tr *Transport, addrs ...string) *http.Response {
	t.Helper()
	rt := &route{origin: "localhost:443", addrs: addrs}
	if err := tr.connect(t.Context(), rt, func() {}); err != nil {
		t.Fatal(err)
	}
	resp, _, err := tr.roundTripOn(newRequest(t, "GET", "https://localhost/", nil), rt)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	time.Sleep(time.Second) // for tickets, as the one below is for their connection's end
	tr.CloseIdleConnections()
	time.Sleep(time.Second)
	return resp
}

// With a session for early data, too, the first place that answers is taken, and one that does not is not waited for.
func TestClientEarlyDataSeveralPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {}, func(s *Server) { s.QUIC = &quic.Config{EarlyData: true} })
		cache := tls.NewLRUClientSessionCache(10)
		for _, first := range []string{"serves:444", "silent:443"} {
			tr := ts.transport()
			tr.TLSClientConfig.ClientSessionCache, tr.EarlyData = cache, true
			real := tr.Dial
			tr.Dial = func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
				pc, to, err := real(ctx, addr)
				if addr == "silent:443" {
					to = &net.UDPAddr{IP: net.IPv4(192, 0, 2, 99), Port: to.(*net.UDPAddr).Port} // sessions are kept by port
				}
				return pc, to, err
			}
			begin := time.Now()
			connectAndFetch(t, tr, first, "serves:443")
			if took := time.Since(begin) - 2*time.Second; took > 2*eyeballs.Delay {
				t.Errorf("with %s it took %v", first, took)
			}
		}
	})
}

// An address that several places have is tried once, and the error is that of the attempt.
func TestClientTriesAddressOnce(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_, port, _ := net.SplitHostPort(silent.LocalAddr().String())
	var mu sync.Mutex
	var begun []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{ConnectStart: func(_, addr string) {
		mu.Lock()
		defer mu.Unlock()
		begun = append(begun, addr)
	}})
	tr := &Transport{TLSHandshakeTimeout: 2 * eyeballs.Delay}
	_, err = tr.dial(ctx, &dialing{route: &route{origin: "localhost:443", addrs: []string{"127.0.0.1:" + port, "[::ffff:127.0.0.1]:" + port}}})
	if timeout := (*quic.IdleTimeoutError)(nil); !errors.As(err, &timeout) {
		t.Errorf("the error is %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(begun) != 1 {
		t.Errorf("tried %q", begun)
	}
}
