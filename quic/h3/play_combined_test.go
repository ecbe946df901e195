package h3

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/internal/sim"
	"github.com/boringquic/boringquic/quic/qpack"
)

// combination is what the transport has to do in a play beside carrying it: versions, Retry, 0-RTT data that is accepted or not, key updates, a client behind
// a NAT that forgets, links that reorder, duplicate, become narrow and clear ECN marks.
type combination struct {
	early   bool // the first requests are early data
	resend  bool // and sent again by itself if that is rejected
	rejects bool // which it is
	server  *quic.Config
	roamer  sim.Roamer
	updates int // of keys, on either side
	moves   int // of the client
}

// combine draws a combination, and changes the configurations as it wants them.
func (p *play) combine(client, server *quic.Config, h [2]*Config) *combination {
	c := &combination{early: p.rng.IntN(2) == 0, resend: p.rng.IntN(2) == 0, rejects: p.rng.IntN(2) == 0, server: server,
		updates: p.rng.IntN(30), moves: p.rng.IntN(6)}
	versions := [][]uint32{nil, {quic.Version1}, {quic.Version2, quic.Version1}, {quic.Version1, quic.Version2}}
	client.Versions, server.Versions = versions[p.rng.IntN(4)], versions[p.rng.IntN(4)]
	for i, cfg := range []*quic.Config{client, server} {
		cfg.MaxUDPPayload = []int{1200, 1350, sim.EthernetPayload}[p.rng.IntN(3)]
		cfg.MaxIdleTimeout = time.Hour
		h[i].BlockedTimeout = time.Minute
		switch p.rng.IntN(3) {
		case 0:
			h[i].QPACKBlockedStreams = 1
		case 1:
			h[i].QPACKTableCapacity, h[i].EncoderTableCapacity = 1<<16, 1<<16
		}
		if p.rng.IntN(4) == 0 {
			cfg.ReceiveWindow, cfg.MaxReceiveWindow = 2000, 2000
		}
		if p.rng.IntN(4) == 0 {
			cfg.MaxStreamsBidi = 1
		}
	}
	client.KeepAlive = 5 * time.Second // else one who waits for a response does not tell where it is
	server.EarlyData = true
	if p.rng.IntN(2) == 0 {
		server.Retry = func(netip.AddrPort) bool { return p.rng.IntN(2) == 0 }
	}
	return c
}

// stages puts what happens on the way around the stages of a play.
func (c *combination) stages(p *play, out, in []sim.Stage) (toServer, toClient []sim.Stage) {
	c.roamer.Move(netip.AddrPortFrom(sim.ClientAddr.Addr(), 2000))
	for _, s := range []*[]sim.Stage{&out, &in} {
		if p.rng.IntN(2) == 0 {
			*s = append(*s, sim.Reorder(0.1, 10*time.Millisecond), sim.Duplicate(0.1, 10*time.Millisecond))
		}
		if p.rng.IntN(2) == 0 {
			*s = append(*s, sim.Narrow(sim.EthernetPayload, 1200+p.rng.IntN(200), p.w.Elapsed()+time.Duration(p.rng.IntN(1000))*time.Millisecond))
		}
		if p.rng.IntN(3) == 0 {
			*s = append(*s, sim.ClearECN())
		}
	}
	return append([]sim.Stage{c.roamer.Out()}, out...), append(in, c.roamer.In())
}

// disturb begins the moves and key updates, when the handshake is confirmed.
func (p *play) disturb() {
	c := p.combined
	soon := func(do func()) { p.w.After(time.Duration(p.rng.IntN(1500))*time.Millisecond, do) }
	for range c.updates {
		side := p.client
		if p.rng.IntN(2) == 0 {
			side = p.server
		}
		soon(func() {
			if side.conn.KeyUpdate() == nil {
				side.conn.Touch()
			}
		})
	}
	for i := range c.moves {
		soon(func() {
			to := netip.AddrPortFrom(sim.ClientAddr.Addr(), uint16(3000+p.rng.IntN(1000)))
			if i%2 == 0 {
				to = netip.AddrPortFrom(sim.ClientAddr.Addr().Next(), to.Port())
			}
			c.roamer.Move(to)
		})
	}
}

