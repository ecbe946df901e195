package qpack

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// decoderWith returns a decoder whose table has these entries.
func decoderWith(t testing.TB, capacity, blocked uint64, entries ...Field) *Decoder {
	t.Helper()
	d := NewDecoder(capacity, blocked)
	in := appendInt(nil, 0x20, 5, capacity)
	for _, f := range entries {
		in = appendString(appendString(in, 0x40, 5, f.Name), 0, 7, f.Value)
	}
	if err := d.HandleEncoderStream(in); err != nil {
		t.Fatal(err)
	}
	d.Sent(len(d.Instructions()))
	return d
}

func wantError(t *testing.T, name string, err error, code uint64, text string) {
	t.Helper()
	var q *Error
	if !errors.As(err, &q) || q.Code != code || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %#x with %q", name, err, code, text)
	}
}

// Sections that cannot be are QPACK_DECOMPRESSION_FAILED (RFC 9204, sections 2.2.3, 4.5 and 7.4; attack F5). The table has two entries
// of three that were inserted.
func TestAttackF5Sections(t *testing.T) {
	long := strings.Repeat("ff", 5)
	for _, c := range []struct{ name, section, want string }{
		{"nothing", "", "the field section ends within"},
		{"no Base", "00", "the field section ends within"},
		{"Required Insert Count beyond the range", "ff 00 00", "cannot be"},
		{"Required Insert Count of eleven bytes", "ff 80808080808080808080 00 00", "too long"},
		{"Base below 0", "04 83", "negative"},
		{"Base below 0, no entry needed", "00 80", "negative"},
		{"Base of 63 bits", "04 7f ffffffffffffffff7f", "too long"},
		{"static index 99", "0000 ff24", "beyond the static table"},
		{"static index of 62 bits", "0000 ff c0ffffffffffffff3f", "beyond the static table"},
		{"name of static index 99", "0000 5f54 00", "beyond the static table"},
		{"relative index before the first", "0400 83", "before the first"},
		{"relative index of an entry that was evicted", "0400 82", "evicted"},
		{"name of an entry that was evicted", "0400 42 00", "evicted"},
		{"index at the Required Insert Count", "0300 10", "Required Insert Count is 2"},
		{"dynamic entry with Required Insert Count 0", "0000 80", "before the first"},
		{"post-Base entry with Required Insert Count 0", "0000 10", "Required Insert Count is 0"},
		{"post-Base index of 62 bits", "0400 1f f0ffffffffffffff3f", "Required Insert Count is 3"},
		{"post-Base name at the Required Insert Count", "0300 00 00", "Required Insert Count is 2"},
		{"value cut off", "0000 51 05 61", "the field section ends within"},
		{"value longer than memory", "0000 51 7f " + "80ffffffffffffff3f", "the field section ends within"},
		{"name cut off", "0000 27 05 61", "the field section ends within"},
		{"name without a value", "0000 21 61", "the field section ends within"},
		{"length above 62 bits", "0000 51 7f ffffffffffffffff7f", "too long"},
		{"Huffman with EOS", "0000 51 84 ffffffff", "no Huffman code"},
		{"Huffman with eight bits of padding", "0000 51 82 1fff", "no Huffman code"},
		{"Huffman with padding of zeros", "0000 51 81 18", "no Huffman code"},
		{"Huffman, a code cut off", "0000 51 82 fffe", "no Huffman code"},
		{"name in Huffman with EOS", "0000 2c " + long, "no Huffman code"},
	} {
		d := decoderWith(t, 70, 0, Field{Name: "a", Value: "1"}, Field{Name: "b", Value: "2"}, Field{Name: "c", Value: "3"})
		_, err := d.Decode(0, unhex(t, c.section), nil, 1<<16)
		wantError(t, c.name, err, DecompressionFailed, c.want)
		_, again := d.Decode(4, unhex(t, "0000 d1"), nil, 1<<16)
		if again != err {
			t.Errorf("%s: afterwards %v, want the same error", c.name, again)
		}
	}
}

