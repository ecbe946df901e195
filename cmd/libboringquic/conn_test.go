package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

func TestStreams(t *testing.T)   { each(t, "streams", certificate(t)...) }
func TestHTTP(t *testing.T)      { each(t, "http", certificate(t)...) }
func TestHTTPEarly(t *testing.T) { each(t, "http_early", certificate(t)...) }
func TestStored(t *testing.T)    { each(t, "stored", certificate(t)...) }
func TestWaits(t *testing.T)     { each(t, "waits", certificate(t)...) }

// Go looks at nothing that memory of C's has without a value.
func TestUnset(t *testing.T) { run(t, shared.compile(t, "unset"), certificate(t)...) }

func TestThreads(t *testing.T) {
	files := certificate(t)
	each(t, "threads", files...)
	run(t, tsan.compile(t, "threads"), files...)
}

func TestBad(t *testing.T) { each(t, "bad", certificate(t)...) }

// Programs with SSLs of their own, in both roles, of the library's BoringSSL; one of another's is refused.
func TestSSL(t *testing.T) {
	from := prefix(t)
	plugin := filepath.Join(t.TempDir(), "plugin.so")
	archives := []string{filepath.Join(from, "lib/boringquic-bssl/libboringquic_ssl.a"), filepath.Join(from, "lib/boringquic-bssl/libboringquic_crypto.a"), "-lstdc++"}
	cc(t, append(append([]string{"-shared", "-fPIC", "-fvisibility=hidden", "-Wl,--exclude-libs,ALL", "-Wl,-Bsymbolic", "-o", plugin, "testdata/plugin.c"},
		packaged(t, from, "--variable=bssl_cflags")...), archives...)...)
	each(t, "ssl", append(certificate(t), plugin)...)
}

// A panic in a connection closes it with INTERNAL_ERROR, and leaves the others alone; a second one has it be forgotten.
func TestPanicInConnection(t *testing.T) {
	core, err := quic.NewEndpoint(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{core: core, conns: map[*conn]struct{}{}}
	e.object = object{gate: new(gate), self: e}
	connect := func() *conn {
		core, err := e.core.Connect(time.Now(), &quic.Config{TLS: &tls.Config{NextProtos: []string{"x"}}}, quic.ConnectParams{
			ServerName: "localhost", Remote: netip.MustParseAddrPort("192.0.2.1:443"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return e.add(core, &settings{})
	}
	live := objects.live.Load()
	struck, other := connect(), connect()
	e.guard(struck, func() { panic("of a test") })
	var end *quic.TransportError
	if !errors.As(struck.core.Err(), &end) || end.Code != quic.InternalError || !strings.Contains(end.Error(), "a fault in boringquic: of a test") {
		t.Errorf("the connection ended with %v", struck.core.Err())
	}
	if s := on(struck.handle, kindConn, func(*conn) error { return nil }); s != ok {
		t.Errorf("a call after it: %d", s)
	}
	e.guard(struck, func() { panic("again") })
	if s := on(struck.handle, kindConn, func(*conn) error { return nil }); s != errHandle {
		t.Errorf("a call after two: %d", s)
	}
	if other.core.Err() != nil || len(e.conns) != 1 || objects.live.Load() != live+1 {
		t.Errorf("the other connection: %v; %d are left, %d objects", other.core.Err(), len(e.conns), objects.live.Load()-live)
	}
	e.forget(other)
}

// certificate makes a certificate for localhost, and returns the names of its file and of that of its key.
func certificate(t *testing.T) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var names []string
	for _, b := range []pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: private}} {
		name := filepath.Join(dir, b.Type[:4]+".pem")
		if err := os.WriteFile(name, pem.EncodeToMemory(&b), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// A length of time may be longer than Go's are: it is a long one then, and UINT64_MAX alone stands for something else.
func TestDuration(t *testing.T) {
	for _, n := range []uint64{day, maxDuration, maxDuration + 1, unbounded - 1} {
		if d := duration(n); d < 24*time.Hour {
			t.Errorf("%d ns are %v", n, d)
		}
	}
	if duration(unbounded) >= 0 || duration(0) != 0 || duration(5) != 5 {
		t.Errorf("%v, %v, %v", duration(unbounded), duration(0), duration(5))
	}
}
