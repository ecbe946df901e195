package quicnet

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/boringquic/boringquic/quic"
)

// Clients of all kinds move, and back, from servers of all kinds.
func TestMigrateKinds(t *testing.T) {
	type kind struct {
		listen         string
		lc             ListenConfig
		dialer         Dialer
		shards         int // of an endpoint that the client dials with; 0: it has a socket of its own
		server, client func(*quic.Config)
		moves          []string
		err            error
	}
	v4 := []string{":0", "127.0.0.1:0"}
	retry := func(c *quic.Config) { c.Retry = func(netip.AddrPort) bool { return true } }
	idLen := func(n int) func(*quic.Config) { return func(c *quic.Config) { c.ConnIDs = quic.RandomConnIDs(n) } }
	for name, k := range map[string]kind{
		"IPv6":                     {listen: "[::1]:0", moves: []string{":0", "[::1]:0"}},
		"both IP versions":         {listen: "127.0.0.1:0", dialer: Dialer{LocalAddr: ":0"}, moves: v4},
		"bound to an address":      {listen: "127.0.0.1:0", dialer: Dialer{LocalAddr: "127.0.0.1:0"}, moves: v4},
		"server on all addresses":  {listen: ":0", moves: v4},
		"server of three shards":   {listen: "127.0.0.1:0", lc: ListenConfig{Shards: 3}, moves: v4},
		"client of three shards":   {listen: "127.0.0.1:0", shards: 3, moves: v4},
		"client that listens, too": {listen: "127.0.0.1:0", shards: 1, moves: v4},
		"after a Retry":            {listen: "127.0.0.1:0", server: retry, moves: v4},
		"no GSO":                   {listen: "127.0.0.1:0", server: func(c *quic.Config) {}, moves: v4},
		"client without IDs":       {listen: "127.0.0.1:0", client: idLen(0), moves: v4},
		"long IDs":                 {listen: "127.0.0.1:0", client: idLen(20), server: idLen(20), moves: v4},
		"server without IDs":       {listen: "127.0.0.1:0", server: idLen(0), moves: v4, err: quic.ErrNoConnIDs},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			server, client := serverConfig(), clientConfig()
			if k.server != nil {
				k.server(server)
			}
			if k.client != nil {
				k.client(client)
			}
			k.lc.Socket.NoGSO = name == "no GSO"
			ep, err := k.lc.Listen(k.listen, server)
			if err != nil {
				t.Skipf("no server at %s: %v", k.listen, err)
			}
			serveEcho(t, ep)
			addr := ep.Addr().(*net.UDPAddr).AddrPort()
			if addr.Addr().IsUnspecified() {
				addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port())
			}
			if k.shards > 0 {
				if k.dialer.Endpoint, err = (ListenConfig{Shards: k.shards}).Listen("127.0.0.1:0", serverConfig()); err != nil {
					t.Fatal(err)
				}
				defer k.dialer.Endpoint.Close()
			}
			c, err := k.dialer.Dial(ctx, addr.String(), client)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if k.shards == 0 {
					c.shard.ep.Close()
				}
			}()
			content := randomBytes(300_000)
			first := c.LocalAddr().String()
			for i, to := range append(k.moves, first, k.moves[0], first) {
				if err := exchange(ctx, c, content); err != nil {
					t.Fatal(err)
				}
				before := c.LocalAddr().String()
				err := c.Migrate(ctx, to)
				if k.err != nil {
					if !errors.Is(err, k.err) || c.LocalAddr().String() != before {
						t.Errorf("Migrate returned %v", err)
					}
					return
				}
				if err != nil {
					t.Fatalf("move %d to %s: %v; %+v", i, to, err, c.Paths())
				}
				if after := c.LocalAddr().String(); after == before || (to == first) != (after == first) {
					t.Errorf("move %d to %s went from %s to %s", i, to, before, after)
				}
				if err := exchange(ctx, c, content); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
