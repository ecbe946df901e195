package qpack

import (
	"fmt"
	"strings"
)

// checker is what the rules of RFC 9204 make of an encoder's output, written for the tests without a line of the Decoder: each entry that
// ever was is kept, each reference is counted, strings are decoded bit by bit. It sees what the encoder sends at the moment when it is
// made, and what of the decoder stream the encoder was given.
type checker struct {
	maxCapacity, maxBlocked uint64

	capacity, size uint64
	entries        []checkedEntry // all that were ever inserted
	dropped        int            // how many of them were evicted
	known          int            // the Known Received Count, as the encoder can know it
	sections       map[uint64][]checkedSection
	fieldsSeen     int
}

type checkedEntry struct{ name, value string }

type checkedSection struct {
	required int
	refs     map[int]bool
}

func newChecker(maxCapacity, maxBlocked uint64) *checker {
	return &checker{maxCapacity: maxCapacity, maxBlocked: maxBlocked, sections: make(map[uint64][]checkedSection)}
}

func (e checkedEntry) size() uint64 { return uint64(len(e.name)+len(e.value)) + 32 }

// broken is how a rule that was broken leaves the checker; run turns it into an error.
type broken string

func (c *checker) run(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			b, ok := r.(broken)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("%s", string(b))
		}
	}()
	f()
	return nil
}

func fail(format string, args ...any) { panic(broken(fmt.Sprintf(format, args...))) }

// reader takes bits and bytes from the front.
type reader struct{ b []byte }

func (r *reader) int(bits uint) int {
	if len(r.b) == 0 {
		fail("cut off")
	}
	mask := 1<<bits - 1
	v := int(r.b[0]) & mask
	r.b = r.b[1:]
	if v < mask {
		return v
	}
	for shift := 0; ; shift += 7 {
		if len(r.b) == 0 || shift > 56 {
			fail("an integer is cut off or too long")
		}
		x := r.b[0]
		r.b = r.b[1:]
		v += int(x&0x7f) << shift
		if x < 0x80 {
			return v
		}
	}
}

