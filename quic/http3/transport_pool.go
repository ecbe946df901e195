package http3

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// The pool. A Transport has a host for each server, with its connections, what is being dialled, and the requests that wait for a
// place on one. Locks are taken in this order: a connection's (quicnet's), Transport.mu, ClientConn.mu. So what happens on a connection may be
// told to the pool at once, and the pool never calls into a connection but for its places (ClientConn.reserve).

// host is a server, or a route to one, guarded by Transport.mu. It is there while it has connections, dials or requests that wait.
type host struct {
	key      string
	route    route
	conns    []*ClientConn // that new requests may go to
	suspects []*ClientConn // that seem to be dead
	open     int           // connections that are not over, and dials
	dials    int
	waiting  []*want     // the first one is served first
	more     *time.Timer // of crowdedPatience; nil: none runs
}

// want is a request that waits for a place, or somebody who waits for a connection.
type want struct {
	ready chan struct{} // holds a token when cc or err is set
	ctx   context.Context
	conn  bool        // a connection is wanted, and no place on it
	cc    *ClientConn // with a place reserved
	idle  time.Duration
	err   error
}

// give ends the waiting.
func (w *want) give(cc *ClientConn, err error) {
	w.cc, w.err = cc, err
	w.ready <- struct{}{}
}

// crowdedPatience is how long a request waits for a place on the connections that there are before a further one is opened. RFC 9114, section
// 3.3, would rather have one connection to a server; a burst is over by then, and what is left are requests that take long.
const crowdedPatience = 100 * time.Millisecond

// key tells routes apart.
func (rt *route) key() string {
	if len(rt.addrs) == 0 && rt.altUsed == "" {
		return rt.origin
	}
	return rt.origin + " " + rt.altUsed + " " + strings.Join(rt.addrs, " ")
}

// acquire returns a connection with a place for a request. With dials false it does so only if there is a connection: else the error is
// errNoConn.
func (t *Transport) acquire(r *attempt, rt *route, dials bool) (*ClientConn, error) {
	ctx := r.req.Context()
	if r.trace != nil && r.trace.GetConn != nil {
		r.trace.GetConn(rt.origin)
	}
	if err := requestEnded(ctx, r.req); err != nil {
		return nil, err
	}
	t.mu.Lock()
	h := t.host(rt)
	if !dials && h.serving() == nil {
		t.tidy(h)
		t.mu.Unlock()
		return nil, errNoConn
	}
	if len(h.waiting) == 0 {
		if cc := t.pick(h); cc != nil {
			idle := t.use(cc)
			if r.wantsClose() {
				t.unlist(cc)
			}
			t.mu.Unlock()
			return r.got(cc, idle)
		}
	}
	w := &want{ready: make(chan struct{}, 1), ctx: ctx}
	t.await(h, w)
	var full *ClientConn
	if len(h.conns) > 0 {
		full = h.conns[0]
	}
	t.mu.Unlock()
	if full != nil {
		full.tellBlocked()
	}
	if err := t.wait(h, w, r.req); err != nil {
		return nil, err
	}
	if r.wantsClose() {
		t.mu.Lock()
		t.unlist(w.cc)
		t.mu.Unlock()
	}
	return r.got(w.cc, w.idle)
}

// await queues a want and sees to it that there will be something for it.
func (t *Transport) await(h *host, w *want) {
	h.waiting = append(h.waiting, w)
	h.setWanted(true)
	t.provide(h)
}

