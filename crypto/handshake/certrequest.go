package handshake

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math/big"
	"sync"
	"time"
)

// parseCertRequest reads what EvAskCert says at a client.
func parseCertRequest(b []byte) *tls.CertificateRequestInfo {
	info := &tls.CertificateRequestInfo{Version: tls.VersionTLS13}
	if len(b) < 2 {
		return info
	}
	n := int(binary.BigEndian.Uint16(b))
	for b = b[2:]; n > 0 && len(b) >= 2; n-- {
		info.SignatureSchemes = append(info.SignatureSchemes, tls.SignatureScheme(binary.BigEndian.Uint16(b)))
		b = b[2:]
	}
	for len(b) >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(b))
		if n > len(b) {
			break
		}
		info.AcceptableCAs = append(info.AcceptableCAs, append([]byte(nil), b[2:n]...))
		b = b[n:]
	}
	return info
}

// withContext calls f with info and the Context that only crypto/tls can give it: within a handshake of crypto/tls with
// itself.
func withContext(info *tls.CertificateRequestInfo, f func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) (
	cert *tls.Certificate, err error) {
	err = errors.New("handshake: crypto/tls does not ask for a certificate")
	cfg := &tls.Config{
		Certificates:       replayCertificate(),
		CurvePreferences:   []tls.CurveID{tls.X25519},
		ClientAuth:         tls.RequestClientCert,
		InsecureSkipVerify: true, // of a certificate that never leaves this function
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{"-"},
		GetClientCertificate: func(genuine *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			request := *genuine
			request.AcceptableCAs, request.SignatureSchemes, request.Version = info.AcceptableCAs, info.SignatureSchemes, info.Version
			err = guardApart(func() (err error) {
				cert, err = f(&request)
				return err
			})
			return nil, errReplayed
		},
	}
	client := tls.QUICClient(&tls.QUICConfig{TLSConfig: cfg})
	server := tls.QUICServer(&tls.QUICConfig{TLSConfig: cfg})
	defer client.Close()
	defer server.Close()
	client.SetTransportParameters(nil)
	server.SetTransportParameters(nil)
	ctx := context.Background()
	if startErr := errors.Join(client.Start(ctx), server.Start(ctx)); startErr != nil {
		return nil, startErr
	}
	relay(client, server)
	relay(server, client)
	return cert, err
}

// replayCertificate is the certificate of the server in withContext.
var replayCertificate = sync.OnceValue(func() []tls.Certificate {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil // withContext fails then
	}
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
})

// relay hands to's HandleData all that from has to send.
func relay(from, to *tls.QUICConn) {
	for ev := from.NextEvent(); ev.Kind != tls.QUICNoEvent; ev = from.NextEvent() {
		if ev.Kind == tls.QUICWriteData && to.HandleData(ev.Level, ev.Data) != nil {
			return
		}
	}
}
