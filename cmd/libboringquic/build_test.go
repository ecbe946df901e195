package main

import (
	"bytes"
	"context"
	"fmt"
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
		out, err := cmd.CombinedOutput()
		if err != nil {
			installed.fail = "build.sh lib: " + err.Error() + "\n" + string(out)
		} else if strings.Contains(string(out), "hidden") {
			installed.fail = "build.sh lib says that BoringSSL is hidden, and it is not:\n" + string(out)
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

	// As static, with sanitizers in the program, the library's C files and its code in Go, which knows what of C's memory Go holds.
	asan variant = "address"

	// As static, with the sanitizer in the program and the library's C files. It takes each call from C to Go and back for one that orders what
	// threads do.
	tsan variant = "thread"

	// As static, with Go's memory where valgrind is told not to look: a stack of Go's may lie wherever there was another thing.
	memcheck variant = "memcheck"
)

// builds are how the libraries of those variants are built, and their programs.
var builds = map[variant]struct {
	cc   []string // for the program
	cgo  string   // for the library's C files
	args []string // for go build
	env  []string
}{
	asan:     {[]string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}, "", []string{"-asan"}, nil},
	tsan:     {[]string{"-fsanitize=thread"}, "-fsanitize=thread", nil, nil},
	memcheck: {nil, "", nil, []string{"GOEXPERIMENT=norandomizedheapbase64"}},
}

// archive makes libboringquic.a for such a variant, once for all tests.
func (v variant) archive(t *testing.T) string {
	t.Helper()
	dir := prefix(t)
	archive := filepath.Join(dir, string(v), "libboringquic.a")
	instrumenting.Lock()
	defer instrumenting.Unlock()
	if _, err := os.Stat(archive); err == nil {
		return archive
	}
	header, err := os.ReadFile(filepath.Join(dir, "include/boringquic-bssl/boringquic_key.h"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(header), "boringquic_key_")
	key := strings.Fields(rest)[0]
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	bssl := filepath.Join(cache, "boringquic/prefix", key) // of that name each time, for Go's build cache
	with := builds[v]
	cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-buildmode=c-archive", "-o", archive}, with.args...), ".")...)
	cmd.Env = append(append(os.Environ(), with.env...), fmt.Sprintf("CGO_CFLAGS=-O1 -g '-I%s/include' -DBORINGQUIC_BUILD_KEY=%s %s", bssl, key, with.cgo),
		fmt.Sprintf("CGO_LDFLAGS='-L%s/lib' %s", bssl, with.cgo))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the library for %s: %v\n%s", v, err, out)
	}
	return archive
}

var instrumenting sync.Mutex

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
	if v != shared {
		archive := "-l:libboringquic.a"
		if v != static {
			archive = v.archive(t)
		}
		for _, lib := range packaged(t, dir, "--static", "--libs") {
			if lib == "-lboringquic" { // the linker would take the shared one
				lib = archive
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
	args = append(args, builds[v].cc...)
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
	out, errs, err := try(exe, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(exe), strings.Join(args, " "), err, errs, out)
	}
	return out
}

// try runs a program.
func try(exe string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // against one that hangs: its own fault is then seen
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	// Of programs with the shared library, of which the sanitizer does not see how Go's threads hand memory on.
	cmd.Env = append(os.Environ(), "TSAN_OPTIONS=print_suppressions=0:suppressions=testdata/tsan.supp")
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// each runs a program of testdata in each variant, and once more with the address sanitizer.
func each(t *testing.T, name string, args ...string) {
	t.Helper()
	for _, v := range []variant{shared, static, asan} {
		t.Run(string(v), func(t *testing.T) { run(t, v.compile(t, name), args...) })
	}
}

// build makes a program of a C file, and of those that it includes. Flags come behind the library's.
func (v variant) build(t *testing.T, source string, flags ...string) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), ".c"))
	args := append([]string{"-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-pthread", "-o", exe, source}, builds[v].cc...)
	args = append(args, "-I"+filepath.Join(prefix(t), "lib/boringquic-quiche/include"))
	cc(t, append(append(args, v.flags(t)...), flags...)...)
	return exe
}
