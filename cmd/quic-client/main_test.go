package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// serve starts a server on a free port that has answer deal with each stream, and returns its address.
func serve(t *testing.T, answer func(*quicnet.Conn, *quicnet.Stream)) string {
	t.Helper()
	tlsConf, err := tlsfiles.Server("", "", []string{"localhost", "127.0.0.1"}, hq.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	return serveTLS(t, tlsConf, answer)
}

func serveTLS(t *testing.T, tlsConf *tls.Config, answer func(*quicnet.Conn, *quicnet.Stream)) string {
	t.Helper()
	ep, err := quicnet.Listen("127.0.0.1:0", &quic.Config{TLS: tlsConf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	go func() {
		for {
			conn, err := ep.Accept(t.Context())
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := conn.AcceptStream(t.Context())
					if err != nil {
						return
					}
					go answer(conn, s)
				}
			}()
		}
	}()
	return ep.Addr().String()
}

// serveFiles serves a folder with some files.
func serveFiles(t *testing.T) (addr string, files map[string][]byte) {
	t.Helper()
	top := t.TempDir()
	root := filepath.Join(top, "root")
	files = map[string][]byte{"empty": {}, "small": []byte("a few bytes"), "large": bytes.Repeat([]byte("0123456789"), 200_000)}
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(top, "secret"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	f, err := webroot.Open(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return serve(t, func(_ *quicnet.Conn, s *quicnet.Stream) { hq.Serve(s, f) }), files
}

// client runs the command and returns its exit code and what it printed.
func client(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// over is a --protocol.
type over string

func (p over) client(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	return client(ctx, append([]string{"--protocol", string(p)}, args...)...)
}

// missing is what is said of a file that is not there.
func (p over) missing(path string) string {
	if p == protocolHQ {
		return "the server has no file " + path
	}
	return path + ": the server answered 404 Not Found"
}

func eachProtocol(t *testing.T, test func(*testing.T, over)) {
	for _, p := range []over{protocolH3, protocolHQ} {
		t.Run(string(p), func(t *testing.T) { test(t, p) })
	}
}

// hqClient is client by HTTP/0.9.
func hqClient(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	return over(protocolHQ).client(ctx, args...)
}

// wantEmpty asserts that a folder holds nothing, hidden files included.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}

// Several files, on one connection.
func TestDownload(t *testing.T) {
	addr, files := serveFiles(t)
	dir := t.TempDir()
	args := []string{"--insecure", "--stats", "--dir", dir}
	for name := range files {
		args = append(args, "https://"+addr+"/"+name)
	}
	code, _, stderr := hqClient(t.Context(), args...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
	for _, want := range []string{"QUIC version 1", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", "files: 3; 2000011 bytes", "packets:"} {
		if n := strings.Count(stderr, want); n > 1 {
			t.Errorf("--stats reports %d connections: %s", n, stderr)
		}
		if !strings.Contains(stderr, want) {
			t.Errorf("--stats says %q, without %q", stderr, want)
		}
	}
}

func TestToStandardOutput(t *testing.T) {
	addr, files := serveFiles(t)
	code, stdout, stderr := hqClient(t.Context(), "--insecure", "-o", "-", "https://"+addr+"/small")
	if code != exitOK || stdout != string(files["small"]) {
		t.Errorf("exit code %d, %q: %s", code, stdout, stderr)
	}
}

// silent is the address of a socket that nobody reads.
func silent(t *testing.T) string {
	t.Helper()
	sock, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	return sock.LocalAddr().String()
}

// nobodyListens is what is said of a port that is closed, which only Linux tells us.
func nobodyListens() string {
	if runtime.GOOS == "linux" {
		return "connection refused"
	}
	return "did not finish in time"
}

func TestExitCodes(t *testing.T) {
	addr, _ := serveFiles(t)
	url := "https://" + addr + "/"
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", []string{"--help"}, exitOK, ""},
		{"no URL", nil, exitUsage, "no URL given"},
		{"unknown flag", []string{"--fast", url}, exitUsage, "unknown flag: --fast"},
		{"user name", []string{"https://me:secret@" + addr + "/small"}, exitUsage, "has a user name, which HTTP/0.9 cannot carry"},
		{"no time", []string{"--timeout", "-1s", url + "small"}, exitUsage, "--timeout -1s is not above zero"},
		{"too much time", []string{"--timeout", "25h", url + "small"}, exitUsage, "--timeout 25h0m0s is not above zero and at most 24h0m0s"},
		{"less than no size", []string{"--expect-size", "-1", url + "small"}, exitUsage, "--expect-size -1 is below zero"},
		{"other protocol", []string{"--protocol", "spdy", url + "small"}, exitUsage, "--protocol \"spdy\" is neither h3 nor hq-interop"},
		{"no protocol", []string{"--protocol", "", url + "small"}, exitUsage, "--protocol is empty: give it a value, or leave it away"},
		{"nothing to send", []string{"--upload", "", url + "small"}, exitUsage, "--upload is empty"},
		{"nobody to trust", []string{"--ca=", url + "small"}, exitUsage, "--ca is empty"},
		{"not a URL", []string{"::"}, exitUsage, "is not of the form https://HOST:PORT/PATH"},
		{"no scheme", []string{"127.0.0.1:4433/x"}, exitUsage, "is not of the form https://HOST:PORT/PATH"},
		{"bad URL", []string{"https://localhost/%zz"}, exitUsage, "is not a URL"},
		{"bad port", []string{"https://localhost:99999/x"}, exitUsage, "has the port 99999; ports are 1 to 65535"},
		{"port 0", []string{"https://localhost:0/x"}, exitUsage, "has the port 0; ports are 1 to 65535"},
		{"http URL", []string{"http://localhost/x"}, exitUsage, "is not of the form https://HOST:PORT/PATH"},
		{"one file twice", []string{"https://a/x", "https://b/x"}, exitUsage, "would both be written to"},
		{"two URLs to one file", []string{"-o", "f", url + "a", url + "b"}, exitUsage, "use --dir"},
		{"CA file that is none", []string{"--ca", "main.go", url + "small"}, exitFailed, "holds no certificate"},
		{"contradiction", []string{"--insecure", "--ca", "main.go", url + "small"}, exitUsage, "exclude each other"},
		{"CA file that is not there", []string{"--ca", "no such file", url + "small"}, exitFailed, "no such file"},
		{"congestion controller", []string{"--congestion", "warp", url + "small"}, exitUsage, "neither cubic nor reno"},
		{"certificate not trusted", []string{url + "small"}, exitNoConn, "\nCertificates that the system does not trust are named with --ca"},
		{"protocol not spoken", []string{"--insecure", "--protocol", "h3", url + "small"}, exitNoConn, "no application protocol"},
		{"nobody answers", []string{"--insecure", "--timeout", "100ms", "https://" + silent(t) + "/x"}, exitNoConn, "did not finish in time"},
		{"nobody listens", []string{"--insecure", "--timeout", "1s", "https://127.0.0.1:9/x"}, exitNoConn, nobodyListens()},
		{"missing file", []string{"--insecure", url + "nothing"}, exitFailed, "the server has no file /nothing"},
		{"path out of the root", []string{"--insecure", url + "%2e%2e/secret"}, exitFailed, "the server does not give out"},
		{"link out of the root", []string{"--insecure", url + "link"}, exitFailed, "the server does not give out"},
		{"folder", []string{"--insecure", "--output", ".", url + "small"}, exitFailed, "cannot write .: open .: is a directory"},
		{"name that no file has", []string{"--insecure", "-o", "f", url + "small/x"}, exitFailed, "the server has no file /small/x"},
		{"folder that is not there", []string{"--insecure", "--dir", "no/such/dir", url + "small"}, exitFailed, "cannot write"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Symlink(must(filepath.Abs("main.go")), filepath.Join(dir, "main.go")); err != nil {
				t.Fatal(err)
			}
			t.Chdir(dir)
			code, stdout, stderr := hqClient(t.Context(), c.args...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d and %q, want %d and %q", code, stderr, c.code, c.says)
			}
			if c.name == "help" && !strings.Contains(stdout, "Exit codes:") {
				t.Errorf("--help prints %q", stdout)
			}
			if err := os.Remove("main.go"); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, dir)
		})
	}
}

// Help that cannot be written is not taken for written.
func TestHelpOnFullDisk(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	var stderr strings.Builder
	if code := run(t.Context(), []string{"--help"}, w, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "cannot write to standard output: ") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}

// What is not a file keeps its name: /dev/null must not become one.
func TestToDevice(t *testing.T) {
	addr, _ := serveFiles(t)
	name := filepath.Join(t.TempDir(), "null")
	if err := os.Symlink(os.DevNull, name); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := hqClient(t.Context(), "--insecure", "-o", name, "https://"+addr+"/large"); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if info, err := os.Lstat(name); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the device's name now means %v, %v", info, err)
	}
}

// A name of what is open already is not given to another file: what comes goes behind what was written there.
func TestToOpenFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("before ")
	name := fmt.Sprint("/proc/self/fd/", f.Fd())
	if _, err := os.Stat(name); err == nil { // there are systems that have no such names
		addr, contents := serveFiles(t)
		if code, _, stderr := hqClient(t.Context(), "--insecure", "-o", name, "https://"+addr+"/large"); code != exitOK {
			t.Errorf("exit code %d: %s", code, stderr)
		}
		if b, err := os.ReadFile(f.Name()); string(b) != "before "+string(contents["large"]) {
			t.Errorf("%d bytes: %.20q, %v", len(b), b, err)
		}
	}
	if s, err := (&options{method: "GET", out: "/dev/stdout"}).plan([]string{"https://localhost/a", "https://localhost/b"}); err != nil || s[0].jobs[1].file != "-" {
		t.Errorf("/dev/stdout: %v", err)
	}
}

