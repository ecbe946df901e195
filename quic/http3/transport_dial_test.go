package http3

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic/internal/eyeballs"
)

// Of the places that a route has, as an HTTPS record may name them, the first that answers is taken, also with sockets of Transport.Dial: one that does not
// answer, one whose name the DNS does not answer for and one that fails keep no other.
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
		if err := tr.connect(t.Context(), &route{origin: "localhost:443", addrs: addrs}); err != nil {
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
