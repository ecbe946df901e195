package recovery

import (
	"math"
	"time"

	"github.com/boringquic/boringquic/quic/internal/congestion"
)

// Path is what recovery knows of one path: its round-trip time, its congestion controller and pacer, the bytes in flight
// and whether ECN works.
type Path struct {
	RTT      RTT
	CC       congestion.Controller
	ECN      ECN
	InFlight int64 // bytes of packets that count for congestion control, neither acknowledged nor lost
	Lost     int64 // packets, as Stats.Lost

	BytesAcked, BytesLost int64 // of packets that counted for congestion control

	pacer       congestion.Pacer
	paced       int64 // when the pacer was last asked
	maxRate     int64 // of the pacer, in bytes per second; 0: there is none
	maxDatagram int32 // the controller has a copy, which resize keeps the same
	ceiling     int32 // of maxDatagram
	size        sizeSearch
	id          uint16 // packets remember the path that they were sent on; 0: it belongs to no Loss
	unpaced     bool   // see Pace
	appLimited  bool
	used        bool  // the window was, as of the last acknowledgement, so that it grows
	firstSample int64 // when RTT had its first sample
	scan        int64 // where there is another path, too: no packet of the AppSpace below it that was sent on this one waits to be acknowledged or lost
	reordering  reordering
	epoch       epoch
}

// reordering is by how much packets of a path may be late before they are taken for lost, as was seen.
type reordering struct {
	threshold int32 // packets that may overtake one before it is lost
	ageShift  uint8 // a packet is lost when it is older than RTT + RTT >> ageShift
	ageRaised int64 // packets sent up to then do not change ageShift again
}

// epoch is the last reaction of the congestion controller: it is taken back when all that brought it was spurious. Lost
// packets remember the epoch that they are counted in.
type epoch struct {
	id             uint8 // from 1 on; 0: there was no reaction
	marked         bool  // a CE mark brought it too, so that it stays
	start          int64
	lost, spurious int32
}

// begin starts an epoch, unless the packet that brings it was sent before the last one.
func (e *epoch) begin(now, sent int64) {
	if sent > e.start {
		*e = epoch{id: max(e.id+1, 1), start: now}
	}
}

// pathAck is what the acknowledgement that is being processed newly acknowledged on one path.
type pathAck struct {
	congestion.Ack
	prior  int64  // bytes in flight before it
	marked uint64 // packets sent with ECT(0)
}

// pathLoss is what loss detection finds on one path at a time.
type pathLoss struct {
	newest     int64 // when the newest lost packet was sent; 0: none is lost
	persistent bool
}

// NewPath returns a path for datagrams of at most maxDatagram bytes, which cc is for too.
func NewPath(cc congestion.Controller, initialRTT time.Duration, maxDatagram int) Path {
	return Path{CC: cc, RTT: NewRTT(initialRTT), maxDatagram: int32(maxDatagram), ceiling: int32(maxDatagram),
		reordering: reordering{threshold: packetThreshold, ageShift: firstAgeShift}}
}

// PacketThreshold returns by how many packets one must be overtaken to be lost, as reordering that was seen has it.
func (p *Path) PacketThreshold() int64 { return int64(p.reordering.threshold) }

// age is how old a packet may become before it is lost (RFC 9002, section 6.1.2).
func (p *Path) age() int64 {
	rtt := max(p.RTT.Latest, p.RTT.Smoothed)
	return int64(max(rtt+rtt>>p.reordering.ageShift, granularity))
}

// Available returns how many bytes the congestion window has left; negative or zero if none.
func (p *Path) Available() int64 { return p.CC.Window() - p.InFlight }

// PaceAt returns when the next packet may leave: now or later. Only the first packet of a train looks at the rate.
func (p *Path) PaceAt(now int64) int64 {
	if now == p.paced && p.pacer.Ready() {
		return now
	}
	p.paced = now
	rate := p.Rate()
	return p.pacer.Next(now, rate, p.MaxDatagram(), p.train(rate))
}

// Pace says how packets are spread: not at all if off, so that the congestion window alone holds them back, or at maxRate bytes per second at the
// most; 0: at what the window says.
func (p *Path) Pace(off bool, maxRate int64) { p.unpaced, p.maxRate = off, maxRate }

// Train returns how many bytes leave in one burst.
func (p *Path) Train() int64 { return p.train(p.Rate()) }

func (p *Path) train(rate int64) int64 {
	if p.unpaced {
		rate = math.MaxInt64 // and not 0, which leaves one datagram
	}
	return congestion.Train(rate, p.CC.Window(), p.MaxDatagram())
}

// TrainRoom tells whether the congestion window has room for a whole train. If there is none, acknowledgements are about to make it.
func (p *Path) TrainRoom() bool { return p.Available() >= p.Train() }

// Accelerates tells whether the congestion window doubles from round trip to round trip: whether it is in slow start, and used.
func (p *Path) Accelerates() bool { return p.used && p.CC.SlowStart() }

// SetAppLimited tells whether the last train was short for want of data rather than of window (RFC 9002, section 7.8).
func (p *Path) SetAppLimited(limited bool) { p.appLimited = limited }

// Rate is how many bytes per second pacing lets leave; 0: any number.
func (p *Path) Rate() int64 {
	switch {
	case p.unpaced:
		return 0
	case !p.RTT.sampled:
		return p.maxRate
	}
	rate := congestion.Rate(p.CC.Window(), p.RTT.Smoothed, p.CC.SlowStart())
	if p.maxRate > 0 {
		rate = min(rate, p.maxRate)
	}
	return rate
}

func (p *Path) onSent(size int64) {
	p.InFlight += size
	p.pacer.OnSent(size)
}
