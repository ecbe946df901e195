package perf

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/boringquic/boringquic/cmd/internal/tlsfiles"
	"github.com/boringquic/boringquic/cmd/internal/usage"
)

// Stack is an implementation that can be measured.
type Stack struct {
	// About tells what it is, with UDP payloads of at most so many bytes wanted.
	About func(udpPayload int) About

	// Serve listens until ctx is done, and tells once where. It speaks ALPN, and ALPNUsage and ALPNDatagrams where it can.
	Serve func(ctx context.Context, o ServerOptions, listening func(net.Addr)) error

	// HTTP says that it is measured over HTTP: exchanges are requests of it, and one has no bytes of its own unless that is wanted.
	HTTP bool

	// Shards says that Serve heeds ServerOptions.Shards.
	Shards bool

	// Resumes says that Serve heeds ServerOptions.Tickets, and that clients, if there are any, are Resumers.
	Resumes bool

	// NoEarly says that there is no 0-RTT, and that ResumeEarly always fails.
	NoEarly bool

	// Client makes a client whose calls wait, over which all loads are run.
	Client func(context.Context, Target) (Client, error)

	// Loop, in place of Client, is for a stack that is driven by a loop of its own, whose calls never wait.
	Loop *Loop
}

// Loop is what a loop runs; what is nil cannot be run. Hooks are called from one goroutine.
type Loop struct {
	NoUpload bool
	Plain    bool // it does not heed Bulk.Repeat and Hooks.Ready, and so cannot be measured for growth
	Bulk     func(ctx context.Context, t Target, b *Bulk, h Hooks) (Outcome, error)
	Requests func(ctx context.Context, t Target, r *Requests, h Hooks) (Outcome, error)
	Usage    func(ctx context.Context, t Target) (*Usage, error) // asks the server as a UsageTeller does
}

// ServerOptions are what a server is told.
type ServerOptions struct {
	Listen            string      // HOST:PORT
	CertFile, KeyFile string      // in PEM; empty: the certificate is in TLS alone
	TLS               *tls.Config // with ALPN, ALPNUsage and ALPNDatagrams
	UDPPayload        int         // the largest UDP payload to send, in bytes
	Shards            int         // sockets that share the address
	Tickets           bool        // sessions are resumed, in 0-RTT too where there is 0-RTT; TLS says the former
}

// Target is what a client is told.
type Target struct {
	Addr       string // HOST:PORT
	TLS        *tls.Config
	UDPPayload int // the largest UDP payload to send, in bytes
}

// WithALPN returns the TLS configuration for one protocol.
func (t *Target) WithALPN(alpn string) *tls.Config {
	conf := t.TLS.Clone()
	conf.NextProtos = []string{alpn}
	return conf
}

// onlyX25519 makes handshakes of all implementations the same: one key exchange that all have. Without tickets nobody resumes.
func onlyX25519(conf *tls.Config, tickets bool) *tls.Config {
	conf.MinVersion = tls.VersionTLS13
	conf.CurvePreferences = []tls.CurveID{tls.X25519}
	conf.SessionTicketsDisabled = !tickets
	return conf
}

func serverTLS(cert, key, listen string, tickets bool) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, usage.Error(fmt.Errorf("--listen %q is not HOST:PORT: %w", listen, err))
	}
	conf, err := tlsfiles.Server(cert, key, []string{"localhost", "127.0.0.1", "::1", host}, ALPN, ALPNUsage, ALPNDatagrams)
	if err != nil {
		return nil, err
	}
	return onlyX25519(conf, tickets), nil
}

func clientTLS(ca string, tickets bool) (*tls.Config, error) {
	conf, err := tlsfiles.Client(ca == "", ca)
	if err != nil {
		return nil, err
	}
	return onlyX25519(conf, tickets), nil
}

// UsageTeller is a Client that asks servers in its own way what their process has used; nil if a server does not tell.
type UsageTeller interface {
	Usage(context.Context) (*Usage, error)
}

// serverUsage asks the server what it has used so far; nil if it cannot tell, as nobody but quic-perf can.
func (d *driver) serverUsage(ctx context.Context) (*Usage, error) {
	if d.usage != nil {
		return d.usage(ctx, d.target)
	}
	if t, ok := d.client.(UsageTeller); ok {
		return t.Usage(ctx)
	}
	if d.client == nil {
		return nil, nil
	}
	conn, err := d.client.Dial(ctx, ALPNUsage)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	q, ok := conn.(QUICConn)
	if !ok {
		return nil, nil
	}
	s, err := q.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	var u Usage
	return &u, ask(s, &u)
}
