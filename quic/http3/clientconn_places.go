package http3

import (
	"context"
	"net/http"
	"slices"

	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// free returns how many places are not taken.
func (p *places) free() int {
	if p.retired || p.suspect {
		return 0
	}
	return max(p.openable-p.reserved, 0)
}

// reserve keeps a place for a request, if there is one; keep says that it is for whoever called Reserve.
func (cc *ClientConn) reserve(keep bool) bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.places.free() == 0 {
		return false
	}
	cc.places.reserved++
	if keep {
		cc.places.kept++
	}
	return true
}

// takeKept takes a place that Reserve kept, if there is one: it is the caller's then.
func (cc *ClientConn) takeKept() bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.places.kept == 0 {
		return false
	}
	cc.places.kept--
	return true
}

// unreserve gives a place back that was not used.
func (cc *ClientConn) unreserve() { cc.onPlaces(cc.unreserveQuietly()) }

// unreserveQuietly is unreserve for the pool. It tells whether the connection has become idle.
func (cc *ClientConn) unreserveQuietly() (idle bool) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.places.reserved--
	cc.wakeQueue()
	return cc.places.isIdle()
}

func (p *places) isIdle() bool { return p.open+p.reserved == 0 }

// isIdle tells whether the connection has no request.
func (cc *ClientConn) isIdle() bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.places.isIdle()
}

// wait reserves a place without a pool, and waits for one if there is none.
func (cc *ClientConn) wait(ctx context.Context, req *http.Request) error {
	if cc.takeKept() {
		return nil
	}
	for {
		cc.mu.Lock()
		switch {
		case cc.err != nil:
			defer cc.mu.Unlock()
			return &failure{err: cc.err, kind: unsent}
		case cc.places.retired:
			cc.mu.Unlock()
			return &failure{err: h3.ErrGoingAway, kind: unsent}
		case cc.places.free() > 0:
			cc.places.reserved++
			cc.wakeQueue()
			cc.mu.Unlock()
			return nil
		}
		ch := make(chan struct{}, 1)
		cc.queue = append(cc.queue, ch)
		cc.mu.Unlock()
		cc.tellBlocked()
		var err error
		select {
		case <-ch:
			continue
		case <-ctx.Done():
			err = ctxerr.Of(ctx)
		case <-req.Cancel:
			err = errRequestCanceled
		}
		cc.mu.Lock()
		if i := slices.Index(cc.queue, ch); i >= 0 {
			cc.queue = slices.Delete(cc.queue, i, i+1)
		} else {
			cc.wakeQueue() // what woke us is for another
		}
		cc.mu.Unlock()
		return err
	}
}

// wakeQueue has the first of those that wait without a pool look again, if there is reason to. cc.mu is held.
func (cc *ClientConn) wakeQueue() {
	if len(cc.queue) == 0 || cc.err == nil && !cc.places.retired && cc.places.free() == 0 {
		return
	}
	cc.queue[0] <- struct{}{}
	cc.queue = slices.Delete(cc.queue, 0, 1)
}

// onPlaces tells whoever manages the connection that it may have got room, and whether it has become idle.
func (cc *ClientConn) onPlaces(idle bool) {
	cc.t.onPlaces(cc, idle)
	cc.callHook()
}

// callHook has DialClientConn's stateHook be called, in a goroutine: we may hold locks that it will want. A call that is under way and has
// not begun yet stands for this one, too.
func (cc *ClientConn) callHook() {
	if cc.hook == nil {
		return
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.hookWanted = true; cc.hooking {
		return
	}
	cc.hooking = true
	go func() {
		for cc.hookAgain() {
			cc.hook()
		}
	}()
}

func (cc *ClientConn) hookAgain() bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.hooking, cc.hookWanted = cc.hookWanted, false
	return cc.hooking
}

// onOpened notes that a request took its place.
func (cc *ClientConn) onOpened(openable int) {
	cc.mu.Lock()
	cc.places.reserved--
	cc.places.open++
	cc.places.openable = openable
	cc.mu.Unlock()
}

// setOpenable notes how many streams may be opened.
func (cc *ClientConn) setOpenable(n int) {
	cc.mu.Lock()
	more := n > cc.places.openable
	cc.places.openable = n
	if more {
		cc.wakeAll()
	}
	cc.mu.Unlock()
	if more {
		cc.onPlaces(false)
	}
}

// wakeAll wakes as many of those that wait without a pool as there are places. cc.mu is held.
func (cc *ClientConn) wakeAll() {
	n := cc.places.free()
	if cc.err != nil || cc.places.retired {
		n = len(cc.queue)
	}
	for range min(n, len(cc.queue)) {
		cc.wakeQueue()
	}
}

// onFinished notes that a request is over.
func (cc *ClientConn) onFinished() {
	cc.mu.Lock()
	cc.places.open--
	idle := cc.places.isIdle()
	cc.mu.Unlock()
	if idle || cc.hook != nil {
		cc.onPlaces(idle)
	}
}

// retire has no new requests be made.
func (cc *ClientConn) retire(err error) {
	cc.mu.Lock()
	cc.places.retired = true
	if cc.err == nil {
		cc.err = err
	}
	cc.wakeAll()
	cc.mu.Unlock()
	cc.t.onRetired(cc)
	cc.callHook()
}

// takes tells whether the connection has a place for a request, or had one for another.
func (cc *ClientConn) takes() bool {
	if cc.used.Load() {
		return true
	}
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return cc.places.free() > 0 || !cc.places.isIdle()
}

// isUsable tells whether the connection takes requests, now or when it has room.
func (cc *ClientConn) isUsable() bool {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	return !cc.places.retired && cc.err == nil
}

// setSuspect has new requests not be given a place while the server seems to be dead.
func (cc *ClientConn) setSuspect(suspect bool) {
	cc.mu.Lock()
	cc.places.suspect = suspect
	cc.wakeAll()
	cc.mu.Unlock()
	cc.t.onSuspect(cc, suspect)
}

// setDone has done be called when the connection is over, which it may be already.
func (cc *ClientConn) setDone(done func()) {
	cc.mu.Lock()
	over := cc.over
	cc.done = done
	cc.mu.Unlock()
	if over {
		done()
	}
}
