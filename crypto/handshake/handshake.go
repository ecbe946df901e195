package handshake

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// Level is an encryption level (RFC 9001, section 2.1). The numbers are those of protect.Slot.
type Level uint8

// The encryption levels.
const (
	Initial Level = iota
	EarlyData
	Handshake
	Application
)

// EventKind says what an Event tells.
type EventKind uint8

// The kinds of events. A write secret comes before the bytes to be sent at its level, and the peer's transport parameters
// before the 1-RTT secrets.
const (
	// NoEvent: there is none at present.
	NoEvent EventKind = iota
	// EventReadSecret and EventWriteSecret: Data is the traffic secret of Level for cipher suite Suite.
	EventReadSecret
	EventWriteSecret
	// EventHandshakeData: Data is to be sent in CRYPTO frames at Level.
	EventHandshakeData
	// EventTransportParameters: Data is the peer's quic_transport_parameters extension. Until EventHandshakeComplete it is
	// not authenticated. With Params.LateParameters a server's handshake rests then.
	EventTransportParameters
	// EventAsk: the handshake rests until Ask has run and been handed to Conn.Answer.
	EventAsk
	// EventHandshakeComplete: the peer is authenticated as the configuration demands (RFC 9001, section 4.1.1).
	EventHandshakeComplete
	// EventAlert: TLS failed. The connection is to be closed with Alert; or, if errors.As finds a *ProtocolError in Err,
	// with PROTOCOL_VIOLATION. Err tells why, and unwraps to the error of a callback or of crypto/x509 if it was that. It
	// comes once and is the last event.
	EventAlert
	// EventSessionTicket: a client's session for Params.Session of a later connection, Data, to be used once (RFC 8446, appendix C.4).
	// It holds secrets. EarlyData says whether it allows 0-RTT, Lifetime for how long it can be used from now. The first four of a
	// connection are told, 64 KiB of them in all.
	EventSessionTicket
	// EventEarlyData: Accepted says what became of 0-RTT, and Reason why, in a word for logs. It comes once, where the ClientHello had
	// 0-RTT: at a client before its 1-RTT secrets, and after a rejection the handshake goes on as one without 0-RTT; at a server before
	// the read secret of level EarlyData, which comes if it is accepted.
	EventEarlyData
)

// Event is something that a Conn has to tell.
type Event struct {
	Kind  EventKind
	Level Level
	Alert uint8  // EventAlert: RFC 8446, section 6
	Suite uint16 // EventReadSecret, EventWriteSecret
	Data  []byte // valid until the next call of a method of the Conn
	Err   error  // EventAlert
	Ask   *Ask   // EventAsk

	Accepted  bool          // EventEarlyData
	Reason    string        // EventEarlyData
	EarlyData bool          // EventSessionTicket
	Lifetime  time.Duration // EventSessionTicket: whole seconds, more than none
}

// Conn is the TLS side of one QUIC connection. It is not for concurrent use. No method runs the program's code but
// NextEvent, which writes to KeyLogWriter, calls of tls.Config.Time, and of Public on an opaque key. What panics in it ends
// the connection with a *PanicError.
type Conn struct {
	tls   *boring.TLS // nil after Release, and at a server that has no more use for it
	cfg   *tls.Config // a server's may be replaced by GetConfigForClient's
	setup *setup      // nil when the handshake is over
	state state

	queue    *eventBuffer // nil: there is nothing to tell
	ask      *Ask         // told, and not answered
	err      error        // why the connection failed
	alert    uint8
	hasAlert bool // EventAlert is due

	client    bool
	stalled   bool // a callback of a program that has made the SSL is to be asked again, or the client has not begun
	released  bool
	judged    bool  // a server's VerifyPeerCertificate and VerifyConnection have run
	finished  bool  // BoringSSL's part of the handshake is over
	readLevel Level // where handshake bytes are read
}

