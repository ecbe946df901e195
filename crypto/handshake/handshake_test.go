package handshake_test

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

func TestHandshake(t *testing.T) {
	client, server := pair(t, clientConfig(), serverConfig())
	wantComplete(t, client, server)
	if server.asks != 0 || client.asks != 1 {
		t.Errorf("%d asks at the server, want 0; %d at the client, want 1", server.asks, client.asks)
	}
	for _, o := range []*ours{client, server} {
		s := o.conn.ConnectionState()
		if !s.HandshakeComplete || s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != alpn || s.DidResume ||
			s.ServerName != "server.test" || s.CurveID != tls.X25519MLKEM768 || s.CipherSuite != o.suite || s.CipherSuite == 0 {
			t.Errorf("state %+v", s)
		}
	}
	s := client.conn.ConnectionState()
	if len(s.PeerCertificates) != 2 || !s.PeerCertificates[0].Equal(leaf().cert) || len(s.VerifiedChains) != 1 {
		t.Errorf("%d certificates, %d chains", len(s.PeerCertificates), len(s.VerifiedChains))
	}
	if client.tickets == 0 {
		t.Error("no session ticket was told")
	}
	a, err := client.conn.ExportKeyingMaterial("EXPORTER-test", []byte("context"), 40)
	if err != nil {
		t.Fatal(err)
	}
	b, err := server.conn.ExportKeyingMaterial("EXPORTER-test", []byte("context"), 40)
	if err != nil || !bytes.Equal(a, b) || len(a) != 40 {
		t.Errorf("keying material %x and %x, %v", a, b, err)
	}
	client.conn.Release()
	client.conn.Release()
	if err := client.conn.Feed(handshake.Application, []byte{1}); err == nil {
		t.Error("Feed after Release")
	}
}
