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
	timer     int // the number of the timeout that counts
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
		f.n.transmit(now, ToClient, &Packet{Dst: flowAddr, size: flowPacket, arrive: func(now time.Time) {
			f.n.transmit(now, ToServer, &Packet{Dst: flowAddr, size: flowAck, arrive: func(now time.Time) { f.onAck(now, number) }})
		}})
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

// onAck takes an acknowledgement of one packet: SACK tells of each.
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
	f.fill(now)
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
