package quicnet

import (
	"time"

	"github.com/boringquic/boringquic/quic/udp"
)

// onSendError is told of a train that could not be sent, or not all of it: t.Err says why. The caller has the right to send for the
// connection, and holds no lock. What was in it is lost, as it could be on the network.
func (c *Conn) onSendError(now time.Time, t *udp.Train) {}
