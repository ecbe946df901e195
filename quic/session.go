package quic

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Session is what a client keeps of a connection for later ones to the same server: the TLS session (its ticket, RFC 8446, section
// 4.6.1), what the server's transport parameters allow 0-RTT data (RFC 9000, section 7.4.1), protocol, QUIC version, server name, the
// path's round-trip time and congestion window, a token (section 8.1.3), and a slot for the application's own settings.
// EventSession tells of one; ConnectParams.Session takes it; MarshalBinary and UnmarshalBinary carry it over a restart.
//
// A Session holds secrets: whoever has it can take part in the resumed connection, and read its 0-RTT data. String tells none.
//
// A Session should serve one connection and then be forgotten: whoever watches the network can else tell that the connections
// that use the same ticket, or the same token, are one client's (RFC 8446, appendix C.4; RFC 9000, section 8.1.3), and servers
// refuse 0-RTT the second time. A program that keeps one Session for each server keeps the one that was told last, takes it out
// when it dials, and stores the next one that comes. One that dials several connections at once keeps several: those of EventSession
// with another ticket than the one before (SameTicket).
//
// A Session that does not fit a connection does no harm: whatever is wrong with it, its age, the version, the name, the protocol, a
// server that has other keys, the connection begins with a full handshake.
//
// A Session does not change but by SetAppData and UnmarshalBinary, and is not for concurrent use with these.
type Session struct {
	ticket     []byte // the TLS session in BoringSSL's form, which holds secrets; nil: there is a token only
	early      bool   // the ticket allows 0-RTT
	expires    time.Time
	version    uint32
	serverName string
	alpn       string
	limits     sessionLimits
	path       sessionPath
	token      []byte
	appData    []byte
}

// sessionLimits are the transport parameters of a server that its client remembers for 0-RTT: all but those that RFC 9000, section
// 7.4.1, and draft-ietf-quic-ack-frequency-12, section 3, forbid (ack_delay_exponent, max_ack_delay, min_ack_delay, connection IDs,
// preferred_address, stateless_reset_token).
type sessionLimits struct {
	maxIdleTimeout         uint64 // milliseconds
	maxUDPPayload          uint64
	maxData                uint64
	maxStreamDataLocal     uint64
	maxStreamDataRemote    uint64
	maxStreamDataUni       uint64
	maxStreamsBidi         uint64
	maxStreamsUni          uint64
	activeConnIDLimit      uint64
	maxDatagramFrame       uint64 // RFC 9221, section 3
	disableActiveMigration bool
}

// sessionPath is what was learnt of the path: it is of use on the same path alone.
type sessionPath struct {
	local, remote netip.Addr // local may be unspecified or not valid
	rtt           time.Duration
	window        uint64
}

// Bounds of what a Session holds, in bytes.
const (
	maxSessionTicket  = 68 << 10
	maxSessionAppData = 16 << 10
)

// ServerName returns the name that the server's certificate was verified for: the Session serves connections to it alone.
func (s *Session) ServerName() string { return s.serverName }

// ALPN returns the application protocol that was negotiated.
func (s *Session) ALPN() string { return s.alpn }

// Version returns the QUIC version of the connection, to whose successors the Session is bound (RFC 9369, section 5).
func (s *Session) Version() uint32 { return s.version }

// EarlyData tells whether the server has announced that it takes 0-RTT data with this Session.
func (s *Session) EarlyData() bool { return s.early && len(s.ticket) > 0 }

// Expires returns when the ticket is no longer of use, the zero Time if there is none and the Session holds a token only.
func (s *Session) Expires() time.Time { return s.expires }

// SameTicket tells whether two Sessions have the same ticket, so that they should not both be used: the one that was told last has the newer
// token.
func (s *Session) SameTicket(o *Session) bool { return o != nil && bytes.Equal(s.ticket, o.ticket) }

// WithoutToken returns a copy without the address validation token (RFC 9000, section 8.1.3), for another try at a server that has refused it;
// s itself if it has none.
func (s *Session) WithoutToken() *Session {
	if len(s.token) == 0 {
		return s
	}
	out := *s
	out.token = nil
	return &out
}

// AppData returns what SetAppData stored, nil if nothing was. It must not be changed.
func (s *Session) AppData() []byte { return s.appData }

// SetAppData stores settings of the application that its 0-RTT data will depend on, such as HTTP/3's SETTINGS (RFC 9114, section
// 7.2.4.2). b is copied; of more than 16 KiB MarshalBinary makes an error.
func (s *Session) SetAppData(b []byte) { s.appData = bytes.Clone(b) }

// String describes the Session without its secrets.
func (s *Session) String() string {
	return fmt.Sprintf("Session{%q, ALPN %q, version 0x%x, expires %v, 0-RTT %v}", s.serverName, s.alpn, s.version,
		s.expires.Format(time.RFC3339), s.EarlyData())
}

// GoString is String, so that %#v tells no secrets either.
func (s *Session) GoString() string { return s.String() }

// sessionMagic begins a serialised Session; its last byte is the version of the format.
const sessionMagic = "boringquic session\x01"

// sessionSumLen is how many bytes of a SHA-256 end it: damage is found, and not an intruder, who could write the whole anew.
const sessionSumLen = 16

// The flags of a serialised Session.
const (
	sessionEarly = 1 << iota
	sessionNoMigration
)

// MarshalBinary returns the Session in a form that UnmarshalBinary of this and later versions reads. It holds secrets: a file
// of it should be readable by its owner alone. The error says that AppData is too long.
func (s *Session) MarshalBinary() ([]byte, error) {
	if s.version == 0 {
		return nil, errors.New("quic: an empty Session cannot be stored")
	}
	if len(s.appData) > maxSessionAppData {
		return nil, fmt.Errorf("quic: Session.AppData has %d bytes; at most %d can be stored", len(s.appData), maxSessionAppData)
	}
	flags := uint64(0)
	if s.early {
		flags |= sessionEarly
	}
	if s.limits.disableActiveMigration {
		flags |= sessionNoMigration
	}
	expires := uint64(0)
	if !s.expires.IsZero() {
		expires = uint64(max(s.expires.Unix(), 1))
	}
	b := append(make([]byte, 0, 256+len(s.ticket)+len(s.token)+len(s.appData)), sessionMagic...)
	for _, v := range []uint64{flags, expires, uint64(s.version), uint64(s.path.rtt / time.Microsecond), s.path.window} {
		b = wire.AppendVarint(b, min(v, wire.MaxVarint))
	}
	for _, v := range s.limits.ints() {
		b = wire.AppendVarint(b, min(*v, wire.MaxVarint))
	}
	for _, f := range [][]byte{
		s.ticket, []byte(s.serverName), []byte(s.alpn), s.path.local.AsSlice(), s.path.remote.AsSlice(), s.token, s.appData,
	} {
		b = append(wire.AppendVarint(b, uint64(len(f))), f...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:sessionSumLen]...), nil
}

// ints are the limits that are numbers, in the order in which they are stored.
func (l *sessionLimits) ints() [10]*uint64 {
	return [10]*uint64{
		&l.maxIdleTimeout, &l.maxUDPPayload, &l.maxData, &l.maxStreamDataLocal, &l.maxStreamDataRemote, &l.maxStreamDataUni,
		&l.maxStreamsBidi, &l.maxStreamsUni, &l.activeConnIDLimit, &l.maxDatagramFrame,
	}
}

// Errors of UnmarshalBinary.
var (
	errNotSession     = errors.New("quic: this is not a stored Session")
	errSessionVersion = errors.New("quic: the stored Session is in the format of another version of boringquic")
	errSessionDamaged = errors.New("quic: the stored Session is damaged")
)

// UnmarshalBinary makes s the Session that MarshalBinary stored in b, which is copied. On an error, which says whether b is
// something else, of another version, or damaged, s is as it was.
func (s *Session) UnmarshalBinary(b []byte) error {
	n := len(sessionMagic)
	switch {
	case len(b) < n || string(b[:n-1]) != sessionMagic[:n-1]:
		return errNotSession
	case b[n-1] != sessionMagic[n-1]:
		return errSessionVersion
	case len(b) < n+sessionSumLen:
		return errSessionDamaged
	}
	body := b[:len(b)-sessionSumLen]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:sessionSumLen], b[len(body):]) {
		return errSessionDamaged
	}
	var out Session
	if !out.parse(body[n:]) {
		return errSessionDamaged
	}
	*s = out
	return nil
}

