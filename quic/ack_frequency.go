package quic

import (
	"math"
	"time"

	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// ackPolicy says when packets are acknowledged.
type ackPolicy struct {
	threshold  uint32        // ack-eliciting packets that may be received without an acknowledgement
	reordering uint32        // by how many packets one may be late before that is told at once; 0: it never is
	maxDelay   time.Duration // how long an acknowledgement may wait
	usual      bool          // the peer has asked for nothing else
	rtt        time.Duration // of the path, smoothed
}

// usualAcks is what RFC 9000, section 13.2, says of 1-RTT packets.
func usualAcks(maxDelay time.Duration) ackPolicy {
	return ackPolicy{threshold: elicitEvery - 1, reordering: 1, maxDelay: maxDelay, usual: true}
}

// ackAtOnce is what it says of Initial and Handshake packets.
var ackAtOnce = ackPolicy{reordering: 1}

// ackFrequency is draft-ietf-quic-ack-frequency-12, both ways: how the peer would have its 1-RTT packets acknowledged, and we ours.
type ackFrequency struct {
	local   ackPolicy     // how we acknowledge
	nextSeq uint64        // the smallest sequence number of an ACK_FREQUENCY frame that is not obsolete
	peerMin time.Duration // the peer's min_ack_delay; negative: it is not to be asked for anything
	peerMax time.Duration // the peer's max_ack_delay
	wished  *ackWish      // what we asked for last; nil: nothing yet
}

func (a *ackFrequency) init(cfg *Config) {
	a.local, a.peerMin = usualAcks(cfg.MaxAckDelay), -1
}

// setPeerParams takes what the peer announced. on tells whether we announced the same.
func (a *ackFrequency) setPeerParams(p *wire.TransportParameters, on bool) {
	a.peerMax = p.MaxAckDelay
	if on && p.MinAckDelay != nil {
		a.peerMin = *p.MinAckDelay
	}
}

// handle acts on an ACK_FREQUENCY frame (section 4), where minDelay is what we announced. A delay that is out of range is an error in
// an obsolete frame too, so that the order in which packets arrive makes no difference. useless tells that the frame changed nothing.
func (a *ackFrequency) handle(f wire.AckFrequency, minDelay time.Duration) (useless bool, err *TransportError) {
	const limit = uint64(1<<14*time.Millisecond) / 1000 // of max_ack_delay, in microseconds (RFC 9000, section 18.2)
	if f.MaxDelay >= limit || int64(f.MaxDelay) < minDelay.Microseconds() {
		return false, transportError(ProtocolViolation, "a max_ack_delay in ACK_FREQUENCY that is out of range")
	}
	if f.Seq < a.nextSeq {
		return true, nil
	}
	a.nextSeq = f.Seq + 1
	a.local = ackPolicy{
		threshold:  uint32(min(f.Threshold, math.MaxInt32)),
		reordering: uint32(min(f.Reordering, math.MaxInt32)),
		maxDelay:   time.Duration(f.MaxDelay) * time.Microsecond,
	}
	return false, nil
}

// asks tells whether the peer may be asked for something.
func (a *ackFrequency) asks() bool { return a.peerMin >= 0 }

// ackWish is what the peer is asked for.
type ackWish struct {
	policy   ackPolicy
	tell     sentVal       // it, in ACK_FREQUENCY; the value is the sequence number
	sentAt   int64         // when it was sent
	maxDelay time.Duration // the longest that the peer may delay acknowledgements, by all that it may have heard
}

// Bounds of what we ask for.
const (
	// leastPerWindow is how many acknowledgements there are for a congestion window at least: they give HyStart++ its eight samples
	// of each round trip (RFC 9406, section 4.2) even if half of them are lost.
	leastPerWindow = 16

	// leastThinned and mostThinned are packets an acknowledgement: what fewer would bring is not worth asking for, and more are
	// not asked for, since an application that sends less than the window allows is to hear soon that its buffer gets free.
	leastThinned = 4
	mostThinned  = 128
)

// wish returns how we would have our packets acknowledged now.
//
// A window is sent over a round trip, and to have it acknowledged by parts makes the trip longer by one part. That costs no goodput
// while there is a queue on the way that does not run dry for it. So a part is what is sent in half the time that a packet is in
// queues, within bounds; where there are none, and each round trip counts, nothing is asked for.
//
// The delay is for the last packets of many, a fourth of a round trip, so that it plays no part while data flows; it is never longer
// than the peer's own. The reordering threshold is that of our loss detection (section 9), but where the delay has to be longer than
// a round trip each gap is to be told at once (section 8.1).
func (a *ackFrequency) wish(rec *recovery.Path, maxDatagram int, reordering int64) ackPolicy {
	srtt := rec.RTT.Smoothed
	wait := min((srtt-rec.RTT.Min)/2, srtt/leastPerWindow)
	packets := rec.CC.Window() / int64(maxDatagram) * int64(wait) / int64(srtt)
	if packets < leastThinned {
		return usualAcks(a.peerMax)
	}
	delay := max(min(srtt/4, a.peerMax), a.peerMin).Truncate(time.Microsecond)
	if delay > srtt {
		reordering = 1
	}
	return ackPolicy{threshold: uint32(min(packets, mostThinned)) - 1, reordering: uint32(reordering), maxDelay: delay}
}

// differs tells whether it is worth a frame to ask for q after p.
func (p *ackPolicy) differs(q *ackPolicy) bool {
	return p.reordering != q.reordering || apart(int64(p.threshold)+1, int64(q.threshold)+1) || apart(int64(p.maxDelay), int64(q.maxDelay))
}

// apart tells whether one number is at least twice the other.
func apart(v, w int64) bool { return v != w && (v >= 2*w || w >= 2*v) }

// next returns what is to be asked for now: if a frame was lost, or if we would have something else than we asked for. There is one
// frame at a time, and not more than one in a round trip, nor in a max_ack_delay; and none while the window doubles from round trip to
// round trip, when the end of that must not be missed.
func (a *ackFrequency) next(now int64, rec *recovery.Path, maxDatagram int, reordering int64) (p ackPolicy, ok bool) {
	w := a.wished
	if w != nil && w.tell.state() == sentSent {
		return p, false
	}
	p = a.wish(rec, maxDatagram, reordering)
	if w == nil {
		usual := usualAcks(a.peerMax)
		return p, usual.differs(&p) && !rec.Accelerates()
	}
	return p, w.tell.due() || w.policy.differs(&p) && now >= w.sentAt+int64(max(rec.RTT.Smoothed, a.peerMax)) && !rec.Accelerates()
}

// append appends an ACK_FREQUENCY frame that asks for p, if it fits.
func (a *ackFrequency) append(now int64, pkt *packet, p ackPolicy) bool {
	if a.wished == nil {
		a.wished = &ackWish{maxDelay: a.peerMax}
	}
	w := a.wished
	seq := w.tell.last() + 1
	if pkt.room() < maxAckFrequency || !pkt.note(recovery.Frame{Type: wire.FrameAckFrequency, ID: seq}) {
		return false
	}
	pkt.b = wire.AppendAckFrequency(pkt.b, wire.AckFrequency{
		Seq: seq, Threshold: uint64(p.threshold), MaxDelay: uint64(p.maxDelay.Microseconds()), Reordering: uint64(p.reordering),
	})
	pkt.ackEliciting = true
	w.policy, w.sentAt = p, now
	w.maxDelay = max(w.maxDelay, p.maxDelay) // section 7
	w.tell.onSent(seq)
	return true
}

// maxAckFrequency is the room that any ACK_FREQUENCY frame fits in.
const maxAckFrequency = 2 + 4*8

// onAcked notes that the peer has the ACK_FREQUENCY frame with that number. Only of the newest is it known that it is in force.
func (w *ackWish) onAcked(seq uint64) {
	if w.tell.last() == seq {
		w.tell.become(sentAcked)
		w.maxDelay = w.policy.maxDelay
	}
}
