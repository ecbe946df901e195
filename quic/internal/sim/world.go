package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// epoch is when virtual time begins.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// World is virtual time: a clock that jumps from event to event, and the one source of chance. It is not for concurrent
// use.
type World struct {
	now    time.Time
	rng    *rand.Rand
	queue  eventQueue
	serial uint64
	err    error
}

// NewWorld returns a World at the epoch whose chance comes from seed.
func NewWorld(seed uint64) *World {
	return &World{now: epoch, rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
}

// Now returns the virtual time.
func (w *World) Now() time.Time { return w.now }

// Elapsed returns the virtual time since the World began.
func (w *World) Elapsed() time.Duration { return w.now.Sub(epoch) }

// Chance is true with probability p.
func (w *World) Chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// Between returns a duration of at least low and less than high, or low if there is none between.
func (w *World) Between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rng.Int64N(int64(high-low)))
}

// After has do called d from now, or at once after what is due at this instant if d is not positive. Calls at one instant
// come in the order in which they were asked for.
func (w *World) After(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.queue, event{at: w.now.Add(max(d, 0)), serial: w.serial, do: do})
}

// Fail ends Run with err, after the current event.
func (w *World) Fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Run lets time pass until done, which is asked after each event, is true. It returns an error if Fail was called, if the
// events run out before, or if the clock passes limit from the epoch.
func (w *World) Run(limit time.Duration, done func() bool) error {
	for w.err == nil && !done() {
		if len(w.queue) == 0 {
			return fmt.Errorf("sim: nothing is left to happen after %v", w.Elapsed())
		}
		e := heap.Pop(&w.queue).(event)
		if e.at.Sub(epoch) > limit {
			return fmt.Errorf("sim: not done within %v of virtual time", limit)
		}
		w.now = e.at
		e.do()
	}
	return w.err
}

type event struct {
	at     time.Time
	serial uint64
	do     func()
}

// eventQueue is a heap by time, then order of asking.
type eventQueue []event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].serial < q[j].serial
}

func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }

func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}
