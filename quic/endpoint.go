package quic

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Endpoint tells which connection a datagram is for, by its connection IDs, and deals with those that are for none: it accepts
// new connections, negotiates the version, demands that clients prove their address, and tells peers of connections that it
// does not know to give up (RFC 9000, sections 5.2, 6, 8.1 and 10.3). It does no I/O: whoever owns the socket gives it what
// arrives and sends what it answers.
//
// An Endpoint can be a server, a client, or both at once. It is not for concurrent use; it may stand under another lock than
// its connections, since it never calls a Conn and no Conn calls it.
type Endpoint struct {
	cfg   *Config // of a server, resolved; nil: the endpoint accepts no connections
	idLen int     // bytes of each of our connection IDs; -1: not known before the first Connect

	ids     map[ConnID]*Conn         // by our connection IDs
	firsts  map[firstFlight]*Conn    // by what is common to a client's first packets
	remotes map[netip.AddrPort]*Conn // by the peer's address, if our connection IDs are empty
	conns   map[*Conn]*registration

	handshakes int // accepted connections whose handshake is under way
	failed     int // accepted connections that were closed before it was complete, and are not drained
	refusing   bool
	greases    bool           // Config.NoGrease is false
	attempts   *attempts      // nil: none was asked about or refused yet
	early      *earlyAttempts // nil: none came yet
	counts     EndpointStats

	serverTLS, clientTLS *handshake.Context

	tokens  tokens
	resets  resets
	initial *protect.Keys // to open a client's first Initial packet, and for its connection or a CONNECTION_CLOSE in answer
	scratch []byte        // a copy of that packet

	now        time.Time // of the last call of Route
	rand       io.Reader
	fill       func([]byte) // reads from rand; sets randFailed
	randFailed bool
	room       [32]byte // for random bytes, so that none need be allocated
}

// firstFlight stands for what the packets have in common which a client sends before it knows a connection ID of ours (RFC
// 9000, section 7.2): the connection ID that it made up, and its address, since two clients may make up the same. Both pass
// through a cipher, so that nobody can make two that have one firstFlight, which takes less room for each connection.
type firstFlight uint64

// registration is everything that leads to one connection.
type registration struct {
	cfg         *Config
	ids         []routedID
	nextSeq     uint64                         // of the next connection ID
	first       firstFlight                    // of a server's connection
	remote      netip.AddrPort                 // where the peer was at first
	moreRemotes []netip.AddrPort               // other addresses of a server
	accepted    bool                           // it is a server's
	handshaking bool                           // it counts among handshakes
	failed      bool                           // it counts among failed
	resets      [][statelessResetTokenLen]byte // concealed
	spent       map[ConnID]bool                // short connection IDs that the peer has retired
}

type routedID struct {
	seq uint64
	id  ConnID
}

// NewEndpoint returns an Endpoint that accepts connections with cfg, or, if cfg is nil, one that only connects. Its error tells
// which field of cfg is not acceptable.
func NewEndpoint(cfg *Config) (*Endpoint, error) {
	e := newEndpoint()
	if cfg == nil {
		return e, nil
	}
	cfg, err := cfg.resolveFor(cfg.AcceptSSL != nil)
	if err != nil {
		return nil, err
	}
	if cfg.AcceptSSL != nil {
		if cfg.EarlyReplay != nil {
			return nil, errReplayStore
		}
		e.cfg = cfg
		return e, e.setUp(cfg)
	}
	if t := cfg.TLS; len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		return nil, errors.New("quic: a server needs a certificate: Config.TLS has none of Certificates, GetCertificate and " +
			"GetConfigForClient")
	}
	if e.serverTLS, err = handshake.NewContext(false); err != nil {
		return nil, fmt.Errorf("quic: %w", err)
	}
	if err := e.SetTicketKeys(cfg.TicketKeys); err != nil {
		return nil, err
	}
	// What TLS does not accept of cfg is told now, rather than to each client.
	trial, err := e.serverTLS.New(cfg.TLS, handshake.Params{})
	if err != nil {
		return nil, fmt.Errorf("quic: %w", err)
	}
	trial.Release()
	if err := e.setUp(cfg); err != nil {
		return nil, err
	}
	e.cfg = cfg
	return e, nil
}

