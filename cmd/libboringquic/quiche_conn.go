package main

// #include "quiche_internal.h"
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/boringquic/boringquic/quic"
)

// quicheConn is a quiche_conn: a connection of the core, whatever of HTTP/3 is on it, and what quiche.h keeps beside them.
type quicheConn struct {
	object
	core *quic.Conn
	c    *C.quiche_conn // in C's memory, which quiche_conn_free gives back
	made *quicheMade
	h3   *quicheH3 // nil: there is none

	source, destination quic.ConnID
	cert                []byte
	told                bool  // of the end, by bq_quiche_log
	failed              error // that a send has met which has a datagram to give out: it is told by the next one, or by quiche_conn_recv
	inFailed            error // that a datagram has met which had waited: quiche_conn_recv tells it
	keyLog              *keyLog
	unwanted            atomic.Bool // quiche_conn_free was called
	unheard             bool        // it was closed before anything had come from the peer, and is over

	opened  [2]uint64                 // streams that the peer has opened, bidirectional and unidirectional
	stopped map[uint64]struct{}       // streams that the peer has stopped, of which the program is to be told: see tellStopped
	shut    map[uint64]quic.Direction // what of streams the program has ended before its time
	marks   map[uint64]uint64         // how much room quiche_conn_stream_writable wants
	edges   [2]quicheEdges            // of readable_next, writable_next
	resets  map[uint64]struct{}       // streams that the peer has reset

	nextStream C.uint64_t // the bidirectional stream of ours after all that are open
	unshown    []uint64   // streams that have something to be read, and for which there was no room (quiche_ahead.go)
	paths      quichePaths
}

func (q *quicheConn) giveUp(err error) {
	q.unhear()
	q.core.Fail(time.Now(), err)
	q.settle(time.Now())
}

// onQuiche is on for connections: f returns what is returned to C if its error is nil, else it is that error's QUICHE_ERR_*. Then the connection is settled.
func onQuiche(h C.uint64_t, f func(q *quicheConn, now time.Time) (int64, error)) C.int64_t {
	return within(h, quicheState, quicheCode, func(q *quicheConn) (int64, error) {
		now := afterTurn()
		if q.c.stale {
			q.catchUp(now)
		}
		q.hide()
		n, err := f(q, now)
		q.settle(now)
		return n, err
	})
}

// onStreams is onQuiche for what is done with streams alone, often and with many of them: it is settled when somebody asks.
func onStreams(h C.uint64_t, f func(q *quicheConn) (int64, error)) C.int64_t {
	return within(h, quicheState, quicheCode, func(q *quicheConn) (int64, error) {
		if q.c.in_len > 0 {
			now := afterTurn()
			q.catchUp(now)
			q.settle(now)
		}
		q.hear()
		q.c.stale = true
		return f(q)
	})
}

// lookQuiche is onQuiche for what changes nothing that has to be settled.
func lookQuiche(h C.uint64_t, f func(q *quicheConn) (int64, error)) C.int64_t {
	return within(h, quicheState, quicheCode, func(q *quicheConn) (int64, error) {
		if q.c.stale {
			now := afterTurn()
			q.catchUp(now)
			q.settle(now)
		}
		return f(q)
	})
}

// within is what onQuiche, onStreams, lookQuiche and onH3 have in common. refused is what is returned where f is not called; code is what an error of f is to C. A
// connection that was to be freed meanwhile, as by a callback, is freed at the end.
func within(h C.uint64_t, refused quicheError, code func(error) quicheError, f func(q *quicheConn) (int64, error)) C.int64_t {
	result := int64(refused)
	var in *quicheConn
	on(handle(h), kindQuicheConn, func(q *quicheConn) error {
		in = q
		q.c.busy = true
		defer func() { q.c.busy = false }()
		n, err := f(q)
		switch {
		case err == nil:
			result = n
		case err == error(quicheDone): // that there is nothing now is no failure for bquic_error to tell of
			result = int64(quicheDone)
		default:
			result = int64(code(err))
			return err
		}
		return nil
	})
	if in != nil && in.unwanted.Load() && in.letGo() {
		C.bq_quiche_bury_conn(in.c)
	}
	return C.int64_t(result)
}

