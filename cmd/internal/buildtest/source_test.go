package buildtest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A crate that is not the pinned one is refused.
func TestPin(t *testing.T) {
	tree := copyTree(t)
	pin := filepath.Join(tree, "third_party/boringssl/PIN")
	write(t, pin, regexp.MustCompile(`SHA256=......`).ReplaceAll(read(t, pin), []byte("SHA256=000000")))
	newScript(t, tree).wantFails(t, "it is not the source that was pinned", "env")
}

// Of several crates under one name, as several registries give, the pinned one is taken, whichever comes first.
func TestSeveralCrates(t *testing.T) {
	tree := copyTree(t)
	pin := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(string(read(t, filepath.Join(tree, "third_party/boringssl/PIN"))), -1) {
		pin[m[1]] = m[2]
	}
	name := pin["BSSL_CRATE"] + "-" + pin["BSSL_CRATE_VERSION"]
	work, home := t.TempDir(), t.TempDir()
	write(t, filepath.Join(work, name, pin["BSSL_CRATE_FOLDER"], "CMakeLists.txt"), nil)
	crate := filepath.Join(work, name+".crate")
	if _, stderr, err := runIn(work, nil, "tar", "-czf", crate, name); err != nil {
		t.Fatalf("tar: %v\n%s", err, stderr)
	}
	for _, registry := range []string{"a", "c"} {
		write(t, filepath.Join(home, "registry/cache", registry, name+".crate"), []byte("another"))
	}
	write(t, filepath.Join(home, "registry/cache/b", name+".crate"), read(t, crate))
	sum := fmt.Sprintf("BSSL_CRATE_SHA256=%x", sha256.Sum256(read(t, crate)))
	edit(t, filepath.Join(tree, "third_party/boringssl/PIN"), "BSSL_CRATE_SHA256="+pin["BSSL_CRATE_SHA256"], sum)
	fetched := pathWithout(t, "cargo")
	executable(t, filepath.Join(fetched, "cargo"), "#!/bin/sh\n")
	newScript(t, tree, "PATH="+fetched, "CARGO_HOME="+home).wantFails(t, "is not a source tree of BoringSSL", "env") // it was unpacked
}

