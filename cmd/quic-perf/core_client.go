package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic"
)

func bulkCore(ctx context.Context, t perf.Target, b *perf.Bulk, h perf.Hooks) (perf.Outcome, error) {
	return newPerfClient().bulk(ctx, t, b, h)
}

func requestsCore(ctx context.Context, t perf.Target, r *perf.Requests, h perf.Hooks) (perf.Outcome, error) {
	return newPerfClient().requests(ctx, t, r, h)
}

// newPerfClient returns a client of the perf protocol.
func newPerfClient() *coreClient {
	p := &perfExchanger{first: make([]byte, perf.BlockSize)}
	c := &coreClient{exchanger: p, alpn: perf.ALPN}
	p.c = c
	return c
}

func (c *coreClient) bulk(ctx context.Context, t perf.Target, b *perf.Bulk, h perf.Hooks) (perf.Outcome, error) {
	c.count, c.ready, c.parallel = h.Count, h.Ready, b.Streams
	es, begun := b.Exchanges(), 0
	c.next = func(time.Time) (e perf.Exchange, ok bool) {
		if begun == b.Repeat*len(es) {
			return e, false
		}
		begun++
		return es[(begun-1)%len(es)], true
	}
	elapsed, err := c.run(ctx, t, b.Connections, 0)
	return perf.Outcome{Count: b.Count(), Elapsed: elapsed}, err
}

func (c *coreClient) requests(ctx context.Context, t perf.Target, r *perf.Requests, h perf.Hooks) (perf.Outcome, error) {
	c.count, c.ready, c.parallel = func(int) {}, h.Ready, r.Parallel
	e := perf.Exchange{Up: r.Up, Down: r.Down}
	if c.change != nil {
		e = c.change(e)
	}
	c.next = func(now time.Time) (perf.Exchange, bool) { return e, now.Sub(c.began) < r.Duration }
	c.done = func(latency time.Duration) {
		h.Count(1)
		c.latencies = append(c.latencies, latency)
	}
	elapsed, err := c.run(ctx, t, r.Connections, r.Beside)
	return perf.Outcome{Count: uint64(len(c.latencies)), Elapsed: elapsed, Latencies: c.latencies}, err
}

// coreDials is how many connections are made at once.
const coreDials = 16

// exchanger makes exchanges by some protocol.
type exchanger interface {
	// open begins with a connection, whose handshake is complete, and onEvent is given all its other events.
	open(now time.Time, conn *coreConn) error
	onEvent(now time.Time, conn *coreConn, ev quic.Event)
	onTurn(now time.Time, conn *coreConn)
	// start begins an exchange, now or when the peer allows another stream.
	start(now time.Time, conn *coreConn, e perf.Exchange)
}

// coreClient makes exchanges on connections, so many in parallel on each.
type coreClient struct {
	exchanger exchanger
	alpn      string
	change    func(perf.Exchange) perf.Exchange // of requests; nil: none

	count    func(n int) // is told of bytes
	ready    func() error
	parallel int
	next     func(now time.Time) (perf.Exchange, bool) // the next exchange; false: there are no more
	done     func(latency time.Duration)               // is told of each that is done; nil: nobody

	loop      *coreLoop
	block     []byte // what is received; nobody looks
	dial      func(now time.Time) error
	beside    int         // connections that are to be made and to stay idle, before others
	conns     []*coreConn // the others
	shaking   int         // connections whose handshake is not complete
	running   int         // exchanges under way, or waiting for a stream
	began     time.Time
	elapsed   time.Duration
	latencies []time.Duration
	err       error
}

type coreExchange struct {
	perf.Exchange
	began time.Time
	sent  uint64 // the header included
	got   uint64
}

// run connects, makes all exchanges, and returns how long these took.
func (c *coreClient) run(ctx context.Context, t perf.Target, connections, beside int) (time.Duration, error) {
	remote, err := net.ResolveUDPAddr("udp", t.Addr)
	if err != nil {
		return 0, err
	}
	host, _, err := net.SplitHostPort(t.Addr)
	if err != nil {
		return 0, err
	}
	to := netip.AddrPortFrom(remote.AddrPort().Addr().Unmap(), uint16(remote.Port))
	local := "[::]:0"
	if to.Addr().Is4() {
		local = "0.0.0.0:0"
	}
	if c.loop, err = newCoreLoop(local, nil, c); err != nil {
		return 0, err
	}
	defer c.loop.sock.Close()
	c.block = make([]byte, perf.BlockSize)
	cfg := config(t.WithALPN(c.alpn), t.UDPPayload)
	c.shaking, c.beside = beside+connections, beside
	c.dial = func(now time.Time) error {
		if c.beside == 0 && len(c.conns) == connections {
			return nil
		}
		conn, err := c.loop.connect(now, cfg, host, to)
		if err != nil {
			return err
		}
		if c.beside > 0 {
			c.beside--
			return nil
		}
		c.conns = append(c.conns, conn)
		return nil
	}
	for range coreDials {
		if err := c.dial(time.Now()); err != nil {
			return 0, err
		}
	}
	if err := c.loop.run(ctx, func() bool { return c.err != nil || c.shaking == 0 && c.running == 0 }); err != nil {
		return 0, err
	}
	for _, conn := range c.conns {
		conn.Close(time.Now(), true, 0, "")
		c.loop.touch(conn)
	}
	c.loop.turn(time.Now())
	return c.elapsed, c.err
}

