package ranges

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// op is one change of a set.
type op struct {
	what       string // add, sub, below
	start, end int64
}

func (o op) apply(s *Set) {
	switch o.what {
	case "add":
		s.Add(o.start, o.end)
	case "sub":
		s.Sub(o.start, o.end)
	case "below":
		s.RemoveBelow(o.start)
	}
}

// TestSet applies one operation to a set of three ranges, at each edge that it could get wrong.
func TestSet(t *testing.T) {
	three := Set{{10, 20}, {30, 40}, {50, 60}}
	for _, c := range []struct {
		name string
		op   op
		want Set
	}{
		{"add nothing", op{"add", 25, 25}, three},
		{"add backwards", op{"add", 27, 25}, three},
		{"add at the front", op{"add", 1, 5}, Set{{1, 5}, {10, 20}, {30, 40}, {50, 60}}},
		{"add at the end", op{"add", 70, 80}, Set{{10, 20}, {30, 40}, {50, 60}, {70, 80}}},
		{"add between", op{"add", 22, 28}, Set{{10, 20}, {22, 28}, {30, 40}, {50, 60}}},
		{"add one behind a gap of one", op{"add", 21, 22}, Set{{10, 20}, {21, 22}, {30, 40}, {50, 60}}},
		{"add what touches from below", op{"add", 5, 10}, Set{{5, 20}, {30, 40}, {50, 60}}},
		{"add what touches from above", op{"add", 20, 25}, Set{{10, 25}, {30, 40}, {50, 60}}},
		{"add what touches the last", op{"add", 60, 61}, Set{{10, 20}, {30, 40}, {50, 61}}},
		{"add what closes a gap", op{"add", 20, 30}, Set{{10, 40}, {50, 60}}},
		{"add what closes two gaps", op{"add", 20, 50}, Set{{10, 60}}},
		{"add what is there", op{"add", 10, 20}, three},
		{"add a part of what is there", op{"add", 31, 39}, three},
		{"add over one", op{"add", 29, 41}, Set{{10, 20}, {29, 41}, {50, 60}}},
		{"add over parts of two", op{"add", 15, 35}, Set{{10, 40}, {50, 60}}},
		{"add over all", op{"add", 0, 100}, Set{{0, 100}}},
		{"add one below zero", op{"add", -1, 0}, Set{{-1, 0}, {10, 20}, {30, 40}, {50, 60}}},
		{"add up to the last integer there is", op{"add", 55, 1<<63 - 1}, Set{{10, 20}, {30, 40}, {50, 1<<63 - 1}}},

		{"subtract nothing", op{"sub", 35, 35}, three},
		{"subtract backwards", op{"sub", 39, 31}, three},
		{"subtract below", op{"sub", 0, 10}, three},
		{"subtract above", op{"sub", 60, 70}, three},
		{"subtract a gap", op{"sub", 20, 30}, three},
		{"subtract a start", op{"sub", 30, 35}, Set{{10, 20}, {35, 40}, {50, 60}}},
		{"subtract over a start", op{"sub", 25, 31}, Set{{10, 20}, {31, 40}, {50, 60}}},
		{"subtract an end", op{"sub", 35, 40}, Set{{10, 20}, {30, 35}, {50, 60}}},
		{"subtract over an end", op{"sub", 39, 45}, Set{{10, 20}, {30, 39}, {50, 60}}},
		{"subtract from the middle", op{"sub", 31, 39}, Set{{10, 20}, {30, 31}, {39, 40}, {50, 60}}},
		{"subtract from the middle of the last", op{"sub", 55, 56}, Set{{10, 20}, {30, 40}, {50, 55}, {56, 60}}},
		{"subtract one range", op{"sub", 30, 40}, Set{{10, 20}, {50, 60}}},
		{"subtract the first", op{"sub", 10, 20}, Set{{30, 40}, {50, 60}}},
		{"subtract the last", op{"sub", 50, 60}, Set{{10, 20}, {30, 40}}},
		{"subtract parts of two", op{"sub", 15, 35}, Set{{10, 15}, {35, 40}, {50, 60}}},
		{"subtract parts of two and one between", op{"sub", 19, 51}, Set{{10, 19}, {51, 60}}},
		{"subtract all", op{"sub", 0, 100}, Set{}},

		{"remove below the first", op{"below", 10, 0}, three},
		{"remove below less", op{"below", -5, 0}, three},
		{"remove the first integer", op{"below", 11, 0}, Set{{11, 20}, {30, 40}, {50, 60}}},
		{"remove all but one of the first range", op{"below", 19, 0}, Set{{19, 20}, {30, 40}, {50, 60}}},
		{"remove the first range", op{"below", 20, 0}, Set{{30, 40}, {50, 60}}},
		{"remove up to within a gap", op{"below", 25, 0}, Set{{30, 40}, {50, 60}}},
		{"remove up to a start", op{"below", 30, 0}, Set{{30, 40}, {50, 60}}},
		{"remove up to the last integer", op{"below", 59, 0}, Set{{59, 60}}},
		{"remove everything", op{"below", 60, 0}, Set{}},
		{"remove more than everything", op{"below", 99, 0}, Set{}},
	} {
		s := slices.Clone(three)
		c.op.apply(&s)
		if !slices.Equal(s, c.want) {
			t.Errorf("%s, %+v: %v, want %v", c.name, c.op, s, c.want)
		}
	}
}

