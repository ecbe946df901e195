package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// The whole bench of HTTP/3 runs, in small: of ours in all ways, and of two peers whose programs are ours too. What is there of QUIC in the file of results
// stays, and the other way round.
func TestCompareHTTP3(t *testing.T) {
	usePrograms(t, "quic-go", "h3-quinn")
	dir := t.TempDir()
	file, results := filepath.Join(dir, "results.json"), filepath.Join(dir, "RESULTS.md")
	quic := func() {
		if code, _, stderr := command(t, small("--rounds", "1", "--only", "down-1x1", "--peers", "boringquic", "--results", results)...); code != perf.ExitOK {
			t.Fatalf("exit code %d\n%s", code, stderr)
		}
	}
	quic()
	code, stdout, stderr := command(t, small("--http3", "--rounds", "2", "--json", file, "--results", results)...)
	if code != perf.ExitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	for _, name := range []string{"caddy", "tokio-quiche", "ngtcp2", "tcp"} {
		if !strings.Contains(stderr, name+" is skipped") {
			t.Errorf("%s is not there, and nobody says so", name)
		}
	}
	c := readComparison(t, file)
	ms := httpMeasurements(smallSizes)
	all, lean := []string{"h3-requests", "h3-fetch", "h3-down", "h3-up", "h3-idle"}, []string{"h3-requests", "h3-down", "h3-up", "h3-idle"}
	for name, measured := range map[string][]string{"http3": all, "h3-core": lean, "raw": lean[:3], "raw-core": lean[:3], "quic-go": all, "h3-quinn": all} {
		for i := range ms {
			m := &ms[i]
			want := 0
			if slices.Contains(measured, m.name) {
				want = m.roundsOf(2)
			}
			own := m.name == "h3-fetch" || name == "http3" && m.name == "h3-idle" || (name == "h3-core" || name == "raw-core") && m.name != "h3-idle"
			wantHTTPSamples(t, c, name, m, want, own)
		}
	}
	markdown := readFile(t, results)
	for i := range ms {
		if !strings.Contains(stdout, ms[i].title) || !strings.Contains(markdown, ms[i].title) {
			t.Errorf("no table of %s", ms[i].title)
		}
	}
	for _, g := range goals {
		if !strings.Contains(markdown, "| "+g.work+" |") {
			t.Errorf("no bar of %s", g.work)
		}
	}
	wantChart(t, filepath.Join(dir, "RESULTS-http3.svg"), []string{"h3-core", "raw-core", "Download: Mbit/s", "GET of 1 KiB: server CPU µs each"})
	code, fromFile, stderr := command(t, small("--from", file)...)
	if code != perf.ExitOK || fromFile != stdout {
		t.Errorf("from the file: exit code %d, %s\n%s\nin place of\n%s", code, stderr, fromFile, stdout)
	}
	wantParts(t, markdown)
	quic()
	wantParts(t, readFile(t, results))
}

// wantParts asserts that results have both parts, once each.
func wantParts(t *testing.T, markdown string) {
	t.Helper()
	var heads []string
	for line := range strings.Lines(markdown) {
		if head, ok := strings.CutPrefix(line, "# "); ok {
			heads = append(heads, strings.TrimSpace(head))
		}
	}
	if !slices.Equal(heads, []string{"What QUIC costs", "What HTTP/3 costs"}) {
		t.Errorf("the parts are %q", heads)
	}
}

func wantHTTPSamples(t *testing.T, c *comparison, peer string, m *measurement, want int, own bool) {
	t.Helper()
	n := 0
	for i := range c.Samples {
		s := &c.Samples[i]
		if s.Peer != peer || s.Measurement != m.name {
			continue
		}
		n++
		if s.Count == 0 || s.Seconds <= 0 || s.ServerCPU <= 0 || s.Client.CPUSeconds <= 0 || s.OtherClient == own {
			t.Errorf("%s, %s: %+v", peer, m.name, s)
		}
		if l := s.Latency; m.load == perf.LoadRequests && (l == nil || l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max) {
			t.Errorf("%s: latencies %+v", peer, l)
		}
	}
	if n != want {
		t.Errorf("%s, %s: %d samples, want %d", peer, m.name, n, want)
	}
}

