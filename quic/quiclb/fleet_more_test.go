package quiclb_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quiclb"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// rotate gives all servers another configuration, which the balancer has learnt before, beside those of known.
func (f *fleet) rotate(next quiclb.Config, known ...quiclb.Config) {
	f.t.Helper()
	d, err := quiclb.NewDecoder(append(known, next)...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.balancer.learn(d)
	for i, s := range f.servers {
		id := serverID(i, next.ServerIDLen)
		f.balancer.set(id, s.tunnel.LocalAddr())
		if err := s.ids.Rotate(next, []byte(id)); err != nil {
			f.t.Fatal(err)
		}
		s.ep.RenewConnIDs()
	}
}

// The configuration is rotated again and again, faster than clients change over, on a network that loses one datagram in ten. No
// connection suffers, and in the end all clients have the last one.
func TestFleetRotatesOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := []quiclb.Config{configs["four passes"]}
		f := newFleet(t, known[0])
		all := f.clientsOfEach()
		f.network.SetLink(quicnettest.Link{Delay: 10 * time.Millisecond, Loss: 0.1, MTU: 1500})
		var clients sync.WaitGroup
		for _, cl := range all {
			clients.Go(func() {
				for i := range 20 {
					if err := cl.exchange(); err != nil {
						t.Errorf("client %d, %d: %v", cl.number, i, err)
						return
					}
				}
			})
		}
		for rotation := range 6 { // 6 is the first one's
			next := quiclb.Config{Rotation: rotation, ServerIDLen: 2, NonceLen: 7, ServerUse: 1}
			next.Key = bytes.Repeat([]byte{20 + byte(rotation)}, 16)
			f.rotate(next, known...)
			known = append(known, next)
			time.Sleep(15 * time.Millisecond)
		}
		clients.Wait()
		f.network.SetLink(quicnettest.Link{Delay: 10 * time.Millisecond, MTU: 1500})
		for _, cl := range all {
			for tries := 0; ; tries++ {
				f.balancer.take(cl.number)
				cl.want("after all rotations")
				if counts := f.balancer.take(cl.number); counts.byRotation[5] == counts.all && counts.all > 0 {
					break
				} else if tries > 20 {
					t.Fatalf("client %d sends to connection IDs with rotation bits %v", cl.number, counts.byRotation)
				}
			}
			cl.move()
			cl.want("after all rotations, elsewhere")
		}
	})
}

// A server that has used up its nonces goes on with connection IDs that the balancer routes by address, and is routable again with another
// configuration.
func TestFleetNoncesUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, configs["legible"])
		for _, s := range f.servers {
			s.ids.UseUp()
		}
		f.clients++
		cl := &client{f: f, number: f.clients, cfg: quicnettest.ClientConfig()}
		cl.cfg.MaxIdleTimeout = time.Hour
		cl.ep = f.network.Listen(t, cl.address(), nil)
		var err error
		if cl.c, err = cl.ep.Dial(t.Context(), front, cl.cfg); err != nil {
			t.Fatal(err)
		}
		cl.want("without nonces")
		if counts := f.balancer.take(cl.number); counts.unroutable != counts.all || counts.byRotation[7] != counts.all || counts.all == 0 {
			t.Errorf("of %d datagrams %d led nowhere, with rotation bits %v", counts.all, counts.unroutable, counts.byRotation)
		}
		f.rotate(quiclb.Config{Rotation: 2, ServerIDLen: 2, NonceLen: 9, Key: bytes.Repeat([]byte{1}, 16)})
		time.Sleep(time.Second)
		f.balancer.take(cl.number)
		cl.move()
		cl.want("with another configuration, elsewhere")
		if counts := f.balancer.take(cl.number); len(counts.byServer) != 1 || counts.unroutable > 0 {
			t.Errorf("the client's datagrams led to %q, and %d nowhere", counts.byServer, counts.unroutable)
		}
	})
}

// sight is a client's socket that notes where datagrams with short headers go, and which server their connection IDs lead to.
type sight struct {
	net.PacketConn
	decoder *quiclb.Decoder
	mu      sync.Mutex
	seen    map[string]string
}

func (s *sight) WriteTo(p []byte, to net.Addr) (int, error) {
	if p[0]&0x80 == 0 {
		id, ok := s.decoder.Datagram(nil, p)
		s.mu.Lock()
		s.seen[to.String()] = fmt.Sprintf("%x %v", id, ok)
		s.mu.Unlock()
	}
	return s.PacketConn.WriteTo(p, to)
}

// The connection ID that goes with a server's preferred address leads there, too.
func TestPreferredAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := quicnettest.NewNetwork(1, quicnettest.Link{Delay: time.Millisecond})
		lb := configs["single pass"]
		g, err := quiclb.NewGenerator(lb, []byte{1, 2, 3, 4})
		if err != nil {
			t.Fatal(err)
		}
		cfg := quicnettest.ServerConfig()
		cfg.ConnIDs = g
		const first, preferred = "203.0.113.1:443", "203.0.113.2:443"
		cfg.PreferredAddress.IPv4 = netip.MustParseAddrPort(preferred)
		server := n.Listen(t, first, cfg)
		go func() {
			if c, err := server.Accept(t.Context()); err == nil {
				c.HandleStreams(func(s *quicnet.Stream) { s.WriteTo(s); s.Close() })
			}
		}()
		pc, err := n.ListenPacket("")
		if err != nil {
			t.Fatal(err)
		}
		see := &sight{PacketConn: pc, seen: make(map[string]string)}
		if see.decoder, err = quiclb.NewDecoder(lb); err != nil {
			t.Fatal(err)
		}
		ep, err := quicnettest.NewEndpoint(see, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ep.Close()
		c, err := quicnet.Dialer{Endpoint: ep}.Dial(t.Context(), first, quicnettest.ClientConfig())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if c.RemoteAddr().String() != preferred {
			t.Fatalf("the client is at %v", c.RemoteAddr())
		}
		see.mu.Lock()
		defer see.mu.Unlock()
		if got := see.seen[preferred]; got != "01020304 true" {
			t.Errorf("to the preferred address datagrams went with server ID %q", got)
		}
	})
}

var _ quic.ConnIDGenerator = (*quiclb.Generator)(nil)
