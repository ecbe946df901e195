package http3

import "sync/atomic"

// gate is sync.Once for code of the program's, which may take as long as it likes: who comes meanwhile waits on a channel. Those who wait on a mutex keep a
// bubble of testing/synctest from letting time pass, so that a hook that sleeps there would never wake.
type gate struct {
	way atomic.Pointer[way] // nil: nobody has come yet
}

// way is closed when the gate is open.
type way chan struct{}

// open is the way of all gates that are open.
var open = func() *way {
	w := make(way)
	close(w)
	return &w
}()

// do calls f if nobody has. It returns when f has returned, or panicked.
func (g *gate) do(f func()) {
	w := g.way.Load()
	if w == open {
		return // without the channel's lock, which all gates would share
	}
	if w == nil {
		mine := make(way)
		if g.way.CompareAndSwap(nil, &mine) {
			defer func() {
				g.way.Store(open)
				close(mine)
			}()
			f()
			return
		}
		w = g.way.Load()
	}
	<-*w
}
