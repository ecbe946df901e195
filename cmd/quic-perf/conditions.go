package main

import (
	"cmp"
	"debug/elf"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// conditions are what figures hold under.
type conditions struct {
	When   string `json:"when"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Rounds int    `json:"rounds"`
	Sizes  string `json:"sizes"`

	Certificate certificateKind `json:"certificate,omitempty"` // empty: ECDSA, as there was no other once
}

// described is an implementation with what it says of itself.
type described struct {
	Peer      string `json:"peer"`
	Kind      kind   `json:"kind"`
	Compilers string `json:"compilers,omitempty"`
	perf.About
}

var cpuModel = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

func conditionsNow(rounds int, sizes string, certificate certificateKind) conditions {
	c := conditions{
		When: time.Now().UTC().Format("2006-01-02 15:04 MST"), CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Kernel: runtime.GOOS,
		Go: runtime.Version(), Rounds: rounds, Sizes: sizes, Certificate: certificate,
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := cpuModel.FindSubmatch(info); m != nil {
			c.CPU = string(m[1]) + ", " + runtime.GOARCH
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		c.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	return c
}

var compilerComment = regexp.MustCompile(`^(?:(GCC): \(.*\)|.*\b(clang) version|(rustc) version) (\d[\d.]*)`)

// compilersOf tells which compilers' code is in the program file, by the comments that they leave there, as in "gcc 12.2.0, clang
// 14.0.6"; "" if it has none. Those of Go leave none.
func compilersOf(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	section := f.Section(".comment")
	if section == nil {
		return ""
	}
	comments, err := section.Data()
	if err != nil {
		return ""
	}
	var names []string
	for c := range strings.SplitSeq(string(comments), "\x00") {
		if m := compilerComment.FindStringSubmatch(c); m != nil {
			names = append(names, strings.ToLower(m[1]+m[2]+m[3])+" "+m[4])
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// lines are the conditions for people.
func (c *comparison) lines() []string {
	n := c.Conditions
	switch {
	case c.HTTP3:
		return c.httpLines()
	case c.C:
		return c.capiLines()
	}
	return []string{
		fmt.Sprintf("Machine: %s, %d cores, %s, %s.", n.CPU, n.Cores, n.Kernel, n.Go),
		"Over loopback; for each figure a new server process on one core and a new client process on another. " +
			"X25519 and a certificate of " + n.Certificate.String() + " for all; sessions are resumed where it says so.",
		fmt.Sprintf("%d rounds (one for idle connections beyond the fewest, and for what takes longest of growth), in each of which all take turns at each measurement, every other time in reverse order: %s.", n.Rounds, n.Sizes),
		"Each figure is the median [smallest to largest] of the rounds, and ratios are those of figures of the same round. " +
			"CPU seconds are user and system time of the whole process; memory is by how much the server's resident set has grown, per connection.",
	}
}

// peersTable says how each implementation is set up.
func (c *comparison) peersTable() (t table) {
	t.head = []string{"", "what", "version", "UDP payload", "crypto", "offloads", "congestion control", "compilers beside Go's"}
	for _, p := range c.Peers {
		payload := "-"
		if p.UDPPayload > 0 {
			payload = fmt.Sprintf("%d bytes", p.UDPPayload)
		}
		t.rows = append(t.rows, []string{p.Peer, p.Name, p.Version, payload, p.Crypto, p.Offloads, p.Controller, cmp.Or(p.Compilers, "-")})
	}
	return t
}
