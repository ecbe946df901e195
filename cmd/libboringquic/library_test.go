package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func TestLibrary(t *testing.T) { each(t, "library") }
func TestProcess(t *testing.T) { each(t, "process") }

// Without file descriptors functions fail, and the process lives.
func TestDescriptors(t *testing.T) { each(t, "descriptors") }

// A program may be older, or newer, than the library.
func TestSized(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "sized")
	cc(t, "-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Iinclude", "-o", exe, "testdata/sized.c", "sized.c")
	run(t, exe)
}

// One BoringSSL in a process is good, in either variant; a program with one of its own beside that of the shared library is refused.
func TestOneBoringSSL(t *testing.T) {
	for _, v := range []variant{shared, static} {
		run(t, v.compile(t, "boringssl"))
	}
	run(t, static.compile(t, "boringssl", "-static")) // where no dynamic linker knows of any
	lib := filepath.Join(prefix(t), "lib/boringquic-bssl")
	own := []string{filepath.Join(lib, "libboringquic_ssl.a"), filepath.Join(lib, "libboringquic_crypto.a"), "-lstdc++"}
	run(t, shared.compile(t, "boringssl", own...), "two")
}

// With BoringSSL as shared libraries ours needs them, exports nothing of them, and shares them with the program; OpenSSL's,
// which have the same names, are not taken for them.
func TestSharedBoringSSL(t *testing.T) {
	from := prefix(t)
	own := t.TempDir()
	if err := os.CopyFS(filepath.Join(own, "include"), os.DirFS(filepath.Join(from, "include/boringquic-bssl"))); err != nil {
		t.Fatal(err)
	}
	archive := func(name string) []string {
		return []string{"-Wl,--whole-archive", filepath.Join(from, "lib/boringquic-bssl/libboringquic_"+name+".a"), "-Wl,--no-whole-archive"}
	}
	lib := filepath.Join(own, "lib")
	if err := os.Mkdir(lib, 0o755); err != nil {
		t.Fatal(err)
	}
	cc(t, append([]string{"-shared", "-Wl,--build-id=none", "-Wl,-soname,libcrypto.so", "-o", lib + "/libcrypto.so"}, append(archive("crypto"), "-lstdc++")...)...)
	cc(t, append([]string{"-shared", "-Wl,--build-id=none", "-Wl,-soname,libssl.so", "-Wl,-rpath,$ORIGIN", "-o", lib + "/libssl.so"}, append(archive("ssl"), "-L"+lib, "-lcrypto", "-lstdc++")...)...)
	// The folder has what "install" puts, which stays, and a library in use, which is replaced and not overwritten.
	dir := t.TempDir()
	installed := []string{filepath.Join(dir, "lib/boringquic/libboringquic_ssl.a"), filepath.Join(dir, "include/boringquic/openssl/ssl.h")}
	library := filepath.Join(dir, "lib/libboringquic.so.0.1.0")
	for _, file := range append(installed, library) {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, "of before")
	}
	used, err := os.Open(library)
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	cmd := exec.Command("bash", "-c", `umask 077; cd "$1"; exec bash "$2" lib --prefix="$3"`, "bash", filepath.Dir(dir), script(t), filepath.Base(dir))
	cmd.Env = append(os.Environ(), "BORINGQUIC_BSSL_PATH="+own, "BORINGQUIC_BSSL_PREFIX=boringquic", "CDPATH="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build.sh lib: %v\n%s", err, out)
	}
	for _, file := range installed {
		if b, err := os.ReadFile(file); string(b) != "of before" {
			t.Errorf("%s was overwritten: %v", file, err)
		}
	}
	if b, err := io.ReadAll(used); string(b) != "of before" {
		t.Errorf("a library in use was overwritten: %v", err)
	}
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode()&0o444 != 0o444 {
			t.Errorf("%s is not for all: %v", path, info.Mode())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("nm", "-D", "--defined-only", filepath.Join(dir, "lib/libboringquic.so")).Output()
	if err != nil || strings.Contains(string(out), " T boringquic_") {
		t.Errorf("it exports BoringSSL: %v", err)
	}
	out, err = exec.Command("readelf", "-d", filepath.Join(dir, "lib/libboringquic.so")).Output()
	if err != nil || !strings.Contains(string(out), "[libssl.so]") || !strings.Contains(string(out), "[libcrypto.so]") {
		t.Errorf("it does not need libssl.so and libcrypto.so: %v\n%s", err, out)
	}
	for _, v := range []variant{shared, static} {
		for _, name := range []string{"boringssl", "process"} {
			exe := filepath.Join(t.TempDir(), name)
			args := append([]string{"-std=gnu11", "-pthread", "-o", exe, "testdata/" + name + ".c"}, v.flagsIn(t, dir)...)
			if v == shared { // which does not say where BoringSSL is, and the program calls that, too
				args = append(args, "-L"+lib, "-lssl", "-lcrypto", "-Wl,-rpath,"+lib)
			}
			cc(t, args...)
			run(t, exe)
		}
	}
}

