//go:build go1.26

package handshake_test

import (
	"crypto/tls"
	"testing"
)

// Both callbacks of a server are asked about the first ClientHello, before it is known whether there will be a second one. (GetCertificate
// of crypto/tls is asked about the second.) VerifyConnection knows.
func TestSecondHello(t *testing.T) {
	for _, retry := range []bool{false, true} {
		type answer struct{ config, certificate, state bool }
		var got answer
		server := serverConfig()
		if retry {
			server.CurvePreferences = []tls.CurveID{tls.CurveP384}
		}
		server.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			got.config = info.HelloRetryRequest
			return nil, nil
		}
		server.GetCertificate = func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			got.certificate = info.HelloRetryRequest
			return nil, nil
		}
		server.VerifyConnection = func(cs tls.ConnectionState) error {
			got.state = cs.HelloRetryRequest
			return nil
		}
		c, s := pair(t, clientConfig(), server)
		wantComplete(t, c, s)
		if got != (answer{state: retry}) {
			t.Errorf("HelloRetryRequest %v: %+v", retry, got)
		}
	}
}
