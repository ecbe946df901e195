package quicnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

func TestWrongCertificate(t *testing.T) {
	ep := listen(t, serverConfig())
	_, roots := pki()
	ctx := testContext(t)

	_, err := Dial(ctx, ep.Addr().String(), &quic.Config{TLS: &tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{alpn}}})
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &unknown) || !errors.As(err, &verification) {
		t.Errorf("an unknown authority brought %v", err)
	}
	var transport *quic.TransportError
	if !errors.As(err, &transport) || transport.Remote || transport.Code < quic.CryptoErrorBase {
		t.Errorf("an unknown authority brought %v, not a CRYPTO_ERROR found here", err)
	}

	_, err = Dial(ctx, ep.Addr().String(), &quic.Config{TLS: &tls.Config{
		RootCAs: roots, ServerName: "elsewhere.example", NextProtos: []string{alpn},
	}})
	var host x509.HostnameError
	if !errors.As(err, &host) || host.Host != "elsewhere.example" {
		t.Errorf("a wrong name brought %v", err)
	}

	// The name that was dialled counts if none is given.
	if _, err := ep.Dial(ctx, ep.Addr().String(), clientConfig()); err != nil {
		t.Errorf("127.0.0.1, which the certificate has, brought %v", err)
	}
}

func TestNoCommonProtocol(t *testing.T) {
	ep := listen(t, serverConfig())
	cfg := clientConfig()
	cfg.TLS.NextProtos = []string{"something else"}
	_, err := Dial(testContext(t), ep.Addr().String(), cfg)
	if want := (&quic.TransportError{Code: quic.CryptoErrorBase + 120, Remote: true}); !errors.Is(err, want) {
		t.Errorf("Dial returned %v, not %v", err, want)
	}
	var alert tls.AlertError
	if !errors.As(err, &alert) || alert != 120 || !strings.Contains(fmt.Sprint(err), "no application protocol") {
		t.Errorf("Dial returned %v, which does not name the alert", err)
	}
}

// A connection knows its own address though its socket is bound to all: what the one side says of itself, the other says of it.
func TestLocalAddr(t *testing.T) {
	ep, err := Listen("0.0.0.0:0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	port := ep.Addr().(*net.UDPAddr).Port
	for _, ip := range []string{"127.0.0.1", "127.0.0.2"} { // all of which are this machine on Linux
		c, err := Dial(testContext(t), net.JoinHostPort(ip, fmt.Sprint(port)), &quic.Config{
			TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}})
		if err != nil && ip != "127.0.0.1" {
			t.Skip("this machine has one loopback address: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := ep.Accept(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if c.LocalAddr().String() != s.RemoteAddr().String() || s.LocalAddr().String() != c.RemoteAddr().String() {
				t.Errorf("the client is %v and speaks to %v, the server is %v and speaks to %v",
					c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
			}
			c.mu.Lock()
			c.heardAt = netip.Addr{} // as where the system does not tell it: then the route says
			c.mu.Unlock()
		}
		c.Close()
		<-c.shard.ep.gone
	}
}

func TestPortInUse(t *testing.T) {
	ep := listen(t, serverConfig())
	_, err := Listen(ep.Addr().String(), serverConfig())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(fmt.Sprint(err), ep.Addr().String()) {
		t.Errorf("Listen returned %v, not EADDRINUSE with the address", err)
	}
}

func TestListenErrors(t *testing.T) {
	if _, err := Listen("127.0.0.1:0", nil); err == nil {
		t.Error("no Config brought no error")
	}
	if _, err := Listen("127.0.0.1:0", &quic.Config{TLS: &tls.Config{NextProtos: []string{alpn}}}); err == nil {
		t.Error("no certificate brought no error")
	}
	if _, err := Listen("127.0.0.1", serverConfig()); err == nil {
		t.Error("no port brought no error")
	}
	client := listenWith(t, nil, udp.Options{})
	if _, err := client.Accept(testContext(t)); err == nil {
		t.Error("Accept on an endpoint that only dials brought no error")
	}
}

func TestDialErrors(t *testing.T) {
	ctx := testContext(t)
	for addr, want := range map[string]string{
		"localhost":            `quicnet: "localhost" is not HOST:PORT: missing port in address`,
		"localhost:no-service": `quicnet: dial localhost:no-service: "no-service" is not a port`,
		"localhost:70000":      `quicnet: dial localhost:70000: "70000" is not a port`,
		"127.0.0.1:0":          `quicnet: dial 127.0.0.1:0: "0" is not a port`,
		"::1:443":              `quicnet: "::1:443" is not HOST:PORT: too many colons in address`,
	} {
		if _, err := Dial(ctx, addr, clientConfig()); fmt.Sprint(err) != want {
			t.Errorf("Dial(%q) returned %v, not %s", addr, err, want)
		}
	}
	if _, err := Dial(ctx, "127.0.0.1:9", &quic.Config{}); err == nil {
		t.Error("no TLS configuration brought no error")
	}
	v4 := listenWith(t, nil, udp.Options{})
	if _, err := v4.Dial(ctx, "[::1]:9", clientConfig()); err == nil {
		t.Error("IPv6 over an IPv4 socket brought no error")
	}
}

// silent is a socket that answers nothing.
func silent(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc.LocalAddr().String()
}

func TestDialTimeouts(t *testing.T) {
	addr := silent(t)
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := Dial(ctx, addr, clientConfig()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context brought %v", err)
	}
	ctx, cancel = context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, addr, clientConfig()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that ends brought %v", err)
	}
	cfg := clientConfig()
	cfg.HandshakeTimeout = 50 * time.Millisecond
	if _, err := Dial(testContext(t), addr, cfg); !errors.Is(err, &quic.IdleTimeoutError{Handshake: true}) {
		t.Errorf("a handshake that takes too long brought %v", err)
	}
}

