package handshake_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// What a server staples and signs with is what its tls.Certificate says at the time, whatever memory that shares with another, or
// shared with itself before.
func TestCredentialsOfSharedMemory(t *testing.T) {
	memory := bytes.Repeat([]byte{0xaa}, 100)
	scts := [][]byte{[]byte("first"), []byte("second")}
	algorithms := []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.PSSWithSHA512}
	key := issue(t, rsaKey(), authority(), nil)
	cert := key.tls // what GetCertificate answers
	steps := []struct {
		name string
		edit func()
	}{
		{"nothing stapled", func() {}},
		{"a staple", func() { cert.OCSPStaple = memory[:50] }},
		{"a longer one at the same place", func() { cert.OCSPStaple = memory[:60] }},
		{"the shorter one again", func() { cert.OCSPStaple = memory[:50] }},
		{"the staple renewed in place", func() { memory[10] = 0xbb }},
		{"an SCT", func() { cert.SignedCertificateTimestamps = scts[:1] }},
		{"two, of which the first is the same", func() { cert.SignedCertificateTimestamps = scts[:2] }},
		{"the second one renewed in place", func() { scts[1][0] = 'S' }},
		{"algorithms", func() { cert.SupportedSignatureAlgorithms = algorithms[:2] }},
		{"another one at the same place", func() { algorithms[1] = tls.PSSWithSHA512 }},
		{"more of them", func() { cert.SupportedSignatureAlgorithms = algorithms[:3]; algorithms[1] = tls.PSSWithSHA384 }},
		{"a longer chain", func() { cert.Certificate = append(slices.Clone(cert.Certificate), leaf().tls.Certificate...) }},
		{"its second certificate exchanged in place", func() { cert.Certificate[1] = authority().tls.Certificate[0] }},
		{"a new certificate of the key, in place", func() {
			cert.Certificate[0] = issue(t, key.key, authority(), nil).tls.Certificate[0]
			cert.Leaf = nil
		}},
	}
	server := serverConfig()
	server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }
	servers := newContext(t, false)
	for _, again := range []bool{false, true} {
		for _, s := range steps {
			s.edit()
			client := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{})
			srv := newOurs(t, servers, server, handshake.Params{})
			var signedBy tls.SignatureScheme
			shake(t, client, changing(t, srv, msgCertificateVerify, func(m message) []byte {
				signedBy = tls.SignatureScheme(binary.BigEndian.Uint16(m.body))
				return m.bytes()
			}))
			wantComplete(t, client, srv)
			want := tls.PSSWithSHA256
			if algs := cert.SupportedSignatureAlgorithms; len(algs) > 0 {
				want = algs[1] // which the key fits
			}
			if signedBy != want {
				t.Errorf("%s, again %v: signed by %v, want %v", s.name, again, signedBy, want)
			}
			got := client.conn.ConnectionState()
			if !bytes.Equal(got.OCSPResponse, cert.OCSPStaple) ||
				!slices.EqualFunc(got.SignedCertificateTimestamps, cert.SignedCertificateTimestamps, bytes.Equal) {
				t.Errorf("%s, again %v: staple %x, SCTs %q", s.name, again, got.OCSPResponse, got.SignedCertificateTimestamps)
			}
			if len(got.PeerCertificates) != len(cert.Certificate) {
				t.Fatalf("%s: %d certificates", s.name, len(got.PeerCertificates))
			}
			for i, c := range got.PeerCertificates {
				if !bytes.Equal(c.Raw, cert.Certificate[i]) {
					t.Errorf("%s, again %v: certificate %d is another one", s.name, again, i)
				}
			}
		}
	}
}
