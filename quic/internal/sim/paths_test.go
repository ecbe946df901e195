package sim

import (
	"net/netip"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// interopLink is the public interop runner's default link: 15 ms each way, 10 Mbit/s, a queue of 25 packets.
func interopLink(before ...Stage) []Stage {
	return append(before, Rate(10e6, 25*1500, 0), Delay(15*time.Millisecond, 0))
}

// behindNAT is a network with a NAT on the client's side.
func behindNAT(nat *NAT) func(*World) (toServer, toClient []Stage) {
	return func(*World) (toServer, toClient []Stage) {
		return interopLink(nat.Out()), append(interopLink(), nat.In())
	}
}

// every is a time each period, for rebinding.
func every(period time.Duration, count int) (times []time.Duration) {
	for i := range count {
		times = append(times, time.Duration(i+1)*period)
	}
	return times
}

// A NAT that forgets its binding costs a client that receives a pause, not the connection: the server follows as soon as it
// hears the client from elsewhere (RFC 9000, section 9.3). A client that has acknowledged all it received says nothing by itself,
// so that it needs KeepAlive.
func TestRebinding(t *testing.T) {
	const rebindings = 4
	r := run(t, Scenario{Name: "rebinding", Seed: 1, Download: tenMB,
		Configure: func(client, _ *quic.Config) { client.KeepAlive = 500 * time.Millisecond },
		Network:   behindNAT(&NAT{Outside: netip.MustParseAddrPort("198.51.100.1:4000"), Rebind: every(time.Second, rebindings)})})
	if got := r.Server.Stats().Migrations; got != rebindings {
		t.Errorf("the server followed %d times, want %d", got, rebindings)
	}
	if most := 15 * time.Second; r.Total > most {
		t.Errorf("all data after %v, want at most %v", r.Total, most)
	}
}

// The same while data flows the other way, and with a client that is silent when its address changes.
func TestRebindingUpload(t *testing.T) {
	r := run(t, Scenario{Name: "rebinding, upload", Seed: 1, Upload: tenMB,
		Network: behindNAT(&NAT{Outside: netip.MustParseAddrPort("198.51.100.1:4000"), Rebind: every(time.Second, 3)})})
	if got := r.Server.Stats().Migrations; got != 3 {
		t.Errorf("the server followed %d times, want 3", got)
	}
}

// Goodput on the runner's link, with both controllers: at least nine tenths of what the link carries.
func TestGoodput(t *testing.T) {
	for name, algorithm := range map[string]quic.CongestionAlgorithm{"CUBIC": quic.CUBIC, "NewReno": quic.NewReno} {
		t.Run(name, func(t *testing.T) {
			r := run(t, Scenario{Name: name, Seed: 1, Download: tenMB,
				Network:   func(*World) (toServer, toClient []Stage) { return interopLink(), interopLink() },
				Configure: func(client, server *quic.Config) { server.Congestion = algorithm }})
			rate := float64(tenMB) * 8 / (r.Total - r.Handshake).Seconds()
			t.Logf("%.2f Mbit/s", rate/1e6)
			if rate < 0.85*10e6 {
				t.Errorf("%.2f Mbit/s over a link of 10", rate/1e6)
			}
		})
	}
}

// A link that is silent for two seconds in the middle does not end the connection, nor slow it for long.
func TestBlackhole(t *testing.T) {
	hole := func() Stage { return Blackhole(5*time.Second, 7*time.Second) }
	r := run(t, Scenario{Name: "black hole", Seed: 1, Download: tenMB,
		Network: func(*World) (toServer, toClient []Stage) { return interopLink(hole()), interopLink(hole()) }})
	if most := 16 * time.Second; r.Total > most {
		t.Errorf("all data after %v, want at most %v", r.Total, most)
	}
}
