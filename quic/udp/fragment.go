package udp

import (
	"errors"
	"syscall"
)

// Fragmentation. IP cuts a datagram that is larger than a link takes, here or on the way, into fragments, all of which must arrive. QUIC
// forbids that (RFC 9000, section 14), as does whoever finds out how large datagrams may be.

// dontFragment forbids the system to fragment what the socket sends, and notes whether it could.
func (s *Socket) dontFragment(fd uintptr) {
	ipv4, ipv6, only6 := setDontFragment(fd)
	s.feat.DontFragment = ipv4
	if s.local.Addr().Is6() {
		s.feat.DontFragment = ipv6 && (ipv4 || only6) // one that takes IPv4 too needs the options of both
	}
}

// IsTooLarge tells whether an error of a send says that a datagram is larger than the device takes that it would leave by (EMSGSIZE).
func IsTooLarge(err error) bool {
	return errors.Is(err, errTooLarge) || errors.Is(err, syscall.EMSGSIZE)
}
