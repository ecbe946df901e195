package netem

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
)

// Relay is a network between sockets of the machine, in real time: clients send to its address, and what it carries goes on to a server from
// sockets that stand for the clients' addresses outside. ECN marks end here.
type Relay struct {
	n      *Network
	server netip.AddrPort
	front  *net.UDPConn // that clients send to
	done   sync.WaitGroup

	mu    sync.Mutex // taken after the network's
	outer map[netip.AddrPort]*net.UDPConn
	ended bool
}

// NewRelay returns a relay to a server on a loopback IPv4 address. New addresses of the link's NAT must be loopback addresses too, which
// those in the /24 of 127.0.0.1 are on Linux.
func NewRelay(seed uint64, l Link, server netip.AddrPort) (*Relay, error) {
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	r := &Relay{n: New(seed, l), server: server, front: front, outer: make(map[netip.AddrPort]*net.UDPConn)}
	r.n.any = [2]host{ToServer: toServer{r}, ToClient: toClient{r}}
	r.done.Go(func() {
		r.read(front, func(from netip.AddrPort, b []byte) {
			r.n.send(ClientSide, &Packet{Src: from, Dst: server, Data: b})
		})
	})
	return r, nil
}

// Addr returns the address that clients are to take for the server's.
func (r *Relay) Addr() netip.AddrPort { return r.front.LocalAddr().(*net.UDPAddr).AddrPort() }

// Network returns the network in between.
func (r *Relay) Network() *Network { return r.n }

// Close ends the relay.
func (r *Relay) Close() {
	r.n.Close()
	r.mu.Lock()
	r.ended = true
	r.front.Close()
	for _, c := range r.outer {
		c.Close()
	}
	r.mu.Unlock()
	r.done.Wait()
}

// read hands on what a socket receives until it is closed.
func (r *Relay) read(c *net.UDPConn, to func(from netip.AddrPort, b []byte)) {
	b := make([]byte, 64<<10)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			r.mu.Lock()
			ended := r.ended
			r.mu.Unlock()
			if ended {
				return
			}
			continue // such as that nobody listens at the other end
		}
		to(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), bytes.Clone(b[:n]))
	}
}

// toServer and toClient are the ends of the link.
type (
	toServer struct{ r *Relay }
	toClient struct{ r *Relay }
)

func (e toServer) receive(p *Packet) {
	r := e.r
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.outer[p.Src]
	if c == nil && !r.ended {
		var err error
		if c, err = net.DialUDP("udp4", &net.UDPAddr{IP: p.Src.Addr().AsSlice()}, net.UDPAddrFromAddrPort(r.server)); err != nil {
			return // as if it were lost
		}
		r.outer[p.Src] = c
		src := p.Src
		r.done.Go(func() {
			r.read(c, func(_ netip.AddrPort, b []byte) { r.n.send(ServerSide, &Packet{Src: r.server, Dst: src, Data: b}) })
		})
	}
	if c != nil {
		c.Write(p.Data)
	}
}

func (e toClient) receive(p *Packet) { e.r.front.WriteToUDPAddrPort(p.Data, p.Dst) }
