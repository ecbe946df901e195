package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGSORefused has the kernel refuse trains, as a device without checksum offload does: a socket that sends without
// checksums cannot use UDP_SEGMENT.
func TestGSORefused(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	if !a.Features().GSO {
		t.Fatal("this kernel has no GSO")
	}
	setOption(t, a, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	want := pattern(30*1200 + 100)
	for range 2 {
		ts := []Train{
			{Buf: want, SegSize: 1200, Remote: b.LocalAddr(), ECN: 1},
			{Buf: want, SegSize: 1200, Remote: b.LocalAddr(), ECN: 1},
		}
		if err := a.Send(ts); err != nil {
			t.Fatal(err)
		}
		got, _ := receive(t, b, 62)
		checkDatagrams(t, got[:31], want, 1200)
		checkDatagrams(t, got[31:], want, 1200)
		if got[0].ecn != 1 {
			t.Errorf("datagrams that go alone have mark %d, not 1", got[0].ecn)
		}
	}
	if s := a.Stats(); s.GSORefused < 1 || s.GSORefused > 2 || s.SendErrors != 0 {
		t.Errorf("the sender counted %+v, not one or two refused trains and no error", s)
	}
}

func setOption(t *testing.T, s *Socket, level, option, value int) {
	t.Helper()
	rc, err := s.pc.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) })
	if err != nil {
		t.Fatal(err)
	}
}

// TestSendErrorsPass checks that a send that fails hurts neither the socket nor the other trains of the call.
func TestSendErrorsPass(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	for name, c := range map[string]struct {
		bad  Train
		want unix.Errno
	}{
		"larger than any datagram": {Train{Buf: make([]byte, 65508), Remote: b.LocalAddr()}, unix.EMSGSIZE},
		"segments larger than any": {Train{Buf: make([]byte, 3*65508), SegSize: 65508, Remote: b.LocalAddr()}, unix.EMSGSIZE},
		"port 0":                   {Train{Buf: []byte("x"), Remote: netip.MustParseAddrPort("127.0.0.1:0")}, unix.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			before := a.Stats().SendErrors
			good := Train{Buf: []byte("good"), Remote: b.LocalAddr()}
			err := a.Send([]Train{good, c.bad, good})
			if err == nil || errors.Is(err, net.ErrClosed) || !errors.Is(err, c.want) {
				t.Errorf("the bad train brought %v, not %v", err, c.want)
			}
			got, _ := receive(t, b, 2)
			if string(got[0].payload) != "good" || string(got[1].payload) != "good" {
				t.Errorf("received %q and %q, not the good trains", got[0].payload, got[1].payload)
			}
			if a.Stats().SendErrors == before {
				t.Error("the error was not counted")
			}
		})
	}
}

// TestRefusedPort checks that the network's answer to an earlier send, which the kernel tells with the next call, stops
// neither sending nor receiving.
func TestRefusedPort(t *testing.T) {
	gone := open(t, "udp4", "127.77.0.1:0", Options{}) // an address that nobody else uses
	to := gone.LocalAddr()
	gone.Close()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 10 {
		if err := s.Send([]Train{{Buf: []byte("x"), Remote: to}}); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
	back, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if _, err := back.WriteToUDPAddrPort([]byte("hello"), s.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if got, _ := receive(t, s, 1); string(got[0].payload) != "hello" {
		t.Errorf("received %q", got[0].payload)
	}
}

// TestNoFragments checks that the kernel is asked not to fragment, of both IP versions where a socket has both, and not to believe what
// the network says.
func TestNoFragments(t *testing.T) {
	for _, bind := range []struct {
		network, address string
		ipv4, ipv6       bool
	}{{"udp4", "127.0.0.1:0", true, false}, {"udp", ":0", true, true}, {"udp6", ":0", false, true}, {"udp6", "[::1]:0", false, true}} {
		if bind.ipv6 && !haveIPv6() {
			continue
		}
		s := open(t, bind.network, bind.address, Options{})
		if !s.Features().DontFragment {
			t.Errorf("%s %s: the socket does not know of it", bind.network, bind.address)
		}
		rc, _ := s.pc.(*net.UDPConn).SyscallConn()
		rc.Control(func(fd uintptr) {
			if v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); bind.ipv4 && v != unix.IP_PMTUDISC_PROBE {
				t.Errorf("%s %s: IP_MTU_DISCOVER is %d, %v", bind.network, bind.address, v, err)
			}
			if v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER); bind.ipv6 && v != unix.IPV6_PMTUDISC_PROBE {
				t.Errorf("%s %s: IPV6_MTU_DISCOVER is %d, %v", bind.network, bind.address, v, err)
			}
		})
	}
	if f := openHidden(t).Features(); f.DontFragment {
		t.Error("of a net.PacketConn of which nothing is known it is said that it does not fragment")
	}
}

