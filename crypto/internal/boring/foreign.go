package boring

// The program's callbacks run in bq_tls_adopt, bq_tls_run_foreign, bq_tls_restart and bq_tls_free, and may call Go: so the first three are not
// marked, as others are, as such that do not. What else is here calls nothing.

// #cgo noescape bq_tls_set_early_context
// #cgo nocallback bq_tls_set_early_context
// #cgo noescape bq_tls_put_certs
// #cgo nocallback bq_tls_put_certs
// #include "shim.h"
import "C"

import (
	"errors"
	"runtime"
	"sync"
	"unsafe"
)

// Errors of Adopt.
var (
	ErrAdopted = errors.New("the SSL belongs to another connection")
	ErrAdopt   = errors.New("BoringSSL cannot use the SSL for QUIC")
)

// Adopt makes a connection over an SSL of the program's own, which belongs to it from then on, also after ErrAdopt: then it was freed. After
// ErrAdopted it was not, and nothing done to it.
func Adopt(ssl uintptr, client bool) (*TLS, error) {
	var verdict C.int
	t := &TLS{c: C.bq_tls_adopt(C.uintptr_t(ssl), cBool(client), &verdict), foreign: new(sync.Mutex)}
	switch {
	case verdict == C.BQ_ADOPT_TAKEN:
		return nil, ErrAdopted
	case t.c == nil:
		return nil, ErrAdopt
	}
	t.cleanup = runtime.AddCleanup(t, func(c *C.bq_tls) { C.bq_tls_free(c) }, t.c)
	return t, nil
}

// runForeign is Run of an adopted SSL.
func (t *TLS) runForeign(op TLSOp, level uint8, in []byte) (r C.bq_result) {
	t.foreign.Lock()
	t.running = true
	defer func() {
		t.running = false
		t.foreign.Unlock()
	}()
	C.bq_tls_run_foreign(t.c, C.int(op), C.int(level), bytesPtr(in), C.size_t(len(in)), &r)
	runtime.KeepAlive(t)
	return r
}

// Restart has a client over an adopted SSL begin anew, without a session.
func (t *TLS) Restart() bool {
	t.foreign.Lock()
	defer t.foreign.Unlock()
	ok := C.bq_tls_restart(t.c) == 1
	runtime.KeepAlive(t)
	t.pending = 0
	return ok
}

// SetEarlyContext sets what 0-RTT is bound to at a server over an adopted SSL; empty: there is none.
func (t *TLS) SetEarlyContext(context []byte) bool {
	ok := C.bq_tls_set_early_context(t.c, bytesPtr(context), C.size_t(len(context))) == 1
	runtime.KeepAlive(t)
	return ok
}

// Running tells whether it is a callback of the program's, within Run, that asks: then there are events that belong to Run.
func (t *TLS) Running() bool { return t.running }

// PutPeerCertificates has Drain bring EvPeerCerts, and what was stapled. It must have brought all that was there before.
func (t *TLS) PutPeerCertificates() {
	t.pending = uint32(C.bq_tls_put_certs(t.c))
	runtime.KeepAlive(t)
}

// ALPN returns the protocol that was negotiated, or that of the session as long as 0-RTT data is sent; empty: there is none yet.
func (t *TLS) ALPN() []byte {
	var n C.size_t
	p := C.bq_tls_alpn(t.c, &n)
	b := C.GoBytes(unsafe.Pointer(p), C.int(n))
	runtime.KeepAlive(t)
	return b
}

// PeerParams returns the peer's transport parameters as they came, empty before.
func (t *TLS) PeerParams() []byte {
	var n C.size_t
	p := C.bq_tls_peer_params(t.c, &n)
	b := C.GoBytes(unsafe.Pointer(p), C.int(n))
	runtime.KeepAlive(t)
	return b
}

// Export fills out with keying material of an adopted SSL (RFC 8446, section 7.5), and tells whether there is any: not before the handshake is
// complete, nor after Free. Any goroutine may call it at any time. It waits for what runs in the SSL, so that no callback may call it.
func (t *TLS) Export(out []byte, label string, context []byte) bool {
	t.foreign.Lock()
	defer t.foreign.Unlock()
	if t.c == nil {
		return false
	}
	l := []byte(label)
	ok := C.bq_tls_export(t.c, bytesPtr(out), C.size_t(len(out)), (*C.char)(unsafe.Pointer(unsafe.SliceData(l))), C.size_t(len(l)),
		bytesPtr(context), C.size_t(len(context))) == 1
	runtime.KeepAlive(t)
	return ok
}
