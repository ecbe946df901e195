package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	quicgo "github.com/quic-go/quic-go/http3"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/quic/http3"
)

// serverFeatures says what of the suite a server can do, beside files.
type serverFeatures struct {
	echo, fields, trailers, early, cancel, told, goaway bool // told: it tells of a cancel (/cancelled)

	noEmpty bool // gtlsserver answers a request for an empty file with 404
}

var allOfSuite = serverFeatures{echo: true, fields: true, trailers: true, early: true, cancel: true, told: true, goaway: true}

// askWeb tries a server with http3.Transport on what it can do of the suite.
func askWeb(t *testing.T, addr, ca, root string, can serverFeatures) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", ca)
	}
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := &webClient{t: t, ctx: ctx, http: &http.Client{Transport: tr}, base: "https://" + addr, noEmpty: can.noEmpty}
	for ctx.Err() == nil { // until it has opened its socket
		if resp, err := c.do("HEAD", "/files/small", nil, nil); err == nil {
			resp.Body.Close()
			break
		}
	}
	large, err := os.ReadFile(filepath.Join(root, "large"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("GET", func(t *testing.T) { c.on(t).files(root) })
	t.Run("HEAD", func(t *testing.T) { c.on(t).head(len(large)) })
	t.Run("100 at once", func(t *testing.T) { c.on(t).many(root) })
	for _, feature := range []struct {
		name string
		can  bool
		try  func(*webClient)
	}{
		{"POST 1 MiB", can.echo, func(c *webClient) { c.echo(large[:1<<20]) }},
		{"60 KB of fields", can.fields, (*webClient).fields},
		{"trailers", can.trailers, func(c *webClient) { c.trailers(large[:1<<20]) }},
		{"early answer", can.early, func(c *webClient) { c.early(large) }},
		{"cancel", can.cancel, func(c *webClient) { c.cancel(can.told) }},
		{"GOAWAY", can.goaway, (*webClient).goaway},
	} {
		if feature.can {
			t.Run(feature.name, func(t *testing.T) { feature.try(c.on(t)) })
		}
	}
}

type webClient struct {
	t    *testing.T
	ctx  context.Context
	http *http.Client
	base string

	noEmpty bool // the server has no empty files
}

// on is the client for a test within its test.
func (c *webClient) on(t *testing.T) *webClient {
	of := *c
	of.t = t
	return &of
}

func (c *webClient) do(method, path string, body io.Reader, change func(*http.Request)) (*http.Response, error) {
	r, err := http.NewRequestWithContext(c.ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(r)
	}
	return c.http.Do(r)
}

// want asks for something and reads the answer, which has that status.
func (c *webClient) want(status int, method, path string, body io.Reader, change func(*http.Request)) (*http.Response, []byte) {
	c.t.Helper()
	resp, err := c.do(method, path, body, change)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s broke off after %d bytes: %v", method, path, len(got), err)
	}
	if resp.StatusCode != status || resp.Proto != "HTTP/3.0" {
		c.t.Fatalf("%s %s: %s %s, want HTTP/3.0 %d; %.200q", method, path, resp.Proto, resp.Status, status, got)
	}
	return resp, got
}

