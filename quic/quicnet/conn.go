package quicnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Conn is a QUIC connection. All its methods are for any number of goroutines. It must be closed, by Close or CloseWithError,
// unless the peer closes it or falls silent: a Conn that is merely forgotten stays.
type Conn struct {
	shard  *shard
	core   *quic.Conn // guarded by mu
	client bool
	queue  queueState // guarded by the Endpoint's lock

	mu          monitor
	flushing    bool // some goroutine has the right to send
	more        bool // somebody else wanted it since a train was packed last
	packed      bool // trains were packed under it
	established bool
	offered     bool // to Accept
	closed      bool
	drained     bool
	struck      damage
	flushed     waiter // for the right to send
	handshake   waiter
	streams     map[uint64]*Stream // those that the application knows and that are not over
	peers       [2]peerStreams     // bidirectional, unidirectional
	opening     [2]waiter          // for the peer's limit on our streams
	datagramIn  waiter
	datagramOut waiter
	early       map[uint64]error // what the peer did to streams that are still to be accepted; see peerEnds
	unacked     int              // streams whose end was written and is not acknowledged
	lingering   waiter           // for there to be none
	heardAt     netip.Addr       // a client's: the address of ours that the peer's last packets came to
	resume      *resumption      // nil: a server's, or nobody has to do with sessions
	ctx         context.Context  // nil until somebody asks
	cancel      context.CancelCauseFunc
	roam        *roaming // nil: one path is all that there is
	seat        *seat    // nil: it has no Protocol

	firstPart, lastPart int // of the reading goroutine's inbox.parts

	unprompted atomic.Uint32 // how often the application has sent since anything was received

	wantAt, heapAt atomic.Int64 // see scheduler
	heapIndex      int          // guarded by the scheduler's lock
}

// peerStreams counts the streams of one type that the peer opened. They are announced in order, without gaps.
type peerStreams struct {
	opened, accepted uint64
	waiter           waiter
	handle           func(*Stream) // what they are given to, in place of being accepted; nil: nothing
}

// The types of stream as an index.
const (
	bidi = iota
	uni
)

func typeIndex(id uint64) int { return int(id >> 1 & 1) }

// handleEvents acts on what has happened, and tells whether that woke anybody. c.mu is held.
func (c *Conn) handleEvents(now time.Time) (woke bool) {
	if c.struck == lost {
		return false
	}
	defer c.guard(now)
	for {
		for c.nextEvent(now, &woke) {
		}
		if c.seat == nil || !c.seat.told {
			return woke
		}
		woke = c.seat.afterEvents(now) || woke
	}
}

// nextEvent acts on one event, if there is any.
func (c *Conn) nextEvent(now time.Time, woke *bool) bool {
	var own quic.Event
	ev := &own
	if c.seat != nil {
		ev = &c.seat.ev
	}
	if !c.core.ReadEvent(ev) {
		return false
	}
	if c.handleEvent(now, ev) {
		*woke = true
	}
	if c.seat != nil && c.seat.handle(now, ev) {
		*woke = true
	}
	return true
}

func (c *Conn) handleEvent(now time.Time, ev *quic.Event) (woke bool) {
	switch ev.Kind {
	case quic.EventReadable:
		if s := c.streams[ev.Stream]; s != nil && s.mode == rawStream {
			return s.recv.wake()
		}
	case quic.EventWritable:
		if s := c.streams[ev.Stream]; s != nil && s.mode == rawStream {
			return s.offer()
		}
	case quic.EventStreamReset:
		return c.peerEnds(ev, false)
	case quic.EventStreamStopped:
		return c.peerEnds(ev, true)
	case quic.EventStreamAcked:
		if s := c.streams[ev.Stream]; s != nil {
			return s.onArrived()
		}
	case quic.EventStreamFinished:
		if s := c.streams[ev.Stream]; s != nil {
			s.onFinished()
		}
	case quic.EventStreamOpened:
		typ := typeIndex(ev.Stream)
		p := &c.peers[typ]
		p.opened++
		woke = c.offer(now)
		if c.framer() != nil {
			p.accepted = p.opened // by the Protocol
			return woke
		}
		if p.handle != nil {
			c.shard.workers.start(p.handle, c.take(typ))
			return true
		}
		return p.waiter.wake() || woke
	case quic.EventStreamsAvailable:
		return c.opening[typeIndex(ev.Stream)].wake()
	case quic.EventDatagram:
		woke = c.offer(now)
		return c.datagramIn.wake() || woke
	case quic.EventDatagramWritable:
		return c.datagramOut.wake()
	case quic.EventHandshakeComplete:
		return c.onEstablished(now)
	case quic.EventEarlyReady:
		c.resume.ready = true
		c.attachClient(now)
		return c.handshake.wake()
	case quic.EventEarlyData:
		return c.client && !ev.Accepted && !ev.Resent && c.onEarlyRejected()
	case quic.EventSession:
		if r := c.resume; r != nil && r.store != nil && c.storesSession() {
			r.onSession(c, ev.Session)
		}
	case quic.EventAsk:
		go c.answer(*ev)
	case quic.EventPath:
		return c.onPath(ev.Path)
	case quic.EventEndpoint:
		c.shard.handleEvent(now, c, *ev.Endpoint)
	case quic.EventClosed:
		c.onClosed(now)
		return true
	case quic.EventDrained:
		c.onDrained()
	}
	return false
}

