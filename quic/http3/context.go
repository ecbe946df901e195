package http3

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// requestContext is the context of a request at a server: a part of what a request takes anyway, with a channel only if somebody asks
// for it. It is cancelled in the connection's turn, in which no code of the program's may run; so what is registered with AfterFunc, as
// contexts that are made of it are, runs on goroutines of its own.
type requestContext struct {
	x *exchange

	mu    sync.Mutex
	done  chan struct{} // nil: nobody has asked
	over  bool
	late  bool  // the deadline of the context that it comes from has passed
	cause error // why it is over, where that was not the handler's return
	after map[*func()]struct{}
}

// exchangeKey is the key of a request's exchange in its context.
type exchangeKey struct{}

// Deadline is that of the context that the server's BaseContext or ConnContext gave.
func (c *requestContext) Deadline() (time.Time, bool) { return c.x.sc.parent().Deadline() }

// Done returns a channel that is closed when the request is over.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.over {
			close(c.done)
		}
	}
	return c.done
}

// Err returns context.Canceled when the request is over, and context.DeadlineExceeded if that was for Deadline.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.over:
		return nil
	case c.late:
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// Value knows http.LocalAddrContextKey, and what the contexts of the server know.
func (c *requestContext) Value(key any) any {
	switch key {
	case exchangeKey{}:
		return c.x
	case http.LocalAddrContextKey:
		return c.x.sc.local
	}
	return c.x.sc.parent().Value(key)
}

// AfterFunc is what package context looks for: it spares a goroutine for each context that is made of this one.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*func()]struct{})
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waits := c.after[&f]
		delete(c.after, &f)
		return waits
	}
}

// cancel ends the context, if that has not happened yet. cause is what was against it, nil if the handler has returned.
func (c *requestContext) cancel(cause error) { c.end(cause, false) }

// endWith ends the context since the one that it comes from has.
func (c *requestContext) endWith(parent context.Context) {
	c.end(context.Cause(parent), parent.Err() == context.DeadlineExceeded)
}

func (c *requestContext) end(cause error, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over, c.late, c.cause = true, late, cause
	if c.done != nil {
		close(c.done)
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}

var _ context.Context = (*requestContext)(nil)
