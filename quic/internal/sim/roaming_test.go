package sim

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

var twoHosts = []netip.AddrPort{netip.MustParseAddrPort("198.51.100.1:4000"), netip.MustParseAddrPort("203.0.113.7:4000")}

// A client that changes between two hosts every 20 ms for 2 s in the middle of 10 MB: whatever was sent on one path is settled on it,
// whichever is in use by then, so that neither is ever full of what is long acknowledged (RFC 9000, sections 9.3 and 9.4).
func TestRoaming(t *testing.T) {
	for _, c := range []struct {
		name             string
		loss             float64
		download, upload int
		most             time.Duration
	}{
		{"download", 0, tenMB, 0, 16 * time.Second},
		{"upload", 0, 0, tenMB, 16 * time.Second},
		{"both", 0, tenMB, tenMB, 20 * time.Second},
		{"download, 1 % loss", 0.01, tenMB, 0, 60 * time.Second},
		{"upload, 1 % loss", 0.01, 0, tenMB, 60 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 3; seed++ {
				r := run(t, Scenario{Name: c.name, Seed: seed, Download: c.download, Upload: c.upload, Check: true,
					Network: func(*World) (toServer, toClient []Stage) {
						roaming := &Roaming{Addrs: twoHosts, Period: 20 * time.Millisecond, From: 2 * time.Second, Until: 4 * time.Second}
						return interopLink(roaming.Out(), Loss(c.loss)), append(interopLink(Loss(c.loss)), roaming.In())
					}})
				t.Logf("seed %d: %v, %d migrations", seed, r.Total, r.Server.Stats().Migrations)
				if r.Total > c.most {
					t.Errorf("seed %d: all data after %v, want at most %v", seed, r.Total, c.most)
				}
			}
		})
	}
}

// An observer who delivers copies of a tenth of the client's packets before the client's own moves the connection there and the
// client's next packet back, without end; that costs time and does not stop it (section 9.3.3).
func TestRacingObserver(t *testing.T) {
	for _, hosts := range []int{1, 200} {
		t.Run(fmt.Sprintf("from %d hosts", hosts), func(t *testing.T) {
			r := run(t, Scenario{Name: "racing observer", Seed: 1, Download: tenMB, Check: true,
				Configure: func(client, server *quic.Config) { client.KeepAlive = time.Second },
				Network: func(*World) (toServer, toClient []Stage) {
					n := 0
					spoofed := func() netip.AddrPort {
						n++
						return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(n % hosts)}), 4000)
					}
					return interopLink(Copy(time.Second, 0.1, spoofed)), interopLink()
				}})
			t.Logf("%v, %d migrations", r.Total, r.Server.Stats().Migrations)
			if most := 60 * time.Second; r.Total > most {
				t.Errorf("all data after %v, want at most %v", r.Total, most)
			}
		})
	}
}

// A NAT that rebinds ten or a hundred times a second, by port or by host, does not stop a transfer: the server follows each time. Where
// the round trip is longer than a binding lives, no address can be validated before it is gone, and three times what came is all
// that may be sent there (section 9.3.1), until it ends.
func TestRebindingOften(t *testing.T) {
	near := func(before ...Stage) []Stage {
		return append(before, Rate(10e6, 25*1500, 0), Delay(2*time.Millisecond, 0))
	}
	for _, c := range []struct {
		name     string
		link     func(before ...Stage) []Stage
		period   time.Duration
		from, to time.Duration
		keep     time.Duration
		most     time.Duration
	}{
		{"each 100 ms", near, 100 * time.Millisecond, time.Second, time.Hour, 0, 30 * time.Second},
		{"each 100 ms for 10 s", interopLink, 100 * time.Millisecond, time.Second, 11 * time.Second, 0, 25 * time.Second},
		{"each 100 ms, kept", interopLink, 100 * time.Millisecond, time.Second, time.Hour, time.Second, 30 * time.Second},
		{"each 10 ms, kept", near, 10 * time.Millisecond, time.Second, time.Minute, 50 * time.Millisecond, 60 * time.Second},
		{"each 10 ms for 2 s", interopLink, 10 * time.Millisecond, 2 * time.Second, 4 * time.Second, 0, 15 * time.Second},
		{"each 10 ms for 2 s, kept", interopLink, 10 * time.Millisecond, 2 * time.Second, 4 * time.Second, time.Second, 15 * time.Second},
	} {
		for _, hosts := range []bool{false, true} {
			for _, upload := range []bool{false, true} {
				name := fmt.Sprintf("%s, hosts=%v, upload=%v", c.name, hosts, upload)
				t.Run(name, func(t *testing.T) {
					nat := &NAT{Outside: netip.MustParseAddrPort("198.51.0.1:4000"), Hosts: hosts, Keep: c.keep}
					for at := c.from; at < min(c.to, c.from+5*time.Minute); at += c.period {
						nat.Rebind = append(nat.Rebind, at)
					}
					s := Scenario{Name: name, Seed: 1, Download: tenMB, Check: true,
						Configure: func(client, server *quic.Config) { client.KeepAlive = 100 * time.Millisecond },
						Network: func(*World) (toServer, toClient []Stage) {
							return c.link(nat.Out()), append(c.link(), nat.In())
						}}
					if upload {
						s.Upload, s.Download = s.Download, 0
					}
					r := run(t, s)
					t.Logf("%v, %d migrations, %d lost, %d timeouts", r.Total, r.Server.Stats().Migrations, r.Server.Stats().PacketsLost, r.Server.Stats().Timeouts)
					if r.Total > c.most {
						t.Errorf("all data after %v, want at most %v", r.Total, c.most)
					}
				})
			}
		}
	}
}

// A client whose packets leave by two addresses in turn, as through a NAT that spreads load, loses little by it, and nothing but time where the
// two are of different hosts, each of which begins with a small window.
func TestTwoAddressesInTurn(t *testing.T) {
	ports := []netip.AddrPort{twoHosts[0], netip.AddrPortFrom(twoHosts[0].Addr(), 4001)}
	for _, addrs := range [][]netip.AddrPort{ports, twoHosts} {
		for _, period := range []time.Duration{100 * time.Microsecond, 7 * time.Millisecond} {
			for _, upload := range []int{0, tenMB} {
				name := fmt.Sprintf("%v and %v, each %v, upload %d", addrs[0], addrs[1], period, upload)
				r := run(t, Scenario{Name: name, Seed: 1, Upload: upload, Download: tenMB - upload, Check: true,
					Network: func(*World) (toServer, toClient []Stage) {
						roaming := &Roaming{Addrs: addrs, Period: period, From: time.Second, Until: time.Hour}
						return interopLink(roaming.Out()), append(interopLink(), roaming.In())
					}})
				if stats := r.Server.Stats(); r.Total > 15*time.Second || stats.Timeouts > 0 {
					t.Errorf("%s: all data after %v, %d timeouts", name, r.Total, stats.Timeouts)
				}
			}
		}
	}
}
