package http3

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/quicnettest"
)

// noDial is a Transport.Dial that must not be called.
func noDial(t *testing.T) func(context.Context, string) (net.PacketConn, net.Addr, error) {
	return func(_ context.Context, addr string) (net.PacketConn, net.Addr, error) {
		t.Errorf("%s was dialled", addr)
		return nil, nil, net.ErrClosed
	}
}

// failingDial is one that fails.
func failingDial(err error) func(context.Context, string) (net.PacketConn, net.Addr, error) {
	return func(context.Context, string) (net.PacketConn, net.Addr, error) { return nil, nil, err }
}

// transportOn returns a Transport on a network in memory, whose servers are all at addr.
func transportOn(t testing.TB, n *quicnettest.Network, addr string) *Transport {
	tr := &Transport{
		TLSClientConfig: quicnettest.ClientConfig().TLS,
		Dial: func(context.Context, string) (net.PacketConn, net.Addr, error) {
			pc, err := n.ListenPacket("")
			return pc, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)), err
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (ts *testServer) transport() *Transport { return transportOn(ts.t, ts.net, ts.addr) }

// fetch sends a request and reads the response.
func fetch(t testing.TB, rt http.RoundTripper, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func newRequest(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// count returns how many connections the pool has.
func (t *Transport) count() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.hosts {
		n += h.open
	}
	return n
}

// waitIdle waits until no request is under way.
func (t *Transport) waitIdle(tb testing.TB) {
	tb.Helper()
	for range 1000 {
		idle := true
		t.mu.Lock()
		for _, h := range t.hosts {
			for _, cc := range h.conns {
				idle = idle && cc.isIdle()
			}
		}
		t.mu.Unlock()
		if idle {
			return
		}
		<-time.After(time.Millisecond)
	}
	tb.Error("requests are under way")
}

// TestClientFetch sends requests of all kinds of bodies both ways, over one connection.
func TestClientFetch(t *testing.T) {
	ts := serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Length", strconv.FormatInt(r.ContentLength, 10))
		w.Write(b)
		io.WriteString(w, r.Method)
	})
	tr := ts.transport()
	for _, size := range []int{0, 1, 100, smallBody - 3, smallBody, maxEagerBody - 1, maxEagerBody, maxEagerBody + 1, 300 << 10} {
		for _, known := range []bool{true, false} {
			want := strings.Repeat("x", size)
			req := newRequest(t, "POST", "https://localhost/", strings.NewReader(want))
			length := strconv.Itoa(size)
			if !known && size > 0 {
				req = newRequest(t, "POST", "https://localhost/", struct{ io.Reader }{strings.NewReader(want)})
				length = "-1"
			}
			resp, got := fetch(t, tr, req)
			if got != want+"POST" || resp.StatusCode != 200 || resp.Header.Get("X-Length") != length || resp.Request != req {
				t.Errorf("of %d bytes came %d, length %s", size, len(got)-4, resp.Header.Get("X-Length"))
			}
		}
	}
	if resp, got := fetch(t, tr, newRequest(t, "GET", "https://localhost/", nil)); got != "GET" || resp.ContentLength != 3 || resp.Proto != "HTTP/3.0" ||
		resp.ProtoMajor != 3 || resp.Status != "200 OK" || resp.TLS == nil || resp.TLS.NegotiatedProtocol != "h3" {
		t.Errorf("got %q: %+v", got, resp)
	}
	if n := tr.count(); n != 1 {
		t.Errorf("there are %d connections", n)
	}
}
