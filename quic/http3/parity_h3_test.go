package http3_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/http3"
)

// h3Server is what a server of HTTP/3 has besides its http.Server.
type h3Server struct {
	*http3.Server
	sock *socket
}

type h3Client struct{ *http3.Transport }

func (s *server) startH3() {
	s.h3.Server = s.h3.serverFor(s)
	s.w.net.serveDatagrams(s.name, s.addr)
	s.h3.sock = s.w.net.open(s.addr)
	go func() { s.served <- s.h3.Serve(s.h3.sock) }()
	s.w.Cleanup(func() { s.h3.Close() })
}

func (h *h3Server) serverFor(s *server) *http3.Server {
	if h.Server == nil {
		h.Server = new(http3.Server)
	}
	h.HTTP = s.http
	if s.limit > 0 {
		h.QUIC = &quic.Config{MaxStreamsBidi: int64(s.limit)}
	}
	return h.Server
}

// crashH3 ends the server so that no word of it reaches anybody.
func (s *server) crashH3() {
	s.h3.sock.setCut(true)
	s.h3.Close()
	s.h3.sock.Close()
}

func (c *client) startH3(o *clientOptions, cfg *tls.Config, onDial func(context.Context) error) {
	c.h3.Transport = &http3.Transport{
		TLSClientConfig: cfg, DisableCompression: o.disableCompression, DisableKeepAlives: o.disableKeepAlives,
		MaxConnsPerHost: o.maxConnsPerHost, MaxIdleConns: o.maxIdleConns,
		ResponseHeaderTimeout: o.responseHeaderTimeout, ExpectContinueTimeout: o.expectContinueTimeout,
		IdleConnTimeout: o.idleConnTimeout, MaxResponseHeaderBytes: o.maxResponseHeaderBytes,
		Dial: func(ctx context.Context, addr string) (net.PacketConn, net.Addr, error) {
			if err := onDial(ctx); err != nil {
				return nil, nil, err
			}
			to, ok := c.w.net.datagramAddr(addr)
			if !ok {
				return nil, nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			}
			return c.w.net.open(c.w.net.clientAddr()), net.UDPAddrFromAddrPort(to), nil
		},
	}
	c.rt = c.h3.Transport
	c.w.Cleanup(c.h3.CloseIdleConnections)
}

// serveDatagrams has a name lead to addr.
func (n *network) serveDatagrams(name string, addr netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.datagramNames[name] = addr
}

func (n *network) datagramAddr(name string) (netip.AddrPort, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other := n.names[name]; other != "" {
		name = other
	}
	addr, ok := n.datagramNames[name]
	return addr, ok
}
