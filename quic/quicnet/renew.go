package quicnet

import "time"

// RenewConnIDs has every connection give its peer other connection IDs for those that it has, made by quic.Config.ConnIDs as it makes
// them from now on (quic.Conn.RenewConnIDs): for a generator that has begun to make others, which the connections that there are are to use, too, such as
// that of package quiclb after Generator.Rotate. The old ones are good until the peer has answered. It costs each connection a packet or two, all
// at about the same time; with empty connection IDs nothing happens.
func (ep *Endpoint) RenewConnIDs() {
	for _, sh := range ep.shards {
		for _, c := range sh.alive() {
			c.renewConnIDs()
		}
	}
}

func (c *Conn) renewConnIDs() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.core.RenewConnIDs()
	c.handleEvents(time.Now())
	c.sendUnlocked()
}
