package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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

// usePrograms makes a cache folder in which the programs of some peers are there: each is this one, which has the same commands.
func usePrograms(t *testing.T, names ...string) {
	t.Helper()
	t.Setenv(asProgram, "1")
	t.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector has every process wait a second before it exits
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Concat(peers, httpPeers) {
		if p.build == nil || !slices.Contains(names, p.name) {
			continue
		}
		bin, err := p.program()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(bin); err == nil {
			continue // it is of both
		}
		if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, bin); err != nil {
			t.Fatal(err)
		}
	}
}

// small is a comparison that takes no time to speak of.
func small(args ...string) []string {
	return append([]string{"compare", "--bytes", "1MiB", "--for", "50ms", "--connections", "20,30", "--most", "100", "--settle", "1ms"}, args...)
}

// smallSizes are those of small.
var smallSizes = sizes{1 << 20, 50 * time.Millisecond, []int{20, 30}, 100}

// wantTurns checks that the second of two rounds went backwards.
func wantTurns(t *testing.T, c *comparison) {
	t.Helper()
	var turns [2][]string
	for _, s := range c.Samples {
		if s.Measurement == "requests" {
			turns[s.Round] = append(turns[s.Round], s.Peer)
		}
	}
	slices.Reverse(turns[1])
	if len(turns[0]) < 2 || !slices.Equal(turns[0], turns[1]) {
		t.Errorf("the order of the first round is %v, and that of the second one backwards %v", turns[0], turns[1])
	}
}

// What is held to bars has more and shorter rounds, unless flags say otherwise.
func TestShorterRounds(t *testing.T) {
	for _, test := range []struct {
		o        compareOptions
		rounds   int
		duration time.Duration
	}{
		{compareOptions{usual: true}, 3, 3 * time.Second},
		{compareOptions{usual: true, http3: true}, 9, time.Second},
		{compareOptions{usual: true, capi: true}, 9, time.Second},
		{compareOptions{http3: true}, 3, 3 * time.Second},
	} {
		o := test.o
		o.rounds, o.duration = 3, 3*time.Second
		if o.shorten(); o.rounds != test.rounds || o.duration != test.duration {
			t.Errorf("%+v: %d rounds of %v", test.o, o.rounds, o.duration)
		}
	}
}

