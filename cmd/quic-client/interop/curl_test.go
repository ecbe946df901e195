package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// curlSite writes the files, and one of 1 byte and one of 100 MB, into the folder files of a new one, and returns both.
func curlSite(t *testing.T) (parent, root string) {
	t.Helper()
	parent = t.TempDir()
	root = filepath.Join(parent, "files")
	if err := os.Rename(webRoot(t), root); err != nil {
		t.Fatal(err)
	}
	huge := make([]byte, 100_000_000)
	rand.NewChaCha8([32]byte{1}).Read(huge)
	for name, data := range map[string][]byte{"one": huge[:1], "huge": huge} {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return parent, root
}

// TestCurl: curl 8.22 with libboringquic in quiche's place; quic-server, our server of the suite, quic-go's, and aioquic's.
func TestCurl(t *testing.T) {
	parent, root := curlSite(t)
	for _, server := range []struct {
		name  string
		start func(t *testing.T, pair tls.Certificate, cert, key string) (addr, ca string)
		suite bool
	}{
		{"quic-server", func(t *testing.T, pair tls.Certificate, cert, key string) (string, string) {
			return startOurs(t, parent, "--no-tcp", "--retry", "--cert", cert, "--key", key), cert
		}, false},
		{"http3", func(t *testing.T, pair tls.Certificate, cert, key string) (string, string) {
			w := listenWeb(t, root, nil)
			return w.addr, w.ca
		}, true},
		{"quic-go", func(t *testing.T, pair tls.Certificate, cert, key string) (string, string) {
			return serveQuicGoWeb(t, newSuite(root), pair), cert
		}, true},
		{"aioquic", func(t *testing.T, pair tls.Certificate, cert, key string) (string, string) {
			return serveAioquicWeb(t, root, cert, key), cert
		}, true},
	} {
		t.Run(server.name, func(t *testing.T) {
			pair, cert, key := certificate(t)
			addr, ca := server.start(t, pair, cert, key)
			c := newCurl(t, addr, ca)
			t.Run("GET", func(t *testing.T) { c.on(t).get(root) })
			t.Run("100 at once", func(t *testing.T) { c.on(t).many(root) })
			t.Run("HEAD", func(t *testing.T) { c.on(t).head() })
			t.Run("redirect", func(t *testing.T) { c.on(t).redirect() })
			if !server.suite {
				return
			}
			t.Run("upload", func(t *testing.T) { c.on(t).upload(filepath.Join(root, "large")) })
			t.Run("60 KB of fields", func(t *testing.T) { c.on(t).fields() })
			t.Run("early answer", func(t *testing.T) { c.on(t).early(filepath.Join(root, "large")) })
			t.Run("cancel", func(t *testing.T) { c.on(t).cancel() })
		})
	}
}

// get fetches files of 0 bytes to 100 MB, one after the other over one connection.
func (c *curl) get(root string) {
	names := []string{"one", "empty", "small", "medium", "large", "huge"}
	got := c.t.TempDir()
	args := []string{"--create-dirs", "--write-out", "%{http_version} %{http_code} %{num_connects}\\n"}
	want := ""
	for i, name := range names {
		args = append(args, "--output", filepath.Join(got, name), c.base+"/files/"+name)
		connects := 0
		if i == 0 {
			connects = 1
		}
		want += fmt.Sprintf("3 200 %d\n", connects)
	}
	if out := c.ok(args...); out != want {
		c.t.Errorf("curl says\n%swant\n%s", out, want)
	}
	for _, name := range names {
		c.same(filepath.Join(got, name), filepath.Join(root, name))
	}
}

func (c *curl) same(got, want string) {
	c.t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		c.t.Errorf("%d bytes came that are not the %d of %s", len(a), len(b), filepath.Base(want))
	}
}

