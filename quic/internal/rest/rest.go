// Package rest says when a connection lets go of the memory that it only keeps to be faster the next time, so that many that have nothing to do take little,
// and few that have allocate none.
package rest

import "time"

// Times in nanoseconds.
const (
	// Every is how long nothing happens before a connection rests; and from one rest to the next it is about as long: what waking costs, some
	// microseconds (h3's BenchmarkWake), a connection pays four times a second at most, be it slow, or sent what is no packet of its.
	Every = int64(250 * time.Millisecond)

	// First is how long nothing happens before a connection rests for the first time. It is short, since where thousands are made in a second, those that are
	// awake would else be most of the memory that they take.
	First = int64(25 * time.Millisecond)
)

// State is whether a connection rests: 0 if it does. Awake it is one more than how many times Every have to pass before it may rest again.
type State uint32

// New is the State of a new connection.
const New State = 1

// Wake notes that something happens at now, which is not negative.
func (s *State) Wake(now int64) {
	if *s == 0 {
		*s = State(now/Every) + 2
	}
}

// At is when to rest, if nothing happens after active; busy tells that something is on its way, so that more is to come. It is 0 at rest.
func (s State) At(active int64, busy bool) int64 {
	switch {
	case s == 0:
		return 0
	case s == New && !busy:
		return active + First
	}
	return max(active+Every, int64(s-1)*Every)
}
