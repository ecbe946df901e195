package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"sync"

	"github.com/boringquic/boringquic/cmd/internal/hq"
	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// smallWindow is what a stream's receive window begins with in the test case transfer, in bytes; the connection's with twice that.
const smallWindow = 64 << 10

// maxParallel is how many files are open at once.
const maxParallel = 200

// Fetch downloads all of o.Requests to o.Downloads.
func Fetch(ctx context.Context, o Options) error {
	c, err := o.lookUp()
	if err != nil {
		return err
	}
	files, err := parse(o.Requests)
	if err != nil {
		return usage.Error(err)
	}
	cfg, err := o.config(c, false)
	if err != nil {
		return err
	}
	cfg.TLS.InsecureSkipVerify = true
	if c.smallFirst {
		cfg.StreamReceiveWindow, cfg.ReceiveWindow = smallWindow, 2*smallWindow
	}
	if err := setClient(cfg, c); err != nil {
		return err
	}
	cl := &client{o: &o, c: c, cfg: cfg}
	switch {
	case c.resume:
		if err := cl.fetch(ctx, files[:1], firstOfTwo); err != nil {
			return fmt.Errorf("the first connection: %w", err)
		}
		if files = files[1:]; len(files) == 0 {
			return errors.New("one URL is not enough to resume a session for")
		}
		return cl.fetch(ctx, files, secondOfTwo)
	case c.eachOwn:
		for i := range files {
			if err := cl.fetch(ctx, files[i:i+1], only); err != nil {
				return fmt.Errorf("connection %d of %d: %w", i+1, len(files), err)
			}
		}
		return nil
	}
	if c.http3 {
		return cl.fetchHTTP3(ctx, files)
	}
	return cl.fetch(ctx, files, only)
}

// file is one that is wanted.
type file struct {
	host string // "HOST:PORT"
	path string // as it is asked for
	name string // in the folder of downloads
}

// parse takes URLs apart. All of them must be of one server.
func parse(urls []string) (files []file, err error) {
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%q is not a URL: %w", raw, err)
		}
		f := file{host: u.Host, path: u.EscapedPath(), name: path.Base(u.Path)}
		if u.Port() == "" {
			f.host = net.JoinHostPort(u.Hostname(), "443")
		}
		if u.Scheme != "https" || u.Hostname() == "" || f.name == "." || f.name == ".." || f.name == "/" || filepath.Base(f.name) != f.name {
			return nil, fmt.Errorf("%q is not of the form https://HOST:PORT/FILE", raw)
		}
		if len(files) > 0 && files[0].host != f.host {
			return nil, fmt.Errorf("%q is of another server than %q", raw, urls[0])
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, errors.New("REQUESTS names no URL")
	}
	return files, nil
}

// place is which connection of the test case it is.
type place int

const (
	only place = iota
	firstOfTwo
	secondOfTwo
)

// client is a client at work.
type client struct {
	o   *Options
	c   testCase
	cfg *quic.Config

	sessions chan *quic.Session // that the first of two connections was given
	session  *quic.Session      // for the second
}

// fetch downloads files over a connection of its own.
func (cl *client) fetch(ctx context.Context, files []file, p place) error {
	ep, err := cl.o.network().Open()
	if err != nil {
		return err
	}
	defer ep.Close()
	conn, err := cl.dial(ctx, ep, files[0].host, p)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		got  = newProgress(cl.keyUpdater(conn))

		places = make(chan struct{}, maxParallel)
	)
	for _, f := range files {
		places <- struct{}{}
		s, err := conn.OpenStream(ctx) // it waits while the server allows no more
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot ask for %s: %w", f.path, err))
			break
		}
		wg.Go(func() {
			defer func() { <-places }()
			if err := cl.download(s, f, got); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	if err := got.end(); err != nil {
		errs = append(errs, err)
	}
	if err := cl.check(ctx, conn, p); err != nil && len(errs) == 0 {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, conn.Close())...)
}

// download gets one file, which has its name only when it is complete.
func (cl *client) download(s *quicnet.Stream, f file, got *progress) error {
	started := false
	err := cl.write(f, func(out io.Writer) error {
		started = true
		_, err := hq.Get(s, f.path, io.MultiWriter(out, got))
		return err
	})
	if !started {
		s.Abort(0)
	}
	return err
}