// wait waits for what was queued.
func (t *Transport) wait(h *host, w *want, req *http.Request) (err error) {
	var cancel <-chan struct{}
	if req != nil {
		cancel = req.Cancel
	}
	select {
	case <-w.ready:
		return w.err
	case <-w.ctx.Done():
		err = ctxerr.Of(w.ctx)
	case <-cancel:
		err = errRequestCanceled
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(h.waiting, w); i >= 0 {
		if h.waiting = slices.Delete(h.waiting, i, i+1); len(h.waiting) == 0 {
			h.setWanted(false)
		}
		t.tidy(h)
	} else if w.cc != nil && !w.conn { // what it was given meanwhile is for another
		if w.cc.unreserveQuietly() {
			t.rest(w.cc)
		}
		t.deliver(h)
	}
	return err
}

// requestEnded returns why a request is over before it has begun, nil if it is not.
func requestEnded(ctx context.Context, req *http.Request) error {
	if err := ctxerr.Of(ctx); err != nil || req.Cancel == nil {
		return err
	}
	if isClosed(req.Cancel) {
		return errRequestCanceled
	}
	return nil
}

// host returns the host of a route. t.mu is held, here and below.
func (t *Transport) host(rt *route) *host {
	key := rt.key()
	h := t.hosts[key]
	if h == nil {
		h = &host{key: key, route: *rt}
		if t.hosts == nil {
			t.hosts = make(map[string]*host)
		}
		t.hosts[key] = h
	}
	return h
}

// tidy forgets a host with which nothing is going on.
func (t *Transport) tidy(h *host) {
	if h.open > 0 || len(h.waiting) > 0 || t.hosts[h.key] != h {
		return
	}
	if h.more != nil {
		h.more.Stop()
		h.more = nil
	}
	delete(t.hosts, h.key)
}

// pick reserves a place on one of the connections; nil if there is none.
func (t *Transport) pick(h *host) *ClientConn {
	for _, cc := range h.conns {
		if cc.reserve(false) {
			return cc
		}
	}
	return nil
}

// deliver gives those who wait what there is.
func (t *Transport) deliver(h *host) {
	for len(h.waiting) > 0 {
		w := h.waiting[0]
		var cc *ClientConn
		if w.conn {
			cc = h.serving()
		} else if cc = t.pick(h); cc != nil {
			w.idle = t.use(cc)
		}
		if cc == nil {
			t.provide(h)
			h.setWanted(true)
			return
		}
		t.next(h).give(cc, nil)
	}
	h.setWanted(false)
	t.tidy(h)
}

// setWanted tells connections whether requests wait for a place on them.
func (h *host) setWanted(wanted bool) {
	for _, cc := range h.conns {
		if cc.wanted.Load() != wanted {
			cc.wanted.Store(wanted)
		}
	}
}

// next takes the first of those that wait out of the queue.
func (t *Transport) next(h *host) *want {
	w := h.waiting[0]
	h.waiting[0] = nil
	if h.waiting = h.waiting[1:]; len(h.waiting) == 0 {
		h.waiting = nil
	}
	return w
}

// serving returns a connection that takes requests, nil if there is none: a server need not let a client have a place at once, or ever (RFC 9000, section 18.2,
// initial_max_streams_bidi).
func (h *host) serving() *ClientConn {
	for _, cc := range h.conns {
		if cc.takes() {
			return cc
		}
	}
	return nil
}

// promises tells whether there is a connection that never had a place yet: another one would not be better.
func (h *host) promises() bool {
	return slices.ContainsFunc(h.conns, func(cc *ClientConn) bool { return !cc.takes() })
}

// provide sees to it that there will be places: a connection is dialled at once if there is none, and after crowdedPatience if those that
// there are have no room, unless one of them has promised only. One is dialled at a time, since many requests share it; without keep-alives each request
// has its own.
func (t *Transport) provide(h *host) {
	limit := 1
	switch {
	case h.promises():
		return
	case t.DisableKeepAlives:
		limit = len(h.waiting)
	case len(h.conns) > 0:
		if h.dials == 0 && h.more == nil {
			h.more = time.AfterFunc(crowdedPatience, func() { t.onCrowded(h) })
		}
		return
	}
	for h.dials < limit && t.mayOpen(h) {
		t.startDial(h, h.waiting[min(h.dials, len(h.waiting)-1)].ctx)
	}
}

func (t *Transport) mayOpen(h *host) bool {
	return t.MaxConnsPerHost <= 0 || h.open < t.MaxConnsPerHost
}

// onCrowded dials a further connection for requests that have waited long enough.
func (t *Transport) onCrowded(h *host) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.more = nil
	if len(h.waiting) > 0 && h.dials == 0 && !h.promises() && t.mayOpen(h) {
		t.startDial(h, h.waiting[0].ctx)
	}
}

