package handshake_test

import (
	"crypto"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/internal/boring"
)

// TestMain fails if C memory is left, or was freed twice, when all tests are over.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := liveAfterCollection(0); n != 0 && code == 0 {
		fmt.Printf("%d objects in C memory at the end\n", n)
		code = 1
	}
	os.Exit(code)
}

// liveAfterCollection counts the objects in C memory, once those that wait for the garbage collector are gone.
func liveAfterCollection(want int64) int64 {
	for range 100 {
		if boring.TLSLive() == want {
			break
		}
		runtime.GC()
		runtime.Gosched()
	}
	return boring.TLSLive()
}

func TestMemory(t *testing.T) {
	client := clientConfig()
	failing := clientConfig()
	failing.RootCAs = issue(t, ecdsaKey(t, p256), nil, nil).pool()
	opaqueServer := serverConfig()
	opaqueServer.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate, PrivateKey: opaque{leaf().key}}}
	clients, servers := newContext(t, true), newContext(t, false)
	func() { // the Context keeps its certificate's credential and ticket keys
		c, s := newOurs(t, clients, client, handshake.Params{}), newOurs(t, servers, serverConfig(), handshake.Params{})
		shake(t, c, s)
		c.conn.Release()
		s.conn.Release()
	}()
	base := liveAfterCollection(4)
	if base != 4 {
		t.Fatalf("%d objects in C memory before, want two contexts, a credential and ticket keys", base)
	}
	want := func(n int64, why string) {
		t.Helper()
		if got := boring.TLSLive() - base; got != n {
			t.Errorf("%d objects in C memory, want %d: %s", got, n, why)
		}
	}
	connect := func(client, server *tls.Config, p handshake.Params) (c, s *ours) {
		c, s = newOurs(t, clients, client, handshake.Params{}), newOurs(t, servers, server, p)
		want(2, "two connections at the start")
		shake(t, c, s)
		return c, s
	}
	c, s := connect(client, serverConfig(), handshake.Params{})
	wantComplete(t, c, s)
	want(1, "the client's after the handshake; a server lets its own go")
	s.conn.Release()
	c.conn.Release()
	c.conn.Release()
	want(0, "none after Release")

	c, s = connect(failing, serverConfig(), handshake.Params{})
	wantAlert(t, c, 48)
	want(1, "the server's, as the client failed")
	s.conn.Release()
	s.conn.Release()
	c.conn.Release()
	want(0, "none after Release")

	if _, err := servers.New(&tls.Config{NextProtos: []string{alpn}, Certificates: []tls.Certificate{{}}}, handshake.Params{}); err == nil {
		t.Error("a server without a certificate")
	}
	want(0, "none after New failed")

	// A Conn that nobody releases is the garbage collector's.
	func() {
		conn, err := clients.New(client, handshake.Params{TransportParameters: []byte{0}})
		if err == nil {
			err = conn.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
	}()
	if got := liveAfterCollection(base); got != base {
		t.Errorf("%d objects more after collection", got-base)
	}
	runtime.KeepAlive(clients)
	runtime.KeepAlive(servers)
}

// TestAttackT1ReleaseWithinCallbacks closes a connection while the program's code runs for it, and answers late.
func TestAttackT1ReleaseWithinCallbacks(t *testing.T) {
	var victim *ours
	release := func() { victim.conn.Release() }
	client, server := clientConfig(), serverConfig()
	client.VerifyConnection = func(tls.ConnectionState) error { release(); return nil }
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { release(); return &leaf().tls, nil }
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { release(); return nil, nil }
	server.VerifyConnection = client.VerifyConnection
	server.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate, PrivateKey: releasing{opaque{leaf().key}, release}}}
	plainClient, plainServer := clientConfig(), serverConfig()
	plainServer.ClientAuth = tls.RequestClientCert
	signing := serverConfig()
	signing.Certificates = server.Certificates
	verifying := serverConfig()
	verifying.VerifyConnection = server.VerifyConnection
	tests := []struct {
		name           string
		client, server *tls.Config
		atClient       bool
	}{
		{"client", client, plainServer, true},
		{"server", plainClient, server, false},
		{"signature", plainClient, signing, false},
		{"server's last word", plainClient, verifying, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newOurs(t, newContext(t, true), test.client, handshake.Params{})
			s := newOurs(t, newContext(t, false), test.server, handshake.Params{})
			if victim = s; test.atClient {
				victim = c
			}
			victim.onAsk = func(a *handshake.Ask) {
				a.Run()
				if err := victim.conn.Answer(a); err == nil {
					t.Error("Answer after Release")
				}
			}
			shake(t, c, s)
			if victim.asks == 0 || victim.complete {
				t.Errorf("%d asks, complete %v", victim.asks, victim.complete)
			}
		})
	}
}

// releasing is an opaque key whose use closes the connection.
type releasing struct {
	opaque
	release func()
}

func (r releasing) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	r.release()
	return r.opaque.Sign(rand, digest, opts)
}

// TestAttackT1ReleaseDuringCallbacks closes connections on one goroutine while the program's code runs on another, with the garbage
// collector at work all the time.
func TestAttackT1ReleaseDuringCallbacks(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	clients, servers := newContext(t, true), newContext(t, false)
	server := serverConfig()
	server.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate, PrivateKey: opaque{leaf().key}}}
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
	client := clientConfig()
	client.Certificates = server.Certificates
	var workers, asks sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			for i := range 24 {
				c := newOurs(t, clients, client, handshake.Params{})
				s := newOurs(t, servers, server, handshake.Params{})
				victim, n := []*ours{c, s}[worker%2], i%4
				victim.onAsk = func(a *handshake.Ask) {
					if n--; n >= 0 {
						a.Run()
						victim.conn.Answer(a)
						return
					}
					asks.Go(a.Run)
					victim.conn.Release()
				}
				shake(t, c, s)
				c.conn.Release()
				s.conn.Release()
			}
		})
	}
	workers.Wait()
	asks.Wait()
}