func (c *Conn) onEstablished(now time.Time) (woke bool) {
	c.established = true
	c.countEstablished()
	c.attachClient(now)
	offered := c.offer(now)
	c.shard.ep.countSettled() // whoever waits for that finds what has become of it
	return c.handshake.wake() || offered
}

// offer gives a server's connection to Accept: when the handshake is complete, or before that when early data has come, which the core
// tells of only if TLS has accepted it. It tells whether it did.
func (c *Conn) offer(now time.Time) bool {
	if c.offered || c.client || c.closed {
		return false
	}
	c.offered = true
	if ep := c.shard.ep; !ep.draining.Load() && c.attach(now, ep.protocol) {
		return false
	}
	if c.shard.ep.offer(c) {
		return true
	}
	reason := "too many connections wait to be accepted"
	if c.shard.ep.draining.Load() {
		reason = shuttingDown
	}
	c.core.Close(now, false, uint64(quic.ConnectionRefused), reason)
	c.shard.ep.counts.refused.Add(1)
	c.reportFailure(now)
	return false
}

// answer runs the code that TLS asks for, which may take its time, without any lock.
func (c *Conn) answer(ev quic.Event) {
	defer c.answered(ev) // even if that code ends the goroutine
	ev.Ask.Run()
}

func (c *Conn) answered(ev quic.Event) {
	c.mu.Lock()
	now := time.Now()
	c.guarded(now, func() { c.core.Answer(ev.Ask) })
	c.handleEvents(now)
	claimed := c.claim()
	c.mu.Unlock()
	if claimed {
		c.noteNotSent(c.flush())
	}
}

// onClosed wakes everybody.
func (c *Conn) onClosed(now time.Time) {
	c.closed = true
	c.countClosed()
	if !c.established && !c.client {
		c.reportFailure(now)
	}
	for _, s := range c.streams {
		s.recv.wake()
		s.send.wake()
		s.settle()
		if s.fate != nil {
			s.fate.acked.wake()
		}
	}
	c.lingering.wake()
	for i := range c.peers {
		c.peers[i].waiter.wake()
		c.opening[i].wake()
	}
	c.handshake.wake()
	if c.roam != nil {
		c.roam.onClosed()
	}
	c.datagramIn.wake()
	c.datagramOut.wake()
	if c.cancel != nil {
		c.cancel(c.core.Err())
	}
	if !c.client {
		c.shard.ep.onClosed(c)
	}
}

// hasUnread tells whether streams wait to be accepted, or datagrams to be received, of a connection that is closed.
func (c *Conn) hasUnread() bool {
	return c.waits(bidi) || c.waits(uni) || c.core.KeepsReceived() && c.core.DatagramsReadable() > 0
}

// onDrained lets go of everything but what had arrived, which goes when it is read, when the application closes the connection, or
// with the Conn.
func (c *Conn) onDrained() {
	if c.drained {
		return
	}
	c.drained = true
	c.shard.ep.counts.closing.Add(-1)
	c.streams, c.early = nil, nil
	if c.roam != nil {
		c.roam.onDrained(c)
	}
	if c.seat != nil {
		c.seat.onDrained()
	}
	if !c.core.KeepsReceived() {
		c.core.Release()
	}
	c.shard.forget(c)
}

// abandon ends a connection whose socket is gone.
func (c *Conn) abandon(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.guarded(now, func() { c.core.Abandon(now, cause) })
	c.handleEvents(now)
	c.onDrained()
}

// Handshake waits until the handshake is complete and, at a client, the server is authenticated (RFC 9001, section 4.1.1). The error
// is that of ctx, or why the connection is closed. Calls while it is complete return nil at once. What Dial returns has that behind it
// already, and so has what Accept returns, unless quic.Config.EarlyData is set.
func (c *Conn) Handshake(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if err := c.ready(); err != nil || c.established {
			c.handshake.wake() // it is so for all
			return err
		}
		if err := c.handshake.waitContext(ctx, &c.mu); err != nil {
			return err
		}
	}
}

