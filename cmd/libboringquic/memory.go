package main

// #include <stdlib.h>
// #include <string.h>
// #include "internal.h"
import "C"

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"
)

// memory is n bytes of the caller's as a slice, which must not be kept.
func memory(p *C.uint8_t, n C.size_t) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(p), int(n))
}

// point writes a pointer into C's memory, as a number: while Go collects garbage it looks at a pointer that is overwritten by another, and in memory of C's that
// has no value yet that can be anything. To clear the memory before is not enough, since the compiler leaves out what is overwritten at once.
func point[P any](at *P, to P) {
	*(*uintptr)(unsafe.Pointer(at)) = *(*uintptr)(unsafe.Pointer(&to))
}

// blank clears what C has at p, as bytes: see point.
func blank[T any](p *T) { clear(unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))) }

// text is a text of the caller's, "" for NULL. C.GoString would look for its end beyond it, at memory that has no value yet, which valgrind tells of.
func text(p *C.char) string {
	if p == nil {
		return ""
	}
	return C.GoStringN(p, C.int(C.strlen(p)))
}

// arena is memory of C's that is lent together, and taken back together.
type arena struct {
	chunks []unsafe.Pointer
	size   int // of the last chunk
	used   int // of the last chunk
}

// How large the first chunk of an arena is, and how large one can be that is kept when the arena is reset, in bytes. One is twice as large as the one before, up
// to the latter, and larger only if a single piece is.
const (
	firstChunk   = 16 << 10
	largestChunk = 128 << 10
)

// take returns n bytes, aligned for anything.
func (a *arena) take(n int) unsafe.Pointer {
	n = (n + 15) &^ 15
	if len(a.chunks) == 0 || a.used+n > a.size {
		a.size, a.used = max(n, firstChunk, min(2*a.size, largestChunk)), 0
		a.chunks = append(a.chunks, C.malloc(C.size_t(a.size))) // never nil: cgo ends the program first
	}
	p := unsafe.Add(a.chunks[len(a.chunks)-1], a.used)
	a.used += n
	return p
}

// copy returns a copy of b.
func (a *arena) copy(b []byte) unsafe.Pointer {
	p := a.take(max(len(b), 1))
	copy(unsafe.Slice((*byte)(p), len(b)), b)
	return p
}

// reset takes everything back, and keeps the last chunk for what comes next.
func (a *arena) reset() {
	if a.size > largestChunk {
		a.free()
		return
	}
	if last := len(a.chunks) - 1; last > 0 {
		for _, p := range a.chunks[:last] {
			C.free(p)
		}
		a.chunks = append(a.chunks[:0], a.chunks[last])
	}
	a.used = 0
}

func (a *arena) free() {
	for _, p := range a.chunks {
		C.free(p)
	}
	*a = arena{chunks: a.chunks[:0]}
}

// addr is an address of Go's.
type addr = netip.AddrPort

const (
	inet  = C.AF_INET
	inet6 = C.AF_INET6
)

// goAddr reads an address of C's; AF_UNSPEC is one that is not valid.
func goAddr(a *C.bquic_addr) (addr, error) {
	if a == nil {
		return addr{}, nil
	}
	port := binary.BigEndian.Uint16(a[2:])
	switch family := binary.NativeEndian.Uint16(a[:]); family {
	case C.AF_UNSPEC:
		return addr{}, nil
	case inet:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[4:])), port), nil
	case inet6:
		ip := netip.AddrFrom16([16]byte(a[8:]))
		if scope := binary.NativeEndian.Uint32(a[24:]); scope != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(scope), 10))
		}
		return netip.AddrPortFrom(ip, port), nil
	default:
		return addr{}, faultf(errArgument, "an address has family %d, and must have AF_INET, AF_INET6 or AF_UNSPEC", family)
	}
}

// setAddr writes an address of Go's.
func setAddr(a *C.bquic_addr, from addr) {
	*a = C.bquic_addr{}
	if !from.IsValid() {
		return
	}
	binary.BigEndian.PutUint16(a[2:], from.Port())
	ip := from.Addr()
	if ip.Is4() {
		binary.NativeEndian.PutUint16(a[:], inet)
		ip4 := ip.As4()
		copy(a[4:], ip4[:])
		return
	}
	binary.NativeEndian.PutUint16(a[:], inet6)
	ip16 := ip.As16()
	copy(a[8:], ip16[:])
	if scope, err := strconv.ParseUint(ip.Zone(), 10, 32); err == nil {
		binary.NativeEndian.PutUint32(a[24:], uint32(scope))
	}
}

// setText writes s, as much of it as there is room for, and a zero.
func setText(to []C.char, s string) int {
	n := copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(to))), len(to)-1), s)
	to[n] = 0
	return n
}
