package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// The measures of a panel of growth, in pixels.
const (
	growthHeight = 240
	growthPlot   = 150 // what the lines take of it
	growthMost   = 4.0 // the highest ratio that is drawn
)

// growthLine is how a cost of ours grows: ratios to its row's base, by column.
type growthLine struct {
	peer   string
	server bool
	at     []uint64
	ratio  []float64
}

// growthLines are those of ours, without what is below the base.
func (c *comparison) growthLines(s *series) (lines []growthLine) {
	for _, p := range c.Peers {
		if p.Kind != kindOurs {
			continue
		}
		for i := range s.rows {
			r := &s.rows[i]
			for k := range r.figures {
				f := &r.figures[k]
				l := growthLine{peer: p.Peer, server: strings.HasPrefix(f.title, "server")}
				for j := r.base; j < len(r.points); j++ {
					if v, ok := spreadOf(r.values(c, p.Peer, f, j)); ok {
						l.at, l.ratio = append(l.at, r.points[j].at), append(l.ratio, v.mid)
					}
				}
				if len(l.at) > 1 {
					lines = append(lines, l)
				}
			}
		}
	}
	return lines
}

// drawGrowth draws a series: a line for each cost, over its size on a logarithmic scale. Flat is what is wanted.
func drawGrowth(w io.Writer, s *series, lines []growthLine, x, y int) {
	text(w, x, y+16, `font-size="16" font-weight="bold" fill="#1c2733"`, "Growth: "+s.title)
	text(w, x, y+34, `font-size="12" fill="#5a6772"`, "cost of each, × the first; flat is better; dark quicnet, light the core")
	least, most := uint64(math.MaxUint64), uint64(0)
	for _, l := range lines {
		least, most = min(least, l.at[0]), max(most, l.at[len(l.at)-1])
	}
	left, top, room := float64(x+40), float64(y+panelHead+8), float64(panelWidth-80)
	across := func(at uint64) float64 {
		return left + room*math.Log(float64(at)/float64(least))/math.Log(float64(most)/float64(least))
	}
	down := func(ratio float64) float64 { return top + growthPlot*(1-min(ratio, growthMost)/growthMost) }
	for ratio := 0.0; ratio <= growthMost; ratio++ {
		width := 0.5
		if ratio == 1 {
			width = 1.5
		}
		fmt.Fprintf(w, `<path d="M%.1f %.1fh%.1f" stroke="#9aa7b1" stroke-width="%.1f"/>`+"\n", left, down(ratio), room, width)
		text(w, x+30, int(down(ratio))+4, `text-anchor="end" font-size="12" fill="#5a6772"`, fmt.Sprintf("×%.0f", ratio))
	}
	named := make(map[uint64]bool)
	for _, l := range lines {
		var path strings.Builder
		for i, at := range l.at {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], across(at), down(l.ratio[i]))
			named[at] = true
		}
		opacity := 1.0
		if l.peer != lines[0].peer {
			opacity = 0.4
		}
		dashes := ""
		if !l.server {
			dashes = ` stroke-dasharray="5 4"`
		}
		fmt.Fprintf(w, `<path d="%s" stroke="%s" stroke-width="2" stroke-opacity="%.1f" fill="none"%s/>`+"\n", path.String(), colours[kindOurs], opacity, dashes)
	}
	free := 0 // where the next label may stand
	for _, at := range slices.Sorted(maps.Keys(named)) {
		middle := int(across(at))
		if middle < free {
			continue
		}
		free = middle + 46
		text(w, middle, int(top)+growthPlot+18, `text-anchor="middle" font-size="11" fill="#5a6772"`, s.column(at))
	}
	text(w, x+40, int(top)+growthPlot+38, `font-size="12" fill="#5a6772"`, "solid: server; dashed: client")
}
