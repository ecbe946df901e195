package quicnettest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// moving is a download and an upload at once, of 4 MB each.
type moving struct {
	s, c *quicnet.Conn
	wg   sync.WaitGroup
}

const movingSize = 4 << 20

func startMoving(t *testing.T, s, c *quicnet.Conn) *moving {
	m := &moving{s: s, c: c}
	content := strings.Repeat("0123456789abcde\n", movingSize/16)
	for _, conns := range [][2]*quicnet.Conn{{s, c}, {c, s}} {
		m.wg.Go(func() {
			stream, err := conns[0].OpenUniStream(t.Context())
			if err == nil {
				_, err = io.WriteString(stream, content)
			}
			if err == nil {
				err = stream.Close()
			}
			if err != nil {
				t.Errorf("the writer: %v", err)
			}
		})
		m.wg.Go(func() {
			stream, err := conns[1].AcceptUniStream(t.Context())
			if err != nil {
				t.Errorf("the reader: %v", err)
				return
			}
			if b, err := io.ReadAll(stream); err != nil || string(b) != content {
				t.Errorf("the reader got %d bytes of %d, %v", len(b), len(content), err)
			}
		})
	}
	return m
}

// dialTo connects to a server of a network as d says, from an address that nobody has.
func dialTo(t *testing.T, n *Network, d quicnet.Dialer, to *quicnet.Endpoint, cfg *quic.Config) (s, c *quicnet.Conn) {
	t.Helper()
	d.Endpoint = n.Listen(t, "", nil)
	c, err := d.Dial(t.Context(), to.Addr().String(), cfg)
	if err == nil {
		s, err = to.Accept(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// A client moves between addresses in the middle of transfers, over a path that loses and reorders.
func TestMigrateInVirtualTime(t *testing.T) {
	for _, link := range []Link{
		{Delay: 20 * time.Millisecond, Rate: 50e6},
		{Delay: 20 * time.Millisecond, Jitter: 2 * time.Millisecond, Loss: 0.01, Reorder: 0.02, Rate: 50e6},
	} {
		t.Run(fmt.Sprint(link), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := NewNetwork(1, link).Pipe(t, nil, nil)
				first := c.LocalAddr().String()
				m := startMoving(t, s, c)
				start := time.Now()
				p, err := c.AddPath(t.Context(), ":0")
				if err != nil {
					t.Fatal(err)
				}
				// A round trip, and the handshake's confirmation before: more only where something is lost.
				if took := time.Since(start); link.Loss == 0 && (took < 40*time.Millisecond || took > 200*time.Millisecond) {
					t.Errorf("AddPath took %v", took)
				}
				for i := range 6 {
					time.Sleep(100 * time.Millisecond) // virtual
					if i%2 == 0 {
						err = p.Migrate(t.Context())
					} else {
						err = c.Migrate(t.Context(), first)
					}
					if err != nil {
						t.Errorf("move %d: %v; %+v", i, err, c.Paths())
					}
					time.Sleep(100 * time.Millisecond)
					if l, r := c.LocalAddr().String(), s.RemoteAddr().String(); l != r {
						t.Errorf("after move %d the client is at %s, and the server sends to %s", i, l, r)
					}
				}
				m.wg.Wait()
				if n := s.Stats().Migrations; n < 6 {
					t.Errorf("the server has seen %d moves", n)
				}
			})
		})
	}
}

// The address of a client goes away in the middle of transfers, time and again: with FollowNetwork it goes on from another.
func TestFollowNetwork(t *testing.T) {
	for _, follow := range []bool{true, false} {
		t.Run(fmt.Sprint(follow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewNetwork(1, Link{Delay: 10 * time.Millisecond, Rate: 50e6})
				server := network.Listen(t, "", ServerConfig())
				var mu sync.Mutex
				var activated []string
				d := quicnet.Dialer{FollowNetwork: follow, OnPath: func(c *quicnet.Conn, ev quic.PathEvent) {
					mu.Lock()
					defer mu.Unlock()
					if ev.Kind == quic.PathActivated {
						activated = append(activated, ev.Local.String())
					}
				}}
				s, c := dialTo(t, network, d, server, ClientConfig())
				if !follow {
					network.SetDown(c.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), true)
					stream, _ := c.OpenStream(t.Context())
					stream.Write([]byte("hello"))
					if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, &quic.IdleTimeoutError{}) || len(c.Paths()) != 1 {
						t.Errorf("Read returned %v", err)
					}
					return
				}
				m := startMoving(t, s, c)
				for range 4 {
					time.Sleep(150 * time.Millisecond)
					was := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
					network.SetDown(was, true)
					for start := time.Now(); c.LocalAddr().(*net.UDPAddr).AddrPort().Addr() == was; time.Sleep(time.Millisecond) {
						if time.Since(start) > 3*time.Second {
							t.Fatalf("the client is still at %v; %+v", was, c.Paths())
						}
					}
				}
				m.wg.Wait()
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				if len(activated) != 4 || activated[3] != c.LocalAddr().String() || c.LocalAddr().String() != s.RemoteAddr().String() {
					t.Errorf("the program was told of moves to %v; the client is at %v, and the server sends to %v", activated, c.LocalAddr(), s.RemoteAddr())
				}
			})
		})
	}
}

