//go:build dnsdist

package interop

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// dnsdist is one that runs, and where it listens.
type dnsdist struct {
	cmd           *exec.Cmd
	doq, doh, dot string
	cert          string // of a PEM file: what its clients have to trust
	tls           *tls.Config
	backend       *backend
	ended         chan error // what Wait returned
}

// dnsdistConfig is its configuration. What a test wants beside comes before.
const dnsdistConfig = `
setSecurityPollSuffix("") -- it asks nobody outside
setLocal("127.0.0.1:%[8]d")
newServer{address="%[2]s", healthCheckMode="up"}
addTLSLocal("127.0.0.1:%[1]d", "%[3]s", "%[4]s")
addDOQLocal("127.0.0.1:%[5]d", "%[3]s", "%[4]s", {idleTimeout=%[7]d, keyLogFile="%[3]s.log"})
addDOH3Local("127.0.0.1:%[6]d", "%[3]s", "%[4]s", {idleTimeout=%[7]d})
`

// startDnsdist starts dnsdist, with some lines of configuration and an idle timeout in seconds, and returns it when it listens.
func startDnsdist(t *testing.T, lines string, idle int) *dnsdist {
	t.Helper()
	d := &dnsdist{backend: newBackend(t)}
	_, cert, key := certificate(t)
	d.cert = cert
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d.tls = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	dot, doq, doh := freeport.Take(t), freeport.Take(t), freeport.Take(t)
	d.dot, d.doq, d.doh = fmt.Sprintf("127.0.0.1:%d", dot), fmt.Sprintf("127.0.0.1:%d", doq), fmt.Sprintf("127.0.0.1:%d", doh)
	d.cmd = dnsdistCommand(t, lines+fmt.Sprintf(dnsdistConfig, dot, d.backend.addr, cert, key, doq, doh, idle, freeport.Take(t)))
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stderr = d.cmd.Stdout
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listens, printed := make(chan bool, 1), new(strings.Builder)
	d.ended = make(chan error, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			printed.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "Listening on "+d.doh+" for DoH3") {
				listens <- true // it is the last one, and packets wait until they are read
			}
		}
		listens <- false
		d.ended <- d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() {
		d.cmd.Process.Kill()
		for range d.ended {
		}
		if t.Failed() {
			t.Logf("dnsdist printed:\n%s", tail([]byte(printed.String())))
		}
	})
	select {
	case ok := <-listens:
		if !ok {
			t.Fatal("dnsdist ended")
		}
	case <-time.After(limit):
		t.Fatal("dnsdist does not listen")
	}
	return d
}

// dnsdistCommand makes a run of dnsdist with a configuration.
func dnsdistCommand(t *testing.T, config string) *exec.Cmd {
	t.Helper()
	bin, lib := wantDnsdist(t)
	file := filepath.Join(t.TempDir(), "dnsdist.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--supervised", "--disable-syslog", "--verbose", "--config", file)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+lib)
	return cmd
}

// dial connects to it for DNS over QUIC.
func (d *dnsdist) dial(t *testing.T, change func(*quic.Config)) *quicnet.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cfg := &quic.Config{TLS: d.tls.Clone()}
	cfg.TLS.NextProtos = []string{"doq"}
	if change != nil {
		change(cfg)
	}
	c, err := quicnet.Dial(ctx, d.doq, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// askDOQ asks by DNS over QUIC: on a stream of its own, which each side ends after its one message (RFC 9250, section 4.2). The end comes with the message:
// dnsdist 1.9 takes one that comes by itself for nothing.
func askDOQ(ctx context.Context, c *quicnet.Conn, name string) ([]byte, error) {
	s, err := c.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.WriteFinal(framed(question(name))); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(s)
	if err != nil {
		return nil, err
	}
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return nil, fmt.Errorf("%d bytes came that are not one message", len(b))
	}
	return b[2:], nil
}

// wantDOQ wants the answer for a name.
func wantDOQ(t *testing.T, c *quicnet.Conn, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	b, err := askDOQ(ctx, c, name)
	if err == nil {
		err = answers(b, name)
	}
	if err != nil {
		t.Error(err)
	}
}

// framed puts a message's length before it, as over TCP and QUIC.
func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

// Names that the backend has, beside all others, which have an address.
const (
	bigName  = "big.example."  // has 60 KB of text
	heldName = "held.example." // is not answered
)

// backend is the name server that dnsdist asks. It does so over TCP for all that came by QUIC.
type backend struct {
	addr string
	held chan struct{} // a question for heldName has come
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &backend{addr: l.Addr().String(), held: make(chan struct{}, 1000)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(c)
		}
	}()
	return b
}

// wantHeld waits for a question that is not answered.
func (b *backend) wantHeld(t *testing.T) {
	t.Helper()
	select {
	case <-b.held:
	case <-time.After(limit):
		t.Fatal("the backend is not asked")
	}
}

func (b *backend) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(r, q); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(q) != nil || len(m.Questions) != 1 {
			return
		}
		name := m.Questions[0].Name
		if name.String() == heldName {
			b.held <- struct{}{}
			continue
		}
		m.Response, m.Additionals = true, nil
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 60}, Body: record(name.String())}}
		out, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(framed(out)); err != nil {
			return
		}
	}
}

// record is what a name has.
func record(name string) dnsmessage.ResourceBody {
	if name != bigName {
		sum := sha256.Sum256([]byte(name))
		return &dnsmessage.AResource{A: [4]byte(sum[:4])}
	}
	text := &dnsmessage.TXTResource{}
	for i := range 240 {
		text.TXT = append(text.TXT, strings.Repeat(string(rune('a'+i%26)), 250))
	}
	return text
}

// question asks for what a name has. Its ID is 0 (RFC 9250, section 4.2.1).
func question(name string) []byte {
	kind := dnsmessage.TypeA
	if name == bigName {
		kind = dnsmessage.TypeTXT
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		panic(err) // a name of the test's that is none
	}
	return b
}

// answers tells whether a message is the answer for a name.
func answers(b []byte, name string) error {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return err
	}
	if len(m.Answers) != 1 || m.ID != 0 || !m.Response {
		return fmt.Errorf("%s: the answer is %s", name, m.GoString())
	}
	if got, want := m.Answers[0].Body.GoString(), record(name).GoString(); got != want {
		return fmt.Errorf("%s has %s, want %s", name, got, want)
	}
	return nil
}

// askOften asks 200 times, 20 at a time, of them 20 times for the name that has much.
func askOften(t *testing.T, ask func(name string) ([]byte, error)) {
	t.Helper()
	failed := make(chan error)
	for worker := range 20 {
		go func() {
			var all error
			for i := range 10 {
				name := fmt.Sprintf("%d.%d.example.", i, worker)
				if i == worker%10 {
					name = bigName
				}
				b, err := ask(name)
				if err == nil {
					err = answers(b, name)
				}
				all = errors.Join(all, err)
			}
			failed <- all
		}()
	}
	for range 20 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}
