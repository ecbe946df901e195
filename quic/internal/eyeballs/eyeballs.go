// Package eyeballs tries several ways to connect in the manner of Happy Eyeballs (RFC 8305): one after the other, without waiting for the
// one before to fail, and the first that succeeds is taken.
package eyeballs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/boringquic/boringquic/quic/internal/ctxerr"
)

// Delay is how long one way is tried before the next one is, too (RFC 8305, section 8, "Connection Attempt Delay").
const Delay = 250 * time.Millisecond

// errNone is why nothing was tried where find gives no address and no error.
var errNone = errors.New("there is no address")

// Race runs try(ctx, 0) to try(ctx, n-1), each in a goroutine of its own, a Delay apart, or at once where one before has failed, and returns
// the first result without an error; the context of the others ends then. drop is called with results that come too late. If all fail, or ctx
// ends and those that were begun fail, the error is that of the first one that did; if ctx has ended before any was begun, it is the context's and its cause's,
// and nothing is tried. n is at least 1; a single try runs on the caller's goroutine, and has to look at ctx itself.
func Race[T any](ctx context.Context, n int, try func(ctx context.Context, i int) (T, error), drop func(T)) (won T, err error) {
	if n == 1 {
		return try(ctx, 0)
	}
	r := race[int, T]{try: try, drop: drop}
	for i := range n {
		r.ready = append(r.ready, address[int]{value: i})
	}
	return r.run(ctx)
}

// RacePlaces is Race for the addresses of n places, which find(ctx, 0) to find(ctx, n-1) look up: the next place when there is nothing else to try, or
// after a Delay in which the one before was not found. All attempts together keep the one pace that Race has. Addresses of an earlier place come
// first, in the order that find gives them, and one that several places have is tried once. An error of find counts as that of a try: it says which place
// has no address. n is at least 1; a single place is looked up on the caller's goroutine.
func RacePlaces[A comparable, T any](ctx context.Context, n int, find func(ctx context.Context, i int) ([]A, error),
	try func(ctx context.Context, a A) (T, error), drop func(T)) (won T, err error) {
	if n > 1 {
		r := race[A, T]{places: n, find: find, try: try, drop: drop}
		return r.run(ctx)
	}
	addrs, err := find(ctx, 0)
	switch {
	case err != nil:
		return won, err
	case len(addrs) == 0:
		return won, errNone
	}
	return Race(ctx, len(addrs), func(ctx context.Context, i int) (T, error) { return try(ctx, addrs[i]) }, drop)
}

// race is one that is under way.
type race[A comparable, T any] struct {
	places int
	find   func(ctx context.Context, i int) ([]A, error)
	try    func(ctx context.Context, a A) (T, error)
	drop   func(T)

	ready   []address[A] // to be tried, the first one first
	known   []A          // that were found
	asked   int          // places that are looked for, or were
	finding int          // places that are looked for
	running int          // attempts under way
	err     error        // of the first that failed

	found    chan finding[A]
	outcomes chan outcome[T]
}

// address is one of a place.
type address[A any] struct {
	place int
	value A
}

type finding[A any] struct {
	place int
	addrs []A
	err   error
}

type outcome[T any] struct {
	got T
	err error
}

func (r *race[A, T]) run(ctx context.Context) (won T, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.found, r.outcomes = make(chan finding[A], r.places), make(chan outcome[T])
	timer := time.NewTimer(Delay)
	defer timer.Stop()
	mayTry, mayFind := true, true // what may begin now
	for {
		switch {
		case ctx.Err() != nil:
		case mayTry && len(r.ready) > 0:
			r.begin(ctx)
			mayTry, mayFind = false, false
			timer.Reset(Delay)
		case mayFind && len(r.ready) == 0 && r.asked < r.places:
			r.look(ctx)
			if mayFind = false; mayTry {
				timer.Reset(Delay)
			}
		}
		if r.running == 0 && r.finding == 0 && (ctx.Err() != nil || len(r.ready) == 0 && r.asked == r.places) {
			return won, cmp.Or(r.err, ctxerr.Of(ctx), errNone)
		}
		select {
		case <-timer.C:
			mayTry, mayFind = true, true
		case f := <-r.found:
			mayFind = !r.onFound(f) || mayFind
		case o := <-r.outcomes:
			if r.running--; o.err == nil {
				go r.dropLate(r.running)
				return o.got, nil
			}
			r.fail(o.err)
			mayTry, mayFind = true, true
		}
	}
}

// begin begins an attempt.
func (r *race[A, T]) begin(ctx context.Context) {
	a := r.ready[0].value
	r.ready = r.ready[1:]
	r.running++
	go func() {
		got, err := r.try(ctx, a)
		r.outcomes <- outcome[T]{got, err}
	}()
}

// look begins with the next place.
func (r *race[A, T]) look(ctx context.Context) {
	i := r.asked
	r.asked++
	r.finding++
	go func() {
		addrs, err := r.find(ctx, i)
		r.found <- finding[A]{i, addrs, err}
	}()
}

// onFound takes the addresses of a place, and tells whether there are any that are new.
func (r *race[A, T]) onFound(f finding[A]) (some bool) {
	r.finding--
	if f.err != nil {
		r.fail(f.err)
	}
	for _, a := range f.addrs {
		if !slices.Contains(r.known, a) {
			r.known = append(r.known, a)
			r.ready = append(r.ready, address[A]{f.place, a})
			some = true
		}
	}
	slices.SortStableFunc(r.ready, func(a, b address[A]) int { return a.place - b.place })
	return some
}

func (r *race[A, T]) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// dropLate takes the results of n attempts, which end with the context, or come too late.
func (r *race[A, T]) dropLate(n int) {
	for range n {
		if o := <-r.outcomes; o.err == nil {
			r.drop(o.got)
		}
	}
}
