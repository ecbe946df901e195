// Package ranges keeps sets of integers as ordered lists of intervals: packet numbers received, bytes of a stream
// acknowledged or lost. Sets are short in practice; every operation is a binary search and at most one move of the tail.
package ranges

import "sort"

// Range is the integers from Start up to, not including, End.
type Range struct {
	Start, End int64
}

// Len returns how many integers r holds.
func (r Range) Len() int64 { return r.End - r.Start }

// Set is a set of integers: its ranges ascend, are not empty, and do not touch. The zero value is the empty set.
type Set []Range

// search returns the index of the first range that ends after v, len(s) if there is none.
func (s Set) search(v int64) int {
	n := len(s)
	switch { // the common cases: v lies beyond all, or in the last range
	case n == 0 || s[n-1].End <= v:
		return n
	case s[n-1].Start <= v:
		return n - 1
	}
	return sort.Search(len(s), func(i int) bool { return s[i].End > v })
}

// Add adds the integers from start up to, not including, end.
func (s *Set) Add(start, end int64) {
	if start >= end {
		return
	}
	if n := len(*s); n > 0 && (*s)[n-1].Start <= start && start <= (*s)[n-1].End {
		(*s)[n-1].End = max((*s)[n-1].End, end) // the common case: what comes in order
		return
	}
	i := s.search(start - 1) // the first range that reaches start or lies beyond
	j := i
	for j < len(*s) && (*s)[j].Start <= end {
		start = min(start, (*s)[j].Start)
		end = max(end, (*s)[j].End)
		j++
	}
	s.replace(i, j, Range{start, end})
}

// Sub removes the integers from start up to, not including, end.
func (s *Set) Sub(start, end int64) {
	if start >= end {
		return
	}
	i := s.search(start)
	if i < len(*s) && (*s)[i].Start < start && (*s)[i].End > end {
		r := (*s)[i]
		s.replace(i, i+1, Range{r.Start, start})
		s.replace(i+1, i+1, Range{end, r.End})
		return
	}
	if i < len(*s) && (*s)[i].Start < start {
		(*s)[i].End = start
		i++
	}
	j := i
	for j < len(*s) && (*s)[j].End <= end {
		j++
	}
	if j < len(*s) && (*s)[j].Start < end {
		(*s)[j].Start = end
	}
	*s = append((*s)[:i], (*s)[j:]...)
}

// replace puts r in the place of the ranges i to j.
func (s *Set) replace(i, j int, r Range) {
	if i < j {
		(*s)[i] = r
		*s = append((*s)[:i+1], (*s)[j:]...)
		return
	}
	*s = append(*s, Range{})
	copy((*s)[i+1:], (*s)[i:])
	(*s)[i] = r
}

// From returns the ranges that end beyond v, which are part of s.
func (s Set) From(v int64) Set { return s[s.search(v):] }

// Contains tells whether v is in the set.
func (s Set) Contains(v int64) bool {
	i := s.search(v)
	return i < len(s) && s[i].Start <= v
}

// Gap returns the first run of integers from start up to, not including, end that are not in the set. It is empty, and at end, if
// all of them are.
func (s Set) Gap(start, end int64) Range {
	i := s.search(start)
	if i < len(s) && s[i].Start <= start {
		start = s[i].End
		i++
	}
	if start >= end {
		return Range{end, end}
	}
	if i < len(s) {
		end = min(end, s[i].Start)
	}
	return Range{start, end}
}

// Joins tells whether the integers from start up to end, added to the set, would be part of a range that is there.
func (s Set) Joins(start, end int64) bool {
	above := s.From(start - 1)
	return len(above) > 0 && above[0].Start <= end
}

// Min returns the smallest integer, or -1 if the set is empty.
func (s Set) Min() int64 {
	if len(s) == 0 {
		return -1
	}
	return s[0].Start
}

// Max returns the largest integer, or -1 if the set is empty.
func (s Set) Max() int64 {
	if len(s) == 0 {
		return -1
	}
	return s[len(s)-1].End - 1
}

// RemoveBelow removes every integer smaller than v.
func (s *Set) RemoveBelow(v int64) {
	i := s.search(v - 1)
	if i < len(*s) && (*s)[i].Start < v {
		(*s)[i].Start = v
		if (*s)[i].End <= v {
			i++
		}
	}
	*s = append((*s)[:0], (*s)[i:]...)
}

// Size returns how many integers the set holds.
func (s Set) Size() (n int64) {
	for _, r := range s {
		n += r.Len()
	}
	return n
}