// startDial has a connection be made. It ends neither with the request that it is made for nor with any other: they share it, and if
// nobody waits for it any more, the next one will want it.
func (t *Transport) startDial(h *host, ctx context.Context) {
	h.dials++
	h.open++
	go func() {
		cc, err := t.dial(context.WithoutCancel(ctx), &dialing{route: &h.route, tls: t.TLSClientConfig})
		t.mu.Lock()
		defer t.mu.Unlock()
		h.dials--
		if err == nil && cc.pool.over {
			err = cc.Err()
		}
		if err != nil {
			h.open--
			t.fail(h, err)
			return
		}
		t.add(h, cc)
	}()
}

// fail tells those that wait that there will be no connection, unless there is another one.
func (t *Transport) fail(h *host, err error) {
	for len(h.waiting) > 0 && len(h.conns) == 0 {
		t.next(h).give(nil, err)
		if t.DisableKeepAlives {
			break // the others have dials of their own
		}
	}
	t.deliver(h)
}

// inVain returns why a connection takes no new requests any more, if it never had a place for one and is not closed by us: to dial again and again for
// those that wait for a place would be of no use.
func (cc *ClientConn) inVain() error {
	if cc.pool.dropped || cc.takes() {
		return nil
	}
	return cc.Err()
}

// lose goes on without a connection. err is its inVain.
func (t *Transport) lose(h *host, err error) {
	if err != nil && h.dials == 0 {
		t.fail(h, err)
		return
	}
	t.deliver(h)
}

// add takes a new connection into the pool.
func (t *Transport) add(h *host, cc *ClientConn) {
	cc.pool.host = h
	if !cc.isUsable() { // onOver is about to be called, or the server has said that it goes
		err := cc.Err()
		t.rest(cc)
		t.fail(h, err)
		return
	}
	h.conns = append(h.conns, cc)
	for _, old := range h.suspects {
		go old.lastChance()
	}
	t.deliver(h)
	if cc.isIdle() {
		t.rest(cc)
	}
}

// use notes that a connection was given a request, and returns how long it was idle.
func (t *Transport) use(cc *ClientConn) (idle time.Duration) {
	p := &cc.pool
	if p.idle {
		idle = time.Since(p.idleSince)
		t.idle.remove(cc)
	}
	if t.DisableKeepAlives {
		t.unlist(cc)
	}
	return idle
}

// unlist has no new requests go to a connection.
func (t *Transport) unlist(cc *ClientConn) {
	h := cc.pool.host
	if i := slices.Index(h.conns, cc); i >= 0 {
		h.conns = slices.Delete(h.conns, i, i+1)
	}
}

// rest is called for a connection that has no request any more: it is kept for the next one, or closed.
func (t *Transport) rest(cc *ClientConn) {
	h, p := cc.pool.host, &cc.pool
	if p.idle || p.dropped || p.over || slices.Contains(h.suspects, cc) {
		return
	}
	if !slices.Contains(h.conns, cc) {
		t.drop(cc)
		return
	}
	t.idle.add(cc)
	p.idleSince = time.Now()
	if t.MaxIdleConns > 0 && t.idle.n > t.MaxIdleConns {
		t.drop(t.idle.oldest())
	}
	if p.idle && t.IdleConnTimeout > 0 && p.timer == nil {
		p.timer = time.AfterFunc(t.IdleConnTimeout, func() { t.onIdleTimeout(cc) })
	}
}

// drop closes a connection that has no request.
func (t *Transport) drop(cc *ClientConn) {
	t.forgetIdle(cc)
	go cc.close(errIdleClosed)
}

// forgetIdle is for who closes the connection then.
func (t *Transport) forgetIdle(cc *ClientConn) {
	cc.pool.dropped = true
	t.unlist(cc)
	t.idle.remove(cc)
	if cc.pool.timer != nil {
		cc.pool.timer.Stop()
		cc.pool.timer = nil
	}
}

