package main

import (
	"container/heap"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// coreStack measures the bare core: package quic over quic/udp in a loop of our own, on one goroutine, without quicnet.
var coreStack = &perf.Stack{
	About: func(payload int) perf.About { return about("core", payload) },
	Serve: serveCore,
	Loop:  &perf.Loop{Bulk: bulkCore, Requests: requestsCore},
}

const (
	coreBatch = 8         // trains received at once
	coreTrain = 64 << 10  // room that a train is packed into, in bytes
	coreRoom  = 256 << 10 // room for the trains that are sent at once, in bytes
	coreTurns = 4         // trains that a connection sends before the socket is read again
)

// coreApp is what runs on a loop. It is called for each event of a connection that is the application's.
type coreApp interface {
	onEvent(now time.Time, c *coreConn, ev quic.Event)
	// onTurn is called once all events that there were have been read.
	onTurn(now time.Time, c *coreConn)
}

// coreLoop is a socket with the connections that run over it.
type coreLoop struct {
	sock   *udp.Socket
	pc     *net.UDPConn // of sock, for deadlines
	armed  time.Time    // the deadline that pc has; zero: none
	local  netip.AddrPort
	ep     *quic.Endpoint
	app    coreApp
	in     []udp.Train
	reply  [1500]byte
	dirty  []*coreConn // that may have events, or something to send
	timers coreTimers
	out    []udp.Train
	buf    []byte // of out
	used   int
}

// coreConn is a connection with its place in the loop.
type coreConn struct {
	*quic.Conn
	dirty bool
	want  time.Time // when OnTimeout is to be called; zero: never
	at    time.Time // under which the connection stands among the timers: not later than want
	index int       // in timers; -1: not there
	app   any       // the application's
}

// newCoreLoop opens a socket. With a nil cfg it connects only.
func newCoreLoop(addr string, cfg *quic.Config, app coreApp) (*coreLoop, error) {
	local, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	network := "udp6"
	if local.IP.To4() != nil {
		network = "udp4"
	}
	pc, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, err
	}
	sock, err := udp.New(pc, udp.Options{})
	if err != nil {
		pc.Close()
		return nil, err
	}
	ep, err := quic.NewEndpoint(cfg)
	if err != nil {
		pc.Close()
		return nil, err
	}
	l := &coreLoop{sock: sock, pc: pc, local: sock.LocalAddr(), ep: ep, app: app, in: make([]udp.Train, coreBatch), buf: make([]byte, coreRoom)}
	for i := range l.in {
		l.in[i].Buf = make([]byte, 0, udp.RecvBufSize)
	}
	return l, nil
}