//export bq_go_quiche_settle
func bq_go_quiche_settle(h C.uint64_t) {
	lookQuiche(h, func(*quicheConn) (int64, error) { return 0, nil })
}

// catchUp gives the core the datagrams that C has gathered, and reads what comes of them and of calls on streams.
func (q *quicheConn) catchUp(now time.Time) {
	c := q.c
	q.hear()
	if c.in_len > 0 {
		q.hide()
		from, _ := address((*C.struct_sockaddr)(unsafe.Pointer(&c.in_from)), c.in_from_len) // they were good when they were noted
		to, _ := address((*C.struct_sockaddr)(unsafe.Pointer(&c.in_to)), c.in_to_len)
		before := q.core.Err()
		n := c.in_len
		c.in_len = 0
		q.core.Recv(now, quic.Train{Buf: unsafe.Slice((*byte)(c.in), n), SegSize: int(c.in_seg), Local: to, Remote: from})
		q.readEvents(now)
		q.dropTrain()
		if before == nil {
			q.inFailed = ended(q.core.Err())
		}
		return
	}
	q.readEvents(now)
}

// letGo ends a connection that is unwanted, and tells whether it did; not while somebody is within it, who does it then.
func (q *quicheConn) letGo() bool {
	if !q.gate.busy.CompareAndSwap(false, true) {
		return false
	}
	unregister(&q.object) // the gate stays closed
	q.core.Release()
	q.keyLog.close()
	return true
}

// quicheBegin is what quiche_accept, quiche_connect and quiche_conn_new_with_tls have in common.
type quicheBegin struct {
	config           C.uint64_t
	source, other    quic.ConnID // other: odcid, or a client's dcid
	hasOther, server bool
	local, peer      netip.AddrPort
	name             string
	ssl              uintptr
}

//export bq_go_quiche_begin
func bq_go_quiche_begin(c *C.quiche_conn, taken *C.bool, server C.bool, name *C.char, scid *C.uint8_t, scidLen C.size_t, other *C.uint8_t, otherLen C.size_t,
	local *C.struct_sockaddr, localLen C.socklen_t, peer *C.struct_sockaddr, peerLen C.socklen_t, config C.uint64_t, ssl C.uintptr_t) C.int32_t {
	return C.int32_t(call(func() error {
		b := quicheBegin{config: config, server: bool(server), hasOther: other != nil, ssl: uintptr(ssl)}
		if name != nil {
			b.name = text(name)
		}
		var ok1, ok2, ok3, ok4 bool
		b.source, ok1 = quic.MakeConnID(memory(scid, scidLen))
		b.other, ok2 = quic.MakeConnID(memory(other, otherLen))
		b.local, ok3 = address(local, localLen)
		b.peer, ok4 = address(peer, peerLen)
		switch {
		case !ok1 || !ok2:
			return faultf(errArgument, "a connection ID has more than 20 bytes")
		case !ok3 || !ok4:
			return faultf(errArgument, "an address is neither a sockaddr_in nor a sockaddr_in6")
		}
		q, err := b.begin(c, taken)
		if err != nil {
			return err
		}
		q.self, q.gate = q, new(gate)
		register(&q.object, kindQuicheConn)
		c.handle = C.uint64_t(q.handle)
		q.settle(moment(0))
		return nil
	}))
}

