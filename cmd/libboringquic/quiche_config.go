package main

// #include "quiche_internal.h"
import "C"

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// quicheConfig is a quiche_config: what was set, and what connections are made with, which is made when the first one is.
type quicheConfig struct {
	object
	values     [C.BQ_QUICHE_KEYS]uint64
	chain, key []byte         // in PEM form
	roots      *x509.CertPool // nil: the system's
	curves     []tls.CurveID
	protos     []string
	resetToken *[16]byte
	ticketKey  *[32]byte
	version    uint32

	made made[quicheMade]
}

// quicheMade is what a config comes to: many connections of many threads share it.
type quicheMade struct {
	core           quic.Config
	server, client *handshake.Context
	resetToken     *[16]byte
	logKeys        bool
	recvQueue      int
	sendQueue      int
	version        uint32
	cap            int // bytes of a datagram that is sent
}

//export bq_go_quiche_config_new
func bq_go_quiche_config_new(version C.uint32_t) C.uint64_t {
	var h handle
	call(func() error {
		v := uint32(version)
		if !quic.VersionSupported(v) && v&0x0f0f0f0f != 0x0a0a0a0a {
			return &quicheFault{quicheVersion, fmt.Errorf("QUIC version %#x is not known", v)}
		}
		c := &quicheConfig{version: v}
		c.values[C.BQ_GREASE] = 1
		c.values[C.BQ_MAX_SEND] = 1200
		c.values[C.BQ_MAX_ACK_DELAY] = 25
		c.values[C.BQ_HYSTART], c.values[C.BQ_PACING] = 1, 1
		c.values[C.BQ_ACK_DELAY_EXPONENT] = 3
		c.values[C.BQ_CC] = C.QUICHE_CC_CUBIC
		c.values[C.BQ_MAX_CONNECTION_WINDOW] = 24 << 20
		c.values[C.BQ_MAX_STREAM_WINDOW] = 16 << 20
		c.self, c.gate = c, new(gate)
		register(&c.object, kindQuicheConfig)
		h = c.handle
		return nil
	})
	return C.uint64_t(h)
}

// onConfig is on for what changes a config; it returns a QUICHE_ERR_*.
func onConfig(h C.uint64_t, f func(*quicheConfig) error) C.int64_t {
	result := quicheState
	s := on(handle(h), kindQuicheConfig, func(c *quicheConfig) error {
		err := c.made.change(func() error { return f(c) })
		if err != nil {
			result = quicheCode(err)
		}
		return err
	})
	if s == ok {
		return 0
	}
	return C.int64_t(result)
}

//export bq_go_quiche_config_free
func bq_go_quiche_config_free(h C.uint64_t) {
	on(handle(h), kindQuicheConfig, func(c *quicheConfig) error { unregister(&c.object); return nil })
}

//export bq_go_quiche_config_set
func bq_go_quiche_config_set(h C.uint64_t, key C.int, v C.uint64_t) {
	onConfig(h, func(c *quicheConfig) error { c.values[key] = uint64(v); return nil })
}

//export bq_go_quiche_config_text
func bq_go_quiche_config_text(h C.uint64_t, key C.int, p *C.uint8_t, n C.size_t) C.int64_t {
	return onConfig(h, func(c *quicheConfig) error { return c.setText(key, string(memory(p, n))) })
}

func (c *quicheConfig) setText(key C.int, text string) error {
	bad := func(err error) error {
		if err == nil {
			return nil
		}
		return &quicheFault{quicheTLS, err}
	}
	switch key {
	case C.BQ_CERT_FILE:
		return bad(c.loadChain(text))
	case C.BQ_KEY_FILE:
		return bad(c.loadKey(text))
	case C.BQ_ROOTS_FILE:
		return bad(c.loadRoots(text))
	case C.BQ_ROOTS_FOLDER:
		return bad(c.loadRootsFolder(text))
	case C.BQ_CURVES:
		return bad(c.setCurves(text))
	case C.BQ_PROTOS:
		return bad(c.setProtos(text))
	case C.BQ_CC_NAME:
		return c.setCongestion(text)
	case C.BQ_RESET_TOKEN:
		c.resetToken = (*[16]byte)([]byte(text))
	case C.BQ_TICKET_KEY:
		if len(text) != 48 {
			return bad(fmt.Errorf("a ticket key of %d bytes; 48 are wanted", len(text)))
		}
		key := sha256.Sum256([]byte("quiche ticket key\x00" + text))
		c.ticketKey = &key
	}
	return nil
}

// Certificate and key come by two calls, in any order. A chain that the key before it does not belong to is that of a key which is still to come.
func (c *quicheConfig) loadChain(path string) error {
	b, err := smallfile.Read(path)
	if err != nil {
		return err
	}
	if _, err := certificates(b); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := tls.X509KeyPair(b, c.key); err != nil {
		c.key = nil
	}
	c.chain = b
	return nil
}

