package http3

import (
	"errors"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// clientProtocol is a ClientConn as its connection's Protocol. What it does runs under the connection's lock.
type clientProtocol ClientConn

// open makes the connection's HTTP/3, and returns the Protocol of its turn.
func (cc *ClientConn) open(t *quicnet.Turn) quicnet.Protocol {
	cc.qc = t.Conn
	cc.h3, cc.openErr = h3.New(t.Now, t.Core, cc.cfg)
	if cc.openErr != nil {
		return nil
	}
	if t.Core.IsEstablished() {
		cc.onEstablished(t)
	} else {
		cc.setOpenable(t.Core.StreamsOpenable(false))
	}
	cc.handleEvents(t)
	return (*clientProtocol)(cc)
}

// HandleEvent implements quicnet.Protocol.
func (p *clientProtocol) HandleEvent(t *quicnet.Turn, ev *quic.Event) (woke bool) {
	cc := (*ClientConn)(p)
	cc.h3.HandleEvent(t.Now, ev)
	switch ev.Kind {
	case quic.EventStreamsAvailable, quic.EventHandshakeComplete, quic.EventEarlyData, quic.EventClosed:
		cc.handleEvents(t)
		cc.onConnEvent(t, ev)
	}
	return false // wake tells
}

// AfterEvents implements quicnet.Protocol.
func (p *clientProtocol) AfterEvents(t *quicnet.Turn) (woke bool) {
	(*ClientConn)(p).handleEvents(t)
	return false
}

// onConnEvent acts on an event that is of the connection and not of HTTP/3.
func (cc *ClientConn) onConnEvent(t *quicnet.Turn, ev *quic.Event) {
	switch ev.Kind {
	case quic.EventStreamsAvailable:
		if ev.Stream == quic.StreamTypeBidi {
			cc.setOpenable(t.Core.StreamsOpenable(false))
		}
	case quic.EventHandshakeComplete:
		if cc.tls.Load() == nil {
			cc.onEstablished(t)
		}
	case quic.EventEarlyData:
		if !ev.Accepted {
			cc.setOpenable(t.Core.StreamsOpenable(false))
		}
	case quic.EventClosed:
		cc.onClosed(t)
	}
}

// Timeout implements quicnet.Protocol.
func (p *clientProtocol) Timeout() time.Time {
	at := p.h3.Timeout()
	if check := p.live.at; !check.IsZero() && (at.IsZero() || check.Before(at)) {
		return check
	}
	return at
}

// OnTimeout implements quicnet.Protocol.
func (p *clientProtocol) OnTimeout(t *quicnet.Turn) (woke bool) {
	cc := (*ClientConn)(p)
	cc.h3.OnTimeout(t.Now)
	cc.handleEvents(t)
	cc.checkLiveness(t)
	return false
}

// KeepsSessions implements quicnet.SessionKeeper: the server's settings go along (RFC 9114, section 7.2.4.2).
func (p *clientProtocol) KeepsSessions() bool { return true }

// CloseCode implements quicnet.Drainer.
func (p *clientProtocol) CloseCode() uint64 { return uint64(h3.ErrCodeNoError) }

// Drain implements quicnet.Drainer: the requests under way come to their end.
func (p *clientProtocol) Drain(t *quicnet.Turn) (woke bool) {
	cc := (*ClientConn)(p)
	cc.h3.Shutdown(t.Now)
	cc.handleEvents(t)
	cc.retire(nil)
	return false
}

// handleEvents deals with what HTTP/3 has to tell.
func (cc *ClientConn) handleEvents(t *quicnet.Turn) {
	for ev := cc.h3.NextEvent(); ev != nil; ev = cc.h3.NextEvent() {
		cc.handleEvent(t, ev)
	}
	for i, cl := range cc.fresh {
		cl.publish()
		cc.fresh[i] = nil
	}
	cc.fresh = cc.fresh[:0]
}

func (cc *ClientConn) handleEvent(t *quicnet.Turn, ev *h3.Event) {
	switch ev.Kind {
	case h3.EventSettings:
		cc.onSettings(t)
		return
	case h3.EventGoAway:
		if cc.first == nil && cc.isNew(t) {
			cc.tellBroken()
		}
		cc.retire(nil)
		return
	case h3.EventSession:
		t.StoreSession(ev.Session)
		return
	case h3.EventShutdown:
		t.Core.Close(t.Now, true, uint64(h3.ErrCodeNoError), "")
		return
	}
	cl, ok := ev.Data.(*call)
	if !ok {
		return
	}
	switch ev.Kind {
	case h3.EventInterim:
		cl.onInterim(t, ev.Message)
	case h3.EventResponse:
		cl.onResponse(t, ev.Message, ev.Fin)
	case h3.EventData:
		cl.onData(t)
	case h3.EventTrailers:
		cl.onTrailers(ev.Fields)
	case h3.EventWritable:
		if cl.stream != nil {
			t.WakeWrite(cl.stream)
		}
	case h3.EventReset:
		cl.onReset(t, ev.Err)
	case h3.EventRejected:
		cl.onRejected(t)
	case h3.EventStopped:
		cl.onStopped(t)
	case h3.EventDatagram:
		if !cl.isTunnel() {
			cl.refuseDatagram(t)
			return
		}
		cl.datagrams.tell()
	case h3.EventDone:
		cl.onDone(t)
	}
}

// onEstablished notes that the handshake is complete.
func (cc *ClientConn) onEstablished(t *quicnet.Turn) {
	cc.began = t.Now
	state := t.Core.TLS()
	cc.tls.Store(&state)
	close(cc.established)
	cc.setOpenable(t.Core.StreamsOpenable(false))
}

// tellBlocked has the server told that a request waits for it to allow more (STREAMS_BLOCKED, RFC 9000, section 4.6).
func (cc *ClientConn) tellBlocked() { cc.qc.Do(cc.noteBlocked) }

func (cc *ClientConn) noteBlocked(t *quicnet.Turn) {
	if t.Core.IsClosed() {
		return
	}
	if n := t.Core.StreamsOpenable(false); n > 0 {
		cc.setOpenable(n) // more than we knew of: the core tells only who has asked in vain
	} else if cc.isWanted() {
		t.Core.OpenStream() // which fails, and notes that
	}
}

// refresh finds out how many streams may be opened.
func (cc *ClientConn) refresh() {
	cc.qc.Do(func(t *quicnet.Turn) { cc.setOpenable(t.Core.StreamsOpenable(false)) })
}

// isWanted tells whether requests wait for a place.
func (cc *ClientConn) isWanted() bool {
	if cc.wanted.Load() {
		return true
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return len(cc.queue) > 0
}

// onSettings notes the server's settings, for which extended CONNECT and datagrams wait.
func (cc *ClientConn) onSettings(*quicnet.Turn) {
	s, ok := cc.h3.PeerSettings()
	if !ok || isClosed(cc.settings) {
		return
	}
	cc.connects.Store(s.EnableConnect)
	close(cc.settings)
}

// isClosed tells whether a channel that nothing is sent on is closed.
func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// onClosed is told that the connection is over. What had arrived of responses can still be read.
func (cc *ClientConn) onClosed(t *quicnet.Turn) {
	err := t.Core.Err()
	kept := t.Core.KeepsReceived()
	cc.live, cc.ended = liveness{dead: true}, t.Now
	if cc.endShows(t, err) {
		cc.tellBroken()
	}
	for cl := cc.first; cl != nil; cl = cl.next {
		cl.onLost(t, err, kept)
	}
	cc.retire(err)
	for _, ch := range []chan struct{}{cc.established, cc.settings} {
		if !isClosed(ch) {
			close(ch)
		}
	}
	go cc.letGo(kept)
}

// onCutOff is told that the end of the connection is that of a request before its response has come whole. That may have shown that HTTP/3 does not work;
// what has worked may be closed, or be forgotten by a server that is started anew.
func (cc *ClientConn) onCutOff(err error) {
	switch {
	case isConnFailure(err) && !errors.Is(err, errDead):
		cc.tellBroken()
	case !cc.proved && (isEndedByPeer(err) || errors.Is(err, errDead)):
		cc.tellBroken()
	}
}

// endShows tells whether the end of the connection shows that HTTP/3 does not work although there is no request that it cuts off: they may have ended
// before, or have gone another way.
func (cc *ClientConn) endShows(t *quicnet.Turn, err error) bool {
	var idle *quic.IdleTimeoutError
	switch {
	case cc.tls.Load() == nil, errors.As(err, &idle): // of a handshake that fails whoever dials learns
		return false
	case errors.Is(err, errDead): // there was a request, and nothing came
		return !cc.proved
	}
	return cc.isNew(t) && (isEndedByPeer(err) || isConnFailure(err))
}

// isEndedByPeer tells whether a connection was closed by the peer's HTTP/3, for whatever reason, or forgotten by it.
func isEndedByPeer(err error) bool {
	var app *quic.ApplicationError
	return errors.As(err, &app) && app.Remote || errors.Is(err, &quic.StatelessResetError{})
}

// soon is for how long an end of the connection is a sign that HTTP/3 does not work, though there is no request that it cuts off. Later on it is what servers do
// with connections that are idle.
const soon = 5 * time.Second

// isNew tells whether the connection came about a short time ago, and has brought no response yet.
func (cc *ClientConn) isNew(t *quicnet.Turn) bool {
	return !cc.worked.Load() && t.Now.Sub(cc.began) < soon
}

// tellBroken tells whoever chose the route that HTTP/3 does not work with the server, although there was a connection: it was lost under a request, or one that
// has not worked yet was closed, or takes no more requests. If nobody knew, each request would be tried there again, and fail.
func (cc *ClientConn) tellBroken() {
	if cc.verdict == nil || cc.breaks {
		return
	}
	cc.breaks = !cc.ended.IsZero()
	cc.verdict(fails, cc.ended)
}

// tellBrokenOff tells the same of a response that will not come whole. Requests that were under way beside one that was told of may have met with the same
// trouble, and do not count.
func (cc *ClientConn) tellBrokenOff(cl *call) {
	if cc.verdict == nil || cl.number <= cc.brokenOff {
		return
	}
	cc.brokenOff = cc.requests
	cc.verdict(breaksOff, cc.ended)
}

// tellWhole notes that a response has come whole, and tells the same.
func (cc *ClientConn) tellWhole() {
	cc.proved = true
	if cc.verdict != nil {
		cc.verdict(works, cc.ended)
	}
}

// letGo gives back what the connection has of its Transport's, once word of the end is sent if it is ours.
func (cc *ClientConn) letGo(kept bool) {
	if !kept {
		cc.qc.CloseWithError(uint64(h3.ErrCodeNoError), "") // which waits for that
	}
	cc.t.onOver(cc)
	cc.mu.Lock()
	cc.over = true
	done := cc.done
	cc.mu.Unlock()
	if done != nil {
		done()
	}
}

// close ends the connection; requests under way fail with cause. Of those that are over for us, and of which the server has not acknowledged
// all, a small body may not be read yet: it is there.
func (cc *ClientConn) close(cause error) {
	cc.retire(cause)
	cc.qc.Do(func(t *quicnet.Turn) {
		for cl := cc.first; cl != nil; cl = cl.next {
			if !cl.isFinished() {
				cl.abort(t, cause, final)
			}
		}
	})
	cc.qc.CloseWithError(uint64(h3.ErrCodeNoError), "")
}

// link and unlink keep the list of calls that HTTP/3 tells of. While there are any, the connection is kept alive (RFC 9114, section 5.1).
func (cc *ClientConn) link(t *quicnet.Turn, cl *call) {
	if cc.first == nil && cc.keepAlive {
		t.Core.SetKeepAlive(keptAlive)
	}
	cl.next = cc.first
	if cc.first != nil {
		cc.first.prev = cl
	}
	cc.first, cl.linked = cl, true
}

func (cc *ClientConn) unlink(t *quicnet.Turn, cl *call) {
	if !cl.linked {
		return
	}
	if cl.prev != nil {
		cl.prev.next = cl.next
	} else {
		cc.first = cl.next
	}
	if cl.next != nil {
		cl.next.prev = cl.prev
	}
	cl.prev, cl.next, cl.linked = nil, nil, false
	if cc.first == nil && cc.keepAlive {
		t.Core.SetKeepAlive(-1)
	}
}

// Liveness. A server that was started anew does not know a connection of before, and what it says of that (a stateless reset) may not be
// understood, or not come. Then a request would wait for the idle timeout. So after a request was sent, something must be received, an
// acknowledgement at least; if not, the server is suspected to be dead. The pool then makes another connection, and only if that succeeds, and a
// further probe on the old one remains without an answer, the old one is given up, with an error for requests that cannot be made again.

// liveness is what is noted of that.
type liveness struct {
	at       time.Time // when something must have been received; zero: nothing was sent since
	received uint64    // packets, when it was sent
	nextAt   time.Time // the same for what was sent last, while at was waited for; zero: nothing was
	nextRecv uint64
	doubted  bool // suspicion was told
	last     bool // this is the last chance
	dead     bool // the connection is over
}

// errDead is the Cause of the end of a connection that was given up.
var errDead = errors.New("http3: the server does not answer on the connection, but on another one")

// onSent begins to watch, if it is not watched already.
func (cc *ClientConn) onSent(t *quicnet.Turn) {
	l := &cc.live
	if l.dead || l.doubted {
		return
	}
	st := t.Core.Stats()
	if at := t.Now.Add(patience(st.SmoothedRTT)); l.at.IsZero() {
		l.at, l.received = at, st.PacketsReceived
	} else {
		l.nextAt, l.nextRecv = at, st.PacketsReceived
	}
}

// Bounds of patience.
const (
	minPatience = 500 * time.Millisecond
	maxPatience = 3 * time.Second
)

// patience is how long a server may be silent: time for three probe timeouts, in multiples of the round trip.
func patience(rtt time.Duration) time.Duration {
	return min(max(7*rtt, minPatience), maxPatience)
}

func (cc *ClientConn) checkLiveness(t *quicnet.Turn) {
	l := &cc.live
	if l.at.IsZero() || t.Now.Before(l.at) || l.dead {
		return
	}
	st := t.Core.Stats()
	switch {
	case st.PacketsReceived != l.received:
		doubted := l.doubted
		*l = liveness{at: l.nextAt, received: l.nextRecv}
		if doubted {
			cc.setSuspect(false)
		}
	case l.last:
		t.Core.Fail(t.Now, errDead)
	case l.doubted:
		l.at = t.Now.Add(patience(st.SmoothedRTT)) // until another connection is there
	default:
		l.doubted = true
		l.at = t.Now.Add(patience(st.SmoothedRTT))
		cc.setSuspect(true)
	}
}

// lastChance asks a server that is suspected to be dead for a sign of life.
func (cc *ClientConn) lastChance() {
	cc.qc.Do(func(t *quicnet.Turn) {
		if l := &cc.live; l.doubted && !l.last {
			l.last = true
			t.Core.Ping()
			l.at = t.Now.Add(patience(t.Core.Stats().SmoothedRTT))
		}
	})
}