// parse reads what follows the magic; it is false if that is not what MarshalBinary writes.
func (s *Session) parse(b []byte) bool {
	r := sessionReader{b: b}
	flags, expires, version := r.int(3), r.int(maxSessionTime), r.int(1<<32-1)
	s.path.rtt = time.Duration(r.int(uint64(maxIdleTimeoutCap/time.Microsecond))) * time.Microsecond
	s.path.window = r.int(wire.MaxVarint)
	for _, v := range s.limits.ints() {
		*v = r.int(wire.MaxVarint)
	}
	s.early, s.limits.disableActiveMigration = flags&sessionEarly != 0, flags&sessionNoMigration != 0
	s.version = uint32(version)
	if expires > 0 {
		s.expires = time.Unix(int64(expires), 0)
	}
	s.ticket, s.serverName, s.alpn = r.bytes(maxSessionTicket), string(r.bytes(255)), string(r.bytes(255))
	s.path.local, s.path.remote = r.addr(), r.addr()
	s.token, s.appData = r.bytes(maxTokenLen), r.bytes(maxSessionAppData)
	return !r.bad && len(r.b) == 0 && s.version != 0 && s.limits.valid()
}

// maxSessionTime is the latest time that a Session may name, in seconds since 1970: the year 9999.
const maxSessionTime = 253402300799

