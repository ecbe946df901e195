package protect

import (
	"errors"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// The fixed key and nonce of RFC 9001, section 5.8.
var (
	retryKeyV1 = [16]byte{
		0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a, 0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e,
	}
	retryNonceV1 = [12]byte{0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb}
)

// RetryTag computes the Retry integrity tag (RFC 9001, section 5.8) of a Retry packet without its tag, sent in answer to
// an Initial packet with Destination Connection ID origDstConnID. It fails for a version other than 1 and for a
// connection ID longer than 20 bytes. Comparing tags is for the caller; the tag is no secret.
func RetryTag(version uint32, origDstConnID, retryWithoutTag []byte) ([16]byte, error) {
	if version != version1 {
		return [16]byte{}, errVersion(version)
	}
	if len(origDstConnID) > 20 {
		return [16]byte{}, errors.New("protect: a connection ID of more than 20 bytes")
	}
	var room [256]byte // a Retry packet is rarely longer, so that the pseudo-packet stays on the stack
	pseudo := append(room[:0], byte(len(origDstConnID)))
	pseudo = append(pseudo, origDstConnID...)
	pseudo = append(pseudo, retryWithoutTag...)
	tag, ok := boring.RetryTag(&retryKeyV1, &retryNonceV1, pseudo)
	if !ok {
		return [16]byte{}, errors.New("protect: BoringSSL could not make the Retry tag")
	}
	return tag, nil
}
