package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/smallfile"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// The test program is the server too, in a process of its own that can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("QUIC_SERVER_TEST_RUN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// spawn runs the server in a process of its own, and returns its address and how to kill it.
func spawn(t *testing.T, args ...string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "QUIC_SERVER_TEST_RUN=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	_, rest, ok := strings.Cut(line, "listening on ")
	if !ok {
		kill()
		t.Fatalf("the server says %q, %v, %s", line, err, stderr.String())
	}
	addr, _, _ = strings.Cut(rest, ",")
	return addr, kill
}

// A server that was killed and runs again with the same key ends the connections of the one before by a stateless reset.
func TestResetKey(t *testing.T) {
	dir := largeRoot(t)
	key := filepath.Join(t.TempDir(), "key")
	addr, kill := spawn(t, "--listen", "127.0.0.1:0", "--root", dir, "--reset-key", key)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key's file is %v, %v", info, err)
	}
	// A client that only receives says nothing by itself that a reset could answer.
	conn, s := begin(t, addr, &quic.Config{KeepAlive: 20 * time.Millisecond})
	kill()
	again, _ := spawn(t, "--listen", addr, "--root", dir, "--reset-key", key)
	if again != addr {
		t.Fatalf("the server listens on %s, not on %s again", again, addr)
	}
	_, err := io.Copy(io.Discard, s)
	var reset *quic.StatelessResetError
	if !errors.As(err, &reset) || !errors.As(context.Cause(conn.Context()), &reset) {
		t.Errorf("the client reads %v, want a stateless reset", err)
	}
}

