package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/dustin/go-humanize"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// series is how cost grows with the number of something. What grows no faster than the work has the same cost all along.
type series struct {
	name   string // for --only, and in JSON
	title  string // for people
	about  string // how it is measured
	column func(at uint64) string
	rows   []growthRow
}

// growthRow is one kind of work at several sizes.
type growthRow struct {
	title   string
	points  []growthPoint
	base    int // of points: what those behind it are compared to
	figures []figure
}

// growthPoint is a row at one size.
type growthPoint struct {
	at uint64 // the size
	m  measurement
}

// growths are all series.
func growths(z sizes) []series {
	return []series{growthOfBytes(z), growthOfStreams(z), growthOfConnections(z)}
}

// withGrowth adds to ms the measurements that series need and that are not among them.
func withGrowth(ms []measurement, all []series) []measurement {
	for i := range all {
		for _, r := range all[i].rows {
			for _, p := range r.points {
				if p.m.series != "" {
					ms = append(ms, p.m)
				}
			}
		}
	}
	return ms
}

// costs are those of a measurement's main figures of which less is better.
func costs(fs []figure) []figure {
	return slices.DeleteFunc(slices.Clone(fs), func(f figure) bool { return f.more || !f.main })
}

// growing makes a point of a series. CPU time counts from when all connections are there.
func growing(s *series, what string, at uint64, load, needs string, fs []figure, args ...string) growthPoint {
	return growthPoint{at, measurement{
		name: fmt.Sprintf("%s-%s-%d", s.name, what, at), series: s.name, pauses: true, load: load, needs: needs,
		args: append(args, "--pause"), figures: fs,
	}}
}

func growthOfBytes(z sizes) series {
	s := series{
		name: "growth-bytes", title: "Bytes of a stream", column: humanize.IBytes,
		about: fmt.Sprintf("One stream on one connection. What is less than %[1]s is moved again and again, on one stream after another, until it is %[1]s.",
			humanize.IBytes(z.bytes/4)),
	}
	for _, up := range []bool{false, true} {
		what, needs, args := direction(up)
		r := growthRow{title: what, figures: costs(bulkFigures)}
		for _, n := range []uint64{z.bytes / 1024, z.bytes / 64, z.bytes / 4, z.bytes, 10 * z.bytes} {
			r.points = append(r.points, growing(&s, what, n, perf.LoadBulk, needs, bulkFigures,
				append(args, "--bytes", strconv.FormatUint(n, 10), "--repeat", strconv.FormatUint(max(1, z.bytes/4/n), 10))...))
		}
		r.points[len(r.points)-1].m.once = true
		s.rows = append(s.rows, r)
	}
	return s
}

// direction returns how a row is named that moves bytes up or down, what it needs, and its arguments.
func direction(up bool) (what, needs string, args []string) {
	if up {
		return "upload", perf.LoadUpload, []string{"--upload"}
	}
	return "download", perf.LoadBulk, nil
}

// growthOfStreams compares requests to those made 100 at once: one alone pays for a wake-up each, which others share.
func growthOfStreams(z sizes) series {
	s := series{
		name: "growth-streams", title: "Streams at once", column: comma,
		about: fmt.Sprintf("One connection. Bulk moves %s in all; requests are of 1 KiB both ways, for %v, each on a new stream, so many at once.",
			humanize.IBytes(z.bytes/4), z.duration),
	}
	s.rows = bulkRows(&s, z.bytes/4, "--streams", z.upTo(1, 16, 100, 1000, 10000))
	r := growthRow{title: "requests", base: 1, figures: costs(requestsFigures)}
	for _, n := range z.upTo(1, 100, 1000, 10000) {
		r.points = append(r.points, growing(&s, "requests", n, perf.LoadRequests, perf.LoadRequests, requestsFigures,
			"--for", z.during(), "--parallel", strconv.FormatUint(n, 10)))
	}
	s.rows = append(s.rows, r)
	return s
}

// bulkRows move so many bytes, spread over what a flag numbers.
func bulkRows(s *series, bytes uint64, flag string, ns []uint64) (rows []growthRow) {
	for _, up := range []bool{false, true} {
		what, needs, args := direction(up)
		r := growthRow{title: what, figures: costs(bulkFigures)}
		for _, n := range ns {
			r.points = append(r.points, growing(s, what, n, perf.LoadBulk, needs, bulkFigures,
				append(args, "--bytes", strconv.FormatUint(bytes, 10), flag, strconv.FormatUint(n, 10))...))
		}
		rows = append(rows, r)
	}
	return rows
}

