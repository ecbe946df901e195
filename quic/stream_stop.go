package quic

import (
	"cmp"
	"fmt"
	"slices"
)

// How reading ends at the application's wish: with STOP_SENDING (RFC 9000, section 3.5), at once or later.
//
// One that leaves later is held (recvPart.stopHeld). First it waits for the end of what we send on the stream, stopDelay at most; then, with that written,
// for the acknowledgement of all of it; and then for stopDelay once more. While it waits for a time it is in seldom.stops.

// heldStop is a STOP_SENDING that is held until a time.
type heldStop struct {
	id uint64 // of the stream
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
		st.count().held++
		st.holdStop(now, s, later)
	}
	st.discard(now, s)
}

// holdStop has STOP_SENDING wait if it may and there is what it can wait for.
func (st *streams) holdStop(now int64, s *stream, may bool) {
	switch p := s.send; {
	case !may || p.over || p.cut || st.holdsBack(s):
		st.sendStop(s)
	case !p.fin:
		st.sendStopSoon(now, s)
	}
}

// holdsBack tells whether the peer's flow control holds back what is written on a stream.
func (st *streams) holdsBack(s *stream) bool {
	p := s.send
	return p.buf.sent < p.buf.end && (p.window.isBlocked() || st.sendWindow.isBlocked())
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
	if st.releaseStop(s) {
		s.recv.stop.set()
		st.count().StreamsStoppedLocal++
		st.control.push(s, queueControl)
	}
}

// releaseStop has STOP_SENDING be held no more, and tells whether it was.
func (st *streams) releaseStop(s *stream) bool {
	if !s.recv.stopHeld {
		return false
	}
	s.recv.stopHeld = false
	st.seldom.held--
	st.forgetStopTime(s)
	return true
}

// forgetStopTime has a STOP_SENDING that is held wait for no time.
func (st *streams) forgetStopTime(s *stream) {
	n := st.seldom
	n.stops = slices.DeleteFunc(n.stops, func(h heldStop) bool { return h.id == s.id })
	if len(n.stops) == 0 {
		n.stops = nil
	}
}

// forgetStops is for when there are no streams any more.
func (st *streams) forgetStops() {
	if st.seldom != nil {
		st.seldom.held, st.seldom.stops = 0, nil
	}
}

// onStopWritten is told that something was written, or the end, on a stream whose STOP_SENDING is held.
func (st *streams) onStopWritten(s *stream) {
	switch {
	case st.holdsBack(s):
		st.sendStop(s)
	case s.send.fin:
		st.forgetStopTime(s)
	}
}

// sendStops has all leave that are held, and wait for what the peer's limit on all streams holds back.
func (st *streams) sendStops() {
	if st.seldom == nil || st.seldom.held == 0 {
		return
	}
	st.each(func(id uint64) bool { st.sendStop(st.live.get(id)); return true }, func(s *stream) bool { return s.recv.stopHeld && st.holdsBack(s) })
}

// sendStopSoon has STOP_SENDING leave after stopDelay, if it is held and not waiting for a time. Where too many do, the one leaves that has waited longest.
func (st *streams) sendStopSoon(now int64, s *stream) {
	if !s.recv.stopHeld {
		return
	}
	n := st.seldom
	n.stops = append(n.stops, heldStop{s.id, now + stopDelay})
	st.stirred = true
	if len(n.stops) > maxHeldStops {
		st.sendOldestStop()
	}
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
		st.sendOldestStop()
	}
}

func (st *streams) sendOldestStop() { st.sendStop(st.live.get(st.seldom.stops[0].id)) }

// checkStops looks for a STOP_SENDING that is held and waits for nothing, or waits twice, and for one that is counted and not held.
func (st *streams) checkStops() error {
	held, timed := 0, 0
	var stops []heldStop
	if st.seldom != nil {
		held, stops = st.seldom.held, st.seldom.stops
	}
	for s := range st.live.all {
		if !s.recv.stopHeld {
			continue
		}
		held--
		times, p := 0, s.send
		for _, h := range stops {
			if h.id == s.id {
				times++
			}
		}
		timed += times
		if want := p.fin && !p.over; times > 1 || want == (times == 1) || !s.recv.stopped || s.recv.sized || p.cut || st.holdsBack(s) {
			return fmt.Errorf("quic: STOP_SENDING of stream %d is held, and waits for %d times", s.id, times)
		}
	}
	ordered := slices.IsSortedFunc(stops, func(a, b heldStop) int { return cmp.Compare(a.at, b.at) })
	if held != 0 || timed != len(stops) || len(stops) > maxHeldStops || !ordered {
		return fmt.Errorf("quic: %d STOP_SENDING too many count as held, and %d of %d times are of those", held, timed, len(stops))
	}
	return nil
}
