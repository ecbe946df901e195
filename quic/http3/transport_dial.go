package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/h3"
	"github.com/boringquic/boringquic/quic/internal/eyeballs"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// dialing is what a connection is made for.
type dialing struct {
	route *route
	tls   *tls.Config // may be nil
	hook  func()      // DialClientConn's

	mu    sync.Mutex
	begun bool // one of the attempts to connect has the session
}

// config returns the configuration of an attempt. A session is for one connection: the first attempt that gets so far has it, and stores new ones.
func (d *dialing) config(cfg *quic.Config) *quic.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.begun || cfg.TLS.ClientSessionCache == nil {
		d.begun = true
		return cfg
	}
	own := *cfg
	own.TLS = cfg.TLS.Clone()
	own.TLS.ClientSessionCache = nil
	return &own
}

// newClientConn returns a connection that is not dialled yet.
func (t *Transport) newClientConn(d *dialing) (*ClientConn, error) {
	limit := t.MaxResponseHeaderBytes
	if limit <= 0 {
		limit = 10 << 20
	}
	cfg, err := (&h3.Config{MaxFieldSectionSize: uint64(min(limit, 16<<20)), EnableDatagrams: t.EnableDatagrams}).Prepare()
	if err != nil {
		return nil, err
	}
	cc := &ClientConn{
		t: t, cfg: cfg, maxHeader: uint64(limit), addr: d.route.origin, hook: d.hook, verdict: d.route.verdict,
		keepAlive:   t.QUIC == nil || t.QUIC.KeepAlive <= 0 || t.QUIC.KeepAlive > keptAlive,
		established: make(chan struct{}), settings: make(chan struct{}),
	}
	return cc, nil
}

// dial makes a connection. The Transport's socket is kept open for it until it is over.
func (t *Transport) dial(ctx context.Context, d *dialing) (*ClientConn, error) {
	cfg, err := t.quicConfig(d)
	if err != nil {
		return nil, err
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	cc, err := t.dialRoute(ctx, d, cfg, trace)
	if trace != nil && trace.TLSHandshakeDone != nil {
		state := tls.ConnectionState{}
		if cc != nil {
			if s := cc.tls.Load(); s != nil {
				state = *s
			}
		}
		trace.TLSHandshakeDone(state, err)
	}
	return cc, err
}

// quicConfig returns the configuration of a connection.
func (t *Transport) quicConfig(d *dialing) (*quic.Config, error) {
	host, _, err := net.SplitHostPort(d.route.origin)
	if err != nil {
		return nil, fmt.Errorf("http3: %q is not HOST:PORT: %w", d.route.origin, err)
	}
	var cfg quic.Config
	if t.QUIC != nil {
		if cfg = *t.QUIC; cfg.TLS != nil {
			return nil, errors.New("http3: Transport.QUIC.TLS is set; TLS is configured by Transport.TLSClientConfig")
		}
	}
	if d.tls != nil {
		cfg.TLS = d.tls.Clone()
	} else {
		cfg.TLS = new(tls.Config)
	}
	cfg.TLS.NextProtos = []string{"h3"}
	if cfg.TLS.MinVersion = tls.VersionTLS13; cfg.TLS.MaxVersion != 0 && cfg.TLS.MaxVersion < tls.VersionTLS13 {
		return nil, errors.New("http3: TLSClientConfig.MaxVersion is below TLS 1.3, which QUIC needs")
	}
	if cfg.TLS.ServerName == "" {
		cfg.TLS.ServerName = withoutZone(host)
	}
	if t.TLSHandshakeTimeout > 0 {
		cfg.HandshakeTimeout = min(t.TLSHandshakeTimeout, longest)
	}
	if cfg.MaxStreamsBidi == 0 {
		cfg.MaxStreamsBidi = -1 // servers open none (RFC 9114, section 6.1)
	}
	if cfg.MaxStreamsUni != 0 {
		cfg.MaxStreamsUni = max(cfg.MaxStreamsUni, 3) // control and QPACK
	}
	if cfg.ReceiveWindow == 0 && cfg.MaxReceiveWindow == 0 {
		cfg.ReceiveWindow, cfg.MaxReceiveWindow = clientReceiveWindow, clientReceiveWindow
	}
	if t.EnableDatagrams && cfg.MaxDatagramFrameSize == 0 {
		cfg.MaxDatagramFrameSize = 65535
	}
	return &cfg, nil
}

// withoutZone returns a host without the zone of an IPv6 address, which certificates do not know.
func withoutZone(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String()
	}
	return host
}

