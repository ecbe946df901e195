package quicnet

import (
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/boringquic/boringquic/quic/udp"
)

// The way out. Only one goroutine at a time has the right to send for a connection (Conn.flushing): whoever makes it want to
// send while nobody has. It packs trains under the connection's lock and sends them after letting go of it, until nothing is
// left; what others add meanwhile goes with it. It keeps the right until the last train has left, and not only until it is packed:
// trains leave in the order in which they were packed, and whoever has got the right knows that all before has left (Close).

// outbox is a buffer in which trains of connections wait to be sent together.
type outbox struct {
	buf    []byte
	used   int
	count  int         // trains that wait
	main   sendBatch   // those that leave by the first socket of a shard
	others []sendBatch // by others: nearly always none
	idle   []*Conn     // those that have no more to send, but trains here
	again  []*Conn     // those of them that had something again when their trains had left
	single [1]*Conn    // for flush
}

// sendBatch is trains that leave together by one socket.
type sendBatch struct {
	sock   *udp.Socket
	trains []udp.Train
	owners []*Conn // of each train
}

// takeOutbox lends an outbox. Nearly always one is all that a shard has: what lies in memory for another moment has the next garbage
// collection come sooner.
func (sh *shard) takeOutbox() *outbox {
	sh.free.Lock()
	defer sh.free.Unlock()
	if n := len(sh.outboxes); n > 0 {
		o := sh.outboxes[n-1]
		sh.outboxes = sh.outboxes[:n-1]
		return o
	}
	return &outbox{main: sendBatch{sock: sh.sock}, buf: make([]byte, sendRoom)}
}

func (sh *shard) putOutbox(o *outbox) {
	sh.free.Lock()
	defer sh.free.Unlock()
	if len(sh.outboxes) < keepOutboxes {
		sh.outboxes = append(sh.outboxes, o)
	}
}

// claim takes the right to send, if nobody has it. Whoever has it is told that there is more to be sent. c.mu is held.
func (c *Conn) claim() bool {
	if c.flushing {
		c.more = true
		return false
	}
	c.flushing = true
	return true
}

// release gives the right to send back. c.mu is held.
func (c *Conn) release() {
	c.flushing, c.more, c.packed = false, false, false
	c.flushed.wake()
}

// flush sends what the connection has to send. The caller has the right to send, which flush gives back or hands over. The error
// is that of the last train that could not be sent.
func (c *Conn) flush() error {
	o := c.shard.takeOutbox()
	defer c.shard.putOutbox(o)
	o.single[0] = c
	left, err := o.flush(o.single[:], turnTrains)
	if len(left) > 0 {
		c.shard.sched.takeOver(c)
	}
	o.single[0] = nil
	return err
}

// flush is flush for many connections. It returns those that are not finished, with the right to send.
func (sh *shard) flush(conns []*Conn) (left []*Conn) {
	if len(conns) == 0 {
		return nil
	}
	o := sh.takeOutbox()
	defer sh.putOutbox(o)
	left, _ = o.flush(conns, turnTrains)
	return left
}

// flushSoon is flush for an application's goroutine that has written n bytes: it lets others go first, whose writes then leave in
// the same train. Where it writes little again and again, with nothing received in between, its own writes are gathered: they
// leave when the scheduler's goroutine gets its turn. So do large ones, which would each end with a train that is not full: while
// the scheduler sends, the next one is written. But where it sends for others already, and there is another processor, the
// caller sends.
func (c *Conn) flushSoon(n int) {
	s := &c.shard.sched
	if c.unprompted.Add(1) > gatherAfter && n < gatherBelow || n >= trainRoom && !(s.parallel && s.sending.Load()) {
		s.takeOver(c)
		return
	}
	runtime.Gosched()
	c.flush()
}

// flush sends what connections have to send, in turns of one train each, as many trains together as o has room for: the less often
// the peer is woken, the less both sides spend. The caller has the right to send for all of them, which flush gives back but for those
// that it returns: they are not finished after so many turns. conns is used up.
func (o *outbox) flush(conns []*Conn, turns int) (left []*Conn, lost error) {
	all := conns
	for ; len(conns) > 0 && turns > 0; turns-- {
		now := time.Now()
		kept := conns[:0]
		for _, c := range conns {
			if len(o.buf)-o.used < trainRoom || o.count == maxSendBatch {
				o.send(&lost)
			}
			if o.pack(now, c) {
				kept = append(kept, c)
			}
		}
		if turns == 1 || len(kept) == 0 {
			o.send(&lost)
		}
		conns = append(kept, o.again...) // they have all been of conns
		clear(o.again)
		o.again = o.again[:0]
		clear(all[len(conns):])
	}
	return conns, lost
}

// pack adds the next train of a connection. false says that it has none, and that the right to send was given back, or will be when
// its trains have left.
func (o *outbox) pack(now time.Time, c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.sendTrain(now, o.buf[o.used:])
	c.handleEvents(now) // writers may go on, and packing may have found out that the connection is at its end
	c.more = false
	if t.N == 0 {
		c.arm(now)
		if c.packed && o.count > 0 {
			o.idle = append(o.idle, c)
		} else {
			c.release()
		}
		return false
	}
	c.packed = true
	b := &o.main
	if set := c.shard.sockets.Load(); set != nil {
		b = o.batchFor(c, set, t.Local)
	}
	b.trains = append(b.trains, udp.Train{
		Buf: o.buf[o.used : o.used+t.N], SegSize: t.SegSize, Local: t.Local, Remote: t.Remote, ECN: uint8(t.ECN),
	})
	b.owners = append(b.owners, c)
	o.used += t.N
	o.count++
	return true
}

// batchFor returns the batch for trains from a local address.
func (o *outbox) batchFor(c *Conn, set *socketSet, local netip.AddrPort) *sendBatch {
	s := set.find(local)
	if s == c.shard.first {
		return &o.main
	}
	var sock *udp.Socket // what has none is lost: the path is being given up
	if s != nil {
		sock = s.sock
	}
	for i := range o.others {
		if o.others[i].sock == sock {
			return &o.others[i]
		}
	}
	o.others = append(o.others, sendBatch{sock: sock})
	return &o.others[len(o.others)-1]
}

// send sends all trains. What cannot be sent is lost, as on the network. Then connections that had no more to send give the right to
// send back, or go to again.
func (o *outbox) send(lost *error) {
	if o.count == 0 {
		return
	}
	o.main.send(lost)
	if len(o.others) > 0 {
		for i := range o.others {
			o.others[i].send(lost)
		}
		clear(o.others) // their sockets come and go
		o.others = o.others[:0]
	}
	o.used, o.count = 0, 0
	for i, c := range o.idle {
		if c.settle() {
			o.again = append(o.again, c)
		}
		o.idle[i] = nil
	}
	o.idle = o.idle[:0]
}

// send sends the batch, and tells connections which of their trains could not be sent.
func (b *sendBatch) send(lost *error) {
	if len(b.trains) == 0 {
		return
	}
	err := net.ErrClosed
	if b.sock != nil {
		err = b.sock.Send(b.trains)
	}
	if err != nil {
		*lost = err
		now := time.Now()
		for i, c := range b.owners {
			if t := &b.trains[i]; t.Err != nil {
				c.onSendError(now, t)
			}
		}
	}
	clear(b.owners)
	b.trains, b.owners = b.trains[:0], b.owners[:0]
}

// settle gives the right to send back for a connection whose trains have left, unless it has more to send since.
func (c *Conn) settle() (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.more {
		c.packed = false
		return true
	}
	c.release()
	return false
}
