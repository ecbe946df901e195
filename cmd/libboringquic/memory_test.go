package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each checker finds the faults that it is for, and none where there is none.
func TestCheckersFind(t *testing.T) {
	for _, c := range []struct {
		name   string
		of     variant
		try    func(exe string, args ...string) (stdout, stderr string, err error)
		faults map[string]string // and what is said of them
	}{
		{"AddressSanitizer", asan, try, map[string]string{"overflow": "ERROR: AddressSanitizer", "freed": "heap-use-after-free", "leak": "detected memory leaks"}},
		{"ThreadSanitizer", tsan, try, map[string]string{"race": "data race"}},
		{"valgrind", memcheck, func(exe string, args ...string) (string, string, error) { return valgrind(t, exe, args...) }, map[string]string{
			"overflow": "Invalid write", "freed": "Invalid read", "leak": "definitely lost", "unset": "uninitialised value"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			exe := c.of.compile(t, "faults")
			if out, errs, err := c.try(exe, "none"); err != nil {
				t.Errorf("without a fault: %v\n%s%s", err, out, errs)
			}
			for fault, says := range c.faults {
				if out, errs, err := c.try(exe, fault); err == nil || !strings.Contains(errs, says) {
					t.Errorf("%s: %v\n%s%s", fault, err, out, errs)
				}
			}
		})
	}
}

// valgrind runs a program under memcheck. An access that is not allowed, a value that was not set and decides, and memory that nothing points at any
// more make it fail. Without preemption by signals Go's code runs where memcheck expects it.
func valgrind(t *testing.T, exe string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // against one that hangs
	defer cancel()
	cmd := exec.CommandContext(ctx, "valgrind", append(append(memcheckFlags(t), exe), args...)...)
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// memcheckFlags are valgrind's. Go's first 64 MiB of memory are left out, and testdata/valgrind.supp says what else.
//
// Go keeps goroutines' stacks and all else side by side in its heap, and goes from one stack to another. memcheck takes a small step of the stack pointer for
// growth, and what lies between for unset, or given back: so Go's functions are told of values that were set, and of buffers in system calls, which is
// suppressed, by the packages that the library has. C's
// functions stay as they are, also parts that a compiler makes of them, in whose names there are dots, too, but for those of a function that has the name of
// one of these packages, as main has.
func memcheckFlags(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(prefix(t), "go.supp")
	if _, err := os.Stat(file); err != nil {
		deps, err := exec.Command("go", "list", "-deps", ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		packages := []string{"*/*", "main", "type:"} // of the latter are functions that compare values
		for name := range strings.FieldsSeq(string(deps)) {
			if !strings.Contains(name, "/") {
				packages = append(packages, name)
			}
		}
		var text strings.Builder
		for _, name := range packages {
			for _, kind := range []string{"Cond", "Value8"} {
				fmt.Fprintf(&text, "{\n%s\nMemcheck:%s\nfun:%s.*\n}\n", name, kind, name)
			}
		}
		for _, buffer := range []string{"read(buf)", "write(buf)", "openat(filename)", "epoll_pwait(events)", "epoll_ctl(event)", "fstat(buf)", "getrandom(buf)"} {
			fmt.Fprintf(&text, "{\ncalls\nMemcheck:Param\n%s\nfun:*/syscall*.*\n}\n", buffer)
		}
		writeFile(t, file, text.String())
	}
	return []string{"--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
		"--ignore-ranges=0xc000000000-0xc003ffffff", "--suppressions=testdata/valgrind.supp", "--suppressions=" + file}
}

// The examples under either checker: client and server of each way to use the library, and some data.
func TestExamplesChecked(t *testing.T) {
	files, root := certificate(t), t.TempDir()
	content := bytes.Repeat([]byte("example "), 40000)
	if err := os.WriteFile(filepath.Join(root, "file"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODEBUG", "asyncpreemptoff=1")
	for _, v := range []variant{asan, memcheck} {
		t.Run(string(v), func(t *testing.T) {
			under := func(name string, args ...string) []string {
				line := append([]string{v.build(t, "../../examples/c/"+name+".c")}, args...)
				if v == memcheck {
					line = append(append([]string{"valgrind"}, memcheckFlags(t)...), line...)
				}
				return line
			}
			server := under("serve", "127.0.0.1", "0", files[0], files[1])
			port := serving(t, syscall.SIGTERM, server[0], server[1:]...)
			client := under("get", "127.0.0.1", port, "/300000", files[0])
			if got := run(t, client[0], client[1:]...); len(got) != 300000 {
				t.Errorf("get: %d bytes came", len(got))
			}
			client = under("loop_get", "localhost", port, "/70000", files[0], "600") // seconds: valgrind is slow
			if got := run(t, client[0], client[1:]...); len(got) != 70000 {
				t.Errorf("loop_get: %d bytes came", len(got))
			}
			server = under("quiche_serve", "127.0.0.1", "0", files[0], files[1], root)
			port = serving(t, syscall.SIGTERM, server[0], server[1:]...)
			client = under("quiche_get", "127.0.0.1", port, "/file", files[0])
			if got := run(t, client[0], client[1:]...); got != string(content) {
				t.Errorf("quiche_get: %d bytes came", len(got))
			}
		})
	}
}

// The programs of testdata under valgrind, but for those that look at times and threads.
func TestValgrind(t *testing.T) {
	for _, name := range []string{"streams", "http", "bad", "quiche_http3", "quiche_tls"} {
		t.Run(name, func(t *testing.T) {
			exe := memcheck.compile(t, name, "-I"+filepath.Join(prefix(t), "lib/boringquic-quiche/include"))
			files := certificate(t)
			if strings.HasPrefix(name, "quiche_") {
				files = append(files, certificate(t)[0])
			}
			if out, errs, err := valgrind(t, exe, files...); err != nil {
				t.Errorf("%v\n%s%s", err, out, errs)
			}
		})
	}
}

// Threads that share a quiche_config.
func TestQuicheThreads(t *testing.T) {
	for _, v := range []variant{asan, tsan} {
		t.Run(string(v), func(t *testing.T) {
			run(t, v.compile(t, "quiche_threads", "-I"+filepath.Join(prefix(t), "lib/boringquic-quiche/include")), certificate(t)...)
		})
	}
}

// Of calls one after the other, on several threads, one in turnEvery lets others have their turn; one after a pause does not.
func TestTurns(t *testing.T) {
	defer lastTurn.Store(lastTurn.Load())
	lastTurn.Store(0)
	for _, x := range []struct {
		at  time.Duration
		due bool
	}{
		{turnEvery - 1, false}, {turnEvery, true}, {turnEvery + 1, false}, {turnEvery, false}, {2*turnEvery - 1, false}, {2 * turnEvery, true},
		{9 * turnEvery, false}, {10*turnEvery - 1, false}, {10 * turnEvery, true}, {11*turnEvery - 1, false}, {11*turnEvery + 1, true}, {11 * turnEvery, false},
	} {
		if got := turnIsDue(began.Add(x.at)); got != x.due {
			t.Errorf("%v after the beginning: %v, want %v", x.at, got, x.due)
		}
	}
}
