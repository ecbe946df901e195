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

	// FollowNetwork has the connection move by itself when the network that it uses goes away and the machine has another: when the
	// system says of what is sent that there is no route or that the local address is gone, or when several probe timeouts
	// bring no answer and the local address is not the machine's any more. It opens a socket for which the system chooses the address,
	// as Conn.Migrate does with ":0", at once and then again after a quarter of a second, later every five seconds, until it has
	// moved or hears from the server where it was. Servers may not allow it (quic.ErrMigrationDisabled). Default false: what
	// is sent is lost until the network is back, or the connection ends with its idle timeout.
	FollowNetwork bool

	// OnPath is called when something has happened to a network path of the connection: which is the way to learn of moves that the
	// program did not ask for, those of FollowNetwork and to the address that the server prefers (quic.PathActivated). It runs on a
	// goroutine of its own for each connection, one call after the other, and may call the connection's methods; of more than 64 events
	// that wait the newest are not told. Default nil.
	OnPath func(c *Conn, ev quic.PathEvent)
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
