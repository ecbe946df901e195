package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
)

// open opens a socket for a test.
func open(t testing.TB, network, address string, o Options) *Socket {
	t.Helper()
	s, err := Listen(network, address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// haveIPv6 tells whether the machine has IPv6.
func haveIPv6() bool {
	pc, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	pc.Close()
	return true
}

// hidden is a socket of which nobody can see that it is a *net.UDPConn.
type hidden struct{ net.PacketConn }

// openHidden opens a socket that passes one datagram a call.
func openHidden(t testing.TB) *Socket {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(hidden{pc}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func buffers(n int) []Train {
	ts := make([]Train, n)
	for i := range ts {
		ts[i].Buf = make([]byte, RecvBufSize)
	}
	return ts
}

// pattern returns n bytes that differ from their neighbours.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// datagram is one received datagram.
type datagram struct {
	payload       []byte
	local, remote netip.AddrPort
	ecn           uint8
}

// receive receives count datagrams, in however many trains they come.
func receive(t *testing.T, s *Socket, count int) (got []datagram, trains int) {
	t.Helper()
	ts := buffers(4)
	for len(got) < count {
		n, err := s.Recv(ts)
		if err != nil {
			t.Fatal(err)
		}
		trains += n
		for _, r := range ts[:n] {
			for b := r.Buf; ; b = b[r.SegSize:] {
				size := min(r.SegSize, len(b))
				got = append(got, datagram{bytes.Clone(b[:size]), r.Local, r.Remote, r.ECN})
				if size == len(b) {
					break
				}
			}
		}
	}
	return got, trains
}

// loopback returns the address of a socket on the loopback interface of the given IP version.
func loopback(s *Socket, v6 bool) netip.AddrPort {
	ip := netip.MustParseAddr("127.0.0.1")
	if v6 {
		ip = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(ip, s.LocalAddr().Port())
}

func TestTrains(t *testing.T) {
	for _, way := range []struct {
		network, bind string
		v6            bool
	}{
		{"udp4", "127.0.0.1:0", false},
		{"udp4", ":0", false},
		{"udp6", "[::1]:0", true},
		{"udp6", "[::]:0", true},
		{"udp", ":0", false},
		{"udp", ":0", true},
	} {
		if way.v6 && !haveIPv6() {
			continue
		}
		for _, o := range []Options{{}, {NoGRO: true}, {NoGSO: true}, {NoGSO: true, NoGRO: true}} {
			t.Run(fmt.Sprintf("%s %s v6=%v %+v", way.network, way.bind, way.v6, o), func(t *testing.T) {
				a, b := open(t, way.network, way.bind, o), open(t, way.network, way.bind, o)
				testTrain(t, a, b, way.v6)
			})
		}
	}
}

func testTrain(t *testing.T, a, b *Socket, v6 bool) {
	from, to := loopback(a, v6), loopback(b, v6)
	for _, size := range []struct{ total, seg, datagrams int }{
		{total: 1200, seg: 1200, datagrams: 1},
		{total: 1200, seg: 0, datagrams: 1},
		{total: 3600, seg: 1200, datagrams: 3},
		{total: 5*1472 + 700, seg: 1472, datagrams: 6},
		{total: 40*1200 + 1, seg: 1200, datagrams: 41},
		{total: 1, seg: 1, datagrams: 1},
	} {
		for ecn := range uint8(4) {
			want := pattern(size.total)
			err := a.Send([]Train{{Buf: want, SegSize: size.seg, Local: from, Remote: to, ECN: ecn}})
			if err != nil {
				t.Fatal(err)
			}
			got, trains := receive(t, b, size.datagrams)
			checkDatagrams(t, got, want, size.seg)
			for _, d := range got {
				if d.remote != from {
					t.Errorf("received from %v, not %v", d.remote, from)
				}
				if f := b.Features(); f.PacketInfo && d.local != to {
					t.Errorf("received at %v, not %v", d.local, to)
				}
				if b.Features().ECN && a.Features().ECN && d.ecn != ecn {
					t.Errorf("received mark %d, not %d", d.ecn, ecn)
				}
			}
			if a.Features().GSO && b.Features().GRO && trains != 1 {
				t.Errorf("%d datagrams came in %d trains, not in one", len(got), trains)
			}
		}
	}
	for _, s := range []Stats{a.Stats(), b.Stats()} {
		if s.GSORefused+s.SendErrors+s.Truncated > 0 {
			t.Errorf("counted %+v, though all went well", s)
		}
	}
	if out, in := a.Stats(), b.Stats(); out.Sent < 24 || in.Received < 24 || out.SendCalls > out.Sent || in.RecvCalls < 1 {
		t.Errorf("for 24 trains the sender counted %+v, the receiver %+v", out, in)
	}
}

func checkDatagrams(t *testing.T, got []datagram, want []byte, seg int) {
	t.Helper()
	for i, d := range got {
		size := len(want)
		if seg > 0 {
			size = min(seg, len(want))
		}
		if !bytes.Equal(d.payload, want[:size]) {
			t.Fatalf("datagram %d has %d bytes that are not the %d sent", i, len(d.payload), size)
		}
		want = want[size:]
	}
	if len(want) > 0 {
		t.Fatalf("%d bytes were not received", len(want))
	}
}

func TestLongTrainTakesSeveralMessages(t *testing.T) {
	for _, o := range []Options{{}, {NoGSO: true}} {
		a, b := open(t, "udp4", "127.0.0.1:0", o), open(t, "udp4", "127.0.0.1:0", Options{})
		for _, size := range []struct{ total, seg int }{
			{100 * 500, 500},     // more segments than one message takes
			{60*1472 + 9, 1472},  // more bytes
			{70*1200 + 17, 1200}, // both
			{3 * 40000, 40000},   // one segment a message
		} {
			want := pattern(size.total)
			if err := a.Send([]Train{{Buf: want, SegSize: size.seg, Remote: b.LocalAddr()}}); err != nil {
				t.Fatal(err)
			}
			got, _ := receive(t, b, (size.total+size.seg-1)/size.seg)
			checkDatagrams(t, got, want, size.seg)
		}
	}
}

func TestSendSeveralTrains(t *testing.T) {
	for _, o := range []Options{{}, {NoGSO: true}} {
		a := open(t, "udp4", "127.0.0.1:0", o)
		peers := make([]*Socket, 150) // more than one system call takes
		ts := make([]Train, len(peers))
		for i := range peers {
			peers[i] = open(t, "udp4", "127.0.0.1:0", Options{ReadBuffer: -1})
			ts[i] = Train{Buf: pattern(1000 + 3*i), SegSize: 500, Remote: peers[i].LocalAddr()}
		}
		if err := a.Send(ts); err != nil {
			t.Fatal(err)
		}
		for i, p := range peers {
			got, _ := receive(t, p, (len(ts[i].Buf)+499)/500)
			checkDatagrams(t, got, ts[i].Buf, 500)
		}
	}
}

func TestEmptyDatagram(t *testing.T) {
	for name, s := range map[string]*Socket{"batch": open(t, "udp4", "127.0.0.1:0", Options{}), "plain": openHidden(t)} {
		t.Run(name, func(t *testing.T) {
			a := open(t, "udp4", "127.0.0.1:0", Options{})
			if err := a.Send([]Train{{Remote: s.LocalAddr()}, {Buf: []byte("x"), Remote: s.LocalAddr()}}); err != nil {
				t.Fatal(err)
			}
			got, _ := receive(t, s, 2)
			if len(got[0].payload) != 0 || string(got[1].payload) != "x" {
				t.Errorf("received %q and %q, not nothing and x", got[0].payload, got[1].payload)
			}
			if err := s.Send([]Train{{Remote: a.LocalAddr()}}); err != nil {
				t.Fatal(err)
			}
			receive(t, a, 1)
		})
	}
}

func TestAnyPacketConn(t *testing.T) {
	a, b := openHidden(t), openHidden(t)
	if f := a.Features(); f != (Features{}) {
		t.Errorf("an unknown net.PacketConn has %+v", f)
	}
	want := pattern(3*1200 + 5)
	if err := a.Send([]Train{{Buf: want, SegSize: 1200, Remote: b.LocalAddr()}}); err != nil {
		t.Fatal(err)
	}
	got, _ := receive(t, b, 4)
	checkDatagrams(t, got, want, 1200)
	if got[0].remote != a.LocalAddr() {
		t.Errorf("received from %v, not %v", got[0].remote, a.LocalAddr())
	}
}

func TestClose(t *testing.T) {
	for name, s := range map[string]*Socket{"batch": open(t, "udp4", "127.0.0.1:0", Options{}), "plain": openHidden(t)} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error)
			go func() {
				_, err := s.Recv(buffers(1))
				done <- err
			}()
			runtime.Gosched()
			s.Close()
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Recv returned %v, not net.ErrClosed", err)
			}
			if _, err := s.Recv(buffers(1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Recv after Close returned %v, not net.ErrClosed", err)
			}
			x := Train{Buf: []byte("x"), Remote: netip.MustParseAddrPort("127.0.0.1:9")}
			ts := []Train{x, x}
			err := s.Send(ts)
			if !errors.Is(err, net.ErrClosed) || ts[0].Err != err || ts[1].Err != err {
				t.Errorf("Send after Close returned %v, not net.ErrClosed; of the trains it says %v and %v", err, ts[0].Err, ts[1].Err)
			}
		})
	}
}

func TestListenErrors(t *testing.T) {
	s := open(t, "udp4", "127.0.0.1:0", Options{})
	var op *net.OpError
	if _, err := Listen("udp4", s.LocalAddr().String(), Options{}); !errors.As(err, &op) {
		t.Errorf("a port in use brought %v, not a *net.OpError", err)
	}
	if _, err := Listen("udp4", "127.0.0.1:not-a-port", Options{}); err == nil {
		t.Error("a bad port brought no error")
	}
}
