package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ListenGroup opens n sockets that share one address (SO_REUSEPORT), which is as in Listen. The kernel gives each datagram to one
// of them: by a hash of both addresses, so that it is always the same one for the same sender, or as Steer says. An address that
// anybody listens on already is in use, as it is for Listen. The error is errors.ErrUnsupported where sockets cannot share.
func ListenGroup(network, address string, n int, o Options) ([]*Socket, error) {
	first, err := Listen(network, address, o)
	if err != nil || n <= 1 {
		return []*Socket{first}, err
	}
	group := []*Socket{first}
	err = first.share(network, n, o, &group)
	if err != nil {
		for _, s := range group {
			s.Close()
		}
		return nil, err
	}
	return group, nil
}

// share opens the sockets of a group but the first one, which was bound without SO_REUSEPORT, so that it could not join the
// group of another program.
func (s *Socket) share(network string, n int, o Options, group *[]*Socket) error {
	if err := s.control(reusePort); err != nil {
		return err
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		if e := rc.Control(func(fd uintptr) { err = reusePort(fd) }); e != nil {
			return e
		}
		return err
	}}
	for len(*group) < n {
		pc, err := lc.ListenPacket(context.Background(), network, s.local.String())
		if err != nil {
			return err
		}
		o.KeepOpen = false
		next, err := New(pc, o)
		if err != nil {
			pc.Close()
			return err
		}
		*group = append(*group, next)
	}
	return nil
}

func reusePort(fd uintptr) error {
	err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if err != nil {
		return fmt.Errorf("udp: SO_REUSEPORT: %w, %w", errors.ErrUnsupported, err)
	}
	return nil
}

// Steer has a program choose which socket of the group that s is of receives a datagram: it answers with the number of one, in
// the order of ListenGroup, and any other answer leaves the choice to the kernel. It replaces the program that there was.
func (s *Socket) Steer(program []Instruction) error {
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Code, Jt: in.True, Jf: in.False, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: unsafe.SliceData(filter)}
	return s.control(func(fd uintptr) error {
		err := unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &prog)
		if err != nil {
			return fmt.Errorf("udp: SO_ATTACH_REUSEPORT_CBPF: %w", err)
		}
		return nil
	})
}

// control runs f on the socket's descriptor.
func (s *Socket) control(f func(fd uintptr) error) (err error) {
	c, ok := s.pc.(*net.UDPConn)
	if !ok {
		return errors.ErrUnsupported
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if e := rc.Control(func(fd uintptr) { err = f(fd) }); e != nil {
		return e
	}
	return err
}
