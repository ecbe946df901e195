package main

// #include "internal.h"
import "C"

import (
	"container/heap"
	"net/netip"
	"runtime/debug"
	"slices"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
)

// endpoint is a bquic_endpoint: the driver of a quic.Endpoint and of its connections, without a socket. All of them have one gate.
type endpoint struct {
	object
	core     *quic.Endpoint
	settings *settings // of the server; nil: there is none
	conns    map[*conn]struct{}

	teller
	at     time.Time // when the last step was, by the clock; now is what the program has said
	calls  time.Time // while bquic_endpoint_ops makes its calls: the time of all of them
	work   []*conn   // those that may have something to tell or to send
	timers timers    // the others

	waits   []*conn // those whose SSL waits for an answer of the program's callbacks
	madeSSL uintptr // by the program, within Route

	replies     []reply // answers to strangers that wait to be sent
	repliesLost uint64
	answer      [1500]byte
}

// reply is a datagram that belongs to no connection.
type reply struct {
	data          []byte
	local, remote netip.AddrPort
}

// maxReplies is how many answers to strangers wait, at most, for somebody to send them. Whoever gets none asks again.
const maxReplies = 256

// trainRoom is how much room a train is given, in bytes: as much as one sendmsg takes.
const trainRoom = 64 << 10

//export bq_go_endpoint_new
func bq_go_endpoint_new(config_ C.uint64_t, h *C.uint64_t) C.int32_t {
	return C.int32_t(call(func() error {
		var s *settings
		if config_ != 0 {
			var err error
			if s, err = useConfig(config_); err != nil {
				return err
			}
		}
		e := &endpoint{settings: s, conns: map[*conn]struct{}{}}
		var cfg *quic.Config
		if s != nil {
			if s.server.TLS == nil {
				ours, made := *s.server, s.server.AcceptSSL
				ours.AcceptSSL = func(local, remote netip.AddrPort) uintptr {
					e.madeSSL = made(local, remote) // for add
					return e.madeSSL
				}
				s = &settings{client: s.client, server: &ours, http: s.http}
				e.settings = s
			} else if err := hasProtocol(s.server); err != nil {
				return err
			} else if len(s.server.TLS.Certificates) == 0 {
				return errNoCertificate
			}
			cfg = s.server
		}
		var err error
		if e.core, err = quic.NewEndpoint(cfg); err != nil {
			return &fault{errConfig, err.Error()}
		}
		e.object = object{gate: new(gate), self: e}
		register(&e.object, kindEndpoint)
		*h = C.uint64_t(e.handle)
		return nil
	}))
}

//export bq_go_endpoint_free
func bq_go_endpoint_free(h C.uint64_t) C.int32_t {
	return C.int32_t(on(handle(h), kindEndpoint, func(e *endpoint) error {
		for c := range e.conns {
			unregister(&c.object)
			c.core.Release()
		}
		e.lent.free()
		unregister(&e.object)
		return nil
	}))
}

//export bq_go_endpoint_connect
func bq_go_endpoint_connect(h, config_ C.uint64_t, p *C.bquic_connect, out *C.uint64_t, taken *C.int32_t) C.int32_t {
	return C.int32_t(on(handle(h), kindEndpoint, func(e *endpoint) error {
		s, err := useConfig(config_)
		if err != nil {
			return err
		}
		c, err := e.connect(s, p, taken)
		if err == nil {
			*out = C.uint64_t(c.handle)
		}
		return err
	}))
}

