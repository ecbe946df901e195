package handshake_test

import (
	"bytes"
	"crypto/tls"
	"testing"
)

// renamed is a session with another server name in it, as an attacker's client would offer it.
func renamed(session []byte, name string) []byte {
	n := int(session[9])
	b := append(bytes.Clone(session[:9]), byte(len(name)))
	return resum(append(append(b, name...), session[10+n:]...))
}

// A ticket from a virtual host without client certificates does not open one with them, nor the reverse.
func TestAttackB9VirtualHosts(t *testing.T) {
	open, closed, other := serverConfig(), serverConfig(), serverConfig()
	closed.ClientAuth, closed.ClientCAs = tls.RequireAndVerifyClientCert, authority().pool()
	other.ClientAuth, other.ClientCAs = tls.RequireAndVerifyClientCert, issue(t, ed25519Key(t), nil, nil).pool()
	v := newVisits(t)
	v.cp.EarlyData, v.sp.EarlyData = true, true
	hosts := map[string]*tls.Config{"server.test": open, "client.test": closed}
	v.server.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { return hosts[h.ServerName], nil }
	v.client.Certificates = nil
	v.meet().want(false, "the open host")
	session := v.session
	v.meet().want(true, "the open host")
	v.wantEarly(true, "accepted")

	// At the closed host, by its name: a full handshake, which fails for want of a certificate.
	v.client.ServerName = "client.test"
	v.session = renamed(session, "client.test")
	v.meet()
	if v.s.accepted || v.s.early == "" || v.s.complete {
		t.Errorf("at the closed host: 0-RTT %v, %q, complete %v", v.s.accepted, v.s.early, v.s.complete)
	}
	wantAlert(t, v.s, 116)

	// A session of the closed host has a certificate, and is good at that host alone.
	v.client = v.client.Clone()
	v.client.Certificates = []tls.Certificate{leaf().tls}
	v.session = nil
	v.meet().want(false, "the closed host")
	session = v.session
	v.meet().want(true, "the closed host")
	v.wantEarly(true, "accepted")
	v.client = v.client.Clone()
	v.client.ServerName, v.client.Certificates = "server.test", nil
	v.session = renamed(session, "server.test")
	v.meet().want(false, "a ticket of the closed host at the open one")
	if n := len(v.s.conn.ConnectionState().PeerCertificates); n != 0 {
		t.Errorf("%d certificates came along", n)
	}

	// The closed host asks for certificates of another authority now.
	hosts["client.test"] = other
	v.client = v.client.Clone()
	v.client.ServerName = "client.test"
	v.session = session
	v.meet()
	if v.s.accepted || v.s.complete {
		t.Errorf("certificates of another authority: 0-RTT %v, complete %v", v.s.accepted, v.s.complete)
	}
}

// A ticket belongs to a QUIC version.
func TestAttackB10Versions(t *testing.T) {
	const v1, v2 = 1, 0x6b3343cf
	v := newVisits(t)
	v.cp.EarlyData, v.sp.EarlyData, v.sp.Version = true, true, v1
	for _, version := range []uint32{v2, v1} {
		v.meet()
		v.meet().want(true, "the same version")
		v.wantEarly(true, "accepted")
		v.sp.Version = version
		v.meet().want(false, "another version")
		v.wantEarly(false, "session_not_resumed")
	}
}