// Without a tool, and without leave to install it, build.sh says what to install.
func TestMissingTools(t *testing.T) {
	tree := copyTree(t)
	relocate(t, tree) // there may be a Go in /usr/local
	oldGo := pathWithout(t, "go", "apt-get")
	executable(t, filepath.Join(oldGo, "go"), "#!/bin/sh\necho go1.19.8\n")
	for _, c := range []struct{ name, path, says string }{
		{"cargo", pathWithout(t, "cargo", "apt-get"), "Three ways on: install cargo 1.70 or"},
		{"compiler", pathWithout(t, "c++", "cc", "apt-get"), "a C and a C++ compiler are missing: install them (Debian: apt-get install g++)"},
		{"cmake", pathWithout(t, "cmake", "apt-get"), "cmake is missing: install it (Debian: apt-get install cmake)"},
		{"Go", oldGo, "this is go1.19.8, and boringquic needs Go 1.25 or newer: install it"},
	} {
		t.Run(c.name, func(t *testing.T) { newScript(t, tree, "PATH="+c.path, "CC=", "CXX=").wantFails(t, c.says) })
	}
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

func executable(t *testing.T, name, text string) {
	t.Helper()
	write(t, name, []byte(text))
	if err := os.Chmod(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

// The crate with a BoringSSL of API version 44.
const (
	newerCrate   = "boring-sys"
	newerVersion = "5.4.0"
	newerAPI     = "44"
)

// newerSource obtains a BoringSSL newer than the pinned one and returns its source tree.
func newerSource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "src/lib.rs"), nil)
	write(t, filepath.Join(dir, "Cargo.toml"), fmt.Appendf(nil,
		"[package]\nname = \"newer\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\n%s = \"=%s\"\n", newerCrate, newerVersion))
	stdout, stderr, err := runIn(dir, nil, "cargo", "metadata", "--format-version", "1") // after it has fetched the crates
	if err != nil {
		t.Fatalf("cargo metadata: %v\n%s", err, stderr)
	}
	var found struct {
		Packages []struct {
			Name         string
			ManifestPath string `json:"manifest_path"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &found); err != nil {
		t.Fatal(err)
	}
	for _, p := range found.Packages {
		if p.Name == newerCrate {
			return filepath.Join(filepath.Dir(p.ManifestPath), "deps/boringssl")
		}
	}
	t.Fatalf("cargo metadata knows no %s", newerCrate)
	return ""
}

// What another tree left half-built, for somebody stopped it, is in nobody's way.
func TestHalfBuilt(t *testing.T) {
	cmake, err := exec.LookPath("cmake")
	if err != nil {
		t.Fatal(err)
	}
	path := pathWithout(t, "cmake")
	executable(t, filepath.Join(path, "cmake"), fmt.Sprintf("#!/bin/sh\n[ \"$1\" != --build ] || exit 1\nexec '%s' \"$@\"\n", cmake))
	s := newScript(t, copyTree(t), "PATH="+path, "BORINGQUIC_BSSL_SRC="+newerSource(t))
	for range 2 {
		s.wantFails(t, "BoringSSL did not build", "env")
		s.tree = copyTree(t)
	}
}

// Switching between two BoringSSLs in one tree is never silent and never mixes them; and the library works with both.
func TestSwitch(t *testing.T) {
	tree := copyTree(t)
	s := newSharedScript(t, tree)
	newer := newerSource(t)
	link := filepath.Join(tree, "third_party/boringssl/prefix")
	var keys, prefixes []string
	for i, c := range []struct{ src, api string }{{"", "41"}, {newer, newerAPI}, {"", "41"}, {newer, newerAPI}} {
		s.env = append(s.env, "BORINGQUIC_BSSL_SRC="+c.src)
		s.ok(t)
		if base := string(read(t, filepath.Join(link, "include/openssl/base.h"))); !strings.Contains(base, "BORINGSSL_API_VERSION "+c.api+"\n") {
			t.Errorf("build %d: the headers are not of API version %s", i, c.api)
		}
		key := keyOf(t, filepath.Join(tree, "cmd/bin/quic-server"))
		if header := string(read(t, filepath.Join(link, "include/boringquic_key.h"))); !strings.Contains(header, key+"\n") {
			t.Errorf("build %d: the program holds %s; the prefix's header says\n%s", i, key, header)
		}
		prefix, err := os.Readlink(link)
		if err != nil {
			t.Fatal(err)
		}
		keys, prefixes = append(keys, key), append(prefixes, prefix)
	}
	if keys[0] != keys[2] || keys[1] != keys[3] || keys[0] == keys[1] {
		t.Errorf("the keys of the four builds are %v", keys)
	}
	if _, stderr, err := runIn(tree, s.env, "go", "test", "./crypto/..."); err != nil {
		t.Errorf("with API version %s: %v\n%s", newerAPI, err, stderr)
	}

	// The archives of one behind the headers of the other.
	mixed := t.TempDir()
	for name, from := range map[string]string{"include": prefixes[1], "lib": prefixes[0]} {
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(mixed, name)); err != nil {
			t.Fatal(err)
		}
	}
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
}

// keyOf returns the name of the key that a program holds.
func keyOf(t *testing.T, bin string) string {
	t.Helper()
	out, stderr, err := runIn(".", nil, "nm", bin)
	if err != nil {
		t.Fatalf("nm: %v\n%s", err, stderr)
	}
	all := regexp.MustCompile(`boringquic_key_[0-9a-z_]+`).FindAllString(out, -1)
	if len(all) != 1 {
		t.Fatalf("the program holds the keys %v, want one", all)
	}
	return all[0]
}
