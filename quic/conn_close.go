package quic

import (
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"time"
	"unicode/utf8"
)

// connState is where a connection is between its begin and its end (RFC 9000, section 10.2).
type connState uint8

const (
	stateActive   connState = iota
	stateClosing            // we have closed it, and say so whenever the peer sends more
	stateDraining           // the peer has closed it: nothing is sent
	stateDrained            // it can be forgotten
)

// closing is what a closed connection still knows.
type closing struct {
	frame    wire.ConnectionClose
	due      bool  // CONNECTION_CLOSE is to be sent
	received int   // datagrams since it was sent last
	patience int   // how many of them bring the next one, doubled each time
	until    int64 // when the connection can be forgotten
	acks     bool  // CONNECTION_CLOSE goes with an acknowledgement
}

// Close closes the connection: with app as the application, with one of its error codes; else with a transport error code, NoError
// as a rule. A code above MaxErrorCode, which cannot be told, becomes MaxErrorCode. reason is a text for people, of which whole
// characters of at most 256 bytes travel. Data that was not delivered is lost, in either direction. On a closed connection it only drops what had arrived and was not read.
func (c *Conn) Close(now time.Time, app bool, code uint64, reason string) {
	c.clock.read(now)
	defer c.traceState()
	if c.state != stateActive {
		c.dropReceived()
		return
	}
	code = min(code, MaxErrorCode)
	if app {
		c.err = &ApplicationError{Code: code, Reason: reason}
	} else {
		c.err = &TransportError{Code: TransportErrorCode(code), Reason: reason}
	}
	c.beginClose(wire.ConnectionClose{App: app, Code: code}, reason)
	c.closing.acks = true
}

// Fail closes the connection with INTERNAL_ERROR since code of the program's that the driver has called for it failed; the error is a
// *TransportError that unwraps to cause, of which the peer learns nothing. On a closed connection it does nothing.
func (c *Conn) Fail(now time.Time, cause error) {
	c.clock.read(now)
	c.fail(&TransportError{Code: InternalError, Cause: cause})
}

// fail closes the connection for an error that we found.
func (c *Conn) fail(err *TransportError) {
	if c.state != stateActive {
		return
	}
	c.err = err
	c.beginClose(wire.ConnectionClose{Code: uint64(err.Code), FrameType: err.FrameType}, err.Reason)
}

func (c *Conn) beginClose(frame wire.ConnectionClose, reason string) {
	frame.Reason = cutText([]byte(reason), maxReasonLen)
	c.closing = &closing{frame: frame, due: true, patience: 1, until: c.closeTime()}
	c.state = stateClosing
	c.endStreams()
	c.dropReceived()
}

// closeTime is when a connection that is closed now can be forgotten (RFC 9000, section 10.2).
func (c *Conn) closeTime() int64 {
	wait := 3 * c.pto(c.path.rec)
	if !c.tls.complete {
		wait = min(wait, int64(maxFailedLife))
	}
	return c.clock.now + wait
}

// endStreams tells of the end and lets go of what only an active connection needs. What had arrived stays to be read.
func (c *Conn) endStreams() {
	if !c.client && !c.tls.complete {
		c.events.pushEndpoint(EndpointEvent{Kind: HandshakeFailed})
	}
	c.events.push(Event{Kind: EventClosed})
	if c.hello != nil {
		c.hello.early = earlyPackets{}
	}
	c.keepReceived()
	for _, s := range c.spaces {
		if s != nil {
			s.crypto = cryptoStream{}
		}
	}
}

// drain ends the connection without a word: the peer has closed it, or does not know it. What closing has begun ends no later for
// that (RFC 9000, section 10.2.2).
func (c *Conn) drain() {
	if c.state >= stateDraining {
		return
	}
	if c.state == stateActive {
		c.endStreams()
		c.closing = &closing{until: c.closeTime()}
	}
	c.state = stateDraining
	c.closing.due = false
}

// forget ends the connection at once.
func (c *Conn) forget() {
	if c.state == stateActive {
		c.endStreams()
	}
	c.state = stateDrained
	c.events.pushEndpoint(EndpointEvent{Kind: ConnDrained})
	c.events.push(Event{Kind: EventDrained})
	c.releaseKeys()
	c.tls.release()
}

// Abandon tells the connection that its driver can neither send nor receive any more, as when the socket has failed. It ends at once,
// and the peer learns nothing of it; what had arrived can still be read (KeepsReceived). The error is a *TransportError with InternalError
// and the cause. On a closed connection it ends the trace, if there is one, and does nothing else. Read events after it.
func (c *Conn) Abandon(now time.Time, cause error) {
	c.clock.read(now)
	defer c.endTrace()
	if c.state != stateActive {
		return
	}
	c.err = &TransportError{Code: InternalError, Reason: "nothing can be sent or received any more", Cause: cause}
	c.forget()
}