// connect begins a connection. *taken says whether the core has got the SSL of p, and frees it.
func (e *endpoint) connect(s *settings, p *C.bquic_connect, taken *C.int32_t) (*conn, error) {
	remote, err := goAddr(&p.remote)
	if err != nil {
		return nil, err
	}
	switch {
	case !remote.IsValid():
		return nil, faultf(errArgument, "bquic_connect.remote names no address")
	case p.flags&^(C.BQUIC_CONNECT_EARLY|C.BQUIC_CONNECT_RESEND) != 0:
		return nil, faultf(errArgument, "flags of bquic_connect is %d, and has bits that are not known", p.flags)
	}
	local, err := goAddr(&p.local)
	if err != nil {
		return nil, err
	}
	params := quic.ConnectParams{
		Local: local, Remote: remote, EarlyData: p.flags&C.BQUIC_CONNECT_EARLY != 0, ResendEarly: p.flags&C.BQUIC_CONNECT_RESEND != 0,
	}
	if p.server_name != nil {
		params.ServerName = text(p.server_name)
	}
	if params.ServerName == "" {
		params.ServerName = remote.Addr().WithZone("").String()
	}
	if params.Session, err = sessionOf(&p.session); err != nil {
		return nil, err
	}
	if params.SSL = uintptr(unsafe.Pointer(p.ssl)); params.SSL == 0 {
		if err := hasProtocol(s.client); err != nil {
			return nil, err
		}
	}
	*taken = 1
	core, err := e.core.Connect(e.time(), s.client, params)
	if err != nil {
		return nil, &fault{errConfig, err.Error()}
	}
	c := e.add(core, s)
	c.ssl = params.SSL
	c.userData = uint64(p.user_data)
	return c, nil
}

// time is now by the clock of who calls bquic_endpoint_step: what that has said last, and what has passed since.
func (e *endpoint) time() time.Time {
	if !e.calls.IsZero() {
		return e.calls
	}
	if e.at.IsZero() {
		return moment(0)
	}
	return e.now.Add(moment(0).Sub(e.at))
}

// add makes a conn of a connection that has just begun.
func (e *endpoint) add(core *quic.Conn, s *settings) *conn {
	c := &conn{endpoint: e, core: core, settings: s, at: -1}
	c.object = object{gate: e.gate, self: c}
	register(&c.object, kindConn)
	core.SetUserData(c)
	e.conns[c] = struct{}{}
	c.touch()
	return c
}

// forget lets a connection go.
func (e *endpoint) forget(c *conn) {
	if !unregister(&c.object) {
		return
	}
	e.timers.remove(c)
	delete(e.conns, c)
	c.gone = true
	e.core.HandleEvent(c.core, quic.EndpointEvent{Kind: quic.ConnDrained})
	c.core.Release()
}

//export bq_go_endpoint_step
func bq_go_endpoint_step(h C.uint64_t, s *C.bquic_step) C.int32_t {
	return C.int32_t(on(handle(h), kindEndpoint, func(e *endpoint) error { e.step(s); return nil }))
}

// step is bquic_endpoint_step: in, timers, events, out.
func (e *endpoint) step(s *C.bquic_step) {
	e.at = afterTurn()
	if e.now = e.at; s.now != 0 {
		e.now = moment(s.now)
	}
	for _, c := range e.over {
		e.forget(c)
	}
	e.over = e.over[:0]
	for _, c := range e.waits {
		c.touch()
	}
	clear(e.waits)
	e.waits = e.waits[:0]
	e.lent.reset()
	s.more, s.events_len, s.out_len = 0, 0, 0

	trains := unsafe.Slice(s.in, s.in_len)
	for i := range trains {
		e.receive(&trains[i])
	}
	for c := e.timers.due(e.now); c != nil; c = e.timers.due(e.now) {
		c.touch()
		e.guard(c, c.onTimeout)
	}
	e.tellAll(s)
	if s.out_max > 0 {
		e.sendAll(s)
	}
	e.rest(s)
}