// ready checks that the connection is not closed. c.mu is held.
func (c *Conn) ready() error {
	if c.closed {
		return c.core.Err()
	}
	return nil
}

// OpenStream opens a stream on which both sides send. It waits while the peer allows no more streams, which it does when earlier ones
// are over (see Stream); if ctx ends meanwhile, the error matches quic.ErrStreamLimit beside that of ctx. The peer learns of the
// stream with the first data on it, or its end.
func (c *Conn) OpenStream(ctx context.Context) (*Stream, error) { return c.open(ctx, bidi) }

// OpenUniStream opens a stream on which only we send.
func (c *Conn) OpenUniStream(ctx context.Context) (*Stream, error) { return c.open(ctx, uni) }

func (c *Conn) open(ctx context.Context, typ int) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.opening[typ]
	told := false
	for {
		var id uint64
		err := c.ready()
		if err == nil {
			if typ == uni {
				id, err = c.core.OpenUniStream()
			} else {
				id, err = c.core.OpenStream()
			}
		}
		if !errors.Is(err, quic.ErrStreamLimit) && err != quic.ErrEarlyDataRejected { // which says that new ones can be opened soon
			w.wake() // the limit may allow the next one's too; and an error is for all
			if err != nil {
				return nil, err
			}
			return c.addStream(id), nil
		}
		if !told && c.flushUnlocked() { // STREAMS_BLOCKED
			told = true
			continue // the limit may have risen meanwhile
		}
		if ended := w.waitContext(ctx, &c.mu); ended != nil {
			return nil, fmt.Errorf("quicnet: open stream: %w: %w", err, ended)
		}
	}
}

// AcceptStream waits for a stream that the peer opened, on which both sides send. Streams that had arrived when the peer closed the
// connection are still given. After HandleStreams, to which they all go, it fails at once.
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) { return c.accept(ctx, bidi) }

// AcceptUniStream waits for a stream that the peer opened, on which only the peer sends.
func (c *Conn) AcceptUniStream(ctx context.Context) (*Stream, error) { return c.accept(ctx, uni) }

func (c *Conn) accept(ctx context.Context, typ int) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.peers[typ]
	for {
		if c.framer() != nil {
			return nil, errProtocol
		}
		if p.handle != nil {
			p.waiter.wake()
			return nil, errHandled
		}
		if c.waits(typ) {
			s := c.take(typ)
			if c.waits(typ) || c.closed {
				p.waiter.wake()
			}
			return s, nil
		}
		if err := c.ready(); err != nil {
			p.waiter.wake()
			return nil, err
		}
		if err := p.waiter.waitContext(ctx, &c.mu); err != nil {
			return nil, fmt.Errorf("quicnet: accept stream: %w", err)
		}
	}
}

// waits tells whether there is a stream of a type to be accepted. Those that had arrived when the peer ended the connection still are.
func (c *Conn) waits(typ int) bool {
	p := &c.peers[typ]
	return p.accepted < p.opened && (!c.closed || c.core.KeepsReceived())
}

// errHandled is what AcceptStream and AcceptUniStream return once streams are given to a handler.
var errHandled = errors.New("quicnet: the connection's streams are given to a handler (HandleStreams)")

// take accepts the next of the peer's streams of a type, of which there is one.
func (c *Conn) take(typ int) *Stream {
	p := &c.peers[typ]
	id := p.accepted<<2 | uint64(typ)<<1
	if c.client {
		id |= 1
	}
	p.accepted++
	return c.addStream(id)
}

func (c *Conn) addStream(id uint64) *Stream {
	s := &Stream{c: c, id: id, early: !c.client && c.core.StreamEarly(id)}
	if err := c.early[id]; err != nil {
		s.needFate().peer = err
		delete(c.early, id)
	}
	if c.closed {
		return s // there are no events any more
	}
	if c.streams == nil {
		c.streams = make(map[uint64]*Stream)
	}
	c.streams[id] = s
	return s
}

// flushUnlocked sends what calls on the core have left to be sent, if nobody else is about to. c.mu is held, but not
// meanwhile; false says that it was held all the time.
func (c *Conn) flushUnlocked() bool {
	if !c.core.WantsSend() || !c.claim() {
		return false
	}
	c.mu.Unlock()
	c.flush()
	c.mu.Lock()
	return true
}

// Close is CloseWithError with code 0 and no reason. What was written shortly before does not arrive, though its stream was closed:
// CloseGracefully waits for it.
func (c *Conn) Close() error { return c.CloseWithError(0, "") }

