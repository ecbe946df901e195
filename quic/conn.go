package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Conn is one QUIC connection, as a state machine without I/O: datagrams go in by Recv and come out of Send, time comes in
// as an argument, and what happened is read with NextEvent. After any call on it, read its events, call Send until it
// has nothing, and have OnTimeout called when Timeout says.
//
// A Conn is not for concurrent use.
type Conn struct {
	cfg     *Config // resolved
	client  bool
	retried bool // the client has proved its address by a Retry
	state   connState
	version uint32
	clock   clock
	err     error // why the connection is closed

	keys   keyring
	tls    tlsState
	hello  *hello // nil: the keys of the handshake are gone
	local  localIDs
	peer   peerIDs
	path   *path // the path that we send on
	paths  pathSet
	spaces [numSpaces]*packetSpace // nil: its keys are gone (RFC 9001, section 4.9)
	app    packetSpace             // spaces[AppSpace]
	loss   recovery.Loss

	streams      streams
	datagrams    datagrams
	ackFrequency ackFrequency

	closing  *closing // nil: it is active
	idle     idle
	glitches glitchBucket
	signals  signals
	events   eventQueue
	sending  sendState
	counts   counts
	userData any
	trace    *tracer     // nil: the connection is not traced
	resume   *resumption // what passes from and to other connections; nil: a server's without 0-RTT data
}

// clock turns the caller's time into nanoseconds that never read 0 and never step back.
type clock struct {
	base time.Time
	now  int64
}

// start has the clock read one second at t, so that no time in use is near 0, which stands for never.
func (k *clock) start(t time.Time) { k.base, k.now = t.Add(-time.Second), int64(time.Second) }

func (k *clock) read(t time.Time) int64 {
	k.now = max(k.now, int64(t.Sub(k.base)))
	return k.now
}

func (k *clock) time(at int64) time.Time { return k.base.Add(time.Duration(at)) }

const numSpaces = 3

// packetSpace is a packet number space with the stream of TLS bytes that travels in it.
type packetSpace struct {
	acks   acks
	crypto cryptoStream
}

// spaceOfSlot is the packet number space of each key slot (RFC 9000, section 12.3).
var spaceOfSlot = [...]recovery.Space{
	protect.Initial:   recovery.InitialSpace,
	protect.ZeroRTT:   recovery.AppSpace,
	protect.Handshake: recovery.HandshakeSpace,
	protect.OneRTT:    recovery.AppSpace,
}

// slotOfSpace is the key slot of each space's CRYPTO frames. What packets are sent with slotOf says: a client's 0-RTT packets are in the
// space of its 1-RTT packets.
var slotOfSpace = [numSpaces]protect.Slot{
	recovery.InitialSpace:   protect.Initial,
	recovery.HandshakeSpace: protect.Handshake,
	recovery.AppSpace:       protect.OneRTT,
}

// hello is what only the handshake needs: its packet number spaces, the connection IDs that it authenticates (RFC 9000, section 7.3),
// and packets that came before their keys.
type hello struct {
	spaces    [recovery.AppSpace]packetSpace
	origDst   ConnID // the Destination Connection ID of the client's very first Initial packet
	clientDst ConnID // that of the Initial packet which the Initial keys are made from
	retrySrc  ConnID // the Source Connection ID of the Retry packet
	peerSrc   ConnID // the peer's Source Connection ID, once peerKnown
	peerKnown bool
	heard     bool   // a packet of the peer was processed
	lacks     bool   // the peer seems not to have received what was sent to it: see hasten
	hastened  uint8  // how often it was sent again for that
	token     []byte // for the Initial packets of a client
	ownToken  bool   // that is ConnectParams.Token
	early     earlyPackets
	awaited   *AcceptParams // a server's, until its client's first packet comes; nil: that was at hand

	negotiation negotiation
}

