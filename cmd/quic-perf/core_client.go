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
	c := &coreClient{count: h.Count, ready: h.Ready, parallel: b.Streams}
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

func requestsCore(ctx context.Context, t perf.Target, r *perf.Requests, h perf.Hooks) (perf.Outcome, error) {
	c := &coreClient{count: func(int) {}, ready: h.Ready, parallel: r.Parallel}
	c.next = func(now time.Time) (perf.Exchange, bool) {
		return perf.Exchange{Up: r.Up, Down: r.Down}, now.Sub(c.began) < r.Duration
	}
	c.done = func(latency time.Duration) {
		h.Count(1)
		c.latencies = append(c.latencies, latency)
	}
	elapsed, err := c.run(ctx, t, r.Connections, r.Beside)
	return perf.Outcome{Count: uint64(len(c.latencies)), Elapsed: elapsed, Latencies: c.latencies}, err
}

// coreDials is how many connections are made at once.
const coreDials = 16

// coreClient makes exchanges on connections, so many in parallel on each.
type coreClient struct {
	count    func(n int) // is told of bytes
	ready    func() error
	parallel int
	next     func(now time.Time) (perf.Exchange, bool) // the next exchange; false: there are no more
	done     func(latency time.Duration)               // is told of each that is done; nil: nobody

	loop      *coreLoop
	block     []byte // what is received; nobody looks
	first     []byte // what a stream begins with: the header, which is filled in, and zeros
	dial      func(now time.Time) error
	beside    int         // connections that are to be made and to stay idle, before others
	conns     []*coreConn // the others
	shaking   int         // connections whose handshake is not complete
	running   int         // exchanges under way
	began     time.Time
	elapsed   time.Duration
	latencies []time.Duration
	err       error
}

// coreExchanges is a connection's app.
type coreExchanges struct {
	of   map[uint64]*coreExchange // by stream
	owed []perf.Exchange          // they wait for the peer to allow more streams
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
	c.block, c.first = make([]byte, perf.BlockSize), make([]byte, perf.BlockSize)
	cfg := config(t.WithALPN(perf.ALPN), t.UDPPayload)
	c.shaking, c.beside = beside+connections, beside
	c.dial = func(now time.Time) error {
		if c.beside == 0 && len(c.conns) == connections {
			return nil
		}
		conn, err := c.loop.connect(now, cfg, host, to)
		if err != nil {
			return err
		}
		conn.app = &coreExchanges{of: make(map[uint64]*coreExchange)}
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
	app := conn.app.(*coreExchanges)
	switch ev.Kind {
	case quic.EventHandshakeComplete:
		if c.shaking--; c.shaking == 0 {
			c.begin()
		} else if err := c.dial(now); err != nil {
			c.fail(err)
		}
	case quic.EventReadable:
		if x := app.of[ev.Stream]; x != nil {
			c.read(now, conn, ev.Stream, x)
		}
	case quic.EventWritable:
		if x := app.of[ev.Stream]; x != nil {
			c.write(conn, ev.Stream, x)
		}
	case quic.EventStreamsAvailable:
		owed := app.owed
		app.owed = nil
		for _, e := range owed {
			c.start(now, conn, e)
		}
	case quic.EventClosed:
		if c.shaking > 0 || c.running > 0 {
			c.fail(conn.Err())
		}
	}
}

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
		c.start(now, conn, e)
	}
}

// start begins an exchange, now or when the peer allows another stream.
func (c *coreClient) start(now time.Time, conn *coreConn, e perf.Exchange) {
	app := conn.app.(*coreExchanges)
	id, err := conn.OpenStream()
	if errors.Is(err, quic.ErrStreamLimit) {
		app.owed = append(app.owed, e)
		return
	}
	if err != nil {
		c.fail(err)
		return
	}
	x := &coreExchange{Exchange: e, began: now}
	app.of[id] = x
	c.running++
	c.write(conn, id, x)
}

// write sends what is left of a request, as much as can be sent now.
func (c *coreClient) write(conn *coreConn, id uint64, x *coreExchange) {
	total := perf.HeaderSize + x.Up
	for {
		p := coreZeros[:min(total-x.sent, uint64(len(coreZeros)))]
		if x.sent < perf.HeaderSize {
			binary.BigEndian.PutUint64(c.first, x.Down)
			p = c.first[x.sent:min(total, uint64(len(c.first)))]
		}
		n, err := conn.StreamSend(id, p, x.sent+uint64(len(p)) == total)
		if err != nil {
			c.fail(err)
			return
		}
		x.sent += uint64(n)
		c.count(n)
		if n < len(p) || x.sent == total {
			return // EventWritable comes, or it is all sent
		}
	}
}

// read takes what has come of an answer.
func (c *coreClient) read(now time.Time, conn *coreConn, id uint64, x *coreExchange) {
	for {
		n, fin, err := conn.StreamRecv(id, c.block)
		if err != nil {
			c.fail(err)
			return
		}
		x.got += uint64(n)
		c.count(n)
		if fin {
			break
		}
		if n == 0 {
			return
		}
	}
	if x.got != x.Down {
		c.fail(fmt.Errorf("the server sent %d bytes in place of %d", x.got, x.Down))
		return
	}
	now = time.Now() // what came before in this turn has taken its time
	delete(conn.app.(*coreExchanges).of, id)
	c.running--
	c.elapsed = now.Sub(c.began)
	if c.done != nil {
		c.done(now.Sub(x.began))
	}
	c.exchange(now, conn)
}
