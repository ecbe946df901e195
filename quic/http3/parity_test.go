package http3_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// mode is a version of HTTP that the table runs over: those of the standard library, where the truth is known, and ours.
type mode string

const (
	h1 mode = "h1"
	h2 mode = "h2"
	h3 mode = "h3"
)

// modes are all that a row runs over unless it says otherwise.
var modes = []mode{h1, h2, h3}

// A row is one behaviour of net/http. It runs in a bubble of testing/synctest for each mode.
type row struct {
	id   string // of the requirement: S41 is TestParity/S41/h3
	what string
	only []mode // nil: all; that a row leaves one out is told by why
	why  string
	run  func(w *world)
}

// A difference is what a mode does otherwise than the row's check has it, and why that is right.
type difference struct {
	row   string
	mode  mode
	what  string // the check's name
	value string // what the mode gives, as the check prints it
	why   string // the sentence of an RFC, or the document of net/http, that it rests on
	of    string // versions of Go
}

// applies tells whether d is of the version of Go that runs.
func (d *difference) applies() bool { return d.of == "" || (d.of == since127) == isGo127 }

var (
	metMu sync.Mutex
	met   = make(map[*difference]bool)
)

// TestParity runs the table. A check that fails where no difference is listed is a failure, and so is a difference that is listed and
// is none any more.
func TestParity(t *testing.T) {
	rows := allRows()
	ran := make(map[string]bool)
	for i := range rows {
		r := &rows[i]
		if ran[r.id] {
			t.Fatalf("two rows are called %s", r.id)
		}
		ran[r.id] = true
		if r.only != nil && r.why == "" {
			t.Errorf("row %s leaves modes out and does not say why", r.id)
		}
		t.Run(r.id, func(t *testing.T) {
			for _, m := range modes {
				if r.only != nil && !slices.Contains(r.only, m) {
					continue
				}
				t.Run(string(m), func(t *testing.T) {
					runRow(t, r, m)
					ran[r.id+"/"+string(m)] = !t.Failed()
				})
			}
		})
	}
	for i := range differences {
		d := &differences[i]
		if !d.applies() {
			continue
		}
		if !ran[d.row] {
			t.Errorf("a difference is listed for row %s, and there is none", d.row)
		}
		if ran[d.row+"/"+string(d.mode)] && !met[d] {
			t.Errorf("row %s checks nothing called %q over %s, for which a difference is listed", d.row, d.what, d.mode)
		}
		if d.why == "" {
			t.Errorf("the difference %q of row %s over %s has no reason", d.what, d.row, d.mode)
		}
	}
}

func allRows() []row {
	return slices.Concat(serverRows, serverWireRows, serverLimitRows, serverLifeRows, serverRawRows, clientRawRows, clientRows, clientConnRows, clientWireRows, skippedRows, versionRows)
}

func runRow(t *testing.T, r *row, m mode) {
	defer func() {
		if p := recover(); p != nil { // of synctest: somebody waits for ever
			t.Errorf("%v", p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, row: r, mode: m, net: newNetwork(), servers: new(byte)}
		t.Cleanup(func() { time.Sleep(time.Minute) }) // the last: what is being closed takes its time, what is left is a leak
		r.run(w)
	})
}

// world is where one row runs over one mode: a network, with the servers and clients that the row wants.
type world struct {
	*testing.T
	row     *row
	mode    mode
	net     *network
	servers *byte
}

// as is w for another mode: a row's server may be a client of servers of other versions.
func (w *world) as(m mode) *world {
	other := *w
	other.mode = m
	return &other
}

// check compares what was seen with what the row wants, or with what the list of differences says of the mode.
func (w *world) check(what string, got, want any) {
	w.Helper()
	saw, wanted := fmt.Sprint(got), fmt.Sprint(want)
	metMu.Lock()
	defer metMu.Unlock()
	for i := range differences {
		d := &differences[i]
		if d.row != w.row.id || d.mode != w.mode || d.what != what || !d.applies() {
			continue
		}
		met[d] = true
		if d.value == wanted {
			w.Errorf("%s: what is listed as a difference, %q, is what the row wants", what, wanted)
		}
		if saw == wanted {
			w.Errorf("%s: %q as over the other protocols, but it is listed to be %q", what, saw, d.value)
			return
		}
		wanted = d.value
	}
	if saw != wanted {
		w.Errorf("%s: got %q, want %q", what, saw, wanted)
	}
}

