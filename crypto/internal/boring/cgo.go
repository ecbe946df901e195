// Package boring is the only package of the library that imports "C".
package boring

// #cgo CFLAGS: -O2 -I${SRCDIR}/../../../third_party/boringssl/prefix/include
// #cgo LDFLAGS: -L${SRCDIR}/../../../third_party/boringssl/prefix/lib -lboringquic_ssl -lboringquic_crypto -l:libstdc++.a -lpthread
import "C"
