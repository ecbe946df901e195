//go:build !linux && !darwin && !freebsd && !windows

package udp

// dontFragment leaves it to the system whether datagrams are fragmented.
func dontFragment(uintptr) {}
