package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

func h3Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "h3 COMMAND",
		Short: "Measure HTTP/3: with net/http's types, and bare",
		Long: `h3 measures HTTP/3. Its server is package http3's, with a handler of net/http's kind, and its
clients are http3.Transport. "h3 core" is package h3 alone over the bare core, on one
goroutine; its client is the one to load other servers with. "h3 raw" moves as many bytes as
HTTP/3 does over streams without it, and shows so what HTTP/3 costs.

A request is a GET of the path /N, with 12 header fields as of a browser, and the response N
bytes; with --up or --upload it is a POST. Each server answers any of these clients, but those of
"h3 raw" are for themselves.`,
		Example: `  quic-perf h3 server --listen 127.0.0.1:4433
  quic-perf h3 requests 127.0.0.1:4433
  quic-perf h3 core requests 127.0.0.1:4433
  quic-perf h3 bulk --bytes 1GiB --upload 127.0.0.1:4433
  quic-perf compare --http3`,
	}
	core := &cobra.Command{
		Use:     "core COMMAND",
		Short:   "The same measurements by package h3 over the bare core, without quicnet and http3",
		Example: "  quic-perf h3 core requests 127.0.0.1:4433",
	}
	core.AddCommand(perf.Commands(h3CoreStack)...)
	raw := &cobra.Command{
		Use:   "raw COMMAND",
		Short: "As many bytes as HTTP/3 moves, over streams without it",
		Example: `  quic-perf h3 raw server --listen 127.0.0.1:4433
  quic-perf h3 raw requests 127.0.0.1:4433`,
	}
	raw.AddCommand(perf.Commands(rawStack)...)
	rawCore := &cobra.Command{
		Use:     "core COMMAND",
		Short:   "The same through the bare core, without quicnet",
		Example: "  quic-perf h3 raw core requests 127.0.0.1:4433",
	}
	rawCore.AddCommand(perf.Commands(rawCoreStack)...)
	raw.AddCommand(rawCore)
	cmd.AddCommand(perf.Commands(h3Stack)...)
	cmd.AddCommand(core, raw)
	return cmd
}

// alpnH3 is the name of HTTP/3 in TLS.
const alpnH3 = "h3"

// h3Stack measures HTTP/3 as programs use it.
var h3Stack = &perf.Stack{
	HTTP:   true,
	About:  func(payload int) perf.About { return aboutH3("http3 with a handler of net/http", payload) },
	Serve:  serveHTTP3,
	Shards: true,
	Client: newHTTP3Client,
}

func aboutH3(driver string, payload int) perf.About {
	a := about(driver, payload)
	a.ALPN = alpnH3
	return a
}

func serveHTTP3(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	cfg := config(nil, o.UDPPayload)
	cfg.MaxDatagramFrameSize = 0
	srv := &http3.Server{
		HTTP: &http.Server{Addr: o.Listen, TLSConfig: o.TLS, Handler: http.HandlerFunc(perf.ServeHTTP), IdleTimeout: idleTimeout,
			ErrorLog: log.New(io.Discard, "", 0)},
		QUIC: cfg,
	}
	conf := o.TLS.Clone()
	conf.NextProtos = []string{alpnH3}
	cfg.TLS = conf
	ep, err := quicnet.ListenConfig{Shards: o.Shards, Protocol: srv.Protocol}.Listen(o.Listen, cfg)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", o.Listen, err)
	}
	defer ep.Close()
	defer srv.Close()
	listening(ep.Addr())
	if _, err := ep.Accept(ctx); ctx.Err() == nil { // nothing is offered: it waits for the end
		return err
	}
	return nil
}

// http3Client makes connections by http3.Transport, all over one socket.
type http3Client struct {
	target    perf.Target
	transport *http3.Transport
}

func newHTTP3Client(_ context.Context, t perf.Target) (perf.Client, error) {
	cfg := config(nil, t.UDPPayload)
	cfg.MaxStreamsBidi, cfg.MaxDatagramFrameSize = 0, 0
	return &http3Client{t, &http3.Transport{QUIC: cfg, TLSClientConfig: t.WithALPN(alpnH3), DisableCompression: true}}, nil
}

func (c *http3Client) dial(ctx context.Context) (*http3Conn, error) {
	conn, err := c.transport.DialClientConn(ctx, c.target.Addr, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("no connection to %s: %w", c.target.Addr, err)
	}
	return &http3Conn{conn, c.target.Addr, perf.RequestHeader()}, nil
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
	return perf.FetchUsage(conn, c.target.Addr)
}

func (c *http3Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

type http3Conn struct {
	*http3.ClientConn
	authority string
	header    http.Header // of each request
}

func (c *http3Conn) Do(_ context.Context, e *perf.Exchange) error {
	return e.Fetch(c.ClientConn, c.authority, c.header)
}

// usageH3 asks a server what it has used, for those whose client is a loop.
func usageH3(ctx context.Context, t perf.Target) (*perf.Usage, error) {
	c, err := newHTTP3Client(ctx, t)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.(perf.UsageTeller).Usage(ctx)
}
