package buildtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
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

// files lists the tree's files as a commit would hold them, nested modules included.
func files(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = repository(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// copyTree makes a copy of the tree, without what build.sh makes.
func copyTree(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range files(t) {
		data, err := os.ReadFile(filepath.Join(repository(t), name))
		if os.IsNotExist(err) {
			continue // deleted and not committed
		}
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, name), data, 0o644)
	}
	return to
}

func write(t *testing.T, name string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, mode); err != nil {
		t.Fatal(err)
	}
}

// built is the prefix that the tree under test was built with.
func built(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(filepath.Join(repository(t), "third_party/boringssl/prefix"))
	if err != nil {
		t.Fatalf("BoringSSL is not built, run ./build.sh: %v", err)
	}
	return dir
}

// custom lays out a BoringSSL as a user may have one: the archives in the given folders of a new one, which it returns.
func custom(t *testing.T, sslDir, cryptoDir string) string {
	t.Helper()
	dir := t.TempDir()
	for archive, to := range map[string]string{"ssl": sslDir, "crypto": cryptoDir} {
		data, err := os.ReadFile(filepath.Join(built(t), "lib", "libboringquic_"+archive+".a"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to, "lib"+archive+".a"), data, 0o644)
	}
	if err := os.CopyFS(filepath.Join(dir, "include/openssl"), os.DirFS(filepath.Join(built(t), "include/openssl"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// script is a run of build.sh in a tree, with a cache folder of its own.
type script struct {
	tree, cache string
	env         []string
}

// newScript runs in tree. The cache of Go is the user's: building everything anew takes too long.
func newScript(t *testing.T, tree string, env ...string) *script {
	t.Helper()
	cache := t.TempDir()
	gocache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return &script{tree, cache, append([]string{"XDG_CACHE_HOME=" + cache, "GOCACHE=" + strings.TrimSpace(string(gocache)),
		"BORINGQUIC_BSSL_PATH=", "BORINGQUIC_BSSL_SRC=", "BORINGQUIC_BSSL_PREFIX=boringquic"}, env...)}
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

func runIn(dir string, env []string, name string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func long(t *testing.T) {
	if testing.Short() {
		t.Skip("runs compilers")
	}
}