// handleClose acts on the peer's CONNECTION_CLOSE.
func (c *Conn) handleClose(f *wire.ConnectionClose) {
	if c.err == nil {
		reason := string(f.Reason)
		if f.App {
			c.err = &ApplicationError{Code: f.Code, Remote: true, Reason: reason}
		} else {
			c.err = &TransportError{Code: TransportErrorCode(f.Code), Remote: true, FrameType: f.FrameType, Reason: reason}
		}
	}
	c.drain()
}

// findClose looks for a CONNECTION_CLOSE at the front of a packet that came to a closed connection: then the peer knows, and
// need not be told again.
func (c *Conn) findClose(in *inPacket) {
	for b := in.payload; len(b) > 0; {
		n := 1
		switch b[0] {
		case wire.FramePadding, wire.FramePing:
		case wire.FrameAck, wire.FrameAckECN:
			_, _, n = wire.ConsumeAck(b, nil)
		case wire.FrameConnectionClose, wire.FrameConnectionCloseApp:
			c.drain()
			return
		default:
			return
		}
		if n < 0 {
			return
		}
		b = b[n:]
	}
}

// onReceived counts datagrams that come to a closed connection; some of them bring an answer (RFC 9000, section 10.2.1).
func (cl *closing) onReceived(segSize, size int) {
	cl.received += (size + segSize - 1) / segSize
	if cl.received >= cl.patience {
		cl.received, cl.patience, cl.due = 0, min(2*cl.patience, 1<<20), true
	}
}

// packClose makes a datagram with CONNECTION_CLOSE in a packet of every space that the peer may be able to read (RFC 9000,
// section 10.2.3).
func (c *Conn) packClose(t *outTrain) int {
	c.closing.due = false
	limit := int(min(uint64(t.path.maxDatagram()), uint64(cap(t.buf)), t.path.allowance()))
	if limit < int(c.leastDatagram()) {
		return 0
	}
	first, last := recovery.InitialSpace, recovery.AppSpace
	if c.tls.confirmed {
		first = last
	}
	for last > first && !c.maySeal(last) {
		last--
	}
	padTo := 0
	for sp := first; sp <= last; sp++ {
		if !c.maySeal(sp) {
			continue
		}
		c.beginPacket(t, sp, limit)
		if sp == recovery.AppSpace && c.closing.acks {
			c.appendLastAck(t)
		}
		t.pkt.b = wire.AppendConnectionClose(t.pkt.b, c.closing.fit(sp, t.pkt.room()))
		if sp == recovery.InitialSpace {
			padTo = minDatagramSize
		}
		if sp == last && padTo > 0 {
			t.pkt.pad(0, padTo-protect.Overhead)
		}
		c.endPacket(t)
	}
	return len(t.buf)
}

// appendLastAck acknowledges what arrived before the application closed the connection: one that closes it as soon as it has read all
// would else leave the peer, which waits for that, in doubt for ever. So it does also where all was acknowledged: that may be lost or late.
// It leaves room for CONNECTION_CLOSE.
func (c *Conn) appendLastAck(t *outTrain) {
	pkt := &t.pkt
	whole := pkt.b
	pkt.b = whole[:len(whole):max(cap(whole)-maxCloseLen, len(whole))]
	c.appendAck(t.now, pkt, recovery.AppSpace)
	pkt.b = whole[:len(pkt.b)]
}

// maxCloseLen is the longest CONNECTION_CLOSE frame that we send, in bytes, with what fit spares.
const maxCloseLen = 1 + 8 + 8 + 2 + maxReasonLen + 2*minCoalesced

func (c *Conn) maySeal(sp recovery.Space) bool {
	return c.spaces[sp] != nil && c.keys.HasWrite(c.slotOf(sp))
}

// fit is the frame as a packet of a space may carry it: before 1-RTT nothing of the application's is told (RFC 9000,
// section 10.2.3).
func (cl *closing) fit(sp recovery.Space, room int) wire.ConnectionClose {
	f := cl.frame
	if f.App && sp != recovery.AppSpace {
		f = wire.ConnectionClose{Code: uint64(ApplicationErrorCode)}
	}
	const fixed = 1 + 8 + 8 + 2
	f.Reason = cutText(f.Reason, max(room-fixed-2*minCoalesced, 0))
	return f
}

// cutText returns at most n bytes of a text, and cuts no character of UTF-8.
func cutText(text []byte, n int) []byte {
	if len(text) <= n {
		return text
	}
	for end := n; end >= 0 && end > n-utf8.UTFMax; end-- {
		if utf8.RuneStart(text[end]) {
			return text[:end]
		}
	}
	return text[:n] // it is not UTF-8
}
