package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// memInfo is what SO_MEMINFO tells of a socket (linux/sock_diag.h), since Linux 4.12.
type memInfo [9]uint32

// memInfoDrops is the index of what was dropped, SK_MEMINFO_DROPS.
const memInfoDrops = 8

// kernelDrops returns how much the kernel has dropped that was for a socket. The counter is one of 32 bits.
func kernelDrops(fd uintptr) (uint64, bool) {
	var info memInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return uint64(info[memInfoDrops]), errno == 0 && uintptr(size) > memInfoDrops*unsafe.Sizeof(info[0])
}