// begin makes the connection. It notes in taken that an SSL of the program's is not to be freed any more, whatever comes.
func (b *quicheBegin) begin(c *C.quiche_conn, taken *C.bool) (*quicheConn, error) {
	made, err := useQuicheConfig(b.config)
	if err != nil {
		return nil, err
	}
	q := &quicheConn{c: c, made: made}
	cfg := &made.core
	own := func() *quic.Config { // a config of the connection's own
		if cfg == &made.core {
			copied := made.core
			cfg = &copied
		}
		return cfg
	}
	if b.source.Len() == 0 {
		own().ConnIDs = quic.RandomConnIDs(0)
	}
	if made.logKeys && b.ssl == 0 {
		q.keyLog = new(keyLog)
		t := cfg.TLS.Clone()
		t.KeyLogWriter = q.keyLog
		own().TLS = t
	}
	now := moment(0)
	*taken = true
	if b.server {
		p := quic.AcceptParams{SrcConnID: b.source, Local: b.local, Remote: b.peer, ResetToken: made.resetToken, TLS: made.server, SSL: b.ssl}
		if b.hasOther {
			p.Retried, p.AddressValidated, p.OrigDstConnID, p.RetrySrcConnID = true, true, b.other, b.source
		}
		q.core, err = quic.Accept(now, cfg, p)
	} else {
		if b.ssl == 0 && b.name == "" && !cfg.TLS.InsecureSkipVerify {
			own().TLS = unnamed(cfg.TLS)
		}
		q.core, err = quic.Connect(now, cfg, quic.ConnectParams{ServerName: b.name, SrcConnID: b.source, DstConnID: b.other, Local: b.local, Remote: b.peer,
			TLS: made.client, SSL: b.ssl, ResendEarly: true}) // as quiche does
	}
	if err != nil {
		return nil, err
	}
	c.server, c.cap = b.server == true, C.size_t(made.cap)
	if b.server {
		q.nextStream = 1
	}
	for i, x := range []byte(q.core.TraceID()) {
		c.trace[i] = C.char(x)
	}
	c.trace_len = C.uint8_t(2 * b.source.Len())
	return q, nil
}

//export bq_go_quiche_free
func bq_go_quiche_free(h C.uint64_t) {
	in(handle(h), kindQuicheConn, func(q *quicheConn) error {
		q.unwanted.Store(true)
		if q.letGo() {
			C.bq_quiche_free_conn(q.c)
		}
		return nil
	})
}

// settle reads what the core has to tell, and brings what C sees of the connection up to date.
func (q *quicheConn) settle(now time.Time) {
	q.readEvents(now)
	core, c := q.core, q.c
	c.stale = false
	c.gathers = C.bool(core.HandshakeConfirmed() && !core.IsClosed())
	c.established = C.bool(core.HandshakeComplete())
	c.closed = C.bool(core.IsDrained() || q.unheard)
	if core.IsDraining() && !core.WantsSend() && !q.unheard { // once it is, it is also when it is closed
		c.draining = true
	}
	c.timeout = 1<<64 - 1
	if at, ok := core.Timeout(); ok {
		c.timeout = ns(at)
	}
	if q.h3 != nil {
		if at := q.h3.conn.Timeout(); !at.IsZero() {
			c.timeout = min(c.timeout, ns(at))
		}
	}
	c.max_payload = C.uint32_t(core.MaxUDPPayload())
	if q.made.core.DisablePMTUD && bool(c.established) {
		c.cap = C.size_t(c.max_payload) // nothing larger comes
	}
	c.quantum = C.uint32_t(core.SendQuantum())
	q.settleStreamsLeft()
	c.early = C.bool(core.InEarlyData())
	if id := core.SourceID(); id != q.source {
		q.source = id
		c.source_len = putID(&c.source, id)
	}
	if id := core.DestinationID(); id != q.destination {
		q.destination = id
		c.destination_len = putID(&c.destination, id)
	}
	if c.alpn.len == 0 {
		lendText(&c.alpn, core.ALPN())
	}
	if c.name.len == 0 {
		lendText(&c.name, core.ServerName())
	}
	if bool(c.established) && !bool(c.resumed) {
		c.resumed = C.bool(core.Resumed())
	}
	if c.error_by == 0 {
		q.tellEnd()
	}
}

