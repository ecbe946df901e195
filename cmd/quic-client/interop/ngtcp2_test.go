package interop

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/freeport"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// ngtcp2 finds one of ngtcp2's programs, which Debian installs for root.
func ngtcp2(t *testing.T, program string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	t.Fatalf("%s is not installed: it is in Debian's packages ngtcp2-client and ngtcp2-server", program)
	return ""
}

// TestNgtcp2Server: our client side, ngtcp2's server, without and with Retry.
func TestNgtcp2Server(t *testing.T) {
	for name, flags := range map[string][]string{"plain": nil, "retry": {"--validate-addr"}} {
		t.Run(name, func(t *testing.T) {
			root := webRoot(t)
			_, cert, key := certificate(t)
			port := strconv.Itoa(freeport.Take(t))
			start(t, ngtcp2(t, "gtlsserver"),
				append(append([]string{"--quiet", "--htdocs", root}, flags...), "127.0.0.1", port, key, cert)...)
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			conn := dialUntilUp(ctx, t, "127.0.0.1:"+port)
			defer conn.Close()
			if err := openControl(ctx, conn); err != nil {
				t.Fatal(err)
			}
			got := t.TempDir()
			for name, size := range files {
				if size == 0 {
					// gtlsserver answers a request for an empty file with 404.
					if err := os.WriteFile(filepath.Join(got, name), nil, 0o644); err != nil {
						t.Fatal(err)
					}
					continue
				}
				data, err := getH3(ctx, conn, name)
				if err != nil {
					t.Error(err)
				}
				if err := os.WriteFile(filepath.Join(got, name), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			wantSame(t, got, root)
		})
	}
}

// dialUntilUp dials a server that may not have opened its socket yet and does not say when it has.
func dialUntilUp(ctx context.Context, t *testing.T, addr string) *quicnet.Conn {
	t.Helper()
	for {
		conn, err := quicnet.Dial(ctx, addr, &quic.Config{
			TLS:              &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}},
			HandshakeTimeout: 2 * time.Second,
		})
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			t.Fatalf("gtlsserver does not answer: %v", err)
		}
	}
}

// TestNgtcp2Client: ngtcp2's client, our server side, without and with Retry.
func TestNgtcp2Client(t *testing.T) {
	for name, retry := range map[string]bool{"plain": false, "retry": true} {
		t.Run(name, func(t *testing.T) {
			root := webRoot(t)
			addr := startOursH3(t, root, retry)
			got := t.TempDir()
			args := []string{"--quiet", "--exit-on-all-streams-close", "--download", got, addr.host, addr.port}
			runOK(t, ngtcp2(t, "gtlsclient"), append(args, urls(addr.host+":"+addr.port)...)...)
			wantSame(t, got, root)
		})
	}
}

type hostPort struct{ host, port string }

func startOursH3(t *testing.T, root string, retry bool) hostPort {
	t.Helper()
	cert, _, _ := certificate(t)
	cfg := &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h3"}}}
	if retry {
		cfg.Retry = func(netip.AddrPort) bool { return true }
	}
	ep, err := quicnet.Listen("127.0.0.1:0", cfg)
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
			go serveConnH3(t.Context(), conn, root)
		}
	}()
	host, port, err := net.SplitHostPort(ep.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return hostPort{host, port}
}

func serveConnH3(ctx context.Context, conn *quicnet.Conn, root string) {
	if openControl(ctx, conn) != nil {
		return
	}
	for {
		s, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			err := serveH3(s, func(name string) ([]byte, error) {
				return os.ReadFile(filepath.Join(root, filepath.Base(name)))
			})
			if err != nil {
				s.CancelWrite(1)
			}
		}()
	}
}
