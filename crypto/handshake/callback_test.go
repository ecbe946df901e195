package handshake_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// errCallback is what a program's callback fails with.
var errCallback = errors.New("the program says no")

func TestGetCertificate(t *testing.T) {
	other := issue(t, ecdsaKey(t, p256), authority(), nil)
	var info *tls.ClientHelloInfo
	calls := 0
	server := serverConfig()
	server.GetCertificate = func(i *tls.ClientHelloInfo) (*tls.Certificate, error) {
		info, calls = i, calls+1
		if err := i.Context().Err(); err != nil {
			t.Errorf("the context of a callback at work: %v", err)
		}
		if err := i.SupportsCertificate(&other.tls); err != nil {
			t.Errorf("SupportsCertificate: %v", err)
		}
		return &other.tls, nil
	}
	client := clientConfig()
	client.NextProtos = []string{alpn, "test/2"}
	c, s := pair(t, client, server)
	wantComplete(t, c, s)
	if calls != 1 || s.asks != 1 {
		t.Errorf("called %d times, with %d asks", calls, s.asks)
	}
	if got := c.conn.ConnectionState().PeerCertificates[0]; !got.Equal(other.cert) {
		t.Error("the client saw another certificate than that of GetCertificate")
	}
	if info.ServerName != "server.test" || !slices.Equal(info.SupportedProtos, client.NextProtos) ||
		!slices.Contains(info.SupportedCurves, tls.X25519MLKEM768) || !slices.Contains(info.SignatureSchemes, tls.Ed25519) ||
		!slices.Contains(info.CipherSuites, tls.TLS_AES_128_GCM_SHA256) ||
		!slices.Equal(info.SupportedVersions, []uint16{tls.VersionTLS13}) {
		t.Errorf("ClientHelloInfo %+v", info)
	}
	if l, r := info.Conn.LocalAddr().String(), info.Conn.RemoteAddr().String(); l != "192.0.2.1:443" || r != "192.0.2.2:50000" {
		t.Errorf("addresses %s and %s", l, r)
	}
	if _, ok := info.Conn.RemoteAddr().(*net.UDPAddr); !ok {
		t.Errorf("the peer's address is a %T", info.Conn.RemoteAddr())
	}
	if _, err := info.Conn.Write([]byte("x")); err == nil {
		t.Error("a callback could write to the connection")
	}
	if info.Context().Err() != context.Canceled {
		t.Error("the context lives on")
	}
}

