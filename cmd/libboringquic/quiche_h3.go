package main

// #include "quiche_internal.h"
import "C"

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"time"
	"unicode"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
)

// quicheH3 is a quiche_h3_conn.
type quicheH3 struct {
	conn     *h3.Conn
	finished []uint64                 // streams whose message was read to its end, which quiche_h3_conn_poll has not told
	unmet    []uint64                 // requests that were reset before it told of them, of which it has not told that either: maxUnmet at most
	ended    map[uint64]struct{}      // streams that were ended before the program said so: by trailers, or since there can be no body
	priority map[uint64]quic.Priority // that clients have sent and quiche_h3_take_last_priority_update has not returned
	fatal    bool                     // it was told that the connection has failed
	fields   []qpack.Field            // of an event
	outgoing outgoing
}

// onH3 is onQuiche for HTTP/3.
func onH3(h C.uint64_t, f func(q *quicheConn, x *quicheH3, now time.Time) (int64, error)) C.int64_t {
	return within(h, quicheTransport+quicheState, quicheH3Code, func(q *quicheConn) (int64, error) {
		if q.h3 == nil {
			return 0, faultf(errState, "there is no HTTP/3 on the connection")
		}
		now := afterTurn()
		if q.c.stale {
			arrived := q.c.in_len > 0
			q.catchUp(now)
			if arrived {
				q.settle(now)
			}
		}
		q.c.stale = true // as onStreams
		return f(q, q.h3, now)
	})
}

//export bq_go_quiche_h3_stats
func bq_go_quiche_h3_stats(h C.uint64_t, out *C.quiche_h3_stats) {
	lookQuiche(h, func(q *quicheConn) (int64, error) {
		if q.h3 != nil {
			s := q.h3.conn.Stats()
			out.qpack_encoder_stream_recv_bytes, out.qpack_decoder_stream_recv_bytes = C.uint64_t(s.EncoderBytes), C.uint64_t(s.DecoderBytes)
		}
		return 0, nil
	})
}

//export bq_go_quiche_h3_new
func bq_go_quiche_h3_new(h, config C.uint64_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, now time.Time) (int64, error) {
		if q.h3 != nil {
			return 0, faultf(errState, "there is HTTP/3 on the connection already")
		}
		if !q.core.HandshakeComplete() && !q.core.InEarlyData() || q.core.IsClosed() {
			return 0, faultf(errState, "the handshake is not complete, or the connection is closed")
		}
		settings, err := find[quicheH3Config](handle(config), kindQuicheH3Config)
		if err != nil {
			return 0, err
		}
		cfg := settings.cfg
		cfg.EnableDatagrams, cfg.NoGrease = q.core.TakesDatagrams(), q.made.core.NoGrease
		if q.core.IsClient() {
			cfg.EnableConnect = false
		}
		conn, err := h3.New(now, q.core, &cfg)
		if err != nil {
			return 0, err
		}
		q.h3 = &quicheH3{conn: conn}
		q.introduce(now)
		return 0, nil
	})
}

// maxUnmet is how many requests that were reset before the program knew of them wait for quiche_h3_conn_poll, the newest.
const maxUnmet = 128

// meetReset notes that a request was reset of which the program does not know. Package h3 does not tell of it: nothing is to be done for it.
func (x *quicheH3) meetReset(id uint64) {
	if id&(quic.StreamTypeUni|1) != 0 || x.conn.Core().IsClient() || x.conn.StreamData(id) != nil {
		return
	}
	if len(x.unmet) == maxUnmet {
		x.unmet = append(x.unmet[:0], x.unmet[1:]...)
	}
	x.unmet = append(x.unmet, id)
}

// introduce tells HTTP/3 of the streams that the peer has opened before it was there.
func (q *quicheConn) introduce(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(q.resets)) {
		q.h3.meetReset(id)
	}
	own := uint64(0)
	if q.core.IsClient() {
		own = 1
	}
	for uni, n := range q.opened {
		for i := range n {
			id := i<<2 | uint64(uni)<<1 | own
			if _, err := q.core.StreamRoom(id); errors.Is(err, quic.ErrUnknownStream) {
				continue // it is over
			}
			q.h3.conn.HandleEvent(now, &quic.Event{Kind: quic.EventStreamOpened, Stream: id})
		}
	}
	for id := range q.core.Readable() {
		q.h3.conn.HandleEvent(now, &quic.Event{Kind: quic.EventReadable, Stream: id})
	}
	q.c.h3_news = true
}

