package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// built are the examples, made by their Makefile and by their CMakeLists.txt, once for all tests.
var built struct {
	sync.Once
	made, cmade string
	fail        string
}

// examples returns the folders that the programs of examples/c are in: those of their Makefile and those of CMake.
func examples(t *testing.T) (made, cmade string) {
	t.Helper()
	to := prefix(t)
	built.Do(func() {
		built.made, built.cmade = filepath.Join(to, "examples-made"), filepath.Join(to, "examples-cmade")
		source := "../../examples/c"
		if err := os.CopyFS(built.made, os.DirFS(source)); err != nil {
			built.fail = err.Error()
			return
		}
		for _, args := range [][]string{
			{"make", "-C", built.made, "CFLAGS=-Werror"},
			{"cmake", "-S", source, "-B", built.cmade, "-DCMAKE_PREFIX_PATH=" + to, "-DCMAKE_C_FLAGS=-Werror"},
			{"cmake", "--build", built.cmade},
		} {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+filepath.Join(to, "lib/pkgconfig")+":"+filepath.Join(to, "lib/boringquic-quiche"))
			if out, err := cmd.CombinedOutput(); err != nil {
				built.fail = fmt.Sprintf("%q: %v\n%s", args, err, out)
				return
			}
		}
	})
	if built.fail != "" {
		t.Fatal(built.fail)
	}
	return built.made, built.cmade
}

// serving starts a server, and returns the port that it prints: the first number in its first line, behind the last colon if there is one. It has to
// end well when it gets a signal, or, where that is nil, when its input ends.
func serving(t *testing.T, end os.Signal, exe string, args ...string) (port string) {
	t.Helper()
	server := exec.Command(exe, args...)
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if end != nil {
			_ = server.Process.Signal(end)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(exe), err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	line = line[strings.LastIndexByte(line, ':')+1:]
	port, _, _ = strings.Cut(strings.TrimSpace(line), ",")
	return port
}

// A program whose arguments are no good says so, and how it is used or what is missing, and ends with 2 or 1.
func TestExampleArguments(t *testing.T) {
	made, _ := examples(t)
	files := certificate(t)
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"get"}, 2, "usage: get "}, {[]string{"get", "localhost", "1", "/", files[0]}, 2, "usage: get "},
		{[]string{"get", "127.0.0.1", "1", "/", none}, 1, "none"},
		{[]string{"quiche_get"}, 2, "usage: quiche_get "}, {[]string{"quiche_get", "::", "1", "/", files[0]}, 2, "usage: quiche_get "},
		{[]string{"quiche_get", "127.0.0.1", "1", "/", none}, 1, "none"},
		{[]string{"loop_get", "localhost", "1", "/"}, 2, "usage: loop_get "}, {[]string{"loop_get", "localhost", "1", "/", none, "0"}, 2, "[SECONDS]"},
		{[]string{"loop_get", "localhost", "1", "/", none}, 1, "none"},
		{[]string{"serve", "127.0.0.1"}, 2, "usage: serve "}, {[]string{"serve", "127.0.0.1", "0", none, files[1]}, 1, "none"},
		{[]string{"quiche_serve"}, 2, "usage: quiche_serve "}, {[]string{"quiche_serve", "127.0.0.1", "0", files[0], none, "."}, 1, "none"},
		{[]string{"loop_echo"}, 2, "usage: loop_echo "}, {[]string{"loop_echo", "127.0.0.1:0", none, files[1]}, 1, "none"},
	} {
		cmd := exec.Command(filepath.Join(made, c.args[0]), c.args[1:]...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != c.code || out.Len() > 0 || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%q ends with %d: %q and %q; want %d and %q", c.args, got, &out, &errs, c.code, c.says)
		}
	}
}

