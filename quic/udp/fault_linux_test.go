package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segmentSize returns the segment size that a message has the kernel cut it into, 0 if none.
func segmentSize(m *mmsghdr) int {
	if m.hdr.Control == nil {
		return 0
	}
	cmsgs, _ := unix.ParseSocketControlMessage(unsafe.Slice(m.hdr.Control, int(m.hdr.Controllen)))
	for _, c := range cmsgs {
		if c.Header.Level == unix.IPPROTO_UDP && c.Header.Type == unix.UDP_SEGMENT {
			return int(binary.NativeEndian.Uint16(c.Data))
		}
	}
	return 0
}

// faulty has each message that s sends judged before the kernel gets it: an error of judge's is what the call returns. It
// counts calls.
func faulty(s *Socket, judge func(m *mmsghdr) syscall.Errno) (calls *atomic.Int64) {
	b := s.io.(*batch)
	calls = new(atomic.Int64)
	b.sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		calls.Add(1)
		for i := range msgs {
			if errno := judge(&msgs[i]); errno != 0 {
				if i == 0 {
					return -1, errno
				}
				return sendmmsg(fd, msgs[:i])
			}
		}
		return sendmmsg(fd, msgs)
	}
	return calls
}

// TestSendErrno has the kernel refuse one message among others, once or each time, with any error that a network gives: the
// others arrive, the loss is told and counted, and there are no more calls than there is reason for.
func TestSendErrno(t *testing.T) {
	for _, errno := range []syscall.Errno{
		unix.ENOBUFS, unix.ENOMEM, unix.EMSGSIZE, unix.EPERM, unix.EACCES, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN,
		unix.EINVAL, unix.EIO, unix.ECONNREFUSED,
	} {
		for _, once := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v once=%v", errno, once), func(t *testing.T) {
				a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
				refused := 0
				calls := faulty(a, func(m *mmsghdr) syscall.Errno {
					if m.hdr.Iov.Len == 3 && (!once || refused == 0) { // "bad"
						refused++
						return errno
					}
					return 0
				})
				good := Train{Buf: []byte("good"), Remote: b.LocalAddr()}
				bad := Train{Buf: []byte("bad"), Remote: b.LocalAddr()}
				ts := []Train{bad, good, good}
				err := a.Send(ts)
				arrives := 2
				if errno == unix.ECONNREFUSED && once { // which is about an earlier message, and told once
					arrives = 3
				}
				if lost := 3 - arrives; lost == 0 && err != nil || lost == 1 && (!errors.Is(err, errno) || errors.Is(err, net.ErrClosed)) {
					t.Errorf("Send returned %v, and %d of 3 trains are lost", err, lost)
				}
				if ts[0].Err != err || ts[1].Err != nil || ts[2].Err != nil {
					t.Errorf("the trains have the errors %v, %v and %v", ts[0].Err, ts[1].Err, ts[2].Err)
				}
				if n := a.Stats().SendErrors; n != uint64(3-arrives) {
					t.Errorf("%d errors were counted, want %d", n, 3-arrives)
				}
				receive(t, b, arrives)
				if n := calls.Load(); n > 4 {
					t.Errorf("%d calls for 3 messages", n)
				}
				if !a.Features().GSO {
					t.Error("GSO was given up for the sake of a single datagram")
				}
			})
		}
	}
}

// TestGSORefusals has the kernel refuse trains as such in every way that is known: what they hold arrives, one datagram at
// a time, and later trains are not tried.
func TestGSORefusals(t *testing.T) {
	for _, errno := range []syscall.Errno{
		unix.EIO, unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP, unix.ENOPROTOOPT, 524,
	} {
		t.Run(errno.Error(), func(t *testing.T) {
			a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
			calls := faulty(a, func(m *mmsghdr) syscall.Errno {
				if segmentSize(m) > 0 {
					return errno
				}
				return 0
			})
			want := pattern(20*1200 + 7)
			for range 3 {
				ts := []Train{
					{Buf: []byte("first"), Remote: b.LocalAddr()},
					{Buf: want, SegSize: 1200, Remote: b.LocalAddr()},
					{Buf: []byte("last"), Remote: b.LocalAddr()},
				}
				if err := a.Send(ts); err != nil {
					t.Fatal(err)
				}
				got, _ := receive(t, b, 23)
				checkDatagrams(t, got[1:22], want, 1200)
				if string(got[0].payload) != "first" || string(got[22].payload) != "last" {
					t.Errorf("the trains before and after are %q and %q", got[0].payload, got[22].payload)
				}
			}
			if s := a.Stats(); !a.Features().GSO || s.GSORefused != 1 || s.SendErrors != 0 {
				t.Errorf("counted %+v, and GSO is %v", s, a.Features().GSO)
			}
			if n := calls.Load(); n > 20 {
				t.Errorf("%d calls for 69 datagrams", n)
			}
			// To no address is a train sent: then the socket cannot.
			for _, ip := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"} {
				to := netip.AddrPortFrom(netip.MustParseAddr(ip), b.LocalAddr().Port())
				if err := a.Send([]Train{{Buf: want, SegSize: 1200, Remote: to}}); err != nil {
					t.Fatal(err)
				}
			}
			if s := a.Stats(); a.Features().GSO || s.GSORefused != refusedToGiveUp || s.SendErrors != 0 {
				t.Errorf("counted %+v, and GSO is %v", s, a.Features().GSO)
			}
		})
	}
}

