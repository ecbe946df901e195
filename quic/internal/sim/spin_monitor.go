package sim

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// monitor judges the order of a connection's events, which are edge-triggered (quic.Event).
type monitor struct {
	complete, confirmed, drained bool
	early                        bool                       // 0-RTT data: a client's may be sent, a server's is accepted
	announced                    [2]uint64                  // of the peer's streams, by type
	paths                        map[[2]netip.AddrPort]bool // those that are there, and false for those that were
	inUse                        [2]netip.AddrPort          // the one in use as the events say, of which several may be read at once
}

// onEvent gives an event to the application of its connection.
func (r *spinRun) onEvent(c *Conn, ev quic.Event) {
	side := serverSide
	if c.host == r.hosts[clientSide] {
		side = clientSide
	}
	a := r.apps[side]
	if ev.Kind == quic.EventEarlyData && ev.Accepted && side == serverSide {
		if a.conn != nil {
			a.fail("event", "0-RTT data is accepted twice")
			return
		}
		a.conn, a.monitor.early = c, true
		return
	}
	if ev.Kind == quic.EventHandshakeComplete {
		if a.conn != c && a.monitor.early && !a.monitor.complete {
			r.orphan(a) // its 0-RTT data was accepted, and its handshake came to nothing
		}
		if a.conn != nil && (a.conn != c || a.monitor.complete) {
			a.fail("event", "two handshakes are complete")
			return
		}
		a.conn = c
	}
	if a.conn == c && ev.Kind == quic.EventClosed && a.monitor.early && !a.monitor.complete && side == serverSide &&
		!r.apps[clientSide].monitor.complete && r.closing[serverSide] == nil {
		r.orphan(a)
	}
	if a.conn != c {
		r.onGhost(c, ev)
		return
	}
	a.onEvent(ev)
}

// orphan forgets what a server's connection that never came about has brought: nothing of it counts, but what the client reads of it.
func (r *spinRun) orphan(a *spinApp) {
	*a = spinApp{r: r, side: a.side, streams: make(map[uint64]*spinStream), orphans: a.streams, got: make(map[uint64]bool),
		scratch: a.scratch, wanted: a.wanted}
}

// onGhost judges what a server's connection that never came about tells.
func (r *spinRun) onGhost(c *Conn, ev quic.Event) {
	switch ev.Kind {
	case quic.EventDrained, quic.EventEarlyData:
	case quic.EventClosed:
		var idle *quic.IdleTimeoutError
		var transport *quic.TransportError
		if errors.As(c.Err(), &idle) || errors.As(c.Err(), &transport) && (transport.Remote || r.plan.Flood.N > 0) {
			return
		}
		r.fail("close", "a server's connection whose handshake was not complete ended with %v", c.Err())
	default:
		r.fail("event", "event %d of a connection whose handshake is not complete", ev.Kind)
	}
}

func (a *spinApp) onEvent(ev quic.Event) {
	m := &a.monitor
	if m.drained {
		a.fail("event", "event %d after EventDrained", ev.Kind)
		return
	}
	switch ev.Kind {
	case quic.EventEarlyReady:
		if a.side == serverSide || m.early || m.complete {
			a.fail("event", "EventEarlyReady; early %v, complete %v", m.early, m.complete)
		}
		m.early = true
	case quic.EventEarlyData:
		if want := a.r.plan.Early == earlyAccepted; m.complete || ev.Accepted && !want || a.side == clientSide && ev.Resent == ev.Accepted {
			a.fail("event", "EventEarlyData, accepted %v, sent again %v; complete %v", ev.Accepted, ev.Resent, m.complete)
		}
	case quic.EventHandshakeComplete:
		m.complete = true
		a.r.progress++
		for typ := range a.wanted {
			if !a.refused[typ] {
				a.openWanted(typ)
			}
		}
	case quic.EventHandshakeConfirmed:
		if !m.complete || m.confirmed {
			a.fail("event", "EventHandshakeConfirmed; complete %v, confirmed %v", m.complete, m.confirmed)
		}
		m.confirmed = true
		if a.side == clientSide {
			a.r.move()
		}
	case quic.EventPath:
		a.onPath(ev.Path)
	case quic.EventClosed:
		if a.closed != nil || a.conn.Err() == nil {
			a.fail("event", "EventClosed, with error %v before and %v now", a.closed, a.conn.Err())
			return
		}
		a.closed = a.conn.Err()
		a.judgeClose(a.closed)
		a.readRest()
	case quic.EventDrained:
		m.drained = true
		if a.closed == nil {
			a.fail("event", "EventDrained without EventClosed")
		}
	case quic.EventMTU:
	case quic.EventSession:
		if a.side == serverSide {
			a.fail("event", "event %d on a server", ev.Kind)
		}
	default:
		if a.closed != nil {
			a.fail("event", "event %d after EventClosed", ev.Kind)
			return
		}
		a.onStreamEvent(ev)
	}
}

