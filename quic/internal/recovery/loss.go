package recovery

import (
	"time"

	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// Constants of loss detection (RFC 9002, sections 6.1 and 7.6).
const (
	packetThreshold    = 3
	maxPacketThreshold = 1000 // how far reordering that was seen may raise it: then age decides
	persistentPTOs     = 3
	maxBackoff         = 10 // doublings of the PTO; beyond them it stays
	keepLostPTOs       = 3
	firstAgeShift      = 3 // a packet is lost when it is older than 9/8 of the RTT
)

// Loss detects lost packets of one connection and tells when to probe (RFC 9002, section 6). Init it before use.
type Loss struct {
	spaces       [numSpaces]*space // nil: discarded
	app          space             // spaces[AppSpace]
	paths        []*Path           // those that packets may still be settled on
	lastPath     uint16            // the newest id of one
	client       bool
	confirmed    bool          // the handshake is: PTOs of the AppSpace count
	hasHandshake bool          // a client has Handshake keys
	validated    bool          // a client knows that the server has validated its address
	blocked      bool          // a server may send nothing before it receives more
	ptoCount     uint8         // 255 stands for more, too
	ackedBy      *Path         // see AckedBy
	marks        uint64        // packets sent with ECT(0)
	maxAckDelay  time.Duration // the peer's
	lastDropped  int64         // when the last ack-eliciting packet of a discarded space was sent
	Stats        Stats

	// OnPacketLost, if it is not nil, is told of each packet that is taken for lost.
	OnPacketLost func(sp Space, pn int64, why LossReason, probe bool)
}

// LossReason says why a packet is taken for lost.
type LossReason uint8

// The reasons (RFC 9002, section 6.1).
const (
	LostOtherwise    LossReason = iota // there are too many to remember, or a probe of the size of datagrams has taken too long
	LostByReordering                   // too many packets have overtaken it
	LostByTime                         // it is too old
)

// Stats counts over a connection's life.
type Stats struct {
	Lost     uint64 // packets declared lost, but for probes of the size of datagrams
	Spurious uint64 // of those, acknowledged later
	PTOs     uint64
}

// Init makes l ready. A server's peer never waits for our probes, so that for it address validation is no question.
func (l *Loss) Init(client bool) {
	l.client, l.validated = client, !client
	early := new([AppSpace]space)
	l.spaces = [numSpaces]*space{&early[InitialSpace], &early[HandshakeSpace], &l.app}
	for _, s := range l.spaces {
		s.largestAcked = -1
	}
}

// SetMaxAckDelay tells the peer's max_ack_delay: the longest that it may be at the time.
func (l *Loss) SetMaxAckDelay(d time.Duration) { l.maxAckDelay = d }

// SetHandshakeKeys tells a client that it has Handshake keys, so that anti-deadlock probes use them.
func (l *Loss) SetHandshakeKeys() { l.hasHandshake = true }

// SetHandshakeConfirmed tells that the handshake is confirmed.
func (l *Loss) SetHandshakeConfirmed() { l.confirmed, l.validated = true, true }

// SetAmplificationLimited tells whether a server may send nothing before it receives more: then no PTO is armed.
func (l *Loss) SetAmplificationLimited(limited bool) { l.blocked = limited }

// AmplificationLimited returns what SetAmplificationLimited told last.
func (l *Loss) AmplificationLimited() bool { return l.blocked }

// NextPN returns the packet number that the next packet of a space has.
func (l *Loss) NextPN(sp Space) int64 { return l.spaces[sp].next() }

// LastSent returns when the last packet of a space that elicits an acknowledgement was sent, 0 if none was.
func (l *Loss) LastSent(sp Space) int64 { return l.spaces[sp].lastSent }

// LargestAcked returns the largest packet number that the peer has acknowledged, -1 if none.
func (l *Loss) LargestAcked(sp Space) int64 { return l.spaces[sp].largestAcked }

// Full tells whether so many packets are in flight, however small, that only acknowledgements and probes may be sent.
func (l *Loss) Full() bool {
	return l.app.eliciting >= MaxInFlight || l.app.frames.len() >= MaxFramesNoted
}

// SkipDue tells whether the next packet number of the AppSpace is one to leave out, so that a peer that acknowledges what
// it has not received is found out (RFC 9000, section 21.4). Then Skip must be called.
func (l *Loss) SkipDue() bool {
	s := l.spaces[AppSpace]
	return l.confirmed && s.next() >= s.skipAt
}

// Skip leaves out the next packet number and plans the next one to leave out, about a window's worth of packets later.
func (l *Loss) Skip(now int64, path *Path, random uint64) {
	s := l.spaces[AppSpace]
	if s.skipAt > 0 {
		s.packets.push(record{time: now, frame: s.noted, flags: skipped})
	}
	window := uint64(max(path.CC.Window()/int64(path.maxDatagram), 64))
	s.skipAt = s.next() + int64(window/2+random%(2*window))
}

// MaxFrames is how many frames of one packet can be noted.
const MaxFrames = 64

// Note records a frame of the next packet of a space. It answers false if the packet has MaxFrames already.
func (l *Loss) Note(sp Space, f Frame) bool {
	s := l.spaces[sp]
	if s.frames.end-s.noted == MaxFrames {
		return false
	}
	s.frames.push(f)
	return true
}

// OnPacketSent records that the packet with number NextPN was sent, with the frames that were noted.
func (l *Loss) OnPacketSent(now int64, sp Space, p SentPacket, path *Path) {
	s := l.spaces[sp]
	s.push(now, p, path.id)
	if p.InFlight {
		path.onSent(int64(p.Size))
		if sp == AppSpace {
			path.size.onSent(now, s.next()-1, p.Size, path.MaxDatagram(), p.Probe)
		}
	}
	if p.ECT {
		path.ECN.onSent()
		l.marks++
	}
	if s.packets.len() > 2*keepAcks && s.packets.at(s.packets.start).flags&inFlight == 0 {
		s.trim(0)
	}
}

// Rest lets memory go that is kept for packets to come.
func (l *Loss) Rest() {
	for _, s := range l.spaces {
		if s != nil {
			s.packets.fit()
			s.frames.fit()
		}
	}
}

// Shed forgets the oldest packets of spaces that remember more than they may; those in flight are taken for lost. Where
// frames fill the record lost packets go before their time, so that Full holds only as long as something is in flight. It is to be called
// after each train that was received and each timer: what these bring to be sent at most comes on top.
func (l *Loss) Shed(now int64, path *Path, h Handler) {
	for sp, s := range l.spaces {
		if s != nil && (s.overfull(s.packets.start, maxBehind(Space(sp))) || s.frames.len() >= MaxFramesNoted) {
			l.trim(now, Space(sp), path, h)
		}
	}
}

// trim forgets packets of a space about which nothing is left to learn, and the oldest ones if those that are left are too many.
func (l *Loss) trim(now int64, sp Space, path *Path, h Handler) {
	s := l.spaces[sp]
	lostBefore := now - int64(keepLostPTOs*path.RTT.pto())
	s.trim(lostBefore)
	if s.frames.len() >= MaxFramesNoted {
		s.trim(now + 1) // what holds data back is in flight: nothing would come of a lost packet to make room
	}
	pn := s.packets.start
	for ; s.overfull(pn, maxBehind(sp)); pn++ {
		r := s.packets.at(pn)
		if r.flags&(inFlight|acked|lost) != inFlight {
			continue
		}
		if i := l.lose(now, sp, pn, r, LostOtherwise, h); i >= 0 && r.flags&probe == 0 {
			l.paths[i].CC.OnCongestion(now, r.time)
		}
	}
	if pn > s.packets.start {
		s.dropTo(pn)
		s.trim(lostBefore)
	}
}

// ackSum is what one acknowledgement newly acknowledged, over all paths.
type ackSum struct {
	packets    int
	eliciting  bool
	newestPN   int64
	newestSent int64
	newestPath int    // that newestPN was sent on: where it is in Loss.paths; -1: it is forgotten
	marked     uint64 // packets sent with ECT(0)
	on         [MaxPaths]pathAck
	frame      Frame // what h is to be told next; the zero Frame is nothing
}

// OnAck processes an ACK frame. path is the one in use; each packet is settled on the one that it was sent on. acks is descending; ackDelay is as the peer tells, in the unit of time; ecn is nil if the
// frame has no counts. Frames acknowledged and lost go to h. Its cost is proportional to what is newly acknowledged.
func (l *Loss) OnAck(now int64, sp Space, acks []ranges.Range, ackDelay time.Duration, ecn *wire.ECNCounts, path *Path, h Handler) error {
	s := l.spaces[sp]
	largest := acks[0].End - 1
	if largest >= s.next() {
		return ErrUnsent
	}
	raised := largest > s.largestAcked
	var sum ackSum
	sum.newestPN = -1
	for i, p := range l.paths {
		a := &sum.on[i]
		a.prior, a.NewestPN, a.OldestSent = p.InFlight, -1, now
	}
	known := len(s.acked) - 1 // the highest range of it that begins below the end of r
	for _, r := range acks {
		from := max(r.Start, s.packets.start)
		if r.End <= from {
			break
		}
		for known >= 0 && s.acked[known].Start >= r.End {
			known--
		}
		if known >= 0 && s.acked[known].Start <= from && r.End <= s.acked[known].End {
			continue // nothing new, which holds for most ranges of a frame that repeats
		}
		if err := l.ackRange(sp, from, r.End, &sum, h); err != nil {
			return err
		}
		known = min(known, len(s.acked)-1)
	}
	sum.tell(sp, h)
	if raised {
		s.largestAcked = largest
	}
	if sum.packets == 0 {
		return nil
	}
	if raised && sum.newestPN == largest {
		s.largestPath = s.packets.at(largest).path
		if sum.newestPath >= 0 && sum.eliciting && (l.ackedBy == nil || l.ackedBy == l.paths[sum.newestPath]) {
			l.sampleRTT(now, sp, &sum, ackDelay)
		}
	}
	if raised {
		l.checkECN(now, s, &sum, ecn)
	}
	if sp == AppSpace {
		for i, p := range l.paths {
			p.size.newest = max(p.size.newest, sum.on[i].NewestPN)
		}
	}
	l.detect(now, sp, path, h)
	for i, p := range l.paths {
		if a := &sum.on[i]; a.Bytes > 0 {
			p.onAck(now, s.next()-1, a)
		}
	}
	if l.validated || sp == HandshakeSpace {
		l.validated = true
		l.ptoCount = 0 // not for an Initial at a client: the server may not have validated it (RFC 9002, section 6.2.1)
	}
	l.trim(now, sp, path, h)
	return nil
}

// onAck tells the controller what was acknowledged.
func (p *Path) onAck(now, largestPN int64, a *pathAck) {
	a.AppLimited = p.underused(a.prior)
	p.used = !a.AppLimited
	p.BytesAcked += a.Bytes
	a.LargestPN, a.InFlight = largestPN, p.InFlight
	a.MinRTT, a.SRTT = p.RTT.Min, p.RTT.Smoothed
	p.CC.OnAck(now, a.Ack)
}

// sampleRTT takes the time that the largest packet of an acknowledgement took.
func (l *Loss) sampleRTT(now int64, sp Space, sum *ackSum, ackDelay time.Duration) {
	path, acked := l.paths[sum.newestPath], &sum.on[sum.newestPath]
	switch {
	case sp == InitialSpace:
		ackDelay = 0
	case l.confirmed:
		ackDelay = min(ackDelay, l.maxAckDelay)
	}
	if !path.RTT.sampled {
		path.firstSample = now
	}
	acked.LatestRTT = time.Duration(now - sum.newestSent)
	path.RTT.update(acked.LatestRTT, max(ackDelay, 0))
}

// underused tells whether something other than the window held back what was in flight (RFC 9002, section 7.8): the application,
// flow control, or pacing by what the window was.
func (p *Path) underused(inFlight int64) bool {
	window := p.CC.Window()
	if inFlight <= window/2 {
		return true
	}
	return p.appLimited && !p.CC.SlowStart() && inFlight+3*int64(p.maxDatagram) < window
}

// ackRange acknowledges the packets of [from, to) that are not acknowledged yet.
func (l *Loss) ackRange(sp Space, from, to int64, sum *ackSum, h Handler) error {
	s := l.spaces[sp]
	for gap := s.acked.Gap(from, to); gap.Start < to; gap = s.acked.Gap(gap.End, to) {
		for pn := gap.Start; pn < gap.End; pn++ {
			r := s.packets.at(pn)
			if r.flags&skipped != 0 {
				return ErrSkipped
			}
			l.ackOne(sp, pn, r, sum, h)
		}
	}
	s.acked.Add(from, to)
	return nil
}

func (l *Loss) ackOne(sp Space, pn int64, r *record, sum *ackSum, h Handler) {
	s := l.spaces[sp]
	i := l.settle(s, r)
	if r.flags&lost != 0 {
		l.onSpurious(s, pn, r, i)
	}
	if i >= 0 {
		sum.on[i].add(pn, r)
		if p := l.paths[i]; sp == AppSpace && p.size.on && (r.size >= p.size.least || r.flags&probe != 0) {
			p.onArrived(pn, r.size, r.flags&probe != 0)
		}
	}
	r.flags |= acked
	sum.packets++
	if pn > sum.newestPN {
		sum.newestPN, sum.newestSent, sum.newestPath = pn, r.time, i
	}
	sum.eliciting = sum.eliciting || r.flags&ackEliciting != 0
	if r.flags&ect != 0 {
		sum.marked++
	}
	for i := range int64(r.frames) {
		if f := s.frames.at(r.frame + i); !sum.frame.extend(f) {
			sum.tell(sp, h)
			sum.frame = *f
		}
	}
}

// add counts a packet that is newly acknowledged.
func (a *pathAck) add(pn int64, r *record) {
	if r.flags&(inFlight|lost) == inFlight {
		a.Bytes += int64(r.size)
		a.OldestSent = min(a.OldestSent, r.time)
	}
	if pn > a.NewestPN {
		a.NewestPN, a.NewestSent = pn, r.time
	}
	if r.flags&ect != 0 {
		a.marked++
	}
}

// tell hands on the frames that were put together.
func (sum *ackSum) tell(sp Space, h Handler) {
	if sum.frame != (Frame{}) {
		h.OnFrameAcked(sp, sum.frame)
	}
}

// onSpurious learns from a lost packet that arrived after all: its path, unless that is forgotten, reorders more than was thought.
func (l *Loss) onSpurious(s *space, pn int64, r *record, i int) {
	if r.flags&probe == 0 {
		l.Stats.Spurious++
	}
	if i < 0 {
		return
	}
	path := l.paths[i]
	if o := &path.reordering; r.path == s.largestPath {
		o.threshold = max(o.threshold, int32(min(s.largestAcked-pn+1, maxPacketThreshold)))
		if r.time > o.ageRaised && o.ageShift > 0 {
			o.ageShift--
			o.ageRaised = s.lastSent
		}
	}
	e := &path.epoch
	if r.epoch == 0 || r.epoch != e.id {
		return // it did not bring the last reaction
	}
	e.spurious++
	if e.spurious == e.lost && !e.marked {
		path.CC.OnSpurious()
	}
}

// detect declares packets lost that were overtaken by the largest acknowledged one by too many packets or too much time
// (RFC 9002, section 6.1), and sets the time at which the next one is. How many packets have overtaken one says something only if all
// of them went the same way; and a packet that is not old enough yet keeps no later one of another path, where a round trip is shorter, from being
// found, so that each path is looked through by itself, from where that came to an end the last time.
func (l *Loss) detect(now int64, sp Space, path *Path, h Handler) {
	s := l.spaces[sp]
	s.lossTime = 0
	var found [MaxPaths]pathLoss
	if len(l.paths) == 1 || sp != AppSpace { // before the handshake is confirmed there is one path
		s.scan = l.detectOn(now, sp, -1, s.scan, path, &found, h)
	} else {
		low := s.next()
		for i, p := range l.paths {
			p.scan = l.detectOn(now, sp, i, max(p.scan, s.scan), path, &found, h)
			low = min(low, p.scan)
		}
		s.scan = low
	}
	for i, p := range l.paths {
		p.onLost(now, &found[i])
	}
}

// detectOn does so for the packets from number pn on that were sent on one of l.paths, with the first of them for those of forgotten paths too; -1:
// for all. It returns the number below which none of them waits any more.
func (l *Loss) detectOn(now int64, sp Space, only int, pn int64, path *Path, found *[MaxPaths]pathLoss, h Handler) int64 {
	s := l.spaces[sp]
	for ; pn < s.largestAcked; pn++ {
		r := s.packets.at(pn)
		if r.flags&inFlight == 0 || r.flags&(acked|lost) != 0 {
			continue
		}
		i := l.pathOf(r)
		if only >= 0 && max(i, 0) != only {
			continue
		}
		by := path // if the one that it was sent on is forgotten
		if i >= 0 {
			by = l.paths[i]
		}
		overtaken := r.path == s.largestPath && s.largestAcked-pn >= by.PacketThreshold()
		if age := by.age(); !overtaken && r.time > now-age {
			if at := r.time + age; s.lossTime == 0 || at < s.lossTime {
				s.lossTime, s.lossPath = at, r.path
			}
			break
		}
		why := LostByTime
		if overtaken {
			why = LostByReordering
		}
		l.lose(now, sp, pn, r, why, h)
		if i < 0 || r.flags&probe != 0 {
			continue
		}
		l.countLoss(now, s, pn, r, by, &found[i])
		if sp == AppSpace && r.size > BaseDatagram && by.size.onLargeLost(pn, r.size) {
			by.onHole(now, s.next())
		}
	}
	return pn
}

// countLoss notes a lost packet for the congestion controller of its path.
func (l *Loss) countLoss(now int64, s *space, pn int64, r *record, p *Path, found *pathLoss) {
	p.epoch.begin(now, r.time)
	p.epoch.lost++
	r.epoch = p.epoch.id
	found.newest = max(found.newest, r.time)
	found.persistent = l.extendBurst(s, pn, r, p) || found.persistent
}

// onLost tells the controller of the losses that were found.
func (p *Path) onLost(now int64, found *pathLoss) {
	if found.newest == 0 {
		return
	}
	p.CC.OnCongestion(now, found.newest)
	if found.persistent {
		p.CC.OnPersistentCongestion()
		p.RTT.Min = p.RTT.Latest // RFC 9002, section 5.2
	}
}

// lose declares one packet lost, and returns what pathOf does.
func (l *Loss) lose(now int64, sp Space, pn int64, r *record, why LossReason, h Handler) int {
	s := l.spaces[sp]
	i := l.settle(s, r)
	r.flags |= lost
	if l.OnPacketLost != nil {
		l.OnPacketLost(sp, pn, why, r.flags&probe != 0)
	}
	switch {
	case r.flags&probe == 0:
		l.Stats.Lost++
		if i >= 0 {
			l.paths[i].Lost++
			l.paths[i].BytesLost += int64(r.size)
		}
	case i >= 0:
		l.paths[i].onProbeLost(now, pn, r.size)
	}
	if i >= 0 && r.flags&ect != 0 {
		l.paths[i].ECN.onLost()
	}
	for i := range int64(r.frames) {
		h.OnFrameLost(sp, *s.frames.at(r.frame + i))
	}
	return i
}

// extendBurst adds a lost packet to the run of losses and tells whether the run spans persistent congestion (RFC 9002, section 7.6.2).
func (l *Loss) extendBurst(s *space, pn int64, r *record, path *Path) bool {
	if r.flags&ackEliciting == 0 || !path.RTT.sampled || r.time <= path.firstSample {
		return false
	}
	b := &s.burst
	if b.first == 0 || b.path != r.path || s.ackedBetween(b.lastPN, pn) {
		b.first = r.time
	}
	b.last, b.lastPN, b.path = r.time, pn, r.path
	span := persistentPTOs * (path.RTT.pto() + l.maxAckDelay)
	return b.last-b.first > int64(span)
}

// ackedBetween tells whether a packet number between low and high is acknowledged. Those that trim forgot end the run
// themselves.
func (s *space) ackedBetween(low, high int64) bool {
	above := s.acked.From(low)
	return len(above) > 0 && above[0].Start < high
}