//export bq_go_quiche_h3_poll
func bq_go_quiche_h3_poll(h C.uint64_t, out **C.quiche_h3_event) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, now time.Time) (int64, error) {
		if bool(q.c.h3_ends) { // there was no memory to tell it
			q.c.h3_ends = false
			x.finished = append(x.finished, uint64(q.c.h3_ended))
		}
		for {
			q.readEvents(now)
			ev := x.conn.NextEvent()
			if ev == nil {
				break
			}
			if id, told := x.tell(q, now, ev, out); told {
				return id, nil
			}
		}
		if len(x.unmet) > 0 {
			id := x.unmet[0]
			x.unmet = append(x.unmet[:0], x.unmet[1:]...)
			h3Event(out, C.QUICHE_H3_EVENT_RESET, nil, false)
			return int64(id), nil
		}
		if len(x.finished) > 0 {
			id := x.finished[0]
			x.finished = append(x.finished[:0], x.finished[1:]...)
			h3Event(out, C.QUICHE_H3_EVENT_FINISHED, nil, false)
			return int64(id), nil
		}
		q.c.h3_news = false
		var app *quic.ApplicationError
		if err := q.core.Err(); !x.fatal && errors.As(err, &app) && !app.Remote {
			if code := quicheH3Fatal(app.Code); code != quicheDone {
				x.fatal = true
				return 0, &quicheFault{code, err}
			}
		}
		return 0, quicheDone
	})
}

// tell makes of an event of HTTP/3 one of quiche.h, if there is such.
func (x *quicheH3) tell(q *quicheConn, now time.Time, ev *h3.Event, out **C.quiche_h3_event) (id int64, told bool) {
	if ev.Kind == h3.EventRequest || ev.Kind == h3.EventTooLarge {
		x.conn.SetStreamData(ev.Stream, met)
	}
	switch ev.Kind {
	case h3.EventRequest, h3.EventResponse, h3.EventInterim:
		h3Event(out, C.QUICHE_H3_EVENT_HEADERS, x.section(ev.Message), !ev.Fin)
		if ev.Fin && x.finishes(ev.Stream) {
			q.c.h3_ends, q.c.h3_ended = true, C.uint64_t(ev.Stream)
		}
	case h3.EventTrailers:
		h3Event(out, C.QUICHE_H3_EVENT_HEADERS, ev.Fields, false)
	case h3.EventTooLarge: // of which quiche.h cannot tell
		x.conn.SendResponse(now, ev.Stream, &h3.Message{Status: 431}, nil, true)
		x.conn.StreamShutdown(ev.Stream, quic.ReadDirection, h3.ErrCodeNoError)
		return 0, false
	case h3.EventData:
		if n, fin, err := x.conn.StreamRecv(ev.Stream, nil); err == nil && n == 0 && fin {
			x.finish(ev.Stream)
			return 0, false
		}
		h3Event(out, C.QUICHE_H3_EVENT_DATA, nil, false)
	case h3.EventReset, h3.EventRejected:
		h3Event(out, C.QUICHE_H3_EVENT_RESET, nil, false)
	case h3.EventPriority:
		if x.priority == nil {
			x.priority = map[uint64]quic.Priority{}
		}
		x.priority[ev.Stream] = ev.Priority
		h3Event(out, C.QUICHE_H3_EVENT_PRIORITY_UPDATE, nil, false)
	case h3.EventGoAway:
		h3Event(out, C.QUICHE_H3_EVENT_GOAWAY, nil, false)
		return int64(ev.ID), true
	case h3.EventSession:
		q.keepSession(ev.Session)
		return 0, false
	case h3.EventDone:
		delete(x.ended, ev.Stream)
		delete(x.priority, ev.Stream)
		return 0, false
	default:
		return 0, false
	}
	return int64(ev.Stream), true
}

// met and read are what HTTP/3 keeps with a request that the program knows of, and with a stream whose message was read to its end.
var met, read = new(struct{ byte }), new(struct{ byte })

// finish has quiche_h3_conn_poll tell that a message was read to its end, once.
func (x *quicheH3) finish(id uint64) {
	if x.finishes(id) {
		x.finished = append(x.finished, id)
	}
}

// finishes notes that a message was read to its end, and tells whether that was not known.
func (x *quicheH3) finishes(id uint64) bool {
	if x.conn.StreamData(id) == read {
		return false
	}
	x.conn.SetStreamData(id, read)
	return true
}

// section returns the fields of a message, the pseudo-header fields first.
func (x *quicheH3) section(m *h3.Message) []qpack.Field {
	x.fields = append(pseudoFields(x.fields[:0], m), m.Fields...)
	return x.fields
}