func newEndpoint() *Endpoint {
	return &Endpoint{
		idLen: -1, ids: make(map[ConnID]*Conn), firsts: make(map[firstFlight]*Conn), conns: make(map[*Conn]*registration),
	}
}

// Sibling returns another Endpoint with the Config of e, which must accept connections, but with connection IDs that ids makes.
// The keys of tokens, of stateless resets and of session tickets are the same, so that what the one has given to a client is
// good at the other. Otherwise they are apart: each can stand under a lock of its own, and has the bounds of Config to itself, of
// which it counts its own part: MaxHandshakes, and with it the number from which on Retry is demanded, hold for each.
func (e *Endpoint) Sibling(ids ConnIDGenerator) (*Endpoint, error) {
	if e.cfg == nil {
		return nil, errors.New("quic: an Endpoint that accepts no connections has no sibling")
	}
	cfg := *e.cfg
	cfg.ConnIDs = ids
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := newEndpoint()
	s.cfg, s.serverTLS = &cfg, e.serverTLS
	return s, s.setUp(&cfg)
}

// setUp takes from the first Config, resolved, what belongs to the endpoint as a whole: the source of randomness, the length of
// connection IDs and the keys, which it makes and notes in cfg where there are none.
func (e *Endpoint) setUp(cfg *Config) error {
	e.rand, e.greases = cfg.Rand, !cfg.NoGrease
	e.fill = func(p []byte) {
		if _, err := io.ReadFull(e.rand, p); err != nil {
			e.randFailed = true
		}
	}
	var conceal [32]byte
	var ok1, ok2 bool
	cfg.TokenKey, ok1 = e.keyOrRandom(cfg.TokenKey)
	cfg.StatelessResetKey, ok2 = e.keyOrRandom(cfg.StatelessResetKey)
	if !ok1 || !ok2 || !e.random(conceal[:]) {
		return errRand
	}
	if err := e.tokens.init(cfg.TokenKey, cfg.HandshakeTimeout, e.random); err != nil {
		return fmt.Errorf("quic: %w", err)
	}
	if err := e.resets.init(cfg.StatelessResetKey, &conceal); err != nil {
		return fmt.Errorf("quic: %w", err)
	}
	e.idLen = cfg.ConnIDs.Len()
	if e.idLen == 0 {
		e.remotes = make(map[netip.AddrPort]*Conn)
	}
	return nil
}

func (e *Endpoint) keyOrRandom(key *[32]byte) (_ *[32]byte, ok bool) {
	if key != nil {
		return key, true
	}
	key = new([32]byte)
	return key, e.random(key[:])
}

// SetTicketKeys replaces the keys of session tickets, of an endpoint that accepts connections and its siblings, by others, the newest first
// (Config.TicketKeys); with none, by random ones. It may be called while connections are at work, also by another goroutine. The
// error says that there are too many keys, and then nothing was done.
func (e *Endpoint) SetTicketKeys(keys [][32]byte) error {
	if e.serverTLS == nil {
		return errors.New("quic: an Endpoint that accepts no connections gives no session tickets")
	}
	if err := e.serverTLS.SetTicketKeys(keys); err != nil {
		return fmt.Errorf("quic: Config.TicketKeys: %w", err)
	}
	return nil
}

// Conns returns how many connections the endpoint knows, those that are closed and not yet drained included.
func (e *Endpoint) Conns() int { return len(e.conns) }

// Refuse has the endpoint answer new connections with CONNECTION_REFUSED from now on, or, with false, accept them again. The
// connections that there are do not notice: it is for a server that is about to end.
func (e *Endpoint) Refuse(refuse bool) { e.refusing = refuse }

