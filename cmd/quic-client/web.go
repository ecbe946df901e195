package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/progress"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// web does what is wanted by HTTP.
type web struct {
	o              *options
	client         *http.Client
	alternatives   *http3.AltSvcFile // nil: none
	stdout, stderr io.Writer
	printing       sync.Mutex // guards stdout and stderr while several requests are under way
	timings        []*timing
	bar            *progress.Bar

	form     sync.Once // reads --data
	formData []byte
	formErr  error

	conns  connections
	during atomic.Pointer[during] // of the server at hand; nil: there is no connection yet
}

func newWeb(cfg *quic.Config, o *options, stdout, stderr io.Writer) (*web, error) {
	w := &web{o: o, stdout: stdout, stderr: stderr, bar: new(progress.Bar)}
	w.client = &http.Client{CheckRedirect: w.redirect}
	switch o.httpVersion {
	case overHTTP3:
		w.client.Transport = w.newHTTP3(cfg)
	case overAny:
		auto := &http3.AutoTransport{TCP: w.newTCP(cfg.TLS), HTTP3: w.newHTTP3(cfg)}
		if o.altSvc != "" {
			file, err := openAltSvc(o.altSvc)
			if err != nil {
				return nil, err
			}
			w.alternatives, auto.Alternatives = file, file
		}
		w.client.Transport = auto
	default:
		w.client.Transport = w.newTCP(cfg.TLS)
	}
	return w, nil
}

func openAltSvc(name string) (*http3.AltSvcFile, error) {
	file, err := http3.NewAltSvcFile(name)
	if err != nil {
		return nil, fmt.Errorf("--alt-svc: %w", err)
	}
	return file, nil
}

// newHTTP3 has one connection to a server, whatever is asked of it.
func (w *web) newHTTP3(cfg *quic.Config) *http3.Transport {
	own := *cfg
	own.TLS = nil
	t := &http3.Transport{TLSClientConfig: cfg.TLS, QUIC: &own, EarlyData: w.o.early, MaxConnsPerHost: 1, DisableCompression: !w.o.compressed}
	if w.o.local != "" {
		t.Dial = w.dialFrom
	}
	return t
}

// newTCP is for HTTP/1.1 and HTTP/2.
func (w *web) newTCP(conf *tls.Config) *http.Transport {
	conf = conf.Clone()
	conf.ClientSessionCache = nil // that of --session is for QUIC
	protocols := new(http.Protocols)
	protocols.SetHTTP1(w.o.httpVersion != overHTTP2)
	protocols.SetHTTP2(w.o.httpVersion != overHTTP1)
	return &http.Transport{
		TLSClientConfig: conf, Protocols: protocols, TLSHandshakeTimeout: w.o.timeout, DisableCompression: !w.o.compressed,
		DialContext: (&net.Dialer{Timeout: w.o.timeout}).DialContext, MaxIdleConnsPerHost: w.o.parallel, MaxConnsPerHost: w.o.parallel,
	}
}

// dialFrom opens the socket of --local.
func (w *web) dialFrom(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, nil, err
	}
	local, err := net.ResolveUDPAddr("udp", w.o.local)
	if err != nil {
		return nil, nil, err
	}
	to := ips[0].Unmap()
	for _, ip := range ips {
		if from, ok := netip.AddrFromSlice(local.IP); ok && ip.Unmap().Is4() == from.Unmap().Is4() {
			to = ip.Unmap()
			break
		}
	}
	conn, err := net.ListenUDP("udp", local)
	if err != nil {
		return nil, nil, err
	}
	return conn, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, uint16(port))), nil
}

// maxRedirects is how many --location follows.
const maxRedirects = 10

