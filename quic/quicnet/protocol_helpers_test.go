package quicnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// frames is a Protocol of the tests. Each message on a stream is in frames: two bytes of length and so many of payload; the end
// of the stream is the end of the message. The first frame that a client sends on a stream is its head, a word that says what to do:
//
//	echo	what follows comes back, by a goroutine for the stream
//	now	"then" is the answer, in the turn in which the head came
//	later	"then" is the answer, after frames.delay
//	keep	all that follows is taken from the core at once, and is for a reader when it comes
//	bad	the stream is refused with code 7
//	quit	the connection is closed with code 9
//	raw	the stream is taken over
type frames struct {
	n *framesNotes

	streams map[uint64]*framesStream
	later   []later
	drain   bool
	kinds   []quic.EventKind // that came, each once in a row
	events  int              // since AfterEvents was called
	batches []int            // events before each call of AfterEvents
	closed  atomic.Bool
	drained atomic.Int32
}

// framesNotes are what the Protocols of one side share.
type framesNotes struct {
	delay     time.Duration
	serve     func(*Stream) // echo, keep and raw; nil: it echoes
	asked     atomic.Int32  // how often a connection asked for its Protocol
	noEnd     bool          // keep: the end is not told
	timeouts  atomic.Int32
	onTimeout func()
	all       sync.Map // *Conn: *frames
}

type later struct {
	at time.Time
	id uint64
}

// framesStream is one stream.
type framesStream struct {
	f       *frames
	id      uint64
	stream  *Stream
	head    []byte // as far as it has come
	started bool   // the head is complete
	left    int    // of the frame that is being read
	length  []byte // the first byte of a length, while there is only that
	pending []byte // a frame, as far as the core has not taken it
	end     bool   // goes after pending
	fin     bool   // the end has come
	kept    []byte // keep
	keptFin bool
	raw     bool
}

func (n *framesNotes) open(t *Turn) Protocol {
	n.asked.Add(1)
	f := &frames{n: n, streams: make(map[uint64]*framesStream)}
	n.all.Store(t.Conn, f)
	return f
}

// Serve is a framesStream as a Task.
func (st *framesStream) Serve() {
	if serve := st.f.n.serve; serve != nil {
		serve(st.stream)
		return
	}
	if _, err := io.Copy(st.stream, st.stream); err != nil {
		st.stream.Abort(1)
		return
	}
	st.stream.Close()
}

// AfterEvents notes how many events have come together.
func (f *frames) AfterEvents(t *Turn) (woke bool) {
	f.batches = append(f.batches, f.events)
	f.events = 0
	return false
}

func (f *frames) HandleEvent(t *Turn, ev *quic.Event) (woke bool) {
	f.events++
	if len(f.kinds) == 0 || f.kinds[len(f.kinds)-1] != ev.Kind {
		f.kinds = append(f.kinds, ev.Kind)
	}
	st := f.streams[ev.Stream]
	switch ev.Kind {
	case quic.EventStreamOpened:
		f.streams[ev.Stream] = &framesStream{f: f, id: ev.Stream}
	case quic.EventReadable:
		if st != nil && !st.raw {
			f.readable(t, st)
		}
	case quic.EventWritable:
		if st != nil && !st.raw {
			if err := f.push(t, st); (err != nil || len(st.pending) == 0) && st.stream != nil {
				t.WakeWrite(st.stream)
			}
		}
	case quic.EventStreamFinished:
		if st != nil && f.word(st) != "keep" {
			delete(f.streams, ev.Stream)
		}
		f.settle(t)
	case quic.EventEarlyData:
		if t.Conn.client && !ev.Accepted && !ev.Resent {
			clear(f.streams)
		}
	case quic.EventClosed:
		f.closed.Store(true)
	case quic.EventDrained:
		f.drained.Add(1)
	}
	return false
}

