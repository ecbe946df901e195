package main

// #include "internal.h"
import "C"

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// config is a bquic_config.
type config struct {
	object
	numbers map[uint32]uint64
	bytes   map[uint32][]byte
	certs   []tls.Certificate
	roots   *x509.CertPool
	verify  verifier
	keylog  int // file descriptor; below 0: none
	makeSSL sslMaker

	made made[settings]
}

// settings are what a config comes to. They do not change: endpoints and connections share them.
type settings struct {
	client, server *quic.Config
	http           *h3.Config // nil: not HTTP/3
}

// span are the values that a number can have besides 0, which stands for the default: least to most. With unbounded UINT64_MAX is one, too, and says that there
// is none of something, or no end to it.
type span struct {
	least, most uint64
	unbounded   bool
}

// spans are the keys of bquic_config_set_u64. What the packages quic and h3 refuse is refused here, with BQUIC_ERR_ARGUMENT.
var spans = map[uint32]span{
	C.BQUIC_MAX_IDLE_TIMEOUT: {1, maxDuration, true}, C.BQUIC_HANDSHAKE_TIMEOUT: {1, day, false}, C.BQUIC_KEEP_ALIVE: {1, day, false},
	C.BQUIC_STREAM_WINDOW: {1, maxCount, false}, C.BQUIC_MAX_STREAM_WINDOW: {1, maxCount, false},
	C.BQUIC_WINDOW: {1, maxCount, false}, C.BQUIC_MAX_WINDOW: {1, maxCount, false},
	C.BQUIC_MAX_STREAMS_BIDI: {1, 1 << 60, true}, C.BQUIC_MAX_STREAMS_UNI: {1, 1 << 60, true},
	C.BQUIC_STREAM_SEND_BUFFER: {1, maxSize, false}, C.BQUIC_MAX_STREAM_SEND_BUFFER: {1, maxSize, false},
	C.BQUIC_MAX_DATAGRAM_FRAME: {1, 65535, false}, C.BQUIC_MAX_UDP_PAYLOAD: {1200, 65527, false}, C.BQUIC_DISABLE_PMTUD: flag, C.BQUIC_CONGESTION: {1, 1, false},
	C.BQUIC_INITIAL_RTT: {uint64(time.Microsecond), uint64(time.Minute), false}, C.BQUIC_MAX_ACK_DELAY: {uint64(time.Millisecond), uint64(1<<14*time.Millisecond) - 1, false},
	C.BQUIC_VERSIONS: {1, 3, false}, C.BQUIC_NO_GREASE: flag, C.BQUIC_SPIN_BIT: flag, C.BQUIC_CONN_ID_LENGTH: {1, 20, false}, C.BQUIC_RETRY: flag,
	C.BQUIC_DISABLE_MIGRATION: flag, C.BQUIC_IGNORE_PREFERRED: flag, C.BQUIC_EARLY_DATA: flag, C.BQUIC_MAX_HANDSHAKES: {1, maxSize, false}, C.BQUIC_NO_TICKETS: flag,
	C.BQUIC_VERIFY: {1, C.BQUIC_VERIFY_REQUIRE, false}, C.BQUIC_MAX_RECV_UDP_PAYLOAD: {1200, 65527, false}, C.BQUIC_INITIAL_WINDOW: {2, 1000, false},
	C.BQUIC_DISABLE_HYSTART: flag, C.BQUIC_DISABLE_PACING: flag, C.BQUIC_MAX_PACING_RATE: {1, 1 << 62, false}, C.BQUIC_ACK_DELAY_EXPONENT: {1, 20, true},
	C.BQUIC_ACTIVE_CONN_IDS: {2, 16, false}, C.BQUIC_DISABLE_ID_REUSE: flag, C.BQUIC_AMPLIFICATION: {1, 3, false},
	C.BQUIC_H3: flag, C.BQUIC_H3_MAX_FIELD_SECTION: {1, 16 << 20, false}, C.BQUIC_H3_TABLE_CAPACITY: {1, 1 << 20, true},
	C.BQUIC_H3_BLOCKED_STREAMS: {1, 1 << 16, true}, C.BQUIC_H3_ENABLE_CONNECT: flag, C.BQUIC_H3_ENABLE_DATAGRAMS: flag,
	C.BQUIC_H3_HEADER_TIMEOUT: {1, day, false}, C.BQUIC_H3_MAX_PRIORITY_UPDATE: {1, 264, false},
}

// flag is the span of switches.
var flag = span{1, 1, false}

