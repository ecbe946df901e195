// Package boring is the only package of the library that imports "C".
package boring

// Where BoringSSL is looked for: in the clone, where build.sh links it, and where "build.sh install" puts it.

// #cgo CFLAGS: -O2 -I${SRCDIR}/../../../third_party/boringssl/prefix/include -I/usr/local/include/boringquic
// #cgo LDFLAGS: -L${SRCDIR}/../../../third_party/boringssl/prefix/lib -L/usr/local/lib/boringquic
// #cgo LDFLAGS: -lboringquic_ssl -lboringquic_crypto -lpthread
// #cgo linux freebsd LDFLAGS: -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic
// #cgo darwin LDFLAGS: -lc++
//
// #include "compat.h"
// const char *bq_build_key(void);
import "C"

// BuildKey names the BoringSSL that is linked, as build.sh does.
func BuildKey() string { return C.GoString(C.bq_build_key()) }
