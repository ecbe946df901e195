package recovery

import (
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Path is what recovery knows of one path: its round-trip time, its congestion controller and pacer, the bytes in flight
// and whether ECN works.
type Path struct {
	ID       uint16 // packets remember the path that they were sent on
	RTT      RTT
	CC       congestion.Controller
	ECN      ECN
	InFlight int64 // bytes of packets that count for congestion control, neither acknowledged nor lost

	pacer       congestion.Pacer
	paced       int64 // when the pacer was last asked
	maxDatagram int
	appLimited  bool
	used        bool  // the window was, as of the last acknowledgement, so that it grows
	firstSample int64 // when RTT had its first sample
}

// NewPath returns a path for datagrams of at most maxDatagram bytes.
func NewPath(id uint16, cc congestion.Controller, initialRTT time.Duration, maxDatagram int) Path {
	return Path{ID: id, CC: cc, RTT: NewRTT(initialRTT), maxDatagram: maxDatagram}
}

// Available returns how many bytes the congestion window has left; negative or zero if none.
func (p *Path) Available() int64 { return p.CC.Window() - p.InFlight }

// PaceAt returns when the next packet may leave: now or later. Only the first packet of a train looks at the rate.
func (p *Path) PaceAt(now int64) int64 {
	if now == p.paced && p.pacer.Ready() {
		return now
	}
	p.paced = now
	rate := p.rate()
	return p.pacer.Next(now, rate, p.maxDatagram, congestion.Train(rate, p.CC.Window(), p.maxDatagram))
}

// TrainRoom tells whether the congestion window has room for a whole train. If there is none, acknowledgements are about to make it.
func (p *Path) TrainRoom() bool {
	return p.Available() >= congestion.Train(p.rate(), p.CC.Window(), p.maxDatagram)
}

// Accelerates tells whether the congestion window doubles from round trip to round trip: whether it is in slow start, and used.
func (p *Path) Accelerates() bool { return p.used && p.CC.SlowStart() }

// SetAppLimited tells whether the last train was short for want of data rather than of window (RFC 9002, section 7.8).
func (p *Path) SetAppLimited(limited bool) { p.appLimited = limited }

func (p *Path) rate() int64 {
	if !p.RTT.sampled {
		return 0
	}
	return congestion.Rate(p.CC.Window(), p.RTT.Smoothed, p.CC.SlowStart())
}

func (p *Path) onSent(size int64) {
	p.InFlight += size
	p.pacer.OnSent(size)
}

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

// ECN validates that a path carries ECN marks and that the peer counts them (RFC 9000, section 13.4.2).
type ECN struct {
	State  ECNState
	sent   uint64 // packets marked ECT(0), over all paths
	before uint64 // of those sent before the validation of this path began
	lost   uint64 // of those sent while testing
	counts [numSpaces]wire.ECNCounts
}

// Restarted returns the validation for another path. It begins anew, but the peer's counts go on.
func (e *ECN) Restarted() ECN { return ECN{sent: e.sent, before: e.sent, counts: e.counts} }

// Mark tells whether the next packet is to be marked ECT(0).
func (e *ECN) Mark() bool { return e.State == ECNTesting || e.State == ECNCapable }

func (e *ECN) onSent() {
	e.sent++
	if e.State == ECNTesting && e.sent-e.before >= ecnTestPackets {
		e.State = ECNUnknown
	}
}

func (e *ECN) onLost() {
	e.lost++
	if e.State != ECNCapable && e.lost >= ecnTestPackets {
		e.State = ECNFailed
	}
}

// onAck compares the counts of an acknowledgement that raises the largest acknowledged packet number and newly acknowledges marked
// packets that were sent with ECT(0). It tells whether new CE marks came.
func (e *ECN) onAck(sp Space, marked uint64, counts *wire.ECNCounts) (ce bool) {
	if e.State == ECNFailed {
		return false
	}
	old := &e.counts[sp]
	if counts == nil {
		if marked > 0 {
			e.State = ECNFailed
		}
		return false
	}
	if counts.ECT0 < old.ECT0 || counts.ECT1 < old.ECT1 || counts.CE < old.CE ||
		counts.ECT0-old.ECT0+counts.CE-old.CE < marked || counts.ECT1 > 0 || counts.ECT0+counts.CE > e.sent {
		e.State = ECNFailed
		return false
	}
	ce = counts.CE > old.CE
	*old = *counts
	if marked > 0 {
		e.State = ECNCapable
	}
	return ce
}
