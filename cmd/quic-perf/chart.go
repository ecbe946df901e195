package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The chart's measures, in pixels.
const (
	chartMargin   = 24
	panelWidth    = 450
	panelGap      = 28
	panelHead     = 46 // title and legend
	nameWidth     = 128
	valueWidth    = 112
	barHeight     = 18
	barGap        = 7
	panelColumns  = 3
	chartHeadline = 64
)

// colours by kind: ours stand out.
var colours = map[kind]string{kindOurs: "#0b6e4f", kindOther: "#9aa7b1", kindTCP: "#d9a441", kindRaw: "#7fb8a4"}

// panel is one figure of one measurement, with a bar for each implementation.
type panel struct {
	title string
	more  bool
	bars  []bar
}

type bar struct {
	name   string
	kind   kind
	spread spread
	digits int
	ratio  string // to the reference
}

// panels are the figures that the chart shows.
func (c *comparison) panels(ms []measurement) (ps []panel) {
	for i := range ms {
		m := &ms[i]
		for k := range m.figures {
			f := &m.figures[k]
			if !f.main || m.detail || m.series != "" {
				continue
			}
			p := panel{title: m.short + ": " + f.title, more: f.more}
			for _, d := range c.Peers {
				s, ok := c.spread(d.Peer, m, f)
				if !ok {
					continue
				}
				b := bar{name: d.Peer, kind: d.Kind, spread: s, digits: f.digits}
				if r, ok := c.ratio(d.Peer, c.reference(m), m, f); ok {
					b.ratio = fmt.Sprintf("×%.2f", r.mid)
				}
				p.bars = append(p.bars, b)
			}
			if len(p.bars) > 0 {
				ps = append(ps, p)
			}
		}
	}
	return ps
}

func (p *panel) height() int { return panelHead + len(p.bars)*(barHeight+barGap) }

// drawChart writes an SVG: panels of horizontal bars, three in a row.
func drawChart(w io.Writer, c *comparison, ms []measurement, all []series) {
	ps := c.panels(ms)
	var body strings.Builder
	y := chartMargin + chartHeadline
	for len(ps) > 0 {
		row := ps[:min(panelColumns, len(ps))]
		ps = ps[len(row):]
		tallest := 0
		for i := range row {
			row[i].draw(&body, chartMargin+i*(panelWidth+panelGap), y)
			tallest = max(tallest, row[i].height())
		}
		y += tallest + panelGap
	}
	for i := range all {
		if lines := c.growthLines(&all[i]); len(lines) > 0 {
			drawGrowth(&body, &all[i], lines, chartMargin+i%panelColumns*(panelWidth+panelGap), y)
		}
	}
	if len(all) > 0 {
		y += growthHeight + panelGap
	}
	width := 2*chartMargin + panelColumns*panelWidth + (panelColumns-1)*panelGap
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="DejaVu Sans, Verdana, sans-serif" font-size="13">`+"\n",
		width, y, width, y)
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, y)
	text(w, chartMargin, chartMargin+20, `font-size="22" font-weight="bold" fill="#1c2733"`, c.headline()+": boringquic beside others")
	n := c.Conditions
	text(w, chartMargin, chartMargin+42, `fill="#5a6772"`, fmt.Sprintf("%s, %d cores, %s; loopback, server and client on a core each; median of %d rounds, "+
		"whiskers from smallest to largest, × to %s", n.CPU, n.Cores, n.Kernel, n.Rounds, c.reference(nil)))
	io.WriteString(w, body.String())
	io.WriteString(w, "</svg>\n")
}

// longest is the value that the longest bar has. Of three and more, one that is far longer than all others is cut off, so that
// these can be seen.
func (p *panel) longest() float64 {
	var first, second, end float64
	for _, b := range p.bars {
		second = max(second, min(first, b.spread.mid))
		first = max(first, b.spread.mid)
		end = max(end, b.spread.high)
	}
	if len(p.bars) > 2 && first > 3*second {
		return max(1.5*second, 1e-9)
	}
	return max(end, 1e-9)
}

func (p *panel) draw(w io.Writer, x, y int) {
	legend := "shorter bars are better"
	if p.more {
		legend = "longer bars are better"
	}
	text(w, x, y+16, `font-size="16" font-weight="bold" fill="#1c2733"`, p.title)
	text(w, x, y+34, `font-size="12" fill="#5a6772"`, legend)
	most := p.longest()
	left, room := x+nameWidth, float64(panelWidth-nameWidth-valueWidth)
	scale := func(v float64) float64 { return room * min(v/most, 1) }
	for i, b := range p.bars {
		top := y + panelHead + i*(barHeight+barGap)
		middle := float64(top) + barHeight/2.0
		weight := "normal"
		if b.kind == kindOurs {
			weight = "bold"
		}
		text(w, left-8, top+14, fmt.Sprintf(`text-anchor="end" font-weight="%s" fill="#1c2733"`, weight), b.name)
		fmt.Fprintf(w, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n", left, top, max(scale(b.spread.mid), 1), barHeight, colours[b.kind])
		if b.spread.mid > most {
			end := float64(left) + room
			fmt.Fprintf(w, `<path d="M%.1f %dl5 %dM%.1f %dl5 %d" stroke="#ffffff" stroke-width="3"/>`+"\n", end-18, top+barHeight, -barHeight, end-11, top+barHeight, -barHeight)
		} else if b.spread.high > b.spread.low {
			low, high := float64(left)+scale(b.spread.low), float64(left)+scale(b.spread.high)
			fmt.Fprintf(w, `<path d="M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8" stroke="#1c2733" stroke-width="1.2" fill="none"/>`+"\n",
				low, middle, high, low, middle-4, high, middle-4)
		}
		value := fmt.Sprintf("%.*f", b.digits, b.spread.mid)
		text(w, left+int(scale(max(b.spread.mid, b.spread.high)))+8, top+14, fmt.Sprintf(`font-weight="%s" fill="#1c2733"`, weight), value+"  "+b.ratio)
	}
}

func text(w io.Writer, x, y int, attributes, s string) {
	fmt.Fprintf(w, `<text x="%d" y="%d" %s>`, x, y, attributes)
	_ = xml.EscapeText(w, []byte(s)) // w is memory
	io.WriteString(w, "</text>\n")
}
