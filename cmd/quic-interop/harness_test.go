package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/netem"
	"github.com/boringquic/boringquic/cmd/internal/trace"
	"github.com/boringquic/boringquic/cmd/quic-interop/internal/endpoint"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// scenario is a test case of the runner, or another of that kind.
type scenario struct {
	name           string
	client, server string        // TESTCASE of each; server's is client's if empty
	files          []int         // sizes in bytes
	longNames      bool          // of 250 characters
	chain          int           // certificates, each with many names; 0: one with few
	v6             bool          // the server is asked by its IPv6 address
	dual           bool          // the server has both, as server46
	link           netem.Link    //
	flow           bool          // a TCP flow competes
	timeout        time.Duration // 0: 60 s
	version        string        // "2": version 2 from the first packet on
	params         [2]string     // SERVER_PARAMS, CLIENT_PARAMS
	handshakes     int           // that must be seen; 0: one
	check          func(r *result)
	while          func(n *netem.Network) // runs beside, until the network is closed
}

// The addresses of the runner's networks.
var (
	client4 = netip.MustParseAddr("193.167.0.100")
	client6 = netip.MustParseAddr("fd00:cafe:cafe:0::100")
	server4 = netip.MustParseAddr("193.167.100.100")
	server6 = netip.MustParseAddr("fd00:cafe:cafe:100::100")
)

// result is what a scenario has brought.
type result struct {
	*testing.T
	s              *scenario
	client, server *trace.Trace
	network        *netem.Network
	took           time.Duration // of the client's
	flow           *netem.Flow
}

// memory is the network of one side.
type memory struct {
	n    *netem.Network
	side netem.Side
	v6   bool
	all  []netip.Addr
}

func (m memory) socket(local string) (*udp.Socket, error) {
	pc, err := m.n.ListenPacket(m.side, netip.MustParseAddrPort(local))
	if err != nil {
		return nil, err
	}
	return udp.New(pc, udp.Options{})
}

func (m memory) Listen(addr string, cfg *quic.Config, protocol endpoint.Protocol) (*quicnet.Endpoint, error) {
	sock, err := m.socket(addr)
	if err != nil {
		return nil, err
	}
	return quicnet.ListenConfig{OpenSocket: m.socket, Protocol: protocol}.NewEndpoint(sock, cfg)
}

func (m memory) Open() (*quicnet.Endpoint, error) { return m.Listen(m.clientAddr().String(), nil, nil) }

func (m memory) ListenPacket() (net.PacketConn, error) {
	return m.n.ListenPacket(m.side, m.clientAddr())
}

func (m memory) clientAddr() netip.AddrPort {
	if m.v6 {
		return netip.AddrPortFrom(client6, 0)
	}
	return netip.AddrPortFrom(client4, 0)
}

func (m memory) Addrs() []netip.Addr { return m.all }

// run runs a scenario in virtual time, with the checks that every one is to pass.
func (s *scenario) run(t *testing.T, seed uint64) {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"www", "downloads", "certs"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	names := s.makeFiles(t, filepath.Join(dir, "www"), seed)
	makeCerts(t, filepath.Join(dir, "certs"), s.chain)
	r := &result{T: t, s: s}
	var logs [2]bytes.Buffer
	codes := s.playInBubble(t, r, dir, names, seed, &logs)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d; client, after %v:\n%sserver:\n%s", seed, r.took, tail(&logs[1]), tail(&logs[0]))
		}
	}()
	if codes != [2]int{exitOK, exitOK} {
		t.Errorf("exit codes of server and client are %d", codes)
	}
	s.compare(t, dir, names)
	keys, err := os.ReadFile(filepath.Join(dir, "keys.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains("\n"+string(keys), "\nSERVER_HANDSHAKE_TRAFFIC_SECRET") {
		t.Error("the key log is without SERVER_HANDSHAKE_TRAFFIC_SECRET")
	}
	r.client = trace.Read(r.network.Records(netem.ClientSide), keys)
	r.server = trace.Read(r.network.Records(netem.ServerSide), keys)
	r.common()
	if s.check != nil {
		s.check(r)
	}
}

// playInBubble is play in virtual time.
func (s *scenario) playInBubble(t *testing.T, r *result, dir string, names []string, seed uint64, logs *[2]bytes.Buffer) (codes [2]int) {
	synctest.Test(t, func(*testing.T) { codes = s.play(r, dir, names, seed, logs) })
	return codes
}