// A download whose output nobody takes ends when it is interrupted, by whichever protocol.
func TestInterruptedWhileNobodyReads(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p over) {
		addr := serveEarly(t, new(quic.Config))
		ctx, interrupt := context.WithCancel(t.Context())
		out, in := io.Pipe()
		defer out.Close() // then what was left behind ends, too
		go func() {
			out.Read(make([]byte, 1))
			interrupt()
		}()
		args := []string{"--insecure", "--protocol", string(p), "-q", "-o", "-", "https://" + addr + "/large"}
		if code := runPatiently(ctx, time.Millisecond, args, in, io.Discard); code != exitInterrupted {
			t.Errorf("exit code %d", code)
		}
	})
}

// A URL that ends like the name of standard output brings a file of that name.
func TestToDash(t *testing.T) {
	for dir, want := range map[string]string{".": "./-", "x": "x/-", "x/..": "./-"} {
		s, err := (&options{method: "GET", dir: dir}).plan([]string{"https://localhost/a/-"})
		if err != nil || s[0].jobs[0].file != filepath.FromSlash(want) {
			t.Errorf("--dir %s: %+v, %v; want the file %s", dir, s[0].jobs, err, want)
		}
	}
}

// A link to a file stays one, and the file has the new contents, and who might read it before.
func TestToLink(t *testing.T) {
	addr, _ := serveFiles(t)
	file, link := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.WriteFile(file, []byte("old"), 0o600), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := hqClient(t.Context(), "--insecure", "-o", link, "https://"+addr+"/large"); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
	if info, err := os.Lstat(file); err != nil || info.Size() <= 3 || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
}