// onStreamEvent acts on events of streams and datagrams.
func (a *spinApp) onStreamEvent(ev quic.Event) {
	switch ev.Kind {
	case quic.EventStreamOpened:
		a.onOpened(ev.Stream)
		return
	case quic.EventStreamsAvailable:
		typ := int(ev.Stream / 2)
		if !a.refused[typ] && !(a.far && typ == 0) {
			a.fail("event", "EventStreamsAvailable, which nobody waits for")
		}
		a.openWanted(typ)
		return
	case quic.EventDatagram:
		if a.unread {
			a.fail("event", "EventDatagram again, before all were read")
		}
		a.unread = true
		a.readDatagrams()
		return
	case quic.EventDatagramWritable:
		if !a.full {
			a.fail("event", "EventDatagramWritable, which nobody waits for")
		}
		a.full = false
		a.r.progress++
		return
	}
	s := a.streams[ev.Stream]
	if s == nil || s.finished {
		a.fail("event", "event %d of stream %d, which there is not, or is no more", ev.Kind, ev.Stream)
		return
	}
	switch ev.Kind {
	case quic.EventReadable:
		if r := s.r; r == nil || r.over() || r.told && !r.some {
			a.fail("event", "EventReadable of stream %d, whose reader is %+v", ev.Stream, r)
			return
		}
		s.r.told, s.r.some = true, false
		s.onReadable()
	case quic.EventWritable:
		w, o := s.w, s.other()
		if w == nil || !w.refused && !(o != nil && o.r != nil && o.r.stopped) {
			a.fail("event", "EventWritable of stream %d, whose writer is %+v", ev.Stream, w)
			return
		}
		w.refused = false
		s.onWritable()
	case quic.EventStreamFinished:
		s.finished = true
		if s.w != nil && !s.w.over() || s.r != nil && !s.r.over() {
			a.fail("event", "EventStreamFinished of stream %d, whose writer is %+v, reader %+v", ev.Stream, s.w, s.r)
		}
		if w := s.w; w != nil && w.finished && !w.reset && !w.stopTold && !w.acked {
			a.fail("event", "EventStreamFinished of stream %d without EventStreamAcked; the writer is %+v", ev.Stream, w)
		}
		a.r.progress++
	default:
		s.onFate(ev)
	}
}

// onFate judges what is told of a stream beside what can be read and written.
func (s *spinStream) onFate(ev quic.Event) {
	a, w, o := s.app, s.w, s.other()
	switch ev.Kind {
	case quic.EventStreamAcked:
		n, err := a.conn.StreamAcked(s.id)
		if w == nil || !w.finished || w.reset || w.acked || o == nil || err == nil && n != uint64(w.written) ||
			err != nil && !errors.Is(err, quic.ErrUnknownStream) && err != a.conn.Err() { // the acknowledgement may come with the close
			a.fail("event", "EventStreamAcked of stream %d, whose writer is %+v: %d bytes acknowledged, error %v", s.id, w, n, err)
			return
		}
		w.acked = true
	case quic.EventStreamReset:
		if r := s.r; r == nil || r.end || r.stopped || r.resetTold || o == nil || !o.w.reset || o.w.Code != ev.Code {
			a.fail("event", "EventStreamReset of stream %d with %#x, whose reader is %+v", s.id, ev.Code, r)
			return
		}
		s.r.resetTold = true
	case quic.EventStreamStopped:
		if w == nil || w.acked || w.stopTold || o == nil || !o.r.stopped || o.r.Code != ev.Code {
			a.fail("event", "EventStreamStopped of stream %d with %#x, whose writer is %+v", s.id, ev.Code, w)
			return
		}
		w.stopTold = true
	default:
		a.fail("event", "event %d is not known", ev.Kind)
	}
}

