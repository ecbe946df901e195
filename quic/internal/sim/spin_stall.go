package sim

import (
	"fmt"
	"strings"
)

// settled tells whether all that the applications have begun is done; with all, also what was left and what waits to be opened.
func (r *spinRun) settled(all bool) bool { return len(r.unsettled(all)) == 0 }

// unsettled is what is still to be done, for people to read.
func (r *spinRun) unsettled(all bool) (left []string) {
	note := func(a *spinApp, format string, args ...any) {
		left = append(left, fmt.Sprintf("the %s: %s", sideNames[a.side], fmt.Sprintf(format, args...)))
	}
	for _, a := range r.apps {
		if a.conn == nil || !a.monitor.complete {
			note(a, "the handshake is not complete")
			continue
		}
		for _, s := range a.order {
			if s.w != nil {
				if what := s.writerLacks(); what != "" {
					note(a, "stream %d: %s; %s", s.id, what, s.text())
				}
			}
			if !s.finished && (all || !s.someoneLeft()) && (s.w == nil || s.w.over()) && (s.r == nil || s.r.over()) {
				note(a, "stream %d: EventStreamFinished has not come; %s", s.id, s.text())
			}
		}
		if a.full {
			note(a, "EventDatagramWritable has not come")
		}
		for typ, wanted := range a.wanted {
			if len(wanted) > 0 && all && r.plan.Sides[1-a.side].Knobs[knobStreamsBidi+typ] >= 0 {
				note(a, "%d streams of type %d wait to be opened", len(wanted), typ)
			}
		}
	}
	return left
}

func (s *spinStream) someoneLeft() bool {
	o := s.other()
	return s.w != nil && s.w.left || o != nil && o.w != nil && o.w.left
}

// writerLacks tells what the writer of a stream, or its reader, waits for: "" if nothing.
func (s *spinStream) writerLacks() string {
	w, o := s.w, s.other()
	var r *spinReader
	if o != nil {
		r = o.r
	}
	switch {
	case o == nil && (w.over() || w.written > 0 && !w.left):
		return "the peer has not heard of it"
	case o == nil && w.left:
		return "" // with nothing to be sent, there is nothing to be heard of
	case o == nil:
		return "it waits to write"
	case w.stopped || w.left && (r.read == w.written || r.over()):
		return ""
	case r.stopped && !w.over() && !w.left:
		return "the writer is not told that it should stop"
	case !w.over() && !w.left:
		return "it waits to write"
	case r.stopped || r.end || r.reset:
		return ""
	case w.reset && !w.finished:
		return "the reader is not told of the reset"
	}
	return "the reader lacks data or the end"
}

func (s *spinStream) text() string {
	t := ""
	if w := s.w; w != nil {
		t += fmt.Sprintf("written %d of %d, refused %v, finished %v, reset %v, left %v, stopped %v", w.written, w.Size, w.refused,
			w.finished, w.reset, w.left, w.stopped)
	}
	if o := s.other(); s.w != nil && o != nil && o.r != nil {
		r := o.r
		t += fmt.Sprintf("; there read %d, told %v, end %v, reset %v, stopped %v", r.read, r.told, r.end, r.reset, r.stopped)
	}
	return t
}

// stalled is the fault that nothing moves any more.
func (r *spinRun) stalled(want string) {
	if r.w.err == nil {
		r.fail("stall", "for %v nothing moves, and %s should be done: %s", patience, want, r.explain())
	}
}

// explain tells what each side waits for.
func (r *spinRun) explain() string {
	var b strings.Builder
	for _, a := range r.apps {
		c := a.conn
		if c == nil {
			fmt.Fprintf(&b, "\n    the %s has no connection", sideNames[a.side])
			continue
		}
		timer := "no timer"
		if at, ok := c.Timeout(); ok {
			timer = fmt.Sprintf("a timer in %v", at.Sub(r.w.Now()))
		}
		fmt.Fprintf(&b, "\n    the %s: error %v, %s, wants to send %v, %+v", sideNames[a.side], c.Err(), timer, c.WantsSend(), c.Stats())
		for _, p := range c.Paths() {
			fmt.Fprintf(&b, "\n        path from %v to %v: %v, validated %v, sent %d, received %d", p.Local, p.Remote, p.State, p.Validated, p.BytesSent, p.BytesReceived)
		}
	}
	for _, what := range r.unsettled(true) {
		b.WriteString("\n    " + what)
	}
	return b.String()
}

// endLeft has all streams that were left be reset.
func (a *spinApp) endLeft() {
	for _, s := range a.order {
		if s.w != nil && s.w.left && !s.w.over() {
			s.endWriting()
		}
	}
}