// run drives the loop until done says so, or ctx is.
func (l *coreLoop) run(ctx context.Context, done func() bool) error {
	stop := context.AfterFunc(ctx, func() { l.sock.Close() })
	defer stop()
	for !done() {
		n, err := l.receive()
		now := time.Now()
		switch {
		case err == nil:
			for i := range n {
				l.route(now, &l.in[i])
			}
		case !errors.Is(err, os.ErrDeadlineExceeded):
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		l.expire(now)
		l.turn(now)
	}
	return nil
}

// receive reads what has arrived, and waits for it, until the next timer, if there is nothing else to do.
func (l *coreLoop) receive() (int, error) {
	busy := len(l.dirty) > 0
	var next time.Time
	if !busy && len(l.timers) > 0 {
		next = l.timers[0].at
	}
	// A deadline that is earlier than need be costs a turn for nothing, but setting it anew each time costs more.
	if l.armed.IsZero() != next.IsZero() || next.Before(l.armed) || !l.armed.After(time.Now()) {
		if err := l.pc.SetReadDeadline(next); err != nil {
			return 0, err
		}
		l.armed = next
	}
	if busy {
		return l.sock.TryRecv(l.in)
	}
	return l.sock.Recv(l.in)
}

// route gives a train to the connections that it is for, or sends the endpoint's own answer.
func (l *coreLoop) route(now time.Time, u *udp.Train) {
	t := quic.Train{Buf: u.Buf, SegSize: u.SegSize, Local: u.Local, Remote: u.Remote, ECN: quic.ECN(u.ECN)}
	for len(t.Buf) > 0 {
		r := l.ep.Route(now, t, l.reply[:])
		if r.Reply > 0 {
			_ = l.sock.Send([]udp.Train{{Buf: l.reply[:r.Reply], Local: t.Local, Remote: t.Remote}}) // the client asks again
		}
		if r.Conn != nil {
			c, ok := r.Conn.UserData().(*coreConn)
			if !ok {
				c = l.adopt(r.Conn)
			}
			part := t
			part.Buf = t.Buf[:r.N:r.N]
			c.Recv(now, part)
			l.touch(c)
		}
		t.Buf = t.Buf[r.N:]
	}
}

// connect begins a connection.
func (l *coreLoop) connect(now time.Time, cfg *quic.Config, host string, remote netip.AddrPort) (*coreConn, error) {
	conn, err := l.ep.Connect(now, cfg, quic.ConnectParams{ServerName: host, Local: l.local, Remote: remote})
	if err != nil {
		return nil, err
	}
	c := l.adopt(conn)
	l.touch(c)
	return c, nil
}

func (l *coreLoop) adopt(conn *quic.Conn) *coreConn {
	c := &coreConn{Conn: conn, index: -1}
	conn.SetUserData(c)
	return c
}

// touch has the connection's events read, and what it has to send sent.
func (l *coreLoop) touch(c *coreConn) {
	if !c.dirty {
		c.dirty = true
		l.dirty = append(l.dirty, c)
	}
}

// expire calls OnTimeout where it is time.
func (l *coreLoop) expire(now time.Time) {
	for len(l.timers) > 0 && !l.timers[0].at.After(now) {
		c := l.timers[0]
		switch {
		case c.want.IsZero():
			heap.Pop(&l.timers)
		case c.want.After(now):
			c.at = c.want
			heap.Fix(&l.timers, 0)
		default:
			heap.Pop(&l.timers)
			c.OnTimeout(now)
			l.touch(c)
		}
	}
}

// turn deals with what the connections want, once; those that are not finished stay dirty.
func (l *coreLoop) turn(now time.Time) {
	dirty := l.dirty
	l.dirty = l.dirty[len(l.dirty):]
	for _, c := range dirty {
		c.dirty = false
		if !l.events(now, c) {
			continue
		}
		more := l.pack(now, c)
		l.events(now, c) // packing may have found out that the connection is at its end
		l.arm(now, c)
		if more {
			l.touch(c)
		}
	}
	l.flush()
	if len(l.dirty) == 0 {
		l.dirty = dirty[:0]
	}
}

// events reads what has happened; false says that the connection is gone.
func (l *coreLoop) events(now time.Time, c *coreConn) bool {
	for ev, ok := c.NextEvent(); ok; ev, ok = c.NextEvent() {
		switch ev.Kind {
		case quic.EventAsk:
			ev.Ask.Run()
			c.Answer(ev.Ask)
		case quic.EventEndpoint:
			c.HandleReply(now, l.ep.HandleEvent(c.Conn, *ev.Endpoint))
		case quic.EventDrained:
			c.want = time.Time{}
			if c.index >= 0 {
				heap.Remove(&l.timers, c.index)
			}
			c.Release()
			return false
		default:
			l.app.onEvent(now, c, ev)
		}
	}
	l.app.onTurn(now, c)
	return true
}

// pack writes a turn's trains; true says that there may be more.
func (l *coreLoop) pack(now time.Time, c *coreConn) bool {
	for range coreTurns {
		if len(l.buf)-l.used < coreTrain {
			l.flush()
		}
		t := c.Send(now, l.buf[l.used:l.used+coreTrain])
		if t.N == 0 {
			return false
		}
		l.out = append(l.out, udp.Train{
			Buf: l.buf[l.used : l.used+t.N], SegSize: t.SegSize, Local: t.Local, Remote: t.Remote, ECN: uint8(t.ECN),
		})
		l.used += t.N
	}
	return true
}

// flush sends all trains. What cannot be sent is lost, as on the network.
func (l *coreLoop) flush() {
	if len(l.out) > 0 {
		_ = l.sock.Send(l.out)
		l.out, l.used = l.out[:0], 0
	}
}

// arm sets the connection's timer. One that is set later than before stays where it is until its old time has come.
func (l *coreLoop) arm(now time.Time, c *coreConn) {
	at, ok := c.Timeout()
	if !ok {
		c.want = time.Time{}
		return
	}
	if !at.After(now) {
		at = now.Add(time.Millisecond) // it has been called already, and had nothing to do
	}
	c.want = at
	switch {
	case c.index < 0:
		c.at = at
		heap.Push(&l.timers, c)
	case at.Before(c.at):
		c.at = at
		heap.Fix(&l.timers, c.index)
	}
}

// coreTimers is a heap of connections by their time.
type coreTimers []*coreConn

func (t coreTimers) Len() int           { return len(t) }
func (t coreTimers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t coreTimers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push is for package heap.
func (t *coreTimers) Push(x any) {
	c := x.(*coreConn)
	c.index = len(*t)
	*t = append(*t, c)
}

// Pop is for package heap.
func (t *coreTimers) Pop() any {
	old := *t
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	c.index = -1
	return c
}
