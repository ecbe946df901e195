package quic

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// stray deals with a datagram that is for no connection: it makes one, or writes an answer of so many bytes to reply, or does
// neither. The datagram is the first one of t. Every answer is shorter than what it answers, so that nobody can use the
// endpoint to send more to somebody else than he sends himself.
func (e *Endpoint) stray(now time.Time, d []byte, t *Train, reply []byte) (c *Conn, n int) {
	if cap(reply) < replyRoom {
		reply = nil
	}
	if !wire.IsLongHeader(d[0]) {
		return nil, counted(e.statelessReset(now, d, reply), &e.counts.StatelessResets)
	}
	version, dst, src, m := wire.ConsumeInvariants(d)
	switch {
	case m < 0 || e.cfg == nil || version == versionNegotiation:
		return nil, 0
	case slices.Contains(e.cfg.Versions, version):
		return e.attempt(now, d, t, reply)
	}
	return nil, counted(e.negotiateVersion(d, dst, src, reply), &e.counts.VersionNegotiations)
}

// counted counts an answer of n bytes if there is one, and returns n.
func counted(n int, count *uint64) int {
	if n > 0 {
		*count++
	}
	return n
}

// negotiateVersion answers a version that we do not speak, if its datagram could have begun a connection (RFC 9000, sections
// 5.2.2 and 6.1).
func (e *Endpoint) negotiateVersion(d, dst, src, reply []byte) int {
	if len(d) < minDatagramSize || reply == nil || !e.random(e.room[:5]) {
		return 0
	}
	var room [4]uint32
	versions := append(room[:0], reservedVersion(binary.BigEndian.Uint32(e.room[:4])))
	versions = append(versions, e.cfg.Versions...)
	return len(wire.AppendVersionNegotiation(reply[:0], src, dst, versions, e.room[4]))
}

// statelessReset answers a short header packet of a connection that is not known (RFC 9000, section 10.3).
func (e *Endpoint) statelessReset(now time.Time, d, reply []byte) int {
	// With empty connection IDs there are no tokens; and what does not have the fixed bit is of no version of ours, unless we have
	// announced that it may be so (RFC 9287).
	if e.idLen <= 0 || reply == nil || len(d) < 1+e.idLen || !wire.HasFixedBit(d[0]) && !e.greases {
		return 0
	}
	if resetLen(len(d), 0) == 0 || !e.resets.bucket.take(now) || !e.random(e.room[:1]) {
		return 0
	}
	b := reply[:resetLen(len(d), e.room[0])]
	if !e.random(b) {
		return 0
	}
	b[0] = b[0]&0x3f | 0x40
	id, _ := MakeConnID(d[1 : 1+e.idLen])
	token := e.resets.token(&id)
	copy(b[len(b)-len(token):], token[:])
	return len(b)
}

// attempt deals with a packet of a version that we speak that is for no connection. It begins one if it is a client's first Initial packet
// (RFC 9000, section 5.2.2). Its QUIC bit may be 0 where we announce that we take that: a client that brings a token has been told (RFC 9287,
// section 3.1), and others may remember it with their session, as quinn's do.
func (e *Endpoint) attempt(now time.Time, d []byte, t *Train, reply []byte) (c *Conn, n int) {
	h, m := wire.ConsumeLongHeader(d)
	switch {
	case m < 0 || h.TooShortToOpen() || !wire.HasFixedBit(d[0]) && !e.greases:
		return nil, 0
	case h.Type == wire.ZeroRTT:
		e.keepEarly(now, d, t, &h)
		return nil, 0
	case h.Type != wire.Initial:
		return nil, 0
	case len(d) < minDatagramSize:
		return nil, 0 // section 14.1
	case e.idLen == 0 && e.remotes[t.Remote] != nil:
		return nil, 0 // nothing but the address would tell the two connections apart
	}
	dst, _ := MakeConnID(h.DstConnID)
	token := e.tokens.check(now, h.Version, h.Token, t.Remote, &dst)
	if dst.Len() < minInitialDCIDLen && token.kind != retryToken {
		return nil, 0 // section 7.2
	}
	switch {
	case token.kind == badRetryToken:
		// Section 8.1.3: the client will not take another Retry packet.
		return nil, counted(e.closeAttempt(d, &h, InvalidToken, reply), &e.counts.InvalidTokens)
	case e.refusing:
		return nil, e.refuse(d, &h, &dst, t.Remote, reply)
	case token.kind == noToken && (e.crowded() || e.demandsRetry(&dst, t.Remote)):
		return nil, counted(e.retry(now, t, &h, &dst, reply), &e.counts.Retries)
	case e.full():
		return nil, e.refuse(d, &h, &dst, t.Remote, reply)
	case !e.authentic(d, &h):
		return nil, 0
	}
	if c = e.accept(now, t, &h, dst, &token); c == nil {
		return nil, e.refuse(d, &h, &dst, t.Remote, reply)
	}
	e.counts.Accepted++
	return c, 0
}

// crowded tells whether so many handshakes are under way, or came to nothing lately, that another client has to prove its address: those
// who made theirs up take no more places then, and cost nothing (RFC 9000, sections 8.1.2 and 21.3).
func (e *Endpoint) crowded() bool {
	return retryAbove*(e.handshakes+e.failed+1) > e.cfg.MaxHandshakes
}

