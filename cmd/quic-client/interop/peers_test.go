package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// files are what every peer has to move, by name and size in bytes: empty, less than a packet, a few packets, and more than
// the first flow-control windows.
var files = map[string]int{"empty": 0, "small": 100, "medium": 20_000, "large": 5 << 20}

// limit is how long one command may take; a peer that hangs fails its test rather than the whole run.
const limit = 60 * time.Second

// webRoot writes the files into a folder and returns it.
func webRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range files {
		var seed [32]byte
		copy(seed[:], name)
		data := make([]byte, size)
		rand.NewChaCha8(seed).Read(data)
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wantSame compares every file of two folders.
func wantSame(t *testing.T, got, want string) {
	t.Helper()
	for name := range files {
		g, err := os.ReadFile(filepath.Join(got, name))
		if err != nil {
			t.Errorf("%s did not arrive: %v", name, err)
			continue
		}
		w, err := os.ReadFile(filepath.Join(want, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(g, w) {
			t.Errorf("%s: %d bytes with SHA-256 %x arrived, want %d with %x", name, len(g), sha256.Sum256(g),
				len(w), sha256.Sum256(w))
		}
	}
}

// urls names every file at a server.
func urls(addr string) (all []string) {
	for name := range files {
		all = append(all, "https://"+addr+"/"+name)
	}
	return all
}

// build compiles one of the module's commands and returns the program's path.
func build(t *testing.T, command string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), command)
	out, err := exec.Command("go", "build", "-C", "../../..", "-o", bin, "./cmd/"+command).CombinedOutput()
	if err != nil {
		t.Fatalf("go build %s: %v\n%s", command, err, out)
	}
	return bin
}

// runOK runs a program to its end and fails the test if it fails or hangs.
func runOK(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, tail(out))
	}
}

// start runs a program until the test ends and shows what it printed if the test failed.
func start(t *testing.T, name string, args ...string) *output {
	t.Helper()
	return startCommand(t, exec.Command(name, args...))
}

// startCommand is start for a command that has been made. It ends with its children.
func startCommand(t *testing.T, cmd *exec.Cmd) *output {
	t.Helper()
	out := &output{lines: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = out, out
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killGroup(cmd)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), tail(out.all.Bytes()))
		}
	})
	return out
}

// output keeps what a program prints and hands on its first line, which says where a server listens. Only os/exec's
// one copying goroutine writes, and all is read after Wait.
type output struct {
	all   bytes.Buffer
	told  bool
	lines chan string
}

func (o *output) Write(p []byte) (int, error) {
	o.all.Write(p)
	if line, _, ok := bytes.Cut(o.all.Bytes(), []byte("\n")); ok && !o.told {
		o.told = true
		o.lines <- string(line)
	}
	return len(p), nil
}

// firstLine waits for the program's first line.
func (o *output) firstLine(t *testing.T) string {
	t.Helper()
	select {
	case line := <-o.lines:
		return line
	case <-time.After(limit):
		t.Fatal("the server did not say that it listens")
		return ""
	}
}

// startOurs starts quic-server on a free port and returns its address.
func startOurs(t *testing.T, root string, flags ...string) string {
	t.Helper()
	line := start(t, build(t, "quic-server"),
		append([]string{"--listen", "127.0.0.1:0", "--root", root, "--verbose"}, flags...)...).firstLine(t)
	_, rest, ok := strings.Cut(line, "listening on ")
	addr, _, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		t.Fatalf("quic-server's first line is %q", line)
	}
	return addr
}

// fetchWithOurs downloads every file from a server with quic-client and compares.
func fetchWithOurs(t *testing.T, addr, root string) {
	t.Helper()
	got := t.TempDir()
	runOK(t, build(t, "quic-client"), append([]string{"--protocol", "hq-interop", "--insecure", "--dir", got}, urls(addr)...)...)
	wantSame(t, got, root)
}

// tail shortens a long print-out to its end.
func tail(b []byte) string {
	const most = 6 << 10
	if len(b) > most {
		return fmt.Sprintf("(… %d bytes before)\n%s", len(b)-most, b[len(b)-most:])
	}
	return string(b)
}

// ownGroup has a program be the first of a group of processes, which killGroup ends: some, such as browsers, are many.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
