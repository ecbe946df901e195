package boring

// #cgo noescape bq_cred_new
// #cgo nocallback bq_cred_new
// #cgo noescape bq_ticket_keys_new
// #cgo nocallback bq_ticket_keys_new
// #cgo noescape bq_tls_set_session
// #cgo nocallback bq_tls_set_session
// #cgo noescape bq_tls_set_tickets
// #cgo nocallback bq_tls_set_tickets
// #cgo noescape bq_tls_offer_only
// #cgo nocallback bq_tls_offer_only
// #cgo noescape bq_tls_set_early_data
// #cgo nocallback bq_tls_set_early_data
// #cgo noescape bq_tls_set_params
// #cgo nocallback bq_tls_set_params
// #cgo noescape bq_tls_set_alpn
// #cgo nocallback bq_tls_set_alpn
// #cgo noescape bq_tls_set_groups
// #cgo nocallback bq_tls_set_groups
// #cgo noescape bq_tls_set_server_name
// #cgo nocallback bq_tls_set_server_name
// #cgo noescape bq_tls_set_client_auth
// #cgo nocallback bq_tls_set_client_auth
// #cgo noescape bq_tls_add_cred
// #cgo nocallback bq_tls_add_cred
// #cgo noescape bq_tls_set_flags
// #cgo nocallback bq_tls_set_flags
// #cgo noescape bq_tls_run
// #cgo nocallback bq_tls_run
// #cgo noescape bq_tls_drain
// #cgo nocallback bq_tls_drain
// #include "shim.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"unsafe"
)

// EventKind says what a TLSEvent tells.
type EventKind uint8

// The kinds of events, as shim.h describes them.
const (
	EvReadSecret     = EventKind(C.BQ_EV_READ_SECRET)
	EvWriteSecret    = EventKind(C.BQ_EV_WRITE_SECRET)
	EvHandshakeData  = EventKind(C.BQ_EV_HANDSHAKE_DATA)
	EvPeerParams     = EventKind(C.BQ_EV_PEER_PARAMS)
	EvKeyLog         = EventKind(C.BQ_EV_KEY_LOG)
	EvExporterSecret = EventKind(C.BQ_EV_EXPORTER_SECRET)
	EvSession        = EventKind(C.BQ_EV_SESSION)
	EvInfo           = EventKind(C.BQ_EV_INFO)
	EvPeerCerts      = EventKind(C.BQ_EV_PEER_CERTS)
	EvOCSP           = EventKind(C.BQ_EV_OCSP)
	EvSCTs           = EventKind(C.BQ_EV_SCTS)
	EvAskCert        = EventKind(C.BQ_EV_ASK_CERT)
	EvAskVerify      = EventKind(C.BQ_EV_ASK_VERIFY)
	EvAskSign        = EventKind(C.BQ_EV_ASK_SIGN)
	EvComplete       = EventKind(C.BQ_EV_COMPLETE)
	EvAskSession     = EventKind(C.BQ_EV_ASK_SESSION)
	EvAskTicket      = EventKind(C.BQ_EV_ASK_TICKET)
	EvEarlyData      = EventKind(C.BQ_EV_EARLY_DATA)
)

// Flags of EvInfo.
const (
	InfoResumed    = C.BQ_INFO_RESUMED
	InfoHelloRetry = C.BQ_INFO_HELLO_RETRY
	InfoEarly      = C.BQ_INFO_EARLY
)

// TLSEvent is one record of a connection's events.
type TLSEvent struct {
	Kind  EventKind
	Level uint8
	Code  uint16
	Data  []byte // aliases the drained bytes
}

// ConsumeEvent takes the first event off b, which Drain filled; n is its length, 0 if b is empty.
func ConsumeEvent(b []byte) (ev TLSEvent, n int) {
	const header = 8
	if len(b) < header {
		return ev, 0
	}
	n = header + int(binary.LittleEndian.Uint32(b[4:]))
	ev = TLSEvent{Kind: EventKind(b[0]), Level: b[1], Code: binary.LittleEndian.Uint16(b[2:]), Data: b[header:n:n]}
	return ev, n
}

// TLSOp is what Run does before it lets the handshake go on.
type TLSOp int

