package http3

import (
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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// autoWorld is an AutoTransport with both of its sides: http.Transport over pipes to an http.Server, and a fake of HTTP/3, whose
// connections come and fail as a test wants. It runs in a bubble of testing/synctest.
type autoWorld struct {
	t      *testing.T
	auto   *AutoTransport
	client *http.Client
	server *http.Server
	tcp    chan net.Conn
	h3     *fakeH3

	mu        sync.Mutex
	log       []string       // what servers got, "PROTO PATH"
	bodies    map[string]int // how often a body came, whole or in part, by path
	dialDelay time.Duration
	dialErr   error
	tcpDials  int
	header    http.Header // of all responses
	status    int         // of responses over HTTP/3; 0: 200
}

// autoCert is a certificate for the names in the tests.
var autoCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"example.com", "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<34, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func autoRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(autoCert().Leaf)
	return pool
}

// newAutoWorld makes a world whose TCP server speaks HTTP/2 or HTTP/1.1.
func newAutoWorld(t *testing.T, http2 bool) *autoWorld {
	w := &autoWorld{t: t, tcp: make(chan net.Conn), bodies: make(map[string]int), header: http.Header{}}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	w.server = &http.Server{
		Handler: w, Protocols: protocols, TLSConfig: &tls.Config{Certificates: []tls.Certificate{autoCert()}},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := make(chan struct{})
	go func() {
		w.server.ServeTLS(pipeListener{w.tcp, make(chan struct{}), new(sync.Once)}, "", "")
		close(served)
	}()
	tcp := &http.Transport{
		DialContext: w.dial, Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: autoRoots()},
	}
	w.h3 = &fakeH3{w: w, live: make(map[string]bool), begun: make(map[string]chan struct{})}
	w.auto = &AutoTransport{TCP: tcp, h3: w.h3, DisableHTTPSRecords: true, network: networkWatch{look: func() string { return "net" }}}
	w.client = &http.Client{Transport: w.auto}
	t.Cleanup(func() {
		w.auto.CloseIdleConnections()
		w.server.Close()
		<-served
		time.Sleep(2 * time.Hour) // until all that was begun has ended
	})
	return w
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (w *autoWorld) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.tcpDials++
	delay, err := w.dialDelay, w.dialErr
	w.mu.Unlock()
	if !pause(ctx, nil, delay) {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	client, server := net.Pipe()
	w.tcp <- server
	return client, nil
}

// set changes the world while requests are under way.
func (w *autoWorld) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// ServeHTTP serves what comes over TCP, and over the fake of HTTP/3.
func (w *autoWorld) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	first := make([]byte, 1)
	n, _ := r.Body.Read(first)
	w.mu.Lock()
	w.log = append(w.log, r.Proto+" "+r.URL.Path)
	if n > 0 {
		w.bodies[r.URL.Path]++
	}
	for name, values := range w.header {
		rw.Header()[name] = values
	}
	w.mu.Unlock()
	io.Copy(io.Discard, r.Body)
	fmt.Fprint(rw, r.Proto)
}

// get sends a request and returns the protocol that it went over, or the error.
func (w *autoWorld) get(path string) string { return w.do("GET", path, nil, nil) }

