package wire

import "encoding/binary"

// The versions of QUIC that can be parsed and written.
const (
	Version1 uint32 = 0x00000001 // RFC 9000, section 15
	Version2 uint32 = 0x6b3343cf // RFC 9369, section 3.1
)

// PacketType is the type of a packet.
type PacketType uint8

// The types of packet (RFC 9000, section 17).
const (
	Initial PacketType = iota
	ZeroRTT
	Handshake
	OneRTT
	Retry
	VersionNegotiation
)

// String returns the type's name.
func (t PacketType) String() string {
	return [...]string{"Initial", "0-RTT", "Handshake", "1-RTT", "Retry", "Version Negotiation"}[t]
}

const (
	headerFormLong = 0x80
	fixedBit       = 0x40
	keyPhaseBit    = 0x04
	spinBit        = 0x20

	maxConnIDLen   = 20
	retryTagLen    = 16
	minimumPayload = 4 + 16 // from the packet number on, what header protection samples (RFC 9001, section 5.4.2)
)

// longTypes maps the two type bits of a long header to types. Version 2 has every type one step further on than version 1 (RFC 9369,
// section 3.2).
var longTypes = [4]PacketType{Initial, ZeroRTT, Handshake, Retry}

// typeBits is the inverse of longTypes, for version 1.
var typeBits = [...]byte{Initial: 0, ZeroRTT: 1, Handshake: 2, Retry: 3}

// typeStep is how far the type bits of a version are from those of version 1.
func typeStep(version uint32) byte {
	if version == Version2 {
		return 1
	}
	return 0
}

// longFirst is the first byte of a packet of that type, with its four lowest bits.
func longFirst(t PacketType, version uint32, low byte) byte {
	return headerFormLong | fixedBit | (typeBits[t]+typeStep(version))&3<<4 | low
}

// IsLongHeader tells whether a packet with that first byte has a long header (RFC 8999, section 5).
func IsLongHeader(first byte) bool { return first&headerFormLong != 0 }

// HasFixedBit tells whether the bit that versions 1 and 2 set in every packet but Version Negotiation is set.
func HasFixedBit(first byte) bool { return first&fixedBit != 0 }

// ConsumeInvariants parses what every version's long header starts with (RFC 8999, section 5.1). Connection IDs may be
// up to 255 bytes long.
func ConsumeInvariants(b []byte) (version uint32, dcid, scid []byte, n int) {
	if len(b) < 5 || !IsLongHeader(b[0]) {
		return 0, nil, nil, -1
	}
	version = binary.BigEndian.Uint32(b[1:])
	n = 5
	dcid, m := consumeShortBytes(b[n:])
	if m < 0 {
		return 0, nil, nil, -1
	}
	n += m
	scid, m = consumeShortBytes(b[n:])
	if m < 0 {
		return 0, nil, nil, -1
	}
	return version, dcid, scid, n + m
}

// LongHeader is a long header of version 1 or 2 up to, not including, the packet number, which is still protected.
type LongHeader struct {
	Type      PacketType
	Version   uint32
	DstConnID []byte
	SrcConnID []byte
	Token     []byte // of an Initial, or of a Retry
	PNOffset  int    // where the packet number starts; 0 in a Retry
	Len       int    // bytes of the whole packet, header included
}

// ConsumeLongHeader parses a packet with a long header of version 1 or 2, which starts b. n is h.Len; -1 says that the packet
// is no such thing or that its Length or token reaches past the end of b, so that the rest of the datagram is lost. A
// packet whose Length is too short to be opened is returned as it is: what follows it can be processed.
func ConsumeLongHeader(b []byte) (h LongHeader, n int) {
	h.Version, h.DstConnID, h.SrcConnID, n = ConsumeInvariants(b)
	if n < 0 || h.Version != Version1 && h.Version != Version2 || len(h.DstConnID) > maxConnIDLen || len(h.SrcConnID) > maxConnIDLen {
		return LongHeader{}, -1
	}
	h.Type = longTypes[(b[0]>>4-typeStep(h.Version))&3]
	switch h.Type {
	case Retry:
		if len(b) < n+retryTagLen {
			return LongHeader{}, -1
		}
		end := len(b) - retryTagLen
		h.Token, h.Len = b[n:end:end], len(b)
		return h, h.Len
	case Initial:
		var m int
		if h.Token, m = consumeBytes(b[n:]); m < 0 {
			return LongHeader{}, -1
		}
		n += m
	}
	length, m := ConsumeVarint(b[n:])
	if m < 0 || length > uint64(len(b)-n-m) {
		return LongHeader{}, -1
	}
	h.PNOffset = n + m
	h.Len = h.PNOffset + int(length)
	return h, h.Len
}

