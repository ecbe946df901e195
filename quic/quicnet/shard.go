package quicnet

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// shard is a socket of an endpoint with all that serves it: one goroutine that reads, one that keeps the timers, and the core's
// Endpoint that knows the connections. It may have further sockets, at other addresses, each with a goroutine that reads it.
type shard struct {
	ep      *Endpoint
	sock    *udp.Socket // of first
	first   *socket
	sockets atomic.Pointer[socketSet] // all of them; nil: there is only the first. Stored under mu
	sched   scheduler
	workers workers

	reader    sync.WaitGroup // of those that read sockets
	receiving sync.Mutex     // held while connections are given what arrived; taken before all other locks

	free     sync.Mutex // guards outboxes
	outboxes []*outbox

	mu      sync.Mutex // guards what follows; taken after a Conn's, never before
	core    *quic.Endpoint
	conns   map[*Conn]struct{} // all that are not drained
	err     error              // why there are no new connections any more
	oneShot bool               // made by Dial: the endpoint is to be closed when its connection is drained
	ended   bool               // no sockets may be added any more
	past    udp.Stats          // of sockets that were closed
}

// newShard returns a shard that does not run yet. Of its sockets the first is at the endpoint's address.
func newShard(ep *Endpoint, socks []*udp.Socket) *shard {
	sh := &shard{ep: ep, sock: socks[0], conns: make(map[*Conn]struct{})}
	sh.first = &socket{shard: sh, sock: sh.sock, local: sh.sock.LocalAddr(), kept: true}
	for _, sock := range socks[1:] {
		sh.add(sock, true)
	}
	sh.sched.init(sh)
	return sh
}

// start begins to serve the sockets.
func (sh *shard) start() {
	go sh.sched.run()
	for _, s := range sh.all() {
		s.start()
	}
}

// adopt makes the Conn around one of the core's. sh.mu is held.
func (sh *shard) adopt(core *quic.Conn, client bool) *Conn {
	c := &Conn{shard: sh, core: core, client: client, lastPart: -1, heapIndex: -1}
	c.heapAt.Store(never)
	c.wantAt.Store(never)
	c.mu.channels = sh.ep.mu.channels
	core.SetUserData(c)
	sh.conns[c] = struct{}{}
	sh.ep.counts.handshaking.Add(1)
	return c
}

// connect begins a connection as d says. The caller has the right to send for it.
func (sh *shard) connect(host string, remote netip.AddrPort, cfg *quic.Config, d *dialing) (*Conn, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.err != nil {
		return nil, sh.err
	}
	p := quic.ConnectParams{
		ServerName: host, Local: sh.ep.local, Remote: remote,
		Session: d.session, EarlyData: d.early, ResendEarly: d.ResendEarly,
	}
	core, err := sh.core.Connect(time.Now(), searched(sh.sock, cfg), p)
	if err != nil {
		return nil, err
	}
	c := sh.adopt(core, true)
	if d.OnPath != nil || d.FollowNetwork {
		c.roam = &roaming{onPath: d.OnPath}
		if d.FollowNetwork {
			c.roam.follow = new(follower)
		}
	}
	if d.Protocol != nil {
		c.seat = &seat{open: d.Protocol}
	}
	c.flushing = true
	if d.store != nil || d.session != nil {
		c.resume = &resumption{store: d.store, offered: d.session}
	}
	return c, nil
}

// handleEvent carries an event of a connection to the core's endpoint, and its reply back. c.mu is held.
func (sh *shard) handleEvent(now time.Time, c *Conn, ev quic.EndpointEvent) {
	c.core.HandleReply(now, sh.reply(c, ev))
}

func (sh *shard) reply(c *Conn, ev quic.EndpointEvent) quic.EndpointReply {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.core.HandleEvent(c.core, ev)
}

// forget lets go of a connection that is drained. c.mu is held.
func (sh *shard) forget(c *Conn) {
	sh.sched.forget(c)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.conns, c)
	if sh.oneShot && len(sh.conns) == 0 {
		go sh.ep.Close()
	}
}

// closeWhenUnused has the endpoint, whose only shard this is, end with its last connection.
func (sh *shard) closeWhenUnused() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.oneShot = true
	if len(sh.conns) == 0 {
		go sh.ep.Close()
	}
}

// end has the shard take no new connections, and returns those that there are.
func (sh *shard) end(err error) []*Conn {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.err = err
	sh.core.Refuse(true)
	return slices.Collect(maps.Keys(sh.conns))
}

// alive returns the connections that are not drained.
func (sh *shard) alive() []*Conn {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return slices.Collect(maps.Keys(sh.conns))
}

// shutDown stops everything and lets go of all connections.
func (sh *shard) shutDown() {
	sh.mu.Lock()
	sh.ended = true
	sockets := sh.all()
	sh.mu.Unlock()
	for _, s := range sockets {
		s.sock.Close()
	}
	sh.sched.stop()
	sh.reader.Wait()
	sh.mu.Lock()
	conns := sh.conns
	sh.conns = make(map[*Conn]struct{})
	err := sh.err
	sh.mu.Unlock()
	for c := range conns {
		c.abandon(err)
	}
	sh.workers.stop()
}
