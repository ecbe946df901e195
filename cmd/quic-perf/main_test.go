package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// asProgram has the test's own binary be the command: compare starts it.
const asProgram = "QUIC_PERF_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// command runs the command and returns its exit code and what it printed.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// usePrograms makes a cache folder in which every peer's program is there: this one, which has the same commands.
func usePrograms(t *testing.T, sources ...string) {
	t.Helper()
	t.Setenv(asProgram, "1")
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir := filepath.Join(cache, "boringquic", "peers")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if err := os.Symlink(self, filepath.Join(dir, s)); err != nil {
			t.Fatal(err)
		}
	}
}

// small is a comparison that takes no time to speak of.
func small(args ...string) []string {
	return append([]string{"compare", "--rounds", "2", "--bytes", "4MiB", "--for", "50ms", "--connections", "20,30", "--settle", "1ms"}, args...)
}

// The whole bench runs, in small, over every measurement of every implementation.
func TestCompare(t *testing.T) {
	usePrograms(t, "quicgo")
	file := filepath.Join(t.TempDir(), "results.json")
	code, stdout, stderr := command(t, small("--json", file)...)
	if code != perf.ExitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c comparison
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	loads := map[string][]string{
		"boringquic":      {perf.LoadBulk, perf.LoadRequests, perf.LoadHandshakes, perf.LoadDatagrams, perf.LoadIdle},
		"boringquic-core": {perf.LoadBulk, perf.LoadRequests},
		"quic-go":         {perf.LoadBulk, perf.LoadRequests, perf.LoadHandshakes, perf.LoadDatagrams, perf.LoadIdle},
	}
	for _, m := range measurements(sizes{connections: []int{20, 30}}) {
		for p, loads := range loads {
			if !slices.Contains(loads, m.load) {
				continue
			}
			n := 0
			for _, s := range c.Samples {
				if s.Peer == p && s.Measurement == m.name {
					n++
					if s.Count == 0 || s.Seconds <= 0 || s.ServerCPU <= 0 || s.Client.CPUSeconds <= 0 {
						t.Errorf("%s, %s: %+v", p, m.name, s)
					}
				}
			}
			if want := m.roundsOf(2); n != want {
				t.Errorf("%s, %s: %d samples, want %d", p, m.name, n, want)
			}
		}
		if !strings.Contains(stdout, m.title) {
			t.Errorf("no table of %s in\n%s", m.title, stdout)
		}
	}
}

// A program that is not there is named, and the others are measured.
func TestCompareMissing(t *testing.T) {
	usePrograms(t)
	code, stdout, stderr := command(t, small("--only", "requests")...)
	if code != perf.ExitOK || !strings.Contains(stderr, "quic-go is skipped") || !strings.Contains(stdout, "boringquic") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"bulk", "--bytes", "none", "127.0.0.1:1"}, {"bulk", "--streams", "0", "127.0.0.1:1"}, {"bulk", "nowhere"},
		{"requests", "--for", "0s", "127.0.0.1:1"}, {"handshakes", "--parallel", "0", "127.0.0.1:1"},
		{"datagrams", "--size", "0", "127.0.0.1:1"}, {"idle", "--connections", "0", "127.0.0.1:1"},
		{"server", "--listen", "nowhere"}, {"compare", "--only", "nothing"}, {"compare", "--peers", "nobody"},
		{"compare", "--rounds", "0"}, {"peers", "--source", "nowhere"}, {"bulk", "--unknown", "127.0.0.1:1"},
	} {
		code, _, stderr := command(t, args...)
		if code != perf.ExitUsage || !strings.Contains(stderr, "--help") {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
}
