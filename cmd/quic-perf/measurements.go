package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// measurement is one thing that is measured of every implementation.
type measurement struct {
	name    string // for --only, and in JSON
	title   string // for people
	load    string // the client's command
	args    []string
	once    bool // in the first round alone: it takes long, and varies little
	figures []figure
}

// figure is a number that is made of a sample.
type figure struct {
	name   string // in JSON
	title  string // for people, with its unit
	digits int    // after the point
	more   bool   // more is better
	of     func(*sample) float64
}

// sample is one run of one measurement of one implementation.
type sample struct {
	Peer        string  `json:"peer"`
	Measurement string  `json:"measurement"`
	Round       int     `json:"round"`
	ServerCPU   float64 `json:"server_cpu_seconds"` // that the server's process used while the client ran
	ServerRSS   int64   `json:"server_rss_bytes"`   // by which its resident set had grown when the client was done
	perf.Report
}

// sizes are how much is measured.
type sizes struct {
	bytes       uint64
	duration    time.Duration
	connections []int
}

// gib and each are what costs are divided by.
func (s *sample) gib() float64  { return float64(s.Count) / (1 << 30) }
func (s *sample) each() float64 { return float64(s.Count) / 1e6 }

var (
	serverPerGiB  = figure{"server_cpu_s_per_gib", "server CPU s/GiB", 3, false, func(s *sample) float64 { return s.ServerCPU / s.gib() }}
	clientPerGiB  = figure{"client_cpu_s_per_gib", "client CPU s/GiB", 3, false, func(s *sample) float64 { return s.Client.CPUSeconds / s.gib() }}
	serverPerEach = figure{"server_cpu_us", "server CPU µs each", 1, false, func(s *sample) float64 { return s.ServerCPU / s.each() }}
	clientPerEach = figure{"client_cpu_us", "client CPU µs each", 1, false, func(s *sample) float64 { return s.Client.CPUSeconds / s.each() }}

	mbitPerSecond = figure{"mbit_per_s", "Mbit/s", 0, true, func(s *sample) float64 { return float64(s.Count) * 8 / 1e6 / s.Seconds }}
	eachPerSecond = figure{"per_s", "a second", 0, true, func(s *sample) float64 { return float64(s.Count) / s.Seconds }}
	lost          = figure{"lost_percent", "lost %", 1, false, func(s *sample) float64 { return 100 * (1 - float64(s.Count)/float64(s.Sent)) }}
	kibEach       = figure{"server_kib_each", "server KiB each", 1, false, func(s *sample) float64 { return float64(s.ServerRSS) / 1024 / float64(s.Count) }}
)

func latency(name, title string, of func(*perf.Percentiles) float64) figure {
	return figure{name, title, 2, false, func(s *sample) float64 {
		if s.Latency == nil {
			return 0
		}
		return of(s.Latency) / 1e3
	}}
}

// measurements are all that compare measures, in this order.
func measurements(z sizes) (ms []measurement) {
	add := func(name, title, load string, args []string, figures ...figure) {
		ms = append(ms, measurement{name: name, title: title, load: load, args: args, figures: figures})
	}
	for _, up := range []bool{false, true} {
		for _, conns := range []int{1, 8} {
			for _, streams := range []int{1, 16} {
				name, title := "down", "Download"
				args := []string{"--connections", strconv.Itoa(conns), "--streams", strconv.Itoa(streams)}
				if up {
					name, title = "up", "Upload"
					args = append(args, "--upload")
				}
				bytes := z.bytes
				if conns > 1 || streams > 1 {
					bytes /= 2
				}
				add(fmt.Sprintf("%s-%dx%d", name, conns, streams), fmt.Sprintf("%s, %s of %s each", title, count(conns, "connection"), count(streams, "stream")),
					perf.LoadBulk, append(args, "--bytes", strconv.FormatUint(bytes, 10)), mbitPerSecond, serverPerGiB, clientPerGiB)
			}
		}
	}
	during := []string{"--for", z.duration.String()}
	add("requests", "Requests of 1 KiB both ways, 100 at once on one connection", perf.LoadRequests, during, eachPerSecond, serverPerEach, clientPerEach,
		latency("p50_ms", "median ms", func(p *perf.Percentiles) float64 { return p.P50 }),
		latency("p99_ms", "99 % ms", func(p *perf.Percentiles) float64 { return p.P99 }),
		latency("p999_ms", "99.9 % ms", func(p *perf.Percentiles) float64 { return p.P999 }))
	add("handshakes", "Full handshakes, 16 at once", perf.LoadHandshakes, during, eachPerSecond, serverPerEach, clientPerEach)
	add("datagrams", "Datagrams of 1,200 bytes to the server", perf.LoadDatagrams, during, eachPerSecond, lost, serverPerEach, clientPerEach)
	for i, n := range z.connections {
		add(fmt.Sprintf("idle-%d", n), fmt.Sprintf("Memory of the server, %d idle connections", n), perf.LoadIdle,
			[]string{"--connections", strconv.Itoa(n)}, kibEach)
		ms[len(ms)-1].once = i > 0
	}
	return ms
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
