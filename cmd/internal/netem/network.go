package netem

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Network is two sides with hosts, and one link between them. All its methods are for any number of goroutines.
type Network struct {
	start time.Time

	mu     sync.Mutex
	rand   *rand.Rand
	nat    *NAT
	pipes  [2]*pipe
	hosts  [2]map[netip.AddrPort]host // by the side that they are on: the Direction that leads to it
	any    [2]host                    // for what is for no other host
	events eventQueue
	seq    int // of the last event
	timer  *time.Timer
	wakeAt time.Time
	record []Record
	ports  uint16 // that were chosen
	ended  bool
}

// host takes packets that arrive.
type host interface {
	receive(p *Packet)
}

// Record is a packet as it was seen at one end of the link, outside of it.
type Record struct {
	At   time.Time
	Side Side
	Sent bool // by that side, not received
	Packet
}

// Side is an end of the link.
type Side int

// The sides.
const (
	ServerSide = Side(ToServer) // where ToServer leads
	ClientSide = Side(ToClient)
)

// New returns a network, whose random draws come from seed. Models belong to one network.
func New(seed uint64, l Link) *Network {
	n := &Network{start: time.Now(), rand: rand.New(rand.NewPCG(seed, 0)), nat: l.NAT}
	for d := range n.pipes {
		mtu := l.MTU[d]
		if mtu == 0 {
			mtu = 1500
		}
		n.pipes[d] = &pipe{rate: l.Rate[d], delay: l.Delay[d], queue: l.Queue, mtu: mtu, aqm: l.AQM[d], models: l.Models[d]}
		n.hosts[d] = make(map[netip.AddrPort]host)
		for _, m := range l.Models[d] {
			if s, ok := m.(starter); ok {
				s.begin(n.start, n.rand)
			}
		}
		if s, ok := l.AQM[d].(starter); ok {
			s.begin(n.start, n.rand)
		}
	}
	if n.nat != nil {
		n.nat.begin(n.start, n.rand)
	}
	return n
}

// starter is a part of a network that needs to know the time at which it begins, or dice.
type starter interface {
	begin(now time.Time, dice *rand.Rand)
}

// SetMTU changes the MTU of a direction, in bytes.
func (n *Network) SetMTU(d Direction, mtu int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pipes[d].mtu = mtu
}

// Records returns what was seen on one side so far, in order. Data must not be changed.
func (n *Network) Records(side Side) (rs []Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.record {
		if r.Side == side {
			rs = append(rs, r)
		}
	}
	return rs
}

// Close has nothing arrive any more.
func (n *Network) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended, n.events = true, nil
	if n.timer != nil {
		n.timer.Stop()
	}
}

// send carries a packet from one side to the other.
func (n *Network) send(from Side, p *Packet) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	d := ToServer
	if from == ServerSide {
		d = ToClient
	}
	n.note(now, from, true, p)
	if n.nat != nil && d == ToServer {
		c := *p
		c.Src = n.nat.out(now, p.Src)
		p = &c
	}
	n.transmit(now, d, p)
}

// transmit sends a packet over the link. n.mu is held.
func (n *Network) transmit(now time.Time, d Direction, p *Packet) {
	at, ok := n.pipes[d].send(now, p)
	if !ok || n.ended {
		return
	}
	n.at(at, func(now time.Time) {
		n.pass(now, n.pipes[d].models, p, func(p *Packet, after time.Duration) {
			if after <= 0 {
				n.arrive(now, d, p)
				return
			}
			n.at(now.Add(after), func(now time.Time) { n.arrive(now, d, p) })
		})
	})
}

// pass has models act, in order, on a packet.
func (n *Network) pass(now time.Time, models []Model, p *Packet, deliver func(*Packet, time.Duration)) {
	if len(models) == 0 {
		deliver(p, 0)
		return
	}
	models[0].Pass(now, p, func(p *Packet, first time.Duration) {
		n.pass(now, models[1:], p, func(p *Packet, more time.Duration) { deliver(p, first+more) })
	})
}

// arrive gives a packet to whom it is for. n.mu is held.
func (n *Network) arrive(now time.Time, d Direction, p *Packet) {
	if p.arrive != nil {
		p.arrive(now)
		return
	}
	if n.nat != nil && d == ToClient {
		in, ok := n.nat.in(now, p.Dst)
		if !ok {
			return
		}
		c := *p
		c.Dst = in
		p = &c
	}
	h := n.hosts[d][p.Dst]
	if h == nil {
		h = n.any[d]
	}
	if h != nil {
		n.note(now, Side(d), false, p)
		h.receive(p)
	}
}

func (n *Network) note(now time.Time, side Side, sent bool, p *Packet) {
	if p.arrive == nil {
		n.record = append(n.record, Record{now, side, sent, *p})
	}
}

// attach makes a host known at an address; port 0 stands for a free one.
func (n *Network) attach(side Side, addr netip.AddrPort, h host) (netip.AddrPort, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr.Port() == 0 {
		n.ports++
		addr = netip.AddrPortFrom(addr.Addr(), 49152+n.ports)
	}
	if n.hosts[side][addr] != nil {
		return addr, fmt.Errorf("netem: %v is in use", addr)
	}
	n.hosts[side][addr] = h
	return addr, nil
}

func (n *Network) detach(side Side, addr netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.hosts[side], addr)
}

// event is something that happens at some time.
type event struct {
	at  time.Time
	seq int
	do  func(now time.Time)
}

// eventQueue is a heap of events.
type eventQueue []event

func (q eventQueue) Len() int      { return len(q) }
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}

// at has do be called at a time, with n.mu held. n.mu is held.
func (n *Network) at(at time.Time, do func(time.Time)) {
	n.seq++
	heap.Push(&n.events, event{at, n.seq, do})
	n.arm()
}

// arm sets the timer for the first event. n.mu is held.
func (n *Network) arm() {
	if len(n.events) == 0 || !n.wakeAt.IsZero() && !n.events[0].at.Before(n.wakeAt) {
		return
	}
	n.wakeAt = n.events[0].at
	wait := time.Until(n.wakeAt)
	if n.timer == nil {
		n.timer = time.AfterFunc(wait, n.onTimer)
	} else {
		n.timer.Reset(wait)
	}
}

func (n *Network) onTimer() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wakeAt = time.Time{}
	now := time.Now()
	for len(n.events) > 0 && !n.events[0].at.After(now) {
		e := heap.Pop(&n.events).(event)
		e.do(now)
	}
	n.arm()
}
