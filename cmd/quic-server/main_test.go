package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// start runs the server until the test ends, and returns where it listens and how it stops.
func start(t *testing.T, args ...string) (addr string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, w := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, args, w, &stderr)
		w.Close()
		ended <- code
	}()
	line := make([]byte, 1000)
	n, _ := r.Read(line)
	_, rest, ok := strings.Cut(string(line[:n]), "listening on ")
	addr, _, _ = strings.Cut(rest, ",")
	if !ok {
		t.Fatalf("exit code %d: %s", <-ended, stderr.String())
	}
	go io.Copy(io.Discard, r)
	return addr, func() int { cancel(); return <-ended }
}

func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"file", "index.html"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("contents of "+name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// largeRoot is a root whose file takes a while.
func largeRoot(t *testing.T) string {
	t.Helper()
	dir := root(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 64<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// begin asks for the file on a connection of its own, and reads the first bytes of it.
func begin(t *testing.T, addr string, cfg *quic.Config) (*quicnet.Conn, *quicnet.Stream) {
	t.Helper()
	var err error
	if cfg.TLS, err = tlsfiles.Client(true, "", hq.ALPN); err != nil {
		t.Fatal(err)
	}
	conn, err := quicnet.Dial(t.Context(), addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s, "GET /file\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	return conn, s
}

// get fetches one path on a connection of its own, whose certificate must be in the file ca if one is named.
func get(t *testing.T, addr, ca, path string) (string, error) {
	t.Helper()
	tlsConf, err := tlsfiles.Client(ca == "", ca, hq.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := quicnet.Dial(t.Context(), addr, &quic.Config{TLS: tlsConf})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	s, err := conn.OpenStream(t.Context())
	if err != nil {
		return "", err
	}
	var body strings.Builder
	_, err = hq.Get(s, path, &body)
	return body.String(), err
}

func TestServe(t *testing.T) {
	for name, flags := range map[string][]string{"plain": nil, "retry": {"--retry", "--congestion", "reno", "-v"}} {
		t.Run(name, func(t *testing.T) {
			addr, stop := start(t, append([]string{"--listen", "127.0.0.1:0", "--root", root(t)}, flags...)...)
			for path, want := range map[string]string{"/file": "contents of file", "/": "contents of index.html",
				"/file?query": "contents of file", "/fi%6ce": "contents of file"} {
				if got, err := get(t, addr, "", path); got != want || err != nil {
					t.Errorf("%s: %q, %v; want %q", path, got, err, want)
				}
			}
			if code := stop(); code != exitOK {
				t.Errorf("exit code %d when it was told to stop", code)
			}
		})
	}
}

// With -v the server tells which clients failed, and why.
func TestFailedClientsAreTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdout, out := io.Pipe()
	stderr, errOut := io.Pipe()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"--listen", "127.0.0.1:0", "--root", root(t), "-v"}, out, errOut) }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	_, rest, _ := strings.Cut(line, "listening on ")
	addr, _, ok := strings.Cut(rest, ",")
	if !ok {
		t.Fatalf("the server says %q, %v", line, err)
	}
	lines := bufio.NewReader(stderr)
	go func() {
		tlsConf, _ := tlsfiles.Client(true, "", "another protocol")
		if _, err := quicnet.Dial(ctx, addr, &quic.Config{TLS: tlsConf}); err == nil {
			t.Error("a client of another protocol was served")
		}
		get(t, addr, "", "/file")
	}()
	var told strings.Builder
	for !strings.Contains(told.String(), ": gone\n") { // the second client's end
		line, err := lines.ReadString('\n')
		told.WriteString(line)
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(told.String(), ": not connected: ") || !strings.Contains(told.String(), "no application protocol") {
		t.Errorf("the server told\n%s", told.String())
	}
	go io.Copy(io.Discard, lines)
	cancel()
	<-ended
}

// Clients that end their requests late, or never, and one that sends more than a request, keep no stream from those that may be open.
func TestRequestsThatDoNotEnd(t *testing.T) {
	addr, _ := start(t, "--listen", "127.0.0.1:0", "--root", root(t))
	tlsConf, err := tlsfiles.Client(true, "", hq.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := quicnet.Dial(t.Context(), addr, &quic.Config{TLS: tlsConf})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 350 { // a server allows 100 at a time
		s, err := conn.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		request := "GET /file\r\n"
		if i%3 == 2 {
			request += strings.Repeat("more than a request ", 1000)
		}
		if _, err := io.WriteString(s, request); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); string(got) != "contents of file" || err != nil {
			t.Fatalf("request %d: %q, %v", i, got, err)
		}
		if i%3 == 1 {
			s.Close()
		}
	}
}

// A certificate and a key from files, and the key log, which must hold what the client's secrets are.
func TestCertificateAndKeyLog(t *testing.T) {
	dir := t.TempDir()
	cert, keyFile := writeCertificate(t, dir)
	log := filepath.Join(dir, "secrets")
	t.Setenv("SSLKEYLOGFILE", log)
	addr, stop := start(t, "--listen", "127.0.0.1:0", "--root", root(t), "--cert", cert, "--key", keyFile)
	if got, err := get(t, addr, cert, "/file"); got != "contents of file" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d when it was told to stop", code)
	}
	secrets, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int) // of each line: the server's and the client's are the same
	for line := range strings.Lines(string(secrets)) {
		count[line]++
	}
	if len(count) < 4 {
		t.Errorf("SSLKEYLOGFILE holds %d secrets", len(count))
	}
	for line, n := range count {
		if n != 2 {
			t.Errorf("%d lines %q, want one of each side", n, line)
		}
	}
}

