package http3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic/quicnet"
)

// allServer serves all versions at a port of the loopback interface.
type allServer struct {
	*Server
	port  int
	ended chan error
}

// startAll serves h. change may change the server before.
func startAll(t *testing.T, h http.Handler, change func(*Server)) *allServer {
	l, pc, err := ListenAll("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startAllAt(t, l, pc, h, change)
}

func startAllAt(t *testing.T, l net.Listener, pc net.PacketConn, h http.Handler, change func(*Server)) *allServer {
	s := &allServer{port: l.Addr().(*net.TCPAddr).Port, ended: make(chan error, 1), Server: &Server{HTTP: &http.Server{
		Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{autoCert()}}, ErrorLog: log.New(io.Discard, "", 0)}}}
	if change != nil {
		change(s.Server)
	}
	go func() { s.ended <- s.ServeAll(l, pc, "", "") }()
	t.Cleanup(func() {
		s.CloseAll()
		<-s.ended
	})
	return s
}

// newAuto returns a client for the servers of these tests.
func newAuto(t *testing.T) (*http.Client, *AutoTransport) {
	auto := &AutoTransport{
		TCP:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}, ForceAttemptHTTP2: true},
		network: networkWatch{look: func() string { return "net" }},
	}
	t.Cleanup(auto.CloseIdleConnections)
	return &http.Client{Transport: auto}, auto
}

// proto is what a handler answers.
func proto(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, r.Proto, " ", r.Header.Get("Alt-Used"))
}

// fetchAll sends a GET and returns the answer, or the error.
func fetchAll(t *testing.T, c *http.Client, port int) string {
	resp, err := c.Get(fmt.Sprintf("https://localhost:%d/", port))
	if err != nil {
		return "error: " + err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(text)
}

// The first request goes over HTTP/2, whose response has the following ones go over HTTP/3, until HTTP/3 ends.
func TestServeAll(t *testing.T) {
	s := startAll(t, http.HandlerFunc(proto), nil)
	c, _ := newAuto(t)
	wantHow(t, "the first request", fetchAll(t, c, s.port), "HTTP/2.0 ")
	want := fmt.Sprintf("HTTP/3.0 localhost:%d", s.port)
	for range 3 {
		wantHow(t, "the next", fetchAll(t, c, s.port), want)
	}
	if err := s.Close(); err != nil { // HTTP/3 alone
		t.Error(err)
	}
	wantHow(t, "without HTTP/3", fetchAll(t, c, s.port), "HTTP/2.0 ")
	resp, err := c.Get(fmt.Sprintf("https://localhost:%d/", s.port))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if v := resp.Header.Values("Alt-Svc"); len(v) > 0 {
		t.Errorf("Alt-Svc is %q, though HTTP/3 is down", v)
	}
	select {
	case err := <-s.ended:
		t.Errorf("serving ended: %v", err)
		s.ended <- err
	default:
	}
}

// A server serves on several pairs of sockets, of which each begins while others serve.
func TestServeAllTwice(t *testing.T) {
	s := startAll(t, http.HandlerFunc(proto), nil)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	var all sync.WaitGroup
	for range 3 {
		l, pc, err := ListenAll("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if err := s.ServeAll(l, pc, "", ""); err != http.ErrServerClosed {
				t.Error(err)
			}
		})
		for _, port := range []int{s.port, l.Addr().(*net.TCPAddr).Port} {
			wantHow(t, "over TCP", fetchAll(t, c, port), "HTTP/2.0 ")
		}
	}
	if n := len(s.Endpoints()); n != 4 {
		t.Errorf("there are %d endpoints, want 4", n)
	}
	s.CloseAll()
	all.Wait()
}

// What Alt-Svc says can be configured.
func TestServeAllAdvertises(t *testing.T) {
	for _, tt := range []struct {
		set  AltSvc
		want string // PORT stands for the server's
	}{
		{AltSvc{}, `h3=":PORT"; ma=86400`},
		{AltSvc{Port: 443, MaxAge: time.Hour}, `h3=":443"; ma=3600`},
		{AltSvc{MaxAge: -1}, ``},
	} {
		s := startAll(t, http.HandlerFunc(proto), func(s *Server) { s.AltSvc = tt.set })
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}}}
		resp, err := c.Get(fmt.Sprintf("https://localhost:%d/", s.port))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Alt-Svc"); got != strings.ReplaceAll(tt.want, "PORT", strconv.Itoa(s.port)) {
			t.Errorf("%+v: %q, want %q", tt.set, got, tt.want)
		}
		c.CloseIdleConnections()
	}
}

