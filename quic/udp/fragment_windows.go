package udp

import "syscall"

// dontFragment has the kernel refuse what is too large for the path. The option of the other IP version fails.
func dontFragment(fd uintptr) {
	const ipDontFragment, ipv6DontFragment = 14, 14 // IP_DONTFRAGMENT and IPV6_DONTFRAG
	syscall.SetsockoptInt(syscall.Handle(fd), syscall.IPPROTO_IP, ipDontFragment, 1)
	syscall.SetsockoptInt(syscall.Handle(fd), syscall.IPPROTO_IPV6, ipv6DontFragment, 1)
}
