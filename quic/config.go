package quic

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Config is what an endpoint and its connections are made of. The zero value of every field but TLS stands for its
// default. A Config must not be changed once it is in use; many connections share one.
type Config struct {
	// TLS is the TLS configuration: required, but where the program makes TLS objects itself (AcceptSSL, ConnectParams.SSL); and for a server it
	// must yield a certificate. NextProtos is required
	// (RFC 9001, section 8.1). Its fields mean what package crypto/tls documents; which are not honoured, and refused for that, is in
	// the documentation of package github.com/boringquic/boringquic/crypto/handshake.
	TLS *tls.Config

	// MaxIdleTimeout ends a connection on which nothing arrives for that long (RFC 9000, section 10.1); the peer's
	// own, smaller value rules, but never less than three probe timeouts. It is rounded up to whole milliseconds; more than 24 hours
	// count as 24 hours. Default 30 s; negative: none,
	// but for a client whose handshake is complete and not confirmed: HandshakeTimeout is how long it waits for a server that may have given up.
	MaxIdleTimeout time.Duration

	// HandshakeTimeout ends a connection whose handshake takes longer. A server's Retry tokens are good for as long, but not less than
	// 10 s. Default 10 s.
	HandshakeTimeout time.Duration

	// KeepAlive sends a PING when nothing was sent or received for that long, or for half of the idle timeout in force, if that is
	// less; and then none before something is received. Default 0: never.
	KeepAlive time.Duration

	// StreamReceiveWindow is the initial flow-control window of each stream, MaxStreamReceiveWindow what it may grow
	// to, in bytes. Defaults 512 KiB and 6 MiB.
	StreamReceiveWindow, MaxStreamReceiveWindow uint64

	// ReceiveWindow is the initial flow-control window of the connection, MaxReceiveWindow what it may grow to, in
	// bytes. Defaults 768 KiB and 15 MiB.
	ReceiveWindow, MaxReceiveWindow uint64

	// MaxStreamsBidi and MaxStreamsUni are how many streams of each type the peer may have open. Defaults 100 and
	// 100; negative: none; at most 2^60.
	MaxStreamsBidi, MaxStreamsUni int64

	// StreamSendBuffer is how many bytes of one stream may be written ahead of the peer's acknowledgements: what is written has to be
	// kept until then, since it may have to be sent again. MaxStreamSendBuffer is what it grows to where a path carries more than that in
	// three round trips. Defaults 1 MiB and 16 MiB.
	//
	// Most of that is on its way. Of what waits for its turn to be sent a connection takes 256 KiB in all: writing faster than
	// the path carries gains nothing. When that is full, streams that write much wait in a line, and each is let in when it is
	// its turn; a stream that has at most 4 KiB waiting need not stand in the line. What a stream may not send yet, for the peer's limit on
	// it, does not count among the 256 KiB, but may be 256 KiB itself.
	StreamSendBuffer, MaxStreamSendBuffer int

	// MaxDatagramFrameSize is the largest DATAGRAM frame that we accept, in bytes (RFC 9221, section 3). Default 0: the peer may send
	// no datagrams; whether we may send any the peer's own value says. Set it to 65535, which RFC 9221 recommends and which stands for
	// whatever fits into a packet: it reserves no memory. A smaller one makes sense only for a program whose buffers are smaller, and the
	// frame's type and length, of up to 3 bytes, count.
	MaxDatagramFrameSize int

	// MaxUDPPayload is the largest UDP payload that we send, in bytes, 1200 to 65527; over IPv4 no more than 65507 can be sent. What
	// the path really carries each connection finds out (RFC 8899; RFC 9000, section 14.3): it begins with 1200 and, while it has much to
	// send, tries 1472 (over IPv6 1452), jumbo frames and more; EventMTU and Stats tell what was found. Less is sent to a peer that announces
	// less. Default 65527, which is whatever the path carries: datagrams of 64 KiB over loopback cost half of the CPU time of
	// such as Ethernet carries, take no more memory, and a path that carries less has at most a few probes lost.
	MaxUDPPayload int

	// DisablePMTUD has datagrams be of MaxUDPPayload bytes, if the peer takes as much, from the end of the handshake on, without finding out
	// whether the path carries them: for networks whose MTU is known, and for sockets whose datagrams may be fragmented. MaxUDPPayload is 1200
	// by default then.
	DisablePMTUD bool

	// MaxRecvUDPPayload is the largest UDP payload that the peer is told to send, in bytes, 1200 to 65527 (max_udp_payload_size: RFC 9000,
	// section 18.2): what the buffers hold that datagrams are received in. One that is larger is taken all the same if it comes as a whole.
	// Default 65527, which is no limit.
	MaxRecvUDPPayload int

	// Congestion is the congestion controller. Default CUBIC.
	Congestion CongestionAlgorithm

	// InitialWindow is how many full datagrams may be in flight at first, 2 to 1000; those above 1472 bytes count for as many as fill
	// them. Default 10, which RFC 9002, section 7.2, recommends; more is for networks that are known to carry it.
	InitialWindow int

	// DisableHyStart has slow start end when a packet is lost, and not before, when round trips get longer (HyStart++, RFC 9406). Default false.
	DisableHyStart bool

	// Pacing says who spreads packets over the round trip (RFC 9002, section 7.7). Default PaceHeld: the connection does.
	Pacing Pacing

	// MaxPacingRate is how many bytes per second leave at most, of UDP payload, but for a burst at first, and without acknowledgements and
	// probes; at most 2^62. It means nothing without pacing. Default 0: the congestion window alone says how fast.
	MaxPacingRate uint64

	// InitialRTT is the RTT assumed before the first sample (RFC 9002, section 6.2.2). Default 333 ms.
	InitialRTT time.Duration

	// MaxAckDelay is how long an acknowledgement may wait (RFC 9000, section 13.2.1), below 2^14 ms. Default 25 ms.
	MaxAckDelay time.Duration

	// MinAckDelay is the least that a peer may ask MaxAckDelay to be, in its ACK_FREQUENCY frames: how finely our driver sets
	// timers (draft-ietf-quic-ack-frequency-12, section 3). It is at most MaxAckDelay. Default 1 ms; negative: the peer may
	// not ask, and we do not either.
	MinAckDelay time.Duration

	// AckDelayExponent says how finely our ACK frames tell for how long they were delayed: in units of 2^AckDelayExponent microseconds, 0 to 20
	// (RFC 9000, sections 18.2 and 19.3). Default 3; negative: 0.
	AckDelayExponent int

	// CipherSuite is the only cipher suite that a client offers: tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384 or
	// tls.TLS_CHACHA20_POLY1305_SHA256 (crypto/tls's Config.CipherSuites is not for TLS 1.3). Such a client resumes no sessions. Default 0:
	// all three, and servers, for whom it means nothing, take AES where the machine has instructions for it.
	CipherSuite uint16

	// Versions are the QUIC versions to be spoken, Version1 and Version2, the preferred one first. A client begins with the first, and
	// changes to another one if the server speaks only that, or prefers it. A server accepts all of them, and moves a client that
	// speaks several to the first of this list that the client speaks too (RFC 9368). Default Version1, Version2; a server that is
	// told nothing leaves it to its clients: each stays with the version that it begins with.
	Versions []uint32

	// NoGrease has nothing be sent whose only use is that peers, and what stands between, do not take it for fixed: reserved transport
	// parameters and versions, and packets with the QUIC bit 0, which are not taken either then (RFC 9287). A server whose socket
	// another protocol shares, and who tells the two apart by that bit, sets it. Default false.
	NoGrease bool

	// SpinBit lets an observer on the path measure the round-trip time of all but one in sixteen connection IDs (RFC 9000, section
	// 17.4). Default false: the bit is random. Whom it serves is a network's operator; to a connection it brings nothing, and it tells
	// anybody about its distance, and when it is idle.
	SpinBit bool

	// ConnIDs makes our connection IDs. Default RandomConnIDs(8). All connections of an Endpoint share what there is: 256 of one
	// byte, of which each connection takes up to three. Where no unused one is found clients are refused, and Connect fails. Of those of three bytes
	// and less a connection is given none again that its peer has retired (RFC 9000, section 5.1), and after 1024 no more.
	ConnIDs ConnIDGenerator

	// ActiveConnIDLimit is how many connection IDs of the peer's are kept, 2 to 16 (active_connection_id_limit: RFC 9000, section 18.2): one for
	// each path, and for those to come. Each takes some 50 bytes. Default 4.
	ActiveConnIDLimit int

	// DisableConnIDReuse has a server answer a client whose address changes, while the connection ID that it sends to does not, as behind a NAT, by
	// another connection ID than before, too, so that nobody on the way can tell that it is the same connection (RFC 9000, section 9.5); if the
	// client has given none that is left, nothing is sent to the new address before it gives one. That may be never: a client that does not know
	// that its address is another has no reason to, and whose address changes several times while it is not heard, or is not reached, has none
	// left; then the connection ends with its idle timeout. Default false.
	DisableConnIDReuse bool

	// Rand is the source of randomness of the protocol engine (connection IDs, tokens, packet-number skips);
	// BoringSSL keeps its own. It must be safe for concurrent use. Default crypto/rand.Reader.
	Rand io.Reader

	// Retry, called for each connection attempt from an address that is not validated, tells whether the client must
	// prove its address by a Retry first (RFC 9000, section 8.1.2), which costs the client a round trip. Default nil: no client must,
	// but while more than a fourth of MaxHandshakes is taken. Then all must, and Retry is not asked. It is called once for an attempt,
	// though the client's first packets are several or are sent again, unless 64 other attempts came in between.
	Retry func(remote netip.AddrPort) bool

	// MayMigrate, called when something arrives for a server's connection from an address that it does not know, tells whether
	// the connection may follow its client there; what comes from an address that it must not is dropped. With it a server can
	// be kept from sending to loopback, private and other special addresses at a client's wish (RFC 9000, section 21.5). Default
	// nil: anywhere.
	MayMigrate func(remote netip.AddrPort) bool

	// AmplificationFactor is how many times as much as came from an address that is not validated may be sent to it, 1 to 3 (RFC 9000, section
	// 8.1, allows no more). With less than 3 handshakes with a long certificate chain take round trips more. Default 3.
	AmplificationFactor int

	// PreferredAddress is where a server would rather be reached once a handshake is over, by clients that came to another address: it is
	// told to them, and they move there if they can (RFC 9000, section 9.6). The driver must receive at it, and give the connections what
	// comes there with Train.Local as it is written here. It needs connection IDs that are not empty. Default: none.
	PreferredAddress PreferredAddress

	// IgnorePreferredAddress has a client stay where it is when the server prefers another address. By default it moves there once the
	// handshake is confirmed, if the path is validated. An address in a loopback, link-local or private range is not probed unless the
	// server was reached in such a range (RFC 9000, section 21.5.3).
	IgnorePreferredAddress bool

	// DisableActiveMigration has a server tell its clients to stay at their address (RFC 9000, section 18.2). One that moves all the same is
	// followed: it might be its NAT that has. MayMigrate is to prevent that.
	DisableActiveMigration bool

	// Qlog, called for each connection when the Destination Connection ID of its client's first packet is known, which is odcid, returns what the
	// connection's trace is written to, as package qlog says; nil: it is not traced. What it returns belongs to the connection, which closes it when it
	// is drained or released; an error of it ends the trace and nothing else. It is written to within calls of the connection's, so that a slow one
	// makes these slow: a trace is for finding out, and takes more time than what it tells of. Default nil. See quicnet.QlogDir.
	Qlog func(client bool, odcid ConnID) io.WriteCloser

	// TokenKey encrypts Retry tokens and NEW_TOKEN tokens; servers that share it accept each other's. Default: random.
	TokenKey *[32]byte

	// StatelessResetKey derives stateless reset tokens from connection IDs (RFC 9000, section 10.3.2). A server that
	// keeps it over a restart can tell its old peers. Default: random.
	StatelessResetKey *[32]byte

	// EarlyData has a server accept 0-RTT data: what clients that resume a session send with their first packets (RFC 9001, section
	// 4.6). Whoever records such data can have it arrive once more, later or at another server, until the handshake is complete:
	// see Conn.StreamEarly, and EarlyReplay for how the server itself guards against that. A client with a certificate has shown it to the
	// connection that gave the ticket, and it is judged again, as VerifyConnection is called, before anything of the data is told. Default false: such data is rejected, and clients send it again after the handshake, if they may.
	EarlyData bool

	// EarlyContext stands for settings of the application that its clients remember with their sessions and that 0-RTT data depends on
	// (RFC 9000, section 7.4.1, says so of the transport's, which count by themselves): 0-RTT data is accepted only with tickets that
	// were given under the same value. Default nil.
	EarlyContext []byte

	// EarlyReplay decides for a server which 0-RTT data is fresh, so that none is taken twice (RFC 8446, section 8). Default nil: a
	// filter in memory that the endpoint and its siblings share; then 0-RTT data is accepted only with tickets that the same endpoint gave
	// since it was made, since nobody knows what came before, or to others. A store that outlives the endpoint, and is shared by all servers
	// of the same TicketKeys, has them all accept each other's. It is an error of servers over SSLs of the program's, which look at replays
	// themselves.
	EarlyReplay ReplayStore

	// TicketKeys encrypt a server's session tickets: the first one new tickets, each of them those that clients bring. Servers that
	// share them resume each other's sessions. They should be replaced at least once a day, by a new one before the ones in use, and
	// be deleted after a week: who has a key can read the 0-RTT data of all whose tickets were made with it. Default nil:
	// tls.Config.SessionTicketKey if that is set, else random keys that are replaced every day.
	TicketKeys [][32]byte

	// KeepPeerParams has a server keep what its clients have announced for Conn.PeerParams, in about 100 bytes of each connection. A client always
	// does. Default false.
	KeepPeerParams bool

	// AcceptSSL makes an SSL of BoringSSL's, and returns its address, for each connection that an Endpoint accepts, in place of TLS, which may be
	// nil then: AcceptParams.SSL says what becomes of it. It is called by Route, with the addresses that the client's first packet came to and
	// from. With 0 the client is refused.
	AcceptSSL func(local, remote netip.AddrPort) (ssl uintptr)

	// MaxHandshakes bounds server connections whose handshake is not complete. While more than a fourth of them are there, the
	// endpoint demands Retry of all clients, so that made-up addresses take no more than that fourth (RFC 9000, section 21.3).
	// Clients that have proved their address take the rest; attempts of theirs beyond it are answered with CONNECTION_REFUSED.
	// Default 4096.
	MaxHandshakes int

	anyVersion   bool   // a server does not prefer any of Versions
	earlyContext []byte // what tickets are bound to for 0-RTT, if EarlyData
	resolved     bool   // every field has its value
}

