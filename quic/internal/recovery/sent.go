package recovery

import (
	"errors"
	"math"

	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Space is a packet number space (RFC 9000, section 12.3).
type Space uint8

// The packet number spaces.
const (
	InitialSpace Space = iota
	HandshakeSpace
	AppSpace
	numSpaces
)

// Frame is what a sent packet carried, as far as its acknowledgement or loss means something. What ID and Off stand
// for depends on the type: offsets, limits, sequence numbers.
type Frame struct {
	Type    uint8 // the low byte of the frame type; for STREAM without its flags
	Flags   uint8
	Len     uint32 // bytes of data
	ID, Off uint64
}

// FlagFin in Frame.Flags says that a STREAM frame ended its stream.
const FlagFin = 1

// extend adds g to f if it is the same kind of frame and its data follow that of f.
func (f *Frame) extend(g *Frame) bool {
	if f.Type != g.Type || f.ID != g.ID || f.Off+uint64(f.Len) != g.Off || f.Len > math.MaxUint32-g.Len {
		return false
	}
	f.Len += g.Len
	f.Flags |= g.Flags
	return true
}

// Handler is told what became of frames. It must not send from within.
type Handler interface {
	// OnFrameAcked is told of a frame that was acknowledged, or of several at once whose data follow each other.
	OnFrameAcked(sp Space, f Frame)
	// OnFrameLost is told of a frame that is lost, or of one that a probe is to carry again, and tells whether it has to be sent again for that.
	OnFrameLost(sp Space, f Frame) (again bool)
}

// SentPacket describes a packet at the moment that it is sent.
type SentPacket struct {
	Size         int  // bytes, tag included
	AckEliciting bool // it holds a frame other than ACK, PADDING and CONNECTION_CLOSE
	InFlight     bool // it counts for congestion control: ack-eliciting, or padded
	Probe        bool // it probes for the size of datagrams: its loss says nothing about congestion, and no timer waits for it
	ECT          bool // marked ECT(0)
}

// Bounds of what a packet number space remembers. What is in flight is bounded by holding data back, as the congestion window does,
// which bounds bytes; what is remembered in all by forgetting, so that acknowledgements and probes may be sent at all times.
const (
	// MaxInFlight and MaxFramesNoted are how many packets that elicit an acknowledgement may be in flight, and how many frames be
	// remembered, before data is held back.
	MaxInFlight    = 1 << 16
	MaxFramesNoted = 1 << 18

	// MaxBehind is how many packets of the AppSpace are remembered beside twice those in flight, and MaxBehindEarly how many of
	// another space: acknowledgements to a peer that sends much and acknowledges nothing, and what was sent behind a packet
	// that was lost.
	MaxBehind      = 1 << 14
	MaxBehindEarly = 1 << 10
)

// keepAcks is how many packets that elicit no acknowledgement are remembered for the sake of the ACK frames in them.
const keepAcks = 256

// Errors of OnAck; both are a PROTOCOL_VIOLATION.
var (
	ErrUnsent  = errors.New("acknowledgement of a packet that was never sent")
	ErrSkipped = errors.New("acknowledgement of a packet number that was skipped on purpose")
)

type flags uint8

const (
	ackEliciting flags = 1 << iota
	inFlight
	probe
	ect
	acked
	lost
	skipped
)

// record is a sent packet.
type record struct {
	time   int64 // when it was sent
	frame  int64 // index of its first Frame
	size   uint16
	frames uint8
	flags  flags
	path   uint16
	epoch  uint8 // of a lost packet: the reaction that it counts for
}

// awaited tells whether a timer waits for the acknowledgement of a packet as long as it is neither acknowledged nor lost.
func (r *record) awaited() bool {
	return r.flags&(ackEliciting|inFlight|probe) == ackEliciting|inFlight
}

// space is the record of one packet number space. Indexes of packets are packet numbers.
type space struct {
	packets      ring[record]
	frames       ring[Frame]
	noted        int64      // index of the first Frame of the packet that is being built
	acked        ranges.Set // packet numbers from packets.start on that are acknowledged
	largestAcked int64      // -1: none
	largestPath  uint16     // the path that it was sent on
	lossPath     uint16     // the path that the packet of lossTime was sent on
	eliciting    int32      // ack-eliciting packets that are in flight, but for probes of the size of datagrams
	scan         int64      // no packet below it is waiting to be acknowledged or lost
	lastSent     int64      // when the last ack-eliciting packet was sent
	lossTime     int64      // when the next packet will be lost for its age; 0: none
	skipAt       int64      // the next packet number to leave out; 0: none is planned
	burst        lossBurst
	ecn          wire.ECNCounts // the peer's, of the newest acknowledgement
}

// lossBurst is a run of lost packets of one path with none acknowledged between them (RFC 9002, section 7.6).
type lossBurst struct {
	first, last int64 // when the first and the last ack-eliciting packets of it were sent; 0: none
	lastPN      int64
	path        uint16
}

func (s *space) next() int64 { return s.packets.end }

// maxBehind is how many packets of a space are remembered beside twice those in flight.
func maxBehind(sp Space) int64 {
	if sp == AppSpace {
		return MaxBehind
	}
	return MaxBehindEarly
}

// overfull tells whether the packets from number pn on are more than may be remembered, where that is behind packets beside twice those
// in flight.
func (s *space) overfull(pn, behind int64) bool {
	n := s.packets.end - pn
	return n > behind && (n > behind+2*int64(min(s.eliciting, MaxInFlight)) || s.frames.end-s.packets.at(pn).frame > 2*MaxFramesNoted)
}

func (s *space) push(now int64, p SentPacket, path uint16) {
	r := record{time: now, frame: s.noted, size: uint16(p.Size), frames: uint8(s.frames.end - s.noted), path: path}
	s.noted = s.frames.end
	if p.AckEliciting {
		r.flags |= ackEliciting
	}
	if p.InFlight {
		r.flags |= inFlight
	}
	if p.Probe {
		r.flags |= probe
	}
	if r.awaited() {
		s.eliciting++
	}
	if p.AckEliciting && !p.Probe {
		s.lastSent = now
	}
	if p.ECT {
		r.flags |= ect
	}
	s.packets.push(r)
}

// trim forgets packets at the front about which nothing is left to learn. Lost packets are kept until lostBefore, so that
// a late acknowledgement shows that they were not.
func (s *space) trim(lostBefore int64) {
	i := s.packets.start
	for ; i < s.packets.end; i++ {
		r := s.packets.at(i)
		switch {
		case r.flags&acked != 0:
			continue
		case r.flags&skipped != 0 && i < s.largestAcked:
			continue // kept until it is overtaken: who acknowledges it must be found out
		case r.flags&lost != 0 && r.time < lostBefore:
			continue
		case r.flags&(inFlight|lost|skipped) == 0 && (i < s.largestAcked || s.packets.end-i > keepAcks):
			continue
		}
		break
	}
	if i > s.packets.start {
		s.dropTo(i)
	}
}

// dropTo forgets the packets before number pn.
func (s *space) dropTo(pn int64) {
	if s.ackedBetween(s.burst.lastPN, pn) {
		s.burst.first = 0 // no run of losses goes on beyond them
	}
	frames := s.noted
	if pn < s.packets.end {
		frames = s.packets.at(pn).frame
	}
	s.packets.dropTo(pn)
	s.frames.dropTo(frames)
	s.acked.RemoveBelow(pn)
	s.scan = max(s.scan, pn)
}
