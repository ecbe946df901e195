package main

// #include "internal.h"
import "C"

import (
	"errors"
	"iter"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
)

//export bq_go_stream_open
func bq_go_stream_open(h C.uint64_t, uni C.int, id *C.uint64_t) C.int32_t {
	return use(h, func(c *conn) error {
		n, err := c.open(uni != 0)
		*id = C.uint64_t(n)
		return err
	})
}

func (c *conn) open(uni bool) (uint64, error) {
	switch {
	case c.settings.http != nil:
		return 0, faultf(errState, "the connection speaks HTTP/3: bquic_h3_request opens its streams")
	case uni:
		return c.core.OpenUniStream()
	}
	return c.core.OpenStream()
}

//export bq_go_stream_op
func bq_go_stream_op(h C.uint64_t, op *C.bquic_op) C.int32_t {
	return use(h, func(c *conn) error { return c.do(op) })
}

//export bq_go_endpoint_ops
func bq_go_endpoint_ops(h C.uint64_t, ops *C.bquic_op, n C.size_t) C.int32_t {
	return C.int32_t(on(handle(h), kindEndpoint, func(e *endpoint) error {
		e.calls = e.time()
		for all := unsafe.Slice(ops, n); len(all) > 0; {
			all = all[e.ops(all):]
		}
		e.calls = time.Time{}
		return nil
	}))
}

// ops does calls up to the first one in which there is a panic, that one included, and returns how many. What fails is told in a result.
func (e *endpoint) ops(all []C.bquic_op) (n int) {
	var c *conn
	defer func() {
		if v := recover(); v != nil {
			err := panicked(v, debug.Stack())
			all[n-1].result = C.int64_t(fail(err))
			surrender(&c.object, err)
		}
	}()
	for i := range all {
		op := &all[i]
		n++
		var err error
		if c, err = e.connOf(op); err == nil {
			c.touch()
			err = c.do(op)
		}
		if err != nil {
			op.result = C.int64_t(fail(err))
		}
	}
	return n
}

// connOf returns the connection that a call is for.
func (e *endpoint) connOf(op *C.bquic_op) (*conn, error) {
	c, err := find[conn](*(*handle)(unsafe.Pointer(&op.conn)), kindConn)
	if err == nil && c.endpoint != e {
		err = faultf(errArgument, "the connection belongs to another endpoint")
	}
	return c, err
}

// do does what op says, and puts what came of it into op.result, unless it fails.
func (c *conn) do(op *C.bquic_op) (err error) {
	id, n := uint64(op.stream), 0
	if op.len > maxSize {
		return faultf(errArgument, "len is %d, and can be at most 2^31-1", op.len)
	}
	carries := op.kind == C.BQUIC_OP_SEND || op.kind == C.BQUIC_OP_RECV || op.kind == C.BQUIC_OP_OPEN || op.kind == C.BQUIC_OP_RESPOND
	if carries && op.data == nil && op.len > 0 {
		return faultf(errArgument, "data is NULL, and len is %d", op.len)
	}
	if err := c.ready(); err != nil {
		return err
	}
	var data []byte
	if carries { // of others, data and len may be left from an operation before
		data = memory((*C.uint8_t)(op.data), op.len)
	}
	op.result = 0
	switch op.kind {
	case C.BQUIC_OP_OPEN:
		if id, err = c.open(op.code != 0); err != nil {
			return err
		}
		op.stream = C.uint64_t(id)
		n, err = c.core.StreamSend(id, data, op.flags&C.BQUIC_FIN != 0)
	case C.BQUIC_OP_SEND:
		fin := op.flags&C.BQUIC_FIN != 0
		if c.http != nil {
			n, err = c.http.StreamSend(id, data, fin)
		} else {
			n, err = c.core.StreamSend(id, data, fin)
		}
	case C.BQUIC_OP_RECV:
		var fin bool
		if c.http != nil {
			n, fin, err = c.http.StreamRecv(id, data)
		} else {
			n, fin, err = c.core.StreamRecv(id, data)
		}
		op.flags = 0
		if fin && err == nil {
			op.flags = C.BQUIC_FIN
		}
	case C.BQUIC_OP_RESPOND:
		switch {
		case c.http == nil:
			return errNoHTTP
		case op.fields == nil && op.fields_len > 0:
			return faultf(errArgument, "fields is NULL, and fields_len is %d", op.fields_len)
		}
		n, err = c.respond(id, op.fields, op.fields_len, data, op.flags&C.BQUIC_FIN != 0)
	case C.BQUIC_OP_STOP:
		err = c.shutdown(id, C.BQUIC_READ|op.flags&C.BQUIC_LATER, uint64(op.code))
	case C.BQUIC_OP_RESET:
		err = c.shutdown(id, C.BQUIC_WRITE, uint64(op.code))
	default:
		return faultf(errArgument, "there is no operation of kind %d", op.kind)
	}
	op.result = C.int64_t(n)
	if err != nil {
		op.code = resetCode(err)
	} else if op.kind == C.BQUIC_OP_SEND {
		c.noteEnd(id, op.flags&C.BQUIC_FIN != 0 && n == len(data))
	}
	return err
}

