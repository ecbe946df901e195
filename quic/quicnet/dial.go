package quicnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/ctxerr"
	"github.com/boringquic/boringquic/quic/internal/eyeballs"
)

// Dial connects to addr, "HOST:PORT", over a socket of its own, which is closed with the connection. It returns when the
// handshake is complete and the server's certificate is verified, against HOST unless cfg.TLS.ServerName says otherwise. If
// HOST is a name with several addresses, they are tried in turn, a quarter of a second apart, and the first one that
// answers is taken.
//
// The error unwraps to that of ctx, to a *quic.TransportError and the *tls.CertificateVerificationError or other error behind
// it, or to a *quic.IdleTimeoutError if no answer came for quic.Config.HandshakeTimeout. A tls.AlertError in it says which alert
// of TLS it was, of either side. Where the kernel tells that nobody listens on the port, which Linux does, Dial fails at once, with an
// error that unwraps to syscall.ECONNREFUSED; one that could not send says why. So it does for an address where no one host is, such as a
// multicast one.
//
// As in TLS 1.3 over TCP, Dial may succeed before the server has judged the client's certificate: that it is refused is the
// error of whatever is called next, such as a Read, or of Conn.Err.
//
// A socket of its own costs a descriptor, two goroutines, some 400 KiB of buffers and what the kernel keeps for it. That is the
// right way for a few connections; whoever makes hundreds makes an Endpoint and calls Endpoint.Dial, where a connection costs some
// 5 KiB while it is idle, and neither descriptor nor goroutine. It is the method of a zero Dialer.
func Dial(ctx context.Context, addr string, cfg *quic.Config) (*Conn, error) {
	return Dialer{}.Dial(ctx, addr, cfg)
}

// DialEarly is Dial that returns as soon as streams can be opened; see Dialer.DialEarly, whose method of a zero Dialer it is.
func DialEarly(ctx context.Context, addr string, cfg *quic.Config) (*Conn, error) {
	return Dialer{}.DialEarly(ctx, addr, cfg)
}

// Dial is the function Dial over the endpoint's socket, which may carry other connections and may listen, too. It shares the socket's
// goroutines and buffers, so that a further connection costs little; but all of them send and receive on one socket, and those of one
// shard in one goroutine. The endpoint stays when the connection is closed.
func (ep *Endpoint) Dial(ctx context.Context, addr string, cfg *quic.Config) (*Conn, error) {
	return Dialer{Endpoint: ep}.Dial(ctx, addr, cfg)
}

// DialEarly is the function DialEarly over the endpoint's socket.
func (ep *Endpoint) DialEarly(ctx context.Context, addr string, cfg *quic.Config) (*Conn, error) {
	return Dialer{Endpoint: ep}.DialEarly(ctx, addr, cfg)
}

// target is what Dial connects to.
type target struct {
	text  string // as Dial was given it
	host  string // for SNI and verification
	addrs []netip.AddrPort
}

