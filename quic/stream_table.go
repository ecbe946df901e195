package quic

// streamTable holds streams by their IDs. Those that live at a time mostly have IDs close to each other, so that the low bits of the ID tell a place in
// which a stream stands alone. Streams that share a place are a list: a peer that leaves such streams open has a look-up walk over them, of
// which there are as many at the most as it may open.
type streamTable struct {
	places []*stream // a power of two; the first of each list
	count  int
}

// leastPlaces is how many places a table has that holds something.
const leastPlaces = 8

func (t *streamTable) place(id uint64) **stream { return &t.places[id>>2&uint64(len(t.places)-1)] }

func (t *streamTable) len() int { return t.count }

// get returns the stream with the ID, nil if it is not there.
func (t *streamTable) get(id uint64) *stream {
	if t.count == 0 {
		return nil
	}
	s := *t.place(id)
	for s != nil && s.id != id {
		s = s.beside
	}
	return s
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
	at := t.place(s.id)
	s.beside, *at = *at, s
}

// remove takes out a stream that is there.
func (t *streamTable) remove(s *stream) {
	at := t.place(s.id)
	for *at != s {
		at = &(*at).beside
	}
	*at, s.beside = s.beside, nil
	t.count--
}

// all yields each stream, in no order that means something. The one that is yielded may be removed, but no other, and none may be added.
func (t *streamTable) all(yield func(*stream) bool) {
	for _, s := range t.places {
		for s != nil {
			next := s.beside
			if !yield(s) {
				return
			}
			s = next
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
		t.places = nil
	case n < len(t.places):
		t.resize(n)
	}
}

func (t *streamTable) resize(n int) {
	old := *t
	t.places = make([]*stream, n)
	old.all(func(s *stream) bool { t.put(s); return true })
}
