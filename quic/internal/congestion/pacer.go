package congestion

import (
	"math"
	"time"
)

const (
	// burstPackets is what may always leave at once (RFC 9002, section 7.7).
	burstPackets = 10

	// quantum is the time whose worth of bytes may leave at once, so that at high rates whole trains do.
	quantum = 2 * time.Millisecond

	// maxBurst bounds a burst whatever the rate: four trains of 64 KiB.
	maxBurst = 256 << 10
)

// Pacer spreads packets over the round trip: a bucket of bytes that fills at a rate (RFC 9002, section 7.7). Packets may
// leave while there is any credit, which may so become negative by one train.
type Pacer struct {
	credit int64 // bytes that may leave now
	last   int64 // when credit was last brought up to date; 0: never
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

// burst is how many bytes the bucket holds at that rate.
func burst(rate int64, maxDatagram int) int64 {
	return max(min(rate/int64(time.Second/quantum), maxBurst), burstPackets*int64(maxDatagram))
}

// Next returns when the next packet may leave: now, or the time at which the bucket is no longer empty. rate is in bytes per second.
func (p *Pacer) Next(now, rate int64, maxDatagram int) int64 {
	if rate == 0 {
		return now
	}
	p.fill(now, rate, maxDatagram)
	if p.credit > 0 {
		return now
	}
	// Wait until a tenth of a burst is there, so that trains stay whole.
	need := burst(rate, maxDatagram)/10 + 1 - p.credit
	return now + int64(float64(need)/float64(rate)*1e9) + 1
}

// Credit returns how many bytes may leave now; more than that may, if a datagram is larger.
func (p *Pacer) Credit() int64 { return p.credit }

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
