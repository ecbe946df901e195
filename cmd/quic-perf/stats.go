package main

import (
	"fmt"
	"slices"
)

// spread is the median, the smallest and the largest of some values.
type spread struct{ mid, low, high float64 }

// spreadOf returns the spread of values; false if there are none. Of two in the middle it takes their mean.
func spreadOf(v []float64) (spread, bool) {
	n := len(v)
	if n == 0 {
		return spread{}, false
	}
	v = slices.Sorted(slices.Values(v))
	return spread{(v[n/2] + v[(n-1)/2]) / 2, v[0], v[n-1]}, true
}

// format writes a spread with so many digits after the point.
func (s spread) format(digits int) string {
	if s.low == s.high {
		return fmt.Sprintf("%.*f", digits, s.mid)
	}
	return fmt.Sprintf("%.*f [%.*f to %.*f]", digits, s.mid, digits, s.low, digits, s.high)
}

// values returns a figure by round.
func (c *comparison) values(peer string, m *measurement, f *figure) map[int]float64 {
	v := make(map[int]float64)
	for i := range c.Samples {
		if s := &c.Samples[i]; s.Peer == peer && s.Measurement == m.name {
			if x, ok := f.of(s); ok {
				v[s.Round] = x
			}
		}
	}
	return v
}

func (c *comparison) spread(peer string, m *measurement, f *figure) (spread, bool) {
	var v []float64
	for _, x := range c.values(peer, m, f) {
		v = append(v, x)
	}
	return spreadOf(v)
}

// ratio returns the spread of a figure's ratio to that of another implementation in the same round.
func (c *comparison) ratio(peer, to string, m *measurement, f *figure) (spread, bool) {
	theirs := c.values(to, m, f)
	var v []float64
	for round, x := range c.values(peer, m, f) {
		if y := theirs[round]; y > 0 {
			v = append(v, x/y)
		}
	}
	return spreadOf(v)
}

// best returns the name of another's implementation of QUIC whose median is the best; empty if there is none.
func (c *comparison) best(m *measurement, f *figure) (name string) {
	var most float64
	for i := range c.Peers {
		p := &c.Peers[i]
		s, ok := c.spread(p.Peer, m, f)
		if p.Kind != kindOther || !ok {
			continue
		}
		if name == "" || (s.mid > most) == f.more {
			name, most = p.Peer, s.mid
		}
	}
	return name
}

// reference is whom ratios of a measurement are to, nil for all.
func (c *comparison) reference(m *measurement) string {
	switch {
	case c.C && m != nil && m.http:
		return "h3-core"
	case c.C:
		return "core"
	}
	return reference
}

// table is for people. Its cells hold nothing that Markdown would read as its own.
type table struct {
	head []string
	rows [][]string
}

// table is what is found out about a measurement, a row for each implementation.
func (c *comparison) table(m *measurement) (t table) {
	t.head = []string{""}
	for _, f := range m.figures {
		t.head = append(t.head, f.title, "to "+c.reference(m))
	}
	for i := range c.Peers {
		name := c.Peers[i].Peer
		row := []string{name}
		measured := false
		for k := range m.figures {
			f := &m.figures[k]
			cell, ratio := "-", "-"
			if s, ok := c.spread(name, m, f); ok {
				measured = true
				cell = s.format(f.digits)
			}
			if r, ok := c.ratio(name, c.reference(m), m, f); ok {
				ratio = "×" + r.format(2)
			}
			row = append(row, cell, ratio)
		}
		if measured {
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// glance is the table of our main figures with their ratios to those of others, and of growth.
func (c *comparison) glance(ms []measurement, all []series) (t table) {
	t.head = []string{"", "", "to " + c.reference(nil), "to the best other QUIC", "to TCP"}
	for i := range ms {
		m := &ms[i]
		for k := range m.figures {
			f := &m.figures[k]
			for _, p := range c.Peers {
				s, ok := c.spread(p.Peer, m, f)
				if p.Kind != kindOurs || !ok || !f.main || m.series != "" {
					continue
				}
				row := []string{fmt.Sprintf("%s, %s: %s", p.Peer, m.name, f.title), s.format(f.digits)}
				best := c.best(m, f)
				for _, to := range []string{c.reference(m), best, tcp} {
					r, ok := c.ratio(p.Peer, to, m, f)
					switch {
					case !ok:
						row = append(row, "-")
					case to == best && to != c.reference(m) || len(row) == 3:
						row = append(row, "×"+r.format(2)+" ("+best+")")
					default:
						row = append(row, "×"+r.format(2))
					}
				}
				t.rows = append(t.rows, row)
			}
		}
	}
	t.rows = append(t.rows, c.growthGlance(all)...)
	return t
}