// TestBuffers asks for buffers of many sizes. Where the kernel grants less there is a hint, once, that says what to set.
func TestBuffers(t *testing.T) {
	for _, want := range []int{0, -1, 1 << 20, 1 << 30} {
		s := open(t, "udp4", "127.0.0.1:0", Options{ReadBuffer: want, WriteBuffer: want})
		f := s.Features()
		if f.ReadBuffer <= 0 || f.WriteBuffer <= 0 {
			t.Errorf("wanted %d, have %+v", want, f)
		}
		if want == 0 {
			want = defaultBuffer
		}
		for setting, size := range map[string]int{"net.core.rmem_max=": f.ReadBuffer, "net.core.wmem_max=": f.WriteBuffer} {
			short := size < want
			if n := strings.Count(s.Hint(), fmt.Sprint(setting, want)); short && n != 1 || !short && n != 0 {
				t.Errorf("wanted %d, have %+v, and the hint is %q", want, f, s.Hint())
			}
		}
	}
}

func TestZones(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) == 0 {
		t.Fatalf("no interfaces: %v", err)
	}
	i := interfaces[0]
	if name := zones.name(uint32(i.Index)); name != i.Name {
		t.Errorf("interface %d is %q, not %q", i.Index, name, i.Name)
	}
	if id := zones.index(i.Name); id != uint32(i.Index) {
		t.Errorf("interface %q is %d, not %d", i.Name, id, i.Index)
	}
	if id := zones.index("4242"); id != 4242 {
		t.Errorf("zone 4242 is %d", id)
	}
	var sa sockaddr
	want := netip.MustParseAddrPort("[fe80::1%" + i.Name + "]:443")
	writeSockaddr(&sa, want, true)
	if got := readSockaddr(&sa); got != want {
		t.Errorf("%v became %v", want, got)
	}
}

// TestAllocs guards the zero allocations of sending and receiving.
func TestAllocs(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", ":0"} {
		a, b := open(t, "udp", bind, Options{}), open(t, "udp", bind, Options{})
		in := buffers(4)
		out := []Train{
			{Buf: pattern(10 * 1200), SegSize: 1200, Local: loopback(a, false), Remote: loopback(b, false), ECN: 2},
			{Buf: pattern(40), Remote: loopback(b, false), ECN: 2},
		}
		run := func() {
			if err := a.Send(out); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < len(out[0].Buf)+len(out[1].Buf); {
				n, err := b.Recv(in)
				if err != nil {
					t.Fatal(err)
				}
				for i := range in[:n] {
					got += len(in[i].Buf)
				}
			}
		}
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("bound to %s, two trains out and in take %v allocations", bind, n)
		}
	}
}

func TestTryRecv(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	in := buffers(2)
	if n, err := b.TryRecv(in); n != 0 || err != nil {
		t.Errorf("TryRecv without datagrams returned %d, %v", n, err)
	}
	if err := a.Send([]Train{{Buf: []byte("x"), Remote: b.LocalAddr()}}); err != nil {
		t.Fatal(err)
	}
	for { // loopback delivers within Send, but nothing promises it
		n, err := b.TryRecv(in)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
		runtime.Gosched()
	}
}

// Wake ends a Recv that waits, or the next one, and only that: what arrives later is received.
func TestWake(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	in := buffers(2)
	for range 100 {
		go b.Wake()
		if n, err := b.Recv(in); n != 0 || err != nil {
			t.Fatalf("woken, Recv returned %d, %v", n, err)
		}
		if err := a.Send([]Train{{Buf: []byte("x"), Remote: b.LocalAddr()}}); err != nil {
			t.Fatal(err)
		}
		if n, err := b.Recv(in); n != 1 || err != nil {
			t.Fatalf("Recv returned %d, %v, want the datagram", n, err)
		}
	}
	b.Close()
	b.Wake()
	if n, err := b.Recv(in); n != 0 || err != net.ErrClosed {
		t.Errorf("closed, Recv returned %d, %v", n, err)
	}
}

// TestBufferTooSmall checks that what does not fit is dropped, counted, and costs no other datagram.
func TestBufferTooSmall(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	to := b.LocalAddr()
	ts := []Train{{Buf: []byte("one"), Remote: to}, {Buf: pattern(100), Remote: to}, {Buf: []byte("two"), Remote: to}}
	if err := a.Send(ts); err != nil {
		t.Fatal(err)
	}
	in := []Train{{Buf: make([]byte, 50)}, {Buf: make([]byte, 50)}, {Buf: make([]byte, 50)}}
	var got []string
	for len(got) < 2 {
		n, err := b.Recv(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range in[:n] {
			got = append(got, string(r.Buf))
		}
	}
	if want := []string{"one", "two"}; !slices.Equal(got, want) {
		t.Errorf("received %q, not %q", got, want)
	}
	if n := b.Stats().Truncated; n != 1 {
		t.Errorf("%d messages were counted as truncated, not 1", n)
	}
	for i := range in {
		if cap(in[i].Buf) != 50 {
			t.Errorf("buffer %d was lost", i)
		}
	}
}