func TestGetCertificateAnswers(t *testing.T) {
	cert := issue(t, ecdsaKey(t, p256), authority(), nil)
	single := issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) { c.DNSNames = []string{"server"} })
	tests := []struct {
		name  string
		edit  func(c *tls.Config)
		noSNI bool
		sni   string
		want  *issued // what the client is to see
		alert uint8
		err   error
	}{
		{name: "an error", edit: func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errCallback }
		}, alert: 80, err: errCallback},
		{name: "nothing, but there is another", edit: func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		}, want: leaf()},
		{name: "nothing", edit: func(c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
		}, alert: 112},
		{name: "not asked without SNI", edit: func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errCallback }
		}, noSNI: true, want: leaf()},
		{name: "asked without SNI for want of another", edit: func(c *tls.Config) {
			c.Certificates = nil
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert.tls, nil }
		}, noSNI: true, want: cert},
		{name: "a certificate without a key", edit: func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: cert.tls.Certificate}, nil
			}
		}, alert: 80},
		{name: "the first of two that fits", edit: func(c *tls.Config) {
			named := issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} })
			c.Certificates = []tls.Certificate{named.tls, cert.tls}
		}, want: cert},
		{name: "by name", edit: func(c *tls.Config) {
			c.Certificates = []tls.Certificate{leaf().tls, leaf().tls}
			//lint:ignore SA1019 deprecated, and still in force
			c.NameToCertificate = map[string]*tls.Certificate{"server.test": &cert.tls}
		}, want: cert},
		{name: "by wildcard", edit: func(c *tls.Config) {
			c.Certificates = []tls.Certificate{leaf().tls, leaf().tls}
			//lint:ignore SA1019 deprecated, and still in force
			c.NameToCertificate = map[string]*tls.Certificate{"*.test": &cert.tls}
		}, want: cert},
		{name: "by a wildcard alone", edit: func(c *tls.Config) {
			c.Certificates = []tls.Certificate{leaf().tls, leaf().tls}
			//lint:ignore SA1019 deprecated, and still in force
			c.NameToCertificate = map[string]*tls.Certificate{"*": &single.tls}
		}, sni: "server", want: single},
		{name: "a certificate that must not sign", edit: func(c *tls.Config) {
			unfit := issue(t, rsaKey(), authority(), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &unfit.tls, nil }
		}, alert: 80},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			test.edit(server)
			if test.sni != "" {
				client.ServerName = test.sni
			}
			if test.noSNI {
				client.ServerName, client.InsecureSkipVerify = "", true
			}
			c, s := pair(t, client, server)
			if test.want != nil {
				wantComplete(t, c, s)
				if !c.conn.ConnectionState().PeerCertificates[0].Equal(test.want.cert) {
					t.Error("the client saw another certificate")
				}
				return
			}
			wantAlert(t, s, test.alert)
			if test.err != nil && !errors.Is(s.err, test.err) {
				t.Errorf("%v does not unwrap to %v", s.err, test.err)
			}
		})
	}
}

func TestGetConfigForClient(t *testing.T) {
	other := issue(t, ecdsaKey(t, p256), authority(), nil)
	base := serverConfig()
	tests := []struct {
		name  string
		base  *tls.Config
		next  func(*tls.ClientHelloInfo) (*tls.Config, error)
		check func(t *testing.T, c, s *ours)
		alert uint8
		err   error
	}{
		{name: "nil", next: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }},
		{name: "another", next: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{other.tls}, NextProtos: []string{"test/2"},
				CurvePreferences: []tls.CurveID{tls.CurveP384}, SessionTicketsDisabled: true}, nil
		}, check: func(t *testing.T, c, s *ours) {
			state := c.conn.ConnectionState()
			if !state.PeerCertificates[0].Equal(other.cert) || state.NegotiatedProtocol != "test/2" ||
				state.CurveID != tls.CurveP384 || c.tickets != 0 {
				t.Errorf("%d tickets, state %+v", c.tickets, state)
			}
		}},
		{name: "with a callback of its own", next: func(first *tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{NextProtos: []string{alpn},
				GetCertificate: func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
					if info == first || info.ServerName != first.ServerName || info.Conn.RemoteAddr() == nil {
						return nil, fmt.Errorf("ClientHelloInfo %+v", info)
					}
					return &other.tls, nil
				}}, nil
		}},
		{name: "no more client certificates", base: &tls.Config{Certificates: base.Certificates, NextProtos: base.NextProtos,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority().pool()},
			next: func(*tls.ClientHelloInfo) (*tls.Config, error) { return serverConfig(), nil }},
		{name: "nothing but the callback", base: &tls.Config{},
			next: func(*tls.ClientHelloInfo) (*tls.Config, error) { return serverConfig(), nil }},
		{name: "an error", next: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errCallback },
			alert: 80, err: errCallback},
		{name: "a refused field", next: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cfg := serverConfig()
			cfg.Rand = strings.NewReader("")
			return cfg, nil
		}, alert: 80},
		{name: "no certificate", next: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{NextProtos: []string{alpn}}, nil
		}, alert: 80},
		{name: "no certificate, no callback", base: &tls.Config{},
			next:  func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil },
			alert: 112},
		{name: "no protocol in common", next: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cfg := serverConfig()
			cfg.NextProtos = []string{"test/3"}
			return cfg, nil
		}, alert: 120},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := serverConfig()
			if test.base != nil {
				server = test.base
			}
			calls := 0
			server.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				calls++
				return test.next(info)
			}
			client := clientConfig()
			client.NextProtos = []string{alpn, "test/2"}
			c, s := pair(t, client, server)
			if calls != 1 {
				t.Errorf("called %d times", calls)
			}
			if test.alert == 0 {
				wantComplete(t, c, s)
				if test.check != nil {
					test.check(t, c, s)
				}
				return
			}
			wantAlert(t, s, test.alert)
			if test.err != nil && !errors.Is(s.err, test.err) {
				t.Errorf("%v does not unwrap to %v", s.err, test.err)
			}
		})
	}
}

