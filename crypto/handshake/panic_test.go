package handshake_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/boringquic/boringquic/crypto/handshake"
)

// panicking is a crypto.Signer and an io.Writer that panics.
type panicking struct {
	crypto.Signer
	how func()
}

func (p panicking) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	p.how()
	return nil, nil
}
func (p panicking) Write(b []byte) (int, error) { p.how(); return len(b), nil }

// panics has each piece of the program's code end by how in turn, and hands check the end whose code it was. With apart, each Ask gets
// a goroutine, and what runs on that of the connection is left out.
func panics(t *testing.T, how func(), apart bool, check func(t *testing.T, victim *ours)) {
	tests := []struct {
		name   string
		client bool // whose code it is
		edit   func(client, server *tls.Config)
	}{
		{"GetCertificate", false, func(_, s *tls.Config) {
			s.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { how(); return nil, nil }
		}},
		{"GetConfigForClient", false, func(_, s *tls.Config) {
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { how(); return nil, nil }
		}},
		{"GetCertificate of GetConfigForClient's", false, func(_, s *tls.Config) {
			next := s.Clone()
			next.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { how(); return nil, nil }
			s.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return next, nil }
		}},
		{"VerifyConnection of a client", true, func(c, _ *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { how(); return nil }
		}},
		{"VerifyConnection of a server", false, func(_, s *tls.Config) {
			s.VerifyConnection = func(tls.ConnectionState) error { how(); return nil }
		}},
		{"VerifyConnection of a server, with a client's certificate", false, func(c, s *tls.Config) {
			c.Certificates, s.ClientAuth = []tls.Certificate{leaf().tls}, tls.RequireAnyClientCert
			s.VerifyConnection = func(tls.ConnectionState) error { how(); return nil }
		}},
		{"VerifyPeerCertificate", true, func(c, _ *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { how(); return nil }
		}},
		{"GetClientCertificate", true, func(c, s *tls.Config) {
			s.ClientAuth = tls.RequestClientCert
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { how(); return nil, nil }
		}},
		{"a server's signer", false, func(_, s *tls.Config) {
			s.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate, PrivateKey: panicking{leaf().key, how}}}
		}},
		{"a client's signer", true, func(c, s *tls.Config) {
			s.ClientAuth = tls.RequireAnyClientCert
			c.Certificates = []tls.Certificate{{Certificate: leaf().tls.Certificate, PrivateKey: panicking{leaf().key, how}}}
		}},
		{"KeyLogWriter of a client", true, func(c, _ *tls.Config) { c.KeyLogWriter = panicking{how: how} }},
		{"KeyLogWriter of a server", false, func(_, s *tls.Config) { s.KeyLogWriter = panicking{how: how} }},
		{"Time of a client, after a while", true, func(c, _ *tls.Config) { c.Time = later(how, 3) }},
		{"Time of a server, after a while", false, func(_, s *tls.Config) { s.Time = later(how, 1) }},
		{"Time at the start", true, func(c, _ *tls.Config) { c.Time = later(how, 0) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			test.edit(client, server)
			if apart && (client.KeyLogWriter != nil || server.KeyLogWriter != nil || client.Time != nil || server.Time != nil) {
				t.Skip("runs on the goroutine of the connection")
			}
			c := newOurs(t, newContext(t, true), client, handshake.Params{})
			s := newOurs(t, newContext(t, false), server, handshake.Params{})
			if apart {
				c.onAsk, s.onAsk = c.runApart, s.runApart
			}
			c.start()
			s.start()
			converse(c, s)
			victim := s
			if test.client {
				victim = c
			}
			check(t, victim)
		})
	}
}

// later is a Time that is good for n calls.
func later(how func(), n int) func() time.Time {
	return func() time.Time {
		if n--; n < 0 {
			how()
		}
		return time.Now()
	}
}

func TestCallbackPanics(t *testing.T) {
	cause := errors.New("the cause")
	panics(t, func() { panicHere(cause) }, false, func(t *testing.T, victim *ours) {
		wantAlert(t, victim, 80)
		var perr *handshake.PanicError
		if !errors.As(victim.err, &perr) || perr.Value != cause || !errors.Is(victim.err, cause) {
			t.Fatalf("%v does not tell the panic", victim.err)
		}
		if !bytes.Contains(perr.Stack, []byte("panicHere")) {
			t.Errorf("the stack does not show where it panicked:\n%s", perr.Stack)
		}
	})
}

//go:noinline
func panicHere(v any) { panic(v) }

// What ends its goroutine leaves no connection without an answer.
func TestCallbackEndsGoroutine(t *testing.T) {
	panics(t, runtime.Goexit, true, func(t *testing.T, victim *ours) { wantAlert(t, victim, 80) })
}

// runApart answers an Ask that may end its goroutine.
func (o *ours) runApart(a *handshake.Ask) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.Run()
	}()
	<-over
	o.conn.Answer(a)
}

// ExportKeyingMaterial of a ConnectionState never panics: it works from where on crypto/tls's does, and before that is an error.
func TestExportFromState(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	client.Certificates, server.ClientAuth = []tls.Certificate{leaf().tls}, tls.RequireAnyClientCert
	var early []byte
	client.VerifyConnection = func(cs tls.ConnectionState) error {
		if b, err := cs.ExportKeyingMaterial("label", nil, 32); err == nil {
			t.Errorf("a client that has not seen Finished exports %x", b)
		}
		return nil
	}
	server.VerifyConnection = func(cs tls.ConnectionState) (err error) {
		early, err = cs.ExportKeyingMaterial("label", []byte("context"), 32)
		return err
	}
	for _, asked := range []bool{true, false} {
		if early = nil; !asked {
			server.ClientAuth = tls.NoClientCert
		}
		c, s := pair(t, client, server)
		wantComplete(t, c, s)
		for _, o := range []*ours{c, s} {
			cs := o.conn.ConnectionState()
			o.conn.Release()
			if b, err := cs.ExportKeyingMaterial("label", []byte("context"), 32); err != nil || !bytes.Equal(b, early) {
				t.Errorf("%x, %v, want %x as in the server's VerifyConnection", b, err, early)
			}
			if _, err := cs.ExportKeyingMaterial("label", nil, 1<<20); err == nil {
				t.Error("a megabyte of keying material")
			}
		}
	}
	fresh := newOurs(t, newContext(t, true), clientConfig(), handshake.Params{}).conn.ConnectionState()
	if _, err := fresh.ExportKeyingMaterial("label", nil, 32); err == nil {
		t.Error("keying material before the handshake")
	}
}
