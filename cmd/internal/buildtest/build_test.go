package buildtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The layouts of a BoringSSL that the user has built.
func TestCustomLayouts(t *testing.T) {
	long(t)
	tree := copyTree(t)
	for _, c := range []struct{ ssl, crypto string }{
		{"build", "build"}, {"lib", "lib"}, {"build/ssl", "build/crypto"}, {".", "."},
	} {
		t.Run(c.ssl, func(t *testing.T) {
			dir := custom(t, c.ssl, c.crypto)
			out := newScript(t, tree, "BORINGQUIC_BSSL_PATH="+dir).ok(t, "env")
			if !strings.Contains(out, "CGO_CFLAGS=") || !strings.Contains(out, "CGO_LDFLAGS=") {
				t.Errorf("env printed %q", out)
			}
		})
	}
}

// What is wrong is said in one sentence that names what was looked for and where.
func TestErrors(t *testing.T) {
	long(t)
	tree := copyTree(t)
	edit := func(t *testing.T, dir, file, old, new string) {
		t.Helper()
		name := filepath.Join(dir, file)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), old) {
			t.Fatalf("%s has no %q", file, old)
		}
		write(t, name, []byte(strings.ReplaceAll(string(data), old, new)), 0o644)
	}
	good := custom(t, "lib", "lib")
	noCrypto := custom(t, "lib", "lib")
	if err := os.Remove(filepath.Join(noCrypto, "lib/libcrypto.a")); err != nil {
		t.Fatal(err)
	}
	noHeaders := custom(t, "lib", "lib")
	if err := os.RemoveAll(filepath.Join(noHeaders, "include/openssl")); err != nil {
		t.Fatal(err)
	}
	old := custom(t, "lib", "lib")
	edit(t, old, "include/openssl/base.h", "#define BORINGSSL_API_VERSION 41", "#define BORINGSSL_API_VERSION 40")
	openssl := custom(t, "lib", "lib")
	edit(t, openssl, "include/openssl/base.h", "OPENSSL_IS_BORINGSSL", "OPENSSL_IS_OPENSSL")
	for _, c := range []struct {
		name string
		env  []string
		args []string
		says string
	}{
		{"no such folder", []string{"BORINGQUIC_BSSL_PATH=/no/such"}, []string{"env"}, "BORINGQUIC_BSSL_PATH=/no/such: there is no such folder"},
		{"no archive", []string{"BORINGQUIC_BSSL_PATH=" + noCrypto}, []string{"env"}, "no libcrypto.a in " + noCrypto + "/build, "},
		{"no headers", []string{"BORINGQUIC_BSSL_PATH=" + noHeaders}, []string{"env"}, "no openssl/ssl.h in " + noHeaders + "/include"},
		{"too old", []string{"BORINGQUIC_BSSL_PATH=" + old}, []string{"env"}, "too old: its API version is 40, and 41 is the least"},
		{"OpenSSL", []string{"BORINGQUIC_BSSL_PATH=" + openssl}, []string{"env"}, "are OpenSSL's, not BoringSSL's"},
		{"symbol prefix", []string{"BORINGQUIC_BSSL_PATH=" + good, "BORINGQUIC_BSSL_PREFIX="}, []string{"env"}, "a program does not link with it"},
		{"both", []string{"BORINGQUIC_BSSL_PATH=" + good, "BORINGQUIC_BSSL_SRC=" + good}, []string{"env"}, "are both set: set one of them"},
		{"source that is none", []string{"BORINGQUIC_BSSL_SRC=" + good}, []string{"env"}, "not BoringSSL's source"},
		{"unknown verb", nil, []string{"deploy"}, "unknown verb \"deploy\"; see ./build.sh --help"},
		{"argument", nil, []string{"demo", "fast"}, "demo takes no arguments"},
		{"install where one may not write", []string{"BORINGQUIC_BSSL_PATH=" + good}, []string{"install", "--prefix", "/proc/no"}, "cannot be written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, stderr, err := newScript(t, tree, c.env...).run(c.args...)
			if err == nil || !strings.Contains(stderr, c.says) {
				t.Errorf("%v: %q, want %q", err, stderr, c.says)
			}
		})
	}
}

// A crate that is not the pinned one is refused, and without cargo the ways on are named.
func TestSource(t *testing.T) {
	long(t)
	tree := copyTree(t)
	pin := filepath.Join(tree, "third_party/boringssl/PIN")
	data, err := os.ReadFile(pin)
	if err != nil {
		t.Fatal(err)
	}
	write(t, pin, regexp.MustCompile(`SHA256=......`).ReplaceAll(data, []byte("SHA256=000000")), 0o644)
	t.Run("hash", func(t *testing.T) {
		_, stderr, err := newScript(t, tree).run("env")
		if err == nil || !strings.Contains(stderr, "it is not the source that was pinned") {
			t.Errorf("%v: %q", err, stderr)
		}
	})
	t.Run("no cargo", func(t *testing.T) {
		_, stderr, err := newScript(t, tree, "PATH="+pathWithout(t, "cargo", "apt-get")).run("env")
		if err == nil || !strings.Contains(stderr, "Three ways on: install cargo") {
			t.Errorf("%v: %q", err, stderr)
		}
	})
}

