package quic

// streamTable holds streams by their IDs. Those of a type that live at a time mostly have IDs close to each other, so that the low bits tell a place in
// which a stream stands alone. One that found its place taken is in a map: a peer that leaves open whatever it likes can put all there, and no more.
type streamTable struct {
	places  []*stream // a power of two
	crowded map[uint64]*stream
	count   int
}

// leastPlaces is how many places a table has that holds something.
const leastPlaces = 16

// place is the place of an ID. Those of the four types begin a quarter apart, so that few streams that live long want the same.
func (t *streamTable) place(id uint64) **stream {
	n := uint64(len(t.places))
	return &t.places[(id>>2+id&3*(n/4))&(n-1)]
}

func (t *streamTable) len() int { return t.count }

// get returns the stream with the ID, nil if it is not there.
func (t *streamTable) get(id uint64) *stream {
	if t.count == 0 {
		return nil
	}
	if s := *t.place(id); s != nil && s.id == id {
		return s
	}
	return t.crowded[id]
}

// add adds a stream that is not there.
func (t *streamTable) add(s *stream) {
	if 2*t.count >= len(t.places) {
		t.resize(max(2*len(t.places), leastPlaces))
	}
	t.count++
	t.put(s)
}

func (t *streamTable) put(s *stream) {
	if at := t.place(s.id); *at == nil {
		*at = s
		return
	}
	if t.crowded == nil {
		t.crowded = make(map[uint64]*stream)
	}
	t.crowded[s.id] = s
}

// remove takes out a stream that is there.
func (t *streamTable) remove(s *stream) {
	if at := t.place(s.id); *at == s {
		*at = nil
	} else {
		delete(t.crowded, s.id)
	}
	t.count--
}

// all yields each stream, in no order that means something. Streams may be removed meanwhile, but none may be added.
func (t *streamTable) all(yield func(*stream) bool) {
	for i := range t.places {
		if s := t.places[i]; s != nil && !yield(s) {
			return
		}
	}
	for _, s := range t.crowded {
		if !yield(s) {
			return
		}
	}
}

// fit lets go of places that the streams do not need.
func (t *streamTable) fit() {
	n := leastPlaces
	for n < 2*t.count {
		n *= 2
	}
	switch {
	case t.count == 0:
		t.places, t.crowded = nil, nil
	case n < len(t.places):
		t.resize(n)
	}
}

// resize moves the streams to so many places.
func (t *streamTable) resize(n int) {
	old := *t
	t.places, t.crowded = make([]*stream, n), nil
	old.all(func(s *stream) bool { t.put(s); return true })
}
