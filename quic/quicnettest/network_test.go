package quicnettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// arrival is a datagram as it arrived: its number, and when, since it was sent.
type arrival struct {
	n    int
	took time.Duration
}

// carry sends datagrams of size bytes, one each interval, and returns what arrives.
func carry(t *testing.T, seed uint64, link Link, count, size int, interval time.Duration) (arrivals []arrival) {
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(seed, link)
		from, to := listenPacket(t, network, ""), listenPacket(t, network, "192.0.2.1:443")
		start := time.Now()
		go func() {
			for i := range count {
				b := make([]byte, size)
				binary.BigEndian.PutUint32(b, uint32(i))
				if n, err := from.WriteTo(b, to.LocalAddr()); n != size || err != nil {
					t.Errorf("WriteTo returned %d, %v", n, err)
				}
				time.Sleep(interval)
			}
		}()
		to.SetReadDeadline(start.Add(time.Hour))
		b := make([]byte, 65536)
		for {
			n, addr, err := to.ReadFrom(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			if err != nil || n != size || addr.String() != from.LocalAddr().String() {
				t.Fatalf("ReadFrom returned %d, %v, %v", n, addr, err)
			}
			i := int(binary.BigEndian.Uint32(b))
			arrivals = append(arrivals, arrival{i, time.Since(start) - time.Duration(i)*interval})
		}
	})
	return arrivals
}

func listenPacket(t *testing.T, n *Network, addr string) net.PacketConn {
	t.Helper()
	pc, err := n.ListenPacket(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

// numbers returns which datagrams arrived, in order.
func numbers(as []arrival) (ns []int) {
	for _, a := range as {
		ns = append(ns, a.n)
	}
	return ns
}

func TestLink(t *testing.T) {
	const count = 1000
	ms := time.Millisecond
	for _, c := range []struct {
		name         string
		link         Link
		size         int
		interval     time.Duration
		least, most  int // arrivals
		early, late  time.Duration
		inOrder      bool
		noDuplicates bool
	}{
		{"perfect", Link{}, 100, 0, count, count, 0, 0, true, true},
		{"delay", Link{Delay: 30 * ms}, 100, ms, count, count, 30 * ms, 30 * ms, true, true},
		{"jitter", Link{Delay: 30 * ms, Jitter: 20 * ms}, 100, ms, count, count, 30 * ms, 50 * ms, true, true},
		{"loss", Link{Loss: 0.2}, 100, ms, 700, 900, 0, 0, true, true},
		{"all lost", Link{Loss: 1}, 100, ms, 0, 0, 0, 0, true, true},
		{"duplicates", Link{Delay: 5 * ms, Duplicate: 0.1}, 100, ms, 1050, 1150, 5 * ms, 10 * ms, false, false},
		{"reordering", Link{Delay: 10 * ms, Reorder: 0.1}, 100, ms, count, count, 10 * ms, 21 * ms, false, true},
		{"reordering by much", Link{Reorder: 0.1, ReorderDelay: time.Second}, 100, ms, count, count, 0, 1001 * ms, false, true},
		// 1,000 bytes take 8 ms of a line of 1 Mbit/s, and one of 65 is in the line while 64 KiB wait.
		{"rate", Link{Rate: 1e6}, 1000, 8 * ms, count, count, 8 * ms, 8 * ms, true, true},
		{"rate exceeded", Link{Rate: 1e6}, 1000, 0, 65, 68, 8 * ms, 540 * ms, true, true},
		{"short queue", Link{Rate: 1e6, Queue: 5000}, 1000, 0, 5, 7, 8 * ms, 56 * ms, true, true},
		{"at the MTU", Link{MTU: 1200}, 1200, 0, count, count, 0, 0, true, true},
		{"above the MTU", Link{MTU: 1200}, 1201, 0, 0, 0, 0, 0, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			as := carry(t, 7, c.link, count, c.size, c.interval)
			if len(as) < c.least || len(as) > c.most {
				t.Errorf("%d arrived, not %d to %d", len(as), c.least, c.most)
			}
			for _, a := range as {
				if a.took < c.early || a.took > c.late {
					t.Errorf("one took %v, not %v to %v", a.took, c.early, c.late)
					break
				}
			}
			ns := numbers(as)
			if got := slices.IsSorted(ns); got != c.inOrder {
				t.Errorf("arrived in order: %v", got)
			}
			slices.Sort(ns)
			if got := len(slices.Compact(ns)) == len(as); got != c.noDuplicates {
				t.Errorf("each arrived once: %v", got)
			}
		})
	}
}

// TestSeeds checks that a seed repeats and that others differ.
func TestSeeds(t *testing.T) {
	link := Link{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1, Reorder: 0.1, Duplicate: 0.1}
	first := carry(t, 1, link, 300, 100, time.Millisecond)
	if !slices.Equal(first, carry(t, 1, link, 300, 100, time.Millisecond)) {
		t.Error("the same seed gave something else")
	}
	if slices.Equal(first, carry(t, 2, link, 300, 100, time.Millisecond)) {
		t.Error("another seed gave the same")
	}
}

func TestSetLink(t *testing.T) {
	network := NewNetwork(1, Link{Loss: 1})
	a, b := listenPacket(t, network, ""), listenPacket(t, network, "")
	a.WriteTo([]byte("lost"), b.LocalAddr())
	network.SetLink(Link{})
	a.WriteTo([]byte("here"), b.LocalAddr())
	p := make([]byte, 10)
	if n, _, err := b.ReadFrom(p); err != nil || string(p[:n]) != "here" {
		t.Errorf("ReadFrom returned %q, %v", p[:n], err)
	}
}

// TestUnreadIsBounded checks that what nobody reads is dropped.
func TestUnreadIsBounded(t *testing.T) {
	network := NewNetwork(1, Link{})
	a, b := listenPacket(t, network, ""), listenPacket(t, network, "")
	for range 2 * maxUnread / 1000 {
		a.WriteTo(make([]byte, 1000), b.LocalAddr())
	}
	if n := b.(*packetConn).unread; n > maxUnread || n < maxUnread-1000 {
		t.Errorf("%d bytes wait", n)
	}
}

func TestAddresses(t *testing.T) {
	network := NewNetwork(1, Link{})
	a := listenPacket(t, network, "192.0.2.1:443")
	if got, ok := a.LocalAddr().(*net.UDPAddr); !ok || got.String() != "192.0.2.1:443" {
		t.Errorf("the address is %v", a.LocalAddr())
	}
	for _, addr := range []string{"192.0.2.1:443", "[::ffff:192.0.2.1]:443", "192.0.2.1", "host:443", ":443"} {
		if _, err := network.ListenPacket(addr); err == nil {
			t.Errorf("%q could be had", addr)
		}
	}
	a.Close()
	if _, err := network.ListenPacket("192.0.2.1:443"); err != nil {
		t.Errorf("an address that was closed: %v", err)
	}
	seen := make(map[string]bool)
	for range 1000 {
		seen[listenPacket(t, network, "").LocalAddr().String()] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d addresses of 1000 differ", len(seen))
	}
	v6 := listenPacket(t, network, "[2001:db8::1]:443")
	v6.WriteTo([]byte("x"), v6.LocalAddr())
	if _, from, err := v6.ReadFrom(make([]byte, 1)); err != nil || from.String() != "[2001:db8::1]:443" {
		t.Errorf("ReadFrom returned %v, %v", from, err)
	}
	if _, err := v6.WriteTo([]byte("x"), &net.UnixAddr{Name: "a"}); err == nil {
		t.Error("WriteTo took an address that is none")
	}
	if n, err := v6.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 77), Port: 1}); n != 1 || err != nil {
		t.Errorf("what nobody listens for: %d, %v", n, err)
	}
}

