package buildtest

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
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

// proxy serves a tree as a module of moduleVersion from a folder, and returns the value of GOPROXY for it.
func proxy(t *testing.T, tree string) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, modulePath, "@v")
	write(t, filepath.Join(at, "list"), []byte(moduleVersion+"\n"))
	write(t, filepath.Join(at, moduleVersion+".info"), fmt.Appendf(nil, `{"Version":%q}`, moduleVersion))
	write(t, filepath.Join(at, moduleVersion+".mod"), read(t, filepath.Join(tree, "go.mod")))
	write(t, filepath.Join(at, moduleVersion+".zip"), moduleZip(t, tree))
	others, stderr, err := runIn(tree, nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		t.Fatalf("go env: %v\n%s", err, stderr)
	}
	lines := strings.Fields(others)
	return "file://" + dir + ",file://" + lines[0] + "/cache/download," + lines[1]
}

// moduleZip makes a module zip of a tree: its files without those of nested modules.
func moduleZip(t *testing.T, tree string) []byte {
	t.Helper()
	all := files(t, tree)
	inNested := func(name string) bool {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if slices.Contains(all, dir+"/go.mod") {
				return true
			}
		}
		return false
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range all {
		if inNested(name) {
			continue
		}
		w, err := z.Create(modulePath + "@" + moduleVersion + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(read(t, filepath.Join(tree, name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// module is one that imports ours, with a module cache of its own, in which our tree lies read-only.
type module struct {
	dir  string
	env  []string
	ours string // our tree
}

// importer makes a module with a main.go that imports the module of tree.
func importer(t *testing.T, tree, source string) *module {
	t.Helper()
	m := &module{dir: t.TempDir()}
	modcache := filepath.Join(t.TempDir(), "mod")
	t.Cleanup(func() { // Go makes what it caches read-only
		filepath.WalkDir(modcache, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(name, 0o755)
			}
			return err
		})
	})
	write(t, filepath.Join(m.dir, "go.mod"), []byte("module example.com/importer\n\ngo 1.25.0\n"))
	write(t, filepath.Join(m.dir, "main.go"), []byte(source))
	m.env = []string{"GOPROXY=" + proxy(t, tree), "GOMODCACHE=" + modcache, "GONOSUMDB=*", "GOFLAGS=-mod=mod", "CGO_CFLAGS=", "CGO_LDFLAGS="}
	m.run(t, nil, "go", "get", modulePath+"@"+moduleVersion)
	m.ours = strings.TrimSpace(m.run(t, nil, "go", "list", "-m", "-f", "{{.Dir}}", modulePath))
	return m
}

// run runs a program, which must succeed, in the module.
func (m *module) run(t *testing.T, env []string, name string, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, err := runIn(m.dir, append(slices.Clone(m.env), env...), name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// wantRuns builds the module with the environment given and runs it.
func (m *module) wantRuns(t *testing.T, env []string, args ...string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "program")
	m.run(t, env, "go", append([]string{"build", "-o", bin}, args...)...)
	if out := m.run(t, nil, bin); out != "first datagram: 1200\n" {
		t.Errorf("the program prints %q", out)
	}
	if runtime.GOOS == "linux" {
		if out := m.run(t, nil, "ldd", bin); strings.Contains(out, "libstdc++") {
			t.Errorf("the program needs a shared library of C++:\n%s", out)
		}
	}
}

// cgoEnv has a shell evaluate what "build.sh env" prints.
func cgoEnv(t *testing.T, printed string) (env []string) {
	t.Helper()
	out, stderr, err := runIn(".", nil, "bash", "-c", `eval "$(grep '^export ' <<<"$1")"; printf 'CGO_CFLAGS=%s\0CGO_LDFLAGS=%s' "$CGO_CFLAGS" "$CGO_LDFLAGS"`, "bash", printed)
	if err != nil {
		t.Fatalf("%q: %v\n%s", printed, err, stderr)
	}
	return strings.Split(out, "\x00")
}

// Somebody else's module builds with what "install" installs, by itself or with what it then prints, or with what "env"
// prints, from our tree in the module cache, and with that vendored. Nothing is written to our tree.
func TestImport(t *testing.T) {
	tree := copyTree(t)
	local := relocate(t, tree)
	m := importer(t, tree, program)
	before := files(t, m.ours)
	s := newScript(t, m.ours, "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib"))
	t.Run("neither", func(t *testing.T) {
		_, stderr, err := runIn(m.dir, m.env, "go", "build", "-o", os.DevNull)
		if want := "where that is read-only, bash build.sh install"; err == nil || !strings.Contains(stderr, want) {
			t.Errorf("go build: %v, %q, want %q", err, stderr, want)
		}
	})
	printed := s.ok(t, "env")
	t.Run("env", func(t *testing.T) { m.wantRuns(t, cgoEnv(t, printed)) })
	t.Run("vendor", func(t *testing.T) {
		m.run(t, nil, "go", "mod", "vendor")
		m.wantRuns(t, append(cgoEnv(t, printed), "GOFLAGS=-mod=vendor"))
	})
	t.Run("install --prefix", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "a name with spaces")
		m.wantRuns(t, cgoEnv(t, s.ok(t, "install", "--prefix", to)))
	})
	t.Run("install", func(t *testing.T) {
		write(t, filepath.Join(local, "include/boringquic/openssl/ssl.h"), []byte("#error an older install\n"))
		s.ok(t, "install")
		m.wantRuns(t, nil)
		m.wantRuns(t, []string{"GOFLAGS=-mod=vendor"})
	})
	if after := files(t, m.ours); !slices.Equal(after, before) {
		t.Errorf("our tree held %v, now %v", before, after)
	}
}

// withOpenSSL also links OpenSSL, statically, as any package may, and has it do a handshake's first step.
const withOpenSSL = `package main

// #cgo CFLAGS: -I${SRCDIR}/openssl/include
// #cgo LDFLAGS: -L${SRCDIR}/openssl/lib -lssl -lcrypto -ldl -lpthread
// #include <openssl/ssl.h>
import "C"

import "fmt"

func init() {
	ssl := C.SSL_new(C.SSL_CTX_new(C.TLS_client_method()))
	in := C.BIO_new(C.BIO_s_mem())
	C.SSL_set_bio(ssl, in, C.BIO_new(C.BIO_s_mem()))
	if r := C.SSL_connect(ssl); C.SSL_get_error(ssl, r) != C.SSL_ERROR_WANT_READ {
		panic("OpenSSL does not begin a handshake")
	}
	fmt.Println(C.GoString(C.OpenSSL_version(0)))
}
`

// OpenSSL in the same program does not meet BoringSSL's symbols: both do handshakes.
func TestWithOpenSSL(t *testing.T) {
	m := importer(t, repository(t), string(read(t, filepath.Join(repository(t), "examples/echo/main.go"))))
	source := withOpenSSL
	for _, lib := range []string{"z", "zstd"} { // some OpenSSLs want them
		if at := staticLibrary(t, lib); at != "" {
			source = strings.Replace(source, " -ldl", " "+at+" -ldl", 1)
		}
	}
	write(t, filepath.Join(m.dir, "openssl.go"), []byte(source))
	if err := os.CopyFS(filepath.Join(m.dir, "openssl"), os.DirFS(openSSL(t))); err != nil {
		t.Fatal(err)
	}
	env := cgoEnv(t, newScript(t, m.ours, "BORINGQUIC_BSSL_PATH="+custom(t, "lib", "lib")).ok(t, "env"))
	out := m.run(t, env, "go", "run", ".")
	if !strings.HasPrefix(out, "OpenSSL ") || !strings.Contains(out, `the server answered "hello over QUIC"`) {
		t.Errorf("the program prints %q", out)
	}
}
