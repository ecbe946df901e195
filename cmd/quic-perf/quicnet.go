package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// quicnetStack measures ours as programs use it.
var quicnetStack = &perf.Stack{
	About:  func(payload int) perf.About { return about("quicnet", payload) },
	Serve:  serveQuicnet,
	Shards: true, Resumes: true,
	Client: newQuicnetClient,
}

// about describes us, driven in some way.
func about(driver string, payload int) perf.About {
	return perf.About{
		Name: "boringquic, " + driver, Version: version(), Crypto: "BoringSSL, AES-128-GCM", UDPPayload: payload,
		Offloads: "GSO, GRO, sendmmsg, recvmmsg", Controller: "CUBIC",
	}
}

// version is the commit that the program was built from, as far as Go knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}

// config is the configuration of both sides: nobody is disconnected for being idle, and nobody waits to open streams.
func config(tlsConf *tls.Config, payload int) *quic.Config {
	return &quic.Config{TLS: tlsConf, MaxUDPPayload: payload, MaxIdleTimeout: idleTimeout, MaxDatagramFrameSize: 65535, MaxStreamsBidi: 10000}
}

func serveQuicnet(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	cfg := config(o.TLS, o.UDPPayload)
	cfg.EarlyData = o.Tickets
	ep, err := quicnet.ListenConfig{Shards: o.Shards}.Listen(o.Listen, cfg)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", o.Listen, err)
	}
	defer ep.Close()
	listening(ep.Addr())
	for {
		conn, err := ep.Accept(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		answer := perf.Answer(ctx, quicnetServerConn{conn})
		conn.HandleStreams(func(s *quicnet.Stream) { answer(quicnetServerStream{s}) })
	}
}

type quicnetServerConn struct{ *quicnet.Conn }

func (c quicnetServerConn) Protocol() string { return c.ConnectionState().NegotiatedProtocol }

func (c quicnetServerConn) AcceptStream(ctx context.Context) (perf.ServerStream, error) {
	s, err := c.Conn.AcceptStream(ctx)
	return quicnetServerStream{s}, err
}

func (c quicnetServerConn) ReceiveDatagram(ctx context.Context) error {
	_, err := c.Conn.ReceiveDatagram(ctx, nil)
	return err
}

type quicnetServerStream struct{ *quicnet.Stream }

func (s quicnetServerStream) Abort() { s.Stream.Abort(1) }

// quicnetClient makes all connections over one socket.
type quicnetClient struct {
	target  perf.Target
	ep      *quicnet.Endpoint
	stop    func() bool
	session *quic.Session // that Resume resumes
}

func newQuicnetClient(ctx context.Context, t perf.Target) (perf.Client, error) {
	sock, err := clientSocket(t.Addr)
	if err != nil {
		return nil, err
	}
	ep, err := quicnet.NewEndpoint(sock, nil)
	if err != nil {
		return nil, err
	}
	return &quicnetClient{target: t, ep: ep, stop: context.AfterFunc(ctx, func() { ep.Close() })}, nil
}

// clientSocket opens a socket of the address's family.
func clientSocket(addr string) (*udp.Socket, error) {
	remote, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	if remote.IP.To4() != nil {
		return udp.Listen("udp4", ":0", udp.Options{})
	}
	return udp.Listen("udp6", ":0", udp.Options{})
}

// isAlert tells whether the server ended the handshake with a TLS alert.
func isAlert(err error, alert quic.TransportErrorCode) bool {
	return errors.Is(err, &quic.TransportError{Code: quic.CryptoErrorBase + alert, Remote: true})
}

func (c *quicnetClient) Dial(ctx context.Context, alpn string) (perf.Conn, error) {
	conn, err := c.ep.Dial(ctx, c.target.Addr, config(c.target.WithALPN(alpn), c.target.UDPPayload))
	if isAlert(err, 120) || isAlert(err, 40) { // no_application_protocol; for s2n-quic it is handshake_failure
		return nil, fmt.Errorf("the server does not speak %s: %w", alpn, errors.Join(errors.ErrUnsupported, err))
	}
	if err != nil {
		return nil, fmt.Errorf("no connection to %s: %w", c.target.Addr, err)
	}
	return quicnetConn{conn}, nil
}

// Prepare waits for the session as long as ctx lets it: a server that gives none is told of by the user's patience.
func (c *quicnetClient) Prepare(ctx context.Context, alpn string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, perf.TicketPatience, perf.ErrNoTicket)
	defer cancel()
	sessions := make(chan *quic.Session, 1)
	d := quicnet.Dialer{Endpoint: c.ep, OnSession: func(s *quic.Session) {
		if s.Expires().IsZero() {
			return // a token, without a ticket yet
		}
		select {
		case sessions <- s:
		default:
		}
	}}
	conn, err := d.Dial(ctx, c.target.Addr, config(c.target.WithALPN(alpn), c.target.UDPPayload))
	if err != nil {
		return err
	}
	defer conn.Close()
	select {
	case c.session = <-sessions:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *quicnetClient) Resume(ctx context.Context, alpn string) (perf.Conn, error) {
	d := quicnet.Dialer{Endpoint: c.ep, Session: c.session}
	conn, err := d.Dial(ctx, c.target.Addr, config(c.target.WithALPN(alpn), c.target.UDPPayload))
	if err != nil {
		return nil, err
	}
	if !conn.Stats().Resumed {
		conn.Close()
		return nil, perf.ErrNotResumed
	}
	return quicnetConn{conn}, nil
}

func (c *quicnetClient) ResumeEarly(ctx context.Context, alpn string) (perf.EarlyConn, error) {
	d := quicnet.Dialer{Endpoint: c.ep, Session: c.session}
	conn, err := d.DialEarly(ctx, c.target.Addr, config(c.target.WithALPN(alpn), c.target.UDPPayload))
	if err != nil {
		return nil, err
	}
	return quicnetConn{conn}, nil
}

func (c *quicnetClient) Close() error {
	c.stop()
	return c.ep.Close()
}

type quicnetConn struct{ *quicnet.Conn }

// SendDatagram waits for the path to carry datagrams of the size: it is searched for that when the connection begins.
func (c quicnetConn) SendDatagram(ctx context.Context, p []byte) error {
	err := c.Conn.SendDatagram(ctx, p)
	for patience := time.Now().Add(5 * time.Second); isTooLarge(err) && time.Now().Before(patience); err = c.Conn.SendDatagram(ctx, p) {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func isTooLarge(err error) bool {
	var large *quic.DatagramTooLargeError
	return errors.As(err, &large)
}

func (c quicnetConn) Do(ctx context.Context, e *perf.Exchange) error {
	s, err := c.Conn.OpenStream(ctx)
	if err != nil {
		return err
	}
	return e.OnStream(s)
}

func (c quicnetConn) Accepted(ctx context.Context) error {
	if err := c.Conn.Handshake(ctx); err != nil {
		return err
	}
	if got := c.Conn.EarlyData(); got != quic.EarlyAccepted {
		return fmt.Errorf("%w (%v)", perf.ErrNotEarly, got)
	}
	return nil
}

func (c quicnetConn) OpenStream(ctx context.Context) (perf.Stream, error) {
	return c.Conn.OpenStream(ctx)
}
