package quicnet

import (
	"crypto/tls"
	"sync/atomic"
	"testing"

	"github.com/boringquic/boringquic/quic"
)

// The callbacks of a server's tls.Config see the addresses of the connection: code that was written for TCP looks at them
// (ClientHelloInfo.Conn).
func TestClientHelloAddresses(t *testing.T) {
	cert, _ := pki()
	var seen atomic.Pointer[[2]string]
	note := func(info *tls.ClientHelloInfo) {
		seen.Store(&[2]string{info.Conn.LocalAddr().String(), info.Conn.RemoteAddr().String()})
	}
	for name, change := range map[string]func(*quic.Config){
		"GetCertificate": func(cfg *quic.Config) {
			cfg.TLS.Certificates = nil
			cfg.TLS.GetCertificate = func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
				note(info)
				return &cert, nil
			}
		},
		"GetConfigForClient": func(cfg *quic.Config) {
			own := cfg.TLS.Clone()
			cfg.TLS.GetConfigForClient = func(info *tls.ClientHelloInfo) (*tls.Config, error) {
				note(info)
				return own, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serverConfig()
			change(server)
			s, c := pair(t, server, clientConfig())
			if got, want := *seen.Load(), [2]string{s.LocalAddr().String(), s.RemoteAddr().String()}; got != want {
				t.Errorf("the callback saw %v, want %v", got, want)
			}
			if s.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("the client is %v at the server and %v itself", s.RemoteAddr(), c.LocalAddr())
			}
		})
	}
}
