package quic

import (
	"slices"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
	"github.com/boringquic/boringquic/quic/qlog"
)

// The way in, from a train of datagrams to plaintext:
//
//  1. Recv finds the path that the train came on.
//  2. gather parses the headers of as many packets as have keys, from the first on: in steady state the whole train.
//  3. All of them are opened in one crossing.
//  4. onPacket judges each: authentic, new, well-formed; and commits key updates.
//  5. handleFrames acts on what is in it (conn_frames.go).
//  6. afterPacket notes what is to be acknowledged, and follows the peer to another path.
//
// Frames of one packet may bring the keys that the next one needs, so that 2 begins anew where it stopped.

// maxTrainPackets is how many packets cross into C at a time.
const maxTrainPackets = 64

// inTrain is a train that is being received, and how far.
type inTrain struct {
	Train
	pos        int
	start, end int   // of the datagram that pos is in
	path       *path // nil: a new path, of which no packet has proved authentic yet
	other      bool  // the packet at hand is of another version than the connection
}

// datagram returns the bounds of the datagram around offset off.
func (t *inTrain) datagram(off int) (start, end int) {
	start = off - off%t.SegSize
	return start, min(start+t.SegSize, len(t.Buf))
}

// Recv takes a train of datagrams for this connection. It decrypts t.Buf in place and does not keep it.
func (c *Conn) Recv(now time.Time, t Train) {
	n := c.clock.read(now)
	defer c.traceState()
	if c.tls.foreign {
		c.continueTLS(n)
	}
	if c.state >= stateDraining || len(t.Buf) == 0 {
		return
	}
	if t.SegSize <= 0 || t.SegSize > len(t.Buf) {
		t.SegSize = len(t.Buf)
	}
	c.idle.rest.Wake(n)
	c.counts.bytesReceived += uint64(len(t.Buf))
	c.counts.udpReceived += uint64((len(t.Buf) + t.SegSize - 1) / t.SegSize)
	p, ok := c.receivePath(&t)
	if !ok {
		c.counts.packetsDropped++
		return
	}
	if p != nil {
		p.received += uint64(len(t.Buf))
	}
	for c.hello != nil && c.hello.awaited != nil && !c.meetFirst(t.Buf[:min(t.SegSize, len(t.Buf))]) {
		c.counts.packetsDropped++
		if t.Buf = t.Buf[min(t.SegSize, len(t.Buf)):]; len(t.Buf) == 0 {
			c.updateLimits()
			return
		}
	}
	if c.state == stateClosing {
		c.closing.onReceived(t.SegSize, len(t.Buf))
	}
	in := inTrain{Train: t, path: p}
	c.recvTrain(n, &in)
	c.replayEarly(n)
	c.hasten(n)
	if c.state == stateActive {
		c.loss.Shed(n, c.path.rec, (*lossHandler)(c))
	}
	c.sweepPaths()
	c.tellSize()
	c.updateLimits()
}

// meetFirst has a server's connection, which was accepted before its client's first packet came, be for the client whose datagram d is, and
// tells whether that is so: its first packet is an Initial packet that may begin a connection (RFC 9000, sections 7.2 and 14.1), and opens.
func (c *Conn) meetFirst(d []byte) bool {
	p := c.hello.awaited
	h, n := wire.ConsumeLongHeader(d)
	if c.state != stateActive || n < 0 || h.Type != wire.Initial || h.TooShortToOpen() || !c.takesFirst(d[0]) || len(d) < minDatagramSize ||
		!slices.Contains(c.cfg.Versions, h.Version) {
		return false
	}
	p.ClientDstConnID, _ = MakeConnID(h.DstConnID)
	p.PeerConnID, _ = MakeConnID(h.SrcConnID)
	switch {
	case !p.Retried && len(h.DstConnID) < minInitialDCIDLen, p.Retried && p.ClientDstConnID != p.RetrySrcConnID:
		return false
	case !p.Retried:
		p.OrigDstConnID = p.ClientDstConnID
	}
	p.Version = h.Version
	keys := protect.NewKeys()
	if !opensInitial(keys, append([]byte(nil), d[:h.Len]...), &h) {
		keys.Release()
		return false
	}
	c.hello.awaited = nil
	c.keys.Release()
	c.keys.Keys = keys
	if err := c.meet(p); err != nil {
		c.fail(&TransportError{Code: InternalError, Cause: err})
	}
	return true
}

