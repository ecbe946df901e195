package quicnet

import (
	"context"
	"sync"
)

// waiter is where goroutines wait for something that a mutex guards. It has a channel only while some do. wake lets
// one of them look again, and one that finds what it waited for wakes the next.
type waiter struct {
	ch chan struct{} // holds a token when one is to look again
	n  int           // goroutines that wait
}

// waitChannels are channels that no waiter has, without a token.
var waitChannels = sync.Pool{New: func() any { return make(chan struct{}, 1) }}

// wake has one goroutine look again, and tells whether there was any. mu is held.
func (w *waiter) wake() bool {
	if w.n == 0 {
		return false
	}
	select {
	case w.ch <- struct{}{}:
	default: // a token is there already
	}
	return true
}

// wait lets go of mu until there is reason to look again. That may be for nothing.
func (w *waiter) wait(mu *sync.Mutex) {
	ch := w.enter()
	mu.Unlock()
	<-ch
	mu.Lock()
	w.leave()
}

// waitContext is wait that ends with ctx, with its error. Whoever is given the error wakes the next one, since the token
// may have been meant for it.
func (w *waiter) waitContext(ctx context.Context, mu *sync.Mutex) (err error) {
	if err := ctx.Err(); err != nil {
		w.wake()
		return err
	}
	ch := w.enter()
	mu.Unlock()
	select {
	case <-ch:
	case <-ctx.Done():
		err = ctx.Err()
	}
	mu.Lock()
	w.leave()
	if err != nil {
		w.wake()
	}
	return err
}

func (w *waiter) enter() <-chan struct{} {
	if w.n == 0 {
		w.ch = waitChannels.Get().(chan struct{})
	}
	w.n++
	return w.ch
}

// leave is called by one that waits no more. The last one gives the channel back.
func (w *waiter) leave() {
	w.n--
	if w.n > 0 {
		return
	}
	select {
	case <-w.ch:
	default:
	}
	waitChannels.Put(w.ch)
	w.ch = nil
}