// The operations.
const (
	OpStart  = TLSOp(C.BQ_OP_START)  // a client's beginning; a byte says whether the session that was set is to be offered
	OpFeed   = TLSOp(C.BQ_OP_FEED)   // handshake bytes of the peer at a level
	OpCert   = TLSOp(C.BQ_OP_CERT)   // certificates have been chosen and added
	OpVerify = TLSOp(C.BQ_OP_VERIFY) // the peer's chain is good
	OpSign   = TLSOp(C.BQ_OP_SIGN)   // here is the signature
	OpMore   = TLSOp(C.BQ_OP_MORE)   // nothing: of an adopted SSL, the begin of a client, and another try
	OpTicket = TLSOp(C.BQ_OP_TICKET) // what becomes of a ticket, one byte of TicketResume and TicketEarlyData
)

// What is said of a client's ticket by OpTicket.
const (
	TicketResume    = byte(C.BQ_TICKET_RESUME)
	TicketEarlyData = byte(C.BQ_TICKET_EARLY_DATA)
)

// TLSResult is what became of Run.
type TLSResult struct {
	Failed, WrongLevel, Complete bool
	Stalled                      bool // of an adopted SSL: a callback of the program's wants to be called again, some time later

	Alert       uint8 // if it failed
	Level       uint8 // where handshake bytes are read now
	LastMessage uint8 // type of the last handshake message received
	Why         FailureReason
	Text        string // BoringSSL's words for the failure
}

// FailureReason tells failures apart that share an alert.
type FailureReason uint8

// The reasons of failures.
const (
	WhyOther         = FailureReason(C.BQ_WHY_OTHER)
	WhyExcessData    = FailureReason(C.BQ_WHY_EXCESS_DATA)     // bytes left over at a level whose keys advance
	WhySessionID     = FailureReason(C.BQ_WHY_SESSION_ID)      // a legacy_session_id that is not empty
	WhyEarlyDataSize = FailureReason(C.BQ_WHY_EARLY_DATA_SIZE) // a wrong max_early_data_size
	WhyTooLong       = FailureReason(C.BQ_WHY_TOO_LONG)        // more handshake bytes than a flight may have
)

var errMemory = errors.New("boring: out of C memory")

// TLSContext is an SSL_CTX. It is safe for concurrent use and freed when it is collected.
type TLSContext struct {
	c      *C.bq_ctx
	client bool
}

// NewTLSContext makes a context for clients or servers.
func NewTLSContext(client bool) (*TLSContext, error) {
	x := &TLSContext{c: C.bq_ctx_new(cBool(client)), client: client}
	if x.c == nil {
		return nil, errMemory
	}
	runtime.AddCleanup(x, func(c *C.bq_ctx) { C.bq_ctx_free(c) }, x.c)
	return x, nil
}

// Pointer returns the SSL_CTX, for tests.
func (x *TLSContext) Pointer() unsafe.Pointer { return unsafe.Pointer(x.c) }

// Credential is a certificate chain with its key. It does not change, and is freed when it is collected; connections that
// use it keep the C memory for themselves.
type Credential struct {
	c *C.bq_cred
	_ uint64 // less than 16 bytes, none a Go pointer, would share a block with others, and be freed with the last of them
}

// CredentialParams is what a Credential is made of: the chain, each certificate after its 24-bit length; the key as PKCS
// #8, or none if signatures are to be asked for; the rest may be empty.
type CredentialParams struct {
	Chain, Key, OCSP, SCTs []byte
	SignatureAlgorithms    []uint16
}

// NewCredential makes a Credential, and fails if BoringSSL does not like the leaf or the key, or they are no pair.
func NewCredential(p CredentialParams) (*Credential, error) {
	var text [96]byte
	c := C.bq_cred_new(bytesPtr(p.Chain), C.size_t(len(p.Chain)), bytesPtr(p.Key), C.size_t(len(p.Key)),
		bytesPtr(p.OCSP), C.size_t(len(p.OCSP)), bytesPtr(p.SCTs), C.size_t(len(p.SCTs)),
		uint16Ptr(p.SignatureAlgorithms), C.size_t(len(p.SignatureAlgorithms)), bytesPtr(text[:]), C.size_t(len(text)))
	if c == nil {
		return nil, errors.New("BoringSSL: " + textOf(text[:]))
	}
	cred := &Credential{c: c}
	runtime.AddCleanup(cred, func(c *C.bq_cred) { C.bq_cred_free(c) }, c)
	return cred, nil
}

