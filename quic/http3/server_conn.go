package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/qpack"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// serverConn is a connection of a server: the Protocol that lives in its turn. There it reads header sections, makes requests of them and
// starts their handlers; all its methods run under the connection's lock but where something else is said.
type serverConn struct {
	srv  *serving
	conn *quicnet.Conn
	h3   *h3.Conn
	born time.Time

	open      int32 // requests whose streams are not over
	draining  bool
	closed    bool
	limitTold atomic.Bool // the log says that the client accepts less than a handler has to send
	exchanges *exchange   // those of them that something can happen to, the newest first
	handlers  handlers
	deadlines []*exchange // those that have one for writing: a heap
	idleAt    int64       // when the connection ends if no request is open by then; 0: never

	manyTrailers *exchange // whose trailers have just been refused; nil: none

	remote     string // remoteAddrPort, in words
	remotePort netip.AddrPort
	tls        *tls.ConnectionState // nil: not asked for since the handshake was complete

	states *connStates // nil: nobody wants to know

	once  gate
	ctx   context.Context // set by once
	stop  func() bool     // ends what ctx brings along; nil: nothing
	local net.Addr        // set by once
}

// newServerConn is the Protocol function of a server's ListenConfig.
func (srv *serving) newServerConn(t *quicnet.Turn) quicnet.Protocol {
	c, err := h3.New(t.Now, t.Core, srv.h3)
	if err != nil { // of the Config, which was checked before
		t.Core.Close(t.Now, true, uint64(h3.ErrCodeInternal), "")
		return nil
	}
	sc := &serverConn{srv: srv, conn: t.Conn, h3: c, born: t.Now}
	sc.handlers.most = int32(min(max(t.Core.PeerStreamLimit(false), 1), math.MaxInt32)) // no stream is over yet
	sc.setIdle(t.Now)
	if srv.http.ConnState != nil {
		sc.states = newConnStates(sc, t)
		sc.states.push(t, http.StateNew)
	}
	switch ended, closed := srv.s.add(sc); {
	case closed:
		sc.h3.Close(t.Now, h3.ErrCodeNoError, "")
	case ended:
		sc.shutdown(t)
	}
	sc.drain(t)
	return sc
}

// since and time turn times into nanoseconds since the connection began, and back.
func (sc *serverConn) since(t time.Time) int64 { return max(int64(t.Sub(sc.born)), 1) }
func (sc *serverConn) time(at int64) time.Time { return sc.born.Add(time.Duration(at)) }
func (sc *serverConn) logf(f string, a ...any) { sc.srv.logf(f, a...) }
func (sc *serverConn) parent() context.Context { return sc.ctx }
func (sc *serverConn) CloseCode() uint64       { return uint64(h3.ErrCodeNoError) }

// HandleEvent is given what happens on the connection.
func (sc *serverConn) HandleEvent(t *quicnet.Turn, ev *quic.Event) (woke bool) {
	sc.h3.HandleEvent(t.Now, ev)
	if ev.Kind == quic.EventClosed {
		woke = sc.drain(t)
		sc.onClosed(t)
	}
	return woke
}

// AfterEvents acts on what they mean to HTTP/3.
func (sc *serverConn) AfterEvents(t *quicnet.Turn) (woke bool) { return sc.drain(t) }

// drain acts on what HTTP/3 has to tell.
func (sc *serverConn) drain(t *quicnet.Turn) (woke bool) {
	for {
		ev := sc.h3.NextEvent()
		if ev == nil {
			return woke
		}
		switch data := ev.Data.(type) {
		case *exchange:
			woke = sc.onExchange(t, data, ev) || woke
			continue
		case *serverConn: // of a request that was let go of
			if ev.Kind == h3.EventDone {
				sc.onDone(t)
			}
			continue
		}
		switch ev.Kind {
		case h3.EventRequest:
			sc.onRequest(t, ev)
		case h3.EventTooLarge:
			sc.refuse(t, ev.Stream, http.StatusRequestHeaderFieldsTooLarge, tooLargeText)
		case h3.EventShutdown:
			sc.h3.Close(t.Now, h3.ErrCodeNoError, "")
		}
	}
}

