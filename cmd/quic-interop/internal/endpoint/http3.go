package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/boringquic/boringquic/cmd/internal/site"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic/http3"
)

// What the test case http3 has in place of HTTP/0.9.

// alpnH3 is HTTP/3 in the TLS handshake.
const alpnH3 = "h3"

// serveHTTP3 is Serve by HTTP/3.
func (o *Options) serveHTTP3(ctx context.Context, c testCase) error {
	cfg, err := o.serverConfig(c)
	if err != nil {
		return err
	}
	root, err := webroot.Open(o.WWW, nil)
	if err != nil {
		return fmt.Errorf("cannot serve %s: %w", o.WWW, err)
	}
	defer root.Close()
	web := &http3.Server{HTTP: &http.Server{Handler: site.New(root, site.Options{})}}
	ep, err := o.network().Listen(o.Listen, cfg, web.Protocol)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", o.Listen, err)
	}
	defer ep.Close()
	defer web.Close()
	fmt.Fprintf(o.Log, "listening on %s, test case %s, serving %s\n", ep.Addr(), o.TestCase, o.WWW)
	for {
		conn, err := ep.Accept(ctx) // none is offered that speaks HTTP/3
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		conn.Close()
	}
}

// fetchHTTP3 is fetch by HTTP/3.
func (cl *client) fetchHTTP3(ctx context.Context, files []file) error {
	cfg := *cl.cfg
	cfg.TLS = nil
	transport := &http3.Transport{TLSClientConfig: cl.cfg.TLS, QUIC: &cfg, Dial: func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
		to, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, nil, err
		}
		pc, err := cl.o.network().ListenPacket()
		return pc, to, err
	}}
	conn, err := transport.DialClientConn(ctx, files[0].host, nil, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error

		places = make(chan struct{}, maxParallel)
	)
	for _, f := range files {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if err := cl.get(ctx, conn, f); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// get gets one file, which has its name only when it is complete.
func (cl *client) get(ctx context.Context, conn *http3.ClientConn, f file) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.host+f.path, nil)
	if err != nil {
		return err
	}
	resp, err := conn.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("cannot ask for %s: %w", f.path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: the server answered %s", f.path, resp.Status)
	}
	return cl.write(f, func(out io.Writer) error {
		_, err := io.Copy(out, resp.Body)
		return err
	})
}

// write has a file be written, which gets its name only when that has succeeded.
func (cl *client) write(f file, contents func(io.Writer) error) error {
	out, err := os.CreateTemp(cl.o.Downloads, ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // after the rename there is nothing left to remove
	err = contents(out)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(out.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(out.Name(), filepath.Join(cl.o.Downloads, f.name))
}
