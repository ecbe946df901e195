package recovery

import "fmt"

// AddPath has packets be sent on p, which is kept until ForgetPath.
//
// What is learnt of a packet later, its acknowledgement or its loss, is settled on the path that it was sent on (RFC 9000, section 9.4),
// whichever is in use by then: bytes in flight, round-trip time, congestion, ECN, reordering.
// At most MaxPaths may be kept.
func (l *Loss) AddPath(p *Path) {
	if l.lastPath == maxPathID {
		l.renumber()
	}
	l.lastPath++
	p.id = l.lastPath
	p.scan = l.app.next()
	if len(l.paths) == 1 {
		l.paths[0].scan = l.app.scan
	}
	l.paths = append(l.paths, p)
}

// MaxPaths is how many paths of a connection may be kept at a time.
const MaxPaths = 4

// maxPathID is the largest number that records name a path by.
const maxPathID = 1<<16 - 1

// ForgetPath forgets what is known of p. What is in flight on it is still acknowledged or lost, by the round-trip time of the path that is
// in use by then, and its frames are sent again if it is lost; but no congestion controller hears of it.
func (l *Loss) ForgetPath(p *Path) {
	for i, other := range l.paths {
		if other == p {
			l.paths = append(l.paths[:i], l.paths[i+1:]...)
			p.id = 0
			if len(l.paths) > 0 {
				l.paths[0].scan = l.app.scan // it looks after those in flight
			}
			return
		}
	}
}

// AckedBy tells which path the acknowledgements of the next calls of OnAck come by; nil, as at first, says that it is not known. The time
// that a packet and its acknowledgement take by different paths is the round-trip time of neither.
func (l *Loss) AckedBy(p *Path) { l.ackedBy = p }

// Paths returns how many paths there are.
func (l *Loss) Paths() int { return len(l.paths) }

// Eliciting tells whether a packet that elicits an acknowledgement is in flight, on whichever path.
func (l *Loss) Eliciting() bool {
	for _, s := range l.spaces {
		if s != nil && s.eliciting > 0 {
			return true
		}
	}
	return false
}

// renumber gives the paths the lowest numbers, so that none is ever used for two: packets of paths that are forgotten get the number 0.
func (l *Loss) renumber() {
	for _, s := range l.spaces {
		if s == nil {
			continue
		}
		number := func(id *uint16) {
			for i, p := range l.paths {
				if p.id == *id {
					*id = uint16(i + 1)
					return
				}
			}
			*id = 0
		}
		for pn := s.packets.start; pn < s.packets.end; pn++ {
			number(&s.packets.at(pn).path)
		}
		number(&s.largestPath)
		number(&s.lossPath)
		number(&s.burst.path)
	}
	for i, p := range l.paths {
		p.id = uint16(i + 1)
	}
	l.lastPath = uint16(len(l.paths))
}

// pathOf returns where the path that a packet was sent on is in l.paths, -1 if it is forgotten. There are few, and one as a rule.
func (l *Loss) pathOf(r *record) int {
	for i, p := range l.paths {
		if p.id == r.path {
			return i
		}
	}
	return -1
}

// settle takes a packet out of flight, if it is, on the path that it was sent on, and returns what pathOf does.
func (l *Loss) settle(s *space, r *record) int {
	i := l.pathOf(r)
	if r.flags&inFlight == 0 || r.flags&(acked|lost) != 0 {
		return i
	}
	if r.awaited() {
		s.eliciting--
	}
	if i >= 0 {
		l.paths[i].InFlight -= int64(r.size)
	}
	return i
}

// checkSlack is more than how many packets are sent for what one train or timer brings, in between two calls of Shed.
const checkSlack = 128

// Check returns an error if the record of sent packets contradicts itself: for tests. It takes time in proportion to how many packets are
// remembered. For each path, what is in flight must be the sum of its packets that are; in each space as many of them must elicit an
// acknowledgement as are counted, and no more packets be remembered than the bounds allow; and nothing that is in flight may stand before the scan for losses, nor be acknowledged.
func (l *Loss) Check() error {
	inFlightOn := map[uint16]int64{}
	for sp, s := range l.spaces {
		if s == nil {
			continue
		}
		if n := s.packets.len(); n > checkSlack && s.overfull(s.packets.start+checkSlack, maxBehind(Space(sp))) {
			return fmt.Errorf("recovery: %d packets of space %d are remembered with %d frames, and %d in flight elicit acknowledgements",
				n, sp, s.frames.len(), s.eliciting)
		}
		count := 0
		for pn := s.packets.start; pn < s.packets.end; pn++ {
			r := s.packets.at(pn)
			if known := s.acked.Contains(pn); known != (r.flags&acked != 0) {
				return fmt.Errorf("recovery: packet %d of space %d is acknowledged in one place only", pn, sp)
			}
			if r.flags&inFlight == 0 || r.flags&(acked|lost) != 0 {
				continue
			}
			if pn < s.scan {
				return fmt.Errorf("recovery: packet %d of space %d is in flight before %d, where losses are looked for", pn, sp, s.scan)
			}
			if i := l.pathOf(r); len(l.paths) > 1 && Space(sp) == AppSpace && pn < l.paths[max(i, 0)].scan {
				return fmt.Errorf("recovery: packet %d is in flight before %d, where losses on its path are looked for", pn, l.paths[max(i, 0)].scan)
			}
			inFlightOn[r.path] += int64(r.size)
			if r.awaited() {
				count++
			}
		}
		if count != int(s.eliciting) {
			return fmt.Errorf("recovery: %d ack-eliciting packets of space %d are in flight, and %d are counted", count, sp, s.eliciting)
		}
	}
	for _, p := range l.paths {
		if m := &p.size; m.probe != 0 && m.probePN >= l.app.packets.start {
			if r := l.app.packets.at(m.probePN); r.flags&(probe|inFlight|acked|lost) != probe|inFlight || r.size != m.probe {
				return fmt.Errorf("recovery: packet %d is no probe of %d bytes in flight", m.probePN, m.probe)
			}
		}
		if wrong := p.CheckSize(); wrong != "" {
			return fmt.Errorf("recovery: on path %d %s: %+v of at most %d bytes", p.id, wrong, p.size, p.ceiling)
		}
		if sum := inFlightOn[p.id]; p.InFlight != sum {
			return fmt.Errorf("recovery: the packets in flight on path %d have %d bytes, and %d are counted", p.id, sum, p.InFlight)
		}
	}
	return nil
}