// play runs server and client in a bubble and returns their exit codes.
func (s *scenario) play(r *result, dir string, names []string, seed uint64, logs *[2]bytes.Buffer) (codes [2]int) {
	r.network = netem.New(seed, s.link)
	defer r.network.Close()
	ip := server4
	all := []netip.Addr{server4}
	if s.v6 {
		ip, all = server6, []netip.Addr{server6}
	}
	if s.dual {
		all = []netip.Addr{server4, server6}
	}
	addr := netip.AddrPortFrom(ip, 443)
	timeout := s.timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	var urls []string
	for _, name := range names {
		urls = append(urls, fmt.Sprintf("https://%s/%s", addr, name))
	}
	start := func(ctx context.Context, i int, role, testCase string, network endpoint.Network, args ...string) {
		env := map[string]string{"ROLE": role, "TESTCASE": testCase, "REQUESTS": strings.Join(urls, " "),
			"SSLKEYLOGFILE": filepath.Join(dir, "keys.log"), "SERVER_PARAMS": s.params[0], "CLIENT_PARAMS": s.params[1]}
		p := program{env: func(name string) string { return env[name] }, stderr: &logs[i], network: network}
		codes[i] = p.run(ctx, append(args, "--version", s.quicVersion()))
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		testCase := s.server
		if testCase == "" {
			testCase = s.client
		}
		start(ctx, 0, "server", testCase, memory{r.network, netem.ServerSide, s.v6, all}, "--listen", addr.String(),
			"--www", filepath.Join(dir, "www"), "--certs", filepath.Join(dir, "certs"))
	})
	synctest.Wait()
	if s.flow {
		r.flow = r.network.StartFlow()
	}
	if s.while != nil {
		go s.while(r.network)
	}
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, timeout)
	start(limited, 1, "client", s.client, memory{r.network, netem.ClientSide, s.v6, nil}, "--downloads", filepath.Join(dir, "downloads"))
	cancel()
	r.took = time.Since(begin)
	stop()
	serving.Wait()
	return codes
}

func (s *scenario) quicVersion() string {
	if s.version == "" {
		return "1"
	}
	return s.version
}

// makeFiles makes the files that are to be downloaded.
func (s *scenario) makeFiles(t *testing.T, www string, seed uint64) (names []string) {
	dice := mathrand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	for i, size := range s.files {
		name := fmt.Sprintf("file%d-%x", i, dice.Uint64())
		if s.longNames {
			name += strings.Repeat("x", 250-len(name))
		}
		names = append(names, name)
		b := make([]byte, size)
		dice.Read(b)
		if err := os.WriteFile(filepath.Join(www, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// compare checks that what was downloaded is what there was: nothing else, and every byte.
func (s *scenario) compare(t *testing.T, dir string, names []string) {
	entries, err := os.ReadDir(filepath.Join(dir, "downloads"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(names) {
		t.Errorf("%d files were downloaded, want %d", len(entries), len(names))
	}
	for _, name := range names {
		want, err := os.ReadFile(filepath.Join(dir, "www", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "downloads", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d are there, or others: %v", name, len(got), len(want), err)
		}
	}
}

// makeCerts writes cert.pem and priv.key. With a chain of more than one, each certificate has twenty names of 250 characters, as the
// runner makes them.
func makeCerts(t *testing.T, dir string, chain int) {
	var names []string
	if chain > 1 {
		for i := range 20 {
			names = append(names, fmt.Sprintf("%s%02d.example", strings.Repeat(strings.Repeat("a", 60)+".", 4)[:239], i))
		}
	}
	names = append(names, "server", "server4", "server6", "server46")
	var out []byte
	var parent *x509.Certificate
	var parentKey *ecdsa.PrivateKey
	for i := range max(chain, 1) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint("interop ", i)}, DNSNames: names,
			NotBefore: time.Unix(0, 0), NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		out = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), out...)
		if parent, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		parentKey = key
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(parentKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cert.pem": out,
		"priv.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tail returns the last lines of a log.
func tail(b *bytes.Buffer) string {
	s := b.String()
	return s[max(0, len(s)-2000):]
}
