package main

// #include "quiche_internal.h"
import "C"

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

// readFailed returns what reading from a stream fails with. That nothing comes any more is no error in quiche as long as the stream is there: of a part that
// the program has read to its end, or ended itself.
func (q *quicheConn) readFailed(id uint64, err error, code *C.uint64_t) error {
	var e *quic.StreamError
	switch {
	case errors.Is(err, quic.ErrUnknownStream):
		if _, gone := q.core.StreamRoom(id); !errors.Is(gone, quic.ErrUnknownStream) && !errors.Is(gone, quic.ErrStreamDirection) {
			return quicheDone
		}
		return err
	case !errors.As(err, &e):
		return err
	case !e.Remote:
		return quicheDone
	}
	*code = C.uint64_t(e.Code)
	return &quicheFault{quicheReset, err}
}

// writeFailed returns what writing to a stream fails with. forgotten is for a stream that is over, or that the peer has stopped and of which that was told.
func (q *quicheConn) writeFailed(id uint64, err error, code *C.uint64_t, forgotten error) error {
	var e *quic.StreamError
	switch {
	case errors.Is(err, quic.ErrUnknownStream):
		if q.wasOpened(id) {
			return forgotten
		}
	case !errors.As(err, &e):
		return err
	case !e.Remote:
		return &quicheFault{quicheFinalSize, err}
	case !q.tellStopped(id):
		return forgotten
	default:
		*code = C.uint64_t(e.Code)
		return &quicheFault{quicheStopped, err}
	}
	return err
}

// tellStopped tells whether the program is still to be told that the peer has stopped a stream: at each call, until nothing more is to be read of it.
func (q *quicheConn) tellStopped(id uint64) bool {
	_, tells := q.stopped[id]
	if q.core.StreamFinished(id) {
		delete(q.stopped, id)
	}
	return tells
}

// wasOpened tells of a stream that the core does not know whether there was one of that ID. One of ours would have been opened by being written to.
func (q *quicheConn) wasOpened(id uint64) bool { return q.isOwn(id) || id>>2 < q.opened[id>>1&1] }

// over returns what a stream call fails with where the connection has failed: nothing comes any more, and nothing can be sent.
func (q *quicheConn) over(err error, what quicheError) error {
	if end := q.core.Err(); end == nil || !errors.Is(err, end) {
		return err
	}
	if what == quicheDone {
		return what
	}
	return &quicheFault{what, err}
}

// isOwn tells whether a stream is one that we open.
func (q *quicheConn) isOwn(id uint64) bool { return id&1 == 0 == q.core.IsClient() }

//export bq_go_quiche_stream_recv
func bq_go_quiche_stream_recv(h, id C.uint64_t, out *C.uint8_t, n C.size_t, fin *C.bool, code *C.uint64_t) C.int64_t {
	return onStreams(h, func(q *quicheConn) (int64, error) {
		q.hideOne(uint64(id))
		if len(q.unshown) > 0 && q.unshown[0] == uint64(id) {
			q.showStreams(q.unshown[1:])
		}
		got, end, err := q.core.StreamRecv(uint64(id), memory(out, n))
		switch {
		case err != nil:
			return 0, q.over(q.readFailed(uint64(id), err, code), quicheDone)
		case got == 0 && !end:
			return 0, quicheDone
		}
		*fin = C.bool(end)
		return int64(got), nil
	})
}

//export bq_go_quiche_stream_send
func bq_go_quiche_stream_send(h, id C.uint64_t, buf *C.uint8_t, n C.size_t, fin C.bool, code *C.uint64_t) C.int64_t {
	return onStreams(h, func(q *quicheConn) (int64, error) {
		opens := q.c.ahead != nil && q.c.ahead.opens == id
		q.hideOne(uint64(id))
		took, err := q.core.StreamSend(uint64(id), memory(buf, n), bool(fin))
		if q.isOwn(uint64(id)) { // it may be new
			q.settleStreamsLeft()
			if err == nil {
				q.noteOpened(uint64(id))
				if opens {
					q.showOpens()
				}
			}
		}
		switch {
		case err != nil:
			err = q.over(q.writeFailed(uint64(id), err, code, quicheDone), quicheState)
			if n == 0 && bool(fin) && quicheCode(err) == quicheFinalSize { // it has an end, which is no other
				err = nil
			}
			return 0, err
		case took < int(n):
			q.edges[1].again(uint64(id))
		}
		if took == 0 && n > 0 {
			return 0, quicheDone
		}
		return int64(took), nil
	})
}

