package quic

import (
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// sendPart is the sending part of a stream (RFC 9000, section 3.1, figure 2).
type sendPart struct {
	buf    sendBuffer
	window sendWindow
	fin    bool    // the application has ended it: buf.end is the final size
	end    sentVal // the FIN bit
	reset  sentVal // RESET_STREAM
	code   uint64  // of the reset
	size   uint64  // the final size that the reset tells
	cut    bool    // it is reset, by us or at the peer's wish
	remote bool    // it was the peer's wish
	want   bool    // StreamSend took less than all of what it was given: the application waits for EventWritable
	asked  bool    // EventWritable was told, and StreamSend has not been called since
	told   bool    // the application knows that it is over: it said so, or was given the error
	over   bool    // nothing is left to be done: Data Recvd or Reset Recvd, and told
}

// err is what the application is told of a part that was reset.
func (p *sendPart) err(id uint64) error {
	return &StreamError{StreamID: id, Code: p.code, Remote: p.remote}
}

// unsent returns how many bytes were never sent: those that the peer's limit on the stream lets us send, and those that it holds back.
func (p *sendPart) unsent() (free, stuck int64) {
	all := p.buf.end - p.buf.sent
	free = min(all, int64(min(p.window.available(), 1<<62)))
	return free, all - free
}

// ownRoom returns how many more bytes the part takes by all bounds but that on what waits to be sent. Where it is small, what the part
// holds makes it so, and with an acknowledgement of that it grows.
func (st *streams) ownRoom(p *sendPart) int64 {
	held := p.buf.held()
	_, stuck := p.unsent()
	all := max(maxSendBuffers*st.sendLimit-st.sendHeld, min(sendBufferFloor, st.sendLimit)-held)
	return max(min(st.sendLimit-held, maxUnsent-stuck, all), 0)
}

// room returns how many bytes the part takes of a write of n. Of what waits to be sent each has to wait for those before it, unless it
// is little.
func (st *streams) room(s *stream, n int64) int64 {
	p := &s.send
	own := st.ownRoom(p)
	free, stuck := p.unsent()
	shared := maxUnsent - st.unsent
	switch head := st.waiting.head; {
	case n+free+stuck <= littleUnsent:
		return own
	case p.asked:
		shared -= st.asked - askedBytes
	case head != nil && head != s:
		return 0
	default:
		shared -= st.asked
	}
	return max(min(own, shared), 0)
}

// send is Conn.StreamSend.
func (st *streams) send(id uint64, b []byte, fin bool) (n int, err error) {
	s, err := st.usable(id, st.sends(id))
	if err != nil {
		return 0, err
	}
	p := &s.send
	switch {
	case p.cut:
		if !p.told {
			p.told = true
			defer st.settle(s)
		}
		return 0, p.err(id)
	case p.fin:
		return 0, ErrStreamEnded
	}
	if n = int(min(int64(len(b)), st.room(s, int64(len(b))))); n > 0 {
		before, _ := p.unsent()
		p.buf.write(st.pool, b[:n])
		after, _ := p.unsent()
		st.sendHeld += int64(n)
		st.unsent += after - before
		st.queueData(s)
	}
	st.answered(p)
	switch {
	case n < len(b):
		p.want = true
		st.wake(s)
	case fin:
		p.fin, p.told = true, true
		p.end.set()
		st.queueData(s)
	}
	return n, nil
}

// queueData puts a stream where its data will be sent from.
func (st *streams) queueData(s *stream) {
	p := &s.send
	switch {
	case p.cut:
	case len(p.buf.lost) > 0 || p.end.due() && p.buf.sent == p.buf.end:
		st.resend.push(s, queueResend)
	case p.buf.sent < p.buf.end:
		if p.window.available() > 0 {
			st.fresh.push(s, queueFresh)
		} else if p.window.noteBlocked() {
			st.control.push(s, queueControl)
		}
	}
}

// resetSend ends the sending part before its time.
func (st *streams) resetSend(s *stream, code uint64, remote bool) {
	p := &s.send
	if p.over || p.cut || p.end.state == sentAcked && p.buf.done() {
		return
	}
	p.cut, p.code, p.remote, p.size = true, code, remote, uint64(p.buf.sent)
	st.sendHeld -= p.buf.held()
	free, _ := p.unsent()
	st.unsent -= free
	p.buf.data.clear(st.pool)
	base := p.buf.data.base
	p.buf = sendBuffer{data: chunks{base: base}, sent: base, end: base}
	p.end, p.window.blocked = sentVal{}, sentVal{}
	p.reset.set()
	st.control.push(s, queueControl)
	st.answered(p)
}

// handleStopSending acts on a STOP_SENDING frame: the answer is a RESET_STREAM (RFC 9000, section 3.5).
func (st *streams) handleStopSending(id, code uint64) *TransportError {
	s, err := st.receiving(id, st.sends(id))
	if s == nil {
		return err
	}
	if s.send.over || s.send.cut {
		st.glitches++
		return nil
	}
	st.resetSend(s, code, true)
	if !s.send.cut {
		return nil
	}
	st.tell(s, streamStopped)
	if !s.send.told {
		st.tellWritable(s)
	}
	return nil
}

// handleMaxStreamData acts on a MAX_STREAM_DATA frame.
func (st *streams) handleMaxStreamData(id, limit uint64) *TransportError {
	s, err := st.receiving(id, st.sends(id))
	if s == nil {
		return err
	}
	before, _ := s.send.unsent()
	if !s.send.window.raise(limit) {
		st.glitches++
		return nil
	}
	after, _ := s.send.unsent()
	st.unsent += after - before
	st.queueData(s)
	return nil
}

// appendStream appends one STREAM frame of s with what buf.next says, at most credit bytes of it. It returns how many bytes
// of data, and false if the packet has no room.
func (st *streams) appendStream(pkt *packet, s *stream, credit int64) (int, bool) {
	p := &s.send
	off, n := p.buf.next()
	n = int(min(int64(n), credit))
	room := pkt.room() - wire.StreamHeaderLen(s.id, uint64(off), 0, false)
	if room < min(n, minStreamPiece) || room < 0 {
		return 0, false
	}
	withLen := true
	if n >= room {
		n, withLen = room, false // to the end of the packet
	} else if rest := room - wire.SizeVarint(uint64(n)); n > rest {
		if rest < min(n, minStreamPiece) {
			return 0, false
		}
		n = rest
	}
	fin := p.end.due() && off+int64(n) == p.buf.end
	if !pkt.note(recovery.Frame{Type: wire.FrameStream, Flags: finFlag(fin), ID: s.id, Off: uint64(off), Len: uint32(n)}) {
		return 0, false
	}
	pkt.b = wire.AppendStreamHeader(pkt.b, s.id, uint64(off), n, fin, withLen)
	if n < max(pkt.room(), minBorrowed) || !pkt.borrow(&p.buf.data, off, n) {
		pkt.b = p.buf.data.append(pkt.b, off, n)
	}
	pkt.ackEliciting = true
	p.buf.onSent(off, n)
	if fin {
		p.end.onSent(0)
	}
	return n, true
}

// minStreamPiece is the least data, in bytes, for which a STREAM frame is begun at the end of a packet.
const minStreamPiece = 32

func finFlag(fin bool) uint8 {
	if fin {
		return recovery.FlagFin
	}
	return 0
}

// onStreamAcked acts on the acknowledgement of a STREAM frame.
func (st *streams) onStreamAcked(s *stream, f recovery.Frame) {
	p := &s.send
	if p.cut || p.over {
		return
	}
	if freed := p.buf.onAcked(st.pool, int64(f.Off), int64(f.Len)); freed > 0 {
		st.sendHeld -= freed
		st.wake(s)
	}
	if f.Flags&recovery.FlagFin != 0 {
		p.end.done()
	}
	st.settle(s)
}

// onStreamLost acts on the loss of a STREAM frame.
func (st *streams) onStreamLost(s *stream, f recovery.Frame) {
	p := &s.send
	if p.cut || p.over {
		return
	}
	p.buf.onLost(int64(f.Off), int64(f.Len))
	if f.Flags&recovery.FlagFin != 0 {
		p.end.onLost(0)
	}
	st.queueData(s)
}

// wake has a stream wait for room: one that was refused some just now, or that waits for some and of which something was acknowledged.
func (st *streams) wake(s *stream) {
	if s.send.want {
		st.waiting.push(s, queueWaiting)
	}
	st.wakeWaiting()
}

// wakeWaiting asks the application for more, of the streams that wait in their order, once there is room for a good part. Where several
// wait, few are asked at a time, and each for much: what they write is in the processor's caches when it leaves, and each is woken
// seldom.
func (st *streams) wakeWaiting() {
	for st.waiting.head != nil {
		s := st.waiting.head
		p := &s.send
		switch shared := maxUnsent - st.unsent - st.asked; {
		case p.cut || !p.want || st.ownRoom(p) < min(st.sendLimit/4, sendBufferFloor):
			st.waiting.pop(queueWaiting) // with the next acknowledgement it is back
		case shared < askedBytes && (s != st.waiting.tail || shared < sendBufferFloor):
			return
		default:
			st.waiting.pop(queueWaiting)
			p.asked = true
			st.asked += askedBytes
			st.tellWritable(s)
		}
	}
}

// answered notes that a part that was asked for more has given it, or never will. What it leaves is for others: there may be nothing
// on its way, so that no acknowledgement would tell them.
func (st *streams) answered(p *sendPart) {
	if p.asked {
		p.asked = false
		st.asked -= askedBytes
		st.wakeWaiting()
	}
}

func (st *streams) tellWritable(s *stream) {
	s.send.want = false
	st.tell(s, streamWritable)
}
