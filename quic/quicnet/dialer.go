package quicnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// Dialer says how to connect. Its zero value is that of the functions Dial and DialEarly: a connection over a socket of its own, with a
// session if tls.Config.ClientSessionCache has one. It may be used for any number of connections, also at once.
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

	// Protocol gives the connection the Protocol that lives in its turn, as ListenConfig.Protocol does: when the handshake is complete or
	// early data can be sent, before Dial or DialEarly returns. Where several addresses of a name are tried, it may be called for several
	// connections of one Dial, of which all but one are closed.
	Protocol func(t *Turn) Protocol

	// Session is one that OnSession, or Conn.Session, of an earlier connection to the server gave. The connection resumes it if it is of
	// that server's name and the server still knows it; else the handshake is a full one, and nothing else is different. A
	// Session should serve once: with the same one again some servers refuse early data, and whoever watches the network knows that it is
	// the same client. Default nil: tls.Config.ClientSessionCache is asked; if that is nil, too, there is no resumption.
	Session *quic.Session

	// OnSession is called for each session that the server gives for later connections, as a rule one or two soon after the handshake,
	// on a goroutine of the connection's own, one call after the other. What it stores with Session.SetAppData goes along into
	// tls.Config.ClientSessionCache. A further Session with the ticket of the last one (Session.SameTicket) takes its place.
	OnSession func(*quic.Session)

	// ResendEarly has what DialEarly's connection has sent before the handshake was complete be sent again, after it, if the server
	// rejects early data: the application notices nothing but the delay. Default false: streams on which something was written before then end with
	// quic.ErrEarlyDataRejected, and the application decides. It is not sent again where the server chose another protocol (ALPN).
	ResendEarly bool
}

// dialing is a Dialer with what belongs to one call of Dial.
type dialing struct {
	Dialer
	early   bool
	store   *sessionStore // where new sessions go; nil: nobody wants them
	session *quic.Session // that the connection may resume; nil: none
}

// Dial connects to addr as the function Dial does. If there is a session, the handshake is a resumed one, which costs both sides less.
func (d Dialer) Dial(ctx context.Context, addr string, cfg *quic.Config) (*Conn, error) {
	return d.dial(ctx, addr, cfg, false)
}

// DialEarly is Dial that returns as soon as streams can be opened and written to: at once, if there is a session with which the server
// allowed early data (0-RTT, RFC 9001, section 4.6), and else when the handshake is complete. Conn.Handshake waits for that in any case,
// and Conn.EarlyData tells what became of early data.
//
// Until the handshake is complete, what is written leaves within the limits of the earlier connection. It is encrypted for the server that the
// session is from, but whoever records it can send it to the server again: it should be such that nothing happens twice, as a GET
// is (RFC 8470). Reading waits for the server's answers, which may come before the handshake's end. Whether the server
// accepts early data is known after a round trip; Dialer.ResendEarly says what happens if it does not.
//
// That a server cannot be reached is not known yet when DialEarly returns with early data: the connection ends then with the error that
// Dial would have returned, and with quic.InvalidToken where a server refuses the session's token, after which Dial would have tried again
// without. Of several addresses of a name it has taken the first one: early data goes to one alone.
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
	p := &dialing{Dialer: d, early: early}
	if err := p.findSession(ctx, t, cfg); err != nil {
		return nil, fmt.Errorf("quicnet: dial %s: %w", addr, err)
	}
	if d.Endpoint != nil {
		return d.Endpoint.dial(ctx, t, cfg, p)
	}
	ep, err := d.open(t)
	if err != nil {
		return nil, fmt.Errorf("quicnet: dial %s: %w", addr, err)
	}
	c, err := ep.dial(ctx, t, cfg, p)
	if err != nil {
		ep.Close()
		return nil, err
	}
	ep.shards[0].closeWhenUnused()
	return c, nil
}

// findSession finds out which session may be resumed, and where new ones go.
func (d *dialing) findSession(ctx context.Context, t target, cfg *quic.Config) (err error) {
	if cfg == nil || cfg.TLS == nil || cfg.TLS.SessionTicketsDisabled {
		return nil // if that is an error, it is told later
	}
	d.store = newSessionStore(cfg.TLS, t, d.OnSession)
	if d.session = d.Session; d.session == nil && d.store != nil {
		var early bool
		d.session, early, err = d.store.take(ctx)
		d.early = d.early && early
	}
	return err
}

// withSession is d with another session, or none.
func (d *dialing) withSession(session *quic.Session) *dialing {
	out := *d
	out.session = session
	return &out
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
