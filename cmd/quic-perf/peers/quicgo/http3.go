package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

func aboutHTTP3(payload int) perf.About {
	a := about(payload)
	a.Name, a.ALPN = "quic-go/http3 with a handler of net/http", http3.NextProtoH3
	return a
}

func serveHTTP3(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	addr, err := net.ResolveUDPAddr("udp", o.Listen)
	if err != nil {
		return err
	}
	pc, err := net.ListenUDP("udp", addr)
	if err != nil {
		return err
	}
	defer pc.Close()
	cfg := config(o.UDPPayload)
	cfg.EnableDatagrams = false
	srv := &http3.Server{Handler: http.HandlerFunc(perf.ServeHTTP), TLSConfig: http3.ConfigureTLSConfig(o.TLS), QUICConfig: cfg}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	listening(pc.LocalAddr())
	if err := srv.Serve(pc); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// http3Client makes all connections over one socket.
type http3Client struct {
	client
	transport http3.Transport
}

func newHTTP3Client(ctx context.Context, t perf.Target) (perf.Client, error) {
	c, err := newClient(ctx, t)
	if err != nil {
		return nil, err
	}
	return &http3Client{client: *c.(*client), transport: http3.Transport{DisableCompression: true}}, nil
}

func (c *http3Client) dial(ctx context.Context) (*http3Conn, error) {
	cfg := config(c.target.UDPPayload)
	cfg.EnableDatagrams = false
	q, err := c.tr.Dial(ctx, c.remote, c.target.WithALPN(http3.NextProtoH3), cfg)
	if err != nil {
		return nil, err
	}
	return &http3Conn{c.transport.NewClientConn(q), q, c.target.Addr, perf.RequestHeader()}, nil
}

// Dial makes a first request, so that both sides have what a connection has that is in use.
func (c *http3Client) Dial(ctx context.Context, _ string) (perf.Conn, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := conn.Do(ctx, &perf.Exchange{Down: 1}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Usage implements perf.UsageTeller.
func (c *http3Client) Usage(ctx context.Context) (*perf.Usage, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return perf.FetchUsage(conn.ClientConn, c.target.Addr)
}

type http3Conn struct {
	*http3.ClientConn
	quic      *quic.Conn
	authority string
	header    http.Header // of each request
}

func (c *http3Conn) Do(_ context.Context, e *perf.Exchange) error {
	return e.Fetch(c.ClientConn, c.authority, c.header)
}

func (c *http3Conn) Close() error {
	return c.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}