// ID is how EvAskSign names the credential.
func (c *Credential) ID() uint64 {
	id := uint64(C.bq_cred_id(c.c))
	runtime.KeepAlive(c)
	return id
}

// TicketKeys are keys of session tickets, which do not change. They are freed when they are collected; connections that use them keep
// the C memory for themselves.
type TicketKeys struct {
	c *C.bq_ticket_keys
	_ uint64 // as in Credential
}

// NewTicketKeys makes keys of secrets. The first one seals tickets, and all open them. It fails if C memory is short.
func NewTicketKeys(secrets [][32]byte) (*TicketKeys, error) {
	flat := make([]byte, 0, 32*len(secrets))
	for i := range secrets {
		flat = append(flat, secrets[i][:]...)
	}
	c := C.bq_ticket_keys_new(bytesPtr(flat), C.size_t(len(secrets)))
	clear(flat)
	if c == nil {
		return nil, errMemory
	}
	k := &TicketKeys{c: c}
	runtime.AddCleanup(k, func(c *C.bq_ticket_keys) { C.bq_ticket_keys_free(c) }, c)
	return k, nil
}

// TLS is a connection's TLS state in C memory. It is not for concurrent use. After Free, nothing but Free may be called.
type TLS struct {
	c       *C.bq_tls
	pending uint32      // bytes of events
	foreign *sync.Mutex // of an SSL of the program's: what excludes Export, which any goroutine may call; nil: the SSL is ours
	running bool        // Run is under way, of an SSL of the program's
	cleanup runtime.Cleanup
}

// New makes a connection.
func (x *TLSContext) New() (*TLS, error) {
	t := &TLS{c: C.bq_tls_new(x.c, cBool(x.client))}
	runtime.KeepAlive(x)
	if t.c == nil {
		return nil, errMemory
	}
	t.cleanup = runtime.AddCleanup(t, func(c *C.bq_tls) { C.bq_tls_free(c) }, t.c)
	return t, nil
}

// Free gives the C memory back. A second call does nothing.
func (t *TLS) Free() {
	if t.c == nil {
		return
	}
	if t.foreign != nil {
		t.foreign.Lock()
		defer t.foreign.Unlock()
	}
	t.cleanup.Stop()
	C.bq_tls_free(t.c)
	t.c = nil
}

// SetParams sets the transport parameters that are sent.
func (t *TLS) SetParams(params []byte) bool {
	ok := C.bq_tls_set_params(t.c, bytesPtr(params), C.size_t(len(params))) == 1
	runtime.KeepAlive(t)
	return ok
}

// SetALPN sets the application protocols in the wire's form, each after its length, the best first.
func (t *TLS) SetALPN(list []byte) bool {
	ok := C.bq_tls_set_alpn(t.c, bytesPtr(list), C.size_t(len(list))) == 1
	runtime.KeepAlive(t)
	return ok
}

// SetGroups sets the key exchange groups, at most sixteen, the best first. A server takes a post-quantum one before others,
// and among those what the client likes best.
func (t *TLS) SetGroups(groups []uint16) bool {
	ok := C.bq_tls_set_groups(t.c, uint16Ptr(groups), C.size_t(len(groups))) == 1
	runtime.KeepAlive(t)
	return ok
}

// OfferOnly has a client offer one cipher suite, of those that BoringSSL has for TLS 1.3; 0: all. With one it may have no session.
func (t *TLS) OfferOnly(suite uint16) {
	C.bq_tls_offer_only(t.c, C.uint16_t(suite))
	runtime.KeepAlive(t)
}

// SetServerName sets the server name that a client sends.
func (t *TLS) SetServerName(name string) bool {
	ok := C.bq_tls_set_server_name(t.c, (*C.uint8_t)(unsafe.StringData(name)), C.size_t(len(name))) == 1
	runtime.KeepAlive(t)
	return ok
}

// ClientAuth says whether a server asks its client for a certificate.
type ClientAuth int

// What a server can do about its client's certificate.
const (
	ClientAuthNone    = ClientAuth(C.BQ_CLIENT_AUTH_NONE)
	ClientAuthRequest = ClientAuth(C.BQ_CLIENT_AUTH_REQUEST)
	ClientAuthRequire = ClientAuth(C.BQ_CLIENT_AUTH_REQUIRE) // clients without one are refused
)

