package main

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/boringquic/boringquic/quic/qpack"
)

// Of sections that are lent one after the other C has all fields as they are, and what is the same text at the same place once.
func TestLendFields(t *testing.T) {
	var l lender
	defer l.free()
	lend := func(head, rest []qpack.Field) []cField {
		list, n := l.fields(head, rest)
		return unsafe.Slice((*cField)(unsafe.Pointer(list)), n)
	}
	text := func(p uintptr, n uint32) string {
		return string(unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), n))
	}
	check := func(name string, of []cField, want ...qpack.Field) {
		t.Helper()
		if len(of) != len(want) {
			t.Fatalf("%s: %d fields, want %d", name, len(of), len(want))
		}
		for i, f := range of {
			if got := text(f.name, f.nameLen) + "=" + text(f.value, f.valueLen); got != want[i].Name+"="+want[i].Value {
				t.Errorf("%s: field %d is %q, want %+v", name, i, got, want[i])
			}
		}
	}
	copied := func(s string) string { return strings.Clone(s) }

	head := []qpack.Field{{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/1"}}
	rest := []qpack.Field{{Name: "accept", Value: "*/*"}, {Name: "empty", Value: ""}, {Name: "cookie", Value: "a=b"}}
	for range 3 { // in each step
		first := lend(head, rest)
		for n := range len(rest) + 1 {
			begin := lend(head, rest[:n])
			if check("begin", begin, slices.Concat(head, rest[:n])...); &begin[0] != &first[0] {
				t.Errorf("the first %d fields of a section were lent anew", len(begin))
			}
		}
		other := []qpack.Field{head[0], {Name: ":path", Value: "/2"}}
		second := lend(other, rest)
		alike := lend(head[:1], []qpack.Field{{Name: ":path", Value: copied("/2")}, {Name: copied("accept"), Value: "*/*"}, rest[1]})
		shorter := lend(nil, nil)
		again := lend(head[:1], rest)
		check("first", first, slices.Concat(head, rest)...)
		check("second", second, slices.Concat(other, rest)...)
		check("alike", alike, slices.Concat(other, rest[:2])...)
		check("shorter", shorter)
		check("again", again, slices.Concat(head[:1], rest)...)
		for i := range first {
			if same := first[i] == second[i]; same != (i != 1) {
				t.Errorf("field %d of the second section is where the first has it: %v", i, same)
			}
		}
		if alike[1].value == second[1].value || alike[2].name == second[2].name {
			t.Error("texts that are not the same were taken for the same")
		}
		l.reset()
		if len(l.before) != 0 {
			t.Errorf("%d fields are known of what was taken back", len(l.before))
		}
	}

	var many []qpack.Field
	for i := range 2 * maxBefore {
		many = append(many, qpack.Field{Name: "name", Value: strings.Repeat("x", i)})
	}
	check("many", lend(head, many), slices.Concat(head, many)...)
	check("many again", lend(head, many), slices.Concat(head, many)...)
	if len(l.before) != maxBefore {
		t.Errorf("%d fields are kept, want %d", len(l.before), maxBefore)
	}
	if l.free(); len(l.before) != 0 {
		t.Errorf("%d fields are known of what was freed", len(l.before))
	}
	check("anew", lend(head, rest), slices.Concat(head, rest)...)
}

// An arena keeps one chunk, which is as large as what it was used for asked for, up to a bound.
func TestArena(t *testing.T) {
	var a arena
	defer a.free()
	for _, x := range []struct{ times, n, size int }{
		{1, 100, firstChunk}, {100, 100, firstChunk}, {20, 1000, 2 * firstChunk}, {200, 1000, largestChunk}, {1, 100, largestChunk}, {1, largestChunk + 1, 0}, {1, 1, firstChunk},
	} {
		var all [][]byte
		for i := range x.times {
			b := unsafe.Slice((*byte)(a.take(x.n)), x.n)
			for j := range b {
				b[j] = byte(i)
			}
			all = append(all, b)
		}
		for i, b := range all {
			if b[0] != byte(i) || b[len(b)-1] != byte(i) || uintptr(unsafe.Pointer(&b[0]))%16 != 0 {
				t.Fatalf("%d times %d bytes: piece %d is at %p, and is not whole", x.times, x.n, i, &b[0])
			}
		}
		if a.reset(); a.size != x.size || len(a.chunks) > 1 || a.used != 0 {
			t.Errorf("after %d times %d bytes, %d chunks are kept, the last of %d bytes, want %d", x.times, x.n, len(a.chunks), a.size, x.size)
		}
	}
}
