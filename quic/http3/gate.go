package http3

import (
	"sync"
	"sync/atomic"
)

// gate is sync.Once for code of the program's, which may take as long as it likes: who comes meanwhile waits on a channel. Those who wait on a mutex keep a
// bubble of testing/synctest from letting time pass, so that a hook that sleeps there would never wake.
type gate struct {
	done   atomic.Bool
	mu     sync.Mutex // guards what follows; nothing is done while it is held
	begun  bool
	opened chan struct{} // closed when it is done; nil: nobody waits
}

// do calls f if nobody has. It returns when f has returned, or panicked.
func (g *gate) do(f func()) {
	if g.done.Load() {
		return
	}
	if opened := g.enter(); opened != nil {
		<-opened
		return
	}
	defer g.open()
	f()
}

// enter returns what to wait for; nil: the caller is the first.
func (g *gate) enter() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.begun {
		g.begun = true
		return nil
	}
	if g.opened == nil {
		g.opened = make(chan struct{})
		if g.done.Load() {
			close(g.opened)
		}
	}
	return g.opened
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done.Store(true); g.opened != nil {
		close(g.opened)
	}
}
