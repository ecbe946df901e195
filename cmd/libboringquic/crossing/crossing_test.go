package crossing

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
)

// Where the rest of our source tree is.
const (
	root  = "../../.."
	peers = root + "/cmd/quic-perf/peers"
)

// library is what a program can be linked to.
type library struct {
	name  string
	flags func(t *testing.T) []string // for the C compiler, behind the source
}

var (
	ours   = library{"ours", oursFlags}
	theirs = library{"quiche", theirsFlags}
)

// pairs are who a client can be linked to, and who its server.
var pairs = []struct{ client, server library }{{ours, theirs}, {theirs, ours}, {theirs, theirs}, {ours, ours}}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &errs)
	}
	return string(out)
}

// built are things that are made once for all tests.
var built struct {
	ours, theirs, crate sync.Once
	dir                 string // of our library
	archive, source     string // quiche with its BoringSSL, and its crate
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

func oursFlags(t *testing.T) []string {
	t.Helper()
	built.ours.Do(func() {
		var err error
		if built.dir, err = os.MkdirTemp("", "crossing"); err != nil {
			t.Fatal(err)
		}
		command(t, "bash", root+"/build.sh", "lib", "--prefix", built.dir)
	})
	cmd := exec.Command("pkg-config", "--cflags", "--libs", "quiche")
	cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+filepath.Join(built.dir, "lib/boringquic-quiche"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pkg-config: %v", err)
	}
	return append(strings.Fields(string(out)), "-Wl,-rpath,"+filepath.Join(built.dir, "lib"))
}

// manifest is of the crate that is quiche as an archive for C programs.
const manifest = peers + "/quiche-c/Cargo.toml"

func theirsFlags(t *testing.T) []string {
	t.Helper()
	built.theirs.Do(func() {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(cache, "boringquic", "peers", "cargo", "quiche-c")
		command(t, "cargo", "build", "--quiet", "--release", "--manifest-path", manifest, "--target-dir", target)
		built.archive = filepath.Join(target, "release", "libquiche_c.a")
	})
	return []string{"-I" + filepath.Join(crate(t), "include"), built.archive, "-lstdc++", "-lpthread", "-ldl", "-lm"}
}

// crate returns the folder of quiche's crate, with its header and its examples.
func crate(t *testing.T) string {
	t.Helper()
	built.crate.Do(func() {
		var found struct {
			Packages []struct {
				Name         string
				ManifestPath string `json:"manifest_path"`
			}
		}
		if err := json.Unmarshal([]byte(command(t, "cargo", "metadata", "--quiet", "--format-version", "1", "--manifest-path", manifest)), &found); err != nil {
			t.Fatal(err)
		}
		for _, p := range found.Packages {
			if p.Name == "quiche" {
				built.source = filepath.Dir(p.ManifestPath)
			}
		}
	})
	return built.source
}

// compile makes a program once for each library.
func compile(t *testing.T, source string, flags ...string) map[string]string {
	t.Helper()
	exes, dir := map[string]string{}, t.TempDir()
	for _, l := range []library{ours, theirs} {
		exes[l.name] = compileWith(t, l, dir, source, flags...)
	}
	return exes
}

// compileWith makes a program of one library in a folder, and returns where it is.
func compileWith(t *testing.T, l library, dir, source string, flags ...string) string {
	t.Helper()
	exe := filepath.Join(dir, strings.TrimSuffix(filepath.Base(source), ".c")+"-"+l.name)
	command(t, "cc", append(append([]string{"-g", "-O1", "-Wall", "-Werror", "-o", exe, source}, l.flags(t)...), flags...)...)
	return exe
}

// certificate writes a certificate for localhost and its key as cert.crt and cert.key, where quiche's examples look, and returns the folder.
func certificate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
		"-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", filepath.Join(dir, "cert.key"), "-out", filepath.Join(dir, "cert.crt"))
	return dir
}

// run runs a client, which has to end well before limit, and returns what it prints.
func run(t *testing.T, limit time.Duration, exe string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(exe), strings.Join(args, " "), errors.Join(err, ctx.Err()), &out, &errs)
	}
	return out.String()
}

// serve starts a server in a folder, and stops it when the test is over. If it says where it listens, that is returned.
func serve(t *testing.T, dir string, says bool, exe string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Dir = dir
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		var ended *exec.ExitError
		if err := cmd.Wait(); err == nil || errors.As(err, &ended) && ended.Exited() {
			t.Errorf("%s ended before its client: %v", filepath.Base(exe), err)
		}
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(exe), &log)
		}
	})
	line := ""
	if says {
		if line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%s says nothing: %v", filepath.Base(exe), err)
		}
		go func() { _, _ = io.Copy(io.Discard, out) }()
	}
	return strings.TrimSpace(line)
}

// quiche's own examples speak with each other, whichever library either is linked to. Their servers answer with Retry first. With our library they are as
// quiche has them; with quiche testdata/timer.h keeps them from hanging on a busy machine.
func TestExamples(t *testing.T) {
	for _, of := range []string{"", "http3-"} {
		dir := t.TempDir()
		clients, servers := map[string]string{}, map[string]string{} // by library
		for _, l := range []library{ours, theirs} {
			flags := []string{"-pedantic", "-lev", "-lm"}
			if l.name == theirs.name {
				flags = append(flags, "-include", "testdata/timer.h")
			}
			clients[l.name] = compileWith(t, l, dir, filepath.Join(crate(t), "examples", of+"client.c"), flags...)
			servers[l.name] = compileWith(t, l, dir, filepath.Join(crate(t), "examples", of+"server.c"), flags...)
		}
		for _, p := range pairs {
			client, server := clients[p.client.name], servers[p.server.name]
			t.Run(of+"client/"+p.client.name+" to "+p.server.name, func(t *testing.T) {
				port := strconv.Itoa(freeport.Take(t))
				serve(t, certificate(t), false, server, "127.0.0.1", port)
				// A client that is too early sends again. It ends when its connection has: after the draining time, not the idle timeout of 5 s.
				began := time.Now()
				if got := run(t, 2*time.Minute, client, "127.0.0.1", port); got != "byez\n" {
					t.Errorf("the client got %q", got)
				}
				t.Logf("it took %v", time.Since(began))
			})
		}
	}
}

// testdata/talk.c is a client and a server of ours: what a client finds is the same with each pair.
func TestTalk(t *testing.T) {
	exes := compile(t, "testdata/talk.c")
	for _, scenario := range []string{"streams", "reset", "datagrams", "closed", "early", "retry", "migrate"} {
		for _, p := range pairs {
			t.Run(scenario+"/"+p.client.name+" to "+p.server.name, func(t *testing.T) {
				dir := certificate(t)
				port := serve(t, dir, true, exes[p.server.name], "server", scenario, "cert.crt", "cert.key")
				run(t, 2*time.Minute, exes[p.client.name], scenario, port, filepath.Join(dir, "cert.crt"))
			})
		}
	}
}

// The measurement of the C API builds its programs, runs all of them, and finds no fault: each client counts the bytes that it gets.
func TestCost(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "quic-perf")
	command(t, "go", "build", "-C", root, "-o", exe, "./cmd/quic-perf")
	command(t, exe, "peers", "--source", peers, "c", "c-names", "h3-quiche")
	out := command(t, exe, "compare", "--capi", "--rounds", "1", "--bytes", "8MiB", "--most", "100", "--for", "100ms")
	if n := strings.Count(out, "reached") + strings.Count(out, "missed"); n != 18 {
		t.Errorf("there are %d bars:\n%s", n, out)
	}
}
