package http3

import (
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// The timers of a connection: there is one, which its driver keeps, for the earliest of all that is due.

// Timeout returns when OnTimeout is wanted.
func (sc *serverConn) Timeout() time.Time {
	at := sc.h3.Timeout()
	due := sc.idleAt
	if len(sc.deadlines) > 0 && (due == 0 || sc.deadlines[0].writeBy < due) {
		due = sc.deadlines[0].writeBy
	}
	if due == 0 {
		return at
	}
	if t := sc.time(due); at.IsZero() || t.Before(at) {
		return t
	}
	return at
}

// OnTimeout does what is due.
func (sc *serverConn) OnTimeout(t *quicnet.Turn) (woke bool) {
	if at := sc.h3.Timeout(); !at.IsZero() && !t.Now.Before(at) {
		sc.h3.OnTimeout(t.Now)
		if woke = sc.drain(t); sc.h3.OpenRequests() == 0 {
			sc.rest()
		}
	}
	now := sc.since(t.Now)
	for len(sc.deadlines) > 0 && sc.deadlines[0].writeBy <= now {
		sc.deadlines[0].tooLate(t)
		woke = sc.drain(t) || woke
	}
	if sc.idleAt != 0 && sc.idleAt <= now {
		if sc.idleAt = 0; sc.h3.OpenRequests() > 0 {
			sc.setIdle(t.Now)
		} else {
			sc.shutdown(t)
			woke = sc.drain(t) || woke
		}
	}
	return woke
}

// rest lets go of what the next request makes again, as h3.Conn does after some silence.
func (sc *serverConn) rest() {
	sc.tls, sc.remote, sc.remotePort = nil, "", netip.AddrPort{}
	if len(sc.handlers.waiting) == 0 {
		sc.handlers.waiting = nil
	}
}

// setIdle has the connection end after http.Server.IdleTimeout, should no request be open then.
func (sc *serverConn) setIdle(now time.Time) {
	if d := sc.srv.idleTimeout; d > 0 && !sc.closed {
		sc.idleAt = sc.since(now.Add(d))
	}
}

// tooLate ends a response for which http.Server.WriteTimeout, or the deadline that the handler has set, is over: the client must not
// take it for complete.
func (x *exchange) tooLate(t *quicnet.Turn) {
	sc := x.sc
	sc.clearWriteDeadline(x)
	x.marks.Or(markLate)
	sc.h3.StreamShutdown(x.id, quic.WriteDirection, h3.ErrCodeInternal)
	x.lose(t, x.explain(nil))
}

// setWriteDeadline notes by when all of a response must have arrived.
func (sc *serverConn) setWriteDeadline(x *exchange, at int64) {
	sc.clearWriteDeadline(x)
	x.writeBy, x.writeIndex = at, int32(len(sc.deadlines))
	sc.deadlines = append(sc.deadlines, x)
	sc.deadlineUp(int(x.writeIndex))
}

// clearWriteDeadline takes an exchange out of the heap, if it is there.
func (sc *serverConn) clearWriteDeadline(x *exchange) {
	i := int(x.writeIndex)
	if i < 0 {
		return
	}
	last := len(sc.deadlines) - 1
	sc.putDeadline(i, sc.deadlines[last])
	sc.deadlines[last] = nil
	sc.deadlines = sc.deadlines[:last]
	x.writeBy, x.writeIndex = 0, -1
	if i < last {
		sc.deadlineUp(i)
		sc.deadlineDown(i)
	}
	if last == 0 {
		sc.deadlines = nil // an idle connection keeps nothing
	}
}

func (sc *serverConn) putDeadline(i int, x *exchange) { sc.deadlines[i], x.writeIndex = x, int32(i) }

func (sc *serverConn) swapDeadlines(i, j int) {
	a, b := sc.deadlines[i], sc.deadlines[j]
	sc.putDeadline(i, b)
	sc.putDeadline(j, a)
}

func (sc *serverConn) deadlineUp(i int) {
	for i > 0 {
		up := (i - 1) / 2
		if sc.deadlines[up].writeBy <= sc.deadlines[i].writeBy {
			return
		}
		sc.swapDeadlines(i, up)
		i = up
	}
}

func (sc *serverConn) deadlineDown(i int) {
	for {
		least := 2*i + 1
		if least >= len(sc.deadlines) {
			return
		}
		if right := least + 1; right < len(sc.deadlines) && sc.deadlines[right].writeBy < sc.deadlines[least].writeBy {
			least = right
		}
		if sc.deadlines[i].writeBy <= sc.deadlines[least].writeBy {
			return
		}
		sc.swapDeadlines(i, least)
		i = least
	}
}

// SetReadDeadline is what http.ResponseController calls. A deadline that has passed cannot be moved.
func (w *response) SetReadDeadline(deadline time.Time) error {
	x := w.x
	x.sc.conn.Do(func(t *quicnet.Turn) {
		if x.readBy == 0 || t.Now.Before(x.sc.time(x.readBy)) {
			x.setReadDeadline(t, deadline)
		}
	})
	return nil
}

// setReadDeadline sets the deadline of the program's choice, which the server's own give way to.
func (x *exchange) setReadDeadline(t *quicnet.Turn, deadline time.Time) {
	x.set(markDeadline)
	if x.readBy = 0; !deadline.IsZero() {
		x.readBy = x.sc.since(deadline)
	}
	if s := x.stream.Load(); s != nil {
		t.SetReadDeadline(s, deadline)
	}
}

// SetWriteDeadline is what http.ResponseController calls. When the deadline has passed the stream is reset, and it cannot be moved.
func (w *response) SetWriteDeadline(deadline time.Time) error {
	x := w.x
	x.sc.conn.Do(func(t *quicnet.Turn) {
		if x.over || x.sc.closed || x.has(markLate) {
			return
		}
		x.sc.clearWriteDeadline(x)
		if deadline.IsZero() {
			return
		}
		x.sc.setWriteDeadline(x, x.sc.since(deadline))
		if !t.Now.Before(deadline) {
			x.tooLate(t)
		}
		x.sc.drain(t)
	})
	return nil
}

// EnableFullDuplex does nothing: bodies go both ways at once anyway.
func (w *response) EnableFullDuplex() error { return nil }