// The zero value is a set, and stays one.
func TestSetEmpty(t *testing.T) {
	var s Set
	for _, o := range []op{{"sub", 0, 10}, {"below", 5, 0}, {"add", 3, 3}, {"add", 4, 3}} {
		if o.apply(&s); len(s) != 0 {
			t.Errorf("%+v made %v of nothing", o, s)
		}
	}
	if s.Min() != -1 || s.Max() != -1 || s.Size() != 0 || s.Contains(0) || s.Contains(-1) {
		t.Errorf("the empty set: smallest %d, largest %d, size %d", s.Min(), s.Max(), s.Size())
	}
	if g := s.Gap(0, 9); g != (Range{0, 9}) {
		t.Errorf("the gap in the empty set is %v", g)
	}
	if s.Add(7, 8); s.Min() != 7 || s.Max() != 7 || s.Size() != 1 {
		t.Errorf("%v: smallest %d, largest %d, size %d", s, s.Min(), s.Max(), s.Size())
	}
}

func TestGap(t *testing.T) {
	s := Set{{10, 20}, {21, 30}}
	for _, c := range []struct {
		start, end int64
		want       Range
	}{
		{0, 5, Range{0, 5}}, {0, 10, Range{0, 10}}, {0, 15, Range{0, 10}}, {9, 40, Range{9, 10}},
		{10, 20, Range{20, 20}}, {11, 19, Range{19, 19}}, {19, 20, Range{20, 20}},
		{10, 21, Range{20, 21}}, {20, 21, Range{20, 21}}, {19, 40, Range{20, 21}},
		{21, 30, Range{30, 30}}, {29, 31, Range{30, 31}}, {25, 90, Range{30, 90}}, {50, 60, Range{50, 60}},
		{5, 5, Range{5, 5}}, {15, 15, Range{15, 15}}, {30, 30, Range{30, 30}}, {29, 12, Range{12, 12}},
	} {
		if got := s.Gap(c.start, c.end); got != c.want {
			t.Errorf("Gap(%d, %d) = %v, want %v", c.start, c.end, got, c.want)
		}
	}
}

// model is a set in its plainest form.
type model map[int64]bool

func (m model) apply(o op) {
	switch o.what {
	case "add":
		for v := o.start; v < o.end; v++ {
			m[v] = true
		}
	case "sub":
		for v := o.start; v < o.end; v++ {
			delete(m, v)
		}
	case "below":
		for v := range m {
			if v < o.start {
				delete(m, v)
			}
		}
	}
}

// check compares a set with its model over all that was ever in it.
func (m model) check(t *testing.T, s Set, universe int64) {
	t.Helper()
	smallest, largest := int64(-1), int64(-1)
	for v := int64(-2); v < universe+2; v++ {
		if s.Contains(v) != m[v] {
			t.Fatalf("%v: Contains(%d) = %v", s, v, !m[v])
		}
		if m[v] {
			if largest = v; smallest == -1 {
				smallest = v
			}
		}
	}
	if s.Min() != smallest || s.Max() != largest || s.Size() != int64(len(m)) {
		t.Fatalf("%v: smallest %d, largest %d, size %d; want %d, %d, %d", s, s.Min(), s.Max(), s.Size(), smallest, largest, len(m))
	}
	for i, r := range s {
		if r.Start >= r.End || r.Len() != r.End-r.Start || i > 0 && s[i-1].End >= r.Start {
			t.Fatalf("%v: range %d is empty, or out of order, or touches the one before", s, i)
		}
	}
}

func (m model) gap(start, end int64) Range {
	for start < end && m[start] {
		start++
	}
	g := Range{start, start}
	for g.End < end && !m[g.End] {
		g.End++
	}
	return g
}

// Random operations do to a set what they do to its model.
func TestSetModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		universe := 1 + random.Int64N(120)
		longest := 1 + random.Int64N(universe)
		s, m := Set(nil), model{}
		for range 200 {
			o := op{what: [...]string{"add", "add", "add", "sub", "sub", "below"}[random.IntN(6)]}
			o.start = random.Int64N(universe)
			o.end = min(o.start+random.Int64N(longest+1), universe)
			if o.what == "below" && random.IntN(4) > 0 {
				o.start = min(o.start, max(s.Min(), 0)+random.Int64N(5)) // not always nearly everything
			}
			o.apply(&s)
			m.apply(o)
			m.check(t, s, universe)
			from := random.Int64N(universe)
			to := from + random.Int64N(longest+1)
			if got := s.Gap(from, to); got != m.gap(from, to) {
				t.Fatalf("%v: Gap(%d, %d) = %v, want %v", s, from, to, got, m.gap(from, to))
			}
			tail := s.From(from)
			if skipped := len(s) - len(tail); skipped > 0 && s[skipped-1].End > from || len(tail) > 0 && tail[0].End <= from {
				t.Fatalf("%v: From(%d) = %v", s, from, tail)
			}
		}
	}
}

// A set that has grown to its size changes without allocations.
func TestSetAllocations(t *testing.T) {
	s := make(Set, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		s = s[:0]
		s.Add(0, 10)
		s.Add(20, 30)
		s.Add(12, 13)
		s.Sub(22, 25)
		s.Add(5, 40)
		s.RemoveBelow(7)
		if !s.Contains(8) || s.Gap(7, 41) != (Range{40, 41}) || s.Size() != 33 {
			t.Errorf("the set is %v", s)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