// onExchange acts on what has happened to a request that there is.
func (sc *serverConn) onExchange(t *quicnet.Turn, x *exchange, ev *h3.Event) (woke bool) {
	s := x.stream.Load()
	switch ev.Kind {
	case h3.EventData:
		x.tellDatagram() // it may be the end
		return s != nil && t.WakeRead(s)
	case h3.EventWritable:
		return s != nil && t.WakeWrite(s)
	case h3.EventTrailers:
		if n := sc.srv.maxValues; n > 0 && len(ev.Fields) > n {
			sc.h3.StreamShutdown(x.id, quic.ReadDirection|quic.WriteDirection, h3.ErrCodeExcessiveLoad)
			x.lose(t, errManyTrailers(x.id))
			sc.manyTrailers = x
			return true
		}
		x.onTrailers(ev.Fields)
	case h3.EventReset:
		x.lose(t, ev.Err)
	case h3.EventStopped:
		x.lose(t, &StreamError{Stream: x.id, Code: ev.Code, Remote: true})
	case h3.EventDatagram:
		if !x.connect { // RFC 9297, section 2: a request that has no datagrams MUST be ended, which those of other methods are
			sc.h3.StreamShutdown(x.id, quic.ReadDirection|quic.WriteDirection, h3.ErrCodeDatagram)
			x.lose(t, errUnwantedDatagram(x.id))
			return true
		}
		// Deviation: of CONNECT it is for the handler to say, by TakeOver, and may be so after they have come; where it does not they are never read.
		x.tellDatagram()
	case h3.EventDone:
		x.done = true
		x.ctx.cancel(errStreamOver)
		sc.forget(x)
		if x.tunnel != nil {
			x.tunnel.datagrams.keep(sc.h3, x.id)
		}
		x.tellDatagram()
		sc.onDone(t)
	}
	return false
}

// lose ends the request's context since the client has given the request up, or what it has sent is no HTTP.
func (x *exchange) lose(t *quicnet.Turn, cause error) {
	x.ctx.cancel(cause)
	x.tellDatagram()
	if s := x.stream.Load(); s != nil {
		t.WakeRead(s)
		t.WakeWrite(s)
	}
}

// onRequest has a request served.
func (sc *serverConn) onRequest(t *quicnet.Turn, ev *h3.Event) {
	m := ev.Message
	if n := sc.srv.maxValues; n > 0 && len(m.Fields) > n {
		text := tooLargeText
		if m.Method == http.MethodHead {
			text = ""
		}
		sc.refuse(t, ev.Stream, http.StatusRequestHeaderFieldsTooLarge, text)
		return
	}
	wait := m.Early && !isSafe(m.Method)
	if wait && sc.srv.s.Early == EarlyReject {
		sc.refuse(t, ev.Stream, http.StatusTooEarly, "")
		return
	}
	x, err := newExchange(sc, t, ev)
	if err != nil {
		sc.h3.StreamShutdown(ev.Stream, quic.ReadDirection|quic.WriteDirection, h3.ErrCodeMessage)
		return
	}
	x.wait = wait && sc.srv.s.Early == EarlyWait
	sc.h3.SetStreamData(ev.Stream, x)
	if sc.open++; sc.open == 1 {
		sc.states.push(t, http.StateActive)
		t.Core.SetKeepAlive(keptAlive)
	}
	if sc.exchanges != nil {
		sc.exchanges.prev = x
	}
	x.next, sc.exchanges = sc.exchanges, x
	if d := sc.srv.http.ReadTimeout; d > 0 {
		x.readBy = sc.since(t.Now.Add(d))
	}
	if d := sc.srv.http.WriteTimeout; d > 0 {
		sc.setWriteDeadline(x, sc.since(t.Now.Add(d)))
	}
	sc.startHandler(t, x)
}

// isSafe tells whether a method is safe (RFC 9110, section 9.2.1).
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

const tooLargeText = "Request Header Fields Too Large\n"

// refuse answers a request that no handler sees.
func (sc *serverConn) refuse(t *quicnet.Turn, id uint64, status int, text string) {
	fields := make([]qpack.Field, 0, 3)
	fields = append(fields, qpack.Field{Name: "date", Value: dateOf(t.Now)}, qpack.Field{Name: "content-length", Value: strconv.Itoa(len(text))})
	if text != "" {
		fields = append(fields, qpack.Field{Name: "content-type", Value: "text/plain; charset=utf-8"})
	}
	m := h3.Message{Status: status, ContentLength: -1, Fields: fields}
	n, err := sc.h3.SendResponse(t.Now, id, &m, []byte(text), true)
	if err != nil || n < len(text) {
		sc.h3.StreamShutdown(id, quic.ReadDirection|quic.WriteDirection, h3.ErrCodeNoError)
		return
	}
	sc.h3.StreamStopLater(t.Now, id, h3.ErrCodeNoError)
}

// onAnswered lets go of a request whose handler has returned, if nothing more can happen to it though its stream goes on until the client has all
// of the response: then it is garbage that much earlier, with its header.
func (sc *serverConn) onAnswered(x *exchange) {
	if !x.done && x.tunnel == nil && x.writeIndex < 0 {
		sc.h3.SetStreamData(x.id, sc)
		sc.forget(x)
	}
}

