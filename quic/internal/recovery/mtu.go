package recovery

import "time"

// BaseDatagram is the size of datagrams, in bytes of UDP payload, that every path of QUIC carries (RFC 9000, section 14; BASE_PLPMTU of
// RFC 8899, section 5.1.2). A search begins there, and a black hole leads back to it.
const BaseDatagram = 1200

// Constants of the search.
const (
	// maxTries is how many probes of one size may be lost before it is taken for too large (MAX_PROBES of RFC 8899, section 5.1.2).
	maxTries = 3

	// probeWait is the least time after which a probe is lost of which no acknowledgement tells anything (PROBE_TIMER of RFC 8899, section 5.1.1,
	// "MUST NOT be smaller than 1 second"): a peer that does not come to run for some probe timeouts is no path that carries less.
	probeWait = time.Second

	// payFor is how many datagrams of full size are sent before each probe: a connection that sends less gains nothing by larger ones.
	payFor = 3

	// fullBy is how many bytes less than the path carries a datagram may have to count as full.
	fullBy = 64

	// raiseAfter is when sizes that were too large are tried again (PMTU_RAISE_TIMER of RFC 8899, section 5.1.1).
	raiseAfter = 600 * time.Second

	// raiseAfterFall is the same after the path has begun to carry less: it may have been congestion, and soon be over. It doubles with each
	// black hole, up to raiseAfter.
	raiseAfterFall = 30 * time.Second

	// holeLosses is how many packets larger than BaseDatagram must be lost in a row, while smaller ones arrive, for a black hole.
	holeLosses = 3

	// wellAfter is how many packets larger than BaseDatagram must arrive after a black hole for the path to be trusted again.
	wellAfter = 64

	// fineGap is the least range, in bytes, that is worth a probe when no likely size is left in it.
	fineGap = 32

	noSize = 1<<16 - 1 // larger than any datagram
)

// likelyMTUs are the MTUs that paths have, in ascending order: of IPv6 at the least, of tunnels and PPPoE, of Ethernet, of WLAN and FDDI, of
// networks in data centres, and steps up to what IP carries.
var likelyMTUs = [...]uint16{1280, 1320, 1360, 1400, 1420, 1440, 1450, 1460, 1480, 1492, 1500, 2304, 4352, 8500, 9000, 16384, 32768, 65535}

// ethernetMTU and jumboMTU are the two of them that are most likely to be exactly what a path has.
const (
	ethernetMTU = 1500
	jumboMTU    = 9000
)

// sizeSearch finds out how large the datagrams are that a path carries: DPLPMTUD (RFC 8899; RFC 9000, section 14.3).
//
// It tries the size of Ethernet first, then that of jumbo frames, then all that is allowed; where one is too large it looks among likely
// sizes below, by halves, and then among all where that pays. One probe is in flight at a time, and none is sent unless full datagrams were: so
// an idle connection has no timer for it.
//
// Whether the path still carries what was found is learnt from the packets themselves: if holeLosses of them are lost in a row that are
// larger than BaseDatagram, while what was sent after them on the same path arrives, and none of it is as large, the path has become a black
// hole for them. The size falls to BaseDatagram. But a queue that is full has room for small packets only, so that it looks the same: therefore
// what was found is tried again first, and then what is smaller than what was lost. If the path falls again before wellAfter of its
// packets have arrived, probes say nothing of it, and the search rests.
//
// Invariants: BaseDatagram <= found < tooLarge, next is 0 or between both, and probe is 0 unless a probe of that size is in flight.
type sizeSearch struct {
	on       bool
	overhead uint8  // of IP and UDP, in bytes
	found    uint16 // the largest size that is known to arrive
	tooLarge uint16 // the least that is known not to; noSize: none is
	next     uint16 // to be tried; 0: nothing is, for now
	probe    uint16 // in flight, neither acknowledged nor lost; 0: none
	tries    uint8  // of next that were lost
	paid     uint8  // full datagrams since the last probe, payFor at most
	doubted  uint16 // the size to be tried again after a black hole; 0: there was none
	unsound  uint16 // and what it was told by, should that fail too: the least that was lost
	falls    uint8  // black holes since the path was last trusted
	good     uint8  // large packets that have arrived since the last one, wellAfter at most
	least    uint16 // the smallest large packet of those that were lost in a row; while there is none, the least that counts as large
	lost     uint8  // how many those are
	raiseAt  int64  // when tooLarge is to be forgotten; 0: never
	probePN  int64  // its packet number
	probeAt  int64  // when it was sent
	arrived  int64  // the newest packet that proves that large ones arrive
	newest   int64  // the newest packet of the path that is acknowledged
}

// SearchSize has the path find out how large datagrams may be, from BaseDatagram on. inet6 tells whether it is one of IPv6. Otherwise
// they are as large as SetCeiling says.
func (p *Path) SearchSize(inet6 bool) {
	m := &p.size
	*m = sizeSearch{on: true, overhead: 28, found: BaseDatagram, tooLarge: noSize, least: BaseDatagram + 1, arrived: -1, newest: -1}
	if inet6 {
		m.overhead = 48
	}
	p.resize()
}

