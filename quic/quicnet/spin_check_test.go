package quicnet_test

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/boringquic/boringquic/quic"
	"github.com/boringquic/boringquic/quic/quicnet"
)

// rest checks what must hold when the work is done: connections that nobody disturbed are open, all is acknowledged, streams are
// gone, and nothing is sent but what keeps connections alive.
func (sp *spin) rest() {
	if sp.network == nil {
		sp.wantAlive()
		return
	}
	time.Sleep(30 * time.Second) // acknowledgements, and what stands in for those that got lost
	synctest.Wait()
	sp.wantAlive()
	untold := sp.silence.Load() || sp.stormy && !sp.perfect // who was not told of a close goes on trying
	if !untold && !sp.allDisturbed.Load() {                 // and who answers may have stopped before all was answered
		sp.left.wantGone(sp, "at rest", false)
	}
	if untold {
		return
	}
	established := -sp.server.Stats().Established
	for _, ep := range append(sp.clients, sp.server) {
		st := ep.Stats()
		if st.Handshaking+st.Waiting+st.Closing != 0 {
			sp.fault("at rest an endpoint has %+v", st)
		}
		if ep != sp.server {
			established += st.Established
		}
	}
	if established != 0 {
		sp.fault("at rest the clients have %d connections more than the server", established)
	}
	before := sp.packets.Load()
	time.Sleep(time.Minute)
	sent, allowed := sp.packets.Load()-before, int64(0)
	for _, cfg := range sp.configs {
		if cfg.KeepAlive > 0 {
			each := int64(4) // a PING and what acknowledges it, from either side
			if !sp.perfect {
				each = 12 // or is sent after one that was lost
			}
			allowed += int64(time.Minute/cfg.KeepAlive+1) * each
		}
	}
	if allowed *= int64(len(sp.allLinks())); sent > allowed {
		sp.fault("in a minute of rest %d datagrams were sent, more than %d", sent, allowed)
	}
}

// isDisturbed tells whether a connection may be over. So it is, too, when it has idled out while others were waited for: one whose peer was
// closed without word of it takes an hour to find out.
func (l *spinLink) isDisturbed() bool {
	sp := l.sp
	if l.disturbed.Load() || sp.allDisturbed.Load() {
		return true
	}
	if sp.outlastsIdle() {
		for _, end := range []int{clientEnd, serverEnd} {
			if c := sp.endOf(l, end); c != nil && errors.Is(c.Err(), &quic.IdleTimeoutError{}) {
				l.disturbed.Store(true)
				return true
			}
		}
	}
	return false
}

// outlastsIdle tells whether the round has lasted so long that a connection that has nothing to do can have idled out.
func (sp *spin) outlastsIdle() bool {
	for _, cfg := range sp.configs {
		if cfg.MaxIdleTimeout > 0 && time.Since(sp.began) >= cfg.MaxIdleTimeout {
			return true
		}
	}
	return false
}

// wantAlive checks connections that nobody disturbed.
func (sp *spin) wantAlive() {
	for _, l := range sp.allLinks() {
		if l.isDisturbed() {
			continue
		}
		for end, c := range []*quicnet.Conn{sp.endOf(l, clientEnd), sp.endOf(l, serverEnd)} {
			if c == nil {
				continue
			}
			if err := c.Err(); err != nil {
				sp.fault("end %d of a connection that nobody closed has %v", end, err)
			}
			st := c.Stats()
			if sp.network != nil && st.BytesInFlight != 0 && sp.configs[clientEnd].KeepAlive+sp.configs[serverEnd].KeepAlive == 0 {
				sp.fault("end %d: at rest %d bytes are in flight; %+v; %+v", end, st.BytesInFlight, st, c.Paths())
			}
			if sp.perfect && st.PacketsSpurious > 0 && !l.moves.Load() && !sp.configs[serverEnd].PreferredAddress.IPv4.IsValid() {
				sp.fault("end %d: %d packets were taken for lost, %d of them wrongly, over a network that neither loses nor reorders", end,
					st.PacketsLost, st.PacketsSpurious)
			}
		}
	}
}