// full tells whether there is no place for another handshake. Where that is so the endpoint is crowded too, so that none but clients
// who have proved their address are refused for it.
func (e *Endpoint) full() bool {
	return e.handshakes >= e.cfg.MaxHandshakes || e.failed >= maxFailed*e.cfg.MaxHandshakes
}

// authentic tells whether a client's first Initial packet opens. A copy of it is opened, since opening destroys what Conn.Recv
// will need.
func (e *Endpoint) authentic(d []byte, h *wire.LongHeader) bool {
	if e.initial == nil || !e.initial.Live() { // for want of memory the last time
		e.initial = protect.NewKeys()
	}
	e.scratch = append(e.scratch[:0], d[:h.Len]...)
	return opensInitial(e.initial, e.scratch, h)
}

// accept makes the connection that a client asks for; nil if that fails.
func (e *Endpoint) accept(now time.Time, t *Train, h *wire.LongHeader, dst ConnID, token *tokenVerdict) *Conn {
	id, err := e.newID(e.cfg.ConnIDs, nil)
	if err != nil {
		return nil
	}
	p := AcceptParams{
		SrcConnID: id, ClientDstConnID: dst, OrigDstConnID: dst, AddressValidated: token.kind != noToken, Version: h.Version,
		Local: t.Local, Remote: t.Remote, TLS: e.serverTLS,
	}
	p.PeerConnID, _ = MakeConnID(h.SrcConnID)
	if token.kind == retryToken {
		p.Retried, p.RetrySrcConnID, p.OrigDstConnID = true, dst, token.origDst
	}
	if e.idLen > 0 {
		reset := e.resets.token(&id)
		p.ResetToken = &reset
	}
	if pref := &e.cfg.PreferredAddress; pref.isSet() && e.idLen > 0 && !pref.is(t.Local) {
		if p.Preferred = e.preferredID(&id); p.Preferred == nil {
			return nil
		}
	}
	if e.cfg.AcceptSSL != nil {
		if p.SSL = e.cfg.AcceptSSL(t.Local, t.Remote); p.SSL == 0 {
			return nil
		}
	}
	first := e.resets.firstFlight(&dst, t.Remote)
	p.early = e.takeEarly(now, first)
	p.initial, e.initial = e.initial, nil
	c, err := Accept(now, e.cfg, p)
	if err != nil {
		if p.initial != nil {
			p.initial.Release() // unless that was done
		}
		return nil
	}
	e.tokens.use(token)
	e.handshakes++
	e.register(c, &registration{
		cfg: e.cfg, first: first, remote: t.Remote, accepted: true, handshaking: true,
	}, id, p.Preferred)
	return c
}

// preferredID makes the connection ID that goes with the preferred address, beside the first one; nil if that fails.
func (e *Endpoint) preferredID(first *ConnID) *IssuedConnID {
	for range maxIDTries {
		id, err := e.newID(e.cfg.ConnIDs, nil)
		if err != nil {
			return nil
		}
		if id != *first {
			return &IssuedConnID{ID: id, Seq: 1, ResetToken: e.resets.token(&id)}
		}
	}
	return nil
}

// retry answers an Initial packet with a Retry packet (RFC 9000, section 17.2.5), and keeps nothing of it. There is no need to
// know that the packet opens: the answer costs less than that, and a client of whom it was not discards it.
func (e *Endpoint) retry(now time.Time, t *Train, h *wire.LongHeader, dst *ConnID, reply []byte) int {
	id, err := e.retryID()
	if err != nil || reply == nil || id == *dst {
		return 0
	}
	token := e.tokens.makeRetry(now, h.Version, t.Remote, dst, &id)
	if token == nil || !e.random(e.room[:1]) {
		return 0
	}
	b, err := AppendRetry(reply[:0], h.Version, dst.Bytes(), h.SrcConnID, id, token, e.room[0])
	if err != nil {
		return 0
	}
	return len(b)
}

// retryID makes the connection ID of a Retry packet. It is not empty, since the token is bound to it, nor short: before the client comes back with
// it such a one may be another connection's.
func (e *Endpoint) retryID() (ConnID, error) {
	if e.idLen <= maxShortConnIDLen {
		return e.newID(RandomConnIDs(minInitialDCIDLen), nil)
	}
	return e.newID(e.cfg.ConnIDs, nil)
}

// closeAttempt answers a client's first Initial packet, if it opens, with one that says why there will be no connection, and
// keeps nothing of it.
func (e *Endpoint) closeAttempt(d []byte, h *wire.LongHeader, code TransportErrorCode, reply []byte) int {
	if reply == nil || !e.authentic(d, h) {
		return 0
	}
	id, err := e.anyID(e.cfg.ConnIDs) // no packet will come to it
	if err != nil {
		return 0
	}
	const pnLen = 4
	b, lengthOff, pnOff := wire.AppendLongHeader(reply[:0], wire.Initial, h.Version, h.SrcConnID, id.Bytes(), nil, 0, pnLen)
	b = wire.AppendConnectionClose(b, wire.ConnectionClose{Code: uint64(code)})
	var tag [protect.Overhead]byte
	b = append(b, tag[:]...)
	wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff))
	seal := [1]protect.SealDesc{{
		Len: uint32(len(b)), PNOff: uint16(pnOff), PNLen: pnLen, Slot: protect.Initial,
	}}
	if !e.initial.Seal(b, seal[:]) {
		return 0
	}
	return len(b)
}
