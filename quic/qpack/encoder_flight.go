package qpack

import "slices"

// flight keeps account of sections that refer to the dynamic table and are not acknowledged (RFC 9204, section 2.1).
//
// As entries are evicted in the order in which they came, a section keeps from eviction the oldest entry that it refers to and every
// newer one: to pin that one is enough.
type flight struct {
	known    uint64          // the Known Received Count
	sections []flyingSection // in the order in which they were made; those acknowledged in between are marked
	risky    []riskyStream   // streams that could become blocked
	first    int             // those before this one are done: acknowledgements mostly come in the order of the sections
	dirty    bool            // some of the sections are done
	givenUp  *givenUp        // nil: no stream was cancelled
}

type flyingSection struct {
	stream              uint64
	requiredInsertCount uint64
	oldest              uint64 // absolute index of the oldest entry that it refers to
	done                bool
}

// riskyStream is a stream with a section in flight whose Required Insert Count is above the Known Received Count.
type riskyStream struct {
	stream, requiredInsertCount uint64
}

// mayRisk tells whether the stream may refer to entries that are not acknowledged, if limit streams may (RFC 9204, section 2.1.2).
func (f *flight) mayRisk(stream, limit uint64) bool {
	if uint64(len(f.risky)) < limit {
		return true
	}
	return slices.ContainsFunc(f.risky, func(r riskyStream) bool { return r.stream == stream })
}

// add notes that a section was made.
func (f *flight) add(s flyingSection) {
	f.sections = append(f.sections, s)
	if s.requiredInsertCount <= f.known {
		return
	}
	for i := range f.risky {
		if r := &f.risky[i]; r.stream == s.stream {
			r.requiredInsertCount = max(r.requiredInsertCount, s.requiredInsertCount)
			return
		}
	}
	f.risky = append(f.risky, riskyStream{s.stream, s.requiredInsertCount})
}

// acknowledge takes off the first section of the stream; ok is false if there is none.
func (f *flight) acknowledge(stream uint64) (s flyingSection, ok bool) {
	if s, ok = f.takeOff(stream); ok {
		f.received(s.requiredInsertCount)
	}
	return s, ok
}

// cancel takes off a section of the stream, each at a call; ok is false if there is none. That the peer has the entries is not said (RFC
// 9204, section 2.2.2.2).
func (f *flight) cancel(stream uint64) (s flyingSection, ok bool) {
	if s, ok = f.takeOff(stream); ok {
		f.risky = slices.DeleteFunc(f.risky, func(r riskyStream) bool { return r.stream == stream })
	}
	return s, ok
}

// givenUp are the last streams that the peer has cancelled. A section may be made for such a stream yet, as STOP_SENDING can arrive later; but the peer has
// said all that it will, so that nothing would ever take that section off (RFC 9204, section 2.2.2.2).
type givenUp struct {
	streams [maxGivenUp]uint64
	noted   int // how many ever were
}

func (f *flight) giveUp(stream uint64) {
	g := f.givenUp
	if g == nil {
		g = new(givenUp)
		f.givenUp = g
	}
	g.streams[g.noted%maxGivenUp] = stream
	g.noted++
}

// has tells whether the peer is known to read no more of a stream.
func (g *givenUp) has(stream uint64) bool {
	return g != nil && slices.Contains(g.streams[:min(g.noted, maxGivenUp)], stream)
}

// takeOff marks the first section of the stream as done.
func (f *flight) takeOff(stream uint64) (s flyingSection, ok bool) {
	for i := f.first; i < len(f.sections); i++ {
		s := &f.sections[i]
		if s.stream != stream || s.done {
			continue
		}
		s.done, f.dirty = true, true
		for f.first < len(f.sections) && f.sections[f.first].done {
			f.first++
		}
		return f.sections[i], true
	}
	return s, false
}

// received raises the Known Received Count.
func (f *flight) received(count uint64) {
	if count <= f.known {
		return
	}
	f.known = count
	f.risky = slices.DeleteFunc(f.risky, func(r riskyStream) bool { return r.requiredInsertCount <= count })
}

// compact drops sections that are done. It is called once for what arrived together, so that its cost is spread.
func (f *flight) compact() {
	if !f.dirty {
		return
	}
	f.dirty, f.first = false, 0
	f.sections = slices.DeleteFunc(f.sections, func(s flyingSection) bool { return s.done })
}
