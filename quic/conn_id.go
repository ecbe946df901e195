package quic

import (
	"bytes"
	"crypto/subtle"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// localIDs are the connection IDs that we have given to the peer (RFC 9000, section 5.1.1).
type localIDs struct {
	first ConnID    // the Source Connection ID of our long headers
	asked bool      // the Endpoint is asked for more, and has not answered
	stale bool      // the peer is to be given others for all of them, as soon as it knows all
	limit uint8     // how many the peer takes, maxIssuedConnIDs at most
	ids   []localID // those in force, in the order of their sequence numbers
	next  uint64    // the sequence number after the last one issued

	retirePriorTo uint64 // those with lower numbers are to be retired by the peer

	late *lateID // the oldest of those that the peer has retired, nil: there is none
}

// lateID is a connection ID that the peer has retired. What it sent to it before may still be under way, and is behind the frame that says so where
// packets overtake each other: for three probe timeouts it leads to the connection. Else the Endpoint would answer with a stateless reset
// (RFC 9000, section 10.3) for a connection that is alive.
type lateID struct {
	seq   uint64
	id    ConnID
	until int64
	next  *lateID // retired after it
}

// len returns how many bytes each of them has.
func (l *localIDs) len() int { return l.first.Len() }

type localID struct {
	seq   uint64
	id    ConnID
	token [statelessResetTokenLen]byte
	tell  sentState // its NEW_CONNECTION_ID frame
	used  bool      // to a client: the server has sent to it
}

func (l *localIDs) init(id ConnID, token *[statelessResetTokenLen]byte) {
	l.first, l.next = id, 1
	l.ids = append(make([]localID, 0, maxIssuedConnIDs), localID{id: id, used: true})
	if token != nil {
		l.ids[0].token = *token
	}
}

// addPreferred adds the connection ID that the transport parameter preferred_address tells (RFC 9000, section 5.1.1).
func (l *localIDs) addPreferred(id *IssuedConnID) {
	l.ids = append(l.ids, localID{seq: 1, id: id.ID, token: id.ResetToken})
	l.next = 2
}

// setLimit takes the peer's active_connection_id_limit.
func (l *localIDs) setLimit(limit uint64) { l.limit = uint8(min(limit, maxIssuedConnIDs)) }

// count returns how many are in force and not to be retired.
func (l *localIDs) count() (n int) {
	for i := range l.ids {
		if l.ids[i].seq >= l.retirePriorTo {
			n++
		}
	}
	return n
}

// onUsed notes that the peer sends to one.
func (l *localIDs) onUsed(seq uint64) {
	if i := l.index(seq); i >= 0 {
		l.ids[i].used = true
	}
}

// useAll takes all IDs for used.
func (l *localIDs) useAll() {
	for i := range l.ids {
		l.ids[i].used = true
	}
}

// renew has the peer be given others for all that there are, if it uses every one and may not be reached to be told of it where it uses them:
// without one that it has not used it cannot send to where we go (RFC 9000, section 9.5). It tells whether that is so.
func (l *localIDs) renew() bool {
	if l.len() == 0 || l.asked || len(l.ids) > 0 && l.ids[0].seq < l.retirePriorTo {
		return false
	}
	for i := range l.ids {
		if !l.ids[i].used {
			return false
		}
	}
	l.retirePriorTo = l.next
	return true
}

// RenewConnIDs has the peer be given other connection IDs for all of ours that it has, made by Config.ConnIDs as it makes them from now
// on, and asked to retire those (RFC 9000, section 5.1.2), which go on until it has. It is for generators whose connection IDs must give way
// to others (package quiclb). During the handshake it happens at its end; and while the peer has not answered the time before, thereafter.
// With empty connection IDs nothing happens, nor without an Endpoint, where IDs are the caller's to issue (IssueConnID).
func (c *Conn) RenewConnIDs() {
	if c.state != stateActive || c.local.len() == 0 {
		return
	}
	c.local.stale = true
	c.renewStale()
}

// renewStale does what RenewConnIDs asked for, if it is time. The peer must know of all that there are: it says nothing of
// those that it never heard of, and they would stay for good.
func (c *Conn) renewStale() {
	l := &c.local
	if !l.stale || l.asked || !c.tls.complete || len(l.ids) == 0 || l.ids[0].seq < l.retirePriorTo {
		return
	}
	for i := range l.ids {
		if t := l.ids[i].tell; t != sentNone && t != sentAcked {
			return
		}
	}
	l.stale = false
	l.retirePriorTo = l.next
	c.requestConnIDs()
}

// find returns the sequence number of a connection ID of ours.
func (l *localIDs) find(id []byte) (seq uint64, ok bool) {
	for i := range l.ids {
		if bytes.Equal(l.ids[i].id.Bytes(), id) {
			return l.ids[i].seq, true
		}
	}
	for late := l.late; late != nil; late = late.next {
		if bytes.Equal(late.id.Bytes(), id) {
			return late.seq, true
		}
	}
	return 0, false
}

// lateTimer is when a connection ID has been retired for long enough, 0 if there is none.
func (l *localIDs) lateTimer() int64 {
	if l.late == nil {
		return 0
	}
	return l.late.until
}

// countLate returns how many connection IDs that the peer has retired still lead to the connection.
func (l *localIDs) countLate() (n int) {
	for late := l.late; late != nil; late = late.next {
		n++
	}
	return n
}

// dropLate forgets the connection IDs that were retired long enough ago.
func (c *Conn) dropLate(now int64) {
	for c.local.late != nil && c.local.late.until <= now {
		c.dropOldestLate()
	}
}

func (c *Conn) dropOldestLate() {
	c.events.pushEndpoint(EndpointEvent{Kind: RetireConnectionID, Seq: c.local.late.seq})
	c.local.late = c.local.late.next
}

// index returns where the connection ID with that sequence number is, -1 if it is gone.
func (l *localIDs) index(seq uint64) int {
	for i := range l.ids {
		if l.ids[i].seq == seq {
			return i
		}
	}
	return -1
}

// requestConnIDs asks the Endpoint for as many connection IDs as the peer takes. It asks once at a time: of several answers to what was
// asked before each other some would be too many, and what the Endpoint has issued would not be what the peer has.
func (c *Conn) requestConnIDs() {
	l := &c.local
	n := l.count()
	if l.len() == 0 || l.asked || n >= int(l.limit) {
		return
	}
	l.asked = true
	c.events.pushEndpoint(EndpointEvent{Kind: NeedConnectionIDs, Count: int(l.limit) - n})
}

// HandleReply takes an Endpoint's answer to an EndpointEvent.
func (c *Conn) HandleReply(_ time.Time, r EndpointReply) {
	if c.state != stateActive {
		return
	}
	before := c.local.next
	for _, id := range r.IDs {
		if c.local.count() >= int(c.local.limit) || id.Seq != c.local.next || id.ID.Len() != c.local.len() {
			continue // not what was asked for
		}
		c.local.next++
		issued := localID{seq: id.Seq, id: id.ID, token: id.ResetToken}
		issued.tell.set()
		c.local.ids = append(c.local.ids, issued)
	}
	if len(r.Token) > 0 {
		c.signals.setToken(r.Token)
	}
	if len(r.IDs) > 0 || r.none {
		c.local.asked = false
	}
	if c.local.next > before {
		c.requestConnIDs() // others may have been retired meanwhile
	}
	c.renewStale()
}

// handleRetireConnectionID acts on a RETIRE_CONNECTION_ID frame (RFC 9000, section 19.16). usedSeq is the
// connection ID that its packet was sent to.
func (c *Conn) handleRetireConnectionID(seq, usedSeq uint64) *TransportError {
	switch {
	case c.local.len() == 0:
		return transportError(ProtocolViolation, "RETIRE_CONNECTION_ID of a zero-length connection ID")
	case seq >= c.local.next:
		return transportError(ProtocolViolation, "RETIRE_CONNECTION_ID of a connection ID never issued")
	case seq == usedSeq:
		return transportError(ProtocolViolation, "RETIRE_CONNECTION_ID of the connection ID in use")
	}
	i := c.local.index(seq)
	if i < 0 {
		return nil
	}
	c.retireLocal(i)
	c.requestConnIDs()
	c.renewStale()
	return nil
}

// retireLocal has a connection ID of ours be a late one. Above the bound the oldest one goes.
func (c *Conn) retireLocal(i int) {
	l := &c.local
	late := &lateID{seq: l.ids[i].seq, id: l.ids[i].id, until: c.clock.now + 3*c.pto(c.path.rec)}
	l.ids = append(l.ids[:i], l.ids[i+1:]...)
	at := &l.late
	for ; *at != nil; at = &(*at).next {
		late.until = max(late.until, (*at).until) // they go in the order in which they came
	}
	*at = late
	if l.countLate() > maxLateConnIDs {
		c.dropOldestLate()
	}
}

// wantsSend tells whether a NEW_CONNECTION_ID frame is due.
func (l *localIDs) wantsSend() bool {
	for i := range l.ids {
		if l.ids[i].tell.due() {
			return true
		}
	}
	return false
}

// peerIDs are the connection IDs that the peer has given to us (RFC 9000, section 5.1.2).
type peerIDs struct {
	ids           []peerID   // those in force
	known         ranges.Set // sequence numbers ever received, from retirePriorTo on
	retirePriorTo uint64
	retiring      []retiredID // RETIRE_CONNECTION_ID frames that are not acknowledged
}

type peerID struct {
	seq      uint64
	id       ConnID
	token    [statelessResetTokenLen]byte
	hasToken bool
	used     bool // a path sends to it
}

type retiredID struct {
	seq  uint64
	tell sentState
}

// init begins with the connection ID of the handshake.
func (p *peerIDs) init(id ConnID) {
	if p.ids == nil {
		p.ids = make([]peerID, 0, usualConnIDLimit)
	}
	p.ids = append(p.ids[:0], peerID{id: id, used: true})
	p.known.Add(0, 1)
}

// setParams takes what a server's transport parameters say of connection IDs.
func (p *peerIDs) setParams(tp *wire.TransportParameters) {
	if tp.StatelessResetToken != nil {
		p.ids[0].token, p.ids[0].hasToken = *tp.StatelessResetToken, true
	}
	if a := tp.PreferredAddress; a != nil {
		// RFC 9000, section 5.1.1: the connection ID of preferred_address has sequence number 1.
		id, _ := MakeConnID(a.ConnID)
		p.ids = append(p.ids, peerID{seq: 1, id: id, token: a.StatelessResetToken, hasToken: true})
		p.known.Add(1, 2)
	}
}

func (p *peerIDs) find(seq uint64) *peerID {
	for i := range p.ids {
		if p.ids[i].seq == seq {
			return &p.ids[i]
		}
	}
	return nil
}

// unused returns a connection ID that no path sends to, nil if there is none.
func (p *peerIDs) unused() *peerID {
	for i := range p.ids {
		if !p.ids[i].used {
			return &p.ids[i]
		}
	}
	return nil
}

// handleNewConnectionID acts on a NEW_CONNECTION_ID frame (RFC 9000, section 19.15).
func (c *Conn) handleNewConnectionID(seq, retirePriorTo uint64, idBytes, token []byte) *TransportError {
	p := &c.peer
	if c.path.dcid.Len() == 0 {
		return transportError(ProtocolViolation, "NEW_CONNECTION_ID from a peer with a zero-length connection ID")
	}
	id, _ := MakeConnID(idBytes)
	fresh := peerID{seq: seq, id: id, token: [statelessResetTokenLen]byte(token), hasToken: true}
	for i := range p.ids {
		k := &p.ids[i]
		if k.seq == seq && (k.id != id || k.hasToken && k.token != fresh.token) || k.seq != seq && k.id == id {
			return transportError(ProtocolViolation, "NEW_CONNECTION_ID contradicts an earlier one")
		}
	}
	switch {
	case seq < p.retirePriorTo:
		// Section 19.15: retire at once what is below the peer's own mark.
		if p.retire(seq) {
			return c.checkRetiring()
		}
		return nil
	case !p.known.Contains(int64(seq)):
		p.known.Add(int64(seq), int64(seq)+1)
		p.ids = append(p.ids, fresh)
	}
	if retirePriorTo > p.retirePriorTo {
		if err := c.retireBelow(retirePriorTo); err != nil {
			return err
		}
	}
	if len(p.ids) > c.cfg.ActiveConnIDLimit || len(p.known) > c.maxRetiring() {
		return transportError(ConnectionIDLimitError, "more connection IDs than were allowed")
	}
	c.serveWaiting()
	return c.checkRetiring()
}

func (c *Conn) checkRetiring() *TransportError {
	if len(c.peer.retiring) > c.maxRetiring() {
		return transportError(ConnectionIDLimitError, "too many connection IDs to retire")
	}
	return nil
}

// maxRetiring is how many connection IDs of the peer's may be on their way to be retired.
func (c *Conn) maxRetiring() int { return retiredConnIDs * c.cfg.ActiveConnIDLimit }

// retire queues a RETIRE_CONNECTION_ID frame and tells whether there was none for seq.
func (p *peerIDs) retire(seq uint64) bool {
	for i := range p.retiring {
		if p.retiring[i].seq == seq {
			return false
		}
	}
	r := retiredID{seq: seq}
	r.tell.set()
	p.retiring = append(p.retiring, r)
	return true
}

// retireBelow retires the connection IDs with sequence numbers below limit, at a cost that depends on how many there are and
// not on limit. Paths that send to one of them take another.
func (c *Conn) retireBelow(limit uint64) *TransportError {
	p := &c.peer
	p.retirePriorTo = limit
	p.known.RemoveBelow(int64(limit))
	kept := p.ids[:0]
	var gone [maxConnIDLimit + 1]peerID
	n := 0
	for _, id := range p.ids {
		if id.seq >= limit || n == len(gone) {
			kept = append(kept, id)
			continue
		}
		gone[n] = id
		n++
	}
	p.ids = kept
	for _, id := range gone[:n] {
		p.retire(id.seq)
		c.forgetToken(&id)
	}
	return c.rebindPaths()
}

// rebindPaths gives each path whose connection ID was retired another one. A path for which there is none is forgotten, and
// without one for the path in use the connection is over.
func (c *Conn) rebindPaths() *TransportError {
	if c.peer.find(c.path.dcidSeq) == nil {
		id := c.peer.unused()
		if id == nil {
			return transportError(NoViablePath, "no connection ID is left to send to")
		}
		c.useID(c.path, id)
	}
	c.paths.rebind(c)
	return nil
}

// useID has a path send to a connection ID of the peer; its stateless reset token counts from now on (RFC 9000, section
// 10.3.1: only the tokens of connection IDs that were used).
func (c *Conn) useID(p *path, id *peerID) {
	p.dcid, p.dcidSeq = id.id, id.seq
	if !id.used {
		id.used = true
		c.tellToken(id)
	}
}

// dropID retires a connection ID that no path needs any more.
func (c *Conn) dropID(seq uint64) {
	p := &c.peer
	for i := range p.ids {
		if p.ids[i].seq == seq {
			id := p.ids[i]
			p.ids = append(p.ids[:i], p.ids[i+1:]...)
			p.retire(seq)
			c.forgetToken(&id)
			return
		}
	}
}

func (c *Conn) tellToken(id *peerID) {
	if id.hasToken {
		c.events.pushEndpoint(EndpointEvent{Kind: AddResetToken, Token: id.token})
	}
}

func (c *Conn) forgetToken(id *peerID) {
	if id.used && id.hasToken {
		c.events.pushEndpoint(EndpointEvent{Kind: RemoveResetToken, Token: id.token})
	}
}

// isReset tells whether a datagram that could not be opened is a stateless reset (RFC 9000, section 10.3.1): its last 16
// bytes are compared with every token in use, in constant time.
func (p *peerIDs) isReset(datagram []byte) bool {
	if len(datagram) < minStatelessReset {
		return false
	}
	tail := datagram[len(datagram)-statelessResetTokenLen:]
	match := 0
	for i := range p.ids {
		if p.ids[i].used && p.ids[i].hasToken {
			match |= subtle.ConstantTimeCompare(p.ids[i].token[:], tail)
		}
	}
	return match == 1
}

// minStatelessReset is the least that a stateless reset is long, in bytes (RFC 9000, section 10.3).
const minStatelessReset = 5 + statelessResetTokenLen

// wantsSend tells whether a RETIRE_CONNECTION_ID frame is due.
func (p *peerIDs) wantsSend() bool {
	for i := range p.retiring {
		if p.retiring[i].tell.due() {
			return true
		}
	}
	return false
}

func (p *peerIDs) onRetireAcked(seq uint64) {
	for i := range p.retiring {
		if p.retiring[i].seq == seq {
			p.retiring = append(p.retiring[:i], p.retiring[i+1:]...)
			return
		}
	}
}

func (p *peerIDs) onRetireLost(seq uint64) (again bool) {
	for i := range p.retiring {
		if p.retiring[i].seq == seq {
			return p.retiring[i].tell.onLost()
		}
	}
	return false
}
