//go:build !linux

package udp

// kernelDrops tells nothing away from Linux.
func kernelDrops(uintptr) (uint64, bool) { return 0, false }
