package quic

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// The way out, from plaintext to a train of datagrams:
//
//  1. Send settles what is to be sent: a CONNECTION_CLOSE, a path probe, which travels alone, or a train of packets.
//  2. packTrain adds datagrams as long as they are of one size and path validation, congestion control and pacing allow.
//  3. packDatagram coalesces a packet of each packet number space that has something to send.
//  4. packPacket writes a header, has conn_pack.go fill in the frames, and tells recovery.
//  5. All packets are sealed in one crossing; stream data that fills a packet to its end is encrypted from where it is kept.

// Bounds of a train of more than one datagram: what one sendmsg with UDP_SEGMENT takes.
const (
	maxTrainSegments = 64
	maxTrainBytes    = 65000
)

// maxPNLen is the longest packet number in a header, in bytes.
const maxPNLen = 4

// minCoalesced is the least room for which another packet is begun in a datagram, in bytes.
const minCoalesced = 128

// sendState is what holds sending back, or forces it.
type sendState struct {
	paceAt int64            // when pacing lets more leave; 0: it does not hold anything back
	ahead  int64            // the latest Transmit.SendAt that was given out, with PaceAhead
	random [8]byte          // from Config.Rand, for chance; what it fills would be allocated if it lay on the stack
	probes [numSpaces]uint8 // packets that must elicit an acknowledgement, whatever the congestion window says
}

// outTrain is a train that is being built.
type outTrain struct {
	now       int64
	buf       []byte
	path      *path
	only      *path // it is for no other path; nil: it is for any
	ect       bool
	n         int  // packets
	bare      bool // it has all control frames that were due: what is left for 1-RTT packets is STREAM and DATAGRAM
	handshake bool
	eliciting bool
	sendAt    int64 // when it is to leave, with PaceAhead; 0: now
	descs     [maxTrainPackets]protect.SealDesc
	pkt       packet
}

// Send writes the next train of datagrams into buf, which must hold at least 1200 bytes, or nothing is sent, and should hold 64 KiB, so
// that trains get as long as one system call takes. A datagram is never larger than the buf of the last call: if that is shorter than
// Config.MaxUDPPayload, so are the datagrams, and MaxDatagramSize is less. To be called until N is 0, after each call that could have
// made the connection want to send.
func (c *Conn) Send(now time.Time, buf []byte) Transmit { return c.send(now, buf, nil) }

// SendPath is Send for one path of Paths alone, named by its addresses: what a path in probation waits to send, or all that the one in use has.
// It is for callers with a socket, or a schedule, for each path; to them Send must not be called, or would take what is another's. Of a path
// that is not known nothing is sent.
func (c *Conn) SendPath(now time.Time, buf []byte, local, remote netip.AddrPort) Transmit {
	for _, p := range c.paths.list {
		if p.local == local && p.remote == remote && p.state != pathAbandoned {
			return c.send(now, buf, p)
		}
	}
	return Transmit{}
}

// send is Send, or SendPath if only is not nil.
func (c *Conn) send(now time.Time, buf []byte, only *path) Transmit {
	n := c.clock.read(now)
	defer c.traceState()
	c.signals.stirred, c.streams.stirred = false, false
	if c.tls.foreign {
		c.continueTLS(n)
	}
	if c.state >= stateDraining || len(buf) < minDatagramSize || c.state == stateClosing && !c.closing.due {
		return Transmit{}
	}
	c.limitRoom(len(buf))
	t := outTrain{now: n, buf: buf[:0:min(len(buf), maxUDPPayloadSize)], path: c.path, only: only}
	segSize := c.packTrain(&t)
	if t.n == 0 {
		if c.sending.paceAt > n && (only == nil || only == c.path) {
			return Transmit{SendAt: c.clock.time(c.sending.paceAt)}
		}
		return Transmit{}
	}
	if !c.keys.Seal(t.buf, t.descs[:t.n], t.pkt.pieces.at[:t.pkt.pieces.n]...) {
		c.err = &TransportError{Code: InternalError, Reason: "a packet could not be sealed"}
		c.drain()
		return Transmit{}
	}
	c.streams.offerRoom(n)
	c.tellSize() // which buf may have changed
	return c.onTrain(&t, segSize)
}