// Instructions that cannot be are QPACK_ENCODER_STREAM_ERROR, whole or a byte at a time (RFC 9204, sections 2.2.3, 3.2.2 and 4.3). The
// table, of 70 bytes, has two entries.
func TestAttackF5EncoderStream(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"capacity above the setting", "3f 28", "capacity 71"},
		{"capacity above 62 bits", "3f ffffffffffffffff7f", "too long"},
		{"static name 99", "ff24 00", "beyond the static table"},
		{"name of an entry that was evicted", "82 00", "relative index 2"},
		{"name of an entry that never was", "bf c0ffffffffffffff3f 00", "relative index"},
		{"duplicate of an entry that was evicted", "02", "relative index 2"},
		{"entry that cannot fit", "c0 27 " + strings.Repeat("61", 39), "does not fit"},
		{"entry larger than the table", "c0 93 " + strings.Repeat("00", 18) + "03", "larger than the table"},
		{"value that cannot fit beside its name", "c0 1d", "does not fit"},
		{"value that cannot fit beside a literal name", "44 61616161 23", "does not fit"},
		{"value in Huffman that cannot fit beside a name in Huffman", "7f 2f " + strings.Repeat("ff", 78) + " ff 00", "does not fit"},
		{"value that cannot fit", "c0 47", "does not fit"},
		{"value in Huffman that cannot fit", "c0 ff 89 02", "does not fit"},
		{"value that fits encoded, not decoded", "c0 b0 " + strings.Repeat("00", 48), "does not fit"},
		{"name that cannot fit", "5f 28", "does not fit"},
		{"name longer than memory", "5f ffffffffffffffff3f", "does not fit"},
		{"Huffman with EOS", "c0 84 ffffffff", "no Huffman code"},
		{"name with padding of zeros", "61 18 00", "no Huffman code"},
	} {
		for _, piece := range []int{1, 1000} {
			d := decoderWith(t, 70, 0, Field{Name: "a", Value: "1"}, Field{Name: "b", Value: "2"}, Field{Name: "c", Value: "3"})
			var err error
			for in := unhex(t, c.in); len(in) > 0 && err == nil; {
				n := min(piece, len(in))
				err = d.HandleEncoderStream(in[:n])
				in = in[n:]
			}
			wantError(t, c.name, err, EncoderStreamError, c.want)
		}
	}
	d := NewDecoder(0, 0)
	if err := d.HandleEncoderStream([]byte{0x20}); err != nil {
		t.Errorf("capacity 0 where there is no table: %v", err)
	}
	wantError(t, "an entry where there is no table", d.HandleEncoderStream([]byte{0xc0, 0}), EncoderStreamError, "does not fit")
}

// What is kept of an instruction whose end has not come is four times the table's capacity at most, name and value together.
func TestPartialInstruction(t *testing.T) {
	const capacity = 4000
	for _, c := range []struct {
		name        string
		first       byte
		bits        uint
		name1, most int // bytes of the name, and of the value, in Huffman's code
	}{
		{"a name in Huffman, and a value", 0x60, 5, capacity * 15 / 4, capacity * 15 / 4},
		{"both of half the size", 0x60, 5, capacity * 15 / 8, capacity * 15 / 8},
		{"a short name", 0x60, 5, 10, capacity * 15 / 4},
		{"a name of the static table", 0xc0, 6, 0, capacity * 15 / 4},
	} {
		d := NewDecoder(capacity, 0)
		err := d.HandleEncoderStream(appendInt(nil, 0x20, 5, capacity))
		in := appendInt(nil, c.first, c.bits, uint64(c.name1))
		in = append(in, bytes.Repeat([]byte{0xff}, c.name1)...)
		in = appendInt(in, 0x80, 7, uint64(c.most))
		in = append(in, bytes.Repeat([]byte{0xff}, c.most-1)...)
		for ; len(in) > 0 && err == nil; in = in[1:] {
			err = d.HandleEncoderStream(in[:1])
			if n := len(d.partial); n > 4*capacity {
				t.Fatalf("%s: %d bytes are kept of an instruction for a table of %d", c.name, n, capacity)
			}
		}
		if err != nil {
			wantError(t, c.name, err, EncoderStreamError, "")
		}
	}
}

