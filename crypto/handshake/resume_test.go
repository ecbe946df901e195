package handshake_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// visits is a client and a server that meet more than once.
type visits struct {
	t                testing.TB
	clients, servers *handshake.Context
	client, server   *tls.Config
	cp, sp           handshake.Params
	session          []byte  // that the client uses next
	c, s             *ours   // of the last visit
	shown            *issued // by a client
}

func newVisits(t testing.TB) *visits {
	return &visits{t: t, clients: newContext(t, true), servers: newContext(t, false), client: clientConfig(), server: serverConfig()}
}

// meet runs a handshake, with the session of the last one.
func (v *visits) meet() *visits {
	v.t.Helper()
	cp := v.cp
	cp.Session = v.session
	v.c, v.s = newOurs(v.t, v.clients, v.client, cp), newOurs(v.t, v.servers, v.server, v.sp)
	shake(v.t, v.c, v.s)
	if n := len(v.c.sessions); n > 0 {
		v.session = v.c.sessions[n-1]
	}
	return v
}

// want asserts that the last visit went well, and whether it was a resumption.
func (v *visits) want(resumed bool, why string) {
	v.t.Helper()
	wantComplete(v.t, v.c, v.s)
	for _, o := range []*ours{v.c, v.s} {
		if got := o.conn.ConnectionState().DidResume; got != resumed {
			v.t.Errorf("%s: resumed %v", why, got)
		}
	}
}

func TestResumption(t *testing.T) {
	v := newVisits(t)
	v.meet().want(false, "the first time")
	first := v.c.conn.ConnectionState()
	if v.c.tickets != 1 || v.c.ticketEarly || v.c.lifetime != 7*24*time.Hour {
		t.Errorf("%d tickets, 0-RTT %v, for %v", v.c.tickets, v.c.ticketEarly, v.c.lifetime)
	}
	for range 3 { // each connection brings the session of the next
		v.meet().want(true, "then")
		got := v.c.conn.ConnectionState()
		if len(got.PeerCertificates) == 0 || got.PeerCertificates[0] != first.PeerCertificates[0] || len(got.VerifiedChains) == 0 ||
			got.NegotiatedProtocol != alpn || got.ServerName != "server.test" {
			t.Errorf("state %+v", got)
		}
		if v.c.asks != 1 || v.s.asks != 0 {
			t.Errorf("%d asks of the client, %d of the server; want one for the chain", v.c.asks, v.s.asks)
		}
	}
}

// What ends in a full handshake, and in nothing else.
func TestNoResumption(t *testing.T) {
	hour := time.Hour
	for _, test := range []struct {
		name   string
		change func(v *visits)
	}{
		{"no session", func(v *visits) { v.session = nil }},
		{"an empty session", func(v *visits) { v.session = []byte{} }},
		{"another server name", func(v *visits) { v.client.ServerName = "client.test" }},
		{"another QUIC version", func(v *visits) { v.sp.Version = 0x6b3343cf }},
		{"another server", func(v *visits) { v.servers = newContext(v.t, false) }},
		{"a server without tickets", func(v *visits) { v.server.SessionTicketsDisabled = true }},
		{"a client without tickets", func(v *visits) { v.client.SessionTicketsDisabled = true }},
		{"too old at the client", func(v *visits) { v.client.Time = ahead(7*24*hour + time.Second) }},
		{"too old at the server", func(v *visits) { v.server.Time = ahead(7*24*hour + time.Second) }},
		{"from the future", func(v *visits) { v.server.Time = ahead(-hour / 2) }},
		{"a server that asks for certificates now", func(v *visits) { v.server.ClientAuth = tls.RequestClientCert }},
		{"other ticket keys", func(v *visits) { v.server = v.server.Clone(); v.server.SessionTicketKey[0] = 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVisits(t)
			long := issue(t, ed25519Key(t), authority(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * 24 * hour) })
			root := issue(t, authority().key, nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * 24 * hour) })
			v.client.RootCAs = root.pool()
			long.tls.Certificate = long.tls.Certificate[:1]
			v.server.Certificates = []tls.Certificate{long.tls}
			v.sp.Version = 1
			v.meet().want(false, "the first time")
			session := v.session
			v.meet().want(true, "unchanged")
			v.session = session
			test.change(v)
			v.meet().want(false, "changed")
		})
	}
}

func ahead(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }

// The chain in a session is judged like that of a full handshake. If it is not good any more, the server is to show another.
func TestSessionOfBadCertificates(t *testing.T) {
	short := issue(t, ed25519Key(t), authority(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10 * time.Minute) })
	renewed := issue(t, ed25519Key(t), authority(), nil)
	stranger := issue(t, ed25519Key(t), nil, nil)
	for _, test := range []struct {
		name   string
		first  *issued
		insec  bool
		change func(v *visits)
	}{
		{"expired meanwhile", short, false, func(v *visits) { v.client.Time = ahead(20 * time.Minute) }},
		{"expired meanwhile, and nobody looks", short, true, func(v *visits) { v.client.Time = ahead(20 * time.Minute) }},
		{"not trusted any more", stranger, false, func(v *visits) { v.client.RootCAs = authority().pool() }},
		{"was never looked at", stranger, true, func(v *visits) { v.client.InsecureSkipVerify = false }},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVisits(t)
			v.server.Certificates = []tls.Certificate{test.first.tls}
			v.client.InsecureSkipVerify = test.insec
			if !test.insec && test.first == stranger {
				v.client.RootCAs = stranger.pool()
			}
			v.meet().want(false, "the first time")
			v.client, v.server = v.client.Clone(), v.server.Clone()
			v.server.Certificates = []tls.Certificate{renewed.tls}
			test.change(v)
			v.meet().want(false, "then")
			if got := v.c.conn.ConnectionState().PeerCertificates; len(got) == 0 || !got[0].Equal(renewed.cert) {
				t.Error("the client does not have the server's new certificate")
			}
		})
	}
}