// Routed is what Route found out about the front of a train.
type Routed struct {
	N     int   // bytes, in whole datagrams, at the front of the train; 0 only for an empty train
	Conn  *Conn // to be given them with Recv; nil: they are for nobody
	New   bool  // Conn was accepted just now
	Reply int   // bytes of the buffer that are to be sent to the address that the train came from, in one datagram
}

// replyRoom is the capacity that Route wants for an answer, in bytes.
const replyRoom = 1500

// Route finds the connection for as many datagrams at the front of a train as belong to one and the same, and is to be called
// again for the rest. Route gives the connection nothing: Conn.Recv does, with t.Buf[:N]. An answer that Route gives itself is
// written to reply, which should have a capacity of 1500 bytes; with less there is none. Route keeps neither buffer.
func (e *Endpoint) Route(now time.Time, t Train, reply []byte) Routed {
	e.now = now
	size := t.SegSize
	if size <= 0 || size > len(t.Buf) {
		size = len(t.Buf)
	}
	if size == 0 {
		return Routed{N: len(t.Buf)}
	}
	r := Routed{N: size}
	if r.Conn = e.lookUp(t.Buf[:size], t.Remote); r.Conn == nil {
		if r.Conn, r.Reply = e.stray(now, t.Buf[:size], &t, reply); r.Conn == nil {
			return r
		}
		r.New = true
	}
	for before := t.Buf[:size]; r.N < len(t.Buf); {
		d := t.Buf[r.N:min(r.N+size, len(t.Buf))]
		if !e.sameShort(before, d) && e.lookUp(d, t.Remote) != r.Conn {
			break
		}
		before = d
		r.N += len(d)
	}
	return r
}

// sameShort tells whether two datagrams begin with short headers of the same connection ID.
func (e *Endpoint) sameShort(a, b []byte) bool {
	n := 1 + e.idLen
	return len(a) >= n && len(b) >= n && !wire.IsLongHeader(a[0]|b[0]) && string(a[1:n]) == string(b[1:n])
}

// lookUp returns the connection that a datagram is for by its first packet, nil if there is none (RFC 9000, section 5.2).
func (e *Endpoint) lookUp(d []byte, remote netip.AddrPort) *Conn {
	if e.idLen < 0 {
		return nil
	}
	if !wire.IsLongHeader(d[0]) {
		var c *Conn
		switch {
		case e.idLen == 0:
			c = e.remotes[remote]
		case len(d) > e.idLen:
			c = e.byID(d[1 : 1+e.idLen])
		}
		if c == nil {
			c = e.resets.find(d)
		}
		return c
	}
	version, dst, _, n := wire.ConsumeInvariants(d)
	if n < 0 || version != versionNegotiation && !isSupported(version) {
		return nil
	}
	if len(dst) == e.idLen {
		if e.idLen == 0 {
			return e.remotes[remote]
		}
		if c := e.byID(dst); c != nil {
			return c
		}
	}
	if id, ok := MakeConnID(dst); ok && len(e.firsts) > 0 && version != versionNegotiation {
		return e.firsts[e.resets.firstFlight(&id, remote)]
	}
	return nil
}

func (e *Endpoint) byID(b []byte) *Conn {
	id, _ := MakeConnID(b)
	return e.ids[id]
}

// Has tells whether the first datagram of a train is for a connection of the endpoint.
func (e *Endpoint) Has(t Train) bool {
	d := t.Buf
	if t.SegSize > 0 && t.SegSize < len(d) {
		d = d[:t.SegSize]
	}
	return len(d) > 0 && e.lookUp(d, t.Remote) != nil
}

// Connect begins a client's connection over this endpoint. The endpoint chooses its connection ID, unless p names one, and
// shares what TLS can share among its connections, unless p names that. The error tells what is wrong with cfg or p. All
// connections of an endpoint have connection IDs of the same length.
func (e *Endpoint) Connect(now time.Time, cfg *Config, p ConnectParams) (c *Conn, err error) {
	if p.adopted, err = adopt(p.SSL, true); err != nil {
		return nil, err
	}
	c, err = e.connect(now, cfg, p)
	letGo(p.adopted, err)
	return c, err
}