func (c *webClient) files(root string) {
	for name := range files {
		if c.noEmpty && name == "empty" {
			continue
		}
		resp, err := c.do("GET", "/files/"+name, nil, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		if err := compare(resp.Body, root, name, nil); err != nil {
			c.t.Error(err)
		}
		resp.Body.Close()
	}
}

func (c *webClient) head(size int) {
	resp, got := c.want(200, "HEAD", "/files/large", nil, nil)
	if resp.ContentLength >= 0 && resp.ContentLength != int64(size) || len(got) > 0 {
		c.t.Errorf("Content-Length %d and %d bytes, want %d and none", resp.ContentLength, len(got), size)
	}
}

func (c *webClient) many(root string) {
	failed := make(chan error)
	for range 100 {
		go func() {
			resp, err := c.do("GET", "/files/small", nil, nil)
			if err == nil {
				err = compare(resp.Body, root, "small", nil)
				resp.Body.Close()
			}
			failed <- err
		}()
	}
	for range 100 {
		if err := <-failed; err != nil {
			c.t.Error(err)
		}
	}
}

func (c *webClient) echo(body []byte) {
	_, got := c.want(200, "POST", "/echo", bytes.NewReader(body), nil)
	if !bytes.Equal(got, body) {
		c.t.Errorf("%d bytes came back that are not the %d sent", len(got), len(body))
	}
}

func (c *webClient) fields() {
	resp, got := c.want(200, "GET", "/fields", nil, func(r *http.Request) {
		for i := range 60 {
			r.Header.Set(fmt.Sprintf("x-large-%d", i), strings.Repeat(string(rune('a'+i%26)), 1000))
		}
	})
	n := 0
	for name, values := range resp.Header {
		if strings.HasPrefix(name, "X-Large-") {
			n += len(values[0])
		}
	}
	if string(got) != "60000" || n != 60000 {
		c.t.Errorf("the server got %s bytes in fields and sent %d, want 60000 and 60000", got, n)
	}
}

func (c *webClient) trailers(body []byte) {
	sum := sha256.Sum256(body)
	text := hex.EncodeToString(sum[:])
	resp, got := c.want(200, "POST", "/trailers", io.MultiReader(bytes.NewReader(body)), func(r *http.Request) {
		r.Trailer = http.Header{"X-Sum": {text}}
	})
	if string(got) != text || resp.Trailer.Get("X-Answer-Sum") != text {
		c.t.Errorf("the trailer came back as %q, and the answer's is %v; want %s", got, resp.Trailer, text)
	}
}

// early has the server answer before it has read anything of an upload that never ends by itself.
func (c *webClient) early(body []byte) {
	_, got := c.want(413, "POST", "/early", io.MultiReader(bytes.NewReader(body), rand.Reader), nil)
	if string(got) != "too much" {
		c.t.Errorf("the answer is %q", got)
	}
}

func (c *webClient) cancel(told bool) {
	resp, err := c.do("GET", "/endless", nil, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	c.want(200, "GET", "/files/small", nil, nil)
	if !told {
		return
	}
	for got := ""; got != "1"; { // the server may learn of it after that
		_, body := c.want(200, "GET", "/cancelled", nil, nil)
		got = string(body)
	}
}

// goaway has the server say that it takes no more requests: the one under way is answered.
func (c *webClient) goaway() {
	if _, got := c.want(200, "GET", "/goaway", nil, nil); string(got) != "the last" {
		c.t.Errorf("the answer is %q", got)
	}
}

// TestHTTP3QuicGoServer: our client; quic-go's server.
func TestHTTP3QuicGoServer(t *testing.T) {
	root := webRoot(t)
	cert, ca, _ := certificate(t)
	s := newSuite(root)
	askWeb(t, serveQuicGoWeb(t, s, cert), ca, root, allOfSuite)
}

// serveQuicGoWeb has quic-go's server give the suite's answers.
func serveQuicGoWeb(t *testing.T, s *suite, cert tls.Certificate) (addr string) {
	server := &quicgo.Server{Handler: s, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	s.shutdown = func() { go server.Shutdown(context.Background()) }
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(pc)
	t.Cleanup(func() { server.Close(); pc.Close() })
	return pc.LocalAddr().String()
}

// TestHTTP3QuicGoClient: quic-go's client; our server.
func TestHTTP3QuicGoClient(t *testing.T) {
	root := webRoot(t)
	w := listenWeb(t, root, nil)
	tr := &quicgo.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := &webClient{t: t, ctx: ctx, http: &http.Client{Transport: tr}, base: "https://" + w.addr}
	large, err := os.ReadFile(filepath.Join(root, "large"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("GET", func(t *testing.T) { c.on(t).files(root) })
	t.Run("HEAD", func(t *testing.T) { c.on(t).head(len(large)) })
	t.Run("100 at once", func(t *testing.T) { c.on(t).many(root) })
	t.Run("POST 1 MiB", func(t *testing.T) { c.on(t).echo(large[:1<<20]) })
	t.Run("60 KB of fields", func(t *testing.T) { c.on(t).fields() })
	t.Run("trailers", func(t *testing.T) { c.on(t).trailers(large[:1<<20]) })
	t.Run("cancel", func(t *testing.T) { c.on(t).cancel(true) })
	t.Run("GOAWAY", func(t *testing.T) { c.on(t).goaway() })
}

// TestHTTP3AioquicServer: our client; aioquic's server.
func TestHTTP3AioquicServer(t *testing.T) {
	root := webRoot(t)
	_, cert, key := certificate(t)
	askWeb(t, serveAioquicWeb(t, root, cert, key), cert, root, allOfSuite)
}

// serveAioquicWeb has aioquic's server give the suite's answers.
func serveAioquicWeb(t *testing.T, root, cert, key string) (addr string) {
	port := strconv.Itoa(freeport.Take(t))
	start(t, wantPython(t), "testdata/http3_server.py", port, root, cert, key).firstLine(t)
	return "127.0.0.1:" + port
}

// TestHTTP3HypercornServer: our client; hypercorn, a server for Python's web applications.
func TestHTTP3HypercornServer(t *testing.T) {
	root := webRoot(t)
	_, cert, key := certificate(t)
	port := strconv.Itoa(freeport.Take(t))
	t.Setenv("ROOT", root)
	start(t, wantPython(t), "-m", "hypercorn", "--bind", "127.0.0.1:0", "--quic-bind", "127.0.0.1:"+port, "--certfile", cert, "--keyfile", key,
		"--pid", filepath.Join(t.TempDir(), "pid"), "testdata/http3_app:app")
	// It goes on reading after an early answer, and writing after a cancel, for as long as there is something.
	askWeb(t, "127.0.0.1:"+port, cert, root, serverFeatures{echo: true, fields: true})
}

// TestHTTP3Ngtcp2Server: our client; ngtcp2's server, which has files alone.
func TestHTTP3Ngtcp2Server(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink(webRoot(t), filepath.Join(root, "files")); err != nil {
		t.Fatal(err)
	}
	_, cert, key := certificate(t)
	port := strconv.Itoa(freeport.Take(t))
	start(t, ngtcp2(t, "gtlsserver"), "--quiet", "--htdocs", root, "127.0.0.1", port, key, cert)
	askWeb(t, "127.0.0.1:"+port, cert, filepath.Join(root, "files"), serverFeatures{noEmpty: true})
}

// TestHTTP3Ngtcp2Client: ngtcp2's client with nghttp3, which uses the dynamic table; our server. Each file is asked for twice, so that fields
// come again.
func TestHTTP3Ngtcp2Client(t *testing.T) {
	root, got := webRoot(t), t.TempDir()
	w := listenWeb(t, root, nil)
	_, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--quiet", "--exit-on-all-streams-close", "--download=" + got, "127.0.0.1", port}
	for range 2 {
		for name := range files {
			args = append(args, "https://"+w.addr+"/files/"+name)
		}
	}
	runOK(t, ngtcp2(t, "gtlsclient"), args...)
	wantSame(t, got, root)
	if n := w.requests.Load(); n != int32(2*len(files)) {
		t.Errorf("the server saw %d requests, want %d", n, 2*len(files))
	}
}