// eventBuffer holds events drained from BoringSSL, of which told bytes have been told.
type eventBuffer struct {
	b    []byte
	told int
}

// eventBuffers are those that no Conn has. Each crossing fills one, and it is empty again before the next, so that a few do for many
// connections.
var eventBuffers = sync.Pool{New: func() any { return new(eventBuffer) }}

// maxPooledEvents is how large a buffer may be that is used again, in bytes: what the flight of a server with a usual chain takes.
const maxPooledEvents = 8 << 10

// setup is what only the handshake needs.
type setup struct {
	ctx        *Context
	params     Params
	serverName string        // that the server's certificate must be good for
	creds      []*credential // what BoringSSL may choose from
	hello      []byte        // the client's first handshake bytes, while a callback needs them
	wantHello  bool
	rawChain   [][]byte // the peer's certificates
	settings   settings // of the tls.Config in force
	clientCAs  [32]byte // hash of the names of a server's ClientCAs
	now        int64    // the time of the last crossing, in seconds since 1970; 0: the system's

	first        settings          // those of the tls.Config that New was given
	replaced     bool              // GetConfigForClient has replaced it
	peer         *peerCertificates // from the session or ticket that is to be resumed
	protocol     string            // a client's session's
	resting      bool              // until Negotiate
	newVersion   bool              // the connection began with another version
	earlyRefused string            // why a server does not accept 0-RTT, if it is not BoringSSL's reason
}

var (
	errReleased = errors.New("handshake: the connection was released")
	errMemory   = errors.New("handshake: out of C memory")
)

// setUp gives BoringSSL what the configuration says.
func (c *Conn) setUp(cfg *tls.Config, s settings) error {
	t := c.tls
	ok := t.SetALPN(s.alpn) && t.SetGroups(s.groups)
	if params := c.setup.params.TransportParameters; len(params) > 0 {
		ok = ok && t.SetParams(params)
		c.setup.params.TransportParameters = nil
	}
	if !ok {
		return errMemory
	}
	c.cfg, c.setup.settings, c.setup.first = cfg, s, s
	if c.client {
		if name := c.state.serverName; name != "" && !t.SetServerName(name) {
			return fmt.Errorf("handshake: %q cannot be a server name", name)
		}
		if suite := c.setup.params.CipherSuite; suite != 0 {
			if suite < tls.TLS_AES_128_GCM_SHA256 || suite > tls.TLS_CHACHA20_POLY1305_SHA256 {
				return fmt.Errorf("handshake: %s is no cipher suite of TLS 1.3 that can be offered", tls.CipherSuiteName(suite))
			}
			t.OfferOnly(suite)
			c.setup.params.Session = nil
		}
		t.SetFlags(cfg.GetClientCertificate != nil || len(cfg.Certificates) > 0, cfg.KeyLogWriter != nil, s.tickets)
		if c.setup.params.EarlyData {
			t.SetEarlyData(new([32]byte))
		}
		return nil
	}
	if cfg.ClientAuth != tls.NoClientCert {
		if err := c.setClientAuth(cfg); err != nil {
			return err
		}
	}
	wantHello := cfg.GetConfigForClient != nil || cfg.GetCertificate != nil || len(cfg.Certificates) > 1
	c.setup.wantHello = wantHello
	t.SetFlags(wantHello, cfg.KeyLogWriter != nil, s.tickets)
	if !wantHello {
		return c.use(&cfg.Certificates[0])
	}
	return nil
}

