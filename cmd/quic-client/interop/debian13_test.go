package interop

import (
	"bytes"
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
	a, err := newApt(dir, "deb")
	if err != nil {
		return "", err
	}
	if err := a.run(append([]string{"install", "--yes", "--no-install-recommends", "--download-only"}, debian13Packages...)...); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(dir, "unpacked"), 0o755); err != nil {
		return "", err
	}
	packages, err := filepath.Glob(filepath.Join(dir, "cache", "archives", "*.deb"))
	if err != nil || len(packages) == 0 {
		return "", errors.Join(errors.New("no packages came"), err)
	}
	for _, p := range packages {
		if err := inFolder(dir, "dpkg", "-x", p, "unpacked"); err != nil {
			return "", err
		}
	}
	return root, os.Rename(filepath.Join(dir, "unpacked"), root)
})

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