// receive gives a train to whom it is for. bquic_endpoint_step has looked at its addresses.
func (e *endpoint) receive(t *C.bquic_train) {
	local, _ := goAddr(&t.local)
	remote, _ := goAddr(&t.remote)
	train := quic.Train{
		Buf: memory((*C.uint8_t)(t.data), C.size_t(t.len)), SegSize: int(t.seg_size), Local: local, Remote: remote, ECN: quic.ECN(t.ecn & 3),
	}
	if train.SegSize == 0 {
		train.SegSize = len(train.Buf)
	}
	for len(train.Buf) > 0 {
		r := e.core.Route(e.now, train, e.answer[:0])
		if r.N == 0 {
			break
		}
		if r.Reply > 0 {
			e.reply(e.answer[:r.Reply], local, remote)
		}
		if r.Conn != nil {
			if r.New {
				c := e.add(r.Conn, e.settings)
				c.accepted, c.ssl, e.madeSSL = true, e.madeSSL, 0
			}
			c := r.Conn.UserData().(*conn)
			c.touch()
			e.guard(c, func() {
				piece := train
				piece.Buf = train.Buf[:r.N]
				c.core.Recv(e.now, piece)
			})
		}
		train.Buf = train.Buf[r.N:]
	}
}

func (e *endpoint) reply(b []byte, local, remote netip.AddrPort) {
	if len(e.replies) >= maxReplies {
		e.repliesLost++
		return
	}
	e.replies = append(e.replies, reply{slices.Clone(b), local, remote})
}

// tellAll tells the events of those that have any, as long as there is room.
func (e *endpoint) tellAll(s *C.bquic_step) {
	room := unsafe.Slice(s.events, s.events_max)
	for i := 0; i < len(e.work); i++ {
		c := e.work[i]
		e.guard(c, func() {
			for c.next(&e.teller) {
				if len(room) == 0 {
					c.hold(&e.teller)
					s.more |= C.BQUIC_MORE_EVENTS
					return
				}
				c.tell(&e.teller, &room[0])
				room = room[1:]
				s.events_len++
			}
			c.sent = c.sent && !c.core.WantsSend() // HTTP/3 writes what it has gathered when it has nothing more to tell
		})
	}
	if n := len(e.work); n > 1 { // who was last is first the next time
		first := e.work[0]
		copy(e.work, e.work[1:])
		e.work[n-1] = first
	}
}

// sendAll gives out what is to be sent, a train of each connection in turn.
func (e *endpoint) sendAll(s *C.bquic_step) {
	out, buf := unsafe.Slice(s.out, s.out_max), memory(s.buf, s.buf_len)
	put := func(n, segSize int, local, remote netip.AddrPort, ecn quic.ECN) {
		t := &out[0]
		blank(t)
		point(&t.data, (*C.uint8_t)(unsafe.SliceData(buf)))
		t.len, t.seg_size, t.ecn = C.uint32_t(n), C.uint32_t(segSize), C.uint32_t(ecn)
		setAddr(&t.local, local)
		setAddr(&t.remote, remote)
		out, buf = out[1:], buf[n:]
		s.out_len++
	}
	room := min(len(buf), trainRoom)
	full := func() bool { return len(out) == 0 || len(buf) < room }
	for len(e.replies) > 0 && !full() {
		r := e.replies[0]
		copy(buf, r.data)
		put(len(r.data), len(r.data), r.local, r.remote, quic.NotECT)
		e.replies = e.replies[1:]
	}
	if len(e.replies) == 0 {
		e.replies = nil
	}
	for sending := true; sending; {
		sending = false
		for _, c := range e.work {
			if c.sent || c.gone {
				continue
			}
			if full() {
				s.more |= C.BQUIC_MORE_TRAINS
				return
			}
			e.guard(c, func() {
				t := c.core.Send(e.now, buf[:room:room])
				if t.N == 0 {
					c.sent = true
					return
				}
				sending = true
				put(t.N, t.SegSize, t.Local, t.Remote, t.ECN)
			})
		}
	}
	if len(e.replies) > 0 {
		s.more |= C.BQUIC_MORE_TRAINS
	}
}

