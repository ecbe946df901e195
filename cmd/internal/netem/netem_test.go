package netem

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

var (
	here  = netip.MustParseAddrPort("193.167.0.100:50000")
	there = netip.MustParseAddrPort("193.167.100.100:443")
)

// sink counts what arrives.
type sink struct {
	n   *Network
	at  []time.Duration
	got []*Packet
}

func (s *sink) receive(p *Packet) {
	s.at, s.got = append(s.at, time.Since(s.n.start)), append(s.got, p)
}

// oneWay returns a network with a host at each end.
func oneWay(t *testing.T, l Link) (n *Network, server, client *sink) {
	t.Helper()
	n = New(7, l)
	server, client = &sink{n: n}, &sink{n: n}
	for side, h := range map[Side]*sink{ServerSide: server, ClientSide: client} {
		addr := there
		if side == ClientSide {
			addr = here
		}
		if _, err := n.attach(side, addr, h); err != nil {
			t.Fatal(err)
		}
	}
	return n, server, client
}

func packet(size int) *Packet { return &Packet{Src: here, Dst: there, Data: make([]byte, size)} }

// The link sends at its rate, packets with all of their headers, and the tail of a full queue is dropped: one packet is being sent, one
// waits in the device, and 25 in the queue.
func TestRateAndQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, server, _ := oneWay(t, Link{Rate: Both[int64](10e6), Delay: Both(15 * time.Millisecond), Queue: 25})
		for range 40 {
			n.send(ClientSide, packet(1220)) // 1250 bytes with UDP, IPv4 and PPP: a millisecond
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(server.at) != 27 {
			t.Fatalf("%d packets arrived, want 27", len(server.at))
		}
		for i, at := range server.at {
			if want := time.Duration(i+1+15) * time.Millisecond; at != want {
				t.Errorf("packet %d arrived after %v, want %v", i, at, want)
			}
		}
		n.send(ClientSide, packet(1472))
		n.send(ClientSide, packet(1473)) // more than 1500 with UDP and IPv4
		time.Sleep(time.Second)
		synctest.Wait()
		if len(server.at) != 28 {
			t.Errorf("%d packets arrived, want one more", len(server.at))
		}
	})
}

// What the receiving end drops has used the link; never more than burst in a row are dropped, about percent are, and nothing else than UDP.
func TestDropRate(t *testing.T) {
	for _, c := range []struct{ percent, burst int }{{30, 3}, {2, 3}, {50, 1}, {30, 0}} {
		m := NewDropRate(c.percent, c.burst)
		m.begin(time.Time{}, rand.New(rand.NewPCG(1, 2)))
		const all = 100000
		dropped, row, longest := 0, 0, 0
		for range all {
			passed := false
			m.Pass(time.Time{}, packet(100), func(*Packet, time.Duration) { passed = true })
			row++
			if passed {
				row = 0
			} else {
				dropped++
			}
			longest = max(longest, row)
		}
		want := float64(c.percent) / 100
		if c.burst == 1 {
			want = want / (1 + want)
		}
		if got := float64(dropped) / all; got < 0.9*want || got > 1.05*want || c.burst > 0 && longest != c.burst || c.burst == 0 && longest < 5 {
			t.Errorf("%+v: %.4f were dropped, %d in a row", c, got, longest)
		}
		m.Percent = 100
		m.Pass(time.Time{}, &Packet{arrive: func(time.Time) {}}, func(*Packet, time.Duration) { dropped = 0 })
		if dropped != 0 {
			t.Errorf("%+v: TCP was dropped", c)
		}
	}
}

// A damaged packet has one other byte, among the first 51, and is not the sender's memory; Version Negotiation is exempt.
func TestCorruptRate(t *testing.T) {
	m := NewCorruptRate(100, 0, false)
	m.begin(time.Time{}, rand.New(rand.NewPCG(1, 2)))
	at := make(map[int]int)
	for range 10000 {
		p := packet(1200)
		p.Data[0] = 0xc0
		p.Data[4] = 1
		before := bytes.Clone(p.Data)
		m.Pass(time.Time{}, p, func(c *Packet, _ time.Duration) {
			n := 0
			for i := range c.Data {
				if c.Data[i] != before[i] {
					n++
					at[i]++
				}
			}
			if n != 1 || !bytes.Equal(p.Data, before) {
				t.Fatalf("%d bytes differ", n)
			}
		})
	}
	if len(at) != 51 || at[50] == 0 {
		t.Errorf("bytes at %d places were changed, want 51", len(at))
	}
	vn := &Packet{Src: here, Dst: there, Data: append([]byte{0x80}, make([]byte, 30)...)}
	passed := false
	m.Pass(time.Time{}, vn, func(c *Packet, _ time.Duration) { passed = bytes.Equal(c.Data, vn.Data) })
	m.Drop = true
	m.Pass(time.Time{}, packet(10), func(*Packet, time.Duration) { t.Error("what is to be dropped was delivered") })
	if !passed {
		t.Error("Version Negotiation was changed")
	}
}