// Resolve returns a copy of c in which every field that stood for its default has it, or says which field is out of range. Connect and Accept
// make such a copy for each connection, as the methods of an Endpoint do not: callers who have none, and make many connections, give them one
// that is resolved, which they share. TLS may be nil if all of them have an SSL of the program's.
func (c *Config) Resolve() (*Config, error) { return c.resolveFor(c != nil && c.TLS == nil) }

// resolve returns a copy of c in which every field that stood for its default has it; or c, if it is such a copy, which the
// connections of an Endpoint share. The error names the field that is out of range.
func (c *Config) resolve() (*Config, error) { return c.resolveFor(false) }

// resolveFor is resolve; foreign says that TLS is an SSL of the program's, so that nothing of Config.TLS is required.
func (c *Config) resolveFor(foreign bool) (*Config, error) {
	if c == nil || c.TLS == nil && !foreign {
		return nil, errors.New("quic: Config.TLS is required")
	}
	if c.resolved {
		return c, nil
	}
	if c.TLS == nil {
		with := *c
		with.TLS = new(tls.Config)
		c = &with
	}
	if !foreign && len(c.TLS.NextProtos) == 0 && c.TLS.GetConfigForClient == nil {
		return nil, errors.New("quic: Config.TLS.NextProtos is required")
	}
	r := *c
	orDefault(&r.MaxIdleTimeout, usualIdleTimeout)
	orDefault(&r.HandshakeTimeout, 10*time.Second)
	orDefault(&r.StreamReceiveWindow, 512<<10)
	orDefault(&r.MaxStreamReceiveWindow, max(6<<20, r.StreamReceiveWindow))
	orDefault(&r.ReceiveWindow, 768<<10)
	orDefault(&r.MaxReceiveWindow, max(15<<20, r.ReceiveWindow))
	orDefault(&r.MaxStreamsBidi, 100)
	orDefault(&r.MaxStreamsUni, 100)
	orDefault(&r.StreamSendBuffer, 1<<20)
	orDefault(&r.MaxStreamSendBuffer, max(16<<20, r.StreamSendBuffer))
	if r.DisablePMTUD {
		orDefault(&r.MaxUDPPayload, minDatagramSize)
	}
	orDefault(&r.MaxUDPPayload, maxUDPPayloadSize)
	orDefault(&r.MaxRecvUDPPayload, maxUDPPayloadSize)
	orDefault(&r.InitialWindow, usualInitialWindow)
	orDefault(&r.AckDelayExponent, usualAckDelayExponent)
	r.AckDelayExponent = max(r.AckDelayExponent, 0)
	orDefault(&r.ActiveConnIDLimit, usualConnIDLimit)
	orDefault(&r.AmplificationFactor, maxAmplification)
	orDefault(&r.InitialRTT, usualInitialRTT)
	orDefault(&r.MaxAckDelay, 25*time.Millisecond)
	orDefault(&r.MinAckDelay, time.Millisecond)
	orDefault(&r.MaxHandshakes, 4096)
	r.MaxIdleTimeout = wholeMilliseconds(r.MaxIdleTimeout)
	declared := r.MaxAckDelay.Truncate(time.Millisecond) // to the peer
	if r.MinAckDelay <= r.MaxAckDelay {
		r.MinAckDelay = min(r.MinAckDelay, declared)
	}
	r.MaxAckDelay = declared
	if len(r.Versions) == 0 {
		r.Versions, r.anyVersion = defaultVersions, true
	}
	if r.ConnIDs == nil {
		r.ConnIDs = RandomConnIDs(8)
	}
	if r.Rand == nil {
		r.Rand = rand.Reader
	}
	r.resolved = true
	if r.EarlyData {
		r.earlyContext = r.makeEarlyContext()
	}
	return &r, r.check()
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// wholeMilliseconds rounds an idle timeout up, as it is told to the peer.
func wholeMilliseconds(d time.Duration) time.Duration {
	if d <= 0 {
		return d
	}
	return (min(d, maxIdleTimeoutCap) + time.Millisecond - 1).Truncate(time.Millisecond)
}

// usualIdleTimeout is that of a Config, usualInitialRTT is kInitialRtt of RFC 9002, section 6.2.2, usualInitialWindow kInitialWindow of section 7.2, in datagrams, and
// usualAckDelayExponent the default of RFC 9000, section 18.2.
const (
	usualIdleTimeout      = 30 * time.Second
	usualInitialRTT       = 333 * time.Millisecond
	usualInitialWindow    = 10
	usualAckDelayExponent = 3
)

// check finds fields that are out of range, after the defaults are filled in.
func (c *Config) check() error {
	for _, f := range []struct {
		name           string
		v, least, most int64
	}{
		{"HandshakeTimeout", int64(c.HandshakeTimeout), 1, int64(maxIdleTimeoutCap)},
		{"KeepAlive", int64(c.KeepAlive), 0, int64(maxIdleTimeoutCap)},
		{"StreamReceiveWindow", clampInt64(c.StreamReceiveWindow), 1, wire.MaxVarint},
		{"MaxStreamReceiveWindow", clampInt64(c.MaxStreamReceiveWindow), clampInt64(c.StreamReceiveWindow), wire.MaxVarint},
		{"ReceiveWindow", clampInt64(c.ReceiveWindow), 1, wire.MaxVarint},
		{"MaxReceiveWindow", clampInt64(c.MaxReceiveWindow), clampInt64(c.ReceiveWindow), wire.MaxVarint},
		{"MaxStreamsBidi", c.MaxStreamsBidi, -1 << 63, wire.MaxStreamsLimit},
		{"MaxStreamsUni", c.MaxStreamsUni, -1 << 63, wire.MaxStreamsLimit},
		{"StreamSendBuffer", int64(c.StreamSendBuffer), 1, 1 << 40},
		{"MaxStreamSendBuffer", int64(c.MaxStreamSendBuffer), int64(c.StreamSendBuffer), 1 << 40},
		{"MaxDatagramFrameSize", int64(c.MaxDatagramFrameSize), 0, 65535},
		{"MaxUDPPayload", int64(c.MaxUDPPayload), minDatagramSize, maxUDPPayloadSize},
		{"MaxRecvUDPPayload", int64(c.MaxRecvUDPPayload), minDatagramSize, maxUDPPayloadSize},
		{"InitialWindow", int64(c.InitialWindow), 2, 1000},
		{"MaxPacingRate", clampInt64(c.MaxPacingRate), 0, 1 << 62},
		{"AckDelayExponent", int64(c.AckDelayExponent), 0, 20},
		{"ActiveConnIDLimit", int64(c.ActiveConnIDLimit), 2, maxConnIDLimit},
		{"AmplificationFactor", int64(c.AmplificationFactor), 1, maxAmplification},
		{"InitialRTT", int64(c.InitialRTT), int64(time.Microsecond), int64(time.Minute)},
		{"MaxAckDelay", int64(c.MaxAckDelay), int64(time.Millisecond), int64((1<<14 - 1) * time.Millisecond)},
		{"MinAckDelay", int64(c.MinAckDelay), -1 << 63, int64(c.MaxAckDelay)},
		{"ConnIDs.Len", int64(c.ConnIDs.Len()), 0, maxConnIDLen},
		{"MaxHandshakes", int64(c.MaxHandshakes), 1, 1 << 40},
	} {
		if f.v < f.least || f.v > f.most {
			return fmt.Errorf("quic: Config.%s is %d, which is not within %d and %d", f.name, f.v, f.least, f.most)
		}
	}
	if err := checkVersions(c.Versions); err != nil {
		return err
	}
	if err := c.PreferredAddress.check(c.ConnIDs.Len()); err != nil {
		return err
	}
	if c.Congestion > NewReno {
		return fmt.Errorf("quic: Config.Congestion is %d, which is no algorithm", c.Congestion)
	}
	if c.Pacing > PaceOff {
		return fmt.Errorf("quic: Config.Pacing is %d, which is none of PaceHeld, PaceAhead and PaceOff", c.Pacing)
	}
	return nil
}

func clampInt64(v uint64) int64 { return int64(min(v, 1<<63-1)) }

// PreferredAddress is an address of each family that a server can be reached at; one that is not valid stands for none.
type PreferredAddress struct {
	IPv4, IPv6 netip.AddrPort
}

func (a *PreferredAddress) isSet() bool { return a.IPv4.IsValid() || a.IPv6.IsValid() }

// is tells whether a local address is one of them.
func (a *PreferredAddress) is(local netip.AddrPort) bool {
	return local.IsValid() && (local == a.IPv4 || local == a.IPv6)
}

func (a *PreferredAddress) check(idLen int) error {
	for _, f := range []struct {
		name  string
		addr  netip.AddrPort
		right bool
	}{
		{"IPv4", a.IPv4, a.IPv4.Addr().Is4()},
		{"IPv6", a.IPv6, a.IPv6.Addr().Is6() && !a.IPv6.Addr().Is4In6()},
	} {
		if f.addr.IsValid() && (!f.right || f.addr.Port() == 0 || scopeOf(f.addr.Addr()) == scopeNowhere || f.addr.Addr().Zone() != "") {
			return fmt.Errorf("quic: Config.PreferredAddress.%s is %v, which is not an %s address of one host, without a zone, and a port", f.name, f.addr,
				f.name)
		}
	}
	if a.isSet() && idLen == 0 {
		return errors.New("quic: Config.PreferredAddress needs connection IDs that are not empty (RFC 9000, section 18.2): see Config.ConnIDs")
	}
	return nil
}

// CongestionAlgorithm names a congestion controller.
type CongestionAlgorithm uint8

// The congestion controllers.
const (
	CUBIC   CongestionAlgorithm = iota // RFC 9438, the default
	NewReno                            // RFC 9002, section 7
)

// Pacing says who spreads packets over the round trip.
type Pacing uint8

// The ways of pacing.
const (
	// PaceHeld: Send has nothing before it is time, and Timeout says when that is.
	PaceHeld Pacing = iota
	// PaceAhead: Send gives out what the congestion window allows, and Transmit.SendAt says when it is to leave, which may lie ahead, up to about a
	// round trip: for those who have the network card or the system wait (SO_TXTIME), and for whoever cannot wake up as often as it takes. For
	// congestion control and loss detection a packet has left when Send gave it out.
	PaceAhead
	// PaceOff: Send gives out what the congestion window allows, to leave at once.
	PaceOff
)

// ECN is the two-bit Explicit Congestion Notification field of the IP header (RFC 3168).
type ECN uint8

// The values of ECN.
const (
	NotECT ECN = 0b00
	ECT1   ECN = 0b01
	ECT0   ECN = 0b10
	CE     ECN = 0b11
)

// Train is one or more datagrams that arrived together from one 4-tuple with one ECN mark, all of SegSize bytes but the
// last, which may be shorter. A single datagram is a train of one.
type Train struct {
	Buf     []byte         // the datagrams' payloads, back to back; decrypted in place, never kept
	SegSize int            // bytes of each datagram but the last; 0: Buf is one datagram
	Local   netip.AddrPort // the address that the train was sent to
	Remote  netip.AddrPort // the address that it came from
	ECN     ECN
}

// Transmit describes a train that Conn.Send wrote: N bytes, datagrams of SegSize bytes but the last, which may be shorter.
type Transmit struct {
	N       int            // bytes written; 0: nothing to send
	SegSize int            // bytes of each datagram but the last; N if there is one datagram
	Local   netip.AddrPort // the address to send from
	Remote  netip.AddrPort // the address to send to
	ECN     ECN            // the mark for every datagram of the train
	SendAt  time.Time      // when pacing has the train leave, with PaceAhead; zero: now. With N 0: when there will be one; zero: that is not known
}
