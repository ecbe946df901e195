package quic

import "time"

// ReplayStore tells which 0-RTT data is fresh (Config.EarlyReplay). Fresh is called for each ClientHello that comes with 0-RTT data that a
// server would accept, by any goroutine: id stands for the ClientHello. It notes id, and returns true if it was not noted before and
// must not be forgotten before expires. False, or an error, has the 0-RTT data rejected, and the connection go on without.
type ReplayStore interface {
	Fresh(id [32]byte, expires time.Time) (bool, error)
}

// EarlyDataState is how far a connection has come with 0-RTT data (RFC 9001, section 4.6).
type EarlyDataState uint8

// The states of 0-RTT data.
const (
	EarlyNone     EarlyDataState = iota // none was offered
	EarlyOffered                        // a client may send it, and does not know what the server says
	EarlyAccepted                       // the server has accepted it
	EarlyRejected                       // the server has not, or will not
)

// String returns the state in a word.
func (s EarlyDataState) String() string {
	return [...]string{"none", "offered", "accepted", "rejected"}[s&3]
}

// EarlyData returns how far the connection has come with 0-RTT data. It stays when the connection is over.
func (c *Conn) EarlyData() EarlyDataState { return c.tls.early }
