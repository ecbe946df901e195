package quicnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// Endpoint is a UDP socket, or several that share an address or are at a server's preferred addresses, with the QUIC connections that run over it. All its methods are for
// any number of goroutines.
type Endpoint struct {
	shards   []*shard
	steering *steering // nil: there is one shard
	local    netip.AddrPort
	listen   bool
	dialled  atomic.Uint32 // the shards take turns
	draining atomic.Bool   // set under mu: Shutdown was called
	settling atomic.Bool   // set under mu: WaitHandshakes was called
	counts   endpointCounts
	reports  reporter
	open     func(local string) (*udp.Socket, error) // ListenConfig.OpenSocket
	options  udp.Options
	onPath   func(*Conn, quic.PathEvent)
	protocol func(*Turn) Protocol // ListenConfig.Protocol

	mu        monitor // guards what follows; taken after a Conn's, never before
	accepted  acceptQueue
	accepting waiter
	idle      waiter        // for no connection to be open
	settled   waiter        // for no handshake to be under way
	err       error         // why there are no new connections any more
	gone      chan struct{} // closed when nothing is left
}

// Listen accepts QUIC connections on a UDP address, which is as in net.ListenPacket: without a host, on all addresses of the
// machine. cfg.TLS must yield a certificate. The error of a port in use unwraps to that of package net. It is the method of a
// zero ListenConfig.
func Listen(addr string, cfg *quic.Config) (*Endpoint, error) {
	return ListenConfig{}.Listen(addr, cfg)
}

// NewEndpoint runs QUIC on a socket that the caller has opened, and takes it over: Close closes it; what udp.New made of a net.PacketConn
// with udp.Options.KeepOpen, others can use then. With a nil cfg the endpoint
// dials only. The socket can be made of any net.PacketConn, by udp.New.
func NewEndpoint(sock *udp.Socket, cfg *quic.Config) (*Endpoint, error) {
	return ListenConfig{}.NewEndpoint(sock, cfg)
}

// NewEndpoint is the function NewEndpoint with what lc says beside Shards and Socket. With OpenSocket it listens on
// the addresses of quic.Config.PreferredAddress, too; without, whoever announces them sees to it that what is sent there comes to sock.
func (lc ListenConfig) NewEndpoint(sock *udp.Socket, cfg *quic.Config) (*Endpoint, error) {
	groups := [][]*udp.Socket{{sock}}
	var err error
	if lc.OpenSocket != nil {
		for _, a := range preferredBeside(sock.LocalAddr(), cfg) {
			var s *udp.Socket
			if s, err = lc.OpenSocket(a.String()); err != nil {
				err = preferredError(a, err)
				break
			}
			groups = append(groups, []*udp.Socket{s})
		}
	}
	var ep *Endpoint
	if err == nil {
		ep, err = lc.runOne(groups, cfg)
	}
	if err != nil {
		for _, group := range groups[1:] {
			group[0].Close()
		}
		return nil, err
	}
	return ep, nil
}

// newEndpoint returns an endpoint that does not run yet. There is a group of sockets for each address, the endpoint's first, of one
// socket for each shard.
func (lc ListenConfig) newEndpoint(groups [][]*udp.Socket, cfg *quic.Config) *Endpoint {
	ep := &Endpoint{local: groups[0][0].LocalAddr(), listen: cfg != nil, gone: make(chan struct{})}
	ep.mu.channels = newChannels()
	ep.reports.logger, ep.reports.onError = lc.Logger, lc.OnHandshakeError
	ep.open, ep.options, ep.onPath, ep.protocol = lc.OpenSocket, lc.Socket, lc.OnPath, lc.Protocol
	for i := range groups[0] {
		socks := make([]*udp.Socket, len(groups))
		for j, group := range groups {
			socks[j] = group[i]
		}
		ep.shards = append(ep.shards, newShard(ep, socks))
	}
	return ep
}

// start has each shard run, with a core of its own.
func (ep *Endpoint) start(cores []*quic.Endpoint) {
	for i, sh := range ep.shards {
		sh.core = cores[i]
	}
	for _, sh := range ep.shards { // not before all of them have their core, since they call each other
		sh.start()
	}
}

// Addr returns the address that the endpoint is bound to, a *net.UDPAddr.
func (ep *Endpoint) Addr() net.Addr { return net.UDPAddrFromAddrPort(ep.local) }

