package interop

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// tlsH3 is the TLS configuration of a client of ours that speaks HTTP/3, as ngtcp2's programs do.
func tlsH3() *tls.Config {
	cfg := tlsClient()
	cfg.NextProtos = []string{"h3"}
	return cfg
}

// compareH3 fetches a file over HTTP/3 and compares it.
func compareH3(ctx context.Context, t *testing.T, conn *quicnet.Conn, root, name string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	got, err := getH3(ctx, conn, name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatalf("%s: %d bytes arrived that are not the file's %d", name, len(got), len(want))
	}
}

// TestNgtcp2ServerFeatures: our client, ngtcp2's server.
func TestNgtcp2ServerFeatures(t *testing.T) {
	root := webRoot(t)
	_, cert, key := certificate(t)
	port := strconv.Itoa(freeport.Take(t))
	start(t, ngtcp2(t, "gtlsserver"), "--quiet", "--htdocs", root, "127.0.0.1", port, key, cert)
	addr := "127.0.0.1:" + port
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	dialUntilUp(ctx, t, addr).Close()
	for _, early := range []bool{false, true} {
		name := map[bool]string{false: "resumption", true: "0-RTT"}[early]
		t.Run(name, func(t *testing.T) {
			sessions := make(chan *quic.Session, 16)
			d := quicnet.Dialer{OnSession: func(s *quic.Session) {
				if !s.Expires().IsZero() { // else it is a token only
					sessions <- s
				}
			}}
			for round := range 2 {
				dial := d.Dial
				if early && round == 1 {
					dial = d.DialEarly
				}
				conn, err := dial(ctx, addr, &quic.Config{TLS: tlsH3()})
				if err != nil {
					t.Fatal(err)
				}
				if err := openControl(ctx, conn); err != nil {
					t.Fatal(err)
				}
				compareH3(ctx, t, conn, root, "small")
				if round == 0 {
					d.Session = <-sessions
				}
				wantFeatures(t, connection{conn.Stats(), conn.ConnectionState()}, round == 1, early && round == 1, quic.Version1)
				conn.Close()
			}
		})
	}
	t.Run("preferred address", func(t *testing.T) {
		port, preferred := strconv.Itoa(freeport.Take(t)), "127.0.0.1:"+strconv.Itoa(freeport.Take(t))
		start(t, ngtcp2(t, "gtlsserver"), "--quiet", "--htdocs", root, "--preferred-ipv4-addr="+preferred, "127.0.0.1", port, key, cert)
		addr := "127.0.0.1:" + port
		dialUntilUp(ctx, t, addr).Close()
		conn, err := quicnet.Dial(ctx, addr, &quic.Config{TLS: tlsH3()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := openControl(ctx, conn); err != nil {
			t.Fatal(err)
		}
		compareH3(ctx, t, conn, root, "large")
		compareH3(ctx, t, conn, root, "large")
		if got := conn.RemoteAddr().String(); got != preferred {
			t.Errorf("the connection is to %s, and the server prefers %s", got, preferred)
		}
	})
	t.Run("migration and key update", func(t *testing.T) {
		conn, err := quicnet.Dialer{LocalAddr: "127.0.0.1:0"}.Dial(ctx, addr, &quic.Config{TLS: tlsH3()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := openControl(ctx, conn); err != nil {
			t.Fatal(err)
		}
		compareH3(ctx, t, conn, root, "medium")
		if err := conn.Migrate(ctx, "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		compareH3(ctx, t, conn, root, "large")
		if err := conn.KeyUpdate(); err != nil {
			t.Fatal(err)
		}
		compareH3(ctx, t, conn, root, "large")
		if n := conn.Stats().Migrations; n != 1 {
			t.Errorf("%d moves are counted, want 1", n)
		}
	})
}

// listenOursH3 is listenOurs with as much of HTTP/3 as ngtcp2's client needs.
func listenOursH3(t *testing.T, root string, configure func(*quic.Config)) *ours {
	t.Helper()
	o := &ours{over: make(chan connection, 16)}
	o.cert, _, _ = certificate(t)
	cfg := &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{o.cert}, NextProtos: []string{"h3"}}}
	configure(cfg)
	serve(t, o, cfg, func(c *quicnet.Conn) { openControl(context.Background(), c) }, func(_ *webroot.Root, s *quicnet.Stream) {
		err := serveH3(s, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(root, filepath.Base(name))) })
		if err != nil {
			s.CancelWrite(1)
		}
	}, root)
	return o
}

// TestNgtcp2ClientFeatures: ngtcp2's client, our server.
func TestNgtcp2ClientFeatures(t *testing.T) {
	root := webRoot(t)
	kept := t.TempDir()
	session := func(name string) []string {
		return []string{"--session-file", filepath.Join(kept, name), "--tp-file", filepath.Join(kept, name+".params")}
	}
	late := listenOursH3(t, root, func(*quic.Config) {})
	early := listenOursH3(t, root, func(cfg *quic.Config) { cfg.EarlyData = true })
	elsewhere := listenOursH3(t, root, func(cfg *quic.Config) {
		cfg.PreferredAddress.IPv4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(freeport.Take(t)))
	})
	for _, test := range []struct { // in this order: some get the session that the next ones resume
		name    string
		server  *ours
		flags   []string
		resumed bool
		moves   uint64
	}{
		{name: "session", server: late, flags: session("late")},
		{name: "resumption", server: late, flags: session("late"), resumed: true},
		{name: "session for 0-RTT", server: early, flags: session("early")},
		{name: "0-RTT", server: early, flags: session("early"), resumed: true},
		{name: "migration", server: late, flags: []string{"--change-local-addr=1ms", "--delay-stream=100ms"}, moves: 1},
		{name: "rebinding", server: late, flags: []string{"--change-local-addr=1ms", "--nat-rebinding", "--delay-stream=100ms"}, moves: 1},
		{name: "preferred address", server: elsewhere, flags: []string{"--delay-stream=100ms"}, moves: 1},
		{name: "key update", server: late, flags: []string{"--key-update=1ms", "--delay-stream=100ms"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			host, port, err := net.SplitHostPort(test.server.addr)
			if err != nil {
				t.Fatal(err)
			}
			got := t.TempDir()
			args := append([]string{"--quiet", "--exit-on-all-streams-close", "--sni", "localhost", "--download", got}, test.flags...)
			runOK(t, ngtcp2(t, "gtlsclient"), append(append(args, host, port), urls(test.server.addr)...)...)
			wantSame(t, got, root)
			c := test.server.next(ctx, t)
			wantFeatures(t, c, test.resumed, test.resumed && test.server == early, quic.Version1)
			if c.Migrations < test.moves {
				t.Errorf("our server counts %d moves, want %d", c.Migrations, test.moves)
			}
		})
	}
}
