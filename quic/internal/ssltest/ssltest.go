// Package ssltest is a program with TLS objects of BoringSSL's of its own, as one in C is: contexts of both kinds, certificates, and callbacks that
// may say that they will know later. Nothing but tests may import it.
package ssltest

// #cgo CFLAGS: -I${SRCDIR}/../../../third_party/boringssl/prefix/include -I/usr/local/include/boringquic
// #include <stdlib.h>
// #include "ssltest.h"
import "C"

import (
	"errors"
	"runtime"
	"runtime/cgo"
	"unsafe"

	_ "github.com/boringquic/boringquic/crypto/handshake" // links BoringSSL
)

// Callback is one of the program's.
type Callback int

// The callbacks that Pend has say "later".
const (
	Cert   = Callback(C.ST_CERT)   // certificate, in both roles
	Select = Callback(C.ST_SELECT) // certificate, before anything is read of a ClientHello
	Key    = Callback(C.ST_KEY)    // a signature
	Verify = Callback(C.ST_VERIFY) // the peer's certificate, with VerifyCustom
	Ticket = Callback(C.ST_TICKET) // what is in a ticket
)

// Verification is how the peer's certificate is judged.
type Verification int

// The ways to judge it.
const (
	VerifyNone   = Verification(C.ST_VERIFY_NONE)
	VerifyStore  = Verification(C.ST_VERIFY_STORE) // by BoringSSL, with Root; X509 alone
	VerifyCustom = Verification(C.ST_VERIFY_CUSTOM)
)

// Protocol is what servers speak.
const Protocol = "program"

// Options is what a Program is made of. Cert and Root are certificates in DER form, Key is PKCS #8 of an EC key.
type Options struct {
	Server, X509    bool // X509: the context works with X509 objects, and else with buffers
	Cert, Key, Root []byte
	Verify          Verification
	VerifyFails     bool // VerifyCustom says no
	RequireCert     bool // of a client
	KeyMethod       bool // signatures are made by a callback
	EarlyData       bool
	P384Only        bool // so that a client with other groups is asked to begin again
}

// Program is one SSL_CTX. Free it, after its SSLs.
type Program struct{ p *C.st_program }

// New makes a Program.
func New(o Options) (*Program, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	bytes := func(b []byte) (*C.uint8_t, C.size_t) {
		if len(b) == 0 {
			return nil, 0
		}
		pin.Pin(&b[0])
		return (*C.uint8_t)(unsafe.Pointer(&b[0])), C.size_t(len(b))
	}
	c := C.st_options{
		server: num(o.Server), x509: num(o.X509), verify: C.int(o.Verify), require_cert: num(o.RequireCert), key_method: num(o.KeyMethod),
		early_data: num(o.EarlyData), p384_only: num(o.P384Only), verify_fails: num(o.VerifyFails),
	}
	c.cert, c.cert_len = bytes(o.Cert)
	c.key, c.key_len = bytes(o.Key)
	c.root, c.root_len = bytes(o.Root)
	p := C.st_new(&c)
	if p == nil {
		return nil, errors.New("ssltest: BoringSSL does not like the options")
	}
	return &Program{p}, nil
}

func num(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// Free ends the program.
func (p *Program) Free() { C.st_free(p.p) }

// SSL makes an SSL that asks for a name, and offers protocols, each after its length, if these are not empty.
func (p *Program) SSL(name, protocols string) uintptr {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	b := []byte(protocols)
	return uintptr(C.st_ssl(p.p, cName, (*C.uint8_t)(unsafe.SliceData(b)), C.size_t(len(b))))
}

// Pend has a callback say "later" so many times.
func (p *Program) Pend(c Callback, rounds int) { C.st_pend(p.p, C.int(c), C.int(rounds)) }

// OnVerify has f called by VerifyCustom: a program in C may be one that calls Go in its callbacks. It is never forgotten.
func (p *Program) OnVerify(f func()) { C.st_call(p.p, C.uintptr_t(cgo.NewHandle(f))) }

//export ssltestCall
func ssltestCall(handle C.uintptr_t) { cgo.Handle(handle).Value().(func())() }

// Calls returns how often a callback was called.
func (p *Program) Calls(c Callback) int { return int(C.st_calls(p.p, C.int(c))) }

// KeyLogLines returns how many lines the key log has.
func (p *Program) KeyLogLines() int { return int(C.st_key_log_lines(p.p)) }

// Freed returns how many of the program's SSLs were freed.
func (p *Program) Freed() int { return int(C.st_freed(p.p)) }

// Resume sets the session that was told last, and tells whether there was one.
func (p *Program) Resume(ssl uintptr) bool { return C.st_resume(p.p, C.uintptr_t(ssl)) == 1 }

// HasData tells whether an SSL still has what the program has stored with it.
func HasData(ssl uintptr) bool { return C.st_app_data(C.uintptr_t(ssl)) == 1 }

// VerifyResult is SSL_get_verify_result.
func VerifyResult(ssl uintptr) int { return int(C.st_verify_result(C.uintptr_t(ssl))) }

// ALPN returns the protocol that was negotiated.
func ALPN(ssl uintptr) string {
	var b [256]byte
	n := C.st_alpn(C.uintptr_t(ssl), (*C.uint8_t)(&b[0]))
	return string(b[:n])
}

// Touched tells whether a setting was changed that is the program's.
func Touched(ssl uintptr) bool { return C.st_touched(C.uintptr_t(ssl)) == 1 }

// Error returns library and reason of the first error in the thread's queue, and leaves it there.
func Error() (library, reason int) {
	err := uint32(C.st_error())
	return int(err >> 16), int(err & 0xffff)
}

// ClearErrors empties the thread's error queue.
func ClearErrors() { C.st_clear_errors() }

// FreeSSL frees an SSL that no connection has taken.
func FreeSSL(ssl uintptr) { C.st_free_ssl(C.uintptr_t(ssl)) }

// DTLS makes an SSL that QUIC cannot use.
func DTLS() uintptr { return uintptr(C.st_dtls_ssl()) }
