package quic

import (
	"math"

	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// sendPart is the sending part of a stream (RFC 9000, section 3.1, figure 2).
type sendPart struct {
	buf    sendBuffer
	window sendWindow
	seat   seat
	code   uint64    // of the reset
	size   uint64    // the final size that the reset tells
	fin    bool      // the application has ended it: buf.end is the final size
	end    sentState // of the FIN bit
	reset  sentState // of RESET_STREAM
	cut    bool      // it is reset, by us or at the peer's wish
	remote bool      // it was the peer's wish
	told   bool      // the application knows that it is over: it said so, or was given the error
	over   bool      // nothing is left to be done: Data Recvd or Reset Recvd, and told
}

// err is what the application is told of a part that was reset.
func (p *sendPart) err(id uint64) error {
	return &StreamError{StreamID: id, Code: p.code, Remote: p.remote}
}

// refusal is why a part takes no data any more, nil if it does.
func (p *sendPart) refusal(id uint64) error {
	switch {
	case p.cut:
		return p.err(id)
	case p.fin:
		return ErrStreamEnded
	}
	return nil
}

// writableBy finds a stream for the application to write, or the error that it is told by that.
func (st *streams) writableBy(id uint64) (*stream, error) {
	s, err := st.usable(id, st.sends(id))
	if err != nil {
		return nil, err
	}
	if err := s.send.refusal(id); err != nil {
		if !s.send.told {
			s.send.told = true
			st.settle(s)
		}
		return nil, err
	}
	if s.rank != 0 {
		st.rankStreams() // the connection may have rested
	}
	return s, nil
}

// writtenTo is writableBy for what writes, and opens a stream of ours that is not open; but not where a writer may mean one of before a rejection of
// 0-RTT data.
func (st *streams) writtenTo(id uint64) (*stream, error) {
	s, err := st.writableBy(id)
	if err == ErrUnknownStream && st.isNew(id) {
		if err = st.openNew(id); err == nil {
			s, err = st.writableBy(id)
		}
	}
	return s, err
}

// isNew tells whether a stream of ours was never open, also not before a rejection of 0-RTT data.
func (st *streams) isNew(id uint64) bool {
	return st.isLocal(id) && id>>2 >= max(st.types[id&3].opened, st.types[id&3].done)
}

// send is Conn.StreamSend.
func (st *streams) send(now int64, id uint64, b []byte, fin bool) (n int, err error) {
	s, err := st.writtenTo(id)
	if err != nil {
		return 0, err
	}
	size := int64(len(b))
	if n = int(min(size, st.admission.room(s, size))); n > 0 {
		s.send.buf.write(st.pool, b[:n])
	}
	st.onWritten(now, s, n, int64(n) < size, fin)
	return n, nil
}

// sendParts is Conn.StreamSendParts.
func (st *streams) sendParts(now int64, id uint64, parts [][]byte, fin bool) (n int, err error) {
	s, err := st.writtenTo(id)
	if err != nil {
		return 0, err
	}
	size := int64(0)
	for _, b := range parts {
		size += int64(len(b))
	}
	n = int(min(size, st.admission.room(s, size)))
	s.send.buf.writeParts(st.pool, parts, n)
	st.onWritten(now, s, n, int64(n) < size, fin)
	return n, nil
}

// onWritten notes that the application has written n bytes on a stream, and has more if partly; else fin tells whether that was the end.
func (st *streams) onWritten(now int64, s *stream, n int, partly, fin bool) {
	p, a := s.send, &st.admission
	if n > 0 {
		a.onWrite(s, n)
	}
	if fin = fin && !partly; fin {
		p.fin, p.told = true, true
		p.end.set()
	}
	if n > 0 || fin {
		st.queueData(s)
		if s.recv.stopHeld {
			st.onStopWritten(s)
		}
	}
	a.answer(s)
	switch {
	case partly:
		a.wait(s)
	case fin:
		a.leave(s)
	}
	st.offerRoom(now)
}

// credit is Conn.StreamCredit.
func (st *streams) credit(id uint64) int {
	s, err := st.asked(id)
	if err != nil || s.barred || s.send.refusal(id) != nil {
		return 0
	}
	p := s.send
	own, all := p.window.beyond(p.buf.end-p.buf.sent), st.sendWindow.beyond(st.admission.before(s))
	return int(min(own, all, uint64(st.admission.most(s)), math.MaxInt32))
}

// capacity is Conn.SendCapacity, where congestion control lets window bytes leave.
func (st *streams) capacity(window int64) int {
	waits := st.admission.unsent
	return int(min(uint64(max(window-waits, 0)), st.sendWindow.beyond(waits), math.MaxInt32))
}

// room is Conn.StreamRoom.
func (st *streams) room(id uint64) (int, error) {
	s, err := st.asked(id)
	if err == nil {
		err = s.send.refusal(id)
	}
	if err != nil {
		return 0, err
	}
	return int(st.admission.most(s)), nil
}

// reserve is Conn.StreamReserve.
func (st *streams) reserve(id uint64) int {
	s, err := st.asked(id)
	switch {
	case err == ErrUnknownStream && st.isNew(id):
		return int(st.admission.reserve(new(sendPart)))
	case err != nil || s.send.refusal(id) != nil:
		return 0
	}
	return int(st.admission.reserve(s.send))
}

// queueData puts a stream where its data will be sent from.
func (st *streams) queueData(s *stream) {
	p := s.send
	switch {
	case p.cut || s.barred:
	case p.buf.resends() || p.end.due() && p.buf.sent == p.buf.end:
		st.pushData(s, queueResend)
	case p.buf.sent < p.buf.end:
		if p.window.available() > 0 {
			st.pushData(s, queueFresh)
		} else if p.window.noteBlocked() {
			st.control.push(s, queueControl)
			st.sendStop(s)
		}
	}
}

// resetSend ends the sending part before its time.
func (st *streams) resetSend(now int64, s *stream, code uint64, remote bool) {
	p := s.send
	if p.over || p.cut || p.end == sentAcked && p.buf.done() {
		return
	}
	p.cut, p.code, p.remote, p.size = true, code, remote, uint64(p.buf.sent)
	st.count().StreamsResetLocal++
	st.admission.drop(s)
	p.buf.data.clear(st.pool)
	base := p.buf.data.base
	p.buf = sendBuffer{data: chunks{base: base}, sent: base, end: base}
	p.end, p.window.blocked = sentNone, 0
	st.unqueueData(s)
	p.reset.set()
	st.control.push(s, queueControl)
	st.sendStop(s)
	st.offerRoom(now)
}

// handleStopSending acts on a STOP_SENDING frame: the answer is a RESET_STREAM (RFC 9000, section 3.5).
func (st *streams) handleStopSending(now int64, id, code uint64) *TransportError {
	s, err := st.receiving(id, st.sends(id))
	if s == nil {
		return err
	}
	if s.send.over || s.send.cut {
		st.glitches++
		return nil
	}
	st.resetSend(now, s, code, true)
	if !s.send.cut {
		return nil
	}
	st.count().StreamsStoppedRemote++
	st.tell(s, streamStopped)
	if !s.send.told {
		st.tell(s, streamWritable)
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
	st.admission.recount(s)
	st.queueData(s)
	return nil
}

// appendStream appends one STREAM frame of s with what buf.next says, at most credit bytes of it. It returns how many bytes
// of data, and false if the packet has no room.
func (st *streams) appendStream(pkt *packet, s *stream, credit int64) (int, bool) {
	p := s.send
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
	if off < p.buf.sent {
		st.count().StreamBytesResent += uint64(n)
	}
	p.buf.onSent(off, n)
	if fin {
		p.end.onSent()
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
func (st *streams) onStreamAcked(now int64, s *stream, f recovery.Frame) {
	p := s.send
	if p.cut || p.over {
		return
	}
	if freed := p.buf.onAcked(st.pool, int64(f.Off), int64(f.Len)); freed > 0 {
		st.admission.onAcked(s, freed)
		st.offerRoom(now)
	}
	if f.Flags&recovery.FlagFin != 0 {
		p.end.done()
	}
	if st.settle(s); p.over {
		st.sendStopSoon(now, s)
	}
}

// onStreamLost acts on the loss of a STREAM frame.
func (st *streams) onStreamLost(s *stream, f recovery.Frame) (again bool) {
	p := s.send
	if p.cut || p.over {
		return false
	}
	again = p.buf.onLost(int64(f.Off), int64(f.Len))
	if f.Flags&recovery.FlagFin != 0 {
		again = p.end.onLost() || again
	}
	st.queueData(s)
	return again
}

// offerRoom asks the application for more, of streams that wait for room.
func (st *streams) offerRoom(now int64) {
	for s := st.admission.next(now); s != nil; s = st.admission.next(now) {
		st.tell(s, streamWritable)
	}
	st.stirred = st.stirred || st.admission.timer() != 0
}
