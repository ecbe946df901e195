package quicnet

import (
	"net"
	"os"
	"sync/atomic"
	"time"
)

// SetDeadline sets the deadline of reads and of writes, those that wait already included. Later than it, they return an error
// that matches os.ErrDeadlineExceeded; the zero time stands for none. What was read or queued before is not lost.
func (s *Stream) SetDeadline(t time.Time) error {
	s.setDeadline(&s.recv, t)
	s.setDeadline(&s.send, t)
	return nil
}

// SetReadDeadline sets the deadline of reads alone.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.setDeadline(&s.recv, t)
	return nil
}

// SetWriteDeadline sets the deadline of writes alone.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.setDeadline(&s.send, t)
	return nil
}

func (s *Stream) setDeadline(h *half, t time.Time) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.setDeadlineLocked(h, t)
}

// setDeadlineLocked is setDeadline with c.mu held. It tells whether that woke anybody.
func (s *Stream) setDeadlineLocked(h *half, t time.Time) (woke bool) {
	d := h.deadline
	if d == nil {
		if t.IsZero() {
			return false
		}
		d = new(deadline)
		h.deadline = d
	}
	h.disarm()
	d.expired = false
	if t.IsZero() {
		return false
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired = true
		return h.wake()
	}
	if h.err == nil && s.c.streams[s.id] == s && !s.c.closed { // else no call waits any more
		d.alarm = s.newAlarm(h, left)
	}
	return false
}

// deadline is when calls that wait give up.
type deadline struct {
	alarm   *alarm // nil: none is set
	expired bool
}

// alarm is the timer of a deadline. One that was stopped holds no stream, though the runtime may hold it until it would have expired.
type alarm struct {
	timer  *time.Timer
	stream atomic.Pointer[Stream]
}

func (s *Stream) newAlarm(h *half, left time.Duration) *alarm {
	a, send := new(alarm), h == &s.send
	a.stream.Store(s)
	a.timer = time.AfterFunc(left, func() {
		if s := a.stream.Load(); s != nil {
			s.onAlarm(a, send)
		}
	})
	return a
}

// onAlarm has the calls of a half give up, unless the alarm came too late to be stopped.
func (s *Stream) onAlarm(a *alarm, send bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	h := &s.recv
	if send {
		h = &s.send
	}
	if h.deadline.alarm == a {
		h.deadline.alarm, h.deadline.expired = nil, true
		h.wake()
	}
}

// disarm stops the half's timer: it is set anew, or nobody will wait any more.
func (h *half) disarm() {
	if d := h.deadline; d != nil && d.alarm != nil {
		d.alarm.timer.Stop()
		d.alarm.stream.Store(nil)
		d.alarm = nil
	}
}

// timeout is the error of a deadline.
func (s *Stream) timeout(op string) error {
	return &net.OpError{
		Op: op, Net: "quic", Source: net.UDPAddrFromAddrPort(s.c.localAddr()),
		Addr: net.UDPAddrFromAddrPort(s.c.core.RemoteAddr()), Err: os.ErrDeadlineExceeded,
	}
}
