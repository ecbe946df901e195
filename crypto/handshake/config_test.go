package handshake_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

type refusedConfig struct {
	name   string
	client bool
	want   string // in the error
	edit   func(*tls.Config)
}

func TestRefusedConfig(t *testing.T) {
	tests := []refusedConfig{
		{"SetSessionTicketKeys", false, "quic.Config.TicketKeys", func(c *tls.Config) {
			c.SetSessionTicketKeys([][32]byte{{1}})
		}},
		{"Rand", true, "Rand", func(c *tls.Config) { c.Rand = strings.NewReader("") }},
		{"Rand of a server", false, "Rand", func(c *tls.Config) { c.Rand = strings.NewReader("") }},
		{"WrapSession", false, "WrapSession", func(c *tls.Config) {
			c.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, nil }
		}},
		{"UnwrapSession", false, "UnwrapSession", func(c *tls.Config) {
			c.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, nil }
		}},
		{"ECH of a client", true, "EncryptedClientHelloConfigList", func(c *tls.Config) {
			c.EncryptedClientHelloConfigList = []byte{0, 0}
		}},
		{"ECH rejection", true, "EncryptedClientHelloRejectionVerify", func(c *tls.Config) {
			c.EncryptedClientHelloRejectionVerify = func(tls.ConnectionState) error { return nil }
		}},
		{"ECH of a server", false, "EncryptedClientHelloKeys", func(c *tls.Config) {
			c.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{{}}
		}},
		{"ECH of a server by a callback", false, "GetEncryptedClientHelloKeys", func(c *tls.Config) {
			c.GetEncryptedClientHelloKeys = func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) { return nil, nil }
		}},
		{"TLS 1.2 at most", true, "MaxVersion", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"more than TLS 1.3", false, "MinVersion", func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 + 1 }},
		{"unknown ClientAuth", false, "ClientAuth", func(c *tls.Config) { c.ClientAuth = 17 }},
		{"no ALPN at a client", true, "NextProtos", func(c *tls.Config) { c.NextProtos = nil }},
		{"no ALPN at a server", false, "NextProtos", func(c *tls.Config) { c.NextProtos = nil }},
		{"empty protocol", true, "NextProtos", func(c *tls.Config) { c.NextProtos = []string{"a", ""} }},
		{"long protocol", true, "NextProtos", func(c *tls.Config) { c.NextProtos = []string{strings.Repeat("a", 256)} }},
		{"too many protocols", true, "NextProtos", func(c *tls.Config) {
			c.NextProtos = make([]string, 300)
			for i := range c.NextProtos {
				c.NextProtos[i] = strings.Repeat("a", 255)
			}
		}},
		{"no known group", true, "CurvePreferences", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{0x0a0a} }},
		{"no name to verify", true, "server name", func(c *tls.Config) { c.ServerName = "" }},
		{"name too long", true, "server name", func(c *tls.Config) { c.ServerName = strings.Repeat("a", 256) }},
		{"no certificate", false, "Certificates", func(c *tls.Config) { c.Certificates = nil }},
		{"certificate without key", false, "private key", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate}}
		}},
		{"key without certificate", false, "certificate", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{PrivateKey: leaf().key}}
		}},
		{"key of another certificate", false, "private key", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate, PrivateKey: ed25519Key(t)}}
		}},
		{"certificate that is none", false, "certificate", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{{1, 2, 3}}, PrivateKey: leaf().key}}
		}},
		{"more than 64 certificates", false, "64 certificates", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{PrivateKey: leaf().key,
				Certificate: append(leaf().tls.Certificate[:1:1], slices.Repeat(leaf().tls.Certificate[:1], 64)...)}}
		}},
		{"SCTs too long", false, "SignedCertificateTimestamps", func(c *tls.Config) {
			c.Certificates[0].SignedCertificateTimestamps = [][]byte{make([]byte, 1<<16)}
		}},
		{"an empty SCT", false, "SCT", func(c *tls.Config) { c.Certificates[0].SignedCertificateTimestamps = [][]byte{{}} }},
		{"a name with a zero byte", true, "server name", func(c *tls.Config) { c.ServerName = "server.test\x00.other.test" }},
		{"empty certificate", false, "certificate", func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{{}}, PrivateKey: leaf().key}}
		}},
	}
	for name, key := range keyTypes(t) {
		unfit := issue(t, key, authority(), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
		hidden := unfit.tls
		hidden.PrivateKey = opaque{key}
		set := func(certs ...tls.Certificate) func(*tls.Config) {
			return func(c *tls.Config) { c.Certificates = certs }
		}
		tests = append(tests, []refusedConfig{
			{"no digitalSignature, " + name, false, "digitalSignature", set(unfit.tls)},
			{"no digitalSignature, of a client, " + name, true, "digitalSignature", set(unfit.tls)},
			{"no digitalSignature, one of two, " + name, false, "digitalSignature", set(leaf().tls, unfit.tls)},
			{"no digitalSignature, an opaque key, " + name, false, "digitalSignature", set(hidden)},
			{"no digitalSignature, beside a callback, " + name, false, "digitalSignature", func(c *tls.Config) {
				c.Certificates = []tls.Certificate{{Certificate: unfit.tls.Certificate, PrivateKey: key}} // without Leaf
				c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
			}},
		}...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := serverConfig()
			if test.client {
				cfg = clientConfig()
			}
			test.edit(cfg)
			conn, err := newContext(t, test.client).New(cfg, handshake.Params{})
			if err == nil {
				conn.Release()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error %q does not say %q", err, test.want)
			}
		})
	}
	if _, err := newContext(t, true).New(nil, handshake.Params{}); err == nil {
		t.Error("accepted a nil *tls.Config")
	}
}

