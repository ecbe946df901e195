package quic

import "errors"

// Connection IDs for those who do without an Endpoint: they give the peer IDs that they route themselves, and may be done with the peer's.

var (
	// ErrConnIDLimit: the peer has, or is to retire, as many connection IDs as there may be (RFC 9000, section 5.1.1). A later call will do, when
	// EventEndpoint has told with RetireConnectionID that it is done with one.
	ErrConnIDLimit = errors.New("quic: the peer has as many connection IDs as it may have")

	errConnIDLen     = errors.New("quic: all connection IDs that a peer is given have the length of the first, and are none if that is empty")
	errConnIDKnown   = errors.New("quic: the peer has that connection ID already")
	errConnIDUnknown = errors.New("quic: the peer has given no connection ID of that number, or it is retired")
)

// IssueConnID gives the peer another connection ID of ours (NEW_CONNECTION_ID, RFC 9000, section 19.15), and returns its sequence number. It
// must have the length of the first one, which is not 0. What comes to it is to be given to Recv from now on, until EventEndpoint tells, by
// RetireConnectionID with the number, that the peer is done with it. token is its stateless reset token (section 10.3), which
// nobody else can guess.
//
// The peer has three at most, or what it has announced if that is less: ErrConnIDLimit tells that it has them, or that the handshake is not
// complete. With retire it is then asked to retire the oldest one for this one (section 5.1.2); it does so as soon as it hears of that, and no more
// than four are waited for.
//
// It is for connections without an Endpoint, which issues IDs when EventEndpoint asks for them.
func (c *Conn) IssueConnID(id ConnID, token [statelessResetTokenLen]byte, retire bool) (seq uint64, err error) {
	l := &c.local
	switch _, known := l.find(id.Bytes()); {
	case c.err != nil:
		return 0, c.err
	case l.len() == 0 || id.Len() != l.len():
		return 0, errConnIDLen
	case known:
		return 0, errConnIDKnown
	case !c.tls.complete || l.count() >= int(l.limit) && !retire || len(l.ids) > 2*maxIssuedConnIDs:
		return 0, ErrConnIDLimit
	}
	if l.count() >= int(l.limit) {
		for i := range l.ids {
			if l.ids[i].seq >= l.retirePriorTo {
				l.retirePriorTo = l.ids[i].seq + 1
				break
			}
		}
	}
	issued := localID{seq: l.next, id: id, token: token}
	issued.tell.set()
	l.ids = append(l.ids, issued)
	l.next++
	return issued.seq, nil
}

// ConnIDsLeft returns how many more connection IDs IssueConnID gives the peer without having it retire any.
func (c *Conn) ConnIDsLeft() int {
	l := &c.local
	if n := l.count(); c.err == nil && c.tls.complete && l.len() > 0 && n < int(l.limit) {
		return int(l.limit) - n
	}
	return 0
}

// SpareDestinationIDs returns how many connection IDs of the peer's are there that no path has used (RFC 9000, section 9.5).
func (c *Conn) SpareDestinationIDs() (n int) {
	for i := range c.peer.ids {
		if !c.peer.ids[i].used {
			n++
		}
	}
	return n
}

// RetireDestinationID is done with the connection ID of the peer's that has that sequence number (RETIRE_CONNECTION_ID, RFC 9000, section
// 19.16). Paths that send to it take another one. The error is ErrNoConnIDs if the path in use would have none, ErrConnIDLimit if too many are
// being retired, or says that there is none of that number. Connections retire by themselves what they do not need any more.
func (c *Conn) RetireDestinationID(seq uint64) error {
	switch id := c.peer.find(seq); {
	case c.err != nil:
		return c.err
	case id == nil || !c.tls.complete || c.path.dcid.Len() == 0:
		return errConnIDUnknown
	case c.path.dcidSeq == seq && c.peer.unused() == nil:
		return ErrNoConnIDs
	case len(c.peer.retiring) >= c.maxRetiring():
		return ErrConnIDLimit
	}
	c.dropID(seq)
	c.rebindPaths() // there is one for the path in use
	c.sweepPaths()
	return nil
}