// opensInitial tells whether an Initial packet of a client opens, which is decrypted in place. keys have the Initial keys of its connection then.
func opensInitial(keys *protect.Keys, packet []byte, h *wire.LongHeader) bool {
	if keys.InstallInitial(h.Version, h.DstConnID, false) != nil {
		return false
	}
	open := [1]protect.OpenDesc{{
		Len: uint32(h.Len), PNOff: uint16(h.PNOffset), Slot: protect.Initial, Largest: -1,
	}}
	keys.Open(packet, open[:])
	return open[0].Status == protect.Opened
}

// recvTrain opens and handles the packets of a train.
func (c *Conn) recvTrain(now int64, t *inTrain) {
	var descs [maxTrainPackets]protect.OpenDesc
	for t.pos < len(t.Buf) && c.state < stateDraining {
		n := c.gather(now, t, &descs)
		if n == 0 {
			continue
		}
		keys := c.keys.Keys
		if t.other {
			keys = c.hello.negotiation.otherKeys
		}
		keys.Open(t.Buf, descs[:n])
		for i := 0; i < n && c.state < stateDraining; i++ {
			c.onPacket(now, t, &descs[i])
			c.settleKeys()
		}
	}
}

// verdict is what gather is to do with what stands at the front of a datagram.
type verdict uint8

const (
	verdictOpen  verdict = iota // a packet whose keys are there
	verdictSkip                 // a packet to be ignored, or that was dealt with
	verdictRest                 // nothing more is to be had from this datagram
	verdictEarly                // a packet whose keys are still to come
	verdictOther                // an Initial packet of another version than the connection, whose keys are there
	verdictAlone                // a Retry or Version Negotiation packet: to be looked at when nothing is before it
)

// gather fills descs with the next packets of a train, up to the first one whose keys do not exist yet, if anything stands
// before that one.
func (c *Conn) gather(now int64, t *inTrain, descs *[maxTrainPackets]protect.OpenDesc) (n int) {
	t.other = false
	for n < len(descs) && t.pos < len(t.Buf) {
		if t.pos == t.end {
			t.start, t.end = t.pos, min(t.pos+t.SegSize, len(t.Buf))
		}
		b := t.Buf[t.pos:t.end]
		d := &descs[n]
		size, v := c.parsePacket(b, t.pos == t.start, t.Buf[t.start:t.end], d)
		switch v {
		case verdictOpen:
			d.Off = uint32(t.pos)
			n++
		case verdictOther:
			if n > 0 {
				return n
			}
			d.Off, t.other = uint32(t.pos), true
			t.pos += size
			return 1
		case verdictEarly:
			if n > 0 {
				return n
			}
			c.hello.early.add(now, c.earlyLife(), b[:size], d.Slot, t.ECN)
			c.hello.lacks = c.client
		case verdictAlone:
			if n > 0 {
				return n
			}
			if c.trace != nil {
				c.trace.onUnprotected(c, b)
			}
			c.handleUnprotected(now, b)
			size = len(b)
		case verdictRest:
			c.dropPacket(qlog.DropInvalid, b)
			size = len(b)
			if t.pos == t.start && !wire.IsLongHeader(b[0]) {
				c.checkReset(b)
			}
		case verdictSkip:
			c.dropPacket(qlog.DropKeyUnavailable, b[:size])
		}
		t.pos += size
	}
	return n
}

// parsePacket looks at the unprotected part of the packet at the front of b, the rest of a datagram, and prepares d to open it.
// size is the packet's length.
func (c *Conn) parsePacket(b []byte, first bool, datagram []byte, d *protect.OpenDesc) (size int, v verdict) {
	if wire.IsLongHeader(b[0]) {
		return c.parseLong(b, first, datagram, d)
	}
	idLen := c.local.len()
	if !c.takesFirst(b[0]) || len(b) < 1+idLen {
		return 0, verdictRest
	}
	if _, ok := c.local.find(b[1 : 1+idLen]); !ok {
		return 0, verdictRest
	}
	if !first && !c.sameID(datagram, b[1:1+idLen]) {
		return 0, verdictRest
	}
	*d = protect.OpenDesc{
		Len: uint32(len(b)), PNOff: uint16(1 + idLen), Slot: protect.OneRTT,
		Largest: c.spaces[recovery.AppSpace].acks.largest(),
	}
	if !c.canOpen(protect.OneRTT) {
		return len(b), verdictEarly
	}
	return len(b), verdictOpen
}

