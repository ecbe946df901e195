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
	told   bool    // the application knows that it is over: it said so, or was given the error
	over   bool    // nothing is left to be done: Data Recvd or Reset Recvd, and told
}

// err is what the application is told of a part that was reset.
func (p *sendPart) err(id uint64) error {
	return &StreamError{StreamID: id, Code: p.code, Remote: p.remote}
}

// room returns how many more bytes the part takes, by the bounds on one stream and on all.
func (st *streams) room(p *sendPart) int64 {
	held := p.buf.held()
	room := min(st.sendLimit-held, maxSendBuffers*st.sendLimit-st.sendHeld, maxUnsent-st.unsent)
	return max(room, min(sendBufferFloor, st.sendLimit)-held, 0)
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
	if n = int(min(int64(len(b)), st.room(p))); n > 0 {
		p.buf.write(st.pool, b[:n])
		st.sendHeld += int64(n)
		st.unsent += int64(n)
		st.queueData(s)
	}
	switch {
	case n < len(b):
		p.want = true
		st.waiting.push(s, queueWaiting)
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
	st.unsent -= p.buf.end - p.buf.sent
	p.buf.data.clear(st.pool)
	p.buf = sendBuffer{}
	p.end, p.window.blocked = sentVal{}, sentVal{}
	p.reset.set()
	st.control.push(s, queueControl)
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
	if s.send.cut && !s.send.told {
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
	if !s.send.window.raise(limit) {
		st.glitches++
		return nil
	}
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

// wake tells the application of streams that take data again, once a good part of the buffer is free.
func (st *streams) wake(s *stream) {
	if s.send.want && st.takesAgain(&s.send) {
		st.tellWritable(s)
	}
	st.wakeWaiting()
}

// wakeWaiting is wake for streams that wait for others to have sent something, or for its acknowledgement.
func (st *streams) wakeWaiting() {
	for st.waiting.head != nil {
		w := st.waiting.head
		if w.send.want && !st.takesAgain(&w.send) {
			return
		}
		st.waiting.pop(queueWaiting)
		if w.send.want {
			st.tellWritable(w)
		}
	}
}

func (st *streams) tellWritable(s *stream) {
	s.send.want = false
	st.tell(s, streamWritable)
}

func (st *streams) takesAgain(p *sendPart) bool {
	return p.cut || p.over || st.room(p) >= min(st.sendLimit/4, sendBufferFloor)
}