// MaxDatagram returns how large datagrams on the path are at most, in bytes of UDP payload.
func (p *Path) MaxDatagram() int { return int(p.maxDatagram) }

// MaxDatagramUnder returns what MaxDatagram is under a ceiling.
func (p *Path) MaxDatagramUnder(ceiling int) int {
	if p.size.on {
		return min(int(p.size.found), ceiling)
	}
	return ceiling
}

// SetCeiling tells the largest that they may be, whatever the path carries: BaseDatagram or more.
func (p *Path) SetCeiling(size int) {
	if size := int32(size); size != p.ceiling {
		p.ceiling = size
		p.resize()
	}
}

// resize brings up to date what follows from what was found and from the ceiling.
func (p *Path) resize() {
	if p.size.on {
		p.size.plan(int(p.ceiling))
	}
	if size := int32(p.MaxDatagramUnder(int(p.ceiling))); size != p.maxDatagram {
		p.maxDatagram = size
		p.CC.SetMaxDatagram(int(size))
	}
}

// ProbeSize returns the size of the probe that is to be sent now, in bytes of UDP payload; 0 if none is. The window must have room for
// it, and be no less than two of them: else larger datagrams are of no use.
func (p *Path) ProbeSize(now int64) int {
	m := &p.size
	if m.raiseAt != 0 && now >= m.raiseAt {
		m.raiseAt, m.tooLarge, m.tries = 0, noSize, 0
		m.plan(int(p.ceiling))
	}
	if m.doubted != 0 && p.CC.Window() < 2*int64(m.doubted) {
		p.ruleDoubted(now) // what was lost has left too little room to find out
	}
	size := int64(m.next)
	if size == 0 || m.probe != 0 || m.paid < payFor || p.Available() < size || p.CC.Window() < 2*size {
		return 0
	}
	return int(size)
}

// WantLarger has the next probe be sent though no full datagrams are, since the application has something larger. It tells whether there is
// anything to try.
func (p *Path) WantLarger() bool {
	p.size.paid = payFor
	return p.size.next != 0 && p.size.probe == 0
}

// CheckSize returns what is wrong with the search, "" if nothing is: for tests.
func (p *Path) CheckSize() string {
	m := &p.size
	switch {
	case p.maxDatagram > p.ceiling || p.maxDatagram < BaseDatagram:
		return "the size of datagrams is not within its bounds"
	case !m.on:
		return ""
	case m.found < BaseDatagram || m.found >= m.tooLarge || p.maxDatagram != min(int32(m.found), p.ceiling):
		return "the size that was found is not the one in use"
	case m.next != 0 && (m.next <= m.found || m.next >= m.tooLarge || int32(m.next) > p.ceiling):
		return "a size is to be tried of which all is known"
	case m.lost >= holeLosses:
		return "a black hole was found, and nothing done"
	case m.tries >= maxTries:
		return "a size is tried too often"
	}
	return ""
}

// onSent takes note of a packet of the AppSpace.
func (m *sizeSearch) onSent(now, pn int64, size, full int, probe bool) {
	switch {
	case probe:
		m.probe, m.probePN, m.probeAt, m.paid = uint16(size), pn, now, 0
	case size+fullBy >= full && m.paid < payFor:
		m.paid++
	}
}

// onArrived takes note of a packet that was acknowledged.
func (p *Path) onArrived(pn int64, size uint16, probe bool) {
	m := &p.size
	if !probe { // a probe that arrives is no proof that others do: the peer may tell what it likes
		if size >= m.least && pn > m.arrived {
			m.arrived, m.lost, m.least = pn, 0, BaseDatagram+1
		}
		if m.good < wellAfter {
			m.good++
		}
		return
	}
	if pn == m.probePN {
		m.probe = 0
	}
	if size > m.found && size < m.tooLarge {
		m.found, m.tries, m.doubted = size, 0, 0
		p.resize()
	}
}

// onProbeLost counts a probe that was lost against its size.
func (p *Path) onProbeLost(now, pn int64, size uint16) {
	m := &p.size
	if pn == m.probePN {
		m.probe = 0
	}
	if size != m.next {
		return // it has been answered meanwhile
	}
	if m.tries++; m.tries < maxTries {
		return
	}
	if size == m.doubted {
		p.ruleDoubted(now)
		return
	}
	m.rule(now, size, raiseAfter)
	p.resize()
}

// ruleDoubted takes for too large what was lost in the black hole.
func (p *Path) ruleDoubted(now int64) {
	m := &p.size
	m.doubted = 0
	m.rule(now, m.unsound, m.fallWait())
	p.resize()
}

