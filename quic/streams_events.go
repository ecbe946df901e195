package quic

import (
	"cmp"
	"slices"
)

// tell has the application be told of something.
func (st *streams) tell(s *stream, what streamEvents) {
	s.events |= what
	st.ready.push(s, queueEvents)
}

// nextEvent fills in an Event with what there is to tell; its Kind is left 0 if there is nothing. Streams are announced before anything
// else is told of them.
func (st *streams) nextEvent(ev *Event) {
	if st.untold {
		if st.nextOfTypes(ev); ev.Kind != 0 {
			return
		}
		st.untold = false
	}
	for st.ready.head != nil {
		s := st.ready.head
		switch {
		case s.events&streamReset != 0:
			s.events &^= streamReset
			ev.Kind, ev.Code = EventStreamReset, s.recv.code
		case s.events&streamStopped != 0:
			s.events &^= streamStopped
			ev.Kind, ev.Code = EventStreamStopped, s.send.code
		case s.events&streamReadable != 0:
			s.events &^= streamReadable
			if !s.recv.told {
				continue // read already
			}
			ev.Kind = EventReadable
		case s.events&streamWritable != 0:
			s.events &^= streamWritable
			if s.send.told {
				continue // ended since
			}
			ev.Kind = EventWritable
		case s.events&streamAcked != 0:
			s.events &^= streamAcked
			ev.Kind = EventStreamAcked
		case s.events&streamFinished != 0:
			s.events &^= streamFinished
			ev.Kind = EventStreamFinished
		default:
			st.ready.pop(queueEvents)
			if s.over() {
				s.user = nil
			}
			st.retire(s)
			continue
		}
		ev.Stream, ev.Data = s.id, s.user
		return
	}
}

// nextOfTypes is nextEvent for what is told of types of streams.
func (st *streams) nextOfTypes(ev *Event) {
	for typ := range uint64(4) {
		t := &st.types[typ]
		switch {
		case !st.isLocal(typ) && t.announced < t.opened:
			t.announced++
			ev.Kind, ev.Stream = EventStreamOpened, (t.announced-1)<<2|typ
			return
		case t.available:
			t.available = false
			ev.Kind, ev.Stream = EventStreamsAvailable, typ&^1
			return
		}
	}
}

// readable is Conn.Readable.
func (st *streams) readable(yield func(uint64) bool) {
	st.each(yield, func(s *stream) bool { return s.recv.readable() })
}

// writable is Conn.Writable.
func (st *streams) writable(yield func(uint64) bool) {
	st.each(yield, func(s *stream) bool { p := s.send; return !p.over && !p.cut && !p.fin && st.admission.room(s, 1) > 0 })
}

// each yields the streams that are wanted, in the order of Conn.Readable. What yield does to streams does not matter.
func (st *streams) each(yield func(uint64) bool, want func(*stream) bool) {
	type place struct{ key, id uint64 }
	var few [128]place // as a rule there are no more, and no memory is made
	found := few[:0]
	for s := range st.live.all {
		if want(s) {
			key := s.rank.key(s.id & orderMask)
			if !s.rank.whole() {
				key |= turnsBit
			}
			found = append(found, place{key, s.id})
		}
	}
	slices.SortFunc(found, func(a, b place) int { return cmp.Compare(a.key, b.key) })
	for _, f := range found {
		if !yield(f.id) {
			return
		}
	}
}
