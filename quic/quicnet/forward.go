package quicnet

import (
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// Between shards. The kernel steers datagrams to the shard that they are for. What comes to another one all the same, because the
// kernel cannot steer or a train held datagrams for several shards, is given to that shard by the goroutine that has read it:
// there is no queue that could be full, and nothing is copied.

// foreignTrain is a train that one shard has read and another is to take.
type foreignTrain struct {
	shard *shard
	train [1]udp.Train
}

// receiveSharded gives trains to the shards that they are for. It tells whether that woke anybody.
func (in *inbox) receiveSharded(now time.Time, trains []udp.Train) (woke bool) {
	for i := range trains {
		in.separate(trains[i])
	}
	woke = in.receive(now, in.shard, in.own)
	woke = in.receiveForeign(now) || woke
	in.findStrays()
	woke = in.receiveForeign(now) || woke
	clear(in.own)
	in.own = in.own[:0]
	return woke
}

func (in *inbox) receiveForeign(now time.Time) (woke bool) {
	for i := range in.foreign {
		f := &in.foreign[i]
		woke = in.receive(now, f.shard, f.train[:]) || woke
	}
	clear(in.foreign)
	in.foreign = in.foreign[:0]
	return woke
}

// separate cuts a train into pieces that are each for one shard.
func (in *inbox) separate(t udp.Train) {
	for len(t.Buf) > 0 {
		piece := t
		to, n := in.shard.ep.frontOf(t, in.shard)
		piece.Buf, t.Buf = t.Buf[:n:n], t.Buf[n:]
		if to == in.shard {
			in.own = append(in.own, piece)
		} else {
			in.foreign = append(in.foreign, foreignTrain{to, [1]udp.Train{piece}})
		}
	}
}

// frontOf returns which shard the front of a train is for, and how many bytes that is. What does not say is for here.
func (ep *Endpoint) frontOf(t udp.Train, here *shard) (to *shard, n int) {
	for n < len(t.Buf) {
		d := t.Buf[n:]
		if t.SegSize > 0 && t.SegSize < len(d) {
			d = d[:t.SegSize]
		}
		sh := here
		if i := ep.steering.shardOf(d); i >= 0 {
			sh = ep.shards[i]
		}
		if n > 0 && sh != to {
			break
		}
		to = sh
		n += len(d)
	}
	return to, n
}

// noteStray remembers a datagram that a shard has answered for want of a connection: it may be a stateless reset, which does not
// carry a connection ID of ours and so may be for a connection of any shard (RFC 9000, section 10.3). What has a long header
// is none. The rate at which the core answers bounds what looking for it costs.
func (in *inbox) noteStray(sh *shard, d udp.Train) {
	if sh.ep.steering != nil && d.Buf[0]&0x80 == 0 {
		in.strays = append(in.strays, foreignTrain{sh, [1]udp.Train{d}})
	}
}

// findStrays has strays taken by the shards that know what they are for.
func (in *inbox) findStrays() {
	for _, stray := range in.strays {
		u := stray.train[0]
		t := quic.Train{Buf: u.Buf, Local: u.Local, Remote: u.Remote}
		for _, sh := range in.shard.ep.shards {
			if sh != stray.shard && sh.has(t) {
				in.foreign = append(in.foreign, foreignTrain{sh, stray.train})
				break
			}
		}
	}
	clear(in.strays)
	in.strays = in.strays[:0]
}

// has tells whether the shard has the connection that a datagram is for.
func (sh *shard) has(t quic.Train) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.core.Has(t)
}
