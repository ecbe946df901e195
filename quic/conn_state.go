package quic

import (
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What can be asked of a connection: how far it has come, who is at its ends, and what the peer has announced.

// HandshakeComplete tells whether the handshake was ever complete (RFC 9001, section 4.1.1). Unlike IsEstablished it stays true when the
// connection is closed.
func (c *Conn) HandshakeComplete() bool { return c.tls.complete }

// IsDraining tells whether the connection is closed, by either side, and its time is not over: it is to be kept until IsDrained, so that what
// the peer still sends finds it (RFC 9000, section 10.2).
func (c *Conn) IsDraining() bool { return c.state == stateClosing || c.state == stateDraining }

// InEarlyData tells whether 0-RTT data can be sent, at a client, or is taken, at a server. That ends with the handshake.
func (c *Conn) InEarlyData() bool {
	if c.tls.complete || c.state != stateActive {
		return false
	}
	if c.client {
		return c.keys.HasWrite(protect.ZeroRTT)
	}
	return c.tls.early == EarlyAccepted
}

// Resumed tells whether the handshake, which is complete, has resumed the TLS session of an earlier connection. It stays when the connection
// is over.
func (c *Conn) Resumed() bool { return c.tls.resumed }

// ALPN returns the application protocol that was negotiated, empty as long as it is not known. It costs less than TLS.
func (c *Conn) ALPN() string { return c.tls.conn.Protocol() }

// ServerName returns the name that a client asks for and that its certificate is for; at a server, the name that the client has asked for, empty
// as long as that is not known, or if there is none.
func (c *Conn) ServerName() string { return c.tls.conn.ServerName() }

// PeerCertificates returns the peer's certificates in DER form, its own first, nil if it has shown none, or not yet. They must not be
// changed.
func (c *Conn) PeerCertificates() [][]byte { return c.tls.conn.PeerCertificates() }

// TraceID names the connection in logs: the first of our connection IDs in hexadecimal. It is empty if our connection IDs are.
func (c *Conn) TraceID() string { return c.local.first.String() }

// SourceID returns the connection ID of ours that the peer sends to on the path in use. SourceIDs are all that it may send to.
func (c *Conn) SourceID() ConnID {
	if i := c.local.index(c.path.usedSeq); i >= 0 {
		return c.local.ids[i].id
	}
	if len(c.local.ids) > 0 {
		return c.local.ids[0].id
	}
	return c.local.first
}

// DestinationID returns the connection ID of the peer's that is sent to on the path in use.
func (c *Conn) DestinationID() ConnID { return c.path.dcid }

// MaxUDPPayload returns how many bytes a UDP datagram carries at most on the path in use, however short the buffers of Send were: who offers as
// many has no shorter datagrams for it. Stats says what it comes to with those buffers.
func (c *Conn) MaxUDPPayload() int {
	return c.path.rec.MaxDatagramUnder(c.paths.sizes.roomy(c.cfg, c.path.remote))
}

// SendQuantum returns how many bytes are good to be sent in a burst on the path in use, whether or not there is that much to send: one
// datagram at least. A train that Send writes has as many, if its buffer does; who sends each datagram by itself rests after them. Without
// pacing nobody rests, and it is what a system call takes.
func (c *Conn) SendQuantum() int {
	if c.cfg.Pacing == PaceOff {
		return max(maxTrainBytes, c.path.maxDatagram())
	}
	return int(c.path.rec.Train())
}

// PeerParams are the peer's transport parameters (RFC 9000, section 18.2). Sizes are in bytes.
type PeerParams struct {
	MaxIdleTimeout                 time.Duration // 0: none
	MaxUDPPayloadSize              uint64
	InitialMaxData                 uint64
	InitialMaxStreamDataBidiLocal  uint64 // of streams that the peer opens
	InitialMaxStreamDataBidiRemote uint64 // of streams that we open
	InitialMaxStreamDataUni        uint64
	InitialMaxStreamsBidi          uint64
	InitialMaxStreamsUni           uint64
	AckDelayExponent               uint8
	MaxAckDelay                    time.Duration
	DisableActiveMigration         bool
	ActiveConnIDLimit              uint64
	MaxDatagramFrameSize           uint64 // RFC 9221, section 3; 0: the peer takes no datagrams
}

// PeerParams returns the transport parameters of the peer as it has announced them; ok is false as long as they are not known, and at a server
// without Config.KeepPeerParams whose TLS is not an SSL of the program's. Until the handshake is complete they are not authenticated.
func (c *Conn) PeerParams() (p PeerParams, ok bool) {
	var l *sessionLimits
	switch {
	case c.client:
		l = &c.resume.limits
	case c.streams.seldom != nil:
		l = c.streams.seldom.limits
	}
	if l == nil {
		if tp, err := wire.ParseTransportParameters(c.PeerParamsRaw(), true); err == nil {
			limits := limitsOf(&tp)
			l = &limits
		}
	}
	if !c.tls.hasParams || l == nil {
		return p, false
	}
	tp := l.params()
	return PeerParams{
		MaxIdleTimeout: tp.MaxIdleTimeout, MaxUDPPayloadSize: tp.MaxUDPPayloadSize, InitialMaxData: tp.InitialMaxData,
		InitialMaxStreamDataBidiLocal: tp.MaxStreamDataBidiLocal, InitialMaxStreamDataBidiRemote: tp.MaxStreamDataBidiRemote,
		InitialMaxStreamDataUni: tp.MaxStreamDataUni, InitialMaxStreamsBidi: tp.MaxStreamsBidi, InitialMaxStreamsUni: tp.MaxStreamsUni,
		AckDelayExponent: c.tls.ackDelayExponent, MaxAckDelay: c.ackFrequency.peerMax, ActiveConnIDLimit: tp.ActiveConnIDLimit,
		DisableActiveMigration: tp.DisableActiveMigration, MaxDatagramFrameSize: tp.MaxDatagramFrameSize,
	}, true
}
