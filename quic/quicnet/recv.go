package quicnet

import (
	"net/netip"
	"runtime"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// The way in. One goroutine reads a socket. It routes a batch of trains under the endpoint's lock, and then gives each
// connection all that is for it under one hold of the connection's lock. Whom that wakes goes next, so that answers leave
// together with acknowledgements.

// inbox is what the reading goroutine of a socket works with.
type inbox struct {
	sock    *udp.Socket
	shard   *shard
	batch   int         // the most that trains grows to
	trains  []udp.Train // to be received into
	parts   []part
	touched []*Conn // connections with parts
	claimed []*Conn // those of them that we have the right to send for
	replies []udp.Train
	buf     []byte // of replies
	full    bool   // the last batch was as large as it could be

	// Where there are several shards: the trains, and parts of trains, that are for this one, those that are for others, and datagrams
	// that none expected.
	own     []udp.Train
	foreign []foreignTrain
	strays  []foreignTrain
}

// part is a piece of a train that is for one connection. The parts of a connection are chained in the order in which they
// arrived.
type part struct {
	train quic.Train
	next  int // index into inbox.parts; -1: none
}

// newInbox makes an inbox that receives up to batch trains at once, when it has seen that so many come.
func newInbox(s *socket, batch int) *inbox {
	in := &inbox{sock: s.sock, shard: s.shard, batch: batch}
	in.growTo(min(recvBatchFirst, batch))
	return in
}

// growTo has n trains be received at once.
func (in *inbox) growTo(n int) {
	for len(in.trains) < n {
		in.trains = append(in.trains, udp.Train{Buf: make([]byte, udp.RecvBufSize)})
	}
}

// onBatch has twice as many trains be received at once where as many as could be have come twice in a row.
func (in *inbox) onBatch(n int) {
	full := n == len(in.trains)
	if full && in.full {
		in.growTo(min(2*n, in.batch))
		full = false
	}
	in.full = full
}

// read reads the socket until it is closed, and returns why it ended.
func (in *inbox) read() error {
	for {
		n, err := in.sock.Recv(in.trains)
		if err != nil {
			return err
		}
		now := time.Now()
		woke := false
		if in.shard.ep.steering == nil {
			woke = in.receive(now, in.shard, in.trains[:n])
		} else {
			woke = in.receiveSharded(now, in.trains[:n])
		}
		if woke {
			runtime.Gosched()
		}
		left := in.shard.flush(in.claimed)
		for i, c := range left {
			c.shard.sched.takeOver(c)
			left[i] = nil
		}
		in.claimed = in.claimed[:0]
		in.onBatch(n)
	}
}

// receive has a shard take trains that are for it. It tells whether that woke anybody.
func (in *inbox) receive(now time.Time, sh *shard, trains []udp.Train) (woke bool) {
	sh.receiving.Lock()
	in.route(now, sh, trains)
	woke = in.deliver(now)
	sh.receiving.Unlock()
	in.sendReplies()
	return woke
}

// route sorts trains by connection, and answers what is for none.
func (in *inbox) route(now time.Time, sh *shard, trains []udp.Train) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i := range trains {
		in.routeTrain(now, sh, &trains[i])
	}
}

func (in *inbox) routeTrain(now time.Time, sh *shard, u *udp.Train) {
	defer sh.guard()
	t := quic.Train{Buf: u.Buf, SegSize: u.SegSize, Local: u.Local, Remote: u.Remote, ECN: quic.ECN(u.ECN)}
	for len(t.Buf) > 0 {
		if len(in.replies) == replyBatch {
			sh.mu.Unlock()
			in.sendReplies()
			sh.mu.Lock()
		}
		r := sh.core.Route(now, t, in.replyBuf())
		if r.Reply > 0 {
			in.noteStray(sh, udp.Train{Buf: t.Buf[:r.N], Local: t.Local, Remote: t.Remote})
			in.replies = append(in.replies, udp.Train{Buf: in.replyBuf()[:r.Reply], Local: t.Local, Remote: t.Remote})
		}
		if r.Conn != nil {
			rest := t
			t.Buf = t.Buf[:r.N:r.N]
			in.add(sh.connOf(r), t)
			t = rest
		}
		t.Buf = t.Buf[r.N:]
	}
}

// connOf returns the Conn around one of the core's. sh.mu is held.
func (sh *shard) connOf(r quic.Routed) *Conn {
	if r.New {
		return sh.adopt(r.Conn, false)
	}
	return r.Conn.UserData().(*Conn)
}

// replyBuf returns the space for the next reply.
func (in *inbox) replyBuf() []byte {
	if in.buf == nil {
		in.buf = make([]byte, replyBatch*replyRoom)
	}
	off := len(in.replies) * replyRoom
	return in.buf[off : off+replyRoom : off+replyRoom]
}

func (in *inbox) sendReplies() {
	if len(in.replies) > 0 {
		in.sock.Send(in.replies)
		in.replies = in.replies[:0]
	}
}

// add chains a part to those of its connection.
func (in *inbox) add(c *Conn, t quic.Train) {
	i := len(in.parts)
	in.parts = append(in.parts, part{t, -1})
	if c.lastPart < 0 {
		c.firstPart = i
		in.touched = append(in.touched, c)
	} else {
		in.parts[c.lastPart].next = i
	}
	c.lastPart = i
}

// noteLocal notes the IP that the peer's packets come to, if that is on the path in use. c.mu is held.
func (c *Conn) noteLocal(local netip.AddrPort) {
	if !local.Addr().IsUnspecified() && local.Port() == c.core.LocalAddr().Port() {
		c.heardAt = local.Addr()
	}
}

// deliver gives each connection its parts. It tells whether that woke anybody.
func (in *inbox) deliver(now time.Time) (woke bool) {
	for i, c := range in.touched {
		c.unprompted.Store(0)
		c.mu.Lock()
		if local := in.parts[c.firstPart].train.Local; c.client && local.Addr() != c.heardAt {
			c.noteLocal(local)
		}
		for p := c.firstPart; p >= 0; p = in.parts[p].next {
			c.recvTrain(now, in.parts[p].train)
			if c.core.DatagramsReadable() > keepDatagrams {
				c.handleEvents(now)
				c.mu.Unlock()
				runtime.Gosched()
				c.mu.Lock()
			}
		}
		c.lastPart = -1
		if c.roam != nil {
			c.roam.onReceived()
		}
		if c.handleEvents(now) {
			woke = true
		}
		if c.claim() {
			in.claimed = append(in.claimed, c)
		}
		c.mu.Unlock()
		in.touched[i] = nil
	}
	in.touched = in.touched[:0]
	clear(in.parts)
	in.parts = in.parts[:0]
	return woke
}
