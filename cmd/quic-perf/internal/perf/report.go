package perf

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
)

// The loads, as the commands and the reports name them; but LoadUpload, in About, is LoadBulk with --upload, and LoadGrowth the flags
// --repeat, --beside and --pause.
const (
	LoadBulk       = "bulk"
	LoadUpload     = "upload"
	LoadRequests   = "requests"
	LoadHandshakes = "handshakes"
	LoadResumed    = "resumed"
	LoadEarly      = "early"
	LoadDatagrams  = "datagrams"
	LoadIdle       = "idle"
	LoadGrowth     = "growth"
)

// About describes a program: conditions that its figures were measured under.
type About struct {
	Name       string   `json:"name"`        // of the implementation
	Version    string   `json:"version"`     // of the implementation
	Crypto     string   `json:"crypto"`      // who encrypts, with what
	UDPPayload int      `json:"udp_payload"` // the largest UDP payload sent, in bytes; 0: it is not over UDP
	Offloads   string   `json:"offloads"`    // of the kernel that are used
	Controller string   `json:"controller"`  // congestion control
	Loads      []string `json:"loads"`       // what the client can do: its commands, LoadUpload and LoadGrowth

	// Serves are loads that the server can be measured under with another's client, for want of a client of its own, and ALPN
	// is the protocol that it answers then.
	Serves []string `json:"serves,omitempty"`
	ALPN   string   `json:"alpn,omitempty"`

	// Missing is what has to be installed before anything can be measured.
	Missing string `json:"missing,omitempty"`
}

// Report is what a client's command found, in one JSON object.
type Report struct {
	Load    string       `json:"load"`
	Count   uint64       `json:"count"`             // bytes moved, requests answered, handshakes, datagrams received, connections held
	Sent    uint64       `json:"sent,omitempty"`    // datagrams sent
	Seconds float64      `json:"seconds"`           // wall clock, for Count
	Latency *Percentiles `json:"latency,omitempty"` // of requests
	Client  Usage        `json:"client"`            // what the client's process used for it
	Server  *Usage       `json:"server,omitempty"`  // what the server's used meanwhile; nil: it does not tell
}

// Usage is what a process has used.
type Usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`   // user and system time
	MaxRSS     int64   `json:"max_rss_bytes"` // the largest resident set
}

// OwnUsage asks the operating system about this process, and those that it started and that have ended (getrusage).
func OwnUsage() (u Usage, err error) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			return u, fmt.Errorf("getrusage: %w", err)
		}
		u.CPUSeconds += float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
		u.MaxRSS = max(u.MaxRSS, int64(r.Maxrss)<<10) // Linux counts in KiB
	}
	return u, nil
}

// since returns what was used after before was taken.
func (u Usage) since(before Usage) Usage {
	return Usage{u.CPUSeconds - before.CPUSeconds, u.MaxRSS}
}

// Percentiles are of latencies, in microseconds.
type Percentiles struct {
	P50  float64 `json:"p50_us"`
	P90  float64 `json:"p90_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p999_us"`
	Max  float64 `json:"max_us"`
}

// PercentilesOf sorts latencies; nil if there are none.
func PercentilesOf(d []time.Duration) *Percentiles {
	if len(d) == 0 {
		return nil
	}
	slices.Sort(d)
	at := func(p float64) float64 { return float64(d[int(p*float64(len(d)-1))]) / 1e3 }
	return &Percentiles{at(0.50), at(0.90), at(0.99), at(0.999), at(1)}
}

// print writes a report for people.
func (r *Report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	per, unit := 1e6/float64(r.Count), "CPU µs each"
	switch r.Load {
	case LoadBulk:
		per, unit = float64(1<<30)/float64(r.Count), "CPU seconds per GiB"
		fmt.Fprintf(w, "%s in %.2f s: %.0f Mbit/s\n", humanize.IBytes(r.Count), r.Seconds, float64(r.Count)*8/1e6/r.Seconds)
	case LoadDatagrams:
		fmt.Fprintf(w, "%d datagrams sent and %d received in %.2f s: %.0f a second, %.1f %% lost\n", r.Sent, r.Count, r.Seconds,
			float64(r.Count)/r.Seconds, 100*(1-float64(r.Count)/float64(r.Sent)))
	case LoadIdle:
		fmt.Fprintf(w, "%d connections made in %.2f s\n", r.Count, r.Seconds)
	case LoadResumed:
		fmt.Fprintf(w, "%d resumed handshakes in %.2f s: %.0f a second\n", r.Count, r.Seconds, float64(r.Count)/r.Seconds)
	case LoadEarly:
		fmt.Fprintf(w, "%d requests in 0-RTT in %.2f s: %.0f a second\n", r.Count, r.Seconds, float64(r.Count)/r.Seconds)
	default:
		fmt.Fprintf(w, "%d %s in %.2f s: %.0f a second\n", r.Count, r.Load, r.Seconds, float64(r.Count)/r.Seconds)
	}
	if l := r.Latency; l != nil {
		fmt.Fprintf(w, "latency: median %.0f µs, 90 %% within %.0f µs, 99 %% within %.0f µs, 99.9 %% within %.0f µs, at most %.0f µs\n",
			l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	r.Client.print(w, "client", per, unit)
	if r.Server == nil {
		fmt.Fprintln(w, "server: does not tell")
		return nil
	}
	r.Server.print(w, "server", per, unit)
	return nil
}

func (u *Usage) print(w io.Writer, who string, per float64, unit string) {
	fmt.Fprintf(w, "%s: %.3f CPU seconds, %.3f %s, largest resident set %s\n", who, u.CPUSeconds, u.CPUSeconds*per, unit,
		humanize.IBytes(uint64(u.MaxRSS)))
}
