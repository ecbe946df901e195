package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
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
