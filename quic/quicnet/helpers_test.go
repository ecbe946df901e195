package quicnet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// TestMain checks that nothing is left running when all endpoints are gone.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	// A socket that Dial opened goes when its connection is drained, which takes some round trips.
	for hung := time.After(testTimeout); runtime.NumGoroutine() > before && !passed(hung); {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before && code == 0 {
		fmt.Printf("%d goroutines are left, %d were there before\n", n, before)
		pprof.Lookup("goroutine").WriteTo(os.Stdout, 2)
		code = 1
	}
	os.Exit(code)
}

func passed(timer <-chan time.Time) bool {
	select {
	case <-timer:
		return true
	default:
		return false
	}
}

const alpn = "quicnet-test"

// testTimeout ends a test that hangs.
const testTimeout = 60 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// pki is a certificate for localhost and the loopback addresses, and the roots that trust it.
var pki = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "quicnet test"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), // in bubbles it is the year 2000
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
})

func serverConfig() *quic.Config {
	cert, _ := pki()
	return &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}}}
}

func clientConfig() *quic.Config {
	_, roots := pki()
	return &quic.Config{TLS: &tls.Config{RootCAs: roots, NextProtos: []string{alpn}}}
}

// listen starts a server on a free port of 127.0.0.1.
func listen(t testing.TB, cfg *quic.Config) *Endpoint { return listenWith(t, cfg, udp.Options{}) }

func listenWith(t testing.TB, cfg *quic.Config, o udp.Options) *Endpoint {
	t.Helper()
	sock, err := udp.Listen("udp4", "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	return endpointOn(t, sock, cfg)
}

// endpointOn runs an endpoint on a socket until the test ends.
func endpointOn(t testing.TB, sock *udp.Socket, cfg *quic.Config) *Endpoint {
	t.Helper()
	ep, err := NewEndpoint(sock, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ep.Close() })
	return ep
}

// dial connects to a server; when the test ends it closes the connection's socket.
func dial(t testing.TB, to *Endpoint, cfg *quic.Config) *Conn {
	t.Helper()
	c, err := Dial(testContext(t), to.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.shard.ep.Close() })
	return c
}

// pair is a connection, as both sides have it.
func pair(t testing.TB, server, client *quic.Config) (s, c *Conn) {
	t.Helper()
	ep := listen(t, server)
	c = dial(t, ep, client)
	s, err := ep.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// streamPair is a stream, as both sides have it, after one byte from the client.
func streamPair(t testing.TB, s, c *Conn) (ss, cs *Stream) {
	t.Helper()
	ctx := testContext(t)
	cs, err := c.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cs.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	ss, err = s.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ss, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return ss, cs
}

// serveEcho sends back what comes on each stream of each connection, until the endpoint is closed.
func serveEcho(t testing.TB, ep *Endpoint) {
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ep.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := ep.Accept(context.Background())
			if err != nil {
				return
			}
			wg.Go(func() { echo(c) })
		}
	})
}

func echo(c *Conn) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		s, err := c.AcceptStream(context.Background())
		if err != nil {
			return
		}
		wg.Go(func() {
			if _, err := io.Copy(s, s); err != nil {
				s.CancelWrite(1)
				s.CancelRead(1)
				return
			}
			s.Close()
		})
	}
}

// exchange sends want on a new stream and checks that it comes back.
func exchange(ctx context.Context, c *Conn, want []byte) error {
	s, err := c.OpenStream(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		if err == nil {
			err = s.Close()
		}
		sent <- err
	}()
	got, err := io.ReadAll(s)
	if err := <-sent; err != nil {
		return err
	}
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d bytes came back that are not the %d sent", len(got), len(want))
	}
	return err
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
