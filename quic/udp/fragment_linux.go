package udp

import "golang.org/x/sys/unix"

// errTooLarge is the system's error for a datagram that is larger than the device takes.
const errTooLarge = unix.EMSGSIZE

// setDontFragment has the kernel refuse what is too large for the device, and not look at what it believes of the path: QUIC finds that
// out itself (RFC 8899), and ICMP messages that anybody can make up change nothing. It tells for which IP versions that was done, and whether the socket
// is one of IPv6 alone. The option of a version that the socket does not have fails.
func setDontFragment(fd uintptr) (ipv4, ipv6, only6 bool) {
	n := int(fd)
	ipv4 = unix.SetsockoptInt(n, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE) == nil
	ipv6 = unix.SetsockoptInt(n, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE) == nil
	only, err := unix.GetsockoptInt(n, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	return ipv4, ipv6, err == nil && only != 0
}
