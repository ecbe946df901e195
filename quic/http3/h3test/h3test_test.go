package h3test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

func hello(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello, "+r.Host) }

// wantGet gets a page and checks what it is.
func wantGet(t *testing.T, c *http.Client, url, want string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != want || resp.StatusCode != http.StatusOK || resp.Proto != "HTTP/3.0" {
		t.Errorf("%s %d, %q, %v", resp.Proto, resp.StatusCode, b, err)
	}
}

// everywhere runs a test in memory, in a bubble, and on a socket of the system.
func everywhere(t *testing.T, test func(t *testing.T, udp bool)) {
	t.Run("memory", func(t *testing.T) { test(t, false) })
	t.Run("bubble", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { test(t, false) }) })
	t.Run("udp", func(t *testing.T) { test(t, true) })
}

func TestServer(t *testing.T) {
	everywhere(t, func(t *testing.T, udp bool) {
		s := NewUnstartedServer(http.HandlerFunc(hello))
		s.UDP = udp
		s.Start()
		defer s.Close()
		wantGet(t, s.Client(), s.URL, "hello, "+s.Addr().String())
		wantGet(t, s.Client(), "https://example.com/", "hello, example.com")
		wantGet(t, s.Client(), "https://www.example.com:8443/", "hello, www.example.com:8443")
		if s.Certificate() == nil || s.Certificate().VerifyHostname("127.0.0.1") != nil {
			t.Error("the certificate is not for 127.0.0.1")
		}
		if _, err := s.Client().Get("https://example.org/"); err == nil && !udp {
			t.Error("a name that nobody has was found")
		}
	})
}

// A handler that sleeps an hour answers at once, in virtual time, and nothing is left when the server is closed.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			hello(w, r)
		}))
		defer s.Close()
		start := time.Now()
		wantGet(t, s.Client(), "https://example.com/", "hello, example.com")
		if d := time.Since(start); d < time.Hour || d > time.Hour+time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// Close waits for requests, says so after a while, and can be called again.
func TestCloseWaits(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan struct{})
		s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			time.Sleep(time.Minute)
			hello(w, r)
		}))
		var wg sync.WaitGroup
		wg.Go(func() { wantGet(t, s.Client(), "https://example.com/", "hello, example.com") })
		<-begun
		start := time.Now()
		s.Close()
		if d := time.Since(start); d < time.Minute || d > time.Minute+time.Second {
			t.Errorf("Close took %v", d)
		}
		s.Close()
		wg.Wait()
		if _, err := s.Client().Get(s.URL); err == nil {
			t.Error("a server that is closed answers")
		}
	})
	if got := logged.String(); !strings.Contains(got, "waits for requests on 1 connections") || !strings.Contains(got, "is active") {
		t.Errorf("logged: %q", got)
	}
}

// CloseClientConnections breaks off what is under way; the next request is answered on a new connection.
func TestCloseClientConnections(t *testing.T) {
	everywhere(t, func(t *testing.T, udp bool) {
		begun, end := make(chan struct{}), make(chan struct{})
		s := NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				close(begun)
				<-r.Context().Done()
				close(end)
			}
			hello(w, r)
		}))
		s.UDP = udp
		var mu sync.Mutex
		states := make(map[http.ConnState]int)
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			states[state]++
		}
		s.Start()
		defer s.Close()
		failed := make(chan error, 1)
		go func() {
			resp, err := s.Client().Post("https://example.com/wait", "", nil) // which is not sent twice
			if err == nil {
				resp.Body.Close()
			}
			failed <- err
		}()
		<-begun
		s.CloseClientConnections()
		<-end
		if err := <-failed; err == nil {
			t.Error("a request whose connection was closed was answered")
		}
		mu.Lock()
		if states[http.StateNew] != 1 || states[http.StateClosed] != 1 {
			t.Errorf("the states that were told: %v", states)
		}
		mu.Unlock()
		wantGet(t, s.Client(), "https://example.com/", "hello, example.com")
		s.CloseClientConnections()
		s.CloseClientConnections() // there are none
	})
}

// Servers share a network, and its links count.
func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := quicnettest.NewNetwork(1, quicnettest.Link{Delay: 100 * time.Millisecond})
		one, two := NewUnstartedServer(nil), NewUnstartedServer(http.HandlerFunc(hello))
		one.Network, two.Network = network, network
		two.HTTP3.QUIC = &quic.Config{MaxStreamsBidi: 10}
		two.Start()
		defer two.Close()
		one.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a proxy
			resp, err := two.Client().Get(two.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			io.Copy(w, resp.Body)
		})
		one.Start()
		defer one.Close()
		start := time.Now()
		wantGet(t, one.Client(), one.URL, "hello, "+two.Addr().String())
		if d := time.Since(start); d < 800*time.Millisecond || d > 1200*time.Millisecond { // twice a handshake and a request
			t.Errorf("it took %v", d)
		}
	})
}

// A certificate of the test's own is what clients trust, and a client that does not know it refuses it.
func TestOwnCertificate(t *testing.T) {
	s := NewUnstartedServer(http.HandlerFunc(hello))
	cert, _ := pki()
	s.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil }}
	s.Start()
	defer s.Close()
	if s.Certificate() != nil {
		t.Error("a certificate is known that TLS chooses")
	}
	_, err := s.Client().Get(s.URL)
	if e := (*tls.CertificateVerificationError)(nil); !errors.As(err, &e) {
		t.Errorf("a client that does not know the certificate: %v", err)
	}
	tr := s.Client().Transport.(*http3.Transport).Clone()
	tr.TLSClientConfig.InsecureSkipVerify = true
	defer tr.CloseIdleConnections()
	wantGet(t, &http.Client{Transport: tr}, "https://example.com/", "hello, example.com")
}

func TestStartTwice(t *testing.T) {
	s := NewServer(http.HandlerFunc(hello))
	defer s.Close()
	defer func() {
		if recover() == nil {
			t.Error("a server was started twice")
		}
	}()
	s.Start()
}

// A server that was never started can be closed.
func TestCloseUnstarted(t *testing.T) {
	s := NewUnstartedServer(nil)
	s.Close()
	if s.Client() != nil || s.Addr() != nil {
		t.Error("a server that was not started has a client or an address")
	}
}