// h3Event has *out be a new event, in one piece of C's memory.
func h3Event(out **C.quiche_h3_event, kind C.enum_quiche_h3_event_type, fields []qpack.Field, more bool) {
	var ev *C.quiche_h3_event
	var each C.quiche_h3_header
	at := unsafe.Sizeof(*ev) + unsafe.Sizeof(each)*uintptr(len(fields))
	size := at
	for i := range fields {
		size += uintptr(len(fields[i].Name) + len(fields[i].Value))
	}
	base := C.malloc(C.size_t(size))
	ev = (*C.quiche_h3_event)(base)
	ev._type, ev.more, ev.count = kind, C.bool(more), C.size_t(len(fields))
	to := unsafe.Slice((*C.quiche_h3_header)(unsafe.Add(base, unsafe.Sizeof(*ev))), len(fields))
	text := unsafe.Slice((*byte)(base), size)
	put := func(s string) *C.uint8_t {
		copy(text[at:], s)
		p := (*C.uint8_t)(unsafe.Add(base, at))
		at += uintptr(len(s))
		return p
	}
	for i := range fields {
		f := &fields[i]
		point(&to[i].name, put(f.Name))
		point(&to[i].value, put(f.Value))
		to[i].name_len, to[i].value_len = C.size_t(len(f.Name)), C.size_t(len(f.Value))
	}
	point(out, ev)
}

// message makes a message of what a program sends, which is good until the next one.
func (x *quicheH3) message(p *C.quiche_h3_header, n C.size_t) (*h3.Message, error) {
	x.outgoing.begin(int(n))
	for i, f := range unsafe.Slice(p, n) {
		name := memory(f.name, f.name_len)
		if bytes.ContainsFunc(name, unicode.IsUpper) {
			name = bytes.ToLower(name)
		}
		x.outgoing.set(i, name, memory(f.value, f.value_len))
	}
	return x.outgoing.section()
}

//export bq_go_quiche_h3_request
func bq_go_quiche_h3_request(h C.uint64_t, fields *C.quiche_h3_header, n C.size_t, fin C.bool) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, now time.Time) (int64, error) {
		m, err := x.message(fields, n)
		if err != nil {
			return 0, err
		}
		id, _, err := x.conn.SendRequest(now, m, nil, bool(fin))
		q.settleStreamsLeft()
		return int64(id), err
	})
}

//export bq_go_quiche_h3_response
func bq_go_quiche_h3_response(h, id C.uint64_t, fields *C.quiche_h3_header, n C.size_t, priority *C.quiche_h3_priority, fin C.bool) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, now time.Time) (int64, error) {
		m, err := x.message(fields, n)
		if err != nil {
			return 0, err
		}
		_, err = x.conn.SendResponse(now, uint64(id), m, nil, bool(fin))
		if errors.Is(err, h3.ErrContentLength) && !bool(fin) || bodiless(err, m) && !bool(fin) {
			// There can be no body: to a HEAD request, or with 204 or 304. That ends with the fields, though the program does not know.
			if _, err = x.conn.SendResponse(now, uint64(id), m, nil, true); err == nil {
				x.end(uint64(id))
			}
		}
		if err == nil && priority != nil {
			err = x.conn.SetPriority(uint64(id), quic.Priority{Urgency: min(uint8(priority.urgency), 7), Incremental: bool(priority.incremental)})
		}
		return 0, err
	})
}

// bodiless tells whether a response was refused since there can be no body behind it.
func bodiless(err error, m *h3.Message) bool {
	return err != nil && m.Status >= 200 && (errors.Is(err, h3.ErrMessageOrder) || quicheH3Code(err) == quicheH3Message)
}

func (x *quicheH3) end(id uint64) {
	if x.ended == nil {
		x.ended = map[uint64]struct{}{}
	}
	x.ended[id] = struct{}{}
}

//export bq_go_quiche_h3_trailers
func bq_go_quiche_h3_trailers(h, id C.uint64_t, fields *C.quiche_h3_header, n C.size_t) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, now time.Time) (int64, error) {
		m, err := x.message(fields, n)
		if err != nil {
			return 0, err
		}
		if err = x.conn.SendTrailers(now, uint64(id), m.Fields); err == nil {
			x.end(uint64(id))
		}
		return 0, err
	})
}

