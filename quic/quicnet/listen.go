package quicnet

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// ListenConfig says how to listen. Its zero value stands for one socket as it is best for most servers.
type ListenConfig struct {
	// Shards is how many sockets share the address, at most 256, each with a goroutine that reads it, timers and connections of its
	// own: for servers that have more to do than one core can. Default 1; negative: one for each core that Go uses, which is
	// runtime.GOMAXPROCS(0) where the machine has so many. Each connection belongs to a shard, which its connection IDs name, so that it has
	// all of its packets though the client's address changes. Connections spread at random, and Accept returns those of all
	// shards. Away from Linux there is one shard whatever is asked for.
	//
	// With several shards quic.Config.ConnIDs must make connection IDs of 4 to 19 bytes, to which one byte is added; or, like a
	// Generator of package quiclb, have a method ServerUseLen() int and leave at least so many bytes of each to the server: 1. quic.Config.Retry
	// is called by all shards side by side; and the bounds for the endpoint as a whole, such as quic.Config.MaxHandshakes,
	// hold for each shard.
	Shards int

	// Socket is how the sockets are opened.
	Socket udp.Options

	// OpenSocket opens further sockets of the endpoint, bound to local, "IP:PORT", of which both may be zero: for Conn.AddPath,
	// Conn.Migrate and Dialer.FollowNetwork, and for NewEndpoint at the addresses of quic.Config.PreferredAddress. It is for endpoints
	// whose sockets are not those of the machine, such as a net.PacketConn of a test. Default nil: udp.Listen with Socket; and NewEndpoint
	// opens none.
	OpenSocket func(local string) (*udp.Socket, error)

	// OnHandshakeError is called for a client whose connection did not come about, with its address, a *net.UDPAddr, and the cause:
	// what Conn.Err would say. That is a *quic.TransportError, in which errors.As finds the tls.AlertError of either side and what
	// was wrong with a certificate here; or a *quic.IdleTimeoutError if the client fell silent. Clients that were refused for want of
	// room (Accept was too slow) are among them; those that were turned away before a handshake are not: Endpoint.Stats counts them.
	//
	// It is called on a goroutine of its own, one call after the other, 100 times at once and 10 times a second at most, so that a
	// flood of bad clients does not become one of calls; Endpoint.Stats counts all. Addresses may be made up. Default nil.
	OnHandshakeError func(remote net.Addr, err error)

	// OnPath is called when something has happened to a network path of a connection that was accepted, such as that its client
	// has moved (quic.PathActivated). It runs on a goroutine of its own for each connection, one call after the other; of more than 64
	// events that wait the newest are not told. Default nil.
	OnPath func(c *Conn, ev quic.PathEvent)

	// Protocol gives a connection the Protocol that lives in its turn. It is called once for each client, when the handshake is complete or,
	// with quic.Config.EarlyData, when early data has come, before any event of a stream or datagram; under the connection's lock, so that
	// it may do what a Protocol may, and opens streams of its own by Turn.Core. A connection with a Protocol is not offered to Accept;
	// where Protocol returns nil, the connection is an ordinary one, which is. Default nil: all are.
	Protocol func(t *Turn) Protocol

	// Logger is told the same as OnHandshakeError, at the same rate: a warning with the attributes remote, err and, where some were left out in between,
	// omitted; and an error if the socket fails. Default nil: nothing is logged.
	Logger *slog.Logger
}

// Listen accepts QUIC connections on a UDP address, as the function Listen does.
func (lc ListenConfig) Listen(addr string, cfg *quic.Config) (*Endpoint, error) {
	if cfg == nil {
		return nil, errors.New("quicnet: Listen needs a Config")
	}
	n := max(lc.Shards, 1)
	if lc.Shards < 0 {
		n = min(cores(), maxShards)
	}
	if n > maxShards {
		return nil, fmt.Errorf("quicnet: %d shards are more than %d", n, maxShards)
	}
	groups, err := lc.open(addr, n, cfg)
	if err == nil {
		var ep *Endpoint
		if ep, err = lc.listenOn(groups, cfg); err == nil {
			return ep, nil
		}
	}
	for _, group := range groups {
		for _, sock := range group {
			sock.Close()
		}
	}
	return nil, err
}

// open opens n sockets, or one where sockets cannot share an address, at addr and at each of the preferred addresses that it does not
// take in. Also with an error it returns those that are open.
func (lc ListenConfig) open(addr string, n int, cfg *quic.Config) (groups [][]*udp.Socket, err error) {
	socks, err := udp.ListenGroup("udp", addr, n, lc.Socket)
	if errors.Is(err, errors.ErrUnsupported) {
		n = 1
		socks, err = udp.ListenGroup("udp", addr, n, lc.Socket)
	}
	if err != nil {
		return nil, fmt.Errorf("quicnet: %w", err)
	}
	groups = append(groups, socks)
	for _, a := range preferredBeside(socks[0].LocalAddr(), cfg) {
		network := "udp6"
		if a.Addr().Is4() {
			network = "udp4"
		}
		socks, err := udp.ListenGroup(network, a.String(), n, lc.Socket)
		if err != nil {
			return groups, preferredError(a, err)
		}
		groups = append(groups, socks)
	}
	return groups, nil
}

// preferredBeside returns the preferred addresses that do not lead to the socket that is bound to local anyway.
func preferredBeside(local netip.AddrPort, cfg *quic.Config) (out []netip.AddrPort) {
	if cfg == nil {
		return nil
	}
	bound := socket{local: local}
	for _, a := range preferredOf(cfg) {
		if a.IsValid() && !bound.serves(a) {
			out = append(out, a)
		}
	}
	return out
}

// preferredOf returns the addresses of the endpoint that clients are asked to move to.
func preferredOf(cfg *quic.Config) []netip.AddrPort {
	return []netip.AddrPort{cfg.PreferredAddress.IPv4, cfg.PreferredAddress.IPv6}
}

func preferredError(a netip.AddrPort, err error) error {
	return fmt.Errorf("quicnet: no socket for the preferred address %v of Config.PreferredAddress: %w", a, err)
}

// listenOn runs an endpoint on a group of sockets for each address.
func (lc ListenConfig) listenOn(groups [][]*udp.Socket, cfg *quic.Config) (*Endpoint, error) {
	n := len(groups[0])
	if n == 1 {
		return lc.runOne(groups, cfg)
	}
	steering, err := newSteering(n, cfg)
	if err != nil {
		return nil, err
	}
	first := *searched(groups[0][0], cfg)
	first.ConnIDs = steering.ids(0, cfg.ConnIDs)
	core, err := quic.NewEndpoint(&first)
	if err != nil {
		return nil, err
	}
	cores := []*quic.Endpoint{core}
	for i := 1; i < n; i++ {
		sibling, err := core.Sibling(steering.ids(i, cfg.ConnIDs))
		if err != nil {
			return nil, err
		}
		cores = append(cores, sibling)
	}
	for _, group := range groups {
		// Where this fails, shards hand over to each other what the kernel gives to the wrong one.
		group[0].Steer(steering.program())
	}
	ep := lc.newEndpoint(groups, cfg)
	ep.steering = steering
	ep.start(cores)
	return ep, nil
}

// runOne runs an endpoint of one shard.
func (lc ListenConfig) runOne(groups [][]*udp.Socket, cfg *quic.Config) (*Endpoint, error) {
	core, err := quic.NewEndpoint(searched(groups[0][0], cfg))
	if err != nil {
		return nil, err
	}
	ep := lc.newEndpoint(groups, cfg)
	ep.start([]*quic.Endpoint{core})
	return ep, nil
}
