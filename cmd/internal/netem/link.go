package netem

import (
	"net/netip"
	"time"
)

// Direction is a direction of the link.
type Direction int

// The directions of a link, which are indexes of Link's arrays, too.
const (
	ToServer Direction = iota
	ToClient
)

// Both returns an array with one value for both directions.
func Both[T any](v T) [2]T { return [2]T{v, v} }

// Packet is a UDP datagram, or a packet of something else that shares the link.
type Packet struct {
	Src, Dst netip.AddrPort
	ECN      uint8 // RFC 3168
	Data     []byte

	arrive func(now time.Time) // set: it is a Flow's, and this is called in place of a delivery
	size   int                 // of a Flow's packet with its headers, in bytes
}

// The sizes of headers, in bytes.
const (
	ppp  = 2
	ipv4 = 20
	ipv6 = 40
	udp  = 8
)

// ipSize returns the size of the IP packet, in bytes.
func (p *Packet) ipSize() int {
	switch {
	case p.arrive != nil:
		return p.size
	case p.Dst.Addr().Is4():
		return len(p.Data) + udp + ipv4
	}
	return len(p.Data) + udp + ipv6
}

// Link says what a network is like. Arrays have a value for each Direction.
type Link struct {
	Rate  [2]int64         // bit/s; 0: without limit
	Delay [2]time.Duration // of propagation
	Queue int              // packets that wait in each direction, beside one in the device that waits for the one being sent
	MTU   [2]int           // the largest IP packet, in bytes; 0: 1500
	AQM   [2]AQM           // nil: none

	// Models act where packets arrive, one after the other.
	Models [2][]Model

	// NAT, if not nil, stands at the client's end.
	NAT *NAT
}

// AQM judges a packet that joins a queue in which it will wait for so long: it may mark it, or return false to drop it.
type AQM interface {
	Join(now time.Time, wait time.Duration, p *Packet) bool
}

// Model acts on a packet that arrives. It calls deliver for each copy that goes on, at once or with a further delay; it may change the
// packet, whose Data is its own.
type Model interface {
	Pass(now time.Time, p *Packet, deliver func(p *Packet, after time.Duration))
}

// pipe is one direction of a link.
type pipe struct {
	rate   int64
	delay  time.Duration
	queue  int
	mtu    int
	aqm    AQM
	models []Model
	starts []time.Time // when the packets that are in the queue will begin to be sent
	free   time.Time   // when the device has sent all that is queued
}

// send returns when a packet that is handed to the link now arrives at the other end; false: it is dropped.
func (l *pipe) send(now time.Time, p *Packet) (at time.Time, ok bool) {
	if p.ipSize() > l.mtu {
		return at, false
	}
	if l.rate == 0 {
		return now.Add(l.delay), true
	}
	for len(l.starts) > 0 && !l.starts[0].After(now) {
		l.starts = l.starts[1:]
	}
	start := l.free
	if start.Before(now) {
		start = now
	}
	if len(l.starts) >= l.queue+1 || l.aqm != nil && !l.aqm.Join(now, start.Sub(now), p) {
		return at, false
	}
	if start.After(now) {
		l.starts = append(l.starts, start)
	}
	l.free = start.Add(time.Duration(int64(p.ipSize()+ppp) * 8 * int64(time.Second) / l.rate))
	return l.free.Add(l.delay), true
}