// A bar is reached by the median of the ratios, and for rates it is the other way round.
func TestBars(t *testing.T) {
	c := &comparison{HTTP3: true, Peers: []described{{Peer: "http3", Kind: kindOurs}, {Peer: "h3-core", Kind: kindOurs}, {Peer: "raw", Kind: kindRaw},
		{Peer: "raw-core", Kind: kindRaw}, {Peer: "quic-go", Kind: kindOther}, {Peer: "ngtcp2", Kind: kindOther}}}
	add := func(peer, measurement string, cpu float64, seconds float64) {
		c.Samples = append(c.Samples, sample{Peer: peer, Measurement: measurement, ServerCPU: cpu, Report: perf.Report{Count: 1e6, Seconds: seconds}})
	}
	for peer, us := range map[string]float64{"http3": 8, "h3-core": 4, "raw-core": 2, "quic-go": 50, "ngtcp2": 5} {
		add(peer, "h3-requests", us, 1)
	}
	add("http3", "h3-down", 1, 1.2)
	add("raw", "h3-down", 1, 1)
	var got []string
	for _, row := range c.barsTable(httpMeasurements(smallSizes)).rows {
		got = append(got, strings.Join([]string{row[0], row[3], row[4], row[6]}, ", "))
	}
	want := []string{
		"h3 core, GET: server CPU, raw-core, ×2.00, missed", "http3, GET: server CPU, quic-go, ×0.16, reached", "h3 core, GET: server CPU, ngtcp2, ×0.80, reached",
		"http3, GET: server CPU, ngtcp2, ×1.60, missed", "http3, download: server CPU, raw, ×1.00, reached", "http3, download: time, raw, ×1.20, missed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nin place of\n%q", got, want)
	}
}

// What is moved beside HTTP/3 is what HTTP/3 moves: a HEADERS frame whose fields are nearly all in the table, and a body.
func TestRawExchange(t *testing.T) {
	e := rawExchange(perf.Exchange{Down: 1024})
	if up := e.Up + perf.HeaderSize; up < 16 || up > 32 {
		t.Errorf("a request takes %d bytes", up)
	}
	if head := e.Down - 1024; head < 8 || head > 24 {
		t.Errorf("a response takes %d bytes beside its body", head)
	}
}

// A client goes on where its server allows one stream at a time, and what waits for one is all that there is.
func TestFewStreams(t *testing.T) {
	for name, test := range map[string]struct {
		alpn     string
		app      coreApp
		requests func(context.Context, perf.Target, *perf.Requests, perf.Hooks) (perf.Outcome, error)
	}{
		"perf": {perf.ALPN, &coreServer{block: make([]byte, perf.BlockSize)}, requestsCore},
		"h3":   {alpnH3, &h3CoreServer{block: make([]byte, perf.BlockSize)}, requestsH3Core},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := tlsfiles.Server("", "", []string{"127.0.0.1"}, test.alpn)
			if err != nil {
				t.Fatal(err)
			}
			cfg := config(conf, perf.DefaultPayload)
			cfg.MaxStreamsBidi = 1
			l, err := newCoreLoop("127.0.0.1:0", cfg, test.app)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- l.run(ctx, func() bool { return false }) }()
			defer func() { cancel(); <-done }()
			client, err := tlsfiles.Client(true, "")
			if err != nil {
				t.Fatal(err)
			}
			target := perf.Target{Addr: l.local.String(), TLS: client, UDPPayload: perf.DefaultPayload}
			r := &perf.Requests{Duration: 100 * time.Millisecond, Parallel: 5, Connections: 1, Down: 1024}
			o, err := test.requests(ctx, target, r, perf.Hooks{Count: func(int) {}, Ready: func() error { return nil }})
			if err != nil || o.Count < 2 || o.Elapsed < r.Duration { // a busy machine makes few
				t.Errorf("%d requests in %v, %v", o.Count, o.Elapsed, err)
			}
		})
	}
}
