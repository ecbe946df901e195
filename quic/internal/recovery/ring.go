package recovery

// ring is a queue in a slice whose length is a power of two. Its elements are named by ever increasing indexes, so that
// an index stays valid while the element is in the ring. It starts empty, doubles when full, and lets its memory
// go when it is drained.
type ring[T any] struct {
	buf        []T
	start, end int64 // indexes of the first element and of the one after the last
}

// keepCap is the largest capacity, in elements, that a drained ring keeps.
const keepCap = 64

func (r *ring[T]) len() int { return int(r.end - r.start) }

// at returns the element at an index within start and end.
func (r *ring[T]) at(i int64) *T { return &r.buf[i&int64(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.len() == len(r.buf) {
		r.grow()
	}
	*r.at(r.end) = v
	r.end++
}

func (r *ring[T]) grow() {
	bigger := make([]T, max(4, 2*len(r.buf)))
	for i := r.start; i < r.end; i++ {
		bigger[i&int64(len(bigger)-1)] = *r.at(i)
	}
	r.buf = bigger
}

// dropTo removes the elements before index i.
func (r *ring[T]) dropTo(i int64) {
	r.start = i
	if r.start == r.end && len(r.buf) > keepCap {
		r.buf = nil
	}
}