// forget takes a request out of all lists.
func (sc *serverConn) forget(x *exchange) {
	sc.stopWaiting(x)
	sc.clearWriteDeadline(x)
	if x.prev != nil {
		x.prev.next = x.next
	} else if sc.exchanges == x {
		sc.exchanges = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
}

// onDone notes that the stream of a request is over.
func (sc *serverConn) onDone(t *quicnet.Turn) {
	if sc.open--; sc.open == 0 && !sc.closed {
		sc.states.push(t, http.StateIdle)
		t.Core.SetKeepAlive(-1)
		sc.setIdle(t.Now)
	}
}

// errStreamOver is why there is nobody who wants a response where its stream is over.
var errStreamOver = errors.New("http3: the stream of the request is over")

// onClosed ends the contexts of all requests.
func (sc *serverConn) onClosed(t *quicnet.Turn) {
	sc.closed, sc.deadlines, sc.idleAt = true, nil, 0
	err := nameError(t.Core.Err())
	for x := sc.exchanges; x != nil; {
		next := x.next
		x.ctx.cancel(err)
		x.tellDatagram()
		x.prev, x.next, x.writeIndex = nil, nil, -1
		x = next
	}
	sc.exchanges, sc.handlers.waiting = nil, nil
	if sc.stop != nil {
		go sc.stop() // contexts may be anybody's
	}
	sc.states.push(t, http.StateClosed)
	sc.srv.s.remove(sc)
}

// Drain has the connection come to its end (quicnet.Drainer).
func (sc *serverConn) Drain(t *quicnet.Turn) bool {
	sc.shutdown(t)
	return sc.drain(t)
}

func (sc *serverConn) shutdown(t *quicnet.Turn) {
	if !sc.draining {
		sc.draining = true
		sc.h3.Shutdown(t.Now)
	}
}

// StreamRecv reads the body of a request.
func (sc *serverConn) StreamRecv(t *quicnet.Turn, id uint64, p []byte) (n int, fin bool, err error) {
	n, fin, err = sc.h3.StreamRecv(id, p)
	if fin || err != nil {
		sc.tellDatagram(id)
	}
	sc.drain(t)
	if fin && sc.tooManyTrailers(id) {
		return n, false, errManyTrailers(id)
	}
	return n, fin, err
}

// tooManyTrailers tells, once, whether the trailers that have come with the end of a body were refused.
func (sc *serverConn) tooManyTrailers(id uint64) bool {
	x := sc.manyTrailers
	sc.manyTrailers = nil
	return x != nil && x.id == id
}

func errManyTrailers(id uint64) error {
	return &StreamError{Stream: id, Code: h3.ErrCodeExcessiveLoad}
}

// StreamTake reads the body of a request without a copy.
func (sc *serverConn) StreamTake(t *quicnet.Turn, id uint64, into []quic.Piece) (n int, err error) {
	n, err = sc.h3.StreamTake(id, into)
	sc.drain(t)
	return n, err
}

// StreamSend writes a piece of the body of a response.
func (sc *serverConn) StreamSend(t *quicnet.Turn, id uint64, p []byte, fin bool) (n int, err error) {
	n, err = sc.h3.StreamSend(id, p, fin)
	sc.drain(t)
	return n, err
}

// tellDatagram has who waits for a datagram of a stream look whether one can still come.
func (sc *serverConn) tellDatagram(id uint64) {
	if x, ok := sc.h3.StreamData(id).(*exchange); ok {
		x.tellDatagram()
	}
}

// StreamShutdown ends a part of a stream that was taken over.
func (sc *serverConn) StreamShutdown(t *quicnet.Turn, id uint64, dir quic.Direction, code uint64) error {
	err := sc.h3.StreamShutdown(id, dir, ErrorCode(code))
	sc.tellDatagram(id)
	sc.drain(t)
	return err
}

// remoteAddr returns the client's address in words.
func (sc *serverConn) remoteAddr(t *quicnet.Turn) string {
	if a := t.Core.RemoteAddr(); a != sc.remotePort {
		sc.remotePort, sc.remote = a, a.String()
	}
	return sc.remote
}

// tlsState returns the state of TLS, which requests share once the handshake is complete, until the connection rests.
func (sc *serverConn) tlsState(t *quicnet.Turn) *tls.ConnectionState {
	if sc.tls != nil {
		return sc.tls
	}
	state := t.Core.TLS()
	if state.HandshakeComplete {
		sc.tls = &state
	}
	return &state
}
