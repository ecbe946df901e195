package buildtest

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	modulePath    = "github.com/boringquic/boringquic"
	moduleVersion = "v0.0.1"
)

// program is what somebody else's module does with ours: a connection's first datagram needs all of BoringSSL.
const program = `package main

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/quic"
)

func main() {
	c, err := quic.Connect(time.Now(), &quic.Config{TLS: &tls.Config{NextProtos: []string{"test"}}},
		quic.ConnectParams{ServerName: "localhost", Remote: netip.MustParseAddrPort("127.0.0.1:1")})
	if err != nil {
		panic(err)
	}
	fmt.Println("first datagram:", c.Send(time.Now(), make([]byte, 1500)).N)
}
`

// proxy serves the tree as a module of moduleVersion from a folder, and returns the value of GOPROXY for it.
func proxy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, modulePath, "@v")
	var nested []string
	all := files(t)
	for _, name := range all {
		if d := path.Dir(name); path.Base(name) == "go.mod" && d != "." {
			nested = append(nested, d+"/")
		}
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
next:
	for _, name := range all {
		for _, d := range nested {
			if strings.HasPrefix(name, d) {
				continue next // a module of its own
			}
		}
		data, err := os.ReadFile(filepath.Join(repository(t), name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(modulePath + "@" + moduleVersion + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(repository(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"list": []byte(moduleVersion + "\n"), moduleVersion + ".mod": mod, moduleVersion + ".zip": buf.Bytes(),
		moduleVersion + ".info": fmt.Appendf(nil, `{"Version":%q}`, moduleVersion),
	} {
		write(t, filepath.Join(at, name), data, 0o644)
	}
	others, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(others)), "\n")
	return "file://" + dir + ",file://" + lines[0] + "/cache/download," + lines[1]
}

// importer makes a module that imports ours, with a module cache of its own, in which our tree lies read-only.
func importer(t *testing.T, source string) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	modcache := filepath.Join(t.TempDir(), "mod")
	t.Cleanup(func() { // Go makes what it caches read-only
		filepath.WalkDir(modcache, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(name, 0o755)
			}
			return err
		})
	})
	write(t, filepath.Join(dir, "go.mod"), []byte("module example.com/importer\n\ngo 1.25.0\n"), 0o644)
	write(t, filepath.Join(dir, "main.go"), []byte(source), 0o644)
	env = []string{"GOPROXY=" + proxy(t), "GOMODCACHE=" + modcache, "GONOSUMDB=*", "GONOSUMCHECK=1", "GOFLAGS=-mod=mod",
		"CGO_CFLAGS=", "CGO_LDFLAGS="}
	if _, stderr, err := runIn(dir, env, "go", "get", modulePath+"@"+moduleVersion); err != nil {
		t.Fatalf("go get: %v\n%s", err, stderr)
	}
	return dir, env
}

// cgoEnv reads what "build.sh env" prints as a shell would.
func cgoEnv(t *testing.T, printed string) (env []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^export (CGO_\w+)="(.*)"$`).FindAllStringSubmatch(printed, -1) {
		env = append(env, m[1]+"="+m[2])
	}
	if len(env) != 2 {
		t.Fatalf("build.sh printed %q", printed)
	}
	return env
}

func wantRuns(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	out, stderr, err := runIn(dir, env, "go", append([]string{"run"}, append(args, ".")...)...)
	if err != nil || !strings.Contains(out, "first datagram: 1200") {
		t.Errorf("go run: %v, %q\n%s", err, out, stderr)
	}
}

// Somebody else's module builds with what "env" prints or "install" installs, from our tree in the module cache, and with
// that vendored.
func TestImport(t *testing.T) {
	long(t)
	dir, env := importer(t, program)
	out, _, err := runIn(dir, env, "go", "list", "-m", "-f", "{{.Dir}}", modulePath)
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(t, strings.TrimSpace(out), "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib"))
	t.Run("env", func(t *testing.T) { wantRuns(t, dir, append(env, cgoEnv(t, s.ok(t, "env"))...)) })
	t.Run("install", func(t *testing.T) {
		to := t.TempDir()
		s.ok(t, "install", "--prefix", to)
		printed := s.ok(t, "install", "--prefix", to) // over an older one
		wantRuns(t, dir, append(env, cgoEnv(t, printed)...))
	})
	t.Run("vendor", func(t *testing.T) {
		if _, stderr, err := runIn(dir, env, "go", "mod", "vendor"); err != nil {
			t.Fatalf("go mod vendor: %v\n%s", err, stderr)
		}
		wantRuns(t, dir, append(append(env, "GOFLAGS="), cgoEnv(t, s.ok(t, "env"))...), "-mod=vendor")
	})
}

// withOpenSSL also links OpenSSL, statically, and uses it.
const withOpenSSL = `package main

// #cgo LDFLAGS: -l:libssl.a -l:libcrypto.a -ldl -lpthread
// typedef struct ssl_method_st SSL_METHOD;
// typedef struct ssl_ctx_st SSL_CTX;
// const SSL_METHOD *TLS_method(void);
// SSL_CTX *SSL_CTX_new(const SSL_METHOD *);
// const char *OpenSSL_version(int);
import "C"

import "fmt"

func init() {
	if C.SSL_CTX_new(C.TLS_method()) == nil {
		panic("OpenSSL makes no SSL_CTX")
	}
	fmt.Println(C.GoString(C.OpenSSL_version(0)))
}
`

// OpenSSL in the same program does not meet BoringSSL's symbols.
func TestWithOpenSSL(t *testing.T) {
	long(t)
	at, err := exec.Command("cc", "-print-file-name=libssl.a").Output()
	if err != nil || !strings.Contains(string(at), "/") {
		t.Skip("OpenSSL's static libraries are not there (Debian: libssl-dev)")
	}
	dir, env := importer(t, program)
	write(t, filepath.Join(dir, "openssl.go"), []byte(withOpenSSL), 0o644)
	env = append(env, cgoEnv(t, newScript(t, repository(t), "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib")).ok(t, "env"))...)
	out, stderr, err := runIn(dir, env, "go", "run", ".")
	if err != nil || !strings.Contains(out, "OpenSSL ") || !strings.Contains(out, "first datagram: 1200") {
		t.Errorf("go run: %v, %q\n%s", err, out, stderr)
	}
}
