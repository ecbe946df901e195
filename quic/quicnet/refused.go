package quicnet

import (
	"errors"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/quic/udp"
)

// onNetErrors tells connections what the network has said of datagrams that were sent: only that nobody listens on a port is of use to
// them. It does not say which connection sent the datagram; they know by how it began.
func (sh *shard) onNetErrors(all []udp.NetError) {
	refused := all[:0]
	for _, e := range all {
		if errors.Is(e.Err, syscall.ECONNREFUSED) {
			refused = append(refused, e)
		}
	}
	if len(refused) == 0 {
		return
	}
	sh.mu.Lock()
	conns := make([]*Conn, 0, len(sh.conns))
	for c := range sh.conns {
		conns = append(conns, c)
	}
	sh.mu.Unlock()
	for _, c := range conns {
		c.onRefused(refused)
	}
}

func (c *Conn) onRefused(refused []udp.NetError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, e := range refused {
		c.guarded(now, func() { c.core.HandleRefusal(now, e.Remote, e.Quote, e.Err) })
	}
	c.handleEvents(now)
}
