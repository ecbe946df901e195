package http3

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// setHTTP3 sets the bit of Protocols that no exported function of net/http sets, as a program cannot. false: this net/http has none.
func setHTTP3(p *http.Protocols) bool {
	*(*uint8)(unsafe.Pointer(p)) = 1 << 3
	return hasHTTP3(p)
}

// Each version of net/http has the hook that it is known to have.
func TestHookKinds(t *testing.T) {
	server, transport := hooks()
	want := map[string][2]hookKind{"go1.25": {}, "go1.26": {}, "go1.27": {hook127, hook127}}
	for version, kinds := range want {
		if strings.HasPrefix(runtime.Version(), version+".") && kinds != [2]hookKind{server, transport} {
			t.Errorf("%s has the hooks %v and %v, want %v", runtime.Version(), server, transport, kinds)
		}
	}
	t.Logf("%s: hooks %v and %v", runtime.Version(), server, transport)
}

// Where there is no hook, or it is out of reach, that is said, and nothing has changed.
func TestHookUnsupported(t *testing.T) {
	server, _ := hooks()
	hs, tr := &http.Server{Protocols: new(http.Protocols)}, &http.Transport{Protocols: new(http.Protocols)}
	hs.Protocols.SetHTTP1(true)
	tr.Protocols.SetHTTP1(true)
	if err := RegisterTransport(tr, nil); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), runtime.Version()) {
		t.Errorf("RegisterTransport: %v", err)
	} else {
		t.Log(err)
	}
	if server == hook128 {
		return // it takes one whatever Protocols has
	}
	s := new(Server)
	if err := RegisterServer(hs, s); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), runtime.Version()) {
		t.Errorf("RegisterServer: %v", err)
	} else {
		t.Log(err)
	}
	if hs.TLSNextProto != nil || s.HTTP != nil {
		t.Error("RegisterServer has changed something")
	}
	if err := RegisterServer(hs, &Server{HTTP: new(http.Server)}); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a Server of another http.Server: %v", err)
	}
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := PacketListener(pc)
	if l.Addr().String() != pc.LocalAddr().String() {
		t.Errorf("the listener is at %v", l.Addr())
	}
	hs.TLSConfig = hookTLS(t)
	if err := hs.ServeTLS(l, "", ""); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ServeTLS: %v", err)
	}
}

// hookTLS is a configuration of a server and of its clients.
func hookTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: roots}
}

// hookedServer serves a handler through net/http's hook until the test ends. "" says that the running net/http has none.
func hookedServer(t *testing.T, hs *http.Server, s *Server) (addr string) {
	t.Helper()
	kind, _ := hooks()
	hs.Protocols = new(http.Protocols)
	if kind == noHook {
		return ""
	}
	if kind == hook127 && !setHTTP3(hs.Protocols) {
		t.Fatal("Protocols has no HTTP3")
	}
	if err := RegisterServer(hs, s); err != nil {
		t.Fatal(err)
	}
	if err := RegisterServer(hs, s); err == nil {
		t.Error("a second HTTP/3 was registered")
	}
	t.Cleanup(func() { s.Close() })
	if kind == hook127 {
		hs.Addr = "127.0.0.1:0"
		if err := hs.ListenAndServeTLS("", ""); err != nil {
			t.Fatal(err)
		}
	} else {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- hs.ServeTLS(PacketListener(pc), "", "") }()
		t.Cleanup(func() {
			s.Close()
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("ServeTLS: %v", err)
			}
		})
	}
	for {
		if eps := s.Endpoints(); len(eps) > 0 {
			return eps[0].Addr().String()
		}
		runtime.Gosched()
	}
}

// hookedClient is a client through net/http's hook.
func hookedClient(t *testing.T, cfg *tls.Config, tr3 *Transport) *http.Transport {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: new(http.Protocols)}
	if !setHTTP3(tr.Protocols) {
		t.Fatal("Protocols has no HTTP3")
	}
	if err := RegisterTransport(tr, tr3); err != nil {
		t.Fatal(err)
	}
	if err := RegisterTransport(tr, tr3); err == nil {
		t.Error("a second HTTP/3 was registered")
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// hooked is a server and a client through net/http's hook. Its handler answers with the protocol, the server's address as BaseContext was given it,
// and the body.
type hooked struct {
	hs    *http.Server
	s     *Server
	tls   *tls.Config
	addr  string
	begun chan struct{} // a request for /wait has begun
	end   chan struct{} // closed: it is to be answered
	gone  chan struct{} // its context has ended
}

// inHooked calls test if the running net/http has a hook.
func inHooked(t *testing.T, test func(t *testing.T, h *hooked)) {
	type key struct{}
	h := &hooked{s: new(Server), tls: hookTLS(t), begun: make(chan struct{}, 1), end: make(chan struct{}), gone: make(chan struct{}, 1)}
	h.hs = &http.Server{
		TLSConfig: h.tls,
		ErrorLog:  log.New(io.Discard, "", 0),
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), key{}, l.Addr().String())
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/wait":
				h.begun <- struct{}{}
				select {
				case <-h.end:
				case <-r.Context().Done():
					h.gone <- struct{}{}
				}
			case "/close":
				QUICConn(r).Close()
			}
			if r.Context().Value(http.ServerContextKey) != h.hs {
				t.Error("the context has not the server")
			}
			fmt.Fprint(w, r.Proto, " ", r.Context().Value(key{}), " ")
			io.Copy(w, r.Body)
		}),
	}
	if h.addr = hookedServer(t, h.hs, h.s); h.addr != "" {
		test(t, h)
	}
}

// post sends a body, and checks that it comes back.
func (h *hooked) post(c http.RoundTripper, path string) error {
	body := strings.Repeat("0123456789", 20000)
	req, err := http.NewRequest("POST", "https://"+h.addr+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if want := "HTTP/3.0 " + h.addr + " " + body; err == nil && (string(b) != want || resp.Proto != "HTTP/3.0") {
		err = fmt.Errorf("%s: %.60q, want %.60q", resp.Proto, b, want)
	}
	return err
}

// http.Server and http.Transport take ours.
func TestHooked(t *testing.T) {
	inHooked(t, func(t *testing.T, h *hooked) {
		tr := hookedClient(t, h.tls, nil)
		for range 3 {
			if err := h.post(tr, "/"); err != nil {
				t.Fatal(err)
			}
		}
		if h.post(tr, "/close") == nil {
			t.Error("a request whose connection was closed was answered")
		}
		if err := h.post(tr, "/"); err != nil {
			t.Errorf("a request after the connection was closed: %v", err)
		}
		err := h.post(hookedClient(t, nil, nil), "/")
		if e := (*tls.CertificateVerificationError)(nil); !errors.As(err, &e) {
			t.Errorf("an unknown certificate: %v", err)
		}
		proxied := hookedClient(t, h.tls, nil)
		proxied.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://user:secret@127.0.0.1:1") }
		if err := h.post(proxied, "/"); !errors.Is(err, errors.ErrUnsupported) || strings.Contains(err.Error(), "secret") {
			t.Errorf("through a proxy: %v", err)
		}
		if _, err := tr.RoundTrip(&http.Request{URL: &url.URL{Scheme: "http/3", Host: h.addr}, Header: http.Header{}}); err == nil {
			t.Error("a URL with the scheme http/3")
		}
	})
}

// http.Server.Shutdown lets a request come to its end; one whose context has ended does not.
func TestHookedShutdown(t *testing.T) {
	for _, patient := range []bool{true, false} {
		inHooked(t, func(t *testing.T, h *hooked) {
			answered := make(chan error, 1)
			tr := hookedClient(t, h.tls, nil)
			go func() { answered <- h.post(tr, "/wait") }()
			<-h.begun
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if !patient {
				cancel()
			}
			h.hs.Shutdown(ctx) // which does not wait for HTTP/3
			if patient {
				for !h.s.isEnded() {
					runtime.Gosched()
				}
				close(h.end)
			} else {
				<-h.gone
			}
			if err := <-answered; (err == nil) != patient {
				t.Errorf("patient %v: %v", patient, err)
			}
			<-h.s.whenEmpty()
		})
	}
}
