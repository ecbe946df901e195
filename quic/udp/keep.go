package udp

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// kept is what a Socket has that leaves its net.PacketConn open (Options.KeepOpen).
type kept struct {
	mu      sync.Mutex
	idle    sync.Cond // calls is 0
	calls   int       // that are under way
	closed  bool
	options []sockopt // as they were
}

func newKept(pc net.PacketConn) *kept {
	k := new(kept)
	k.idle.L = &k.mu
	withDescriptor(pc, func(fd uintptr) { k.options = readOptions(fd) })
	return k
}

// withDescriptor calls f with the descriptor beneath a net.PacketConn, if there is one.
func withDescriptor(pc net.PacketConn, f func(fd uintptr)) {
	if c, ok := pc.(syscall.Conn); ok {
		if rc, err := c.SyscallConn(); err == nil {
			rc.Control(f)
		}
	}
}

// begin is called before a call on the net.PacketConn, end after it. false says that there may be none any more.
func (k *kept) begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.calls++
	return true
}

func (k *kept) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.calls--; k.calls == 0 {
		k.idle.Broadcast()
	}
}

// close waits for the calls that are under way, and leaves pc as it was found.
func (k *kept) close(pc net.PacketConn) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return net.ErrClosed
	}
	k.closed = true
	err := pc.SetReadDeadline(longAgo)
	if err != nil {
		pc.Close() // nothing else has a Recv return
	}
	for k.calls > 0 {
		k.idle.Wait()
	}
	if err != nil {
		return err
	}
	withDescriptor(pc, func(fd uintptr) { writeOptions(fd, k.options) })
	return pc.SetReadDeadline(time.Time{})
}

// longAgo is a deadline that is over.
var longAgo = time.Unix(1, 0)

// keptDriver is a driver whose calls are counted.
type keptDriver struct {
	driver
	k *kept
}

func (d keptDriver) recv(ts []Train, wait bool) (int, error) {
	if !d.k.begin() {
		return 0, net.ErrClosed
	}
	defer d.k.end()
	return d.driver.recv(ts, wait)
}

func (d keptDriver) send(ts []Train) error {
	if !d.k.begin() {
		setErr(ts, net.ErrClosed)
		return net.ErrClosed
	}
	defer d.k.end()
	return d.driver.send(ts)
}

func (d keptDriver) wake() {
	if d.k.begin() {
		defer d.k.end()
		d.driver.wake()
	}
}
