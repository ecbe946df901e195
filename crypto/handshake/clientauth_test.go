package handshake_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// TestAttackT3ClientAuth has each mode of ClientAuth meet each kind of client certificate, at our server and at our client.
func TestAttackT3ClientAuth(t *testing.T) {
	good := issue(t, ecdsaKey(t, p256), authority(), nil)
	stranger := issue(t, ecdsaKey(t, p256), nil, nil)
	expired := issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	forServers := issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	certs := map[string]*issued{"none": nil, "good": good, "stranger": stranger, "expired": expired, "for servers": forServers}
	tests := []struct {
		mode  tls.ClientAuthType
		want  map[string]uint8 // the alert, 0 for success
		shown bool             // the certificate is seen
	}{
		{tls.NoClientCert, map[string]uint8{}, false},
		{tls.RequestClientCert, map[string]uint8{}, true},
		{tls.RequireAnyClientCert, map[string]uint8{"none": 116}, true},
		{tls.VerifyClientCertIfGiven, map[string]uint8{"stranger": 48, "expired": 45, "for servers": 42}, true},
		{tls.RequireAndVerifyClientCert, map[string]uint8{"none": 116, "stranger": 48, "expired": 45, "for servers": 42}, true},
	}
	for _, test := range tests {
		for name, cert := range certs {
			t.Run(test.mode.String()+"/"+name, func(t *testing.T) {
				client, server := clientConfig(), serverConfig()
				server.ClientAuth, server.ClientCAs = test.mode, authority().pool()
				if cert != nil {
					// The callback sends it whatever the server asks for.
					client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert.tls, nil }
				}
				alert := test.want[name]
				t.Run("ours", func(t *testing.T) {
					c, s := pair(t, client, server)
					if alert != 0 {
						wantAlert(t, s, alert)
						wantX509Error(t, s.err, cert)
						return
					}
					wantComplete(t, c, s)
					if got := s.conn.ConnectionState().PeerCertificates; test.shown && cert != nil != (len(got) > 0) {
						t.Errorf("%d certificates of the client", len(got))
					}
					if c.tickets != 1 {
						t.Errorf("%d tickets", c.tickets)
					}
				})
				againstTheirs(t, client, server, handshake.Params{}, func(t *testing.T, o *ours, p *theirs) {
					switch {
					case alert == 0:
						wantAgree(t, o, p)
						if p.client && len(o.conn.ConnectionState().VerifiedChains) > 0 != (test.mode >= tls.VerifyClientCertIfGiven && cert != nil) {
							t.Error("the client's chain was not verified as the mode says")
						}
					case p.client:
						wantAlert(t, o, alert)
					case !errors.Is(p.err, tls.AlertError(alert)):
						t.Errorf("crypto/tls says %v, we say %d", p.err, alert)
					}
				})
			})
		}
	}
}

// wantX509Error asserts that err unwraps to what crypto/x509 found wrong with cert.
func wantX509Error(t *testing.T, err error, cert *issued) {
	t.Helper()
	if cert == nil {
		return
	}
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) || len(verification.UnverifiedCertificates) == 0 ||
		!verification.UnverifiedCertificates[0].Equal(cert.cert) {
		t.Errorf("%v is no CertificateVerificationError of the certificate", err)
	}
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	if !errors.As(err, &authority) && !errors.As(err, &invalid) && !errors.As(err, &host) {
		t.Errorf("%v unwraps to nothing of crypto/x509", err)
	}
}

func TestGetClientCertificate(t *testing.T) {
	cert := issue(t, ecdsaKey(t, p256), authority(), nil)
	server := serverConfig()
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
	tests := []struct {
		name        string
		get         func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
		clientAlert uint8
		serverAlert uint8
		err         error
	}{
		{name: "genuine", get: func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if info.Version != tls.VersionTLS13 || len(info.AcceptableCAs) != 1 ||
				string(info.AcceptableCAs[0]) != string(authority().cert.RawSubject) || len(info.SignatureSchemes) == 0 {
				t.Errorf("CertificateRequestInfo %+v", info)
			}
			if err := info.Context().Err(); err != nil {
				t.Errorf("the context of a callback at work: %v", err)
			}
			return &cert.tls, info.SupportsCertificate(&cert.tls)
		}},
		{name: "an error", get: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, errCallback },
			clientAlert: 80, err: errCallback},
		{name: "neither", get: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }, clientAlert: 80},
		{name: "an empty one", get: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil },
			serverAlert: 116},
		{name: "one that the server cannot verify", get: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := cert.tls
			c.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.ECDSAWithSHA1}
			return &c, nil
		}, clientAlert: 40},
		{name: "one without a key", get: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: cert.tls.Certificate}, nil
		}, clientAlert: 80},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := clientConfig()
			client.GetClientCertificate = test.get
			c, s := pair(t, client, server)
			switch {
			case test.clientAlert != 0:
				wantAlert(t, c, test.clientAlert)
				if test.err != nil && !errors.Is(c.err, test.err) {
					t.Errorf("%v does not unwrap to %v", c.err, test.err)
				}
			case test.serverAlert != 0:
				wantAlert(t, s, test.serverAlert)
			default:
				wantComplete(t, c, s)
			}
		})
	}
	// Without the callback the first certificate that fits is sent, or none.
	unfit := issue(t, ecdsaKey(t, p256), nil, func(c *x509.Certificate) { c.Subject.CommonName = "another" })
	client := clientConfig()
	client.Certificates = []tls.Certificate{unfit.tls, cert.tls}
	server.ClientAuth = tls.VerifyClientCertIfGiven
	c, s := pair(t, client, server)
	wantComplete(t, c, s)
	if got := s.conn.ConnectionState().PeerCertificates; len(got) == 0 || !got[0].Equal(cert.cert) {
		t.Error("the client did not choose the certificate of the authority that the server named")
	}
	client.Certificates = client.Certificates[:1]
	c, s = pair(t, client, server)
	wantComplete(t, c, s)
	if got := s.conn.ConnectionState().PeerCertificates; len(got) != 0 {
		t.Error("the client sent a certificate of an authority that the server does not know")
	}
}

// TestManyClientCAs has more names of authorities than a CertificateRequest may hold: none are named.
func TestManyClientCAs(t *testing.T) {
	pool := authority().pool()
	key := ecdsaKey(t, p256)
	for range 10 {
		pool.AddCert(issue(t, key, nil, func(c *x509.Certificate) {
			c.Subject.Organization = []string{strings.Repeat("x", 8<<10)}
		}).cert)
	}
	client, server := clientConfig(), serverConfig()
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, pool
	named := -1
	client.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		named = len(info.AcceptableCAs)
		return &leaf().tls, nil
	}
	c, s := pair(t, client, server)
	wantComplete(t, c, s)
	if named != 0 {
		t.Errorf("%d authorities named", named)
	}
}
