package buildtest

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository is the root of the source tree.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// files lists a tree's files as a commit would hold them, nested modules included.
func files(t *testing.T, tree string) (names []string) {
	t.Helper()
	patterns := []string{"/.git"}
	for line := range strings.Lines(string(read(t, filepath.Join(tree, ".gitignore")))) {
		if strings.HasPrefix(line, "/") { // from the root, as all of ours are
			patterns = append(patterns, strings.TrimRight(line, "/\n"))
		}
	}
	err := filepath.WalkDir(tree, func(name string, d fs.DirEntry, err error) error {
		rel := filepath.ToSlash(strings.TrimPrefix(name, tree))
		ignored := slices.ContainsFunc(patterns, func(p string) bool {
			ok, err := path.Match(p, rel)
			if err != nil {
				t.Fatalf(".gitignore: %s: %v", p, err)
			}
			return ok
		})
		switch {
		case err != nil:
			return err
		case ignored && d.IsDir():
			return fs.SkipDir
		case !ignored && d.Type().IsRegular():
			names = append(names, rel[1:])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// copyTree makes a copy of the tree, without what build.sh makes.
func copyTree(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range files(t, repository(t)) {
		write(t, filepath.Join(to, name), read(t, filepath.Join(repository(t), name)))
	}
	return to
}

// relocate has a copy of the tree look for an installed BoringSSL, and install it, in a new folder in place of
// /usr/local, where one may be installed or not. It returns that folder.
func relocate(t *testing.T, tree string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{"crypto/internal/boring/cgo.go", "cmd/libboringquic/main.go", "build.sh"} {
		edit(t, filepath.Join(tree, name), "/usr/local", to)
	}
	return to
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// edit replaces a text, which must be there, in a file.
func edit(t *testing.T, name, old, new string) {
	t.Helper()
	data := string(read(t, name))
	if !strings.Contains(data, old) {
		t.Fatalf("%s has no %q", name, old)
	}
	write(t, name, []byte(strings.ReplaceAll(data, old, new)))
}

// custom lays out a BoringSSL as a user may have one: the archives in the given folders of a new one, which it returns. It
// is the one that the tree under test was built with.
func custom(t *testing.T, sslDir, cryptoDir string) string {
	t.Helper()
	built, err := filepath.EvalSymlinks(filepath.Join(repository(t), "third_party/boringssl/prefix"))
	if err != nil {
		t.Fatalf("BoringSSL is not built, run ./build.sh: %v", err)
	}
	dir := t.TempDir()
	for archive, to := range map[string]string{"ssl": sslDir, "crypto": cryptoDir} {
		write(t, filepath.Join(dir, to, "lib"+archive+".a"), read(t, filepath.Join(built, "lib", "libboringquic_"+archive+".a")))
	}
	if err := os.CopyFS(filepath.Join(dir, "include/openssl"), os.DirFS(filepath.Join(built, "include/openssl"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// openSSL lays out the system's OpenSSL in a new folder, which it returns: headers in include, static archives in lib.
func openSSL(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, lib := range []string{"ssl", "crypto"} {
		at := staticLibrary(t, lib)
		if at == "" {
			t.Fatalf("the compiler finds no lib%s.a of OpenSSL's (Debian: libssl-dev)", lib)
		}
		write(t, filepath.Join(dir, "lib", filepath.Base(at)), read(t, at))
	}
	write(t, filepath.Join(dir, "all.c"), []byte("#include <openssl/ssl.h>\n"))
	rule, stderr, err := runIn(dir, nil, "cc", "-M", "all.c")
	if err != nil {
		t.Fatalf("the compiler finds no headers of OpenSSL's (Debian: libssl-dev): %s", stderr)
	}
	for _, name := range strings.Fields(rule) {
		if filepath.Base(filepath.Dir(name)) == "openssl" {
			write(t, filepath.Join(dir, "include/openssl", filepath.Base(name)), read(t, name))
		}
	}
	return dir
}

// staticLibrary finds an archive of the system's; it returns the empty string if there is none.
func staticLibrary(t *testing.T, lib string) string {
	t.Helper()
	at, stderr, err := runIn(".", nil, "cc", "-print-file-name=lib"+lib+".a")
	if err != nil {
		t.Fatalf("cc: %v\n%s", err, stderr)
	}
	if at = strings.TrimSpace(at); !filepath.IsAbs(at) {
		return ""
	}
	return at
}

// script is a run of build.sh in a tree.
type script struct {
	tree string
	env  []string
}

// newScript runs in tree, with a cache folder of its own. That of Go is the user's: building everything anew takes too
// long. A BoringSSL of the user's is one that custom laid out.
func newScript(t *testing.T, tree string, env ...string) *script {
	t.Helper()
	gocache, stderr, err := runIn(tree, nil, "go", "env", "GOCACHE")
	if err != nil {
		t.Fatalf("go env: %v\n%s", err, stderr)
	}
	return &script{tree, append([]string{"XDG_CACHE_HOME=" + t.TempDir(), "GOCACHE=" + strings.TrimSpace(gocache),
		"BORINGQUIC_BSSL_PATH=", "BORINGQUIC_BSSL_SRC=", "BORINGQUIC_BSSL_PREFIX=boringquic"}, env...)}
}

// newSharedScript is newScript with the user's cache folder, for what builds BoringSSL: it is built once.
func newSharedScript(t *testing.T, tree string, env ...string) *script {
	t.Helper()
	s := newScript(t, tree, env...)
	s.env = append(s.env, "XDG_CACHE_HOME="+os.Getenv("XDG_CACHE_HOME"))
	return s
}

func (s *script) run(args ...string) (stdout, stderr string, err error) {
	return runIn(s.tree, s.env, "bash", append([]string{filepath.Join(s.tree, "build.sh")}, args...)...)
}

// ok runs the script, which must succeed.
func (s *script) ok(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, err := s.run(args...)
	if err != nil {
		t.Fatalf("build.sh %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// wantFails runs the script, which must fail and say something.
func (s *script) wantFails(t *testing.T, says string, args ...string) {
	t.Helper()
	_, stderr, err := s.run(args...)
	if err == nil || !strings.Contains(stderr, says) {
		t.Errorf("build.sh %s: %v, %q, want %q", strings.Join(args, " "), err, stderr, says)
	}
}

func runIn(dir string, env []string, name string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}
