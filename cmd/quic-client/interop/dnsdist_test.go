//go:build dnsdist

package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	quicgohttp3 "github.com/quic-go/quic-go/http3"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// TestDnsdistQUIC: dnsdist of Debian with libboringquic as its quiche answers by DNS over QUIC (RFC 9250), 200 questions over a connection, 20 at once, of
// them 20 with answers of 60 KB: to quicnet, to aioquic, which asks all at once, and to kdig, which has ngtcp2. By DNS over TLS, for which it has OpenSSL in the
// same process, too.
func TestDnsdistQUIC(t *testing.T) {
	d := startDnsdist(t, "", 5)
	t.Run("quicnet", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		c := d.dial(t, nil)
		askOften(t, func(name string) ([]byte, error) { return askDOQ(ctx, c, name) })
	})
	t.Run("aioquic", func(t *testing.T) { askByAioquic(t, d) })
	for flag, addr := range map[string]string{"+quic": d.doq, "+tls": d.dot} {
		t.Run("kdig "+flag, func(t *testing.T) { askByKdig(t, flag, addr, d.cert) })
	}
}

func askByAioquic(t *testing.T, d *dnsdist) {
	var names []string
	var asked strings.Builder
	for i := range 200 {
		name := fmt.Sprintf("%d.aioquic.example.", i)
		if i%10 == 0 {
			name = bigName
		}
		names = append(names, name)
		fmt.Fprintf(&asked, "%x\n", question(name))
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, wantPython(t), "testdata/doq_client.py", d.doq, d.cert)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(asked.String()), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("aioquic: %v\n%s", err, tail(errs.Bytes()))
	}
	lines := strings.Fields(string(out))
	if len(lines) != len(names) {
		t.Fatalf("%d answers came, want %d", len(lines), len(names))
	}
	for i, line := range lines {
		b, err := hex.DecodeString(line)
		if err == nil {
			err = answers(b, names[i])
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// askByKdig asks for three names by one run of kdig.
func askByKdig(t *testing.T, flag, addr, cert string) {
	host, port, _ := strings.Cut(addr, ":")
	args := []string{"@" + host, "-p", port, "+tls-ca=" + cert, "+tls-hostname=localhost", flag, "+short"}
	want := ""
	for _, name := range []string{"one.example.", "two.example.", "three.example."} {
		args = append(args, name, "A")
		want += netip.AddrFrom4(record(name).(*dnsmessage.AResource).A).String() + "\n"
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "kdig", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("kdig: %v\n%s", err, tail(out))
	}
	if string(out) != want {
		t.Errorf("kdig prints\n%swant\n%s", out, want)
	}
}

// TestDnsdistHTTP3: it answers by DNS over HTTP/3 (RFC 8484): to http3, quic-go and curl, which is built with the same library; and refuses what is no question.
// quic-go ends its streams by themselves, which dnsdist 1.9 takes for nothing where a question is the content.
func TestDnsdistHTTP3(t *testing.T) {
	d := startDnsdist(t, "", 5)
	for client, transport := range map[string]http.RoundTripper{
		"http3":   &http3.Transport{TLSClientConfig: d.tls},
		"quic-go": &quicgohttp3.Transport{TLSClientConfig: d.tls},
	} {
		c := &http.Client{Transport: transport, Timeout: limit}
		t.Cleanup(c.CloseIdleConnections)
		t.Run(client+", GET", func(t *testing.T) {
			askOften(t, func(name string) ([]byte, error) { return askDOH(c, "GET", d.doh, name) })
		})
		if client == "quic-go" {
			continue
		}
		t.Run(client+", POST", func(t *testing.T) {
			askOften(t, func(name string) ([]byte, error) { return askDOH(c, "POST", d.doh, name) })
		})
		t.Run(client+", no question", func(t *testing.T) { wantRefused(t, c, "https://"+d.doh+"/dns-query") })
	}
	t.Run("curl", func(t *testing.T) {
		c := newCurl(t, d.doh, d.cert)
		for _, name := range []string{"curl.example.", bigName} {
			file, got := filepath.Join(t.TempDir(), "question"), filepath.Join(t.TempDir(), "answer")
			if err := os.WriteFile(file, question(name), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				{c.base + "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString(question(name))},
				{"--data-binary", "@" + file, "--header", "content-type: application/dns-message", c.base + "/dns-query"},
			} {
				told := c.ok(append(args, "--output", got, "--write-out", "%{http_version} %{http_code} %{content_type}")...)
				b, err := os.ReadFile(got)
				if err == nil {
					err = answers(b, name)
				}
				if err != nil || told != "3 200 application/dns-message" {
					t.Errorf("%q: curl says %q; %v", args[0], told, err)
				}
			}
		}
	})
}

func askDOH(c *http.Client, method, addr, name string) ([]byte, error) {
	url, body := "https://"+addr+"/dns-query", io.Reader(bytes.NewReader(question(name)))
	if method == "GET" {
		url, body = url+"?dns="+base64.RawURLEncoding.EncodeToString(question(name)), nil
	}
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/dns-message")
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || kind != "application/dns-message" {
		return nil, fmt.Errorf("%s: %s of %q", method, resp.Status, kind)
	}
	return io.ReadAll(resp.Body)
}

// wantRefused sends requests that hold no question: dnsdist answers 400 and says why.
func wantRefused(t *testing.T, c *http.Client, url string) {
	for _, test := range []struct{ method, query, kind, body, why string }{
		{"GET", "", "", "", "Unable to find the DNS parameter"},
		{"GET", "?dns=AAAA", "", "", "DoH3 non-compliant query"},
		{"POST", "", "application/dns-message", "", "Empty POST query"},
		{"POST", "", "text/plain", "question", "Unsupported content-type"},
		{"POST", "", "application/dns-message", "short", "DoH3 non-compliant query"},
		{"PUT", "", "application/dns-message", "", "Unsupported HTTP method"},
	} {
		r, err := http.NewRequest(test.method, url+test.query, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", test.kind)
		resp, err := c.Do(r)
		if err != nil {
			t.Errorf("%v: %v", test, err)
			continue
		}
		why, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || string(why) != test.why || err != nil {
			t.Errorf("%v: the answer is %s, %q, %v", test, resp.Status, why, err)
		}
	}
}

// TestDnsdistStreams: what is no question has its stream reset with the code that dnsdist gives it, and the connection goes on; so it does after streams that
// the client has given up.
func TestDnsdistStreams(t *testing.T) {
	d := startDnsdist(t, "", 5)
	c := d.dial(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	open := func() *quicnet.Stream {
		s, err := c.OpenStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	q := question("one.example.")
	for name, sent := range map[string][]byte{
		"a short one": framed(q[:4]), "less than it says": framed(q)[:len(q)], "two": append(framed(q), framed(q)...),
		"much more than a message": make([]byte, 70_000),
	} {
		s := open()
		if _, err := s.WriteFinal(sent); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		var reset *quic.StreamError
		if !errors.As(err, &reset) || reset.Code != 2 || !reset.Remote || len(got) > 0 { // DOQ_PROTOCOL_ERROR
			t.Errorf("%s: the answer is %q, %v", name, got, err)
		}
	}
	for i := range 50 {
		var err error
		s := open()
		b := framed(question(heldName))
		if i%2 == 0 {
			_, err = s.Write(b[:1+i/2])
		} else if _, err = s.WriteFinal(b); err == nil {
			d.backend.wantHeld(t)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Abort(3) // DOQ_REQUEST_CANCELLED
	}
	wantDOQ(t, c, bigName)
}

// TestDnsdistCertificates: who does not trust its certificate does not connect, and who does may go on; with a key that is another certificate's, or none,
// dnsdist does not start; and one that it has loaded again, while a connection goes on that was made with the one before, is for the next connection.
func TestDnsdistCertificates(t *testing.T) {
	trigger := filepath.Join(t.TempDir(), "reload")
	d := startDnsdist(t, fmt.Sprintf("function maintenance() local f = io.open(%q) if f then f:close() os.remove(%q) reloadAllCertificates() end end\n", trigger, trigger), 60)
	_, strange, strangeKey := certificate(t)
	t.Run("not trusted", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		other := d.tls.Clone()
		other.RootCAs, other.NextProtos = nil, []string{"doq"}
		_, err := quicnet.Dial(ctx, d.doq, &quic.Config{TLS: other})
		var failed *tls.CertificateVerificationError
		if !errors.As(err, &failed) {
			t.Errorf("Dial: %v", err)
		}
		wantDOQ(t, d.dial(t, nil), "one.example.")
	})
	t.Run("another protocol", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		other := d.tls.Clone()
		other.NextProtos = []string{"dot"}
		_, err := quicnet.Dial(ctx, d.doq, &quic.Config{TLS: other})
		var refused *quic.TransportError
		if !errors.As(err, &refused) || refused.Code != 0x178 || !refused.Remote { // no_application_protocol
			t.Errorf("Dial: %v", err)
		}
	})
	t.Run("loaded again", func(t *testing.T) {
		old := d.dial(t, nil)
		wantDOQ(t, old, "one.example.")
		key := strings.TrimSuffix(d.cert, "cert.pem") + "key.pem"
		for from, to := range map[string]string{strange: d.cert, strangeKey: key} {
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(trigger, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		first := old.ConnectionState().PeerCertificates[0]
		for began := time.Now(); ; {
			c := d.dial(t, func(cfg *quic.Config) { cfg.TLS.InsecureSkipVerify = true })
			if !c.ConnectionState().PeerCertificates[0].Equal(first) {
				wantDOQ(t, c, "one.example.")
				break
			}
			c.Close()
			if time.Since(began) > limit {
				t.Fatal("dnsdist shows its old certificate")
			}
		}
		wantDOQ(t, old, "one.example.")
	})
	for name, key := range map[string]string{"another's key": strangeKey, "no key": strange, "no file": strange + ".none"} {
		t.Run(name, func(t *testing.T) {
			_, cert, _ := certificate(t)
			out, err := dnsdistCommand(t, fmt.Sprintf("setLocal(\"127.0.0.1:%d\")\naddDOQLocal(\"127.0.0.1:%d\", %q, %q)\n", freeport.Take(t), freeport.Take(t), cert, key)).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "Error loading the server key: ") {
				t.Errorf("dnsdist: %v\n%s", err, tail(out))
			}
		})
	}
}

// TestDnsdistKeyLog: what it writes into its key log is what the client has written into its own.
func TestDnsdistKeyLog(t *testing.T) {
	d := startDnsdist(t, "", 5)
	var log bytes.Buffer
	c := d.dial(t, func(cfg *quic.Config) { cfg.TLS.KeyLogWriter = &log })
	wantDOQ(t, c, "one.example.")
	c.Close()
	theirs, err := os.ReadFile(d.cert + ".log")
	if err != nil {
		t.Fatal(err)
	}
	lines := func(b []byte) []string { return slices.Sorted(strings.Lines(string(b))) }
	if got, want := lines(theirs), lines(log.Bytes()); !slices.Equal(got, want) || len(got) < 4 {
		t.Errorf("dnsdist wrote\n%s\nthe client\n%s", got, want)
	}
}

// TestDnsdistClientGone: it forgets clients that are gone in the middle, with questions on their way and answers not sent, so that as many others may come as
// before: it lets two connections of an address be.
func TestDnsdistClientGone(t *testing.T) {
	d := startDnsdist(t, "setMaxTCPConnectionsPerClient(2)\n", 1)
	for range 3 {
		var both [2]*quicnet.Conn
		for i := range both {
			c := d.dial(t, func(cfg *quic.Config) { cfg.HandshakeTimeout = limit }) // its Initial packets come again until there is room for it
			both[i] = c
			for j := range 20 {
				s, err := c.OpenStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.WriteFinal(framed(question([]string{heldName, bigName}[j%2]))); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 20 {
			d.backend.wantHeld(t)
		}
		both[0].CloseWithError(0, "")
	}
}

// TestDnsdistEnds: it ends by SIGTERM, with exit code 0, while questions are on their way: the signal's handler is the program's own, and Go's runtime has threads
// in it.
func TestDnsdistEnds(t *testing.T) {
	d := startDnsdist(t, "", 5)
	c := d.dial(t, func(cfg *quic.Config) { cfg.MaxIdleTimeout = time.Second })
	failed := make(chan error, 20)
	asked := make(chan struct{}, 1000)
	for range 20 {
		go func() {
			for i := 0; ; i++ {
				if _, err := askDOQ(t.Context(), c, fmt.Sprintf("%d.example.", i)); err != nil {
					failed <- err
					return
				}
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		}()
	}
	for range cap(asked) {
		select {
		case <-asked:
		case err := <-failed:
			t.Fatal(err)
		}
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-d.ended; err != nil {
		t.Errorf("dnsdist ended with %v", err)
	}
	var idle *quic.IdleTimeoutError
	for range 20 {
		if err := <-failed; !errors.As(err, &idle) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the client's questions end with %v", err)
		}
	}
}

// TestDnsdistVersions: a client that begins with QUIC version 2 is answered, and one of a version that nobody speaks is told which ones there are
// (RFC 8999, section 6).
func TestDnsdistVersions(t *testing.T) {
	d := startDnsdist(t, "", 5)
	wantDOQ(t, d.dial(t, func(cfg *quic.Config) { cfg.Versions = []uint32{quic.Version2, quic.Version1} }), "one.example.")
	c, err := net.Dial("udp4", d.doq)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	initial := make([]byte, 1200)
	copy(initial, "\xc0\x1a\x2a\x3a\x4a\x08destined\x06source")
	if _, err := c.Write(initial); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1200)
	n, err := c.Read(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = "\x00\x00\x00\x00\x06source\x08destined"
	list := strings.TrimPrefix(string(got[1:n]), want)
	if got[0] < 0x80 || len(list) == n-1 || len(list)%4 != 0 || !strings.Contains(list, "\x00\x00\x00\x01") {
		t.Errorf("the answer is %q", got[:n])
	}
}