// script is build.sh.
func script(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../build.sh")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// The shared library exports what the golden file lists, and BoringSSL under its prefix; the archive's program exports nothing by itself.
func TestExports(t *testing.T) {
	out, err := exec.Command("nm", "-D", "--defined-only", "--format=posix", filepath.Join(prefix(t), "lib/libboringquic.so")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	bssl := 0
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.Fields(line)[0], "@")
		switch {
		case strings.HasPrefix(name, "boringquic_"):
			bssl++
		case name != "BORINGQUIC_0" && !strings.HasPrefix(name, "quiche_"): // the version itself, and what TestQuicheHeader looks at
			got = append(got, name)
		}
	}
	slices.Sort(got)
	golden, err := os.ReadFile("testdata/exports.golden")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Fields(string(golden)); !slices.Equal(got, want) {
		t.Errorf("exported:\n%s\nwant what testdata/exports.golden says", strings.Join(got, "\n"))
	}
	if bssl < 2500 {
		t.Errorf("%d functions of BoringSSL are exported", bssl)
	}
	if got, want := got, declared(t); !slices.Equal(got, want) {
		t.Errorf("exported: %q\nthe header declares %q", got, want)
	}
	if out, err = exec.Command("nm", "-D", "--defined-only", static.compile(t, "library")).Output(); err != nil || strings.Contains(string(out), "quic") {
		t.Errorf("a program with the archive in it exports %s: %v", out, err)
	}
	if len(declared(t)) > 120 {
		t.Errorf("the header has %d functions: more than a reader takes in", len(declared(t)))
	}
}

// declared lists the functions that the header declares.
func declared(t *testing.T) (names []string) {
	header, err := os.ReadFile("include/boringquic.h")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(header)) {
		if rest, ok := strings.CutPrefix(line, "BQUIC_API "); ok {
			words := strings.FieldsFunc(rest[:strings.Index(rest, "(")], func(r rune) bool { return r == ' ' || r == '*' })
			names = append(names, words[len(words)-1])
		}
	}
	slices.Sort(names)
	return names
}

