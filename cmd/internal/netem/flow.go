package netem

import (
	"math"
	"net/netip"
	"time"
)

// The sizes of a Flow's packets, in bytes of IP.
const (
	flowPacket = 1500
	flowAck    = 52 // with the timestamps and nothing else
)

// delayedAck is how long an acknowledgement waits for a second packet.
const delayedAck = 40 * time.Millisecond

// flowJitter is how long a receiver takes for an acknowledgement at most: about what the runner's link takes for a packet. Without it each
// packet would arrive at a full queue the moment a place in it is free, and all others would find it full.
const flowJitter = 1200 * time.Microsecond

// The constants of Cubic (RFC 9438).
const (
	cubicC    = 0.4
	cubicBeta = 0.7
)

// Flow is a TCP connection that sends towards clients as much as Cubic lets it (RFC 9438, with fast convergence and HyStart as Linux has
// them, slow start and fast recovery as in RFC 5681 and RFC 6675), for as long as the network lives: what competes with a download in the
// case crosstraffic.
type Flow struct {
	n        *Network
	size     int     // of its packets, in bytes of IP
	cwnd     float64 // packets
	ssthresh float64
	wMax     float64
	prior    float64   // cwnd before the last reduction
	wEst     float64   // what Reno would have
	k        float64   // seconds from epoch back to wMax
	epoch    time.Time // when congestion avoidance began; zero: not since the last reduction
	next     int       // the next packet to be sent
	inFlight map[int]time.Time
	acked    int // packets
	recover  int // packets below that were sent before the last reduction
	srtt     time.Duration
	delays   delays
	unacked  []int // by the receiver
	received int   // the highest packet there
	timer    int   // the number of the timeout that counts
}

// StartFlow begins a Flow whose packets are as large as packets are on most networks.
func (n *Network) StartFlow() *Flow { return n.startFlow(flowPacket) }

func (n *Network) startFlow(size int) *Flow {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := &Flow{n: n, size: size, cwnd: 10, ssthresh: math.Inf(1), inFlight: make(map[int]time.Time), received: -1}
	f.fill(time.Now())
	return f
}

// Bytes returns how many bytes of IP have arrived.
func (f *Flow) Bytes() int64 {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	return int64(f.acked) * int64(f.size)
}

// fill sends what the window allows.
func (f *Flow) fill(now time.Time) {
	for len(f.inFlight) < int(f.cwnd) {
		number := f.next
		f.next++
		f.inFlight[number] = now
		f.n.transmit(now, ToClient, &Packet{Dst: flowAddr, size: f.size, arrive: func(now time.Time) { f.onArrival(now, number) }})
	}
	f.timer++
	timer := f.timer
	f.n.at(now.Add(max(200*time.Millisecond, 2*f.srtt)), func(now time.Time) {
		if timer == f.timer { // nothing was acknowledged meanwhile
			clear(f.inFlight)
			f.reduce()
			f.cwnd = 1
			f.fill(now)
		}
	})
}

// flowAddr stands for a host that is no QUIC endpoint.
var flowAddr = netip.MustParseAddrPort("193.167.50.1:5001")

// onArrival is the receiver: each second packet is acknowledged, one behind a gap, or one that waits for delayedAck (RFC 5681, section 4.2).
func (f *Flow) onArrival(now time.Time, number int) {
	gap := number != f.received+1
	f.received = max(f.received, number)
	f.unacked = append(f.unacked, number)
	if gap || len(f.unacked) > 1 {
		f.ack(now)
		return
	}
	f.n.at(now.Add(delayedAck), func(now time.Time) {
		if len(f.unacked) > 0 && f.unacked[0] == number {
			f.ack(now)
		}
	})
}

func (f *Flow) ack(now time.Time) {
	numbers := f.unacked
	f.unacked = nil
	f.n.at(now.Add(time.Duration(f.n.rand.Int64N(int64(flowJitter)))), func(now time.Time) {
		f.n.transmit(now, ToServer, &Packet{Dst: flowAddr, size: flowAck, arrive: func(now time.Time) {
			for _, number := range numbers {
				f.onAck(now, number)
			}
			f.fill(now)
		}})
	})
}

// onAck is told of each packet that an acknowledgement tells of, with SACK.
func (f *Flow) onAck(now time.Time, number int) {
	sent, ok := f.inFlight[number]
	if !ok {
		return
	}
	delete(f.inFlight, number)
	f.acked++
	rtt := now.Sub(sent)
	if f.srtt == 0 {
		f.srtt = rtt
	}
	f.srtt += (rtt - f.srtt) / 8
	lost := false
	for other := range f.inFlight {
		if other <= number-3 { // three that were sent later have arrived
			delete(f.inFlight, other)
			lost = lost || other >= f.recover
		}
	}
	switch {
	case lost:
		f.reduce()
	case f.cwnd < f.ssthresh:
		if f.delays.grow(rtt, number, f.next) && math.IsInf(f.ssthresh, 1) {
			f.ssthresh = f.cwnd
		}
		f.cwnd++
	case number >= f.recover:
		f.grow(now)
	}
}

// reduce is RFC 9438, sections 4.6 and 4.7.
func (f *Flow) reduce() {
	f.recover, f.epoch, f.prior = f.next, time.Time{}, f.cwnd
	if f.cwnd < f.wMax {
		f.wMax = f.cwnd * (1 + cubicBeta) / 2
	} else {
		f.wMax = f.cwnd
	}
	f.cwnd = max(2, f.cwnd*cubicBeta)
	f.ssthresh = f.cwnd
}

// grow is RFC 9438, sections 4.2 to 4.5.
func (f *Flow) grow(now time.Time) {
	if f.epoch.IsZero() {
		f.epoch, f.wEst = now, f.cwnd
		f.wMax = max(f.wMax, f.cwnd)
		f.k = math.Cbrt((f.wMax - f.cwnd) / cubicC)
	}
	alpha := 1.0
	if f.wEst < f.prior {
		alpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
	}
	f.wEst += alpha / f.cwnd
	t := now.Sub(f.epoch).Seconds()
	if f.cubic(t) < f.wEst {
		f.cwnd = max(f.cwnd, f.wEst)
		return
	}
	target := min(max(f.cubic(t+f.srtt.Seconds()), f.cwnd), 1.5*f.cwnd)
	f.cwnd += (target - f.cwnd) / f.cwnd
}

func (f *Flow) cubic(t float64) float64 { return cubicC*math.Pow(t-f.k, 3) + f.wMax }

// delays is the half of HyStart, as Linux has it, that ends the first slow start when packets begin to queue: in a round trip the least of
// eight samples is an eighth above the least ever, 4 to 16 ms at the least and most.
type delays struct {
	least, round time.Duration // ever, and of this round trip
	samples, end int           // of this round trip, and the packet that ends it
}

// grow tells whether slow start is to end.
func (d *delays) grow(rtt time.Duration, number, next int) bool {
	if d.least == 0 || rtt < d.least {
		d.least = rtt
	}
	if number >= d.end {
		d.end, d.samples, d.round = next, 0, rtt
	}
	d.round = min(d.round, rtt)
	d.samples++
	return d.samples >= 8 && d.round > d.least+min(max(d.least/8, 4*time.Millisecond), 16*time.Millisecond)
}