// beginsHTTP tells whether an event is the first after which streams can be there.
func beginsHTTP(kind quic.EventKind) bool {
	switch kind {
	case quic.EventHandshakeComplete, quic.EventEarlyReady, quic.EventStreamOpened, quic.EventEarlyData:
		return true
	}
	return false
}

// earlierSession makes a connection for the session that the play begins with, nil if it begins with none. A server that is to reject 0-RTT data is another one
// then, which knows the ticket.
func (c *combination) earlierSession(p *play, client, server *sim.Host, cfg *quic.Config, h [2]*Config) (session *quic.Session, err error) {
	if !c.early {
		return nil, nil
	}
	c.server.TicketKeys = [][32]byte{{1}}
	if c.server.EarlyContext, err = h[1].EarlyContext(); err != nil {
		return nil, err
	}
	if server.Endpoint, err = quic.NewEndpoint(c.server); err != nil {
		return nil, err
	}
	onEvent := client.OnEvent
	client.OnEvent = func(conn *sim.Conn, ev quic.Event) {
		s, _ := conn.App.(*Conn)
		if s == nil {
			if ev.Kind != quic.EventHandshakeComplete {
				return
			}
			i := 1
			if conn.IsClient() {
				i = 0
			}
			if s, err = New(p.w.Now(), conn.Conn, h[i]); err != nil {
				p.fail("%v", err)
				return
			}
			conn.App = s
		}
		s.HandleEvent(p.w.Now(), &ev)
		for e := s.NextEvent(); e != nil; e = s.NextEvent() {
			if e.Kind == EventSession && e.Session.EarlyData() {
				session = e.Session
			}
		}
		conn.Touch()
	}
	server.OnEvent = client.OnEvent
	plain := func() []sim.Stage { return []sim.Stage{sim.Delay(5*time.Millisecond, 0)} }
	client.Attach(sim.NewLink(p.w, nil, "", plain(), server.Receive))
	server.Attach(sim.NewLink(p.w, nil, "", plain(), client.Receive))
	qc, err := client.Endpoint.Connect(p.w.Now(), cfg, quic.ConnectParams{ServerName: "peer.example", Local: sim.ClientAddr, Remote: sim.ServerAddr})
	if err != nil {
		return nil, err
	}
	conn := client.Add(qc)
	if err := p.w.Run(time.Minute, func() bool { return session != nil }); err != nil {
		return nil, errors.Join(errors.New("the connection that is to give a session"), err)
	}
	conn.Close(p.w.Now(), true, 0, "")
	conn.Touch()
	over := func() bool { return client.Conns[0].Drained && server.Conns[0].Drained }
	if err := p.w.Run(time.Minute, over); err != nil {
		return nil, err
	}
	client.Conns[0].Release()
	server.Conns[0].Release()
	client.Conns, server.Conns = nil, nil
	client.OnEvent, server.OnEvent = onEvent, onEvent
	if c.rejects {
		server.Endpoint, err = quic.NewEndpoint(c.server)
	}
	return session, err
}

// playFields are fields of a request, or of its response, some of them like those of others.
func playFields(i int, answer bool) (out []qpack.Field) {
	if answer {
		i += 1000
	}
	out = append(out, qpack.Field{Name: "x-same", Value: "for all of them"}, qpack.Field{Name: "x-few", Value: strconv.Itoa(i % 3)},
		qpack.Field{Name: "x-own", Value: fmt.Sprintf("only %d", i)})
	for k := range i % 4 {
		out = append(out, qpack.Field{Name: "x-many", Value: strings.Repeat("m", k*k) + strconv.Itoa(i%5)})
	}
	return out
}

// hasFields tells whether the fields of a message that begin with "x-" are want, beside x-request and x-long.
func hasFields(got, want []qpack.Field) bool {
	k := 0
	for _, f := range got {
		if !strings.HasPrefix(f.Name, "x-") || f.Name == "x-request" || f.Name == "x-long" {
			continue
		}
		if k == len(want) || f.Name != want[k].Name || f.Value != want[k].Value {
			return false
		}
		k++
	}
	return k == len(want)
}

// TestCombinedPlays is TestRandomPlays while the transport is busy: see combination. Without Priority.Critical 343 and 349 fail.
func TestCombinedPlays(t *testing.T) {
	for seed := uint64(301); seed <= 400; seed++ {
		if err := runPlay(seed, true); err != nil {
			t.Errorf("seed %d (-play.seed=%d): %v", seed, seed, err)
		}
	}
}