// A server is believed by those who trust its certificate, under the names that stand in it.
func TestCA(t *testing.T) {
	start := func(host string) (url, ca string) {
		tlsConf, err := tlsfiles.Server("", "", []string{host}, hq.ALPN)
		if err != nil {
			t.Fatal(err)
		}
		ca = filepath.Join(t.TempDir(), "ca.pem")
		block := &pem.Block{Type: "CERTIFICATE", Bytes: tlsConf.Certificates[0].Certificate[0]}
		if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
		return "https://" + serveTLS(t, tlsConf, func(_ *quicnet.Conn, s *quicnet.Stream) { s.Close() }) + "/", ca
	}
	url, ca := start("127.0.0.1")
	otherURL, otherCA := start("other.example")
	for _, c := range []struct {
		name, url, ca string
		code          int
		says          string
	}{
		{"right", url, ca, exitOK, ""},
		{"wrong CA", url, otherCA, exitNoConn, "certificate signed by unknown authority"},
		{"wrong name", otherURL, otherCA, exitNoConn, "cannot validate certificate for 127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := hqClient(t.Context(), "--ca", c.ca, "-o", "-", c.url)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d and %q, want %d and %q", code, stderr, c.code, c.says)
			}
		})
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// half answers with the beginning of a file and does not end it.
func half(s *quicnet.Stream) {
	io.ReadAll(s)
	s.Write(make([]byte, 100_000))
}

