package quicnet

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/boringquic/boringquic/quic/udp"
)

// flood is a connection that moves as much as it can, until the test ends.
type flood struct {
	moved *atomic.Int64 // bytes, of all floods
	wg    *sync.WaitGroup
}

// up has the client send without end, down the server.
func (f flood) up(t *testing.T, s, c *Conn)   { f.run(t, s, c, false) }
func (f flood) down(t *testing.T, s, c *Conn) { f.run(t, s, c, true) }

func (f flood) run(t *testing.T, s, c *Conn, down bool) {
	ss, cs := streamPair(t, s, c)
	from, to := cs, ss
	if down {
		from, to = ss, cs
	}
	f.wg.Go(func() { io.Copy(from, endless{}) })
	f.wg.Go(func() { io.Copy(counter{f.moved}, to) })
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestFloodsStarveNobody has connections flood a server in both directions, while another one, which shares the server's socket and
// goroutines with them, sends small requests. How long an answer takes is told by how much the floods move meanwhile: it is a matter
// of turns, not of how fast the machine is.
func TestFloodsStarveNobody(t *testing.T) {
	for name, start := range map[string]func(f flood, t *testing.T, s, c *Conn){"up": flood.up, "down": flood.down} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			ep := listen(t, serverConfig())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer ep.Close()
			connect := func() (s, c *Conn) {
				client := listenWith(t, nil, udp.Options{})
				c, err := client.Dial(ctx, ep.Addr().String(), clientConfig())
				if err == nil {
					s, err = ep.Accept(ctx)
				}
				if err != nil {
					t.Fatal(err)
				}
				return s, c
			}
			var moved atomic.Int64
			f := flood{&moved, &wg}
			small, c := connect()
			wg.Go(func() { echo(small) })
			for range 3 {
				fs, fc := connect()
				start(f, t, fs, fc)
			}
			for moved.Load() < 5<<20 { // until it is under way
				if err := exchange(ctx, c, make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
			}
			var costs []int64
			for range 40 {
				before := moved.Load()
				if err := exchange(ctx, c, make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
				costs = append(costs, moved.Load()-before)
			}
			slices.Sort(costs)
			t.Logf("while a request was answered the floods moved %d KiB (median), %d (9 of 10), %d (most)",
				costs[20]>>10, costs[36]>>10, costs[39]>>10)
			// What waits in the kernel's buffers before a request, 7 MiB each way, has to be dealt with first.
			if most := int64(16 << 20); costs[20] > most || costs[36] > 4*most {
				t.Errorf("half of the requests took more than %d bytes of floods, or a tenth four times that", most)
			}
		})
	}
}
