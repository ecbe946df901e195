// Command nethttp does with net/http over TCP and TLS 1.3 (HTTP/1.1) what quic-perf does with QUIC, behind the same commands: the
// reference for what moving bytes costs without QUIC. What QUIC does on a stream is a request here; those that run at once
// have a TCP connection each.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"

	"github.com/boringquic/boringquic/cmd/quic-perf/internal/perf"
)

func main() {
	perf.Main("nethttp", &perf.Stack{About: about, Serve: serve, Client: newClient, Resumes: true, NoEarly: true},
		perf.Named{Name: "h2", Short: "The same over HTTP/2", Stack: &perf.Stack{HTTP: true, About: aboutHTTP2, Serve: serveHTTP2, Client: newHTTP2Client}})
}

func about(int) perf.About {
	return perf.About{
		Name: "net/http over TCP", Version: runtime.Version(), Crypto: "Go's crypto/tls, AES-128-GCM", Offloads: "the kernel's TCP",
		Controller: "the kernel's",
	}
}

func serve(ctx context.Context, o perf.ServerOptions, listening func(net.Addr)) error {
	conf := o.TLS.Clone()
	conf.NextProtos = []string{"http/1.1"}
	ln, err := tls.Listen("tcp", o.Listen, conf)
	if err != nil {
		return err
	}
	listening(ln.Addr())
	srv := &http.Server{Handler: http.HandlerFunc(answer), ErrorLog: log.New(io.Discard, "", 0)}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// answer reads a request to its end, and writes as many bytes as its query wants.
func answer(w http.ResponseWriter, r *http.Request) {
	want, err := strconv.ParseUint(r.URL.RawQuery, 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if _, err := perf.Discard(r.Body, nil); err != nil {
		return // the client went away
	}
	w.Header().Set("Content-Length", strconv.FormatUint(want, 10))
	_ = perf.SendZeros(w, want, nil) // likewise
}

type client struct {
	addr    string
	dialer  tls.Dialer
	session *perf.Session // that Resume resumes
}

func newClient(_ context.Context, t perf.Target) (perf.Client, error) {
	return &client{addr: t.Addr, dialer: tls.Dialer{Config: t.WithALPN("http/1.1")}}, nil
}

// Dial makes a TCP connection, which the first request uses.
func (c *client) Dial(ctx context.Context, alpn string) (perf.Conn, error) {
	if alpn != perf.ALPN {
		return nil, errors.ErrUnsupported
	}
	first, err := c.dialer.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return nil, err
	}
	n := &conn{addr: c.addr, first: first}
	n.transport = &http.Transport{
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if c := n.take(); c != nil {
				return c, nil
			}
			return c.dialer.DialContext(ctx, network, addr)
		},
		MaxIdleConnsPerHost: 1000, DisableCompression: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
	}
	return n, nil
}

func (c *client) Close() error { return nil }

// Prepare makes a request: TLS reads a ticket when it reads what comes behind it.
func (c *client) Prepare(ctx context.Context, alpn string) error {
	c.session = perf.NewSession()
	c.dialer.Config.ClientSessionCache = c.session
	conn, err := c.Dial(ctx, alpn)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Do(ctx, &perf.Exchange{}); err != nil {
		return err
	}
	return c.session.Wait(ctx)
}

func (c *client) Resume(ctx context.Context, _ string) (perf.Conn, error) {
	conn, err := c.dialer.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return nil, err
	}
	if !conn.(*tls.Conn).ConnectionState().DidResume {
		conn.Close()
		return nil, perf.ErrNotResumed
	}
	return bare{Conn: conn}, nil
}

func (c *client) ResumeEarly(context.Context, string) (perf.EarlyConn, error) {
	return nil, errors.ErrUnsupported // crypto/tls has 0-RTT for QUIC alone
}

// bare is a TCP connection that is there to be closed.
type bare struct{ net.Conn }

func (bare) Do(context.Context, *perf.Exchange) error { return errors.ErrUnsupported }

// conn is as many TCP connections as there are requests at once.
type conn struct {
	addr      string
	transport *http.Transport
	mu        sync.Mutex
	first     net.Conn // made by Dial, and not used yet
}

func (c *conn) take() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.first
	c.first = nil
	return first
}

func (c *conn) Do(ctx context.Context, e *perf.Exchange) error {
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if e.Up > 0 {
		method, body = http.MethodPost, &zeros{e.Up, e.Count}
	}
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://%s/?%d", c.addr, e.Down), body)
	if err != nil {
		return err
	}
	r.ContentLength = int64(e.Up)
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := perf.Discard(resp.Body, e.Count)
	if err == nil && (resp.StatusCode != http.StatusOK || got != e.Down) {
		err = fmt.Errorf("the server sent %s and %d bytes in place of %d", resp.Status, got, e.Down)
	}
	return err
}

func (c *conn) Close() error {
	if first := c.take(); first != nil {
		return first.Close()
	}
	c.transport.CloseIdleConnections()
	return nil
}

// zeros is the body of a request.
type zeros struct {
	left  uint64
	count func(int)
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(uint64(len(p)), z.left)]
	clear(p)
	z.left -= uint64(len(p))
	if z.count != nil {
		z.count(len(p))
	}
	return len(p), nil
}
