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

// Flow is a TCP connection that sends towards clients as much as Cubic lets it (RFC 9438, with slow start and fast recovery as RFC 5681
// and RFC 6675 have them), for as long as the network lives: what competes with a download in the case crosstraffic.
type Flow struct {
	n         *Network
	cwnd      float64 // packets
	ssthresh  float64
	wMax      float64
	epoch     time.Time // of the last reduction; zero: none
	next      int       // the next packet to be sent
	inFlight  map[int]time.Time
	acked     int // packets
	recover   int // packets below that were sent before the last reduction
	srtt, min time.Duration
	unacked   []int // by the receiver
	timer     int   // the number of the timeout that counts
}

// StartFlow begins a Flow.
func (n *Network) StartFlow() *Flow {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := &Flow{n: n, cwnd: 10, ssthresh: math.Inf(1), inFlight: make(map[int]time.Time)}
	f.fill(time.Now())
	return f
}

// Bytes returns how many bytes of IP have arrived.
func (f *Flow) Bytes() int64 {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	return int64(f.acked) * flowPacket
}

// fill sends what the window allows.
func (f *Flow) fill(now time.Time) {
	for len(f.inFlight) < int(f.cwnd) {
		number := f.next
		f.next++
		f.inFlight[number] = now
		f.n.transmit(now, ToClient, &Packet{Dst: flowAddr, size: flowPacket, arrive: func(now time.Time) { f.onArrival(now, number) }})
	}
	f.timer++
	timer := f.timer
	f.n.at(now.Add(max(200*time.Millisecond, 2*f.srtt)), func(now time.Time) {
		if timer == f.timer { // nothing was acknowledged meanwhile
			clear(f.inFlight)
			f.reduce(now)
			f.cwnd = 1
			f.fill(now)
		}
	})
}

// flowAddr stands for a host that is no QUIC endpoint.
var flowAddr = netip.MustParseAddrPort("193.167.50.1:5001")

// onArrival is the receiver: each second packet is acknowledged, or one that waits for delayedAck (RFC 5681, section 4.2).
func (f *Flow) onArrival(now time.Time, number int) {
	f.unacked = append(f.unacked, number)
	if len(f.unacked) > 1 {
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
		f.srtt, f.min = rtt, rtt
	}
	f.srtt += (rtt - f.srtt) / 8
	f.min = min(f.min, rtt)
	lost := false
	for other := range f.inFlight {
		if other <= number-3 { // three that were sent later have arrived
			delete(f.inFlight, other)
			lost = lost || other >= f.recover
		}
	}
	switch {
	case lost:
		f.reduce(now)
	case f.cwnd < f.ssthresh:
		f.cwnd++
	case number >= f.recover:
		f.grow(now)
	}
}

func (f *Flow) reduce(now time.Time) {
	f.recover, f.epoch = f.next, now
	f.wMax = f.cwnd
	f.cwnd = max(2, f.cwnd*cubicBeta)
	f.ssthresh = f.cwnd
}

// grow is RFC 9438, sections 4.2 and 4.3.
func (f *Flow) grow(now time.Time) {
	t := now.Sub(f.epoch).Seconds()
	k := math.Cbrt(f.wMax * (1 - cubicBeta) / cubicC)
	target := cubicC*math.Pow(t+f.srtt.Seconds()-k, 3) + f.wMax
	reno := f.wMax*cubicBeta + 3*(1-cubicBeta)/(1+cubicBeta)*t/f.srtt.Seconds()
	target = min(max(target, reno, f.cwnd), 1.5*f.cwnd)
	f.cwnd += (target - f.cwnd) / f.cwnd
}
