package quic

import (
	"bytes"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// inPacket is an authentic packet whose frames are being handled.
type inPacket struct {
	now     int64
	slot    protect.Slot
	space   recovery.Space
	pn      int64
	gen     uint32 // of its 1-RTT key
	path    *path
	usedSeq uint64 // our connection ID that a 1-RTT packet was sent to
	version uint32 // of a long header
	payload []byte

	spin       bool // its spin bit
	ignore     bool
	eliciting  bool // it holds a frame other than ACK, PADDING and CONNECTION_CLOSE
	nonProbing bool // it holds a frame that a path probe would not (RFC 9000, section 9.1)
}

// Which packets a frame may stand in, and what it says of its packet.
const (
	inInitial = 1 << iota
	inHandshake
	inZeroRTT
	inOneRTT
	fromServer // only a server sends it
	quiet      // it does not elicit an acknowledgement
	probing    // it does not make its packet a non-probing one
	extension  // it is known only if we announced min_ack_delay

	inData = inZeroRTT | inOneRTT
	inAny  = inInitial | inHandshake | inData
)

// frameRules is table 3 of RFC 9000, section 12.4, RFC 9221, section 4, and draft-ietf-quic-ack-frequency-12, section 3. Types
// that are 0 here are unknown.
var frameRules = [...]uint8{
	wire.FramePadding:            inAny | quiet | probing,
	wire.FramePing:               inAny,
	wire.FrameAck:                inInitial | inHandshake | inOneRTT | quiet,
	wire.FrameAckECN:             inInitial | inHandshake | inOneRTT | quiet,
	wire.FrameResetStream:        inData,
	wire.FrameStopSending:        inData,
	wire.FrameCrypto:             inInitial | inHandshake | inOneRTT,
	wire.FrameNewToken:           inOneRTT | fromServer,
	wire.FrameStream:             inData,
	wire.FrameStream + 1:         inData,
	wire.FrameStream + 2:         inData,
	wire.FrameStream + 3:         inData,
	wire.FrameStream + 4:         inData,
	wire.FrameStream + 5:         inData,
	wire.FrameStream + 6:         inData,
	wire.FrameStream + 7:         inData,
	wire.FrameMaxData:            inData,
	wire.FrameMaxStreamData:      inData,
	wire.FrameMaxStreamsBidi:     inData,
	wire.FrameMaxStreamsUni:      inData,
	wire.FrameDataBlocked:        inData,
	wire.FrameStreamDataBlocked:  inData,
	wire.FrameStreamsBlockedBidi: inData,
	wire.FrameStreamsBlockedUni:  inData,
	wire.FrameNewConnectionID:    inData | probing,
	wire.FrameRetireConnectionID: inOneRTT,
	wire.FramePathChallenge:      inData | probing,
	wire.FramePathResponse:       inOneRTT | probing,
	wire.FrameConnectionClose:    inAny | quiet,
	wire.FrameConnectionCloseApp: inData | quiet,
	wire.FrameHandshakeDone:      inOneRTT | fromServer,
	wire.FrameDatagram:           inData,
	wire.FrameDatagram + 1:       inData,
	wire.FrameImmediateAck:       inOneRTT | extension,
	wire.FrameAckFrequency:       inOneRTT | extension,
}

// slotRules is the bit of frameRules for each slot.
var slotRules = [...]uint8{
	protect.Initial: inInitial, protect.ZeroRTT: inZeroRTT, protect.Handshake: inHandshake, protect.OneRTT: inOneRTT,
}

// handleFrames acts on every frame of a packet. The error, if any, closes the connection, but for errNotKept.
func (c *Conn) handleFrames(in *inPacket) *TransportError {
	if len(in.payload) == 0 {
		return transportError(ProtocolViolation, "a packet without frames") // RFC 9000, section 12.4
	}
	for b := in.payload; len(b) > 0 && c.state == stateActive; {
		if b[0] == wire.FramePadding {
			b = skipPadding(b)
			continue
		}
		typ, err := c.checkFrame(in, b)
		if err != nil {
			return err
		}
		n, err := c.handleFrame(in, typ, b)
		if n < 0 {
			err = transportError(FrameEncodingError, "malformed frame")
		}
		if err != nil {
			if err.FrameType == 0 && err != errNotKept {
				err.FrameType = typ
			}
			return err
		}
		b = b[n:]
	}
	return nil
}

func skipPadding(b []byte) []byte {
	for len(b) > 0 && b[0] == wire.FramePadding {
		b = b[1:]
	}
	return b
}

// checkFrame judges whether the frame at the front of b may stand in its packet, and returns its type.
func (c *Conn) checkFrame(in *inPacket, b []byte) (typ uint64, err *TransportError) {
	typ, n := wire.ConsumeFrameType(b)
	if n > 1 && n != wire.SizeVarint(typ) {
		// RFC 9000, section 12.4.
		return typ, &TransportError{Code: ProtocolViolation, FrameType: typ, Reason: "a frame type not in its shortest encoding"}
	}
	rules := uint8(0)
	if n > 0 && typ < uint64(len(frameRules)) {
		rules = frameRules[typ]
	}
	if rules == 0 || rules&extension != 0 && c.cfg.MinAckDelay < 0 {
		return typ, &TransportError{Code: FrameEncodingError, FrameType: typ, Reason: "unknown frame type"}
	}
	if rules&slotRules[in.slot] == 0 || rules&fromServer != 0 && !c.client {
		return typ, &TransportError{Code: ProtocolViolation, FrameType: typ, Reason: "a frame where it may not stand"}
	}
	in.eliciting = in.eliciting || rules&quiet == 0
	in.nonProbing = in.nonProbing || rules&probing == 0
	return typ, nil
}

// handleFrame acts on the frame at the front of b and returns its length, -1 if it is malformed.
func (c *Conn) handleFrame(in *inPacket, typ uint64, b []byte) (n int, err *TransportError) {
	switch typ {
	case wire.FrameStream, wire.FrameStream + 1, wire.FrameStream + 2, wire.FrameStream + 3,
		wire.FrameStream + 4, wire.FrameStream + 5, wire.FrameStream + 6, wire.FrameStream + 7:
		id, off, fin, data, n := wire.ConsumeStream(b)
		if n < 0 {
			return -1, nil
		}
		return n, c.streams.handleStream(in.now, id, off, data, fin)
	case wire.FrameAck, wire.FrameAckECN:
		return c.handleAck(in, b)
	case wire.FramePing:
		return 1, nil
	case wire.FrameCrypto:
		off, data, n := wire.ConsumeCrypto(b)
		if n < 0 {
			return -1, nil
		}
		return n, c.handleCrypto(in, off, data)
	case wire.FrameDatagram, wire.FrameDatagram + 1:
		data, n := wire.ConsumeDatagram(b)
		if n < 0 {
			return -1, nil
		}
		return n, c.datagrams.handle(data, n, c.cfg.MaxDatagramFrameSize)
	case wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
		cc, n := wire.ConsumeConnectionClose(b)
		if n < 0 {
			return -1, nil
		}
		c.handleClose(&cc)
		return n, nil
	case wire.FrameResetStream, wire.FrameStopSending, wire.FrameMaxData, wire.FrameMaxStreamData,
		wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni, wire.FrameDataBlocked, wire.FrameStreamDataBlocked,
		wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		return c.handleStreamControl(in, typ, b)
	}
	return c.handleConnControl(in, typ, b)
}

// handleStreamControl acts on the frames that steer streams and flow control.
func (c *Conn) handleStreamControl(in *inPacket, typ uint64, b []byte) (n int, err *TransportError) {
	s := &c.streams
	switch typ {
	case wire.FrameResetStream:
		id, code, size, n := wire.ConsumeResetStream(b)
		if n < 0 {
			return -1, nil
		}
		return n, s.handleResetStream(in.now, id, code, size)
	case wire.FrameStopSending:
		id, code, n := wire.ConsumeStopSending(b)
		if n < 0 {
			return -1, nil
		}
		return n, s.handleStopSending(in.now, id, code)
	case wire.FrameMaxData:
		limit, n := wire.ConsumeMaxData(b)
		if n < 0 {
			return -1, nil
		}
		return n, s.handleMaxData(limit)
	case wire.FrameMaxStreamData:
		id, limit, n := wire.ConsumeMaxStreamData(b)
		if n < 0 {
			return -1, nil
		}
		return n, s.handleMaxStreamData(id, limit)
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni:
		bidi, limit, n := wire.ConsumeMaxStreams(b)
		if n < 0 {
			return -1, nil
		}
		return n, s.handleMaxStreams(bidi, limit)
	case wire.FrameDataBlocked:
		limit, n := wire.ConsumeDataBlocked(b)
		if n < 0 {
			return -1, nil
		}
		return n, s.handleDataBlocked(limit)
	case wire.FrameStreamDataBlocked:
		id, limit, n := wire.ConsumeStreamDataBlocked(b)
		if n < 0 {
			return -1, nil
		}
		return n, s.handleStreamDataBlocked(id, limit)
	}
	bidi, limit, n := wire.ConsumeStreamsBlocked(b)
	if n < 0 {
		return -1, nil
	}
	return n, s.handleStreamsBlocked(bidi, limit)
}

// handleConnControl acts on the frames that concern the connection as a whole.
func (c *Conn) handleConnControl(in *inPacket, typ uint64, b []byte) (n int, err *TransportError) {
	switch typ {
	case wire.FrameNewToken:
		token, n := wire.ConsumeNewToken(b)
		if n >= 0 && len(token) <= maxTokenLen {
			c.onNewToken(bytes.Clone(token))
		}
		return n, nil
	case wire.FrameNewConnectionID:
		seq, retirePriorTo, id, token, n := wire.ConsumeNewConnectionID(b)
		if n < 0 {
			return -1, nil
		}
		return n, c.handleNewConnectionID(seq, retirePriorTo, id, token)
	case wire.FrameRetireConnectionID:
		seq, n := wire.ConsumeRetireConnectionID(b)
		if n < 0 {
			return -1, nil
		}
		return n, c.handleRetireConnectionID(seq, in.usedSeq)
	case wire.FramePathChallenge:
		data, n := wire.ConsumePathChallenge(b)
		if n >= 0 {
			c.handlePathChallenge(in.path, data)
		}
		return n, nil
	case wire.FramePathResponse:
		data, n := wire.ConsumePathResponse(b)
		if n >= 0 {
			c.handlePathResponse(in.now, data)
		}
		return n, nil
	case wire.FrameHandshakeDone:
		c.onConfirmed()
		return 1, nil
	case wire.FrameImmediateAck:
		c.spaces[recovery.AppSpace].acks.now = true
		return 1, nil
	case wire.FrameAckFrequency:
		f, n := wire.ConsumeAckFrequency(b)
		if n < 0 {
			return -1, nil
		}
		useless, err := c.ackFrequency.handle(f, c.cfg.MinAckDelay)
		if useless {
			c.streams.glitches++
		}
		return n, err
	}
	return -1, nil
}

// handleAck acts on an ACK frame.
func (c *Conn) handleAck(in *inPacket, b []byte) (int, *TransportError) {
	var room [maxAckRanges]ranges.Range
	a, acked, n := wire.ConsumeAck(b, room[:0])
	if n < 0 {
		return -1, nil
	}
	if in.slot == protect.OneRTT {
		if err := c.keys.checkAck(in.gen, a.Largest); err != nil {
			return n, err
		}
	}
	delay := ackDelay(a.DelayRaw, c.tls.ackDelayExponent)
	var counts *wire.ECNCounts
	if a.HasECN {
		counts = &a.ECN
	}
	several := c.client && len(c.paths.list) > 1 && in.path != nil
	if several {
		c.loss.AckedBy(in.path.rec)
	}
	err := c.loss.OnAck(in.now, in.space, acked, delay, counts, c.path.rec, (*lossHandler)(c))
	if several {
		c.loss.AckedBy(nil)
	}
	if err != nil {
		return n, transportError(ProtocolViolation, err.Error())
	}
	if c.client && !c.tls.confirmed && in.slot == protect.OneRTT && c.keys.firstSent >= 0 && a.Largest >= c.keys.firstSent {
		c.onConfirmed() // RFC 9001, section 4.1.2: the server has opened a 1-RTT packet
	}
	return n, nil
}

// ackDelay is the delay that a peer reports, as long as a Duration can hold (RFC 9000, section 19.3).
func ackDelay(raw uint64, exponent uint8) time.Duration {
	const most = uint64(maxIdleTimeoutCap / time.Microsecond)
	if raw > most>>exponent {
		return maxIdleTimeoutCap
	}
	return time.Duration(raw<<exponent) * time.Microsecond
}

// handleCrypto acts on a CRYPTO frame.
func (c *Conn) handleCrypto(in *inPacket, off uint64, data []byte) *TransportError {
	limit := maxCryptoBufferHandshake
	if in.space == recovery.AppSpace {
		limit = maxCryptoBufferApp
	}
	if in.slot == protect.Initial && c.client {
		if err := c.settleVersion(in.version); err != nil {
			return err
		}
	}
	s := &c.spaces[in.space].crypto
	if !c.client && in.slot == protect.Initial && len(data) > 0 && int64(off)+int64(len(data)) <= s.in.base {
		c.hello.lacks = true
	}
	before := s.end()
	next, err := s.handle(off, data, limit)
	if err == nil && in.space == recovery.AppSpace {
		err = c.countPostCrypto(in.now, int(s.end()-before))
	}
	if err != nil {
		return err
	}
	c.feedTLS(in.space, next)
	return c.checkLeftover(in.space)
}

// countPostCrypto bounds CRYPTO data after the handshake by the hour. n bytes are new: what is sent again does not count.
func (c *Conn) countPostCrypto(now int64, n int) *TransportError {
	t := &c.tls
	if now-t.postSince > int64(time.Hour) {
		t.postSince, t.postCrypto = now, 0
	}
	t.postCrypto += int32(n)
	if t.postCrypto > maxPostHandshakeCrypto {
		return transportError(CryptoBufferExceeded, "too much CRYPTO data after the handshake")
	}
	return nil
}
