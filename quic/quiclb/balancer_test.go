package quiclb_test

import (
	"errors"
	"hash/fnv"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/boringquic/boringquic/quic/quiclb"
)

// balancer gives each datagram of a client to the server that its connection ID leads to, or, where that leads to none, to one that the
// hash of the addresses chooses. It remembers nothing of connections. Between it and the servers datagrams have the client's address before
// them (a tunnel, as such balancers have), since the source address is what servers know clients by.
type balancer struct {
	front, back net.PacketConn // where clients send to, and servers

	mu      sync.Mutex
	decoder *quiclb.Decoder
	servers map[string]net.Addr     // by server ID
	counts  map[int]*balancerCounts // by client
}

// balancerCounts says what of a client's datagrams with short headers came.
type balancerCounts struct {
	all, unroutable int             // those of them that led nowhere
	byRotation      [8]int          // by the first three bits of the connection ID
	byServer        map[string]int  // by the server ID that they led to
	sources         map[string]bool // addresses
}

// run serves until the sockets are closed.
func (b *balancer) run() {
	var wg sync.WaitGroup
	wg.Go(func() {
		for buf := make([]byte, 1<<16); ; {
			n, from, err := b.front.ReadFrom(buf[tunnelLen:])
			if err != nil {
				return
			}
			if to := b.route(buf[tunnelLen:tunnelLen+n], from); to != nil {
				putAddr(buf, from)
				b.back.WriteTo(buf[:tunnelLen+n], to)
			}
		}
	})
	wg.Go(func() {
		for buf := make([]byte, 1<<16); ; {
			n, _, err := b.back.ReadFrom(buf)
			if err != nil {
				return
			}
			b.front.WriteTo(buf[tunnelLen:n], addrOf(buf))
		}
	})
	wg.Wait()
}

// route returns which server a datagram is for; nil: there are none.
func (b *balancer) route(d []byte, from net.Addr) net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	var room [20]byte
	id, ok := b.decoder.Datagram(room[:0], d)
	to := b.servers[string(id)]
	b.count(d, from, string(id), ok && to != nil)
	if ok && to != nil {
		return to
	}
	h := fnv.New64a()
	h.Write([]byte(from.String())) // the other three of the 4-tuple's parts are always the same
	if all := slices.Sorted(maps.Keys(b.servers)); len(all) > 0 {
		return b.servers[all[h.Sum64()%uint64(len(all))]]
	}
	return nil
}

func (b *balancer) count(d []byte, from net.Addr, serverID string, routable bool) {
	if len(d) < 2 || d[0]&0x80 != 0 {
		return
	}
	c := b.counts[clientOf(from)]
	if c == nil {
		c = &balancerCounts{byServer: make(map[string]int), sources: make(map[string]bool)}
		b.counts[clientOf(from)] = c
	}
	c.all++
	c.sources[from.String()] = true
	c.byRotation[d[1]>>5]++
	if routable {
		c.byServer[serverID]++
	} else {
		c.unroutable++
	}
}

// clientOf returns the number of a client, which all of its addresses end in.
func clientOf(a net.Addr) int {
	ip := a.(*net.UDPAddr).IP
	return int(ip[len(ip)-1])
}

// take returns a client's counts since the last call.
func (b *balancer) take(client int) balancerCounts {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.counts[client]
	delete(b.counts, client)
	if c == nil {
		return balancerCounts{}
	}
	return *c
}

// set says which server an ID leads to; nil: none.
func (b *balancer) set(serverID string, server net.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.servers, serverID)
	if server != nil {
		b.servers[serverID] = server
	}
}

func (b *balancer) learn(d *quiclb.Decoder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decoder = d
}

// tunnelLen is how long what precedes a datagram in the tunnel is: an address as 16 bytes, and a port.
const tunnelLen = 18

func putAddr(b []byte, a net.Addr) {
	ap := a.(*net.UDPAddr).AddrPort()
	ip := ap.Addr().As16()
	copy(b, ip[:])
	b[16], b[17] = byte(ap.Port()>>8), byte(ap.Port())
}

func addrOf(b []byte) net.Addr {
	ip := netip.AddrFrom16([16]byte(b[:16])).Unmap()
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(b[16])<<8|uint16(b[17])))
}

// tunnel is a server's end of the tunnel: to it, datagrams come from clients.
type tunnel struct {
	net.PacketConn
	balancer net.Addr
	dead     atomic.Bool // what is written is lost, as of a server that has crashed
}

func (t *tunnel) ReadFrom(p []byte) (int, net.Addr, error) {
	buf := make([]byte, tunnelLen+len(p))
	n, _, err := t.PacketConn.ReadFrom(buf)
	if err != nil {
		return 0, nil, err
	}
	return copy(p, buf[tunnelLen:n]), addrOf(buf), nil
}

func (t *tunnel) WriteTo(p []byte, to net.Addr) (int, error) {
	if t.dead.Load() {
		return len(p), nil
	}
	buf := make([]byte, tunnelLen, tunnelLen+len(p))
	putAddr(buf, to)
	_, err := t.PacketConn.WriteTo(append(buf, p...), t.balancer)
	return len(p), err
}

// nat is a client's socket whose address changes without the client's knowing.
type nat struct {
	net.PacketConn // the first, whose address the client believes it has

	mu  sync.Mutex
	now net.PacketConn
}

func newNAT(pc net.PacketConn) *nat { return &nat{PacketConn: pc, now: pc} }

func (n *nat) current() net.PacketConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

// rebind gives it another address.
func (n *nat) rebind(pc net.PacketConn) {
	n.mu.Lock()
	old := n.now
	n.now = pc
	n.mu.Unlock()
	old.Close()
}

func (n *nat) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		pc := n.current()
		size, from, err := pc.ReadFrom(p)
		if errors.Is(err, net.ErrClosed) && n.current() != pc {
			continue
		}
		return size, from, err
	}
}

func (n *nat) WriteTo(p []byte, to net.Addr) (int, error) { return n.current().WriteTo(p, to) }

func (n *nat) Close() error { return n.current().Close() }
