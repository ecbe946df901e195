package sim

import (
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// Datagram is a UDP datagram on its way.
type Datagram struct {
	Data     []byte // not shared: stages may change it
	From, To netip.AddrPort
	ECN      quic.ECN
	Sent     time.Duration // when it went onto its link, since the epoch
}

// Stage is one thing that a link does to datagrams. It calls next for what goes on, then or later. Stages hold state:
// each belongs to one link.
type Stage func(w *World, d Datagram, next func(Datagram))

// Link carries datagrams in one direction.
type Link struct {
	// Sent, Delivered and Bytes count the datagrams that went in, those that came out, and the bytes that went in.
	Sent, Delivered, Bytes int

	world   *World
	deliver func(Datagram) // the first stage, which leads to the last and to the receiver
	trace   *Trace
	name    string
}

// NewLink returns a link that leads through stages, in their order, to receive. It notes every datagram in trace, under
// name; trace may be nil.
func NewLink(w *World, trace *Trace, name string, stages []Stage, receive func(Datagram)) *Link {
	l := &Link{world: w, trace: trace, name: name}
	l.deliver = func(d Datagram) {
		l.Delivered++
		trace.note(w, name, "delivered", len(d.Data))
		receive(d)
	}
	for i := len(stages) - 1; i >= 0; i-- {
		stage, next := stages[i], l.deliver
		l.deliver = func(d Datagram) { stage(w, d, next) }
	}
	return l
}

// Send puts a datagram on the link, which owns its data from then on.
func (l *Link) Send(d Datagram) {
	l.Sent++
	d.Sent = l.world.Elapsed()
	l.Bytes += len(d.Data)
	l.trace.note(l.world, l.name, "sent", len(d.Data))
	l.deliver(d)
}

// Trace is what happened on links, in order.
type Trace struct{ Entries []TraceEntry }

// TraceEntry is one datagram's entering or leaving a link.
type TraceEntry struct {
	At   time.Duration // since the epoch
	Link string
	What string // "sent" or "delivered"
	Len  int    // bytes
}

func (t *Trace) note(w *World, link, what string, n int) {
	if t == nil {
		return
	}
	t.Entries = append(t.Entries, TraceEntry{At: w.Elapsed(), Link: link, What: what, Len: n})
}
