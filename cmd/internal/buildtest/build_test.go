package buildtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The layouts of a BoringSSL that the user has built.
func TestCustomLayouts(t *testing.T) {
	tree := copyTree(t)
	for _, c := range []struct{ ssl, crypto string }{
		{"build", "build"}, {"lib", "lib"}, {"build/ssl", "build/crypto"}, {".", "."},
	} {
		t.Run(c.ssl, func(t *testing.T) {
			out := newScript(t, tree, "BORINGQUIC_BSSL_PATH="+custom(t, c.ssl, c.crypto)).ok(t, "env")
			if !strings.Contains(out, "CGO_CFLAGS=") || !strings.Contains(out, "CGO_LDFLAGS=") {
				t.Errorf("env printed %q", out)
			}
		})
	}
}

// What env prints names the folder that was meant, whatever characters are in its name.
func TestEnvQuotes(t *testing.T) {
	tree := copyTree(t)
	bssl := "BORINGQUIC_BSSL_PATH=" + custom(t, "lib", "lib")
	home := filepath.Join(t.TempDir(), "it's `id` $(id); $HOME\\a  b")
	env := cgoEnv(t, newScript(t, tree, bssl, "XDG_CACHE_HOME="+home).ok(t, "env"))
	for i, flag := range []string{"-I" + home, "-L" + home} {
		if !strings.Contains(env[i], flag) {
			t.Errorf("%q is without %s", env[i], flag)
		}
	}
	if _, stderr, err := runIn(tree, env, "go", "build", "-o", os.DevNull, "./crypto/internal/boring"); err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
	home = filepath.Join(t.TempDir(), `a"b`)
	newScript(t, tree, bssl, "XDG_CACHE_HOME="+home).wantFails(t, "cgo takes no path with a double quote", "env")
}

// What is wrong with a BoringSSL of the user's is said in one sentence that names what was looked for and where.
func TestCustomErrors(t *testing.T) {
	tree := copyTree(t)
	good, noCrypto, noHeaders, old := custom(t, "lib", "lib"), custom(t, "lib", "lib"), custom(t, "lib", "lib"), custom(t, "lib", "lib")
	if err := os.Remove(filepath.Join(noCrypto, "lib/libcrypto.a")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(noHeaders, "include/openssl")); err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(old, "include/openssl/base.h")
	write(t, base, regexp.MustCompile(`(BORINGSSL_API_VERSION) \d+`).ReplaceAll(read(t, base), []byte("$1 40")))
	ssl := openSSL(t)
	mixed := openSSL(t)
	if err := os.RemoveAll(filepath.Join(mixed, "include")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(custom(t, "lib", "lib"), "include"), filepath.Join(mixed, "include")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  []string
		says string
	}{
		{"no such folder", []string{"BORINGQUIC_BSSL_PATH=/no/such"}, "BORINGQUIC_BSSL_PATH=/no/such: there is no such folder"},
		{"no archive", []string{"BORINGQUIC_BSSL_PATH=" + noCrypto}, fmt.Sprintf("no libcrypto.a in %[1]s/build, %[1]s/lib, %[1]s/build/crypto or %[1]s", noCrypto)},
		{"no headers", []string{"BORINGQUIC_BSSL_PATH=" + noHeaders}, "no openssl/ssl.h in " + noHeaders + "/include"},
		{"too old", []string{"BORINGQUIC_BSSL_PATH=" + old}, "too old: its API version is 40, and 41 is the least"},
		{"OpenSSL", []string{"BORINGQUIC_BSSL_PATH=" + ssl}, "the headers in " + ssl + "/include are OpenSSL's, not BoringSSL's"},
		{"OpenSSL's archives", []string{"BORINGQUIC_BSSL_PATH=" + mixed, "BORINGQUIC_BSSL_PREFIX="}, "a program does not link with it"},
		{"symbol prefix", []string{"BORINGQUIC_BSSL_PATH=" + good, "BORINGQUIC_BSSL_PREFIX="}, "a program does not link with it"},
		{"both", []string{"BORINGQUIC_BSSL_PATH=" + good, "BORINGQUIC_BSSL_SRC=" + good}, "are both set: set one of them"},
		{"no such source", []string{"BORINGQUIC_BSSL_SRC=/no/such"}, "BORINGQUIC_BSSL_SRC=/no/such: there is no such folder"},
		{"source that is none", []string{"BORINGQUIC_BSSL_SRC=" + good}, "not BoringSSL's source"},
	} {
		t.Run(c.name, func(t *testing.T) { newScript(t, tree, c.env...).wantFails(t, c.says, "env") })
	}
}

func TestUsage(t *testing.T) {
	s := newScript(t, copyTree(t))
	if out := s.ok(t, "--help"); !strings.HasPrefix(out, "Usage: ./build.sh [VERB]\n") {
		t.Errorf("--help prints %q", out)
	}
	s.wantFails(t, `unknown verb "deploy"; see ./build.sh --help`, "deploy")
	s.wantFails(t, `demo takes no arguments, and "fast" is one`, "demo", "fast")
	s.wantFails(t, `install does not know "--to"`, "install", "--to", "/")
	s.wantFails(t, "install --prefix wants a folder", "install", "--prefix")
	s.wantFails(t, "/proc/no cannot be written: run this as root, or give --prefix DIR", "install", "--prefix", "/proc/no")
}

// A second build.sh does nothing, and clean takes away what the first did.
func TestTwiceAndClean(t *testing.T) {
	tree := copyTree(t)
	before := len(files(t, tree))
	s := newScript(t, tree, "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib"))
	s.ok(t)
	link := filepath.Join(tree, "third_party/boringssl/prefix")
	made := []string{link, filepath.Join(link, "lib/libboringquic_ssl.a"), filepath.Join(tree, "crypto/internal/boring/build_key.h")}
	stamp := func() string {
		var all []string
		for _, name := range made {
			info, err := os.Lstat(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(info.ModTime()))
		}
		return strings.Join(all, ", ")
	}
	first := stamp()
	_, stderr, err := s.run()
	if err != nil || strings.Count(stderr, "\n") != 1 || stamp() != first {
		t.Errorf("%v: %q; %s, then %s", err, stderr, first, stamp())
	}
	prefix, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	s.ok(t, "clean")
	for _, name := range append(made, filepath.Join(tree, "cmd/bin"), prefix) {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	if after := len(files(t, tree)); after != before {
		t.Errorf("%d files of the tree after clean, want %d", after, before)
	}
}

// The main job, as build.sh shows it.
func TestDemo(t *testing.T) {
	s := newScript(t, copyTree(t), "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib"))
	stdout, stderr, err := s.run("demo")
	if err != nil || !strings.HasPrefix(stdout, "SHA-256 of both files: ") {
		t.Fatalf("%v: %q\n%s", err, stdout, stderr)
	}
	for _, says := range []string{"QUIC version 1, TLS_", "key share X25519MLKEM768", "handshake ", "100000000 bytes in ", "Mbit/s", "packets: ", " lost"} {
		if !strings.Contains(stderr, says) {
			t.Errorf("demo says %q, without %q", stderr, says)
		}
	}
}