// settleStreamsLeft brings up to date how many streams can be opened: of what getters tell all that calls on streams change.
func (q *quicheConn) settleStreamsLeft() {
	left := &q.c.streams_left
	left[0], left[1] = C.uint64_t(q.core.StreamsOpenable(false)), C.uint64_t(q.core.StreamsOpenable(true))
}

func putID(to *[C.QUICHE_MAX_CONN_ID_LEN]C.uint8_t, id quic.ConnID) C.uint8_t {
	n := copy(unsafe.Slice((*byte)(&to[0]), len(to)), id.Bytes())
	return C.uint8_t(n)
}

// lendText puts a text where C reads it.
func lendText(to *C.bq_bytes, text string) {
	if text == "" {
		return
	}
	C.free(unsafe.Pointer(to.data))
	point(&to.data, (*C.uint8_t)(C.CBytes([]byte(text))))
	to.len = C.size_t(len(text))
}

// tellEnd notes why the connection is over, once it is.
func (q *quicheConn) tellEnd() {
	c := q.c
	err := q.core.Err()
	if err == nil || q.told {
		return
	}
	q.told = true
	var transport *quic.TransportError
	var app *quic.ApplicationError
	var idle *quic.IdleTimeoutError
	remote, reason := false, ""
	switch {
	case errors.As(err, &idle):
		c.timed_out = true
	case errors.As(err, &transport):
		c.error_by, c.error_code, remote, reason = 2, C.uint64_t(transport.Code), transport.Remote, transport.Reason
	case errors.As(err, &app):
		c.error_by, c.error_app, c.error_code, remote, reason = 2, true, C.uint64_t(app.Code), app.Remote, app.Reason
	}
	if remote {
		c.error_by = 1
	}
	lendText(&c.reason, reason)
	q.log("closed: %v", err)
}

// log has the callback of quiche_enable_debug_logging called.
func (q *quicheConn) log(format string, args ...any) {
	if !bool(C.bq_is_logging()) {
		return
	}
	line := append(fmt.Appendf(nil, "%s "+format, append([]any{q.core.TraceID()}, args...)...), 0)
	C.bq_quiche_log((*C.char)(unsafe.Pointer(&line[0])))
}

// readEvents does what the core asks for, gives HTTP/3 what is its own, and keeps the rest as far as quiche.h tells of it.
func (q *quicheConn) readEvents(now time.Time) {
	var ev quic.Event
	for q.core.ReadEvent(&ev) {
		switch ev.Kind {
		case quic.EventAsk:
			ev.Ask.Run()
			q.core.Answer(ev.Ask)
			continue
		case quic.EventHandshakeComplete:
			q.log("handshake complete, protocol %s", q.core.ALPN())
		case quic.EventEndpoint:
			continue
		case quic.EventPath:
			q.onPath(ev.Path)
			continue
		case quic.EventMTU:
			q.onMTU(ev.MaxUDPPayload)
			continue
		case quic.EventDatagram:
			q.boundDatagrams()
			continue
		case quic.EventSession:
			if q.h3 == nil {
				q.keepSession(ev.Session)
			}
		default:
			q.onStreamEvent(&ev)
		}
		if q.h3 != nil {
			if ev.Kind == quic.EventStreamReset {
				q.h3.meetReset(ev.Stream)
			}
			q.h3.conn.HandleEvent(now, &ev)
			q.c.h3_news = true
		}
	}
}

// keepSession has quiche_conn_session return a session.
func (q *quicheConn) keepSession(s *quic.Session) {
	if b, err := s.MarshalBinary(); err == nil {
		lendText(&q.c.session, string(b))
	}
}