//export bq_go_quiche_stream_priority
func bq_go_quiche_stream_priority(h, id C.uint64_t, urgency C.uint8_t, incremental C.bool) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		p := quic.Priority{Urgency: uint8(min(max(urgency, 124), 131) - 124), Incremental: bool(incremental)}
		err := q.core.SetStreamPriority(uint64(id), p)
		if q.isOwn(uint64(id)) && errors.Is(err, quic.ErrUnknownStream) {
			if err = q.core.OpenStreamID(uint64(id)); err == nil {
				q.noteOpened(uint64(id))
				err = q.core.SetStreamPriority(uint64(id), p)
			}
		}
		if (errors.Is(err, quic.ErrUnknownStream) || errors.Is(err, quic.ErrStreamDirection)) && q.wasOpened(uint64(id)) {
			err = nil // nothing of it is to be put in an order
		}
		return 0, q.over(err, quicheState)
	})
}

//export bq_go_quiche_stream_shutdown
func bq_go_quiche_stream_shutdown(h, id C.uint64_t, direction C.int, code C.uint64_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		if direction != C.QUICHE_SHUTDOWN_READ && direction != C.QUICHE_SHUTDOWN_WRITE {
			return 0, quichefault(quicheState, "direction is %d, and must be QUICHE_SHUTDOWN_READ or QUICHE_SHUTDOWN_WRITE", direction)
		}
		part := quic.ReadDirection
		if direction == C.QUICHE_SHUTDOWN_WRITE {
			part = quic.WriteDirection
		}
		if own := id&1 == 0 == q.core.IsClient(); id&2 != 0 && own == (part == quic.ReadDirection) {
			return 0, &quicheFault{quicheStreamState, quic.ErrStreamDirection}
		}
		switch err := q.endPart(uint64(id), part, uint64(code)); {
		case errors.Is(err, quic.ErrUnknownStream): // which is no error in quiche, for it may have been a stream
			return 0, quicheDone
		case err != nil:
			return 0, q.over(err, quicheStreamState)
		case q.shut[uint64(id)]&part != 0:
			return 0, quicheDone
		case q.shut == nil:
			q.shut = map[uint64]quic.Direction{}
		}
		q.shut[uint64(id)] |= part
		return 0, nil
	})
}

// endPart ends a part of a stream before its time, by HTTP/3 if that knows the stream: it has nothing to tell of that part any more.
func (q *quicheConn) endPart(id uint64, part quic.Direction, code uint64) error {
	if q.h3 != nil {
		q.c.h3_news = true
		if err := q.h3.conn.StreamShutdown(id, part, h3.ErrorCode(code)); !errors.Is(err, h3.ErrUnknownStream) {
			return err
		}
	}
	return q.core.StreamShutdown(id, part, code)
}

// capacity returns how much may be written on a stream such that it can leave: by the peer's flow control, congestion control, and what waits.
func (q *quicheConn) capacity(id uint64) (int, error) {
	_, err := q.core.StreamRoom(id)
	if err == nil {
		return min(q.core.StreamCredit(id), q.core.SendCapacity()), nil
	}
	if errors.Is(err, quic.ErrStreamDirection) && q.wasOpened(id) && !q.core.StreamFinished(id) {
		return 0, nil
	}
	var code C.uint64_t
	switch err = q.writeFailed(id, err, &code, &quicheFault{quicheStreamState, err}); quicheCode(err) {
	case quicheFinalSize:
		return 0, nil
	case quicheStopped:
		q.core.StreamSend(id, nil, false) // it is told, so that the core can forget it
		q.c.stale = true
	}
	return 0, q.over(err, quicheState)
}

