package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// What features_*_test.go show of resumption, 0-RTT, QUIC version 2, key updates and migration: the files arrive as they are, and both
// sides, as far as they tell, saw the feature at work.

// connection is what became of one connection of ours.
type connection struct {
	quic.Stats
	tls tls.ConnectionState
}

// ours is a server of ours in this process.
type ours struct {
	addr string
	cert tls.Certificate
	ca   string          // the file of cert
	over chan connection // each connection when it is over
}

// listenOurs serves root with HTTP/0.9; configure may change the configuration. Of each connection, begin is called in a goroutine of its own
// if it is not nil.
func listenOurs(t *testing.T, root string, configure func(*quic.Config), begin func(*quicnet.Conn)) *ours {
	t.Helper()
	o := &ours{over: make(chan connection, 16)}
	o.cert, o.ca, _ = certificate(t)
	cfg := &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{o.cert}, NextProtos: []string{hq.ALPN}}}
	if configure != nil {
		configure(cfg)
	}
	serve(t, o, cfg, begin, func(files *webroot.Root, s *quicnet.Stream) { hq.Serve(s, files) }, root)
	return o
}

func serve(t *testing.T, o *ours, cfg *quic.Config, begin func(*quicnet.Conn), handle func(*webroot.Root, *quicnet.Stream), root string) {
	t.Helper()
	files, err := webroot.Open(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	ep, err := quicnet.Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close(); files.Close() })
	o.addr = ep.Addr().String()
	go func() {
		for {
			conn, err := ep.Accept(context.Background())
			if err != nil {
				return
			}
			conn.HandleStreams(func(s *quicnet.Stream) { handle(files, s) })
			if begin != nil {
				go begin(conn)
			}
			go func() {
				<-conn.Context().Done()
				o.over <- connection{conn.Stats(), conn.ConnectionState()}
			}()
		}
	}()
}

// next waits for the next connection to be over.
func (o *ours) next(ctx context.Context, t *testing.T) connection {
	t.Helper()
	select {
	case c := <-o.over:
		return c
	case <-ctx.Done():
		t.Fatal("our server's connection does not end")
		return connection{}
	}
}

// tlsClient is the TLS configuration of a client of ours.
func tlsClient() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{hq.ALPN}, ServerName: "localhost"}
}

// getOurs fetches a file over a connection of ours and compares it. half, if not nil, is called when half of it has been read: the
// rest is more than flow control has let the server send by then.
func getOurs(ctx context.Context, conn *quicnet.Conn, root, name string, half func() error) error {
	s, err := conn.OpenStream(ctx)
	if err != nil {
		return err
	}
	defer s.CancelRead(0)
	if _, err := s.WriteFinal([]byte("GET /" + name + "\r\n")); err != nil {
		return err
	}
	return compare(s, root, name, half)
}

// compare reads a file from r and compares it with the one in root, and calls half, if that is not nil, in the middle.
func compare(r io.Reader, root, name string, half func() error) error {
	want, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return err
	}
	var got bytes.Buffer
	if half != nil {
		if _, err := io.CopyN(&got, r, int64(len(want)/2)); err != nil {
			return fmt.Errorf("%s broke off after %d bytes: %w", name, got.Len(), err)
		}
		if err := half(); err != nil {
			return err
		}
	}
	if _, err := io.Copy(&got, r); err != nil {
		return fmt.Errorf("%s broke off after %d bytes: %w", name, got.Len(), err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		return fmt.Errorf("%s: %d bytes arrived that are not the file's %d", name, got.Len(), len(want))
	}
	return nil
}

// dialOurs dials a server with a client of ours, and again if it has not opened its socket yet.
func dialOurs(ctx context.Context, d quicnet.Dialer, addr string, cfg *quic.Config, early bool) (*quicnet.Conn, error) {
	for {
		dial := d.Dial
		if early {
			dial = d.DialEarly
		}
		conn, err := dial(ctx, addr, cfg)
		var failed *quic.TransportError
		if err == nil || ctx.Err() != nil || errors.As(err, &failed) {
			return conn, err
		}
	}
}

// resumeOurs connects to a server twice with a client of ours, the second time with the session of the first, in 0-RTT if early, and fetches
// all files each time. Both connections are to be in version.
func resumeOurs(ctx context.Context, t *testing.T, addr, root string, early bool, versions []uint32, version uint32) {
	t.Helper()
	cfg := &quic.Config{TLS: tlsClient(), Versions: versions}
	sessions := make(chan *quic.Session, 16)
	d := quicnet.Dialer{OnSession: func(s *quic.Session) {
		if !s.Expires().IsZero() { // else it is a token only, which some servers send before
			sessions <- s
		}
	}}
	for round := range 2 {
		conn, err := dialOurs(ctx, d, addr, cfg, early && round == 1)
		if err != nil {
			t.Fatal(err)
		}
		for name := range files {
			if err := getOurs(ctx, conn, root, name, nil); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 {
			select {
			case d.Session = <-sessions:
			case <-ctx.Done():
				t.Fatal("the server gave no session")
			}
		}
		wantFeatures(t, connection{conn.Stats(), conn.ConnectionState()}, round == 1, early && round == 1, version)
		conn.Close()
	}
}

// wantFeatures checks what a connection of ours tells.
func wantFeatures(t *testing.T, c connection, resumed, early bool, version uint32) {
	t.Helper()
	if c.Resumed != resumed || c.tls.DidResume != resumed {
		t.Errorf("resumed: %v, DidResume: %v, want %v", c.Resumed, c.tls.DidResume, resumed)
	}
	if got := c.EarlyData == quic.EarlyAccepted; got != early {
		t.Errorf("0-RTT data: %v, want it accepted: %v", c.EarlyData, early)
	}
	if version != 0 && c.Version != version {
		t.Errorf("version 0x%x, want 0x%x", c.Version, version)
	}
}

// moveOurs fetches the large file from a server with a client of ours that moves to another port in the middle, and then back.
func moveOurs(ctx context.Context, t *testing.T, addr, root string) {
	t.Helper()
	conn, err := dialOurs(ctx, quicnet.Dialer{LocalAddr: "127.0.0.1:0"}, addr, &quic.Config{TLS: tlsClient()}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		before := conn.LocalAddr().String()
		err := getOurs(ctx, conn, root, "large", func() error { return conn.Migrate(ctx, "127.0.0.1:0") })
		if err != nil {
			t.Fatal(err)
		}
		if after := conn.LocalAddr().String(); after == before {
			t.Errorf("the connection is still at %s", before)
		}
	}
	if n := conn.Stats().Migrations; n < 2 {
		t.Errorf("%d moves are counted, want 2", n)
	}
}

// updateOurs fetches the large file from a server with a client of ours that updates its keys in the middle, until it has done so twice.
func updateOurs(ctx context.Context, t *testing.T, addr, root string) {
	t.Helper()
	conn, err := dialOurs(ctx, quicnet.Dialer{}, addr, &quic.Config{TLS: tlsClient()}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	untilUpdated(t, conn, func(half func() error) error { return getOurs(ctx, conn, root, "large", half) })
}

// untilUpdated has a connection of ours update its keys in the middle of what get fetches, until it has done so twice: not every time, since
// the peer has to acknowledge the update before, and the old keys to be gone.
func untilUpdated(t *testing.T, conn *quicnet.Conn, get func(half func() error) error) {
	t.Helper()
	for updates := 0; updates < 2; {
		err := get(func() error {
			if conn.KeyUpdate() == nil {
				updates++
			}
			return nil
		})
		if err != nil {
			t.Fatalf("after %d key updates: %v", updates, err)
		}
	}
}