// onTrain takes note of a train that is about to leave.
func (c *Conn) onTrain(t *outTrain, segSize int) Transmit {
	size := len(t.buf)
	c.idle.rest.Wake(t.now)
	t.path.sent += uint64(size)
	t.path.packetsSent += uint64(t.n)
	if t.path.limited() {
		c.updateLimits()
	}
	if t.eliciting {
		c.idle.onSent(t.now)
	}
	c.counts.bytesSent += uint64(size)
	c.counts.udpSent += uint64((size + segSize - 1) / segSize)
	c.counts.packetsSent += uint64(t.n)
	if t.handshake && c.client {
		c.dropSpace(recovery.InitialSpace) // RFC 9001, section 4.9.1
	}
	out := Transmit{N: size, SegSize: segSize, Local: t.path.local, Remote: t.path.remote}
	if t.ect {
		out.ECN = ECT0
	}
	if c.cfg.Pacing == PaceAhead {
		// No train overtakes those before it: what they carry would be taken for lost.
		if c.sending.ahead = max(c.sending.ahead, t.sendAt); c.sending.ahead > t.now {
			out.SendAt = c.clock.time(c.sending.ahead)
		}
	}
	return out
}

// packTrain fills t and returns the size of its datagrams; only the last one may be shorter.
func (c *Conn) packTrain(t *outTrain) (segSize int) {
	elsewhere := t.only != nil && t.only != c.path
	if c.state == stateClosing {
		if elsewhere {
			return 0
		}
		return c.packClose(t)
	}
	if c.keys.HasWrite(protect.OneRTT) {
		if err := c.beforeSeal(); err != nil {
			c.fail(err)
			return c.packClose(t)
		}
	}
	if n := c.packProbe(t); n > 0 || elsewhere {
		return n
	}
	if n := c.packSizeProbe(t); n > 0 {
		return n
	}
	t.ect = t.path.rec.ECN.Mark()
	limit := t.path.maxDatagram()
	for segments := 0; segments < maxTrainSegments && t.n+numSpaces <= maxTrainPackets; segments++ {
		// A probe leaves alone. Where the kernel of a router has trains whole, all of one is lost that begins with a datagram which is too large
		// for the next link; and there are servers, such as Envoy, that lose a train which their own kernel hands on whole.
		alone := c.sending.probes != [numSpaces]uint8{}
		if c.sending.probes[recovery.AppSpace] == 1 {
			limit = min(limit, minDatagramSize) // the last one: if larger ones get lost, this one tells (RFC 8899, section 4.3)
		}
		size := c.packDatagram(t, limit)
		if size == 0 {
			break
		}
		if segSize == 0 {
			segSize, limit = size, size
		}
		// A short datagram ends the train, too; one that is nearly full sets the size of the others, and so does one that is
		// short for the DATAGRAM frame in it, if another such is to follow.
		if alone || size < segSize || size < t.path.maxDatagram()-shortBy && !c.datagrams.waits(t.pkt.datagram) {
			break
		}
	}
	return segSize
}

// shortBy is how many bytes less than the path allows a train's datagrams may have.
const shortBy = 48

// held tells whether congestion control or pacing holds back all but acknowledgements and probes.
func (c *Conn) held(t *outTrain) bool {
	rec := t.path.rec
	c.sending.paceAt = 0
	if c.loss.Full() {
		rec.SetAppLimited(true) // it is not the congestion window that holds back
		return true
	}
	if rec.Available() < int64(t.path.maxDatagram()) || t.n == 0 && !rec.TrainRoom() {
		rec.SetAppLimited(false)
		return true
	}
	at := rec.PaceAt(t.now)
	switch {
	case at <= t.now:
		return false
	case c.cfg.Pacing == PaceAhead && t.n == 0:
		t.sendAt = at
		return false
	case t.sendAt != 0 && int64(len(t.buf)) < rec.Train():
		return false
	}
	rec.SetAppLimited(false)
	if c.cfg.Pacing != PaceAhead {
		c.sending.paceAt = at
	}
	return true
}