func (c *quicheConfig) loadKey(path string) error {
	b, err := smallfile.Read(path)
	if err != nil {
		return err
	}
	err = checkKey(b)
	if err == nil && c.chain != nil {
		_, err = tls.X509KeyPair(c.chain, b)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	c.key = b
	return nil
}

func (c *quicheConfig) loadRoots(path string) error {
	b, err := smallfile.Read(path)
	if err != nil {
		return err
	}
	pool, err := withRoots(c.roots, b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	c.roots = pool
	return nil
}

// loadRootsFolder takes all files of a folder that have certificates; there must be one.
func (c *quicheConfig) loadRootsFolder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if c.loadRoots(filepath.Join(path, e.Name())) == nil {
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%s: no file with a certificate in PEM form", path)
	}
	return nil
}

var quicheCurves = map[string]tls.CurveID{
	"X25519MLKEM768": tls.X25519MLKEM768, "X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
	"prime256v1": tls.CurveP256, "secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521,
}

func (c *quicheConfig) setCurves(list string) error {
	var curves []tls.CurveID
	for name := range strings.SplitSeq(list, ":") {
		id, found := quicheCurves[name]
		if !found {
			return fmt.Errorf("no key exchange is called %q", name)
		}
		curves = append(curves, id)
	}
	c.curves = curves
	return nil
}

func (c *quicheConfig) setProtos(list string) (err error) {
	protos, err := protocols([]byte(list))
	if err == nil {
		c.protos = protos
	}
	return err
}

func (c *quicheConfig) setCongestion(name string) error {
	switch name {
	case "reno":
		c.values[C.BQ_CC] = C.QUICHE_CC_RENO
	case "cubic", "bbr", "bbr2", "bbr2_gcongestion":
		c.values[C.BQ_CC] = C.QUICHE_CC_CUBIC
	default:
		return &quicheFault{quicheCongestion, fmt.Errorf("no congestion controller is called %q", name)}
	}
	return nil
}

// useQuicheConfig returns what a config comes to.
func useQuicheConfig(h C.uint64_t) (*quicheMade, error) {
	c, err := find[quicheConfig](handle(h), kindQuicheConfig)
	if err != nil {
		return nil, err
	}
	return c.made.use(c.make)
}

// maxQuicheStreams bounds how many streams of a type a peer may have open at a time: one frame of it opens them all, and each is told.
const maxQuicheStreams = 1 << 20

func (c *quicheConfig) make() (*quicheMade, error) {
	v := &c.values
	t, err := c.tls()
	if err != nil {
		return nil, err
	}
	window := func(v uint64) uint64 { return min(max(v, 1), 1<<62-1) }
	streams := func(v uint64) int64 {
		if v == 0 {
			return -1
		}
		return int64(min(v, maxQuicheStreams))
	}
	stream := window(max(v[C.BQ_MAX_STREAM_DATA_BIDI_LOCAL], v[C.BQ_MAX_STREAM_DATA_BIDI_REMOTE], v[C.BQ_MAX_STREAM_DATA_UNI]))
	conn := window(v[C.BQ_MAX_DATA])
	m := &quicheMade{
		resetToken: c.resetToken, logKeys: v[C.BQ_LOG_KEYS] != 0, version: c.version,
		cap:       int(min(max(v[C.BQ_MAX_SEND], 1200), 65527)),
		recvQueue: int(min(v[C.BQ_DGRAM_RECV_QUEUE], quic.MaxQueuedDatagrams)), sendQueue: int(min(v[C.BQ_DGRAM_SEND_QUEUE], quic.MaxQueuedDatagrams)),
	}
	m.core = quic.Config{
		TLS: t, MaxIdleTimeout: quicheIdle(v[C.BQ_MAX_IDLE_TIMEOUT]), StreamReceiveWindow: stream, MaxStreamReceiveWindow: max(stream, window(v[C.BQ_MAX_STREAM_WINDOW])),
		ReceiveWindow: conn, MaxReceiveWindow: max(conn, window(v[C.BQ_MAX_CONNECTION_WINDOW])),
		MaxStreamsBidi: streams(v[C.BQ_MAX_STREAMS_BIDI]), MaxStreamsUni: streams(v[C.BQ_MAX_STREAMS_UNI]),
		MaxUDPPayload: m.cap, DisablePMTUD: v[C.BQ_DISCOVER_PMTU] == 0, NoGrease: v[C.BQ_GREASE] == 0,
		MaxAckDelay: time.Duration(min(max(v[C.BQ_MAX_ACK_DELAY], 1), 1<<14-1)) * time.Millisecond, DisableActiveMigration: v[C.BQ_NO_MIGRATION] != 0,
		EarlyData: v[C.BQ_EARLY_DATA] != 0, KeepPeerParams: true,
	}
	c.tune(&m.core)
	if c.version == quic.Version2 {
		m.core.Versions = []uint32{quic.Version2, quic.Version1}
	}
	if v[C.BQ_CC] == C.QUICHE_CC_RENO {
		m.core.Congestion = quic.NewReno
	}
	if v[C.BQ_DGRAM] != 0 {
		m.core.MaxDatagramFrameSize = 65535
	}
	if c.ticketKey != nil {
		m.core.TicketKeys = [][32]byte{*c.ticketKey}
	}
	if m.server, err = handshake.NewContext(false); err != nil {
		return nil, err
	}
	if m.client, err = handshake.NewContext(true); err != nil {
		return nil, err
	}
	if len(m.core.TicketKeys) > 0 {
		if err := m.server.SetTicketKeys(m.core.TicketKeys); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// tune sets what few programs set. What is out of range becomes what is next to it, since quiche's functions have no error to tell.
func (c *quicheConfig) tune(q *quic.Config) {
	v := &c.values
	within := func(key int, least, most uint64) int {
		if v[key] == 0 {
			return 0
		}
		return int(min(max(v[key], least), most))
	}
	q.MaxRecvUDPPayload, q.InitialWindow = within(C.BQ_MAX_RECV, 1200, 65527), within(C.BQ_WINDOW_PACKETS, 2, 1000)
	q.ActiveConnIDLimit, q.AmplificationFactor = within(C.BQ_CONN_IDS, 2, 16), within(C.BQ_AMPLIFICATION, 1, 3)
	q.MaxPacingRate, q.DisableHyStart, q.DisableConnIDReuse = min(v[C.BQ_PACING_RATE], 1<<62), v[C.BQ_HYSTART] == 0, v[C.BQ_NO_ID_REUSE] != 0
	if q.AckDelayExponent = within(C.BQ_ACK_DELAY_EXPONENT, 1, 20); q.AckDelayExponent == 0 {
		q.AckDelayExponent = -1
	}
	q.Pacing = quic.PaceAhead
	if v[C.BQ_PACING] == 0 {
		q.Pacing = quic.PaceOff
	}
}

// checkKey looks whether there is a private key in PEM form.
func checkKey(b []byte) error {
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			return errors.New("no private key in PEM form")
		}
		if b = rest; !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return nil
		}
		if _, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return nil
		}
		_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		return err
	}
}