// setClientAuth tells BoringSSL what ClientAuth says, in place of what it was told before.
func (c *Conn) setClientAuth(cfg *tls.Config) error {
	mode := boring.ClientAuthRequest
	switch cfg.ClientAuth {
	case tls.NoClientCert:
		mode = boring.ClientAuthNone
	case tls.RequireAnyClientCert, tls.RequireAndVerifyClientCert:
		mode = boring.ClientAuthRequire
	}
	var names []byte
	if mode != boring.ClientAuthNone && cfg.ClientCAs != nil {
		//lint:ignore SA1019 ClientCAs is the program's own pool, whose subjects are all there.
		for _, name := range cfg.ClientCAs.Subjects() {
			names = append(binary.BigEndian.AppendUint16(names, uint16(len(name))), name...)
		}
	}
	c.setup.clientCAs = [32]byte{}
	if mode != boring.ClientAuthNone {
		c.setup.clientCAs = sha256.Sum256(names)
	}
	if len(names) > maxCANames {
		names = nil // RFC 8446, section 4.2.4: the extension is an optional hint
	}
	if !c.tls.SetClientAuth(mode, names) {
		return errMemory
	}
	return nil
}

// maxCANames bounds the names of CAs in a CertificateRequest, in bytes; with more of them none is told.
const maxCANames = 60 << 10

// use lets BoringSSL choose cert.
func (c *Conn) use(cert *tls.Certificate) error {
	cred, err := c.setup.ctx.credential(cert)
	if err != nil {
		return err
	}
	return c.useCredential(cred)
}

func (c *Conn) useCredential(cred *credential) error {
	if !c.tls.AddCredential(cred.boring) {
		return errMemory
	}
	c.setup.creds = append(c.setup.creds, cred)
	return nil
}

// Start begins the handshake; a client's ClientHello is among the events then, or, if there is a session to be resumed, after the
// Ask whether its certificates are still good. Our transport parameters must be set at a client.
func (c *Conn) Start() error {
	if c.released {
		return errReleased
	}
	if c.client {
		resumption := c.setup.params.Session
		c.setup.params.Session = nil
		if !c.offerSession(resumption) {
			c.run(boring.OpStart, Initial, nil)
		}
	}
	return c.err
}

// SetTransportParameters sets the value of our quic_transport_parameters extension, which is copied. A client must do so
// before Start. A server may still do so when EventTransportParameters was told, until it calls NextEvent again; and if that
// tells an Ask, until it is answered.
func (c *Conn) SetTransportParameters(b []byte) {
	if c.tls != nil && c.err == nil && !c.tls.SetParams(b) {
		c.fail(alertInternalError, errMemory)
	}
}

// Negotiate lets a server's handshake go on that rests for Params.LateParameters. b is the value of our quic_transport_parameters
// extension, which is copied. version is the QUIC version of the connection: session tickets are good for connections of the version
// that gave them out (RFC 9369, section 5). If the client's first packet had another one, as changed says, there is no resumption
// either way; the tickets that this connection gives out are good for version.
func (c *Conn) Negotiate(b []byte, version uint32, changed bool) {
	if c.setup == nil || !c.setup.resting || c.err != nil {
		return
	}
	c.setup.resting = false
	c.setup.params.Version, c.setup.newVersion = version, changed
	c.SetTransportParameters(b)
}

// Feed takes handshake bytes of the peer that arrived at level, in their order; it copies them. An error comes as
// EventAlert too.
func (c *Conn) Feed(level Level, data []byte) error {
	switch {
	case c.released:
		return errReleased
	case c.err != nil:
		return c.err
	case len(data) == 0:
		return nil
	case c.tls == nil:
		// The handshake of a server is over. Nothing may follow but KeyUpdate, which QUIC forbids (RFC 9001, section 6).
		if level == Application {
			c.fail(alertUnexpectedMessage, errors.New("handshake: a TLS message from a client after the handshake"))
		} else {
			c.failLevel(level, data[0])
		}
		return c.err
	}
	if s := c.setup; s != nil && s.wantHello {
		s.hello = append(s.hello, data...)
	}
	c.run(boring.OpFeed, level, data)
	return c.err
}

