package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// What C programs cost: peers/c has one program over each API, with one loop, beside the bare core in Go that does the same work.

// The APIs that the program is made for, which are targets of its Makefile.
const (
	apiNative = "native" // boringquic.h
	apiNames  = "names"  // quiche.h, on our library
	apiQuiche = "quiche" // quiche.h, on quiche
)

// over is what measurements a peer takes part in, where there are two kinds.
type over string

const (
	overStreams over = "streams"
	overHTTP    over = "http"
)

// capiPeers are all that are measured beside the C API.
var capiPeers = []peer{
	{name: "core", kind: kindOurs, over: overStreams, args: []string{"core"}},
	{name: "c", kind: kindOurs, over: overStreams, source: "c", build: makeBuilder{apiNative}},
	{name: "c-names", kind: kindOurs, over: overStreams, source: "c", build: makeBuilder{apiNames}},
	{name: "quiche", kind: kindOther, over: overStreams, source: "c", build: makeBuilder{apiQuiche}},
	{name: "h3-core", kind: kindOurs, over: overHTTP, args: []string{"h3", "core"}},
	{name: "h3-c", kind: kindOurs, over: overHTTP, source: "c", args: []string{"h3"}, build: makeBuilder{apiNative}},
	{name: "h3-c-names", kind: kindOurs, over: overHTTP, source: "c", args: []string{"h3"}, build: makeBuilder{apiNames}},
	{name: "h3-quiche", kind: kindOther, over: overHTTP, source: "c", args: []string{"h3"}, build: makeBuilder{apiQuiche}},
}

// makeBuilder builds a program by a Makefile, whose target is the API.
type makeBuilder struct{ api string }

func (b makeBuilder) program(dir string, p *peer) string { return filepath.Join(dir, p.source, b.api) }

func (b makeBuilder) command(ctx context.Context, source, dir string, p *peer) *exec.Cmd {
	return exec.CommandContext(ctx, "make", "-s", "-C", source, "OUT="+filepath.Join(dir, p.source), "CARGO="+filepath.Join(dir, "cargo", "quiche-c"), b.api)
}

// capiMeasurements are all that compare measures of the C API, in this order.
func capiMeasurements(z sizes) []measurement {
	of := []string{"down-1x1", "up-1x1", "requests", "h3-requests", "h3-down", "h3-up"}
	return slices.DeleteFunc(append(measurements(z), httpMeasurements(z)...), func(m measurement) bool { return !slices.Contains(of, m.name) })
}

// capiGoals are the bars for the C API.
var capiGoals = func() (all []goal) {
	for _, g := range []struct {
		what, ours, theirs string
		most               float64
	}{{"boringquic.h", "c", "core", 1.05}, {"quiche.h", "c-names", "quiche", 0.8}} {
		for _, m := range []struct{ name, title string }{{"down-1x1", "download"}, {"up-1x1", "upload"}, {"requests", "requests"}} {
			all = append(all, goal{g.what + ", " + m.title + ": server CPU", g.ours, g.theirs, m.name, figureServer, g.most, ""},
				goal{g.what + ", " + m.title + ": client CPU", g.ours, g.theirs, m.name, figureClient, g.most, ""})
		}
		for _, m := range []struct{ name, title string }{{"h3-requests", "GET"}, {"h3-down", "HTTP/3 download"}, {"h3-up", "HTTP/3 upload"}} {
			all = append(all, goal{g.what + ", " + m.title + ": server CPU", "h3-" + g.ours, "h3-" + g.theirs, m.name, figureServer, g.most, ""})
		}
	}
	return all
}()

// capiLines are the conditions of the C API for people.
func (c *comparison) capiLines() []string {
	n := c.Conditions
	return []string{
		fmt.Sprintf("Machine: %s, %d cores, %s, %s.", n.CPU, n.Cores, n.Kernel, n.Go),
		"Over loopback; for each figure a new server process on one core and a new client process on another. A certificate of " +
			n.Certificate.String() + " for all.",
		"c, c-names and quiche are one program in C, which calls boringquic.h, quiche.h of ours, and quiche itself (0.30.0, from its crate); core is the same " +
			"work in Go over the bare core. Over streams each is the client of its own server; over HTTP/3 package h3 loads all servers.",
		fmt.Sprintf("%d rounds, in each of which all take turns at each measurement, every other time in reverse order: %s.", n.Rounds, n.Sizes),
		"Each figure is the median [smallest to largest] of the rounds, and ratios are those of figures of the same round. " +
			"CPU seconds are user and system time of the whole process.",
	}
}