// outDatagram is the datagram at the end of a train that is being built.
type outDatagram struct {
	start, end int  // where it begins in the train, and where its room ends
	least      int  // bytes that it must have, because of an Initial packet in it (RFC 9000, section 14.1)
	held       bool // only acknowledgements and probes may be sent
	last       recovery.Space
}

// full tells whether no further packet is begun behind what ends at end.
func (d *outDatagram) full(end int) bool { return d.end-end < minCoalesced }

// packDatagram adds a datagram of at most limit bytes and returns its size, 0 if there is nothing to send.
func (c *Conn) packDatagram(t *outTrain, limit int) int {
	start := len(t.buf)
	if start > 0 && limit > min(cap(t.buf), maxTrainBytes)-start {
		return 0 // the next train has room for a whole one
	}
	limit = min(limit, cap(t.buf)-start) // one that is alone may be larger than maxTrainBytes
	allowance := t.path.dataAllowance()
	limit = int(min(uint64(limit), allowance-min(uint64(start), allowance))) // start bytes are in the train
	if uint64(limit) < c.leastDatagram() {
		return 0
	}
	d := outDatagram{start: start, end: start + limit, held: c.held(t)}
	var wanted [numSpaces]bool
	any := false
	for sp := range recovery.Space(numSpaces) {
		if c.wants(t.now, sp, d.held) {
			wanted[sp], d.last, any = true, sp, true
		}
	}
	if !any {
		c.onIdleSend(t, d.held)
		return 0
	}
	for sp, first := recovery.InitialSpace, t.n; sp < numSpaces; sp++ {
		if wanted[sp] && (t.n == first || !d.full(len(t.buf))) {
			c.packPacket(t, sp, &d)
		}
	}
	return len(t.buf) - start
}

// onIdleSend notes that there is nothing to send: for want of data, or because all of it is held back.
func (c *Conn) onIdleSend(t *outTrain, held bool) {
	if !held {
		t.path.rec.SetAppLimited(true)
		return
	}
	if !c.wantsHeld(t.now) {
		c.sending.paceAt = 0
	}
}

// wantsHeld tells whether there would be something to send if nothing held it back.
func (c *Conn) wantsHeld(now int64) bool {
	for sp := range recovery.Space(numSpaces) {
		if c.wants(now, sp, false) {
			return true
		}
	}
	return false
}

// packPacket adds a packet of a space to a datagram, if it has anything to carry. The last packet, or the last one that fits,
// pads the datagram.
func (c *Conn) packPacket(t *outTrain, sp recovery.Space, d *outDatagram) {
	c.beginPacket(t, sp, d.end)
	pkt := &t.pkt
	pkt.alone = pkt.header.start == d.start
	c.appendFrames(t, sp, d.held)
	empty := len(pkt.b) == pkt.header.payload
	if sp == recovery.InitialSpace && !empty && (c.client || pkt.ackEliciting) {
		d.least = minDatagramSize
	}
	if d.least > 0 && (sp == d.last || d.full(len(pkt.b)+protect.Overhead)) {
		pkt.pad(d.start, d.least-protect.Overhead)
		empty = false
	}
	if !empty {
		c.endPacket(t)
	}
}

// header is where the parts of a packet that is being built lie.
type header struct {
	sp        recovery.Space
	slot      protect.Slot // of the keys
	start     int          // of the packet in the train
	lengthOff int
	pnOff     int
	pnLen     int
	payload   int // where the frames begin
	pn        int64
	gen       uint32
}