// pathWithout makes a folder of links to all programs but some.
func pathWithout(t *testing.T, missing ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(from) // PATH may name folders that do not exist
		for _, e := range entries {
			_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())) // the first of a name counts
		}
	}
	for _, name := range missing {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Switching between two BoringSSLs in one tree is never silent and never mixes them.
func TestSwitch(t *testing.T) {
	long(t)
	tree := copyTree(t)
	first, second := custom(t, "lib", "lib"), custom(t, "lib", "lib")
	archive := filepath.Join(second, "lib/libcrypto.a")
	object := filepath.Join(t.TempDir(), "other.o")
	write(t, object+".c", []byte("int boringquic_test_other;\n"), 0o644)
	for _, args := range [][]string{{"cc", "-c", object + ".c", "-o", object}, {"ar", "rs", archive, object}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	s := newScript(t, tree)
	var keys []string
	for i, dir := range []string{first, second, first, second} {
		s.env = append(s.env, "BORINGQUIC_BSSL_PATH="+dir)
		s.ok(t)
		want, err := os.ReadFile(filepath.Join(tree, "third_party/boringssl/prefix/include/boringquic_key.h"))
		if err != nil {
			t.Fatal(err)
		}
		key := keyOf(t, s)
		if !strings.Contains(string(want), key+"\n") {
			t.Errorf("build %d: the program holds %s; the prefix's header says\n%s", i, key, want)
		}
		keys = append(keys, key)
	}
	if keys[0] != keys[2] || keys[1] != keys[3] || keys[0] == keys[1] {
		t.Errorf("the keys of the four builds are %v", keys)
	}

	t.Run("mixed", func(t *testing.T) { // the archives of one behind the headers of the other
		link := filepath.Join(tree, "third_party/boringssl/prefix")
		mixed := t.TempDir()
		use := func(name, from string) {
			if err := os.CopyFS(filepath.Join(mixed, name), os.DirFS(filepath.Join(from, name))); err != nil {
				t.Fatal(err)
			}
		}
		of, err := os.Readlink(link)
		if err != nil {
			t.Fatal(err)
		}
		use("include", of)
		use("lib", filepath.Join(filepath.Dir(of), strings.TrimPrefix(keys[0], "boringquic_key_")))
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(mixed, link); err != nil {
			t.Fatal(err)
		}
		_, stderr, err := runIn(tree, append(s.env, "GOFLAGS=-a"), "go", "build", "-o", os.DevNull, "./cmd/quic-server")
		if err == nil || !strings.Contains(stderr, keys[1]) {
			t.Errorf("%v: %q, want a link error that names %s", err, stderr, keys[1])
		}
	})
}

// keyOf builds a program and returns the name of the key that it holds.
func keyOf(t *testing.T, s *script) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "program")
	if _, stderr, err := runIn(s.tree, s.env, "go", "build", "-o", bin, "./cmd/quic-server"); err != nil {
		t.Fatalf("go build: %v\n%s", err, stderr)
	}
	out, err := exec.Command("nm", bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`boringquic_key_[0-9a-z_]+`).FindAllString(string(out), -1)
	if len(all) != 1 {
		t.Fatalf("the program holds the keys %v, want one", all)
	}
	return all[0]
}

// What a build without BoringSSL, without cgo or among OpenSSL's headers says.
func TestGoBuildErrors(t *testing.T) {
	long(t)
	fake := t.TempDir()
	write(t, filepath.Join(fake, "openssl/base.h"), []byte("/* not BoringSSL */\n"), 0o644)
	write(t, filepath.Join(fake, "boringquic_key.h"), nil, 0o644)
	for _, c := range []struct {
		name string
		env  []string
		says string
	}{
		{"no BoringSSL", nil, "BoringSSL is not built: run ./build.sh in boringquic's tree"},
		{"no cgo", []string{"CGO_ENABLED=0"}, "boringquic_needs_cgo__install_a_C_compiler_and_set_CGO_ENABLED_to_1"},
		{"OpenSSL's headers", []string{"CGO_CFLAGS=-I" + fake}, "OpenSSL's headers are in the way of BoringSSL's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "no BoringSSL" {
				if _, err := os.Stat("/usr/local/include/boringquic"); err == nil {
					t.Skip("BoringSSL is installed in /usr/local")
				}
			}
			_, stderr, err := runIn(copyTree(t), c.env, "go", "build", "./crypto/internal/boring")
			if err == nil || !strings.Contains(stderr, c.says) {
				t.Errorf("%v: %q, want %q", err, stderr, c.says)
			}
		})
	}
}

// A second build.sh does nothing.
func TestTwice(t *testing.T) {
	long(t)
	s := newScript(t, copyTree(t), "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib"))
	s.ok(t)
	link := filepath.Join(s.tree, "third_party/boringssl/prefix")
	stamp := func() string {
		var all []string
		for _, name := range []string{link, filepath.Join(link, "lib/libboringquic_ssl.a"),
			filepath.Join(s.tree, "crypto/internal/boring/build_key.h")} {
			info, err := os.Lstat(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(info.ModTime()))
		}
		return strings.Join(all, " ")
	}
	before := stamp()
	_, stderr, err := s.run()
	if err != nil || stderr != "" || stamp() != before {
		t.Errorf("%v: %q; %s, then %s", err, stderr, before, stamp())
	}
}