// Each client fetches from each server: those of examples/c in both of their builds, by the native functions, by quiche's names and by the event
// loop; and quic-server and quic-client.
func TestExamplesCrossed(t *testing.T) {
	made, cmade := examples(t)
	files := certificate(t)
	tools, root := t.TempDir(), t.TempDir()
	if out, err := exec.Command("go", "build", "-o", tools, "../quic-server", "../quic-client").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	want := map[string][]byte{}
	for _, n := range []int{0, 1, 70000, 5 << 20} {
		name := fmt.Sprint(n)
		want[name] = make([]byte, n)
		_, _ = rand.Read(want[name])
		if err := os.WriteFile(filepath.Join(root, name), want[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, server := range []struct {
		name, exe string
		args      []string
		zeros     bool // it has no files: /N is N zeros
	}{
		{"serve", filepath.Join(made, "serve"), []string{"127.0.0.1", "0", files[0], files[1]}, true},
		{"quiche_serve", filepath.Join(made, "quiche_serve"), []string{"127.0.0.1", "0", files[0], files[1], root}, false},
		{"quic-server", filepath.Join(tools, "quic-server"), []string{"--listen", "127.0.0.1:0", "--no-tcp", "--cert", files[0], "--key", files[1], "--root", root}, false},
	} {
		t.Run(server.name, func(t *testing.T) {
			port := serving(t, syscall.SIGTERM, server.exe, server.args...)
			for name, content := range want {
				if server.zeros {
					content = make([]byte, len(content))
				}
				for _, client := range [][]string{
					{filepath.Join(made, "get"), "127.0.0.1", port, "/" + name, files[0]},
					{filepath.Join(made, "quiche_get"), "127.0.0.1", port, "/" + name, files[0]},
					{filepath.Join(cmade, "quiche_get"), "127.0.0.1", port, "/" + name, files[0]},
					{filepath.Join(made, "loop_get"), "localhost", port, "/" + name, files[0]},
					{filepath.Join(cmade, "loop_get"), "localhost", port, "/" + name, files[0]},
					{filepath.Join(tools, "quic-client"), "--ca", files[0], "-o", "-", "https://localhost:" + port + "/" + name},
				} {
					if got := run(t, client[0], client[1:]...); got != string(content) {
						t.Errorf("%s got %d bytes of %s, which are not the %d that there are", filepath.Base(client[0]), len(got), name, len(content))
					}
				}
			}
			if server.zeros {
				return
			}
			// What is not there, and what is not below the folder, is told as such.
			for _, path := range []string{"/nothing", "/../" + filepath.Base(root) + "/1"} {
				if out, err := exec.Command(filepath.Join(made, "quiche_get"), "127.0.0.1", port, path, files[0]).CombinedOutput(); err == nil ||
					!bytes.Contains(out, []byte("status 4")) && !bytes.Contains(out, []byte("status 3")) {
					t.Errorf("%s: %v, %s", path, err, out)
				}
			}
		})
	}
}

// Where the library lies in a folder with a space in its name, the examples' Makefile and what the README says find it; the README's program is C of
// any standard since 1999, and the headers can be included, and linked, by C++ of any since 2011.
func TestSpaces(t *testing.T) {
	to := filepath.Join(t.TempDir(), "a folder")
	if err := os.CopyFS(to, os.DirFS(prefix(t))); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(to, "our examples")
	if err := os.CopyFS(source, os.DirFS("../../examples/c")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PKG_CONFIG_PATH", filepath.Join(to, "lib/pkgconfig")+":"+filepath.Join(to, "lib/boringquic-quiche"))
	if out, err := exec.Command("make", "-C", source, "CFLAGS=-Werror", "serve", "quiche_get").CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	files := certificate(t)
	port := serving(t, syscall.SIGTERM, filepath.Join(source, "serve"), "127.0.0.1", "0", files[0], files[1])
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```c\n")
	program, _, _ := strings.Cut(rest, "```\n")
	plus := `#include <boringquic.h>
#include <quiche.h>
#include <cstring>
int main() {
  bquic_config *config = bquic_config_new();
  return config == nullptr || bquic_config_free(config) != BQUIC_OK || std::strcmp(quiche_version(), "0.30.0") != 0;
}
`
	for _, c := range []struct{ compiler, std, name, text string }{
		{"cc", "c99", "get.c", program}, {"cc", "c11", "get.c", program}, {"cc", "c17", "get.c", program},
		{"c++", "c++11", "get.cc", plus}, {"c++", "c++20", "get.cc", plus},
	} {
		if err := os.WriteFile(filepath.Join(source, c.name), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		// What a shell makes of the command in the README, with eval since a word has a space in it.
		cmd := exec.Command("sh", "-c", `eval "$0 -std=$1 -Wall -Wextra -pedantic -Werror -o $1 $2 $(pkg-config --cflags --libs boringquic quiche)" "'-Wl,-rpath,$3'"`,
			c.compiler, c.std, c.name, filepath.Join(to, "lib"))
		cmd.Dir = source
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.std, err, out)
			continue
		}
		var args []string
		want := 0
		if c.compiler == "cc" {
			args, want = []string{"127.0.0.1", port, files[0]}, 1000
		}
		if got := run(t, filepath.Join(source, c.std), args...); len(got) != want {
			t.Errorf("%s: %d bytes came, want %d", c.std, len(got), want)
		}
	}
}

// What the client sends comes back from the server, more at a time than fits on the way.
func TestExampleEcho(t *testing.T) {
	made, cmade := examples(t)
	files := certificate(t)
	port := serving(t, nil, filepath.Join(made, "loop_echo"), "127.0.0.1:0", files[0], files[1])
	sent := make([]byte, 20<<20)
	_, _ = rand.Read(sent)
	for _, dir := range []string{made, cmade} {
		client := exec.Command(filepath.Join(dir, "loop_echo"), "localhost:"+port, files[0])
		client.Stdin, client.Stderr = io.MultiReader(bytes.NewReader(sent)), os.Stderr
		got, err := client.Output()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back of %d, %v", len(got), len(sent), err)
		}
	}
}
