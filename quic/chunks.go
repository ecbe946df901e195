package quic

import "math/bits"

const (
	// chunkSize is the size of the pieces in which stream data is kept, in bytes.
	chunkSize = 16 << 10 // at most 64 KiB: protect.SealDesc.PieceOff

	// smallChunk is the least size of the first piece of a buffer, which doubles up to chunkSize: what long-lived streams of HTTP/3 carry
	// are some bytes now and then. Without a pool the least is leastChunk, so that what comes in parts is not moved often.
	smallChunk = 1 << 6
	leastChunk = 1 << 8

	// chunkSizes is how many sizes there are from smallChunk to chunkSize.
	chunkSizes = 9

	// maxFreeChunks bounds the pieces of each size that a connection keeps for reuse until it rests.
	maxFreeChunks = 256
)

// chunkPool keeps the chunks of one connection's streams for reuse, by size. A nil pool keeps none.
type chunkPool struct {
	free *[chunkSizes][][]byte // nil: there are none
}

// of returns where chunks of a size are kept, of which there were some since the connection rested.
func (p *chunkPool) of(size int) *[][]byte { return &p.free[bits.TrailingZeros(uint(size)/smallChunk)] }

// get returns a chunk with bytes of any value.
func (p *chunkPool) get(size int) []byte {
	if p == nil || p.free == nil {
		return make([]byte, size)
	}
	if free := p.of(size); len(*free) > 0 {
		last := len(*free) - 1
		c := (*free)[last]
		(*free)[last] = nil
		*free = (*free)[:last]
		return c
	}
	return make([]byte, size)
}

func (p *chunkPool) put(c []byte) {
	if p == nil || c == nil {
		return
	}
	if p.free == nil {
		p.free = new([chunkSizes][][]byte)
	}
	if free := p.of(len(c)); len(*free) < maxFreeChunks {
		*free = append(*free, c)
	}
}

// chunks holds the bytes of a stream from offset base on. Its pieces start chunkSize apart; a piece that nothing was written to is nil.
type chunks struct {
	base   int64    // the first offset that is kept
	pieces [][]byte // pieces[head] holds base
	head   int32
	skew   uint16 // by how much an offset at which a piece starts is beyond a multiple of chunkSize
	long   bool   // there was a second piece since the first one
}

// write copies p to offset off, which is not below base.
func (c *chunks) write(pool *chunkPool, off int64, p []byte) {
	for len(p) > 0 {
		piece := c.piece(pool, off, len(p))
		n := copy(piece, p)
		off, p = off+int64(n), p[n:]
	}
}

// writeParts is write of n bytes of the concatenation of parts.
func (c *chunks) writeParts(pool *chunkPool, off int64, parts [][]byte, n int) {
	var room []byte
	for _, p := range parts {
		p = p[:min(n, len(p))]
		for len(p) > 0 {
			if len(room) == 0 {
				room = c.piece(pool, off, n)
			}
			k := copy(room, p)
			room, p = room[k:], p[k:]
			off, n = off+int64(k), n-k
		}
	}
}

// piece returns the room at offset off in its piece, which is made to hold n bytes from there or to end.
func (c *chunks) piece(pool *chunkPool, off int64, n int) []byte {
	i := c.index(off)
	for i >= len(c.pieces) {
		c.pieces = append(c.pieces, nil)
	}
	c.long = c.long || i > int(c.head)
	at := c.place(off)
	need := min(at+n, chunkSize)
	if have := c.pieces[i]; len(have) < need {
		c.pieces[i] = grow(pool, have, need, c.long)
		pool.put(have)
	}
	return c.pieces[i][at:]
}

// grow returns a piece of at least need bytes that starts with what have holds. Only where little data is
// expected, at the start of a stream and after a rest, is it smaller than chunkSize.
func grow(pool *chunkPool, have []byte, need int, long bool) []byte {
	size := max(smallChunk, 1<<bits.Len(uint(need-1)))
	switch {
	case long:
		size = chunkSize
	case pool == nil:
		size = max(size, leastChunk)
	}
	c := pool.get(size)
	copy(c, have)
	return c
}

// index returns the place in pieces of the piece that offset off lies in, which is not below base, nor is that below skew.
func (c *chunks) index(off int64) int {
	skew := int64(c.skew)
	return int(c.head) + int(uint64(off-skew)/chunkSize-uint64(c.base-skew)/chunkSize)
}

// place returns where in its piece offset off lies.
func (c *chunks) place(off int64) int { return int(uint64(off-int64(c.skew)) % chunkSize) }

// at returns the piece that offset off lies in, and where in it.
func (c *chunks) at(off int64) (piece []byte, at int) { return c.pieces[c.index(off)], c.place(off) }

// append appends the n bytes from offset off on to b.
func (c *chunks) append(b []byte, off int64, n int) []byte {
	for n > 0 {
		piece, at := c.at(off)
		m := min(n, len(piece)-at)
		b = append(b, piece[at:at+m]...)
		off, n = off+int64(m), n-m
	}
	return b
}

// read copies from offset base on into p, which must not ask for more than was written, and forgets what it copied.
func (c *chunks) read(pool *chunkPool, p []byte) {
	off := c.base
	for n := 0; n < len(p); {
		piece, at := c.at(off)
		m := copy(p[n:], piece[at:])
		n, off = n+m, off+int64(m)
	}
	c.drop(pool, off)
}

// take hands over the piece that base lies in, if that is filled to its end, of which n bytes from base on are. It returns
// an empty Piece if not.
func (c *chunks) take(n int64) Piece {
	at := c.place(c.base)
	if int64(at)+n < chunkSize {
		return Piece{}
	}
	p := Piece{c.pieces[c.head], at}
	c.pieces[c.head] = nil
	c.drop(nil, c.base+chunkSize-int64(at)) // nothing that could go to a pool
	return p
}

// Piece is memory with bytes of a stream.
type Piece struct {
	chunk []byte
	from  int
}

// Bytes returns the bytes, which must not be used any more once the Piece was given back.
func (p Piece) Bytes() []byte { return p.chunk[p.from:] }

// drop forgets everything below offset off.
func (c *chunks) drop(pool *chunkPool, off int64) {
	first, next := int(c.head), c.index(off)
	c.long = c.long || next > first
	last := min(next, len(c.pieces))
	for i := first; i < last; i++ {
		pool.put(c.pieces[i])
		c.pieces[i] = nil
	}
	c.head, c.base = int32(last), off
	switch {
	case last == len(c.pieces):
		c.pieces, c.head = c.pieces[:0], 0
	case last >= 16 && last > len(c.pieces)/2:
		n := copy(c.pieces, c.pieces[c.head:])
		clear(c.pieces[n:])
		c.pieces, c.head = c.pieces[:n], 0
	}
}

// clear forgets everything.
func (c *chunks) clear(pool *chunkPool) {
	c.empty(pool)
	c.pieces = nil
}

// rest forgets everything of a stream that has read all, or had all acknowledged, so far: what comes next is taken to be as little as at
// its start.
func (c *chunks) rest() {
	c.clear(nil)
	c.skew, c.long = uint16(c.base%chunkSize), false
}

// empty forgets everything but keeps room for pieces to come.
func (c *chunks) empty(pool *chunkPool) {
	for i := int(c.head); i < len(c.pieces); i++ { // those before are nil
		pool.put(c.pieces[i])
		c.pieces[i] = nil
	}
	c.pieces, c.head = c.pieces[:0], 0
}
