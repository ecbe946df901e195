package h3test_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/http3/h3test"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// pipes is a net.Listener whose connections are made in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// dialTime is what a connection over TCP takes.
const dialTime = 50 * time.Millisecond

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-time.After(dialTime):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// allVersions is an origin in memory with all versions of HTTP, and an AutoTransport for it.
type allVersions struct {
	t       *testing.T
	network *quicnettest.Network
	auto    *http3.AutoTransport

	mu     sync.Mutex
	served map[string]int // requests by "METHOD PATH"
}

func (a *allVersions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.served[r.Method+" "+r.URL.Path]++
	io.WriteString(w, r.Proto)
}

func newAllVersions(t *testing.T, early bool) *allVersions {
	a := &allVersions{t: t, served: make(map[string]int)}
	s := h3test.NewUnstartedServer(a)
	s.Network = quicnettest.NewNetwork(1, quicnettest.Link{Delay: 20 * time.Millisecond})
	s.HTTP3.QUIC = &quic.Config{EarlyData: early}
	s.Start()
	synctest.Wait()

	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	over2 := &http.Server{Handler: s.HTTP3.AltSvcHandler(s.Config.Handler), ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: s.TLS.Certificates}}
	go over2.ServeTLS(l, "", "")

	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	a.network, a.auto = s.Network, &http3.AutoTransport{
		TCP:                 &http.Transport{DialContext: l.dial, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
		HTTP3:               &http3.Transport{Dial: s.Dial, TLSClientConfig: &tls.Config{RootCAs: roots}, QUIC: &quic.Config{MaxIdleTimeout: 5 * time.Second}},
		DisableHTTPSRecords: true,
	}
	if early {
		a.auto.HTTP3.EarlyData, a.auto.HTTP3.TLSClientConfig.ClientSessionCache = true, tls.NewLRUClientSessionCache(10)
	}
	t.Cleanup(func() {
		a.auto.CloseIdleConnections()
		over2.Close()
		s.Close()
		time.Sleep(time.Hour) // until all that was begun has ended
	})
	return a
}

// get sends a request, and tells the protocol that it went over and what it took.
func (a *allVersions) get() (proto string, took time.Duration) {
	began := time.Now()
	resp, err := (&http.Client{Transport: a.auto}).Get("https://example.com/")
	if err != nil {
		return err.Error(), time.Since(began)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error(), time.Since(began)
	}
	return string(text), time.Since(began)
}

// learn has HTTP/3 become known, and connected.
func (a *allVersions) learn() {
	a.t.Helper()
	a.want("nothing is known", "HTTP/2.0", dialTime)
	a.want("Alt-Svc is known", "HTTP/3.0", 80*time.Millisecond) // the handshake and the request, a round trip each
}

func (a *allVersions) want(what, proto string, took time.Duration) {
	a.t.Helper()
	if p, d := a.get(); p != proto || took >= 0 && d != took {
		a.t.Errorf("%s: %s after %v, want %s after %v", what, p, d, proto, took)
	}
}

// Over real QUIC: a network that lets no UDP through costs a request the head start of HTTP/3, once; then HTTP/3 is left alone, and
// found again when the cool-down is over, without a request that waits for it.
func TestAutoTransportBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAllVersions(t, false)
		a.learn()
		a.want("it is connected", "HTTP/3.0", 40*time.Millisecond)

		a.network.SetLink(quicnettest.Link{Loss: 1})
		a.auto.CloseIdleConnections()
		a.want("no UDP gets through", "HTTP/2.0", 250*time.Millisecond+dialTime)
		a.want("nor for the next", "HTTP/2.0", 0)
		time.Sleep(time.Minute) // the handshake has failed
		a.network.SetLink(quicnettest.Link{Delay: 20 * time.Millisecond})
		for range 3 {
			a.want("HTTP/3 is left alone", "HTTP/2.0", 0)
			time.Sleep(time.Minute)
		}
		time.Sleep(5 * time.Minute)
		a.want("it is tried again", "HTTP/2.0", -1)
		time.Sleep(time.Second)
		a.want("it is there again", "HTTP/3.0", 40*time.Millisecond)
	})
}

// A connection that dies while a request is under way is that request's error, and the next one goes over TCP at once.
func TestAutoTransportDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAllVersions(t, false)
		a.learn()
		a.network.SetLink(quicnettest.Link{Loss: 1})
		resp, err := (&http.Client{Transport: a.auto}).Post("https://example.com/", "text/plain", io.MultiReader())
		if err == nil {
			resp.Body.Close()
			t.Error("a response came through a network that is dead")
		}
		a.want("the next request", "HTTP/2.0", -1)
		a.want("one after it", "HTTP/2.0", 0)
	})
}

// A request that has left as early data, and of which nobody has seen anything, goes over TCP when another one would.
func TestAutoTransportEarlyIntoBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAllVersions(t, true)
		a.learn()
		time.Sleep(time.Second) // for tickets
		a.auto.CloseIdleConnections()
		a.want("early data", "HTTP/3.0", 40*time.Millisecond)
		time.Sleep(time.Second)
		a.auto.CloseIdleConnections()

		a.network.SetLink(quicnettest.Link{Loss: 1})
		a.want("no UDP gets through", "HTTP/2.0", 250*time.Millisecond+dialTime)
		a.want("nor for the next", "HTTP/2.0", 0)
		time.Sleep(time.Minute) // the handshake has failed
		a.network.SetLink(quicnettest.Link{Delay: 20 * time.Millisecond})
		a.want("HTTP/3 is left alone", "HTTP/2.0", 0)
	})
}

// A request that must not be early data does not wait for a handshake in which that was sent any longer than for another.
func TestAutoTransportPostBesideEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAllVersions(t, true)
		a.learn()
		time.Sleep(time.Second) // for tickets
		a.auto.CloseIdleConnections()
		a.network.SetLink(quicnettest.Link{Loss: 1})
		a.want("early data", "HTTP/2.0", 250*time.Millisecond+dialTime)
		began := time.Now()
		resp, err := (&http.Client{Transport: a.auto}).Post("https://example.com/", "text/plain", io.MultiReader(strings.NewReader("x")))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(began); resp.Proto != "HTTP/2.0" || took != 0 {
			t.Errorf("a POST went over %s after %v, want HTTP/2.0 at once", resp.Proto, took)
		}
	})
}

// A request whose path dies goes over TCP, though there is a session with which another connection could be used at once.
func TestAutoTransportEarlyDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAllVersions(t, true)
		a.learn()
		time.Sleep(time.Second) // for tickets
		a.network.SetLink(quicnettest.Link{Loss: 1})
		a.want("the path has died", "HTTP/2.0", -1)
		a.want("HTTP/3 is left alone", "HTTP/2.0", 0)
	})
}
