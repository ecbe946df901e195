//go:build darwin || freebsd

package udp

import "golang.org/x/sys/unix"

// errTooLarge is the system's error for a datagram that is larger than the device takes, or than net.inet.udp.maxdgram.
const errTooLarge = unix.EMSGSIZE

// setDontFragment has the kernel refuse what is too large for the path. It tells for which IP versions that was done, and whether the socket
// is one of IPv6 alone. The option of a version that the socket does not have fails; on macOS so does that of IPv4 at a socket of both.
func setDontFragment(fd uintptr) (ipv4, ipv6, only6 bool) {
	n := int(fd)
	ipv4 = unix.SetsockoptInt(n, unix.IPPROTO_IP, unix.IP_DONTFRAG, 1) == nil
	ipv6 = unix.SetsockoptInt(n, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1) == nil
	only, err := unix.GetsockoptInt(n, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return ipv4, ipv6, err == nil && only != 0
}