// SetClientAuth says whether a server asks for a certificate. names are the CAs that it names to the client, each after its
// 16-bit length.
func (t *TLS) SetClientAuth(mode ClientAuth, names []byte) bool {
	ok := C.bq_tls_set_client_auth(t.c, C.int(mode), bytesPtr(names), C.size_t(len(names))) == 1
	runtime.KeepAlive(t)
	return ok
}

// AddCredential adds a credential behind those that are there.
func (t *TLS) AddCredential(c *Credential) bool {
	ok := C.bq_tls_add_cred(t.c, c.c) == 1
	runtime.KeepAlive(c)
	runtime.KeepAlive(t)
	return ok
}

// SetSession gives a client a session, as EvSession tells it behind the lifetime. The chain of its server is told then, and
// EvAskSession, which OpStart answers. False: it is no session that can be used.
func (t *TLS) SetSession(session []byte) bool {
	var pending C.uint32_t
	ok := C.bq_tls_set_session(t.c, bytesPtr(session), C.size_t(len(session)), &pending) == 1
	runtime.KeepAlive(t)
	t.pending = uint32(pending)
	return ok
}

// SetTickets gives a server the keys of its tickets; nil: there are none. A ticket is good where context is what it was where the ticket
// was issued; without resume none is.
func (t *TLS) SetTickets(keys *TicketKeys, context *[32]byte, resume bool) bool {
	var c *C.bq_ticket_keys
	if keys != nil {
		c = keys.c
	}
	ok := C.bq_tls_set_tickets(t.c, c, bytesPtr(context[:]), cBool(resume)) == 1
	runtime.KeepAlive(keys)
	runtime.KeepAlive(t)
	return ok
}

// SetEarlyData switches 0-RTT on. At a server 0-RTT is accepted where context is what it was where the ticket was issued.
func (t *TLS) SetEarlyData(context *[32]byte) bool {
	ok := C.bq_tls_set_early_data(t.c, bytesPtr(context[:])) == 1
	runtime.KeepAlive(t)
	return ok
}

// SetFlags says whether a client's handshake is to stop at the choice of a certificate (a server's always does), whether lines for the key log are told,
// and whether session tickets are used.
func (t *TLS) SetFlags(askCert, logKeys, tickets bool) {
	C.bq_tls_set_flags(t.c, cBool(askCert), cBool(logKeys), cBool(tickets))
	runtime.KeepAlive(t)
}

// Run does op with its input, and lets the handshake go on until it wants data or an answer. now is the time for session
// tickets in seconds since 1970, 0 for the system's clock.
func (t *TLS) Run(op TLSOp, level uint8, in []byte, now int64) TLSResult {
	var r C.bq_result
	if t.foreign != nil {
		r = t.runForeign(op, level, in)
	} else {
		C.bq_tls_run(t.c, C.int(op), C.int(level), bytesPtr(in), C.size_t(len(in)), C.int64_t(now), &r)
		for r.status == C.BQ_RUN_MORE {
			C.bq_tls_run(t.c, C.BQ_OP_MORE, C.int(level), nil, 0, C.int64_t(now), &r)
		}
	}
	runtime.KeepAlive(t)
	t.pending = uint32(r.pending)
	out := TLSResult{
		Failed:      r.status == C.BQ_RUN_FAILED,
		WrongLevel:  r.status == C.BQ_RUN_WRONG_LEVEL,
		Complete:    r.complete != 0,
		Stalled:     r.stalled != 0,
		Alert:       uint8(r.alert),
		Level:       uint8(r.level),
		LastMessage: uint8(r.last_message),
		Why:         FailureReason(r.why),
	}
	if out.Failed {
		out.Text = textOf(unsafe.Slice((*byte)(unsafe.Pointer(&r.text[0])), len(r.text)))
	}
	return out
}

// Drain takes the events that Run left, for ConsumeEvent, appended to b.
func (t *TLS) Drain(b []byte) []byte {
	if t.pending == 0 {
		return b
	}
	n := len(b)
	b = append(b, make([]byte, t.pending)...)
	C.bq_tls_drain(t.c, bytesPtr(b[n:]), C.size_t(t.pending))
	runtime.KeepAlive(t)
	t.pending = 0
	return b
}

// TLSLive counts the contexts, connections, credentials and ticket keys of the process in C memory, for tests.
func TLSLive() int64 { return int64(C.bq_tls_live()) }

func uint16Ptr(s []uint16) *C.uint16_t { return (*C.uint16_t)(unsafe.SliceData(s)) }

func textOf(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
