package recovery

// ring is a queue in a slice whose length is a power of two. Its elements are named by ever increasing indexes, so that
// an index stays valid while the element is in the ring. It starts empty, doubles when full, and keeps its memory until
// fit is called.
type ring[T any] struct {
	buf        []T
	start, end int64 // indexes of the first element and of the one after the last
}

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

func (r *ring[T]) grow() { r.resize(max(4, 2*len(r.buf))) }

// resize moves the elements to a slice of that length, a power of two.
func (r *ring[T]) resize(n int) {
	buf := make([]T, n)
	for i := r.start; i < r.end; i++ {
		buf[i&int64(n-1)] = *r.at(i)
	}
	r.buf = buf
}

// dropTo removes the elements before index i.
func (r *ring[T]) dropTo(i int64) { r.start = i }

// fit lets memory go that is not in use.
func (r *ring[T]) fit() {
	if r.start == r.end {
		r.buf = nil
		return
	}
	n := 4
	for n < r.len() {
		n *= 2
	}
	if n < len(r.buf) {
		r.resize(n)
	}
}
