package quic

import (
	"time"

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

// ackFrequency is draft-ietf-quic-ack-frequency-12: how the peer would have its 1-RTT packets acknowledged.
type ackFrequency struct {
	on       bool          // we announced min_ack_delay
	minDelay time.Duration // what we announced
	local    ackPolicy     // how we acknowledge
	nextSeq  uint64        // the smallest sequence number of an ACK_FREQUENCY frame that is not obsolete
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
