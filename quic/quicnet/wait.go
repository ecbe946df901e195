package quicnet

import (
	"context"
	"sync"

	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// monitor is a mutex that guards things which goroutines wait for, with the channels that they wait on. Those are of one endpoint
// and not of the process: a channel that was made in a bubble of testing/synctest must not be used outside, nor the reverse.
type monitor struct {
	sync.Mutex
	channels *sync.Pool // of chan struct{} that no waiter has, without a token; nil: they are made as needed
}

// newChannels returns a pool for monitors.
func newChannels() *sync.Pool { return &sync.Pool{New: func() any { return newChannel() }} }

func newChannel() chan struct{} { return make(chan struct{}, 1) }

// waiter is where goroutines wait for something that a monitor guards. It has a channel only while some do. wake lets
// one of them look again, and one that finds what it waited for wakes the next.
type waiter struct {
	ch chan struct{} // holds a token when one is to look again
	n  int           // goroutines that wait
}

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
func (w *waiter) wait(mu *monitor) {
	ch := w.enter(mu)
	mu.Unlock()
	<-ch
	mu.Lock()
	w.leave(mu)
}

// waitContext is wait that ends with ctx, with its error. Whoever is given the error wakes the next one, since the token
// may have been meant for it.
func (w *waiter) waitContext(ctx context.Context, mu *monitor) (err error) {
	if err := ctxerr.Of(ctx); err != nil {
		w.wake()
		return err
	}
	ch := w.enter(mu)
	mu.Unlock()
	select {
	case <-ch:
	case <-ctx.Done():
		err = ctxerr.Of(ctx)
	}
	mu.Lock()
	w.leave(mu)
	if err != nil {
		w.wake()
	}
	return err
}

func (w *waiter) enter(mu *monitor) <-chan struct{} {
	switch {
	case w.n > 0:
	case mu.channels == nil:
		w.ch = newChannel()
	default:
		w.ch = mu.channels.Get().(chan struct{})
	}
	w.n++
	return w.ch
}

// leave is called by one that waits no more. The last one gives the channel back.
func (w *waiter) leave(mu *monitor) {
	w.n--
	if w.n > 0 {
		return
	}
	select {
	case <-w.ch:
	default:
	}
	if mu.channels != nil {
		mu.channels.Put(w.ch)
	}
	w.ch = nil
}
