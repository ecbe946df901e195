package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the root of our source tree, from here.
const root = "../../../.."

// run runs a command in the root of the source tree, with a cache folder of the test's own for what it builds.
func run(t *testing.T, cache, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	gocache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache, "GOCACHE="+strings.TrimSpace(string(gocache)))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

// 1 GiB each way moves in less than 64 MiB of memory and costs no more CPU than it costs quic-go, in the same run on
// the same machine.
func TestCompare(t *testing.T) {
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "quic-perf")
	run(t, dir, "go", "build", "-o", bin, "./cmd/quic-perf")
	run(t, dir, bin, "peers")
	for _, direction := range []string{"--upload=false", "--upload=true"} {
		t.Run(direction, func(t *testing.T) {
			out := run(t, dir, bin, "compare", "--bytes", "1GiB", "--runs", "3", "--json", direction)
			type side struct {
				CPU float64 `json:"cpu_seconds_per_gib"`
				RSS int64   `json:"max_rss_bytes"`
			}
			cpu := make(map[string][]float64)
			for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
				var r struct {
					Peer           string
					Client, Server side
				}
				if err := dec.Decode(&r); err != nil {
					t.Fatal(err)
				}
				cpu[r.Peer] = append(cpu[r.Peer], r.Client.CPU+r.Server.CPU)
				if most := int64(64 << 20); r.Peer == "boringquic" && (r.Client.RSS > most || r.Server.RSS > most) {
					t.Errorf("resident sets of %d and %d bytes, want at most %d", r.Client.RSS, r.Server.RSS, most)
				}
			}
			ours, theirs := median(cpu["boringquic"]), median(cpu["quic-go"])
			t.Logf("CPU seconds per GiB, both sides: %.3f, quic-go %.3f, ratio %.2f", ours, theirs, ours/theirs)
			if ours == 0 || ours > theirs {
				t.Errorf("%.3f CPU seconds per GiB, quic-go takes %.3f", ours, theirs)
			}
		})
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}