// valid tells whether the limits are within what a server may announce (RFC 9000, section 18.2).
func (l *sessionLimits) valid() bool {
	return l.maxUDPPayload >= minDatagramSize && l.maxStreamsBidi <= wire.MaxStreamsLimit &&
		l.maxStreamsUni <= wire.MaxStreamsLimit && l.activeConnIDLimit >= 2
}

// sessionReader reads the parts of a serialised Session; bad says that one was not there or out of its range.
type sessionReader struct {
	b   []byte
	bad bool
}

func (r *sessionReader) int(most uint64) uint64 {
	v, n := wire.ConsumeVarint(r.b)
	if r.bad = r.bad || n < 0 || v > most; r.bad {
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes returns a copy, nil if it is empty.
func (r *sessionReader) bytes(most int) []byte {
	n := r.int(uint64(most))
	if r.bad = r.bad || n > uint64(len(r.b)); r.bad || n == 0 {
		return nil
	}
	out := bytes.Clone(r.b[:n])
	r.b = r.b[n:]
	return out
}

func (r *sessionReader) addr() netip.Addr {
	b := r.bytes(16)
	if b == nil {
		return netip.Addr{}
	}
	a, ok := netip.AddrFromSlice(b)
	r.bad = r.bad || !ok
	return a
}

// limitsOf returns what of a server's transport parameters is to be remembered.
func limitsOf(p *wire.TransportParameters) sessionLimits {
	return sessionLimits{
		maxIdleTimeout: uint64(p.MaxIdleTimeout / time.Millisecond), maxUDPPayload: p.MaxUDPPayloadSize, maxData: p.InitialMaxData,
		maxStreamDataLocal: p.MaxStreamDataBidiLocal, maxStreamDataRemote: p.MaxStreamDataBidiRemote,
		maxStreamDataUni: p.MaxStreamDataUni, maxStreamsBidi: p.MaxStreamsBidi, maxStreamsUni: p.MaxStreamsUni,
		activeConnIDLimit: p.ActiveConnIDLimit, maxDatagramFrame: p.MaxDatagramFrameSize,
		disableActiveMigration: p.DisableActiveMigration,
	}
}

// params returns the limits as transport parameters.
func (l *sessionLimits) params() wire.TransportParameters {
	return wire.TransportParameters{
		MaxIdleTimeout:    time.Duration(min(l.maxIdleTimeout, uint64(maxIdleTimeoutCap/time.Millisecond))) * time.Millisecond,
		MaxUDPPayloadSize: l.maxUDPPayload, InitialMaxData: l.maxData,
		MaxStreamDataBidiLocal: l.maxStreamDataLocal, MaxStreamDataBidiRemote: l.maxStreamDataRemote,
		MaxStreamDataUni: l.maxStreamDataUni, MaxStreamsBidi: l.maxStreamsBidi, MaxStreamsUni: l.maxStreamsUni,
		ActiveConnIDLimit: l.activeConnIDLimit, MaxDatagramFrameSize: l.maxDatagramFrame,
		DisableActiveMigration: l.disableActiveMigration,
	}
}

// lowered returns the name of a limit that fresh has lower than l, which a server must not do that accepts 0-RTT data (RFC 9000, section
// 7.4.1; RFC 9221, section 3); empty if there is none.
func (l *sessionLimits) lowered(fresh *sessionLimits) string {
	for _, v := range []struct {
		name        string
		before, now uint64
	}{
		{"active_connection_id_limit", l.activeConnIDLimit, fresh.activeConnIDLimit},
		{"initial_max_data", l.maxData, fresh.maxData},
		{"initial_max_stream_data_bidi_local", l.maxStreamDataLocal, fresh.maxStreamDataLocal},
		{"initial_max_stream_data_bidi_remote", l.maxStreamDataRemote, fresh.maxStreamDataRemote},
		{"initial_max_stream_data_uni", l.maxStreamDataUni, fresh.maxStreamDataUni},
		{"initial_max_streams_bidi", l.maxStreamsBidi, fresh.maxStreamsBidi},
		{"initial_max_streams_uni", l.maxStreamsUni, fresh.maxStreamsUni},
		{"max_datagram_frame_size", l.maxDatagramFrame, fresh.maxDatagramFrame},
	} {
		if v.now < v.before {
			return v.name
		}
	}
	return ""
}
