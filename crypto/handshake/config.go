package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// Context is what the connections of one endpoint and role share: BoringSSL's SSL_CTX and the parsed forms of certificates, the
// peers' too, and keys. It is safe for concurrent use, and freed when it is collected.
type Context struct {
	boring *boring.TLSContext
	client bool

	checked atomic.Pointer[checked] // the last tls.Config that New was given and found good: some checks take long

	tickets ticketKeys
	replays *replayFilter

	mu          sync.Mutex
	credentials credentials
	parsed      map[string]*x509.Certificate // of peers, at most maxParsed, by their DER form
}

// NewContext returns a Context for clients or for servers. It fails if C memory is short.
func NewContext(client bool) (*Context, error) {
	b, err := boring.NewTLSContext(client)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return &Context{boring: b, client: client, parsed: make(map[string]*x509.Certificate), replays: newReplayFilter()}, nil
}

// checked is a tls.Config and what follows of it.
type checked struct {
	cfg  *tls.Config
	keys *boring.TicketKeys // of SessionTicketKey; nil: it is not set
}

// Params is what a connection needs beside its tls.Config.
type Params struct {
	// ServerName is the name or IP address of the server, for SNI and verification, that a client uses if
	// tls.Config.ServerName is empty.
	ServerName string
	// TransportParameters is the value of our quic_transport_parameters extension (RFC 9001, section 8.2). It is copied.
	// It may come later by Conn.SetTransportParameters.
	TransportParameters []byte
	// LateParameters has a server's handshake rest when EventTransportParameters was told, until Conn.Negotiate gives it ours: they
	// depend on the client's where the version is negotiated (RFC 9368).
	LateParameters bool
	// LocalAddr and RemoteAddr are what ClientHelloInfo.Conn answers in a server's callbacks, as *net.UDPAddr; nil if not valid.
	LocalAddr, RemoteAddr netip.AddrPort
	// Version is the QUIC version, to which a server's tickets belong (RFC 9369, section 5). SetVersion replaces it.
	Version uint32

	// CipherSuite is the only cipher suite that a client offers, of those of TLS 1.3 but AES-CCM; 0: it offers all. With it, Session is
	// ignored.
	CipherSuite uint16

	// Session is Data of EventSessionTicket of an earlier connection, for a client to resume; nil: none. One that is damaged, expired,
	// of another server name or of a server whose certificates are not good any more leads to a full handshake. It is not kept.
	Session []byte
	// EarlyData has a client offer 0-RTT if Session allows it, and a server accept it.
	EarlyData bool
	// EarlyContext is what the 0-RTT of a server's tickets is bound to: with another value than that of the connection that issued
	// a ticket, the session is resumed without 0-RTT. It is copied.
	EarlyContext []byte
	// EarlyReplay tells a server which ClientHellos with 0-RTT are fresh. With nil the Context does so itself, for 2,100 a second, and
	// accepts no 0-RTT with tickets that it has not issued itself.
	EarlyReplay ReplayStore
}

// New returns a connection. cfg must not change while the connection lives. An error says which field of cfg or p is not
// acceptable.
func (x *Context) New(cfg *tls.Config, p Params) (*Conn, error) {
	s, err := x.resolve(cfg)
	if err != nil {
		return nil, err
	}
	if last := x.checked.Load(); last == nil || last.cfg != cfg {
		for i := range cfg.Certificates { // those that callbacks choose are looked at when they are
			if err := checkUsage(&cfg.Certificates[i]); err != nil {
				return nil, err
			}
		}
		x.checked.Store(&checked{cfg, s.ticketKeys})
	}
	c := &Conn{setup: &setup{ctx: x, params: p}, client: x.client, readLevel: Initial}
	if x.client {
		name := cfg.ServerName
		if name == "" {
			name = p.ServerName
		}
		if name == "" && !cfg.InsecureSkipVerify {
			return nil, errors.New("handshake: either a server name or tls.Config.InsecureSkipVerify is required")
		}
		c.setup.serverName, c.state.serverName = name, sniName(name)
	}
	c.tls, err = x.boring.New()
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if err := c.setUp(cfg, s); err != nil {
		c.tls.Free()
		return nil, err
	}
	return c, nil
}

// settings is what BoringSSL needs to know of a tls.Config.
type settings struct {
	alpn    []byte // NextProtos in the wire's form
	groups  []uint16
	tickets bool

	ticketKeys *boring.TicketKeys // of the tls.Config's SessionTicketKey; nil: it is not set
}

