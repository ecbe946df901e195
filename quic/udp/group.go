package udp

// Instruction is one of a program for Socket.Steer, in the language of the classic BSD packet filter: what struct sock_filter of
// <linux/filter.h> holds. The program sees the payload of a datagram.
type Instruction struct {
	Code        uint16
	True, False uint8 // of a comparison: how many instructions to skip
	K           uint32
}