//export bq_go_quiche_stream_capacity
func bq_go_quiche_stream_capacity(h, id C.uint64_t) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		n, err := q.capacity(uint64(id))
		return int64(n), err
	})
}

//export bq_go_quiche_stream_writable
func bq_go_quiche_stream_writable(h, id C.uint64_t, n C.size_t) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		capacity, err := q.capacity(uint64(id))
		if err != nil {
			return 0, err
		}
		if uint64(capacity) >= uint64(n) {
			delete(q.marks, uint64(id))
			return 1, nil
		}
		if q.marks == nil {
			q.marks = map[uint64]uint64{}
		}
		q.marks[uint64(id)] = uint64(n)
		q.edges[1].again(uint64(id))
		return 0, nil
	})
}

//export bq_go_quiche_stream_state
func bq_go_quiche_stream_state(h, id C.uint64_t, finished C.bool) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		is := q.core.StreamReadable(uint64(id))
		if finished {
			is = q.finished(uint64(id))
		}
		return yes(is), nil
	})
}

// finished tells whether no bytes of a stream are to come any more, though its end may not have been read. One that only we send on never is, in quiche, as
// long as it is there.
func (q *quicheConn) finished(id uint64) bool {
	if id&2 != 0 && q.isOwn(id) {
		_, err := q.core.StreamRoom(id)
		return errors.Is(err, quic.ErrUnknownStream)
	}
	return q.core.StreamFinished(id) || q.core.StreamReadable(id) && q.core.StreamBytesReadable(id) == 0
}

func yes(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

//export bq_go_quiche_is_readable
func bq_go_quiche_is_readable(h C.uint64_t) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		for range q.core.Readable() {
			return 1, nil
		}
		return yes(q.core.DatagramsReadable() > 0), nil
	})
}

// streams yields the streams that are readable, or writable: these are, before others, those that the peer has stopped, as long as that is to be
// told (tellStopped).
func (q *quicheConn) streams(writable bool) iter.Seq[uint64] {
	if !writable {
		return q.core.Readable()
	}
	return func(yield func(uint64) bool) {
		for _, id := range slices.Sorted(maps.Keys(q.stopped)) {
			if !yield(id) {
				return
			}
		}
		all := q.core.SendCapacity()
		if all == 0 {
			return
		}
		for id := range q.core.Writable() {
			if uint64(min(all, q.core.StreamCredit(id))) >= max(q.marks[id], 1) && !yield(id) {
				return
			}
		}
	}
}

//export bq_go_quiche_streams
func bq_go_quiche_streams(h C.uint64_t, writable C.bool) (it *C.quiche_stream_iter) {
	lookQuiche(h, func(q *quicheConn) (int64, error) {
		var ids []uint64
		for id := range q.streams(bool(writable)) {
			ids = append(ids, id)
		}
		it = (*C.quiche_stream_iter)(C.malloc(C.size_t(unsafe.Sizeof(C.quiche_stream_iter{})) + C.size_t(8*len(ids))))
		it.at, it.count = 0, C.size_t(len(ids))
		copy(unsafe.Slice((*uint64)(unsafe.Add(unsafe.Pointer(it), unsafe.Sizeof(*it))), len(ids)), ids)
		if !bool(writable) {
			q.show(ids)
		}
		return 0, nil
	})
	return it
}

//export bq_go_quiche_next
func bq_go_quiche_next(h C.uint64_t, writable C.bool) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		told := &q.edges[yes(bool(writable))]
		for id := range q.streams(bool(writable)) {
			if told.tell(id) {
				return int64(id), nil
			}
		}
		return 0, quicheDone
	})
}

// quicheEdges are the streams that readable_next, or writable_next, has told of, and that had no reason to be told again since.
type quicheEdges struct{ told map[uint64]struct{} }

func (e *quicheEdges) tell(id uint64) bool {
	if _, found := e.told[id]; found {
		return false
	}
	if e.told == nil {
		e.told = map[uint64]struct{}{}
	}
	e.told[id] = struct{}{}
	return true
}

func (e *quicheEdges) again(id uint64) { delete(e.told, id) }