// The whole bench runs, in small, over every measurement, and writes what it has found: of ours in both ways, and of two peers
// whose programs are ours too.
func TestCompare(t *testing.T) {
	usePrograms(t, "quic-go", "quinn")
	dir := t.TempDir()
	file, results := filepath.Join(dir, "results.json"), filepath.Join(dir, "RESULTS.md")
	code, stdout, stderr := command(t, small("--rounds", "2", "--json", file, "--results", results)...)
	if code != perf.ExitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	for _, name := range []string{"s2n-quic", "quiche", "msquic", "ngtcp2", "tcp"} {
		if !strings.Contains(stderr, name+" is skipped") {
			t.Errorf("%s is not there, and nobody says so", name)
		}
	}
	c := readComparison(t, file)
	all := []string{perf.LoadBulk, perf.LoadUpload, perf.LoadRequests, perf.LoadHandshakes, perf.LoadResumed, perf.LoadEarly,
		perf.LoadDatagrams, perf.LoadIdle}
	markdown := readFile(t, results)
	for name, loads := range map[string][]string{"boringquic": all, "boringquic-core": all[:3], "quic-go": all, "quinn": all} {
		for _, m := range allMeasurements(smallSizes) {
			want := 0
			if slices.Contains(loads, m.needs) && (m.series == "" || strings.HasPrefix(name, "boringquic")) {
				want = m.roundsOf(2)
			}
			wantSamples(t, c, name, &m, want)
			if !strings.Contains(stdout, m.title) || !strings.Contains(markdown, m.title) {
				t.Errorf("no table of %s", m.title)
			}
		}
	}
	wantTurns(t, c)
	for _, s := range growths(smallSizes) {
		for _, text := range []string{stdout, markdown} {
			if !strings.Contains(text, s.about) || !strings.Contains(text, "boringquic-core, "+s.name+", at worst") {
				t.Errorf("no table of %s", s.title)
			}
		}
	}
	wantChart(t, filepath.Join(dir, "RESULTS.svg"), []string{"boringquic-core", "quinn", "Download: Mbit/s", "Growth: Bytes of a stream", "Growth: Connections"})

	again := filepath.Join(dir, "again.md") // from the file, without measuring
	code, fromFile, stderr := command(t, small("--from", file, "--results", again)...)
	if code != perf.ExitOK || fromFile != stdout {
		t.Errorf("from the file: exit code %d, %s\n%s\nin place of\n%s", code, stderr, fromFile, stdout)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func readComparison(t *testing.T, file string) *comparison {
	t.Helper()
	var c comparison
	if err := json.Unmarshal([]byte(readFile(t, file)), &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

func wantSamples(t *testing.T, c *comparison, peer string, m *measurement, want int) {
	t.Helper()
	n := 0
	for i := range c.Samples {
		s := &c.Samples[i]
		if s.Peer != peer || s.Measurement != m.name {
			continue
		}
		n++
		if s.Count == 0 || s.Seconds <= 0 || s.ServerCPU <= 0 || s.Client.CPUSeconds <= 0 || s.Client.MaxRSS <= 0 {
			t.Errorf("%s, %s: %+v", peer, m.name, s)
		}
		if l := s.Latency; (m.load == perf.LoadRequests || m.load == perf.LoadEarly) && (l == nil || l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max) {
			t.Errorf("%s: latencies %+v", peer, l)
		}
		for _, f := range m.figures {
			if _, ok := f.of(s); !ok {
				t.Errorf("%s, %s: no %s", peer, m.name, f.title)
			}
		}
	}
	if n != want {
		t.Errorf("%s, %s: %d samples, want %d", peer, m.name, n, want)
	}
}

// wantChart asserts that a file is XML with these texts in it.
func wantChart(t *testing.T, file string, texts []string) {
	t.Helper()
	var all []string
	d := xml.NewDecoder(strings.NewReader(readFile(t, file)))
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if data, ok := token.(xml.CharData); ok {
			all = append(all, string(data))
		}
	}
	for _, want := range texts {
		if !slices.Contains(all, want) {
			t.Errorf("the chart has no text %q", want)
		}
	}
}

// What needs more open files than a process may have is not begun.
func TestTooFewFiles(t *testing.T) {
	usePrograms(t, "tcp")
	bin, err := (&peers[slices.IndexFunc(peers, func(p peer) bool { return p.name == "tcp" })]).program()
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho '{\"name\":\"TCP\",\"loads\":[\"idle\"]}'\n"
	if err := errors.Join(os.Remove(bin), os.WriteFile(bin, []byte(script), 0o755)); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := command(t, small("--connections", "2000000000", "--only", "idle-2000000000", "--peers", "tcp")...)
	if code != perf.ExitFailed || !strings.Contains(stderr, "each connection is an open file") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// A table of growth has the first cost as it is, and ratios within a round.
func TestGrowthTable(t *testing.T) {
	all := growths(smallSizes)
	s := &all[1] // streams
	requests := &s.rows[2]
	c := &comparison{Peers: []described{{Peer: "boringquic", Kind: kindOurs}}}
	for round, slow := range []float64{1, 3} {
		for i, cost := range []float64{50, 4} { // one at a time, and 100
			c.Samples = append(c.Samples, sample{Peer: "boringquic", Measurement: requests.points[i].m.name, Round: round,
				ServerCPU: cost * slow, OtherClient: true, Report: perf.Report{Count: 1e6}})
		}
		c.Samples = append(c.Samples, sample{Peer: "boringquic", Measurement: s.rows[0].points[0].m.name, Round: round,
			ServerCPU: slow, OtherClient: true, Report: perf.Report{Count: 1 << 30}})
		c.Samples = append(c.Samples, sample{Peer: "boringquic", Measurement: s.rows[0].points[2].m.name, Round: round,
			ServerCPU: 1.25 * slow, OtherClient: true, Report: perf.Report{Count: 1 << 30}})
	}
	got := c.growthTable(s)
	want := [][]string{
		{"boringquic, download: server CPU s/GiB", "2.000 [1.000 to 3.000]", "-", "×1.25"},
		{"boringquic, requests: server CPU µs each", "×12.50", "-", "8.0 [4.0 to 12.0]"},
	}
	if !slices.Equal(got.head, []string{"", "1", "16", "100"}) || !slices.EqualFunc(got.rows, want, slices.Equal) {
		t.Errorf("%q", got)
	}
	glance := [][]string{{"boringquic, growth-streams, at worst", "×1.25 (download: server CPU s/GiB at 100)", "-", "-", "-"}}
	if rows := c.growthGlance(all); !slices.EqualFunc(rows, glance, slices.Equal) {
		t.Errorf("%q", rows)
	}
}

// An implementation that has a server alone is measured with our client, where no more than a connection is wanted.
func TestOtherClient(t *testing.T) {
	usePrograms(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := bench{payload: perf.DefaultPayload}
	if b.cert, b.key, err = writeCertificate(t.TempDir(), certificateECDSA); err != nil {
		t.Fatal(err)
	}
	serves := []string{perf.LoadHandshakes, perf.LoadResumed}
	a := adapter{peer: peer{name: "server"}, bin: self, about: perf.About{Serves: serves, ALPN: perf.ALPN}}
	for _, m := range measurements(sizes{duration: 50 * time.Millisecond}) {
		if got, want := a.has(&m), slices.Contains(serves, m.load); got != want {
			t.Errorf("%s: has = %v", m.name, got)
		}
		if !slices.Contains(serves, m.load) {
			continue
		}
		s, err := b.measure(t.Context(), &a, &m)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := clientCPU("", 0, 1, 1).of(&s); ok || s.ServerCPU <= 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Handshakes are compared with a certificate of another kind too, and the results say which.
func TestCertificate(t *testing.T) {
	usePrograms(t)
	code, stdout, stderr := command(t, small("--rounds", "1", "--only", "handshakes,resumed", "--peers", "boringquic", "--certificate", "rsa-2048")...)
	if code != perf.ExitOK || !strings.Contains(stdout, "a certificate of RSA with 2,048 bits") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// A server that no longer knows the session is a failure of what wants it resumed, and not a slow result.
func TestNotResumed(t *testing.T) {
	usePrograms(t)
	for load, want := range map[string]string{
		perf.LoadResumed: perf.ErrNotResumed.Error(), perf.LoadEarly: perf.ErrNotEarly.Error(),
	} {
		t.Run(load, func(t *testing.T) {
			addr := "127.0.0.1:0"
			server := startProgram(t, "server", "--tickets", "--listen", addr)
			addr = strings.TrimPrefix(server.line(t), "listening on ")
			client := startProgram(t, load, "--pause", "--for", "50ms", addr)
			if line := client.line(t); line != "ready" {
				t.Fatalf("the client printed %q: %s", line, &client.said)
			}
			_ = server.cmd.Process.Kill()
			_ = server.cmd.Wait()
			again := startProgram(t, "server", "--tickets", "--listen", addr) // with other keys
			again.line(t)
			if _, err := io.WriteString(client.in, "\n"); err != nil {
				t.Fatal(err)
			}
			err := client.cmd.Wait()
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != perf.ExitFailed || !strings.Contains(client.said.String(), want) {
				t.Errorf("%v, and it said: %s", err, &client.said)
			}
		})
	}
}

// program is a process of the command.
type program struct {
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Reader
	said bytes.Buffer // on standard error
}

// startProgram starts a process that ends with the test at the latest. usePrograms comes before.
func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.CommandContext(t.Context(), self, args...)}
	p.cmd.Stderr = &p.said
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be over
		_ = p.cmd.Wait()
	})
	return p
}

// line reads a line of what it prints.
func (p *program) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, &p.said)
	}
	return strings.TrimSpace(line)
}

// A program that breaks is told of, with what it said, and the others are measured.
func TestCompareFailure(t *testing.T) {
	usePrograms(t)
	bin, err := (&peers[slices.IndexFunc(peers, func(p peer) bool { return p.name == "tcp" })]).program()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
case $1 in
about) echo '{"name":"broken","loads":["requests"]}' ;;
*) echo 'this one is broken' >&2; exit 1 ;;
esac
`
	if err := os.WriteFile(bin, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command(t, small("--rounds", "1", "--only", "requests", "--peers", "boringquic,tcp")...)
	if code != perf.ExitFailed || !strings.Contains(stderr, "this one is broken") || !strings.Contains(stdout, "server CPU µs each") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// Where results cannot be written that is said before anything is measured, and what was found out is printed though writing fails at last.
func TestCompareUnwritable(t *testing.T) {
	usePrograms(t)
	dir := t.TempDir()
	for _, flag := range []string{"--json", "--results"} {
		for _, file := range []string{filepath.Join(dir, "no", "such", "folder"), dir} {
			code, stdout, stderr := command(t, small("--only", "requests", "--peers", "boringquic", flag, file)...)
			told := strings.Contains(stderr, "the results cannot be written: ") && strings.Contains(stderr, " "+file+": ")
			if code != perf.ExitFailed || stdout != "" || !told || strings.Contains(stderr, "round") {
				t.Errorf("%s %s: exit code %d\n%s\n%s", flag, file, code, stdout, stderr)
			}
		}
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	code, stdout, stderr := command(t, small("--rounds", "1", "--only", "requests", "--peers", "boringquic", "--json", "/dev/full")...)
	if code != perf.ExitFailed || !strings.Contains(stdout, "server CPU µs each") || !strings.Contains(stderr, "write /dev/full: ") {
		t.Errorf("disk full: exit code %d\n%s\n%s", code, stdout, stderr)
	}
	code, stdout, stderr = command(t, small("--only", "requests", "--peers", "boringquic", "--results", "/dev/full")...)
	if code != perf.ExitFailed || stdout != "" || !strings.Contains(stderr, "the results cannot be written: read /dev/full: it is no file") {
		t.Errorf("results to a device: exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// Where there is nothing to measure, for want of a program or of measurements that go together, that is an error, and results of earlier stay.
func TestCompareNothing(t *testing.T) {
	usePrograms(t)
	dir := t.TempDir()
	results, none := filepath.Join(dir, "results.md"), filepath.Join(dir, "none.json")
	for file, text := range map[string]string{results: "of earlier", none: "null"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for want, args := range map[string][]string{
		"quinn is skipped": {"--peers", "quinn"}, "nothing was measured": {"--only", "h3-idle", "--peers", "raw"}, "none of": {"--from", none},
		"holds nothing that --json has written": {"--from", results},
	} {
		code, stdout, stderr := command(t, small(append(args, "--results", results, "--json", filepath.Join(dir, "new.json"))...)...)
		if code != perf.ExitFailed || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d\n%s\n%s", args, code, stdout, stderr)
		}
	}
	if text, err := os.ReadFile(results); string(text) != "of earlier" || err != nil {
		t.Errorf("the results are %q now, %v", text, err)
	}
	if left, err := os.ReadDir(dir); len(left) != 2 || err != nil {
		t.Errorf("there are %v, %v", left, err)
	}
}

// Each command of the client drives each of our servers, and says what it cost.
func TestCommands(t *testing.T) {
	for _, test := range []struct {
		server, client []string
		want           []string // in what is printed
	}{
		{[]string{"server"}, []string{"bulk", "--bytes", "4MiB"}, []string{"4.0 MiB in", "server: ", "CPU seconds per GiB"}},
		{[]string{"server"}, []string{"bulk", "--bytes", "4MiB", "--upload", "--streams", "3", "--connections", "2"}, []string{"4.0 MiB in"}},
		{[]string{"server"}, []string{"core", "bulk", "--bytes", "4MiB", "--streams", "3", "--connections", "2"}, []string{"4.0 MiB in"}},
		{[]string{"core", "server"}, []string{"bulk", "--bytes", "4MiB", "--upload"}, []string{"4.0 MiB in", "server: does not tell"}},
		{[]string{"server", "--shards", "2"}, []string{"bulk", "--bytes", "1MiB", "--repeat", "3", "--streams", "2"}, []string{"3.0 MiB in"}},
		{[]string{"server"}, []string{"core", "bulk", "--bytes", "1MiB", "--repeat", "3", "--upload"}, []string{"3.0 MiB in"}},
		{[]string{"server"}, []string{"requests", "--for", "50ms", "--beside", "20"}, []string{"requests in"}},
		{[]string{"core", "server"}, []string{"core", "requests", "--for", "50ms", "--beside", "20"}, []string{"requests in"}},
		{[]string{"server"}, []string{"idle", "--connections", "20", "--beside", "20"}, []string{"20 connections made"}},
		{[]string{"core", "server"}, []string{"requests", "--for", "50ms"}, []string{"requests in", "latency: median"}},
		{[]string{"server"}, []string{"core", "requests", "--for", "50ms", "--parallel", "12000"}, []string{"requests in", "latency: median"}},
		{[]string{"core", "server"}, []string{"handshakes", "--for", "50ms"}, []string{"handshakes in", "CPU µs each"}},
		{[]string{"server", "--tickets"}, []string{"resumed", "--for", "50ms"}, []string{"resumed handshakes in", "CPU µs each"}},
		{[]string{"server", "--tickets"}, []string{"early", "--for", "50ms"}, []string{"requests in 0-RTT in", "latency: median"}},
		{[]string{"server"}, []string{"datagrams", "--for", "50ms"}, []string{"datagrams sent and"}},
		{[]string{"server"}, []string{"idle", "--connections", "20"}, []string{"20 connections made"}},
		{[]string{"h3", "server", "--shards", "2"}, []string{"h3", "requests", "--for", "50ms"}, []string{"requests in", "latency: median", "server: "}},
		{[]string{"h3", "server"}, []string{"h3", "core", "requests", "--for", "50ms", "--up", "3000", "--down", "300000"}, []string{"requests in", "CPU µs each"}},
		{[]string{"h3", "core", "server"}, []string{"h3", "requests", "--for", "50ms", "--up", "300000", "--down", "3000", "--parallel", "150"}, []string{"requests in"}},
		{[]string{"h3", "core", "server"}, []string{"h3", "core", "requests", "--for", "50ms", "--parallel", "12000"}, []string{"requests in", "latency: median", "server: "}},
		{[]string{"h3", "server"}, []string{"h3", "core", "bulk", "--bytes", "4MiB", "--connections", "2", "--streams", "3"}, []string{"4.0 MiB in", "CPU seconds per GiB"}},
		{[]string{"h3", "core", "server"}, []string{"h3", "core", "bulk", "--bytes", "4MiB", "--upload", "--repeat", "2"}, []string{"8.0 MiB in"}},
		{[]string{"h3", "core", "server"}, []string{"h3", "bulk", "--bytes", "4MiB", "--streams", "3"}, []string{"4.0 MiB in"}},
		{[]string{"h3", "server"}, []string{"h3", "bulk", "--bytes", "4MiB", "--upload"}, []string{"4.0 MiB in"}},
		{[]string{"h3", "server"}, []string{"h3", "idle", "--connections", "20", "--beside", "20"}, []string{"20 connections made"}},
		{[]string{"h3", "raw", "server"}, []string{"h3", "raw", "requests", "--for", "50ms"}, []string{"requests in"}},
		{[]string{"h3", "raw", "server"}, []string{"h3", "raw", "core", "requests", "--for", "50ms"}, []string{"requests in"}},
		{[]string{"h3", "raw", "core", "server"}, []string{"h3", "raw", "bulk", "--bytes", "1MiB"}, []string{"1.0 MiB in", "server: does not tell"}},
	} {
		t.Run(strings.Join(test.client, " "), func(t *testing.T) {
			addr := startServer(t, test.server...)
			code, stdout, stderr := command(t, append(test.client, addr)...)
			if code != perf.ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			for _, want := range append(test.want, "client: ") {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is not in\n%s", want, stdout)
				}
			}
		})
	}
}

// startServer runs a server until the test ends, and returns its address.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan int, 1)
	var said bytes.Buffer
	go func() {
		done <- run(ctx, append(args, "--listen", "127.0.0.1:0"), in, &said)
		in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != perf.ExitOK {
			t.Errorf("the server's exit code is %d: %s", code, &said)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}

// The median of an even number of values is between the two in the middle.
func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3}, spread{3, 3, 3}}, {[]float64{4, 1}, spread{2.5, 1, 4}}, {[]float64{9, 1, 2}, spread{2, 1, 9}},
	} {
		if got, ok := spreadOf(test.values); !ok || got != test.want {
			t.Errorf("spreadOf(%v) = %v, %v", test.values, got, ok)
		}
	}
	if _, ok := spreadOf(nil); ok {
		t.Error("a spread of nothing")
	}
}

// Ratios are those of one round, so that a machine that is slower in one round than in another does not disturb them.
func TestRatio(t *testing.T) {
	m := measurements(sizes{connections: []int{2}})
	idle := &m[len(m)-1]
	c := &comparison{Peers: []described{{Peer: "boringquic", Kind: kindOurs}, {Peer: "quic-go", Kind: kindOther}, {Peer: "quinn", Kind: kindOther}, {Peer: "tcp", Kind: kindTCP}}}
	add := func(peer string, round int, kib int64) {
		c.Samples = append(c.Samples, sample{Peer: peer, Measurement: idle.name, Round: round, ServerRSS: kib << 10, Report: perf.Report{Count: 1}})
	}
	for round, slow := range []int64{1, 10, 2} {
		add("boringquic", round, 10*slow)
		add("quic-go", round, 40*slow)
		add("quinn", round, 20*slow)
	}
	add("tcp", 0, 5)
	f := &idle.figures[0]
	if got, ok := c.ratio("boringquic", "quic-go", idle, f); !ok || got != (spread{0.25, 0.25, 0.25}) {
		t.Errorf("ratio %v, %v", got, ok)
	}
	if got := c.best(idle, f); got != "quinn" {
		t.Errorf("the best is %q", got)
	}
	want := []string{"boringquic, idle-2: server KiB per connection", "20.0 [10.0 to 100.0]", "×0.25", "×0.50 (quinn)", "×2.00"}
	if rows := c.glance(m, nil).rows; len(rows) != 1 || !slices.Equal(rows[0], want) {
		t.Errorf("%q, want %q", rows, want)
	}
}

// A program of ours is linked with what a compiler of C has made.
func TestCompilers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got := compilersOf(self); runtime.GOOS == "linux" && !regexp.MustCompile(`^(clang|gcc) \d+\.`).MatchString(got) {
		t.Errorf("%q", got)
	}
	for _, file := range []string{"nowhere", "main_test.go"} {
		if got := compilersOf(file); got != "" {
			t.Errorf("%s: %q", file, got)
		}
	}
}

// full takes no byte, like a disk that is full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// What cannot be printed is an error.
func TestOutputFull(t *testing.T) {
	addr := startServer(t, "server")
	for _, args := range [][]string{{"about"}, {"--help"}, {"bulk", "--bytes", "1KiB", addr}, {"requests", "--for", "10ms", "--json", addr}} {
		var errs bytes.Buffer
		if code := run(t.Context(), args, full{}, &errs); code != perf.ExitFailed || !strings.Contains(errs.String(), syscall.ENOSPC.Error()) {
			t.Errorf("%v: exit code %d, %q", args, code, &errs)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"bulk", "--bytes", "none", "127.0.0.1:1"}, {"bulk", "--streams", "0", "127.0.0.1:1"}, {"bulk", "nowhere"},
		{"requests", "--for", "0s", "127.0.0.1:1"}, {"handshakes", "--parallel", "0", "127.0.0.1:1"},
		{"datagrams", "--size", "0", "127.0.0.1:1"}, {"idle", "--connections", "0", "127.0.0.1:1"},
		{"bulk", "--repeat", "0", "127.0.0.1:1"}, {"requests", "--beside", "-1", "127.0.0.1:1"}, {"idle", "--beside", "-1", "127.0.0.1:1"},
		{"compare", "--most", "5"}, {"compare", "--connections", "1"}, {"compare", "--bytes", "1KiB"},
		{"h3", "requests", "--for", "0s", "127.0.0.1:1"}, {"h3", "core", "bulk", "nowhere"}, {"compare", "--only", "h3-requests,requests"}, {"compare", "--http3", "--peers", "s2n-quic"},
		{"server", "--listen", "nowhere"}, {"compare", "--only", "nothing"}, {"compare", "--peers", "nobody"},
		{"compare", "--rounds", "0"}, {"compare", "--certificate", "dsa"}, {"peers", "--source", "nowhere"}, {"peers", "nobody"}, {"bulk", "--unknown", "127.0.0.1:1"},
		{"bulk", "--bytes", "4EiB", "--streams", "4000000000000000000", "127.0.0.1:1"},
		{"bulk", "--streams", "2000", "--connections", "2000", "127.0.0.1:1"}, {"requests", "--parallel", "9223372036854775807", "127.0.0.1:1"},
		{"requests", "--parallel", "2000", "--connections", "2000", "127.0.0.1:1"}, {"requests", "--beside", "9223372036854775807", "127.0.0.1:1"},
		{"handshakes", "--parallel", "2000000", "127.0.0.1:1"}, {"resumed", "--parallel", "2000000", "127.0.0.1:1"},
		{"early", "--parallel", "2000000", "127.0.0.1:1"}, {"datagrams", "--size", "65536", "127.0.0.1:1"},
		{"idle", "--connections", "9223372036854775807", "127.0.0.1:1"}, {"idle", "--beside", "2000000", "127.0.0.1:1"},
		{"compare", "--peers", ""}, {"compare", "--results", ""}, {"bulk", "--ca", "", "127.0.0.1:1"},
		{"nothing"}, {"h3", "nothing"}, {"h3", "core", "nothing"}, {"requests"}, {"bulk", "127.0.0.1:1", "127.0.0.1:2"}, {"about", "x"}, {"compare", "x"},
	} {
		code, _, stderr := command(t, args...)
		if code != perf.ExitUsage || !strings.Contains(stderr, "--help") {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
}