func (e *Endpoint) connect(now time.Time, cfg *Config, p ConnectParams) (*Conn, error) {
	cfg, err := cfg.resolveFor(p.adopted != nil)
	if err != nil {
		return nil, err
	}
	if e.idLen < 0 {
		if err := e.setUp(cfg); err != nil {
			return nil, err
		}
	}
	if n := cfg.ConnIDs.Len(); n != e.idLen {
		return nil, fmt.Errorf("quic: Config.ConnIDs makes connection IDs of %d bytes, and those of the endpoint have %d", n, e.idLen)
	}
	if err := e.chooseID(cfg, &p); err != nil {
		return nil, err
	}
	if p.TLS == nil && p.adopted == nil {
		if e.clientTLS == nil {
			if e.clientTLS, err = handshake.NewContext(true); err != nil {
				return nil, fmt.Errorf("quic: %w", err)
			}
		}
		p.TLS = e.clientTLS
	}
	c, err := Connect(now, cfg, p)
	if err != nil {
		return nil, err
	}
	e.register(c, &registration{cfg: cfg, remote: p.Remote}, p.SrcConnID, nil)
	return c, nil
}

// chooseID chooses the connection ID of a client, or judges the one that the caller chose.
func (e *Endpoint) chooseID(cfg *Config, p *ConnectParams) (err error) {
	switch id := p.SrcConnID; {
	case e.idLen == 0 && e.remotes[p.Remote] != nil:
		return fmt.Errorf("quic: with empty connection IDs there can be one connection to %v", p.Remote)
	case id.Len() == 0:
		p.SrcConnID, err = e.newID(cfg.ConnIDs, nil)
	case id.Len() != e.idLen:
		err = fmt.Errorf("quic: SrcConnID has %d bytes, and the connection IDs of the endpoint have %d", id.Len(), e.idLen)
	case e.ids[id] != nil:
		err = errors.New("quic: SrcConnID is in use")
	}
	return err
}

// HandleEvent does what an EndpointEvent of connection c asks. The reply is to be given to c.HandleReply; it is nothing where
// nothing was asked for, and for a connection that the endpoint does not know.
func (e *Endpoint) HandleEvent(c *Conn, ev EndpointEvent) EndpointReply {
	r := e.conns[c]
	if r == nil {
		return EndpointReply{}
	}
	switch ev.Kind {
	case NeedConnectionIDs:
		ids := e.issue(c, r, ev.Count)
		return EndpointReply{IDs: ids, none: len(ids) == 0}
	case RetireConnectionID:
		for i := range r.ids {
			if r.ids[i].seq == ev.Seq {
				delete(e.ids, r.ids[i].id)
				r.spend(r.ids[i].id)
				r.ids = append(r.ids[:i], r.ids[i+1:]...)
				break
			}
		}
	case AddResetToken:
		if key, ok := e.resets.add(ev.Token[:], c); ok {
			r.resets = append(r.resets, key)
		}
	case RemoveResetToken:
		key := e.resets.hide(ev.Token[:])
		for i := range r.resets {
			if r.resets[i] == key {
				delete(e.resets.peers, key)
				r.resets = append(r.resets[:i], r.resets[i+1:]...)
				break
			}
		}
	case AddRemoteAddress:
		if e.idLen == 0 && e.remotes[ev.Remote] == nil {
			e.remotes[ev.Remote] = c
			r.moreRemotes = append(r.moreRemotes, ev.Remote)
		}
	case NeedToken:
		return EndpointReply{Token: e.tokens.makeNew(e.now, ev.Version, ev.Remote)}
	case HandshakeOver:
		e.handshakeOver(r)
	case HandshakeFailed:
		if r.handshaking {
			e.handshakeOver(r)
			r.failed = true
			e.failed++
		}
	case ConnDrained:
		e.forget(c, r)
	}
	return EndpointReply{}
}