// TestDialSeveralAddresses has a name lead to an address that does not answer, and to one that does.
func TestDialSeveralAddresses(t *testing.T) {
	ep := listen(t, serverConfig())
	dead, alive := netip.MustParseAddrPort(silent(t)), netip.MustParseAddrPort(ep.Addr().String())
	client := listenWith(t, nil, udp.Options{})
	for name, addrs := range map[string][]netip.AddrPort{
		"first answers":  {alive, dead},
		"second answers": {dead, alive},
		"third answers":  {dead, dead, alive},
		"both answer":    {alive, alive},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.dial(testContext(t), target{text: "test", host: "localhost", addrs: addrs}, clientConfig(), new(dialing))
			if err != nil {
				t.Fatal(err)
			}
			if c.RemoteAddr().String() != alive.String() {
				t.Errorf("connected to %v", c.RemoteAddr())
			}
			c.Close()
		})
	}
	t.Run("none answers", func(t *testing.T) {
		cfg := clientConfig()
		cfg.HandshakeTimeout = 50 * time.Millisecond
		_, err := client.dial(testContext(t), target{text: "test", host: "localhost", addrs: []netip.AddrPort{dead, dead}}, cfg, new(dialing))
		if !errors.Is(err, &quic.IdleTimeoutError{Handshake: true}) {
			t.Errorf("dial returned %v", err)
		}
	})
	t.Run("wrong certificate", func(t *testing.T) {
		_, err := client.dial(testContext(t), target{text: "test", host: "elsewhere.example", addrs: []netip.AddrPort{alive, alive}},
			clientConfig(), new(dialing))
		var host x509.HostnameError
		if !errors.As(err, &host) {
			t.Errorf("dial returned %v", err)
		}
	})
}

