package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// spinContent is what all streams carry; each begins elsewhere in it.
var spinContent = newContent(0x5b1e)

// contentOf is where the content of a stream of one side begins.
func contentOf(id uint64, side int) int { return int(id%1000)*1009 + side*503 }

// spinApp is the application of one side.
type spinApp struct {
	r       *spinRun
	side    int
	conn    *Conn
	streams map[uint64]*spinStream
	orphans map[uint64]*spinStream // of a connection whose handshake came to nothing after 0-RTT data
	order   []*spinStream          // of streams, as they came
	wanted  [2][]*StreamPlan       // still to be opened: bidirectional, unidirectional
	refused [2]bool                // ErrStreamLimit was told, and EventStreamsAvailable not since
	far     bool                   // ErrStreamLimit was told of a bidirectional stream far above the others: EventStreamsAvailable may come
	sent    uint64                 // datagrams that were taken
	full    bool                   // ErrDatagramQueueFull was told, and EventDatagramWritable not since
	unread  bool                   // EventDatagram was told, and the queue not emptied since
	got     map[uint64]bool        // datagrams received, by number
	monitor monitor
	scratch []byte
	closed  error // what the connection ended with; nil: it has not
}

// spinStream is a stream as one side knows it.
type spinStream struct {
	app  *spinApp
	id   uint64
	plan *StreamPlan
	mine int // the index of this side in plan.Write and plan.Read
	w    *spinWriter
	r    *spinReader

	finished bool // EventStreamFinished came
}

type spinWriter struct {
	WritePlan
	written  int
	refusals int
	refused  bool // EventWritable is to come
	finished bool // the end was taken
	reset    bool
	left     bool // it writes no more and has not ended
	stopped  bool // the peer's STOP_SENDING was told, by an error
	stopTold bool // and by an event
	acked    bool // EventStreamAcked came
	busy     bool // it answers after a pause
}

func (w *spinWriter) over() bool { return w.finished || w.reset || w.stopped }

type spinReader struct {
	ReadPlan
	read    int
	told    bool // EventReadable came, and nothing was read since
	some    bool // all that was there may or may not have been read
	end     bool // the end was read
	reset   bool // the peer's reset was read
	stopped bool
	busy    bool // it reads after a pause

	resetTold bool // EventStreamReset came
}

func (r *spinReader) over() bool { return r.end || r.reset || r.stopped }

func (a *spinApp) fail(kind, format string, args ...any) {
	a.r.fail(kind, "the %s: %s", sideNames[a.side], fmt.Sprintf(format, args...))
}

// open opens a stream of a plan, or notes that it is to be opened when the peer allows it.
func (a *spinApp) open(p *StreamPlan) {
	typ := 0
	if p.Uni {
		typ = 1
	}
	a.wanted[typ] = append(a.wanted[typ], p)
	if len(a.wanted[typ]) == 1 || !a.refused[typ] {
		a.openWanted(typ)
	}
}

func (a *spinApp) openWanted(typ int) {
	for len(a.wanted[typ]) > 0 && a.conn != nil && a.closed == nil {
		p := a.wanted[typ][0]
		open := a.conn.OpenStream
		if p.Uni {
			open = a.conn.OpenUniStream
		}
		id, err := open()
		if err != nil {
			if !errors.Is(err, quic.ErrStreamLimit) && a.conn.Err() == nil {
				a.fail("error", "opening a stream: %v", err)
			}
			a.refused[typ] = true
			return
		}
		a.wanted[typ] = a.wanted[typ][1:]
		a.r.opened[id] = p
		s := a.add(id, p, 0)
		a.begin(s)
	}
	a.refused[typ] = false
}

func (a *spinApp) add(id uint64, p *StreamPlan, mine int) *spinStream {
	s := &spinStream{app: a, id: id, plan: p, mine: mine}
	if !p.Uni || mine == 0 {
		s.w = &spinWriter{WritePlan: p.Write[mine]}
	}
	if !p.Uni || mine == 1 {
		s.r = &spinReader{ReadPlan: p.Read[mine]}
	}
	a.streams[id] = s
	a.order = append(a.order, s)
	return s
}