func (w *web) redirect(_ *http.Request, via []*http.Request) error {
	switch {
	case !w.o.follow:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

func (w *web) close() {
	w.client.CloseIdleConnections()
	if w.alternatives != nil {
		if err := w.alternatives.Err(); err != nil {
			fmt.Fprintln(w.stderr, "quic-client:", err)
		}
	}
}

// fetch does all jobs of all servers.
func (w *web) fetch(ctx context.Context, servers []*server) error {
	jobs := 0
	for _, s := range servers {
		jobs += len(s.jobs)
	}
	w.bar = progress.New(w.stderr, describe(servers), w.o.expectSize, w.o.quiet)
	defer w.bar.Done()
	sizes := &sizes{bar: w.bar, left: jobs, guess: w.o.expectSize}
	var errs []error
	for _, s := range servers {
		err := w.fetchFrom(ctx, s, sizes)
		errs = append(errs, err)
	}
	if w.o.timing {
		w.bar.Done()
		printTimings(w.stderr, w.timings)
	}
	return errors.Join(errs...)
}

// fetchFrom does all jobs of one server.
func (w *web) fetchFrom(ctx context.Context, s *server, sizes *sizes) error {
	w.during.Store(nil)
	began := time.Now()
	var bytes atomic.Int64
	errs := eachJob(len(s.jobs), w.o.places(s), func(i int) error {
		n, err := w.do(ctx, &s.jobs[i], sizes)
		bytes.Add(n)
		return err
	})
	done := len(s.jobs) - len(errs)
	errs = once(errs)
	updates := 0
	if d := w.during.Load(); d != nil {
		errs = append(errs, d.end(&updates))
	}
	reports, err := w.conns.end(ctx)
	if err != nil {
		return err // which is why each of the jobs failed
	}
	if len(reports) > 0 {
		reports[0].files, reports[0].bytes, reports[0].transfer, reports[0].updates = done, bytes.Load(), time.Since(began), updates
	}
	if w.o.stats {
		w.bar.Done()
		for _, r := range reports {
			r.print(w.stderr)
		}
	}
	return errors.Join(errs...)
}

// once leaves errors out that say the same as another.
func once(errs []error) (out []error) {
	said := make(map[string]bool)
	for _, err := range errs {
		if !said[err.Error()] {
			said[err.Error()] = true
			out = append(out, err)
		}
	}
	return out
}

// do makes one request and deals with its answer. It returns how many bytes of contents came.
func (w *web) do(ctx context.Context, j *job, sizes *sizes) (n int64, err error) {
	known := false
	defer func() {
		if !known {
			sizes.add(-1)
		}
	}()
	req, err := w.request(j)
	if err != nil {
		return 0, err
	}
	if req.ContentLength > 0 {
		known = true
		sizes.add(req.ContentLength)
	}
	t := w.newTiming(j.url.String())
	resp, err := w.client.Do(req.WithContext(t.trace(ctx, w)))
	if err != nil {
		return 0, t.explain(req, err)
	}
	defer resp.Body.Close()
	t.answered(resp)
	if !known {
		known = true
		sizes.add(resp.ContentLength)
	}
	n, err = w.answer(resp, j)
	t.end()
	return n, err
}

// moved counts contents that came or went.
func (w *web) moved(p []byte) {
	w.bar.Add(len(p))
	if d := w.during.Load(); d != nil {
		d.Write(p)
	}
}

// sizes adds up what jobs bring, for the progress bar, which shows a total as soon as all of them have said how much.
type sizes struct {
	bar   *progress.Bar
	guess int64 // --expect-size

	mu    sync.Mutex // guards what follows
	left  int        // jobs that have not said
	total int64      // -1: not all know
}

func (s *sizes) add(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; n < 0 || s.total < 0 {
		s.total = -1
	} else {
		s.total += n
	}
	if s.left == 0 && s.total > 0 && s.guess == 0 {
		s.bar.Expect(s.total)
	}
}

// connections are those of QUIC that requests went over.
type connections struct {
	mu  sync.Mutex // guards what follows
	all []*connection
}

type connection struct {
	*report
	conn   *quicnet.Conn
	shaken chan error
}

// add notes a connection, if it is not known yet, which was begun at that time.
func (c *connections) add(ctx context.Context, conn *quicnet.Conn, host string, began time.Time) (added bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.all {
		if known.conn == conn {
			return false
		}
	}
	n := &connection{&report{server: host}, conn, make(chan error, 1)}
	c.all = append(c.all, n)
	go func() {
		err := conn.Handshake(ctx)
		n.handshake = time.Since(began)
		n.shaken <- err
	}()
	return true
}

// end closes the connections and returns what there is to tell of them. Sessions are stored when it returns. The error says that there was
// none, after all.
func (c *connections) end(ctx context.Context) (reports []*report, err error) {
	c.mu.Lock()
	all := c.all
	c.all = nil
	c.mu.Unlock()
	var errs []error
	for _, n := range all {
		err := <-n.shaken
		if err == nil {
			n.tls, n.stats = n.conn.ConnectionState(), n.conn.Stats()
		}
		n.conn.CloseWithError(uint64(h3.ErrCodeNoError), "")
		if err != nil {
			errs = append(errs, errConn{fmt.Errorf("no connection to %s: %w", n.server, err)})
			continue
		}
		reports = append(reports, n.report)
	}
	return reports, errors.Join(errs...)
}

// explain makes a sentence of an error of http.Client.
func (t *timing) explain(req *http.Request, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if asked, connected := t.connection(); asked && !connected {
		if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "http3: dial ") {
			err = inner
		}
		return errConn{fmt.Errorf("no connection to %s: %w", hostPort(req.URL), err)}
	}
	return fmt.Errorf("%s %s: %w", req.Method, t.url, err)
}
