package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/boringquic/boringquic/cmd/internal/site"
	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/cmd/internal/webroot"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
)

// website is what is served over HTTP: files, or what another server says, with a line in the log for each request.
type website struct {
	handler http.Handler
	files   *webroot.Root // for HTTP/0.9; nil: none
	close   func()
	what    string // for people
}

// newWebsite makes what the options say.
func newWebsite(ctx context.Context, o *options, log *logger) (*website, error) {
	if o.proxy != "" {
		to, err := proxyURL(o.proxy)
		if err != nil {
			return nil, usage.Error(err)
		}
		warnUnreachable(ctx, to, log)
		return &website{handler: logged(newProxy(to, log), log), close: func() {}, what: "what " + to.String() + " says"}, nil
	}
	root, err := webroot.Open(o.root, o.withheld)
	if err != nil {
		return nil, fmt.Errorf("cannot serve %s: %w", o.root, err)
	}
	files := site.New(root, site.Options{Server: "quic-server of boringquic", Describe: describe})
	return &website{logged(files, log), root, func() { root.Close() }, o.root}, nil
}

// withheld returns the secrets that the server was given: who serves the folder where they lie does not mean them. What is under their names is looked up
// each time, since keys are replaced.
func (o *options) withheld() (secrets []fs.FileInfo) {
	names := []string{o.key, o.resetKey, o.tokenKey, o.ticketKeys, os.Getenv("SSLKEYLOGFILE")}
	if o.lb != nil {
		names = append(names, o.lb.keyFile)
	}
	if strings.HasPrefix(o.quicLB, "@") {
		if lb, err := readLB(o.quicLB); err == nil { // it may name another since
			names = append(names, lb.keyFile)
		}
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		if secret, err := os.Stat(name); err == nil {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

// proxyURL reads --proxy.
func proxyURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("--proxy %q is not a URL like http://HOST:PORT or https://HOST:PORT/PATH", text)
	}
	return u, nil
}

// warnUnreachable says at the start that nobody listens where requests are to go: it may come later.
func warnUnreachable(ctx context.Context, to *url.URL, log *logger) {
	addr := to.Host
	if to.Port() == "" {
		addr = net.JoinHostPort(to.Hostname(), to.Scheme)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		log.say("quic-server: %s: requests are answered 502 (Bad Gateway) until it can be reached", unreachable(to, err))
		return
	}
	conn.Close()
}

// unreachable says why a server cannot be reached.
func unreachable(to *url.URL, err error) string {
	var dns *net.DNSError
	why := err.Error()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nobody listens there"
	case errors.As(err, &dns):
		why = "its name is not known"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		why = "it does not answer"
	}
	return fmt.Sprintf("cannot reach --proxy %s: %s", to, why)
}

// altSvc is the field of ours that a response is to have, in the context of its request: httputil clears all fields behind an interim response.
type altSvc struct{}

// newProxy hands requests on to another server, and its answers back, as they come. Alt-Svc of the other server stays behind: it tells of ports that
// ours has not (RFC 7838, section 3).
func newProxy(to *url.URL, log *logger) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: withoutAltSvc{http.DefaultTransport},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			if http3.EarlyData(r.In) {
				r.Out.Header.Set("Early-Data", "1") // RFC 8470, section 5.1
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode < 100 || resp.StatusCode > 999 { // which net/http takes from a server, and not from a handler
				return fmt.Errorf("its status is %q", resp.Status)
			}
			tellAltSvc(resp.Header, resp.Request)
			return nil
		},
		FlushInterval: -1,
		ErrorLog:      stdlog.New(lineWriter{log}, "quic-server: ", 0),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // the client has given up
			}
			said, told := unanswered(to, err)
			log.say("quic-server: %s", said)
			tellAltSvc(w.Header(), r)
			http.Error(w, "502 Bad Gateway: the server behind this one "+told, http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := w.Header()["Alt-Svc"]
		w.Header().Del("Alt-Svc")
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), altSvc{}, own)))
	})
}

// tellAltSvc puts our field into a response.
func tellAltSvc(h http.Header, r *http.Request) {
	if own, _ := r.Context().Value(altSvc{}).([]string); own != nil {
		h["Alt-Svc"] = own
	}
}

// withoutAltSvc drops Alt-Svc from what a server answers, interim responses too.
type withoutAltSvc struct{ http.RoundTripper }