// growing are what may have so many bytes at first, by default usual, and how many later.
var growing = []struct {
	first, later uint32
	usual        uint64
	names        [2]string
}{
	{C.BQUIC_STREAM_WINDOW, C.BQUIC_MAX_STREAM_WINDOW, 512 << 10, [2]string{"BQUIC_STREAM_WINDOW", "BQUIC_MAX_STREAM_WINDOW"}},
	{C.BQUIC_WINDOW, C.BQUIC_MAX_WINDOW, 768 << 10, [2]string{"BQUIC_WINDOW", "BQUIC_MAX_WINDOW"}},
	{C.BQUIC_STREAM_SEND_BUFFER, C.BQUIC_MAX_STREAM_SEND_BUFFER, 1 << 20, [2]string{"BQUIC_STREAM_SEND_BUFFER", "BQUIC_MAX_STREAM_SEND_BUFFER"}},
}

const (
	unbounded   = 1<<64 - 1 // or "none", for which the core has negative numbers
	maxDuration = 1<<63 - 1
	maxCount    = 1<<62 - 1
	maxSize     = 1<<31 - 1
	day         = uint64(24 * time.Hour)
)

//export bq_go_config_new
func bq_go_config_new() (h C.uint64_t) {
	call(func() error {
		c := &config{numbers: make(map[uint32]uint64), bytes: make(map[uint32][]byte), keylog: -1}
		c.object = object{gate: new(gate), self: c}
		register(&c.object, kindConfig)
		h = C.uint64_t(c.handle)
		return nil
	})
	return h
}

//export bq_go_config_free
func bq_go_config_free(h C.uint64_t) C.int32_t {
	return C.int32_t(on(handle(h), kindConfig, func(c *config) error {
		unregister(&c.object)
		return nil
	}))
}

// change is on for a config that f changes.
func change(h C.uint64_t, f func(c *config) error) C.int32_t {
	return C.int32_t(on(handle(h), kindConfig, func(c *config) error {
		return c.made.change(func() error { return f(c) })
	}))
}

//export bq_go_config_set_u64
func bq_go_config_set_u64(h C.uint64_t, key C.uint32_t, value C.uint64_t) C.int32_t {
	return change(h, func(c *config) error {
		of, known := spans[uint32(key)]
		switch {
		case !known:
			return faultf(errArgument, "there is no number with key %d", key)
		case value == 0 || of.unbounded && value == unbounded:
		case uint64(value) > of.most:
			return faultf(errArgument, "the number with key %d is %d, and can be at most %d", key, uint64(value), of.most)
		case uint64(value) < of.least:
			return faultf(errArgument, "the number with key %d is %d, and must be at least %d", key, uint64(value), of.least)
		}
		c.numbers[uint32(key)] = uint64(value)
		return nil
	})
}

//export bq_go_config_get_u64
func bq_go_config_get_u64(h C.uint64_t, key C.uint32_t, value *C.uint64_t) C.int32_t {
	return C.int32_t(in(handle(h), kindConfig, func(c *config) error {
		if _, known := spans[uint32(key)]; !known {
			return faultf(errArgument, "there is no number with key %d", key)
		}
		c.made.mu.Lock()
		defer c.made.mu.Unlock()
		*value = C.uint64_t(c.numbers[uint32(key)])
		return nil
	}))
}

//export bq_go_config_set_bytes
func bq_go_config_set_bytes(h C.uint64_t, key C.uint32_t, data *C.uint8_t, n C.size_t) C.int32_t {
	return change(h, func(c *config) error {
		b := slices.Clone(memory(data, n))
		switch key {
		case C.BQUIC_TOKEN_KEY, C.BQUIC_RESET_KEY:
			if len(b) != 32 && len(b) != 0 {
				return faultf(errArgument, "the key has %d bytes, and must have 32", len(b))
			}
		case C.BQUIC_TICKET_KEYS:
			if _, err := ticketKeys(b); err != nil {
				return err
			}
		case C.BQUIC_EARLY_CONTEXT:
			if len(b) > 16<<10 {
				return faultf(errArgument, "the context of 0-RTT data has %d bytes, and can have 16384", len(b))
			}
		case C.BQUIC_ALPN:
			if _, err := protocols(b); err != nil {
				return err
			}
		default:
			return faultf(errArgument, "there are no bytes with key %d", key)
		}
		c.bytes[uint32(key)] = b
		return nil
	})
}

