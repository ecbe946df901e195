package qlog

import (
	"io"
	"time"
)

// Bounds of what a trace takes.
const (
	// DefaultMaxSize is how large a file gets unless Header.MaxSize says otherwise, in bytes.
	DefaultMaxSize = 256 << 20

	// MaxText is how much of a text of the peer's is written, in bytes: a reason phrase, a protocol.
	MaxText = 1024

	// MaxFrames is how many frames of one packet are written, and MaxRanges how many ranges of one ACK frame.
	MaxFrames = 256
	MaxRanges = 256

	// flushSize is how many bytes wait to be written, and flushAfter for how long, if anything else happens.
	flushSize  = 16 << 10
	flushAfter = 100 * time.Millisecond
)

// Header is what stands at the front of a trace.
type Header struct {
	Title, Description string
	Client             bool      // whose trace it is: a client's or a server's
	GroupID            []byte    // the Destination Connection ID of the client's first packet, by which the traces of both sides find each other
	Start              time.Time // what the times of events begin at
	MaxSize            int64     // bytes; 0: DefaultMaxSize
}

// Trace writes the events of one connection. It is not for concurrent use.
//
// An error of the writer ends the trace: later events are dropped, and Err and Close return it. No event fails.
type Trace struct {
	w       io.WriteCloser
	e       encoder
	size    int64 // bytes written, and that wait
	most    int64
	now     time.Duration // of the last event
	flushed time.Duration // when what waits began to wait
	full    bool          // MaxSize is reached
	closed  bool
	err     error
}

// New begins a trace. w belongs to it, and is closed with it. Nothing is written before some has come together.
func New(w io.WriteCloser, h Header) *Trace {
	t := &Trace{w: w, most: h.MaxSize}
	if t.most <= 0 {
		t.most = DefaultMaxSize
	}
	e := &t.e
	e.record()
	e.text("file_schema", "urn:ietf:params:qlog:file:sequential")
	e.text("serialization_format", "application/qlog+json-seq")
	e.optional("title", h.Title)
	e.optional("description", h.Description)
	e.open("trace")
	e.open("common_fields")
	if len(h.GroupID) > 0 {
		e.hex("group_id", h.GroupID)
	}
	e.text("time_format", "relative_to_epoch")
	e.open("reference_time")
	e.text("clock_type", "monotonic")
	e.text("epoch", "unknown")
	if !h.Start.IsZero() {
		e.text("wall_clock_time", h.Start.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	e.close()
	e.close()
	e.open("vantage_point")
	side := "server"
	if h.Client {
		side = "client"
	}
	e.text("type", side)
	e.close()
	e.list("event_schemas")
	e.item("urn:ietf:params:qlog:events:quic")
	e.item("urn:ietf:params:qlog:events:loglevel")
	e.endList()
	e.close()
	e.end()
	t.size = int64(len(e.b))
	return t
}

// Event is something that happened: one of the types of this package.
type Event interface {
	name() string
	fields(e *encoder)
}

// Event writes an event that happened at that time since Header.Start; one that comes with an earlier time than the one before it is given that one's.
// ev is not kept.
func (t *Trace) Event(at time.Duration, ev Event) {
	if t.closed || t.full || t.err != nil {
		return
	}
	t.now = max(t.now, at)
	if len(t.e.b) == 0 {
		t.flushed = t.now
	}
	before := len(t.e.b)
	t.write(ev)
	if n := int64(len(t.e.b) - before); t.size+n+lastRecord > t.most {
		t.e.b = t.e.b[:before]
		t.full = true
		t.write(&warning{"the trace ends here: it has reached its largest size"})
		t.Flush()
	} else {
		t.size += n
	}
	if len(t.e.b) >= flushSize || t.now-t.flushed >= flushAfter {
		t.Flush()
	}
}

// lastRecord is more than the record takes that says that a file is full, in bytes.
const lastRecord = 200

func (t *Trace) write(ev Event) {
	e := &t.e
	e.record()
	e.ms("time", t.now)
	e.text("name", ev.name())
	e.open("data")
	ev.fields(e)
	e.close()
	e.end()
}

// Flush writes what waits, which also happens by itself: when it is much, or some time has passed at the next event.
func (t *Trace) Flush() {
	if len(t.e.b) > 0 && t.err == nil {
		_, t.err = t.w.Write(t.e.b)
	}
	t.e.b = t.e.b[:0]
	t.flushed = t.now
}

// Rest writes what waits, and lets go of memory that is kept for events to come: for a connection that is idle, of which there may be many.
func (t *Trace) Rest() {
	t.Flush()
	t.e.b = nil
}

// Over tells whether nothing more will be written, for an error or since MaxSize is reached: then the trace may as well be closed.
func (t *Trace) Over() bool { return t.full || t.err != nil }

// Err returns what was wrong with the writer, nil if nothing was.
func (t *Trace) Err() error { return t.err }

// Close writes what waits, and closes the writer. It may be called more than once.
func (t *Trace) Close() error {
	if t.closed {
		return t.err
	}
	t.Flush()
	t.closed = true
	if err := t.w.Close(); t.err == nil {
		t.err = err
	}
	t.e.b = nil
	return t.err
}

// warning is an event of the loglevel schema.
type warning struct{ message string }

func (*warning) name() string        { return "loglevel:warning" }
func (w *warning) fields(e *encoder) { e.text("message", w.message) }
