package quic

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What a program needs that finds connections for datagrams itself, without an Endpoint: it reads headers, and answers those who are to prove
// their address or to come with another version. Nothing here keeps anything.

// PacketType is the type of a packet (RFC 9000, section 17).
type PacketType uint8

// The types of packets.
const (
	PacketInitial PacketType = iota + 1
	PacketZeroRTT
	PacketHandshake
	PacketRetry
	PacketOneRTT // it has a short header
	PacketVersionNegotiation
	PacketOther // it has the long header of a version for which VersionSupported is false: of what it is, nothing is known
)

var packetTypeNames = [...]string{"unknown", "Initial", "0-RTT", "Handshake", "Retry", "1-RTT", "Version Negotiation", "of another version"}

// String returns the name that the RFC gives the type.
func (t PacketType) String() string {
	if int(t) < len(packetTypeNames) {
		return packetTypeNames[t]
	}
	return packetTypeNames[0]
}

// packetTypes maps the types of wire to ours.
var packetTypes = [...]PacketType{
	wire.Initial: PacketInitial, wire.ZeroRTT: PacketZeroRTT, wire.Handshake: PacketHandshake, wire.Retry: PacketRetry,
}

// Header is what anybody can read of a packet. Its slices are parts of the packet.
type Header struct {
	Type    PacketType
	Version uint32 // 0: a short header or Version Negotiation

	// DstConnID is chosen by the receiver of the packet, SrcConnID by its sender; a short header has no SrcConnID. They have at most 20 bytes,
	// but up to 255 in a packet of another version and in Version Negotiation (RFC 8999, section 5.1).
	DstConnID, SrcConnID []byte

	Token    []byte   // of an Initial packet, or of Retry
	Versions []uint32 // of Version Negotiation; it is allocated

	// Len is how many bytes the packet has: where the next one of the datagram begins (RFC 9000, section 12.2). A packet whose header does not
	// tell takes what there is.
	Len int
}

// ParseHeader parses the unprotected part of the packet that b begins with, of a datagram of any sender. shortIDLen is how many bytes
// the connection IDs have that peers are given here, 0 to 20: a short header does not tell. ok is false if b is no packet, or one of a version
// that is supported with a connection ID of more than 20 bytes, a token or a length that is more than there is (RFC 9000, section 17.2). The
// QUIC bit is not looked at (RFC 9287). Nothing is allocated but the versions of Version Negotiation.
func ParseHeader(b []byte, shortIDLen int) (h Header, ok bool) {
	if len(b) == 0 || shortIDLen < 0 || shortIDLen > maxConnIDLen {
		return h, false
	}
	if !wire.IsLongHeader(b[0]) {
		if len(b) < 1+shortIDLen {
			return h, false
		}
		return Header{Type: PacketOneRTT, DstConnID: b[1 : 1+shortIDLen : 1+shortIDLen], Len: len(b)}, true
	}
	version, dst, src, n := wire.ConsumeInvariants(b)
	if n < 0 {
		return h, false
	}
	h = Header{Type: PacketOther, Version: version, DstConnID: dst, SrcConnID: src, Len: len(b)}
	switch {
	case version == versionNegotiation:
		h.Type = PacketVersionNegotiation
		_, _, h.Versions, n = wire.ConsumeVersionNegotiation(b)
	case isSupported(version):
		var long wire.LongHeader
		long, n = wire.ConsumeLongHeader(b)
		h.Type, h.Token, h.Len = packetTypes[long.Type], long.Token, long.Len
	}
	if n < 0 {
		return Header{}, false
	}
	return h, true
}

// VersionSupported tells whether packets of a QUIC version can be read here: Version1 and Version2. Which of them a connection speaks,
// Config.Versions says.
func VersionSupported(version uint32) bool { return isSupported(version) }

// AppendVersionNegotiation appends to b a Version Negotiation packet that answers one of a version that is not spoken (RFC 9000, sections 6.1
// and 17.2.1). dstConnID and srcConnID are those of the packet that is answered. It must have come in a datagram of 1200 bytes or more, else a
// server drops it (section 5.2.2); and Version Negotiation itself, whose Version is 0, is never answered (RFC 8999, section 6). versions are what is offered;
// if there are none: all that VersionSupported allows, and a reserved one that keeps clients used to versions that they do not know (RFC 9000, section
// 6.3). random is for that and for bits without a meaning. With a connection ID of more than 255 bytes, which no packet has, b is returned as it was.
func AppendVersionNegotiation(b, dstConnID, srcConnID []byte, versions []uint32, random uint64) []byte {
	if len(dstConnID) > 255 || len(srcConnID) > 255 {
		return b
	}
	if len(versions) == 0 {
		versions = []uint32{reservedVersion(uint32(random)), Version1, Version2}
	}
	return wire.AppendVersionNegotiation(b, srcConnID, dstConnID, versions, byte(random>>32))
}

// AppendRetry appends to b a Retry packet that has a client prove its address (RFC 9000, sections 8.1.2 and 17.2.5). It answers an Initial
// packet of that version with connection IDs dstConnID and srcConnID. newID is what the client sends to from then on: its next Initial packet
// carries token, which is the caller's, who makes it, so that nobody else can, and judges it when it comes back; AcceptParams then says what
// the connection IDs were. token has at least one byte; clients need not take one that leaves no room for a ClientHello in 1200 bytes, and
// those of this package take 900. random is for bits without a meaning.
//
// The error says which argument is wrong, and b is returned as it was: the version is not supported, a connection ID has more than 20 bytes,
// token is empty or of more than 900 bytes, or newID is dstConnID, which a client would ignore.
func AppendRetry(b []byte, version uint32, dstConnID, srcConnID []byte, newID ConnID, token []byte, random byte) ([]byte, error) {
	switch {
	case !isSupported(version):
		return b, fmt.Errorf("quic: version 0x%08x is not supported, and its Retry packets are not known", version)
	case len(dstConnID) > maxConnIDLen || len(srcConnID) > maxConnIDLen:
		return b, fmt.Errorf("quic: connection IDs of %d and %d bytes; they have %d at most", len(dstConnID), len(srcConnID), maxConnIDLen)
	case len(token) == 0 || len(token) > maxTokenLen:
		return b, fmt.Errorf("quic: a Retry token has 1 to %d bytes, not %d", maxTokenLen, len(token))
	case bytes.Equal(newID.Bytes(), dstConnID):
		return b, errors.New("quic: Retry must give the client another connection ID to send to (RFC 9000, section 17.2.5.1)")
	}
	start := len(b)
	out := wire.AppendRetryWithoutTag(b, version, srcConnID, newID.Bytes(), token, random)
	tag, err := protect.RetryTag(version, dstConnID, out[start:])
	if err != nil {
		return b, fmt.Errorf("quic: %w", err)
	}
	return append(out, tag[:]...), nil
}
