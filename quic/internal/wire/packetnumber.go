package wire

import "math/bits"

// MaxPacketNumber is the largest packet number, 2^62-1 (RFC 9000, section 12.3).
const MaxPacketNumber = 1<<62 - 1

// PacketNumberLen returns how many bytes of packet number pn, 1 to 4, the peer needs when the largest packet number
// that it acknowledged is largestAcked, -1 if none (RFC 9000, section 17.1 and appendix A.2).
func PacketNumberLen(pn, largestAcked int64) int {
	unacked := uint64(pn - largestAcked)
	n := (bits.Len64(2*unacked-1) + 7) / 8 // the window must be twice as wide as what is under way
	return min(max(n, 1), 4)
}

// AppendPacketNumber appends the n low bytes of pn.
func AppendPacketNumber(b []byte, pn int64, n int) []byte {
	for shift := 8 * (n - 1); shift >= 0; shift -= 8 {
		b = append(b, byte(pn>>shift))
	}
	return b
}

// DecodePacketNumber recovers a packet number from its n low bytes, where largest is the largest packet number received
// in the space so far, -1 if none (RFC 9000, appendix A.3).
func DecodePacketNumber(largest int64, truncated uint32, n int) int64 {
	expected := largest + 1
	window := int64(1) << (8 * n)
	half := window / 2
	pn := expected&^(window-1) | int64(truncated)
	if pn <= expected-half && pn < MaxPacketNumber+1-window {
		return pn + window
	}
	if pn > expected+half && pn >= window {
		return pn - window
	}
	return pn
}
