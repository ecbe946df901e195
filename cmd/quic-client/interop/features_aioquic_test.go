package interop

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/quic"
)

// startAioquic starts a server of aioquic and returns its address.
func startAioquic(t *testing.T, root string, flags ...string) string {
	t.Helper()
	_, cert, key := certificate(t)
	port := strconv.Itoa(freeport.Take(t))
	start(t, wantPython(t), append(append([]string{"testdata/hq_server.py"}, flags...), port, root, cert, key)...).firstLine(t)
	return "127.0.0.1:" + port
}

// TestAioquicServerFeatures: our client, aioquic's server.
func TestAioquicServerFeatures(t *testing.T) {
	root := webRoot(t)
	both := []uint32{quic.Version1, quic.Version2}
	for name, test := range map[string]struct {
		flags []string
		run   func(ctx context.Context, t *testing.T, addr, root string)
	}{
		"resumption": {nil, func(ctx context.Context, t *testing.T, addr, root string) {
			resumeOurs(ctx, t, addr, root, false, both, quic.Version1)
		}},
		"0-RTT": {nil, func(ctx context.Context, t *testing.T, addr, root string) {
			resumeOurs(ctx, t, addr, root, true, both, quic.Version1)
		}},
		"v2": {nil, func(ctx context.Context, t *testing.T, addr, root string) {
			resumeOurs(ctx, t, addr, root, true, []uint32{quic.Version2}, quic.Version2)
		}},
		"v2 after Version Negotiation": {[]string{"--v2"}, func(ctx context.Context, t *testing.T, addr, root string) {
			resumeOurs(ctx, t, addr, root, true, both, quic.Version2)
		}},
		"migration":  {nil, moveOurs},
		"key update": {nil, updateOurs},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			test.run(ctx, t, startAioquic(t, root, test.flags...), root)
		})
	}
}

// TestAioquicClientFeatures: aioquic's client, our server.
func TestAioquicClientFeatures(t *testing.T) {
	root := webRoot(t)
	for name, test := range map[string]struct {
		flags    []string
		versions []uint32 // of our server; nil: the default
		version  uint32
		resumed  bool
		early    bool
		moves    uint64
	}{
		"resumption":                {flags: []string{"--resume"}, version: quic.Version1, resumed: true},
		"0-RTT":                     {flags: []string{"--resume", "--early"}, version: quic.Version1, resumed: true, early: true},
		"v2":                        {flags: []string{"--resume", "--early", "--v2", "first"}, version: quic.Version2, resumed: true, early: true},
		"v2 by the server's choice": {flags: []string{"--v2", "offered"}, versions: []uint32{quic.Version2, quic.Version1}, version: quic.Version2},
		"migration":                 {flags: []string{"--migrate"}, version: quic.Version1, moves: 1},
		"key update":                {flags: []string{"--key-update"}, version: quic.Version1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			o := listenOurs(t, root, func(cfg *quic.Config) { cfg.EarlyData, cfg.Versions = test.early, test.versions }, nil)
			got := t.TempDir()
			args := append(append([]string{"testdata/hq_client.py"}, test.flags...), o.addr, got)
			for name := range files {
				args = append(args, name)
			}
			out, err := exec.CommandContext(ctx, wantPython(t), args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, tail(out))
			}
			wantSame(t, got, root)
			last := o.next(ctx, t)
			if test.resumed {
				wantFeatures(t, last, false, false, test.version)
				last = o.next(ctx, t)
			}
			wantFeatures(t, last, test.resumed, test.early, test.version)
			if last.Migrations < test.moves {
				t.Errorf("our server counts %d moves, want %d", last.Migrations, test.moves)
			}
			title := map[bool]string{false: "False", true: "True"}
			says := fmt.Sprintf("resumed=%s early=%s version=%#x", title[test.resumed], title[test.early], test.version)
			if lines := strings.TrimSpace(string(out)); !strings.HasSuffix(lines, says) {
				t.Errorf("aioquic says %q, want it to end in %q", lines, says)
			}
		})
	}
}