// takesFirst tells whether packets with that first byte are taken: the fixed bit must be set unless we have announced that it need not
// (RFC 9287, section 3).
func (c *Conn) takesFirst(first byte) bool { return wire.HasFixedBit(first) || !c.cfg.NoGrease }

func (c *Conn) parseLong(b []byte, first bool, datagram []byte, d *protect.OpenDesc) (size int, v verdict) {
	version, _, _, n := wire.ConsumeInvariants(b)
	if n < 0 {
		return 0, verdictRest
	}
	if version == 0 {
		return 0, verdictAlone
	}
	h, n := wire.ConsumeLongHeader(b)
	if n < 0 || !c.takesFirst(b[0]) {
		return 0, verdictRest
	}
	// RFC 9000, section 12.2: packets of a datagram with different Destination Connection IDs are not one sender's.
	if !first && !c.sameID(datagram, h.DstConnID) {
		return 0, verdictRest
	}
	if h.Type == wire.Retry {
		return 0, verdictAlone
	}
	slot := protect.Slot(h.Type) // the numbers are the same, but for types that were dealt with
	s := c.spaces[spaceOfSlot[slot]]
	if s == nil || slot == protect.ZeroRTT && !c.takesEarly() || h.TooShortToOpen() || !c.acceptsHeader(&h, len(datagram)) {
		return n, verdictSkip
	}
	v = verdictOpen
	if version != c.version || slot == protect.ZeroRTT {
		v = c.judgeVersion(&h)
	}
	*d = protect.OpenDesc{Len: uint32(n), PNOff: uint16(h.PNOffset), Slot: slot, Largest: s.acks.largest()}
	if v == verdictOpen && !c.canOpen(slot) {
		v = verdictEarly
	}
	return n, v
}

// canOpen tells whether packets of a slot can be processed. 1-RTT packets cannot before the handshake is complete, even with
// keys (RFC 9001, section 5.7).
func (c *Conn) canOpen(slot protect.Slot) bool {
	return c.keys.HasRead(slot) && (slot != protect.OneRTT || c.tls.complete)
}

// sameID tells whether a datagram's first packet was sent to that connection ID.
func (c *Conn) sameID(datagram, id []byte) bool {
	if wire.IsLongHeader(datagram[0]) {
		_, dst, _, n := wire.ConsumeInvariants(datagram)
		return n >= 0 && string(dst) == string(id)
	}
	return false // a short header packet reaches to the end of its datagram
}

// acceptsHeader judges a long header by what is known of the connection.
func (c *Conn) acceptsHeader(h *wire.LongHeader, datagramLen int) bool {
	_, ours := c.local.find(h.DstConnID)
	if h.Type == wire.ZeroRTT {
		dst, src := c.earlyIDs()
		return (ours || string(h.DstConnID) == string(dst.Bytes())) && string(h.SrcConnID) == string(src.Bytes())
	}
	if !c.client && h.Type != wire.Handshake && string(h.DstConnID) == string(c.hello.clientDst.Bytes()) {
		ours = true // the client's own choice, before it knew ours
	}
	if !ours {
		return false
	}
	if h.Type == wire.Initial {
		// RFC 9000, sections 14.1 and 17.2.2.
		if !c.client && datagramLen < minDatagramSize || c.client && len(h.Token) > 0 {
			return false
		}
	}
	// RFC 9000, section 7.2: the peer's Source Connection ID does not change.
	return !c.hello.peerKnown || string(h.SrcConnID) == string(c.hello.peerSrc.Bytes())
}

