package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// installed is the library as "./build.sh lib" puts it, made once for all tests.
var installed struct {
	sync.Once
	dir  string
	fail string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if installed.dir != "" {
		_ = os.RemoveAll(installed.dir)
	}
	os.Exit(code)
}

// prefix returns the folder that the library is installed in.
func prefix(t *testing.T) string {
	t.Helper()
	installed.Do(func() {
		dir, err := os.MkdirTemp("", "libboringquic")
		if err != nil {
			installed.fail = err.Error()
			return
		}
		installed.dir = dir
		cmd := exec.Command("bash", "../../build.sh", "lib", "--prefix", dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			installed.fail = "build.sh lib: " + err.Error() + "\n" + string(out)
		}
	})
	if installed.fail != "" {
		t.Fatal(installed.fail)
	}
	return installed.dir
}

// variant is a way to have the library.
type variant string

const (
	shared variant = "shared" // libboringquic.so, with BoringSSL in it
	static variant = "static" // libboringquic.a, and BoringSSL's archives
)

// packaged returns what pkg-config says of the library in dir.
func packaged(t *testing.T, dir string, args ...string) []string {
	t.Helper()
	cmd := exec.Command("pkg-config", append(args, "boringquic")...)
	cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+filepath.Join(dir, "lib/pkgconfig"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("pkg-config: %v\n%s", err, out)
	}
	return strings.Fields(string(out))
}

// flags returns what a C compiler is given behind the sources of a program that uses the library.
func (v variant) flags(t *testing.T) []string {
	t.Helper()
	return v.flagsIn(t, prefix(t))
}

// flagsIn is flags for a library that was installed in dir.
func (v variant) flagsIn(t *testing.T, dir string) []string {
	t.Helper()
	args := append(packaged(t, dir, "--cflags"), packaged(t, dir, "--variable=bssl_cflags")...)
	if v == static {
		for _, lib := range packaged(t, dir, "--static", "--libs") {
			if lib == "-lboringquic" { // the linker would take the shared one
				lib = "-l:libboringquic.a"
			}
			args = append(args, lib)
		}
		return args
	}
	return append(append(args, packaged(t, dir, "--libs")...), "-Wl,-rpath,"+filepath.Join(dir, "lib"))
}

// compile makes a program of testdata/NAME.c. Flags come before the library's.
func (v variant) compile(t *testing.T, name string, flags ...string) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), name)
	args := []string{"-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", exe, "testdata/" + name + ".c"}
	cc(t, append(append(args, flags...), v.flags(t)...)...)
	return exe
}

func cc(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// run runs a program, which has to end well, and returns what it prints. What it says is wrong goes to standard error.
func run(t *testing.T, exe string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against one that hangs: its own fault is then seen
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	// What Go holds of C's memory the leak sanitizer does not see.
	// Nor does the thread sanitizer see how Go's threads hand memory on.
	cmd.Env = append(os.Environ(), "LSAN_OPTIONS=print_suppressions=0:suppressions=testdata/lsan.supp",
		"TSAN_OPTIONS=print_suppressions=0:suppressions=testdata/tsan.supp")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(exe), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// each runs a program of testdata in each variant, and once more with the address sanitizer.
func each(t *testing.T, name string, args ...string) {
	t.Helper()
	for _, c := range []struct {
		name  string
		of    variant
		flags []string
	}{
		{"shared", shared, nil},
		{"static", static, nil},
		{"asan", shared, []string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}},
	} {
		t.Run(c.name, func(t *testing.T) { run(t, c.of.compile(t, name, c.flags...), args...) })
	}
}
