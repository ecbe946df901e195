package h3test_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/http3/h3test"
)

// The functions here are the code of MIGRATION.md, so that it compiles; tests below run what can be run.

func migrateServe(handler http.Handler) error {
	return http3.ListenAndServeAll(":443", "cert.pem", "key.pem", handler)
}

func migrateServer(handler http.Handler, tlsConfig *tls.Config) *http3.Server {
	srv := &http3.Server{
		HTTP: &http.Server{
			Addr: ":443", Handler: handler, TLSConfig: tlsConfig,
			ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 16,
		},
		QUIC:      &quic.Config{MaxStreamsBidi: 200},
		Datagrams: true,
	}
	return srv
}

func migrateSocket(srv *http3.Server, pc net.PacketConn) error {
	return srv.Serve(pc)
}

func migrateAltSvc(srv *http3.Server, handler http.Handler) *http.Server {
	over2 := &http.Server{Addr: ":443", Handler: srv.AltSvcHandler(handler)}
	return over2
}

func migrateEnd(ctx context.Context, srv *http3.Server) error {
	if err := srv.Shutdown(ctx); err != nil {
		return srv.Close()
	}
	return nil
}

func migrateClient(tlsConfig *tls.Config) *http.Client {
	client := &http.Client{Transport: &http3.Transport{TLSClientConfig: tlsConfig, QUIC: &quic.Config{MaxIdleTimeout: time.Minute}}}
	return client
}

func migrateAuto() *http.Client {
	client := &http.Client{Transport: new(http3.AutoTransport)}
	return client
}

func migrateDial(listen func() (net.PacketConn, error)) *http3.Transport {
	tr := &http3.Transport{Dial: func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
		server, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, nil, err
		}
		pc, err := listen()
		return pc, server, err
	}}
	return tr
}

func migrateConn(ctx context.Context, tr *http3.Transport, req *http.Request) (*http.Response, error) {
	conn, err := tr.DialClientConn(ctx, "example.com:443", nil, nil)
	if err != nil {
		return nil, err
	}
	return conn.RoundTrip(req)
}

func migrateEarly(tlsConfig *tls.Config) *http3.Transport {
	tlsConfig.ClientSessionCache = tls.NewLRUClientSessionCache(100)
	tr := &http3.Transport{TLSClientConfig: tlsConfig, EarlyData: true}
	return tr
}

func migrateTakeOver(w http.ResponseWriter, r *http.Request) {
	if http3.Protocol(r) != "my-protocol" {
		http.Error(w, "unknown protocol", http.StatusNotImplemented)
		return
	}
	s, err := http3.TakeOver(w)
	if err != nil {
		return
	}
	go func() {
		defer s.Close()
		io.Copy(s, s)
	}()
}

func migrateConnect(client *http.Client, url string) (*http3.Stream, error) {
	req, err := http.NewRequest(http.MethodConnect, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header[":protocol"] = []string{"my-protocol"}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	return http3.StreamOf(resp)
}

func migrateWho(r *http.Request) net.Addr {
	return http3.QUICConn(r).RemoteAddr()
}

func migrateErrors(err error) string {
	var stream *http3.StreamError
	var conn *http3.ConnError
	switch {
	case errors.As(err, &stream) && stream.Code == h3.ErrCodeRequestCancelled:
		return "the peer gave the request up"
	case errors.As(err, &conn):
		return "the connection was closed with " + conn.Code.String()
	}
	return ""
}

// Each block of Go in MIGRATION.md stands here.
func TestMigrationPage(t *testing.T) {
	page, err := os.ReadFile("../MIGRATION.md")
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.ReadFile("migration_test.go")
	if err != nil {
		t.Fatal(err)
	}
	code := withoutIndent(here)
	blocks := 0
	for _, part := range strings.Split(string(page), "```go\n")[1:] {
		block, _, ok := strings.Cut(part, "```")
		if !ok {
			t.Fatalf("a block has no end: %.60q", part)
		}
		blocks++
		if !bytes.Contains(code, withoutIndent([]byte(block))) {
			t.Errorf("this code is not in migration_test.go:\n%s", block)
		}
	}
	if blocks < 10 {
		t.Errorf("%d blocks", blocks)
	}
}

// withoutIndent returns the lines of a text without what stands before and after them.
func withoutIndent(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		out.Write(bytes.TrimSpace(line))
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// What the page shows works.
func TestMigrationCode(t *testing.T) {
	var tunnel http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			migrateTakeOver(w, r)
			return
		}
		fmt.Fprint(w, r.Proto, " ", migrateWho(r) != nil)
	}
	s := h3test.NewUnstartedServer(tunnel)
	s.HTTP3 = migrateServer(nil, nil)
	s.HTTP3.ExtendedConnect = true
	s.Start()
	defer s.Close()

	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(text) != "HTTP/3.0 true" || err != nil {
		t.Errorf("%s, %v", text, err)
	}

	stream, err := migrateConnect(s.Client(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stream, "to and fro")
	stream.Close()
	if text, err = io.ReadAll(stream); string(text) != "to and fro" || err != nil {
		t.Errorf("the tunnel: %q, %v", text, err)
	}
	if err := migrateEnd(t.Context(), s.HTTP3); err != nil {
		t.Error(err)
	}
}
