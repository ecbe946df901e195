package protect

import "github.com/boringquic/boringquic/crypto/internal/boring"

// OpenDesc describes one packet of a train to Open. The caller fills in:
//   - Off, Len: where the packet lies in the buffer, in bytes, its header and tag included;
//   - PNOff: where its packet number begins, in bytes from Off, at least 1;
//   - Slot: which keys are to open it;
//   - Largest: the largest packet number received in the packet's space when the train began, -1 if none. Decoding a
//     whole train against that one number is exact, because the sender encodes relative to what was acknowledged;
//   - PathID: 0; it is the nonce's path number with multipath.
//
// Open fills in Status and, unless that is NoKey or TooShort, PN, PNLen (1 to 4), First (the first byte without header
// protection) and Gen (the generation of the 1-RTT key that was tried, which is ReadGen or one beside it).
type OpenDesc = boring.OpenDesc

// SealDesc describes one packet of a train to Seal:
//   - Off, Len: where the packet lies in the buffer, in bytes, its header and 16 bytes of room for the tag included;
//   - PNOff, PNLen: where its packet number begins, from Off, and its length, 1 to 4, as the first byte says too;
//   - PN: the whole packet number, of which the header holds the low bytes;
//   - Slot: which keys seal it;
//   - Gen: at OneRTT the generation that the header's key phase stands for, which must be WriteGen;
//   - PathID: 0;
//   - Piece, PieceOff, Prefix: where the payload goes on after its first Prefix bytes, if not in the buffer: at PieceOff in
//     the piece of that number, from 1. The piece must have Prefix bytes before that, and Prefix is at most MaxPrefix.
//
// Packet number, payload and tag together take at least 20 bytes, so that there is a sample for header protection (RFC
// 9001, section 5.4.2): a shorter payload is padded by the caller.
type SealDesc = boring.SealDesc

// OpenStatus says what became of a packet that was to be opened.
type OpenStatus = boring.OpenStatus

// What became of a packet.
const (
	// Opened: the packet is authentic and its plaintext lies in place.
	Opened OpenStatus = iota
	// Failed: the packet did not authenticate. Its payload is cleared but for the last 16 bytes, which may be a
	// stateless reset token.
	Failed
	// NoKey: there is no key for the packet's slot. The packet is as it was.
	NoKey
	// TooShort: the packet is too short to be one, or the descriptor points past the buffer. The packet is as it was.
	TooShort
)

// Open removes header and packet protection of the packets that d describes, in place in buf, in one crossing into C.
// The plaintext of packet i is
//
//	buf[d.Off+PNOff+PNLen : d.Off+Len-Overhead]
//
// with the packet number in clear before it. Packets may lie in any order; they must not overlap. No key changes and no
// descriptor panics. After Release every packet is NoKey. After Rest the 1-RTT keys are made first, whatever the packets are; where C
// memory is too short for them, those of 1-RTT are NoKey.
//
// 1-RTT packets are opened with the key that their key phase bit and number call for: the current one, the next one, or,
// if it is still kept and the number lies below the first of the current generation, the previous one.
func (k *Keys) Open(buf []byte, d []OpenDesc) {
	if !k.boring.Live() {
		for i := range d {
			d[i].Status = NoKey
		}
		return
	}
	if len(d) > 0 {
		k.wakeRead() // before anything is known of the packets
		k.boring.Open(buf, d)
	}
}

// Bounds of Seal: how many pieces a call takes, and of SealDesc.Prefix in bytes.
const (
	MaxPieces = boring.MaxPieces
	MaxPrefix = boring.MaxPrefix
)

// Seal applies packet protection and header protection to the packets that d describes, in place in buf, in one crossing
// into C. Payloads may lie in pieces of other memory, at most MaxPieces, from which they are encrypted into buf without being
// copied. Bytes of a piece change while Seal runs and are as before when it returns. It returns false, and no packet was touched, if a descriptor points
// outside of buf, contradicts the header, or names a slot or generation without a key, which is a mistake of the caller; or if C memory is too short to
// make the 1-RTT key again after Rest. It is never the peer's doing.
func (k *Keys) Seal(buf []byte, d []SealDesc, pieces ...[]byte) bool {
	if len(d) == 0 {
		return true
	}
	if !k.boring.Live() || len(pieces) > MaxPieces {
		return false
	}
	k.wakeWrite()
	return k.boring.Seal(buf, d, pieces)
}
