package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// measurement is one thing that is measured of every implementation.
type measurement struct {
	name        string   // for --only, and in JSON
	series      string   // of growth; its name is for --only then
	title       string   // for people
	short       string   // for the chart
	load        string   // the client's command
	server      []string // flags of the server's command
	needs       string   // what an implementation must be able to do, of perf.About.Loads
	args        []string
	http        bool     // it is over HTTP
	client      []string // what stands before the command of the client of ours that takes the place of others' own; nil: each has its own
	pauses      bool     // it prepares first what is not measured; those of growth do too
	once        bool     // in the first round alone: it takes long, and varies little
	detail      bool     // not for the chart
	connections int      // that there are, if they are many
	figures     []figure
}

// figure is a number that is made of a sample; false says that there is none.
type figure struct {
	title  string // with its unit
	digits int    // after the point
	more   bool   // more is better
	main   bool   // for the chart and the overview
	of     func(*sample) (float64, bool)
}

// sample is one run of one measurement of one implementation.
type sample struct {
	Peer        string  `json:"peer"`
	Measurement string  `json:"measurement"`
	Round       int     `json:"round"`
	ServerCPU   float64 `json:"server_cpu_seconds"`     // that the server's process used while the client ran
	ServerRSS   int64   `json:"server_rss_bytes"`       // by which its resident set had grown when the client was done
	OtherClient bool    `json:"other_client,omitempty"` // the client was not the implementation's own
	perf.Report
}

// sizes are how much is measured.
type sizes struct {
	bytes       uint64
	duration    time.Duration
	connections []int
	most        uint64 // of streams, requests and connections at once, where growth is measured
}

// defaultSizes are what is measured unless flags say otherwise.
var defaultSizes = sizes{bytes: 1 << 30, duration: 3 * time.Second, connections: []int{2000, 20000}, most: 10000}

func (z *sizes) during() string { return fmt.Sprintf("%dms", z.duration.Milliseconds()) }

// idle is the measurement of the i-th number of idle connections.
func (z *sizes) idle(i int) measurement {
	n := z.connections[i]
	return measurement{
		name: fmt.Sprintf("idle-%d", n), short: humanize.Comma(int64(n)) + " idle connections",
		title: "Memory of the server with " + humanize.Comma(int64(n)) + " idle connections",
		load:  perf.LoadIdle, needs: perf.LoadIdle, args: []string{"--connections", strconv.Itoa(n)}, once: i > 0, connections: n, figures: idleFigures,
	}
}

// wall is a figure of the clock.
func wall(title string, of func(s *sample) float64) figure {
	return figure{title: title, more: true, main: true, of: func(s *sample) (float64, bool) { return of(s), true }}
}

// serverCPU and clientCPU are what so much work costs, in so many parts of a second.
func serverCPU(title string, digits int, work, parts float64) figure {
	return figure{title: title, digits: digits, main: true, of: func(s *sample) (float64, bool) {
		return s.ServerCPU * parts * work / float64(s.Count), true
	}}
}

func clientCPU(title string, digits int, work, parts float64) figure {
	return figure{title: title, digits: digits, main: true, of: func(s *sample) (float64, bool) {
		return s.Client.CPUSeconds * parts * work / float64(s.Count), !s.OtherClient
	}}
}

func latency(title string, of func(*perf.Percentiles) float64) figure {
	return figure{title: title, digits: 2, of: func(s *sample) (float64, bool) {
		if s.Latency == nil {
			return 0, false
		}
		return of(s.Latency) / 1e3, true
	}}
}

var (
	bulkFigures = []figure{
		wall("Mbit/s", func(s *sample) float64 { return float64(s.Count) * 8 / 1e6 / s.Seconds }),
		serverCPU("server CPU s/GiB", 3, 1<<30, 1), clientCPU("client CPU s/GiB", 3, 1<<30, 1),
	}
	perSecond       = wall("per second", func(s *sample) float64 { return float64(s.Count) / s.Seconds })
	eachFigures     = []figure{perSecond, serverCPU("server CPU µs each", 1, 1, 1e6), clientCPU("client CPU µs each", 1, 1, 1e6)}
	requestsFigures = append(slices.Clip(eachFigures),
		latency("median latency ms", func(p *perf.Percentiles) float64 { return p.P50 }),
		latency("90 % ms", func(p *perf.Percentiles) float64 { return p.P90 }),
		latency("99 % ms", func(p *perf.Percentiles) float64 { return p.P99 }),
		latency("99.9 % ms", func(p *perf.Percentiles) float64 { return p.P999 }))
	datagramFigures = append(slices.Clip(eachFigures), figure{title: "lost %", digits: 1, of: func(s *sample) (float64, bool) {
		return 100 * (1 - float64(s.Count)/float64(s.Sent)), s.Sent > 0
	}})
	idleFigures = []figure{{title: "server KiB per connection", digits: 1, main: true, of: func(s *sample) (float64, bool) {
		return float64(s.ServerRSS) / 1024 / float64(s.Count), true
	}}}
)

