package main

import (
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// Of the C API a program over streams takes part in what is measured over streams, and one of HTTP/3 in what is over that.
func TestCapiTakesPart(t *testing.T) {
	all := []string{perf.LoadBulk, perf.LoadUpload, perf.LoadRequests}
	for _, p := range capiPeers {
		a := adapter{peer: p, about: perf.About{Loads: all}}
		if p.over == overHTTP {
			a.about = perf.About{Serves: all, ALPN: alpnH3}
		}
		for _, m := range capiMeasurements(smallSizes) {
			if got := a.has(&m); got != (m.http == (p.over == overHTTP)) {
				t.Errorf("%s takes part in %s: %v", p.name, m.name, got)
			}
		}
	}
	if len(capiMeasurements(smallSizes)) != 6 {
		t.Errorf("%d measurements", len(capiMeasurements(smallSizes)))
	}
}

// Each bar is of a peer, to a peer, of something that both take part in.
func TestCapiBars(t *testing.T) {
	c := comparison{C: true}
	for _, p := range capiPeers {
		c.Peers = append(c.Peers, described{Peer: p.name, Kind: p.kind})
		for _, m := range capiMeasurements(smallSizes) {
			if m.http == (p.over == overHTTP) {
				cpu := map[bool]float64{true: 1, false: 2}[p.name == "c" || p.name == "h3-c"]
				c.Samples = append(c.Samples, sample{Peer: p.name, Measurement: m.name, ServerCPU: cpu, OtherClient: m.http,
					Report: perf.Report{Count: 1, Seconds: 1, Client: perf.Usage{CPUSeconds: cpu}}})
			}
		}
	}
	rows := c.barsTable(capiMeasurements(smallSizes)).rows
	if len(rows) != len(capiGoals) {
		t.Fatalf("%d rows of %d bars", len(rows), len(capiGoals))
	}
	for _, r := range rows {
		ratio, reached := "×0.50", "reached"
		if strings.HasPrefix(r[0], "quiche.h") {
			ratio, reached = "×1.00", "missed"
		}
		if r[4] != ratio || r[6] != reached {
			t.Errorf("%q", r)
		}
	}
}

// What is written in place of one part of the results leaves the others.
func TestJoined(t *testing.T) {
	quic, http3, capi := &comparison{}, &comparison{HTTP3: true}, &comparison{C: true}
	text := ""
	for _, c := range []*comparison{capi, quic, http3} {
		text = string(c.joined(text, "# "+c.headline()+"\n\nold\n"))
	}
	want := "# What QUIC costs\n\nold\n\n# What HTTP/3 costs\n\nold\n\n# What the C API costs\n\nold\n"
	if text != want {
		t.Errorf("joined: %q", text)
	}
	if text = string(http3.joined(text, "# "+http3.headline()+"\n\n## new\n")); text != strings.Replace(want, "# What HTTP/3 costs\n\nold", "# What HTTP/3 costs\n\n## new", 1) {
		t.Errorf("joined anew: %q", text)
	}
}
