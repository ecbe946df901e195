package quicnet

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// freeUDP returns an address of an IP with a port that is free now.
func freeUDP(t *testing.T, ip string) netip.AddrPort {
	t.Helper()
	pc, err := net.ListenPacket("udp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Skipf("no socket at %s: %v", ip, err)
	}
	defer pc.Close()
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// A server listens on the addresses that it prefers, in each shard, and clients go there by themselves.
func TestPreferredAddress(t *testing.T) {
	for _, tc := range []struct {
		name, listen, v4, v6 string
		port                 bool // the preferred address has the port of the first
		shards               int
	}{
		{name: "port", listen: "127.0.0.1:0", v4: "127.0.0.1"},
		{name: "address", listen: "127.0.0.1:0", v4: "127.0.0.2", v6: "::1"},
		{name: "IPv6", listen: "[::1]:0", v4: "127.0.0.1", v6: "::1"},
		{name: "wildcard and port", listen: ":0", v4: "127.0.0.1", v6: "::1"},
		{name: "wildcard and address", listen: ":0", v4: "127.0.0.2", port: true},
		{name: "shards", listen: "127.0.0.1:0", v4: "127.0.0.2", shards: 3},
		{name: "wildcard, shards", listen: ":0", v4: "127.0.0.1", shards: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := testContext(t)
			cfg := serverConfig()
			pref := &cfg.PreferredAddress
			if tc.v4 != "" {
				pref.IPv4 = freeUDP(t, tc.v4)
			}
			if tc.v6 != "" {
				pref.IPv6 = freeUDP(t, tc.v6)
			}
			addr := tc.listen
			if tc.port {
				addr = fmt.Sprintf(":%d", pref.IPv4.Port())
			}
			ep, err := ListenConfig{Shards: tc.shards}.Listen(addr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer ep.Close()
			serveEcho(t, ep)
			at := ep.Addr().(*net.UDPAddr).AddrPort()
			dialled := at
			if at.Addr().IsUnspecified() {
				dialled = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
			}
			want := pref.IPv4
			if dialled.Addr().Is6() {
				want = pref.IPv6
			}
			n := max(tc.shards, 1)
			if runtime.GOOS != "linux" {
				n = 1
			}
			for _, sh := range ep.shards {
				if sockets := len(sh.all()); tc.port && sockets != 1 {
					t.Errorf("a shard has %d sockets, though the first one has all addresses", sockets)
				}
			}
			var wg sync.WaitGroup
			for range 3 * n {
				wg.Go(func() {
					c, err := Dial(ctx, dialled.String(), clientConfig())
					if err != nil {
						t.Error(err)
						return
					}
					defer c.shard.ep.Close()
					content := randomBytes(100_000)
					for hung := time.After(testTimeout); c.RemoteAddr().String() != want.String(); runtime.Gosched() {
						if err := exchange(ctx, c, content); err != nil || passed(hung) {
							t.Errorf("the client sends to %v, not %v: %v", c.RemoteAddr(), want, err)
							return
						}
					}
					if err := exchange(ctx, c, content); err != nil {
						t.Error(err)
					}
					if err := c.Migrate(ctx, ":0"); err != nil {
						t.Error(err)
					}
					if err := exchange(ctx, c, content); err != nil || c.RemoteAddr().String() != want.String() {
						t.Errorf("after a move the client sends to %v: %v", c.RemoteAddr(), err)
					}
				})
			}
			wg.Wait()
			ep.Close()
			for _, a := range []netip.AddrPort{at, pref.IPv4, pref.IPv6} {
				if a.IsValid() {
					pc, err := net.ListenPacket("udp", a.String())
					if err != nil {
						t.Errorf("%v is not free after Close: %v", a, err)
						continue
					}
					pc.Close()
				}
			}
		})
	}
}

// The address that no socket can be bound to is named, and nothing stays open.
func TestPreferredAddressTaken(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, a := range []netip.AddrPort{taken.LocalAddr().(*net.UDPAddr).AddrPort(), netip.MustParseAddrPort("192.0.2.1:443")} {
		for _, shards := range []int{1, 2} {
			cfg := serverConfig()
			cfg.PreferredAddress = quic.PreferredAddress{IPv4: a}
			first := freeUDP(t, "127.0.0.1")
			if _, err := (ListenConfig{Shards: shards}).Listen(first.String(), cfg); err == nil || !strings.Contains(err.Error(), a.String()) ||
				strings.Contains(err.Error(), first.String()) {
				t.Errorf("Listen returned %v", err)
			}
			pc, err := net.ListenPacket("udp", first.String())
			if err != nil {
				t.Fatalf("the first address is not free: %v", err)
			}
			pc.Close()
		}
	}
}