// Requests under way are finished by ShutdownAll, over both, and serving returns at once. Afterwards nobody listens.
func TestShutdownAll(t *testing.T) {
	started, release := make(chan string), make(chan struct{})
	s := startAll(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			started <- r.Proto
			<-release
		}
		proto(w, r)
	}), nil)
	c, _ := newAuto(t)
	fetchAll(t, c, s.port)
	over2 := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}, ForceAttemptHTTP2: true}}
	answers := make(chan string, 2)
	for _, c := range []*http.Client{c, over2} {
		go func() {
			resp, err := c.Get(fmt.Sprintf("https://localhost:%d/slow", s.port))
			if err != nil {
				answers <- err.Error()
				return
			}
			text, _ := io.ReadAll(resp.Body)
			answers <- strings.Fields(string(text))[0]
		}()
	}
	if a, b := <-started, <-started; a == b {
		t.Fatalf("both requests are over %s", a)
	}
	done := make(chan error, 1)
	go func() { done <- s.ShutdownAll(t.Context()) }()
	if err := <-s.ended; err != http.ErrServerClosed {
		t.Errorf("serving returned %v", err)
	}
	s.ended <- nil
	close(release)
	if a, b := <-answers, <-answers; a == b || !strings.HasPrefix(a, "HTTP/") || !strings.HasPrefix(b, "HTTP/") {
		t.Errorf("answers: %s, %s", a, b)
	}
	c.CloseIdleConnections()
	over2.CloseIdleConnections()
	if err := <-done; err != nil {
		t.Error(err)
	}
	l, pc, err := ListenAll(fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	pc.Close()
}

// HTTP.Shutdown ends all of it; an end of ctx is told.
func TestServeAllHTTPShutdown(t *testing.T) {
	s := startAll(t, http.HandlerFunc(proto), nil)
	c, _ := newAuto(t)
	fetchAll(t, c, s.port)
	wantHow(t, "before", strings.Fields(fetchAll(t, c, s.port))[0], "HTTP/3.0")
	if err := s.HTTP.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-s.ended; err != http.ErrServerClosed {
		t.Errorf("serving returned %v", err)
	}
	s.ended <- nil
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if how := fetchAll(t, c, s.port); !strings.HasPrefix(how, "error") {
		t.Errorf("after the end: %s", how)
	}
}

// A configuration that a program makes for each client is for all versions too, whichever protocols it names.
func TestServeAllConfigForClient(t *testing.T) {
	for name, protos := range map[string][]string{"none": nil, "those of TCP": {"h2", "http/1.1"}, "all": {"h3", "h2"}} {
		t.Run(name, func(t *testing.T) {
			given := &tls.Config{Certificates: []tls.Certificate{autoCert()}, NextProtos: protos}
			s := startAll(t, http.HandlerFunc(proto), func(s *Server) {
				s.HTTP.TLSConfig = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return given, nil }}
			})
			tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots(), ClientSessionCache: tls.NewLRUClientSessionCache(1)}}
			defer tr.CloseIdleConnections()
			for i := range 2 {
				resp, err := tr.RoundTrip(httptest.NewRequest("GET", fmt.Sprintf("https://localhost:%d/", s.port), nil))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.TLS.NegotiatedProtocol != "h3" || resp.TLS.DidResume != (i == 1) {
					t.Errorf("connection %d speaks %q, resumed: %v", i, resp.TLS.NegotiatedProtocol, resp.TLS.DidResume)
				}
				tr.CloseIdleConnections()
			}
			if !slices.Equal(given.NextProtos, protos) {
				t.Errorf("the program's configuration has become one for %q", given.NextProtos)
			}
		})
	}
}

// certFiles writes the certificate of the tests into files.
func certFiles(t *testing.T) (cert, key string) {
	der, err := x509.MarshalPKCS8PrivateKey(autoCert().PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: autoCert().Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// Port 0 is one that both have; BaseContext tells it.
func TestListenAndServeAll(t *testing.T) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) { testListenAndServeAll(t, shards) })
	}
}