// TestVerifyCallbacks has both callbacks of both ends judge the peer.
func TestVerifyCallbacks(t *testing.T) {
	for _, withCert := range []bool{true, false} {
		t.Run(fmt.Sprintf("client certificate %v", withCert), func(t *testing.T) {
			var order []string
			record := func(cfg *tls.Config, who string, wantCerts, wantChains int) {
				cfg.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
					order = append(order, who+" chain")
					if len(raw) != wantCerts || len(chains) != wantChains {
						t.Errorf("%s: %d certificates and %d chains, want %d and %d", who, len(raw), len(chains), wantCerts, wantChains)
					}
					return nil
				}
				cfg.VerifyConnection = func(state tls.ConnectionState) error {
					order = append(order, who+" connection")
					if len(state.PeerCertificates) != wantCerts || len(state.VerifiedChains) != wantChains ||
						state.NegotiatedProtocol != alpn || state.ServerName != "server.test" || state.Version != tls.VersionTLS13 {
						t.Errorf("%s: state %+v", who, state)
					}
					return nil
				}
			}
			client, server := clientConfig(), serverConfig()
			server.ClientAuth, server.ClientCAs = tls.VerifyClientCertIfGiven, authority().pool()
			record(client, "client", 2, 1)
			if withCert {
				client.Certificates = []tls.Certificate{leaf().tls}
				record(server, "server", 2, 1)
			} else {
				record(server, "server", 0, 0)
			}
			c, s := pair(t, client, server)
			wantComplete(t, c, s)
			if want := []string{"client chain", "client connection", "server chain", "server connection"}; !slices.Equal(order, want) {
				t.Errorf("order %q", order)
			}
		})
	}
}

// TestVerifyCallbackRefuses has each callback of each end refuse the peer.
func TestVerifyCallbackRefuses(t *testing.T) {
	refuseChain := func(c *tls.Config) {
		c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errCallback }
	}
	refuseConnection := func(c *tls.Config) { c.VerifyConnection = func(tls.ConnectionState) error { return errCallback } }
	for _, withCert := range []bool{true, false} {
		for name, refuse := range map[string]func(*tls.Config){"chain": refuseChain, "connection": refuseConnection} {
			t.Run(fmt.Sprintf("server %s, client certificate %v", name, withCert), func(t *testing.T) {
				client, server := clientConfig(), serverConfig()
				server.ClientAuth = tls.RequestClientCert
				if withCert {
					client.Certificates = []tls.Certificate{leaf().tls}
				}
				refuse(server)
				c, s := pair(t, client, server)
				wantAlert(t, s, 42)
				if !errors.Is(s.err, errCallback) || s.asks != 1 {
					t.Errorf("%v after %d asks", s.err, s.asks)
				}
				if c.tickets != 0 {
					t.Error("a ticket for a client that was refused")
				}
			})
			t.Run("client "+name, func(t *testing.T) {
				client := clientConfig()
				refuse(client)
				c, s := pair(t, client, serverConfig())
				wantAlert(t, c, 42)
				if !errors.Is(c.err, errCallback) || s.complete {
					t.Errorf("%v; the server's handshake complete: %v", c.err, s.complete)
				}
			})
		}
	}
	// Without client certificates a server has VerifyConnection alone, and refuses before it says anything in 1-RTT.
	server := serverConfig()
	refuseConnection(server)
	refuseChain(server) // not to be called
	c, s := pair(t, clientConfig(), server)
	wantAlert(t, s, 42)
	if c.tickets != 0 {
		t.Error("a ticket for a client that was refused")
	}
}