// The stream that is one too many to be blocked is an error, and the others are not (RFC 9204, section 2.1.2; attack F4).
func TestAttackF4BlockedStreams(t *testing.T) {
	section := unhex(t, "0200 80") // entry 0
	d := decoderWith(t, 4096, 3)
	for id := range uint64(3) {
		for range 3 { // tried again in vain it counts once
			if _, err := d.Decode(id*4, section, nil, 1<<16); err != ErrBlocked {
				t.Fatalf("stream %d: %v, want ErrBlocked", id*4, err)
			}
		}
	}
	d.CancelStream(4)
	if _, err := d.Decode(12, section, nil, 1<<16); err != ErrBlocked || d.Blocked() != 3 {
		t.Fatalf("stream 12, after a cancellation: %v, %d blocked", err, d.Blocked())
	}
	if err := d.HandleEncoderStream(unhex(t, "41 61 01")); err != nil { // an entry that is not whole
		t.Fatal(err)
	}
	if id, ok := d.NextUnblocked(); ok {
		t.Fatalf("stream %d goes on without the entry", id)
	}
	if err := d.HandleEncoderStream(unhex(t, "62")); err != nil {
		t.Fatal(err)
	}
	var went []uint64
	for id, ok := d.NextUnblocked(); ok; id, ok = d.NextUnblocked() {
		went = append(went, id)
		if got, err := d.Decode(id, section, nil, 1<<16); err != nil || !sameFields(got, []Field{{Name: "a", Value: "b"}}) {
			t.Fatalf("stream %d: %v, %v", id, got, err)
		}
	}
	if len(went) != 3 || d.Blocked() != 0 {
		t.Fatalf("streams %d went on, %d are blocked", went, d.Blocked())
	}
	if got, want := d.Instructions(), unhex(t, "44"); !bytes.HasPrefix(got, want) || len(got) != 4 {
		t.Fatalf("instructions %x, want a cancellation and three acknowledgements", got)
	}
	section = unhex(t, "0300 80") // entry 1
	for id := range uint64(3) {
		if _, err := d.Decode(100+id*4, section, nil, 1<<16); err != ErrBlocked {
			t.Fatal(err)
		}
	}
	_, err := d.Decode(200, section, nil, 1<<16)
	wantError(t, "the fourth", err, DecompressionFailed, "as many as the setting allows")
}

