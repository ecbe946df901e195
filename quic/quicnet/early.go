package quicnet

import (
	"github.com/boringquic/boringquic/quic"
)

// EarlyData returns what became of early data (0-RTT): at a client quic.EarlyOffered until the server has said; quic.EarlyNone if there
// was none, as where no session allowed it. It stays when the connection is over.
func (c *Conn) EarlyData() quic.EarlyDataState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.EarlyData()
}

// Session returns the session that a client has offered to resume, with what the application has stored in it; nil if it had none.
// Whether the server has resumed it tells tls.ConnectionState.DidResume, once the handshake is complete.
func (c *Conn) Session() *quic.Session {
	if c.resume == nil {
		return nil
	}
	return c.resume.offered
}

// onEarlyRejected ends all streams: the core has forgotten them since the server has rejected early data, and nothing is sent again. IDs
// begin anew. c.mu is held.
func (c *Conn) onEarlyRejected() (woke bool) {
	for id, s := range c.streams {
		delete(c.streams, id)
		s.rejected = true
		if s.receives() {
			s.recv.end(quic.ErrEarlyDataRejected)
		}
		s.cutEnd(quic.ErrEarlyDataRejected)
		s.send.end(quic.ErrEarlyDataRejected)
		s.settle()
		woke = true
	}
	for typ := range c.opening {
		woke = c.opening[typ].wake() || woke
	}
	return c.datagramOut.wake() || woke
}
