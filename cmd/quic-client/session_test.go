package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// serveEarly serves large files, which it makes up, and accepts early data.
func serveEarly(t *testing.T, cfg *quic.Config) (addr string) {
	t.Helper()
	var err error
	if cfg.TLS, err = tlsfiles.Server("", "", []string{"localhost", "127.0.0.1"}, "h3", hq.ALPN); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for name, size := range map[string]int{"small": 10, "large": 20 << 20} {
		if err := os.WriteFile(filepath.Join(root, name), bytes.Repeat([]byte("x"), size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := webroot.Open(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	web := &http3.Server{HTTP: &http.Server{Handler: http.FileServerFS(os.DirFS(root))}}
	ep, err := quicnet.ListenConfig{Protocol: web.Protocol}.Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	go func() {
		for {
			conn, err := ep.Accept(t.Context())
			if err != nil {
				return
			}
			conn.HandleStreams(func(s *quicnet.Stream) { hq.Serve(s, files) })
		}
	}()
	return ep.Addr().String()
}

// stats runs the client, wants it to succeed, and returns what --stats says.
func (p over) stats(t *testing.T, url string, args ...string) string {
	t.Helper()
	code, _, stderr := p.client(t.Context(), append(args, "--insecure", "--quiet", "--stats", "-o", filepath.Join(t.TempDir(), "file"), url)...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	return stderr
}

func wantSays(t *testing.T, stderr string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(stderr, want) {
			t.Errorf("--stats says %q, without %q", stderr, want)
		}
	}
}

// Sessions go from one run to the next by the file; early data is accepted by a server that wants it, and comes all the same where not.
func TestSessionFile(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p over) {
		addr, sessions := serveEarly(t, &quic.Config{EarlyData: true}), filepath.Join(t.TempDir(), "sessions")
		wantSays(t, p.stats(t, "https://"+addr+"/small", "--session", sessions), "full handshake", "early data none")
		wantSays(t, p.stats(t, "https://"+addr+"/small", "--session", sessions), "resumed handshake", "early data none")
		wantSays(t, p.stats(t, "https://"+addr+"/large", "--session", sessions, "--early-data"), "resumed handshake", "early data accepted", "20971520 bytes")
		if info, err := os.Stat(sessions); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file is %v, %v", info, err)
		}
		addr = serveEarly(t, &quic.Config{})
		p.stats(t, "https://"+addr+"/small", "--session", sessions)
		wantSays(t, p.stats(t, "https://"+addr+"/small", "--session", sessions, "--early-data"), "resumed handshake", "early data none")
	})
}

// A file of sessions that is not to be used is a sentence, and a full handshake; it stays as it is.
func TestSessionFileRefused(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p over) {
		addr := serveEarly(t, &quic.Config{EarlyData: true})
		sessions := filepath.Join(t.TempDir(), "sessions")
		p.stats(t, "https://"+addr+"/small", "--session", sessions)
		good, err := os.ReadFile(sessions)
		if err != nil {
			t.Fatal(err)
		}
		for want, change := range map[string]func([]byte) []byte{
			"it is damaged: remove it, and a new one is made":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			"it has format 200, and this program knows format": func(b []byte) []byte { b[len("boringquic sessions\n")] = 200; return b },
			"it is another kind of file":                       func([]byte) []byte { return []byte("letters of my aunt") },
		} {
			bad := change(bytes.Clone(good))
			if err := os.WriteFile(sessions, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			says := p.stats(t, "https://"+addr+"/small", "--session", sessions, "--early-data")
			wantSays(t, says, "quic-client: quicnet: no sessions in "+sessions+": "+want, "; the handshake is a full one\n", "full handshake")
			if after, err := os.ReadFile(sessions); err != nil || !bytes.Equal(after, bad) {
				t.Errorf("%s: the file has changed: %v", want, err)
			}
		}
		says := p.stats(t, "https://"+addr+"/small", "--session", filepath.Join(t.TempDir(), "no", "such"))
		wantSays(t, says, "quic-client: quicnet: no sessions: open ", "full handshake")
	})
}

// A file that is not there is that by early data, too; and a server that is gone is no connection.
func TestEarlyDataFails(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p over) {
		sessions := filepath.Join(t.TempDir(), "sessions")
		args := []string{"--insecure", "--session", sessions, "--early-data", "--timeout", "1s", "-o", "-"}
		var addr string
		t.Run("no such file", func(t *testing.T) {
			addr = serveEarly(t, &quic.Config{EarlyData: true})
			p.stats(t, "https://"+addr+"/small", "--session", sessions)
			code, out, stderr := p.client(t.Context(), append(args, "https://"+addr+"/nothing")...)
			if code != exitFailed || !strings.Contains(stderr, p.missing("/nothing")) || out != "" {
				t.Errorf("exit code %d, %q", code, stderr)
			}
		})
		code, _, stderr := p.client(t.Context(), append(args, "https://"+addr+"/small")...)
		if code != exitNoConn || !strings.Contains(stderr, "no connection to "+addr) || strings.Contains(stderr, "/small:") {
			t.Errorf("a server that is gone: exit code %d, %q", code, stderr)
		}
	})
}

