package qpack

import "math"

// encoderEntry is an entry of the encoder's dynamic table.
type encoderEntry struct {
	nameHash          uint64
	pairHash          uint32 // the low bits
	olderName         uint32 // how much newer it is than the next older entry of the same bucket, by name, which may be evicted; 0: there is none
	olderPair         uint32 // the same by name and value
	start             uint32 // where its name lies in the text of the table; its value follows
	nameLen, valueLen uint32
	pins              uint32 // sections in flight for which it is the oldest entry that they refer to
	class             uint8
	worth             worth
}

func (e *encoderEntry) textLen() uint64 { return uint64(e.nameLen) + uint64(e.valueLen) }
func (e *encoderEntry) size() uint64    { return e.textLen() + fieldOverhead }

// text is the entry's name and value, which lie in the text of the table.
func (e *encoderEntry) text(t *encoderTable) []byte { return t.text[e.start:][:e.textLen()] }

// encoderTable is the dynamic table as the encoder has it (RFC 9204, section 3.2): a ring of entries, of which the oldest go first, the
// text of their names and values, and two indexes by hash.
//
// Buckets of the indexes are lists from the newest entry to older ones. As entries are evicted in the order in which they came, a list
// ends where it meets an evicted one, and evicting needs no unlinking.
type encoderTable struct {
	capacity, size uint64
	inserted       uint64 // how many entries were ever inserted
	count          uint64 // how many of them are in the table: the newest
	ring           []encoderEntry
	byName, byPair []uint64 // newest entry of each bucket, absolute index plus one
	text           []byte
	textEnd        int    // where the newest entry's text ends
	spare          []byte // for duplicate
}

// at returns the entry with absolute index i, which has to be in the table.
func (t *encoderTable) at(i uint64) *encoderEntry { return &t.ring[i&uint64(len(t.ring)-1)] }

// oldest is the absolute index of the oldest entry, inserted if there is none.
func (t *encoderTable) oldest() uint64 { return t.inserted - t.count }

func (t *encoderTable) free() uint64 { return t.capacity - t.size }

// nothing stands for the absolute index of an entry that is not there.
const nothing = ^uint64(0)

// name returns the name of the entry with absolute index i. It is a copy: what calls this does so once for an entry.
func (t *encoderTable) name(i uint64) string {
	e := t.at(i)
	return string(e.text(t)[:e.nameLen])
}

// sizeFrom is the size of the entries from absolute index i on.
func (t *encoderTable) sizeFrom(i uint64) (size uint64) {
	for i = max(i, t.oldest()); i < t.inserted; i++ {
		size += t.at(i).size()
	}
	return size
}

// find returns the newest entry below the absolute index limit with the field's name and value, or nothing.
func (t *encoderTable) find(f *Field, hash, limit uint64) uint64 {
	if t.count == 0 {
		return nothing
	}
	for i := t.byPair[hash&uint64(len(t.byPair)-1)]; i > t.oldest(); {
		e := t.at(i - 1)
		if e.pairHash == uint32(hash) && i <= limit && t.holds(i-1, f) {
			return i - 1
		}
		i = older(i, e.olderPair)
	}
	return nothing
}

// holds tells whether the entry with absolute index i, which is in the table, has the field's name and value.
func (t *encoderTable) holds(i uint64, f *Field) bool {
	e := t.at(i)
	if int(e.nameLen) != len(f.Name) || int(e.valueLen) != len(f.Value) {
		return false
	}
	text := e.text(t)
	return string(text[e.nameLen:]) == f.Value && string(text[:e.nameLen]) == f.Name
}

// findName returns the newest entry below the absolute index limit with the name, or nothing.
func (t *encoderTable) findName(name string, hash, limit uint64) uint64 {
	if t.count == 0 {
		return nothing
	}
	for i := t.byName[hash&uint64(len(t.byName)-1)]; i > t.oldest(); {
		e := t.at(i - 1)
		if e.nameHash == hash && i <= limit && string(e.text(t)[:e.nameLen]) == name {
			return i - 1
		}
		i = older(i, e.olderName)
	}
	return nothing
}

// older follows a link of a bucket from the entry with absolute index i - 1, and returns one more than the index that it leads to; 0 if to none.
func older(i uint64, link uint32) uint64 {
	if link == 0 {
		return 0
	}
	return i - uint64(link)
}