func growthOfConnections(z sizes) series {
	s := series{name: "growth-connections", title: "Connections", column: comma}
	few := uint64(z.connections[0]) / 2
	s.about = fmt.Sprintf("So many connections are there, over one socket of each side. Bulk moves %s in all, over all of them at once, a stream each; they share the "+
		"receive buffer of a socket, so that the more there are the shorter are the trains of each. Requests, 100 at once for %v, are on one "+
		"connection, while the others are idle. Made are the last %s of so many, 16 at once.", humanize.IBytes(z.bytes), z.duration, comma(few))
	s.rows = bulkRows(&s, z.bytes, "--connections", z.upTo(1, 8, 100, 1000))
	requests := growthRow{title: "requests", figures: costs(requestsFigures)}
	made := growthRow{title: "made", figures: costs(eachFigures)}
	idle := growthRow{title: "idle", figures: idleFigures}
	for i, n := range append([]int{1}, z.connections...) {
		p := growing(&s, "requests", uint64(n), perf.LoadRequests, perf.LoadRequests, requestsFigures,
			"--for", z.during(), "--beside", strconv.Itoa(n-1))
		p.m.once, p.m.connections = i > 1, n
		requests.points = append(requests.points, p)
		if i > 0 {
			idle.points = append(idle.points, growthPoint{uint64(n), z.idle(i - 1)})
		}
	}
	for i, n := range append([]int{int(few)}, z.connections...) {
		p := growing(&s, "made", uint64(n), perf.LoadIdle, perf.LoadIdle, eachFigures,
			"--connections", strconv.FormatUint(few, 10), "--beside", strconv.Itoa(n-int(few)))
		p.m.once, p.m.connections = i > 1, n
		made.points = append(made.points, p)
	}
	s.rows = append(s.rows, requests, made, idle)
	return s
}

// upTo returns those numbers that are not above what growth is measured up to.
func (z *sizes) upTo(ns ...uint64) []uint64 {
	return slices.DeleteFunc(ns, func(n uint64) bool { return n > z.most })
}

func comma(n uint64) string { return humanize.Comma(int64(n)) }

// values returns by round what a figure is at a point, relative to what it is at the row's base.
func (r *growthRow) values(c *comparison, peer string, f *figure, i int) (v []float64) {
	base := c.values(peer, &r.points[r.base].m, f)
	for round, x := range c.values(peer, &r.points[i].m, f) {
		if y := base[round]; y > 0 {
			v = append(v, x/y)
		}
	}
	return v
}

// growthTable has a row for each implementation, kind of work and cost: what it is at the base, and the ratio to that elsewhere.
func (c *comparison) growthTable(s *series) (t table) {
	var columns []uint64
	for _, r := range s.rows {
		for _, p := range r.points {
			columns = append(columns, p.at)
		}
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	t.head = []string{""}
	for _, at := range columns {
		t.head = append(t.head, s.column(at))
	}
	for _, p := range c.Peers {
		for i := range s.rows {
			r := &s.rows[i]
			for k := range r.figures {
				if row, ok := c.growthCells(p.Peer, r, &r.figures[k], columns); ok {
					t.rows = append(t.rows, row)
				}
			}
		}
	}
	return t
}

// growthCells is a row of growthTable; false if there is nothing to compare.
func (c *comparison) growthCells(peer string, r *growthRow, f *figure, columns []uint64) (row []string, ok bool) {
	row = append(row, fmt.Sprintf("%s, %s: %s", peer, r.title, f.title))
	for _, at := range columns {
		cell := "-"
		i := slices.IndexFunc(r.points, func(p growthPoint) bool { return p.at == at })
		if i == r.base {
			if s, has := c.spread(peer, &r.points[i].m, f); has {
				cell = s.format(f.digits)
			}
		} else if i >= 0 {
			if s, has := spreadOf(r.values(c, peer, f, i)); has {
				cell, ok = "×"+s.format(2), true
			}
		}
		row = append(row, cell)
	}
	return row, ok
}

// worst tells where a cost of an implementation has grown most, of what is larger than its row's base.
func (c *comparison) worst(peer string, s *series) (most spread, where string, ok bool) {
	for i := range s.rows {
		r := &s.rows[i]
		for k := range r.figures {
			for j := r.base + 1; j < len(r.points); j++ {
				v, has := spreadOf(r.values(c, peer, &r.figures[k], j))
				if has && (!ok || v.mid > most.mid) {
					most, ok = v, true
					where = fmt.Sprintf("%s: %s at %s", r.title, r.figures[k].title, s.column(r.points[j].at))
				}
			}
		}
	}
	return most, where, ok
}

// growthGlance is the overview's part of a series: where ours grows most.
func (c *comparison) growthGlance(all []series) (rows [][]string) {
	for i := range all {
		for _, p := range c.Peers {
			if most, where, ok := c.worst(p.Peer, &all[i]); ok && p.Kind == kindOurs {
				rows = append(rows, []string{fmt.Sprintf("%s, %s, at worst", p.Peer, all[i].name), "×" + most.format(2) + " (" + where + ")", "-", "-", "-"})
			}
		}
	}
	return rows
}

// growthAbout says what is common to all series.
const growthAbout = "What a unit of work costs as there is more of it: a cost that is flat has the ratio 1 all along. The smallest has what it costs there, with 100 " +
	"requests at once where one alone would pay for wake-ups; the others have their ratio to that in the same round. " +
	"CPU time counts from when all connections are there."
