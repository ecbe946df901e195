// Package examples_test runs each example as a reader of the README would.
package examples_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"go/format"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestExamples(t *testing.T) {
	for dir, want := range map[string]string{
		"echo":     `the server answered "hello over QUIC"`,
		"download": "67108864 bytes, checksum right",
		"coreloop": `the server answered "HELLO OVER THE BARE CORE"`,

		"clientcert": "without a certificate: tls: certificate required",
		"datagrams":  "500 datagrams sent in",
		"migrate":    "moved 2 times, checksum right: true",
		"resume":     "resumed: true, early data: accepted",
		"shutdown":   "shut down, nothing lost",
		"tunnel":     "200 OK: you asked for /through/the/tunnel",

		"http3":    "hello over HTTP/2.0\nhello over HTTP/3.0\n",
		"proxy":    "HTTP/3.0 from the proxy, which asked for /page over HTTP/1.1 for localhost:",
		"upload":   "201 Created, 67108864 bytes sent, checksum right: true",
		"events":   "tick 1\ntick 2\ntick 3\ntick 4\ntick 5\nthe server's handler ends: context canceled",
		"connect":  "second\na datagram brings back: third\nboth sides have ended",
		"earlyget": "GET, in early data: false\nGET, in early data: true\nPOST, in early data: false",
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command("go", "run", "./"+dir).CombinedOutput()
			if err != nil {
				t.Fatalf("go run ./%s: %v\n%s", dir, err, out)
			}
			if !strings.Contains(string(out), want) {
				t.Errorf("go run ./%s printed\n%s\nwithout %q", dir, out, want)
			}
		})
	}
}

// readmeMain runs the README's functions, one against the other, with the server's certificate as the only root. The
// server may still be starting when the client's first datagrams go out, and its port be closed.
const readmeMain = `//go:debug x509usefallbackroots=1
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func main() {
	pem, err := os.ReadFile("cert.pem")
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	x509.SetFallbackRoots(roots)

	ctx := context.Background()
	go func() {
		fmt.Println("serve:", serve(ctx))
		os.Exit(1)
	}()
	answer, err := fetch(ctx)
	for errors.Is(err, syscall.ECONNREFUSED) {
		answer, err = fetch(ctx)
	}
	fmt.Printf("fetch: %q, %v\n", answer, err)

	go func() {
		fmt.Println("serveHTTP:", serveHTTP())
		os.Exit(1)
	}()
	answer, err = fetchHTTP()
	for errors.Is(err, syscall.ECONNREFUSED) {
		answer, err = fetchHTTP()
	}
	fmt.Printf("fetchHTTP: %q, %v\n", answer, err)

	// Clients that lose interest do not use up the streams that they may open.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := quicnet.Dial(ctx, "server.example:4433", &quic.Config{TLS: &tls.Config{NextProtos: []string{"echo"}}})
	for range 300 {
		if err != nil {
			fmt.Println(err)
			break
		}
		var s *quicnet.Stream
		if s, err = conn.OpenStream(ctx); err == nil {
			s.Write([]byte("hello"))
			s.Read(make([]byte, 5))
			s.CancelRead(1)
			s.Write([]byte("hello")) // the server cannot answer this
			for s.AckedBytes() < 10 && s.Context().Err() == nil && conn.Err() == nil {
				runtime.Gosched()
			}
			s.Close()
		}
	}
}
`

// The README's code is what it says: ten lines that serve by HTTP and ten that fetch, twenty each without HTTP, as functions that talk to each
// other once the addresses are this machine's.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source := readmeMain
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) != 5 {
		t.Fatalf("%d blocks of Go in the README, want 5", len(blocks))
	}
	// The last one is a test, which Example of quicnettest is like.
	if formatted, err := format.Source([]byte(blocks[4][1])); err != nil || string(formatted) != blocks[4][1] {
		t.Errorf("the README's test is not written as gofmt does: %v", err)
	}
	for i, b := range blocks[:4] {
		most := 10 // for HTTP/3
		if i >= 2 {
			most = 20
		}
		if n := strings.Count(b[1], "\n"); n > most {
			t.Errorf("%d lines of Go, want %d at most:\n%s", n, most, b[1])
		}
		source += b[1]
	}
	addr, web := freeAddr(t), freeAddr(t)
	for old, new := range map[string]string{`":4433"`: strconv.Quote(addr), `"server.example:4433"`: strconv.Quote(addr),
		`":8443"`: strconv.Quote(web), `"https://server.example:8443/"`: strconv.Quote("https://" + web + "/")} {
		if !strings.Contains(source, old) {
			t.Fatalf("the README's code has no %s", old)
		}
		source = strings.ReplaceAll(source, old, new)
	}
	dir := t.TempDir()
	writeCertificate(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	// main.go stands in a folder of this module for the compiler alone.
	here, err := filepath.Abs("readme/main.go")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{here: filepath.Join(dir, "main.go")}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "readme")
	if out, err := exec.Command("go", "build", "-overlay", list, "-o", bin, "./readme").CombinedOutput(); err != nil {
		t.Fatalf("the README's code does not compile: %v\n%s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if want := "fetch: \"hello over QUIC\", <nil>\nfetchHTTP: \"hello over HTTP/2.0\", <nil>\n"; err != nil || string(out) != want {
		t.Errorf("the README's code: %v, %q, want %q", err, out, want)
	}
}

// freeAddr returns an address of this machine with a port that nobody listens on now.
func freeAddr(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// writeCertificate writes a certificate for 127.0.0.1, which signs itself, and its key to the files that the README names.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