//export bq_go_quiche_recv
func bq_go_quiche_recv(h C.uint64_t, buf *C.uint8_t, n C.size_t, info *C.quiche_recv_info) C.int64_t {
	return exchange(h, false, func(q *quicheConn, now time.Time) (int64, error) {
		from, ok1 := address(info.from, info.from_len)
		to, ok2 := address(info.to, info.to_len)
		if !ok1 || !ok2 {
			return 0, faultf(errArgument, "an address is neither a sockaddr_in nor a sockaddr_in6")
		}
		before := q.core.Err()
		q.core.Recv(now, quic.Train{Buf: memory(buf, n), Local: to, Remote: from})
		var reset *quic.StatelessResetError
		if before == nil && errors.As(q.core.Err(), &reset) {
			return 0, quicheDone
		}
		return int64(n), nil
	})
}

// exchange is onQuiche for quiche_conn_recv and quiche_conn_send. They may end the connection, which is an error of the call then; or, if it sends, and
// so has CONNECTION_CLOSE for the peer, of the next one.
func exchange(h C.uint64_t, sends bool, f func(q *quicheConn, now time.Time) (int64, error)) C.int64_t {
	return onQuiche(h, func(q *quicheConn, now time.Time) (int64, error) {
		before, failed := q.core.Err(), q.failed
		q.failed = nil
		if q.inFailed != nil && !sends {
			failed, q.inFailed = q.inFailed, nil
		}
		if failed != nil && sends {
			return 0, failed
		}
		n, err := f(q, now)
		q.readEvents(now) // what is asked there may end it, too
		if !sends {
			q.dropTrain()
		}
		if before == nil {
			failed = ended(q.core.Err())
		}
		switch {
		case failed == nil:
			return n, err
		case sends && err == nil:
			q.failed = failed
			return n, nil
		}
		return 0, failed
	})
}

// dropTrain drops what waits to be handed out if the connection is over: no more than CONNECTION_CLOSE may leave then (RFC 9000, section 10.2).
func (q *quicheConn) dropTrain() {
	if q.core.IsClosed() {
		q.c.train_at, q.c.train_end = 0, 0
	}
}

// ended returns why a connection was closed, if that is a fault that was found here.
func ended(err error) error {
	if err == nil {
		return nil
	}
	var transport *quic.TransportError
	var version *quic.VersionNegotiationError
	if errors.As(err, &transport) && !transport.Remote && transport.Code != quic.NoError || errors.As(err, &version) {
		return err
	}
	return nil
}

//export bq_go_quiche_send
func bq_go_quiche_send(h C.uint64_t, out *C.uint8_t, n C.size_t, info *C.quiche_send_info, from *C.struct_sockaddr, fromLen C.socklen_t,
	to *C.struct_sockaddr, toLen C.socklen_t) C.int64_t {
	return exchange(h, true, func(q *quicheConn, now time.Time) (int64, error) {
		c, buf := q.c, memory(out, n)
		staged := c.train != nil && n >= c.cap // else the core has to know how much room there is
		if staged {
			buf = unsafe.Slice((*byte)(c.train), C.BQ_TRAIN)
		}
		var t quic.Transmit
		if from == nil && to == nil {
			t = q.core.Send(now, buf)
		} else {
			local, remote, err := q.onWhich(from, fromLen, to, toLen)
			if err != nil {
				return 0, err
			}
			t = q.core.SendPath(now, buf, local, remote)
		}
		if t.N == 0 {
			return 0, quicheDone
		}
		if staged { // C hands it out
			c.train_at, c.train_end, c.train_seg = 0, C.uint32_t(t.N), C.uint32_t(t.SegSize)
			info = &c.train_info
		}
		putAddress(&info.from, &info.from_len, t.Local)
		putAddress(&info.to, &info.to_len, t.Remote)
		at := ns(now)
		if !t.SendAt.IsZero() {
			at = ns(t.SendAt)
		}
		info.at.tv_sec, info.at.tv_nsec = C.time_t(at/1e9), C.long(at%1e9)
		first := min(t.SegSize, t.N)
		if rest := buf[first:t.N]; !staged && len(rest) > 0 {
			if c.train == nil {
				point(&c.train, (*C.uint8_t)(spare(C.BQ_SPARE_TRAIN)))
			}
			c.train_at, c.train_end, c.train_seg, c.train_info = 0, C.uint32_t(copy(unsafe.Slice((*byte)(c.train), C.BQ_TRAIN), rest)), C.uint32_t(t.SegSize), *info
		}
		return int64(first), nil
	})
}

