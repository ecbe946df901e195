package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	quicgo "github.com/quic-go/quic-go"
)

// TestQuicGoServer: our client, quic-go's server.
func TestQuicGoServer(t *testing.T) {
	root := webRoot(t)
	cert, _, _ := certificate(t)
	ln, err := quicgo.ListenAddr("127.0.0.1:0",
		&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"hq-interop"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept(t.Context())
			if err != nil {
				return
			}
			go serveQuicGo(t.Context(), conn, root)
		}
	}()
	fetchWithOurs(t, ln.Addr().String(), root)
}

func serveQuicGo(ctx context.Context, conn *quicgo.Conn, root string) {
	for {
		s, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			request, err := io.ReadAll(s)
			if err != nil {
				return
			}
			name := strings.TrimSpace(strings.TrimPrefix(string(request), "GET /"))
			f, err := os.Open(filepath.Join(root, filepath.Base(name)))
			if err != nil {
				s.CancelWrite(404)
				return
			}
			defer f.Close()
			if _, err := io.Copy(s, f); err == nil {
				s.Close()
			}
		}()
	}
}

// TestQuicGoClient: quic-go's client, our server, without and with Retry.
func TestQuicGoClient(t *testing.T) {
	for name, flags := range map[string][]string{"plain": nil, "retry": {"--retry"}} {
		t.Run(name, func(t *testing.T) {
			root := webRoot(t)
			addr := startOurs(t, root, flags...)
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			conn, err := quicgo.DialAddr(ctx, addr,
				&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"hq-interop"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseWithError(0, "")
			got := t.TempDir()
			done := make(chan error)
			for name := range files {
				go func() { done <- getQuicGo(ctx, conn, name, filepath.Join(got, name)) }()
			}
			for range files {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			wantSame(t, got, root)
		})
	}
}

func getQuicGo(ctx context.Context, conn *quicgo.Conn, name, file string) error {
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s, "GET /%s\r\n", name)
	s.Close()
	data, err := io.ReadAll(s)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(file, data, 0o644)
}