// ready tells whether streams can be used: those of HTTP/3 only when it has begun.
func (c *conn) ready() error {
	if c.settings.http == nil || c.http != nil {
		return nil
	}
	if err := c.core.Err(); err != nil {
		return err
	}
	return faultf(errState, "HTTP/3 begins with BQUIC_EVENT_HANDSHAKE_COMPLETE or BQUIC_EVENT_EARLY_READY")
}

// resetCode is the code with which a stream was reset.
func resetCode(err error) C.uint64_t {
	var core *quic.StreamError
	if errors.As(err, &core) {
		return C.uint64_t(core.Code)
	}
	var http *h3.StreamError
	if errors.As(err, &http) {
		return C.uint64_t(http.Code)
	}
	return 0
}

func (c *conn) shutdown(id uint64, parts C.uint32_t, code uint64) error {
	dir, later := quic.Direction(parts&^C.BQUIC_LATER), parts&C.BQUIC_LATER != 0
	switch {
	case code > quic.MaxErrorCode:
		return faultf(errArgument, "the error code is %d, and must be below 2^62", code)
	case parts&^(C.BQUIC_READ|C.BQUIC_WRITE|C.BQUIC_LATER) != 0 || dir == 0 || later && dir != quic.ReadDirection:
		return faultf(errArgument, "parts is %d, and must be BQUIC_READ, BQUIC_WRITE or both, or BQUIC_READ | BQUIC_LATER", parts)
	}
	if err := c.ready(); err != nil {
		return err
	}
	if dir&quic.WriteDirection != 0 {
		c.noteCut(id)
	}
	defer c.ring(id)
	switch {
	case c.http != nil && later:
		return c.http.StreamStopLater(c.time(), id, h3.ErrorCode(code))
	case c.http != nil:
		return c.http.StreamShutdown(id, dir, h3.ErrorCode(code))
	case later:
		return c.core.StreamStopLater(c.time(), id, code)
	}
	return c.core.StreamShutdown(id, dir, code)
}

//export bq_go_stream_shutdown
func bq_go_stream_shutdown(h, id C.uint64_t, parts C.uint32_t, code C.uint64_t) C.int32_t {
	return use(h, func(c *conn) error { return c.shutdown(uint64(id), parts, uint64(code)) })
}

//export bq_go_stream_set_priority
func bq_go_stream_set_priority(h, id C.uint64_t, urgency C.uint32_t, incremental C.int) C.int32_t {
	return use(h, func(c *conn) error {
		p, err := priority(urgency, incremental)
		if err != nil {
			return err
		}
		if err := c.ready(); err != nil {
			return err
		}
		if c.http != nil {
			return c.http.SetPriority(uint64(id), p)
		}
		return c.core.SetStreamPriority(uint64(id), p)
	})
}

func priority(urgency C.uint32_t, incremental C.int) (quic.Priority, error) {
	if urgency > 7 {
		return quic.Priority{}, faultf(errArgument, "urgency is %d, and can be at most 7", urgency)
	}
	return quic.Priority{Urgency: uint8(urgency), Incremental: incremental != 0}, nil
}