//export bq_go_quiche_idle_timeout
func bq_go_quiche_idle_timeout(h C.uint64_t, ms C.uint64_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		return 0, q.core.SetMaxIdleTimeout(quicheIdle(uint64(ms)))
	})
}

// quicheIdle is an idle timeout in milliseconds, of which 0 is none.
func quicheIdle(ms uint64) time.Duration {
	if ms == 0 {
		return -1
	}
	return time.Duration(min(ms, 24*3600*1000)) * time.Millisecond
}

//export bq_go_quiche_timeout
func bq_go_quiche_timeout(h C.uint64_t) {
	onQuiche(h, func(q *quicheConn, now time.Time) (int64, error) {
		q.core.OnTimeout(now)
		q.readEvents(now)
		if q.h3 != nil {
			q.h3.conn.OnTimeout(now)
			q.c.h3_news = true
		}
		q.dropTrain()
		return 0, nil
	})
}

//export bq_go_quiche_close
func bq_go_quiche_close(h C.uint64_t, app C.bool, code C.uint64_t, reason *C.uint8_t, n C.size_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, now time.Time) (int64, error) {
		if q.core.IsClosed() {
			return 0, quicheDone
		}
		text, ofApp := string(memory(reason, n)), bool(app)
		if ofApp && !q.core.HandshakeComplete() && !q.core.InEarlyData() { // what the application says is not for those who can read it now (RFC 9000, section 10.2.3)
			ofApp, code, text = false, C.uint64_t(quic.ApplicationErrorCode), ""
		}
		q.core.Close(now, ofApp, uint64(code), text)
		q.dropTrain()
		if q.core.Stats().PacketsReceived == 0 { // nobody knows of the connection
			q.unheard = true
		}
		return 0, nil
	})
}

//export bq_go_quiche_ping
func bq_go_quiche_ping(h C.uint64_t, local *C.struct_sockaddr, localLen C.socklen_t, peer *C.struct_sockaddr, peerLen C.socklen_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		if q.core.IsClosed() {
			return 0, nil
		}
		if local != nil || peer != nil {
			l, r, err := q.onWhich(local, localLen, peer, peerLen)
			if err != nil {
				return 0, err
			}
			if l != q.core.LocalAddr() || r != q.core.RemoteAddr() {
				return 0, faultf(errPath, "packets that have to be acknowledged are sent on the path in use alone")
			}
		}
		q.core.Ping()
		return 0, nil
	})
}

//export bq_go_quiche_set_session
func bq_go_quiche_set_session(h C.uint64_t, p *C.uint8_t, n C.size_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		s := new(quic.Session)
		if err := s.UnmarshalBinary(bytes.Clone(memory(p, n))); err != nil {
			return 0, &quicheFault{quicheCrypto, err}
		}
		return 0, q.core.SetSession(s, q.made.core.EarlyData)
	})
}

//export bq_go_quiche_early_params
func bq_go_quiche_early_params(h C.uint64_t, p *C.uint8_t, n C.size_t) C.int64_t {
	return onQuiche(h, func(q *quicheConn, _ time.Time) (int64, error) {
		if err := q.core.SetEarlyParams(memory(p, n)); err != nil {
			return 0, &quicheFault{quicheCrypto, err}
		}
		return 0, nil
	})
}

//export bq_go_quiche_cert
func bq_go_quiche_cert(h C.uint64_t) {
	lookQuiche(h, func(q *quicheConn) (int64, error) {
		if chain := q.core.PeerCertificates(); len(chain) > 0 && !bytes.Equal(chain[0], q.cert) {
			q.cert = chain[0]
			lendText(&q.c.cert, string(q.cert))
		}
		return 0, nil
	})
}

