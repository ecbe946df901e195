package quic

import (
	"time"

	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// ackPolicy says when packets are acknowledged.
type ackPolicy struct {
	threshold  uint64        // ack-eliciting packets that may be received without an acknowledgement
	reordering int64         // by how many packets one may be late before that is told at once; 0: it never is
	maxDelay   time.Duration // how long an acknowledgement may wait
}

// ackAtOnce is the policy for Initial and Handshake packets (RFC 9000, section 13.2.1).
var ackAtOnce = ackPolicy{reordering: 1}

// ackFrequency is draft-ietf-quic-ack-frequency-12: how the peer would have its 1-RTT packets acknowledged, and we ours.
type ackFrequency struct {
	on       bool          // we announced min_ack_delay
	minDelay time.Duration // what we announced
	local    ackPolicy     // how we acknowledge
	nextSeq  uint64        // the smallest sequence number of an ACK_FREQUENCY frame that is not obsolete

	asks             bool          // the peer announced min_ack_delay, and we make use of that
	peerMin, peerMax time.Duration // the peer's min_ack_delay and max_ack_delay
	asked            ackPolicy     // what we asked for last
	tell             sentVal       // that in ACK_FREQUENCY; the value is its sequence number
	askedAt          int64         // when it was sent
	maxDelay         time.Duration // the longest that the peer may delay acknowledgements, by what it was asked and what it heard
}

// init begins with what RFC 9000, section 13.2, says.
func (a *ackFrequency) init(cfg *Config) {
	a.on = cfg.MinAckDelay >= 0
	a.minDelay = cfg.MinAckDelay.Truncate(time.Microsecond)
	a.local = ackPolicy{threshold: elicitEvery - 1, reordering: 1, maxDelay: cfg.MaxAckDelay}
}

// handle acts on an ACK_FREQUENCY frame (section 4). A delay that is out of range is an error in an obsolete frame too, so that the
// order in which packets arrive makes no difference. useless tells that the frame changed nothing.
func (a *ackFrequency) handle(f wire.AckFrequency) (useless bool, err *TransportError) {
	const limit = uint64(1<<14*time.Millisecond) / 1000 // of max_ack_delay, in microseconds (RFC 9000, section 18.2)
	if f.MaxDelay >= limit || time.Duration(f.MaxDelay)*time.Microsecond < a.minDelay {
		return false, transportError(ProtocolViolation, "a max_ack_delay in ACK_FREQUENCY that is out of range")
	}
	if f.Seq < a.nextSeq {
		return true, nil
	}
	a.nextSeq = f.Seq + 1
	a.local = ackPolicy{f.Threshold, int64(f.Reordering), time.Duration(f.MaxDelay) * time.Microsecond}
	return false, nil
}

// Bounds of what we ask for, where the peer lets us.
const (
	// leastPerWindow is how many acknowledgements there are for a congestion window at least: they give HyStart++ its eight samples
	// of each round trip (RFC 9406, section 4.2) even if half of them are lost.
	leastPerWindow = 16

	// leastThinned and mostThinned are packets an acknowledgement: what fewer would bring is not worth asking for, and more are
	// not asked for, since an application that sends less than the window allows is to hear soon that its buffer gets free.
	leastThinned = 4
	mostThinned  = 128
)

// setPeerParams takes what the peer announced.
func (a *ackFrequency) setPeerParams(p *wire.TransportParameters) {
	a.peerMax, a.maxDelay = p.MaxAckDelay, p.MaxAckDelay
	a.asked = ackPolicy{threshold: elicitEvery - 1, reordering: 1, maxDelay: p.MaxAckDelay}
	if a.on && p.MinAckDelay != nil {
		a.asks, a.peerMin = true, *p.MinAckDelay
	}
}

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
		return ackPolicy{threshold: elicitEvery - 1, reordering: 1, maxDelay: a.peerMax}
	}
	delay := max(min(srtt/4, a.peerMax), a.peerMin).Truncate(time.Microsecond)
	if delay > srtt {
		reordering = 1
	}
	return ackPolicy{threshold: uint64(min(packets, mostThinned)) - 1, reordering: reordering, maxDelay: delay}
}

// differs tells whether it is worth a frame to ask for q after p.
func (p *ackPolicy) differs(q *ackPolicy) bool {
	return p.reordering != q.reordering || apart(int64(p.threshold)+1, int64(q.threshold)+1) || apart(int64(p.maxDelay), int64(q.maxDelay))
}

// apart tells whether one number is at least twice the other.
func apart(v, w int64) bool { return v != w && (v >= 2*w || w >= 2*v) }

// append appends an ACK_FREQUENCY frame if one was lost, or if we would have something else than we asked for. There is one at a time,
// and not more than one in a round trip, nor in a max_ack_delay.
func (a *ackFrequency) append(now int64, pkt *packet, rec *recovery.Path, maxDatagram int, reordering int64) {
	if a.tell.state == sentSent {
		return
	}
	wish := a.wish(rec, maxDatagram, reordering)
	if !a.tell.due() && (!a.asked.differs(&wish) || now < a.askedAt+int64(max(rec.RTT.Smoothed, a.peerMax))) {
		return
	}
	seq := a.tell.last + 1
	if pkt.room() < maxAckFrequency || !pkt.note(recovery.Frame{Type: wire.FrameAckFrequency, ID: seq}) {
		return
	}
	pkt.b = wire.AppendAckFrequency(pkt.b, wire.AckFrequency{
		Seq: seq, Threshold: wish.threshold, MaxDelay: uint64(wish.maxDelay / time.Microsecond), Reordering: uint64(wish.reordering),
	})
	pkt.ackEliciting = true
	a.asked, a.askedAt = wish, now
	a.maxDelay = max(a.maxDelay, wish.maxDelay) // section 7
	a.tell.onSent(seq)
}

// maxAckFrequency is the room that any ACK_FREQUENCY frame fits in.
const maxAckFrequency = 2 + 4*8

// onAcked notes that the peer has the ACK_FREQUENCY frame with that number. Only of the newest is it known that it is in force.
func (a *ackFrequency) onAcked(seq uint64) {
	if a.tell.last == seq {
		a.tell.done()
		a.maxDelay = a.asked.maxDelay
	}
}
