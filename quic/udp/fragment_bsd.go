//go:build darwin || freebsd

package udp

import "golang.org/x/sys/unix"

// dontFragment has the kernel refuse what is too large for the path. The option of the other IP version fails.
func dontFragment(fd uintptr) {
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
	unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
}