// settled tells whether all streams of a connection that nobody disturbed have been given to the peer's application, and the calm
// ones have come to their end.
func (sp *spin) settled(l *spinLink) bool {
	if l.isDisturbed() {
		return true
	}
	if l.opened.Load() != l.answered.Load() {
		return false
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, t := range sp.tallies {
		if t.link == l && t.calm && !(t.ended && t.eof) {
			return false
		}
	}
	return true
}

// checkTallies checks that streams arrived as they were written.
func (sp *spin) checkTallies() {
	for k, t := range sp.tallies {
		if t.eof && t.ended && t.got != t.wrote {
			sp.fault("stream of key %x, direction %d: %d bytes were written, %d came before the end", k.stream, k.dir, t.wrote, t.got)
		}
		if t.eof && t.cut {
			sp.fault("stream of key %x, direction %d: Close cut a Write short, and the reader was told of a regular end", k.stream, k.dir)
		}
		if t.calm && !t.link.wasDisturbed && !sp.wasDisturbed && !(t.ended && t.eof) {
			sp.fault("stream of key %x, direction %d, of a connection that nobody disturbed did not come to its end: %d of %d bytes were "+
				"written, ended %v; %d were read, end %v", k.stream, k.dir, t.wrote, t.total, t.ended, t.got, t.eof)
		}
	}
}

// leftovers are things that must go.
type leftovers struct {
	mu        sync.Mutex
	endpoints []weak.Pointer[quicnet.Endpoint]
	conns     []weak.Pointer[quicnet.Conn]
	streams   []weak.Pointer[quicnet.Stream]
}

func (l *leftovers) add(x any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch x := x.(type) {
	case *quicnet.Endpoint:
		l.endpoints = append(l.endpoints, weak.Make(x))
	case *quicnet.Conn:
		l.conns = append(l.conns, weak.Make(x))
	case *quicnet.Stream:
		l.streams = append(l.streams, weak.Make(x))
	}
}

// wantGone checks that nothing holds streams any more, nor, if all is over, connections and endpoints.
func (l *leftovers) wantGone(sp *spin, when string, all bool) {
	var streams, conns, endpoints int
	for n := 0; n < 20 || sp.network == nil && n < 2000; n++ { // over sockets, peers that were told of a close take their time to go
		runtime.GC()
		streams, conns, endpoints = live(l.streams), live(l.conns), live(l.endpoints)
		if !all {
			conns, endpoints = 0, 0
		}
		if streams+conns+endpoints == 0 {
			return
		}
		runtime.Gosched() // a goroutine may be about to end
		if sp.network != nil {
			synctest.Wait()
		} else {
			sp.pause(5 * time.Second)
		}
	}
	sp.fault("%s, something holds %d of %d streams, %d of %d connections, %d of %d endpoints", when, streams, len(l.streams), conns,
		len(l.conns), endpoints, len(l.endpoints))
}

func live[T any](ps []weak.Pointer[T]) (n int) {
	for _, p := range ps {
		if p.Value() != nil {
			n++
		}
	}
	return n
}

// inventory is what a process has.
type inventory struct{ goroutines, files int }

func takeInventory() inventory {
	files, _ := os.ReadDir("/proc/self/fd") // elsewhere there are none
	return inventory{runtime.NumGoroutine(), len(files)}
}

// wantBack checks that there is no more than there was. What ends by itself may take its time.
func (before inventory) wantBack(t *testing.T, seed uint64) {
	t.Helper()
	hung := time.After(time.Minute)
	for {
		now := takeInventory()
		if now.goroutines <= before.goroutines && now.files <= before.files {
			return
		}
		select {
		case <-hung:
			var stacks strings.Builder
			pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Errorf("seed %d: there were %+v, and now there are %+v\n%s", seed, before, now, &stacks)
			return
		default:
			runtime.Gosched()
		}
	}
}