// dialRoute connects to the first address that answers of the places that the route has. One with a name that the DNS does not answer for holds up no
// other.
func (t *Transport) dialRoute(ctx context.Context, d *dialing, cfg *quic.Config, trace *httptrace.ClientTrace) (*ClientConn, error) {
	addrs := d.route.addrs
	if len(addrs) == 0 {
		addrs = []string{d.route.origin}
	}
	if t.Dial != nil {
		return eyeballs.Race(ctx, len(addrs), func(ctx context.Context, i int) (*ClientConn, error) {
			return t.dialHook(ctx, d, addrs[i], cfg, trace)
		}, closeLate)
	}
	ep, err := t.openEndpoint()
	if err != nil {
		return nil, err
	}
	cc, err := eyeballs.RacePlaces(ctx, len(addrs), func(ctx context.Context, i int) ([]netip.AddrPort, error) {
		return resolve(ctx, addrs[i])
	}, func(ctx context.Context, to netip.AddrPort) (*ClientConn, error) {
		return t.dialOne(ctx, d, cfg, ep, to, trace)
	}, closeLate)
	if err != nil {
		t.closeEndpoint()
		return nil, err
	}
	cc.setDone(t.closeEndpoint)
	return cc, nil
}

// closeLate ends a connection that came after another one.
func closeLate(cc *ClientConn) { cc.qc.Close() }

// dialHook connects to addr, "HOST:PORT", over the socket that Transport.Dial gives.
func (t *Transport) dialHook(ctx context.Context, d *dialing, addr string, cfg *quic.Config, trace *httptrace.ClientTrace) (*ClientConn, error) {
	pc, remote, err := t.Dial(ctx, addr)
	switch {
	case err != nil:
		return nil, err
	case pc == nil:
		return nil, errors.New("http3: Transport.Dial returned neither a socket nor an error")
	}
	fail := func(err error) (*ClientConn, error) {
		pc.Close()
		return nil, err
	}
	if remote == nil {
		return fail(errors.New("http3: Transport.Dial returned no address to send to"))
	}
	to, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return fail(fmt.Errorf("http3: Transport.Dial returned the address %q, which is not IP:PORT", remote))
	}
	sock, err := udp.New(pc, udp.Options{})
	if err != nil {
		return fail(err)
	}
	ep, err := quicnet.NewEndpoint(sock, nil)
	if err != nil {
		sock.Close()
		return nil, err
	}
	cc, err := t.dialOne(ctx, d, cfg, ep, to, trace)
	if err != nil {
		ep.Close()
		return nil, err
	}
	cc.setDone(func() { ep.Close() })
	return cc, nil
}

// openEndpoint returns the endpoint whose socket all connections share, and counts a user of it.
func (t *Transport) openEndpoint() (*quicnet.Endpoint, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.endpoint == nil {
		sock, err := udp.Listen("udp", ":0", udp.Options{})
		if err != nil {
			return nil, err
		}
		if t.endpoint, err = quicnet.NewEndpoint(sock, nil); err != nil {
			sock.Close()
			return nil, err
		}
	}
	t.users++
	return t.endpoint, nil
}

// closeEndpoint is called when one of its users is done. The last one closes the socket, so that a Transport without connections holds
// nothing.
func (t *Transport) closeEndpoint() {
	t.mu.Lock()
	t.users--
	ep := t.endpoint
	if t.users > 0 {
		ep = nil
	} else {
		t.endpoint = nil
	}
	t.mu.Unlock()
	if ep != nil {
		ep.Close()
	}
}

// resolve looks up the addresses of "HOST:PORT". Families alternate, that of the resolver's first answer first (RFC 8305, section 4).
func resolve(ctx context.Context, addr string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("http3: %q is not HOST:PORT: %w", addr, err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("http3: dial %s: %q is not a port", addr, service)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}, nil
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	var families [2][]netip.AddrPort
	for _, a := range ips {
		ip, _ := netip.AddrFromSlice(a.IP)
		ip = ip.Unmap().WithZone(a.Zone)
		i := 0
		if len(families[0]) > 0 && families[0][0].Addr().Is4() != ip.Is4() {
			i = 1
		}
		families[i] = append(families[i], netip.AddrPortFrom(ip, uint16(port)))
	}
	var out []netip.AddrPort
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) {
				out = append(out, f[i])
			}
		}
	}
	return out, nil
}

// dialOne connects to one address.
func (t *Transport) dialOne(ctx context.Context, d *dialing, cfg *quic.Config, ep *quicnet.Endpoint, to netip.AddrPort, trace *httptrace.ClientTrace) (*ClientConn, error) {
	cc, err := t.newClientConn(d)
	if err != nil {
		return nil, err
	}
	if trace != nil && trace.ConnectStart != nil {
		trace.ConnectStart("udp", to.String())
	}
	cfg = d.config(cfg)
	dialer := quicnet.Dialer{Endpoint: ep, Protocol: cc.open}
	dial := dialer.Dial
	late := ctx.Value(withoutEarlyData{}) != nil
	if t.EarlyData && !late && cfg.TLS.ClientSessionCache != nil && len(d.route.addrs) <= 1 { // of several, the first that answers is taken
		dial = dialer.DialEarly
	}
	_, err = dial(ctx, to.String(), cfg)
	if err == nil {
		err = cc.openErr
	}
	if trace != nil && trace.ConnectDone != nil {
		trace.ConnectDone("udp", to.String(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("http3: dial %s: %w", d.route.origin, err)
	}
	return cc, nil
}