func testListenAndServeAll(t *testing.T, shards int) {
	cert, key := certFiles(t)
	ports := make(chan int, 2)
	s := &Server{ListenConfig: quicnet.ListenConfig{Shards: shards}, HTTP: &http.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(proto), BaseContext: func(l net.Listener) context.Context {
		_, port, _ := net.SplitHostPort(l.Addr().String())
		n, _ := strconv.Atoi(port)
		ports <- n
		return context.Background()
	}}}
	ended := make(chan error, 1)
	go func() { ended <- s.ListenAndServeAll(cert, key) }()
	a, b := <-ports, <-ports
	if a != b || a == 0 {
		t.Fatalf("ports %d and %d", a, b)
	}
	c, _ := newAuto(t)
	for range 2 {
		if how := fetchAll(t, c, a); !strings.HasPrefix(how, "HTTP/") {
			t.Error(how)
		}
	}
	wantHow(t, "the third request", fetchAll(t, c, a), fmt.Sprintf("HTTP/3.0 localhost:%d", a))
	if err := s.CloseAll(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != http.ErrServerClosed {
		t.Errorf("serving returned %v", err)
	}
}

// Errors say in one sentence what was not to be had, and what had been opened is closed.
func TestListenAndServeAllErrors(t *testing.T) {
	cert, key := certFiles(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = ListenAndServeAll(l.Addr().String(), cert, key, nil)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "no TCP listener") {
		t.Error(err)
	}
	if _, _, err := ListenAll(l.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "no TCP listener") {
		t.Error(err)
	}

	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	addr := pc.LocalAddr().String()
	err = ListenAndServeAll(addr, cert, key, nil)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "no UDP socket") {
		t.Error(err)
	}
	if _, _, err := ListenAll(addr); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "no UDP socket") {
		t.Error(err)
	}
	if l, err := net.Listen("tcp", addr); err != nil {
		t.Errorf("the TCP port was not given back: %v", err)
	} else {
		l.Close()
	}

	if err := ListenAndServeAll("127.0.0.1:0", "", "", nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
	if err := ListenAndServeAll("127.0.0.1:0", cert, "/nowhere", nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := ListenAndServeAll("nonsense", cert, key, nil); err == nil || !strings.Contains(err.Error(), "no TCP listener") {
		t.Error(err)
	}
}

// Where the system chooses the port, one that is taken for UDP is not the last.
func TestListenBoth(t *testing.T) {
	for _, tt := range []struct {
		addr  string
		fails int // so often UDP's port is taken
		err   error
		tries int
		ok    bool
	}{
		{"127.0.0.1:0", 0, syscall.EADDRINUSE, 1, true},
		{"127.0.0.1:0", 3, syscall.EADDRINUSE, 4, true},
		{"127.0.0.1:0", 1000, syscall.EADDRINUSE, portTries, false},
		{"127.0.0.1:0", 1, syscall.EACCES, 1, false},
		{"127.0.0.1:", 1, syscall.EADDRINUSE, 2, true},
	} {
		tries := 0
		l, err := listenBoth(tt.addr, func(addr string) error {
			if host, port, _ := net.SplitHostPort(addr); host != "127.0.0.1" || port == "0" || port == "" {
				t.Errorf("UDP at %s", addr)
			}
			if tries++; tries <= tt.fails {
				return tt.err
			}
			return nil
		})
		if tries != tt.tries || (err == nil) != tt.ok || err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%+v: %d tries, %v", tt, tries, err)
		}
		if l != nil {
			l.Close()
		}
	}
}