func (c *coreClient) onEvent(now time.Time, conn *coreConn, ev quic.Event) {
	switch ev.Kind {
	case quic.EventHandshakeComplete:
		if err := c.exchanger.open(now, conn); err != nil {
			c.fail(err)
			return
		}
		if c.shaking--; c.shaking == 0 {
			c.begin()
		} else if err := c.dial(now); err != nil {
			c.fail(err)
		}
		return
	case quic.EventClosed:
		if c.shaking > 0 || c.running > 0 {
			c.fail(conn.Err())
		}
	}
	c.exchanger.onEvent(now, conn, ev)
}

func (c *coreClient) onTurn(now time.Time, conn *coreConn) { c.exchanger.onTurn(now, conn) }

func (c *coreClient) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// begin starts what can run in parallel, when all connections are there.
func (c *coreClient) begin() {
	if err := c.ready(); err != nil {
		c.fail(err)
		return
	}
	c.began = time.Now()
	for range c.parallel {
		for _, conn := range c.conns {
			c.exchange(c.began, conn)
			c.loop.touch(conn)
		}
	}
}

// exchange begins the next exchange, if there is one.
func (c *coreClient) exchange(now time.Time, conn *coreConn) {
	if e, ok := c.next(now); ok {
		c.running++ // also while it waits for the peer to allow another stream
		c.exchanger.start(now, conn, e)
	}
}

// end notes that an exchange is over, and begins the next.
func (c *coreClient) end(now time.Time, conn *coreConn, x *coreExchange) {
	if x.got != x.Down {
		c.fail(fmt.Errorf("the server sent %d bytes in place of %d", x.got, x.Down))
		return
	}
	now = time.Now() // what came before in this turn has taken its time
	c.running--
	c.elapsed = now.Sub(c.began)
	if c.done != nil {
		c.done(now.Sub(x.began))
	}
	c.exchange(now, conn)
}

// perfExchanger makes exchanges of the perf protocol. A connection's app is a *perfExchanges.
type perfExchanger struct {
	c     *coreClient
	first []byte // what a stream begins with: the header, which is filled in, and zeros
}

type perfExchanges struct {
	of   map[uint64]*coreExchange // by stream
	owed []perf.Exchange          // they wait for the peer to allow more streams
}

func (p *perfExchanger) open(_ time.Time, conn *coreConn) error {
	conn.app = &perfExchanges{of: make(map[uint64]*coreExchange)}
	return nil
}

func (p *perfExchanger) onTurn(time.Time, *coreConn) {}

func (p *perfExchanger) onEvent(now time.Time, conn *coreConn, ev quic.Event) {
	app, ok := conn.app.(*perfExchanges)
	if !ok {
		return // before the handshake is complete
	}
	switch ev.Kind {
	case quic.EventReadable:
		if x := app.of[ev.Stream]; x != nil {
			p.read(now, conn, ev.Stream, x)
		}
	case quic.EventWritable:
		if x := app.of[ev.Stream]; x != nil {
			p.write(conn, ev.Stream, x)
		}
	case quic.EventStreamsAvailable:
		owed := app.owed
		app.owed = nil
		for _, e := range owed {
			p.start(now, conn, e)
		}
	}
}

func (p *perfExchanger) start(now time.Time, conn *coreConn, e perf.Exchange) {
	app := conn.app.(*perfExchanges)
	id, err := conn.OpenStream()
	if errors.Is(err, quic.ErrStreamLimit) {
		app.owed = append(app.owed, e)
		return
	}
	if err != nil {
		p.c.fail(err)
		return
	}
	x := &coreExchange{Exchange: e, began: now}
	app.of[id] = x
	p.write(conn, id, x)
}

// write sends what is left of a request, as much as can be sent now.
func (p *perfExchanger) write(conn *coreConn, id uint64, x *coreExchange) {
	total := perf.HeaderSize + x.Up
	for {
		b := coreZeros[:min(total-x.sent, uint64(len(coreZeros)))]
		if x.sent < perf.HeaderSize {
			binary.BigEndian.PutUint64(p.first, x.Down)
			b = p.first[x.sent:min(total, uint64(len(p.first)))]
		}
		n, err := conn.StreamSend(id, b, x.sent+uint64(len(b)) == total)
		if err != nil {
			p.c.fail(err)
			return
		}
		x.sent += uint64(n)
		p.c.count(n)
		if n < len(b) || x.sent == total {
			return // EventWritable comes, or it is all sent
		}
	}
}

// read takes what has come of an answer.
func (p *perfExchanger) read(now time.Time, conn *coreConn, id uint64, x *coreExchange) {
	for {
		n, fin, err := conn.StreamRecv(id, p.c.block)
		if err != nil {
			p.c.fail(err)
			return
		}
		x.got += uint64(n)
		p.c.count(n)
		if fin {
			break
		}
		if n == 0 {
			return
		}
	}
	delete(conn.app.(*perfExchanges).of, id)
	p.c.end(now, conn, x)
}