// ok ends the row if err is not nil.
func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// settle lets everything go on until all are waiting for something later than the network.
func (w *world) settle() {
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
}

// server is one that runs, as its clients see it.
type server struct {
	w      *world
	url    string // https://a.test
	name   string // a.test:443
	addr   netip.AddrPort
	http   *http.Server
	log    *logged
	served chan error // what Serve returned
	limit  int        // of requests at once on a connection; 0: the default
	h3     h3Server

	// Of raw ones for HTTP/3.
	alpn          string
	settings      []byte
	settingsAfter time.Duration
}

// serve runs a server of the row's mode until the row ends.
func (w *world) serve(h http.HandlerFunc, opts ...func(*http.Server)) *server {
	var handler http.Handler
	if h != nil {
		handler = h
	}
	return w.serveHandler(handler, opts...)
}

func (w *world) serveHandler(h http.Handler, opts ...func(*http.Server)) *server {
	s := w.newServer()
	if h != nil {
		s.http.Handler = afterwards(h)
	}
	for _, o := range opts {
		o(s.http)
	}
	s.start()
	return s
}

// afterwards is h that returns a little later if its client has gone: as long as the network takes, which has no delay for streams. Else the end of
// the response would come at the very time when the client gives up, perhaps between two steps of that: an HTTP/1.1 connection over TLS says
// good-bye before it is closed, and a client that reads meanwhile would find a body that is complete.
func afterwards(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(rw, r)
		if r.Context().Err() != nil {
			time.Sleep(latency)
		}
	})
}

// serveAlias has further names lead to s. It returns the first one, without its port.
func (w *world) serveAlias(s *server, names ...string) string {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	for _, name := range names {
		w.net.names[name] = s.name
	}
	return strings.TrimSuffix(names[0], ":443")
}

func (w *world) newServer() *server {
	host := string('a'+rune(*w.servers)) + ".test"
	s := &server{w: w, url: "https://" + host, name: host + ":443", addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, *w.servers + 1}), 443)}
	*w.servers++
	s.log = new(logged)
	cert, _ := pki()
	s.http = &http.Server{ErrorLog: log.New(s.log, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	return s
}

func (s *server) start() {
	s.served = make(chan error, 1)
	w := s.w
	if w.mode == h3 {
		s.startH3()
		return
	}
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(w.mode == h1)
	s.http.Protocols.SetHTTP2(w.mode == h2)
	if s.limit > 0 {
		s.http.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: s.limit}
	}
	l := w.net.listen(s.name, s.addr)
	go func() { s.served <- s.http.ServeTLS(l, "", "") }()
	w.Cleanup(func() { s.http.Close() })
}

// Shutdown and Close are the server's own, of http.Server or ours.
func (s *server) Shutdown(ctx context.Context) error {
	if s.w.mode == h3 {
		return s.h3.Shutdown(ctx)
	}
	return s.http.Shutdown(ctx)
}

func (s *server) Close() error {
	if s.w.mode == h3 {
		return s.h3.Close()
	}
	return s.http.Close()
}

// crash ends s without a word to its clients, as far as what is below allows that.
func (w *world) crash(s *server) {
	if w.mode == h3 {
		s.crashH3()
		return
	}
	s.http.Close()
	w.settle() // TCP tells the clients
}

// onShutdown has f be called when the server shuts down.
func (s *server) onShutdown(f func()) {
	if s.w.mode == h3 {
		s.h3.serverFor(s).RegisterOnShutdown(f)
		return
	}
	s.http.RegisterOnShutdown(f)
}

