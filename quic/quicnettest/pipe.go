package quicnettest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

const (
	// ALPN is the protocol name of configurations that do not say one.
	ALPN = "quicnettest"

	// ServerName is what the certificate of ServerConfig is for.
	ServerName = "localhost"
)

// Pipe returns the two ends of a connection over a perfect network in memory: its handshake is complete, and both ends are closed
// when the test ends. It ends the test if there can be no connection.
//
// A nil Config stands for an empty one, and what server and client leave out of TLS is filled in, without changing them: the
// certificate of ServerConfig, and on the client the roots and the ServerName that go with it; and ALPN, which is the other side's
// if that says one. Other fields are as ever: datagrams, for one, need MaxDatagramFrameSize on both sides.
func Pipe(t testing.TB, server, client *quic.Config) (s, c *quicnet.Conn) {
	t.Helper()
	return NewNetwork(1, Link{}).Pipe(t, server, client)
}

// Pipe is the function Pipe over this network, between two addresses that nobody has.
func (n *Network) Pipe(t testing.TB, server, client *quic.Config) (s, c *quicnet.Conn) {
	t.Helper()
	server, client = complete(server, client)
	from, to := n.Listen(t, "", nil), n.Listen(t, "", server)
	c, err := from.Dial(t.Context(), to.Addr().String(), client)
	if err == nil {
		s, err = acceptBefore(t.Context(), to, c.Context())
	}
	if err != nil {
		t.Fatalf("quicnettest: %v", err)
	}
	return s, c
}

// acceptBefore waits for a connection until the client's is over: a server that does not accept the client's certificate says so when Dial
// has returned.
func acceptBefore(ctx context.Context, ep *quicnet.Endpoint, client context.Context) (*quicnet.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(client, func() { cancel(context.Cause(client)) })()
	return ep.Accept(ctx)
}

// Listen returns an endpoint at an address of the network, as ListenPacket takes it, which is closed when the test ends. It accepts
// connections with cfg, which may be ServerConfig's; with a nil cfg it dials only. It ends the test if there can be no such
// endpoint.
func (n *Network) Listen(t testing.TB, addr string, cfg *quic.Config) *quicnet.Endpoint {
	t.Helper()
	pc, err := n.ListenPacket(addr)
	if err != nil {
		t.Fatal(err)
	}
	ep, err := NewEndpoint(pc, cfg)
	if err != nil {
		t.Fatalf("quicnettest: %v", err)
	}
	t.Cleanup(func() { ep.Close() })
	return ep
}

// NewEndpoint runs QUIC on any net.PacketConn, which it takes over, also if there is an error: udp.New and quicnet.NewEndpoint in one.
// If it is of a Network, further sockets of the endpoint are of that, too.
func NewEndpoint(pc net.PacketConn, cfg *quic.Config) (*quicnet.Endpoint, error) {
	sock, err := udp.New(pc, udp.Options{})
	if err != nil {
		pc.Close()
		return nil, err
	}
	var lc quicnet.ListenConfig
	if c, ok := pc.(*packetConn); ok {
		lc.OpenSocket = c.network.OpenSocket
	}
	ep, err := lc.NewEndpoint(sock, cfg)
	if err != nil {
		sock.Close()
	}
	return ep, err
}

// ServerConfig returns a Config with a certificate for ServerName and with ALPN, for the caller to change.
func ServerConfig() *quic.Config {
	cert, _ := pki()
	return &quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{ALPN}}}
}

// ClientConfig returns a Config that trusts ServerConfig's certificate, whatever address the server has, for the caller to change.
func ClientConfig() *quic.Config {
	_, roots := pki()
	return &quic.Config{TLS: &tls.Config{RootCAs: roots, ServerName: ServerName, NextProtos: []string{ALPN}}}
}

// complete fills in what the configurations of a pipe leave out.
func complete(server, client *quic.Config) (s, c *quic.Config) {
	s, c = clone(server), clone(client)
	if t := s.TLS; len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		t.Certificates = ServerConfig().TLS.Certificates
	}
	if c.TLS.RootCAs == nil {
		c.TLS.RootCAs = ClientConfig().TLS.RootCAs
	}
	if c.TLS.ServerName == "" {
		c.TLS.ServerName = ServerName
	}
	if len(c.TLS.NextProtos) == 0 {
		c.TLS.NextProtos = s.TLS.NextProtos
	}
	if len(c.TLS.NextProtos) == 0 {
		c.TLS.NextProtos = []string{ALPN}
	}
	if len(s.TLS.NextProtos) == 0 {
		s.TLS.NextProtos = c.TLS.NextProtos
	}
	return s, c
}

// clone returns a copy of a Config whose TLS can be changed.
func clone(cfg *quic.Config) *quic.Config {
	c := new(quic.Config)
	if cfg != nil {
		*c = *cfg
	}
	if c.TLS == nil {
		c.TLS = new(tls.Config)
	}
	c.TLS = c.TLS.Clone()
	return c
}

// pki is a certificate for ServerName, and the roots that trust it. It is valid in bubbles of synctest, too, which begin in 2000.
var pki = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "quicnettest"},
		DNSNames:     []string{ServerName},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
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
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
})