// readable reads a head, or has a reader look.
func (f *frames) readable(t *Turn, st *framesStream) {
	for !st.started {
		var b [2]byte
		if len(st.head) < 2 {
			n, fin, err := t.Core.StreamRecv(st.id, b[:2-len(st.head)])
			if st.head = append(st.head, b[:n]...); n == 0 {
				if fin || err != nil {
					t.Core.StreamShutdown(st.id, quic.WriteDirection, 8)
				}
				return
			}
			continue
		}
		want := 2 + int(binary.BigEndian.Uint16(st.head))
		if len(st.head) == want {
			st.started = true
			break
		}
		n, fin, _ := t.Core.StreamRecv(st.id, b[:min(2, want-len(st.head))])
		if st.fin = fin; n == 0 {
			return
		}
		st.head = append(st.head, b[:n]...)
		if len(st.head) == want {
			st.started = true
			f.begin(t, st)
		}
	}
	if st.keptFin || f.word(st) == "keep" {
		f.keep(t, st)
	}
	if st.stream != nil {
		t.WakeRead(st.stream)
	}
}

func (f *frames) word(st *framesStream) string { return string(st.head[min(2, len(st.head)):]) }

// begin acts on a head.
func (f *frames) begin(t *Turn, st *framesStream) {
	switch f.word(st) {
	case "now":
		f.answer(t, st.id)
	case "later":
		f.later = append(f.later, later{t.Now.Add(f.n.delay), st.id})
	case "bad":
		t.Core.StreamShutdown(st.id, quic.ReadDirection|quic.WriteDirection, 7)
	case "quit":
		t.Core.Close(t.Now, true, 9, "asked to")
	case "raw":
		st.raw = true
		st.stream = t.RawStream(st.id)
		t.Go(st)
	default:
		st.stream = t.Stream(st.id)
		t.Go(st)
	}
}

// keep takes all that there is from the core.
func (f *frames) keep(t *Turn, st *framesStream) {
	for !st.keptFin {
		b := make([]byte, 100)
		n, fin, err := f.payload(t, st, b)
		st.kept = append(st.kept, b[:n]...)
		if st.keptFin = fin; n == 0 || err != nil {
			return
		}
	}
}

func (f *frames) answer(t *Turn, id uint64) {
	if n, err := t.Core.StreamSend(id, []byte("\x00\x04then"), true); n != 6 || err != nil {
		t.Core.StreamShutdown(id, quic.WriteDirection, 6) // there was no room
	}
	t.Core.StreamShutdown(id, quic.ReadDirection, 0)
}

func (f *frames) Timeout() time.Time {
	var at time.Time
	for _, l := range f.later {
		if at.IsZero() || l.at.Before(at) {
			at = l.at
		}
	}
	return at
}

func (f *frames) OnTimeout(t *Turn) (woke bool) {
	f.n.timeouts.Add(1)
	if f.n.onTimeout != nil {
		f.n.onTimeout()
	}
	f.later = slices.DeleteFunc(f.later, func(l later) bool {
		if l.at.After(t.Now) {
			return false
		}
		f.answer(t, l.id)
		return true
	})
	return false
}

var errNoStream = errors.New("frames: no such stream")

func (f *frames) StreamRecv(t *Turn, id uint64, p []byte) (n int, fin bool, err error) {
	st := f.streams[id]
	switch {
	case st == nil:
		return 0, false, errNoStream
	case f.word(st) == "keep":
		n = copy(p, st.kept)
		if st.kept = st.kept[n:]; len(st.kept) == 0 && st.keptFin && !f.n.noEnd {
			return n, true, nil
		}
		return n, false, nil
	}
	return f.payload(t, st, p)
}

// payload reads what is in frames.
func (f *frames) payload(t *Turn, st *framesStream, p []byte) (n int, fin bool, err error) {
	for n < len(p) {
		if st.fin {
			return n, true, nil
		}
		if st.left > 0 {
			m, fin, err := t.Core.StreamRecv(st.id, p[n:min(len(p), n+st.left)])
			n, st.left, st.fin = n+m, st.left-m, fin
			if m == 0 || err != nil {
				return n, false, err
			}
			continue
		}
		var b [2]byte
		m, fin, err := t.Core.StreamRecv(st.id, b[:2-len(st.length)])
		st.length = append(st.length, b[:m]...)
		if len(st.length) == 2 {
			st.left = int(binary.BigEndian.Uint16(st.length))
			st.length = st.length[:0]
		}
		if fin || err != nil || m == 0 {
			return n, fin, err
		}
	}
	return n, st.fin, nil
}