// logged is what a server wrote to its ErrorLog.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// clientOptions are the fields that http.Transport and ours have in common, as far as rows set them.
type clientOptions struct {
	disableCompression, disableKeepAlives              bool
	maxConnsPerHost, maxIdleConns, maxIdleConnsPerHost int
	responseHeaderTimeout, expectContinueTimeout       time.Duration
	idleConnTimeout                                    time.Duration
	maxResponseHeaderBytes                             int64
	tls                                                func(*tls.Config)
	onDial                                             func(context.Context) error // before each dial; its error is the dial's
}

// client is one of the row's mode.
type client struct {
	*http.Client
	w     *world
	rt    http.RoundTripper
	dials func() int
	h3    h3Client
}

func (w *world) client(opts ...func(*clientOptions)) *client {
	o := new(clientOptions)
	for _, f := range opts {
		f(o)
	}
	_, roots := pki()
	cfg := &tls.Config{RootCAs: roots}
	if o.tls != nil {
		o.tls(cfg)
	}
	var mu sync.Mutex
	dials := 0
	onDial := func(ctx context.Context) error {
		mu.Lock()
		dials++
		mu.Unlock()
		if o.onDial != nil {
			return o.onDial(ctx)
		}
		return nil
	}
	c := &client{w: w, dials: func() int {
		mu.Lock()
		defer mu.Unlock()
		return dials
	}}
	if w.mode == h3 {
		c.startH3(o, cfg, onDial)
	} else {
		tr := &http.Transport{
			DisableCompression: o.disableCompression, DisableKeepAlives: o.disableKeepAlives,
			MaxConnsPerHost: o.maxConnsPerHost, MaxIdleConns: o.maxIdleConns, MaxIdleConnsPerHost: o.maxIdleConnsPerHost,
			ResponseHeaderTimeout: o.responseHeaderTimeout, ExpectContinueTimeout: o.expectContinueTimeout,
			IdleConnTimeout: o.idleConnTimeout, MaxResponseHeaderBytes: o.maxResponseHeaderBytes,
			TLSClientConfig: cfg, Protocols: new(http.Protocols),
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				if err := onDial(ctx); err != nil {
					return nil, err
				}
				return w.net.dial(ctx, addr)
			},
		}
		tr.Protocols.SetHTTP1(w.mode == h1)
		tr.Protocols.SetHTTP2(w.mode == h2)
		c.rt = tr
		w.Cleanup(tr.CloseIdleConnections)
	}
	c.Client = &http.Client{Transport: c.rt}
	return c
}

// do sends a request and ends the row if there is no response.
func (c *client) do(method, url string, body io.Reader, edit ...func(*http.Request)) *http.Response {
	c.w.Helper()
	req := c.request(method, url, body, edit...)
	resp, err := c.Do(req)
	if err != nil {
		c.w.Fatalf("%s %s: %v", method, url, err)
	}
	return resp
}

func (c *client) request(method, url string, body io.Reader, edit ...func(*http.Request)) *http.Request {
	c.w.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		c.w.Fatal(err)
	}
	for _, f := range edit {
		f(req)
	}
	return req
}

// get is do and all of the body.
func (c *client) get(url string, edit ...func(*http.Request)) (*http.Response, string) {
	c.w.Helper()
	resp := c.do("GET", url, nil, edit...)
	body, err := readAll(resp)
	if err != nil {
		c.w.Fatalf("the body of %s: %v", url, err)
	}
	return resp, body
}

func readAll(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// kind says what sort of error err is, as programs tell them apart.
func kind(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return "nil"
	case err == io.EOF:
		return "EOF"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "context deadline"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "deadline"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected EOF"
	}
	return "error"
}

// failed says only whether.
func failed(err error) string {
	if err != nil {
		return "error"
	}
	return "nil"
}

// pki is a certificate for all hosts of the rows, and the roots that trust it.
var pki = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "table of behaviours"},
		DNSNames:     []string{"*.test", "*.xn--bcher-kva.test", "localhost"},
		IPAddresses:  []net.IP{net.IPv4(192, 0, 2, 1)},
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), // in bubbles it is the year 2000
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
})

// randomText is n bytes that compress badly enough.
func someText(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }
