package udp

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// firstMessages and maxMessages are how many messages a sendOp has room for, at first and at most.
	firstMessages = 4
	maxMessages   = 64

	// maxFreeOps is how many idle sendOps a socket keeps.
	maxFreeOps = 16

	// maxFullWait is how long a send waits for room in the kernel's buffer, which may stay full for as long as a device takes nothing. Behind it wait calls that
	// have a time limit, the timers of all connections, and the end of the socket. What has no room then is lost, as in any other full queue on the way.
	maxFullWait = time.Second
)

// sendOp is what one call of Send works with: the messages for sendmmsg. It is used again.
type sendOp struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []sockaddr // of trains; the messages of one train share them
	ctls  []control
	parts []part // what each message holds

	count, done int // messages in all, and sent
	blocked     bool
	errno       syscall.Errno
	try         func(fd uintptr)      // for RawConn.Control
	retry       func(fd uintptr) bool // for RawConn.Write
}

// part is what of a train one message holds.
type part struct {
	train, off, len int
	gso             bool
}

func (b *batch) newSendOp() *sendOp {
	o := new(sendOp)
	o.try = func(fd uintptr) { o.blocked = b.push(fd, o) }
	o.retry = func(fd uintptr) bool { return !b.push(fd, o) }
	return o
}

func (b *batch) takeOp() *sendOp {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		o := b.free[n-1]
		b.free = b.free[:n-1]
		return o
	}
	return b.newSendOp()
}

func (b *batch) putOp(o *sendOp) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < maxFreeOps {
		b.free = append(b.free, o)
	}
}

// push calls sendmmsg until all messages are sent, one fails or the kernel's buffer is full.
func (b *batch) push(fd uintptr, o *sendOp) (blocked bool) {
	for o.done < o.count {
		n, errno := b.sendmmsg(fd, o.msgs[o.done:o.count])
		b.s.stats.sendCalls.Add(1)
		switch errno {
		case 0:
			b.s.stats.sent.Add(uint64(n))
			b.trains.onSent(o.parts[o.done : o.done+n])
			o.done += n
			if o.done < o.count {
				b.noteErrors() // the kernel does not say which error ended the call, if one did
			}
		case unix.EINTR:
		case unix.EAGAIN:
			return true
		default:
			o.errno = errno
			return false
		}
	}
	return false
}

// run sends what is prepared, up to the first message that fails. Control takes no lock, so that goroutines send side by
// side; Write, which waits in the poller, is for the rare full buffer.
func (b *batch) run(o *sendOp) error {
	o.errno = 0
	err := b.rc.Control(o.try)
	switch {
	case err == nil && o.blocked && b.full.Load():
		err = unix.EAGAIN
	case err == nil && o.blocked:
		err = b.awaitRoom(o)
	case err == nil && b.full.Load():
		b.full.Store(false)
	}
	runtime.KeepAlive(o)
	if err == error(unix.EAGAIN) {
		b.s.stats.sendErrors.Add(uint64(o.count - o.done))
	}
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// awaitRoom sends what is prepared once there is room, which it waits for as long as fullWait after the first of those that wait now: then it is EAGAIN.
func (b *batch) awaitRoom(o *sendOp) error {
	b.mu.Lock()
	if b.waiting++; b.waiting == 1 {
		_ = b.s.pc.SetWriteDeadline(time.Now().Add(b.fullWait)) // an error says that the socket is closed
	}
	b.mu.Unlock()
	err := b.rc.Write(o.retry)
	b.mu.Lock()
	if b.waiting--; b.waiting == 0 {
		_ = b.s.pc.SetWriteDeadline(time.Time{})
	}
	b.mu.Unlock()
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case b.s.closed.Load():
		return net.ErrClosed
	}
	b.full.Store(true)
	return unix.EAGAIN
}

func (b *batch) send(ts []Train) error {
	o := b.takeOp()
	defer b.putOp(o)
	return b.sendWith(o, ts, b.trains.on.Load())
}

func (b *batch) sendWith(o *sendOp, ts []Train, gso bool) (lost error) {
	next := part{}
	for next.train < len(ts) {
		next = o.prepare(b, ts, next, gso)
		again := true // a pending error of an earlier send may stand in the way of a message, once
		for o.done < o.count {
			if err := b.run(o); err != nil {
				setErr(ts[o.parts[o.done].train:], err)
				return err
			}
			if o.errno == 0 {
				break
			}
			b.noteErrors()
			if again && b.mayBePending(o.errno) {
				again = false
				continue
			}
			if err := b.onFailed(o, ts); err != nil {
				ts[o.parts[o.done].train].Err, lost = err, err
			}
			o.done++
			again = true
		}
	}
	clear(o.iovs) // the buffers are not ours to keep
	return lost
}