// measurements are all that compare measures, in this order; but growth.
func measurements(z sizes) (ms []measurement) {
	for _, up := range []bool{false, true} {
		for _, conns := range []int{1, 8} {
			for _, streams := range []int{1, 16} {
				ms = append(ms, bulkMeasurement(z, up, conns, streams))
			}
		}
	}
	during := []string{"--for", z.during()}
	paused := append(slices.Clone(during), "--pause")
	ms = append(ms,
		measurement{
			name: "requests", short: "Requests of 1 KiB", title: "Requests of 1 KiB both ways, 100 at once on one connection",
			load: perf.LoadRequests, needs: perf.LoadRequests, args: during, figures: requestsFigures,
		},
		measurement{
			name: "handshakes", short: "Full handshakes", title: "Full handshakes, 16 at once",
			load: perf.LoadHandshakes, needs: perf.LoadHandshakes, args: during, figures: eachFigures,
		},
		measurement{
			name: "resumed", short: "Resumed handshakes", title: "Resumed handshakes, 16 at once", server: []string{"--tickets"},
			load: perf.LoadResumed, needs: perf.LoadResumed, args: paused, pauses: true, figures: eachFigures,
		},
		measurement{
			name: "early", short: "Requests in 0-RTT", title: "Requests of 1 KiB both ways in 0-RTT, each on a new connection, 16 at once",
			server: []string{"--tickets"}, load: perf.LoadEarly, needs: perf.LoadEarly, args: paused, pauses: true, figures: requestsFigures,
		},
		measurement{
			name: "datagrams", short: "Datagrams of 1,200 bytes", title: "Datagrams of 1,200 bytes to the server, per second received",
			load: perf.LoadDatagrams, needs: perf.LoadDatagrams, args: during, figures: datagramFigures,
		})
	for i := range z.connections {
		ms = append(ms, z.idle(i))
	}
	return ms
}

// httpMeasurements are all that compare measures of HTTP, in this order.
func httpMeasurements(z sizes) (ms []measurement) {
	during := []string{"--for", z.during()}
	ms = append(ms,
		measurement{
			name: "h3-requests", short: "GET of 1 KiB", title: "GET of 1 KiB with 12 header fields, 100 at once on one connection",
			load: perf.LoadRequests, needs: perf.LoadRequests, args: during, client: leanClient, figures: requestsFigures,
		},
		measurement{
			name: "h3-fetch", short: "GET by their own clients", title: "The same, each with its own client for net/http",
			load: perf.LoadRequests, needs: perf.LoadRequests, args: during, detail: true, figures: requestsFigures,
		})
	for _, up := range []bool{false, true} {
		m := bulkMeasurement(z, up, 1, 1)
		m.name, m.title, m.client = "h3-"+strings.TrimSuffix(m.name, "-1x1"), m.short+" in one response", leanClient
		if up {
			m.title = m.short + " in one request"
		}
		ms = append(ms, m)
	}
	m := z.idle(0)
	m.name, m.client = "h3-idle", []string{"h3"}
	m.title += ", each of which has made a request"
	ms = append(ms, m)
	for i := range ms {
		ms[i].http = true
	}
	return ms
}

// bulkMeasurement moves the whole size over one stream, and a quarter where there are more. The chart shows one stream alone.
func bulkMeasurement(z sizes, up bool, conns, streams int) measurement {
	m := measurement{
		name: fmt.Sprintf("down-%dx%d", conns, streams), short: "Download", load: perf.LoadBulk, needs: perf.LoadBulk,
		args:   []string{"--connections", strconv.Itoa(conns), "--streams", strconv.Itoa(streams)},
		detail: conns > 1 || streams > 1, figures: bulkFigures,
	}
	if up {
		m.name, m.short, m.needs = fmt.Sprintf("up-%dx%d", conns, streams), "Upload", perf.LoadUpload
		m.args = append(m.args, "--upload")
	}
	m.title = fmt.Sprintf("%s, %s, %s on each", m.short, count(conns, "connection"), count(streams, "stream"))
	bytes := z.bytes
	if m.detail {
		bytes /= 4
	}
	m.args = append(m.args, "--bytes", strconv.FormatUint(bytes, 10))
	return m
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