// TestGSORefusedOnOneRoute has the kernel refuse trains to one address, as it does where IPsec or a poor device lies on the way: to others
// they go on, whichever comes first, and however many such addresses there are.
func TestGSORefusedOnOneRoute(t *testing.T) {
	for _, first := range []string{"well", "refused"} {
		t.Run(first, func(t *testing.T) {
			a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
			faulty(a, func(m *mmsghdr) syscall.Errno {
				to := readSockaddr((*sockaddr)(unsafe.Pointer(m.hdr.Name)))
				if segmentSize(m) > 0 && to.Addr() != b.LocalAddr().Addr() {
					return unix.EIO
				}
				return 0
			})
			elsewhere := func(i byte) netip.AddrPort {
				return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, i}), b.LocalAddr().Port())
			}
			train := func(to netip.AddrPort) Train { return Train{Buf: pattern(5 * 1200), SegSize: 1200, Remote: to} }
			send := func(ts ...Train) {
				t.Helper()
				if err := a.Send(ts); err != nil {
					t.Fatal(err)
				}
			}
			if first == "refused" {
				send(train(elsewhere(0)))
			}
			send(train(b.LocalAddr()))
			receive(t, b, 5)
			for i := range byte(100) {
				send(train(elsewhere(i)), train(elsewhere(i)), train(b.LocalAddr()))
				if _, trains := receive(t, b, 5); trains != 1 {
					t.Fatalf("after %d addresses that refuse, %d trains came in place of one", i+1, trains)
				}
			}
			if s := a.Stats(); s.GSORefused > 200 || s.SendErrors != 0 || !a.Features().GSO {
				t.Errorf("counted %+v, and GSO is %v", s, a.Features().GSO)
			}
		})
	}
}

// TestSmallMTU has the device take at most 1300 bytes: larger datagrams are lost, alone and in trains, and GSO, which is not
// to blame, goes on with smaller ones.
func TestSmallMTU(t *testing.T) {
	for _, trainError := range []syscall.Errno{unix.EINVAL, unix.EMSGSIZE} { // older and newer kernels
		a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
		calls := faulty(a, func(m *mmsghdr) syscall.Errno {
			seg := segmentSize(m)
			switch {
			case seg > 1300:
				return trainError
			case seg == 0 && m.hdr.Iov.Len > 1300:
				return unix.EMSGSIZE
			}
			return 0
		})
		large := Train{Buf: pattern(8 * 1400), SegSize: 1400, Remote: b.LocalAddr()}
		probe := Train{Buf: pattern(1400), Remote: b.LocalAddr()}
		small := Train{Buf: pattern(8 * 1200), SegSize: 1200, Remote: b.LocalAddr()}
		if err := a.Send([]Train{large, probe, small}); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("Send returned %v, not EMSGSIZE", err)
		}
		got, trains := receive(t, b, 8)
		checkDatagrams(t, got, small.Buf, 1200)
		if !a.Features().GSO || trains != 1 {
			t.Errorf("small datagrams came in %d trains, and GSO is %v", trains, a.Features().GSO)
		}
		if s := a.Stats(); s.SendErrors != 9 || s.GSORefused != 1 {
			t.Errorf("counted %+v, want 9 datagrams lost and one train refused", s)
		}
		if n := calls.Load(); n > 20 {
			t.Errorf("%d calls for 17 datagrams", n)
		}
	}
}

// TestPartialSend has the kernel take one message a call, and be interrupted before each.
func TestPartialSend(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{NoGSO: true}), open(t, "udp4", "127.0.0.1:0", Options{})
	interrupted := false
	a.io.(*batch).sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		if interrupted = !interrupted; interrupted {
			return -1, unix.EINTR
		}
		return sendmmsg(fd, msgs[:1])
	}
	want := pattern(100*300 + 5)
	if err := a.Send([]Train{{Buf: want, SegSize: 300, Remote: b.LocalAddr()}}); err != nil {
		t.Fatal(err)
	}
	got, _ := receive(t, b, 101)
	checkDatagrams(t, got, want, 300)
}