// DropList, Blackhole and MTUBlackhole drop what they say.
func TestDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			model Model
			want  string // which of ten packets, one each second from half a second on, arrive; the even ones have 1300 bytes, the others 1200
		}{
			"list":      {&DropList{Numbers: []int{2, 3, 7}}, "1..456.890"},
			"blackhole": {&Blackhole{On: 5 * time.Second, Off: 2 * time.Second}, "12345..890"},
			"twice":     {&Blackhole{On: 3 * time.Second, Off: time.Second, Repeat: 2}, "123.567.90"},
			"MTU":       {&MTUBlackhole{Max: 1200, From: 5 * time.Second}, "12345.7.9."},
		} {
			l := Link{Models: [2][]Model{ToServer: {c.model}}}
			n, server, _ := oneWay(t, l)
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			got := ""
			for i := range 10 {
				before := len(server.at)
				n.send(ClientSide, packet(1200+100*(i%2)))
				time.Sleep(time.Second)
				synctest.Wait()
				if len(server.at) > before {
					got += string("1234567890"[i])
				} else {
					got += "."
				}
			}
			if got != c.want {
				t.Errorf("%s: %s arrived, want %s", name, got, c.want)
			}
		}
	})
}

// The translator gives another port or address at its times, and lets nothing in for the one before.
func TestNAT(t *testing.T) {
	for _, addr := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n, server, client := oneWay(t, Link{NAT: &NAT{First: time.Second, Every: 5 * time.Second, Addr: addr}})
			seen := make(map[netip.AddrPort]bool)
			var last netip.AddrPort
			for i := range 12 { // at 0.5 s, 1.5 s and so on: changes at 1 s, 6 s, 11 s
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				n.send(ClientSide, packet(10))
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
				src := server.got[len(server.got)-1].Src
				if changed := src != last; changed != (i == 0 || i == 1 || i == 6 || i == 11) {
					t.Errorf("after %d.5 s the address is %v, and was %v", i, src, last)
				}
				if i > 0 && src != last && (addr != (src.Addr() != last.Addr()) || !netip.PrefixFrom(here.Addr(), 24).Masked().Contains(src.Addr())) {
					t.Errorf("from %v to %v", last, src)
				}
				before := len(client.got)
				n.send(ServerSide, &Packet{Src: there, Dst: src, Data: []byte("x")})
				if old := last; old.IsValid() && old != src {
					n.send(ServerSide, &Packet{Src: there, Dst: old, Data: []byte("y")})
				}
				time.Sleep(490 * time.Millisecond)
				synctest.Wait()
				if len(client.got) != before+1 || client.got[before].Dst != here {
					t.Errorf("after %d.5 s %d packets came back, want one", i, len(client.got)-before)
				}
				seen[src], last = true, src
			}
			if len(seen) != 4 {
				t.Errorf("%d addresses", len(seen))
			}
		})
	}
}

// Sockets carry marks, deadlines and the end.
func TestConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Link{Delay: Both(time.Second)})
		defer n.Close()
		s, err := n.ListenPacket(ServerSide, there)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.ListenPacket(ServerSide, there); err == nil {
			t.Error("two sockets at one address")
		}
		c, err := n.ListenPacket(ClientSide, netip.AddrPortFrom(here.Addr(), 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.(*conn).WriteToECN([]byte("hello"), s.LocalAddr(), 2); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		s.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if _, _, err := s.ReadFrom(b); err == nil {
			t.Error("it arrived too early")
		}
		s.SetReadDeadline(time.Time{})
		size, from, ecn, err := s.(*conn).ReadFromECN(b)
		if err != nil || string(b[:size]) != "hello" || ecn != 2 || from.String() != c.LocalAddr().String() {
			t.Errorf("%q with %d from %v, %v", b[:size], ecn, from, err)
		}
		ended := make(chan error)
		go func() {
			_, _, err := s.ReadFrom(b)
			ended <- err
		}()
		s.Close()
		if err := <-ended; err != net.ErrClosed {
			t.Errorf("after Close: %v", err)
		}
		rs := n.Records(ServerSide)
		if len(rs) != 1 || rs[0].Sent || rs[0].At.Sub(n.start) != time.Second || len(n.Records(ClientSide)) != 1 {
			t.Errorf("the record is %+v", rs)
		}
	})
}
