package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// rustPeers compiles the programs of the folder peers, once, in the user's cache folder, and returns the folder that they are in. The
// first time takes some minutes.
var rustPeers = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, "boringquic", "interop", "peers")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "cargo", "build", "--quiet", "--manifest-path", "peers/Cargo.toml", "--target-dir", target)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cargo build of the peers in Rust: %w; they need cargo 1.85 or newer, cmake and a C++ compiler", err)
	}
	return filepath.Join(target, "debug"), nil
})

func rustPeer(t *testing.T, name string) string {
	t.Helper()
	dir, err := rustPeers()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// rustFeatures are the programs in Rust, and what they can do.
var rustFeatures = []struct {
	name                 string
	early                bool // 0-RTT, in both roles
	clientMoves, follows bool // the client moves, quinn's as behind a NAT; the server follows one that does
}{
	{name: "quinn", early: true, clientMoves: true, follows: true},
	{name: "s2n-quic", follows: true},
	// quiche's server follows, but what is lost on the path that it leaves it never sends again: a client of ours that moves in the middle of a
	// file loses some of what is in flight, since connection IDs are retired on another socket than that on which packets still wait.
	{name: "quiche", early: true, clientMoves: true},
}

// TestRustServerFeatures: our client; the servers of quinn, s2n-quic and quiche.
func TestRustServerFeatures(t *testing.T) {
	root := webRoot(t)
	for _, peer := range rustFeatures {
		t.Run(peer.name, func(t *testing.T) {
			_, cert, key := certificate(t)
			line := start(t, rustPeer(t, peer.name), "server", "127.0.0.1:0", root, cert, key).firstLine(t)
			_, addr, ok := strings.Cut(line, "listening on ")
			if !ok {
				t.Fatalf("the server's first line is %q", line)
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			t.Run("resumption", func(t *testing.T) { resumeOurs(ctx, t, addr, root, false, nil, quic.Version1) })
			if peer.early {
				t.Run("0-RTT", func(t *testing.T) { resumeOurs(ctx, t, addr, root, true, nil, quic.Version1) })
			}
			if peer.follows {
				t.Run("migration", func(t *testing.T) { moveOurs(ctx, t, addr, root) })
			}
			t.Run("key update", func(t *testing.T) { updateOurs(ctx, t, addr, root) })
		})
	}
}

// TestRustClientFeatures: the clients of quinn, s2n-quic and quiche; our server.
func TestRustClientFeatures(t *testing.T) {
	root := webRoot(t)
	for _, peer := range rustFeatures {
		t.Run(peer.name, func(t *testing.T) {
			t.Run("resumption", func(t *testing.T) { fetchWithRust(t, peer.name, root, false, "--resume") })
			if peer.early {
				t.Run("0-RTT", func(t *testing.T) { fetchWithRust(t, peer.name, root, true, "--resume", "--early") })
			}
			if peer.clientMoves {
				t.Run("migration", func(t *testing.T) { fetchWithRust(t, peer.name, root, false, "--migrate") })
			}
		})
	}
}

// fetchWithRust has a client in Rust fetch all files, the large one first, and checks what both sides say.
func fetchWithRust(t *testing.T, peer, root string, early bool, flags ...string) {
	t.Helper()
	program := rustPeer(t, peer) // may have to be compiled
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	o := listenOurs(t, root, func(cfg *quic.Config) { cfg.EarlyData = early }, nil)
	got := t.TempDir()
	_, port, err := net.SplitHostPort(o.addr)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"client", "--ca", o.ca}, flags...)
	args = append(args, "127.0.0.1:"+port, got, "large")
	for name := range files {
		if name != "large" {
			args = append(args, name)
		}
	}
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(out))
	}
	wantSame(t, got, root)
	resumed := flags[0] == "--resume"
	first := o.next(ctx, t)
	wantFeatures(t, first, false, false, quic.Version1)
	if flags[0] == "--migrate" && first.Migrations == 0 {
		t.Error("our server counts no move")
	}
	if resumed {
		wantFeatures(t, o.next(ctx, t), true, early, quic.Version1)
	}
	if early && !strings.Contains(string(out), "early=true") {
		t.Errorf("%s says %q", peer, out)
	}
}