// TestPortIsChosen opens addresses as programs do that leave the port to the system.
func TestPortIsChosen(t *testing.T) {
	network := NewNetwork(1, Link{})
	seen := map[string]bool{}
	for range 3 {
		a := listenPacket(t, network, "192.0.2.1:0").LocalAddr().(*net.UDPAddr)
		if a.Port == 0 || a.IP.String() != "192.0.2.1" || seen[a.String()] {
			t.Errorf("port 0 stands for %v, after %v", a, seen)
		}
		seen[a.String()] = true
	}
	client, server := network.Listen(t, "192.0.2.7:0", nil), network.Listen(t, "192.0.2.7:0", ServerConfig())
	if _, err := client.Dial(t.Context(), server.Addr().String(), ClientConfig()); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{"0.0.0.0:443", "[::]:0", "[::ffff:0.0.0.0]:443"} {
		if _, err := network.ListenPacket(addr); err == nil {
			t.Errorf("nobody could reach %s", addr)
		}
	}
}

// TestReadersWait has several readers wait: each gets one datagram, and the rest what ends their waiting.
func TestReadersWait(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(net.PacketConn) error
		want error
	}{
		{"close", net.PacketConn.Close, net.ErrClosed},
		{"deadline", func(pc net.PacketConn) error { return pc.SetReadDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"deadline later", func(pc net.PacketConn) error { return pc.SetDeadline(time.Now().Add(time.Minute)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := NewNetwork(1, Link{Delay: time.Second})
				a, b := listenPacket(t, network, ""), listenPacket(t, network, "")
				var wg sync.WaitGroup
				var mu sync.Mutex
				got, ended := 0, 0
				for range 10 {
					wg.Go(func() {
						p := make([]byte, 10)
						n, _, err := b.ReadFrom(p)
						mu.Lock()
						defer mu.Unlock()
						switch {
						case err == nil && bytes.Equal(p[:n], []byte("hello")):
							got++
						case errors.Is(err, c.want):
							ended++
						default:
							t.Errorf("ReadFrom returned %q, %v", p[:n], err)
						}
					})
				}
				for range 4 {
					a.WriteTo([]byte("hello"), b.LocalAddr())
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if err := c.end(b); err != nil {
					t.Error(err)
				}
				wg.Wait()
				if got != 4 || ended != 6 {
					t.Errorf("%d got a datagram and %d an end", got, ended)
				}
			})
		})
	}
}
