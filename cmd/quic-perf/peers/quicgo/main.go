// Command quicgo does with quic-go what quic-perf does with boringquic, behind the same commands, so that quic-perf can compare
// the two. It has a module of its own: users of the library never download quic-go.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

// largest is the largest datagram that quic-go ever sends, in bytes.
const largest = 1452

func main() {
	perf.Main("quicgo", &perf.Stack{About: about, Serve: serve, Client: newClient, Resumes: true},
		perf.Named{Name: "h3", Short: "The same over HTTP/3", Stack: &perf.Stack{HTTP: true, About: aboutHTTP3, Serve: serveHTTP3, Client: newHTTP3Client}})
}

func about(payload int) perf.About {
	a := perf.About{
		Name: "quic-go", Version: "unknown", Crypto: "Go's crypto/tls, AES-128-GCM", UDPPayload: min(payload, largest),
		Offloads: "GSO, recvmmsg", Controller: "NewReno",
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/quic-go/quic-go" {
				a.Version = m.Version
			}
		}
	}
	return a
}

// config has quic-go send datagrams as large as it may from the start, and allows windows that never stop it.
func config(payload int) *quic.Config {
	return &quic.Config{
		InitialPacketSize:              uint16(min(payload, largest)),
		MaxIncomingStreams:             1000,
		MaxIdleTimeout:                 10 * time.Minute,
		EnableDatagrams:                true,
		InitialStreamReceiveWindow:     8 << 20,
		MaxStreamReceiveWindow:         32 << 20,
		InitialConnectionReceiveWindow: 16 << 20,
		MaxConnectionReceiveWindow:     64 << 20,
	}
}

func serve(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	cfg := config(o.UDPPayload)
	cfg.Allow0RTT = o.Tickets
	ln, err := listen(o, cfg)
	if err != nil {
		return err
	}
	defer ln.Close()
	listening(ln.Addr())
	for {
		conn, err := ln.Accept(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go perf.ServeConn(ctx, serverConn{conn})
	}
}

// listener is quic-go's, with or without connections that are told of before their handshake is complete.
type listener interface {
	Accept(context.Context) (*quic.Conn, error)
	Addr() net.Addr
	Close() error
}

// listen listens with 0-RTT where tickets are wanted: answers leave as soon as there are keys then.
func listen(o perf.ServerOptions, cfg *quic.Config) (listener, error) {
	if o.Tickets {
		return quic.ListenAddrEarly(o.Listen, o.TLS, cfg)
	}
	return quic.ListenAddr(o.Listen, o.TLS, cfg)
}

type serverConn struct{ *quic.Conn }

func (c serverConn) Protocol() string { return c.ConnectionState().TLS.NegotiatedProtocol }

func (c serverConn) AcceptStream(ctx context.Context) (perf.ServerStream, error) {
	s, err := c.Conn.AcceptStream(ctx)
	return serverStream{s}, err
}

func (c serverConn) ReceiveDatagram(ctx context.Context) error {
	_, err := c.Conn.ReceiveDatagram(ctx)
	return err
}

func (c serverConn) Close() error { return c.CloseWithError(0, "") }

type serverStream struct{ *quic.Stream }

func (s serverStream) Abort() {
	s.CancelRead(1)
	s.CancelWrite(1)
}

// client makes all connections over one socket.
type client struct {
	target  perf.Target
	remote  net.Addr
	tr      *quic.Transport
	session *perf.Session
}

func newClient(_ context.Context, t perf.Target) (perf.Client, error) {
	remote, err := net.ResolveUDPAddr("udp", t.Addr)
	if err != nil {
		return nil, err
	}
	network := "udp6"
	if remote.IP.To4() != nil {
		network = "udp4"
	}
	pc, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(t.Addr)
	if err != nil {
		return nil, err
	}
	t.TLS.ServerName = host
	return &client{target: t, remote: remote, tr: &quic.Transport{Conn: pc}}, nil
}

func (c *client) Dial(ctx context.Context, alpn string) (perf.Conn, error) {
	q, err := c.tr.Dial(ctx, c.remote, c.target.WithALPN(alpn), config(c.target.UDPPayload))
	if t := (*quic.TransportError)(nil); errors.As(err, &t) && t.ErrorCode == 0x100+120 { // no_application_protocol
		return nil, fmt.Errorf("the server does not speak %s: %w", alpn, errors.ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("no connection to %s: %w", c.target.Addr, err)
	}
	return conn{q}, nil
}

func (c *client) Prepare(ctx context.Context, alpn string) error {
	c.session = perf.NewSession()
	q, err := c.tr.Dial(ctx, c.remote, c.resuming(alpn), config(c.target.UDPPayload))
	if err != nil {
		return err
	}
	defer q.CloseWithError(0, "")
	return c.session.Wait(ctx)
}

// resuming is the TLS configuration with the session that is kept.
func (c *client) resuming(alpn string) *tls.Config {
	conf := c.target.WithALPN(alpn)
	conf.ClientSessionCache = c.session
	return conf
}

func (c *client) Resume(ctx context.Context, alpn string) (perf.Conn, error) {
	q, err := c.tr.Dial(ctx, c.remote, c.resuming(alpn), config(c.target.UDPPayload))
	if err != nil {
		return nil, err
	}
	if !q.ConnectionState().TLS.DidResume {
		q.CloseWithError(0, "")
		return nil, perf.ErrNotResumed
	}
	return conn{q}, nil
}

func (c *client) ResumeEarly(ctx context.Context, alpn string) (perf.EarlyConn, error) {
	q, err := c.tr.DialEarly(ctx, c.remote, c.resuming(alpn), config(c.target.UDPPayload))
	if err != nil {
		return nil, err
	}
	return conn{q}, nil
}

func (c *client) Close() error {
	c.tr.Close()
	return c.tr.Conn.Close()
}

type conn struct{ *quic.Conn }

func (c conn) Do(ctx context.Context, e *perf.Exchange) error {
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	return e.OnStream(s)
}

func (c conn) Accepted(ctx context.Context) error {
	select {
	case <-c.HandshakeComplete():
	case <-c.Context().Done():
		return context.Cause(c.Context())
	case <-ctx.Done():
		return ctx.Err()
	}
	if !c.ConnectionState().Used0RTT {
		return perf.ErrNotEarly
	}
	return nil
}

func (c conn) OpenStream(ctx context.Context) (perf.Stream, error) { return c.OpenStreamSync(ctx) }

func (c conn) SendDatagram(_ context.Context, p []byte) error { return c.Conn.SendDatagram(p) }

func (c conn) Close() error { return c.CloseWithError(0, "") }
