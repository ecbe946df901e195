package quiclb_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quiclb"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// fleet is three servers behind a balancer, in a bubble of virtual time.
type fleet struct {
	t        *testing.T
	network  *quicnettest.Network
	balancer *balancer
	config   quiclb.Config
	servers  []*server
	retry    atomic.Bool // servers demand Retry of clients that have no token
	onRetry  func(*server)
	clients  int
}

type server struct {
	id     string // server ID
	addr   string
	tunnel *tunnel
	ids    *quiclb.Generator
	ep     *quicnet.Endpoint
	served sync.WaitGroup
	asked  atomic.Int64 // times that Retry was considered
}

const front = "192.0.2.100:443"

func newFleet(t *testing.T, cfg quiclb.Config) *fleet {
	f := &fleet{t: t, config: cfg, network: quicnettest.NewNetwork(1, quicnettest.Link{Delay: 10 * time.Millisecond, MTU: 1500})}
	d, err := quiclb.NewDecoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.balancer = &balancer{front: f.open(front), back: f.open("10.0.0.100:4789"), decoder: d, servers: make(map[string]net.Addr)}
	f.balancer.counts = make(map[int]*balancerCounts)
	var running sync.WaitGroup
	running.Go(f.balancer.run)
	t.Cleanup(func() { // after the clients' and the servers'
		f.balancer.front.Close()
		f.balancer.back.Close()
		running.Wait()
	})
	for i := range 3 {
		s := &server{id: serverID(i, cfg.ServerIDLen), addr: fmt.Sprintf("10.0.0.%d:443", 1+i)}
		f.servers = append(f.servers, s)
		f.start(s, cfg)
		t.Cleanup(func() { f.kill(s) })
	}
	return f
}

// serverID makes IDs that a client's own connection IDs are not likely to hit.
func serverID(i, n int) string { return string(bytes.Repeat([]byte{0xa0 + byte(i)}, n)) }

func (f *fleet) open(addr string) net.PacketConn {
	f.t.Helper()
	pc, err := f.network.ListenPacket(addr)
	if err != nil {
		f.t.Fatal(err)
	}
	return pc
}

// start runs a server, which has no memory of an earlier life.
func (f *fleet) start(s *server, lb quiclb.Config) {
	f.t.Helper()
	s.tunnel = &tunnel{PacketConn: f.open(s.addr), balancer: f.balancer.back.LocalAddr()}
	var err error
	if s.ids, err = quiclb.NewGenerator(lb, []byte(s.id)); err != nil {
		f.t.Fatal(err)
	}
	cfg := quicnettest.ServerConfig()
	cfg.ConnIDs = s.ids
	cfg.TokenKey, cfg.StatelessResetKey, cfg.TicketKeys = &[32]byte{1}, &[32]byte{2}, [][32]byte{{3}}
	cfg.MaxIdleTimeout = time.Hour
	cfg.Retry = func(netip.AddrPort) bool {
		s.asked.Add(1)
		retry := f.retry.Load()
		if retry && f.onRetry != nil {
			f.onRetry(s)
		}
		return retry
	}
	if s.ep, err = quicnettest.NewEndpoint(s.tunnel, cfg); err != nil {
		f.t.Fatal(err)
	}
	f.balancer.set(s.id, s.tunnel.LocalAddr())
	s.served.Go(func() { s.serve() })
}

// serve sends back what comes on streams.
func (s *server) serve() {
	for {
		c, err := s.ep.Accept(context.Background())
		if err != nil {
			return
		}
		c.HandleStreams(func(st *quicnet.Stream) {
			io.Copy(st, st)
			st.Close()
		})
	}
}

// kill ends a server without a word to anybody.
func (f *fleet) kill(s *server) {
	s.tunnel.dead.Store(true)
	s.ep.Close()
	s.served.Wait()
}

// client is a client, which moves in one of two ways: by itself, or by a NAT's doing.
type client struct {
	f      *fleet
	ep     *quicnet.Endpoint
	nat    *nat // nil: it moves by itself
	cfg    *quic.Config
	c      *quicnet.Conn
	server string // ID of the server that it is connected to
	moves  int
	number int
}

