package udp

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// group opens sockets that share a free port of 127.0.0.1.
func group(t *testing.T, n int) []*Socket {
	t.Helper()
	socks, err := ListenGroup("udp4", "127.0.0.1:0", n, Options{ReadBuffer: -1, WriteBuffer: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range socks {
			s.Close()
		}
	})
	if len(socks) != n {
		t.Fatalf("%d sockets, want %d", len(socks), n)
	}
	for _, s := range socks {
		if s.LocalAddr() != socks[0].LocalAddr() {
			t.Fatalf("the sockets are bound to %v and %v", s.LocalAddr(), socks[0].LocalAddr())
		}
	}
	return socks
}

// arrivals has each socket of a group received from, and tells which one got each datagram that is sent.
func arrivals(t *testing.T, socks []*Socket) func(from *Socket, payload []byte) int {
	t.Helper()
	got := make(chan int)
	for i, s := range socks {
		go func() {
			for ts := buffers(1); ; {
				if _, err := s.Recv(ts); err != nil {
					return
				}
				got <- i
			}
		}()
	}
	return func(from *Socket, payload []byte) int {
		t.Helper()
		if err := from.Send([]Train{{Buf: payload, Remote: socks[0].LocalAddr()}}); err != nil {
			t.Fatal(err)
		}
		return <-got
	}
}

// TestGroupSpreads checks that the kernel spreads senders over the sockets, and keeps each sender at its socket.
func TestGroupSpreads(t *testing.T) {
	send := arrivals(t, group(t, 4))
	used := make(map[int]int)
	for range 64 { // that all of them go to one socket has a probability of 4^-63
		from := open(t, "udp4", "127.0.0.1:0", Options{ReadBuffer: -1, WriteBuffer: -1})
		first := send(from, []byte("first"))
		used[first]++
		for range 3 {
			if at := send(from, []byte("again")); at != first {
				t.Errorf("one sender's datagrams came to sockets %d and %d", first, at)
			}
		}
	}
	if len(used) < 2 {
		t.Errorf("64 senders all came to one socket: %v", used)
	}
}

// TestSteer has the first byte of a datagram say which socket it is for.
func TestSteer(t *testing.T) {
	socks := group(t, 3)
	const loadByte, add, returnA = 0x30, 0x04, 0x16
	if err := socks[2].Steer([]Instruction{{Code: loadByte}, {Code: returnA}}); err != nil {
		t.Fatal(err)
	}
	send := arrivals(t, socks)
	from := open(t, "udp4", "127.0.0.1:0", Options{})
	for range 3 {
		for want := range socks {
			if at := send(from, []byte{byte(want), 1, 2}); at != want {
				t.Errorf("a datagram for socket %d came to %d", want, at)
			}
		}
	}
	for _, none := range []byte{3, 255} { // no such socket: the kernel chooses
		if a, b := send(from, []byte{none}), send(from, []byte{none}); a != b {
			t.Errorf("one sender's datagrams came to sockets %d and %d", a, b)
		}
	}
	if err := socks[0].Steer([]Instruction{{Code: loadByte}, {Code: add, K: 1}, {Code: returnA}}); err != nil {
		t.Fatal(err)
	}
	if at := send(from, []byte{1}); at != 2 {
		t.Errorf("with another program the datagram came to %d, not 2", at)
	}
	if err := socks[0].Steer([]Instruction{{Code: 0xffff}}); err == nil {
		t.Error("a program that is none brought no error")
	}
	if err := openHidden(t).Steer(nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("steering a net.PacketConn brought %v", err)
	}
}

// TestGroupExclusive checks that nobody comes into a group unawares: an address in use is in use.
func TestGroupExclusive(t *testing.T) {
	socks := group(t, 2)
	addr := socks[0].LocalAddr().String()
	for _, n := range []int{1, 2} {
		if _, err := ListenGroup("udp4", addr, n, Options{}); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("another group of %d on the same address brought %v, not EADDRINUSE", n, err)
		}
	}
	if _, err := ListenGroup("udp4", "192.0.2.1:1", 2, Options{}); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("an address of another machine brought %v", err)
	}
	one, err := ListenGroup("udp4", "127.0.0.1:0", 1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	one[0].Close()
}

// TestGroupFamilies checks that the sockets of a group are bound alike.
func TestGroupFamilies(t *testing.T) {
	for _, bind := range []struct{ network, address string }{
		{"udp", ":0"}, {"udp", "127.0.0.1:0"}, {"udp4", ":0"}, {"udp", "[::1]:0"}, {"udp6", ":0"},
	} {
		if (bind.network == "udp6" || bind.address == "[::1]:0") && !haveIPv6() {
			continue
		}
		socks, err := ListenGroup(bind.network, bind.address, 3, Options{ReadBuffer: -1, WriteBuffer: -1})
		if err != nil {
			t.Errorf("%s %s: %v", bind.network, bind.address, err)
			continue
		}
		to := socks[0].LocalAddr()
		if to.Addr().IsUnspecified() {
			to = loopback(socks[0], bind.network == "udp6")
		}
		network := "udp4"
		if to.Addr().Is6() {
			network = "udp6"
		}
		const loadByte, returnA = 0x30, 0x16
		if err := socks[0].Steer([]Instruction{{Code: loadByte}, {Code: returnA}}); err != nil {
			t.Errorf("%s %s: %v", bind.network, bind.address, err)
		}
		from := open(t, network, ":0", Options{})
		for i, s := range socks {
			if err := from.Send([]Train{{Buf: []byte{byte(i)}, Remote: to}}); err != nil {
				t.Fatal(err)
			}
			receive(t, s, 1)
		}
		for _, s := range socks {
			s.Close()
		}
	}
}
