package sim

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
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
	step := 1
	if raceEnabled || testing.Short() {
		step = 7
	}
	for n := 1; n <= cases; n += step {
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

// A client that moves to and fro between two hosts of its own, at most as fast as each path can be validated, loses nothing and little time.
func TestMovesToAndFro(t *testing.T) {
	for _, period := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond} {
		for _, upload := range []bool{false, true} {
			name := fmt.Sprintf("each %v, upload=%v", period, upload)
			moves := 0
			s := Scenario{Name: name, Seed: 1, Download: tenMB, Check: true,
				Configure: func(client, server *quic.Config) {
					if period == 50*time.Millisecond {
						client.ConnIDs = quic.RandomConnIDs(0)
					}
				},
				Network: func(*World) (toServer, toClient []Stage) { return interopLink(), interopLink() },
				Begin: func(w *World, client *Conn) {
					var next func()
					next = func() {
						if client.IsClosed() {
							return
						}
						to := ClientAddr
						if moves%2 == 0 {
							to = otherHost
						}
						if err := client.Migrate(w.Now(), to, netip.AddrPort{}); err != nil {
							w.Fail(fmt.Errorf("move %d: %w", moves, err))
						}
						moves++
						client.Touch()
						w.After(period, next)
					}
					w.After(2*time.Second, next)
				}}
			if upload {
				s.Upload, s.Download = s.Download, 0
			}
			r := run(t, s)
			t.Logf("%s: all data after %v, %d calls, %d and %d migrations", name, r.Total, moves, r.Client.Stats().Migrations,
				r.Server.Stats().Migrations)
			if r.Total > 30*time.Second {
				t.Errorf("%s: all data after %v", name, r.Total)
			}
		}
	}
}

// A NAT gives the client another port, or another host, with each n-th datagram for a thousand of them.
func TestRebindingAtEachNth(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 30, 200} {
		for kind := range 2 {
			for _, upload := range []bool{false, true} {
				name := fmt.Sprintf("with each %d. datagram, hosts=%v, upload=%v", n, kind == 1, upload)
				m := &moving{roamer: Roamer{Keep: true, outside: ClientAddr}}
				sent := 0
				rebind := func(w *World, d Datagram, next func(Datagram)) {
					if sent++; sent > 200 && sent <= 1200 && sent%n == 0 {
						k := sent / n
						to := netip.AddrPortFrom(ClientAddr.Addr(), uint16(2000+k))
						if kind == 1 {
							to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(k >> 8), byte(k)}), 2000)
						}
						m.roamer.Move(to)
					}
					next(d)
				}
				s := Scenario{Name: name, Seed: uint64(n), Download: tenMB, Check: true,
					Network: func(*World) (toServer, toClient []Stage) {
						return append([]Stage{rebind, m.roamer.Out()}, interopLink()...), append(interopLink(), m.roamer.In())
					}}
				if upload {
					s.Upload, s.Download = s.Download, 0
				}
				r := run(t, s)
				t.Logf("%s: all data after %v, %d migrations", name, r.Total, r.Server.Stats().Migrations)
				if r.Total > 40*time.Second {
					t.Errorf("%s: all data after %v", name, r.Total)
				}
			}
		}
	}
}

