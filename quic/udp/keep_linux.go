package udp

import "golang.org/x/sys/unix"

// sockopt is an option of a socket with its value.
type sockopt struct{ level, name, value int }

// ourOptions are those that a Socket may change, its buffers aside.
var ourOptions = []sockopt{
	{level: unix.IPPROTO_IP, name: unix.IP_MTU_DISCOVER}, {level: unix.IPPROTO_IPV6, name: unix.IPV6_MTU_DISCOVER},
	{level: unix.IPPROTO_IP, name: unix.IP_RECVTOS}, {level: unix.IPPROTO_IPV6, name: unix.IPV6_RECVTCLASS},
	{level: unix.IPPROTO_IP, name: unix.IP_PKTINFO}, {level: unix.IPPROTO_IPV6, name: unix.IPV6_RECVPKTINFO},
	{level: unix.IPPROTO_IP, name: unix.IP_RECVERR}, {level: unix.IPPROTO_IPV6, name: unix.IPV6_RECVERR},
	{level: unix.IPPROTO_UDP, name: unix.UDP_GRO},
}

// readOptions returns those of ourOptions that the socket has.
func readOptions(fd uintptr) (out []sockopt) {
	for _, o := range ourOptions {
		var err error
		if o.value, err = unix.GetsockoptInt(int(fd), o.level, o.name); err == nil {
			out = append(out, o)
		}
	}
	return out
}

func writeOptions(fd uintptr, options []sockopt) {
	for _, o := range options {
		unix.SetsockoptInt(int(fd), o.level, o.name, o.value)
	}
}