// onOpened takes a stream that the peer opened.
func (a *spinApp) onOpened(id uint64) {
	typ := int(id >> 1 & 1)
	want := a.monitor.announced[typ]<<2 | id&3
	if id&1 != uint64(1-a.side) || id != want || a.r.opened[id] == nil {
		a.fail("event", "EventStreamOpened of stream %d, want %d, which the peer opened: %v", id, want, a.r.opened[id] != nil)
		return
	}
	a.monitor.announced[typ]++
	a.r.progress++
	a.begin(a.add(id, a.r.opened[id], 1))
}

// readDatagrams reads all datagrams that there are.
func (a *spinApp) readDatagrams() {
	buf := a.scratch[:cap(a.scratch)]
	for {
		n, ok := a.conn.DatagramRecv(buf)
		if !ok {
			break
		}
		if !a.checkDatagram(buf[:n]) {
			a.fail("data", "a datagram of %d bytes is not one that was sent", n)
		}
	}
	a.unread = false
}

// checkDatagram judges a datagram: its number, if it has room for one, and its content.
func (a *spinApp) checkDatagram(b []byte) bool {
	if len(b) < 8 {
		return true
	}
	n := binary.BigEndian.Uint64(b)
	if n >= a.r.apps[1-a.side].sent || a.got[n] || !spinContent.matches(b[8:], int(n)) {
		return false
	}
	a.got[n] = true
	return true
}

// sendDatagrams sends n datagrams, of all sizes. Those that are too large must be refused.
func (a *spinApp) sendDatagrams(n int) {
	for range n {
		most := a.conn.MaxDatagramSize()
		size := one(dice{a.r.w.rng}, most, most, most+1, 0, 8, 100, most/2, 70000)
		b := make([]byte, 0, size+8)
		b = binary.BigEndian.AppendUint64(b, a.sent)
		for len(b) < size {
			b = append(b, spinContent.at(int(a.sent)+len(b)-8, size-len(b))...)
		}
		err := a.conn.DatagramSend(b[:size])
		switch {
		case a.conn.Err() != nil:
			return
		case most == 0 || size > most:
			if err == nil {
				a.fail("datagram", "a datagram of %d bytes is taken, and %d are the most", size, most)
			}
		case errors.Is(err, quic.ErrDatagramQueueFull):
			a.full = true
			return
		case err != nil:
			a.fail("datagram", "a datagram of %d bytes, of %d that may be: %v", size, most, err)
		default:
			a.sent++
		}
	}
}

// readRest reads what had arrived before the connection ended, if the end was not ours.
func (a *spinApp) readRest() {
	if !a.conn.KeepsReceived() {
		return
	}
	for _, s := range a.order {
		if r := s.r; r != nil && !r.over() {
			for n, before := 0, -1; n < 1000 && r.read > before && !r.over(); n++ {
				before = r.read
				s.readSome(n%2 == 1)
			}
		}
	}
	a.readDatagrams()
}

// judgeClose judges why a connection between honest peers came to its end.
func (a *spinApp) judgeClose(err error) {
	r := a.r
	mine, theirs := r.closing[a.side], r.closing[1-a.side]
	switch e := err.(type) {
	case *quic.ApplicationError:
		by := mine
		if e.Remote {
			by = theirs
		}
		if by != nil && by.app && by.code == e.Code && strings.HasPrefix(by.reason, e.Reason) { // cut where there was no room
			return
		}
	case *quic.TransportError:
		switch {
		case !e.Remote && mine != nil && !mine.app && mine.code == uint64(e.Code):
			return
		case e.Remote && theirs != nil && !theirs.app && theirs.code == uint64(e.Code):
			return
		case e.Remote && theirs != nil && theirs.app && e.Code == quic.ApplicationErrorCode:
			return // RFC 9000, section 10.2.3
		case !e.Remote && e.Code == quic.NoViablePath && a.side == serverSide &&
			(len(r.plan.Moves)+len(r.plan.Trips) > 0 || r.plan.Observer.P > 0 || r.plan.Preferred):
			return
		case !e.Remote && e.Code == quic.NoViablePath && a.side == clientSide && len(r.plan.Trips) > 0:
			return // it has abandoned the only path that was validated
		}
	case *quic.VersionNegotiationError:
		if r.corrupts(clientSide) {
			return // nothing protects the packet, and the plan has the server speak another version
		}
	case *quic.StatelessResetError:
		if r.gone(1 - a.side) {
			return
		}
	case *quic.IdleTimeoutError:
		if !e.Handshake {
			a.judgeIdle()
			return
		}
		if r.calm() && r.plan.Flood.N == 0 && r.handshakeTime() >= 5*time.Second+2*r.slowest() {
			break
		}
		return
	}
	a.fail("close", "the connection ended with %v", err)
}