func (r *reader) string(bits uint) string {
	huffman := len(r.b) > 0 && r.b[0]>>bits&1 == 1
	n := r.int(bits)
	if n > len(r.b) {
		fail("a string is cut off")
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	if !huffman {
		return s
	}
	plain, ok := slowHuffman(s)
	if !ok {
		fail("a string is no Huffman code: %x", s)
	}
	if len(plain) <= n {
		fail("%q is in the Huffman code, which is not shorter", plain)
	}
	return plain
}

// slowHuffman decodes bit by bit, by comparing with each code.
func slowHuffman(s string) (string, bool) {
	var out strings.Builder
	code, n := uint32(0), uint8(0)
	for i := range len(s) * 8 {
		code = code<<1 | uint32(s[i/8]>>(7-i%8)&1)
		n++
		if sym, ok := slowCodes[[2]uint32{uint32(n), code}]; ok {
			if sym == 256 {
				return "", false
			}
			out.WriteByte(byte(sym))
			code, n = 0, 0
		}
		if n > 30 {
			return "", false
		}
	}
	return out.String(), n < 8 && code == 1<<n-1
}

var slowCodes = make(map[[2]uint32]int) // by length and code

func init() {
	for sym, code := range huffmanCodes {
		slowCodes[[2]uint32{uint32(huffmanLens[sym]), code}] = sym
	}
}

// encoderStream follows instructions that the encoder wrote.
func (c *checker) encoderStream(b []byte) error {
	return c.run(func() {
		r := &reader{b}
		for len(r.b) > 0 {
			switch x := r.b[0]; {
			case x&0x80 != 0:
				i := r.int(6)
				var name string
				if x&0x40 != 0 {
					name = staticTable[i].name
				} else {
					name = c.live(len(c.entries) - 1 - i).name
				}
				c.insert(checkedEntry{name, r.string(7)})
			case x&0x40 != 0:
				name := r.string(5)
				c.insert(checkedEntry{name, r.string(7)})
			case x&0x20 != 0:
				n := uint64(r.int(5))
				if n > c.maxCapacity {
					fail("capacity %d is above the setting, %d", n, c.maxCapacity)
				}
				c.capacity = n
				c.evict(n)
			default:
				c.insert(c.live(len(c.entries) - 1 - r.int(5)))
			}
		}
	})
}

func (c *checker) live(i int) checkedEntry {
	if i < c.dropped || i >= len(c.entries) {
		fail("entry %d is referred to; those from %d to %d are there", i, c.dropped, len(c.entries)-1)
	}
	return c.entries[i]
}

func (c *checker) insert(e checkedEntry) {
	if c.maxCapacity == 0 {
		fail("an instruction was sent although the maximum capacity is 0")
	}
	if e.size() > c.capacity {
		fail("an entry of %d bytes in a table of %d", e.size(), c.capacity)
	}
	c.evict(c.capacity - e.size())
	c.entries = append(c.entries, e)
	c.size += e.size()
}

// evict checks RFC 9204, section 2.1.1, for each entry that goes.
func (c *checker) evict(size uint64) {
	for c.size > size {
		i := c.dropped
		if i >= c.known {
			fail("entry %d is evicted, and %d are acknowledged", i, c.known)
		}
		for stream, sections := range c.sections {
			for _, s := range sections {
				if s.refs[i] {
					fail("entry %d is evicted, and a section of stream %d refers to it", i, stream)
				}
			}
		}
		c.size -= c.entries[i].size()
		c.dropped++
	}
}

// section decodes a section and checks its references, and the number of streams that could become blocked.
func (c *checker) section(stream uint64, b []byte) (fields []Field, err error) {
	err = c.run(func() {
		r := &reader{b}
		encoded := r.int(8)
		sign := len(r.b) > 0 && r.b[0]&0x80 != 0
		delta := r.int(7)
		// The required count is searched for, not calculated: of those that the table can have it is the one that is encoded so.
		required, found := 0, encoded == 0
		fullRange := 2 * int(c.maxCapacity/32)
		for i := max(c.dropped+1, 1); i <= len(c.entries) && !found; i++ {
			if i%fullRange+1 == encoded {
				required, found = i, true
			}
		}
		if !found {
			fail("no Required Insert Count is encoded as %d", encoded)
		}
		base := required + delta
		if sign {
			base = required - delta - 1
		}
		if base < 0 {
			fail("the Base is negative")
		}
		refs := make(map[int]bool)
		use := func(i int) checkedEntry {
			e := c.live(i)
			refs[i] = true
			return e
		}
		for len(r.b) > 0 {
			var f Field
			switch x := r.b[0]; {
			case x&0xc0 == 0xc0:
				s := staticTable[r.int(6)]
				f.Name, f.Value = s.name, s.value
			case x&0x80 != 0:
				e := use(base - 1 - r.int(6))
				f.Name, f.Value = e.name, e.value
			case x&0x40 != 0:
				f.Sensitive = x&0x20 != 0
				if i := r.int(4); x&0x10 != 0 {
					f.Name = staticTable[i].name
				} else {
					f.Name = use(base - 1 - i).name
				}
				f.Value = r.string(7)
			case x&0x20 != 0:
				f.Sensitive = x&0x10 != 0
				f.Name = r.string(3)
				f.Value = r.string(7)
			case x&0x10 != 0:
				e := use(base + r.int(4))
				f.Name, f.Value = e.name, e.value
			default:
				f.Sensitive = x&0x08 != 0
				f.Name = use(base + r.int(3)).name
				f.Value = r.string(7)
			}
			fields = append(fields, f)
		}
		newest := -1
		for i := range refs {
			newest = max(newest, i)
		}
		if newest+1 != required {
			fail("the Required Insert Count is %d, and the newest entry referred to is %d", required, newest)
		}
		if required > 0 {
			c.sections[stream] = append(c.sections[stream], checkedSection{required, refs})
		}
		c.checkBlocked()
	})
	return fields, err
}

// checkBlocked checks RFC 9204, section 2.1.2.
func (c *checker) checkBlocked() {
	n := uint64(0)
	for _, sections := range c.sections {
		for _, s := range sections {
			if s.required > c.known {
				n++
				break
			}
		}
	}
	if n > c.maxBlocked {
		fail("%d streams could become blocked, and %d may", n, c.maxBlocked)
	}
}

// decoderStream notes instructions that the encoder has been given.
func (c *checker) decoderStream(b []byte) error {
	return c.run(func() {
		r := &reader{b}
		for len(r.b) > 0 {
			switch x := r.b[0]; {
			case x&0x80 != 0:
				stream := uint64(r.int(7))
				s := c.sections[stream]
				if len(s) == 0 {
					fail("stream %d has no section to acknowledge", stream)
				}
				c.known = max(c.known, s[0].required)
				if c.sections[stream] = s[1:]; len(s) == 1 {
					delete(c.sections, stream)
				}
			case x&0x40 != 0:
				delete(c.sections, uint64(r.int(6)))
			default:
				c.known += r.int(6)
				if c.known > len(c.entries) {
					fail("%d entries are acknowledged of %d", c.known, len(c.entries))
				}
			}
		}
	})
}
