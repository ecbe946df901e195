package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The crate that carries curl's sources, and what it has to be. No Rust is compiled.
const (
	curlCrate   = "curl-sys"
	curlVersion = "0.4.91+curl-8.22.0"
	curlSHA256  = "cd39579123e45bf762716bb893d43886ed1cabe6289455be29a4f1d4e37afb06"
)

// curlOptions are what curl's CMake is told beside where the library is: HTTP alone, and none of the libraries that it can do without. The last
// four stand for folders and programs that the crate leaves away.
var curlOptions = []string{
	"-DCMAKE_BUILD_TYPE=None", "-DCMAKE_C_FLAGS=-O1 -DBORINGSSL_PREFIX=boringquic", "-DCMAKE_SKIP_RPATH=ON",
	"-DUSE_QUICHE=ON", "-DHAVE_SSL_SET_QUIC_USE_LEGACY_CODEPOINT=1", // which it looks for by the name without prefix
	"-DHTTP_ONLY=ON", "-DBUILD_SHARED_LIBS=OFF", "-DPICKY_COMPILER=OFF", "-DCURL_USE_LIBPSL=OFF", "-DUSE_LIBIDN2=OFF", "-DUSE_NGHTTP2=OFF",
	"-DCURL_USE_LIBSSH2=OFF", "-DCURL_ZLIB=OFF", "-DCURL_BROTLI=OFF", "-DCURL_ZSTD=OFF", "-DCURL_DISABLE_INSTALL=ON",
	"-DBUILD_TESTING=OFF", "-DBUILD_EXAMPLES=OFF", "-DBUILD_LIBCURL_DOCS=OFF", "-DBUILD_MISC_DOCS=OFF", "-DENABLE_CURL_MANUAL=OFF",
}

// library is libboringquic as "./build.sh lib" installs it, made once for all tests.
var library = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "libboringquic"); err != nil {
		return "", err
	}
	libraryDir = dir
	if out, err := exec.Command("bash", "../../../build.sh", "lib", "--prefix", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build.sh lib: %w\n%s", err, out)
	}
	return dir, nil
})

var libraryDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if libraryDir != "" {
		_ = os.RemoveAll(libraryDir)
	}
	os.Exit(code)
}

// curlProgram compiles curl with libboringquic as its quiche and its BoringSSL, once, into the user's cache folder. The program finds the
// library by LD_LIBRARY_PATH, so that it need not be compiled anew with every change of the library: only with one of the headers.
var curlProgram = sync.OnceValues(func() (string, error) {
	lib, err := library()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, curlSHA256, curlOptions)
	for _, header := range []string{"include/boringquic-bssl/boringquic_key.h", "lib/boringquic-quiche/include/quiche.h"} {
		b, err := os.ReadFile(filepath.Join(lib, header))
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "boringquic", "interop")
	bin := filepath.Join(folder, fmt.Sprintf("curl-%x", sum.Sum(nil)[:6]))
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(folder, "curl-build")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := unpackCurl(dir); err != nil {
		return "", err
	}
	if err := compileCurl(dir, lib); err != nil {
		return "", err
	}
	return bin, os.Rename(filepath.Join(dir, "build/src/curl"), bin)
})

// unpackCurl has cargo fetch the crate, compares its sum, and unpacks curl's sources into dir.
func unpackCurl(dir string) error {
	manifest := filepath.Join(dir, "fetch")
	number, _, _ := strings.Cut(curlVersion, "+")
	for name, text := range map[string]string{
		"src/lib.rs": "",
		"Cargo.toml": fmt.Sprintf("[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\n%s = \"=%s\"\n", curlCrate, number),
	} {
		file := filepath.Join(manifest, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := inFolder(manifest, "cargo", "fetch"); err != nil {
		return err
	}
	home := os.Getenv("CARGO_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		home = filepath.Join(user, ".cargo")
	}
	name := curlCrate + "-" + curlVersion
	crates, err := filepath.Glob(filepath.Join(home, "registry/cache/*", name+".crate")) // a folder for each registry
	if err != nil {
		return err
	}
	for _, file := range crates {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) == curlSHA256 {
			return inFolder(dir, "tar", "-xzf", file, "--strip-components=1", name+"/curl")
		}
	}
	return fmt.Errorf("of %q none has SHA-256 %s", crates, curlSHA256)
}

func compileCurl(dir, lib string) error {
	docs := filepath.Join(dir, "curl/docs") // which the crate has not, and curl's CMake looks into
	if err := os.MkdirAll(docs, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(docs, "CMakeLists.txt"), nil, 0o644); err != nil {
		return err
	}
	so := filepath.Join(lib, "lib/libboringquic.so")
	args := append([]string{"PKG_CONFIG_PATH=" + filepath.Join(lib, "lib/boringquic-quiche"), "cmake", "-S", "curl", "-B", "build",
		"-DOPENSSL_INCLUDE_DIR=" + filepath.Join(lib, "include/boringquic-bssl"), "-DOPENSSL_SSL_LIBRARY=" + so, "-DOPENSSL_CRYPTO_LIBRARY=" + so}, curlOptions...)
	if _, err := exec.LookPath("ninja"); err == nil {
		args = append(args, "-GNinja")
	}
	if err := inFolder(dir, "env", args...); err != nil {
		return err
	}
	return inFolder(dir, "cmake", "--build", "build", "--target", "curl", "--parallel", strconv.Itoa(runtime.NumCPU()))
}

// inFolder runs a command there, and returns what it printed if it fails.
func inFolder(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, tail(out))
	}
	return nil
}

// curl is how a test asks a server by curl.
type curl struct {
	t    *testing.T
	bin  string
	lib  string
	base string   // the server, as https://HOST:PORT
	args []string // of each run
	env  []string
}

// newCurl returns a curl that trusts the certificates of a PEM file.
func newCurl(t *testing.T, addr, ca string) *curl {
	t.Helper()
	bin, err := curlProgram()
	if err != nil {
		t.Fatalf("curl is not to be had: %v", err)
	}
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	return &curl{t: t, bin: bin, lib: filepath.Join(lib, "lib"), base: "https://" + addr,
		args: []string{"--silent", "--show-error", "--http3-only", "--cacert", ca}}
}

// on is the curl for a test within its test.
func (c *curl) on(t *testing.T) *curl {
	of := *c
	of.t = t
	return &of
}

// command makes a run of curl, which ends with ctx.
func (c *curl) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin, append(append([]string{"--disable"}, c.args...), args...)...)
	cmd.Env = append(append(os.Environ(), "LD_LIBRARY_PATH="+c.lib), c.env...)
	return cmd
}

// fails runs curl, which has to end with one of these exit codes and in time, and returns what it printed on both channels.
func (c *curl) fails(codes []int, args ...string) (stdout, stderr []byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	cmd := c.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	c.want(cmd.Run(), &errs, codes...)
	return out.Bytes(), errs.Bytes()
}

// want looks at how a run has ended.
func (c *curl) want(err error, errs *bytes.Buffer, codes ...int) {
	c.t.Helper()
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		c.t.Fatal(err)
	}
	for _, want := range codes {
		if code == want {
			return
		}
	}
	c.t.Fatalf("curl ended with exit code %d, want %d (-1: it hung)\n%s", code, codes, tail(errs.Bytes()))
}

// ok runs curl, which has to succeed, and returns what it printed.
func (c *curl) ok(args ...string) string {
	c.t.Helper()
	out, _ := c.fails([]int{0}, args...)
	return string(out)
}
