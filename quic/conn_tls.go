package quic

import (
	"bytes"
	"errors"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// tlsState is the TLS handshake and how far it has come.
type tlsState struct {
	conn      *handshake.Conn
	foreign   bool // it is over an SSL of the program's
	complete  bool // RFC 9001, section 4.1.1
	confirmed bool // section 4.1.2
	hasParams bool // the peer's transport parameters are in force
	dropDue   bool // Handshake keys are to be dropped when the packet at hand is done with

	ackDelayExponent uint8 // the peer's
	resumed          bool
	early            EarlyDataState
	greases          bool // the peer takes packets whose QUIC bit is 0, and we send such

	postCrypto int32 // bytes of CRYPTO data after the handshake
	postSince  int64 // when they were begun to be counted
}

// release lets go of what is of no more use to anybody: the program may still look at an SSL of its own.
func (s *tlsState) release() {
	if s.conn != nil && !s.foreign {
		s.conn.Release()
	}
}

// fillParams adds to a server's own transport parameters what both roles declare.
func (c *Conn) fillParams(p *wire.TransportParameters) {
	c.cfg.fillLimits(p)
	p.InitialSrcConnID = c.local.ids[0].id.Bytes()
	p.AckDelayExponent = uint8(c.cfg.AckDelayExponent)
	p.MaxAckDelay = c.cfg.MaxAckDelay
	if c.cfg.MinAckDelay >= 0 {
		p.MinAckDelay = &c.cfg.MinAckDelay
	}
}

// fillLimits sets those parameters that clients remember for 0-RTT (RFC 9000, section 7.4.1).
func (cfg *Config) fillLimits(p *wire.TransportParameters) {
	p.MaxIdleTimeout = max(cfg.MaxIdleTimeout, 0)
	p.MaxUDPPayloadSize = uint64(cfg.MaxRecvUDPPayload)
	p.InitialMaxData = cfg.ReceiveWindow
	p.MaxStreamDataBidiLocal = cfg.StreamReceiveWindow
	p.MaxStreamDataBidiRemote = cfg.StreamReceiveWindow
	p.MaxStreamDataUni = cfg.StreamReceiveWindow
	p.MaxStreamsBidi = uint64(max(cfg.MaxStreamsBidi, 0))
	p.MaxStreamsUni = uint64(max(cfg.MaxStreamsUni, 0))
	p.ActiveConnIDLimit = uint64(cfg.ActiveConnIDLimit)
	p.MaxDatagramFrameSize = uint64(cfg.MaxDatagramFrameSize)
}

// startTLS makes the TLS connection; a client's ClientHello is ready to be sent then.
func (c *Conn) startTLS(p handshake.Params, shared *handshake.Context) error {
	if c.tls.foreign { // a client's begins with the first Send
		if c.client {
			c.tls.conn.SetTransportParameters(p.TransportParameters)
		}
		return nil
	}
	if shared == nil {
		var err error
		if shared, err = handshake.NewContext(c.client); err != nil {
			return err
		}
		if !c.client {
			if err := shared.SetTicketKeys(c.cfg.TicketKeys); err != nil {
				return err
			}
		}
	}
	p.LocalAddr, p.RemoteAddr = c.path.local, c.path.remote
	conn, err := shared.New(c.cfg.TLS, p)
	if err != nil {
		return err
	}
	c.tls.conn = conn
	if err := conn.Start(); err != nil {
		return err
	}
	c.pumpTLS()
	if c.err != nil {
		return c.err
	}
	return nil
}

// Answer hands back an Ask of EventAsk whose Run has returned, and continues the handshake with it. What that brings
// is sent and told by the next calls of Send and NextEvent.
func (c *Conn) Answer(a *handshake.Ask) {
	if c.state != stateActive {
		return
	}
	c.tls.conn.Answer(a) // an error comes as EventAlert too
	c.pumpTLS()
	c.settleKeys()
	c.replayEarly(c.clock.now) // what came while the answer was sought
	c.updateLimits()
}

// feedTLS hands on bytes of a packet number space that are next for TLS, and those that were kept and follow.
func (c *Conn) feedTLS(sp recovery.Space, next []byte) {
	for s := &c.spaces[sp].crypto; c.state == stateActive; next = nil {
		if n := s.readable(); n > 0 && len(next) == 0 {
			next = make([]byte, n)
			s.read(next)
		}
		if len(next) == 0 {
			return
		}
		c.tls.conn.Feed(handshake.Level(slotOfSpace[sp]), next) // an error comes as EventAlert too
		c.pumpTLS()
	}
}

// checkLeftover finds bytes in a packet number space that TLS has left without taking them, even such as lie behind a gap (RFC 9001,
// section 4.1.3).
func (c *Conn) checkLeftover(sp recovery.Space) *TransportError {
	left := sp != recovery.AppSpace && c.keys.HasRead(slotOfSpace[sp+1])
	if left && c.spaces[sp].crypto.leftover() {
		return transportError(ProtocolViolation, "CRYPTO data beyond the last TLS message of its level")
	}
	return nil
}

// pumpTLS acts on what TLS has to say.
func (c *Conn) pumpTLS() {
	for c.state == stateActive {
		ev := c.tls.conn.NextEvent()
		if ev.Kind == handshake.NoEvent {
			return
		}
		if err := c.onTLSEvent(&ev); err != nil {
			c.fail(err)
		}
	}
}

func (c *Conn) onTLSEvent(ev *handshake.Event) *TransportError {
	slot := protect.Slot(ev.Level)
	switch ev.Kind {
	case handshake.EventReadSecret:
		if err := c.installKeys(slot, protect.Suite(ev.Suite), ev.Data, false); err != nil {
			return &TransportError{Code: InternalError, Cause: err}
		}
		c.hello.early.onKeys()
		switch {
		case slot == protect.ZeroRTT:
			return nil
		case slot == protect.OneRTT:
			c.keys.setLimits(protect.Suite(ev.Suite))
		case !c.keys.HasRead(protect.ZeroRTT):
			c.hello.early.drop(protect.ZeroRTT) // they would have come before
		}
		return c.checkLeftover(spaceOfSlot[slot] - 1)
	case handshake.EventWriteSecret:
		if err := c.installKeys(slot, protect.Suite(ev.Suite), ev.Data, true); err != nil {
			return &TransportError{Code: InternalError, Cause: err}
		}
		switch {
		case slot == protect.Handshake && c.client:
			c.loss.SetHandshakeKeys()
		case slot == protect.ZeroRTT:
			c.onEarlyKeys()
		}
	case handshake.EventHandshakeData:
		c.spaces[spaceOfSlot[slot]].crypto.write(ev.Data)
	case handshake.EventTransportParameters:
		return c.onPeerParams(ev.Data)
	case handshake.EventAsk:
		c.events.push(Event{Kind: EventAsk, Ask: ev.Ask})
	case handshake.EventEarlyData:
		return c.onEarlyVerdict(ev.Accepted)
	case handshake.EventHandshakeComplete:
		return c.onHandshakeComplete()
	case handshake.EventAlert:
		return tlsError(ev)
	case handshake.EventSessionTicket:
		c.onTicket(ev)
	}
	return nil
}

// tlsError is the error that an alert of TLS stands for (RFC 9001, section 4.8).
func tlsError(ev *handshake.Event) *TransportError {
	var violation *handshake.ProtocolError
	if errors.As(ev.Err, &violation) {
		return &TransportError{Code: ProtocolViolation, FrameType: wire.FrameCrypto, Reason: violation.Reason, Cause: ev.Err}
	}
	return &TransportError{Code: CryptoErrorBase + TransportErrorCode(ev.Alert), FrameType: wire.FrameCrypto, Cause: ev.Err}
}

// onPeerParams judges the peer's transport parameters and puts them in force.
func (c *Conn) onPeerParams(b []byte) *TransportError {
	p, err := wire.ParseTransportParameters(b, !c.client)
	if err != nil {
		return &TransportError{Code: TransportParameterError, FrameType: wire.FrameCrypto, Reason: err.Error()}
	}
	if reason := c.authenticateIDs(&p); reason != "" {
		return &TransportError{Code: TransportParameterError, FrameType: wire.FrameCrypto, Reason: reason}
	}
	if err := c.negotiateVersion(p.Version); err != nil {
		return err
	}
	c.tls.hasParams = true
	if c.trace != nil {
		c.trace.event(c, parametersSet(qlog.Remote, &p, b))
	}
	switch {
	case c.client:
		c.resume.limits = limitsOf(&p)
	case c.cfg.KeepPeerParams:
		limits := limitsOf(&p)
		c.streams.count().limits = &limits
	}
	c.tls.ackDelayExponent = p.AckDelayExponent
	c.tls.greases = p.GreaseQUICBit && !c.cfg.NoGrease
	c.loss.SetMaxAckDelay(p.MaxAckDelay)
	c.ackFrequency.setPeerParams(&p, c.cfg.MinAckDelay >= 0)
	c.idle.negotiate(c.cfg, p.MaxIdleTimeout)
	c.setRoamingParams(&p)
	c.peer.setParams(&p)
	c.tellToken(&c.peer.ids[0])
	c.local.setLimit(p.ActiveConnIDLimit)
	return c.onPeerLimits(&p)
}

// authenticateIDs compares the connection IDs that the peer declares with those that were used (RFC 9000, section 7.3), and
// returns what is wrong.
func (c *Conn) authenticateIDs(p *wire.TransportParameters) string {
	h := c.hello
	if !bytes.Equal(p.InitialSrcConnID, h.peerSrc.Bytes()) {
		return "initial_source_connection_id is not the one that was used"
	}
	if !c.client {
		return ""
	}
	if p.OriginalDstConnID == nil || !bytes.Equal(p.OriginalDstConnID, h.origDst.Bytes()) {
		return "original_destination_connection_id is not the one that was used"
	}
	switch {
	case c.retried && (p.RetrySrcConnID == nil || !bytes.Equal(p.RetrySrcConnID, h.retrySrc.Bytes())):
		return "retry_source_connection_id is not the one that was used"
	case !c.retried && p.RetrySrcConnID != nil:
		return "retry_source_connection_id without a Retry packet"
	case p.PreferredAddress != nil && h.peerSrc.Len() == 0:
		return "preferred_address from a server with a zero-length connection ID"
	}
	return ""
}

// onHandshakeComplete begins 1-RTT. At a server the handshake is confirmed with that (RFC 9001, section 4.1.2).
func (c *Conn) onHandshakeComplete() *TransportError {
	if !c.tls.hasParams {
		// RFC 9001, section 8.2.
		return &TransportError{Code: CryptoErrorBase + alertMissingExtension, FrameType: wire.FrameCrypto,
			Reason: "no quic_transport_parameters"}
	}
	c.tls.complete = true
	c.tls.resumed = c.tls.conn.DidResume()
	c.idle.handshake = 0
	if c.client {
		c.idle.untilConfirmed(c.cfg.HandshakeTimeout)
		c.settleEarly()
	} else {
		c.endEarly()
	}
	c.hello.early.onKeys()
	c.events.push(Event{Kind: EventHandshakeComplete})
	c.requestConnIDs()
	if !c.client {
		c.events.pushEndpoint(EndpointEvent{Kind: HandshakeOver})
		c.signals.handshakeDone.set()
		c.askToken()
		c.onConfirmed()
	}
	return nil
}

// alertMissingExtension is the TLS alert missing_extension (RFC 8446, section 6).
const alertMissingExtension = 109

// onConfirmed lets the Handshake keys go, once the packet at hand is done with (RFC 9001, section 4.9.2).
func (c *Conn) onConfirmed() {
	if c.tls.confirmed {
		return
	}
	c.tls.confirmed, c.tls.dropDue = true, true
	c.loss.SetHandshakeConfirmed()
	c.path.validated = true
	c.idle.onConfirmed()
	c.events.push(Event{Kind: EventHandshakeConfirmed})
	if c.client {
		c.preferFrom(c.clock.now, c.path.local)
	}
}

// HandshakeConfirmed tells whether both sides know that the handshake is complete (RFC 9001, section 4.1.2). EventHandshakeConfirmed says when
// that comes true.
func (c *Conn) HandshakeConfirmed() bool { return c.tls.confirmed }

// settleKeys drops keys whose time is over, between packets.
func (c *Conn) settleKeys() {
	if c.tls.dropDue {
		c.tls.dropDue = false
		c.dropSpace(recovery.InitialSpace)
		c.dropSpace(recovery.HandshakeSpace)
	}
}
