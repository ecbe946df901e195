package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

func aboutHTTP2(payload int) perf.About {
	a := about(payload)
	a.Name, a.ALPN = "net/http over TCP, HTTP/2", "h2"
	return a
}

// windows never stop a transfer.
var windows = &http.HTTP2Config{MaxConcurrentStreams: 1000, MaxReceiveBufferPerConnection: 16 << 20, MaxReceiveBufferPerStream: 4<<20 - 1, MaxReadFrameSize: 128 << 10}

func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP2(true)
	return p
}

func serveHTTP2(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return err
	}
	listening(ln.Addr())
	conf := o.TLS.Clone()
	conf.NextProtos = nil
	srv := &http.Server{Handler: http.HandlerFunc(perf.ServeHTTP), TLSConfig: conf, Protocols: onlyHTTP2(), HTTP2: windows,
		ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// http2Client makes a TCP connection for each of quic-perf's.
type http2Client struct{ target perf.Target }

func newHTTP2Client(_ context.Context, t perf.Target) (perf.Client, error) {
	return &http2Client{t}, nil
}

func (c *http2Client) open() *http2Conn {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return &http2Conn{c.target.Addr, perf.RequestHeader(), &http.Transport{
		TLSClientConfig: c.target.TLS.Clone(), DialContext: dialer.DialContext, Protocols: onlyHTTP2(), HTTP2: windows, DisableCompression: true,
	}}
}

// Dial makes a first request, for which the one connection is made that all others use.
func (c *http2Client) Dial(ctx context.Context, _ string) (perf.Conn, error) {
	conn := c.open()
	if err := conn.Do(ctx, &perf.Exchange{Down: 1}); err != nil {
		return nil, err
	}
	return conn, nil
}

// Usage implements perf.UsageTeller.
func (c *http2Client) Usage(context.Context) (*perf.Usage, error) {
	conn := c.open()
	defer conn.Close()
	return perf.FetchUsage(conn.transport, conn.authority)
}

func (c *http2Client) Close() error { return nil }

type http2Conn struct {
	authority string
	header    http.Header // of each request
	transport *http.Transport
}

func (c *http2Conn) Do(_ context.Context, e *perf.Exchange) error {
	return e.Fetch(c.transport, c.authority, c.header)
}

func (c *http2Conn) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}
