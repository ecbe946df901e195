package boring

// #cgo noescape bq_expand_label
// #cgo nocallback bq_expand_label
// #cgo noescape bq_retry_tag
// #cgo nocallback bq_retry_tag
// #include "shim_packet.h"
import "C"

import "unsafe"

// ExpandLabel fills out with HKDF-Expand-Label(secret, label, context, len(out)) of RFC 8446, section 7.1, over the hash
// of hashLen bytes: 32 stands for SHA-256, 48 for SHA-384. It answers false if a length is more than the function can
// take.
func ExpandLabel(hashLen int, out, secret []byte, label string, context []byte) bool {
	return C.bq_expand_label(C.size_t(hashLen), bytesPtr(out), C.size_t(len(out)), bytesPtr(secret), C.size_t(len(secret)),
		(*C.uint8_t)(unsafe.StringData(label)), C.size_t(len(label)), bytesPtr(context), C.size_t(len(context))) == 1
}

// RetryTag computes the tag of AES-128-GCM over pseudo as additional data and nothing as plaintext (RFC 9001, section
// 5.8).
func RetryTag(key *[16]byte, nonce *[12]byte, pseudo []byte) (tag [16]byte, ok bool) {
	ok = C.bq_retry_tag((*C.uint8_t)(&key[0]), (*C.uint8_t)(&nonce[0]), bytesPtr(pseudo), C.size_t(len(pseudo)),
		(*C.uint8_t)(&tag[0])) == 1
	return tag, ok
}

// bytesPtr is b for C: typed, so that cgo need not look for Go pointers behind it. It may be nil if b is empty.
func bytesPtr(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }
