package quic

import (
	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// elicitEvery is after how many ack-eliciting packets an acknowledgement is due, unless the peer asks for something else (RFC 9000,
// section 13.2.2). A train counts as a whole, so that where packets arrive fast enough to come in trains there are fewer.
//
// Others have one for ten packets once a hundred were received, in order, which RFC 9000 does not rule out. But a receiver does not know
// the window that ten packets are a part of: in the simulator that costs a tenth of goodput where losses keep the window small. Who
// sends knows, and asks.
const elicitEvery = 2

// Reordering that is seen is told apart from loss: a packet whose number is below the largest was overtaken, since what is sent again
// has another number. Each such packet counts lateWeight, up to maxLate, and each that is in order takes one off; from manyLate on
// the path is one that reorders.
//
// Deviation: on such a path neither each gap and what fills it, nor each second packet, is told at once, as RFC 9000, sections 13.2.1 and
// 13.2.2, would have it. Nearly each packet there begins a gap or fills one, and a sender with the packet threshold of RFC 9002, section
// 6.1.1, takes for lost what an acknowledgement finds overtaken by three others. So an acknowledgement waits for an eighth of a round
// trip, within which most of what is late comes, or for sixteen packets: quinn sends a third faster to us for that.
const (
	lateWeight = 64
	manyLate   = 4 * lateWeight
	maxLate    = 16 * lateWeight

	lateElicitEvery = 16 // packets for which an acknowledgement is due on such a path
	lateDelayPart   = 8  // of the round trip it may wait for one part
)

// pingEvery is after how many packets that hold nothing but an acknowledgement one is to elicit an acknowledgement itself, so that
// the record of what was received can be cut (RFC 9000, section 13.2.4).
const pingEvery = 19

// acks is what was received in one packet number space, and what of it the peer has to be told (RFC 9000, section 13.2).
type acks struct {
	seen      ranges.Set // the newest maxAckRanges ranges of packet numbers received
	floor     int64      // packet numbers below it are taken for duplicates
	largestAt int64      // when the largest packet number was received
	newest    int64      // the largest packet number of an ack-eliciting packet
	told      int64      // the largest packet number in an acknowledgement that was sent
	at        int64      // when an acknowledgement is due, 0: none is
	eliciting int32      // ack-eliciting packets since the last acknowledgement was sent
	begun     int32      // ranges begun since then
	silent    int32      // acknowledgements sent since the peer last acknowledged one
	now       bool       // an acknowledgement is due at once
	marked    bool       // the last ack-eliciting packet was marked CE
	late      uint16     // how much reordering was seen lately
	ecn       wire.ECNCounts
}

// duplicate tells whether a packet was received before, or may have been (RFC 9000, section 12.3).
func (a *acks) duplicate(pn int64) bool { return pn < a.floor || a.seen.Contains(pn) }

// largest returns the largest packet number received, -1 if none.
func (a *acks) largest() int64 {
	if len(a.seen) == 0 {
		return a.floor - 1
	}
	return a.seen.Max()
}

// received notes a packet that is not a duplicate.
func (a *acks) received(now, pn int64, eliciting bool, ecn ECN, p *ackPolicy) {
	if pn > a.largest() {
		a.largestAt = now
		a.late -= min(a.late, 1)
	} else {
		a.late = min(a.late+lateWeight, maxLate)
	}
	before := len(a.seen)
	a.seen.Add(pn, pn+1)
	if len(a.seen) > before {
		a.begun++
	}
	if len(a.seen) > maxAckRanges {
		a.floor = a.seen[0].End
		a.seen = append(a.seen[:0], a.seen[1:]...)
	}
	switch ecn {
	case ECT0:
		a.ecn.ECT0++
	case ECT1:
		a.ecn.ECT1++
	case CE:
		a.ecn.CE++
	}
	if !eliciting {
		return
	}
	a.eliciting++
	a.newest = max(a.newest, pn)
	// RFC 9000, section 13.2.1, and draft-ietf-quic-ack-frequency-12, section 6: so many packets, a gap and what fills one, and
	// congestion are told at once; where the peer would rather have few acknowledgements, only that congestion begins. So is
	// everything before ranges are forgotten that were never told.
	late := p.usual && a.late >= manyLate
	most, delay := int(p.threshold), p.maxDelay
	if late {
		most, delay = lateElicitEvery-1, min(delay, p.rtt/lateDelayPart)
	}
	a.now = a.now || int(a.eliciting) > most || !late && a.reordered(pn, int64(p.reordering)) ||
		ecn == CE && (p.threshold <= 1 || !a.marked) || a.begun >= maxAckRanges/2
	a.marked = ecn == CE
	if at := now + int64(delay); a.at == 0 || at < a.at {
		a.at = at
	}
}

// reordered tells whether the peer, which puts up with reordering by less than threshold packets, learns something from an
// acknowledgement of packet pn: that one before it is lost, or that pn is not (section 6.2 of the draft).
func (a *acks) reordered(pn, threshold int64) bool {
	if threshold == 0 {
		return false
	}
	if pn <= a.told-threshold {
		return true
	}
	from := max(a.told-threshold+1, a.floor)
	if last := a.seen[len(a.seen)-1]; last.Start <= from {
		return false // nothing is missing
	}
	missing := a.seen.Gap(from, a.newest)
	return missing.Len() > 0 && a.newest-missing.Start >= threshold
}

// due tells whether an acknowledgement has to be sent. It is asked after a train, so that a train gets one.
func (a *acks) due(now int64) bool { return a.now || a.at != 0 && a.at <= now }

// pending tells whether there is anything new to acknowledge, so that a packet that is sent anyway may carry it.
func (a *acks) pending() bool { return a.eliciting > 0 }

// timer returns when an acknowledgement becomes due by itself, 0 if never.
func (a *acks) timer() int64 { return a.at }

// append appends an ACK frame to p if it fits.
func (a *acks) append(now int64, p *packet, delayExponent uint8) bool {
	if len(a.seen) == 0 {
		return false
	}
	delay := uint64(max(now-a.largestAt, 0)) / 1000 >> delayExponent
	var ecn *wire.ECNCounts
	if a.ecn != (wire.ECNCounts{}) {
		ecn = &a.ecn
	}
	b, ok := wire.AppendAck(p.b, a.seen, delay, ecn, p.room())
	if !ok || !p.note(recovery.Frame{Type: wire.FrameAck, Off: uint64(a.seen.Max())}) {
		return false
	}
	p.b = b
	a.eliciting, a.begun, a.at, a.now = 0, 0, 0, false
	a.told = a.seen.Max()
	a.silent++
	return true
}

// wantsPing tells whether so many acknowledgements went out in silence that the next one should elicit one.
func (a *acks) wantsPing() bool { return a.silent >= pingEvery }

// onAcked forgets what the peer has seen acknowledged: everything up to the largest packet number of an ACK frame that arrived
// (RFC 9000, section 13.2.4). The newest range stays, for judging what is in order.
func (a *acks) onAcked(largest int64) {
	a.silent = 0
	if n := len(a.seen); n > 0 {
		cut := min(largest+1, a.seen[n-1].End-1)
		if cut > a.floor {
			a.floor = cut
			a.seen.RemoveBelow(cut)
		}
	}
}