// AppendLongHeader appends an Initial, 0-RTT or Handshake header up to and including the packet number in pnLen bytes.
// The Length field is left as two bytes at lengthOff, to be set with PutVarint2 when the payload is known.
func AppendLongHeader(b []byte, t PacketType, version uint32, dcid, scid, token []byte, pn int64, pnLen int) (out []byte, lengthOff, pnOff int) {
	b = append(b, longFirst(t, version, byte(pnLen-1)))
	b = appendInvariants(b, version, dcid, scid)
	if t == Initial {
		b = AppendVarint(b, uint64(len(token)))
		b = append(b, token...)
	}
	lengthOff = len(b)
	b = AppendVarint2(b, 0)
	pnOff = len(b)
	return AppendPacketNumber(b, pn, pnLen), lengthOff, pnOff
}

// LongHeaderLen returns how many bytes AppendLongHeader appends.
func LongHeaderLen(t PacketType, dcidLen, scidLen, tokenLen, pnLen int) int {
	n := 1 + 4 + 1 + dcidLen + 1 + scidLen + 2 + pnLen
	if t == Initial {
		n += SizeVarint(uint64(tokenLen)) + tokenLen
	}
	return n
}

// ClearFixedBit makes the fixed bit of a packet 0, which RFC 9287 calls the QUIC bit.
func ClearFixedBit(b []byte) { b[0] &^= fixedBit }

// SetSpinBit sets the spin bit of a short header (RFC 9000, section 17.4).
func SetSpinBit(b []byte, spin bool) {
	if b[0] &^= spinBit; spin {
		b[0] |= spinBit
	}
}

// SpinBit returns the spin bit of a short header.
func SpinBit(first byte) bool { return first&spinBit != 0 }

// AppendShortHeader appends a 1-RTT header up to and including the packet number in pnLen bytes.
func AppendShortHeader(b []byte, dcid []byte, spin, keyPhase bool, pn int64, pnLen int) (out []byte, pnOff int) {
	first := byte(fixedBit | pnLen - 1)
	if spin {
		first |= spinBit
	}
	if keyPhase {
		first |= keyPhaseBit
	}
	b = append(b, first)
	b = append(b, dcid...)
	pnOff = len(b)
	return AppendPacketNumber(b, pn, pnLen), pnOff
}

func appendInvariants(b []byte, version uint32, dcid, scid []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, byte(len(dcid)))
	b = append(b, dcid...)
	b = append(b, byte(len(scid)))
	return append(b, scid...)
}

// AppendVersionNegotiation appends a Version Negotiation packet that answers a packet with Source Connection ID dcid and
// Destination Connection ID scid (RFC 9000, section 17.2.1). random fills the unused bits.
func AppendVersionNegotiation(b []byte, dcid, scid []byte, versions []uint32, random byte) []byte {
	b = append(b, headerFormLong|fixedBit|random&0x3f)
	b = appendInvariants(b, 0, dcid, scid)
	for _, v := range versions {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// ConsumeVersionNegotiation parses a Version Negotiation packet, which takes all of b. It allocates the list.
func ConsumeVersionNegotiation(b []byte) (dcid, scid []byte, versions []uint32, n int) {
	version, dcid, scid, n := ConsumeInvariants(b)
	if n < 0 || version != 0 || len(b) == n || (len(b)-n)%4 != 0 {
		return nil, nil, nil, -1
	}
	for ; n < len(b); n += 4 {
		versions = append(versions, binary.BigEndian.Uint32(b[n:]))
	}
	return dcid, scid, versions, n
}

// AppendRetryWithoutTag appends a Retry packet up to, not including, its integrity tag (RFC 9000, section 17.2.5). random
// fills the unused bits.
func AppendRetryWithoutTag(b []byte, version uint32, dcid, scid, token []byte, random byte) []byte {
	b = append(b, longFirst(Retry, version, random&0x0f))
	b = appendInvariants(b, version, dcid, scid)
	return append(b, token...)
}

// TooShortToOpen tells whether the packet of h has too few bytes for header protection to sample.
func (h *LongHeader) TooShortToOpen() bool { return h.Len-h.PNOffset < minimumPayload }
