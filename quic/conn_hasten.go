package quic

import (
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// sentTogether is within which time of each other packets arrive that were sent together.
const sentTogether = int64(5 * time.Millisecond)

// hasten sends handshake data that is not acknowledged again, ahead of the probe timeout, if what came since it was sent shows that the peer
// has not received it (RFC 9002, section 6.2.3):
//
//   - what TLS has taken of a client's ClientHello comes again, in a new packet: it has not received our ServerHello,
//   - a server's Handshake or 1-RTT packets come, for which only the ServerHello brings the keys: it was lost, and the server sends it
//     again when it sees the ClientHello again.
//
// The peer cannot be believed, and neither can whoever sends packets that do not open: it is done a few times at most, and what is sent counts
// for the anti-amplification limit as all else does. A ClientHello that comes within sentTogether of our flight was not sent because that is lacking,
// but with the one before it, as probes are.
func (c *Conn) hasten(now int64) {
	h := c.hello
	if h == nil || !h.lacks {
		return
	}
	h.lacks = false
	most := uint8(maxHastened)
	if c.client {
		most = maxHastenedClient
	}
	if h.hastened >= most || c.state != stateActive || c.spaces[recovery.InitialSpace] == nil || c.client && c.keys.HasRead(protect.Handshake) {
		return
	}
	if c.spaces[recovery.InitialSpace].crypto.out.resends() {
		return // it waits to be sent again already
	}
	if !c.client && now-c.loss.LastSent(recovery.InitialSpace) < sentTogether {
		return
	}
	if !c.loss.Resend(recovery.InitialSpace, (*lossHandler)(c)) {
		return
	}
	c.loss.Resend(recovery.HandshakeSpace, (*lossHandler)(c))
	h.hastened++
}