// run crosses into BoringSSL and takes what it has to tell.
func (c *Conn) run(op boring.TLSOp, level Level, in []byte) {
	now, err := timeOf(c.cfg)
	if err != nil {
		c.fail(alertInternalError, err)
		return
	}
	if c.setup != nil {
		c.setup.now = now
	}
	r := c.tls.Run(op, uint8(level), in, now)
	c.drain()
	c.readLevel, c.stalled = Level(r.Level), r.Stalled
	if c.foreign() {
		c.noteALPN()
	}
	switch {
	case r.WrongLevel:
		c.failLevel(level, in[0])
	case r.Failed:
		if c.client && r.Alert == alertCertificateRequired {
			// What BoringSSL says of a server's empty Certificate, against RFC 8446, section 4.4.2.4.
			r.Alert = alertDecodeError
		}
		c.end(r.Alert, c.translate(&r))
	case r.Complete:
		c.finished = true
		if !c.client && !c.foreign() {
			// All that is left to do for a server's SSL object is to refuse messages.
			c.tls.Free()
			c.tls = nil
		}
	}
}

// drain takes what BoringSSL has to tell.
func (c *Conn) drain() {
	if c.queue == nil {
		c.queue = eventBuffers.Get().(*eventBuffer)
	}
	c.queue.b = c.tls.Drain(c.queue.b)
}

// fail ends the connection, and drops what is still to be told but the reason. The first reason counts.
func (c *Conn) fail(alert uint8, err error) {
	if c.err == nil {
		c.dropQueue()
		c.end(alert, err)
	}
}

// end ends the connection when all that is in the queue has been told.
func (c *Conn) end(alert uint8, err error) {
	c.alert, c.err, c.hasAlert = alert, err, true
	if c.tls != nil && !c.foreign() {
		c.tls.Free()
		c.tls = nil
	}
}

func (c *Conn) dropQueue() {
	q := c.queue
	if q == nil {
		return
	}
	c.queue = nil
	clear(q.b)
	q.b, q.told = q.b[:0], 0
	if cap(q.b) <= maxPooledEvents {
		eventBuffers.Put(q)
	}
}

// NextEvent returns what there is to tell, in order; an Event with Kind NoEvent if there is nothing.
func (c *Conn) NextEvent() Event {
	for !c.released {
		if !c.holds() {
			if ev, ok := c.nextQueued(); ok {
				if ev.Kind != NoEvent {
					return ev
				}
				continue
			}
		}
		if c.hasAlert {
			c.hasAlert, c.setup = false, nil
			return Event{Kind: EventAlert, Alert: c.alert, Err: c.err}
		}
		if c.queue != nil && c.queue.told == len(c.queue.b) {
			c.dropQueue()
		}
		break
	}
	return Event{}
}

// onlySuite returns the suite that a client offers alone, 0 if it offers all.
func (c *Conn) onlySuite() uint16 {
	if c.setup == nil || !c.client {
		return 0
	}
	return c.setup.params.CipherSuite
}

// holds tells whether the rest of the queue has to wait for an answer: a server says nothing in 1-RTT before its client is
// accepted, and nothing at all before its parameters are there.
func (c *Conn) holds() bool {
	return c.ask != nil && c.ask.kind == askFinal || c.setup != nil && c.setup.resting
}