func ticketKeys(b []byte) (keys [][32]byte, err error) {
	if len(b)%32 != 0 || len(b) > 64*32 {
		return nil, faultf(errArgument, "the ticket keys have %d bytes, and must have a multiple of 32, 2048 at most", len(b))
	}
	for k := range slices.Chunk(b, 32) {
		keys = append(keys, [32]byte(k))
	}
	return keys, nil
}

//export bq_go_config_add_cert
func bq_go_config_add_cert(h C.uint64_t, chain *C.uint8_t, chainLen C.size_t, key *C.uint8_t, keyLen C.size_t) C.int32_t {
	return change(h, func(c *config) error { return c.addCert(memory(chain, chainLen), memory(key, keyLen)) })
}

//export bq_go_config_add_cert_files
func bq_go_config_add_cert_files(h C.uint64_t, chain, key *C.char) C.int32_t {
	return change(h, func(c *config) error {
		certPEM, err := smallfile.Read(text(chain))
		if err != nil {
			return err
		}
		keyPEM, err := smallfile.Read(text(key))
		if err != nil {
			return err
		}
		return c.addCert(certPEM, keyPEM)
	})
}

func (c *config) addCert(chain, key []byte) error {
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return faultf(errPEM, "no certificate with its key: %v", err)
	}
	c.certs = append(slices.Clone(c.certs), cert)
	return nil
}

//export bq_go_config_add_roots
func bq_go_config_add_roots(h C.uint64_t, data *C.uint8_t, n C.size_t) C.int32_t {
	return change(h, func(c *config) error { return c.addRoots(memory(data, n), "the memory") })
}

//export bq_go_config_add_roots_file
func bq_go_config_add_roots_file(h C.uint64_t, file *C.char) C.int32_t {
	return change(h, func(c *config) error {
		name := text(file)
		b, err := smallfile.Read(name)
		if err != nil {
			return err
		}
		return c.addRoots(b, name)
	})
}

func (c *config) addRoots(b []byte, from string) error {
	pool, err := withRoots(c.roots, b)
	if err != nil {
		return faultf(errPEM, "%s: %v", from, err)
	}
	c.roots = pool
	return nil
}

//export bq_go_config_set_verify
func bq_go_config_set_verify(h C.uint64_t, callback C.bquic_verify, context C.uintptr_t) C.int32_t {
	return change(h, func(c *config) error {
		c.verify = verifier{callback, context}
		return nil
	})
}

//export bq_go_config_set_keylog_fd
func bq_go_config_set_keylog_fd(h C.uint64_t, fd C.int) C.int32_t {
	return change(h, func(c *config) error {
		c.keylog = int(fd)
		return nil
	})
}

// descriptor is a file of the caller's.
type descriptor int

