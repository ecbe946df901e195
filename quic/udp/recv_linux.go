package udp

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiver is what recvmmsg works with. It lives as long as the socket, so that nothing is made anew for a call.
type receiver struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []sockaddr
	ctls  []control

	count int  // messages asked for
	wait  bool // for the first one
	n     int
	errno syscall.Errno

	failed failures
	read   func(fd uintptr) (done bool) // for RawConn.Read
}

func (r *receiver) init(b *batch) {
	r.read = func(fd uintptr) bool {
		r.n, r.errno = b.recvmmsg(fd, r.msgs[:r.count])
		b.s.stats.recvCalls.Add(1)
		if r.errno == 0 {
			b.s.stats.received.Add(uint64(r.n))
			return true
		}
		r.n = 0
		if r.errno == unix.EAGAIN {
			r.errno = 0
			return !r.wait
		}
		return true
	}
}

// grow makes room for n messages a call.
func (r *receiver) grow(n int) {
	r.msgs, r.iovs = make([]mmsghdr, n), make([]unix.Iovec, n)
	r.names, r.ctls = make([]sockaddr, n), make([]control, n)
	for i := range r.msgs {
		h := &r.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.ctls[i].bytes()[0]
	}
}

// prepare lends the buffers of ts to the kernel.
func (r *receiver) prepare(ts []Train) {
	if len(ts) > len(r.msgs) {
		r.grow(len(ts))
	}
	r.count = len(ts)
	for i := range ts {
		h := &r.msgs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlLen)
		h.Flags = 0
		b := ts[i].Buf[:cap(ts[i].Buf)]
		r.iovs[i].Base = unsafe.SliceData(b)
		r.iovs[i].SetLen(len(b))
	}
}

func (b *batch) wake() { _ = b.s.pc.SetReadDeadline(longAgo) } // an error says that the socket is closed

func (b *batch) recv(ts []Train, wait bool) (int, error) {
	if len(ts) == 0 {
		return 0, nil
	}
	r := &b.in
	r.prepare(ts)
	r.wait = wait
	for {
		if b.errs.waits.Load() {
			b.readErrors()
		}
		if err := b.rc.Read(r.read); err != nil {
			switch {
			case errors.Is(err, net.ErrClosed):
				return 0, net.ErrClosed
			case errors.Is(err, os.ErrDeadlineExceeded) && b.s.closed.Load():
				return 0, net.ErrClosed
			case errors.Is(err, os.ErrDeadlineExceeded):
				_ = b.s.pc.SetReadDeadline(time.Time{}) // wake has set it
				return 0, nil
			}
			// The runtime does not wait on a socket that has an error and cannot be written to, for the moment.
			b.readErrors()
			if err := r.failed.after(err); err != nil {
				return 0, err
			}
			continue
		}
		if r.errno != 0 {
			if b.readErrors() {
				continue // that was it; the socket itself is well
			}
			if err := r.failed.after(r.errno); err != nil {
				return 0, err
			}
			continue
		}
		r.failed.n = 0
		if n := b.take(ts); n > 0 || !wait {
			return n, nil
		}
	}
}

// take reads what was received into ts and returns how many trains it is.
func (b *batch) take(ts []Train) (n int) {
	r := &b.in
	for i := range r.n {
		m := &r.msgs[i]
		if m.hdr.Flags&unix.MSG_TRUNC != 0 {
			b.s.stats.truncated.Add(1)
			continue
		}
		ts[n].Buf, ts[i].Buf = ts[i].Buf, ts[n].Buf
		t := &ts[n]
		t.Buf = t.Buf[:cap(t.Buf)][:m.n]
		t.SegSize, t.ECN = len(t.Buf), 0
		t.Local, t.Remote = b.s.local, readSockaddr(&r.names[i])
		r.ctls[i].read(int(m.hdr.Controllen), t)
		if t.SegSize <= 0 || t.SegSize > len(t.Buf) {
			t.SegSize = len(t.Buf)
		}
		if t.Remote.IsValid() {
			n++
		}
	}
	return n
}
