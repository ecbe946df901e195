package handshake_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// againstTheirs runs one handshake with our client and one with our server against crypto/tls.
func againstTheirs(t *testing.T, clientCfg, serverCfg *tls.Config, p handshake.Params,
	check func(t *testing.T, o *ours, p *theirs)) {
	t.Run("client", func(t *testing.T) {
		o, peer := newOurs(t, newContext(t, true), clientCfg, p), newTheirs(t, serverCfg, false)
		shake(t, o, peer)
		check(t, o, peer)
	})
	t.Run("server", func(t *testing.T) {
		o, peer := newOurs(t, newContext(t, false), serverCfg, p), newTheirs(t, clientCfg, true)
		shake(t, peer, o)
		check(t, o, peer)
	})
}

// keyTypes are the private keys that a certificate can have.
func keyTypes(t *testing.T) map[string]crypto.Signer {
	return map[string]crypto.Signer{
		"RSA":        rsaKey(),
		"ECDSA-P256": ecdsaKey(t, elliptic.P256()),
		"ECDSA-P384": ecdsaKey(t, elliptic.P384()),
		"ECDSA-P521": ecdsaKey(t, elliptic.P521()),
		"Ed25519":    ed25519Key(t),
	}
}

func TestInteropCertificates(t *testing.T) {
	for name, key := range keyTypes(t) {
		for _, hidden := range []bool{false, true} {
			if hidden {
				name += "-opaque"
			}
			t.Run(name, func(t *testing.T) {
				cert := issue(t, key, nil, nil)
				if hidden {
					cert.tls.PrivateKey = opaque{key}
				}
				server, client := serverConfig(), clientConfig()
				server.Certificates, server.ClientAuth, server.ClientCAs = []tls.Certificate{cert.tls},
					tls.RequireAndVerifyClientCert, cert.pool()
				client.Certificates, client.RootCAs = []tls.Certificate{cert.tls}, cert.pool()
				againstTheirs(t, client, server, handshake.Params{}, func(t *testing.T, o *ours, p *theirs) {
					wantAgree(t, o, p)
					for _, s := range []tls.ConnectionState{o.conn.ConnectionState(), p.conn.ConnectionState()} {
						if len(s.PeerCertificates) != 1 || !s.PeerCertificates[0].Equal(cert.cert) || len(s.VerifiedChains) != 1 {
							t.Errorf("%d certificates, %d chains", len(s.PeerCertificates), len(s.VerifiedChains))
						}
					}
				})
			})
		}
	}
}

func TestInteropGroups(t *testing.T) {
	tests := []struct {
		name           string
		client, server []tls.CurveID
		want           tls.CurveID
	}{
		{"default", nil, nil, tls.X25519MLKEM768},
		{"X25519MLKEM768", []tls.CurveID{tls.X25519MLKEM768}, nil, tls.X25519MLKEM768},
		{"X25519", []tls.CurveID{tls.X25519}, nil, tls.X25519},
		{"P-256", []tls.CurveID{tls.CurveP256}, nil, tls.CurveP256},
		{"P-384", []tls.CurveID{tls.CurveP384}, nil, tls.CurveP384},
		{"P-521", []tls.CurveID{tls.CurveP521}, []tls.CurveID{tls.CurveP521, tls.CurveP256}, tls.CurveP521},
		{"HelloRetryRequest", nil, []tls.CurveID{tls.CurveP256}, tls.CurveP256},
		{"HelloRetryRequest to P-384", []tls.CurveID{tls.X25519, tls.CurveP384}, []tls.CurveID{tls.CurveP384}, tls.CurveP384},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			client.CurvePreferences, server.CurvePreferences = test.client, test.server
			againstTheirs(t, client, server, handshake.Params{}, func(t *testing.T, o *ours, p *theirs) {
				wantAgree(t, o, p)
				if got := o.conn.ConnectionState().CurveID; got != test.want {
					t.Errorf("group %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestInteropResumption(t *testing.T) {
	// Our server's tickets, in the hands of crypto/tls's client.
	ctx := newContext(t, false)
	client := clientConfig()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	verified := 0
	server := serverConfig()
	server.VerifyConnection = func(s tls.ConnectionState) error {
		verified++
		return nil
	}
	for _, resumed := range []bool{false, true} {
		o, peer := newOurs(t, ctx, server, handshake.Params{}), newTheirs(t, client, true)
		shake(t, peer, o)
		wantAgree(t, o, peer)
		if got := o.conn.ConnectionState().DidResume; got != resumed {
			t.Errorf("resumed %v, want %v", got, resumed)
		}
	}
	if verified != 2 {
		t.Errorf("VerifyConnection ran %d times, want 2", verified)
	}
	// Disabled, the ticket does not work, and none is sent.
	server.SessionTicketsDisabled = true
	o, peer := newOurs(t, ctx, server, handshake.Params{}), newTheirs(t, client, true)
	shake(t, peer, o)
	wantAgree(t, o, peer)
	if o.conn.ConnectionState().DidResume {
		t.Error("resumed although tickets are disabled")
	}
}

// The time by which a ticket is judged is that of its arrival, not that of the Conn's making.
func TestTicketTime(t *testing.T) {
	ctx := newContext(t, false)
	client, server := clientConfig(), serverConfig()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	now := time.Now()
	server.Time = func() time.Time { return now }
	connect := func(meanwhile time.Duration) (resumed bool) {
		o, peer := newOurs(t, ctx, server, handshake.Params{}), newTheirs(t, client, true)
		now = now.Add(meanwhile)
		shake(t, peer, o)
		wantAgree(t, o, peer)
		return o.conn.ConnectionState().DidResume
	}
	connect(0)
	if !connect(time.Hour) {
		t.Error("a ticket does not hold for an hour")
	}
	if connect(30 * 24 * time.Hour) {
		t.Error("a ticket of 30 days ago was good")
	}
}

func TestInteropALPN(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	client.NextProtos = []string{"a", "b", "c"}
	server.NextProtos = []string{"x", "c", "b"}
	againstTheirs(t, client, server, handshake.Params{}, func(t *testing.T, o *ours, p *theirs) {
		wantAgree(t, o, p)
		if got := o.conn.ConnectionState().NegotiatedProtocol; got != "c" {
			t.Errorf("protocol %q, want the server's first of those that both have", got)
		}
	})
	server.NextProtos = []string{"x"}
	againstTheirs(t, client, server, handshake.Params{}, func(t *testing.T, o *ours, p *theirs) {
		if o.complete {
			t.Fatal("complete without a protocol")
		}
		if p.client {
			wantAlert(t, o, 120)
		} else if !errors.Is(p.err, tls.AlertError(120)) {
			t.Errorf("crypto/tls: %v", p.err)
		}
	})
}