// rule takes note that a size is too large, for as long as that.
func (m *sizeSearch) rule(now int64, size uint16, wait time.Duration) {
	m.tooLarge, m.tries = min(m.tooLarge, size), 0
	if m.raiseAt == 0 {
		m.raiseAt = now + int64(wait)
	}
}

// onLargeLost counts a packet larger than BaseDatagram that was lost, and tells whether that shows a black hole.
func (m *sizeSearch) onLargeLost(pn int64, size uint16) bool {
	if !m.on || pn <= m.arrived || pn >= m.newest {
		return false
	}
	if m.lost == 0 {
		m.least = size
	}
	m.least = min(m.least, size)
	m.lost++
	return m.lost >= holeLosses
}

// onHole falls back. next is the number of the next packet: those before it prove nothing any more.
func (p *Path) onHole(now, next int64) {
	m := &p.size
	if m.good == wellAfter {
		m.falls = 0
	}
	m.falls, m.raiseAt = min(m.falls+1, 8), 0
	if m.falls > 1 { // what probes say of this path is not true of other packets
		m.tooLarge, m.doubted = BaseDatagram+1, 0
		m.rule(now, m.tooLarge, m.fallWait())
	} else {
		m.doubted, m.unsound = m.found, m.least
	}
	p.fall(next)
}

// fallWait is how long it takes after a black hole until large sizes are tried again.
func (m *sizeSearch) fallWait() time.Duration {
	return min(raiseAfterFall<<max(int(m.falls)-1, 0), raiseAfter)
}

func (p *Path) fall(next int64) {
	m := &p.size
	m.found, m.tries, m.good = BaseDatagram, 0, 0
	m.lost, m.least, m.arrived = 0, BaseDatagram+1, next-1
	p.resize()
}

// OnTooLarge is told that the system has refused to send a datagram of that size on the path, and tells whether anything follows from it:
// that is a matter of the device that the path begins with, and no proof is asked for. Nothing follows below BaseDatagram, which every path
// must carry.
func (l *Loss) OnTooLarge(now int64, path *Path, size int) bool {
	m := &path.size
	if !m.on || size <= BaseDatagram || size >= int(m.tooLarge) {
		return false
	}
	if int(m.probe) == size {
		l.loseProbe(now, path)
	}
	if size > int(m.found) {
		m.rule(now, uint16(size), raiseAfter)
		path.resize()
		return true
	}
	m.tooLarge, m.doubted, m.raiseAt = uint16(size), 0, 0
	m.rule(now, uint16(size), raiseAfterFall)
	path.fall(l.app.next())
	return true
}

// probeTimer returns when a probe that is in flight is lost whatever happens, 0 if none is: it holds window, and where nothing else is in
// flight no acknowledgement tells. That is no probe timeout, and nothing is sent for it.
func (l *Loss) probeTimer() (at int64, path *Path) {
	for _, p := range l.paths {
		if p.size.probe == 0 {
			continue
		}
		if t := p.size.probeAt + int64(max(l.PTO(p), probeWait)); at == 0 || t < at {
			at, path = t, p
		}
	}
	return at, path
}

// loseProbe takes a path's probe that is in flight for lost.
func (l *Loss) loseProbe(now int64, path *Path) {
	s, pn := &l.app, path.size.probePN
	if pn < s.packets.start {
		path.size.probe = 0
		return
	}
	l.lose(now, AppSpace, pn, s.packets.at(pn), LostOtherwise, nil) // which holds no frames that are noted
}

// plan chooses what to try next.
func (m *sizeSearch) plan(ceiling int) {
	before := m.next
	m.next = m.choose(min(uint16(ceiling), m.tooLarge-1), int(m.tooLarge) > ceiling)
	if m.next != before {
		m.tries = 0
	}
}

// choose returns the size to try next of those above found, up to top; open tells whether nothing up to the ceiling, which is top then, is
// known to be too large.
func (m *sizeSearch) choose(top uint16, open bool) uint16 {
	if !m.on || m.found >= top {
		return 0
	}
	if m.doubted > m.found && m.doubted <= top {
		return m.doubted
	}
	ethernet, jumbo := m.payload(ethernetMTU), m.payload(jumboMTU)
	for _, size := range [...]uint16{ethernet, jumbo} {
		if size > m.found && size <= top {
			return size
		}
	}
	if open {
		return top
	}
	var likely [len(likelyMTUs)]uint16
	n := 0
	for _, mtu := range likelyMTUs {
		if size := m.payload(mtu); size > m.found && size <= top {
			likely[n], n = size, n+1
		}
	}
	if n > 0 {
		return likely[n/2]
	}
	gap := top - m.found
	if m.found == ethernet || m.found == jumbo || gap < fineGap || m.found > ethernet && gap < m.found/8 {
		return 0
	}
	return m.found + (gap+1)/2
}

// payload returns what of UDP payload fits into an MTU.
func (m *sizeSearch) payload(mtu uint16) uint16 { return mtu - uint16(m.overhead) }
