//go:build !linux

package udp

import (
	"fmt"
	"net"
	"strings"
	"syscall"
)

// open sets the socket up. Without Linux one datagram passes a call.
func (s *Socket) open(c *net.UDPConn, o Options) error {
	s.tune(c, o)
	s.io = &plainUDP{s: s, c: c}
	return nil
}

// tune sets up what is beneath a net.PacketConn, as far as it is a UDP socket.
func (s *Socket) tune(c syscall.Conn, o Options) {
	if rc, err := c.SyscallConn(); err == nil {
		rc.Control(s.dontFragment)
	}
	b, ok := c.(interface {
		SetReadBuffer(bytes int) error
		SetWriteBuffer(bytes int) error
	})
	if !ok {
		return
	}
	var short []string
	if got, want := enlarge(b.SetReadBuffer, o.ReadBuffer); got < want {
		short = append(short, fmt.Sprintf("the receive buffer has %d KiB of %d", got>>10, want>>10))
	}
	if got, want := enlarge(b.SetWriteBuffer, o.WriteBuffer); got < want {
		short = append(short, fmt.Sprintf("the send buffer has %d KiB of %d", got>>10, want>>10))
	}
	if len(short) > 0 {
		s.hint = fmt.Sprintf("the kernel's UDP buffers are small (%s): for speed, raise the system's limit, which is "+
			"kern.ipc.maxsockbuf on macOS and FreeBSD", strings.Join(short, ", "))
	}
}

// enlarge sets a buffer to what is wanted, or to half or a quarter of it and so on, where a system refuses more than it allows.
func enlarge(set func(bytes int) error, want int) (got, wanted int) {
	if want == 0 {
		want = defaultBuffer
	}
	for got = want; got > 0; got /= 2 {
		if set(got) == nil {
			return got, want
		}
	}
	return got, want
}