func (f *fleet) client(behindNAT bool) *client {
	f.t.Helper()
	f.clients++
	cl := &client{f: f, number: f.clients, cfg: quicnettest.ClientConfig()}
	cl.cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	cl.cfg.MaxIdleTimeout = time.Hour
	pc := f.open(cl.address())
	if behindNAT {
		cl.nat = newNAT(pc)
		pc = cl.nat
	}
	var err error
	if cl.ep, err = quicnettest.NewEndpoint(pc, nil); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { cl.ep.Close() })
	cl.dial()
	return cl
}

// address is another one after each move: every other move the host changes, too.
func (cl *client) address() string {
	return fmt.Sprintf("198.51.%d.%d:%d", 100+cl.moves/2, cl.number, 50000+cl.moves)
}

func (cl *client) dial() {
	cl.f.t.Helper()
	cl.f.balancer.take(cl.number)
	var err error
	if cl.c, err = cl.ep.Dial(cl.f.t.Context(), front, cl.cfg); err != nil {
		cl.f.t.Fatal(err)
	}
	cl.want("connected")
	time.Sleep(time.Second) // for tickets and tokens to arrive
	counts := cl.f.balancer.take(cl.number)
	if len(counts.byServer) != 1 || counts.unroutable > 0 {
		cl.f.t.Fatalf("client %d: its datagrams led to %q, and %d nowhere", cl.number, counts.byServer, counts.unroutable)
	}
	for id := range counts.byServer {
		cl.server = id
	}
}

func (cl *client) move() {
	cl.f.t.Helper()
	cl.moves++
	if cl.nat != nil {
		cl.nat.rebind(cl.f.open(cl.address()))
	} else if err := cl.c.Migrate(cl.f.t.Context(), cl.address()); err != nil {
		cl.f.t.Fatalf("client %d does not move: %v", cl.number, err)
	}
}

// exchange has a stream of 20 KB come back.
func (cl *client) exchange() error {
	s, err := cl.c.OpenStream(cl.f.t.Context())
	if err != nil {
		return err
	}
	want := bytes.Repeat([]byte{byte(cl.number)}, 20<<10)
	if _, err := s.Write(want); err != nil {
		return err
	}
	s.Close()
	got, err := io.ReadAll(s)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d bytes came back of %d", len(got), len(want))
	}
	return err
}

func (cl *client) want(when string) {
	cl.f.t.Helper()
	if err := cl.exchange(); err != nil {
		cl.f.t.Fatalf("client %d, %s: %v", cl.number, when, err)
	}
}

// clientsOfEach connects clients until each server has two, half of them behind a NAT.
func (f *fleet) clientsOfEach() (all []*client) {
	f.t.Helper()
	for enough := 0; enough < len(f.servers); {
		if len(all) > 60 {
			f.t.Fatal("the balancer does not give clients to all servers")
		}
		all = append(all, f.client(len(all)%2 == 0))
		perServer := make(map[string]int)
		for _, cl := range all {
			perServer[cl.server]++
		}
		enough = 0
		for _, s := range f.servers {
			if perServer[s.id] >= 2 {
				enough++
			}
		}
	}
	return all
}

// configs are the kinds of connection IDs that there are.
var configs = map[string]quiclb.Config{
	"legible":     {Rotation: 1, ServerIDLen: 3, NonceLen: 8, EncodeLength: true},
	"single pass": {Rotation: 0, ServerIDLen: 4, NonceLen: 12, Key: bytes.Repeat([]byte{7}, 16)},
	"four passes": {Rotation: 6, ServerIDLen: 3, NonceLen: 6, Key: bytes.Repeat([]byte{7}, 16), EncodeLength: true, ServerUse: 1},
}

// Connections stay with their server while clients change their port and address, by themselves or by a NAT, again and again.
func TestFleetMoves(t *testing.T) {
	for name, cfg := range configs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, cfg)
				all := f.clientsOfEach()
				for round := range 6 {
					for _, cl := range all {
						f.balancer.take(cl.number)
						cl.move()
						cl.want(fmt.Sprintf("after %d moves", round+1))
						time.Sleep(time.Second)
						counts := f.balancer.take(cl.number)
						if len(counts.byServer) != 1 || counts.byServer[cl.server] == 0 || counts.unroutable > 0 || !counts.sources[cl.address()] {
							t.Fatalf("client %d of %x at %s: its datagrams led to %q, and %d nowhere, from %v",
								cl.number, cl.server, cl.address(), counts.byServer, counts.unroutable, counts.sources)
						}
					}
				}
			})
		})
	}
}