// many fetches a file 100 times at once over one connection.
func (c *curl) many(root string) {
	got := c.t.TempDir()
	args := []string{"--parallel", "--parallel-max", "100", "--write-out", "%{http_version} %{http_code} %{num_connects}\\n"}
	for i := range 100 {
		args = append(args, "--output", filepath.Join(got, strconv.Itoa(i)), c.base+"/files/medium")
	}
	out := c.ok(args...)
	if first, rest := strings.Count(out, "3 200 1\n"), strings.Count(out, "3 200 0\n"); first != 1 || rest != 99 {
		c.t.Errorf("%d transfers made a connection and %d did not, want 1 and 99\n%s", first, rest, out)
	}
	for i := range 100 {
		c.same(filepath.Join(got, strconv.Itoa(i)), filepath.Join(root, "medium"))
	}
}

func (c *curl) head() {
	out := c.ok("--head", c.base+"/files/large")
	if !strings.HasPrefix(out, "HTTP/3 200 \r\n") || !strings.Contains(strings.ToLower(out), "\ncontent-length: 5242880\r\n") || !strings.HasSuffix(out, "\r\n\r\n") {
		c.t.Errorf("the answer is %q", out)
	}
}

func (c *curl) redirect() {
	const told = "%{http_code} %{num_redirects} %{num_connects} %{url_effective}"
	out := c.ok("--location", "--output", os.DevNull, "--write-out", told, c.base+"/files")
	if !strings.HasPrefix(out, "200 1 1 "+c.base+"/files/") {
		c.t.Errorf("curl says %q", out)
	}
	if out := c.ok("--output", os.DevNull, "--write-out", told, c.base+"/files"); !strings.HasPrefix(out, "30") {
		c.t.Errorf("without --location curl says %q", out)
	}
	c.fails([]int{47}, "--location", "--max-redirs", "0", "--output", os.DevNull, c.base+"/files") // CURLE_TOO_MANY_REDIRECTS
}

// upload sends a file of a length that is told before, and one of a length that is not, and gets both back.
func (c *curl) upload(file string) {
	got := filepath.Join(c.t.TempDir(), "got")
	c.ok("--data-binary", "@"+file, "--output", got, c.base+"/echo")
	c.same(got, file)
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	cmd := c.command(ctx, "--request", "POST", "--upload-file", "-", "--output", got, c.base+"/echo")
	in, err := os.Open(file)
	if err != nil {
		c.t.Fatal(err)
	}
	defer in.Close()
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &errs
	c.want(cmd.Run(), &errs, 0)
	c.same(got, file)
}

func (c *curl) fields() {
	args := []string{"--dump-header", "-", c.base + "/fields"}
	for i := range 60 {
		args = append(args, "--header", fmt.Sprintf("x-large-%d: %s", i, strings.Repeat(string(rune('a'+i%26)), 1000)))
	}
	head, body, _ := strings.Cut(c.ok(args...), "\r\n\r\n")
	n := 0
	for line := range strings.SplitSeq(head, "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(name, "x-large-") {
			n += len(value)
		}
	}
	if body != "60000" || n != 60000 {
		c.t.Errorf("the server got %q bytes in fields and sent %d, want 60000 and 60000", body, n)
	}
}

// early uploads to a server that answers before it has read anything.
func (c *curl) early(file string) {
	if out := c.ok("--data-binary", "@"+file, "--write-out", " %{http_code}", c.base+"/early"); out != "too much 413" {
		c.t.Errorf("curl says %q", out)
	}
}

// cancel leaves an answer without end, and goes on over the same connection.
func (c *curl) cancel() {
	out := c.ok("--max-filesize", "1000000", "--write-out", "%{exitcode} %{num_connects}\\n", "--output", os.DevNull, c.base+"/endless",
		"--next", "--silent", "--http3-only", "--cacert", c.args[len(c.args)-1], "--write-out", " %{num_connects}\\n", c.base+"/cancelled")
	if out != "63 1\n1 0\n" { // CURLE_FILESIZE_EXCEEDED
		c.t.Errorf("curl says %q", out)
	}
}
