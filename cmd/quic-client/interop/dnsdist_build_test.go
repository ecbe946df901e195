//go:build dnsdist

package interop

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// dnsdistOptions are what dnsdist's configure is told beside where the library is. It takes OpenSSL for DNS over TLS, as Debian's own does, which has to get
// along with the library's BoringSSL in one process. The compiler optimizes nothing: that halves the time.
var dnsdistOptions = []string{
	"CFLAGS=-O0 -g0", "CXXFLAGS=-O0 -g0", "--disable-dependency-tracking", "--disable-hardening",
	"--enable-dns-over-quic", "--enable-dns-over-http3", "--with-quiche", "--enable-dns-over-tls", "--with-libssl", "--with-lua=lua5.3",
	"--without-gnutls", "--without-libsodium", "--without-net-snmp", "--without-cdb", "--without-lmdb", "--without-ebpf", "--without-xsk", "--without-re2",
	"--disable-systemd",
}

// dnsdistProgram compiles dnsdist of Debian's sources with libboringquic as its quiche, once, into the user's cache folder. Like curl it finds the library by
// LD_LIBRARY_PATH.
var dnsdistProgram = sync.OnceValues(func() (string, error) {
	lib, err := library()
	if err != nil {
		return "", err
	}
	header, err := os.ReadFile(filepath.Join(lib, "lib/boringquic-quiche/include/quiche.h"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "boringquic", "interop")
	sum := sha256.Sum256(fmt.Append(header, dnsdistOptions))
	bin := filepath.Join(folder, fmt.Sprintf("dnsdist-%x", sum[:6]))
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(folder, "dnsdist-build")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	source, err := aptSource(dir, "dnsdist")
	if err != nil {
		return "", err
	}
	configure := append([]string{"PKG_CONFIG_PATH=" + filepath.Join(lib, "lib/boringquic-quiche"), "./configure"}, dnsdistOptions...)
	if err := inFolder(source, "env", configure...); err != nil {
		return "", err
	}
	if err := inFolder(source, "make", "-j"+strconv.Itoa(runtime.NumCPU())); err != nil {
		return "", err
	}
	fmt.Printf("built %s in %v\n", filepath.Base(source), time.Since(began).Round(time.Second))
	return bin, os.Rename(filepath.Join(source, "dnsdist"), bin)
})

// aptSource has apt bring and check a package's sources, and returns their folder.
func aptSource(dir, name string) (string, error) {
	a, err := newApt(dir, "deb-src")
	if err != nil {
		return "", err
	}
	if err := a.run("source", name); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, name+"-*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("apt-get source left %q: %v", found, err)
	}
	return found[0], nil
}

// wantDnsdist returns the program, and the folder of the library that it needs.
func wantDnsdist(t *testing.T) (bin, lib string) {
	t.Helper()
	bin, err := dnsdistProgram()
	if err != nil {
		t.Fatalf("dnsdist is not to be had: %v", err)
	}
	lib, err = library()
	if err != nil {
		t.Fatal(err)
	}
	return bin, filepath.Join(lib, "lib")
}