// signals are small things to be sent that belong to no stream.
type signals struct {
	token         []byte // that newToken carries
	handshakeDone sentState
	newToken      sentState
	tokens        uint8 // how many there were, so that an acknowledgement of one does not count for a newer one
	ping          bool
	stirred       bool // a call of the application has left what WantsSend sees nowhere else, or made Timeout earlier
}

// setToken has a token be sent in NEW_TOKEN, instead of one before it that may not have arrived.
func (g *signals) setToken(token []byte) {
	g.token = token
	g.tokens++
	g.newToken.set()
}

// Direction is a part of a stream.
type Direction uint8

// The parts of a stream, as StreamShutdown names them.
const (
	ReadDirection  Direction = 1 << iota // what the peer sends
	WriteDirection                       // what we send
)

// ConnectParams is what a client's connection needs beside its Config. The zero value of every field but Remote and one of
// ServerName and Config.TLS.ServerName stands for something sensible.
type ConnectParams struct {
	ServerName string         // for SNI and verification, if Config.TLS.ServerName is empty
	Local      netip.AddrPort // the address to send from; may be unspecified
	Remote     netip.AddrPort // the server's address
	// SrcConnID is our connection ID. If it is empty and Config.ConnIDs makes longer ones, a random one is taken:
	// Endpoint.Connect chooses and routes one.
	SrcConnID ConnID
	// DstConnID is what the first packets are sent to, of 8 bytes at least; empty: a random one. It should be one that nobody can guess
	// (RFC 9000, section 7.2), and serves for one connection.
	DstConnID ConnID
	// Session is what EventSession of an earlier connection to the server told, or nil. The connection resumes it if the server
	// does: then its certificate is not sent again, but judged again all the same, and the handshake costs both sides less.
	Session *Session
	// EarlyData has the connection send data before the handshake is complete, if Session allows it: 0-RTT data, which whoever records
	// it can play to the server again (RFC 9001, section 9.2). EventEarlyReady tells that streams may be opened; EventEarlyData what
	// became of the data.
	EarlyData bool
	// ResendEarly has all that was written before EventEarlyData, and not acknowledged, be sent again after the handshake if the server rejects
	// the 0-RTT data. DATAGRAM frames that have left are not sent again. Where the server chose another application protocol than that of
	// Session, nothing is sent again, as if this was not set.
	ResendEarly bool
	Token       []byte             // a token of the server's, at most 900 bytes; nil: that of Session, if it has one
	TLS         *handshake.Context // shared by an Endpoint's connections; nil: one of the connection's own

	// SSL is an SSL of BoringSSL's, as its address, that the program has made and not used: TLS is what it, its context, its callbacks and
	// certificates have it be, and Config.TLS has no part in it. Only what QUIC prescribes is set: TLS 1.3, the role, transport parameters, BoringSSL's
	// interface for QUIC, quiet shutdown. It belongs to the connection from this call on, also if that fails: then it was freed, but after
	// ErrSSLAdopted. Release frees it, and nothing else before: until then the program may look at it. 0: there is none.
	//
	// The handshake begins with the first Send or Recv: a session, trusted certificates and the like may be set until then. Callbacks run in those
	// calls, on their thread, and must not call the Conn. Where one has no answer yet, each later Send and Recv asks again (TLSPending); there is no
	// EventAsk. When TLS fails, Err is a *TransportError of CryptoErrorBase and the alert, and what BoringSSL has put into the thread's error queue is
	// left there, if no further packet of the same Recv fails to open; what was in the queue before a call is gone.
	// Sessions are the program's: of Session only the token and the round-trip time are used, and EventSession tells of tokens alone. See
	// SetEarlyParams for 0-RTT.
	//
	// A Conn that is not released frees its SSL when the garbage collector finds it: the program's callbacks for that then run on a goroutine of the
	// runtime's.
	SSL uintptr

	adopted *handshake.Conn // over SSL
}