// fetchFile fetches a file over a connection that dial makes with a session of sessions, and returns the connection.
func fetchFile(t *testing.T, dial func(context.Context, string, *quic.Config) (*quicnet.Conn, error), addr string,
	sessions tls.ClientSessionCache) *quicnet.Conn {
	t.Helper()
	tlsConf, err := tlsfiles.Client(true, "", hq.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	tlsConf.ClientSessionCache, tlsConf.ServerName = sessions, "localhost"
	conn, err := dial(t.Context(), addr, &quic.Config{TLS: tlsConf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hq.Get(s, "/file", io.Discard); err != nil {
		t.Fatal(err)
	}
	return conn
}

// resumes tells whether a client's session is resumed, which is taken from sessions and comes back there.
func resumes(t *testing.T, addr string, sessions tls.ClientSessionCache) bool {
	t.Helper()
	conn := fetchFile(t, quicnet.Dial, addr, sessions)
	defer conn.Close()
	return conn.ConnectionState().DidResume
}

// Sessions outlive a restart with the same keys of tickets. The file is read again at SIGHUP: a key that comes before the others is used at
// once, one that has gone is forgotten, and a file that is bad by then changes nothing.
func TestTicketKeys(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	args := []string{"--listen", "127.0.0.1:0", "--root", root(t), "--ticket-keys", key}
	addr, kill := spawn(t, args...)
	sessions := tls.NewLRUClientSessionCache(0)
	if resumes(t, addr, sessions) {
		t.Error("resumed without a session")
	}
	kill()
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file of keys is %v, %v", info, err)
	}
	args[1] = addr
	again, stderr := spawnSaying(t, args...)
	if again != addr || !resumes(t, addr, sessions) {
		t.Error("not resumed after a restart with the same key")
	}
	old, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	reread := func(text, says string, resumed bool) {
		t.Helper()
		if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stderr.hup()
		if line := stderr.line(); !strings.Contains(line, says) {
			t.Errorf("the server says %q, want %q", line, says)
		}
		if got := resumes(t, addr, sessions); got != resumed {
			t.Errorf("%s: resumed is %v", says, got)
		}
	}
	newKey := strings.Repeat("42", 32) + "\n"
	reread("# the new one\n"+newKey+"\n"+string(old), "keys for session tickets were read from "+key+": 2", true)
	reread("nonsense", "the keys for session tickets stay as they were: no keys for session tickets: line 1 of ", true)
	reread("# none\n", "holds no key; give a file of keys", true)
	reread(newKey, "keys for session tickets were read from "+key+": 1", true)
	reread(strings.Repeat("43", 32), "keys for session tickets were read from "+key+": 1", false)
	reread(strings.Repeat(newKey, 1000), "the keys for session tickets stay as they were: ", true)
}

// The key of tokens is that of the file, which one run makes and the next one finds, also where the server demands Retry.
func TestTokenKey(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	var made [32]byte
	for i := range 2 {
		addr, kill := spawn(t, "--listen", "127.0.0.1:0", "--root", root(t), "--token-key", key, "--retry")
		if got, err := get(t, addr, "", "/file"); err != nil || got != "contents of file" {
			t.Errorf("%q, %v", got, err)
		}
		kill()
		o := options{listen: "127.0.0.1:0", cc: "cubic", versions: "1", tokenKey: key}
		cfg, err := o.config()
		if err != nil || cfg.TokenKey == nil || *cfg.TokenKey == [32]byte{} || i > 0 && *cfg.TokenKey != made {
			t.Fatalf("run %d: the key is %v, %v", i, cfg, err)
		}
		made = *cfg.TokenKey
	}
	if err := os.WriteFile(key, []byte(strings.Repeat(strings.Repeat("ab", 32)+"\n", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := oneKey(key, "key for tokens"); err == nil || !strings.Contains(err.Error(), "holds 2 keys, and there can be one") {
		t.Errorf("two keys: %v", err)
	}
}

// said is what a server prints to standard error, line by line.
type said struct {
	t     *testing.T
	lines *bufio.Reader
	cmd   *exec.Cmd
}

func (s *said) hup() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
}

func (s *said) line() string {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	return line
}

// spawnSaying is spawn for a server whose messages are read.
func spawnSaying(t *testing.T, args ...string) (addr string, stderr *said) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "QUIC_SERVER_TEST_RUN=1")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	_, rest, ok := strings.Cut(line, "listening on ")
	if !ok {
		t.Fatalf("the server says %q, %v", line, err)
	}
	addr, _, _ = strings.Cut(rest, ",")
	return addr, &said{t, bufio.NewReader(errs), cmd}
}

// early has a client ask for a file in early data, and returns what became of that.
func early(t *testing.T, addr string) quic.EarlyDataState {
	t.Helper()
	sessions := tls.NewLRUClientSessionCache(0)
	resumes(t, addr, sessions)
	conn := fetchFile(t, quicnet.DialEarly, addr, sessions)
	defer conn.Close()
	if err := conn.Handshake(t.Context()); err != nil {
		t.Error(err)
	}
	return conn.EarlyData()
}

// Early data is accepted where it is asked for, and not where it is not.
func TestEarlyData(t *testing.T) {
	for flag, want := range map[string]quic.EarlyDataState{"--early-data": quic.EarlyAccepted, "--early-data=false": quic.EarlyNone} {
		addr, _ := start(t, "--listen", "127.0.0.1:0", "--root", root(t), "-v", flag)
		if got := early(t, addr); got != want {
			t.Errorf("%s: early data %v, want %v", flag, got, want)
		}
	}
}

// Clients speak the version that the server prefers, and come to the address that it prefers.
func TestPreferences(t *testing.T) {
	preferred := fmt.Sprintf("127.0.0.1:%d", freeport.Take(t))
	addr, _ := start(t, "--listen", "127.0.0.1:0", "--root", largeRoot(t), "--versions", "2,1", "--preferred-address", preferred)
	tlsConf, err := tlsfiles.Client(true, "", hq.ALPN)
	if err != nil {
		t.Fatal(err)
	}
	moved := make(chan string, 8)
	dialer := quicnet.Dialer{OnPath: func(_ *quicnet.Conn, ev quic.PathEvent) {
		if ev.Kind == quic.PathActivated {
			moved <- ev.Remote.String()
		}
	}}
	conn, err := dialer.Dial(t.Context(), addr, &quic.Config{TLS: tlsConf})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if v := conn.Stats().Version; v != quic.Version2 {
		t.Errorf("version %x is spoken", v)
	}
	if to := <-moved; to != preferred {
		t.Errorf("the client has moved to %s, want %s", to, preferred)
	}
	s, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := hq.Get(s, "/file", io.Discard); n != 64<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A device, which may have no end, holds no keys and no settings.
func TestDevices(t *testing.T) {
	if _, err := keyFile("/dev/zero", "key"); !errors.Is(err, smallfile.ErrNoFile) {
		t.Errorf("keys: %v", err)
	}
	if _, err := quicLB("@/dev/zero"); !errors.Is(err, smallfile.ErrNoFile) {
		t.Errorf("connection IDs: %v", err)
	}
}
