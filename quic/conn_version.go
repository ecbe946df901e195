package quic

import (
	"errors"
	"fmt"
	"slices"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// The version of a connection can change twice before its handshake has come far (RFC 9368):
//
//   - A server that does not speak the version of a client's first packets says so in a Version Negotiation packet, and keeps nothing.
//     The client begins anew, in the same Conn, with a version that both speak.
//   - A server that prefers another version of those that the client speaks answers in that one, and both go on with it (RFC 9369,
//     section 4.1). Which ones the client speaks, its transport parameters say: before they are there the server answers in the
//     client's version.
//
// What was agreed on is authenticated by version_information in the transport parameters of both.

// negotiation is what a handshake knows of the versions.
type negotiation struct {
	original uint32 // of the client's first packets, and of 0-RTT packets
	settled  bool   // the server has chosen: no long header of a version other than Conn.version and other changes that

	// Initial packets of another version than Conn.version are read, too: until a client knows what the server has chosen, those of the
	// one that it may choose; after the change, on both sides, those of the one before (RFC 9369, section 4.1).
	other     uint32 // 0: of no other version
	otherKeys *protect.Keys

	// A client's:
	refused []uint32          // what a Version Negotiation packet offered that had it begin anew; nil: there was none
	begin   *handshake.Params // what it began with
	shared  *handshake.Context

	params []byte // a server's own transport parameters; without version_information until the client's are there
}

// releaseKeys lets all keys go.
func (c *Conn) releaseKeys() {
	c.keys.release()
	if c.hello != nil {
		c.hello.negotiation.release()
	}
}

// release lets the keys of the other version go.
func (n *negotiation) release() {
	if n.otherKeys != nil {
		n.otherKeys.Release()
		n.otherKeys, n.other = nil, 0
	}
}

// readOther has Initial packets of another version be read, too.
func (c *Conn) readOther(version uint32) error {
	n := &c.hello.negotiation
	if n.otherKeys == nil {
		n.otherKeys = protect.NewKeys()
	}
	n.other = version
	return n.otherKeys.InstallInitial(version, c.hello.clientDst.Bytes(), c.client)
}

// judgeVersion says what is to be done with a packet of a long header whose version is not that of the connection.
func (c *Conn) judgeVersion(h *wire.LongHeader) verdict {
	if c.hello == nil { // of a server that has accepted 0-RTT data, and so has not changed the version
		if h.Version == c.version {
			return verdictOpen
		}
		return verdictSkip
	}
	n := &c.hello.negotiation
	mayChange := c.client && !n.settled && slices.Contains(c.cfg.Versions, h.Version)
	switch {
	case h.Type == wire.ZeroRTT && h.Version == n.original:
		return verdictOpen // RFC 9369, section 4.1: of the original version, whatever became of that
	case h.Type == wire.Handshake && mayChange:
		return verdictEarly // it has overtaken the Initial packet that tells of the change
	case h.Type != wire.Initial:
		return verdictSkip
	case h.Version == n.other && n.otherKeys != nil:
		return verdictOther
	case mayChange && c.readOther(h.Version) == nil:
		return verdictOther
	}
	return verdictSkip
}

// onOtherVersion is told of an authentic Initial packet of another version than that of the connection.
func (c *Conn) onOtherVersion(version uint32) *TransportError {
	// RFC 9369, section 4.1: "The client learns the negotiated version by observing the first long header Version field that differs from
	// the original version."
	if c.client && !c.hello.negotiation.settled {
		return c.changeVersion(version)
	}
	return nil
}

// settleVersion is told that a client has received a CRYPTO frame in an Initial packet. "If the client receives a CRYPTO frame from the
// server in the original version, it indicates that the negotiated version is equal to the original version."
func (c *Conn) settleVersion(version uint32) *TransportError {
	n := &c.hello.negotiation
	switch {
	case version != c.version:
		return transportError(ProtocolViolation, "CRYPTO in another version than the negotiated one")
	case !n.settled:
		n.settled = true
		n.release()
	}
	return nil
}

// changeVersion gives the connection another version, compatible with the one that it has had. What was sent in Initial packets is sent
// again as far as it is lost, and acknowledged, in the new one.
func (c *Conn) changeVersion(version uint32) *TransportError {
	err := c.readOther(c.version)
	if err == nil {
		err = c.keys.SetVersion(version)
	}
	if err == nil {
		err = c.keys.InstallInitial(version, c.hello.clientDst.Bytes(), c.client)
	}
	if err != nil {
		return &TransportError{Code: InternalError, Cause: err}
	}
	c.version, c.hello.negotiation.settled = version, true
	return nil
}

// installKeys puts a secret of TLS in place. 0-RTT packets are of the client's original version (RFC 9369, section 4.1).
func (c *Conn) installKeys(slot protect.Slot, suite protect.Suite, secret []byte, write bool) error {
	version := c.version
	if slot == protect.ZeroRTT {
		version = c.hello.negotiation.original
	}
	err := c.keys.SetVersion(version)
	switch {
	case err != nil:
	case write:
		err = c.keys.InstallWrite(slot, suite, secret)
	default:
		err = c.keys.InstallRead(slot, suite, secret)
	}
	return errors.Join(err, c.keys.SetVersion(c.version))
}

// longVersion is the version of our long headers of a slot.
func (c *Conn) longVersion(slot protect.Slot) uint32 {
	if slot == protect.ZeroRTT {
		return c.hello.negotiation.original // RFC 9369, section 4.1
	}
	return c.version
}

// negotiateVersion judges the peer's version_information (RFC 9368, section 4), and has a server choose the version and go on.
func (c *Conn) negotiateVersion(v wire.VersionInformation) *TransportError {
	if c.client {
		return c.checkServerVersion(v)
	}
	n := &c.hello.negotiation
	if v.Chosen != 0 {
		if v.Chosen != n.original {
			return versionError(fmt.Sprintf("the client says that it chose version 0x%x, and its packets are of version 0x%x", v.Chosen,
				n.original))
		}
		if best := firstOf(c.cfg.Versions, v.Available); best != 0 && best != c.version && !c.cfg.anyVersion && !c.tls.foreign {
			if err := c.changeVersion(best); err != nil {
				return err
			}
		}
	}
	if c.tls.foreign {
		return nil // our parameters were told
	}
	var room [maxVersions]uint32
	chosen := wire.VersionInformation{Chosen: c.version, Available: c.availableVersions(room[:])}
	n.params = chosen.Append(n.params)
	c.tls.conn.Negotiate(n.params, c.version, c.version != n.original)
	return nil
}

// checkServerVersion is the client's part of RFC 9368, section 4: nobody but the server has chosen the version.
func (c *Conn) checkServerVersion(v wire.VersionInformation) *TransportError {
	n := &c.hello.negotiation
	absent := v.Chosen == 0
	switch {
	case absent && n.refused != nil && c.version == Version1:
		v = wire.VersionInformation{Chosen: Version1, Available: []uint32{Version1}} // RFC 9368, section 8
	case absent && (n.refused != nil || c.version != n.original):
		return versionError("the server has negotiated the version and does not say so in version_information")
	case absent:
		return nil
	}
	switch {
	case v.Chosen != c.version:
		return versionError(fmt.Sprintf("the server says that it chose version 0x%x, and its packets are of version 0x%x", v.Chosen,
			c.version))
	case n.refused != nil && (len(v.Available) == 0 || firstOf(c.cfg.Versions, append(v.Available, v.Chosen)) != n.original):
		return versionError(fmt.Sprintf("a downgrade: the server speaks versions %#x, and a Version Negotiation packet said %#x",
			v.Available[:min(len(v.Available), maxOfferedVersions)], n.refused))
	}
	return nil
}

func versionError(reason string) *TransportError {
	return &TransportError{Code: VersionNegotiationCode, FrameType: wire.FrameCrypto, Reason: reason}
}

// firstOf returns the first version of a list that is in another, 0 if none is.
func firstOf(list, other []uint32) uint32 {
	for _, v := range list {
		if slices.Contains(other, v) {
			return v
		}
	}
	return 0
}

// beginAnew has a client whose version the server does not speak begin its connection again with one that it does speak (RFC 9368,
// section 2.1). Nothing is left of what came before but our own connection ID and the time that the handshake has had.
func (c *Conn) beginAnew(version uint32, offered []uint32) *TransportError {
	h := c.hello
	n := &h.negotiation
	n.release()
	n.refused, n.original, n.settled = offered, version, false
	c.version = version
	c.tls.release()
	if c.tls.foreign {
		if err := c.tls.conn.Restart(); err != nil {
			return &TransportError{Code: InternalError, Cause: err}
		}
	}
	c.loss.Restart(recovery.InitialSpace)
	c.sending.probes[recovery.InitialSpace] = 0
	h.spaces[recovery.InitialSpace] = packetSpace{}
	h.early, h.lacks, h.hastened = earlyPackets{}, false, 0
	// Token and session were of the other version (RFC 9369, section 5), and nobody has received the 0-RTT data.
	h.token = nil
	n.begin.Session, n.begin.EarlyData = nil, false
	if c.tls.early == EarlyOffered {
		if err := c.onEarlyVerdict(false); err != nil {
			return err
		}
	}
	if err := c.firstFlight(ConnID{}); err != nil {
		return &TransportError{Code: InternalError, Cause: err}
	}
	return nil
}