// resolve checks a tls.Config and translates it.
func (x *Context) resolve(cfg *tls.Config) (s settings, err error) {
	if cfg == nil {
		return s, errors.New("handshake: a tls.Config is required")
	}
	client := x.client
	if err := checkConfig(cfg, client); err != nil {
		return s, err
	}
	s.tickets = !cfg.SessionTicketsDisabled
	if !client && s.tickets {
		if last := x.checked.Load(); last != nil && last.cfg == cfg {
			s.ticketKeys = last.keys
		} else if s.ticketKeys, err = x.configKeys(cfg); err != nil {
			return s, err
		}
	}
	for _, proto := range cfg.NextProtos {
		if len(proto) == 0 || len(proto) > 255 {
			return s, fmt.Errorf("handshake: tls.Config.NextProtos: %q is not of 1 to 255 bytes", proto)
		}
		s.alpn = append(append(s.alpn, byte(len(proto))), proto...)
	}
	if len(s.alpn) == 0 && (client || cfg.GetConfigForClient == nil) {
		return s, errors.New("handshake: tls.Config.NextProtos is required in QUIC (RFC 9001, section 8.1)")
	}
	if len(s.alpn) > 1<<16-4 {
		return s, errors.New("handshake: tls.Config.NextProtos is too long")
	}
	if s.groups = groups(cfg.CurvePreferences); len(s.groups) == 0 {
		return s, errors.New("handshake: tls.Config.CurvePreferences has no group that BoringSSL supports")
	}
	return s, nil
}

func checkConfig(cfg *tls.Config, client bool) error {
	refused := ""
	switch {
	case cfg.Rand != nil:
		refused = "Rand"
	case cfg.WrapSession != nil:
		refused = "WrapSession"
	case cfg.UnwrapSession != nil:
		refused = "UnwrapSession"
	case cfg.EncryptedClientHelloConfigList != nil:
		refused = "EncryptedClientHelloConfigList"
	case cfg.EncryptedClientHelloRejectionVerify != nil:
		refused = "EncryptedClientHelloRejectionVerify"
	case cfg.GetEncryptedClientHelloKeys != nil:
		refused = "GetEncryptedClientHelloKeys"
	case cfg.EncryptedClientHelloKeys != nil:
		refused = "EncryptedClientHelloKeys"
	}
	switch {
	case refused == "WrapSession" || refused == "UnwrapSession":
		return fmt.Errorf("handshake: tls.Config.%s is not supported: tickets are BoringSSL's, not crypto/tls's; servers that are to "+
			"resume each other's sessions share keys by quic.Config.TicketKeys", refused)
	case refused != "":
		return fmt.Errorf("handshake: tls.Config.%s is not supported", refused)
	case cfg.MinVersion > tls.VersionTLS13 || cfg.MaxVersion != 0 && cfg.MaxVersion < tls.VersionTLS13:
		return errors.New("handshake: tls.Config.MinVersion and MaxVersion must permit TLS 1.3 (RFC 9001, section 4.2)")
	case cfg.ClientAuth < tls.NoClientCert || cfg.ClientAuth > tls.RequireAndVerifyClientCert:
		return fmt.Errorf("handshake: tls.Config.ClientAuth: %d is unknown", cfg.ClientAuth)
	case !client && len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil:
		return errors.New("handshake: a server's tls.Config needs Certificates, GetCertificate or GetConfigForClient")
	}
	return nil
}

// configKeys returns the ticket keys that a server's tls.Config sets, nil if it sets none. It looks at a copy, since crypto/tls writes to a
// tls.Config that a TCP server uses too, under a lock that only Clone takes.
func (x *Context) configKeys(cfg *tls.Config) (*boring.TicketKeys, error) {
	cfg = cfg.Clone()
	// What SetSessionTicketKeys was given is not to be had, and shows nowhere else.
	if keys := reflect.ValueOf(cfg).Elem().FieldByName("sessionTicketKeys"); keys.Kind() == reflect.Slice && keys.Len() > 0 {
		return nil, errors.New("handshake: tls.Config.SetSessionTicketKeys is not supported, since a program cannot read its keys back: " +
			"use quic.Config.TicketKeys")
	}
	// What crypto/tls puts there itself begins like this.
	//lint:ignore SA1019 deprecated, and still in force
	key := cfg.SessionTicketKey
	if key == [32]byte{} || bytes.HasPrefix(key[:], []byte("DEPRECATED")) {
		return nil, nil
	}
	keys, err := x.tickets.of(key)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return keys, nil
}

// supportedGroups is what crypto/tls and BoringSSL both have, in the order of crypto/tls.
var supportedGroups = [...]uint16{
	uint16(tls.X25519MLKEM768), uint16(tls.X25519), uint16(tls.CurveP256), uint16(tls.CurveP384), uint16(tls.CurveP521),
}

// groups translates CurvePreferences, whose order crypto/tls documents as ignored.
func groups(preferences []tls.CurveID) []uint16 {
	if len(preferences) == 0 {
		return supportedGroups[:]
	}
	var out []uint16
	for _, group := range supportedGroups {
		for _, wanted := range preferences {
			if uint16(wanted) == group {
				out = append(out, group)
				break
			}
		}
	}
	return out
}

// sniName returns the name to be sent as SNI, which is empty for IP addresses (RFC 6066, section 3).
func sniName(name string) string {
	host := name
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if i := strings.LastIndexByte(host, '%'); i > 0 {
		host = host[:i]
	}
	if net.ParseIP(host) != nil {
		return ""
	}
	return strings.TrimRight(name, ".")
}