// A client that has no network at all tries at a bounded rate, and goes on when there is one.
func TestFollowNetworkLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(1, Link{Delay: 10 * time.Millisecond})
		server := network.Listen(t, "", ServerConfig())
		var opened atomic.Int32
		var down atomic.Bool
		down.Store(true)
		pc, err := network.ListenPacket("")
		if err != nil {
			t.Fatal(err)
		}
		ep := newEndpointWith(t, network, pc, &opened, &down)
		c, err := quicnet.Dialer{FollowNetwork: true, Endpoint: ep}.Dial(t.Context(), server.Addr().String(), ClientConfig())
		if err != nil {
			t.Fatal(err)
		}
		s, err := server.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, s, c, []byte("hello"))
		network.SetDown(c.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), true)
		stream, err := c.OpenUniStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stream.Write([]byte("somewhere"))
		time.Sleep(20 * time.Second)
		if n := opened.Load(); n < 5 || n > 10 {
			t.Errorf("in 20 s it was tried %d times", n)
		}
		down.Store(false)
		start := time.Now()
		in, err := s.AcceptUniStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 9)
		if _, err := io.ReadFull(in, b); err != nil || string(b) != "somewhere" || time.Since(start) > 6*time.Second {
			t.Errorf("after %v %q came, %v", time.Since(start), b, err)
		}
	})
}

// A client of a server that prefers another address moves there by itself; the server listens on both.
func TestPreferredAddressInVirtualTime(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			network := NewNetwork(1, Link{Delay: 10 * time.Millisecond})
			cfg := ServerConfig()
			cfg.PreferredAddress.IPv4 = netip.MustParseAddrPort("198.51.100.7:4433")
			server := network.Listen(t, "192.0.2.200:443", cfg)
			client := ClientConfig()
			client.IgnorePreferredAddress = ignore
			s, c := dialTo(t, network, quicnet.Dialer{}, server, client)
			exchange(t, s, c, []byte("hello"))
			time.Sleep(time.Second)
			exchange(t, s, c, []byte("hello"))
			want := "198.51.100.7:4433"
			if ignore {
				want = "192.0.2.200:443"
			}
			if got := c.RemoteAddr().String(); got != want || s.LocalAddr().String() != want {
				t.Errorf("ignore=%v: the client sends to %s, and the server from %v, not %s", ignore, got, s.LocalAddr(), want)
			}
			if a := server.Addr().String(); a != "192.0.2.200:443" {
				t.Errorf("the endpoint's address is %s", a)
			}
			// It moves from its other address, too, and goes on with the address that the server prefers.
			if err := c.Migrate(t.Context(), ":0"); err != nil {
				t.Fatal(err)
			}
			exchange(t, s, c, []byte("hello"))
			if got := c.RemoteAddr().String(); got != want || s.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("ignore=%v: from elsewhere the client sends to %s, and the server to %v, not %v", ignore, got, s.RemoteAddr(), c.LocalAddr())
			}
			// Others can connect there at once.
			other, err := network.Listen(t, "", nil).Dial(t.Context(), "198.51.100.7:4433", ClientConfig())
			if err != nil {
				t.Fatal(err)
			}
			other.Close()
		})
	}
	network := NewNetwork(1, Link{})
	cfg := ServerConfig()
	cfg.PreferredAddress.IPv4 = netip.MustParseAddrPort("198.51.100.7:4433")
	network.Listen(t, "198.51.100.7:4433", nil)
	pc, err := network.ListenPacket("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewEndpoint(pc, cfg); err == nil || !strings.Contains(err.Error(), "preferred address 198.51.100.7:4433") {
		t.Errorf("an address in use brought %v", err)
	}
}

// newEndpointWith is an endpoint of a client that counts the sockets that it opens, and can open none while down.
func newEndpointWith(t *testing.T, n *Network, pc net.PacketConn, opened *atomic.Int32, down *atomic.Bool) *quicnet.Endpoint {
	t.Helper()
	sock, err := udp.New(pc, udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lc := quicnet.ListenConfig{OpenSocket: func(local string) (*udp.Socket, error) {
		opened.Add(1)
		if down.Load() {
			return nil, syscall.ENETUNREACH
		}
		return n.OpenSocket(local)
	}}
	ep, err := lc.NewEndpoint(sock, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return ep
}

// A client whose network goes away while nothing of what it tries instead reaches the server either: it does not give up before its idle
// timeout, and goes on when its network is back.
func TestFollowThroughOutage(t *testing.T) {
	for outage := time.Second; outage <= 15*time.Second; outage += time.Second {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link := Link{Delay: 20 * time.Millisecond}
				n := NewNetwork(1, link)
				s, c := dialTo(t, n, quicnet.Dialer{FollowNetwork: true}, n.Listen(t, "198.51.100.1:443", ServerConfig()), ClientConfig())
				go func() {
					if stream, err := s.AcceptStream(t.Context()); err == nil {
						io.Copy(stream, stream)
						stream.Close()
					}
				}()
				stream, err := c.OpenStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				stream.Write([]byte("before, "))
				time.Sleep(time.Second)
				n.SetLink(Link{Loss: 1})
				ours := netip.MustParseAddrPort(c.LocalAddr().String()).Addr()
				n.SetDown(ours, true)
				stream.WriteFinal([]byte("after"))
				time.Sleep(outage)
				n.SetDown(ours, false)
				n.SetLink(link)
				if b, err := io.ReadAll(stream); err != nil || string(b) != "before, after" {
					t.Errorf("%q, %v", b, err)
				}
				c.Close()
			})
		})
	}
}
