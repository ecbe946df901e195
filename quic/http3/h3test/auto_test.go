package h3test_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
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
	p.conns <- server
	return client, nil
}

// allVersions is an origin in memory with all versions of HTTP, and an AutoTransport for it.
type allVersions struct {
	t       *testing.T
	network *quicnettest.Network
	auto    *http3.AutoTransport
}

func newAllVersions(t *testing.T, early bool) *allVersions {
	s := h3test.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
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
	auto := &http3.AutoTransport{
		TCP:                 &http.Transport{DialContext: l.dial, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
		HTTP3:               &http3.Transport{Dial: s.Dial, TLSClientConfig: &tls.Config{RootCAs: roots}, QUIC: &quic.Config{MaxIdleTimeout: 5 * time.Second}},
		DisableHTTPSRecords: true,
	}
	if early {
		auto.HTTP3.EarlyData, auto.HTTP3.TLSClientConfig.ClientSessionCache = true, tls.NewLRUClientSessionCache(10)
	}
	t.Cleanup(func() {
		auto.CloseIdleConnections()
		over2.Close()
		s.Close()
		time.Sleep(time.Hour) // until all that was begun has ended
	})
	return &allVersions{t, s.Network, auto}
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

// A request that has left as early data, and of which nobody has seen anything, goes over TCP in the end.
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
		a.want("no UDP gets through", "HTTP/2.0", -1)
		a.want("HTTP/3 is left alone", "HTTP/2.0", 0)
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