// gate is a RawConn whose poller a test plays: Write waits until the test says that the socket is writable.
type gate struct {
	syscall.RawConn
	waits, writable chan struct{}
}

func (g *gate) Write(try func(fd uintptr) bool) error {
	done := false
	for !done {
		if err := g.RawConn.Control(func(fd uintptr) { done = try(fd) }); err != nil {
			return err
		}
		if !done {
			g.waits <- struct{}{}
			if _, ok := <-g.writable; !ok {
				return net.ErrClosed
			}
		}
	}
	return nil
}

// fullBuffer is a socket whose send buffer has room for so many messages, and the gate at which Send waits then.
func fullBuffer(t *testing.T, room int) (s *Socket, g *gate, free func(messages int), calls *atomic.Int64) {
	s = open(t, "udp4", "127.0.0.1:0", Options{NoGSO: true})
	b := s.io.(*batch)
	g = &gate{RawConn: b.rc, waits: make(chan struct{}), writable: make(chan struct{})}
	b.rc = g
	var left atomic.Int64
	left.Store(int64(room))
	calls = new(atomic.Int64)
	b.sendmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		calls.Add(1)
		n := min(len(msgs), int(left.Load()))
		if n == 0 {
			return -1, unix.EAGAIN
		}
		left.Add(-int64(n))
		return sendmmsg(fd, msgs[:n])
	}
	free = func(messages int) {
		left.Add(int64(messages))
		g.writable <- struct{}{}
	}
	return s, g, free, calls
}

// TestSendBufferFull has the kernel's buffer be full, time and again: Send waits, without calls, and nothing is lost or changes
// places.
func TestSendBufferFull(t *testing.T) {
	a, g, free, calls := fullBuffer(t, 7)
	b := open(t, "udp4", "127.0.0.1:0", Options{})
	want := pattern(30 * 100)
	sent := make(chan error)
	go func() { sent <- a.Send([]Train{{Buf: want, SegSize: 100, Remote: b.LocalAddr()}}) }()
	for round, room := range []int{0, 10, 1, 0, 100} {
		select {
		case <-g.waits:
		case err := <-sent:
			t.Fatalf("Send returned %v in round %d, while the buffer was full", err, round)
		}
		free(room)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	got, _ := receive(t, b, 30)
	checkDatagrams(t, got, want, 100)
	if s := a.Stats(); s.SendErrors != 0 || s.Sent != 30 {
		t.Errorf("counted %+v", s)
	}
	// The messages are prepared in 4 lots. For each of those, and each round, one call succeeds and one fails.
	if n := calls.Load(); n > 16 {
		t.Errorf("%d calls", n)
	}
}

// TestCloseWhileFull closes a socket while Send waits for room.
func TestCloseWhileFull(t *testing.T) {
	a, g, _, _ := fullBuffer(t, 0)
	sent := make(chan error)
	go func() { sent <- a.Send([]Train{{Buf: []byte("x"), Remote: a.LocalAddr()}}) }()
	<-g.waits
	a.Close()
	close(g.writable)
	if err := <-sent; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send returned %v, not net.ErrClosed", err)
	}
}

// TestRecvErrno has calls to receive fail: what the network says of earlier sends does not stop the socket, nor does a call that fails
// for good go on for ever.
func TestRecvErrno(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	var fails, calls atomic.Int64
	var errno atomic.Uint32
	r := b.io.(*batch)
	r.recvmmsg = func(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
		calls.Add(1)
		if fails.Add(-1) >= 0 {
			return -1, syscall.Errno(errno.Load())
		}
		return recvmmsg(fd, msgs)
	}
	for _, e := range []syscall.Errno{
		unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENETDOWN, unix.EMSGSIZE, unix.EPERM, unix.EACCES,
		unix.ENOMEM, unix.ENOBUFS, unix.EPROTO,
	} {
		errno.Store(uint32(e))
		fails.Store(20)
		if err := a.Send([]Train{{Buf: []byte(e.Error()), Remote: b.LocalAddr()}}); err != nil {
			t.Fatal(err)
		}
		if got, _ := receive(t, b, 1); string(got[0].payload) != e.Error() {
			t.Errorf("after %v received %q", e, got[0].payload)
		}
	}
	errno.Store(uint32(unix.EIO))
	fails.Store(1 << 40)
	calls.Store(0)
	if _, err := b.Recv(buffers(1)); !errors.Is(err, unix.EIO) {
		t.Errorf("a call that fails each time brought %v, not EIO", err)
	}
	if n := calls.Load(); n > maxFailedReads {
		t.Errorf("%d calls, want at most %d", n, maxFailedReads)
	}
}

