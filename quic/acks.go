package quic

import (
	"time"

	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// elicitEvery is after how many ack-eliciting packets an acknowledgement is due (RFC 9000, section 13.2.2).
const elicitEvery = 2

// pingEvery is after how many packets that hold nothing but an acknowledgement one is to elicit an acknowledgement itself, so that
// the record of what was received can be cut (RFC 9000, section 13.2.4).
const pingEvery = 19

// acks is what was received in one packet number space, and what of it the peer has to be told (RFC 9000, section 13.2).
type acks struct {
	seen      ranges.Set // the newest maxAckRanges ranges of packet numbers received
	floor     int64      // packet numbers below it are taken for duplicates
	largestAt int64      // when the largest packet number was received
	eliciting int        // ack-eliciting packets since the last acknowledgement was sent
	at        int64      // when an acknowledgement is due, 0: none is
	now       bool       // it is due at once
	silent    int        // acknowledgements sent since the peer last acknowledged one
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

// received notes a packet that is not a duplicate. maxDelay is how long the acknowledgement may wait.
func (a *acks) received(now, pn int64, eliciting bool, ecn ECN, maxDelay time.Duration) {
	largest := a.largest()
	inOrder := pn == largest+1
	if pn > largest {
		a.largestAt = now
	}
	a.seen.Add(pn, pn+1)
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
	// A gap, what fills one, and congestion are told at once (RFC 9000, section 13.2.1).
	if a.eliciting >= elicitEvery || !inOrder || ecn == CE || maxDelay == 0 {
		a.now = true
	}
	if a.at == 0 {
		a.at = now + int64(maxDelay)
	}
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
	a.eliciting, a.at, a.now = 0, 0, false
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
