package congestion

import (
	"math"
	"time"
)

// The constants of CUBIC (RFC 9438, sections 4.1 and 4.6).
const (
	cubicC       = 0.4 // segments per second cubed
	cubicBetaNum = 7   // beta is 0.7
	cubicBetaDen = 10
)

// CUBIC is the controller of RFC 9438, with HyStart++.
type CUBIC struct {
	window
	wMax       float64 // the window, in segments, at the last reduction
	k          float64 // seconds that the cubic function takes from the reduction back to wMax
	epochStart int64   // when congestion avoidance began; 0: not yet
	wEst       float64 // what Reno would have, in segments
	priorWMax  float64
	stalled    int64 // since when the application limits us; 0: it does not
	idle       int64 // since when nothing is in flight; 0: something is
}

// NewCUBIC returns a CUBIC controller for datagrams of at most maxDatagram bytes.
func NewCUBIC(maxDatagram int) *CUBIC { return &CUBIC{window: newWindow(maxDatagram)} }

// SetMaxDatagram tells the largest datagram: the function counts in those, and goes on from where the window is.
func (c *CUBIC) SetMaxDatagram(size int) {
	ratio := float64(c.maxDatagram) / float64(size)
	c.wMax *= ratio
	c.priorWMax *= ratio
	c.epochStart, c.stalled = 0, 0
	c.window.SetMaxDatagram(size)
}

// OnAck grows the window.
func (c *CUBIC) OnAck(now int64, a Ack) {
	c.skipIdle(now, a)
	if c.inRecovery(a.NewestSent) {
		return
	}
	if a.AppLimited {
		if c.stalled == 0 {
			c.stalled = now
		}
		return
	}
	if c.stalled != 0 {
		c.shiftEpoch(now)
	}
	if c.SlowStart() {
		c.growSlowStart(a)
		return
	}
	c.avoid(now, a)
}

// skipIdle takes the time in which nothing was in flight out of the cubic function. It ends with the first packet after it,
// not with that packet's acknowledgement: a small window is empty once in every round trip, and must grow all the same.
func (c *CUBIC) skipIdle(now int64, a Ack) {
	if c.idle != 0 && c.epochStart != 0 && c.stalled == 0 {
		c.epochStart += max(a.OldestSent-c.idle, 0)
	}
	c.idle = 0
	if a.InFlight == 0 {
		c.idle = now
	}
}

// shiftEpoch takes the time in which the application sent too little out of the cubic function (RFC 9438, section 5.8).
func (c *CUBIC) shiftEpoch(now int64) {
	if c.epochStart != 0 {
		c.epochStart += now - c.stalled
	}
	c.stalled = 0
}

// avoid is congestion avoidance (RFC 9438, sections 4.2 to 4.5).
func (c *CUBIC) avoid(now int64, a Ack) {
	segment := float64(c.maxDatagram)
	cwnd := float64(c.cwnd) / segment
	if c.epochStart == 0 {
		c.epochStart = now
		c.wEst = cwnd
		if cwnd < c.wMax {
			c.k = math.Cbrt((c.wMax - cwnd) / cubicC)
		} else {
			c.wMax, c.k = cwnd, 0
		}
	}
	// alpha is below 1 until the estimate has caught up with the window before the reduction (section 4.3).
	alpha := 1.0
	if c.wEst*segment < float64(c.before.cwnd) {
		alpha = 3 * (1 - 0.7) / (1 + 0.7)
	}
	c.wEst += alpha * float64(a.Bytes) / float64(c.cwnd)

	t := time.Duration(now - c.epochStart).Seconds()
	if c.cubic(t) < c.wEst {
		c.setWindow(c.wEst * segment) // the Reno-friendly region
		return
	}
	target := min(max(c.cubic(t+a.SRTT.Seconds()), cwnd), 1.5*cwnd)
	c.setWindow(float64(c.cwnd) + (target-cwnd)/cwnd*float64(a.Bytes))
}

// cubic is the window, in segments, t seconds into the epoch.
func (c *CUBIC) cubic(t float64) float64 { return cubicC*math.Pow(t-c.k, 3) + c.wMax }

func (c *CUBIC) setWindow(bytes float64) {
	c.cwnd = min(max(int64(bytes), c.cwnd), MaxWindow)
}

// OnCongestion reduces the window to 0.7 of it.
func (c *CUBIC) OnCongestion(now, sent int64) {
	if c.inRecovery(sent) {
		return
	}
	cwnd := float64(c.cwnd) / float64(c.maxDatagram)
	c.priorWMax = c.wMax
	if cwnd < c.wMax {
		cwnd *= (1 + 0.7) / 2 // fast convergence: make room for new flows (section 4.7)
	}
	c.wMax = cwnd
	c.epochStart, c.stalled = 0, 0
	c.reduce(now, cubicBetaNum, cubicBetaDen)
}

// OnSpurious takes the last reaction back (section 4.9).
func (c *CUBIC) OnSpurious() {
	if c.before.cwnd <= c.cwnd {
		return
	}
	c.cwnd, c.ssthresh, c.wMax = c.before.cwnd, c.before.ssthresh, max(c.priorWMax, c.wMax)
	c.epochStart = 0
}

// OnPersistentCongestion falls to the minimum window.
func (c *CUBIC) OnPersistentCongestion() {
	c.cwnd, c.recoveryStart, c.epochStart, c.stalled = c.minimum(), 0, 0, 0
}
