//go:build !linux

package udp

import "errors"

// ListenGroup opens n sockets that share one address, which only Linux can: with n above 1 the error is errors.ErrUnsupported.
func ListenGroup(network, address string, n int, o Options) ([]*Socket, error) {
	if n > 1 {
		return nil, errors.ErrUnsupported
	}
	s, err := Listen(network, address, o)
	return []*Socket{s}, err
}

// Steer has a program choose which socket of a group receives a datagram, which only Linux can: the error is
// errors.ErrUnsupported.
func (s *Socket) Steer([]Instruction) error { return errors.ErrUnsupported }
