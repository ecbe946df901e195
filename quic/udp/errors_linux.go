package udp

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// maxErrors is how many errors are reported together, and quoteLen how many bytes of a datagram are kept.
	maxErrors = 64
	quoteLen  = 64
)

// errorQueue is what the network has said of datagrams sent before: the kernel queues it (IP_RECVERR) and has the next call on the
// socket, of any kind, fail with it. The goroutine that receives reads the queue; one that sends and finds such an error
// wakes it.
type errorQueue struct {
	tell  func([]NetError) // nil: errors are not queued
	waits atomic.Bool      // there may be some
	buf   []byte
	found []NetError
}

func (b *batch) report(f func([]NetError)) bool {
	on := false
	err := b.rc.Control(func(fd uintptr) {
		on = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1) == nil
		if b.inet6 {
			on = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1) == nil
		}
	})
	if err != nil || !on {
		return false
	}
	b.errs.tell = f
	return true
}

// noteErrors has the receiving goroutine look into the queue, for one that sends.
func (b *batch) noteErrors() {
	if b.errs.tell != nil && !b.errs.waits.Swap(true) {
		b.wake()
	}
}

// readErrors empties the queue, and tells whether there was anything.
func (b *batch) readErrors() (any bool) {
	q := &b.errs
	if q.tell == nil {
		return false
	}
	q.waits.Store(false)
	if q.buf == nil {
		q.buf = make([]byte, maxErrors*quoteLen)
	}
	for more := true; more; {
		q.found = q.found[:0]
		if b.rc.Control(func(fd uintptr) { more = b.fillErrors(int(fd)) }) != nil {
			return any
		}
		any = any || more || len(q.found) > 0
		if len(q.found) > 0 {
			q.tell(q.found)
		}
	}
	return any
}

// fillErrors takes errors from the queue, and tells whether there may be more.
func (b *batch) fillErrors(fd int) (more bool) {
	q := &b.errs
	var oob [256]byte
	for range maxErrors {
		quote := q.buf[len(q.found)*quoteLen:][:quoteLen:quoteLen]
		n, oobn, _, from, err := unix.Recvmsg(fd, quote, oob[:], unix.MSG_ERRQUEUE)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false
		}
		if errno := networkError(oob[:oobn]); errno != 0 {
			q.found = append(q.found, NetError{Remote: ofSockaddr(from), Quote: quote[:n], Err: errno})
		}
	}
	return true
}

// networkError returns the error that the control messages of the queue hold, 0 if it is not the network's but the kernel's own, which
// the call that it is about has returned.
func networkError(oob []byte) syscall.Errno {
	const originICMP, originICMP6 = 2, 3 // struct sock_extended_err
	cmsgs, _ := unix.ParseSocketControlMessage(oob)
	for _, c := range cmsgs {
		v4 := c.Header.Level == unix.IPPROTO_IP && c.Header.Type == unix.IP_RECVERR
		v6 := c.Header.Level == unix.IPPROTO_IPV6 && c.Header.Type == unix.IPV6_RECVERR
		if (v4 || v6) && len(c.Data) >= 5 && (c.Data[4] == originICMP || c.Data[4] == originICMP6) {
			return syscall.Errno(binary.NativeEndian.Uint32(c.Data))
		}
	}
	return 0
}

func ofSockaddr(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(zones.addr(sa.Addr, sa.ZoneId), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// mayBePending tells whether an error that a send returned may be about an earlier datagram.
func (b *batch) mayBePending(errno syscall.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED:
		return true
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.EHOSTDOWN,
		unix.ENONET, unix.EACCES:
		return b.errs.tell != nil
	}
	return false
}
