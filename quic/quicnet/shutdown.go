package quicnet

import (
	"context"
	"fmt"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Refuse has the endpoint refuse new clients from now on, with CONNECTION_REFUSED. Connections that there are do not notice, those
// whose handshake is under way included: Accept returns them. It is for a server that is about to end and for one behind a balancer
// that is to send no more clients.
func (ep *Endpoint) Refuse() {
	for _, sh := range ep.shards {
		sh.mu.Lock()
		sh.core.Refuse(true)
		sh.mu.Unlock()
	}
}

// WaitHandshakes waits until no handshake is under way. From Refuse on none begins, so that ListenConfig.Protocol has been asked for every
// connection that there will be when it returns nil; else the error is that of ctx. Handshakes end after quic.Config.HandshakeTimeout
// at the latest; and a client that has not shown within a second that it receives at its address (RFC 9000, section 8.1), as somebody who has
// made that up never does, is refused.
func (ep *Endpoint) WaitHandshakes(ctx context.Context) error {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	defer ep.settled.wake() // it is so for all
	ep.settling.Store(true)
	unproven := time.AfterFunc(unprovenWait, ep.refuseUnproven)
	defer unproven.Stop()
	for ep.counts.handshaking.Load() > 0 {
		if err := ep.settled.waitContext(ctx, &ep.mu); err != nil {
			return fmt.Errorf("quicnet: handshakes: %w", err)
		}
	}
	return nil
}

// unprovenWait is how long WaitHandshakes waits for clients to answer what they were sent: a round trip, and some loss.
const unprovenWait = time.Second

func (ep *Endpoint) refuseUnproven() {
	for _, sh := range ep.shards {
		for _, c := range sh.alive() {
			c.mu.Lock()
			if c.client || c.closed || c.core.AddressValidated() {
				c.mu.Unlock()
				continue
			}
			c.refuse(shuttingDown)
		}
	}
}

// Shutdown ends an endpoint without breaking anything off: it takes no new connections and waits until those that there are have been
// closed, by either side or by their idle timeout. Then it closes the endpoint as Close does. If ctx ends first, the endpoint is closed
// at once, with all connections, and the error is that of ctx.
//
// From the beginning of Shutdown on Accept and Dial return net.ErrClosed, and connections that nobody has accepted yet are refused
// with CONNECTION_REFUSED, so that their clients try elsewhere. QUIC has no way to tell a peer that it should come to an end:
// whoever serves the connections has them closed when their work is done, by a message of the application protocol or by
// Conn.CloseGracefully; a Protocol that is a Drainer is asked to do that. A program that exits after Shutdown loses nothing that it has to send; goroutines that still read what peers
// sent before they closed their connections it waits for itself.
func (ep *Endpoint) Shutdown(ctx context.Context) error {
	for _, sh := range ep.shards {
		sh.refuse(errEndpointClosed)
	}
	ep.mu.Lock()
	ep.draining.Store(true)
	waiting := ep.accepted.clear()
	ep.accepting.wake()
	ep.mu.Unlock()
	for _, c := range waiting {
		c.mu.Lock()
		c.refuse(shuttingDown)
	}
	for _, sh := range ep.shards {
		for _, c := range sh.alive() {
			c.drain()
		}
	}
	err := ep.waitIdle(ctx)
	ep.Close()
	return err
}

// shuttingDown is what clients are told that nobody will accept.
const shuttingDown = "the server shuts down"

// waitIdle waits until no connection is open.
func (ep *Endpoint) waitIdle(ctx context.Context) error {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	defer ep.idle.wake() // it is so for all
	for ep.counts.handshaking.Load()+ep.counts.established.Load() > 0 {
		if err := ep.idle.waitContext(ctx, &ep.mu); err != nil {
			return fmt.Errorf("quicnet: shutdown: %w", err)
		}
	}
	return nil
}

// refuse has the shard take no new connections.
func (sh *shard) refuse(err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.core.Refuse(true)
	if sh.err == nil {
		sh.err = err
	}
}

// refuse closes a connection that nobody will accept, and tells the peer. c.mu is held, and not any more when it returns.
func (c *Conn) refuse(reason string) {
	now := time.Now()
	if !c.closed {
		c.shard.ep.counts.refused.Add(1)
	}
	c.core.Close(now, false, uint64(quic.ConnectionRefused), reason)
	c.handleEvents(now)
	claimed := c.claim()
	c.mu.Unlock()
	if claimed {
		c.flush()
	}
}