// TestConfigOfCryptoTLS uses fields that have no meaning in TLS 1.3, which crypto/tls ignores.
func TestConfigOfCryptoTLS(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	client.MinVersion, client.MaxVersion = tls.VersionTLS10, tls.VersionTLS13
	client.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	client.Renegotiation = tls.RenegotiateFreelyAsClient
	client.SetSessionTicketKeys([][32]byte{{1}})                // which only servers use
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // which package quicnet uses
	server.ClientSessionCache = client.ClientSessionCache
	server.DynamicRecordSizingDisabled = true
	server.KeyLogWriter = io.Discard
	c, s := pair(t, client, server)
	wantComplete(t, c, s)
}

// A tls.Config may serve TCP and QUIC at a time. crypto/tls leaves keys of its own in it, which are not the program's.
func TestConfigSharedWithTCP(t *testing.T) {
	shared := serverConfig()
	client, server := clientConfig(), newContext(t, false)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			a, b := net.Pipe()
			go tls.Client(a, client).Handshake()
			conn := tls.Server(b, shared)
			conn.Handshake()
			a.Close()
			b.Close()
		}
	})
	for range 20 {
		c := newOurs(t, newContext(t, true), client, handshake.Params{})
		s := newOurs(t, newContext(t, false), shared, handshake.Params{})
		shake(t, c, s)
		wantComplete(t, c, s)
		newOurs(t, server, shared, handshake.Params{}).conn.Release()
	}
	close(stop)
	wg.Wait()
	// With tickets switched off the program's keys mean nothing.
	off := serverConfig()
	off.SessionTicketsDisabled = true
	off.SetSessionTicketKeys([][32]byte{{1}})
	c, s := pair(t, client, off)
	wantComplete(t, c, s)
}

func TestServerNames(t *testing.T) {
	tests := []struct{ name, sni string }{
		{"server.test", "server.test"},
		{"server.test.", "server.test"},
		{"192.0.2.1", ""},
		{"2001:db8::1", ""},
		{"[2001:db8::1]", ""},
		{"fe80::1%eth0", ""},
	}
	for _, test := range tests {
		client := clientConfig()
		client.ServerName, client.InsecureSkipVerify = "", true
		c := newOurs(t, newContext(t, true), client, handshake.Params{ServerName: test.name})
		s := newOurs(t, newContext(t, false), serverConfig(), handshake.Params{})
		shake(t, c, s)
		wantComplete(t, c, s)
		if got := s.conn.ConnectionState().ServerName; got != test.sni {
			t.Errorf("%s: the server was told %q", test.name, got)
		}
		if got := c.conn.ConnectionState().ServerName; got != test.sni { // as in crypto/tls
			t.Errorf("%s: the client's state says %q", test.name, got)
		}
	}
	// The tls.Config's name goes first, and an address is verified as one.
	client := clientConfig()
	byAddress := issue(t, ecdsaKey(t, p256), authority(), addresses)
	server := serverConfig()
	server.Certificates = []tls.Certificate{byAddress.tls}
	client.ServerName = "192.0.2.1"
	c := newOurs(t, newContext(t, true), client, handshake.Params{ServerName: "elsewhere.test"})
	s := newOurs(t, newContext(t, false), server, handshake.Params{})
	shake(t, c, s)
	wantComplete(t, c, s)
}