// The path that the client moves to carries nothing in one direction, from the begin or from soon after it was validated on: the connection goes
// on where it was, on both sides, and loses some seconds at most.
func TestPathDeadInOneDirection(t *testing.T) {
	for _, dead := range []string{"to the server", "to the client", "both ways"} {
		for _, from := range []time.Duration{0, 2*time.Second + 45*time.Millisecond} {
			for _, upload := range []bool{false, true} {
				name := fmt.Sprintf("%s from %v on, upload=%v", dead, from, upload)
				hole := func(dir string) Stage {
					return func(w *World, d Datagram, next func(Datagram)) {
						there := d.From == otherHost || d.To == otherHost
						if there && (dead == dir || dead == "both ways") && w.Elapsed() >= from {
							return
						}
						next(d)
					}
				}
				s := Scenario{Name: name, Seed: 1, Download: tenMB, Check: true,
					Network: func(*World) (toServer, toClient []Stage) {
						return interopLink(hole("to the server")), interopLink(hole("to the client"))
					},
					Begin: func(w *World, client *Conn) {
						w.After(2*time.Second, func() {
							if err := client.Migrate(w.Now(), otherHost, netip.AddrPort{}); err != nil {
								w.Fail(err)
							}
							client.Touch()
						})
					}}
				if upload {
					s.Upload, s.Download = s.Download, 0
				}
				r := run(t, s)
				t.Logf("%s: all data after %v", name, r.Total)
				if r.Total > 25*time.Second || r.Client.LocalAddr() != ClientAddr {
					t.Errorf("%s: all data after %v, the client is at %v", name, r.Total, r.Client.LocalAddr())
				}
			}
		}
	}
}

var preferredAddr = netip.MustParseAddrPort("192.0.2.200:8443")

// A server that prefers another address has its client move there once the handshake is confirmed, whatever datagram of the first twenty
// each way is lost, and all data comes through; where that address is not reached, in a direction, or the client does not wish to move, the connection
// stays where it is (RFC 9000, section 9.6).
func TestPreferredAddress(t *testing.T) {
	run1 := func(name string, seed uint64, toServer, toClient Stage, ignore bool, want netip.AddrPort) {
		var stayed, moved int
		r := run(t, Scenario{Name: name, Seed: seed, Upload: 1 << 19, Download: 1 << 19, Check: true,
			Configure: func(client, server *quic.Config) {
				server.PreferredAddress.IPv4 = preferredAddr
				if seed%2 == 0 {
					client.ConnIDs = quic.RandomConnIDs(0) // the client knows what is its own by the server's address
				}
				server.DisableActiveMigration = seed%3 == 0 // which forbids no move to the preferred address
				client.IgnorePreferredAddress = ignore
			},
			Network: func(*World) (_, _ []Stage) {
				count := func(w *World, d Datagram, next func(Datagram)) {
					if d.To == preferredAddr {
						moved++
					} else if moved > 0 {
						stayed++
					}
					next(d)
				}
				rate := func() []Stage { return []Stage{Rate(2e6, 256<<10, 0), Delay(10*time.Millisecond, 0)} }
				return append([]Stage{count, toServer}, rate()...), append([]Stage{toClient}, rate()...)
			}})
		if got := r.Client.RemoteAddr(); got != want {
			t.Errorf("%s: the client sends to %v, want %v", name, got, want)
		}
		if got := r.Server.LocalAddr(); got != want && name != "lossy" { // whose own probes may be lost until all data is there
			t.Errorf("%s: the server sends from %v, want %v", name, got, want)
		}
		if want == preferredAddr && name == "all is well" && stayed > moved/10 {
			t.Errorf("%s: %d datagrams went to the first address after the first of %d to the preferred one", name, stayed, moved)
		}
		if r.Total > 12*time.Second {
			t.Errorf("%s: all data after %v", name, r.Total)
		}
	}
	pass := func(w *World, d Datagram, next func(Datagram)) { next(d) }
	dead := func(w *World, d Datagram, next func(Datagram)) {
		if d.From != preferredAddr && d.To != preferredAddr {
			next(d)
		}
	}
	run1("all is well", 1, pass, pass, false, preferredAddr)
	run1("ignored", 1, pass, pass, true, ServerAddr)
	run1("dead to the server", 1, dead, pass, false, ServerAddr)
	run1("dead to the client", 1, pass, dead, false, ServerAddr)
	for n := 1; n <= 20; n++ {
		run1(fmt.Sprintf("datagram %d to the server lost", n), uint64(n), DropNth(n), pass, false, preferredAddr)
		run1(fmt.Sprintf("datagram %d to the client lost", n), uint64(n), pass, DropNth(n), false, preferredAddr)
	}
	run1("lossy", 3, Loss(0.05), Loss(0.05), false, preferredAddr)
}