// VerifyConnection judges each connection, VerifyPeerCertificate none that is a resumption, as crypto/tls documents.
func TestCallbacksOnResumption(t *testing.T) {
	v := newVisits(t)
	var calls string
	record := func(who string) (func(tls.ConnectionState) error, func([][]byte, [][]*x509.Certificate) error) {
		return func(s tls.ConnectionState) error {
				calls += fmt.Sprintf("%s %v %d %d; ", who, s.DidResume, len(s.PeerCertificates), len(s.VerifiedChains))
				return nil
			}, func([][]byte, [][]*x509.Certificate) error {
				calls += who + " peer; "
				return nil
			}
	}
	v.client.VerifyConnection, v.client.VerifyPeerCertificate = record("client")
	v.server.VerifyConnection, v.server.VerifyPeerCertificate = record("server")
	v.server.ClientAuth, v.server.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
	v.client.Certificates = []tls.Certificate{leaf().tls}
	v.meet().want(false, "the first time")
	if want := "client peer; client false 2 1; server peer; server false 2 1; "; calls != want {
		t.Errorf("the first time %q, want %q", calls, want)
	}
	calls = ""
	v.meet().want(true, "then")
	if want := "client true 2 1; server true 2 1; "; calls != want {
		t.Errorf("on resumption %q, want %q", calls, want)
	}
	for _, cfg := range []*tls.Config{v.client, v.server} {
		good := cfg.VerifyConnection
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			if s.DidResume {
				return errCallback
			}
			return nil
		}
		v.meet()
		victim := v.s
		if cfg == v.client {
			victim = v.c
		}
		if !errors.Is(victim.err, errCallback) || victim.complete {
			t.Errorf("the callback said no: %v, complete %v", victim.err, victim.complete)
		}
		cfg.VerifyConnection = good
	}
}

// A client's certificate is judged again by the server that resumes its session.
func TestClientCertificateOnResumption(t *testing.T) {
	short := issue(t, ed25519Key(t), authority(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10 * time.Minute) })
	renewed := issue(t, ed25519Key(t), authority(), nil)
	stranger := issue(t, ed25519Key(t), nil, nil)
	for _, test := range []struct {
		name    string
		first   *issued
		mode    tls.ClientAuthType
		resumed bool
		change  func(v *visits)
	}{
		{"nothing changed", short, tls.RequireAndVerifyClientCert, true, func(*visits) {}},
		{"if given", short, tls.VerifyClientCertIfGiven, true, func(*visits) {}},
		{"any", stranger, tls.RequireAnyClientCert, true, func(*visits) {}},
		{"on request", stranger, tls.RequestClientCert, true, func(*visits) {}},
		{"expired", short, tls.RequireAndVerifyClientCert, false, func(v *visits) { v.server.Time = ahead(20 * time.Minute) }},
		{"expired, any", short, tls.RequireAnyClientCert, false, func(v *visits) { v.server.Time = ahead(20 * time.Minute) }},
		{"not trusted any more", short, tls.RequireAndVerifyClientCert, false, func(v *visits) {
			// A CA with the same name and another key, which is no reason for the ticket not to be opened.
			other := issue(t, ed25519Key(t), nil, nil)
			v.server.ClientCAs = other.pool()
			v.shown = issue(t, ed25519Key(t), other, nil)
		}},
		{"a stricter mode", stranger, tls.RequireAnyClientCert, false, func(v *visits) {
			v.server.ClientAuth, v.server.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
		}},
		{"asks for none now", short, tls.RequireAnyClientCert, false, func(v *visits) { v.server.ClientAuth = tls.NoClientCert }},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVisits(t)
			v.server.ClientAuth, v.server.ClientCAs = test.mode, authority().pool()
			show := func(c *issued) { // whatever the server's CAs
				v.client = v.client.Clone()
				v.client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.tls, nil }
			}
			show(test.first)
			v.meet().want(false, "the first time")
			v.server = v.server.Clone()
			v.shown = renewed
			test.change(v)
			show(v.shown)
			v.meet().want(test.resumed, "then")
			want := v.shown
			if test.resumed {
				want = test.first
			}
			got := v.s.conn.ConnectionState()
			switch {
			case v.server.ClientAuth == tls.NoClientCert:
				if len(got.PeerCertificates) != 0 {
					t.Error("a certificate that nobody asked for")
				}
			case len(got.PeerCertificates) == 0 || !got.PeerCertificates[0].Equal(want.cert):
				t.Error("the server does not have the client's certificate")
			case (len(got.VerifiedChains) > 0) != (v.server.ClientAuth >= tls.VerifyClientCertIfGiven):
				t.Errorf("%d verified chains", len(got.VerifiedChains))
			}
		})
	}
}