// nextQueued handles the next event of BoringSSL; ok tells that there was one. It gives NoEvent if it is of no interest
// outside.
func (c *Conn) nextQueued() (out Event, ok bool) {
	q := c.queue
	if q == nil {
		return out, false
	}
	ev, n := boring.ConsumeEvent(q.b[q.told:])
	if n == 0 {
		return out, false
	}
	out = Event{Level: Level(ev.Level), Data: ev.Data}
	switch ev.Kind {
	case boring.EvReadSecret:
		if out.Level == EarlyData && c.needsJudgement() {
			return c.askFinally(), true
		}
		if only := c.onlySuite(); only != 0 && ev.Code != only { // RFC 8446, section 4.1.3
			c.fail(alertIllegalParameter, fmt.Errorf("handshake: the server chose %s, which was not offered", tls.CipherSuiteName(ev.Code)))
			return Event{}, true
		}
		out.Kind, out.Suite, c.state.suite = EventReadSecret, ev.Code, ev.Code
	case boring.EvWriteSecret:
		out.Kind, out.Suite, c.state.suite = EventWriteSecret, ev.Code, ev.Code
	case boring.EvHandshakeData:
		if out.Level == Application && c.needsJudgement() {
			return c.askFinally(), true
		}
		out.Kind = EventHandshakeData
	case boring.EvPeerParams:
		out.Kind = EventTransportParameters
		if !c.client {
			c.setup.resting = c.setup.params.LateParameters
		}
	case boring.EvSession:
		out = c.sessionEvent(&ev)
	case boring.EvEarlyData:
		out.Kind, out.Accepted, out.Reason = EventEarlyData, ev.Code != 0, string(ev.Data)
		if refused := c.setup.earlyRefused; refused != "" && !out.Accepted {
			out.Reason = refused
		}
	case boring.EvComplete:
		if c.needsJudgement() {
			return c.askFinally(), true
		}
		c.state.complete, c.setup = true, nil
		out = Event{Kind: EventHandshakeComplete, Level: Application}
	case boring.EvAskCert, boring.EvAskVerify, boring.EvAskSign, boring.EvAskSession, boring.EvAskTicket:
		q.told += n
		if ev.Kind == boring.EvAskCert && !c.client && !c.setup.wantHello {
			c.proceed()
			return Event{}, true
		}
		return c.newAsk(&ev), true
	default:
		q.told += n
		c.note(&ev)
		return out, true
	}
	q.told += n
	return out, true
}

// note keeps what an event says about the connection.
func (c *Conn) note(ev *boring.TLSEvent) {
	switch ev.Kind {
	case boring.EvKeyLog:
		if c.cfg.KeyLogWriter == nil {
			break
		}
		if err := logKey(c.cfg.KeyLogWriter, append(ev.Data[:len(ev.Data):len(ev.Data)], '\n')); err != nil {
			c.fail(alertInternalError, fmt.Errorf("handshake: KeyLogWriter: %w", err))
		}
	case boring.EvExporterSecret:
		c.state.exporterLen = uint8(copy(c.state.exporter[:], ev.Data))
	case boring.EvInfo:
		c.state.noteInfo(ev.Data, c.cfg, c.client, c.setup.protocol)
		if c.state.resumed && !c.client {
			c.state.certificates = c.setup.peer
		}
	case boring.EvPeerCerts:
		c.setup.rawChain, c.state.certificates = splitChain(ev.Data), nil
	case boring.EvOCSP:
		c.state.peer().ocsp = append([]byte(nil), ev.Data...)
	case boring.EvSCTs:
		c.state.peer().noteSCTs(ev.Data)
	}
}

// keyLogMu has one connection at a time write to a KeyLogWriter.
var keyLogMu sync.Mutex

func logKey(w io.Writer, line []byte) error {
	keyLogMu.Lock()
	defer keyLogMu.Unlock()
	return guard(func() error {
		_, err := w.Write(line)
		return err
	})
}

// timeOf returns what the time is for session tickets, in seconds since 1970, before which BoringSSL knows none; 0 stands for the
// system's clock.
func timeOf(cfg *tls.Config) (now int64, err error) {
	if cfg.Time == nil {
		return 0, nil
	}
	err = guard(func() error {
		now = max(cfg.Time().Unix(), 1)
		return nil
	})
	return now, err
}

// Release frees the connection's C memory, exactly once however often it is called. Nothing works after it but
// ConnectionState and ExportKeyingMaterial.
func (c *Conn) Release() {
	c.released = true
	if c.tls != nil {
		c.tls.Free()
		c.tls = nil
	}
	c.dropQueue()
	c.ask, c.setup = nil, nil
}