func (a *spinApp) begin(s *spinStream) {
	if s.w != nil {
		s.write()
	}
	if s.r != nil && s.r.Stop < 0 {
		s.stop()
	}
}

// after has something done on the connection later, if it is not closed by then.
func (a *spinApp) after(d time.Duration, do func()) {
	a.r.w.After(d, func() {
		if a.closed == nil && a.conn != nil && !a.conn.Drained {
			do()
			a.conn.Touch()
		}
	})
}

// other is the same stream on the other side; nil if that has not heard of it. If the handshake of a server's connection came to nothing after its 0-RTT data was accepted, the client
// may still read what that connection has sent before.
func (s *spinStream) other() *spinStream {
	a := s.app.r.apps[1-s.app.side]
	o, before := a.streams[s.id], a.orphans[s.id]
	if before != nil && (o == nil || o.w == nil || s.r != nil && o.w.written < s.r.read) {
		return before
	}
	return o
}

// write writes as much as is taken, and ends the stream when its plan says so.
func (s *spinStream) write() {
	w, a := s.w, s.app
	for !w.over() && !w.left {
		part := min(w.Chunk, w.Size-w.written)
		last := w.written+part == w.Size
		data := a.scratch[:0]
		for off := contentOf(s.id, a.side) + w.written; len(data) < part; {
			data = append(data, spinContent.at(off+len(data), part-len(data))...)
		}
		n, err := a.conn.StreamSend(s.id, data, last && w.End == Finish)
		if err != nil {
			s.onWriteError(err)
			return
		}
		if n < 0 || n > part {
			a.fail("taken", "StreamSend of stream %d takes %d of %d bytes", s.id, n, part)
			return
		}
		w.written += n
		a.r.progress++
		if n < part {
			w.refused = true
			if w.refusals++; w.refusals == w.Quit {
				s.endWriting()
			}
			return
		}
		if last {
			if w.End == Finish {
				w.finished = true
			} else {
				s.endWriting()
			}
		}
	}
}

// endWriting ends the writer's part as it stands.
func (s *spinStream) endWriting() {
	w, a := s.w, s.app
	if w.over() {
		return
	}
	if w.End == Leave && !a.r.ending {
		w.left = true
		return
	}
	if w.End != Reset && w.End != Leave {
		n, err := a.conn.StreamSend(s.id, nil, true)
		if err != nil {
			s.onWriteError(err)
			return
		}
		if n != 0 {
			a.fail("taken", "StreamSend of nothing takes %d", n)
		}
		w.finished = true
	}
	if w.End != Finish && w.End != FinishApart {
		if err := a.conn.StreamShutdown(s.id, quic.WriteDirection, w.Code); err != nil && a.conn.Err() == nil {
			a.fail("error", "resetting stream %d: %v", s.id, err)
		}
		w.reset = true
	}
	a.r.progress++
}

func (s *spinStream) onWriteError(err error) {
	w, a := s.w, s.app
	if a.conn.Err() != nil {
		return
	}
	var stopped *quic.StreamError
	o := s.other()
	if !errors.As(err, &stopped) || !stopped.Remote || stopped.StreamID != s.id || o == nil || o.r == nil || !o.r.stopped ||
		stopped.Code != o.r.Code || w.finished || w.reset {
		a.fail("error", "StreamSend of stream %d: %v", s.id, err)
		return
	}
	w.stopped = true
	a.r.progress++
}

// onWritable answers EventWritable.
func (s *spinStream) onWritable() {
	w := s.w
	if w.over() || w.left {
		if !w.Silent {
			s.decline()
		}
		return
	}
	if w.busy {
		return
	}
	if w.Pause == 0 || s.app.r.healed {
		s.write()
		return
	}
	w.busy = true
	s.app.after(w.Pause, func() {
		w.busy = false
		s.write()
	})
}

