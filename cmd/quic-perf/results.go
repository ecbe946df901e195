package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/boringquic/boringquic/cmd/internal/smallfile"
)

// printText writes everything for a terminal.
func printText(w io.Writer, c *comparison, ms []measurement, all []series) {
	for _, l := range c.lines() {
		fmt.Fprintln(w, l)
	}
	fmt.Fprintln(w)
	textTable(w, c.peersTable())
	for i := range ms {
		if t := c.table(&ms[i]); len(t.rows) > 0 && ms[i].series == "" {
			fmt.Fprintf(w, "\n%s (%s)\n", ms[i].title, ms[i].name)
			textTable(w, t)
		}
	}
	first := true
	for i := range all {
		if t := c.growthTable(&all[i]); len(t.rows) > 0 {
			if first {
				fmt.Fprintf(w, "\nGrowth: %s\n", growthAbout)
				first = false
			}
			fmt.Fprintf(w, "\n%s (%s): %s\n", all[i].title, all[i].name, all[i].about)
			textTable(w, t)
		}
	}
	if t := c.glance(ms, all); len(t.rows) > 0 {
		fmt.Fprintln(w, "\nAt a glance")
		textTable(w, t)
	}
	if t := c.barsTable(ms); len(t.rows) > 0 {
		_, about := c.bars()
		fmt.Fprintf(w, "\n%s\n", about)
		textTable(w, t)
	}
}

func textTable(w io.Writer, t table) {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	columns.Flush()
}

// readResults returns what a file of results holds, nothing if it is not there.
func readResults(file string) (string, error) {
	text, err := smallfile.Read(file)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return string(text), err
}

// writeResults writes a file in Markdown, and the chart beside it.
func writeResults(file string, c *comparison, ms []measurement, all []series) error {
	before, err := readResults(file)
	if err != nil {
		return err
	}
	chart := strings.TrimSuffix(file, filepath.Ext(file)) + ".svg"
	flag := ""
	switch {
	case c.HTTP3:
		flag = " --http3"
		chart = strings.TrimSuffix(file, filepath.Ext(file)) + "-http3.svg"
	case c.C:
		flag = " --capi"
		chart = strings.TrimSuffix(file, filepath.Ext(file)) + "-c.svg"
	}
	var svg bytes.Buffer
	drawChart(&svg, c, ms, all)
	if err := os.WriteFile(chart, svg.Bytes(), 0o644); err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\nWritten by `quic-perf compare%s --results` on %s.\n\n", c.headline(), flag, c.Conditions.When)
	fmt.Fprintf(&b, "![Bars for each implementation](%s)\n\n", filepath.Base(chart))
	if t := c.glance(ms, all); len(t.rows) > 0 {
		b.WriteString("## At a glance\n\n")
		markdownTable(&b, t)
	}
	if t := c.barsTable(ms); len(t.rows) > 0 {
		_, about := c.bars()
		fmt.Fprintf(&b, "\n## Bars\n\n%s\n\n", about)
		markdownTable(&b, t)
	}
	b.WriteString("\n## Conditions\n\n")
	for _, l := range c.lines() {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	b.WriteByte('\n')
	markdownTable(&b, c.peersTable())
	for i := range ms {
		if t := c.table(&ms[i]); len(t.rows) > 0 && ms[i].series == "" {
			fmt.Fprintf(&b, "\n## %s\n\n`%s`\n\n", ms[i].title, ms[i].name)
			markdownTable(&b, t)
		}
	}
	first := true
	for i := range all {
		if t := c.growthTable(&all[i]); len(t.rows) > 0 {
			if first {
				fmt.Fprintf(&b, "\n## Growth\n\n%s\n", growthAbout)
				first = false
			}
			fmt.Fprintf(&b, "\n### %s\n\n`%s`. %s\n\n", all[i].title, all[i].name, all[i].about)
			markdownTable(&b, t)
		}
	}
	if len(c.Failed) > 0 {
		b.WriteString("\n## What failed\n\n")
		for _, f := range c.Failed {
			fmt.Fprintf(&b, "- %s\n", strings.Join(strings.Fields(f), " "))
		}
	}
	return os.WriteFile(file, c.joined(before, b.String()), 0o644)
}

// joined returns a file's text with one of its parts, those of QUIC, HTTP/3 and the C API, replaced.
func (c *comparison) joined(before, part string) []byte {
	var parts []string
	for _, of := range []comparison{{}, {HTTP3: true}, {C: true}} {
		if of.headline() == c.headline() {
			parts = append(parts, strings.TrimRight(part, "\n")+"\n")
		} else if there := partOf(before, of.headline()); there != "" {
			parts = append(parts, there)
		}
	}
	return []byte(strings.Join(parts, "\n"))
}

// partOf is the part of a text below a headline; empty if there is none.
func partOf(text, headline string) string {
	_, part, found := strings.Cut("\n"+text, "\n# "+headline+"\n")
	if !found {
		return ""
	}
	if end := strings.Index(part, "\n# "); end >= 0 {
		part = part[:end]
	}
	return "# " + headline + "\n" + strings.TrimRight(part, "\n") + "\n"
}

func markdownTable(w io.Writer, t table) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}
