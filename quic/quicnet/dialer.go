package quicnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// Dialer says how to connect. Its zero value stands for a connection over a socket of its own, by a full handshake: that of the
// functions Dial and DialEarly. It may be used for any number of connections, also at once.
type Dialer struct {
	// Endpoint is whose socket the connection runs over, see Endpoint.Dial. Default nil: a socket is opened for the connection,
	// and closed with it.
	Endpoint *Endpoint

	// LocalAddr is what the connection's own socket is bound to, "IP:PORT": port 0 stands for a free one, no IP for all addresses
	// of the machine. Default ":0". It does not go together with Endpoint, which has its address.
	LocalAddr string
}

// Dial connects to addr as the function Dial does.
func (d Dialer) Dial(ctx context.Context, addr string, cfg *quic.Config) (*Conn, error) {
	return d.dial(ctx, addr, cfg, false)
}

// DialEarly is Dial that returns as soon as streams can be opened. Now that is when the handshake is complete, since there is no
// 0-RTT yet; whoever wants to be sure calls Conn.Handshake.
func (d Dialer) DialEarly(ctx context.Context, addr string, cfg *quic.Config) (*Conn, error) {
	return d.dial(ctx, addr, cfg, true)
}

func (d Dialer) dial(ctx context.Context, addr string, cfg *quic.Config, early bool) (*Conn, error) {
	if d.Endpoint != nil && d.LocalAddr != "" {
		return nil, errors.New("quicnet: Dialer.LocalAddr is for a socket of the connection's own, and Dialer.Endpoint has one: set one of them")
	}
	t, err := resolve(ctx, addr)
	if err != nil {
		return nil, err
	}
	if d.Endpoint != nil {
		return d.Endpoint.dial(ctx, t, cfg, &d)
	}
	ep, err := d.open(t)
	if err != nil {
		return nil, fmt.Errorf("quicnet: dial %s: %w", addr, err)
	}
	c, err := ep.dial(ctx, t, cfg, &d)
	if err != nil {
		ep.Close()
		return nil, err
	}
	ep.shards[0].closeWhenUnused()
	return c, nil
}

// open opens a socket for one connection.
func (d Dialer) open(t target) (*Endpoint, error) {
	network, local := "udp4", d.LocalAddr
	for _, a := range t.addrs {
		if a.Addr().Is6() {
			network = "udp"
		}
	}
	if local == "" {
		local = ":0"
	} else {
		network = "udp"
	}
	sock, err := udp.Listen(network, local, udp.Options{})
	if err != nil {
		return nil, err
	}
	ep, err := NewEndpoint(sock, nil)
	if err != nil {
		sock.Close()
	}
	return ep, err
}