// rest has those that have nothing to do wait for their timers, and says when to come again.
func (e *endpoint) rest(s *C.bquic_step) {
	left := e.work[:0]
	for _, c := range e.work {
		e.guard(c, func() {
			// What was sent may have brought an event.
			if c.sent && c.held == nil {
				waits := c.core.WantsSend() // for the congestion window or its pace: so does what HTTP/3 adds, and a timer, or the peer, has it go on
				if c.working = c.next(&e.teller); c.working {
					c.hold(&e.teller)
				}
				c.sent = c.sent && (waits || !c.core.WantsSend())
			}
		})
		switch {
		case c.gone:
		case !c.working && c.sent:
			e.timers.set(c, c.deadline())
			if c.ssl != 0 && c.core.TLSPending() {
				e.waits = append(e.waits, c)
			}
		default:
			if c.held != nil {
				s.more |= C.BQUIC_MORE_EVENTS
			}
			c.working = true
			left = append(left, c)
		}
	}
	clear(e.work[len(left):])
	e.work = left
	s.deadline = C.UINT64_MAX
	switch {
	case len(e.work) > 0 || len(e.replies) > 0:
		s.deadline = ns(e.now)
	case len(e.timers) > 0:
		s.deadline = ns(e.timers[0].due)
	}
}

// guard calls f for a connection. A panic in it strikes that connection, and not the step.
func (e *endpoint) guard(c *conn, f func()) {
	if c.gone {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			err := panicked(v, debug.Stack())
			surrender(&c.object, err)
		}
	}()
	f()
}

// giveUp is called when a panic has struck the endpoint outside of any connection. Its connections live on.
func (e *endpoint) giveUp(error) {}

//export bq_go_endpoint_refuse
func bq_go_endpoint_refuse(h C.uint64_t, refuse C.int) C.int32_t {
	return C.int32_t(on(handle(h), kindEndpoint, func(e *endpoint) error {
		e.core.Refuse(refuse != 0)
		return nil
	}))
}

//export bq_go_endpoint_set_ticket_keys
func bq_go_endpoint_set_ticket_keys(h C.uint64_t, data *C.uint8_t, n C.size_t) C.int32_t {
	return C.int32_t(on(handle(h), kindEndpoint, func(e *endpoint) error {
		if e.settings == nil {
			return faultf(errState, "the endpoint is for clients alone, and has no session tickets")
		}
		if n > 64 {
			return faultf(errArgument, "there are %d ticket keys, and can be 64", n)
		}
		keys, err := ticketKeys(memory(data, n*32))
		if err != nil {
			return err
		}
		return e.core.SetTicketKeys(keys)
	}))
}

//export bq_go_endpoint_stats
func bq_go_endpoint_stats(h C.uint64_t, info *C.bquic_endpoint_info) C.int32_t {
	return C.int32_t(on(handle(h), kindEndpoint, func(e *endpoint) error {
		s := e.core.Stats()
		*info = C.bquic_endpoint_info{
			conns: C.uint32_t(len(e.conns)), accepted: C.uint64_t(s.Accepted), refused: C.uint64_t(s.Refused), retries: C.uint64_t(s.Retries),
			version_negotiations: C.uint64_t(s.VersionNegotiations), stateless_resets: C.uint64_t(s.StatelessResets), invalid_tokens: C.uint64_t(s.InvalidTokens),
			replies_lost: C.uint64_t(e.repliesLost),
		}
		return nil
	}))
}

// timers are the connections that wait for a time, the one with the earliest first: a heap.
type timers []*conn

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i]; t[i].at, t[j].at = i, j }
func (t *timers) Push(c any)        { c.(*conn).at = len(*t); *t = append(*t, c.(*conn)) }
func (t *timers) Pop() any {
	last := len(*t) - 1
	c := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	c.at = -1
	return c
}

// set has a connection wait until due; the zero Time: it does not wait.
func (t *timers) set(c *conn, due time.Time) {
	switch {
	case due.IsZero():
		t.remove(c)
	case c.at < 0:
		c.due = due
		heap.Push(t, c)
	default:
		c.due = due
		heap.Fix(t, c.at)
	}
}

func (t *timers) remove(c *conn) {
	if c.at >= 0 {
		heap.Remove(t, c.at)
	}
}

// due takes out a connection whose time has come, nil if there is none.
func (t *timers) due(now time.Time) *conn {
	if len(*t) == 0 || (*t)[0].due.After(now) {
		return nil
	}
	return heap.Pop(t).(*conn)
}
