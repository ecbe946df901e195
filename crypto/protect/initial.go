package protect

import (
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// The versions of QUIC whose packets can be protected.
const (
	version1 = 0x00000001
	version2 = 0x6b3343cf
)

// perVersion is what a version has of its own.
type perVersion struct {
	initialSalt [20]byte
	retryKey    [16]byte
	retryNonce  [12]byte
	labels      boring.Labels
}

// v1 has the values of RFC 9001, sections 5.1, 5.2 and 5.8.
var v1 = perVersion{
	initialSalt: [20]byte{
		0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
	},
	retryKey:   [16]byte{0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e},
	retryNonce: [12]byte{0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb},
	labels:     boring.LabelsV1,
}

// v2 has those of RFC 9369, section 3.3.
var v2 = perVersion{
	initialSalt: [20]byte{
		0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
	},
	retryKey:   [16]byte{0x8f, 0xb4, 0xb0, 0x1b, 0x56, 0xac, 0x48, 0xe2, 0x60, 0xfb, 0xcb, 0xce, 0xad, 0x7c, 0xcc, 0x92},
	retryNonce: [12]byte{0xd8, 0x69, 0x69, 0xbc, 0x2d, 0x7c, 0x6d, 0x99, 0x90, 0xef, 0xb0, 0x4a},
	labels:     boring.LabelsV2,
}

// of returns what a version has of its own; nil: the version is not known.
func of(version uint32) *perVersion {
	switch version {
	case version1:
		return &v1
	case version2:
		return &v2
	}
	return nil
}

// SetVersion has the keys that are installed from now on, and all 1-RTT keys that are updated, be those of a QUIC version, 1
// (0x00000001) or 2 (0x6b3343cf): their labels differ (RFC 9369, section 3.3.2). Without it they are of version 1. It fails for another
// version.
func (k *Keys) SetVersion(version uint32) error {
	v := of(version)
	if v == nil {
		return errVersion(version)
	}
	k.labels = v.labels
	return nil
}

// InstallInitial derives the Initial keys of both directions for a client or a server from the Destination Connection ID
// of the client's first Initial packet, or after Retry from the connection ID that the Retry packet came from (RFC 9001,
// section 5.2). They replace older Initial keys. It fails for a version other than 1 and 2 and for a connection ID longer than
// 20 bytes. SetVersion does not matter to it.
func (k *Keys) InstallInitial(version uint32, clientDstConnID []byte, client bool) error {
	v := of(version)
	switch {
	case !k.boring.Live():
		return errReleased
	case v == nil:
		return errVersion(version)
	case len(clientDstConnID) > 20:
		return errors.New("protect: a connection ID of more than 20 bytes")
	case !k.boring.InstallInitial(v.labels, v.initialSalt[:], clientDstConnID, client):
		return errors.New("protect: BoringSSL could not make the Initial keys")
	}
	k.suites[Initial] = AES128GCMSHA256
	k.read.add(Initial)
	k.write.add(Initial)
	return nil
}

func errVersion(version uint32) error {
	return fmt.Errorf("protect: no packet protection for QUIC version 0x%08x", version)
}