//export bq_go_quiche_stats
func bq_go_quiche_stats(h C.uint64_t, out *C.quiche_stats) {
	lookQuiche(h, func(q *quicheConn) (int64, error) {
		s := q.core.Stats()
		*out = C.quiche_stats{
			recv: C.size_t(s.PacketsReceived), sent: C.size_t(s.PacketsSent), lost: C.size_t(s.PacketsLost), spurious_lost: C.size_t(s.PacketsSpurious),
			sent_bytes: C.uint64_t(s.BytesSent), recv_bytes: C.uint64_t(s.BytesReceived), acked_bytes: C.uint64_t(s.BytesAcked), lost_bytes: C.uint64_t(s.BytesLost),
			stream_retrans_bytes: C.uint64_t(s.StreamBytesResent),
			dgram_recv:           C.size_t(s.DatagramFramesReceived), dgram_sent: C.size_t(s.DatagramFramesSent), paths_count: C.size_t(len(q.core.Paths())),
			reset_stream_count_local: C.uint64_t(s.StreamsResetLocal), stopped_stream_count_local: C.uint64_t(s.StreamsStoppedLocal),
			reset_stream_count_remote: C.uint64_t(s.StreamsResetRemote), stopped_stream_count_remote: C.uint64_t(s.StreamsStoppedRemote),
			data_blocked_sent_count: C.uint64_t(s.DataBlockedSent), stream_data_blocked_sent_count: C.uint64_t(s.StreamDataBlockedSent),
			data_blocked_recv_count: C.uint64_t(s.DataBlockedReceived), stream_data_blocked_recv_count: C.uint64_t(s.StreamDataBlockedReceived),
			streams_blocked_bidi_recv_count: C.uint64_t(s.StreamsBlockedBidiReceived), streams_blocked_uni_recv_count: C.uint64_t(s.StreamsBlockedUniReceived),
			path_challenge_rx_count: C.uint64_t(s.PathChallengesReceived),
		}
		return 0, nil
	})
}

//export bq_go_quiche_params
func bq_go_quiche_params(h C.uint64_t, out *C.quiche_transport_params) C.int64_t {
	return lookQuiche(h, func(q *quicheConn) (int64, error) {
		p, ok := q.core.PeerParams()
		if !ok {
			return 0, nil
		}
		*out = C.quiche_transport_params{
			peer_max_idle_timeout: C.uint64_t(p.MaxIdleTimeout / time.Millisecond), peer_max_udp_payload_size: C.uint64_t(p.MaxUDPPayloadSize),
			peer_initial_max_data:                    C.uint64_t(p.InitialMaxData),
			peer_initial_max_stream_data_bidi_local:  C.uint64_t(p.InitialMaxStreamDataBidiLocal),
			peer_initial_max_stream_data_bidi_remote: C.uint64_t(p.InitialMaxStreamDataBidiRemote),
			peer_initial_max_stream_data_uni:         C.uint64_t(p.InitialMaxStreamDataUni),
			peer_initial_max_streams_bidi:            C.uint64_t(p.InitialMaxStreamsBidi), peer_initial_max_streams_uni: C.uint64_t(p.InitialMaxStreamsUni),
			peer_ack_delay_exponent: C.uint64_t(p.AckDelayExponent), peer_max_ack_delay: C.uint64_t(p.MaxAckDelay / time.Millisecond),
			peer_disable_active_migration: C.bool(p.DisableActiveMigration), peer_active_conn_id_limit: C.uint64_t(p.ActiveConnIDLimit),
			peer_max_datagram_frame_size: C.ssize_t(p.MaxDatagramFrameSize),
		}
		if p.MaxDatagramFrameSize == 0 {
			out.peer_max_datagram_frame_size = -1
		}
		return 1, nil
	})
}