// resolve looks up the addresses of "HOST:PORT".
func resolve(ctx context.Context, addr string) (target, error) {
	fail := func(err error) (target, error) { return target{}, fmt.Errorf("quicnet: dial %s: %w", addr, err) }
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		var a *net.AddrError
		if errors.As(err, &a) {
			return target{}, fmt.Errorf("quicnet: %q is not HOST:PORT: %s", addr, a.Err)
		}
		return fail(err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil || port == 0 {
		return target{}, fmt.Errorf("quicnet: dial %s: %q is not a port", addr, service)
	}
	if host == "" {
		host = "localhost"
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host) // LookupNetIP loses the zone
	if err != nil {
		return fail(err)
	}
	t := target{text: addr}
	t.host, _, _ = strings.Cut(host, "%") // certificates know no zones
	for _, a := range ips {
		ip, _ := netip.AddrFromSlice(a.IP)
		ip = ip.Unmap().WithZone(a.Zone)
		if e := unusable(ip); e != nil {
			err = e
			continue
		}
		if !ip.IsLinkLocalUnicast() {
			ip = ip.WithZone("") // which says nothing of it: the answer will come from an address without one
		}
		if ip.IsUnspecified() { // as package net does: this machine
			if ip.Is4() {
				ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
			} else {
				ip = netip.IPv6Loopback()
			}
		}
		t.addrs = append(t.addrs, netip.AddrPortFrom(ip, uint16(port)))
	}
	if len(t.addrs) == 0 && err != nil {
		return fail(err)
	}
	return t, nil
}

// unusable returns why nobody can be reached at an address, whose datagrams the system may send all the same; nil if there is no reason.
func unusable(ip netip.Addr) error {
	switch {
	case ip.IsMulticast():
		return fmt.Errorf("%s is a multicast address: QUIC is spoken with one host", ip)
	case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is the broadcast address: QUIC is spoken with one host", ip)
	case ip.Zone() != "" && !isZone(ip.Zone()):
		return fmt.Errorf("%s: no network interface is called %q", ip, ip.Zone())
	case ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "":
		return errNoZone // the answer would come from an address with a zone
	}
	return nil
}

// isZone tells whether a zone is the name or the number of a network interface.
func isZone(zone string) bool {
	_, err := net.InterfaceByName(zone)
	if n, e := strconv.Atoi(zone); err != nil && e == nil {
		_, err = net.InterfaceByIndex(n)
	}
	return err == nil
}

// errNoZone is why a link-local address cannot be reached.
var errNoZone = errors.New("a link-local address needs a zone, as in fe80::1%eth0")

// reachable returns the addresses of the IP versions that the endpoint's socket has.
func (ep *Endpoint) reachable(addrs []netip.AddrPort) (out []netip.AddrPort) {
	local := ep.local.Addr()
	for _, a := range addrs {
		if local.Is4() == a.Addr().Is4() || local.IsUnspecified() && local.Is6() {
			out = append(out, a)
		}
	}
	return out
}

// dial connects to the first address that answers.
func (ep *Endpoint) dial(ctx context.Context, t target, cfg *quic.Config, d *dialing) (*Conn, error) {
	c, err := ep.dialAny(ctx, t.host, ep.reachable(t.addrs), cfg, d)
	if err != nil {
		return nil, fmt.Errorf("quicnet: dial %s: %w", t.text, err)
	}
	return c, nil
}

func (ep *Endpoint) dialAny(ctx context.Context, host string, addrs []netip.AddrPort, cfg *quic.Config, d *dialing) (*Conn, error) {
	if len(addrs) == 0 {
		return nil, errors.New("no address of an IP version that the socket has")
	}
	return eyeballs.Race(ctx, len(addrs), func(ctx context.Context, i int) (*Conn, error) {
		d := d
		if i > 0 {
			d = d.withSession(nil) // which is for one connection
		}
		return ep.dialOne(ctx, host, addrs[i], cfg, d)
	}, func(c *Conn) { c.Close() })
}

// dialOne connects to one address. A token that the server does not know should count for nothing with it (RFC 9000, section 8.1.3), but one that demands
// Retry may take it for a Retry token that is wrong and close the connection (section 8.1.2), as nginx does after each reload: then it is tried without.
func (ep *Endpoint) dialOne(ctx context.Context, host string, remote netip.AddrPort, cfg *quic.Config, d *dialing) (*Conn, error) {
	c, err := ep.tryOne(ctx, host, remote, cfg, d)
	if refused := (*quic.TransportError)(nil); errors.As(err, &refused) && refused.Remote && refused.Code == quic.InvalidToken && d.session != nil {
		if session := d.session.WithoutToken(); session != d.session {
			return ep.tryOne(ctx, host, remote, cfg, d.withSession(session))
		}
	}
	return c, err
}

// tryOne is dialOne without another try.
func (ep *Endpoint) tryOne(ctx context.Context, host string, remote netip.AddrPort, cfg *quic.Config, d *dialing) (*Conn, error) {
	if err := ctxerr.Of(ctx); err != nil {
		return nil, err
	}
	c, err := ep.connect(host, remote, cfg, d)
	if err != nil {
		return nil, err
	}
	notSent := c.begin()
	if !unreachable(notSent) {
		if err = c.waitReady(ctx, d.early); err == nil {
			return c, nil
		}
		if notSent == nil {
			notSent = c.notSent()
		}
	}
	c.Close()
	switch {
	case unreachable(notSent):
		err = fmt.Errorf("%s: %w", remote, notSent)
	case notSent != nil:
		err = fmt.Errorf("%w; the first datagram could not be sent to %s: %w", err, remote, notSent)
	}
	return nil, err
}

// begin sends a client's first datagram. The caller has the right to send. If there is a session, it is looked at first, and the error
// that notSent returns comes later.
func (c *Conn) begin() error {
	c.mu.Lock()
	c.handleEvents(time.Now())
	c.mu.Unlock()
	return c.flush()
}

// waitReady waits until the handshake is complete or, with early, streams can be opened. It gives up when the first datagram could not
// be sent.
func (c *Conn) waitReady(ctx context.Context, early bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if err := c.ready(); err != nil || c.established {
			return err
		}
		if r := c.resume; r != nil && (early && r.ready || unreachable(r.notSent)) {
			return r.notSent
		}
		if err := c.handshake.waitContext(ctx, &c.mu); err != nil {
			return err
		}
	}
}

// connect begins a connection in one of the shards. The caller has the right to send for it.
func (ep *Endpoint) connect(host string, remote netip.AddrPort, cfg *quic.Config, d *dialing) (*Conn, error) {
	if ep.steering == nil || cfg == nil {
		return ep.shards[0].connect(host, remote, cfg, d)
	}
	i := int(ep.dialled.Add(1)) % len(ep.shards)
	own := *cfg
	own.ConnIDs = ep.steering.ids(i, cfg.ConnIDs)
	return ep.shards[i].connect(host, remote, &own, d)
}

// unreachable tells whether a first datagram that could not be sent is reason to give up at once.
func unreachable(err error) bool {
	for _, e := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT,
		syscall.EACCES, syscall.EINVAL, net.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
