package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/netem"
	"github.com/boringquic/boringquic/cmd/internal/trace"
)

// beProgram has the test's own program be quic-interop.
const beProgram = "QUIC_INTEROP_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// start begins quic-interop in a process of its own.
func start(t *testing.T, env []string, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stderr = new(bytes.Buffer)
	cmd = exec.Command(self, args...)
	cmd.Env, cmd.Stderr = append(env, beProgram+"=1"), stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stderr
}

// TestProcesses runs cases as the runner does: processes with environment and exit code, which meet over sockets, with a relay in between
// that is the network, in real time.
func TestProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("addresses of 127.0.0.0/8 besides 127.0.0.1 are wanted, which Linux has")
	}
	chosen := map[string]bool{"H": true, "S": true, "C20": true, "U": true, "R": true, "Z": true, "V2": true, "L2": true, "C2": true, "BA": true, "B": true}
	for _, s := range runnerCases() {
		if abbr, _, _ := strings.Cut(s.name, " "); !chosen[abbr] || s.name == "C2 transfercorruption as loss" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.asProcesses(t)
		})
	}
}

func (s *scenario) asProcesses(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"www", "downloads", "certs"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	names := s.makeFiles(t, filepath.Join(dir, "www"), 1)
	makeCerts(t, filepath.Join(dir, "certs"), s.chain)
	testCase := s.server
	if testCase == "" {
		testCase = s.client
	}
	addr := freeAddr(t)
	keyLog, qlogDir := "SSLKEYLOGFILE="+filepath.Join(dir, "keys.log"), "QLOGDIR="+filepath.Join(dir, "qlog")
	server, serverLog := start(t, []string{"ROLE=server", "TESTCASE=" + testCase, keyLog, qlogDir}, "--listen", addr.String(),
		"--www", filepath.Join(dir, "www"), "--certs", filepath.Join(dir, "certs"))
	defer server.Process.Kill()
	waitForServer(t, addr)
	relay, err := netem.NewRelay(1, s.link, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	var urls []string
	for _, name := range names {
		urls = append(urls, fmt.Sprintf("https://%s/%s", relay.Addr(), name))
	}
	begin := time.Now()
	client, clientLog := start(t, []string{"ROLE=client", "TESTCASE=" + s.client, keyLog, qlogDir, "REQUESTS=" + strings.Join(urls, " "),
		"CLIENT_PARAMS=--downloads " + filepath.Join(dir, "downloads")})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, func() { client.Process.Kill() })()
	if err := client.Wait(); err != nil {
		t.Errorf("the client: %v\n%s", err, clientLog)
	}
	r := &result{T: t, s: s, network: relay.Network(), took: time.Since(begin)}
	server.Process.Signal(os.Interrupt)
	if err := server.Wait(); err != nil {
		t.Errorf("the server: %v\n%s", err, serverLog)
	}
	relay.Close()
	s.compare(t, dir, names)
	wantTraces(t, filepath.Join(dir, "qlog"))
	keys, err := os.ReadFile(filepath.Join(dir, "keys.log"))
	if err != nil {
		t.Fatal(err)
	}
	r.client = trace.Read(r.network.Records(netem.ClientSide), keys)
	r.server = trace.Read(r.network.Records(netem.ServerSide), keys)
	r.common()
	if s.check != nil {
		s.check(r)
	}
}

// wantTraces looks whether each connection was traced to its end, by both sides, in files whose names tell which belong together.
func wantTraces(t *testing.T, dir string) {
	t.Helper()
	clients, _ := filepath.Glob(filepath.Join(dir, "*_client.sqlog"))
	if len(clients) == 0 {
		t.Errorf("no connection was traced in %s", dir)
	}
	for _, file := range clients {
		for _, name := range []string{file, strings.TrimSuffix(file, "_client.sqlog") + "_server.sqlog"} {
			if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte("quic:packet_sent")) || !bytes.Contains(b, []byte("quic:connection_closed")) {
				t.Errorf("%s: %d bytes, %v", filepath.Base(name), len(b), err)
			}
		}
	}
}

// freeAddr returns an address of loopback that nobody listens on now.
func freeAddr(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// waitForServer is the runner's wait-for-it-quic: a long packet of a version that nobody speaks must be answered by Version Negotiation
// with connection IDs without length, within ten seconds.
func waitForServer(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := append([]byte{0xc0, 'W', 'A', 'I', 'T', 0, 0}, make([]byte, 1200)...)
	answer := make([]byte, 1500)
	for begin := time.Now(); time.Since(begin) < 10*time.Second; {
		c.Write(ask)
		c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := c.Read(answer)
		if err == nil && n > 7 && answer[0]&0x80 != 0 && bytes.Equal(answer[1:7], make([]byte, 6)) {
			return
		}
		if err != nil && !os.IsTimeout(err) {
			<-time.After(50 * time.Millisecond) // nobody listens yet
		}
	}
	t.Fatal("the server does not answer with Version Negotiation")
}
