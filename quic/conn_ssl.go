package quic

import (
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Connections whose TLS is an SSL of BoringSSL's that the program has made, as programs in C do: ConnectParams.SSL, AcceptParams.SSL and
// Config.AcceptSSL.

// ErrSSLAdopted: the SSL belongs to another connection, and goes on to: it was not freed.
var ErrSSLAdopted = handshake.ErrSSLAdopted

var errReplayStore = errors.New("quic: Config.EarlyReplay has no effect where TLS is an SSL of the program's, which has to look at replays itself")

// adopt takes the SSL that the caller has given, which is freed from now on by whoever ends what is made of it.
func adopt(ssl uintptr, client bool) (*handshake.Conn, error) {
	if ssl == 0 {
		return nil, nil
	}
	conn, err := handshake.Adopt(ssl, client)
	if err != nil && !errors.Is(err, ErrSSLAdopted) {
		err = fmt.Errorf("quic: %w", err)
	}
	return conn, err
}

// letGo frees an SSL that was adopted for a connection that did not come about.
func letGo(adopted *handshake.Conn, err error) {
	if adopted != nil && err != nil {
		adopted.Release()
	}
}

// TLSPending tells of a connection over an SSL of the program's whether one of its callbacks has said that it has no answer yet, or, at a client,
// whether the handshake has not begun. The next call of Recv or Send has it go on.
func (c *Conn) TLSPending() bool {
	return c.tls.foreign && c.state == stateActive && c.tls.conn.Stalled()
}

// continueTLS has an SSL of the program's go on, if it waits for that.
func (c *Conn) continueTLS(now int64) {
	if !c.TLSPending() {
		return
	}
	c.tls.conn.Continue() // an error comes as EventAlert too
	c.pumpTLS()
	c.settleKeys()
	c.replayEarly(now)
	c.updateLimits()
}

// offerOwnParams sets a server's transport parameters where they cannot wait for the client's. What a client says of other versions then comes
// too late.
func (c *Conn) offerOwnParams() {
	n := &c.hello.negotiation
	var room [maxVersions]uint32
	chosen := wire.VersionInformation{Chosen: c.version, Available: c.availableVersions(room[:])}
	n.params = chosen.Append(n.params)
	c.tls.conn.SetTransportParameters(n.params)
	c.tls.conn.SetEarlyContext(c.cfg.earlyContext) // nil unless Config.EarlyData: then there is no 0-RTT, whatever the program has set before
}

// PeerParamsRaw returns the peer's transport parameters as they came, for a program whose sessions are its own to store: it keeps them with the
// TLS session, and gives both to a later connection (SetEarlyParams). It returns nil before they came, after Release, and of a connection
// without an SSL of the program's, whose Session holds them.
func (c *Conn) PeerParamsRaw() []byte { return c.tls.conn.PeerTransportParameters() }

// SetEarlyParams tells a client over an SSL of the program's what its server had announced (PeerParamsRaw) on the connection that the TLS session
// is of which the program has set: 0-RTT data keeps to that (RFC 9000, section 7.4.1). Without it, or before, there may be 0-RTT keys, but
// nothing may be sent with them. It is to be called before the first Send or Recv.
//
// The error says that raw are no transport parameters of a server, that it is too late, or that the connection is another one.
func (c *Conn) SetEarlyParams(raw []byte) error {
	switch {
	case c.err != nil:
		return c.err
	case !c.client || !c.tls.foreign || c.counts.udpSent+c.counts.udpReceived > 0 || c.tls.early != EarlyNone:
		return errors.New("quic: SetEarlyParams is for a client over an SSL of the program's that has not begun to send")
	}
	p, err := wire.ParseTransportParameters(raw, false)
	if err != nil {
		return fmt.Errorf("quic: what is remembered are no transport parameters of a server: %w", err)
	}
	c.resume.offered = &Session{limits: limitsOf(&p)}
	return nil
}

// nothingRemembered are limits under which nothing is sent.
var nothingRemembered = sessionLimits{maxUDPPayload: maxUDPPayloadSize, activeConnIDLimit: 2}

// noteEarlySession notes what 0-RTT over an SSL of the program's begins with.
func (c *Conn) noteEarlySession() {
	if c.resume.offered == nil {
		c.resume.offered = &Session{limits: nothingRemembered}
	}
	c.resume.offered.alpn = c.ALPN()
}