func (c *quicheConfig) tls() (*tls.Config, error) {
	verify := c.values[C.BQ_VERIFY_PEER] != 0
	if verify && c.roots == nil {
		readRootsEnv()
	}
	t := &tls.Config{
		NextProtos: c.protos, CurvePreferences: c.curves, RootCAs: c.roots, ClientCAs: c.roots, InsecureSkipVerify: !verify, MinVersion: tls.VersionTLS13,
	}
	if verify {
		t.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if c.chain != nil && c.key != nil {
		pair, err := tls.X509KeyPair(c.chain, c.key)
		if err != nil {
			return nil, &quicheFault{quicheTLS, err}
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// unnamed returns a config for clients that verify the server's chain and have no name for it.
func unnamed(t *tls.Config) *tls.Config {
	t = t.Clone()
	t.InsecureSkipVerify = true
	t.VerifyConnection = func(s tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: t.RootCAs, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		_, err := handshake.Verify(s.PeerCertificates[0], opts)
		return err
	}
	return t
}

// quicheH3Config is a quiche_h3_config.
type quicheH3Config struct {
	object
	cfg h3.Config
}

//export bq_go_quiche_h3_config_new
func bq_go_quiche_h3_config_new() C.uint64_t {
	var h handle
	call(func() error {
		c := &quicheH3Config{cfg: h3.Config{MaxFieldSectionSize: 32 << 10}}
		c.self, c.gate = c, new(gate)
		register(&c.object, kindQuicheH3Config)
		h = c.handle
		return nil
	})
	return C.uint64_t(h)
}

//export bq_go_quiche_h3_config_free
func bq_go_quiche_h3_config_free(h C.uint64_t) {
	on(handle(h), kindQuicheH3Config, func(c *quicheH3Config) error { unregister(&c.object); return nil })
}

//export bq_go_quiche_h3_config_set
func bq_go_quiche_h3_config_set(h C.uint64_t, key C.int, v C.uint64_t) {
	on(handle(h), kindQuicheH3Config, func(c *quicheH3Config) error {
		some := func(most uint64) int {
			if v == 0 {
				return -1
			}
			return int(min(uint64(v), most))
		}
		switch key {
		case C.BQ_H3_FIELD_SECTION:
			c.cfg.MaxFieldSectionSize = max(uint64(v), 1)
		case C.BQ_H3_TABLE:
			c.cfg.QPACKTableCapacity = some(1 << 20)
		case C.BQ_H3_BLOCKED:
			c.cfg.QPACKBlockedStreams = some(1 << 16)
		case C.BQ_H3_CONNECT:
			c.cfg.EnableConnect = v != 0
		case C.BQ_H3_PRIORITY_UPDATE:
			c.cfg.MaxPriorityUpdate = int(min(max(v, 1), 264))
		}
		return nil
	})
}
