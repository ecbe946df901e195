package recovery

import "github.com/boringquic/boringquic/quic/internal/wire"

// ECNState is where the validation of ECN on a path stands (RFC 9000, appendix A.4).
type ECNState uint8

// The states of ECN validation.
const (
	ECNTesting ECNState = iota // the first packets are marked
	ECNUnknown                 // they are sent, and no acknowledgement has told yet
	ECNCapable                 // marks arrive and are counted
	ECNFailed                  // the path or the peer does not do ECN: nothing is marked
)

// ecnTestPackets is how many packets are marked before an acknowledgement must have shown that marks arrive.
const ecnTestPackets = 10

// ECN is the validation of one path: that it carries ECN marks and that the peer counts them (RFC 9000, section 13.4.2). The peer
// counts what came on all paths together: its counts are the Loss's.
type ECN struct {
	State ECNState
	sent  uint64 // packets marked ECT(0)
	lost  uint64 // of those, before the path was found capable
}

// Mark tells whether the next packet is to be marked ECT(0).
func (e *ECN) Mark() bool { return e.State == ECNTesting || e.State == ECNCapable }

func (e *ECN) onSent() {
	e.sent++
	if e.State == ECNTesting && e.sent >= ecnTestPackets {
		e.State = ECNUnknown
	}
}

func (e *ECN) onLost() {
	e.lost++
	if e.State != ECNCapable && e.lost >= ecnTestPackets {
		e.State = ECNFailed
	}
}

// checkECN compares the counts of an acknowledgement that raises the largest acknowledged packet number with those before it. What
// they tell of packets that are newly acknowledged is told of the paths that these were sent on.
func (l *Loss) checkECN(now int64, s *space, sum *ackSum, counts *wire.ECNCounts) {
	if counts == nil {
		l.failECN(sum)
		return
	}
	old := s.ecn
	if counts.ECT0 < old.ECT0 || counts.ECT1 < old.ECT1 || counts.CE < old.CE || counts.ECT0+counts.CE > l.marks {
		for _, p := range l.paths {
			p.ECN.State = ECNFailed // nothing that this peer tells is to be believed
		}
		return
	}
	s.ecn = *counts
	if counts.ECT0-old.ECT0+counts.CE-old.CE < sum.marked || counts.ECT1 > old.ECT1 {
		l.failECN(sum)
		return
	}
	for i, p := range l.paths {
		a := &sum.on[i]
		if a.marked > 0 && p.ECN.State != ECNFailed {
			p.ECN.State = ECNCapable
		}
		// Which of several paths a mark of congestion came from is not told. All that may be take it for theirs.
		mine := a.marked > 0 || sum.marked == 0 && i == sum.newestPath
		if counts.CE > old.CE && mine && p.ECN.State != ECNFailed {
			p.CC.OnCongestion(now, a.NewestSent)
			p.epoch.begin(now, a.NewestSent)
			p.epoch.marked = true
		}
	}
}

// failECN gives ECN up on the path of the marked packets that were newly acknowledged, of which the peer did not count all. If they were
// sent on several paths, nobody knows which of them drops the marks, and a later acknowledgement has to tell.
func (l *Loss) failECN(sum *ackSum) {
	for i, p := range l.paths {
		if n := sum.on[i].marked; n > 0 && n == sum.marked {
			p.ECN.State = ECNFailed
		}
	}
}
