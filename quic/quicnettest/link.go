package quicnettest

import (
	"math/rand/v2"
	"time"
)

// Link says what a network does to datagrams on the way from one address to another. Its zero value is a perfect one: they arrive
// at once, all of them, in order.
type Link struct {
	// Delay is how long each datagram takes: half of what is added to the round-trip time.
	Delay time.Duration

	// Jitter is how much longer a datagram may take, at random. It does not change the order.
	Jitter time.Duration

	// Loss, Duplicate and Reorder are how probable it is, for each datagram by itself, that it is lost, that it arrives twice, and
	// that it is held back so that others overtake it: 0 to 1.
	Loss, Duplicate, Reorder float64

	// ReorderDelay is how long a datagram that is held back takes longer, at most. Default Delay or 1 ms, whichever is more.
	ReorderDelay time.Duration

	// Rate is how many bits a second the line carries, counted in UDP payload; before it stands a queue of Queue bytes, and what
	// finds that full is lost. Defaults: 0, as many as are sent; and what the line carries in 100 ms, but at least 64 KiB.
	Rate  int64
	Queue int

	// MTU is how many bytes of UDP payload a datagram may have; longer ones are lost. Default: 65507.
	MTU int
}

const (
	// maxPayload is the largest UDP payload over IPv4, in bytes.
	maxPayload = 65507

	// minQueue and queueTime are the default of Link.Queue.
	minQueue  = 64 << 10
	queueTime = 100 * time.Millisecond
)

// way is a direction between two addresses. It has dice of its own, so that what becomes of its datagrams does not depend on others.
type way struct {
	dice *rand.Rand
	free time.Time // when the line has sent what is queued
	last time.Time // when the latest datagram that was not held back arrives
}

// pass returns when copies of a datagram of n bytes arrive that is sent now: none, one or two.
func (w *way) pass(l *Link, now time.Time, n int) (arrivals [2]time.Time, copies int) {
	if l.MTU > 0 && n > l.MTU || n > maxPayload || w.chance(l.Loss) {
		return arrivals, 0
	}
	at := now
	if l.Rate > 0 {
		if w.free.Before(now) {
			w.free = now
		}
		if w.free.Sub(now) > l.lineTime(l.queue()) {
			return arrivals, 0
		}
		w.free = w.free.Add(l.lineTime(n))
		at = w.free
	}
	at = at.Add(l.Delay + w.upTo(l.Jitter))
	if w.chance(l.Reorder) {
		extra := l.ReorderDelay
		if extra <= 0 {
			extra = max(l.Delay, time.Millisecond)
		}
		at = at.Add(1 + w.upTo(extra))
	} else {
		if at.Before(w.last) {
			at = w.last
		}
		w.last = at
	}
	arrivals[0], copies = at, 1
	if w.chance(l.Duplicate) {
		arrivals[1], copies = at.Add(w.upTo(l.Delay+l.Jitter)), 2
	}
	return arrivals, copies
}

// queue returns the bytes that wait for the line at most.
func (l *Link) queue() int {
	if l.Queue > 0 {
		return l.Queue
	}
	return max(minQueue, int(float64(l.Rate)/8*queueTime.Seconds()))
}

// lineTime returns how long the line takes for n bytes.
func (l *Link) lineTime(n int) time.Duration {
	return time.Duration(float64(n) * 8 / float64(l.Rate) * float64(time.Second))
}

func (w *way) chance(p float64) bool { return p > 0 && w.dice.Float64() < p }

// upTo returns a random time from 0 to d.
func (w *way) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.dice.Int64N(int64(d) + 1))
}
