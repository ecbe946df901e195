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
					spoofed := func(*World) netip.AddrPort {
						n++
						return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(n % hosts)}), 4000)
					}
					return interopLink(Copy(0.1, spoofed)), interopLink()
				}})
			t.Logf("%v, %d migrations", r.Total, r.Server.Stats().Migrations)
			if most := 60 * time.Second; r.Total > most {
				t.Errorf("all data after %v, want at most %v", r.Total, most)
			}
		})
	}
}
