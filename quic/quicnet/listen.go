package quicnet

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/udp"
)

// ListenConfig says how to listen. Its zero value stands for one socket as it is best for most servers.
type ListenConfig struct {
	// Shards is how many sockets share the address, at most 256, each with a goroutine that reads it, timers and connections of its
	// own: for servers that have more to do than one core can. Default 1; negative: one for each core that Go uses, which is
	// runtime.GOMAXPROCS(0). Each connection belongs to a shard, which its connection IDs name, so that it has
	// all of its packets though the client's address changes. Connections spread at random, and Accept returns those of all
	// shards. Away from Linux there is one shard whatever is asked for.
	//
	// With several shards quic.Config.ConnIDs must make connection IDs of 4 to 19 bytes, to which one byte is added; quic.Config.Retry
	// is called by all shards side by side; and the bounds for the endpoint as a whole, such as quic.Config.MaxHandshakes,
	// hold for each shard.
	Shards int

	// Socket is how the sockets are opened.
	Socket udp.Options

	// OnHandshakeError is called for a client whose connection did not come about, with its address, a *net.UDPAddr, and the cause:
	// what Conn.Err would say. That is a *quic.TransportError, in which errors.As finds the tls.AlertError of either side and what
	// was wrong with a certificate here; or a *quic.IdleTimeoutError if the client fell silent. Clients that were refused for want of
	// room (Accept was too slow) are among them; those that were turned away before a handshake are not: Endpoint.Stats counts them.
	//
	// It is called on a goroutine of its own, one call after the other, 100 times at once and 10 times a second at most, so that a
	// flood of bad clients does not become one of calls; Endpoint.Stats counts all. Addresses may be made up. Default nil.
	OnHandshakeError func(remote net.Addr, err error)

	// Logger is told the same, at the same rate: a warning with the attributes remote, err and, where some were left out in between,
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
		n = min(runtime.GOMAXPROCS(0), maxShards)
	}
	if n > maxShards {
		return nil, fmt.Errorf("quicnet: %d shards are more than %d", n, maxShards)
	}
	socks, err := udp.ListenGroup("udp", addr, n, lc.Socket)
	if errors.Is(err, errors.ErrUnsupported) {
		socks, err = udp.ListenGroup("udp", addr, 1, lc.Socket)
	}
	if err != nil {
		return nil, fmt.Errorf("quicnet: %w", err)
	}
	ep, err := lc.listenOn(socks, cfg)
	if err != nil {
		for _, sock := range socks {
			sock.Close()
		}
	}
	return ep, err
}

// listenOn runs an endpoint on sockets that share an address.
func (lc ListenConfig) listenOn(socks []*udp.Socket, cfg *quic.Config) (*Endpoint, error) {
	if len(socks) == 1 {
		return lc.NewEndpoint(socks[0], cfg)
	}
	steering, err := newSteering(len(socks), cfg)
	if err != nil {
		return nil, err
	}
	first := *cfg
	first.ConnIDs = steering.ids(0, cfg.ConnIDs)
	core, err := quic.NewEndpoint(&first)
	if err != nil {
		return nil, err
	}
	cores := []*quic.Endpoint{core}
	for i := 1; i < len(socks); i++ {
		sibling, err := core.Sibling(steering.ids(i, cfg.ConnIDs))
		if err != nil {
			return nil, err
		}
		cores = append(cores, sibling)
	}
	// Where this fails, shards hand over to each other what the kernel gives to the wrong one.
	socks[0].Steer(steering.program())
	ep := lc.newEndpoint(socks, cfg)
	ep.steering = steering
	ep.start(cores)
	return ep, nil
}