// Entries that no section acknowledges are by one increment, and not twice (RFC 9204, sections 2.2.2.3 and 4.4.3).
func TestInsertCountIncrement(t *testing.T) {
	d := decoderWith(t, 4096, 3)
	for range 5 {
		if err := d.HandleEncoderStream(unhex(t, "41 61 01 62")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Decode(0, unhex(t, "0400 80"), nil, 1<<16); err != nil { // needs three of the five
		t.Fatal(err)
	}
	if got := d.Instructions(); !bytes.Equal(got, unhex(t, "80 02")) {
		t.Fatalf("instructions %x, want 8002", got)
	}
	d.Sent(1)
	if got := d.Instructions(); !bytes.Equal(got, unhex(t, "02")) {
		t.Fatalf("instructions %x, want 02", got)
	}
	d.Sent(1)
	if got := d.Instructions(); len(got) != 0 {
		t.Fatalf("instructions %x, want none", got)
	}
}

// A large entry referred to ten thousand times stops the decoder at its limit, before much was allocated, and so do literals, in any way
// that they are written: what is held by then is at most twice the limit (attack F3).
func TestAttackF3Expansion(t *testing.T) {
	const limit = 64 << 10
	large := Field{Name: "a", Value: strings.Repeat("x", 4000)}
	zeros := strings.Repeat("0", 30000) // 5 bits each
	literal := appendString([]byte{0, 0}, 0x21, 3, "b")
	for _, c := range []struct {
		name    string
		section []byte
	}{
		{"an entry of the table", append([]byte{2, 0}, bytes.Repeat([]byte{0x80}, 10000)...)},
		{"an entry of the static table", append([]byte{0, 0}, bytes.Repeat([]byte{0xc1}, 100000)...)},
		{"names of the table, empty values", append([]byte{2, 0}, bytes.Repeat([]byte{0x40, 0}, 50000)...)},
		{"literals", bytes.Repeat(appendString(literal[2:len(literal):len(literal)], 0, 7, ""), 50000)},
		{"Huffman", append([]byte{0, 0}, bytes.Repeat(appendString([]byte{0x51}, 0, 7, zeros), 4)...)},
		{"one value", append([]byte{0, 0}, appendString([]byte{0x51}, 0, 7, strings.Repeat("0", 1<<20))...)},
		{"one name", append([]byte{0, 0}, appendString(nil, 0x20, 3, strings.Repeat("0", 1<<20))...)},
	} {
		if c.name == "literals" {
			c.section = append([]byte{0, 0}, c.section...)
		}
		d := decoderWith(t, 4096, 0, large)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fields, err := d.Decode(4, c.section, nil, limit)
		runtime.ReadMemStats(&after)
		if err != ErrTooLarge {
			t.Errorf("%s: %d fields, %v, want ErrTooLarge", c.name, len(fields), err)
		}
		size := uint64(0)
		for _, f := range fields {
			size += f.Size()
		}
		if size > limit {
			t.Errorf("%s: %d bytes were decoded, and the limit is %d", c.name, size, limit)
		}
		// A field has 56 bytes and counts for 32 and more; what literals need while they are decoded, and what slices leave behind when
		// they grow, comes on top.
		most := uint64(limit / 2)
		switch c.name {
		case "literals", "Huffman", "one value", "one name":
			most = 4 * limit
		case "an entry of the static table", "names of the table, empty values":
			most = 3 * limit
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("%s: %d bytes were allocated, and the limit is %d", c.name, n, limit)
		}
		if n := cap(fields)*56 + cap(d.scratch); n > 2*limit {
			t.Errorf("%s: %d bytes are held, and the limit is %d", c.name, n, limit)
		}
		if got := d.Instructions(); c.section[0] != 0 && !bytes.Equal(got, []byte{0x84}) {
			t.Errorf("%s: instructions %x, want the acknowledgement", c.name, got)
		}
		if got, err := d.Decode(8, unhex(t, "0000 d1"), nil, limit); err != nil || len(got) != 1 {
			t.Errorf("%s: afterwards %v, %v", c.name, got, err)
		}
	}
	// To the byte: what has the limit's size passes.
	d := decoderWith(t, 4096, 0, large)
	section := unhex(t, "0200 80 d1 51022f61 2161 0162")
	fields, err := d.Decode(0, section, nil, 1<<16)
	size := uint64(0)
	for _, f := range fields {
		size += f.Size()
	}
	if err != nil || len(fields) != 4 {
		t.Fatal(fields, err)
	}
	for _, short := range []uint64{0, 1, 2, 30, 34, 35, 70, size} {
		_, err := d.Decode(0, section, nil, size-short)
		if want := error(ErrTooLarge); short == 0 && err != nil || short > 0 && err != want {
			t.Errorf("limit %d of %d: %v", size-short, size, err)
		}
	}
}

// A peer that takes no instructions stops what would make more, and is not let to fill our memory (attack F8).
func TestAttackF8Backlog(t *testing.T) {
	d := decoderWith(t, 4096, 10, Field{Name: "a", Value: "b"})
	var err error
	n := 0
	for ; err == nil && n < 1e6; n++ {
		_, err = d.Decode(uint64(n)*4, unhex(t, "0200 80"), nil, 1<<16)
	}
	if err != ErrBacklog || len(d.out) > maxBacklog+maxIntLen {
		t.Fatalf("after %d sections %v, %d bytes wait", n, err, len(d.out))
	}
	if _, err := d.Decode(0, unhex(t, "0000 d1"), nil, 1<<16); err != nil {
		t.Errorf("a section that needs no acknowledgement: %v", err)
	}
	for id := range uint64(1e5) {
		d.CancelStream(id * 4)
	}
	if len(d.out) > maxCancelBacklog+maxIntLen {
		t.Errorf("%d bytes wait", len(d.out))
	}
	d.Sent(len(d.out))
	if _, err := d.Decode(0, unhex(t, "0200 80"), nil, 1<<16); err != nil {
		t.Errorf("after they were sent: %v", err)
	}
}

// A flood of instructions costs time in proportion to its bytes, and no memory beyond the table's (attack F6); one that never ends costs
// a few times the table's capacity.
func TestAttackF6Churn(t *testing.T) {
	d := decoderWith(t, 4096, 10, Field{Name: "name", Value: "value"})
	churn := bytes.Repeat([]byte{0x00}, 100000) // Duplicate
	churn = append(churn, bytes.Repeat(unhex(t, "20 3fe11f"), 100000)...)
	if err := d.HandleEncoderStream(churn); err != nil {
		t.Fatal(err)
	}
	if d.InsertCount() != 100001 || len(d.table.ring) > 256 || d.table.count != 0 {
		t.Errorf("%d insertions, %d places, %d entries", d.InsertCount(), len(d.table.ring), d.table.count)
	}
	// An entry whose value is announced in full size, and comes a byte at a time.
	const longest = (4096 - fieldOverhead - len(":authority")) * 30 / 8
	in := appendInt([]byte{0xc0}, 0x80, 7, uint64(longest))
	in = append(in, bytes.Repeat([]byte{0xff}, longest-1)...)
	for _, b := range in {
		if err := d.HandleEncoderStream([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.partial) != len(in) || cap(d.partial) > 8*4096 {
		t.Errorf("%d bytes are kept in %d, want %d", len(d.partial), cap(d.partial), len(in))
	}
}

// The Required Insert Count wraps as RFC 9204, section 4.5.1.1, has it: for each table that the decoder can have, each count that a
// section can need comes back.
func TestRequiredInsertCountWraps(t *testing.T) {
	for _, capacity := range []uint64{32, 64, 100, 4096} {
		maxEntries := capacity / 32
		d := NewDecoder(capacity, 0)
		for inserted := range 5 * maxEntries {
			d.table.inserted = inserted
			for count := uint64(max(int(inserted)-int(maxEntries)+1, 1)); count <= inserted+maxEntries; count++ {
				if got, ok := d.requiredInsertCount(count%(2*maxEntries) + 1); !ok || got != count {
					t.Fatalf("capacity %d, %d inserted: %d decodes as %d, %v", capacity, inserted, count, got, ok)
				}
			}
		}
	}
	d := NewDecoder(100, 0)
	if got, ok := d.requiredInsertCount(1); ok {
		t.Errorf("what encodes 0 decodes as %d", got)
	}
	// The example of the section.
	d.table.inserted = 10
	if got, ok := d.requiredInsertCount(4); !ok || got != 9 {
		t.Errorf("the RFC's example decodes as %d, want 9", got)
	}
}

// Each representation, with the never-indexed bit and without (RFC 9204, section 4.5).
func TestRepresentations(t *testing.T) {
	d := decoderWith(t, 4096, 0, Field{Name: "a", Value: "1"}, Field{Name: "b", Value: "2"}, Field{Name: "c", Value: "3"})
	got, err := d.Decode(0, unhex(t, "04 81"+ // Required Insert Count 3, Base 1
		"80"+"11"+"d1"+"40 01 78"+"60 01 79"+"51 01 7a"+"71 01 7a"+"00 01 78"+"09 01 79"+"21 64 01 35"+"31 64 01 36"), nil, 1<<16)
	want := []Field{{Name: "a", Value: "1"}, {Name: "c", Value: "3"}, {Name: ":method", Value: "GET"}, {Name: "a", Value: "x"},
		{Name: "a", Value: "y", Sensitive: true}, {Name: ":path", Value: "z"}, {Name: ":path", Value: "z", Sensitive: true},
		{Name: "b", Value: "x"}, {Name: "c", Value: "y", Sensitive: true}, {Name: "d", Value: "5"}, {Name: "d", Value: "6", Sensitive: true}}
	if err != nil || !sameFields(got, want) {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
}

// Strings of the decoder are the caller's: neither later sections nor evictions change them.
func TestStringsAreKept(t *testing.T) {
	d := decoderWith(t, 100, 0, Field{Name: "x-name", Value: "value"})
	section := append(unhex(t, "0200 80"), appendString(appendString(nil, 0x20, 3, "x-literal"), 0, 7, "literal value")...)
	got, err := d.Decode(0, section, nil, 1<<16)
	want := fmt.Sprint(got)
	if err != nil {
		t.Fatal(err)
	}
	clear(section)
	for i := range 100 {
		in := appendString(appendString(nil, 0x40, 5, fmt.Sprint("y", i)), 0, 7, "another value")
		if err := d.HandleEncoderStream(in); err != nil {
			t.Fatal(err)
		}
		section := append([]byte{0, 0}, appendString(appendString(nil, 0x20, 3, fmt.Sprint("z", i)), 0, 7, "one more")...)
		if _, err := d.Decode(0, section, nil, 1<<16); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != want {
		t.Errorf("%v, was %s", got, want)
	}
}

// Literals that come again are kept, within bounds; what the decoder gives out is the same.
func TestLiteralCache(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 4))
	e, d := NewEncoder(EncoderConfig{}), NewDecoder(0, 0)
	hits := 0
	for i := range 5000 {
		var list []Field
		for range rng.IntN(8) {
			n := rng.IntN(1 << rng.IntN(9))
			list = append(list, Field{Name: fmt.Sprint("x-", n%50), Value: strings.Repeat(fmt.Sprint(n, "é"), n%40), Sensitive: n%3 == 0})
		}
		section := e.AppendSection(nil, uint64(i)*4, list, 0)
		got, err := d.Decode(uint64(i)*4, section, nil, 1<<16)
		if err != nil || !sameFields(got, list) {
			t.Fatalf("seed %#x, list %d: %v, %v, want %v", seed, i, got, err, list)
		}
		for _, f := range got {
			if f.Canonical != string(appendCanonical(nil, f.Name)) {
				t.Fatalf("seed %#x: %q is %q in canonical form", seed, f.Name, f.Canonical)
			}
		}
		held := 0
		for k := range d.cache.kept {
			held += d.cache.kept[k].size()
		}
		for _, p := range d.cache.places {
			if p.used {
				hits++
			}
		}
		if i%1000 == 999 {
			d.Rest()
			e.Rest()
			continue
		}
		if held != d.cache.bytes || held > maxCachedBytes || len(d.cache.kept) > maxCached {
			t.Fatalf("seed %#x: %d bytes are held, counted as %d", seed, held, d.cache.bytes)
		}
	}
	if hits == 0 {
		t.Error("nothing was ever found")
	}
	// A field that the cache has counts for its size.
	list := []Field{{Name: "x-again", Value: "a value that comes again"}}
	section := e.AppendSection(nil, 0, list, 0)
	for range 3 {
		if _, err := d.Decode(0, section, nil, list[0].Size()); err != nil {
			t.Error(err)
		}
		if _, err := d.Decode(0, section, nil, list[0].Size()-1); err != ErrTooLarge {
			t.Errorf("with a limit of one byte less: %v", err)
		}
	}
}

// Huffman's code, against bits: every pair of bytes, and random strings, whole and with the end changed.
func TestHuffmanAgainstBits(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 3))
	check := func(code []byte) {
		t.Helper()
		want, ok := slowHuffman(string(code))
		got, result := consumeHuffman(nil, code, 1<<20)
		if ok != (result == huffmanOK) || ok && string(got) != want {
			t.Fatalf("seed %#x: %x is %q, %d; bit by bit %q, %v", seed, code, got, result, want, ok)
		}
		if ok && len(want) > 0 {
			if _, result := consumeHuffman(nil, code, len(want)-1); result != huffmanLong {
				t.Fatalf("%x of %d bytes with a limit of one less: %d", code, len(want), result)
			}
		}
	}
	for i := range 1 << 16 {
		s := string([]byte{byte(i >> 8), byte(i)})
		code := appendHuffman(nil, s)
		if got, result := consumeHuffman(nil, code, 2); string(got) != s || result != huffmanOK || len(code) != huffmanLen(s) {
			t.Fatalf("%q became %q, %d", s, got, result)
		}
		check(code)
	}
	for range 20000 {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			b[i] = byte(rng.Uint32() >> rng.IntN(8))
		}
		check(b)
		check(appendHuffman(nil, string(b)))
	}
}

// Fields of a table have the Class that was found out once for each entry; literals have none.
func TestClassifier(t *testing.T) {
	d := NewDecoder(4096, 10)
	asked := 0
	c := NewClassifier(func(_, value string) uint8 {
		asked++
		return uint8(len(value))
	})
	if asked != len(staticTable) {
		t.Errorf("asked %d times for the static table", asked)
	}
	asked = 0
	d.SetClassifier(c)
	stream := []byte{0x3f, 0xe1, 0x1f} // a capacity of 4096
	for _, f := range []Field{{Name: "a", Value: "seven.."}, {Name: "b", Value: "two"}} {
		stream = appendString(appendString(stream, 0x40, 5, f.Name), 0, 7, f.Value)
	}
	if err := d.HandleEncoderStream(append(stream, 1)); err != nil { // the first is duplicated
		t.Fatal(err)
	}
	// Required Insert Count 3, Base 3: all entries, :method GET, and literals with the names of an entry and of their own.
	section := []byte{4, 0, 0x82, 0x81, 0x80, 0xc0 | 17}
	section = appendString(append(section, 0x41), 0, 7, "literal")
	section = appendString(appendString(section, 0x20, 3, "name"), 0, 7, "literal")
	for range 2 {
		got, err := d.Decode(0, section, nil, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		var classes []uint8
		for _, f := range got {
			classes = append(classes, f.Class)
		}
		if want := []uint8{7, 3, 7, 3, 0, 0}; !slices.Equal(classes, want) || asked != 2 {
			t.Errorf("%v, want %v, and the function was called %d times", classes, want, asked)
		}
	}
	fields, err := NewDecoder(0, 0).Decode(0, []byte{0, 0, 0xc0 | 17}, nil, 1<<16)
	if err != nil || fields[0].Class != 0 {
		t.Errorf("%+v, %v: nobody has classified it", fields, err)
	}
}

// decodeByLine is Decode without its shortcuts: each line is decoded for itself.
func (d *Decoder) decodeByLine(section []byte, maxSize uint64) (fields []Field, err error) {
	p, ok := d.consumePrefix(section)
	if !ok {
		return nil, d.err
	}
	if p.requiredInsertCount > d.table.inserted {
		return nil, d.block(0, p.requiredInsertCount)
	}
	d.work()
	d.scratch, d.literals, d.left = d.scratch[:0], d.literals[:0], maxSize
	for b := section[p.len:]; len(b) > 0; {
		n := 0
		fields = append(fields, Field{})
		if n, err = d.decodeLine(b, p, fields); err != nil {
			fields = fields[:len(fields)-1]
			break
		}
		b = b[n:]
	}
	d.cutLiterals(fields)
	if err != nil && err != ErrTooLarge {
		return nil, err
	}
	return fields, err
}

// Sections of all kinds of lines, right ones and wrong, decode as they do line by line, whatever the limit.
func TestDecodeIsThatOfLines(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 3))
	entries := make([]Field, 70) // more than a reference of one byte can tell of
	for i := range entries {
		entries[i] = Field{Name: "n", Value: strings.Repeat("v", rng.IntN(10))}
	}
	decoder := func() *Decoder { return decoderWith(t, 4096, 1, entries...) }
	decoded := 0
	for range 3000 {
		required := 1 + rng.IntN(len(entries)+1)
		before := rng.IntN(8) / 7 * rng.IntN(required) // how many of the references are post-base at the most
		section := appendInt(nil, 0, 8, uint64(required)+1)
		if before > 0 {
			section = appendInt(section, 0x80, 7, uint64(before)-1)
		} else {
			section = append(section, byte(rng.IntN(12)/11*rng.IntN(4))) // a Base above the Required Insert Count
		}
		for range rng.IntN(60) {
			switch rng.IntN(30) {
			case 0, 5, 6:
				section = appendInt(section, 0xc0, 6, uint64(rng.IntN(len(staticTable)+rng.IntN(60)/59)))
			case 1:
				section = appendString(appendInt(section, 0x50, 4, uint64(rng.IntN(98))), 0, 7, "literal")
			case 2:
				section = appendInt(section, 0x10, 4, uint64(rng.IntN(before+rng.IntN(60)/59+1)))
			case 3:
				section = appendString(appendString(section, 0x20, 3, "name"), 0, 7, "literal")
			case 4:
				section = appendInt(section, 0x80, 6, uint64(rng.IntN(required-before+rng.IntN(60)/59)))
			default:
				section = appendInt(section, 0x80, 6, uint64(rng.IntN(required-before)))
			}
		}
		limit := uint64(rng.IntN(3000))
		got, err := decoder().Decode(0, section, nil, limit)
		want, wantErr := decoder().decodeByLine(section, limit)
		if !slices.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("seed %#x: %x decodes as %v, %v; line by line as %v, %v", seed, section, got, err, want, wantErr)
		}
		if err == nil {
			decoded += len(got)
		}
	}
	if decoded < 5000 {
		t.Errorf("seed %#x: only %d fields were decoded", seed, decoded)
	}
}
