package sim

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// A client that moves of its own will, or whose NAT gives it another address, while 10 MB are under way.

var (
	otherPort = netip.AddrPortFrom(ClientAddr.Addr(), 50001)
	otherHost = netip.MustParseAddrPort("198.51.100.77:50000")
)

// after is a stage that calls do when the n-th datagram comes, counted from 1, before that goes on.
func after(n int, do func(w *World)) Stage {
	count := 0
	return func(w *World, d Datagram, next func(Datagram)) {
		if count++; count == n {
			do(w)
		}
		next(d)
	}
}

// since is a stage that does something else to one datagram than passing it on: to the n-th, counted from 0, once *begun.
func since(begun *bool, n int, s Stage) Stage {
	count := 0
	return func(w *World, d Datagram, next func(Datagram)) {
		if !*begun {
			next(d)
			return
		}
		if count++; count == n+1 {
			s(w, d, next)
			return
		}
		next(d)
	}
}

// moving is a client that has another address.
type moving struct {
	client *Conn
	roamer Roamer
	failed error
}

// migrate has the client move by itself.
func (m *moving) migrate(to netip.AddrPort) func(w *World) {
	return func(w *World) {
		w.After(0, func() {
			if m.failed = m.client.Migrate(w.Now(), to, netip.AddrPort{}); m.failed == nil {
				m.client.Touch()
			}
		})
	}
}

// rebind has a NAT give it the address.
func (m *moving) rebind(to netip.AddrPort) func(w *World) { return func(*World) { m.roamer.Move(to) } }

// In the middle of 10 MB, up or down, the client moves on purpose or is moved by a NAT, to another port or another host, when the n-th datagram of the middle
// leaves; and one of the first twenty datagrams each way after it is lost, delayed, or overtaken by others. Nothing is lost, nothing comes
// twice, and it is no slower than one probe that has to be sent again makes it.
func TestMoveAtEachDatagram(t *testing.T) {
	const cases = 200
	kinds := []string{"moves to a port", "moves to a host", "is rebound to a port", "is rebound to a host"}
	troubles := []string{"lost", "delayed", "reordered"}
	for n := 1; n <= cases; n++ {
		kind, trouble, upload := n%4, n/4%3, n/12%2 == 1
		name := fmt.Sprintf("datagram %d, the client %s, %s, upload=%v", n, kinds[kind], troubles[trouble], upload)
		m := &moving{roamer: Roamer{Keep: n%5 != 0, outside: ClientAddr}}
		to := []netip.AddrPort{otherPort, otherHost}[kind%2]
		do := m.migrate(to)
		if kind >= 2 {
			do = m.rebind(to)
		}
		at := 250 + n
		if upload {
			at = 4000 + n
		}
		bad := []Stage{Loss(1), Delay(70*time.Millisecond, 0), Delay(3*time.Millisecond, 0)}[trouble]
		begun := false
		s := Scenario{Name: name, Seed: uint64(n), Download: tenMB, Check: n%10 == 0,
			Begin: func(w *World, client *Conn) { m.client = client },
			Network: func(*World) (toServer, toClient []Stage) {
				start := after(at, func(w *World) { do(w); begun = true })
				toServer = []Stage{start, since(&begun, n%20, bad), Rate(40e6, 256<<10, 0), Delay(10*time.Millisecond, 0)}
				toClient = []Stage{Rate(40e6, 256<<10, 0), Delay(10*time.Millisecond, 0), since(&begun, n/20, bad)}
				if kind >= 2 {
					toServer, toClient = append(toServer, m.roamer.Out()), append(toClient, m.roamer.In())
				}
				return toServer, toClient
			}}
		if upload {
			s.Upload, s.Download = s.Download, 0
		}
		r := run(t, s)
		if m.failed != nil {
			t.Errorf("%s: %v", name, m.failed)
		}
		if got := r.Server.RemoteAddr(); got != to {
			t.Errorf("%s: the server sends to %v, want %v", name, got, to)
		}
		if got := r.Server.Stats().Migrations; got == 0 {
			t.Errorf("%s: the server saw no migration", name)
		}
		if r.Total > 5*time.Second {
			t.Errorf("%s: all data after %v", name, r.Total)
		}
	}
}
