package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// maxStreams is how many streams a client may have open: the test case multiplexing wants that they are no more than 1000.
const maxStreams = 1000

// Serve serves o.WWW until ctx ends, which is no error.
func Serve(ctx context.Context, o Options) error {
	c, err := o.lookUp()
	if err != nil {
		return err
	}
	if c.http3 {
		return o.serveHTTP3(ctx, c)
	}
	cfg, err := o.serverConfig(c)
	if err != nil {
		return err
	}
	files, err := webroot.Open(o.WWW, nil)
	if err != nil {
		return fmt.Errorf("cannot serve %s: %w", o.WWW, err)
	}
	defer files.Close()
	ep, err := o.network().Listen(o.Listen, cfg, nil)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", o.Listen, err)
	}
	defer ep.Close()
	fmt.Fprintf(o.Log, "listening on %s, test case %s, serving %s\n", ep.Addr(), o.TestCase, o.WWW)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer ep.Close() // before that wait
	for {
		conn, err := ep.Accept(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		serving.Go(func() { o.serveConn(conn, files) })
	}
}

// serverConfig is the configuration of a server.
func (o *Options) serverConfig(c testCase) (*quic.Config, error) {
	cfg, err := o.config(c, true)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(o.Certs, "cert.pem"), filepath.Join(o.Certs, "priv.key"))
	if err != nil {
		return nil, fmt.Errorf("no usable certificate in %s: %w", o.Certs, err)
	}
	cfg.TLS.Certificates = []tls.Certificate{cert}
	cfg.MaxStreamsBidi = maxStreams
	if c.retry {
		cfg.Retry = func(netip.AddrPort) bool { return true }
	}
	return cfg, o.setServer(cfg, c)
}

// serveConn answers all requests of one connection. Whatever goes wrong here is this connection's alone.
func (o *Options) serveConn(conn *quicnet.Conn, files *webroot.Root) {
	defer conn.Close()
	conn.HandleStreams(func(s *quicnet.Stream) {
		if path, n, err := hq.Serve(s, files); err != nil {
			fmt.Fprintf(o.Log, "%s: %q: %d bytes sent, then %v\n", conn.RemoteAddr(), path, n, err)
		}
	})
	<-conn.Context().Done()
	if err := context.Cause(conn.Context()); !quic.IsCleanClose(err) && !errors.Is(err, net.ErrClosed) {
		fmt.Fprintf(o.Log, "%s: %v\n", conn.RemoteAddr(), err)
	}
}
