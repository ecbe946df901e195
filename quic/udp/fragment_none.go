//go:build !linux && !darwin && !freebsd && !windows

package udp

import "syscall"

// errTooLarge is the system's error for a datagram that is larger than it takes.
const errTooLarge = syscall.EMSGSIZE

// setDontFragment leaves it to the system whether datagrams are fragmented.
func setDontFragment(uintptr) (ipv4, ipv6, only6 bool) { return false, false, false }