// onIdleTimeout closes a connection that was idle for long enough. The timer is not set anew for each request: it looks, when it fires, how long
// that is yet.
func (t *Transport) onIdleTimeout(cc *ClientConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &cc.pool
	p.timer = nil
	if !p.idle {
		return
	}
	if left := t.IdleConnTimeout - time.Since(p.idleSince); left > 0 {
		p.timer = time.AfterFunc(left, func() { t.onIdleTimeout(cc) })
		return
	}
	t.drop(cc)
}

// CloseIdleConnections closes the connections that serve no request. Those that are being dialled are not concerned. When it returns, servers have
// been sent word of it, and the sessions that they gave are in TLSClientConfig.ClientSessionCache, unless that takes longer than a second:
// the program may exit.
func (t *Transport) CloseIdleConnections() {
	var closing sync.WaitGroup
	t.mu.Lock()
	for t.idle.n > 0 {
		cc := t.idle.oldest()
		t.forgetIdle(cc)
		closing.Go(func() { cc.close(errIdleClosed) })
	}
	t.mu.Unlock()
	closing.Wait()
}

// The events of connections. They come under the connection's lock, or under none.

// onPlaces is told that a connection may have got room, and whether it has become idle.
func (t *Transport) onPlaces(cc *ClientConn, idle bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := cc.pool.host
	if h == nil {
		return
	}
	if len(h.waiting) > 0 {
		t.deliver(h)
	}
	if idle && cc.isIdle() {
		t.rest(cc)
	}
}

// onRetired is told that a connection takes no new requests.
func (t *Transport) onRetired(cc *ClientConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := cc.pool.host
	if h == nil {
		return
	}
	err := cc.inVain()
	t.unlist(cc)
	if cc.pool.idle {
		t.drop(cc)
	} else if cc.isIdle() {
		t.rest(cc)
	}
	t.lose(h, err)
}

// onSuspect is told that a connection seems to be dead, or that it is not. In place of one that does, another is made.
func (t *Transport) onSuspect(cc *ClientConn, suspect bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := cc.pool.host
	if h == nil || cc.pool.over {
		return
	}
	i := slices.Index(h.suspects, cc)
	switch {
	case suspect && i < 0 && slices.Contains(h.conns, cc):
		t.unlist(cc)
		t.idle.remove(cc)
		h.suspects = append(h.suspects, cc)
		if len(h.conns) > 0 {
			go cc.lastChance()
		} else if h.dials == 0 { // MaxConnsPerHost is for connections that are alive
			t.startDial(h, WithoutEarlyData(context.Background())) // it shows that the server lives
		}
	case !suspect && i >= 0:
		h.suspects = slices.Delete(h.suspects, i, i+1)
		if cc.isUsable() {
			h.conns = append(h.conns, cc)
		}
		if cc.isIdle() {
			t.rest(cc)
		}
		t.deliver(h)
	}
}

// onOver is told that a connection is over.
func (t *Transport) onOver(cc *ClientConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	cc.pool.over = true
	h := cc.pool.host
	if h == nil {
		return
	}
	err := cc.inVain()
	t.unlist(cc)
	if i := slices.Index(h.suspects, cc); i >= 0 {
		h.suspects = slices.Delete(h.suspects, i, i+1)
	}
	t.idle.remove(cc)
	if cc.pool.timer != nil {
		cc.pool.timer.Stop()
		cc.pool.timer = nil
	}
	h.open--
	t.lose(h, err)
}

// idleList is the connections without a request, the one that became so last first.
type idleList struct {
	first, last *ClientConn
	n           int
}

func (l *idleList) oldest() *ClientConn { return l.last }

func (l *idleList) add(cc *ClientConn) {
	p := &cc.pool
	p.idle, p.next = true, l.first
	if l.first != nil {
		l.first.pool.prev = cc
	} else {
		l.last = cc
	}
	l.first = cc
	l.n++
}

func (l *idleList) remove(cc *ClientConn) {
	p := &cc.pool
	if !p.idle {
		return
	}
	if p.prev != nil {
		p.prev.pool.next = p.next
	} else {
		l.first = p.next
	}
	if p.next != nil {
		p.next.pool.prev = p.prev
	} else {
		l.last = p.prev
	}
	p.idle, p.prev, p.next = false, nil, nil
	l.n--
}