//export bq_go_quiche_h3_send_body
func bq_go_quiche_h3_send_body(h, id C.uint64_t, body *C.uint8_t, n C.size_t, fin C.bool) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, now time.Time) (int64, error) {
		if _, ended := x.ended[uint64(id)]; ended && n == 0 && bool(fin) {
			delete(x.ended, uint64(id))
			return 0, nil
		}
		took, err := x.conn.StreamSend(uint64(id), memory(body, n), bool(fin))
		var stopped *quic.StreamError
		var h3Stopped *h3.StreamError
		switch {
		case errors.As(err, &stopped) && stopped.Remote, errors.As(err, &h3Stopped) && h3Stopped.Remote:
			q.tellStopped(uint64(id))
			return 0, &quicheFault{quicheTransport + quicheStopped, err}
		case err != nil:
			return 0, err
		case took == 0 && n > 0:
			return 0, quicheDone
		}
		return int64(took), nil
	})
}

//export bq_go_quiche_h3_recv_body
func bq_go_quiche_h3_recv_body(h, id C.uint64_t, out *C.uint8_t, n C.size_t) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, _ time.Time) (int64, error) {
		got, fin, err := x.conn.StreamRecv(uint64(id), memory(out, n))
		if err != nil {
			if errors.Is(err, h3.ErrUnknownStream) || errors.Is(err, quic.ErrUnknownStream) {
				err = quicheDone
			}
			return 0, err
		}
		if fin {
			x.finish(uint64(id))
		}
		q.c.h3_news = true // trailers, perhaps, and what HTTP/3 has to send
		if got == 0 {
			return 0, quicheDone
		}
		return int64(got), nil
	})
}

//export bq_go_quiche_h3_goaway
func bq_go_quiche_h3_goaway(h C.uint64_t) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, now time.Time) (int64, error) {
		x.conn.Shutdown(now)
		q.c.h3_news = true
		return 0, nil
	})
}

//export bq_go_quiche_h3_settings
func bq_go_quiche_h3_settings(h C.uint64_t, out **C.uint64_t) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, _ time.Time) (int64, error) {
		s, known := x.conn.PeerSettings()
		if !known {
			return 0, quicheDone
		}
		var pairs []uint64
		add := func(id, v, missing uint64) {
			if v != missing {
				pairs = append(pairs, id, v)
			}
		}
		add(h3.SettingQPACKTableCapacity, s.QPACKTableCapacity, 0)
		add(h3.SettingMaxFieldSectionSize, s.MaxFieldSectionSize, h3.NoLimit)
		add(h3.SettingQPACKBlockedStreams, s.QPACKBlockedStreams, 0)
		add(h3.SettingEnableConnect, uint64(yes(s.EnableConnect)), 0)
		add(h3.SettingH3Datagram, uint64(yes(s.H3Datagram)), 0)
		for _, o := range s.Other {
			pairs = append(pairs, o.ID, o.Value)
		}
		point(out, (*C.uint64_t)(C.malloc(C.size_t(8*len(pairs)+8))))
		copy(unsafe.Slice((*uint64)(unsafe.Pointer(*out)), len(pairs)), pairs)
		return int64(len(pairs) / 2), nil
	})
}

//export bq_go_quiche_h3_peer
func bq_go_quiche_h3_peer(h C.uint64_t, datagrams C.bool) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, _ time.Time) (int64, error) {
		s, known := x.conn.PeerSettings()
		if datagrams {
			return yes(known && s.H3Datagram), nil
		}
		return yes(known && s.EnableConnect), nil
	})
}

//export bq_go_quiche_h3_parse_priority
func bq_go_quiche_h3_parse_priority(p *C.uint8_t, n C.size_t, out *C.quiche_h3_priority) C.int32_t {
	return C.int32_t(call(func() error {
		v := h3.ParsePriority(string(memory(p, n)))
		out.urgency, out.incremental = C.uint8_t(v.Urgency), C.bool(v.Incremental)
		return nil
	}))
}

//export bq_go_quiche_h3_update_priority
func bq_go_quiche_h3_update_priority(h, id C.uint64_t, p *C.quiche_h3_priority) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, _ time.Time) (int64, error) {
		q.c.h3_news = true
		return 0, x.conn.UpdatePriority(uint64(id), quic.Priority{Urgency: min(uint8(p.urgency), 7), Incremental: bool(p.incremental)})
	})
}

//export bq_go_quiche_h3_take_priority
func bq_go_quiche_h3_take_priority(h, id C.uint64_t, out *C.uint8_t, room C.size_t) C.int64_t {
	return onH3(h, func(q *quicheConn, x *quicheH3, _ time.Time) (int64, error) {
		p, found := x.priority[uint64(id)]
		if !found {
			return 0, quicheDone
		}
		delete(x.priority, uint64(id))
		text := h3.FormatPriority(p)
		if text == "" {
			text = "u=3"
		}
		return int64(copy(unsafe.Slice((*byte)(out), room), text)), nil
	})
}