// beginPacket writes a header at the end of t and makes t.pkt ready for frames.
func (c *Conn) beginPacket(t *outTrain, sp recovery.Space, end int) {
	if sp == recovery.AppSpace && c.loss.SkipDue() {
		if random := &c.sending.random; c.random(random[:]) {
			c.loss.Skip(t.now, t.path.rec, binary.BigEndian.Uint64(random[:]))
		}
	}
	h := &t.pkt.header
	h.sp, h.slot, h.start, h.lengthOff, h.gen, h.pn = sp, c.slotOf(sp), len(t.buf), 0, 0, c.loss.NextPN(sp)
	h.pnLen = wire.PacketNumberLen(h.pn, c.loss.LargestAcked(sp))
	b := t.buf
	if h.slot == protect.OneRTT {
		h.gen = c.keys.WriteGen()
		b, h.pnOff = wire.AppendShortHeader(b, t.path.dcid.Bytes(), false, h.gen&1 != 0, h.pn, h.pnLen)
	} else {
		var token []byte
		if sp == recovery.InitialSpace {
			token = c.hello.token
		}
		// The numbers of types and slots are the same.
		b, h.lengthOff, h.pnOff = wire.AppendLongHeader(b, wire.PacketType(h.slot), c.longVersion(h.slot), t.path.dcid.Bytes(), c.local.first.Bytes(), token,
			h.pn, h.pnLen)
		end = min(end, h.start+maxLongPacket)
	}
	c.maskFirst(b[h.start:], t.path, h.slot, h.pn)
	h.payload = len(b)
	p := &t.pkt
	p.b = b[: len(b) : end-protect.Overhead]
	p.whole = t.path.maxDatagram() - protect.Overhead - (len(b) - h.start)
	p.loss, p.noted, p.datagram, p.ackEliciting, p.padded, p.probe, p.piece = &c.loss, false, 0, false, false, false, 0
}

// maxLongPacket is the longest packet with a long header, in bytes, such that two bytes hold its Length.
const maxLongPacket = 1<<14 - 1

// endPacket finishes a packet: header protection needs a sample of its payload (RFC 9001, section 5.4.2).
func (c *Conn) endPacket(t *outTrain) {
	p := &t.pkt
	h := &p.header
	p.pad(h.pnOff, 4)
	b := t.buf[:len(p.b)+protect.Overhead]
	if h.slot != protect.OneRTT {
		wire.PutVarint2(b[h.lengthOff:], uint64(len(b)-h.pnOff))
	}
	size := len(b) - h.start
	t.descs[t.n] = protect.SealDesc{
		PN: h.pn, Off: uint32(h.start), Len: uint32(size), PNOff: uint16(h.pnOff - h.start), PNLen: uint8(h.pnLen),
		Slot: h.slot, Gen: h.gen, Piece: p.piece, PieceOff: p.pieceOff, Prefix: p.prefix,
	}
	t.n++
	t.buf = b
	t.eliciting = t.eliciting || p.ackEliciting
	t.handshake = t.handshake || h.sp == recovery.HandshakeSpace
	if h.slot == protect.OneRTT {
		c.keys.onSealed(h.pn)
	}
	if c.trace != nil {
		c.trace.onSent(c, t, size)
	}
	c.loss.OnPacketSent(t.now, h.sp, recovery.SentPacket{
		Size: size, AckEliciting: p.ackEliciting, InFlight: (p.ackEliciting || p.padded) && t.path == c.path, ECT: t.ect, Probe: p.probe,
	}, t.path.rec)
}

// packProbe makes a datagram with the PATH_CHALLENGE and PATH_RESPONSE frames that wait for one path, padded to full size
// where the anti-amplification limit allows that (RFC 9000, section 8.2).
func (c *Conn) packProbe(t *outTrain) int {
	if !c.tls.complete {
		return 0
	}
	p := c.nextProbing(t.now, t.only)
	if p == nil {
		return 0
	}
	limit := int(min(uint64(p.maxDatagram()), p.allowance()))
	t.path = p
	c.beginPacket(t, recovery.AppSpace, min(limit, cap(t.buf)))
	challenged := p.challenge.sent
	if p == c.path && !c.windowOpen(p) && c.paths.answering(p) {
		c.roaming().answered = t.now
	}
	c.appendProbes(t.now, &t.pkt, p)
	if len(t.pkt.b) == t.pkt.header.payload {
		t.path = c.path
		return 0
	}
	if limit >= minDatagramSize {
		t.pkt.pad(0, minDatagramSize-protect.Overhead)
		p.challenge.padded = p.challenge.padded || p.challenge.sent > challenged
	}
	c.endPacket(t)
	return len(t.buf)
}
