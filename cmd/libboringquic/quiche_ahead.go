package main

// #include <stdlib.h>
// #include "quiche_internal.h"
import "C"

import (
	"errors"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
)

// noStream is no stream's ID.
const noStream = 1<<64 - 1

// Small messages on many streams are read and written without a call of Go for each. quiche_conn_readable has C be shown what the streams have to be read,
// and how much each takes whatever is written on others. From that C answers quiche_conn_stream_recv and quiche_conn_stream_send as the core would, and
// notes what it has answered. Whatever call enters Go first has the core do it (hear), before datagrams that came meanwhile, so that all happens in the order
// of the program's calls. What C cannot answer for sure is a call of Go as ever.

// show has C be shown what streams have to be read, of which ids are those that have something.
func (q *quicheConn) show(ids []uint64) {
	q.hide()
	if !bool(q.c.gathers) || q.h3 != nil {
		return
	}
	a := q.c.ahead
	if a == nil {
		a = (*C.bq_ahead)(spare(C.BQ_SPARE_AHEAD))
		point(&q.c.ahead, a)
		a.shown, a.written, a.out_len = 0, 0, 0
	}
	q.showOpens()
	q.showStreams(ids)
}

// spare is bq_spare. Where there is no memory, the process ends.
func spare(kind C.int) unsafe.Pointer {
	if p := C.bq_spare(kind); p != nil {
		return p
	}
	return C.malloc(C.sizeof_bq_ahead)
}

// showStreams shows as many streams of ids, in place of those before, as there is room for; the others are shown once the program has come to them.
func (q *quicheConn) showStreams(ids []uint64) {
	a, used := q.c.ahead, 0
	q.unshown = nil
	if a == nil {
		return // C has given the memory back: they are read by calls of Go
	}
	a.last, a.shown = 0, 0
	for i, id := range ids {
		if a.shown == C.BQ_SHOWN || used > C.BQ_SHOWN_BYTES-C.BQ_SHOWN_EACH {
			q.unshown = ids[i:]
			return
		}
		if _, reset := q.resets[id]; !reset && q.showOne(&a.streams[a.shown], id, used) {
			used = int(a.streams[a.shown].end)
			a.shown++
		}
	}
}

// showOpens shows which stream is opened by being written to.
func (q *quicheConn) showOpens() {
	a := q.c.ahead
	a.opens, a.opens_room = q.nextStream, C.uint32_t(q.core.StreamReserve(uint64(q.nextStream)))
}

// showOne shows all that a stream has, whose bytes lie at at, if they are few.
func (q *quicheConn) showOne(s *C.bq_shown, id uint64, at int) bool {
	n := q.core.StreamBytesReadable(id)
	if n > C.BQ_SHOWN_EACH {
		return false
	}
	p, fin, err := q.core.StreamPeek(id)
	if err != nil || len(p) < n { // which lie in two pieces
		return false
	}
	copy(unsafe.Slice((*byte)(&q.c.ahead.in[at]), len(p)), p)
	*s = C.bq_shown{id: C.uint64_t(id), at: C.uint32_t(at), end: C.uint32_t(at + len(p)), fin: C.bool(fin)}
	s.room = C.uint32_t(q.core.StreamReserve(id))
	s.writable = s.room > 0
	return true
}

// hide takes back what C was shown: it may not be true any more.
func (q *quicheConn) hide() {
	if a := q.c.ahead; a != nil {
		a.shown, a.opens = 0, noStream
	}
	q.unshown = nil
}

// hideOne is hide of one stream, which is read or written by Go.
func (q *quicheConn) hideOne(id uint64) {
	if a := q.c.ahead; a != nil {
		for i := range a.streams[:a.shown] {
			if s := &a.streams[i]; uint64(s.id) == id {
				s.over, s.writable = true, false
			}
		}
		if a.opens == C.uint64_t(id) {
			a.opens = noStream
		}
	}
}

// hear has the core do what C has answered.
func (q *quicheConn) hear() {
	if !bool(q.c.owed) {
		return
	}
	q.c.owed = false
	a := q.c.ahead
	var failed error
	for i := range a.streams[:a.shown] {
		if s := &a.streams[i]; s.taken > 0 || bool(s.ends) {
			if _, err := q.core.StreamDiscard(uint64(s.id), int(s.taken)); err != nil {
				failed = err
			}
			s.taken, s.ends = 0, false
		}
	}
	left := unsafe.Slice((*byte)(&a.out[0]), a.out_len)
	for i := range a.writes[:a.written] {
		w := &a.writes[i]
		switch n, err := q.core.StreamSend(uint64(w.id), left[:w.len], bool(w.fin)); {
		case err != nil:
			failed = err
		case n < int(w.len):
			failed = errTaken
		}
		q.noteOpened(uint64(w.id))
		left = left[w.len:]
	}
	a.written, a.out_len = 0, 0
	if failed != nil && q.core.Err() == nil { // the program was told otherwise
		q.core.Fail(moment(0), &quic.TransportError{Code: quic.InternalError, Reason: failed.Error()})
	}
}

// unhear is for a connection that is given up: nobody knows what of it was heard.
func (q *quicheConn) unhear() {
	q.hide()
	q.c.owed = false
	if a := q.c.ahead; a != nil {
		a.written, a.out_len = 0, 0
	}
}

var errTaken = errors.New("a stream has taken less than it was to take")

// noteOpened notes that a stream is open, and those below it.
func (q *quicheConn) noteOpened(id uint64) {
	if id&3 != uint64(q.nextStream&3) || id < uint64(q.nextStream) {
		return
	}
	q.nextStream = C.uint64_t(id) + 4
	if a := q.c.ahead; a != nil && a.opens < q.nextStream { // Go has opened it, or one above
		a.opens = noStream
	}
}
