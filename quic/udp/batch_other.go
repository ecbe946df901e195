//go:build !linux

package udp

import "net"

// open sets the socket up. Without Linux one datagram passes a call.
func (s *Socket) open(c *net.UDPConn, o Options) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if err := rc.Control(dontFragment); err != nil {
		return err
	}
	if n := wanted(o.ReadBuffer); n > 0 {
		c.SetReadBuffer(n)
	}
	if n := wanted(o.WriteBuffer); n > 0 {
		c.SetWriteBuffer(n)
	}
	s.io = &plainUDP{s: s, c: c}
	return nil
}

// wanted returns the size of a buffer that Options asks for.
func wanted(n int) int {
	if n == 0 {
		return defaultBuffer
	}
	return n
}
