//go:build !linux

package udp

// sockopt is an option of a socket. Away from Linux a Socket changes none but that it forbids fragmentation, which stays so.
type sockopt struct{}

func readOptions(uintptr) []sockopt   { return nil }
func writeOptions(uintptr, []sockopt) {}
