package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// spread is the smallest, the median and the largest of some values.
type spread struct{ low, mid, high float64 }

func spreadOf(v []float64) spread {
	slices.Sort(v)
	return spread{v[0], v[len(v)/2], v[len(v)-1]}
}

// values returns a figure of each round; missing rounds are left out.
func (c *comparison) values(peer string, m *measurement, f *figure) map[int]float64 {
	v := make(map[int]float64)
	for i := range c.Samples {
		if s := &c.Samples[i]; s.Peer == peer && s.Measurement == m.name {
			v[s.Round] = f.of(s)
		}
	}
	return v
}

// spread returns the spread of a figure; false if there is none.
func (c *comparison) spread(peer string, m *measurement, f *figure) (spread, bool) {
	var v []float64
	for _, x := range c.values(peer, m, f) {
		v = append(v, x)
	}
	if len(v) == 0 {
		return spread{}, false
	}
	return spreadOf(v), true
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
	if len(v) == 0 {
		return spread{}, false
	}
	return spreadOf(v), true
}

func (c *comparison) names() (names []string) {
	for _, p := range peers {
		if slices.ContainsFunc(c.Samples, func(s sample) bool { return s.Peer == p.name }) {
			names = append(names, p.name)
		}
	}
	return names
}

// printTables draws a table for each measurement.
func printTables(w io.Writer, c *comparison, ms []measurement) {
	fmt.Fprintf(w, "each figure: median [smallest to largest], and in the same way its ratio to %s's in the same round\n", reference)
	for i := range ms {
		m := &ms[i]
		fmt.Fprintf(w, "\n%s (%s)\n", m.title, m.name)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, f := range m.figures {
			fmt.Fprintf(table, "\t%s\tratio", f.title)
		}
		fmt.Fprintln(table)
		for _, name := range c.names() {
			if _, ok := c.spread(name, m, &m.figures[0]); !ok {
				continue
			}
			fmt.Fprint(table, name)
			for k := range m.figures {
				f := &m.figures[k]
				s, _ := c.spread(name, m, f)
				fmt.Fprintf(table, "\t%.*f [%.*f to %.*f]", f.digits, s.mid, f.digits, s.low, f.digits, s.high)
				if r, ok := c.ratio(name, reference, m, f); ok {
					fmt.Fprintf(table, "\t%.2f [%.2f to %.2f]", r.mid, r.low, r.high)
				} else {
					fmt.Fprint(table, "\t-")
				}
			}
			fmt.Fprintln(table)
		}
		table.Flush()
	}
}
