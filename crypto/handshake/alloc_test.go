package handshake_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
	"github.com/boringquic/boringquic/crypto/internal/boring/alloctest"
)

// attempt runs a handshake as far as it goes. failed tells that one end said that it cannot go on.
func attempt(t *testing.T, clientCfg, serverCfg *tls.Config, cp, sp handshake.Params) (complete, failed bool) {
	clients, err := handshake.NewContext(true)
	if err != nil {
		return false, true
	}
	servers, err := handshake.NewContext(false)
	if err != nil {
		return false, true
	}
	cp.TransportParameters, sp.TransportParameters = []byte("our params"), []byte("our params")
	var ends [2]*ours
	for i, ctx := range []*handshake.Context{clients, servers} {
		cfg, p := clientCfg, cp
		if ctx == servers {
			cfg, p = serverCfg, sp
		}
		conn, err := ctx.New(cfg, p)
		if err != nil {
			return false, true
		}
		defer conn.Release()
		ends[i] = &ours{t: t, conn: conn, read: map[handshake.Level][]byte{}, write: map[handshake.Level][]byte{}}
	}
	if ends[0].start() != nil || ends[1].start() != nil {
		return false, true
	}
	converse(ends[0], ends[1])
	if ends[0].complete && ends[1].complete {
		wantComplete(t, ends[0], ends[1])
		var exported [2][]byte
		for i, o := range ends {
			// What BoringSSL tells where it takes no answer is not lost either.
			if exported[i], err = o.conn.ExportKeyingMaterial("label", nil, 32); err != nil {
				t.Errorf("a handshake is complete, but end %d: %v", i, err)
			}
		}
		if !bytes.Equal(exported[0], exported[1]) {
			t.Error("the ends export differently")
		}
	}
	runtime.KeepAlive(clients)
	runtime.KeepAlive(servers)
	return ends[0].complete && ends[1].complete, ends[0].alerts+ends[1].alerts > 0
}

// keyed gives a server's tls.Config a ticket key that other servers have too.
func keyed(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.SessionTicketKey = [32]byte{1}
	return cfg
}

// sessionFor returns what a client and a server need, beside keyed, to meet again with 0-RTT.
func sessionFor(t *testing.T, client, server *tls.Config) (cp, sp handshake.Params) {
	sp = handshake.Params{EarlyData: true, EarlyReplay: &store{fresh: func([32]byte, time.Time) (bool, error) { return true, nil }}}
	v := &visits{t: t, clients: newContext(t, true), servers: newContext(t, false), client: client, server: keyed(server), sp: sp}
	v.meet().want(false, "the first time")
	v.c.conn.Release()
	cp = handshake.Params{EarlyData: true, Session: v.session}
	v.cp, v.sp = cp, sp
	v.meet().want(true, "then")
	v.wantEarly(true, "accepted")
	v.c.conn.Release()
	return cp, sp
}

// T6: whichever allocation fails, alone or with all that follow, a connection ends with an error or goes on, and nothing is lost.
func TestAttackT6AllocationFails(t *testing.T) {
	mutual := serverConfig()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
	stapled := leaf().tls
	stapled.OCSPStaple, stapled.SignedCertificateTimestamps = []byte("staple"), [][]byte{[]byte("sct")}
	stapled.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.Ed25519}
	mutual.Certificates = []tls.Certificate{stapled}
	withCert := clientConfig()
	withCert.Certificates = []tls.Certificate{leaf().tls}
	opaqueServer := serverConfig()
	opaqueServer.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate, PrivateKey: opaque{leaf().key}}}
	logging := serverConfig()
	logging.KeyLogWriter = io.Discard
	resumed, early := sessionFor(t, clientConfig(), serverConfig())
	mutualResumed, mutualEarly := sessionFor(t, withCert, mutual)
	rejecting := serverConfig()
	rejecting.CurvePreferences = []tls.CurveID{tls.CurveP384}
	rejecting.SessionTicketKey = [32]byte{1}
	for _, c := range []struct {
		name           string
		client, server *tls.Config
		cp, sp         handshake.Params
	}{
		{"a key log", clientConfig(), logging, handshake.Params{}, handshake.Params{}},
		{"plain", clientConfig(), serverConfig(), handshake.Params{}, handshake.Params{}},
		{"both with certificates", withCert, mutual, handshake.Params{}, handshake.Params{}},
		{"a key that BoringSSL does not have", clientConfig(), opaqueServer, handshake.Params{}, handshake.Params{}},
		{"resumed, 0-RTT accepted", clientConfig(), keyed(serverConfig()), resumed, early},
		{"resumed, 0-RTT accepted, with certificates", withCert, keyed(mutual), mutualResumed, mutualEarly},
		{"resumed, 0-RTT rejected", clientConfig(), rejecting, resumed, early},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.LockOSThread() // each thread has an error queue of its own
			defer runtime.UnlockOSThread()
			first := alloctest.Count()
			if complete, _ := attempt(t, c.client, c.server, c.cp, c.sp); !complete {
				t.Fatal("the handshake does not complete")
			}
			n := alloctest.Count() - first
			collected := liveAfterCollection(0)
			base := alloctest.Live()
			if n < 100 || collected != 0 {
				t.Fatalf("%d allocations in a handshake, %d objects are left after it", n, collected)
			}
			failures := 0
			for i := int64(1); i <= n; i++ {
				for _, more := range []bool{false, true} {
					alloctest.FailAt(i, more)
					complete, failed := attempt(t, c.client, c.server, c.cp, c.sp)
					alloctest.FailAt(0, false)
					if failed {
						failures++
					}
					if !complete && !failed {
						t.Errorf("allocation %d of %d failed, more %v: the handshake stopped without a word", i, n, more)
					}
				}
			}
			if failures < int(n) {
				t.Errorf("%d handshakes failed of %d", failures, 2*n)
			}
			liveAfterCollection(0)
			if got := alloctest.Live(); got != base {
				t.Errorf("%d bytes of C memory are held, %d before", got, base)
			}
		})
	}
}

// B3: a server's connection that waits for the rest of a ClientHello holds little in C, and one that has been fed as much as it
// takes, and no message in it, not much more.
func TestAttackB3HalfOpen(t *testing.T) {
	runtime.LockOSThread() // each thread has an error queue of its own
	defer runtime.UnlockOSThread()
	ctx := newContext(t, false)
	newOurs(t, ctx, serverConfig(), handshake.Params{}).conn.Release() // its credential stays with the Context
	base := alloctest.Live()
	o := newOurs(t, ctx, serverConfig(), handshake.Params{})
	o.feed(handshake.Initial, []byte{1})
	o.pump()
	small := alloctest.Live() - base
	if small <= 0 || small > 16<<10 {
		t.Errorf("%d bytes of C memory after one byte, want at most 16 KiB", small)
	}
	o.feed(handshake.Initial, []byte{0, 0x3f, 0xf0}) // a ClientHello of nearly 16 KiB
	for range 16 {
		o.feed(handshake.Initial, make([]byte, 1000))
	}
	o.pump()
	if large := alloctest.Live() - base; large <= small || large > 48<<10 {
		t.Errorf("%d bytes of C memory after 16 KB, want at most 48 KiB", large)
	}
	t.Logf("%d bytes after one byte of a ClientHello, %d after 16 KB", small, alloctest.Live()-base)
	o.conn.Release()
	if left := alloctest.Live() - base; left != 0 {
		t.Errorf("%d bytes are left after Release", left)
	}
	runtime.KeepAlive(ctx)
}
