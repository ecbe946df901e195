package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quiclb"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// balancerSight is a client's socket that notes, as a balancer does, which server the client's last packet with a short header leads to.
type balancerSight struct {
	net.PacketConn
	decoder *quiclb.Decoder
	mu      sync.Mutex
	last    string // hexadecimal; empty: nowhere
}

func (b *balancerSight) WriteTo(p []byte, to net.Addr) (int, error) {
	if p[0]&0x80 == 0 {
		id, _ := b.decoder.Datagram(nil, p)
		b.mu.Lock()
		b.last = hex.EncodeToString(id)
		b.mu.Unlock()
	}
	return b.PacketConn.WriteTo(p, to)
}

func (b *balancerSight) lastServer() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// watched is a connection whose datagrams somebody sees who knows some configurations.
func watched(t *testing.T, addr string, known ...quiclb.Config) (*balancerSight, *quicnet.Conn) {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sight := &balancerSight{PacketConn: pc}
	if sight.decoder, err = quiclb.NewDecoder(known...); err != nil {
		t.Fatal(err)
	}
	sock, err := udp.New(sight, udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ep, err := quicnet.NewEndpoint(sock, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	tlsConf, err := tlsfiles.Client(true, "", hq.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ep.Dial(t.Context(), addr, &quic.Config{TLS: tlsConf})
	if err != nil {
		t.Fatal(err)
	}
	return sight, conn
}

// ask asks for the file twice: the first request may leave in the datagram of the handshake's end, whose first packet has a long header.
func ask(t *testing.T, conn *quicnet.Conn) {
	t.Helper()
	for range 2 {
		s, err := conn.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var body strings.Builder
		if _, err := hq.Get(s, "/file", &body); err != nil || body.String() != "contents of file" {
			t.Fatalf("%q, %v", body.String(), err)
		}
	}
}

func fileKey(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != 16 {
		t.Fatalf("the key is %q, %v", b, err)
	}
	return key
}

// Connection IDs lead to the server, with one socket and with several, legible or encrypted with a key that is made.
func TestQUICLB(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	for flags, cfg := range map[string]quiclb.Config{
		"server-id=0A0b": {ServerIDLen: 2, NonceLen: 8},
		"server-id=0a0b,nonce-len=14,rotation=3,key-file=" + key:                   {Rotation: 3, ServerIDLen: 2, NonceLen: 14},
		"rotation=6, server-id=0a0b, encode-length, server-use=1, key-file=" + key: {Rotation: 6, ServerIDLen: 2, NonceLen: 8, EncodeLength: true, ServerUse: 1},
	} {
		shards := "1"
		if cfg.ServerUse > 0 {
			shards = "2"
		}
		addr, _ := start(t, "--listen", "127.0.0.1:0", "--root", root(t), "--quic-lb", flags, "--shards", shards)
		if strings.Contains(flags, "key-file") {
			cfg.Key = fileKey(t, key)
		}
		sight, conn := watched(t, addr, cfg)
		ask(t, conn)
		if got := sight.lastServer(); got != "0a0b" {
			t.Errorf("--quic-lb %s: the client's datagrams lead to %q", flags, got)
		}
	}
}

// A file with the configuration is read again at SIGHUP: connections change over to the new one; one that will not do changes nothing.
func TestQUICLBRotation(t *testing.T) {
	dir := t.TempDir()
	file, key1, key2 := filepath.Join(dir, "lb"), filepath.Join(dir, "key1"), filepath.Join(dir, "key2")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("server-id=0a0b,key-file=" + key1)
	addr, stderr := spawnSaying(t, "--listen", "127.0.0.1:0", "--root", root(t), "--quic-lb", "@"+file)
	next := "rotation=1,server-id=0c0d,key-file=" + key2
	if err := os.WriteFile(key2, bytes.Repeat([]byte("5e"), 16), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := quiclb.Config{ServerIDLen: 2, NonceLen: 8}
	cfg1, cfg2 := cfg, cfg
	cfg1.Key, cfg2.Key, cfg2.Rotation = fileKey(t, key1), fileKey(t, key2), 1
	sight, conn := watched(t, addr, cfg1, cfg2)
	ask(t, conn)
	if got := sight.lastServer(); got != "0a0b" {
		t.Fatalf("the client's datagrams lead to %q", got)
	}
	reread := func(text, says string) {
		t.Helper()
		write(text)
		stderr.hup()
		if line := stderr.line(); !strings.Contains(line, says) {
			t.Errorf("the server says %q, want %q", line, says)
		}
	}
	const stay = "connection IDs stay as they were: "
	reread("server-id=0a", stay+"the connection IDs would have 10 bytes")
	reread("server-id=0c0d,key-file="+key2, stay+"Rotation is 0, as in the configuration that is in use")
	reread("nonsense", stay+"--quic-lb @"+file+`: "nonsense" is none of`)
	ask(t, conn)
	if got := sight.lastServer(); got != "0a0b" {
		t.Errorf("the client's datagrams lead to %q", got)
	}
	reread(next, "connection IDs by "+next+" from now on")
	for sight.lastServer() != "0c0d" { // each brings the change nearer; the test's own time limit ends it
		ask(t, conn)
	}
}

func TestQUICLBErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags []string
		code  int
		says  string
	}{
		{[]string{"rotation=1"}, exitUsage, "server-id is missing: give two hexadecimal digits for each byte"},
		{[]string{"server-id=0a0"}, exitUsage, "--quic-lb server-id=0a0: server-id=0a0: give two hexadecimal digits"},
		{[]string{"server-id=0a,rotation=7"}, exitUsage, ": Rotation is 7, which marks connection IDs that cannot be routed: give 0 to 6"},
		{[]string{"server-id=0a,rotation=x"}, exitUsage, "rotation=x is not a number"},
		{[]string{"server-id=0a,rotation"}, exitUsage, "rotation= is not a number"},
		{[]string{"server-id=0a,nonce-len=3"}, exitUsage, ": a nonce of 3 bytes: give it 4 to 18"},
		{[]string{"server-id=0a,nonce=3"}, exitUsage, `"nonce" is none of server-id, rotation, nonce-len`},
		{[]string{"server-id=0a,server-id=0b"}, exitUsage, "server-id is given twice"},
		{[]string{"server-id=0a,encode-length=1"}, exitUsage, "encode-length stands without a value"},
		{[]string{"server-id=0a,key-file="}, exitUsage, "key-file= stands without a file"},
		{[]string{"server-id=0a,key-file=" + bad}, exitFailed, "no key for connection IDs: line 1 of " + bad + " does not hold 32 hexadecimal digits"},
		{[]string{"@" + filepath.Join(dir, "none")}, exitFailed, "no configuration of connection IDs: open "},
		{[]string{"server-id=0a", "--shards", "2"}, exitUsage, "add server-use=1 to --quic-lb"},
	} {
		var stderr strings.Builder
		args := append([]string{"--listen", "127.0.0.1:0", "--quic-lb"}, c.flags...)
		if code := run(t.Context(), args, io.Discard, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%v: exit code %d, %q, want %d, %q", c.flags, code, stderr.String(), c.code, c.says)
		}
	}
}
