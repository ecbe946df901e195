package handshake_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// peerCert has a client of ctx shake hands with a server, and returns the certificate that it saw, nil if it refused it.
func peerCert(t *testing.T, ctx *handshake.Context, client, server *tls.Config) *x509.Certificate {
	t.Helper()
	var seen *x509.Certificate
	client = client.Clone()
	client.VerifyConnection = func(s tls.ConnectionState) error {
		seen = s.PeerCertificates[0]
		return nil
	}
	c, s := newOurs(t, ctx, client, handshake.Params{}), newOurs(t, newContext(t, false), server, handshake.Params{})
	shake(t, c, s)
	return seen
}

// A Context parses a certificate once, and keeps a bounded number of those that were found good.
func TestParsedOnce(t *testing.T) {
	ctx := newContext(t, true)
	first := peerCert(t, ctx, clientConfig(), serverConfig())
	if first == nil || !first.Equal(leaf().cert) {
		t.Fatalf("the client saw %v", first)
	}
	if again := peerCert(t, ctx, clientConfig(), serverConfig()); again != first {
		t.Error("the certificate of the same server was parsed anew")
	}
	// What was accepted without a check is as good to a client that does check as it is by itself.
	stranger := serverConfig()
	stranger.Certificates = []tls.Certificate{issue(t, ecdsaKey(t, p256), nil, nil).tls}
	careless := clientConfig()
	careless.InsecureSkipVerify = true
	if peerCert(t, ctx, careless, stranger) == nil {
		t.Fatal("a client that checks nothing refuses a certificate")
	}
	if peerCert(t, ctx, clientConfig(), stranger) != nil {
		t.Error("a certificate of nobody was accepted, since it had been seen before")
	}
	for range handshake.MaxParsed {
		other := serverConfig()
		other.Certificates = []tls.Certificate{issue(t, ecdsaKey(t, p256), authority(), nil).tls}
		peerCert(t, ctx, clientConfig(), other)
		if n := ctx.Parsed(); n == 0 || n > handshake.MaxParsed {
			t.Fatalf("%d certificates are kept, want at most %d", n, handshake.MaxParsed)
		}
	}
	if again := peerCert(t, ctx, clientConfig(), serverConfig()); again == first {
		t.Error("the first certificate is still kept")
	}
}