// onStreamEvent keeps what functions of quiche.h tell of streams.
func (q *quicheConn) onStreamEvent(ev *quic.Event) {
	switch ev.Kind {
	case quic.EventStreamOpened:
		q.opened[ev.Stream>>1&1] = ev.Stream>>2 + 1
	case quic.EventReadable:
		q.edges[0].again(ev.Stream)
	case quic.EventWritable:
		q.edges[1].again(ev.Stream)
	case quic.EventEarlyData:
		if !ev.Accepted {
			q.nextStream = noStream // they begin anew, or do not
		}
	case quic.EventStreamReset:
		if q.resets == nil {
			q.resets = map[uint64]struct{}{}
		}
		q.resets[ev.Stream] = struct{}{}
	case quic.EventStreamStopped:
		if q.stopped == nil {
			q.stopped = map[uint64]struct{}{}
		}
		q.stopped[ev.Stream] = struct{}{}
		q.edges[1].again(ev.Stream)
	case quic.EventStreamFinished:
		delete(q.stopped, ev.Stream)
		delete(q.shut, ev.Stream)
		delete(q.marks, ev.Stream)
		delete(q.resets, ev.Stream)
		q.edges[0].again(ev.Stream)
		q.edges[1].again(ev.Stream)
	}
}

// boundDatagrams drops the oldest of the datagrams that came, beyond what the config's queue holds.
func (q *quicheConn) boundDatagrams() {
	for q.core.DatagramsReadable() > q.made.recvQueue {
		q.core.DatagramRecv(nil)
	}
}

//export bq_go_quiche_dgram
func bq_go_quiche_dgram(h C.uint64_t, what C.int) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		q.boundDatagrams()
		queued, bytes := q.core.DatagramsQueued()
		switch what {
		case C.BQ_DGRAM_WRITABLE_LEN:
			if n := q.core.MaxDatagramSize(); n > 0 {
				return int64(n), nil
			}
			return 0, quicheDone
		case C.BQ_DGRAM_FRONT_LEN:
			if b, ok := q.core.DatagramPeek(); ok {
				return int64(len(b)), nil
			}
			return 0, quicheDone
		case C.BQ_DGRAM_RECV_LEN:
			return int64(q.core.DatagramsReadable()), nil
		case C.BQ_DGRAM_RECV_BYTES:
			return int64(q.core.DatagramBytesReadable()), nil
		case C.BQ_DGRAM_SEND_LEN:
			return int64(queued), nil
		case C.BQ_DGRAM_SEND_BYTES:
			return int64(bytes), nil
		case C.BQ_DGRAM_RECV_FULL:
			return yes(q.core.DatagramsReadable() >= q.made.recvQueue), nil
		}
		return yes(queued >= q.made.sendQueue), nil
	})
}

//export bq_go_quiche_dgram_recv
func bq_go_quiche_dgram_recv(h C.uint64_t, buf *C.uint8_t, n C.size_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		q.boundDatagrams()
		front, found := q.core.DatagramPeek()
		switch {
		case !found:
			return 0, quicheDone
		case len(front) > int(n):
			return 0, quichefault(quicheShort, "the datagram has %d bytes, and buf_len is %d", len(front), n)
		}
		got, _ := q.core.DatagramRecv(memory(buf, n))
		return int64(got), nil
	})
}

//export bq_go_quiche_dgram_send
func bq_go_quiche_dgram_send(h C.uint64_t, buf *C.uint8_t, n C.size_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		if queued, _ := q.core.DatagramsQueued(); q.core.MaxDatagramSize() > 0 && queued >= q.made.sendQueue {
			return 0, quicheDone
		}
		return int64(n), q.over(q.core.DatagramSend(memory(buf, n)), quicheState)
	})
}

//export bq_go_quiche_dgram_purge
func bq_go_quiche_dgram_purge(h C.uint64_t, f C.uintptr_t) {
	onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		q.core.DatagramPurge(func(b []byte) bool {
			p := (*C.uint8_t)(C.CBytes(b)) // so that it can be changed
			defer C.free(unsafe.Pointer(p))
			return bool(C.bq_call_purge(f, p, C.size_t(len(b))))
		})
		return 0, nil
	})
}
