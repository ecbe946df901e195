package quic

import (
	"math"

	"github.com/boringquic/boringquic/quic/internal/ranges"
	"github.com/boringquic/boringquic/quic/internal/wire"
)

// streamType is the state of all streams of one type, of which the i-th has ID 4i + type.
type streamType struct {
	limit     uint64 // how many may be opened over the connection's life: of our own by the peer, of the peer's by us
	opened    uint64 // how many were
	announced uint64 // the peer's: of how many the application was told
	// Of those that were opened and have no state, the peer's exist, and ours are over, but for these: of the peer's they are over, and ours
	// exist, since one above them was opened (openID), and were never used.
	except    ranges.Set
	done      uint64  // the peer's: how many that are over; ours: how many were opened before 0-RTT data was rejected, and are forgotten
	tell      sentVal // MAX_STREAMS of the peer's, STREAMS_BLOCKED of ours
	wanted    bool    // ours: the application waits for a higher limit
	available bool    // ours: it is to be told of one
}

// open is Conn.OpenStream and OpenUniStream.
func (st *streams) open(uni bool) (id uint64, err error) {
	if st.rejected {
		return 0, ErrEarlyDataRejected
	}
	typ := uint64(StreamTypeBidi)
	if uni {
		typ = StreamTypeUni
	}
	id = st.localType(typ).opened<<2 | typ | st.localBit()
	if err := st.openNew(id); err != nil {
		return 0, err
	}
	return id, nil
}

// openID is Conn.OpenStreamID.
func (st *streams) openID(id uint64) error {
	switch t := &st.types[id&3]; {
	case st.rejected:
		return ErrEarlyDataRejected
	case st.isLocal(id) && id>>2 >= t.opened:
		return st.openNew(id)
	case st.isLocal(id) && st.find(id) != nil:
		return nil
	}
	return ErrUnknownStream
}

// openNew opens a stream of ours that is not open, and with it all lower ones of its type (RFC 9000, section 2.1).
func (st *streams) openNew(id uint64) error {
	t, n := &st.types[id&3], id>>2
	if n >= t.limit {
		if !t.wanted {
			t.wanted = true
			t.tell.set()
		}
		return ErrStreamLimit
	}
	if skipped := n - t.opened; skipped > 0 {
		if uint64(t.except.Size())+skipped > maxSkippedStreams {
			return ErrStreamsSkipped
		}
		t.except.Add(int64(t.opened), int64(n))
	}
	t.opened = n + 1
	st.create(id)
	return nil
}

// use notes that a stream of ours is used for the first time that one above it has opened. If it was opened under the limits of 0-RTT data
// that was rejected, it has to wait like the others until the peer allows as many.
func (st *streams) use(s *stream) {
	t, n := &st.types[s.id&3], s.id>>2
	t.except.Sub(int64(n), int64(n)+1)
	if n >= t.limit {
		s.barred, st.barred = true, true
		if t.tell.state() == sentNone {
			t.tell.set()
		}
	}
}

// implicit tells of a stream without state whether one above it has opened it: then it may be used.
func (st *streams) implicit(id uint64) bool {
	t := &st.types[id&3]
	return id>>2 < t.opened && st.isLocal(id) == t.except.Contains(int64(id>>2))
}

// receiving finds the stream that a frame of the peer is about, and opens it if need be. nil without an error says that
// the stream is over. goes tells whether the frame fits the stream's direction.
func (st *streams) receiving(id uint64, goes bool) (*stream, *TransportError) {
	if !goes {
		return nil, transportError(StreamStateError, "the stream does not go in this direction")
	}
	t := &st.types[id&3]
	switch n := id >> 2; {
	case n < t.opened:
	case st.isLocal(id):
		return nil, transportError(StreamStateError, "a stream that was not opened")
	case n >= t.limit:
		return nil, transportError(StreamLimitError, "more streams than were allowed")
	default:
		t.opened, st.untold = n+1, true
	}
	return st.find(id), nil
}

// openable is Conn.StreamsOpenable.
func (st *streams) openable(uni bool) int {
	if st.rejected {
		return 0
	}
	t := st.localType(typeOf(!uni))
	return int(min(max(t.limit, t.opened)-t.opened, math.MaxInt))
}

// maxOpen is how many streams of a type, StreamTypeBidi or StreamTypeUni, the peer may have open at a time.
func (st *streams) maxOpen(typ uint64) uint64 {
	if typ == StreamTypeBidi {
		return uint64(max(st.cfg.MaxStreamsBidi, 0))
	}
	return uint64(max(st.cfg.MaxStreamsUni, 0))
}

// grant lets the peer open as many more streams of a type as are over, if that is at least so many.
func (st *streams) grant(typ, least uint64) {
	t := st.peerType(typ)
	if limit := min(t.done+st.maxOpen(typ), wire.MaxStreamsLimit); limit >= t.limit+least {
		t.limit = limit
		t.tell.set()
	}
}

// raiseStreams takes the peer's limit on streams of ours and tells whether it is higher.
func (st *streams) raiseStreams(bidi bool, limit uint64) bool {
	t := st.localType(typeOf(bidi))
	if limit <= t.limit {
		return false
	}
	t.limit = limit
	t.tell = 0
	if st.barred {
		st.unbar()
	}
	if limit <= t.opened {
		return true // none more may be opened: 0-RTT data, which was rejected, has opened more than are allowed now
	}
	t.available, t.wanted = t.available || t.wanted, false
	st.untold = true
	return true
}

func typeOf(bidi bool) uint64 {
	if bidi {
		return StreamTypeBidi
	}
	return StreamTypeUni
}