func (f *frames) StreamSend(t *Turn, id uint64, p []byte, fin bool) (n int, err error) {
	st := f.streams[id]
	if st == nil {
		return 0, errNoStream
	}
	if err := f.push(t, st); err != nil || len(st.pending) > 0 {
		return 0, err
	}
	if n = min(len(p), 1000); n > 0 {
		st.pending = append(binary.BigEndian.AppendUint16(nil, uint16(n)), p[:n]...)
	}
	st.end = fin && n == len(p)
	return n, f.push(t, st)
}

func (f *frames) push(t *Turn, st *framesStream) error {
	if len(st.pending) == 0 && !st.end {
		return nil
	}
	n, err := t.Core.StreamSend(st.id, st.pending, st.end)
	if st.pending = st.pending[n:]; err == nil && len(st.pending) == 0 {
		st.end = false
	}
	return err
}

func (f *frames) StreamShutdown(t *Turn, id uint64, dir quic.Direction, code uint64) error {
	return t.Core.StreamShutdown(id, dir, code)
}

func (f *frames) CloseCode() uint64 { return 5 }

func (f *frames) Drain(t *Turn) bool {
	f.drain = true
	f.settle(t)
	return false
}

// settle closes a connection that is asked to end when it has no streams.
func (f *frames) settle(t *Turn) {
	if f.drain && len(f.streams) == 0 {
		t.Core.Close(t.Now, true, 4, "good-bye")
	}
}

// ask opens a stream with a head, and body and the end after it if final.
func ask(c *Conn, head string) (s *Stream, err error) {
	c.Do(func(t *Turn) {
		f, ok := c.seat.protocol.(*frames)
		if !ok {
			f = c.seat.protocol.(*keeper).frames
		}
		var id uint64
		if id, err = t.Core.OpenStream(); err != nil {
			return
		}
		st := &framesStream{f: f, id: id, started: true}
		f.streams[id] = st
		st.pending = append(binary.BigEndian.AppendUint16(nil, uint16(len(head))), head...)
		if err = f.push(t, st); err == nil {
			st.stream = t.Stream(id)
			s = st.stream
		}
	})
	return s, err
}

// askAndRead is a request with no more than its head.
func askAndRead(c *Conn, head string) (string, error) {
	s, err := ask(c, head)
	if err != nil {
		return "", err
	}
	defer s.Finish()
	b, err := io.ReadAll(s)
	return string(b), err
}

// askEcho has want come back.
func askEcho(c *Conn, head string, want []byte) error {
	s, err := ask(c, head)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := s.WriteFinal(want)
		sent <- err
	}()
	got, err := io.ReadAll(s)
	if err := <-sent; err != nil {
		return err
	}
	if err == nil && string(got) != string(want) {
		err = fmt.Errorf("%d bytes came back that are not the %d sent", len(got), len(want))
	}
	return err
}

// framesPair is a connection with frames on both sides, over a network in memory.
func framesPair(t *testing.T, sn, cn *framesNotes, server, client *quic.Config) (sep, cep *Endpoint, s, c *Conn) {
	t.Helper()
	var n memNet
	sep = overWith(t, ListenConfig{Protocol: sn.open}, n.open("192.0.2.1:443"), server)
	cep = over(t, n.open("192.0.2.2:50000"), nil)
	client.TLS.ServerName = "localhost"
	c, err := Dialer{Endpoint: cep, Protocol: cn.open}.Dial(context.Background(), "192.0.2.1:443", client)
	if err != nil {
		t.Fatal(err)
	}
	if err := askEcho(c, "echo", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	return sep, cep, sn.conn(), c
}

// conn returns a connection of this side.
func (n *framesNotes) conn() (c *Conn) {
	n.all.Range(func(k, _ any) bool {
		c = k.(*Conn)
		return false
	})
	return c
}

func (n *framesNotes) of(c *Conn) *frames {
	f, _ := n.all.Load(c)
	return f.(*frames)
}
