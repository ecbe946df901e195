package qpack

// decoderTable is the dynamic table as the decoder has it (RFC 9204, section 3.2): a ring of entries.
type decoderTable struct {
	capacity, size uint64
	inserted       uint64  // how many entries were ever inserted: the Insert Count
	count          uint64  // how many of them are in the table: the newest
	ring           []Field // entry with absolute index i is at i modulo the length, a power of two
}

const minRing = 16

// at returns the entry with absolute index i, nil if it was evicted or has not been inserted.
func (t *decoderTable) at(i uint64) *Field {
	if i >= t.inserted || i < t.inserted-t.count {
		return nil
	}
	return &t.ring[i&uint64(len(t.ring)-1)]
}

// insert evicts what has to go and adds e; ok is false if e is larger than the capacity (RFC 9204, section 3.2.2).
func (t *decoderTable) insert(e Field) (ok bool) {
	size := e.Size()
	if size > t.capacity {
		return false
	}
	t.evict(t.capacity - size)
	if t.count == uint64(len(t.ring)) {
		t.growRing()
	}
	t.ring[t.inserted&uint64(len(t.ring)-1)] = e
	t.inserted++
	t.count++
	t.size += size
	return true
}

// evict removes the oldest entries until the others are size bytes at most.
func (t *decoderTable) evict(size uint64) {
	for t.size > size {
		e := &t.ring[(t.inserted-t.count)&uint64(len(t.ring)-1)]
		t.size -= e.Size()
		t.count--
		*e = Field{}
	}
}

func (t *decoderTable) growRing() {
	ring := make([]Field, max(minRing, 2*len(t.ring)))
	for i := t.inserted - t.count; i < t.inserted; i++ {
		ring[i&uint64(len(ring)-1)] = t.ring[i&uint64(len(t.ring)-1)]
	}
	t.ring = ring
}
