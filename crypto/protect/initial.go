package protect

import (
	"errors"
	"fmt"
)

const version1 = 0x00000001

// initialSaltV1 is initial_salt of RFC 9001, section 5.2.
var initialSaltV1 = [20]byte{
	0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
}

// InstallInitial derives the Initial keys of both directions for a client or a server from the Destination Connection ID
// of the client's first Initial packet, or after Retry from the connection ID that the Retry packet came from (RFC 9001,
// section 5.2). They replace older Initial keys. It fails for a version other than 1 and for a connection ID longer than
// 20 bytes.
func (k *Keys) InstallInitial(version uint32, clientDstConnID []byte, client bool) error {
	switch {
	case !k.boring.Live():
		return errReleased
	case version != version1:
		return errVersion(version)
	case len(clientDstConnID) > 20:
		return errors.New("protect: a connection ID of more than 20 bytes")
	case !k.boring.InstallInitial(initialSaltV1[:], clientDstConnID, client):
		return errors.New("protect: BoringSSL could not make the Initial keys")
	}
	k.suites[Initial] = AES128GCMSHA256
	k.read[Initial], k.write[Initial] = true, true
	return nil
}

func errVersion(version uint32) error {
	return fmt.Errorf("protect: no packet protection for QUIC version 0x%08x", version)
}
