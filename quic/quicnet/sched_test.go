package quicnet

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// checkHeap checks the order of the heap, and that each connection knows where it stands.
func checkHeap(t *testing.T, s *scheduler) {
	t.Helper()
	for i, c := range s.heap {
		if c.heapIndex != i {
			t.Fatalf("the connection at %d believes to be at %d", i, c.heapIndex)
		}
		if i > 0 && s.before(i, (i-1)/2) {
			t.Fatalf("the connection at %d is before its parent", i)
		}
	}
}

// TestSchedulerOrder sets timers at random, earlier and later, and checks that each connection's turn comes at its time.
func TestSchedulerOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s scheduler
	s.init(new(shard))
	conns := make([]*Conn, 100)
	for i := range conns {
		conns[i] = &Conn{heapIndex: -1}
		conns[i].heapAt.Store(never)
		conns[i].wantAt.Store(never)
	}
	// set is the part of Conn.arm after the core was asked.
	set := func(c *Conn, at int64) {
		c.wantAt.Store(at)
		if at < c.heapAt.Load() {
			s.insert(c)
		}
	}
	var now int64
	for range 5000 {
		for range rng.IntN(20) {
			c := conns[rng.IntN(len(conns))]
			switch rng.IntN(10) {
			case 0:
				set(c, never)
			case 1:
				s.forget(c)
			default:
				set(c, now+1+rng.Int64N(1000))
			}
		}
		checkHeap(t, &s)
		now += rng.Int64N(200)
		for more := true; more; {
			var due []*Conn
			_, due, more = s.take(s.base.Add(time.Duration(now)))
			for _, c := range due {
				if c.wantAt.Load() > now {
					t.Fatalf("at %d it is the turn of a connection that wants %d", now, c.wantAt.Load())
				}
				set(c, never)
			}
		}
		checkHeap(t, &s)
		for _, c := range conns {
			if c.wantAt.Load() <= now {
				t.Fatalf("at %d a connection that wants %d had no turn", now, c.wantAt.Load())
			}
		}
		if len(s.heap) > 0 && s.armed > s.heap[0].heapAt.Load() {
			t.Fatalf("the timer is set to %d, later than the first connection, %d", s.armed, s.heap[0].heapAt.Load())
		}
	}
}

// TestSchedulerRace has goroutines set timers while others take them: none may be lost.
func TestSchedulerRace(t *testing.T) {
	var s scheduler
	s.init(new(shard))
	c := &Conn{heapIndex: -1}
	c.heapAt.Store(never)
	c.wantAt.Store(never)
	var mu sync.Mutex // as Conn.mu
	set := func(at int64) {
		mu.Lock()
		defer mu.Unlock()
		c.wantAt.Store(at)
		if at < c.heapAt.Load() {
			s.insert(c)
		}
	}
	var wg sync.WaitGroup
	for g := range int64(2) {
		wg.Go(func() {
			for i := range int64(20000) {
				set(1000 + (i*7+g*13)%50)
			}
		})
	}
	wg.Go(func() {
		for i := range int64(20000) {
			if _, due, _ := s.take(s.base.Add(time.Duration(i%50 + 990))); len(due) > 0 {
				mu.Lock()
				at := c.wantAt.Load()
				if at < c.heapAt.Load() { // as Conn.arm at the end of every turn
					s.insert(c)
				}
				mu.Unlock()
			}
		}
	})
	wg.Wait()
	set(1000)
	if _, due, _ := s.take(s.base.Add(1000)); len(due) != 1 {
		t.Fatal("a timer was lost")
	}
}

// TestContextCause has a call give up for a context that was cancelled for a reason: both are told, whether it was so before or while it waits.
func TestContextCause(t *testing.T) {
	reason := errors.New("the reason")
	var mu monitor
	var w waiter
	for _, before := range []bool{true, false} {
		ctx, cancel := context.WithCancelCause(context.Background())
		if before {
			cancel(reason)
		}
		ended := make(chan error)
		go func() {
			mu.Lock()
			defer mu.Unlock()
			ended <- w.waitContext(ctx, &mu)
		}()
		cancel(reason)
		if err := <-ended; !errors.Is(err, reason) || !errors.Is(err, context.Canceled) {
			t.Errorf("the wait ended with %v", err)
		}
	}
}

func TestWaiter(t *testing.T) {
	mu := monitor{channels: newChannels()}
	var w waiter
	n := 0 // guarded by mu; each goroutine takes one
	mu.Lock()
	if w.wake() {
		t.Error("wake woke somebody, and nobody waits")
	}
	mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	take := func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		for n == 0 {
			if err := w.waitContext(ctx, &mu); err != nil {
				return err
			}
		}
		n--
		if n > 0 {
			w.wake()
		}
		return nil
	}
	const goroutines = 50
	for range goroutines {
		wg.Go(func() {
			if err := take(context.Background()); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { // those that give up must not keep a token
			if err := take(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	cancel()
	for range 2 * goroutines {
		mu.Lock()
		n++
		w.wake()
		mu.Unlock()
	}
	wg.Wait()
}