// onPacket judges a packet that was to be opened, and handles its frames.
func (c *Conn) onPacket(now int64, t *inTrain, d *protect.OpenDesc) {
	sp := spaceOfSlot[d.Slot]
	s := c.spaces[sp]
	packet := t.Buf[d.Off : d.Off+d.Len]
	if d.Status != protect.Opened || s == nil {
		c.dropPacket(qlog.DropUndecryptable, packet)
		if d.Status != protect.Failed {
			return
		}
		if start, end := t.datagram(int(d.Off)); int(d.Off) == start && d.Slot == protect.OneRTT {
			c.checkReset(t.Buf[start:end])
		}
		if err := c.keys.failed(); err != nil {
			c.fail(err)
		}
		return
	}
	if s.acks.duplicate(d.PN) {
		c.dropPacket(qlog.DropDuplicate, packet)
		return
	}
	var in inPacket // filled in place: a literal would be copied
	in.now, in.slot, in.space, in.pn, in.gen, in.path = now, d.Slot, sp, d.PN, d.Gen, t.path
	in.spin = wire.SpinBit(d.First)
	in.payload = packet[int(d.PNOff)+int(d.PNLen) : len(packet)-protect.Overhead]
	if err := c.acceptPacket(t, d, packet, &in); err != nil {
		c.fail(err)
		return
	}
	if in.ignore {
		c.dropPacket(qlog.DropRejected, packet)
		c.updateLimits()
		return
	}
	if c.trace != nil {
		c.trace.onReceived(c, &in, packet)
	}
	if c.state == stateClosing {
		c.counts.packetsReceived++
		c.findClose(&in)
		return
	}
	switch err := c.handleFrames(&in); err {
	case nil:
		c.counts.packetsReceived++
		if in.path != nil {
			in.path.packetsReceived++
		}
		c.afterPacket(t, &in)
	case errNotKept:
		c.dropPacket(qlog.DropRejected, packet)
	default:
		c.fail(err)
	}
}

// acceptPacket makes the checks of an authentic packet that come before its frames.
func (c *Conn) acceptPacket(t *inTrain, d *protect.OpenDesc, packet []byte, in *inPacket) *TransportError {
	reserved := byte(0x0c) // RFC 9000, section 17.2
	if d.Slot == protect.OneRTT {
		reserved = 0x18 // section 17.3.1
	}
	if d.First&reserved != 0 {
		return transportError(ProtocolViolation, "reserved bits are set")
	}
	if d.Slot == protect.OneRTT {
		var ok bool
		if in.usedSeq, ok = c.local.find(packet[1 : 1+c.local.len()]); !ok {
			in.ignore = true // one too many was retired by a packet before it in the train
			return nil
		}
		if d.Gen+1 < c.keys.ReadGen() {
			in.ignore = true // opened before two updates, which a train brought together: outside of it the key is gone
			return nil
		}
		largest := c.spaces[recovery.AppSpace].acks.largest()
		if err := c.keys.onOpened(in.now, d.PN, largest, d.Gen, c.pto(c.path.rec)); err != nil {
			return err
		}
		in.path = c.arrivedOn(in.now, t, in.usedSeq)
		if in.path != nil && in.path.usedSeq != in.usedSeq {
			c.local.onUsed(in.usedSeq)
		}
		return nil
	}
	if in.path == nil {
		in.ignore = true // nothing of the handshake comes from another address
		return nil
	}
	if in.slot == protect.ZeroRTT {
		return nil
	}
	version, _, src, _ := wire.ConsumeInvariants(packet)
	in.version = version
	if version != c.version && d.Slot == protect.Initial {
		if err := c.onOtherVersion(version); err != nil {
			return err
		}
	}
	if !c.hello.peerKnown {
		c.adoptPeer(src)
	}
	in.ignore = string(src) != string(c.hello.peerSrc.Bytes())
	return nil
}

// adoptPeer takes the connection ID that the server has chosen (RFC 9000, section 7.2).
func (c *Conn) adoptPeer(src []byte) {
	c.hello.peerSrc, _ = MakeConnID(src)
	c.hello.peerKnown = true
	c.peer.init(c.hello.peerSrc)
	c.path.dcid = c.hello.peerSrc
}

// afterPacket notes a packet that was processed.
func (c *Conn) afterPacket(t *inTrain, in *inPacket) {
	if c.hello != nil {
		c.hello.heard = true
	}
	s := c.spaces[in.space]
	newest := in.pn > s.acks.largest()
	if newest && in.slot == protect.OneRTT && in.path != nil {
		in.path.onSpin(c.client, in.spin)
	}
	policy := &ackAtOnce
	if in.space == recovery.AppSpace {
		policy = &c.ackFrequency.local
		policy.rtt = c.path.rec.RTT.Smoothed
	}
	s.acks.received(in.now, in.pn, in.eliciting, t.ECN, policy)
	c.idle.onReceived(in.now)
	if in.slot == protect.Handshake && !c.client {
		// RFC 9000, section 8.1, and RFC 9001, section 4.9.1.
		c.path.validated = true
		c.dropSpace(recovery.InitialSpace)
	}
	if in.slot != protect.OneRTT || c.state != stateActive || in.path == nil {
		return
	}
	if newest {
		in.path.usedSeq = in.usedSeq // else it may be one that the peer has retired since
	}
	if r := c.paths.roam; len(c.paths.list) == 1 && (r == nil || len(r.kept) == 0) {
		return
	}
	if c.client { // which goes where it wants
		if newest && in.nonProbing && in.path != c.path {
			c.heardOnLeft(in.now, in.path)
		}
		return
	}
	if moved := newest && in.nonProbing; (moved || c.paths.answering(in.path)) && c.giveID(in.path) && moved {
		c.follow(in.now, in.path)
	}
}

