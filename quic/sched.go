package quic

import (
	"github.com/boringquic/boringquic/quic/internal/recovery"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// What of the streams is sent, and in which order: limits and other control frames; what was lost; and then new data, a
// quantum of each stream in turn. Once a stream has a priority, the order of data is that of sendOrder.

// wantsControl tells whether streams may have frames other than STREAM frames to send; packing may find that there are none.
func (st *streams) wantsControl() bool {
	if st.recvWindow.update.due() || st.sendWindow.blocked.due() || st.control.head != nil {
		return true
	}
	for i := range st.types {
		if st.types[i].tell.due() {
			return true
		}
	}
	return false
}

// wantsData tells whether there may be STREAM frames to send.
func (st *streams) wantsData() bool {
	s, _ := st.nextData()
	return s != nil
}

// nextData returns the stream whose data is sent next, nil if there is none, and whether that was lost.
func (st *streams) nextData() (s *stream, resend bool) {
	credit := st.sendWindow.available() > 0
	switch {
	case st.order != nil:
		return st.order.next(credit)
	case st.resend.head != nil:
		return st.resend.head, true
	case credit:
		return st.fresh.head, false
	}
	return nil, false
}

// pushData puts a stream into queueResend or queueFresh.
func (st *streams) pushData(s *stream, queue int) {
	switch {
	case st.order != nil:
		st.order.push(s, queue)
	case queue == queueResend:
		st.resend.push(s, queue)
	default:
		st.fresh.push(s, queue)
	}
}

// requeueData puts a stream that nextData has returned where what it has left is to be sent from.
func (st *streams) requeueData(s *stream, queue int) {
	switch {
	case st.order != nil:
		st.order.remove(s, queue)
	case queue == queueResend:
		st.resend.pop(queue)
	default:
		st.fresh.pop(queue)
	}
	st.queueData(s)
}

// unqueueData takes a stream out of the order that has no more to send: what stands behind others may stay there for long.
func (st *streams) unqueueData(s *stream) {
	if st.order != nil && (s.queued[queueResend] || s.queued[queueFresh]) {
		st.order.remove(s, queueResend)
		st.order.remove(s, queueFresh)
	}
}

// appendControl appends all frames but STREAM frames, as far as they fit.
func (st *streams) appendControl(pkt *packet) {
	if w := &st.recvWindow; w.update.due() && pkt.room() >= maxControlFrame &&
		pkt.note(recovery.Frame{Type: wire.FrameMaxData, Off: w.limit}) {
		pkt.b = wire.AppendMaxData(pkt.b, w.limit)
		w.update.onSent(w.limit)
		pkt.ackEliciting = true
	}
	if w := &st.sendWindow; w.blocked.due() && pkt.room() >= maxControlFrame &&
		pkt.note(recovery.Frame{Type: wire.FrameDataBlocked, Off: w.limit}) {
		pkt.b = wire.AppendDataBlocked(pkt.b, w.limit)
		st.count().DataBlockedSent++
		w.blocked.onSent(w.limit)
		pkt.ackEliciting = true
	}
	for typ := range st.types {
		if st.types[typ].tell.due() && !st.appendTypeControl(pkt, uint64(typ)) {
			return
		}
	}
	for st.control.head != nil && st.appendStreamControl(pkt, st.control.head) {
		st.control.pop(queueControl)
	}
}

// maxControlFrame is the room that any control frame of a stream fits in: a type and three integers.
const maxControlFrame = 1 + 3*8

// appendTypeControl appends MAX_STREAMS of the peer's streams or STREAMS_BLOCKED of ours; false if it does not fit.
func (st *streams) appendTypeControl(pkt *packet, typ uint64) bool {
	t := &st.types[typ]
	f := recovery.Frame{ID: typ, Off: t.limit}
	bidi := !isUni(typ)
	switch {
	case st.isLocal(typ) && bidi:
		f.Type = wire.FrameStreamsBlockedBidi
	case st.isLocal(typ):
		f.Type = wire.FrameStreamsBlockedUni
	case bidi:
		f.Type = wire.FrameMaxStreamsBidi
	default:
		f.Type = wire.FrameMaxStreamsUni
	}
	if pkt.room() < maxControlFrame || !pkt.note(f) {
		return false
	}
	if st.isLocal(typ) {
		pkt.b = wire.AppendStreamsBlocked(pkt.b, bidi, t.limit)
	} else {
		pkt.b = wire.AppendMaxStreams(pkt.b, bidi, t.limit)
	}
	t.tell.onSent(t.limit)
	pkt.ackEliciting = true
	return true
}

// appendStreamControl appends the control frames of one stream; false if not all of them fit.
func (st *streams) appendStreamControl(pkt *packet, s *stream) bool {
	if s.barred {
		return true
	}
	if p := s.send; p.reset.due() {
		if pkt.room() < maxControlFrame || !pkt.note(recovery.Frame{Type: wire.FrameResetStream, ID: s.id}) {
			return false
		}
		pkt.b = wire.AppendResetStream(pkt.b, s.id, p.code, p.size)
		p.reset.onSent()
		pkt.ackEliciting = true
	}
	if p := s.recv; p.stop.due() {
		if pkt.room() < maxControlFrame || !pkt.note(recovery.Frame{Type: wire.FrameStopSending, ID: s.id}) {
			return false
		}
		pkt.b = wire.AppendStopSending(pkt.b, s.id, p.stopErr)
		p.stop.onSent()
		pkt.ackEliciting = true
	}
	if p := s.recv; p.window.update.due() && !p.sized && !p.stopped {
		f := recovery.Frame{Type: wire.FrameMaxStreamData, ID: s.id, Off: p.window.limit}
		if pkt.room() < maxControlFrame || !pkt.note(f) {
			return false
		}
		pkt.b = wire.AppendMaxStreamData(pkt.b, s.id, p.window.limit)
		p.window.update.onSent(p.window.limit)
		pkt.ackEliciting = true
	}
	if p := s.send; p.window.blocked.due() && !p.cut {
		f := recovery.Frame{Type: wire.FrameStreamDataBlocked, ID: s.id, Off: p.window.limit}
		if pkt.room() < maxControlFrame || !pkt.note(f) {
			return false
		}
		pkt.b = wire.AppendStreamDataBlocked(pkt.b, s.id, p.window.limit)
		st.count().StreamDataBlockedSent++
		p.window.blocked.onSent(p.window.limit)
		pkt.ackEliciting = true
	}
	return true
}

// appendData appends STREAM frames as long as there are data, credit and room.
func (st *streams) appendData(pkt *packet) {
	for {
		s, resend := st.nextData()
		switch {
		case s == nil:
			if st.fresh.head != nil || st.order != nil && st.order.fresh.len() > 0 {
				if st.sendWindow.noteBlocked() {
					st.sendStops()
				}
			}
			return
		case resend:
			if !st.appendResend(pkt, s) {
				return
			}
			st.requeueData(s, queueResend)
		default:
			if !st.appendFresh(pkt, s) {
				return
			}
		}
	}
}

// appendFresh appends new data of a stream; false if it does not fit.
func (st *streams) appendFresh(pkt *packet, s *stream) bool {
	p := s.send
	credit := int64(min(p.window.available(), st.sendWindow.available(), 1<<62))
	if p.cut || p.window.available() == 0 || p.buf.sent == p.buf.end {
		st.nextTurn(s)
		return true
	}
	n, ok := st.appendStream(pkt, s, credit)
	if !ok {
		return false
	}
	p.window.used += uint64(n)
	st.sendWindow.used += uint64(n)
	st.admission.onSent(s, n)
	if st.order != nil {
		st.order.fresh.onServed(s, int32(n), sendQuantum)
	}
	s.turn += int32(n)
	if s.turn >= sendQuantum || p.buf.sent == p.buf.end || p.window.available() == 0 {
		st.nextTurn(s)
	}
	return true
}

// nextTurn moves a stream to the end of fresh, or of those that it takes turns with, if it has more to send.
func (st *streams) nextTurn(s *stream) {
	s.turn = 0
	st.requeueData(s, queueFresh)
}

// appendResend appends what of a stream was lost, and its bare end; false if not all fits. Of a stream that was barred since it was
// queued it appends nothing.
func (st *streams) appendResend(pkt *packet, s *stream) bool {
	p := s.send
	for !p.cut && !s.barred && (p.buf.resends() || p.end.due() && p.buf.sent == p.buf.end) {
		if _, ok := st.appendStream(pkt, s, 1<<62); !ok {
			return false
		}
	}
	return true
}

// onFrameAcked is told of the acknowledgement of a frame of ours.
func (st *streams) onFrameAcked(now int64, f recovery.Frame) {
	switch f.Type {
	case wire.FrameMaxData:
		st.recvWindow.update.onAcked(f.Off)
		return
	case wire.FrameDataBlocked:
		st.sendWindow.blocked.onAcked(f.Off)
		return
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni, wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		st.types[f.ID].tell.onAcked(f.Off)
		return
	}
	s := st.live.get(f.ID) // nil if it is over
	if s == nil {
		return
	}
	switch f.Type {
	case wire.FrameStream:
		st.onStreamAcked(now, s, f)
	case wire.FrameResetStream:
		s.send.reset.done()
		st.settle(s)
	case wire.FrameStopSending:
		s.recv.stop.done()
	case wire.FrameMaxStreamData:
		s.recv.window.update.onAcked(f.Off)
	case wire.FrameStreamDataBlocked:
		s.send.window.blocked.onAcked(f.Off)
	}
}

// onFrameLost is told of the loss of a frame of ours: what still matters is sent again.
func (st *streams) onFrameLost(f recovery.Frame) (again bool) {
	switch f.Type {
	case wire.FrameMaxData:
		return st.recvWindow.update.onLost(f.Off)
	case wire.FrameDataBlocked:
		return st.sendWindow.blocked.onLost(f.Off)
	case wire.FrameMaxStreamsBidi, wire.FrameMaxStreamsUni, wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni:
		return st.types[f.ID].tell.onLost(f.Off)
	}
	s := st.live.get(f.ID) // nil if it is over
	if s == nil {
		return false
	}
	due := false
	switch f.Type {
	case wire.FrameStream:
		return st.onStreamLost(s, f)
	case wire.FrameResetStream:
		due = s.send.reset.onLost()
	case wire.FrameStopSending:
		due = !s.recv.sized && s.recv.stop.onLost()
	case wire.FrameMaxStreamData:
		due = !s.recv.sized && s.recv.window.update.onLost(f.Off)
	case wire.FrameStreamDataBlocked:
		due = !s.send.cut && s.send.window.blocked.onLost(f.Off)
	}
	if due {
		st.control.push(s, queueControl)
	}
	return due
}
