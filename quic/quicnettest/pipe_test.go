package quicnettest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// exchange sends want on a new stream of c, which s echoes.
func exchange(t *testing.T, s, c *quicnet.Conn, want []byte) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		stream, err := s.AcceptStream(t.Context())
		if err == nil {
			_, err = io.Copy(stream, stream)
		}
		if err == nil {
			err = stream.Close()
		}
		if err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	stream, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		if _, err := stream.Write(want); err != nil {
			t.Errorf("Write: %v", err)
		}
		stream.Close()
	})
	if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(want), err)
	}
}

// TestPipe runs pipes without a bubble, in one, and in another.
func TestPipe(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	run := func(t *testing.T) {
		s, c := Pipe(t, nil, nil)
		exchange(t, s, c, want)
		if p := c.ConnectionState().NegotiatedProtocol; p != ALPN {
			t.Errorf("ALPN is %q", p)
		}
	}
	t.Run("real time", run)
	for i := range 2 {
		t.Run(fmt.Sprint("bubble ", i), func(t *testing.T) { synctest.Test(t, run) })
	}
}

func TestPipeEndsWithTest(t *testing.T) {
	var s, c *quicnet.Conn
	t.Run("inner", func(t *testing.T) { s, c = Pipe(t, nil, nil) })
	for _, conn := range []*quicnet.Conn{s, c} {
		if err := conn.Err(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the test the connection has %v", err)
		}
	}
}

// TestPathsInVirtualTime moves data over paths of all kinds, and checks what it took: neither more nor less than the path allows.
func TestPathsInVirtualTime(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name        string
		link        Link
		n           int // bytes, in each direction
		least, most time.Duration
	}{
		{"long", Link{Delay: 300 * ms}, 1000, 600 * ms, 650 * ms},
		{"slow", Link{Delay: 10 * ms, Rate: 10e6}, 1 << 20, 840 * ms, 1500 * ms},
		{"lossy", Link{Delay: 10 * ms, Loss: 0.05}, 300_000, 20 * ms, 20 * time.Second},
		{"disorderly", Link{Delay: 10 * ms, Jitter: 5 * ms, Reorder: 0.05, Duplicate: 0.05}, 300_000, 20 * ms, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, client := NewNetwork(1, c.link).Pipe(t, nil, nil)
				start := time.Now()
				exchange(t, s, client, bytes.Repeat([]byte{7}, c.n))
				if took := time.Since(start); took < c.least || took > c.most {
					t.Errorf("it took %v, not %v to %v", took, c.least, c.most)
				}
			})
		})
	}
}

// TestSilence has the network lose everything: deadlines and the idle timeout pass in virtual time, to the millisecond.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(1, Link{Delay: 10 * time.Millisecond})
		_, c := network.Pipe(t, nil, &quic.Config{MaxIdleTimeout: time.Hour})
		stream, err := c.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		network.SetLink(Link{Loss: 1})
		start := time.Now()
		stream.SetReadDeadline(start.Add(20 * time.Second))
		if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 20*time.Second {
			t.Errorf("after %v Read returned %v", time.Since(start), err)
		}
		stream.SetReadDeadline(time.Time{})
		_, err = stream.Read(make([]byte, 1))
		if took := time.Since(start); !errors.Is(err, &quic.IdleTimeoutError{}) || took > 31*time.Second { // the server's 30 s rule
			t.Errorf("after %v Read returned %v", took, err)
		}
	})
}

// TestConfigs checks what Pipe fills in, and that it changes nothing of the caller's.
func TestConfigs(t *testing.T) {
	mine := ServerConfig().TLS.Certificates
	for _, c := range []struct {
		name           string
		server, client *quic.Config
		alpn           string
	}{
		{"nil", nil, nil, ALPN},
		{"empty", &quic.Config{}, &quic.Config{TLS: &tls.Config{}}, ALPN},
		{"server's ALPN", &quic.Config{TLS: &tls.Config{NextProtos: []string{"a"}}}, nil, "a"},
		{"client's ALPN", nil, &quic.Config{TLS: &tls.Config{NextProtos: []string{"b"}}}, "b"},
		{"everything", &quic.Config{TLS: &tls.Config{Certificates: mine, NextProtos: []string{"c"}}},
			&quic.Config{TLS: &tls.Config{InsecureSkipVerify: true, ServerName: "example.org", NextProtos: []string{"c"}}}, "c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, conn := Pipe(t, c.server, c.client)
			if p := conn.ConnectionState().NegotiatedProtocol; p != c.alpn {
				t.Errorf("ALPN is %q, not %q", p, c.alpn)
			}
		})
		if c.name == "empty" && (c.server.TLS != nil || c.client.TLS.RootCAs != nil || c.client.TLS.NextProtos != nil) {
			t.Error("a configuration of the caller's was changed")
		}
	}
}

// TestListen has several clients reach one server of a network.
func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(1, Link{Delay: 20 * time.Millisecond})
		server := network.Listen(t, "192.0.2.1:443", ServerConfig())
		for range 3 {
			c, err := network.Listen(t, "", nil).Dial(t.Context(), "192.0.2.1:443", ClientConfig())
			if err != nil {
				t.Fatal(err)
			}
			s, err := server.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, s, c, []byte("hello"))
		}
		cfg := ClientConfig()
		cfg.HandshakeTimeout = 20 * time.Second
		start := time.Now()
		_, err := network.Listen(t, "", nil).Dial(t.Context(), "192.0.2.2:443", cfg)
		if took := time.Since(start); !errors.Is(err, &quic.IdleTimeoutError{Handshake: true}) || took != 20*time.Second {
			t.Errorf("after %v Dial to nobody returned %v", took, err)
		}
	})
}

// failing is a test that ends when it fails, for itself.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// Where there can be no connection Pipe ends the test, also if that is found only when Dial has returned.
func TestPipeFails(t *testing.T) {
	for name, c := range map[string]struct {
		server, client *tls.Config
		want           string
	}{
		"no protocol in common": {&tls.Config{NextProtos: []string{"a"}}, &tls.Config{NextProtos: []string{"b"}}, "no application protocol"},
		"no client certificate": {&tls.Config{ClientAuth: tls.RequireAnyClientCert}, nil, "certificate required"},
	} {
		f, done := &failing{TB: t}, make(chan bool)
		go func() {
			defer close(done)
			Pipe(f, &quic.Config{TLS: c.server}, &quic.Config{TLS: c.client})
		}()
		if <-done; !strings.Contains(f.text, c.want) {
			t.Errorf("%s: the test ends with %q, want %q", name, f.text, c.want)
		}
	}
}
