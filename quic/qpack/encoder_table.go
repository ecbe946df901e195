package qpack

// encoderEntry is an entry of the encoder's dynamic table.
type encoderEntry struct {
	nameHash, pairHash uint64
	olderName          uint64 // absolute index plus one of the next older entry of the same bucket, by name; it may be evicted
	olderPair          uint64 // the same by name and value
	start              int    // where its name lies in the text of the table; its value follows
	nameLen, valueLen  int
	pins               uint32 // sections in flight for which it is the oldest entry that they refer to
	class              uint8
	worth              worth
}

func (e *encoderEntry) size() uint64 { return uint64(e.nameLen+e.valueLen) + fieldOverhead }

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
	return string(t.text[e.start : e.start+e.nameLen])
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
		if e.pairHash == hash && i <= limit && t.holds(i-1, f) {
			return i - 1
		}
		i = e.olderPair
	}
	return nothing
}

// newest returns the newest entry with the hash of name and value, or nothing.
func (t *encoderTable) newest(pairHash uint64) uint64 {
	if t.count == 0 {
		return nothing
	}
	for i := t.byPair[pairHash&uint64(len(t.byPair)-1)]; i > t.oldest(); {
		e := t.at(i - 1)
		if e.pairHash == pairHash {
			return i - 1
		}
		i = e.olderPair
	}
	return nothing
}

// holds tells whether the entry with absolute index i, which is in the table, has the field's name and value.
func (t *encoderTable) holds(i uint64, f *Field) bool {
	e := t.at(i)
	if e.nameLen != len(f.Name) || e.valueLen != len(f.Value) {
		return false
	}
	text := t.text[e.start : e.start+e.nameLen+e.valueLen]
	return string(text[e.nameLen:]) == f.Value && string(text[:e.nameLen]) == f.Name
}

// findName returns the newest entry below the absolute index limit with the name, or nothing.
func (t *encoderTable) findName(name string, hash, limit uint64) uint64 {
	if t.count == 0 {
		return nothing
	}
	for i := t.byName[hash&uint64(len(t.byName)-1)]; i > t.oldest(); {
		e := t.at(i - 1)
		if e.nameHash == hash && i <= limit && string(t.text[e.start:e.start+e.nameLen]) == name {
			return i - 1
		}
		i = e.olderName
	}
	return nothing
}

// insert adds an entry for which evict has made room, and returns its absolute index.
func (t *encoderTable) insert(name, value string, nameHash, pairHash uint64) uint64 {
	i, text := t.add(len(name), len(value), nameHash, pairHash)
	copy(text, name)
	copy(text[len(name):], value)
	return i
}

// duplicate evicts what has to go, makes a copy of the entry with absolute index i, which may be among that, and returns the copy's.
func (t *encoderTable) duplicate(i uint64) uint64 {
	e := *t.at(i)
	t.spare = append(t.spare[:0], t.text[e.start:e.start+e.nameLen+e.valueLen]...)
	t.evict(e.size())
	i, text := t.add(e.nameLen, e.valueLen, e.nameHash, e.pairHash)
	copy(text, t.spare)
	t.at(i).worth, t.at(i).class = e.worth, e.class
	return i
}

// add adds an entry and returns its absolute index and the place for its text.
func (t *encoderTable) add(nameLen, valueLen int, nameHash, pairHash uint64) (uint64, []byte) {
	if t.count == uint64(len(t.ring)) {
		t.growRing()
	}
	i := t.inserted
	byName := &t.byName[nameHash&uint64(len(t.byName)-1)]
	byPair := &t.byPair[pairHash&uint64(len(t.byPair)-1)]
	start := t.place(nameLen + valueLen)
	*t.at(i) = encoderEntry{nameHash: nameHash, pairHash: pairHash, olderName: *byName, olderPair: *byPair, start: start,
		nameLen: nameLen, valueLen: valueLen}
	*byName, *byPair = i+1, i+1
	t.inserted++
	t.count++
	t.size += t.at(i).size()
	return i, t.text[start : start+nameLen+valueLen]
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
		first = t.at(t.oldest()).start
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
	text := make([]byte, 0, max(1024, 2*(int(t.size)+n)))
	for i := t.oldest(); i < t.inserted; i++ {
		e := t.at(i)
		start := len(text)
		text = append(text, t.text[e.start:e.start+e.nameLen+e.valueLen]...)
		e.start = start
	}
	t.textEnd = len(text)
	t.text = text[:cap(text)]
}

// growRing doubles the ring, and the indexes with it.
func (t *encoderTable) growRing() {
	old := *t
	n := max(minRing, 2*len(t.ring))
	t.ring, t.byName, t.byPair = make([]encoderEntry, n), make([]uint64, 2*n), make([]uint64, 2*n)
	for i := t.oldest(); i < t.inserted; i++ {
		e := t.at(i)
		*e = *old.at(i)
		byName := &t.byName[e.nameHash&uint64(2*n-1)]
		byPair := &t.byPair[e.pairHash&uint64(2*n-1)]
		e.olderName, e.olderPair = *byName, *byPair
		*byName, *byPair = i+1, i+1
	}
}
