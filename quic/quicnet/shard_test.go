package quicnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// listenSharded starts a server with n shards on a free port of 127.0.0.1.
func listenSharded(t testing.TB, n int, cfg *quic.Config) *Endpoint {
	t.Helper()
	ep, err := ListenConfig{Shards: n, Socket: udp.Options{ReadBuffer: 1 << 20, WriteBuffer: -1}}.Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	if len(ep.shards) != n {
		t.Fatalf("%d shards, want %d", len(ep.shards), n)
	}
	return ep
}

// steerWrong has the kernel give each datagram to any shard: its last byte, which is encrypted, chooses.
func steerWrong(t testing.TB, ep *Endpoint) {
	t.Helper()
	const loadLen, subtract, loadByteAtX = 0x80, 0x14, 0x50
	err := ep.shards[0].sock.Steer([]udp.Instruction{
		{Code: loadLen}, {Code: subtract, K: 1}, {Code: bpfCopyToX}, {Code: loadByteAtX},
		{Code: bpfModulo, K: uint32(len(ep.shards))}, {Code: bpfReturnA},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// load returns how many connections each shard has.
func load(ep *Endpoint) (conns []int) {
	for _, sh := range ep.shards {
		sh.mu.Lock()
		conns = append(conns, len(sh.conns))
		sh.mu.Unlock()
	}
	return conns
}

// TestShardsSpread has many clients connect, each from a socket of its own or all from one, whose trains then hold datagrams for
// several shards; and with a kernel that gives datagrams to any shard.
func TestShardsSpread(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("wrong=%v,shared=%v", wrong, shared), func(t *testing.T) {
				ep := listenSharded(t, 4, serverConfig())
				if wrong {
					steerWrong(t, ep)
				}
				serveEcho(t, ep)
				ctx := testContext(t)
				client := listenWith(t, nil, udp.Options{})
				const clients = 40 // that a shard gets none of them has a probability of 4 * 0.75^40 = 4e-5
				connected := make(chan *Conn, clients)
				inParallel(t, clients, func(int) error {
					var c *Conn
					var err error
					if shared {
						c, err = client.Dial(ctx, ep.Addr().String(), clientConfig())
					} else {
						c = dial(t, ep, clientConfig())
					}
					if err != nil {
						return err
					}
					connected <- c
					return exchange(ctx, c, randomBytes(50<<10))
				})
				for i, n := range load(ep) {
					if n == 0 {
						t.Errorf("shard %d has no connection", i)
					}
				}
				close(connected)
				for c := range connected {
					c.Close()
				}
			})
		}
	}
}

// nat stands between a client and a server, and changes the address that the server sees.
type nat struct {
	t      *testing.T
	inside net.PacketConn
	server net.Addr

	mu      sync.Mutex
	client  net.Addr
	outside net.PacketConn
}