// A server that has come to its end is not begun again.
func TestServeAllAfterEnd(t *testing.T) {
	cert, key := certFiles(t)
	s := &Server{HTTP: &http.Server{Addr: "127.0.0.1:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{autoCert()}}}}
	if err := s.CloseAll(); err != nil {
		t.Error(err)
	}
	if err := s.ListenAndServeAll(cert, key); err != http.ErrServerClosed {
		t.Error(err)
	}
	l, pc, err := ListenAll("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ServeAll(l, pc, cert, key); err != http.ErrServerClosed {
		t.Error(err)
	}
	if l, pc, err = ListenAll(l.Addr().String()); err != nil { // they were closed
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(pc); err != http.ErrServerClosed {
		t.Error(err)
	}
	if _, err := pc.WriteTo([]byte{0}, pc.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is open: %v", err)
	}
}

// A listener that fails ends serving, with its error, and the other one is closed.
func TestServeAllListenerFails(t *testing.T) {
	for _, which := range []string{"tcp", "udp"} {
		l, pc, err := ListenAll("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := startAllAt(t, l, pc, http.HandlerFunc(proto), nil)
		c, _ := newAuto(t)
		wantHow(t, "at first", fetchAll(t, c, s.port), "HTTP/2.0 ")
		if which == "tcp" {
			l.Close()
		} else {
			s.Endpoints()[0].Close()
		}
		if err := <-s.ended; err == nil || err == http.ErrServerClosed {
			t.Errorf("%s: serving returned %v", which, err)
		}
		s.ended <- nil
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			c.Close()
			t.Errorf("%s: TCP is still served", which)
		}
	}
}

// While nobody answers at the port that Alt-Svc names, requests go over TCP; when HTTP/3 is there it is used.
func TestAutoRecovers(t *testing.T) {
	for _, hole := range []bool{false, true} { // nobody listens; somebody does, and says nothing
		l, dead, err := ListenAll("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if !hole {
			dead.Close()
		}
		tcp := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{autoCert()}}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Alt-Svc", fmt.Sprintf(`h3=":%d"`, port))
			proto(w, r)
		})}
		go tcp.ServeTLS(l, "", "")
		c, auto := newAuto(t)
		auto.Cooldown, auto.MaxCooldown, auto.RaceDelay = time.Millisecond, time.Millisecond, 20*time.Millisecond
		auto.HTTP3 = &Transport{TLSClientConfig: &tls.Config{RootCAs: autoRoots()}, TLSHandshakeTimeout: 300 * time.Millisecond}
		for range 5 {
			wantHow(t, "without HTTP/3", fetchAll(t, c, port), "HTTP/2.0 ")
		}
		dead.Close()
		pc, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		h3 := &Server{HTTP: &http.Server{Handler: http.HandlerFunc(proto), TLSConfig: &tls.Config{Certificates: []tls.Certificate{autoCert()}}}}
		served := make(chan struct{})
		go func() { h3.Serve(pc); close(served) }()
		for !strings.HasPrefix(fetchAll(t, c, port), "HTTP/3.0") { // until it is tried again
		}
		h3.Close()
		<-served
		wantHow(t, "after HTTP/3 has ended", fetchAll(t, c, port), "HTTP/2.0 ")
		tcp.Close()
	}
}

// While servers come and go, over real sockets, a request whose body cannot be had again reaches handlers once at most.
func TestAllSentOnce(t *testing.T) {
	seed := rand.Uint64()
	dice := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	got := make(map[string]int)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got[r.URL.Path]++
		mu.Unlock()
		proto(w, r)
	})
	l, pc, err := ListenAll("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	s := startAllAt(t, l, pc, handler, nil)
	port := s.port
	c, auto := newAuto(t)
	auto.Always, auto.Cooldown, auto.MaxCooldown, auto.RaceDelay = true, time.Millisecond, 4*time.Millisecond, time.Millisecond
	for round := range 15 {
		var wg sync.WaitGroup
		for i := range 10 {
			path := fmt.Sprintf("/%d/%d", round, i)
			body := io.MultiReader(strings.NewReader(strings.Repeat("x", 1+dice.IntN(20000))))
			wg.Go(func() {
				resp, err := c.Post(fmt.Sprintf("https://localhost:%d%s", port, path), "text/plain", body)
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				mu.Lock()
				defer mu.Unlock()
				if n := got[path]; n > 1 || n == 0 && err == nil {
					t.Errorf("seed %d: %s reached handlers %d times (%v)", seed, path, n, err)
				}
			})
		}
		switch dice.IntN(3) {
		case 0: // all ends, and begins anew at the same port
			s.CloseAll()
			<-s.ended
			s.ended <- nil
			l, pc := relisten(t, addr)
			s = startAllAt(t, l, pc, handler, nil)
		case 1:
			auto.CloseIdleConnections()
		}
		wg.Wait()
	}
	for !strings.HasPrefix(fetchAll(t, c, port), "HTTP/3.0") { // it works to the end
	}
	delete(got, "/")
	for path, n := range got {
		if n > 1 {
			t.Errorf("seed %d: %s reached handlers %d times", seed, path, n)
		}
	}
}

// relisten listens where a server has just ended.
func relisten(t *testing.T, addr string) (net.Listener, net.PacketConn) {
	for {
		l, pc, err := ListenAll(addr)
		if err == nil {
			return l, pc
		}
		if !errors.Is(err, syscall.EADDRINUSE) || t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// A Server whose HTTP is not set is ended by ShutdownAll and CloseAll, whenever they are called.
func TestEndAllWithoutHTTP(t *testing.T) {
	cert, key := certFiles(t)
	for _, end := range []func(*Server) error{func(s *Server) error { return s.ShutdownAll(t.Context()) }, (*Server).CloseAll} {
		var s Server
		l, pc, err := ListenAll("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.ServeAll(l, pc, cert, key) }()
		if err := end(&s); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("serving ended with %v", err)
		}
	}
}