// decline gives room back that the stream does not want, as StreamSend's documentation says.
func (s *spinStream) decline() {
	w := s.w
	_, err := s.app.conn.StreamSend(s.id, nil, false)
	switch {
	case err == nil && !w.over():
	case err == nil:
		s.app.fail("error", "StreamSend of stream %d, which has ended, succeeds", s.id)
	case errors.Is(err, quic.ErrStreamEnded) && w.finished, errors.Is(err, quic.ErrUnknownStream) && w.over():
	case w.reset || w.finished: // a StreamError, ours or the peer's
	default:
		s.onWriteError(err)
	}
}

// onReadable answers EventReadable.
func (s *spinStream) onReadable() {
	r, a := s.r, s.app
	if r.How == Never && !a.r.healed || r.over() || r.busy {
		return
	}
	if r.How == Slow && !a.r.healed {
		r.busy = true
		a.after(r.Pause, func() {
			r.busy = false
			if s.readSome(false) {
				s.onReadable()
			}
		})
		return
	}
	for s.readSome(r.How == Taking) {
	}
}

// readSome reads once and tells whether there may be more.
func (s *spinStream) readSome(take bool) bool {
	r, a := s.r, s.app
	if r.over() {
		return false
	}
	if take {
		if n := s.takeSome(); n != 0 {
			return n > 0
		}
	}
	buf := a.scratch[:min(r.Chunk, cap(a.scratch))]
	n, fin, err := a.conn.StreamRecv(s.id, buf)
	if err != nil {
		s.onReadError(err)
		return false
	}
	s.check(buf[:n], fin)
	r.told, r.some = false, n == len(buf)
	return !r.over() && n > 0 && (n == len(buf) || a.r.chanceOf(2))
}

// takeSome reads whole pieces. It returns how many, -1 if reading is over.
func (s *spinStream) takeSome() int {
	var pieces [3]quic.Piece
	a := s.app
	n, fin, err := a.conn.StreamTake(s.id, pieces[:])
	if err != nil {
		s.onReadError(err)
		return -1
	}
	for i := range n {
		s.check(pieces[i].Bytes(), fin && i == n-1)
	}
	if n == 0 && fin {
		s.check(nil, true)
	}
	a.conn.StreamGive(pieces[:n])
	s.r.told, s.r.some = false, true
	if fin || s.r.over() {
		return -1
	}
	return n
}

func (s *spinStream) check(p []byte, fin bool) {
	r, a := s.r, s.app
	if !spinContent.matches(p, contentOf(s.id, 1-a.side)+r.read) {
		a.fail("data", "stream %d: what was read from byte %d on is not what was written", s.id, r.read)
		return
	}
	r.read += len(p)
	if len(p) > 0 || fin {
		a.r.progress++
	}
	o := s.other()
	if o == nil || o.w == nil || r.read > o.w.written {
		a.fail("data", "stream %d: %d bytes were read, more than were written", s.id, r.read)
		return
	}
	if fin {
		r.end = true
		if !o.w.finished || o.w.written != r.read {
			a.fail("data", "stream %d: it ended after %d bytes of %d, finished %v", s.id, r.read, o.w.written, o.w.finished)
		}
		return
	}
	if r.Stop > 0 && r.read >= r.Stop {
		s.stop()
	}
}

func (s *spinStream) onReadError(err error) {
	a := s.app
	if a.conn.Err() != nil {
		return
	}
	var reset *quic.StreamError
	o := s.other()
	if !errors.As(err, &reset) || !reset.Remote || reset.StreamID != s.id || o == nil || o.w == nil || !o.w.reset ||
		o.w.Code != reset.Code {
		a.fail("error", "reading stream %d: %v", s.id, err)
	}
	s.r.reset = true
	a.r.progress++
}

// stop asks the writer to stop.
func (s *spinStream) stop() {
	r := s.r
	if r.over() {
		return
	}
	if err := s.app.conn.StreamShutdown(s.id, quic.ReadDirection, r.Code); err != nil && s.app.conn.Err() == nil {
		s.app.fail("error", "stopping stream %d: %v", s.id, err)
	}
	r.stopped = true
	s.app.r.progress++
}