// A download that is interrupted leaves nothing behind.
func TestInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	addr := serve(t, func(_ *quicnet.Conn, s *quicnet.Stream) {
		half(s)
		interrupt()
	})
	dir := t.TempDir()
	code, _, stderr := hqClient(ctx, "--insecure", "--dir", dir, "https://"+addr+"/file")
	if code != exitInterrupted || !strings.Contains(stderr, "interrupted; incomplete files were removed") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	wantEmpty(t, dir)
}

// Nor does one that the server breaks off, by a reset of the stream or by closing the connection.
func TestBrokenOff(t *testing.T) {
	for name, breakOff := range map[string]func(*quicnet.Conn, *quicnet.Stream){
		"reset": func(_ *quicnet.Conn, s *quicnet.Stream) { s.CancelWrite(500) },
		"close": func(c *quicnet.Conn, _ *quicnet.Stream) { c.CloseWithError(7, "going home") },
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, func(c *quicnet.Conn, s *quicnet.Stream) {
				half(s)
				breakOff(c, s)
			})
			dir := t.TempDir()
			code, _, stderr := hqClient(t.Context(), "--insecure", "--dir", dir, "https://"+addr+"/file")
			if code != exitFailed || !strings.Contains(stderr, "broke off") && !strings.Contains(stderr, "going home") {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			wantEmpty(t, dir)
		})
	}
}

// QLOGDIR and --qlog-dir name a folder that connections are traced in; one that cannot be is told of, and the download is done all the same.
func TestQlog(t *testing.T) {
	addr, _ := serveFiles(t)
	byEnv, byFlag := filepath.Join(t.TempDir(), "env"), filepath.Join(t.TempDir(), "flag")
	t.Setenv("QLOGDIR", byEnv)
	for dir, flags := range map[string][]string{byEnv: nil, byFlag: {"--qlog-dir", byFlag}} {
		args := append(flags, "--insecure", "--dir", t.TempDir(), "https://"+addr+"/small")
		if code, _, stderr := hqClient(t.Context(), args...); code != exitOK || strings.Contains(stderr, "qlog") {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*_client.sqlog"))
		if len(files) != 1 {
			t.Fatalf("%s: files %v", dir, files)
		}
		b, err := os.ReadFile(files[0])
		if err != nil || !bytes.Contains(b, []byte("quic:packet_received")) || !bytes.Contains(b, []byte("quic:connection_closed")) {
			t.Errorf("%s: %d bytes, %v", files[0], len(b), err)
		}
	}
	file := filepath.Join(byEnv, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := hqClient(t.Context(), "--qlog-dir", file, "--insecure", "--dir", t.TempDir(), "https://"+addr+"/small")
	if code != exitOK || strings.Count(stderr, "no qlog is written") != 1 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestKeyLog(t *testing.T) {
	addr, _ := serveFiles(t)
	log := filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", log)
	if code, _, stderr := hqClient(t.Context(), "--insecure", "--dir", t.TempDir(), "https://"+addr+"/small"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	lines, err := os.ReadFile(log)
	for _, want := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_HANDSHAKE_TRAFFIC_SECRET ",
		"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "} {
		if err != nil || !bytes.Contains(lines, []byte(want)) {
			t.Errorf("SSLKEYLOGFILE has no line %s: %v", want, err)
		}
	}
}
