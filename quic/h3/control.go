package h3

import (
	"errors"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// The unidirectional streams of the peer (RFC 9114, section 6.2).

// peerStream is a critical stream of the peer's: the core keeps it with its own.
type peerStream struct {
	id   uint64
	typ  uint8 // streamControl, streamQPACKEncoder or streamQPACKDecoder
	here bool
	read uint64 // bytes behind its type
}

func (s *peerStream) name() string {
	return [...]string{streamControl: "the peer's control stream", streamQPACKEncoder: "the peer's encoder stream",
		streamQPACKDecoder: "the peer's decoder stream"}[s.typ]
}

// peerStreams are they, and where in a frame the control stream stands.
type peerStreams struct {
	control, encoder, decoder peerStream

	header  frameHeader
	frame   bool // a frame has begun, of which left bytes are to come
	skipped bool // nobody wants it
	typ     uint64
	left    uint64
	payload []byte
}

// onUniEvent acts on an event of a unidirectional stream.
func (c *Conn) onUniEvent(ev *quic.Event) {
	id := ev.Stream
	if own := c.local.of(id); own >= 0 {
		c.onLocalEvent(own, ev)
		return
	}
	critical, _ := ev.Data.(*peerStream)
	if critical == nil && ev.Kind == quic.EventReadable {
		critical, _ = c.core.StreamData(id).(*peerStream)
	}
	switch ev.Kind {
	case quic.EventReadable:
		if critical != nil {
			c.readCritical(critical)
		} else {
			c.readType(id)
		}
	case quic.EventStreamReset:
		if critical != nil {
			c.failCritical(critical.name())
			return
		}
		c.core.StreamPeek(id) // takes the error
	case quic.EventStreamStopped:
		c.core.StreamSend(id, nil, false) // takes the error
	}
}

// onLocalEvent acts on an event of one of our streams.
func (c *Conn) onLocalEvent(i int, ev *quic.Event) {
	switch ev.Kind {
	case quic.EventWritable:
		c.local.onWritable(c, i)
	case quic.EventStreamStopped: // RFC 9114, section 6.2.1; RFC 9204, section 4.2
		c.failCritical([...]string{"our control stream", "our encoder stream", "our decoder stream"}[i])
	}
}

func (c *Conn) failCritical(name string) {
	c.fail(connErr(ErrCodeClosedCriticalStream, name+" was closed"))
}

// readType reads the type of a stream, and acts on it.
func (c *Conn) readType(id uint64) {
	if id&quic.StreamTypeUni == 0 {
		return // a bidirectional one that is not in our hands: it was rejected
	}
	p, fin, err := c.core.StreamPeek(id)
	if err != nil {
		return
	}
	typ, n := wire.ConsumeVarint(p)
	if n < 0 {
		if fin { // one that ends before its type is of no consequence (RFC 9114, section 6.2)
			c.core.StreamDiscard(id, len(p))
		}
		return
	}
	if c.client && typ == streamPush {
		c.fail(connErr(ErrCodeID, "a push stream, and no push was allowed")) // RFC 9114, section 4.6
		return
	}
	if typ == streamPush {
		c.fail(connErr(ErrCodeStreamCreation, "a push stream of a client's")) // section 6.2.2
		return
	}
	if critical := c.peer.of(typ); critical != nil {
		if critical.here {
			c.fail(connErr(ErrCodeStreamCreation, "a second "+critical.name()[len("the peer's "):])) // RFC 9114, 6.2.1; RFC 9204, 4.2
			return
		}
		critical.here, critical.id = true, id
		c.core.SetStreamData(id, critical)
		if end, err := c.core.StreamDiscard(id, n); end && err == nil {
			c.failCritical(critical.name())
			return
		}
		c.readCritical(critical)
		return
	}
	if c.cfg.StreamType != nil && c.cfg.StreamType(typ, true) {
		c.beginRaw(id, typ, n)
		return
	}
	if !c.load.spend(c, costUnknownStream) {
		return
	}
	// RFC 9114, section 6.2: reading can be aborted, and must not be an error of the connection.
	c.core.StreamShutdown(id, quic.ReadDirection, uint64(ErrCodeStreamCreation))
}

// of returns the critical stream of a type, nil if it is of another one.
func (p *peerStreams) of(typ uint64) (s *peerStream) {
	switch typ {
	case streamControl:
		s = &p.control
	case streamQPACKEncoder:
		s = &p.encoder
	case streamQPACKDecoder:
		s = &p.decoder
	default:
		return nil
	}
	s.typ = uint8(typ)
	return s
}

// readCritical reads a critical stream as far as it has come.
func (c *Conn) readCritical(s *peerStream) {
	for !c.isOver() {
		p, fin, err := c.core.StreamPeek(s.id)
		if err != nil {
			var reset *quic.StreamError
			if errors.As(err, &reset) {
				c.failCritical(s.name())
			}
			return
		}
		if len(p) > 0 {
			s.read += uint64(len(p))
			if e := c.handleCritical(s, p); e != nil {
				c.fail(e)
				return
			}
		}
		if fin {
			c.failCritical(s.name())
			return
		}
		if len(p) == 0 {
			return
		}
		if _, err := c.core.StreamDiscard(s.id, len(p)); err != nil {
			return
		}
	}
}

// handleCritical acts on bytes of a critical stream.
func (c *Conn) handleCritical(s *peerStream, p []byte) *connError {
	switch s {
	case &c.peer.encoder:
		if !c.load.spendBytes(c, len(p)) {
			return connErr(ErrCodeExcessiveLoad, "too many instructions of the encoder stream")
		}
		if err := c.dec.HandleEncoderStream(p); err != nil {
			return qpackError(err)
		}
		c.retryUnblocked()
		return nil
	case &c.peer.decoder:
		if err := c.enc.HandleDecoderStream(p); err != nil {
			return qpackError(err)
		}
		if !c.load.spendVain(c, c.enc.VainCancellations()) {
			return connErr(ErrCodeExcessiveLoad, "too many cancellations of streams that nothing waits for")
		}
		return nil
	}
	return c.handleControl(p)
}

// handleControl reads frames of the control stream.
func (c *Conn) handleControl(p []byte) *connError {
	s := &c.peer
	for len(p) > 0 {
		if !s.frame {
			typ, length, used, ok := s.header.consume(p)
			p = p[used:]
			if !ok {
				return nil
			}
			if e := c.beginControl(typ, length); e != nil {
				return e
			}
		}
		n := len(p)
		if uint64(n) > s.left {
			n = int(s.left)
		}
		whole := p[:n]
		p = p[n:]
		s.left -= uint64(n)
		if !s.skipped && (s.left > 0 || len(s.payload) > 0) {
			s.payload = append(s.payload, whole...)
			whole = s.payload
		}
		if s.left > 0 {
			continue
		}
		s.frame = false
		if s.skipped {
			continue
		}
		e := c.controlFrame(s.typ, whole)
		if s.payload = s.payload[:0]; cap(s.payload) > maxKeptSection {
			s.payload = nil
		}
		if e != nil {
			return e
		}
	}
	return nil
}

// beginControl acts on the header of a frame: its length is judged before any of it is kept.
func (c *Conn) beginControl(typ, length uint64) *connError {
	s := &c.peer
	s.frame, s.skipped, s.typ, s.left = true, false, typ, length
	if !c.settled && typ != frameSettings {
		return connErr(ErrCodeMissingSettings, "the control stream does not begin with SETTINGS") // RFC 9114, section 6.2.1
	}
	unexpected := connErr(ErrCodeFrameUnexpected, "a frame that is not for the control stream, or not for this role")
	switch typ {
	case frameSettings:
		switch {
		case c.settled:
			return connErr(ErrCodeFrameUnexpected, "a second SETTINGS frame") // section 7.2.4
		case length > maxSettingsFrame:
			return connErr(ErrCodeExcessiveLoad, "a SETTINGS frame that is too long")
		}
		return nil
	case frameData, frameHeaders, framePushPromise:
		return unexpected
	case frameGoAway, frameCancelPush:
		return intFrameFault(length)
	case frameMaxPushID:
		if c.client {
			return unexpected // section 7.2.7
		}
		return intFrameFault(length)
	case framePriorityUpdateRequest, framePriorityUpdatePush:
		switch {
		case c.client:
			return unexpected // RFC 9218, section 7.2
		case length == 0:
			return connErr(ErrCodeFrame, "an empty PRIORITY_UPDATE frame")
		case length > uint64(c.cfg.MaxPriorityUpdate):
			return connErr(ErrCodeExcessiveLoad, "a PRIORITY_UPDATE frame that is too long")
		}
		return nil
	case frameOrigin:
		if c.client {
			s.skipped = length > maxOriginFrame
			return nil
		}
		// One of a client's is as on any other stream: it MUST be ignored (RFC 9412, section 2; RFC 8336, section 2.1).
	}
	if isHTTP2Frame(typ) {
		return unexpected
	}
	s.skipped = true
	if !c.load.spend(c, costUnknownFrame) {
		return connErr(ErrCodeExcessiveLoad, "too many unknown frames")
	}
	return nil
}

// intFrameFault judges the length of a frame that holds one integer.
func intFrameFault(length uint64) *connError {
	if length == 0 || length > 8 {
		return connErr(ErrCodeFrame, "a frame that is longer or shorter than the integer in it")
	}
	return nil
}

// controlFrame acts on a whole frame of the control stream.
func (c *Conn) controlFrame(typ uint64, p []byte) *connError {
	if typ == frameSettings {
		return c.onSettings(p)
	}
	if typ == framePriorityUpdateRequest || typ == framePriorityUpdatePush {
		return c.onPriorityUpdate(typ, p)
	}
	if !c.load.spend(c, costControlFrame) {
		return connErr(ErrCodeExcessiveLoad, "too many frames on the control stream")
	}
	if typ == frameOrigin {
		return c.onOrigin(p)
	}
	v, n := wire.ConsumeVarint(p)
	if n != len(p) {
		return connErr(ErrCodeFrame, "a frame that is longer or shorter than the integer in it")
	}
	switch typ {
	case frameGoAway:
		return c.onGoAway(v)
	case frameMaxPushID:
		return c.pushes.onMax(v)
	}
	// CANCEL_PUSH (section 7.2.3): a client has allowed no push, a server has promised none.
	return connErr(ErrCodeID, "CANCEL_PUSH of a push that was not promised")
}

// onSettings acts on the peer's SETTINGS.
func (c *Conn) onSettings(p []byte) *connError {
	s, e := parseSettings(p)
	if e != nil {
		return e
	}
	if c.client && c.remembered != nil && c.core.EarlyData() == quic.EarlyAccepted {
		if e := s.lowered(c.remembered); e != nil {
			return e
		}
	}
	c.settings, c.settled, c.remembered = s, true, nil
	if err := c.enc.SetPeer(s.QPACKTableCapacity, s.QPACKBlockedStreams); err != nil {
		return qpackError(err)
	}
	c.flushEncoder()
	c.push(Event{Kind: EventSettings})
	for _, session := range c.sessions {
		c.tellSession(session)
	}
	c.sessions = nil
	return nil
}

// pushIDs are what a client has told of server push (RFC 9114, section 7.2.7), which no server of ours makes use of.
type pushIDs struct {
	allowed uint64 // one more than MAX_PUSH_ID; 0: none came
}

func (p *pushIDs) onMax(id uint64) *connError {
	if id+1 < p.allowed {
		return connErr(ErrCodeID, "MAX_PUSH_ID is lower than before")
	}
	p.allowed = id + 1
	return nil
}
