package quicnet_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/boringquic/boringquic/quic/quicnettest"
)

// How connections end.

// storm brings an end about in the midst of the work.
func (sp *spin) storm(d *rand.Rand) {
	sp.pause(time.Duration(d.IntN(int(pick(d, time.Millisecond, 50*time.Millisecond, 3*time.Second)))))
	sp.end(d)
}

// end ends connections, in one of the ways that there are.
func (sp *spin) end(d *rand.Rand) {
	closeEnds := func(ends ...int) {
		var wg sync.WaitGroup
		for _, l := range sp.allLinks() {
			for _, end := range ends {
				if chance(d, 0.3) {
					continue // others are to live on
				}
				if c := sp.endOf(l, end); c != nil {
					l.disturbed.Store(true)
					code := spinCloseCode + uint64(d.IntN(spinCodes))
					if chance(d, 0.3) {
						ctx := sp.briefly(context.Background(), d, 1)
						wg.Go(func() { c.CloseGracefully(ctx, code, "the spinner closes gracefully") })
					} else {
						wg.Go(func() { c.CloseWithError(code, "the spinner closes") })
					}
				}
			}
		}
		wg.Wait()
	}
	way := pick(d, "clients close", "server closes", "both close", "server's endpoint closes", "client's endpoint closes", "silence",
		"shutdown", "refusal")
	sp.count(way)
	switch way {
	case "clients close":
		closeEnds(clientEnd)
	case "server closes":
		closeEnds(serverEnd)
	case "both close":
		closeEnds(clientEnd, serverEnd)
	case "server's endpoint closes":
		sp.allDisturbed.Store(true)
		sp.server.Close()
	case "client's endpoint closes":
		sp.allDisturbed.Store(true)
		sp.client(d).Close()
	case "silence":
		if sp.network == nil || sp.configs[0].MaxIdleTimeout < 0 && sp.configs[1].MaxIdleTimeout < 0 {
			closeEnds(serverEnd)
			return
		}
		sp.allDisturbed.Store(true)
		sp.silence.Store(true)
		sp.network.SetLink(quicnettest.Link{Loss: 1})
		if chance(d, 0.3) {
			sp.pause(time.Duration(d.IntN(int(time.Minute))))
			closeEnds(clientEnd, serverEnd)
		}
	case "shutdown":
		sp.refusing.Store(true)
		sp.allDisturbed.Store(true)
		if chance(d, 0.5) {
			sp.client(d).Refuse() // which changes nothing
		}
		ctx := sp.briefly(context.Background(), d, 1)
		if err := sp.server.Shutdown(ctx); err != nil && ctx.Err() == nil {
			sp.fault("Shutdown returned %v", err)
		}
	case "refusal":
		sp.refusing.Store(true)
		sp.server.Refuse()
		closeEnds(clientEnd)
	}
}

// closeAll closes what is open yet, after a look whether what was closed is known to its peer.
func (sp *spin) closeAll() {
	sp.checkCloses()
	sp.allDisturbed.Store(true)
	var wg sync.WaitGroup
	for _, ep := range append(sp.clients, sp.server) {
		wg.Go(func() { ep.Close() })
		if chance(sp.dice, 0.2) {
			wg.Go(func() { ep.Close() })
		}
	}
	wg.Wait()
}

// checkCloses wants that both ends know of a close. Over a network that loses nothing none has to wait for a timeout.
func (sp *spin) checkCloses() {
	if sp.network == nil || !sp.perfect || sp.silence.Load() {
		return
	}
	time.Sleep(2 * time.Second)
	for _, l := range sp.allLinks() {
		c, s := sp.endOf(l, clientEnd), sp.endOf(l, serverEnd)
		if c == nil || s == nil {
			continue
		}
		if ce, se := c.Err(), s.Err(); (ce == nil) != (se == nil) {
			sp.fault("a connection is closed at one end alone: the client has %v, the server %v", ce, se)
		}
	}
}
