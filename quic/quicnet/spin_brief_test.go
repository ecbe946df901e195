package quicnet_test

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// brief is a round of its own: connections that are busy, one small message each way after the other, are closed in the midst of that,
// and their peers must be told: when Close returns, word of it has left.
func (sp *spin) brief() {
	server, client := sp.drawConfigs()
	server.MaxHandshakes = 0
	server.MaxIdleTimeout, client.KeepAlive, server.KeepAlive = 30*time.Second, 0, 0 // which ends those who were not told
	sp.cfg, sp.configs = client, [2]*quic.Config{client, server}
	ep, from := sp.listen(server), sp.listen(nil)
	ctx := context.Background()
	var answering, work crew
	answering.start(func() {
		for c, err := ep.Accept(ctx); err == nil; c, err = ep.Accept(ctx) {
			sp.left.add(c)
			c.HandleStreams(func(s *quicnet.Stream) {
				answering.add(1)
				defer answering.add(-1)
				io.Copy(s, s)
			})
			c.Context() // which has to be told
		}
	})
	var conns []*quicnet.Conn
	for range 1 + sp.dice.IntN(8) {
		c, err := from.Dial(ctx, ep.Addr().String(), client)
		if err != nil {
			sp.t.Fatalf("seed %d: Dial returned %v", sp.seed, err)
		}
		sp.left.add(c)
		conns = append(conns, c)
	}
	var messages atomic.Int64
	most := 2000
	for _, cfg := range sp.configs {
		if n := cfg.StreamSendBuffer; n > 0 {
			most = min(most, 50*n) // each time that it is full costs a round trip, and an acknowledgement may be delayed
		}
	}
	enough := make(chan struct{})
	closeAfter := 1 + sp.dice.Int64N(200)
	for _, c := range conns {
		d := sp.fork()
		work.start(func() {
			s, err := c.OpenStream(ctx)
			if err != nil {
				sp.wantCloseError("OpenStream", err)
				return
			}
			b := make([]byte, 1+d.IntN(most))
			for {
				_, err := s.Write(b)
				if err == nil {
					_, err = io.ReadFull(s, b)
				}
				if err != nil {
					sp.wantCloseError("a message", err)
					return
				}
				if messages.Add(1) == closeAfter {
					close(enough)
				}
			}
		})
	}
	<-enough
	sp.allDisturbed.Store(true)
	way := sp.dice.IntN(3)
	switch way {
	case 0:
		ep.Close()
	case 1:
		from.Close()
	case 2:
		for _, c := range conns {
			code := spinCloseCode + uint64(sp.dice.IntN(spinCodes))
			work.start(func() { c.CloseWithError(code, "") })
		}
	}
	sp.count([]string{"server endpoint closes", "client endpoint closes", "client closes"}[way])
	work.wait()
	for i, c := range conns {
		if err := c.Err(); err == nil {
			sp.fault("connection %d of %d does not know of its end", i, len(conns))
		}
	}
	if way == 2 {
		sp.pause(2 * time.Second)
	}
	from.Close()
	ep.Close()
	answering.wait()
	sp.left.wantGone(sp, "in the end", true)
}
