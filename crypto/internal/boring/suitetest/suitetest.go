// Package suitetest has BoringSSL's clients offer one cipher suite of TLS 1.3, for which it has no setting, in tests. Nothing
// but tests may import it.
package suitetest

// #cgo CFLAGS: -I${SRCDIR}/../../../../third_party/boringssl/prefix/include -I/usr/local/include/boringquic
// #cgo noescape bq_offer_only
// #cgo nocallback bq_offer_only
// #include "suite.h"
import "C"

import (
	"unsafe"

	_ "github.com/boringquic/boringquic/crypto/internal/boring" // links BoringSSL
)

// OfferOnly has the clients of an SSL_CTX hash a ClientHello that offers suite as often as it would offer any. Who calls it
// changes the ClientHello that is sent in the same way.
func OfferOnly(sslCtx unsafe.Pointer, suite uint16) { C.bq_offer_only(sslCtx, C.uint16_t(suite)) }
