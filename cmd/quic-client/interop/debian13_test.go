package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// debian13Packages are what is taken from Debian 13, whose nginx, haproxy and curl speak HTTP/3, which those of Debian 12 do not.
var debian13Packages = []string{"nginx", "haproxy", "curl"}

// debian13 unpacks them, with all the libraries that they need, into a folder of the user's cache, once, and returns it. Nothing of the machine's
// own packages is touched.
var debian13 = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(debian13Packages, " ")))
	dir := filepath.Join(cache, "boringquic", "interop", fmt.Sprintf("debian13-%x", sum[:6]))
	root := filepath.Join(dir, "root")
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	archive, err := debianArchive()
	if err != nil {
		return "", err
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "unpacked"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	for name, text := range map[string]string{
		"status":       "", // as if nothing was installed
		"sources.list": "deb " + archive + " trixie main\n",
		"apt.conf": fmt.Sprintf("Dir::Etc::sourcelist %q;\nDir::Etc::sourceparts \"/dev/null\";\nDir::State %q;\nDir::State::status %q;\nDir::Cache %q;\n",
			filepath.Join(dir, "sources.list"), filepath.Join(dir, "state"), filepath.Join(dir, "status"), filepath.Join(dir, "cache")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*limit)
	defer cancel()
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(dir, "apt.conf"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, tail(out))
		}
		return nil
	}
	if err := run("apt-get", "update"); err != nil {
		return "", err
	}
	if err := run(append([]string{"apt-get", "install", "--yes", "--no-install-recommends", "--download-only"}, debian13Packages...)...); err != nil {
		return "", err
	}
	packages, err := filepath.Glob(filepath.Join(dir, "cache", "archives", "*.deb"))
	if err != nil || len(packages) == 0 {
		return "", errors.Join(errors.New("no packages came"), err)
	}
	for _, p := range packages {
		if err := run("dpkg", "-x", p, filepath.Join(dir, "unpacked")); err != nil {
			return "", err
		}
	}
	return root, os.Rename(filepath.Join(dir, "unpacked"), root)
})

// debianArchive returns the address that the machine has Debian's packages from, with the key that they are signed with.
func debianArchive() (string, error) {
	b, err := os.ReadFile("/etc/apt/sources.list.d/debian.sources")
	if err != nil {
		return "", err
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && fields[name] == "" { // of the first entry
			fields[name] = strings.TrimSpace(value)
		}
	}
	if fields["URIs"] == "" || fields["Signed-By"] == "" {
		return "", errors.New("debian.sources does not say where packages are")
	}
	return "[signed-by=" + fields["Signed-By"] + "] " + fields["URIs"], nil
}

// debian13Command returns the command that runs one of these programs, with its own libraries.
func debian13Command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	root, err := debian13()
	if err != nil {
		t.Fatalf("Debian 13's packages are not to be had: %v", err)
	}
	loader, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*", "ld-linux-*.so.*"))
	if err != nil || len(loader) != 1 {
		t.Fatalf("Debian 13's loader: %q, %v", loader, err)
	}
	return exec.Command(loader[0], append([]string{"--library-path", filepath.Dir(loader[0]), filepath.Join(root, "usr", program)}, args...)...)
}

// fill writes a configuration, with addresses and files in place of the words that stand for them.
func fill(t *testing.T, config string, words ...string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(file, bytes.TrimLeft([]byte(strings.NewReplacer(words...).Replace(config)), "\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
