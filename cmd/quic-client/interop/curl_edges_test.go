package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/cmd/internal/netem"
	"github.com/boringquic/boringquic/cmd/internal/trace"
	"github.com/boringquic/boringquic/quic/http3"
)

// TestCurlCertificates: what curl says of a server's certificate, which it looks at in the SSL that our library drives.
func TestCurlCertificates(t *testing.T) {
	w := listenWeb(t, webRoot(t), nil)
	c := newCurl(t, w.addr, w.ca)
	small := c.base + "/files/small"
	leaf, err := x509.ParseCertificate(w.cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pin := func(key []byte) string {
		sum := sha256.Sum256(key)
		return "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
	}
	_, other, _ := certificate(t)
	_, port, _ := net.SplitHostPort(w.addr)
	for _, test := range []struct {
		name string
		code int // CURLE_PEER_FAILED_VERIFICATION is 60, CURLE_SSL_PINNEDPUBKEYNOTMATCH 90
		args []string
	}{
		{"--cacert", 0, []string{small}},
		{"--cacert of another", 60, []string{"--cacert", other, small}},
		{"the system's roots", 60, []string{"--ca-native", "--cacert", "/etc/ssl/certs/ca-certificates.crt", small}},
		{"--insecure", 0, []string{"--cacert", other, "--insecure", small}},
		{"a name that is not the certificate's", 60, []string{"--resolve", "other.example:" + port + ":127.0.0.1", "https://other.example:" + port + "/files/small"}},
		{"the pinned key", 0, []string{"--pinnedpubkey", pin(leaf.RawSubjectPublicKeyInfo), small}},
		{"another key pinned", 90, []string{"--pinnedpubkey", pin([]byte("another")), small}},
		{"another key pinned, --insecure", 90, []string{"--insecure", "--pinnedpubkey", pin([]byte("another")), small}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := w.requests.Load()
			out, _ := c.on(t).fails([]int{test.code}, test.args...)
			if answered := w.requests.Load() - before; len(out) != 100*int(answered) || (answered == 1) != (test.code == 0) {
				t.Errorf("%d bytes came; the server saw %d requests", len(out), answered)
			}
		})
	}
}

// TestCurlKeyLog: with what curl writes to SSLKEYLOGFILE, all that was seen on the wire is decrypted, and the file that was fetched is there.
func TestCurlKeyLog(t *testing.T) {
	root := webRoot(t)
	w := listenWeb(t, root, nil)
	relay := relayTo(t, w, netem.Link{})
	c := newCurl(t, fmt.Sprintf("localhost:%d", relay.Addr().Port()), w.ca)
	log := filepath.Join(t.TempDir(), "keys")
	c.env = []string{"SSLKEYLOGFILE=" + log}
	got := c.ok(c.base + "/files/small")
	keys, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	seen := trace.Read(relay.Network().Records(netem.ClientSide), keys)
	if len(seen.Errors) > 0 || len(seen.Conns) != 1 {
		t.Fatalf("%d connections; %v\n%s", len(seen.Conns), seen.Errors, keys)
	}
	var fromServer []byte
	opened := map[bool]int{}
	for _, p := range seen.Packets {
		if !p.Opened {
			t.Errorf("a packet of type %v, from the client: %t, is not opened", p.Type, p.FromClient)
		}
		opened[p.FromClient]++
		for _, f := range p.Frames {
			if !p.FromClient && f.Type&^7 == trace.FrameStream {
				fromServer = append(fromServer, f.Data...)
			}
		}
	}
	if want, err := os.ReadFile(filepath.Join(root, "small")); err != nil || got != string(want) || !bytes.Contains(fromServer, want) {
		t.Errorf("curl got %d bytes; the file is not in the %d of the server's streams, of %v packets: %v", len(got), len(fromServer), opened, err)
	}
}

