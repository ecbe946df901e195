package protect

import (
	"errors"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// RetryTag computes the Retry integrity tag (RFC 9001, section 5.8; RFC 9369, section 3.3.3) of a Retry packet without its tag, sent in answer to
// an Initial packet with Destination Connection ID origDstConnID. It fails for a version other than 1 and 2 and for a
// connection ID longer than 20 bytes. Comparing tags is for the caller; the tag is no secret.
func RetryTag(version uint32, origDstConnID, retryWithoutTag []byte) ([16]byte, error) {
	v := of(version)
	if v == nil {
		return [16]byte{}, errVersion(version)
	}
	if len(origDstConnID) > 20 {
		return [16]byte{}, errors.New("protect: a connection ID of more than 20 bytes")
	}
	var room [256]byte // a Retry packet is rarely longer, so that the pseudo-packet stays on the stack
	pseudo := append(room[:0], byte(len(origDstConnID)))
	pseudo = append(pseudo, origDstConnID...)
	pseudo = append(pseudo, retryWithoutTag...)
	tag, ok := boring.RetryTag(&v.retryKey, &v.retryNonce, pseudo)
	if !ok {
		return [16]byte{}, errors.New("protect: BoringSSL could not make the Retry tag")
	}
	return tag, nil
}