// Hint is one sentence for an administrator if the machine gives a socket less than it wants, and empty if not.
func (ep *Endpoint) Hint() string { return ep.shards[0].sock.Hint() }

// Accept waits for a connection of a client whose handshake is complete; with quic.Config.EarlyData, of one that has sent early data which was
// accepted, too (Conn.Handshake waits for the rest). Up to 1024 of them wait to be accepted; further ones
// are refused. Those that are closed meanwhile make way: at once if nothing of theirs is left to be read, else when their place is
// wanted; so a connection may be closed when it is accepted, and what it has sent can be read all the same. The error is ctx's,
// net.ErrClosed after Close and from the beginning of Shutdown on, or why the socket failed.
func (ep *Endpoint) Accept(ctx context.Context) (*Conn, error) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for {
		if ep.err != nil {
			ep.accepting.wake()
			return nil, ep.err
		}
		if ep.draining.Load() {
			ep.accepting.wake()
			return nil, errEndpointClosed
		}
		if !ep.listen {
			return nil, errors.New("quicnet: Accept on an endpoint that does not listen")
		}
		if c := ep.accepted.pop(); c != nil {
			ep.accepting.wake() // there may be more
			return c, nil
		}
		if err := ep.accepting.waitContext(ctx, &ep.mu); err != nil {
			return nil, fmt.Errorf("quicnet: accept: %w", err)
		}
	}
}

// offer queues a connection for Accept; false if the queue is full, or nobody accepts any more.
func (ep *Endpoint) offer(c *Conn) bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.draining.Load() || !ep.accepted.push(c) {
		return false
	}
	ep.accepting.wake()
	return true
}

// onClosed tells the queue of a connection that is closed. c.mu is held.
func (ep *Endpoint) onClosed(c *Conn) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.accepted.onClosed(c, c.hasUnread())
}

// errEndpointClosed is what Accept and Dial return after Close.
var errEndpointClosed = fmt.Errorf("quicnet: the endpoint is closed: %w", net.ErrClosed)

// end has the endpoint take no new connections, and returns those that there are. false says that somebody else has.
func (ep *Endpoint) end(err error) (conns []*Conn, first bool) {
	ep.mu.Lock()
	first = ep.err == nil
	if first {
		ep.err = err
		ep.accepted.clear()
		ep.accepting.wake()
	}
	ep.mu.Unlock()
	if !first {
		return nil, false
	}
	for _, sh := range ep.shards {
		conns = append(conns, sh.end(err)...)
	}
	return conns, true
}

// Close closes every connection with the application error code 0, has word of it sent to every peer, and closes the socket. What the
// connections were about is broken off: Shutdown waits for it. What had arrived on a connection that its peer has closed stays to be
// read. Accept and Dial return net.ErrClosed from then on. It is always nil.
func (ep *Endpoint) Close() error {
	conns, first := ep.end(errEndpointClosed)
	if first {
		for _, c := range conns {
			c.close(0, "", true)
		}
		ep.shutDown()
	}
	<-ep.gone
	return nil
}

// onSocketEnd ends the endpoint when a socket has: that is what Close wants, or a failure.
func (ep *Endpoint) onSocketEnd(local netip.AddrPort, err error) {
	if _, first := ep.end(fmt.Errorf("quicnet: the socket failed: %w", err)); first {
		if l := ep.reports.logger; l != nil {
			l.Error("quicnet: the socket failed", "local", local.String(), "err", err)
		}
		go ep.shutDown()
	}
}

// shutDown stops everything and lets go of all connections. It runs once.
func (ep *Endpoint) shutDown() {
	for _, sh := range ep.shards {
		sh.shutDown()
	}
	close(ep.gone)
}

// SetTicketKeys replaces the keys of session tickets (quic.Config.TicketKeys) of an endpoint that listens, the newest first; with none, by
// random ones that are replaced every day. Connections do not notice, and clients whose tickets no key fits any more make a full
// handshake. The error says that there are too many keys, or that the endpoint does not listen, and then nothing was done.
func (ep *Endpoint) SetTicketKeys(keys [][32]byte) error {
	return ep.shards[0].core.SetTicketKeys(keys) // which siblings share
}
