package congestion

import "time"

// The constants of HyStart++ (RFC 9406, section 4.3).
const (
	minRTTThreshold  = 4 * time.Millisecond
	maxRTTThreshold  = 16 * time.Millisecond
	minRTTDivisor    = 8
	rttSamples       = 8
	cssGrowthDivisor = 4
	cssRounds        = 5
)

// hystart leaves slow start when the RTT grows, before packets are lost: HyStart++ (RFC 9406).
type hystart struct {
	roundEnd  int64 // the round ends when this packet number is acknowledged
	started   bool
	off       bool // slow start ends when a packet is lost
	samples   int32
	lastMin   time.Duration // the smallest RTT of the round before; 0: none
	roundMin  time.Duration // of this round; 0: none
	cssBase   time.Duration // the RTT at which conservative slow start began; 0: not in it
	cssRounds int
}

// onAck returns by how much growth is to be divided, and whether slow start is over.
func (h *hystart) onAck(a Ack) (divisor int64, exit bool) {
	if !h.started {
		h.started, h.roundEnd = true, a.LargestPN
	}
	if a.LatestRTT > 0 {
		if h.roundMin == 0 || a.LatestRTT < h.roundMin {
			h.roundMin = a.LatestRTT
		}
		h.samples++
	}
	h.judge()
	if a.NewestPN >= h.roundEnd {
		exit = h.endRound(a.LargestPN)
	}
	if h.cssBase > 0 {
		return cssGrowthDivisor, exit
	}
	return 1, exit
}

// judge enters or leaves conservative slow start.
func (h *hystart) judge() {
	if h.samples < rttSamples || h.roundMin == 0 {
		return
	}
	if h.cssBase > 0 {
		if h.roundMin < h.cssBase {
			h.cssBase, h.cssRounds = 0, 0 // the growth of the RTT was noise
		}
		return
	}
	if h.lastMin == 0 {
		return
	}
	threshold := min(max(h.lastMin/minRTTDivisor, minRTTThreshold), maxRTTThreshold)
	if h.roundMin >= h.lastMin+threshold {
		h.cssBase, h.cssRounds = h.roundMin, 0
	}
}

func (h *hystart) endRound(largestPN int64) (exit bool) {
	h.roundEnd = largestPN
	h.lastMin, h.roundMin, h.samples = h.roundMin, 0, 0
	if h.cssBase > 0 {
		h.cssRounds++
	}
	return h.cssRounds >= cssRounds
}
