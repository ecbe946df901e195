package quic

import (
	"bytes"
	"net/netip"
	"time"
)

// What ICMP says is a hint, which anybody could send (RFC 9000, section 14.2.1). It is believed of packets that we sent, which
// it quotes with a connection ID that only the peers and those between them know, and not against what else is known: a peer
// that was heard of is given up only when it owes us an answer, and stays silent.
const (
	// refusalsToGiveUp is how many packets in a row must be refused, and refusalTime for how long (ns) at least, and for three PTOs.
	refusalsToGiveUp = 3
	refusalTime      = int64(time.Second)

	// minQuotedID is how many bytes a connection ID must have that proves that ICMP quotes a packet of ours.
	minQuotedID = 4
)

// HandleRefusal tells a client that a datagram which it sent to an address was refused: nobody listens on that port, as a
// driver learns from the kernel (ICMP's port unreachable). quote is how the datagram began, as the refusal quotes it; one that
// is shorter than its connection ID counts for nothing. Where nothing was ever received the connection ends at once, else when several packets
// in a row were refused, for a second and three PTOs, and nothing was received meanwhile. The error is a *TransportError with
// NoViablePath and the cause, such as ECONNREFUSED. Read events after it.
func (c *Conn) HandleRefusal(now time.Time, remote netip.AddrPort, quote []byte, cause error) {
	n := c.clock.read(now)
	if c.state != stateActive || !c.client || remote != c.path.remote || !c.quoted(quote) {
		return
	}
	if c.counts.packetsReceived > 0 && !(c.loss.Eliciting() && c.idle.onRefused(n, c.pto(c.path.rec))) {
		return
	}
	c.err = &TransportError{Code: NoViablePath, Reason: "nobody listens on the peer's port", Cause: cause}
	c.forget()
}

// quoted tells whether a datagram begins like one that we sent to the peer.
func (c *Conn) quoted(d []byte) bool {
	if c.hello != nil && (beginsFor(d, c.hello.clientDst) || beginsFor(d, c.hello.origDst)) {
		return true
	}
	for i := range c.peer.ids {
		if beginsFor(d, c.peer.ids[i].id) {
			return true
		}
	}
	return false
}

// beginsFor tells whether a datagram begins with a packet to a connection ID (RFC 8999, section 5).
func beginsFor(d []byte, dst ConnID) bool {
	const longHeader, idLenAt = 0x80, 5
	id := dst.Bytes()
	if len(id) < minQuotedID || len(d) <= idLenAt {
		return false
	}
	if d[0]&longHeader != 0 {
		return int(d[idLenAt]) == len(id) && bytes.HasPrefix(d[idLenAt+1:], id)
	}
	return bytes.HasPrefix(d[1:], id)
}

// onRefused takes note of a packet that was refused, and tells whether that is enough to give the peer up.
func (i *idle) onRefused(now, pto int64) bool {
	if i.refused == 0 {
		i.refusedSince = now
	}
	i.refused = min(i.refused+1, refusalsToGiveUp)
	return i.refused == refusalsToGiveUp && now-i.refusedSince >= max(refusalTime, 3*pto)
}
