package udp

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGSORefused has the kernel refuse trains, as a device without checksum offload does: a socket that sends without
// checksums cannot use UDP_SEGMENT.
func TestGSORefused(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	if !a.Features().GSO {
		t.Skip("no GSO here")
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
	if a.Features().GSO {
		t.Error("GSO is still thought to work")
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
	gone := open(t, "udp4", "127.0.0.1:0", Options{})
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
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	defer back.Close()
	if _, err := back.WriteToUDPAddrPort([]byte("hello"), s.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if got, _ := receive(t, s, 1); string(got[0].payload) != "hello" {
		t.Errorf("received %q", got[0].payload)
	}
}

// TestNoFragments checks that the kernel is asked not to fragment.
func TestNoFragments(t *testing.T) {
	s := open(t, "udp4", "127.0.0.1:0", Options{})
	rc, _ := s.pc.(*net.UDPConn).SyscallConn()
	rc.Control(func(fd uintptr) {
		if v, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); v != unix.IP_PMTUDISC_PROBE {
			t.Errorf("IP_MTU_DISCOVER is %d, %v", v, err)
		}
	})
}

func TestBuffers(t *testing.T) {
	for _, want := range []int{0, -1, 1 << 20, 1 << 40} {
		s := open(t, "udp4", "127.0.0.1:0", Options{ReadBuffer: min(want, 1<<30), WriteBuffer: min(want, 1<<30)})
		f := s.Features()
		if f.ReadBuffer <= 0 || f.WriteBuffer <= 0 {
			t.Errorf("wanted %d, have %+v", want, f)
		}
		short := f.ReadBuffer < min(want, 1<<30) || want == 0 && f.ReadBuffer < defaultBuffer
		if short && !strings.Contains(s.Hint(), "net.core.rmem_max") {
			t.Errorf("wanted %d, have %+v, and the hint is %q", want, f, s.Hint())
		}
		if want == -1 && s.Hint() != "" {
			t.Errorf("nothing was wanted, and the hint is %q", s.Hint())
		}
	}
}

func TestZones(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) == 0 {
		t.Skip("no interfaces")
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
