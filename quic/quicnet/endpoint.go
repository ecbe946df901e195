package quicnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// Endpoint is a UDP socket with the QUIC connections that run over it. All its methods are for any number of goroutines.
type Endpoint struct {
	sock   *udp.Socket
	local  netip.AddrPort
	listen bool
	sched  scheduler
	reader sync.WaitGroup

	free     sync.Mutex // guards outboxes
	outboxes []*outbox

	mu        sync.Mutex // guards what follows; taken after a Conn's, never before
	core      *quic.Endpoint
	conns     map[*Conn]struct{} // all that are not drained
	accepted  []*Conn            // handshake complete, not yet taken by Accept
	accepting waiter
	err       error         // why there are no new connections any more
	oneShot   bool          // made by Dial: to be closed when its connection is drained
	gone      chan struct{} // closed when nothing is left
}

// Listen accepts QUIC connections on a UDP address, which is as in net.ListenPacket: without a host, on all addresses of the
// machine. cfg.TLS must yield a certificate. The error of a port in use unwraps to that of package net.
func Listen(addr string, cfg *quic.Config) (*Endpoint, error) {
	if cfg == nil {
		return nil, errors.New("quicnet: Listen needs a Config")
	}
	sock, err := udp.Listen("udp", addr, udp.Options{})
	if err != nil {
		return nil, fmt.Errorf("quicnet: %w", err)
	}
	ep, err := NewEndpoint(sock, cfg)
	if err != nil {
		sock.Close()
	}
	return ep, err
}

// NewEndpoint runs QUIC on a socket that the caller has opened, and takes it over: Close closes it. With a nil cfg the endpoint
// dials only.
func NewEndpoint(sock *udp.Socket, cfg *quic.Config) (*Endpoint, error) {
	core, err := quic.NewEndpoint(cfg)
	if err != nil {
		return nil, err
	}
	ep := &Endpoint{
		sock: sock, local: sock.LocalAddr(), listen: cfg != nil, core: core, conns: make(map[*Conn]struct{}),
		gone: make(chan struct{}),
	}
	batch, room := recvBatch, sendRoom
	if cfg == nil {
		batch, room = recvBatchDial, trainRoom
	}
	ep.sched.init(ep)
	go ep.sched.run()
	in := ep.newInbox(batch, room)
	ep.reader.Add(1)
	go func() {
		defer ep.reader.Done()
		ep.onSocketEnd(in.read())
	}()
	return ep, nil
}

// adopt makes the Conn around one of the core's. ep.mu is held.
func (ep *Endpoint) adopt(core *quic.Conn, client bool) *Conn {
	c := &Conn{ep: ep, core: core, client: client, lastPart: -1, heapIndex: -1}
	c.heapAt.Store(never)
	c.wantAt.Store(never)
	core.SetUserData(c)
	ep.conns[c] = struct{}{}
	return c
}

// Addr returns the address that the endpoint's socket is bound to, a *net.UDPAddr.
func (ep *Endpoint) Addr() net.Addr { return net.UDPAddrFromAddrPort(ep.local) }

// Hint is one sentence for an administrator if the machine gives the socket less than it wants, and empty if not.
func (ep *Endpoint) Hint() string { return ep.sock.Hint() }

// Accept waits for a connection of a client whose handshake is complete. Up to 1024 of them wait to be accepted; further ones
// are refused. A connection may have been closed while it waited: its methods say so. The error is ctx's, net.ErrClosed
// after Close, or why the socket failed.
func (ep *Endpoint) Accept(ctx context.Context) (*Conn, error) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for {
		if ep.err != nil {
			ep.accepting.wake()
			return nil, ep.err
		}
		if !ep.listen {
			return nil, errors.New("quicnet: Accept on an endpoint that does not listen")
		}
		if len(ep.accepted) > 0 {
			c := ep.accepted[0]
			ep.accepted[0] = nil
			ep.accepted = ep.accepted[1:]
			if len(ep.accepted) > 0 {
				ep.accepting.wake()
			}
			return c, nil
		}
		if err := ep.accepting.waitContext(ctx, &ep.mu); err != nil {
			return nil, fmt.Errorf("quicnet: accept: %w", err)
		}
	}
}

// offer queues a connection for Accept; false if the queue is full.
func (ep *Endpoint) offer(c *Conn) bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if len(ep.accepted) == maxAcceptQueue {
		return false
	}
	ep.accepted = append(ep.accepted, c)
	ep.accepting.wake()
	return true
}

// handleEvent carries an event of a connection to the core's endpoint, and its reply back. c.mu is held.
func (ep *Endpoint) handleEvent(now time.Time, c *Conn, ev quic.EndpointEvent) {
	ep.mu.Lock()
	reply := ep.core.HandleEvent(c.core, ev)
	ep.mu.Unlock()
	c.core.HandleReply(now, reply)
}

// forget lets go of a connection that is drained. c.mu is held.
func (ep *Endpoint) forget(c *Conn) {
	ep.sched.forget(c)
	ep.mu.Lock()
	defer ep.mu.Unlock()
	delete(ep.conns, c)
	if ep.oneShot && len(ep.conns) == 0 {
		go ep.Close()
	}
}

// closeWhenUnused has the endpoint end with its last connection.
func (ep *Endpoint) closeWhenUnused() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.oneShot = true
	if len(ep.conns) == 0 {
		go ep.Close()
	}
}

// errEndpointClosed is what Accept and Dial return after Close.
var errEndpointClosed = fmt.Errorf("quicnet: the endpoint is closed: %w", net.ErrClosed)

// end has the endpoint take no new connections, and returns those that there are. false says that somebody else has.
func (ep *Endpoint) end(err error) ([]*Conn, bool) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.err != nil {
		return nil, false
	}
	ep.err = err
	ep.core.Refuse(true)
	ep.accepted = nil
	ep.accepting.wake()
	conns := make([]*Conn, 0, len(ep.conns))
	for c := range ep.conns {
		conns = append(conns, c)
	}
	return conns, true
}

// Close closes every connection with the application error code 0, has word of it sent to every peer, and closes the socket.
// Accept and Dial return net.ErrClosed from then on. It is always nil.
func (ep *Endpoint) Close() error {
	conns, first := ep.end(errEndpointClosed)
	if first {
		for _, c := range conns {
			c.CloseWithError(0, "")
		}
		ep.shutDown()
	}
	<-ep.gone
	return nil
}

// onSocketEnd ends the endpoint when its socket has: that is what Close wants, or a failure.
func (ep *Endpoint) onSocketEnd(err error) {
	if _, first := ep.end(fmt.Errorf("quicnet: the socket failed: %w", err)); first {
		go ep.shutDown()
	}
}

// shutDown stops everything and lets go of all connections. It runs once.
func (ep *Endpoint) shutDown() {
	ep.sock.Close()
	ep.sched.stop()
	ep.reader.Wait()
	ep.mu.Lock()
	conns := ep.conns
	ep.conns = make(map[*Conn]struct{})
	ep.mu.Unlock()
	for c := range conns {
		c.abandon()
	}
	close(ep.gone)
}