// TestDeadlinesTakenAway checks that a deadline which the caller had set does not end the socket.
func TestDeadlinesTakenAway(t *testing.T) {
	a := open(t, "udp4", "127.0.0.1:0", Options{})
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.SetDeadline(time.Unix(1, 0))
	s, err := New(pc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send([]Train{{Buf: []byte("x"), Remote: a.LocalAddr()}}); err != nil {
		t.Error(err)
	}
	if err := a.Send([]Train{{Buf: []byte("x"), Remote: s.LocalAddr()}}); err != nil {
		t.Error(err)
	}
	receive(t, s, 1)
}

// embedding is a *net.UDPConn in disguise, whose own methods see every datagram.
type embedding struct {
	*net.UDPConn
	read, written atomic.Int64
}

func (e *embedding) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := e.UDPConn.ReadFrom(b)
	if err == nil {
		e.read.Add(1)
	}
	return n, from, err
}

func (e *embedding) WriteTo(b []byte, to net.Addr) (int, error) {
	e.written.Add(1)
	return e.UDPConn.WriteTo(b, to)
}

// TestWrapper checks that what wraps a *net.UDPConn sees all that passes, and that the socket beneath does not fragment.
func TestWrapper(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	e := &embedding{UDPConn: c}
	s, err := New(e, Options{ReadBuffer: 300 << 10, WriteBuffer: 300 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := open(t, "udp4", "127.0.0.1:0", Options{})
	want := pattern(5 * 500)
	for _, way := range []struct{ from, to *Socket }{{s, a}, {a, s}} {
		if err := way.from.Send([]Train{{Buf: want, SegSize: 500, Remote: way.to.LocalAddr()}}); err != nil {
			t.Fatal(err)
		}
		got, _ := receive(t, way.to, 5)
		checkDatagrams(t, got, want, 500)
	}
	if e.read.Load() != 5 || e.written.Load() != 5 {
		t.Errorf("the wrapper saw %d datagrams come and %d go, not 5 and 5", e.read.Load(), e.written.Load())
	}
	rc, _ := c.SyscallConn()
	rc.Control(func(fd uintptr) {
		if v, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); v != unix.IP_PMTUDISC_PROBE {
			t.Errorf("IP_MTU_DISCOVER beneath the wrapper is %d", v)
		}
	})
	if f := s.Features(); f.ReadBuffer < 200<<10 || f.GSO || f.ECN {
		t.Errorf("the wrapper has %+v", f)
	}
	ts := []Train{{Buf: []byte("fits"), Remote: a.LocalAddr()}, {Buf: make([]byte, 65508), Remote: a.LocalAddr()}}
	if err := s.Send(ts); !errors.Is(err, unix.EMSGSIZE) || ts[0].Err != nil || ts[1].Err != err {
		t.Errorf("a datagram that is too long brought %v", err)
	}
	if err := s.Send([]Train{{Buf: bytes.Repeat([]byte("x"), 10), Remote: a.LocalAddr()}}); err != nil {
		t.Errorf("the next one brought %v", err)
	}
}

// TestSendFull has the kernel's buffer stay full: a send waits for a time and loses what it has, and those behind it lose theirs at once, until there is room
// again.
func TestSendFull(t *testing.T) {
	a, b := open(t, "udp4", "127.0.0.1:0", Options{}), open(t, "udp4", "127.0.0.1:0", Options{})
	a.io.(*batch).fullWait = time.Millisecond
	full := true
	calls := faulty(a, func(*mmsghdr) syscall.Errno {
		if full {
			return unix.EAGAIN
		}
		return 0
	})
	ts := []Train{{Buf: []byte("one"), Remote: b.LocalAddr()}, {Buf: []byte("two"), Remote: b.LocalAddr()}}
	for range 3 {
		before := calls.Load()
		for i := range ts {
			ts[i].Err = nil
		}
		if err := a.Send(ts); !errors.Is(err, unix.EAGAIN) || !errors.Is(ts[0].Err, unix.EAGAIN) || !errors.Is(ts[1].Err, unix.EAGAIN) {
			t.Fatalf("Send: %v; trains: %v, %v", err, ts[0].Err, ts[1].Err)
		}
		if before > 0 && calls.Load() != before+1 {
			t.Errorf("with a buffer that is known to be full there were %d calls", calls.Load()-before)
		}
	}
	full = false
	for range 2 {
		if err := a.Send(ts[:1]); err != nil {
			t.Errorf("with room: %v", err)
		}
		receive(t, b, 1)
	}
	// It waits again, also for one that is woken by the end of the socket.
	full = true
	a.io.(*batch).fullWait = time.Hour
	sent := make(chan error)
	go func() { sent <- a.Send(ts[:1]) }()
	a.Close()
	if err := <-sent; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send of a socket that was closed: %v", err)
	}
}