//export bq_go_stream_set_user_data
func bq_go_stream_set_user_data(h, id, value C.uint64_t, done *C.int32_t) C.int32_t {
	return look(h, func(c *conn) error {
		s := c.stored(uint64(id))
		if s != nil {
			s.value = uint64(value)
		}
		*done = C.int32_t(boolean(s != nil))
		return nil
	})
}

// stored is the number that the program has stored for a stream. Events of the stream that wait to be told have it, too: so it comes with them whatever becomes
// of the stream meanwhile, even if another one has its ID by then, as it can be when 0-RTT data was rejected.
type stored struct{ value uint64 }

// stored returns what is stored for a stream, 0 if the program has stored nothing; nil: there is no such stream, or it is over.
func (c *conn) stored(id uint64) *stored {
	var streams interface {
		SetStreamData(id uint64, v any)
		StreamData(id uint64) any
	} = c.core
	if c.http != nil {
		streams = c.http
	}
	if s, there := streams.StreamData(id).(*stored); there {
		return s
	}
	s := new(stored)
	streams.SetStreamData(id, s)
	if streams.StreamData(id) != any(s) {
		return nil
	}
	return s
}

//export bq_go_stream_room
func bq_go_stream_room(h, id C.uint64_t, room *C.int64_t) C.int32_t {
	return look(h, func(c *conn) error {
		n, err := c.core.StreamRoom(uint64(id))
		*room = C.int64_t(n)
		return err
	})
}

//export bq_go_streams
func bq_go_streams(h C.uint64_t, writable C.int, ids *C.uint64_t, most C.uint32_t, count *C.int32_t) C.int32_t {
	return look(h, func(c *conn) error {
		var all iter.Seq[uint64] = c.core.Readable()
		if writable != 0 {
			all = c.core.Writable()
		}
		to := unsafe.Slice(ids, most)
		n := 0
		for id := range all {
			if n == len(to) {
				break
			}
			to[n] = C.uint64_t(id)
			n++
		}
		*count = C.int32_t(n)
		return nil
	})
}

//export bq_go_datagrams_send
func bq_go_datagrams_send(h C.uint64_t, list *C.bquic_bytes, n C.uint32_t, count *C.int32_t) C.int32_t {
	return use(h, func(c *conn) error {
		if c.settings.http != nil {
			return faultf(errState, "the connection speaks HTTP/3: its datagrams are those of requests (bquic_h3_datagram_send)")
		}
		*count = 0
		for _, d := range unsafe.Slice(list, n) {
			if d.data == nil && d.len > 0 {
				return faultf(errArgument, "data of a datagram is NULL, and its len is %d", d.len)
			}
			if d.len > maxSize {
				return faultf(errArgument, "len of a datagram is %d, and can be at most 2^31-1", d.len)
			}
			if err := c.core.DatagramSend(memory((*C.uint8_t)(d.data), d.len)); err != nil {
				c.noteFull(err)
				if *count > 0 {
					return nil
				}
				return err
			}
			*count++
		}
		return nil
	})
}

//export bq_go_datagrams_recv
func bq_go_datagrams_recv(h C.uint64_t, list *C.bquic_bytes, most C.uint32_t, buf *C.uint8_t, n C.size_t, count *C.int32_t) C.int32_t {
	return use(h, func(c *conn) error {
		if c.settings.http != nil {
			return faultf(errState, "the connection speaks HTTP/3: its datagrams are those of requests (bquic_h3_datagram_recv)")
		}
		*count = 0
		longest := c.settings.client.MaxDatagramFrameSize
		if uint64(n) < uint64(longest) {
			return faultf(errArgument, "len is %d, and a datagram can have %d bytes (BQUIC_MAX_DATAGRAM_FRAME)", n, longest)
		}
		to, room := unsafe.Slice(list, most), memory(buf, n)
		for i := range to {
			if c.core.DatagramsReadable() == 0 || len(room) < longest {
				break
			}
			got, _ := c.core.DatagramRecv(room)
			point(&to[i].data, unsafe.Pointer(unsafe.SliceData(room)))
			to[i].len = C.size_t(got)
			room = room[got:]
			*count++
		}
		return nil
	})
}
