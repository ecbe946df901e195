// Package eyeballs tries several ways to connect in the manner of Happy Eyeballs (RFC 8305): one after the other, without waiting for the
// one before to fail, and the first that succeeds is taken.
package eyeballs

import (
	"context"
	"time"
)

// Delay is how long one way is tried before the next one is, too (RFC 8305, section 8, "Connection Attempt Delay").
const Delay = 250 * time.Millisecond

// Race runs try(ctx, 0) to try(ctx, n-1), each in a goroutine of its own, a Delay apart, or at once where one before has failed, and returns
// the first result without an error; the context of the others ends then. drop is called with results that come too late. If all fail, or ctx
// ends and those that were begun fail, the error is that of the first one that did. n is at least 1; a single try runs on the caller's goroutine.
func Race[T any](ctx context.Context, n int, try func(ctx context.Context, i int) (T, error), drop func(T)) (won T, err error) {
	if n == 1 {
		return try(ctx, 0)
	}
	type outcome struct {
		got T
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, n)
	started, ended := 0, 0
	start := func() {
		i := started
		started++
		go func() {
			got, err := try(ctx, i)
			outcomes <- outcome{got, err}
		}()
	}
	start()
	ticker := time.NewTicker(Delay)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if started < n {
				start()
			}
			continue
		case o := <-outcomes:
			ended++
			if o.err == nil {
				go func() { // the others end with the context, or came too late
					for ; ended < started; ended++ {
						if o := <-outcomes; o.err == nil {
							drop(o.got)
						}
					}
				}()
				return o.got, nil
			}
			if err == nil {
				err = o.err
			}
		}
		switch {
		case started < n && ctx.Err() == nil:
			start()
		case ended == started:
			return won, err
		}
	}
}