// checkReset ends the connection if a datagram that could not be opened is a stateless reset.
func (c *Conn) checkReset(datagram []byte) {
	if !c.peer.isReset(datagram) {
		return
	}
	if c.err == nil {
		c.err = &StatelessResetError{}
	}
	c.drain()
}

// earlyPackets are packets that came before their keys, at most maxUndecryptable of them, and maxEarlyPackets of 0-RTT beside.
type earlyPackets struct {
	packets []earlyPacket
	ready   bool  // keys came since they were looked at
	expires int64 // when they are forgotten; 0: there are none
}

type earlyPacket struct {
	b    []byte
	slot protect.Slot
	ecn  ECN
}

// earlyLife is how long early packets are kept.
func (c *Conn) earlyLife() int64 { return 3 * c.pto(c.path.rec) }

func (e *earlyPackets) add(now, life int64, b []byte, slot protect.Slot, ecn ECN) {
	if e.full(len(b), slot) {
		return
	}
	if len(e.packets) == 0 {
		e.expires = now + life
	}
	e.packets = append(e.packets, earlyPacket{append([]byte(nil), b...), slot, ecn})
}

// full tells whether there is no room for n more bytes of a slot. 0-RTT packets have room of their own: a client may send its first
// window of them before TLS has read its ClientHello.
func (e *earlyPackets) full(n int, slot protect.Slot) bool {
	most := maxUndecryptable
	if slot == protect.ZeroRTT {
		most = maxEarlyPackets
	}
	packets, bytes := e.held(slot == protect.ZeroRTT)
	return packets >= most || bytes+n > maxUndecryptableBytes
}

// held returns how many 0-RTT packets there are, or others, and their bytes.
func (e *earlyPackets) held(zeroRTT bool) (packets, bytes int) {
	for i := range e.packets {
		if p := &e.packets[i]; (p.slot == protect.ZeroRTT) == zeroRTT {
			packets++
			bytes += len(p.b)
		}
	}
	return packets, bytes
}

// onKeys notes that keys have come.
func (e *earlyPackets) onKeys() { e.ready = e.ready || len(e.packets) > 0 }

// timer returns when early packets are forgotten, 0 if never.
func (h *hello) timer() int64 {
	if h == nil {
		return 0
	}
	return h.early.expires
}

// drop forgets the packets of a slot.
func (e *earlyPackets) drop(slot protect.Slot) {
	kept := e.packets[:0]
	for _, p := range e.packets {
		if p.slot != slot {
			kept = append(kept, p)
		}
	}
	clear(e.packets[len(kept):])
	e.packets = kept
	if len(kept) == 0 {
		*e = earlyPackets{}
	}
}

// replayEarly handles the early packets whose keys have come, and lets go of what the handshake needed once its keys are gone.
func (c *Conn) replayEarly(now int64) {
	h := c.hello
	if h == nil {
		return
	}
	for h.early.ready && c.state == stateActive {
		h.early.ready = false
		packets := h.early.packets
		h.early = earlyPackets{expires: h.early.expires}
		for _, p := range packets {
			if !c.canOpen(p.slot) && c.state == stateActive {
				h.early.packets = append(h.early.packets, p)
				continue
			}
			t := inTrain{Train: Train{Buf: p.b, SegSize: len(p.b), Local: c.path.local, Remote: c.path.remote, ECN: p.ecn},
				path: c.path}
			c.recvTrain(now, &t)
		}
		if len(h.early.packets) == 0 {
			h.early.expires = 0
		}
	}
	if c.spaces[recovery.InitialSpace] == nil && c.spaces[recovery.HandshakeSpace] == nil {
		c.hello = nil
	}
}
