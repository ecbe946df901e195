package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/boringquic/boringquic/quic/h3"
)

// http is use for a connection that speaks HTTP/3.
func http(h C.uint64_t, f func(c *conn) error) C.int32_t {
	return use(h, func(c *conn) error {
		if c.settings.http == nil {
			return errNoHTTP
		}
		if err := c.ready(); err != nil {
			return err
		}
		return f(c)
	})
}

var errNoHTTP = &fault{errState, "the connection does not speak HTTP/3: its settings have no BQUIC_H3"}

// maxFields is how many fields a header section of C's may have.
const maxFields = 10000

// messageOf makes a message of C's fields, which is good until the connection's next one.
func (c *conn) messageOf(list *C.bquic_h3_field, n C.uint32_t) (*h3.Message, error) {
	if err := c.take(list, n); err != nil {
		return nil, err
	}
	return c.outgoing.section()
}

// take has c.outgoing hold C's fields.
func (c *conn) take(list *C.bquic_h3_field, n C.uint32_t) error {
	if n > maxFields {
		return faultf(errArgument, "there are %d fields, and can be %d", n, maxFields)
	}
	c.outgoing.begin(int(n))
	for i, f := range unsafe.Slice(list, n) {
		if f.name == nil || f.value == nil && f.value_len > 0 {
			return faultf(errArgument, "name or value of field %d is NULL", i)
		}
		if f.name_len > maxSize || f.value_len > maxSize {
			return faultf(errArgument, "a length of field %d is above 2^31-1", i)
		}
		c.outgoing.set(i, memory((*C.uint8_t)(unsafe.Pointer(f.name)), C.size_t(f.name_len)), memory((*C.uint8_t)(unsafe.Pointer(f.value)), C.size_t(f.value_len)))
	}
	return nil
}

//export bq_go_h3_request
func bq_go_h3_request(h C.uint64_t, list *C.bquic_h3_field, n C.uint32_t, body *C.uint8_t, size C.size_t, flags C.uint32_t, id *C.uint64_t, taken *C.size_t) C.int32_t {
	return http(h, func(c *conn) error {
		m, err := c.messageOf(list, n)
		if err != nil {
			return err
		}
		stream, took, err := c.http.SendRequest(c.time(), m, memory(body, size), flags&C.BQUIC_FIN != 0)
		*id, *taken = C.uint64_t(stream), C.size_t(took)
		c.noteEnd(stream, err == nil && flags&C.BQUIC_FIN != 0 && took == int(size))
		return err
	})
}

//export bq_go_h3_respond
func bq_go_h3_respond(h, id C.uint64_t, list *C.bquic_h3_field, n C.uint32_t, body *C.uint8_t, size C.size_t, flags C.uint32_t, taken *C.int64_t) C.int32_t {
	return http(h, func(c *conn) error {
		took, err := c.respond(uint64(id), list, n, memory(body, size), flags&C.BQUIC_FIN != 0)
		*taken = C.int64_t(took)
		return err
	})
}

func (c *conn) respond(id uint64, list *C.bquic_h3_field, n C.uint32_t, body []byte, fin bool) (taken int, err error) {
	m, err := c.messageOf(list, n)
	if err != nil {
		return 0, err
	}
	taken, err = c.http.SendResponse(c.time(), id, m, body, fin)
	c.noteEnd(id, err == nil && fin && taken == len(body))
	return taken, err
}

//export bq_go_h3_trailers
func bq_go_h3_trailers(h, id C.uint64_t, list *C.bquic_h3_field, n C.uint32_t) C.int32_t {
	return http(h, func(c *conn) error {
		if err := c.take(list, n); err != nil {
			return err
		}
		err := c.http.SendTrailers(c.time(), uint64(id), c.outgoing.fields)
		c.noteEnd(uint64(id), err == nil)
		return err
	})
}

//export bq_go_h3_priority
func bq_go_h3_priority(h, id C.uint64_t, urgency C.uint32_t, incremental C.int) C.int32_t {
	return http(h, func(c *conn) error {
		p, err := priority(urgency, incremental)
		if err != nil {
			return err
		}
		if c.core.IsClient() {
			return c.http.UpdatePriority(uint64(id), p)
		}
		return c.http.SetPriority(uint64(id), p)
	})
}

//export bq_go_h3_shutdown
func bq_go_h3_shutdown(h C.uint64_t) C.int32_t {
	return http(h, func(c *conn) error {
		c.http.Shutdown(c.time())
		return nil
	})
}

//export bq_go_h3_datagram_send
func bq_go_h3_datagram_send(h, id C.uint64_t, data *C.uint8_t, n C.size_t) C.int32_t {
	return http(h, func(c *conn) error { return c.http.SendDatagram(uint64(id), memory(data, n)) })
}

//export bq_go_h3_datagram_recv
func bq_go_h3_datagram_recv(h, id C.uint64_t, buf *C.uint8_t, size C.size_t, n *C.size_t, got *C.int32_t) C.int32_t {
	return http(h, func(c *conn) error {
		length, there := c.http.RecvDatagram(uint64(id), memory(buf, size))
		*n, *got = C.size_t(length), C.int32_t(boolean(there))
		return nil
	})
}

//export bq_go_h3_settings
func bq_go_h3_settings(h C.uint64_t, s *C.bquic_h3_peer) C.int32_t {
	return http(h, func(c *conn) error {
		peer, known := c.http.PeerSettings()
		*s = C.bquic_h3_peer{
			known: boolean(known), max_field_section: C.uint64_t(peer.MaxFieldSectionSize), table_capacity: C.uint64_t(peer.QPACKTableCapacity),
			blocked_streams: C.uint64_t(peer.QPACKBlockedStreams), enable_connect: boolean(peer.EnableConnect), datagrams: boolean(peer.H3Datagram),
		}
		return nil
	})
}