// TestCurlQlog: in QLOGDIR curl has the library write what happens on its connection: the file that was fetched is what the packets of its stream brought.
func TestCurlQlog(t *testing.T) {
	w := listenWeb(t, webRoot(t), nil)
	_, port, _ := net.SplitHostPort(w.addr)
	c := newCurl(t, "127.0.0.1:"+port, w.ca)
	dir := t.TempDir()
	c.env = []string{"QLOGDIR=" + dir}
	body := c.ok(c.base + "/files/medium")
	found, err := filepath.Glob(filepath.Join(dir, "*.sqlog"))
	if err != nil || len(found) != 1 {
		t.Fatalf("curl made %q: %v", found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	type frame struct {
		Type   string `json:"frame_type"`
		Stream uint64 `json:"stream_id"`
		Raw    struct {
			Length int `json:"payload_length"`
		}
	}
	var head struct {
		Title string
		Trace struct {
			VantagePoint struct{ Type string } `json:"vantage_point"`
		}
	}
	events, brought := map[string]int{}, 0
	for i, record := range strings.Split(string(b), "\x1e")[1:] {
		if i == 0 {
			if err := json.Unmarshal([]byte(record), &head); err != nil || head.Title != "qlog title" || head.Trace.VantagePoint.Type != "client" {
				t.Errorf("the first record is %s: %v", record, err)
			}
			continue
		}
		var event struct {
			Name string
			Data struct{ Frames []frame }
		}
		if err := json.Unmarshal([]byte(record), &event); err != nil {
			t.Fatalf("record %d is %q: %v", i, record, err)
		}
		events[event.Name]++
		for _, f := range event.Data.Frames {
			if event.Name == "quic:packet_received" && f.Type == "stream" && f.Stream == 0 {
				brought += f.Raw.Length
			}
		}
	}
	// HTTP/3 takes some bytes besides.
	if brought < len(body) || brought > len(body)+1000 || events["quic:packet_sent"] == 0 || events["quic:connection_closed"] != 1 {
		t.Errorf("%d bytes came on the stream, for a file of %d; the events are %v", brought, len(body), events)
	}
}

// relayTo puts a network between curl and a server.
func relayTo(t *testing.T, w *web, l netem.Link) *netem.Relay {
	t.Helper()
	_, port, _ := net.SplitHostPort(w.addr)
	relay, err := netem.NewRelay(1, l, netip.MustParseAddrPort("127.0.0.1:"+port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	return relay
}

// TestCurlIdle: a connection that has waited is used again. For one that the server has given up meanwhile, so that it has timed out here too, or is answered
// by a stateless reset, curl makes another. While it waits curl asks another server, which answers when it is time.
func TestCurlIdle(t *testing.T) {
	for _, test := range []struct {
		name    string
		timeout time.Duration // of the server
		second  int           // connections that the second transfer makes
	}{{"in time", limit, 0}, {"too late", 300 * time.Millisecond, 1}} {
		t.Run(test.name, func(t *testing.T) {
			gone := make(chan struct{}, 2)
			w := listenWeb(t, webRoot(t), func(s *http3.Server) {
				s.QUIC.MaxIdleTimeout = test.timeout
				s.HTTP.ConnState = func(_ net.Conn, state http.ConnState) {
					if state == http.StateClosed {
						gone <- struct{}{}
					}
				}
			})
			other := listenWeb(t, t.TempDir(), func(s *http3.Server) {
				s.HTTP.TLSConfig.Certificates[0] = w.cert
				s.HTTP.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					if test.second > 0 {
						<-gone
					}
				})
			})
			c := newCurl(t, w.addr, w.ca)
			args := []string{"--write-out", "%{http_code} %{num_connects}\n"}
			for _, url := range []string{c.base + "/files/small", "https://" + other.addr, c.base + "/files/medium"} {
				args = append(args, "--output", os.DevNull, url)
			}
			if told, want := c.ok(args...), fmt.Sprintf("200 1\n200 1\n200 %d\n", test.second); told != want {
				t.Errorf("curl says\n%swant\n%s", told, want)
			}
		})
	}
}

// TestCurlServerGone: a server that is not there, that says nothing, or that goes away in the middle of an answer has curl end, with the code
// for it, and not hang.
func TestCurlServerGone(t *testing.T) {
	root := webRoot(t)
	t.Run("nobody listens", func(t *testing.T) {
		c := newCurl(t, fmt.Sprintf("127.0.0.1:%d", freeport.Take(t)), os.DevNull)
		c.args = append(c.args, "--insecure")
		c.fails([]int{7}, c.base+"/") // CURLE_COULDNT_CONNECT
	})
	t.Run("says nothing", func(t *testing.T) {
		mute, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer mute.Close()
		c := newCurl(t, mute.LocalAddr().String(), os.DevNull)
		c.fails([]int{28}, "--insecure", "--connect-timeout", "1", c.base+"/") // CURLE_OPERATION_TIMEDOUT
	})
	t.Run("closes", func(t *testing.T) {
		w := listenWeb(t, root, nil)
		c := newCurl(t, w.addr, w.ca)
		c.leave([]int{56, 95}, func() { w.server.Close() }) // CURLE_RECV_ERROR, CURLE_HTTP3
	})
	t.Run("is killed", func(t *testing.T) {
		root := t.TempDir()
		endless := filepath.Join(root, "endless")
		if err := os.WriteFile(endless, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(endless, 1<<40); err != nil { // all of it a hole
			t.Fatal(err)
		}
		_, cert, key := certificate(t)
		addr := fmt.Sprintf("127.0.0.1:%d", freeport.Take(t))
		server := exec.Command(build(t, "quic-server"), "--listen", addr, "--no-tcp", "--root", root, "--cert", cert, "--key", key)
		startCommand(t, server).firstLine(t)
		c := newCurl(t, addr, cert)
		c.leave([]int{55, 56}, func() { server.Process.Kill() }) // CURLE_SEND_ERROR, CURLE_RECV_ERROR
	})
	t.Run("falls silent", func(t *testing.T) {
		w := listenWeb(t, root, func(s *http3.Server) { s.QUIC.MaxIdleTimeout = time.Second })
		var silent silence
		relay := relayTo(t, w, netem.Link{Models: netem.Both([]netem.Model{&silent})})
		c := newCurl(t, fmt.Sprintf("localhost:%d", relay.Addr().Port()), w.ca)
		c.leave([]int{55}, func() { silent.Store(true) }) // CURLE_SEND_ERROR, "connection closed by idle timeout"
	})
	t.Run("resets the stream", func(t *testing.T) {
		w := listenWeb(t, root, nil)
		c := newCurl(t, w.addr, w.ca)
		c.fails([]int{18, 95}, "--output", os.DevNull, c.base+"/broken") // CURLE_PARTIAL_FILE; CURLE_HTTP3 if the reset overtakes the body
	})
}

// silence is a network that loses all from some time on.
type silence struct{ atomic.Bool }

func (s *silence) Pass(_ time.Time, p *netem.Packet, deliver func(*netem.Packet, time.Duration)) {
	if !s.Load() {
		deliver(p, 0)
	}
}

// leave has curl fetch what has no end, and does something when it comes.
func (c *curl) leave(codes []int, then func()) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), limit)
	defer cancel()
	cmd := c.command(ctx, "--limit-rate", "10M", c.base+"/endless")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, out, 1<<20); err != nil {
		c.t.Errorf("curl brought less than 1 MiB: %v", err)
	}
	then()
	io.Copy(io.Discard, out)
	c.want(cmd.Wait(), &errs, codes...)
	c.t.Logf("curl says %q", strings.TrimSpace(errs.String()))
}
