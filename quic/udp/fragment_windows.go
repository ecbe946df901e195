package udp

import "syscall"

// errTooLarge is WSAEMSGSIZE: a datagram is larger than the device takes.
const errTooLarge = syscall.Errno(10040)

// setDontFragment has the kernel refuse what is too large for the path. It tells for which IP versions that was done, and whether the socket
// is one of IPv6 alone. The option of a version that the socket does not have fails.
func setDontFragment(fd uintptr) (ipv4, ipv6, only6 bool) {
	const ipDontFragment, ipv6DontFragment, ipv6Only = 14, 14, 27 // IP_DONTFRAGMENT, IPV6_DONTFRAG, IPV6_V6ONLY
	h := syscall.Handle(fd)
	ipv4 = syscall.SetsockoptInt(h, syscall.IPPROTO_IP, ipDontFragment, 1) == nil
	ipv6 = syscall.SetsockoptInt(h, syscall.IPPROTO_IPV6, ipv6DontFragment, 1) == nil
	only, err := syscall.GetsockoptInt(h, syscall.IPPROTO_IPV6, ipv6Only)
	return ipv4, ipv6, err == nil && only != 0
}
