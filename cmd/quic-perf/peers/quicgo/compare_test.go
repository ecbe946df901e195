package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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

type sample struct {
	Peer, Measurement string
	RSS               int64 `json:"server_rss_bytes"`
	Client            struct {
		RSS int64 `json:"max_rss_bytes"`
	}
}

// compare builds quic-perf and the peers that are quickly built, and has it compare.
func compare(t *testing.T, args ...string) []sample {
	t.Helper()
	dir := t.TempDir()
	bin, results := filepath.Join(dir, "quic-perf"), filepath.Join(dir, "results.json")
	run(t, dir, "go", "build", "-o", bin, "./cmd/quic-perf")
	run(t, dir, bin, "peers", "quic-go", "ngtcp2", "tcp")
	run(t, dir, bin, append([]string{"compare", "--rounds", "1", "--json", results}, args...)...)
	data, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ Samples []sample }
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c.Samples
}

// A short comparison measures each peer in all that it can do.
func TestPeers(t *testing.T) {
	measured := make(map[string]int)
	for _, s := range compare(t, "--bytes", "8MiB", "--for", "200ms", "--connections", "100", "--settle", "1ms",
		"--most", "100", "--growth", "quic-go,tcp,ngtcp2", "--peers", "boringquic,boringquic-core,quic-go,ngtcp2,tcp") {
		measured[s.Peer]++
	}
	const bulk, requests, handshakes, resumed, early, datagrams, idle = 4, 1, 1, 1, 1, 1, 1
	const growth = 2*5 + 2*3 + 2 + 2*3 + 2 + 2 // of bytes; of streams, in bulk and requests; of connections, in both and in being made
	for peer, want := range map[string]int{
		"boringquic": 2*bulk + requests + handshakes + resumed + early + datagrams + idle, "boringquic-core": 2*bulk + requests,
		"quic-go": 2*bulk + requests + handshakes + resumed + early + datagrams + idle + growth, "ngtcp2": bulk + handshakes + resumed + idle,
		"tcp": 2*bulk + requests + handshakes + resumed + idle + growth,
	} {
		if measured[peer] != want {
			t.Errorf("%s: %d samples, want %d", peer, measured[peer], want)
		}
	}
}

// 1 GiB each way moves in less than 64 MiB of memory.
func TestMemory(t *testing.T) {
	for _, s := range compare(t, "--bytes", "1GiB", "--only", "down-1x1,up-1x1", "--peers", "boringquic") {
		if most := int64(64 << 20); s.Client.RSS == 0 || s.Client.RSS > most || s.RSS > most {
			t.Errorf("%s: resident sets of %d and %d bytes, want at most %d", s.Measurement, s.Client.RSS, s.RSS, most)
		}
	}
}

// The same over HTTP/3, where our client loads the servers that have none.
func TestHTTP3Peers(t *testing.T) {
	measured := make(map[string]int)
	for _, s := range compare(t, "--http3", "--bytes", "8MiB", "--for", "200ms", "--connections", "100", "--settle", "1ms",
		"--peers", "http3,h3-core,raw,raw-core,quic-go,ngtcp2,tcp") {
		measured[s.Peer]++
	}
	const requests, fetch, down, up, idle = 1, 1, 1, 1, 1
	for peer, want := range map[string]int{
		"http3": requests + fetch + down + up + idle, "h3-core": requests + down + up + idle, "raw": requests + down + up, "raw-core": requests + down + up,
		"quic-go": requests + fetch + down + up + idle, "ngtcp2": requests + down + idle, "tcp": requests + fetch + down + up + idle,
	} {
		if measured[peer] != want {
			t.Errorf("%s: %d samples, want %d", peer, measured[peer], want)
		}
	}
}
