package quic

import (
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// lossHandler is a Conn as recovery sees it: what was in packets that were acknowledged or lost. It is the mirror of
// conn_pack.go. Frames that are missing from the switches are not repaired: PING, DATAGRAM, PATH_CHALLENGE and
// PATH_RESPONSE, PADDING and CONNECTION_CLOSE (RFC 9000, section 13.3), IMMEDIATE_ACK.
type lossHandler Conn

// OnFrameAcked is told of each frame of a packet that is newly acknowledged.
func (h *lossHandler) OnFrameAcked(sp recovery.Space, f recovery.Frame) {
	c := (*Conn)(h)
	switch f.Type {
	case wire.FrameStream:
		c.streams.onFrameAcked(c.clock.now, f)
	case wire.FrameAck:
		c.spaces[sp].acks.onAcked(int64(f.Off))
	case wire.FrameCrypto:
		c.spaces[sp].crypto.onAcked(f)
	case wire.FrameHandshakeDone:
		c.signals.handshakeDone.done()
	case wire.FrameNewToken:
		if f.ID == uint64(c.signals.tokens) {
			c.signals.newToken.done()
			c.signals.token = nil
		}
	case wire.FrameNewConnectionID:
		if i := c.local.index(f.ID); i >= 0 {
			c.local.ids[i].tell.done()
			c.renewStale()
		}
	case wire.FrameRetireConnectionID:
		c.peer.onRetireAcked(f.ID)
	case wire.FrameAckFrequency:
		c.ackFrequency.wished.onAcked(f.ID)
		c.loss.SetMaxAckDelay(c.ackFrequency.wished.maxDelay)
	default:
		c.streams.onFrameAcked(c.clock.now, f)
	}
}

// OnFrameLost is told of each frame of a packet that is lost, or that is to be sent again as a probe.
func (h *lossHandler) OnFrameLost(sp recovery.Space, f recovery.Frame) (again bool) {
	c := (*Conn)(h)
	switch f.Type {
	case wire.FrameStream:
		return c.streams.onFrameLost(f)
	case wire.FrameAck:
		return false // the next one tells more
	case wire.FrameCrypto:
		return c.spaces[sp].crypto.onLost(f)
	case wire.FrameHandshakeDone:
		return c.signals.handshakeDone.onLost()
	case wire.FrameNewToken:
		return f.ID == uint64(c.signals.tokens) && c.signals.newToken.onLost()
	case wire.FrameNewConnectionID:
		i := c.local.index(f.ID)
		return i >= 0 && c.local.ids[i].tell.onLost()
	case wire.FrameRetireConnectionID:
		return c.peer.onRetireLost(f.ID)
	case wire.FrameAckFrequency:
		return c.ackFrequency.wished.tell.onLost(f.ID)
	}
	return c.streams.onFrameLost(f)
}