// newNAT returns a NAT, which ends with the test.
func newNAT(t *testing.T, server net.Addr) *nat {
	t.Helper()
	inside, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nat{t: t, inside: inside, server: server}
	t.Cleanup(func() {
		inside.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.outside.Close()
	})
	n.rebind("127.0.0.1:0")
	go func() {
		for b := make([]byte, 2000); ; {
			size, from, err := inside.ReadFrom(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.client = from
			n.outside.WriteTo(b[:size], server)
			n.mu.Unlock()
		}
	}()
	return n
}

// rebind has the server see another address from now on.
func (n *nat) rebind(address string) {
	n.t.Helper()
	outside, err := net.ListenPacket("udp4", address)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.outside != nil {
		n.outside.Close()
	}
	n.outside = outside
	go func() {
		for b := make([]byte, 2000); ; {
			size, _, err := outside.ReadFrom(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			client := n.client
			n.mu.Unlock()
			if client != nil {
				n.inside.WriteTo(b[:size], client)
			}
		}
	}()
}

// TestShardsFollowClients changes the ports and addresses of clients, whose connections must live on in the shards where they are.
func TestShardsFollowClients(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		t.Run(fmt.Sprintf("wrong=%v", wrong), func(t *testing.T) {
			ep := listenSharded(t, 4, serverConfig())
			if wrong {
				steerWrong(t, ep)
			}
			serveEcho(t, ep)
			ctx := testContext(t)
			inParallel(t, 8, func(i int) error {
				nat := newNAT(t, ep.Addr())
				c, err := Dial(ctx, nat.inside.LocalAddr().String(), clientConfig())
				if err != nil {
					return err
				}
				defer func() {
					c.Close()
					<-c.shard.ep.gone
				}()
				for j := range 6 {
					if err := exchange(ctx, c, randomBytes(20<<10)); err != nil {
						return fmt.Errorf("after %d changes: %w", j, err)
					}
					nat.rebind(fmt.Sprintf("127.0.0.%d:0", 1+j%3))
				}
				return nil
			})
		})
	}
}

// TestShardsShareRetry has every client prove its address to the shard that asked for it, or, with a kernel that steers wrong, to any.
func TestShardsShareRetry(t *testing.T) {
	cfg := serverConfig()
	cfg.Retry = func(netip.AddrPort) bool { return true }
	ep := listenSharded(t, 4, cfg)
	serveEcho(t, ep)
	ctx := testContext(t)
	for _, wrong := range []bool{false, true} {
		if wrong {
			steerWrong(t, ep)
		}
		inParallel(t, 16, func(int) error {
			c := dial(t, ep, clientConfig())
			return exchange(ctx, c, randomBytes(1000))
		})
	}
}

// TestShardsDial has a server with shards connect to others. They answer to it, wherever the kernel gives the answers to; and so do
// those that have lost the connection, whose stateless resets have no connection ID that leads anywhere.
func TestShardsDial(t *testing.T) {
	const shards = 4
	ep := listenSharded(t, shards, serverConfig())
	peer := serverConfig()
	peer.StatelessResetKey = &[32]byte{4, 5, 6}
	to := listen(t, peer)
	ctx := testContext(t)
	var conns []*Conn
	for range 2 * shards {
		c, err := ep.Dial(ctx, to.Addr().String(), clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		s, err := to.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		streamPair(t, s, c)
		conns = append(conns, c)
	}
	for i, n := range load(ep) {
		if n != 2 {
			t.Errorf("shard %d has %d connections of %d, not 2", i, n, len(conns))
		}
	}
	vanish(to)
	sock, err := udp.Listen("udp4", to.Addr().String(), udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewEndpoint(sock, peer)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	steerWrong(t, ep)
	for _, c := range conns {
		if s, err := c.OpenStream(ctx); err == nil { // it may have asked for a stateless reset already
			s.Write(make([]byte, 1000))
		}
		wantClosed(t, c, &quic.StatelessResetError{})
	}
}

func TestShardsClose(t *testing.T) {
	ep := listenSharded(t, 3, serverConfig())
	ctx := testContext(t)
	var clients []*Conn
	for range 12 {
		clients = append(clients, dial(t, ep, clientConfig()))
		if _, err := ep.Accept(ctx); err != nil {
			t.Fatal(err)
		}
	}
	ep.Close()
	for _, c := range clients {
		wantClosed(t, c, &quic.ApplicationError{Remote: true})
	}
	if _, err := ep.Dial(ctx, "127.0.0.1:9", clientConfig()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial returned %v, not net.ErrClosed", err)
	}
	if _, err := ep.Accept(ctx); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v, not net.ErrClosed", err)
	}
	pc, err := net.ListenPacket("udp4", ep.Addr().String())
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	pc.Close()
}

// TestShardSocketFails checks that an endpoint ends as a whole when one of its sockets does.
func TestShardSocketFails(t *testing.T) {
	ep := listenSharded(t, 3, serverConfig())
	ep.shards[1].sock.Close()
	<-ep.gone
	if _, err := ep.Accept(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
}

func TestShardsErrors(t *testing.T) {
	for _, n := range []int{0, 3, 20} {
		cfg := serverConfig()
		cfg.ConnIDs = quic.RandomConnIDs(n)
		if _, err := (ListenConfig{Shards: 2}).Listen("127.0.0.1:0", cfg); err == nil {
			t.Errorf("connection IDs of %d bytes brought no error", n)
		}
	}
	if _, err := (ListenConfig{Shards: maxShards + 1}).Listen("127.0.0.1:0", serverConfig()); err == nil {
		t.Error("too many shards brought no error")
	}
	cfg := serverConfig()
	cfg.MaxHandshakes = -1
	if _, err := (ListenConfig{Shards: 2}).Listen("127.0.0.1:0", cfg); err == nil {
		t.Error("a Config out of range brought no error")
	}
	ep := listenSharded(t, 2, serverConfig())
	if _, err := (ListenConfig{Shards: 2}).Listen(ep.Addr().String(), serverConfig()); err == nil {
		t.Error("an address that other shards listen on brought no error")
	}
	every, err := ListenConfig{Shards: -1, Socket: udp.Options{ReadBuffer: -1}}.Listen("127.0.0.1:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	every.Close()
}
