package udp

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// batch moves trains in batches, by system calls of our own on the socket of a *net.UDPConn. RawConn keeps the descriptor
// alive meanwhile, and its Read and Write wait in the runtime's poller.
type batch struct {
	s        *Socket
	rc       syscall.RawConn
	inet6    bool // the socket's family; IPv4 then passes mapped into IPv6
	wildcard bool // bound to all addresses: packet info tells the local one
	trains   gso  // whether they leave in one message

	recvmmsg, sendmmsg func(fd uintptr, msgs []mmsghdr) (n int, errno syscall.Errno) // fields for tests' sake

	in   receiver
	errs errorQueue

	fullWait time.Duration // how long a send waits for room in the kernel's buffer; a field for tests' sake
	full     atomic.Bool   // one has waited so long, and there was no room since: further ones do not wait

	mu      sync.Mutex
	free    []*sendOp // at most maxFreeOps
	waiting int       // sends that wait for room
}

// open sets the socket up for batches, or for one datagram a call if the kernel cannot do them.
func (s *Socket) open(c *net.UDPConn, o Options) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	b := &batch{s: s, rc: rc, wildcard: s.local.Addr().IsUnspecified(), recvmmsg: recvmmsg, sendmmsg: sendmmsg, fullWait: maxFullWait}
	batches := false
	err = rc.Control(func(fd uintptr) {
		batches = canBatch(fd)
		b.setup(int(fd), o)
		s.hint = s.feat.sizeBuffers(int(fd), o)
	})
	if err != nil {
		return err
	}
	if !batches {
		s.feat = Features{DontFragment: s.feat.DontFragment, ReadBuffer: s.feat.ReadBuffer, WriteBuffer: s.feat.WriteBuffer}
		s.io = &plainUDP{s: s, c: c}
		return nil
	}
	b.in.init(b)
	s.io = b
	return nil
}

func (b *batch) gso() bool { return b.trains.on.Load() }

// canBatch tells whether recvmmsg and sendmmsg exist; a sandbox may forbid them.
func canBatch(fd uintptr) bool {
	_, in := recvmmsg(fd, nil)
	_, out := sendmmsg(fd, nil)
	missing := func(e syscall.Errno) bool { return e == unix.ENOSYS || e == unix.EPERM || e == unix.EACCES }
	return !missing(in) && !missing(out)
}

// setup asks the kernel for what it can do. An option that it does not know is a feature that the socket does not have.
func (b *batch) setup(fd int, o Options) {
	set := func(level, option, value int) bool { return unix.SetsockoptInt(fd, level, option, value) == nil }
	f := &b.s.feat
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	b.inet6 = err == nil && domain == unix.AF_INET6

	b.s.dontFragment(uintptr(fd))
	f.ECN = set(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	f.PacketInfo = true
	if b.inet6 {
		f.ECN = set(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
	}
	switch {
	case b.wildcard && b.inet6:
		f.PacketInfo = set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	case b.wildcard:
		f.PacketInfo = set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	f.GRO = !o.NoGRO && set(unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	_, err = unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	b.trains.on.Store(!o.NoGSO && err == nil && kernelMajor() >= 5)
}

// kernelMajor returns the first number of the kernel's version. 4.18 and 4.19 know UDP_SEGMENT, but distributions ship
// them with a GSO that is slower than none.
func kernelMajor() int {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return 0
	}
	major, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), ".")
	n, _ := strconv.Atoi(major)
	return n
}

// tune sets up what is beneath a net.PacketConn, as far as it is a UDP socket.
func (s *Socket) tune(c syscall.Conn, o Options) {
	rc, err := c.SyscallConn()
	if err != nil {
		return
	}
	rc.Control(func(fd uintptr) {
		s.dontFragment(fd)
		s.hint = s.feat.sizeBuffers(int(fd), o)
	})
}

// sizeBuffers enlarges the kernel's buffers to what is wanted, as far as it lets us; none is made smaller. The hint is
// empty if they are large enough.
func (f *Features) sizeBuffers(fd int, o Options) (hint string) {
	var short, settings []string
	note := func(what, setting string, size, want int) {
		if size < want {
			short = append(short, fmt.Sprintf("the %s buffer has %d KiB of %d", what, size>>10, want>>10))
			settings = append(settings, fmt.Sprintf("net.core.%s=%d", setting, want))
		}
	}
	want := o.ReadBuffer
	f.ReadBuffer = sizeBuffer(fd, &want, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE)
	note("receive", "rmem_max", f.ReadBuffer, want)
	want = o.WriteBuffer
	f.WriteBuffer = sizeBuffer(fd, &want, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE)
	note("send", "wmem_max", f.WriteBuffer, want)
	if len(short) == 0 {
		return ""
	}
	return fmt.Sprintf("the kernel's UDP buffers are small (%s): for speed, run sysctl -w %s", strings.Join(short, ", "),
		strings.Join(settings, " "))
}

// sizeBuffer enlarges one buffer, and returns how large it is then.
func sizeBuffer(fd int, want *int, option, force int) (size int) {
	// The kernel doubles what is set, for its bookkeeping, and reports the double.
	size = bufferSize(fd, option)
	if *want == 0 {
		*want = defaultBuffer
	}
	if size >= *want {
		return size
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, *want) != nil { // takes CAP_NET_ADMIN, and no limit holds
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, *want)
	}
	return bufferSize(fd, option)
}

func bufferSize(fd, option int) int {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	if err != nil {
		return 0
	}
	return n / 2
}