func (w *autoWorld) do(method, path string, body io.Reader, header http.Header) string {
	url := path
	if strings.HasPrefix(path, "/") {
		url = "https://example.com" + path
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	return w.send(req)
}

// send sends a request, as get does.
func (w *autoWorld) send(req *http.Request) string {
	resp, err := w.client.Do(req)
	if err != nil {
		return "error: " + err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "error: " + err.Error()
	}
	if resp.StatusCode != 200 {
		return resp.Status
	}
	return string(text)
}

// timed returns what a request took, and how it went.
func (w *autoWorld) timed(path string) (time.Duration, string) {
	began := time.Now()
	how := w.get(path)
	return time.Since(began), how
}

// fakeH3 is h3Side without QUIC: its requests go to the world's handler.
type fakeH3 struct {
	w *autoWorld

	// Guarded by w.mu.
	delay    time.Duration
	early    time.Duration // that early data is taken before the connection is there; 0: none is
	err      error         // of connecting
	send     error         // of requests: nothing was sent if it is errNoConn
	live     map[string]bool
	begun    map[string]chan struct{} // connections that take early data, closed when that is over
	dialled  []string                 // addresses of dials
	used     []string                 // Alt-Used of requests
	requests int
}

func (f *fakeH3) where(r *route) string {
	if r.addrs == nil {
		return r.origin
	}
	return strings.Join(r.addrs, ",")
}

func (f *fakeH3) connect(ctx context.Context, r *route, early func()) error {
	f.w.mu.Lock()
	f.dialled = append(f.dialled, f.where(r))
	delay, earlyFor, err := f.delay, f.early, f.err
	f.w.mu.Unlock()
	if !pause(ctx, nil, delay) {
		return ctx.Err()
	}
	if earlyFor > 0 {
		over := make(chan struct{})
		defer close(over)
		defer f.w.set(func() { delete(f.begun, f.where(r)) })
		f.w.set(func() { f.begun[f.where(r)] = over })
		early()
		if !pause(ctx, nil, earlyFor) {
			return ctx.Err()
		}
	}
	if err == nil {
		f.w.set(func() { f.live[f.where(r)] = true })
	}
	return err
}

// pause waits, and tells whether it was for all of the time.
func pause(ctx context.Context, cancel <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
	case <-cancel:
	}
	return false
}

func (f *fakeH3) connected(r *route) bool {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.live[f.where(r)]
}

func (f *fakeH3) roundTripOn(req *http.Request, r *route) (*http.Response, bool, error) {
	f.w.mu.Lock()
	live, send, status, begun, failed := f.live[f.where(r)], f.send, f.w.status, f.begun[f.where(r)], f.err
	f.used = append(f.used, r.altUsed)
	f.w.mu.Unlock()
	if live || !mayBeEarly(req) {
		begun = nil
	}
	if err := requestEnded(req.Context(), req); err != nil {
		return nil, false, err
	}
	if !live && begun == nil || send == errNoConn {
		return nil, false, errNoConn
	}
	f.w.set(func() { f.requests++ })
	if begun != nil && failed != nil { // what was sent goes nowhere
		if err := f.await(begun, req); err != nil {
			return nil, true, err
		}
		return nil, true, &noOtherConnError{failed}
	}
	if send != nil {
		f.w.set(func() { f.live[f.where(r)] = false })
		if req.Body != nil {
			io.Copy(io.Discard, req.Body)
			req.Body.Close()
		}
		return nil, true, send
	}
	in := req.Clone(req.Context())
	in.Proto, in.ProtoMajor = "HTTP/3.0", 3
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := &recorded{header: http.Header{}}
	f.w.ServeHTTP(rec, in)
	in.Body.Close()
	if begun != nil { // the server answers as soon as it can
		if err := f.await(begun, req); err != nil {
			return nil, true, err
		}
	}
	if r.verdict != nil {
		r.verdict(works, time.Time{}) // it is there whole
	}
	if status == 0 {
		status = 200
	}
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/3.0", ProtoMajor: 3, Header: rec.header, Request: req,
		Body: io.NopCloser(strings.NewReader(rec.body.String())), TLS: &tls.ConnectionState{HandshakeComplete: true},
	}, true, nil
}

// await waits until a connection takes no early data any more, unless the request ends before.
func (f *fakeH3) await(begun chan struct{}, req *http.Request) error {
	select {
	case <-begun:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	case <-req.Cancel:
		return errRequestCanceled
	}
}

func (f *fakeH3) CloseIdleConnections() {}

// recorded is a response of the fake.
type recorded struct {
	header http.Header
	body   strings.Builder
}

func (r *recorded) Header() http.Header         { return r.header }
func (r *recorded) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorded) WriteHeader(int)             {}

var errBlackHole = errors.New("no answer")

func (f *fakeH3) dials() []string {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return slices.Clone(f.dialled)
}

func (f *fakeH3) altUsed() []string {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return slices.Clone(f.used)
}

func (w *autoWorld) dials() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tcpDials
}

func (w *autoWorld) served() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}