// AcceptParams is what a server's connection needs beside its Config. An Endpoint fills them in from the first Initial
// packet, which is then given to Conn.Recv. A caller without an Endpoint can leave ClientDstConnID empty: then that, PeerConnID, Version and, unless
// Retried, OrigDstConnID are those of the first Initial packet that Recv gets, if it opens, and of a version of Config.Versions. What comes before it is
// dropped, 0-RTT packets that have overtaken it among that, which an Endpoint keeps.
type AcceptParams struct {
	SrcConnID       ConnID // ours, 0 to 20 bytes; with empty ones nothing but its address leads to a connection
	PeerConnID      ConnID // the Source Connection ID of the client's Initial packet
	ClientDstConnID ConnID // its Destination Connection ID, which the Initial keys are made from
	OrigDstConnID   ConnID // the Destination Connection ID of the first Initial packet, before any Retry
	// RetrySrcConnID is the Source Connection ID of the Retry packet, if Retried.
	RetrySrcConnID   ConnID
	Retried          bool
	AddressValidated bool   // by a token (RFC 9000, section 8.1)
	Version          uint32 // that of the first Initial packet; 0: Version1
	Local, Remote    netip.AddrPort
	// ResetToken is the stateless reset token of SrcConnID; nil: none is announced.
	ResetToken *[statelessResetTokenLen]byte
	// Preferred is the connection ID, with Seq 1, that goes with Config.PreferredAddress, which is not told without it.
	Preferred *IssuedConnID
	TLS       *handshake.Context // shared by an Endpoint's connections; nil: one of the connection's own

	// SSL is as in ConnectParams. The server stays with the version that its client begins with. With Config.EarlyData its 0-RTT is bound to what
	// Config says, if the program's context allows any; whether it is a replay nobody but the program looks at.
	SSL uintptr

	early   []earlyPacket // 0-RTT datagrams that came before the Initial packet, which the connection takes over
	initial *protect.Keys // with Initial keys, which the connection takes over; nil: it makes its own
}

// Connect begins a client's connection. The first datagram is Send's to make. The error tells what is wrong with cfg or p.
func Connect(now time.Time, cfg *Config, p ConnectParams) (c *Conn, err error) {
	if p.adopted == nil {
		if p.adopted, err = adopt(p.SSL, true); err != nil {
			return nil, err
		}
	}
	c, err = connect(now, cfg, &p)
	letGo(p.adopted, err)
	return c, err
}

func connect(now time.Time, cfg *Config, p *ConnectParams) (*Conn, error) {
	if len(p.Token) > maxTokenLen {
		return nil, fmt.Errorf("quic: ConnectParams.Token has %d bytes; at most %d can be sent", len(p.Token), maxTokenLen)
	}
	if n := p.DstConnID.Len(); n > 0 && n < minInitialDCIDLen {
		return nil, fmt.Errorf("quic: ConnectParams.DstConnID has %d bytes; %d at least are required (RFC 9000, section 7.2)", n, minInitialDCIDLen)
	}
	c, err := newConn(now, cfg, true, p.adopted)
	if err != nil {
		return nil, err
	}
	if p.SrcConnID.Len() == 0 && c.cfg.ConnIDs.Len() > 0 {
		if p.SrcConnID, err = generateConnID(c.cfg); err != nil {
			return nil, err
		}
	}
	c.hello.token, c.hello.ownToken = append([]byte(nil), p.Token...), len(p.Token) > 0
	c.local.init(p.SrcConnID, nil)
	c.firstPath(p.Local, p.Remote, ConnID{}, true)
	c.hello.negotiation.shared = p.TLS
	c.beginFrom(p)
	if err := c.firstFlight(p.DstConnID); err != nil {
		c.Release()
		return nil, err
	}
	c.traceConfigured()
	return c, nil
}

// firstFlight has a client begin: it chooses the server's connection ID, which the Initial keys are made from, unless that is given, and makes
// a ClientHello.
func (c *Conn) firstFlight(dst ConnID) error {
	if dst.Len() == 0 {
		// RFC 9000, section 7.2: unpredictable, and at least 8 bytes long.
		var random [minInitialDCIDLen]byte
		if !c.random(random[:]) {
			return errRand
		}
		dst, _ = MakeConnID(random[:])
	}
	c.hello.origDst, c.hello.clientDst, c.path.dcid = dst, dst, dst
	if err := c.installFirst(); err != nil {
		return err
	}
	n := &c.hello.negotiation
	var room [maxVersions]uint32
	var value [16]byte
	params := wire.TransportParameters{Version: wire.VersionInformation{Chosen: c.version, Available: c.availableVersions(room[:])}}
	c.fillParams(&params)
	c.greaseParams(&params, &value)
	n.begin.TransportParameters = params.Append(make([]byte, 0, usualParamsLen))
	return c.startTLS(*n.begin, n.shared)
}

// firstFlightAgain has a client that has sent nothing begin anew, to the same connection ID, with what has changed since. It returns c.err.
func (c *Conn) firstFlightAgain() error {
	c.tls.release()
	c.hello.spaces[recovery.InitialSpace] = packetSpace{}
	c.events = eventQueue{}
	if err := c.firstFlight(c.hello.origDst); err != nil {
		c.fail(&TransportError{Code: InternalError, Cause: err})
	}
	return c.err
}

// Accept begins a server's connection for a client whose first Initial packet is at hand; it is to be given to Recv next.
// The error tells what is wrong with cfg or p.
func Accept(now time.Time, cfg *Config, p AcceptParams) (*Conn, error) {
	adopted, err := adopt(p.SSL, false)
	if err != nil {
		return nil, err
	}
	c, err := accept(now, cfg, &p, adopted)
	letGo(adopted, err)
	return c, err
}

func accept(now time.Time, cfg *Config, p *AcceptParams, adopted *handshake.Conn) (*Conn, error) {
	switch awaits := p.ClientDstConnID.Len() == 0; {
	case !awaits && !p.Retried && p.ClientDstConnID.Len() < minInitialDCIDLen:
		return nil, fmt.Errorf("quic: AcceptParams.ClientDstConnID has %d bytes, and a client's first one has %d at least (RFC 9000, section 7.2)", p.ClientDstConnID.Len(), minInitialDCIDLen)
	case p.Retried && p.OrigDstConnID.Len() == 0:
		return nil, errors.New("quic: AcceptParams.Retried without OrigDstConnID, which the client checks")
	}
	c, err := newConn(now, cfg, false, adopted)
	if err != nil {
		return nil, err
	}
	c.keys.Keys = p.initial
	c.retried = p.Retried
	c.local.init(p.SrcConnID, p.ResetToken)
	c.firstPath(p.Local, p.Remote, ConnID{}, p.AddressValidated)
	if c.cfg.PreferredAddress.isSet() && p.Preferred != nil {
		c.local.addPreferred(p.Preferred)
	}
	if len(p.early) > 0 {
		c.hello.early = earlyPackets{packets: p.early, expires: c.clock.now + c.earlyLife()}
		for i := range p.early {
			c.path.received += uint64(len(p.early[i].b))
		}
	}
	c.keys.init()
	err = c.startTLS(handshake.Params{
		LateParameters: true, EarlyData: c.cfg.EarlyData, EarlyContext: c.cfg.earlyContext, EarlyReplay: c.cfg.EarlyReplay,
	}, p.TLS)
	switch {
	case err != nil:
	case p.ClientDstConnID.Len() == 0:
		c.hello.awaited = awaited(*p)
		c.updateLimits()
	default:
		err = c.meet(p)
	}
	if err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

// awaited returns a copy of what is known of a client whose first packet is still to come.
func awaited(p AcceptParams) *AcceptParams { return &p }

// meet takes note of who a server's client is.
func (c *Conn) meet(p *AcceptParams) error {
	if p.Version != 0 {
		c.version = p.Version
	}
	h := c.hello
	h.origDst, h.clientDst, h.retrySrc = p.OrigDstConnID, p.ClientDstConnID, p.RetrySrcConnID
	h.peerSrc, h.peerKnown = p.PeerConnID, true
	h.negotiation.original = c.version
	c.peer.init(p.PeerConnID)
	c.path.dcid = p.PeerConnID
	params := wire.TransportParameters{
		OriginalDstConnID:      p.OrigDstConnID.Bytes(),
		StatelessResetToken:    p.ResetToken,
		DisableActiveMigration: c.cfg.DisableActiveMigration,
	}
	if pref := &c.cfg.PreferredAddress; pref.isSet() && p.Preferred != nil {
		params.PreferredAddress = &wire.PreferredAddress{IPv4: pref.IPv4, IPv6: pref.IPv6, ConnID: p.Preferred.ID.Bytes(),
			StatelessResetToken: p.Preferred.ResetToken}
	}
	if p.Retried {
		params.RetrySrcConnID = p.RetrySrcConnID.Bytes()
	}
	c.fillParams(&params)
	var value [16]byte
	c.greaseParams(&params, &value)
	h.negotiation.params = params.Append(make([]byte, 0, usualParamsLen))
	if c.tls.foreign {
		c.offerOwnParams()
	}
	err := c.installFirst()
	c.traceConfigured()
	return err
}

// newConn begins a connection, over an SSL of the program's if that was adopted.
func newConn(now time.Time, cfg *Config, client bool, adopted *handshake.Conn) (*Conn, error) {
	cfg, err := cfg.resolveFor(adopted != nil)
	if err != nil {
		return nil, err
	}
	if adopted != nil && !client && cfg.EarlyReplay != nil {
		return nil, errReplayStore
	}
	c := &Conn{cfg: cfg, client: client, version: Version1, hello: new(hello)}
	c.tls.conn, c.tls.foreign = adopted, adopted != nil
	if !c.random(c.sending.random[:]) {
		return nil, errRand
	}
	c.paths.sizes.init()
	c.clock.start(now)
	for sp := range c.hello.spaces {
		c.spaces[sp] = &c.hello.spaces[sp]
	}
	c.spaces[recovery.AppSpace] = &c.app
	c.events.init()
	c.loss.Init(client)
	c.idle.init(c.clock.now, cfg)
	c.streams.init(client, cfg)
	c.ackFrequency.init(cfg)
	return c, nil
}

// installFirst makes the Initial keys, unless a server's are there.
func (c *Conn) installFirst() error {
	c.keys.init()
	if c.client || !c.keys.HasRead(protect.Initial) {
		if err := c.keys.InstallInitial(c.version, c.hello.clientDst.Bytes(), c.client); err != nil {
			return fmt.Errorf("quic: %w", err)
		}
	}
	return nil
}

// usualParamsLen is more than our transport parameters take, in bytes, unless a connection ID is long.
const usualParamsLen = 208

var errRand = errors.New("quic: Config.Rand gave no randomness")

// random fills b, of at most a few bytes, from Config.Rand.
func (c *Conn) random(b []byte) bool {
	_, err := io.ReadFull(c.cfg.Rand, b)
	return err == nil
}

func generateConnID(cfg *Config) (ConnID, error) {
	var b [maxConnIDLen]byte
	var failed error
	id := b[:cfg.ConnIDs.Len()]
	err := cfg.ConnIDs.Generate(id, func(p []byte) {
		if _, err := io.ReadFull(cfg.Rand, p); err != nil {
			failed = errRand
		}
	})
	if err == nil {
		err = failed
	}
	out, _ := MakeConnID(id)
	return out, err
}

// Release frees the memory that the connection has outside of Go, at once; without it that happens when the Conn is
// collected. It is safe at any time and more than once; the connection is dead then.
func (c *Conn) Release() {
	c.releaseKeys()
	if c.tls.conn != nil {
		c.tls.conn.Release()
	}
	c.dropReceived()
	if c.state != stateDrained {
		c.state = stateDrained
		if c.err == nil {
			c.err = &TransportError{Code: NoError, Reason: "released"}
		}
	}
	c.endTrace()
}

// DatagramSend queues b for sending in one DATAGRAM frame (RFC 9221); it is copied. It fails with ErrDatagramUnsupported if the
// peer takes none, with a *DatagramTooLargeError if it takes none as large, with ErrDatagramQueueFull if too many wait, and with
// ErrEarlyDataRejected where streams do, until EventEarlyData is read.
// Datagrams leave before stream data, but where both wait a quarter of what leaves is stream data.
func (c *Conn) DatagramSend(b []byte) error {
	if c.err != nil {
		return c.err
	}
	if c.streams.rejected {
		return ErrEarlyDataRejected
	}
	most := c.MaxDatagramSize()
	if len(b) > most && uint64(len(b)) < c.datagrams.peer {
		c.wantLarger()
	}
	return c.datagrams.send(b, most)
}

// DatagramRecv copies the oldest received datagram into b and forgets it; ok is false if there is none. What does not fit
// into b is lost. After the peer's end of the connection (KeepsReceived) those that had arrived are still there.
func (c *Conn) DatagramRecv(b []byte) (n int, ok bool) { return c.datagrams.recv(b) }

// DatagramsReadable returns how many datagrams wait for DatagramRecv. The oldest one is dropped when another comes and 128 wait.
func (c *Conn) DatagramsReadable() int { return c.datagrams.in.len() }

// IsClient tells whether the connection is a client's.
func (c *Conn) IsClient() bool { return c.client }

// IsEstablished tells whether the handshake is complete and the connection not closed.
func (c *Conn) IsEstablished() bool { return c.tls.complete && c.state == stateActive }

// IsClosed tells whether the connection is closing, draining or drained; Err tells why. What had arrived may still be there to be
// read: see KeepsReceived.
func (c *Conn) IsClosed() bool { return c.state != stateActive }

// IsDrained tells whether the connection's time is over: nothing will be sent, and it can be forgotten, once what had arrived is read
// or not wanted.
func (c *Conn) IsDrained() bool { return c.state == stateDrained }

// Err returns why the connection is closed, nil if it is not, though there may still be something to read: a *TransportError, *ApplicationError, *IdleTimeoutError,
// *VersionNegotiationError or *StatelessResetError.
func (c *Conn) Err() error { return c.err }

// Ping has Send send a packet that the peer must acknowledge.
func (c *Conn) Ping() { c.signals.ping = true }

// TLS returns the state of the TLS connection; before the handshake is complete little of it is set. Its
// ExportKeyingMaterial works as crypto/tls's does.
func (c *Conn) TLS() tls.ConnectionState { return c.tls.conn.ConnectionState() }

// ExportKeyingMaterial derives length bytes from the connection's secrets (RFC 8446, section 7.5). It fails before the
// handshake is complete.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	return c.tls.conn.ExportKeyingMaterial(label, context, length)
}

// LocalAddr returns the address that the connection sends from; it may be unspecified.
func (c *Conn) LocalAddr() netip.AddrPort { return c.path.local }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.path.remote }

// SourceIDs returns the connection IDs under which the peer may send to this connection.
func (c *Conn) SourceIDs() []ConnID {
	ids := make([]ConnID, 0, len(c.local.ids))
	for i := range c.local.ids {
		ids = append(ids, c.local.ids[i].id)
	}
	return ids
}

// UserData returns what SetUserData stored.
func (c *Conn) UserData() any { return c.userData }

// SetUserData stores a value of the caller's with the connection.
func (c *Conn) SetUserData(v any) { c.userData = v }
