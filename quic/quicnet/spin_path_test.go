package quicnet_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
	"github.com/boringquic/boringquic/quic/udp"
)

// Clients move.

// openMemory opens a socket on the network in memory, which is slow now and then.
func (sp *spin) openMemory(local string) (*udp.Socket, error) {
	if strings.HasSuffix(local, ":0") {
		local = ""
	}
	pc, err := sp.network.ListenPacket(local)
	if err != nil {
		return nil, err
	}
	sp.mu.Lock()
	dice := sp.openDice
	seeds := [2]uint64{dice.Uint64(), dice.Uint64()}
	sp.mu.Unlock()
	return udp.New(&slowConn{PacketConn: pc, sp: sp, dice: rand.New(rand.NewPCG(seeds[0], seeds[1]))}, udp.Options{})
}

// listenMemory makes an endpoint on the network in memory.
func (sp *spin) listenMemory(cfg *quic.Config) (*quicnet.Endpoint, error) {
	sock, err := sp.openMemory("")
	if err != nil {
		return nil, err
	}
	return quicnet.ListenConfig{OpenSocket: sp.openMemory, OnPath: sp.onPath}.NewEndpoint(sock, cfg)
}

func (sp *spin) onPath(c *quicnet.Conn, ev quic.PathEvent) {
	if c.RemoteAddr() == nil || ev.Kind == 0 {
		sp.fault("a path event %+v", ev)
	}
	sp.count("path " + ev.Kind.String())
}

// drawPaths draws what concerns paths.
func (sp *spin) drawPaths(server, client *quic.Config) {
	d := sp.dice
	sp.openDice = sp.fork()
	server.DisableActiveMigration = chance(d, 0.1)
	client.IgnorePreferredAddress = chance(d, 0.1)
	if chance(d, 0.2) {
		if sp.network != nil {
			server.PreferredAddress.IPv4 = netip.MustParseAddrPort("198.51.100.9:443")
		} else if pc, err := net.ListenPacket("udp4", "127.0.0.1:0"); err == nil {
			server.PreferredAddress.IPv4 = pc.LocalAddr().(*net.UDPAddr).AddrPort()
			pc.Close()
		}
	}
}

// move has a client use other paths.
func (l *spinLink) move(d *rand.Rand, c *quicnet.Conn) {
	l.moves.Store(true)
	local := ":0"
	if l.sp.network == nil {
		local = "127.0.0.1:0"
	}
	var paths []*quicnet.Path
	for range 1 + d.IntN(5) {
		ctx := l.sp.briefly(context.Background(), d, 0.3)
		var err error
		switch what := d.IntN(6); {
		case what == 0 || len(paths) == 0:
			var p *quicnet.Path
			if p, err = c.AddPath(ctx, local); err == nil {
				paths = append(paths, p)
			}
		case what == 1:
			err = c.Migrate(ctx, local)
		case what == 2:
			err = c.Migrate(ctx, pick(d, paths...).LocalAddr().String())
		case what == 3:
			pick(d, paths...).Close() // or it is the only one
		case what == 4:
			err = pick(d, paths...).Migrate(ctx)
		default:
			if n := len(c.Paths()); n > 4 {
				l.sp.fault("a connection has %d paths", n)
			}
			pick(d, paths...).Info()
		}
		l.judgeMove(ctx, err)
		if chance(d, 0.5) {
			l.sp.pause(time.Duration(d.IntN(int(time.Second))))
		}
	}
	if chance(d, 0.3) {
		for _, p := range paths {
			p.Close()
		}
	}
}

// judgeMove judges an error of AddPath or Migrate. That no answer comes may be for want of connection IDs at the server, or of a network that
// carries all.
func (l *spinLink) judgeMove(ctx context.Context, err error) {
	switch {
	case err == nil:
		l.sp.count("moved")
	case errors.Is(err, quic.ErrNoConnIDs) || errors.Is(err, quic.ErrTooManyPaths) || strings.Contains(err.Error(), "does not answer") ||
		strings.Contains(err.Error(), "given up"):
		l.sp.count("not moved")
	case errors.Is(err, quic.ErrMigrationDisabled) && l.sp.configs[serverEnd].DisableActiveMigration:
	case strings.Contains(err.Error(), "in use"): // it is the address of a path that has ended meanwhile, whose socket is being closed
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
	default:
		l.wantEnd("a move", err)
	}
}

// spinDial connects as a Dialer of some kind does.
func (sp *spin) spinDial(ctx context.Context, ep *quicnet.Endpoint, d *rand.Rand) (*quicnet.Conn, error) {
	dialer := quicnet.Dialer{Endpoint: ep, FollowNetwork: chance(d, 0.3)}
	if sp.network == nil && chance(d, 0.3) {
		dialer.Endpoint = nil
	}
	if chance(d, 0.3) {
		dialer.OnPath = sp.onPath
	}
	return dialer.Dial(ctx, sp.server.Addr().String(), sp.cfg)
}