func (t withoutAltSvc) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		h.Del("Alt-Svc")
		return nil
	}})
	resp, err := t.RoundTripper.RoundTrip(req.WithContext(ctx))
	if err == nil {
		resp.Header.Del("Alt-Svc")
	}
	return resp, err
}

// unanswered says why there is no answer to a request that was to be handed on: to who runs this server, and to who asked.
func unanswered(to *url.URL, err error) (said, told string) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return unreachable(to, err), "cannot be reached."
	}
	return fmt.Sprintf("--proxy %s gives no answer that can be handed on: %v", to, err), "gives no answer that can be handed on."
}

// describe tells over what a request came.
func describe(r *http.Request) []site.Fact {
	facts := site.Describe(r)
	conn := http3.QUICConn(r)
	if conn == nil {
		return append(facts, site.Fact{Label: "HTTP/3", Value: "your browser has been told of it: load the page again"})
	}
	s := conn.Stats()
	version := fmt.Sprintf("%#x", s.Version)
	switch s.Version {
	case quic.Version1:
		version = "1 (RFC 9000)"
	case quic.Version2:
		version = "2 (RFC 9369)"
	}
	early := "no"
	switch {
	case http3.EarlyData(r):
		early = "this request came in it"
	case s.EarlyData == quic.EarlyAccepted:
		early = "accepted"
	case s.EarlyData == quic.EarlyRejected:
		early = "rejected"
	}
	rtt := "not known yet"
	if s.LatestRTT > 0 {
		rtt = fmt.Sprintf("%v, at least %v", s.SmoothedRTT.Round(10*time.Microsecond), s.MinRTT.Round(10*time.Microsecond))
	}
	return append([]site.Fact{{Label: "QUIC version", Value: version}}, append(facts,
		site.Fact{Label: "Early data (0-RTT)", Value: early},
		site.Fact{Label: "Round-trip time", Value: rtt},
		site.Fact{Label: "Largest UDP datagram", Value: humanize.Comma(int64(s.MaxUDPPayload)) + " bytes"},
		site.Fact{Label: "Requests on this connection", Value: humanize.Comma(requestsOf(r))},
	)...)
}

// requestsKey is where the context of a connection keeps how many requests came over it.
type requestsKey struct{}

// countRequests is for http.Server.ConnContext.
func countRequests(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, requestsKey{}, new(atomic.Int64))
}

func requestsOf(r *http.Request) int64 {
	n, _ := r.Context().Value(requestsKey{}).(*atomic.Int64)
	if n == nil {
		return 1
	}
	return n.Load()
}

// logged writes a line for each request, if lines are wanted, and counts.
func logged(next http.Handler, log *logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, _ := r.Context().Value(requestsKey{}).(*atomic.Int64); n != nil {
			n.Add(1)
		}
		if !log.verbose {
			next.ServeHTTP(w, r)
			return
		}
		c := &counter{ResponseWriter: w}
		defer func() {
			early := ""
			if http3.EarlyData(r) {
				early = ", in early data"
			}
			broken := ""
			if v := recover(); v != nil {
				defer panic(v)
				broken = ", then broken off"
			} else if r.Context().Err() != nil {
				broken = ", then the client had enough"
			}
			if c.status < 200 && c.status != http.StatusSwitchingProtocols {
				c.status = http.StatusOK
			}
			log.printf("%s: %s %s %s: %d, %d bytes%s%s", r.RemoteAddr, r.Proto, r.Method, r.URL, c.status, c.bytes, early, broken)
		}()
		next.ServeHTTP(c, r)
	})
}

// counter notes what an answer is.
type counter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counter) WriteHeader(status int) {
	if c.status < 200 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counter) Write(p []byte) (int, error) {
	if c.status < 200 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Hijack is for a WebSocket, say, that goes through over HTTP/1.1: its answer is written without us.
func (c *counter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err == nil {
		c.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// ReadFrom keeps the quick way of a file.
func (c *counter) ReadFrom(r io.Reader) (int64, error) {
	if c.status < 200 {
		c.status = http.StatusOK
	}
	n, err := io.Copy(c.ResponseWriter, r)
	c.bytes += n
	return n, err
}

// lineWriter hands the lines of a log.Logger on.
type lineWriter struct{ log *logger }

func (w lineWriter) Write(p []byte) (int, error) {
	w.log.say("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
