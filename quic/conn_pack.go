package quic

import (
	"github.com/boringquic/boringquic/crypto/protect"
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// packet is a packet that is being built.
type packet struct {
	header       header
	b            []byte         // the train's buffer up to what is written; its capacity is where this packet's room ends, tag excluded
	whole        int            // bytes of frames that a packet holds which is alone in a datagram of the path's size
	loss         *recovery.Loss // where what is in it is noted
	noted        bool           // something is
	datagram     int            // bytes of data in its last DATAGRAM frame
	ackEliciting bool           // it holds a frame other than ACK, PADDING and CONNECTION_CLOSE
	padded       bool           // it holds PADDING, and so counts as in flight
	alone        bool           // nothing stands before it in its datagram
	probe        bool           // it probes for the size of datagrams

	// Where the data of its last frame lies, if not in b: at pieceOff in the piece of that number, from 1. The pieces are the train's.
	pieces   pieces
	piece    uint8
	pieceOff uint16
	prefix   uint8 // bytes of frames that lie in b
}

// pieces is memory that data of a train's packets is encrypted from, without being copied before.
type pieces struct {
	at [protect.MaxPieces][]byte
	n  int
}

// number returns the number of a piece, 0 if there are too many.
func (p *pieces) number(piece []byte) int {
	for i := p.n; i > 0; i-- {
		if &p.at[i-1][0] == &piece[0] {
			return i
		}
	}
	if p.n == len(p.at) {
		return 0
	}
	p.at[p.n] = piece
	p.n++
	return p.n
}

// minBorrowed is the least data, in bytes, that is not copied into a packet.
const minBorrowed = 256

// borrow ends the packet with n bytes of data, and fills it, where they are. It is false if they have to be copied.
func (p *packet) borrow(data *chunks, off int64, n int) bool {
	piece, at := data.at(off)
	prefix := len(p.b) - p.header.payload
	if n > len(piece)-at || prefix > min(at, protect.MaxPrefix) {
		return false
	}
	number := p.pieces.number(piece)
	if number == 0 {
		return false
	}
	p.piece, p.pieceOff, p.prefix = uint8(number), uint16(at), uint8(prefix)
	p.b = p.b[:len(p.b)+n]
	return true
}

// room returns how many bytes of frames still fit.
func (p *packet) room() int { return cap(p.b) - len(p.b) }

// cipherBlock is the size of the blocks of AES, in bytes.
const cipherBlock = 16

// endOnBlock takes from the packet's room what would begin another block of the cipher. A packet full of stream data is a few bytes
// shorter for it: sealing and opening them costs more than sending them brings.
func (p *packet) endOnBlock() {
	if !p.alone {
		return // the datagram may have to be padded to a certain size
	}
	end := cap(p.b) - (cap(p.b)-p.header.payload)%cipherBlock
	p.b = p.b[:len(p.b):max(end, len(p.b))]
}

// note remembers a frame for its acknowledgement or loss; it is false if the record is full, and then the frame must not be appended.
func (p *packet) note(f recovery.Frame) bool {
	ok := p.loss.Note(p.header.sp, f)
	p.noted = p.noted || ok
	return ok
}

// pad appends PADDING, whose type is 0, until the packet ends n bytes after start.
func (p *packet) pad(start, n int) {
	if more := n - (len(p.b) - start); more > 0 {
		p.b = p.b[:len(p.b)+more]
		clear(p.b[len(p.b)-more:])
		p.padded = true
	}
}

// fill appends PADDING to the end of the packet's room: a few bytes for which no frame is begun would make a datagram shorter than
// those of its train, which would end with it. Another train costs more than they do.
func (p *packet) fill() { p.pad(0, cap(p.b)) }

// wants tells whether there is a packet to be sent in a space: with acksOnly, one that nothing holds back.
func (c *Conn) wants(now int64, sp recovery.Space, acksOnly bool) bool {
	s := c.spaces[sp]
	switch {
	case s == nil || !c.maySend(sp):
		return false
	case s.acks.due(now) || c.urgent(sp):
		return true
	case acksOnly:
		return false
	}
	return s.crypto.wantsSend() || sp == recovery.AppSpace && c.wantsApp()
}

// urgent tells whether a space has to send something that the congestion window does not hold back: probes (RFC 9002,
// section 7.5), and handshake data that was lost.
//
// Deviation: the latter is not in the RFC. 1-RTT packets that the peer cannot process before it has the end of our
// handshake would otherwise fill the window for ever, as no timer is armed for them (section 6.2.1). So would 0-RTT packets, whose
// acknowledgement comes when the server has the end of the handshake: where there are any, a client's handshake data is not held back at all.
func (c *Conn) urgent(sp recovery.Space) bool {
	if c.sending.probes[sp] > 0 {
		return true
	}
	if sp == recovery.AppSpace {
		return false
	}
	s := &c.spaces[sp].crypto
	return s.resends() || c.client && c.tls.early != EarlyNone && s.wantsSend()
}

// wantsApp tells whether frames that only 1-RTT packets carry are to be sent.
func (c *Conn) wantsApp() bool {
	return c.streams.wantsData() || c.datagrams.out.len() > 0 || c.wantsControl()
}

// wantsControl tells whether such frames other than STREAM and DATAGRAM are.
func (c *Conn) wantsControl() bool {
	g := &c.signals
	return c.streams.wantsControl() || g.ping || g.handshakeDone.due() || g.newToken.due() || c.local.wantsSend() ||
		c.peer.wantsSend()
}

// WantsSend tells whether calls of the application may have left something for Send: data, flow-control credit, datagrams, another path, the
// end of the connection; or have made Timeout earlier, which is to be asked after Send. It costs little, so that a caller who reads often need not
// call Send each time.
func (c *Conn) WantsSend() bool {
	if c.state != stateActive {
		return c.state == stateClosing && c.closing.due
	}
	return c.signals.stirred || c.streams.stirred || c.wantsApp() || c.paths.sizes.wanted && c.sizeProbe() > 0
}

// appendFrames fills the packet of t that is being built with frames of a space, the most urgent first.
func (c *Conn) appendFrames(t *outTrain, sp recovery.Space, acksOnly bool) {
	s, pkt, now := c.spaces[sp], &t.pkt, t.now
	probing := c.sending.probes[sp] > 0
	acksOnly = acksOnly && !c.urgent(sp)
	if s.acks.due(now) || s.acks.pending() && !acksOnly {
		c.appendAck(now, pkt, sp)
	}
	if acksOnly {
		return
	}
	s.crypto.append(pkt)
	if sp == recovery.AppSpace {
		if probing {
			c.appendImmediateAck(pkt)
		}
		// The first stream data of a server goes before the token: it may be HTTP/3's SETTINGS, without which Firefox keeps no session, and
		// with the token it decides.
		tokenLast := c.streams.sendWindow.used == 0 && c.streams.wantsData()
		if !t.bare {
			c.appendAckFrequency(t)
			c.appendSignals(pkt)
			if !tokenLast {
				c.appendNewToken(pkt)
			}
			c.local.append(pkt)
			c.peer.append(pkt)
			c.streams.appendControl(pkt)
			t.bare = !c.wantsControl()
		}
		c.appendPayload(pkt)
		if tokenLast {
			c.appendNewToken(pkt)
		}
	}
	if !pkt.ackEliciting && (probing || pkt.noted && (s.acks.wantsPing() || c.wantsSign(now))) && pkt.room() > 0 {
		pkt.b = append(pkt.b, wire.FramePing)
		pkt.ackEliciting = true
		s.acks.silent = 0 // one in pingEvery, even if it is never acknowledged
	}
	if pkt.ackEliciting && probing {
		c.sending.probes[sp]--
	}
}

// appendPayload appends DATAGRAM frames and, behind them, stream data: the former are urgent as a rule. But of what leaves while both
// wait a quarter is stream data: else nothing of any stream would arrive, not even what was lost, while an application sends datagrams
// as fast as it may.
func (c *Conn) appendPayload(pkt *packet) {
	d := &c.datagrams
	streamsFirst := d.lead >= streamShare*int32(pkt.whole) && c.streams.wantsData()
	start := len(pkt.b)
	if !streamsFirst {
		d.append(pkt)
		d.lead += int32(len(pkt.b) - start)
	}
	pkt.endOnBlock()
	start = len(pkt.b)
	c.streams.appendData(pkt)
	if d.lead > 0 {
		d.lead = max(d.lead-streamShare*int32(len(pkt.b)-start), 0)
		if !c.streams.wantsData() {
			d.lead = 0
		}
	}
	if streamsFirst {
		d.append(pkt)
	}
	if pkt.alone && pkt.ackEliciting && pkt.room() <= shortBy && c.streams.wantsData() {
		pkt.fill()
	}
}

// streamShare is how many bytes of DATAGRAM frames leave for each byte of stream data, at most, while both wait.
const streamShare = 3

func (c *Conn) appendAck(now int64, pkt *packet, sp recovery.Space) {
	a := &c.spaces[sp].acks
	if c.client && len(c.paths.list) > 1 && a.eliciting > 0 {
		c.paths.roam.heard = now
	}
	if a.append(now, pkt, uint8(c.cfg.AckDelayExponent)) && sp == recovery.AppSpace {
		c.keys.onAckSent(a.largest())
	}
}

// appendImmediateAck appends IMMEDIATE_ACK to a probe, so that the time to its acknowledgement is not longer by max_ack_delay
// (draft-ietf-quic-ack-frequency-12, section 7).
func (c *Conn) appendImmediateAck(pkt *packet) {
	if c.ackFrequency.asks() && pkt.room() > 0 && pkt.header.slot == protect.OneRTT {
		pkt.b = append(pkt.b, wire.FrameImmediateAck)
		pkt.ackEliciting = true
	}
}

// appendAckFrequency appends ACK_FREQUENCY where data goes along, if there is something to ask for.
func (c *Conn) appendAckFrequency(t *outTrain) {
	a := &c.ackFrequency
	if !a.asks() || !c.streams.wantsData() || t.pkt.header.slot != protect.OneRTT {
		return
	}
	p, ok := a.next(t.now, t.path.rec, t.path.maxDatagram(), t.path.rec.PacketThreshold())
	if ok && a.append(t.now, &t.pkt, p) {
		c.loss.SetMaxAckDelay(a.wished.maxDelay)
	}
}

// appendSignals appends HANDSHAKE_DONE and PING.
func (c *Conn) appendSignals(pkt *packet) {
	g := &c.signals
	if g.handshakeDone.due() && pkt.room() > 0 && pkt.note(recovery.Frame{Type: wire.FrameHandshakeDone}) {
		pkt.b = append(pkt.b, wire.FrameHandshakeDone)
		pkt.ackEliciting = true
		g.handshakeDone.onSent()
	}
	if g.ping && pkt.room() > 0 {
		pkt.b = append(pkt.b, wire.FramePing)
		pkt.ackEliciting = true
		g.ping = false
	}
}

// appendNewToken appends NEW_TOKEN.
func (c *Conn) appendNewToken(pkt *packet) {
	g := &c.signals
	if g.newToken.due() && pkt.room() >= 3+len(g.token) && pkt.note(recovery.Frame{Type: wire.FrameNewToken, ID: uint64(g.tokens)}) {
		pkt.b = wire.AppendNewToken(pkt.b, g.token)
		pkt.ackEliciting = true
		g.newToken.onSent()
	}
}

// append appends NEW_CONNECTION_ID frames.
func (l *localIDs) append(pkt *packet) {
	for i := range l.ids {
		id := &l.ids[i]
		if !id.tell.due() {
			continue
		}
		if id.seq < l.retirePriorTo {
			id.tell.done() // later ones take its place
			continue
		}
		const most = 1 + 8 + 1 + 1 + maxConnIDLen + statelessResetTokenLen
		if pkt.room() < most || !pkt.note(recovery.Frame{Type: wire.FrameNewConnectionID, ID: id.seq}) {
			return
		}
		pkt.b = wire.AppendNewConnectionID(pkt.b, id.seq, l.retirePriorTo, id.id.Bytes(), id.token)
		pkt.ackEliciting = true
		id.tell.onSent()
	}
}

// append appends RETIRE_CONNECTION_ID frames.
func (p *peerIDs) append(pkt *packet) {
	for i := range p.retiring {
		r := &p.retiring[i]
		if !r.tell.due() {
			continue
		}
		if pkt.room() < 9 || !pkt.note(recovery.Frame{Type: wire.FrameRetireConnectionID, ID: r.seq}) {
			return
		}
		pkt.b = wire.AppendRetireConnectionID(pkt.b, r.seq)
		pkt.ackEliciting = true
		r.tell.onSent()
	}
}
