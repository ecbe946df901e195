package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// A net.PacketConn that is kept open works when its Socket is closed as it did before, and so does a further Socket.
func TestKeepOpen(t *testing.T) {
	for name, wrap := range map[string]func(net.PacketConn) net.PacketConn{
		"UDPConn": func(pc net.PacketConn) net.PacketConn { return pc },
		"wrapped": func(pc net.PacketConn) net.PacketConn { return hidden{pc} },
	} {
		t.Run(name, func(t *testing.T) {
			for _, network := range []string{"udp4", "udp"} {
				pc, err := net.ListenPacket(network, ":0")
				if err != nil {
					t.Fatal(err)
				}
				defer pc.Close()
				before := newKept(pc).options
				peer := open(t, "udp4", "127.0.0.1:0", Options{})
				to := Train{SegSize: 100, Buf: pattern(1000), Remote: throughLoopback(pc)}
				for range 3 {
					s, err := New(wrap(pc), Options{KeepOpen: true})
					if err != nil {
						t.Fatal(err)
					}
					keepAndClose(t, s, peer, to)
					after := newKept(pc).options
					for i := range before {
						if before[i] != after[i] {
							t.Errorf("an option was %v, and is %v", before[i], after[i])
						}
					}
					// Others have each datagram on its own, and none is lost.
					if err := peer.Send([]Train{to}); err != nil {
						t.Fatal(err)
					}
					b := make([]byte, 2000)
					for range 10 {
						if n, _, err := pc.ReadFrom(b); n != 100 || err != nil {
							t.Fatalf("%d bytes, %v", n, err)
						}
					}
				}
			}
		})
	}
}

// throughLoopback is where a socket on all addresses is reached.
func throughLoopback(pc net.PacketConn) netip.AddrPort {
	local, _ := addrPort(pc.LocalAddr())
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), local.Port())
}

// keepAndClose receives something, and closes the socket while a Recv waits.
func keepAndClose(t *testing.T, s, peer *Socket, to Train) {
	t.Helper()
	if err := peer.Send([]Train{to}); err != nil {
		t.Fatal(err)
	}
	ts := buffers(1)
	for got := 0; got < len(to.Buf); {
		if _, err := s.Recv(ts); err != nil {
			t.Fatal(err)
		}
		got += len(ts[0].Buf)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Recv(ts); err != nil {
				ended <- err
				return
			}
		}
	}()
	s.Wake()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select { // Close has waited for it
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Recv: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Recv goes on after Close")
	}
	if err := s.Send([]Train{to}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	s.Wake()
	if err := s.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
}

// deaf is a net.PacketConn without deadlines.
type deaf struct{ net.PacketConn }

func (deaf) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// A net.PacketConn that knows no deadlines is closed, since nothing else ends its ReadFrom.
func TestKeepOpenWithoutDeadlines(t *testing.T) {
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(deaf{pc}, Options{KeepOpen: true})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Recv(buffers(1))
		ended <- err
	}()
	if err := s.Close(); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Recv: %v", err)
	}
}
