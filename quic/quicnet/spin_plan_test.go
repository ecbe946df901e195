package quicnet_test

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnettest"
)

// What a round is like.

func pick[T any](d *rand.Rand, of ...T) T { return of[d.IntN(len(of))] }

// drawLink draws a path.
func (sp *spin) drawLink() quicnettest.Link {
	d, ms := sp.dice, time.Millisecond
	link := quicnettest.Link{Delay: pick(d, 0, 0, 100*time.Microsecond, ms, 20*ms, 300*ms), Jitter: pick(d, 0, 0, ms, 10*ms)}
	if chance(d, 0.5) {
		return link
	}
	sp.perfect = false
	link.Loss = pick(d, 0, 0.01, 0.05)
	link.Duplicate = pick(d, 0, 0, 0.05)
	link.Reorder = pick(d, 0, 0, 0.05)
	link.Rate = pick(d, 0, 0, int64(2e6), int64(100e6))
	return link
}

// drawConfigs draws the configurations of both sides, from their whole range.
func (sp *spin) drawConfigs() (server, client *quic.Config) {
	server, client = quicnettest.ServerConfig(), quicnettest.ClientConfig()
	d := sp.dice
	for _, cfg := range []*quic.Config{server, client} {
		cfg.StreamReceiveWindow = pick[uint64](d, 0, 0, 0, 300, 5000, 64<<10)
		cfg.ReceiveWindow = pick[uint64](d, 0, 0, 0, 1000, 20_000, 200<<10)
		if chance(d, 0.2) {
			cfg.MaxStreamReceiveWindow, cfg.MaxReceiveWindow = max(cfg.StreamReceiveWindow, 1000), max(cfg.ReceiveWindow, 1000)
			cfg.StreamReceiveWindow, cfg.ReceiveWindow = min(cfg.MaxStreamReceiveWindow, 1000), min(cfg.MaxReceiveWindow, 1000)
		}
		cfg.MaxStreamsBidi = pick[int64](d, 0, 0, 1, 2, 7)
		cfg.MaxStreamsUni = pick[int64](d, 0, 0, 1, 2, 7)
		cfg.StreamSendBuffer = pick(d, 0, 0, 1, 3, 200, 5000, 64<<10)
		cfg.MaxDatagramFrameSize = pick(d, 0, 100, 1200, 65535)
		cfg.MaxUDPPayload = pick(d, 0, 0, 1300, 1452, 4000)
		cfg.MaxIdleTimeout = pick(d, time.Hour, 3*time.Hour)
		if sp.perfect && chance(d, 0.5) {
			cfg.MaxIdleTimeout = -1 // word of a close always arrives
		}
		cfg.KeepAlive = pick(d, 0, 0, 0, 7*time.Second)
		cfg.Congestion = pick(d, quic.CUBIC, quic.NewReno)
		cfg.MaxAckDelay = pick(d, 0, 0, time.Millisecond, 200*time.Millisecond)
		cfg.MinAckDelay = pick[time.Duration](d, 0, 0, -1)
		cfg.ConnIDs = pick[quic.ConnIDGenerator](d, nil, nil, quic.RandomConnIDs(4), quic.RandomConnIDs(19))
	}
	sp.drawPaths(server, client)
	if chance(d, 0.3) {
		server.Retry = func(netip.AddrPort) bool { return true }
	}
	if chance(d, 0.2) {
		server.MaxHandshakes = pick(d, 1, 3)
		sp.refusing.Store(true)
	}
	if chance(d, 0.3) {
		slow := sp.fork()
		client.TLS.VerifyConnection = func(tls.ConnectionState) error {
			sp.mu.Lock()
			wait := slow.IntN(int(100 * time.Millisecond))
			sp.mu.Unlock()
			sp.pause(time.Duration(wait))
			return nil
		}
	}
	if chance(d, 0.2) {
		server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			sp.pause(10 * time.Millisecond)
			return nil, nil
		}
	}
	if chance(d, 0.2) {
		server.TLS.ClientAuth = tls.RequireAnyClientCert
		client.TLS.Certificates = server.TLS.Certificates
	}
	for _, cfg := range []*quic.Config{server, client} {
		shown := *cfg
		shown.TLS = nil
		sp.t.Logf("config %+v", shown)
	}
	return server, client
}

// slowConn is a net.PacketConn whose writes take their time now and then, so that others get their turn meanwhile, and fail
// if the network may lose something.
type slowConn struct {
	net.PacketConn
	sp *spin

	mu   sync.Mutex
	dice *rand.Rand
	slow float64 // how probable that is; drawn with the first datagram
}

func (c *slowConn) WriteTo(p []byte, to net.Addr) (int, error) {
	c.sp.packets.Add(1)
	c.mu.Lock()
	if c.slow == 0 {
		c.slow = pick(c.dice, 1e-9, 0.01, 0.3, 0.9)
	}
	wait := time.Duration(0)
	if chance(c.dice, c.slow) {
		wait = time.Duration(c.dice.IntN(int(time.Millisecond)))
	}
	fail := !c.sp.perfect && chance(c.dice, 0.01)
	err := pick[error](c.dice, syscall.ENOBUFS, syscall.EPERM, syscall.EMSGSIZE, syscall.ECONNREFUSED, errors.New("some error"))
	c.mu.Unlock()
	if wait > 0 {
		c.sp.pause(wait)
	}
	if fail {
		return 0, err
	}
	return c.PacketConn.WriteTo(p, to)
}
