// Package main is libboringquic: QUIC and HTTP/3 for programs in C, and in whatever calls C. "./build.sh lib" builds it, as an archive and as a
// shared library; include/boringquic.h is what such programs include, and says what each function does.
//
// # How it is made
//
// Each function of the header is a few lines of C (*.c) that look at what may be asked in this process at all, and at pointers and lengths, and call a function of
// Go (bq_go_*), which a version script hides. The Go side works on the packages quic and h3, which have no I/O; the event loop (loop_*.go) is a
// quicnet.Protocol, so that its connections are the same objects as those of endpoints, which quicnet drives in place of the program.
//
// What C holds of an object is a handle: a number in the guise of a pointer to an incomplete type (table.go). Nothing of Go's is ever lent to C, and C
// never follows a handle, so that one that is freed, or made up, is an error. Memory that the library lends to C is C's.
//
// No panic leaves Go (call.go): the object that it struck is given up, a connection of it closed with INTERNAL_ERROR. So it is on threads of the event
// loop's own (quicnet.SurvivePanics).
//
// # Limitations
//
//   - Linux with glibc, 64 bits. With musl no library of Go's loads (golang/go#13492, golang/go#54805).
//   - A process that forks, and does not exec, cannot use it in the child: each function says so.
//   - It cannot be unloaded: dlclose does nothing.
//   - One program cannot be linked with two archives of Go's; two shared libraries are fine.
package main

// #cgo CFLAGS: -O2 -Wall -Wextra -I${SRCDIR}/include
// #cgo CFLAGS: -I${SRCDIR}/../../third_party/boringssl/prefix/include -I/usr/local/include/boringquic
// #cgo LDFLAGS: -L${SRCDIR}/../../third_party/boringssl/prefix/lib -L/usr/local/lib/boringquic
// #cgo LDFLAGS: -lboringquic_ssl -lboringquic_crypto -lpthread
// #cgo linux freebsd LDFLAGS: -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic -ldl
// #cgo darwin LDFLAGS: -lc++
// #include "internal.h"
import "C"

import (
	"fmt"
	"os"

	"github.com/boringquic/boringquic/quic/quicnet"
)

func init() {
	quicnet.SurvivePanics(panicked)
}

// main is what "go build" wants of the package: as a program it has no use.
func main() {
	fmt.Fprintln(os.Stderr, "libboringquic is a library for C and no program: ./build.sh lib builds it")
	os.Exit(2)
}