// TestInsecureSkipVerify leaves the judgement to the callbacks.
func TestInsecureSkipVerify(t *testing.T) {
	client := clientConfig()
	client.RootCAs, client.InsecureSkipVerify = nil, true
	chains := -1
	client.VerifyPeerCertificate = func(_ [][]byte, verified [][]*x509.Certificate) error {
		chains = len(verified)
		return nil
	}
	c, s := pair(t, client, serverConfig())
	wantComplete(t, c, s)
	if chains != 0 || len(c.conn.ConnectionState().PeerCertificates) != 2 {
		t.Errorf("%d chains", chains)
	}
}

func TestKeyLog(t *testing.T) {
	var clientLog, serverLog bytes.Buffer
	client, server := clientConfig(), serverConfig()
	client.KeyLogWriter, server.KeyLogWriter = &clientLog, &serverLog
	c, s := pair(t, client, server)
	wantComplete(t, c, s)
	lines := strings.Split(strings.TrimSuffix(clientLog.String(), "\n"), "\n")
	theirLines := strings.Split(strings.TrimSuffix(serverLog.String(), "\n"), "\n")
	slices.Sort(lines)
	slices.Sort(theirLines)
	if !slices.Equal(lines, theirLines) {
		t.Errorf("logs differ:\n%s\n%s", &clientLog, &serverLog)
	}
	for label, secret := range map[string][]byte{
		"CLIENT_HANDSHAKE_TRAFFIC_SECRET": c.write[handshake.Handshake],
		"SERVER_HANDSHAKE_TRAFFIC_SECRET": c.read[handshake.Handshake],
		"CLIENT_TRAFFIC_SECRET_0":         c.write[handshake.Application],
		"SERVER_TRAFFIC_SECRET_0":         c.read[handshake.Application],
	} {
		if n := countLines(lines, label, fmt.Sprintf("%x", secret)); n != 1 {
			t.Errorf("%d lines say %s", n, label)
		}
	}
	client.KeyLogWriter = failingWriter{}
	c, s = pair(t, client, serverConfig())
	wantAlert(t, c, 80)
	if !errors.Is(c.err, errCallback) || s.complete {
		t.Errorf("%v; the server is complete: %v", c.err, s.complete)
	}
}

func countLines(lines []string, label, secret string) (n int) {
	for _, line := range lines {
		if strings.HasPrefix(line, label+" ") && strings.HasSuffix(line, " "+secret) && len(strings.Fields(line)) == 3 {
			n++
		}
	}
	return n
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errCallback }

// TestTime has the peers verify certificates at another time than the present.
func TestTime(t *testing.T) {
	old := issue(t, ecdsaKey(t, p256), authority(), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-30*time.Minute), time.Now().Add(-20*time.Minute)
	})
	client, server := clientConfig(), serverConfig()
	server.Certificates = []tls.Certificate{old.tls}
	client.Time = func() time.Time { return old.cert.NotBefore.Add(time.Minute) }
	c, s := pair(t, client, server)
	wantComplete(t, c, s)
	server.Time = func() time.Time { return time.Time{} } // before all that BoringSSL knows
	c, s = pair(t, client, server)
	wantComplete(t, c, s)
}

// TestAddresses has no addresses to tell.
func TestAddresses(t *testing.T) {
	server := serverConfig()
	server.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		if info.Conn == nil || info.Conn.RemoteAddr() != net.Addr(nil) {
			t.Errorf("Conn %v", info.Conn)
		}
		return nil, nil
	}
	c := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
	s := newOurs(t, newContext(t, false), server, handshake.Params{})
	shake(t, c, s)
	wantComplete(t, c, s)
}
