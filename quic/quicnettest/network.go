package quicnettest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/quic/udp"
)

// Network is a network in memory. All its methods are for any number of goroutines.
type Network struct {
	seed uint64

	mu     sync.Mutex
	link   Link
	hosts  map[netip.AddrPort]*packetConn
	ways   map[[2]netip.AddrPort]*way
	opened int // addresses that the network has chosen
	down   map[netip.Addr]bool
}

// NewNetwork returns a network all of whose addresses are linked by link, in each direction. The same seed draws the same delays
// and losses for the same datagrams.
func NewNetwork(seed uint64, link Link) *Network {
	return &Network{
		seed: seed, link: link, hosts: make(map[netip.AddrPort]*packetConn), ways: make(map[[2]netip.AddrPort]*way),
		down: make(map[netip.Addr]bool),
	}
}

// SetLink changes what becomes of datagrams that are sent from now on. With Link{Loss: 1} all peers fall silent.
func (n *Network) SetLink(link Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link = link
}

// ListenPacket opens a net.PacketConn at an address of the network, "IP:PORT", or, with "", at one that nobody has. Port 0 stands for
// one that is free at that IP; the unspecified IPs are refused, since nobody could reach them. An address is free again when its net.PacketConn is closed. Addresses are *net.UDPAddr. Writes never wait, and fail only as SetDown says; what
// nobody listens for is lost, and so is what arrives while 4 MiB wait to be read. NewEndpoint runs QUIC on it.
func (n *Network) ListenPacket(addr string) (net.PacketConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var local netip.AddrPort
	if addr == "" {
		local = n.freeAddr()
	} else {
		asked, err := netip.ParseAddrPort(addr)
		if err == nil && asked.Addr().Unmap().IsUnspecified() {
			err = fmt.Errorf("%v is no address of one host", asked.Addr())
		}
		if err == nil {
			local, err = n.freePort(unmap(asked))
		}
		if err != nil {
			return nil, fmt.Errorf("quicnettest: listen: %w", err)
		}
	}
	if n.down[local.Addr()] {
		return nil, fmt.Errorf("quicnettest: listen: %v: %w", local, syscall.EADDRNOTAVAIL)
	}
	if n.hosts[local] != nil {
		return nil, fmt.Errorf("quicnettest: listen: address %v is in use", local)
	}
	c := &packetConn{network: n, local: local}
	c.change.L = &c.mu
	n.hosts[local] = c
	return c, nil
}

// OpenSocket opens a socket at an address of the network as ListenPacket does; the unspecified IPs stand for one that nobody has. It is
// for quicnet.ListenConfig.OpenSocket, so that a client in the network can use several addresses; NewEndpoint sees to it.
func (n *Network) OpenSocket(local string) (*udp.Socket, error) {
	if a, err := netip.ParseAddrPort(local); err == nil && a.Addr().IsUnspecified() {
		local = ""
	}
	pc, err := n.ListenPacket(local)
	if err != nil {
		return nil, err
	}
	return udp.New(pc, udp.Options{})
}

// SetDown takes an IP address away from whoever has it, as when a network interface is gone, or gives it back. While it is away what is
// sent from there fails with syscall.EADDRNOTAVAIL, which is also the error of ListenPacket, and what is sent to it is lost.
func (n *Network) SetDown(ip netip.Addr, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[ip.Unmap()] = down
}

// freeAddr chooses an address of those that are for documentation (RFC 5737). n.mu is held.
func (n *Network) freeAddr() netip.AddrPort {
	for {
		host := byte(n.opened%250 + 1)
		port := uint16(firstPort + n.opened/250%(1<<16-firstPort))
		n.opened++
		if a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), port); n.hosts[a] == nil && !n.down[a.Addr()] {
			return a
		}
	}
}

// firstPort is the first port that the network chooses.
const firstPort = 49152

// freePort chooses a port if a has none. n.mu is held.
func (n *Network) freePort(a netip.AddrPort) (netip.AddrPort, error) {
	if a.Port() != 0 {
		return a, nil
	}
	for port := firstPort; port <= 65535; port++ {
		if free := netip.AddrPortFrom(a.Addr(), uint16(port)); n.hosts[free] == nil {
			return free, nil
		}
	}
	return a, fmt.Errorf("%v has no free port", a.Addr())
}

// send carries a datagram.
func (n *Network) send(p []byte, from, to netip.AddrPort) error {
	now := time.Now()
	n.mu.Lock()
	if n.down[from.Addr()] {
		n.mu.Unlock()
		return syscall.EADDRNOTAVAIL
	}
	if n.down[to.Addr()] {
		n.mu.Unlock()
		return nil
	}
	arrivals, copies := n.way(from, to).pass(&n.link, now, len(p))
	host := n.hosts[to]
	n.mu.Unlock()
	if host == nil {
		return nil
	}
	for _, at := range arrivals[:copies] {
		host.expect(now, datagram{append([]byte(nil), p...), from, at})
	}
	return nil
}

// way returns the state of a direction. n.mu is held.
func (n *Network) way(from, to netip.AddrPort) *way {
	key := [2]netip.AddrPort{from, to}
	w := n.ways[key]
	if w == nil {
		h := fnv.New64a()
		for _, a := range key {
			b, _ := a.MarshalBinary()
			h.Write(binary.AppendUvarint(nil, uint64(len(b))))
			h.Write(b)
		}
		w = &way{dice: rand.New(rand.NewPCG(n.seed, h.Sum64()))}
		n.ways[key] = w
	}
	return w
}

// forget frees an address.
func (n *Network) forget(c *packetConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[c.local] == c {
		delete(n.hosts, c.local)
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
