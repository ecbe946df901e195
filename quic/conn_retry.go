package quic

import (
	"bytes"
	"crypto/subtle"
	"slices"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// handleUnprotected acts on a packet without packet protection. One that does not fit is dropped.
func (c *Conn) handleUnprotected(now int64, b []byte) {
	version, _, _, _ := wire.ConsumeInvariants(b)
	if c.client && c.state == stateActive && c.hello != nil && !c.hello.heard {
		if version == 0 && c.handleVersionNegotiation(b) || version != 0 && c.handleRetry(b) {
			return
		}
	}
	c.dropPacket(qlog.DropInvalid, b)
}

// handleVersionNegotiation acts on a Version Negotiation packet (RFC 9000, section 6.2): a client begins anew with a version that the
// server speaks, or, if there is none, gives up. It is false if the packet is to be ignored: it may be ours to one attempt only, and
// one that answers the second would be forged, or there is no server that keeps to its word (RFC 9368, section 4).
func (c *Conn) handleVersionNegotiation(b []byte) bool {
	dst, src, versions, n := wire.ConsumeVersionNegotiation(b)
	if n < 0 || c.hello.negotiation.refused != nil || !bytes.Equal(dst, c.local.first.Bytes()) || !bytes.Equal(src, c.path.dcid.Bytes()) {
		return false
	}
	if slices.Contains(versions, c.version) {
		return false
	}
	offered := versions[:min(len(versions), maxOfferedVersions)]
	version := firstOf(c.cfg.Versions, versions)
	if version == 0 {
		c.err = &VersionNegotiationError{Offered: slices.Clone(offered)}
		c.forget()
	} else if err := c.beginAnew(version, slices.Clone(offered)); err != nil {
		c.fail(err)
	}
	return true
}

// handleRetry acts on a Retry packet (RFC 9000, section 17.2.5): the handshake begins anew, with a token. It is false if the
// packet is to be ignored.
func (c *Conn) handleRetry(b []byte) bool {
	h, n := wire.ConsumeLongHeader(b)
	if n < 0 || h.Version != c.version || len(h.Token) == 0 || len(h.Token) > maxTokenLen ||
		!bytes.Equal(h.DstConnID, c.local.first.Bytes()) || bytes.Equal(h.SrcConnID, c.path.dcid.Bytes()) {
		return false
	}
	tag, err := protect.RetryTag(h.Version, c.hello.origDst.Bytes(), b[:len(b)-protect.Overhead])
	if err != nil || subtle.ConstantTimeCompare(tag[:], b[len(b)-protect.Overhead:]) != 1 {
		return false
	}
	c.retried, c.hello.heard = true, true
	c.hello.retrySrc, _ = MakeConnID(h.SrcConnID)
	c.hello.clientDst = c.hello.retrySrc
	c.hello.token = bytes.Clone(h.Token)
	c.hello.negotiation.release() // its keys were made from the connection ID before
	c.path.dcid = c.hello.retrySrc
	if err := c.keys.InstallInitial(c.version, h.SrcConnID, true); err != nil {
		c.fail(&TransportError{Code: InternalError, Cause: err})
		return true
	}
	c.loss.Requeue(recovery.InitialSpace, (*lossHandler)(c))
	c.loss.Requeue(recovery.AppSpace, (*lossHandler)(c)) // 0-RTT packets, under the new connection ID (section 17.2.3)
	return true
}