func (d descriptor) Write(b []byte) (n int, err error) {
	for n < len(b) {
		m, err := syscall.Write(int(d), b[n:])
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// keyLines are where secrets are written to, a line at a time. A line that cannot be written at once, since nobody reads, is lost: no connection waits for it,
// or ends for it.
type keyLines struct{ descriptor }

func (k keyLines) Write(b []byte) (int, error) {
	ready := []unix.PollFd{{Fd: int32(k.descriptor), Events: unix.POLLOUT}}
	if _, err := unix.Poll(ready, 0); err == nil && ready[0].Revents&unix.POLLOUT != 0 {
		_, _ = k.descriptor.Write(b)
	}
	return len(b), nil
}

// verifier is a bquic_verify and what it is called with, which need not be a pointer.
type verifier struct {
	callback C.bquic_verify
	context  C.uintptr_t
}

// judge asks the callback about a peer. Whatever it is given is C's memory, freed when it returns.
func (v verifier) judge(cs tls.ConnectionState) error {
	var lent arena
	defer lent.free()
	n := len(cs.PeerCertificates)
	chain := unsafe.Slice((*C.bquic_bytes)(lent.take(max(n, 1)*C.sizeof_bquic_bytes)), n)
	for i, cert := range cs.PeerCertificates {
		point(&chain[i].data, lent.copy(cert.Raw))
		chain[i].len = C.size_t(len(cert.Raw))
	}
	peer := (*C.bquic_peer)(lent.take(C.sizeof_bquic_peer))
	blank(peer)
	point(&peer.server_name, (*C.char)(lent.copy(append([]byte(cs.ServerName), 0))))
	point(&peer.chain, unsafe.SliceData(chain))
	peer.size, peer.chain_len = C.sizeof_bquic_peer, C.size_t(n)
	if cs.DidResume {
		peer.resumed = 1
	}
	if C.bq_call_verify(v.callback, v.context, peer) != 0 {
		return errors.New("the program's callback has refused the peer's certificate")
	}
	return nil
}

// sslMaker is a bquic_make_ssl and what it is called with.
type sslMaker struct {
	callback C.bquic_make_ssl
	context  C.uintptr_t
}

func (m sslMaker) make(_, remote addr) uintptr {
	var at C.bquic_addr
	setAddr(&at, remote)
	return uintptr(C.bq_call_make_ssl(m.callback, m.context, &at))
}

//export bq_go_config_set_make_ssl
func bq_go_config_set_make_ssl(h C.uint64_t, callback C.bquic_make_ssl, context C.uintptr_t) C.int32_t {
	return change(h, func(c *config) error {
		c.makeSSL = sslMaker{callback, context}
		return nil
	})
}

// hasProtocol looks whether an application protocol is set, which all TLS but that of the program's SSLs needs.
func hasProtocol(q *quic.Config) error {
	if len(q.TLS.NextProtos) > 0 {
		return nil
	}
	return faultf(errConfig, "no application protocol is set: BQUIC_ALPN must name one, or BQUIC_H3 be 1")
}

// useConfig returns what a config comes to.
func useConfig(h C.uint64_t) (*settings, error) {
	c, err := find[config](handle(h), kindConfig)
	if err != nil {
		return nil, err
	}
	return c.made.use(c.settings)
}

// settings makes what the config comes to.
func (c *config) settings() (*settings, error) {
	n := c.numbers
	isSet := func(key uint32) bool { return n[key] != 0 }
	for _, g := range growing {
		if first, later := cmp.Or(n[g.first], g.usual), n[g.later]; later != 0 && later < first {
			return nil, faultf(errConfig, "%s is %d, and %s %d: there is more at first than there may be later", g.names[0], first, g.names[1], later)
		}
	}
	protos, _ := protocols(c.bytes[C.BQUIC_ALPN])
	if len(protos) == 0 && isSet(C.BQUIC_H3) {
		protos = []string{"h3"}
	}
	if c.roots == nil {
		readRootsEnv()
	}
	t := &tls.Config{
		Certificates: c.certs, RootCAs: c.roots, ClientCAs: c.roots, NextProtos: protos, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: n[C.BQUIC_VERIFY] == C.BQUIC_VERIFY_NONE, SessionTicketsDisabled: isSet(C.BQUIC_NO_TICKETS),
	}
	switch n[C.BQUIC_VERIFY] {
	case C.BQUIC_VERIFY_REQUEST:
		t.ClientAuth = tls.VerifyClientCertIfGiven
	case C.BQUIC_VERIFY_REQUIRE:
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if c.keylog >= 0 {
		t.KeyLogWriter = keyLines{descriptor(c.keylog)}
	}
	q := &quic.Config{
		TLS: t, MaxIdleTimeout: duration(n[C.BQUIC_MAX_IDLE_TIMEOUT]), HandshakeTimeout: duration(n[C.BQUIC_HANDSHAKE_TIMEOUT]),
		KeepAlive:           duration(n[C.BQUIC_KEEP_ALIVE]),
		StreamReceiveWindow: n[C.BQUIC_STREAM_WINDOW], MaxStreamReceiveWindow: n[C.BQUIC_MAX_STREAM_WINDOW],
		ReceiveWindow: n[C.BQUIC_WINDOW], MaxReceiveWindow: n[C.BQUIC_MAX_WINDOW],
		MaxStreamsBidi: count(n[C.BQUIC_MAX_STREAMS_BIDI]), MaxStreamsUni: count(n[C.BQUIC_MAX_STREAMS_UNI]),
		StreamSendBuffer: int(n[C.BQUIC_STREAM_SEND_BUFFER]), MaxStreamSendBuffer: int(n[C.BQUIC_MAX_STREAM_SEND_BUFFER]),
		MaxDatagramFrameSize: int(n[C.BQUIC_MAX_DATAGRAM_FRAME]), MaxUDPPayload: int(n[C.BQUIC_MAX_UDP_PAYLOAD]), DisablePMTUD: isSet(C.BQUIC_DISABLE_PMTUD),
		Congestion: quic.CongestionAlgorithm(n[C.BQUIC_CONGESTION]), InitialRTT: duration(n[C.BQUIC_INITIAL_RTT]), MaxAckDelay: duration(n[C.BQUIC_MAX_ACK_DELAY]),
		NoGrease: isSet(C.BQUIC_NO_GREASE), SpinBit: isSet(C.BQUIC_SPIN_BIT), IgnorePreferredAddress: isSet(C.BQUIC_IGNORE_PREFERRED),
		DisableActiveMigration: isSet(C.BQUIC_DISABLE_MIGRATION), EarlyData: isSet(C.BQUIC_EARLY_DATA), MaxHandshakes: int(n[C.BQUIC_MAX_HANDSHAKES]),
		EarlyContext:      c.bytes[C.BQUIC_EARLY_CONTEXT],
		MaxRecvUDPPayload: int(n[C.BQUIC_MAX_RECV_UDP_PAYLOAD]), InitialWindow: int(n[C.BQUIC_INITIAL_WINDOW]), DisableHyStart: isSet(C.BQUIC_DISABLE_HYSTART),
		MaxPacingRate: n[C.BQUIC_MAX_PACING_RATE], AckDelayExponent: int(count(n[C.BQUIC_ACK_DELAY_EXPONENT])),
		ActiveConnIDLimit: int(n[C.BQUIC_ACTIVE_CONN_IDS]), DisableConnIDReuse: isSet(C.BQUIC_DISABLE_ID_REUSE), AmplificationFactor: int(n[C.BQUIC_AMPLIFICATION]),
	}
	if isSet(C.BQUIC_DISABLE_PACING) {
		q.Pacing = quic.PaceOff
	}
	// Verified before: the bytes have the right lengths.
	q.TicketKeys, _ = ticketKeys(c.bytes[C.BQUIC_TICKET_KEYS])
	q.TokenKey, q.StatelessResetKey = key32(c.bytes[C.BQUIC_TOKEN_KEY]), key32(c.bytes[C.BQUIC_RESET_KEY])
	q.Versions = [][]uint32{nil, {quic.Version1}, {quic.Version2}, {quic.Version2, quic.Version1}}[n[C.BQUIC_VERSIONS]]
	if l := n[C.BQUIC_CONN_ID_LENGTH]; l != 0 {
		q.ConnIDs = quic.RandomConnIDs(l)
	}
	if isSet(C.BQUIC_RETRY) {
		q.Retry = always
	}
	of := t.Clone() // the server's, which asks its clients for certificates or has nothing to verify
	if c.verify.callback != nil {
		t.VerifyConnection = c.verify.judge
		if t.ClientAuth != tls.NoClientCert {
			of.VerifyConnection = c.verify.judge
		}
	}
	made := &settings{client: q, server: new(quic.Config)}
	if isSet(C.BQUIC_H3) {
		if err := made.addHTTP(n); err != nil {
			return nil, err
		}
	}
	*made.server = *q
	made.server.TLS = of
	if c.makeSSL.callback != nil {
		made.server.TLS, made.server.AcceptSSL = nil, c.makeSSL.make
	}
	return made, nil
}

// addHTTP adds HTTP/3's part.
func (s *settings) addHTTP(n map[uint32]uint64) (err error) {
	s.http, err = (&h3.Config{
		MaxFieldSectionSize: n[C.BQUIC_H3_MAX_FIELD_SECTION], QPACKTableCapacity: int(count(n[C.BQUIC_H3_TABLE_CAPACITY])),
		QPACKBlockedStreams: int(count(n[C.BQUIC_H3_BLOCKED_STREAMS])), EnableConnect: n[C.BQUIC_H3_ENABLE_CONNECT] != 0,
		EnableDatagrams: n[C.BQUIC_H3_ENABLE_DATAGRAMS] != 0, HeaderTimeout: duration(n[C.BQUIC_H3_HEADER_TIMEOUT]), MaxPriorityUpdate: int(n[C.BQUIC_H3_MAX_PRIORITY_UPDATE]), NoGrease: n[C.BQUIC_NO_GREASE] != 0,
	}).Prepare()
	if err != nil {
		return &fault{errConfig, err.Error()}
	}
	own, err := s.http.EarlyContext()
	if err != nil {
		return &fault{errConfig, err.Error()}
	}
	s.client.EarlyContext = append(own, s.client.EarlyContext...)
	return nil
}

func always(addr) bool { return true }

func key32(b []byte) *[32]byte {
	if len(b) != 32 {
		return nil
	}
	return (*[32]byte)(b)
}

// duration is a length of time of C's, of which "never" is a negative one in Go.
func duration(n uint64) time.Duration {
	return time.Duration(count(n))
}

// count is a number of C's, of which "none" is a negative one in Go.
func count(n uint64) int64 {
	if n == unbounded {
		return -1
	}
	return int64(min(n, maxCount))
}
