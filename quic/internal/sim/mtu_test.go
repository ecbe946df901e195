package sim

import (
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

// anySize has both sides search as far as they can.
func anySize(client, server *quic.Config) {
	patient(client, server)
	client.MaxUDPPayload, server.MaxUDPPayload = 0, 0
}

// mtuSeeds is from how many seeds each network of these tests is played: the race detector, which has nothing to find in one goroutine,
// leaves time for fewer.
var mtuSeeds = func() int {
	if raceEnabled {
		return 20
	}
	return 200
}()

// tooLarge returns how many datagrams larger than n bytes were sent and did not arrive.
func tooLarge(r *Result, n int) (lost int) {
	for _, e := range r.Trace.Entries {
		switch {
		case e.Len <= n:
		case e.What == "sent":
			lost++
		case e.What == "delivered":
			lost--
		}
	}
	return lost
}

// Whatever a path carries is found by both sides, while all data arrives once; also where much is lost, doubled, and out of order.
func TestSearch(t *testing.T) {
	for _, c := range []struct {
		name          string
		carries, find int
		trouble       func() []Stage
	}{
		{"Ethernet", 1472, 1472, nil},
		{"the least of IPv6", 1252, 1252, nil},
		{"jumbo frames", 8972, 8972, nil},
		{"loopback", 65535, 65507, nil},
		{"nothing but the base", 1200, 1200, nil},
		{"Ethernet, 5 % loss", 1472, 1372, func() []Stage { return []Stage{Loss(0.05)} }},
		{"Ethernet, reordering", 1472, 1372, func() []Stage { return []Stage{Reorder(0.2, 20*time.Millisecond)} }},
		{"Ethernet, duplicates", 1472, 1472, func() []Stage { return []Stage{Duplicate(0.2, 20*time.Millisecond)} }},
		{"a tunnel, loss in bursts", 1392, 1200, func() []Stage { return []Stage{BurstLoss(0.01, 0.3)} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			holes, below := 0, 0
			for seed := uint64(1); seed <= uint64(mtuSeeds); seed++ {
				link := func() []Stage {
					stages := []Stage{MTU(c.carries)}
					if c.trouble != nil {
						stages = append(stages, c.trouble()...)
					}
					if c.carries > EthernetPayload { // which takes a large window
						return append(stages, Rate(1e9, 4<<20, 0), Delay(5*time.Millisecond, 0))
					}
					return append(stages, Rate(10e6, 32<<10, 0), Delay(5*time.Millisecond, 0))
				}
				size := 600_000 // for some 20 round trips
				if c.carries > EthernetPayload {
					size = 3_000_000
				}
				r := run(t, Scenario{Name: c.name, Seed: seed, Upload: size, Download: size, Configure: anySize, Check: true,
					Network: func(*World) (toServer, toClient []Stage) { return link(), link() }})
				for i, side := range []*Conn{r.Client, r.Server} {
					found := side.Stats().MaxUDPPayload
					if found > c.carries || found < c.find {
						if c.trouble == nil || found > c.carries {
							t.Errorf("seed %d: %s found %d, want %d", seed, sideNames[i], found, c.find)
						}
						below++
					}
					if side.Stats().PacketsLost > 0 && c.carries > EthernetPayload {
						holes++ // there the queue is long enough
					}
				}
			}
			if below > mtuSeeds/20 || holes > 0 {
				t.Errorf("of %d, %d found less than %d, and %d lost packets that were no probes", 2*mtuSeeds, below, c.find, holes)
			}
		})
	}
}

// A path that comes to carry less in the middle of a transfer costs a few round trips: nothing is lost, nothing comes twice, and then
// datagrams are as large as it carries. It is so for both directions, and whenever it comes.
func TestPathNarrows(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after int
		find          int
		loss          float64
		rate          float64 // of the links, in bits a second: large datagrams take a large window
		bytes, seeds  int
	}{
		{"from Ethernet to the least of IPv6", 1472, 1252, 1252, 0, 10e6, 1_000_000, mtuSeeds},
		{"a black hole for all above 1200", 1472, 1200, 1200, 0, 10e6, 600_000, mtuSeeds},
		{"from jumbo frames to Ethernet", 8972, 1472, 1472, 0, 100e6, 6_000_000, mtuSeeds / 8},
		{"from 64 KiB to a tunnel", 65507, 1392, 1332, 0, 200e6, 20_000_000, mtuSeeds / 20},
		{"from Ethernet to the least of IPv6, with loss", 1472, 1252, 1200, 0.02, 10e6, 600_000, mtuSeeds},
	} {
		t.Run(c.name, func(t *testing.T) {
			slowest, most := time.Duration(0), 0
			for seed := range uint64(c.seeds) {
				at := NewWorld(seed).Between(30*time.Millisecond, 150*time.Millisecond)
				link := func() []Stage {
					return []Stage{Narrow(c.before, c.after, at), Loss(c.loss), Rate(c.rate, int(c.rate/250), 0), Delay(5*time.Millisecond, 0)}
				}
				s := Scenario{Name: c.name, Seed: seed, Upload: c.bytes, Configure: anySize, Check: c.rate < 100e6, Limit: time.Minute,
					Network: func(*World) (toServer, toClient []Stage) { return link(), link() }}
				if seed%2 == 1 {
					s.Upload, s.Download = 0, c.bytes
				}
				r := run(t, s)
				sender, side := r.Client, seed%2
				if side == 1 {
					sender = r.Server
				}
				if found := sender.Stats().MaxUDPPayload; found > c.after || found < c.find {
					t.Errorf("seed %d: the %s found %d, want %d", seed, sideNames[side], found, c.find)
				}
				slowest, most = max(slowest, r.Total), max(most, tooLarge(r, c.after))
			}
			t.Logf("at most %v, and %d datagrams that were too large", slowest, most)
			if slowest > 5*time.Second {
				t.Errorf("one transfer took %v", slowest)
			}
		})
	}
}

// A path that carried little is searched again after ten minutes.
func TestPathWidens(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		link := func() []Stage {
			return []Stage{Narrow(1200, 1472, 5*time.Second), Rate(200e3, 16<<10, 0), Delay(5*time.Millisecond, 0)}
		}
		r := run(t, Scenario{Name: "widens", Seed: seed, Download: 17_000_000, Configure: anySize, Limit: time.Hour,
			Network: func(*World) (toServer, toClient []Stage) { return link(), link() }})
		if found := r.Server.Stats().MaxUDPPayload; found != 1472 {
			t.Errorf("seed %d: %d after %v", seed, found, r.Total)
		}
	}
}