func TestDialByName(t *testing.T) {
	ep, err := Listen(":0", serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	serveEcho(t, ep)
	_, port, _ := net.SplitHostPort(ep.Addr().String())
	for _, addr := range []string{"localhost:" + port, ":" + port, "127.0.0.1:" + port, "[::1]:" + port, ep.Addr().String()} {
		t.Run(addr, func(t *testing.T) {
			if pc, err := net.ListenPacket("udp6", "[::1]:0"); err == nil {
				pc.Close()
			} else if strings.HasPrefix(addr, "[::") {
				return // this machine has no IPv6
			}
			cfg := clientConfig()
			if addr == ep.Addr().String() {
				cfg.TLS.ServerName = "localhost" // the certificate is not for [::]
			}
			c, err := Dial(testContext(t), addr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				c.Close()
				<-c.shard.ep.gone
			}()
			if err := exchange(testContext(t), c, randomBytes(5000)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Link-local addresses keep their zone, which certificates do not know; without one nobody could be reached. Others have none.
func TestResolveZone(t *testing.T) {
	got, err := resolve(t.Context(), "[fe80::1%lo]:443")
	if want := netip.MustParseAddrPort("[fe80::1%lo]:443"); err != nil || got.host != "fe80::1" || len(got.addrs) != 1 || got.addrs[0] != want {
		t.Errorf("resolved to %+v, %v", got, err)
	}
	if _, err := Dial(t.Context(), "[fe80::1]:443", clientConfig()); !errors.Is(err, errNoZone) {
		t.Errorf("without a zone: %v", err)
	}
	got, err = resolve(t.Context(), "[::1%lo]:443") // whose answer comes from ::1
	if want := netip.MustParseAddrPort("[::1]:443"); err != nil || got.host != "::1" || len(got.addrs) != 1 || got.addrs[0] != want {
		t.Errorf("resolved to %+v, %v", got, err)
	}
}

// Where nobody can be reached, though the system sends, Dial says so at once: with a timeout of the handshake of an hour this would hang.
func TestDialNobody(t *testing.T) {
	cfg := clientConfig()
	cfg.HandshakeTimeout = time.Hour
	for addr, want := range map[string]string{
		"255.255.255.255:9":      "255.255.255.255 is the broadcast address",
		"224.0.0.1:9":            "224.0.0.1 is a multicast address",
		"[::ffff:224.0.0.1]:9":   "224.0.0.1 is a multicast address",
		"[ff02::1]:9":            "ff02::1 is a multicast address",
		"[fe80::1%nosuch]:9":     `no network interface is called "nosuch"`,
		"[fe80::1%2000000000]:9": `no network interface is called "2000000000"`,
	} {
		if _, err := Dial(testContext(t), addr, cfg); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "quicnet: dial "+addr+": ") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if i, err := net.InterfaceByName("lo"); err != nil || !isZone("lo") || !isZone(strconv.Itoa(i.Index)) {
		t.Error("the loopback interface is no zone")
	}
}

// Dialer binds the connection's own socket where it is told to, or uses an endpoint's; not both.
func TestDialer(t *testing.T) {
	ep := listen(t, serverConfig())
	serveEcho(t, ep)
	addr, port := ep.Addr().String(), freePort(t)
	client := listenWith(t, nil, udp.Options{})
	for name, c := range map[string]struct {
		dialer Dialer
		local  string // what the connection's begins with
	}{
		"zero":          {Dialer{}, "127.0.0.1:"},
		"local address": {Dialer{LocalAddr: "127.0.0.1:0"}, "127.0.0.1:"},
		"local port":    {Dialer{LocalAddr: "127.0.0.1:" + port}, "127.0.0.1:" + port},
		"endpoint":      {Dialer{Endpoint: client}, client.Addr().String()},
	} {
		for how, dial := range map[string]func(context.Context, string, *quic.Config) (*Conn, error){
			"dial": c.dialer.Dial, "early": c.dialer.DialEarly} {
			conn, err := dial(testContext(t), addr, clientConfig())
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if err := conn.Handshake(testContext(t)); err != nil {
				t.Errorf("%s, %s: Handshake: %v", name, how, err)
			}
			if err := exchange(testContext(t), conn, randomBytes(100)); err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
			}
			if got := conn.LocalAddr().String(); !strings.HasPrefix(got, c.local) {
				t.Errorf("%s, %s: from %s, want %s", name, how, got, c.local)
			}
			conn.Close()
			if conn.shard.ep != client {
				<-conn.shard.ep.gone
			}
		}
	}
	for want, d := range map[string]Dialer{
		"set one of them": {LocalAddr: ":0", Endpoint: client},
		"missing port":    {LocalAddr: "127.0.0.1"},
		"in use":          {LocalAddr: client.Addr().String()},
		"no address of":   {LocalAddr: "[::1]:0"},
	} {
		if _, err := d.Dial(testContext(t), addr, clientConfig()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v brought %v, want %q", d, err, want)
		}
	}
}

// freePort returns a port of 127.0.0.1 that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	_, port, _ := net.SplitHostPort(pc.LocalAddr().String())
	return port
}

// Handshake tells how the handshake ended to whoever waits, also several, and after it.
func TestHandshakeWaits(t *testing.T) {
	ep := listen(t, serverConfig())
	c := dial(t, ep, clientConfig())
	s, err := ep.Accept(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	inParallel(t, 4, func(int) error { return errors.Join(c.Handshake(testContext(t)), s.Handshake(testContext(t))) })
	c.CloseWithError(7, "enough")
	for range 2 {
		if err := c.Handshake(testContext(t)); !errors.Is(err, &quic.ApplicationError{Code: 7}) {
			t.Errorf("after the close: %v", err)
		}
	}
}