func TestVersions(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p over) {
		both, one := serveEarly(t, &quic.Config{}), serveEarly(t, &quic.Config{Versions: []uint32{quic.Version1}})
		two := serveEarly(t, &quic.Config{Versions: []uint32{quic.Version2, quic.Version1}})
		for _, c := range []struct{ addr, flag, want string }{
			{both, "1", "QUIC version 1,"}, {both, "2", "QUIC version 2,"}, {two, "1,2", "QUIC version 2,"}, {two, "1", "QUIC version 1,"},
			{one, "2,1", "QUIC version 1,"},
		} {
			wantSays(t, p.stats(t, "https://"+c.addr+"/small", "--version", c.flag), c.want)
		}
		code, _, stderr := p.client(t.Context(), "--insecure", "--version", "2", "-o", "-", "https://"+one+"/small")
		if code != exitNoConn || !strings.Contains(stderr, "version") {
			t.Errorf("a version that the server does not speak: exit code %d, %q", code, stderr)
		}
	})
}

// In the middle of a file, or at once, the connection moves and keys change; the file is whole.
func TestDuring(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p over) {
		addr := serveEarly(t, &quic.Config{})
		for _, after := range []string{"0", "1000000", "20000000"} {
			says := p.stats(t, "https://"+addr+"/large", "--migrate", "127.0.0.1:0", "--key-update", "--after", after, "--local", "127.0.0.1:0")
			wantSays(t, says, "20971520 bytes", "changed 1 times", "key updates: 1")
		}
		dir := t.TempDir()
		for want, args := range map[string][]string{
			"all files together have less than the 1048576 bytes of --after": {"--key-update", "https://" + addr + "/small"},
			"the connection has not moved: ":                                 {"--migrate", "192.0.2.1:0", "https://" + addr + "/large"},
		} {
			code, _, stderr := p.client(t.Context(), append(args, "--insecure", "--dir", dir)...)
			if code != exitFailed || !strings.Contains(stderr, want) {
				t.Errorf("%v: exit code %d, %q, want %q", args, code, stderr, want)
			}
		}
		still := serveEarly(t, &quic.Config{DisableActiveMigration: true})
		code, _, stderr := p.client(t.Context(), "--insecure", "--migrate", ":0", "--dir", dir, "https://"+still+"/large")
		if code != exitFailed || !strings.Contains(stderr, "the connection has not moved") {
			t.Errorf("a server that wants nobody to move: exit code %d, %q", code, stderr)
		}
		if info, err := os.Stat(filepath.Join(dir, "large")); err != nil || info.Size() != 20<<20 {
			t.Errorf("the file is %v, %v", info, err)
		}
	})
}

func TestCeiling(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p over) {
		o := options{pmtu: 1300, timeout: 1, cc: "cubic", versions: "1"}
		if cfg, err := o.config(); err != nil || cfg.MaxUDPPayload != 1300 {
			t.Errorf("--pmtu 1300: %+v, %v", cfg, err)
		}
		addr := serveEarly(t, &quic.Config{})
		wantSays(t, p.stats(t, "https://"+addr+"/large", "--pmtu", "1300"), "20971520 bytes")
	})
}

func TestFlagsOfSessions(t *testing.T) {
	for want, args := range map[string][]string{
		"--early-data needs --session":                  {"--early-data"},
		"--version \"3\": give 1, 2, or both":           {"--version", "3"},
		"--pmtu 1199 is not within 1200 and 65527":      {"--pmtu", "1199"},
		"--pmtu 65528 is not within":                    {"--pmtu", "65528"},
		"--after -1 is below zero":                      {"--after", "-1"},
		"--migrate \"elsewhere\" is not IP:PORT":        {"--migrate", "elsewhere"},
		"--migrate \"localhost:0\" is not IP:PORT":      {"--migrate", "localhost:0"},
		"--local \"127.0.0.1:70000\" is not IP:PORT":    {"--local", "127.0.0.1:70000"},
		"flag needs an argument: --session":             {"https://127.0.0.1:9/x", "--session"},
		"invalid argument \"much\" for \"--pmtu\" flag": {"--pmtu", "much"},
	} {
		code, _, stderr := client(t.Context(), append([]string{"https://127.0.0.1:9/x"}, args...)...)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %q, want %q", args, code, stderr, want)
		}
	}
}
