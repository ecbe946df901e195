package main

import (
	"fmt"
)

// headline is the title of the results.
func (c *comparison) headline() string {
	switch {
	case c.HTTP3:
		return "What HTTP/3 costs"
	case c.C:
		return "What the C API costs"
	}
	return "What QUIC costs"
}

// httpLines are the conditions of HTTP/3 for people.
func (c *comparison) httpLines() []string {
	n := c.Conditions
	return []string{
		fmt.Sprintf("Machine: %s, %d cores, %s, %s.", n.CPU, n.Cores, n.Kernel, n.Go),
		"Over loopback; for each figure a new server process on one core and a new client process on another. X25519 and a certificate of " +
			n.Certificate.String() + " for all.",
		"All servers of HTTP/3 are loaded by one client, boringquic's package h3 over the bare core, but where it says that each has its own; " +
			"that of HTTP/2 by net/http's. http3, quic-go, caddy and tcp run the same handler of net/http, the others one in their language. " +
			"raw and raw-core move as many bytes as http3 and h3-core do over streams without HTTP.",
		fmt.Sprintf("%d rounds, in each of which all take turns at each measurement, every other time in reverse order: %s.", n.Rounds, n.Sizes),
		"Each figure is the median [smallest to largest] of the rounds, and ratios are those of figures of the same round. " +
			"CPU seconds are user and system time of the whole process; memory is by how much the server's resident set has grown, per connection.",
	}
}

// goal is a ratio of a figure of ours to another's that is not to be passed.
type goal struct {
	work        string
	peer, to    string // to: empty for the best of other QUIC
	measurement string
	figure      int // of the measurement's
	most        float64
	what        string // most in words; empty: the number says it
}

// What the figures of requests and of bulk are: see requestsFigures and bulkFigures.
const (
	figureRate   = 0
	figureServer = 1
	figureClient = 2
)

// goals are the bars for HTTP/3.
var goals = []goal{
	{"h3 core, GET: server CPU", "h3-core", "raw-core", "h3-requests", figureServer, 3.6 / 2.1, "+1.5 µs where the same bytes take 2.1 µs: ×1.71"},
	{"http3, GET: server CPU", "http3", reference, "h3-requests", figureServer, 0.20, ""},
	{"http3, GET: server CPU", "http3", tcp, "h3-requests", figureServer, 0.20, ""},
	{"h3 core, GET: server CPU", "h3-core", "", "h3-requests", figureServer, 1.0, ""},
	{"http3, GET: server CPU", "http3", "", "h3-requests", figureServer, 1.5, ""},
	{"http3, download: server CPU", "http3", "raw", "h3-down", figureServer, 1.10, ""},
	{"http3, download: time", "http3", "raw", "h3-down", figureRate, 1.10, ""},
	{"http3, upload: server CPU", "http3", "raw", "h3-up", figureServer, 1.10, ""},
	{"http3, upload: time", "http3", "raw", "h3-up", figureRate, 1.10, ""},
	{"http3, idle connection: server memory", "http3", reference, "h3-idle", 0, 0.25, ""},
}

// bars are the goals of what was measured, and what is to be said of them.
func (c *comparison) bars() (all []goal, about string) {
	if c.C {
		return capiGoals, "Bars: ratios to others in the same round, and what they are to be at most."
	}
	return goals, barsAbout
}

const barsAbout = "Bars: ratios to others in the same round, and what they are to be at most. Allocations of a GET are held to theirs by a test of package http3."

// barsTable tells which goals are reached.
func (c *comparison) barsTable(ms []measurement) (t table) {
	t.head = []string{"", "ours", "theirs", "of", "ratio", "bar", ""}
	all, _ := c.bars()
	for i := range all {
		g := &all[i]
		for k := range ms {
			if m := &ms[k]; m.name == g.measurement {
				if row := c.barsRow(g, m); row != nil {
					t.rows = append(t.rows, row)
				}
			}
		}
	}
	return t
}

// barsRow is a goal's row, nil if it was not measured.
func (c *comparison) barsRow(g *goal, m *measurement) []string {
	f, to := &m.figures[g.figure], g.to
	if to == "" {
		to = c.best(m, f)
	}
	ours, ok := c.spread(g.peer, m, f)
	theirs, also := c.spread(to, m, f)
	r, both := c.ratio(g.peer, to, m, f)
	if !ok || !also || !both {
		return nil
	}
	if f.more { // of rates: those of times are the other way round
		r = spread{1 / r.mid, 1 / r.high, 1 / r.low}
	}
	bar, reached := g.what, "missed"
	if bar == "" {
		bar = fmt.Sprintf("×%.2f", g.most)
	}
	if r.mid <= g.most {
		reached = "reached"
	}
	return []string{g.work, ours.format(f.digits), theirs.format(f.digits), to, "×" + r.format(2), bar, reached}
}
