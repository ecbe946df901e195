package quicnet

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// closedPort returns an address that nobody listens on, "" if there is no such IP version.
func closedPort(host string) string {
	pc, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return ""
	}
	defer pc.Close()
	return pc.LocalAddr().String()
}

// TestDialClosedPort dials ports that nobody listens on: Dial says so, over IPv4 and IPv6, and from a socket that connects elsewhere
// meanwhile.
func TestDialClosedPort(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		closed := closedPort(host)
		if closed == "" {
			t.Logf("without %s", host)
			continue
		}
		_, err := Dial(testContext(t), closed, clientConfig())
		if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, &quic.TransportError{Code: quic.NoViablePath}) {
			t.Errorf("Dial returned %v, not ECONNREFUSED", err)
		}
	}
	server, client := listen(t, serverConfig()), listen(t, nil)
	serveEcho(t, server)
	closed, ctx := closedPort("127.0.0.1"), testContext(t)
	inParallel(t, 20, func(i int) error {
		if i%2 == 0 {
			_, err := client.Dial(ctx, closed, clientConfig())
			if errors.Is(err, syscall.ECONNREFUSED) {
				err = nil
			}
			return err
		}
		c, err := client.Dial(ctx, server.Addr().String(), clientConfig())
		if err != nil {
			return err
		}
		return exchange(ctx, c, randomBytes(100<<10))
	})
}

// TestServerDies has the server's socket be closed under a connection that works: the client learns why, by ECONNREFUSED and not by its idle
// timeout, as soon as it sends.
func TestServerDies(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	_, cs := streamPair(t, s, c)
	vanish(s.shard.ep)
	if _, err := cs.Write([]byte("are you there?")); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadAll(cs)
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read returned %v, not ECONNREFUSED", err)
	}
	wantClosed(t, c, &quic.TransportError{Code: quic.NoViablePath})
}

// TestDialTellsWhyNothingLeft has a firewall refuse what Dial sends.
func TestDialTellsWhyNothingLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pc := new(memNet).open("192.0.2.2:50000")
		refuse := func(int64) error { return syscall.EPERM }
		pc.onWrite.Store(&refuse)
		ep := over(t, pc, nil)
		cfg := clientConfig()
		cfg.TLS.ServerName = "localhost"
		_, err := ep.Dial(context.Background(), "192.0.2.1:443", cfg)
		if !errors.Is(err, syscall.EPERM) || !errors.Is(err, &quic.IdleTimeoutError{Handshake: true}) {
			t.Errorf("Dial returned %v, not EPERM and a timeout", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err = ep.Dial(ctx, "192.0.2.1:443", cfg); !errors.Is(err, syscall.EPERM) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial returned %v, not EPERM and its context's error", err)
		}
	})
}