// register has connection IDs lead to a new connection, which has id as its first, and preferred, if there is one, as its second.
func (e *Endpoint) register(c *Conn, r *registration, id ConnID, preferred *IssuedConnID) {
	r.nextSeq = 1
	if preferred != nil {
		r.nextSeq = 2
	}
	e.conns[c] = r
	if r.accepted {
		e.firsts[r.first] = c
	}
	if e.idLen == 0 {
		e.remotes[r.remote] = c
		return
	}
	r.ids = append(make([]routedID, 0, maxIssuedConnIDs), routedID{0, id})
	e.ids[id] = c
	if preferred != nil {
		r.ids = append(r.ids, routedID{preferred.Seq, preferred.ID})
		e.ids[preferred.ID] = c
	}
}

// spend notes that a connection has had a connection ID, if that may be made again.
func (r *registration) spend(id ConnID) {
	if id.Len() > maxShortConnIDLen {
		return
	}
	if r.spent == nil {
		r.spent = make(map[ConnID]bool)
	}
	r.spent[id] = true
}

// issue makes n more connection IDs for a connection, or fewer if there are no more.
func (e *Endpoint) issue(c *Conn, r *registration, n int) []IssuedConnID {
	if e.idLen == 0 || len(r.spent) >= maxSpentConnIDs {
		return nil
	}
	n = min(n, maxIssuedConnIDs)
	out := make([]IssuedConnID, 0, n)
	for range n {
		id, err := e.newID(r.cfg.ConnIDs, r.spent)
		if err != nil {
			break
		}
		e.ids[id] = c
		r.ids = append(r.ids, routedID{r.nextSeq, id})
		out = append(out, IssuedConnID{ID: id, Seq: r.nextSeq, ResetToken: e.resets.token(&id)})
		r.nextSeq++
	}
	return out
}

func (e *Endpoint) handshakeOver(r *registration) {
	if r.handshaking {
		r.handshaking = false
		e.handshakes--
	}
}

func (e *Endpoint) forget(c *Conn, r *registration) {
	e.handshakeOver(r)
	if r.failed {
		e.failed--
	}
	for i := range r.ids {
		delete(e.ids, r.ids[i].id)
	}
	for _, key := range r.resets {
		delete(e.resets.peers, key)
	}
	if r.accepted {
		// Not sooner: a copy of the client's first packet that arrives late would be taken for a new client.
		delete(e.firsts, r.first)
	}
	if e.idLen == 0 {
		delete(e.remotes, r.remote)
		for _, a := range r.moreRemotes {
			delete(e.remotes, a)
		}
	}
	delete(e.conns, c)
}

// maxIDTries is how often a generator may make a connection ID that is in use.
const maxIDTries = 64

// newID makes a connection ID that leads to no connection yet, and is none of spent.
func (e *Endpoint) newID(gen ConnIDGenerator, spent map[ConnID]bool) (ConnID, error) {
	for range maxIDTries {
		id, err := e.anyID(gen)
		if err != nil {
			return ConnID{}, err
		}
		if e.ids[id] == nil && !spent[id] {
			return id, nil
		}
	}
	return ConnID{}, errNoConnIDs
}

// anyID makes a connection ID, which may lead to a connection.
func (e *Endpoint) anyID(gen ConnIDGenerator) (ConnID, error) {
	b := e.room[:gen.Len()]
	e.randFailed = false
	if err := gen.Generate(b, e.fill); err != nil {
		return ConnID{}, fmt.Errorf("quic: Config.ConnIDs: %w", err)
	}
	if e.randFailed {
		return ConnID{}, errRand
	}
	id, _ := MakeConnID(b) // its length was looked at with the Config
	return id, nil
}

var errNoConnIDs = errors.New("quic: Config.ConnIDs makes no connection ID that is not in use")

// random fills p from Config.Rand.
func (e *Endpoint) random(p []byte) bool {
	e.randFailed = false
	e.fill(p)
	return !e.randFailed
}