// CloseWithError closes the connection with an error code of the application's, at most quic.MaxErrorCode (a larger one
// becomes that), and a text for people, of which whole characters of at most 256 bytes travel. All calls that wait on the connection or its streams return at once, and data that was not delivered yet, in either direction, may
// be lost. When it returns, word of it has been sent to the peer, and the sessions that the server had given are in the
// tls.ClientSessionCache, unless that takes longer than a second. Closing a connection that the peer has closed drops what had
// arrived and was not read; further calls do nothing. The error is always nil.
func (c *Conn) CloseWithError(code uint64, reason string) error {
	c.close(code, reason, false)
	return nil
}

// close is CloseWithError. With keep it leaves what had arrived when the peer closed the connection.
func (c *Conn) close(code uint64, reason string, keep bool) {
	c.mu.Lock()
	if c.client && !c.closed && !c.core.HandshakeConfirmed() {
		c.flushHandshake()
	}
	first := !c.closed
	if now := time.Now(); first || !keep {
		c.core.Close(now, true, c.closeCode(code), reason)
		c.handleEvents(now)
	}
	for !c.claim() {
		c.flushed.wait(&c.mu) // whoever sends now may have packed its last train before
	}
	if !first {
		c.release()
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.flush()
	if c.resume != nil {
		ctx, cancel := context.WithTimeout(context.Background(), storePatience)
		defer cancel()
		c.storeSessions(ctx)
	}
}

// flushHandshake sends what a client has to send before it closes the connection: should that be the end of its handshake, and be lost with
// the close, the server's would have failed. c.mu is held, but not meanwhile.
func (c *Conn) flushHandshake() {
	for !c.claim() {
		c.flushed.wait(&c.mu) // for whoever has been told to send, and may not have begun
		if c.closed || c.core.HandshakeConfirmed() {
			return
		}
	}
	c.mu.Unlock()
	c.flush()
	c.mu.Lock()
}

// Err returns why the connection is closed, nil if it is not. What had arrived when the peer closed it may still be there to be read.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready()
}

// Context returns a context that is done when the connection is closed; context.Cause tells why.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancelCause(context.Background())
		if c.closed {
			c.cancel(c.core.Err())
		}
	}
	return c.ctx
}

// ConnectionState returns the state of TLS, as crypto/tls has it.
func (c *Conn) ConnectionState() tls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.TLS()
}

// ExportKeyingMaterial derives length bytes from the connection's secrets (RFC 8446, section 7.5).
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.ExportKeyingMaterial(label, context, length)
}

// KeyUpdate replaces the keys that 1-RTT packets are protected with (RFC 9001, section 6), which the connection does by itself long
// before a key has protected too much. Nothing happens, and the error matches quic.ErrKeyUpdateTooSoon, before the handshake is confirmed,
// while the update before is not acknowledged, and for three probe timeouts after that. The peer's keys follow.
func (c *Conn) KeyUpdate() error {
	c.mu.Lock()
	err := c.core.KeyUpdate()
	claimed := err == nil && c.claim()
	c.mu.Unlock()
	if claimed {
		c.flush()
	}
	return err
}

// Stats returns figures of the connection, also after it was closed.
func (c *Conn) Stats() quic.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Stats()
}

// LocalAddr returns our address, a *net.UDPAddr: that which the peer's packets come to, also where the socket is bound to all
// addresses of the machine. Where the system does not tell it, it is the one that the way to the peer begins at. It changes when a client
// moves.
func (c *Conn) LocalAddr() net.Addr {
	c.mu.Lock()
	local, remote := c.localAddr(), c.core.RemoteAddr()
	c.mu.Unlock()
	if local.Addr().IsUnspecified() {
		if ip, ok := routeTo(remote); ok {
			local = netip.AddrPortFrom(ip, local.Port())
		}
	}
	return net.UDPAddrFromAddrPort(local)
}

// localAddr returns our address as far as it is known; its IP may be unspecified. c.mu is held.
func (c *Conn) localAddr() netip.AddrPort {
	local := c.core.LocalAddr()
	if local.Addr().IsUnspecified() && c.heardAt.IsValid() {
		return netip.AddrPortFrom(c.heardAt, local.Port())
	}
	return local
}

// routeTo returns the address that the machine sends from to a peer. Nothing is sent for it.
func routeTo(remote netip.AddrPort) (netip.Addr, bool) {
	pc, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return netip.Addr{}, false
	}
	defer pc.Close()
	local := pc.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return local, !local.IsUnspecified()
}

// RemoteAddr returns the peer's address, a *net.UDPAddr. It changes when a client moves.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return net.UDPAddrFromAddrPort(c.core.RemoteAddr())
}
