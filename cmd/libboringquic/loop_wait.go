package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/boringquic/boringquic/quic"
)

// The calls that wait.

// wait is call for one that waits for something of a connection of the event loop: what try is for, see netConn.await.
func wait(h C.uint64_t, of uint64, timeout C.uint64_t, try func(c *conn) (done bool, err error)) C.int32_t {
	return C.int32_t(in(handle(h), kindConn, func(c *conn) error {
		if c.net == nil {
			return faultf(errState, "the connection belongs to an endpoint, where nothing waits: bquic_dial and bquic_accept give those that do")
		}
		return c.net.await(of, timeout, try)
	}))
}

//export bq_go_stream_accept
func bq_go_stream_accept(h C.uint64_t, uni C.int, timeout C.uint64_t, id *C.uint64_t) C.int32_t {
	return wait(h, anyBell, timeout, func(c *conn) (bool, error) {
		n, kind := c.net, 0
		if uni != 0 {
			kind = 1
		}
		switch err := c.core.Err(); {
		case c.settings.http != nil:
			return false, faultf(errState, "the connection speaks HTTP/3: BQUIC_EVENT_REQUEST tells of its streams")
		case n.accepted[kind] < n.opened[kind] && (err == nil || c.core.KeepsReceived()):
		case err != nil:
			return false, err
		default:
			return false, nil
		}
		*id = C.uint64_t(n.accepted[kind]<<2 | uint64(kind)<<1)
		if c.core.IsClient() {
			*id |= 1
		}
		n.accepted[kind]++
		return true, nil
	})
}

//export bq_go_stream_read
func bq_go_stream_read(h C.uint64_t, op *C.bquic_op, timeout C.uint64_t) C.int32_t {
	return wait(h, uint64(op.stream), timeout, func(c *conn) (bool, error) {
		err := c.do(op)
		return err == nil && (op.result > 0 || op.flags&C.BQUIC_FIN != 0 || op.len == 0), err
	})
}

// bq_go_stream_write sends op.data, and sets op.result to how much of it was taken.
//
//export bq_go_stream_write
func bq_go_stream_write(h C.uint64_t, op *C.bquic_op, timeout C.uint64_t) C.int32_t {
	left, taken := *op, C.int64_t(0)
	status := wait(h, uint64(op.stream), timeout, func(c *conn) (bool, error) {
		for {
			if err := c.do(&left); err != nil {
				return false, err
			}
			taken += left.result
			left.data = unsafe.Add(left.data, left.result)
			left.len -= C.size_t(left.result)
			if left.len == 0 || left.result == 0 {
				return left.len == 0, nil
			}
		}
	})
	op.result, op.code = taken, left.code
	if status == C.BQUIC_ERR_TIMEOUT && taken > 0 {
		return C.BQUIC_OK
	}
	return status
}

//export bq_go_conn_wait
func bq_go_conn_wait(h C.uint64_t, what C.uint32_t, timeout C.uint64_t) C.int32_t {
	return wait(h, anyBell, timeout, func(c *conn) (bool, error) {
		done, err := c.net.is(what)
		if !done && err == nil && what != C.BQUIC_WAIT_CLOSED {
			err = c.core.Err()
		}
		return done, err
	})
}

// is tells whether it is so, what BQUIC_WAIT_* asks.
func (n *netConn) is(what C.uint32_t) (bool, error) {
	c := n.conn
	switch what {
	case C.BQUIC_WAIT_HANDSHAKE:
		return c.core.HandshakeComplete(), nil
	case C.BQUIC_WAIT_CONFIRMED:
		return c.core.HandshakeConfirmed(), nil
	case C.BQUIC_WAIT_STREAMS:
		if c.http != nil {
			return c.http.RequestsOpenable() > 0, nil
		}
		return c.core.StreamsOpenable(false) > 0, nil
	case C.BQUIC_WAIT_STREAMS_UNI:
		return c.core.StreamsOpenable(true) > 0, nil
	case C.BQUIC_WAIT_DELIVERED:
		return len(n.unacked) == 0 && !n.lost, nil
	case C.BQUIC_WAIT_DATAGRAM:
		if c.settings.http != nil {
			return false, faultf(errState, "the connection speaks HTTP/3: BQUIC_EVENT_DATAGRAM tells of datagrams")
		}
		if !c.core.TakesDatagrams() {
			return false, quic.ErrDatagramsOff
		}
		return c.core.DatagramsReadable() > 0, nil
	case C.BQUIC_WAIT_DATAGRAM_ROOM:
		return !n.full && c.core.Err() == nil, nil
	case C.BQUIC_WAIT_CLOSED:
		return c.core.Err() != nil, nil
	}
	return false, faultf(errArgument, "there is nothing to wait for with number %d", what)
}
