package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/boringquic/boringquic/quic/qpack"
)

// lender lends what events refer to, until all of it is taken back.
type lender struct {
	arena
	before []lentField       // the fields of the header section that was lent last, maxBefore of them at most
	list   *C.bquic_h3_field // where those lie of which alike says how many are those of before
	alike  int
}

// maxBefore is how many fields of a header section a lender knows for the next one.
const maxBefore = 64

// lentField is a field that was lent. Most fields of a section are at the same place as in the one before, and their texts not only alike but the same, which
// QPACK's tables hold: such ones are not copied again.
type lentField struct {
	name, value string // as long as they are here, no other text can be where they are
	as          cField
}

// cField is a bquic_h3_field. What are pointers there are numbers here: see point.
type cField struct {
	name, value       uintptr
	nameLen, valueLen uint32
}

var _ = [1]struct{}{}[unsafe.Sizeof(cField{})-unsafe.Sizeof(C.bquic_h3_field{})]

// fields lends the fields of a header section: two parts, one behind the other. Of one that begins as the one before it did, C has the whole list already.
func (l *lender) fields(head, rest []qpack.Field) (list *C.bquic_h3_field, n int) {
	n = len(head) + len(rest)
	if n > 0 && n <= l.alike && l.has(0, head) && l.has(len(head), rest) {
		return l.list, n
	}
	p := l.take(max(n, 1) * C.sizeof_bquic_h3_field)
	to := unsafe.Slice((*cField)(p), n)
	l.part(to[:len(head)], head, 0)
	l.part(to[len(head):], rest, len(head))
	l.list, l.alike = (*C.bquic_h3_field)(p), min(n, len(l.before))
	return l.list, n
}

// has tells whether fields are those that were lent last from place at on.
func (l *lender) has(at int, fields []qpack.Field) bool {
	before := l.before[at:]
	for i := range fields {
		if !same(before[i].name, fields[i].Name) || !same(before[i].value, fields[i].Value) {
			return false
		}
	}
	return true
}

// part lends fields of a header section, the first of which has place at in it.
func (l *lender) part(to []cField, fields []qpack.Field, at int) {
	before := l.before[min(at, len(l.before)):]
	for i := range fields {
		f := &fields[i]
		if i < len(before) && i < len(to) && same(before[i].name, f.Name) && same(before[i].value, f.Value) {
			to[i] = before[i].as
		} else {
			to[i] = l.field(f, at+i)
		}
	}
}

// same tells whether two texts are one.
func same(a, b string) bool { return len(a) == len(b) && unsafe.StringData(a) == unsafe.StringData(b) }

// field lends a field that was not there, at that place, in the section before.
func (l *lender) field(f *qpack.Field, at int) cField {
	lent := lentField{f.Name, f.Value, cField{l.text(f.Name), l.text(f.Value), uint32(len(f.Name)), uint32(len(f.Value))}}
	switch {
	case at < len(l.before):
		l.before[at] = lent
	case at < maxBefore:
		l.before = append(l.before, lent)
	}
	return lent.as
}

func (l *lender) text(s string) uintptr {
	return uintptr(l.copy(unsafe.Slice(unsafe.StringData(s), len(s))))
}

// reset takes everything back, and keeps memory for what comes next.
func (l *lender) reset() {
	l.arena.reset()
	l.forget()
}

// free takes everything back.
func (l *lender) free() {
	l.arena.free()
	l.forget()
}

// forget lets go of the fields that were lent last.
func (l *lender) forget() {
	clear(l.before)
	l.before = l.before[:0]
	l.list, l.alike = nil, 0
}
