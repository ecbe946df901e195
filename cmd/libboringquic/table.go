package main

import (
	"sync"
	"sync/atomic"
)

// handle is what C holds of an object: its kind in the highest four bits, then 28 bits that tell the objects apart which had the same place
// one after another, and in the low 32 bits the place in the table. 0 is none.
type handle uint64

const (
	kindShift       = 60
	generationShift = 32
	generationMask  = 1<<28 - 1
)

func (h handle) kind() kind    { return kind(h >> kindShift) }
func (h handle) place() uint32 { return uint32(h) }

// kind tells what an object is.
type kind uint8

// The kinds of objects. No number may change: handles of one kind are never taken for another's.
const (
	kindConfig kind = iota + 1
	kindEndpoint
	kindConn
	kindSession
	kindQuicheConfig
	kindQuicheH3Config
	kindQuicheConn
	kindQueue
	kindSocket
)

var kindNames = [...]string{
	"nothing", "config", "endpoint", "connection", "session", "quiche_config", "quiche_h3_config", "quiche_conn", "queue", "socket",
}

// object is what each object that C holds begins with.
type object struct {
	handle handle
	gate   *gate // of the object, or of the endpoint that it belongs to; nil: the object has a lock of its own
	self   any   // the *T that the object is part of
}

// gate keeps two calls from being within one object at a time: from two threads, or from a callback. The second one is an error, not a wait.
type gate struct{ busy atomic.Bool }

// find returns an object that any number of threads may be in, at a time, and keeps them from harm itself.
func find[T any](h handle, k kind) (*T, error) {
	o := lookup(h)
	if o == nil || h.kind() != k {
		return nil, handleError(h, k)
	}
	return o.self.(*T), nil
}

// made is what the settings of a config come to: made when it is first used, and again after a change. Threads that use it do not wait for each other.
type made[T any] struct {
	mu sync.Mutex        // of the settings
	of atomic.Pointer[T] // nil: it is to be made
}

func (m *made[T]) use(make func() (*T, error)) (*T, error) {
	if of := m.of.Load(); of != nil {
		return of, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if of := m.of.Load(); of != nil {
		return of, nil
	}
	of, err := make()
	if err == nil {
		m.of.Store(of)
	}
	return of, err
}

// change has f change the settings.
func (m *made[T]) change(f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of.Store(nil)
	return f()
}

// objects is the table of what C holds. Looking one up takes no lock: place is an element of a slice that only grows, by copying.
var objects struct {
	places atomic.Pointer[[]*atomic.Pointer[object]]
	live   atomic.Int64

	mu         sync.Mutex
	free       []uint32
	generation uint64
}

// register gives an object its handle.
func register(o *object, k kind) {
	t := &objects
	t.mu.Lock()
	defer t.mu.Unlock()
	var places []*atomic.Pointer[object]
	if p := t.places.Load(); p != nil {
		places = *p
	}
	var at uint32
	if n := len(t.free); n > 0 {
		at = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		at = uint32(len(places))
		// Where append writes into memory that readers have, it is behind what they can see.
		places = append(places, new(atomic.Pointer[object]))
		t.places.Store(&places)
	}
	// One count for all places, so that what is freed and made again at once has another handle in any order.
	t.generation++
	o.handle = handle(k)<<kindShift | handle(t.generation&generationMask)<<generationShift | handle(at)
	places[at].Store(o)
	t.live.Add(1)
}

// unregister forgets an object: its handle is an error from now on. It tells whether it was there.
func unregister(o *object) bool {
	t := &objects
	t.mu.Lock()
	defer t.mu.Unlock()
	places := t.places.Load()
	at := o.handle.place()
	if places == nil || int(at) >= len(*places) || !(*places)[at].CompareAndSwap(o, nil) {
		return false
	}
	t.free = append(t.free, at)
	t.live.Add(-1)
	return true
}

// replace gives the handle of an object to another one, which has none. False: it was freed.
func replace(old, by *object) bool {
	t := &objects
	t.mu.Lock()
	defer t.mu.Unlock()
	by.handle = old.handle
	return (*t.places.Load())[old.handle.place()].CompareAndSwap(old, by)
}

// lookup returns the object of a handle, nil if there is none.
func lookup(h handle) *object {
	places := objects.places.Load()
	if places == nil || uint64(h.place()) >= uint64(len(*places)) {
		return nil
	}
	if o := (*places)[h.place()].Load(); o != nil && o.handle == h {
		return o
	}
	return nil
}