// prepare makes messages of trains from where on, as many as there is room for, and returns where it stopped.
func (o *sendOp) prepare(b *batch, ts []Train, from part, gso bool) (next part) {
	o.count, o.done = 0, 0
	o.grow()
	slot := 0
	for i := from.train; i < len(ts); i++ {
		if o.count == len(o.msgs) {
			return part{train: i}
		}
		t := &ts[i]
		namelen := writeSockaddr(&o.names[slot], t.Remote, b.inet6)
		plain, full := b.fillControl(&o.ctls[slot], t)
		seg := t.segSize()
		step := seg
		if gso && seg > 0 && b.trains.allows(t.Remote.Addr()) {
			step = seg * max(1, min(MaxSegments, MaxMessage/seg))
		}
		for off := from.off; ; off += step {
			if o.count == len(o.msgs) {
				return part{train: i, off: off}
			}
			p := part{train: i, off: off, len: min(step, len(t.Buf)-off)}
			p.gso = p.len > seg
			ctl := plain
			if p.gso {
				ctl = full
			}
			o.add(p, t, slot, namelen, ctl)
			if off+p.len == len(t.Buf) {
				break
			}
		}
		from.off = 0
		slot++
	}
	return part{train: len(ts)}
}

// fillControl writes the control messages of a train and returns their length without and with the segment size.
func (b *batch) fillControl(c *control, t *Train) (plain, full int) {
	remote, local := t.Remote.Addr(), t.Local.Addr()
	if t.ECN != 0 {
		plain = c.putECN(plain, remote.Is6(), t.ECN)
	}
	if b.wildcard && local.IsValid() && !local.IsUnspecified() && local.Is4() == remote.Is4() {
		plain = c.putLocal(plain, local)
	}
	return plain, c.putGSO(plain, t.segSize())
}

// add appends a message.
func (o *sendOp) add(p part, t *Train, slot int, namelen uint32, ctl int) {
	i := o.count
	o.count++
	o.parts[i] = p
	o.iovs[i].Base = unsafe.SliceData(t.Buf[p.off : p.off+p.len])
	o.iovs[i].SetLen(p.len)
	h := &o.msgs[i].hdr
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&o.names[slot])), namelen
	h.Iov = &o.iovs[i]
	h.SetIovlen(1)
	h.Control = nil
	if ctl > 0 {
		h.Control = &o.ctls[slot].bytes()[0]
	}
	h.SetControllen(ctl)
}

// grow makes room: for few messages at first, and for twice as many when those were not enough.
func (o *sendOp) grow() {
	n := len(o.msgs)
	switch {
	case n == 0:
		n = firstMessages
	case o.parts[n-1] == part{} || n == maxMessages:
		return
	default:
		n = min(2*n, maxMessages)
	}
	*o = sendOp{try: o.try, retry: o.retry, msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), names: make([]sockaddr, n),
		ctls: make([]control, n), parts: make([]part, n)}
}

// onFailed decides on the message that could not be sent: what the kernel refuses as a train goes one datagram at a
// time. The error says that something is lost.
func (b *batch) onFailed(o *sendOp, ts []Train) error {
	p, errno := o.parts[o.done], o.errno
	if p.gso && refusesGSO(errno) {
		b.s.stats.gsoRefused.Add(1)
		t := ts[p.train]
		t.Buf = t.Buf[p.off : p.off+p.len]
		single := b.takeOp()
		defer b.putOp(single)
		err := b.sendWith(single, []Train{t}, false)
		// EMSGSIZE and EINVAL can mean that a segment exceeds the device's MTU; then it failed alone as well, and it was not
		// refused for being a train.
		if errno == unix.EIO || err == nil {
			b.trains.onRefused(t.Remote.Addr())
		}
		return err
	}
	b.s.stats.sendErrors.Add(1)
	return errno
}

// refusesGSO tells whether a send may have failed for being a train: EIO comes from a device without checksum offload,
// EINVAL and EMSGSIZE from a segment size beyond the MTU and from kernels and sandboxes that know no UDP_SEGMENT.
func refusesGSO(errno syscall.Errno) bool {
	const enotsupp = 524 // which leaks from the kernel
	switch errno {
	case unix.EIO, unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP, unix.ENOPROTOOPT, enotsupp:
		return true
	}
	return false
}
