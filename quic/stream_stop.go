package quic

import (
	"fmt"
	"slices"
)

// How reading ends at the application's wish: with STOP_SENDING (RFC 9000, section 3.5), at once or later.

// heldStop is a STOP_SENDING that leaves at a time, but if it waits for an acknowledgement by then.
type heldStop struct {
	id uint64 // of a stream that may be over by now
	at int64  // nanoseconds
}

// stopDelay is how long STOP_SENDING waits, in nanoseconds: until the application has ended what it sends, and once all of that is acknowledged. The peer's
// QUIC has it then, but its application may be busy with writing, and is told of what ends that before it looks at what has come.
const stopDelay = int64(100e6)

// stopRecv ends the receiving part at the application's wish: STOP_SENDING, if the peer has not ended it. later has that wait, as Conn.StreamStopLater
// does.
func (st *streams) stopRecv(now int64, s *stream, code uint64, later bool) {
	p := s.recv
	switch {
	case p.over:
		return
	case p.stopped:
		if !later && p.stopHeld {
			p.stopErr = code
			st.sendStop(s)
		}
		return
	}
	p.stopped, p.stopErr, p.told = true, code, false
	s.events &^= streamReadable | streamReset
	if !p.sized {
		p.stopHeld = true
		st.holdStop(now, s, later)
	}
	st.discard(now, s)
}

// holdStop has STOP_SENDING wait if it may and there is what it can wait for.
func (st *streams) holdStop(now int64, s *stream, may bool) {
	switch p := s.send; {
	case !may || p.over || p.cut || p.window.isBlocked() || st.sendWindow.isBlocked():
		st.sendStop(s)
	case !p.fin:
		st.sendStopSoon(now, s)
	}
}

// stopLater is Conn.StreamStopLater.
func (st *streams) stopLater(now int64, id, code uint64) error {
	s, err := st.usable(id, st.receives(id))
	if err != nil {
		return err
	}
	st.stopRecv(now, s, code, true)
	return nil
}

// sendStop has STOP_SENDING leave, if it is held.
func (st *streams) sendStop(s *stream) {
	if s.recv.stopHeld {
		s.recv.stopHeld = false
		s.recv.stop.set()
		st.count().StreamsStoppedLocal++
		st.control.push(s, queueControl)
	}
}

// sendStops has all leave that are held, where the peer's limit on all streams holds back what they wait for.
func (st *streams) sendStops() {
	st.each(func(id uint64) bool { st.sendStop(st.live.get(id)); return true }, func(s *stream) bool { return s.recv.stopHeld })
}

// sendStopSoon has STOP_SENDING leave after stopDelay, if it is held.
func (st *streams) sendStopSoon(now int64, s *stream) {
	if !s.recv.stopHeld {
		return
	}
	n := st.count()
	if n.stops = append(n.stops, heldStop{s.id, now + stopDelay}); len(n.stops) > maxHeldStops {
		st.onStopDue()
	}
}

// checkStop looks for a STOP_SENDING that is held and waits for nothing.
func (st *streams) checkStop(s *stream) error {
	if !s.recv.stopHeld {
		return nil
	}
	p := s.send
	due := slices.ContainsFunc(st.count().stops, func(h heldStop) bool { return h.id == s.id })
	if !s.recv.stopped || s.recv.sized || !due && (!p.fin || p.over) || p.cut || p.window.isBlocked() || st.sendWindow.isBlocked() {
		return fmt.Errorf("quic: STOP_SENDING of stream %d is held, and nothing is waited for", s.id)
	}
	return nil
}

// stopTimer is when onStopTimer is to be called, 0: never.
func (st *streams) stopTimer() int64 {
	if st.seldom == nil || len(st.seldom.stops) == 0 {
		return 0
	}
	return st.seldom.stops[0].at
}

// onStopTimer sends what has waited for stopDelay.
func (st *streams) onStopTimer(now int64) {
	for at := st.stopTimer(); at != 0 && at <= now; at = st.stopTimer() {
		st.onStopDue()
	}
}

// onStopDue sends the one that has waited longest, if the peer has not ended the stream. What was ended since, and is not acknowledged, is waited for.
func (st *streams) onStopDue() {
	n := st.seldom
	if s := st.live.get(n.stops[0].id); s != nil && (!s.send.fin || s.send.over) {
		st.sendStop(s)
	}
	if n.stops = n.stops[1:]; len(n.stops) == 0 {
		n.stops = nil
	}
}