// linkTo is the link from a new entry to the one before it in its bucket; both are indexes plus one. One that is so much older was evicted
// long ago.
func linkTo(i, before uint64) uint32 {
	if before == 0 || i-before > math.MaxUint32 {
		return 0
	}
	return uint32(i - before)
}

// insert adds an entry for which evict has made room, and returns its absolute index.
func (t *encoderTable) insert(name, value string, nameHash, pairHash uint64) uint64 {
	i, text := t.add(len(name), len(value), nameHash, uint32(pairHash))
	copy(text, name)
	copy(text[len(name):], value)
	return i
}

// duplicate evicts what has to go, makes a copy of the entry with absolute index i, which may be among that, and returns the copy's.
func (t *encoderTable) duplicate(i uint64) uint64 {
	e := *t.at(i)
	t.spare = append(t.spare[:0], e.text(t)...)
	t.evict(e.size())
	i, text := t.add(int(e.nameLen), int(e.valueLen), e.nameHash, e.pairHash)
	copy(text, t.spare)
	t.at(i).worth, t.at(i).class = e.worth, e.class
	return i
}

// add adds an entry and returns its absolute index and the place for its text.
func (t *encoderTable) add(nameLen, valueLen int, nameHash uint64, pairHash uint32) (uint64, []byte) {
	if t.count == uint64(len(t.ring)) {
		t.growRing()
	}
	i := t.inserted
	e := t.at(i)
	start := t.place(nameLen + valueLen)
	*e = encoderEntry{nameHash: nameHash, pairHash: pairHash, start: uint32(start), nameLen: uint32(nameLen), valueLen: uint32(valueLen)}
	t.link(i)
	t.inserted++
	t.count++
	t.size += e.size()
	return i, e.text(t)
}

// link puts the entry with absolute index i, the newest, into its buckets.
func (t *encoderTable) link(i uint64) {
	e := t.at(i)
	byName := &t.byName[e.nameHash&uint64(len(t.byName)-1)]
	byPair := &t.byPair[uint64(e.pairHash)&uint64(len(t.byPair)-1)]
	e.olderName, e.olderPair = linkTo(i+1, *byName), linkTo(i+1, *byPair)
	*byName, *byPair = i+1, i+1
}

// evict removes the oldest entries until there is room for size bytes more. The caller has made sure that it may.
func (t *encoderTable) evict(size uint64) {
	for t.size+size > t.capacity {
		t.size -= t.at(t.oldest()).size()
		t.count--
	}
}

// pin keeps the entry with absolute index i from eviction until unpin.
func (t *encoderTable) pin(i uint64)   { t.at(i).pins++ }
func (t *encoderTable) unpin(i uint64) { t.at(i).pins-- }

// place finds room for n bytes of text, in one piece.
func (t *encoderTable) place(n int) (start int) {
	if t.count == 0 {
		t.textEnd = 0
	}
	first := 0
	if t.count > 0 {
		first = int(t.at(t.oldest()).start)
	}
	switch wrapped := t.count > 0 && t.textEnd <= first; {
	case wrapped && t.textEnd+n <= first, !wrapped && t.textEnd+n <= len(t.text):
		start = t.textEnd
	case !wrapped && n <= first-1: // around the end; textEnd stays below first
		start = 0
	default:
		t.growText(n)
		start = t.textEnd
	}
	t.textEnd = start + n
	return start
}

// growText moves the text to a larger array, without gaps, which has room for n bytes more.
func (t *encoderTable) growText(n int) {
	held := int(t.size - t.count*fieldOverhead)
	text := make([]byte, 0, max(minText, 2*(held+n)))
	for i := t.oldest(); i < t.inserted; i++ {
		e := t.at(i)
		start := len(text)
		text = append(text, e.text(t)...)
		e.start = uint32(start)
	}
	t.textEnd = len(text)
	t.text = text[:cap(text)]
}

// What a table begins with, and doubles as need be: many connections insert little.
const (
	minEncoderRing = 4   // entries
	minText        = 128 // bytes
)

// growRing doubles the ring, and the indexes with it.
func (t *encoderTable) growRing() {
	old := *t
	n := max(minEncoderRing, 2*len(t.ring))
	t.ring, t.byName, t.byPair = make([]encoderEntry, n), make([]uint64, 2*n), make([]uint64, 2*n)
	for i := t.oldest(); i < t.inserted; i++ {
		*t.at(i) = *old.at(i)
		t.link(i)
	}
}
