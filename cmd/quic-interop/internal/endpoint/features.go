package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/boringquic/boringquic/cmd/internal/usage"
	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// setVersions has an endpoint speak the version of its test case. In v2 a client begins with version 1, and the server moves it to the
// one that it likes better (RFC 9368, section 2.3).
func (o *Options) setVersions(cfg *quic.Config, c testCase, server bool) error {
	switch {
	case o.Version != 1 && o.Version != 2:
		return usage.Error(fmt.Errorf("--version %d is neither 1 nor 2", o.Version))
	case c.v2 && server:
		cfg.Versions = []uint32{quic.Version2, quic.Version1}
	case c.v2:
		cfg.Versions = []uint32{quic.Version1, quic.Version2}
	case o.Version == 2:
		cfg.Versions = []uint32{quic.Version2}
	default:
		cfg.Versions = []uint32{quic.Version1}
	}
	return nil
}

// preferredPort is the port of the address that a server moves its clients to.
const preferredPort = 4443

// setServer sets what only servers have.
func (o *Options) setServer(cfg *quic.Config, c testCase) error {
	cfg.EarlyData = c.early
	if !c.preferred {
		return nil
	}
	p := &cfg.PreferredAddress
	for _, a := range o.network().Addrs() {
		if at := netip.AddrPortFrom(a, preferredPort); a.Is4() && !p.IPv4.IsValid() {
			p.IPv4 = at
		} else if a.Is6() && !p.IPv6.IsValid() {
			p.IPv6 = at
		}
	}
	if !p.IPv4.IsValid() && !p.IPv6.IsValid() {
		return errors.New("this machine has no address that clients could be told to move to")
	}
	return nil
}

// setClient sets what only clients have.
func setClient(cfg *quic.Config, c testCase) error {
	if c.chacha20 {
		cfg.CipherSuite = tls.TLS_CHACHA20_POLY1305_SHA256
	}
	return nil
}

// sessionWait is how long a client waits for a session after its files are there.
const sessionWait = 5 * time.Second

// dial connects: with the session of the first connection, if this is the second.
func (cl *client) dial(ctx context.Context, ep *quicnet.Endpoint, host string, p place) (*quicnet.Conn, error) {
	d := quicnet.Dialer{Endpoint: ep}
	switch p {
	case firstOfTwo:
		cl.sessions = make(chan *quic.Session, 8)
		d.OnSession = func(s *quic.Session) {
			select {
			case cl.sessions <- s:
			default: // one is enough
			}
		}
	case secondOfTwo:
		d.Session, d.ResendEarly = cl.session, true
		if cl.c.early {
			return d.DialEarly(ctx, host, cl.cfg)
		}
	}
	return d.Dial(ctx, host, cl.cfg)
}

// check waits for what the test case still needs of a connection, and tells what was not as it should.
func (cl *client) check(ctx context.Context, conn *quicnet.Conn, p place) error {
	switch p {
	case firstOfTwo:
		return cl.waitSession(ctx)
	case secondOfTwo:
		if !conn.ConnectionState().DidResume {
			return errors.New("the session was not resumed")
		}
		if cl.c.early && conn.EarlyData() != quic.EarlyAccepted {
			return errors.New("the server accepted no 0-RTT data")
		}
	}
	return nil
}

// waitSession waits for a session that the second connection can use.
func (cl *client) waitSession(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sessionWait)
	defer cancel()
	for {
		select {
		case cl.session = <-cl.sessions:
			if cl.session.EarlyData() || !cl.c.early {
				return nil
			}
		case <-ctx.Done():
			return errors.New("the server gave no session that could be resumed")
		}
	}
}

// network returns the network that o names.
func (o *Options) network() Network {
	if o.Network == nil {
		return machine{}
	}
	return o.Network
}

// Addrs returns the addresses of the machine but those that only the machine itself, or its link, can reach.
func (machine) Addrs() (addrs []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}
