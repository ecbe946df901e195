package udp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
)

// marked is a net.PacketConn that carries ECN marks to itself.
type marked struct {
	net.PacketConn
	queue chan mark
}

type mark struct {
	b    []byte
	addr net.Addr
	ecn  uint8
}

func (m *marked) ReadFromECN(p []byte) (int, net.Addr, uint8, error) {
	d := <-m.queue
	return copy(p, d.b), d.addr, d.ecn, nil
}

func (m *marked) WriteToECN(p []byte, addr net.Addr, ecn uint8) (int, error) {
	m.queue <- mark{bytes.Clone(p), addr, ecn}
	return len(p), nil
}

// A MarkedPacketConn gets the mark of each datagram of a train, and what it reads keeps its mark; other bits do not get in.
func TestMarkedPacketConn(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &marked{pc, make(chan mark, 8)}
	s, err := New(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.Features().ECN {
		t.Error("Features tells of no ECN")
	}
	remote := netip.MustParseAddrPort("192.0.2.1:443")
	for ecn := range uint8(4) {
		if err := s.Send([]Train{{Buf: []byte("abcde"), SegSize: 3, Remote: remote, ECN: ecn}}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"abc", "de"} {
			ts := buffers(1)
			n, err := s.Recv(ts)
			if err != nil || n != 1 || string(ts[0].Buf) != want || ts[0].ECN != ecn || ts[0].Remote != remote {
				t.Errorf("%d trains, %v, %q with mark %d from %v; want %q with mark %d", n, err, ts[0].Buf, ts[0].ECN, ts[0].Remote, want, ecn)
			}
		}
	}
	m.queue <- mark{[]byte("x"), net.UDPAddrFromAddrPort(remote), 0xfe}
	ts := buffers(1)
	if _, err := s.Recv(ts); err != nil || ts[0].ECN != 2 {
		t.Errorf("a mark of 0xfe is told as %d, %v", ts[0].ECN, err)
	}
}