// writeCertificate makes a certificate for 127.0.0.1 and its key, in files of a folder.
func writeCertificate(t *testing.T, dir string) (cert, keyFile string) {
	t.Helper()
	tlsConf, err := tlsfiles.Server("", "", []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(tlsConf.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		cert:    {Type: "CERTIFICATE", Bytes: tlsConf.Certificates[0].Certificate[0]},
		keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, keyFile
}

func TestIPv6(t *testing.T) {
	probe, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return // a machine without IPv6
	}
	probe.Close()
	addr, _ := start(t, "--listen", "[::1]:0", "--root", root(t))
	if got, err := get(t, addr, "", "/file"); got != "contents of file" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A server that is told to stop says goodbye to a client in the middle of a file.
func TestStop(t *testing.T) {
	dir := largeRoot(t)
	addr, stop := start(t, "--listen", "127.0.0.1:0", "--root", dir)
	_, s := begin(t, addr, &quic.Config{})
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d when it was told to stop", code)
	}
	_, err := io.Copy(io.Discard, s)
	var closed *quic.ApplicationError
	if !errors.As(err, &closed) || !closed.Remote || closed.Reason != "the server is shutting down" {
		t.Errorf("the client reads %v, want the server's goodbye", err)
	}
}

// A folder for traces that cannot be made or written to, and a key log, are told of when the server starts, not only when a client comes.
func TestUnwritableLogs(t *testing.T) {
	dir := root(t)
	for _, c := range []struct{ name, qlogDir, keyLog, says string }{
		{"QLOGDIR is a file", filepath.Join(dir, "file"), "", "quic-server: no qlog is written: mkdir " + filepath.Join(dir, "file") + ": not a directory\n"},
		{"QLOGDIR is beneath a file", filepath.Join(dir, "file", "x"), "", "quic-server: no qlog is written: mkdir " + filepath.Join(dir, "file") + ": not a directory\n"},
		{"QLOGDIR is nowhere", "/proc/no/such", "", "quic-server: no qlog is written: mkdir /proc/no: "},
		{"SSLKEYLOGFILE is a folder", "", dir, "quic-server: cannot write the key log that SSLKEYLOGFILE names: open " + dir + ": is a directory\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("QLOGDIR", c.qlogDir)
			t.Setenv("SSLKEYLOGFILE", c.keyLog)
			var stderr bytes.Buffer
			ctx, stop := context.WithCancel(t.Context())
			stop()
			want := exitOK // it works on without traces
			if c.keyLog != "" {
				want = exitFailed
			}
			code := run(ctx, []string{"--listen", "127.0.0.1:0", "--root", dir}, io.Discard, &stderr)
			if code != want || !strings.HasPrefix(stderr.String(), c.says) || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("exit code %d, and it says %q, want %q", code, stderr.String(), c.says)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	busy, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"argument", []string{"dir"}, exitUsage, "the folder to serve is given with --root"},
		{"unknown flag", []string{"--fast"}, exitUsage, "unknown flag: --fast"},
		{"address", []string{"--listen", "localhost"}, exitUsage, "is not HOST:PORT"},
		{"congestion controller", []string{"--congestion", "warp"}, exitUsage, "neither cubic nor reno"},
		{"no shards", []string{"--shards", "0"}, exitUsage, "--shards 0: give a number from 1 to 256, or -1"},
		{"root that is not there", []string{"--root", "no/such/dir"}, exitFailed, "cannot serve no/such/dir"},
		{"port in use", []string{"--listen", busy.LocalAddr().String()}, exitFailed, "another program uses that port"},
		{"certificate without key", []string{"--cert", "main.go"}, exitUsage, "--cert and --key go together"},
		{"certificate without a name", []string{"--cert", "", "--key", ""}, exitUsage, "--cert is empty: give it a value, or leave it away"},
		{"certificate that is not there", []string{"--cert", "no.pem", "--key", "no.pem"}, exitFailed, "no usable certificate: open no.pem"},
		{"key of resets that is none", []string{"--reset-key", "main.go"}, exitFailed, "line 1 of main.go does not hold 64 hexadecimal digits"},
		{"key of resets in no folder", []string{"--reset-key", "no/such/key"}, exitFailed, "no key for stateless resets: no/such/key is not there, and cannot be made: no such file"},
		{"key of tokens that is none", []string{"--token-key", "main.go"}, exitFailed, "no key for tokens: line 1 of main.go does not hold"},
		{"keys of tickets that are none", []string{"--ticket-keys", "main.go"}, exitFailed, "no keys for session tickets: line 1 of main.go does not"},
		{"keys of tickets in no folder", []string{"--ticket-keys", "no/such/key"}, exitFailed, "no keys for session tickets: no/such/key is not there, and cannot be made: no such file"},
		{"keys of tickets in a folder", []string{"--ticket-keys", "."}, exitFailed, "no keys for session tickets: read .: is a directory"},
		{"version", []string{"--versions", "1,3"}, exitUsage, "--versions \"1,3\": give 1, 2, or both"},
		{"preferred address without port", []string{"--preferred-address", "192.0.2.1"}, exitUsage, "\"192.0.2.1\" is not the IP:PORT of one host"},
		{"preferred address of nobody", []string{"--preferred-address", "0.0.0.0:443"}, exitUsage, "is not the IP:PORT of one host"},
		{"two of a family", []string{"--preferred-address", "192.0.2.1:1,192.0.2.2:1"}, exitUsage, "has two addresses of one IP version"},
		{"preferred address of another machine", []string{"--listen", "127.0.0.1:0", "--preferred-address", "192.0.2.1:443"}, exitFailed, "cannot listen on the --preferred-address 192.0.2.1:443: "},
		{"preferred address in use", []string{"--listen", "127.0.0.1:0", "--preferred-address", busy.LocalAddr().String()}, exitFailed,
			"cannot listen on the --preferred-address " + busy.LocalAddr().String() + ": "},
		{"preferred address that is IPv4 in IPv6", []string{"--listen", "127.0.0.1:0", "--preferred-address", "[::ffff:192.0.2.1]:443"}, exitFailed,
			"cannot listen on the --preferred-address 192.0.2.1:443: "},
		{"certificate that is none", []string{"--cert", "main.go", "--key", "main.go"}, exitFailed, "no usable certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			if code := run(t.Context(), c.args, io.Discard, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("exit code %d and %q, want %d and %q", code, stderr.String(), c.code, c.says)
			}
		})
	}
}

// Help that cannot be written is not taken for written.
func TestHelpOnFullDisk(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, w, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "cannot write to standard output: ") {
		t.Errorf("exit code %d, %q", code, &stderr)
	}
}