// resumed has a client whose connection was lost connect again: it resumes its session, and its token spares it a Retry, at whichever server
// that is.
func (f *fleet) resumed(cl *client) {
	f.t.Helper()
	f.retry.Store(true)
	defer f.retry.Store(false)
	before := f.asked()
	cl.dial()
	if !cl.c.ConnectionState().DidResume {
		f.t.Errorf("client %d has not resumed at server %x", cl.number, cl.server)
	}
	if f.asked() != before {
		f.t.Errorf("client %d had no good token for server %x", cl.number, cl.server)
	}
}

func (f *fleet) asked() (n int64) {
	for _, s := range f.servers {
		n += s.asked.Load()
	}
	return n
}

// A server is gone, and comes back or not. Its clients are told by the next thing that they send, by the server itself or by another, and
// resume; nobody else notices.
func TestFleetRestart(t *testing.T) {
	for _, back := range []bool{true, false} {
		t.Run(fmt.Sprintf("back=%v", back), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, configs["four passes"])
				all := f.clientsOfEach()
				gone := f.servers[1]
				f.kill(gone)
				if back {
					f.start(gone, f.config)
				} else {
					f.balancer.set(gone.id, nil) // which health checks find out
				}
				lost := 0
				for _, cl := range all {
					if cl.server != gone.id {
						cl.want("when another server was gone")
						continue
					}
					lost++
					start := time.Now()
					var reset *quic.StatelessResetError
					if err := cl.exchange(); !errors.As(err, &reset) {
						t.Errorf("client %d of the server that is gone: %v, want a stateless reset", cl.number, err)
					}
					if took := time.Since(start); took > 200*time.Millisecond {
						t.Errorf("client %d was told after %v", cl.number, took)
					}
					f.resumed(cl)
					if !back && cl.server == gone.id {
						t.Errorf("client %d is at the server that is gone", cl.number)
					}
				}
				if lost < 2 {
					t.Errorf("%d clients have lost their server", lost)
				}
				for _, cl := range all {
					cl.want("after all")
					cl.move()
					cl.want("after all, elsewhere")
				}
			})
		})
	}
}

// A server that has demanded Retry is taken out before the client answers: the token is good at the one that the answer comes to.
func TestFleetRetryElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, configs["single pass"])
		f.retry.Store(true)
		var first *server
		f.onRetry = func(s *server) {
			if first == nil {
				first = s
				f.balancer.set(s.id, nil)
			}
		}
		cl := f.client(false)
		if first == nil || cl.server == first.id {
			t.Errorf("the client is at %x", cl.server)
		}
		if f.asked() != 1 {
			t.Errorf("Retry was considered %d times", f.asked())
		}
	})
}

// Servers get another configuration one after the other, in mid-life: connections go on under both, and clients change over; the old
// configuration can then be forgotten.
func TestFleetRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, configs["four passes"])
		all := f.clientsOfEach()
		next := quiclb.Config{Rotation: 2, ServerIDLen: 2, NonceLen: 7, Key: bytes.Repeat([]byte{8}, 16), ServerUse: 1}
		both, err := quiclb.NewDecoder(f.config, next)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := quiclb.NewDecoder(next)
		if err != nil {
			t.Fatal(err)
		}
		f.balancer.learn(both)
		for i, s := range f.servers {
			newID := serverID(i, next.ServerIDLen)
			f.balancer.set(newID, s.tunnel.LocalAddr())
			if err := s.ids.Rotate(next, []byte(newID)); err != nil {
				t.Fatal(err)
			}
			s.ep.RenewConnIDs()
			for _, cl := range all {
				if cl.server == s.id {
					cl.server = newID
				}
				if cl.number%3 == 0 {
					cl.move()
				}
				cl.want("in the middle of a rotation")
			}
		}
		time.Sleep(time.Second)
		f.balancer.learn(alone)
		for _, s := range f.servers {
			f.balancer.set(s.id, nil)
		}
		for _, cl := range all {
			f.balancer.take(cl.number)
			cl.want("after the rotation")
			cl.move()
			cl.want("after the rotation, elsewhere")
			counts := f.balancer.take(cl.number)
			if counts.byRotation[next.Rotation] != counts.all || counts.byServer[cl.server] != counts.all || counts.all == 0 {
				t.Errorf("client %d sends to connection IDs with rotation bits %v, of servers %q", cl.number, counts.byRotation, counts.byServer)
			}
		}
		f.client(true) // and new ones come
	})
}