// The header is C++ as well, and needs no other before it.
func TestHeader(t *testing.T) {
	for _, lang := range []string{"c", "c++"} {
		cc(t, "-x", lang, "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "include/boringquic.h", "-Wno-pragma-once-outside-header")
	}
	cc(t, "-x", "c", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "include/boringquic.h")
}

// A program can load the library, which stays then.
func TestLoad(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "load")
	cc(t, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-I"+filepath.Join(prefix(t), "include"), "-o", exe, "testdata/load.c", "-ldl")
	run(t, exe, filepath.Join(prefix(t), "lib/libboringquic.so"))
}

// CMake's package finds the library, in either variant, wherever its folder is.
func TestCMake(t *testing.T) {
	moved := filepath.Join(t.TempDir(), "moved to")
	if err := os.CopyFS(moved, os.DirFS(prefix(t))); err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	build := t.TempDir()
	for _, args := range [][]string{
		{"-S", source, "-B", build, "-DCMAKE_PREFIX_PATH=" + moved},
		{"--build", build},
	} {
		if out, err := exec.Command("cmake", args...).CombinedOutput(); err != nil {
			t.Fatalf("cmake %q: %v\n%s", args, err, out)
		}
	}
	run(t, filepath.Join(build, "shared"))
	run(t, filepath.Join(build, "static"))
}

// The examples are built as their Makefile and their CMakeLists.txt say, and the one fetches from the other.
func TestExamples(t *testing.T) {
	made, cmade := examples(t)
	files := certificate(t)
	server := exec.Command(filepath.Join(made, "serve"), "127.0.0.1", "0", files[0], files[1])
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	// The program of the README is complete, and does what it says.
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```c\n")
	program, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("README.md has no program in C")
	}
	source, exe := filepath.Join(made, "readme.c"), filepath.Join(made, "readme")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cc(t, append([]string{"-Wall", "-Wextra", "-Werror", "-o", exe, source}, shared.flags(t)...)...)
	if got := run(t, exe, "127.0.0.1", strings.TrimSpace(line), files[0]); len(got) != 1000 {
		t.Errorf("to the README's program %d bytes came", len(got))
	}
	for _, n := range []int{0, 1, 70000, 20 << 20} {
		for _, dir := range []string{made, cmade} {
			if got := run(t, filepath.Join(dir, "get"), "127.0.0.1", strings.TrimSpace(line), fmt.Sprintf("/%d", n), files[0]); len(got) != n {
				t.Errorf("of %d bytes %d came", n, len(got))
			}
		}
	}
	// Its clients are told that it ends.
	client, err := quicnet.Dial(t.Context(), "127.0.0.1:"+strings.TrimSpace(line), &quic.Config{TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.AcceptUniStream(t.Context()); err != nil { // for whose sake the server has completed the handshake
		t.Fatal(err)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
	var end *quic.ApplicationError
	if _, err := client.AcceptStream(t.Context()); !errors.As(err, &end) || !end.Remote || end.Code != 0x100 {
		t.Errorf("a client of serve, which has ended: %v", err)
	}
}

// A panic is an error with its text, whether it strikes an object or not, and the object is given up, even if that panics too.
func TestPanic(t *testing.T) {
	if s := call(func() error { panic("of a test") }); s != errInternal {
		t.Errorf("call: %d", s)
	}
	d := &doomed{}
	d.object = object{gate: new(gate), self: d}
	register(&d.object, kindSession)
	s := on(d.handle, kindSession, func(d *doomed) error {
		if s := on(d.handle, kindSession, func(*doomed) error { return nil }); s != errBusy {
			t.Errorf("a call within a call: %d", s)
		}
		panic(errors.New("of a test"))
	})
	if s != errInternal || d.cause == nil || !strings.Contains(d.cause.Error(), "a fault in boringquic: of a test") {
		t.Errorf("on: %d, %v", s, d.cause)
	}
	if s := on(d.handle, kindSession, func(*doomed) error { return nil }); s != ok {
		t.Errorf("after a panic: %d", s)
	}
	if s := on(d.handle, kindConn, func(*doomed) error { return nil }); s != errHandle {
		t.Errorf("as another kind: %d", s)
	}
	if !unregister(&d.object) || unregister(&d.object) {
		t.Error("unregister does not do it once")
	}
	for _, h := range []handle{0, d.handle, d.handle + 1<<generationShift, 1<<64 - 1} {
		want := errHandle
		if h == 0 {
			want = errArgument
		}
		if s := on(h, kindSession, func(*doomed) error { return nil }); s != want {
			t.Errorf("handle %x: %d, want %d", uint64(h), s, want)
		}
	}
}

type doomed struct {
	object
	cause error
}

func (d *doomed) giveUp(err error) {
	d.cause = err
	panic("again")
}
