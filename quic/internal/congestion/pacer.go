package congestion

import (
	"math"
	"time"
)

const (
	// quantum is the time whose worth of bytes may leave at once, so that at high rates whole trains do.
	quantum = 2 * time.Millisecond

	// maxBurst bounds a burst whatever the rate: four trains of 64 KiB.
	maxBurst = 256 << 10

	// trainTime is the time whose worth of bytes a train has, at most maxTrain bytes.
	trainTime = time.Millisecond
	maxTrain  = 64 << 10
)

// Pacer spreads packets over the round trip: a bucket of bytes that fills at a rate (RFC 9002, section 7.7). Packets may
// leave while there is any credit, which may so become negative by one packet. Once it is used up, none may until it is enough
// for a train: what costs most about a datagram is to send it alone.
type Pacer struct {
	credit  int64 // bytes that may leave now
	last    int64 // when credit was last brought up to date; 0: never
	filling bool  // credit was used up, and is not yet enough for a train
}

// Train is how many bytes should be able to leave before any do: as much as trainTime brings, but no more than an eighth of the window,
// which leaves acknowledgements to come meanwhile and spares short queues, nor than a system call takes; and one datagram in any case.
// Where the rate is low that is all: to wait for a second one saves next to nothing there, leaves a part of the window unused, and of two
// datagrams that leave at once the second is the one for which a full queue has no place (RFC 9002, section 7.7).
func Train(rate, window int64, maxDatagram int) int64 {
	return max(min(rate/int64(time.Second/trainTime), window/8, maxTrain), int64(maxDatagram))
}

// Rate returns bytes per second: 1.25 windows per round trip, 2 in slow start. Zero says that there is no pacing: no RTT is known.
func Rate(window int64, srtt time.Duration, slowStart bool) int64 {
	if srtt <= 0 {
		return 0
	}
	gain := 1.25
	if slowStart {
		gain = 2
	}
	return max(int64(gain*float64(window)/srtt.Seconds()), 1)
}

// burst is how many bytes the bucket holds at that rate: an initial window of ten packets at the least (RFC 9002, section 7.7).
func burst(rate int64, maxDatagram int) int64 {
	return max(min(rate/int64(time.Second/quantum), maxBurst), initialWindow(initialPackets, int64(maxDatagram)))
}

// Next returns when the next packet may leave: now, or the time at which there will be enough for a train. rate is in bytes per
// second, train in bytes.
func (p *Pacer) Next(now, rate int64, maxDatagram int, train int64) int64 {
	if rate == 0 {
		return now
	}
	p.fill(now, rate, maxDatagram)
	p.filling = p.credit <= 0 || p.filling && p.credit < train
	if !p.filling {
		return now
	}
	return now + int64(float64(train-p.credit)/float64(rate)*1e9) + 1
}

// Ready tells whether another packet may leave at the time for which Next was called last.
func (p *Pacer) Ready() bool { return p.credit > 0 && !p.filling }

// OnSent takes bytes out of the bucket. Before the first rate is known, that is forgotten.
func (p *Pacer) OnSent(bytes int64) { p.credit -= bytes }

func (p *Pacer) fill(now, rate int64, maxDatagram int) {
	full := burst(rate, maxDatagram)
	if p.last == 0 {
		p.credit, p.last = full, now
		return
	}
	if now <= p.last {
		return
	}
	earned := float64(now-p.last) * float64(rate) / 1e9
	if float64(p.credit)+earned >= float64(full) {
		p.credit, p.last = full, now
		return
	}
	p.credit += int64(earned)
	p.last += int64(math.Trunc(earned) * 1e9 / float64(rate)) // what is left is not yet worth a byte
}
