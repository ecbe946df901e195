package udp

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

const (
	// refusedToGiveUp is to how many addresses trains must be refused, and none ever sent, for the socket to give up GSO.
	refusedToGiveUp = 4

	// maxRefused is how many addresses are kept to which trains are refused; when there are more they are found out anew.
	maxRefused = 256
)

// gso is what is known of the kernel's ability to send trains in one message. It is a matter of the route: of the device that it leads to,
// and of IPsec, which does not go together with it. So one address to which trains are refused says nothing of others.
type gso struct {
	on     atomic.Bool // for the socket
	worked atomic.Bool // a train was sent
	some   atomic.Bool // there are refused addresses

	mu      sync.Mutex
	refused map[netip.Addr]struct{}
}

// allows tells whether a train to an address may leave in one message.
func (g *gso) allows(to netip.Addr) bool {
	if !g.some.Load() {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, refused := g.refused[to]
	return !refused
}

// onRefused takes note that the kernel does not send trains to an address.
func (g *gso) onRefused(to netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused == nil || len(g.refused) >= maxRefused {
		g.refused = make(map[netip.Addr]struct{})
	}
	g.refused[to] = struct{}{}
	g.some.Store(true)
	if len(g.refused) >= refusedToGiveUp && !g.worked.Load() {
		g.on.Store(false)
	}
}

// onSent takes note of messages that were sent.
func (g *gso) onSent(parts []part) {
	if g.worked.Load() {
		return
	}
	for i := range parts {
		if parts[i].gso {
			g.worked.Store(true)
			return
		}
	}
}