// onPath checks that what is told of paths makes sense: each is new first, and gone once.
func (a *spinApp) onPath(ev *quic.PathEvent) {
	m := &a.monitor
	if a.side == serverSide && a.r.plan.Observer.P > 0 {
		return // of many at one instant some are not told
	}
	key := [2]netip.AddrPort{ev.Local, ev.Remote}
	if m.paths == nil {
		m.paths = map[[2]netip.AddrPort]bool{}
		m.inUse = [2]netip.AddrPort{a.conn.LocalAddr(), a.conn.RemoteAddr()}
	}
	known, begun := m.paths[key]
	if ev.Kind == quic.PathActivated {
		m.inUse = key
	}
	switch ev.Kind {
	case quic.PathNew:
		if known {
			a.fail("event", "path %v is new twice", key)
		}
		m.paths[key] = true
	case quic.PathFailed, quic.PathClosed:
		if begun && !known {
			a.fail("event", "path %v is gone (%v) twice", key, ev.Kind)
		}
		m.paths[key] = ev.Kind == quic.PathFailed && m.inUse == key // it failed, and there is no other
	default:
		if begun && !known {
			a.fail("event", "path %v is %v after it was gone", key, ev.Kind)
		}
		m.paths[key] = true // the first one is not told to be new
	}
}

// corrupts tells whether the network changes bytes of what it carries to a side.
func (r *spinRun) corrupts(to int) bool {
	return slices.ContainsFunc(r.plan.Net[1-to], func(t Trouble) bool { return t.Kind == "corrupt" })
}

// judgeIdle judges an idle timeout: where both hear each other and something is still to be done, there is none.
func (a *spinApp) judgeIdle() {
	r := a.r
	if r.gone(1-a.side) || r.apps[1-a.side].closed != nil || !r.healed || !r.heard[0] || !r.heard[1] || r.idleTime() < r.slowest() ||
		!r.apps[0].monitor.complete || !r.apps[1].monitor.complete {
		return
	}
	if left := r.unsettled(false); len(left) > 0 {
		a.fail("stall", "the idle timeout ended a connection on which there was more to do: %s", r.explain())
	}
}

// gone tells whether a side knows nothing of the connection any more, or never did.
func (r *spinRun) gone(side int) bool {
	a := r.apps[side]
	return r.vanished[side] || a.conn == nil || a.conn.Drained
}

// calm tells whether nothing is done to what is sent.
func (r *spinRun) calm() bool {
	p := r.plan
	return len(p.Net[0])+len(p.Net[1])+len(p.Moves)+len(p.Trips) == 0 && p.Dead == [2]int{} && p.Observer.P == 0
}

func (r *spinRun) knob(i int, usual int64, merge func(a, b int64) int64) int64 {
	var v [2]int64
	for side := range v {
		if v[side] = r.plan.Sides[side].Knobs[i]; v[side] == 0 {
			v[side] = usual
		}
	}
	return merge(v[0], v[1])
}

func (r *spinRun) handshakeTime() time.Duration {
	return time.Duration(r.knob(knobHandshake, int64(10*time.Second), func(a, b int64) int64 { return min(a, b) }))
}

// idleTime is the idle timeout that rules.
func (r *spinRun) idleTime() time.Duration {
	return time.Duration(r.knob(knobIdle, int64(30*time.Second), func(a, b int64) int64 {
		if a < 0 || b < 0 {
			return max(a, b, 0)
		}
		return min(a, b)
	}))
}

// slowest is longer than an answer takes, in which nothing is lost.
func (r *spinRun) slowest() time.Duration {
	s := &r.plan.Sides
	return 10*(r.plan.Delay+r.plan.Jitter) + 2*(r.ackDelay(0)+r.ackDelay(1)) + 4*(s[0].Lag+s[1].Lag+s[0].Late+s[1].Late)
}
