package sim

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/boringquic/boringquic/quic"
)

const tenMB = 10_000_000

// run plays a scenario and checks what every one must fulfil.
func run(t *testing.T, s Scenario) *Result {
	t.Helper()
	r, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	if r.Handshake == 0 || r.Total < r.Handshake {
		t.Errorf("handshake complete after %v, all data after %v", r.Handshake, r.Total)
	}
	if _, ok := r.Client.Err().(*quic.ApplicationError); !ok {
		t.Errorf("the client ended with %v, want its own close", r.Client.Err())
	}
	switch err := r.Server.Err().(type) {
	case *quic.ApplicationError, *quic.IdleTimeoutError: // the latter if the close was lost
	default:
		t.Errorf("the server ended with %v, want the client's close or silence", err)
	}
	return r
}

// patient is a configuration for networks on which a handshake takes long.
func patient(client, server *quic.Config) {
	for _, c := range []*quic.Config{client, server} {
		c.HandshakeTimeout = 5 * time.Minute
		c.MaxIdleTimeout = 5 * time.Minute
	}
}

// conditions are those of the project's acceptance.
var conditions = []Scenario{
	{Name: "plain"},
	{Name: "30 % loss", Network: Both(func() Stage { return Loss(0.30) }), Limit: 2 * time.Hour},
	{Name: "5 % duplication", Network: Both(func() Stage { return Duplicate(0.05, 20*time.Millisecond) })},
	{Name: "10 % reordering", Network: Both(func() Stage { return Reorder(0.10, 20*time.Millisecond) })},
	{Name: "2 % corruption", Network: Both(func() Stage { return Corrupt(0.02) })},
	{Name: "750 ms delay", Network: Both(func() Stage { return Delay(740*time.Millisecond, 0) })},
}

// Each condition with 10 MB, with and without Retry.
func TestConditions(t *testing.T) {
	for _, s := range conditions {
		for _, retry := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/retry=%v", s.Name, retry), func(t *testing.T) {
				s.Seed, s.Retry, s.Download, s.Configure = 1, retry, tenMB, patient
				r := run(t, s)
				t.Logf("handshake %v, all data %v, %d datagrams to the client, %d to the server", r.Handshake, r.Total,
					r.ToClient.Sent, r.ToServer.Sent)
			})
		}
	}
}

// Each condition from 200 seeds, with little data: whatever is lost, doubled or spoilt of the handshake and of the end, both come.
func TestConditionsSeeds(t *testing.T) {
	for _, s := range conditions {
		t.Run(s.Name, func(t *testing.T) {
			for seed := uint64(1); seed <= 200; seed++ {
				s.Seed, s.Retry, s.Download, s.Upload, s.Configure = seed, seed%4 == 0, 20_000, 5_000, patient
				run(t, s)
			}
		})
	}
}

// The loss of exactly the n-th datagram of one direction costs time at most, whichever it is.
func TestLossOfNth(t *testing.T) {
	for n := 1; n <= 30; n++ {
		for _, direction := range []string{"to server", "to client"} {
			t.Run(fmt.Sprintf("%s/%d", direction, n), func(t *testing.T) {
				r := run(t, Scenario{Name: "one datagram lost", Seed: uint64(n), Download: tenMB, Limit: 30 * time.Second,
					Network: func(*World) (toServer, toClient []Stage) {
						if direction == "to server" {
							return plainStages(DropNth(n)), plainStages()
						}
						return plainStages(), plainStages(DropNth(n))
					}})
				link := r.ToServer
				if direction == "to client" {
					link = r.ToClient
				}
				if link.Sent < n || link.Delivered >= link.Sent {
					t.Errorf("%d datagrams sent, %d delivered: none was lost", link.Sent, link.Delivered)
				}
			})
		}
	}
}

// seedScenario is a network drawn from the seed: any mixture of what the stages do.
func seedScenario(seed uint64) Scenario {
	s := Scenario{Name: "mixed", Seed: seed, Configure: patient, Limit: time.Hour}
	draw := NewWorld(seed ^ 0x5eed)
	s.Retry = draw.Chance(0.25)
	s.Streams = 1 + draw.rng.IntN(8)
	s.Download = draw.rng.IntN(100_000)
	s.Upload = draw.rng.IntN(50_000)
	s.Network = func(w *World) (toServer, toClient []Stage) {
		return seedStages(draw), seedStages(draw)
	}
	return s
}

func seedStages(draw *World) []Stage {
	var stages []Stage
	for _, c := range []struct {
		p     float64
		stage func() Stage
	}{
		{0.3, func() Stage { return Loss(draw.rng.Float64() * 0.2) }},
		{0.2, func() Stage { return BurstLoss(draw.rng.Float64()*0.02, 0.4+draw.rng.Float64()*0.6) }},
		{0.2, func() Stage { return DropNth(1 + draw.rng.IntN(20)) }},
		{0.3, func() Stage { return Duplicate(draw.rng.Float64()*0.1, draw.Between(0, 50*time.Millisecond)) }},
		{0.3, func() Stage { return Reorder(draw.rng.Float64()*0.2, draw.Between(0, 50*time.Millisecond)) }},
		{0.2, func() Stage { return Corrupt(draw.rng.Float64() * 0.05) }},
		{0.2, func() Stage { return MarkCE(draw.rng.Float64() * 0.1) }},
		{0.1, ClearECN},
		{0.1, func() Stage {
			from := draw.Between(0, time.Second)
			return Blackhole(from, from+draw.Between(0, 2*time.Second))
		}},
		{0.5, func() Stage { return Rate(1e6+draw.rng.Float64()*1e8, 16<<10+draw.rng.IntN(256<<10), 0) }},
		{1, func() Stage { return Delay(draw.Between(0, 100*time.Millisecond), draw.Between(0, 5*time.Millisecond)) }},
	} {
		if draw.Chance(c.p) {
			stages = append(stages, c.stage())
		}
	}
	return stages
}

// TestSeeds plays 200 networks. SIM_SEED plays the one that failed, SIM_SEEDS as many as it says.
func TestSeeds(t *testing.T) {
	first, count := uint64(1), uint64(200)
	if s := os.Getenv("SIM_SEED"); s != "" {
		first, count = seedFromEnv(t, s), 1
	} else if s := os.Getenv("SIM_SEEDS"); s != "" {
		count = seedFromEnv(t, s)
	}
	for seed := first; seed < first+count; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { run(t, seedScenario(seed)) })
	}
}

func seedFromEnv(t *testing.T, s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// One seed is one story: the same datagrams of the same lengths at the same times.
func TestDeterminism(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		first, second := run(t, seedScenario(seed)), run(t, seedScenario(seed))
		if reflect.DeepEqual(first.Trace, second.Trace) {
			continue
		}
		a, b := first.Trace.Entries, second.Trace.Entries
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("seed %d: step %d is %+v once and %+v once", seed, i, a[i], b[i])
			}
		}
		t.Fatalf("seed %d: %d steps once, %d once", seed, len(a), len(b))
	}
	if reflect.DeepEqual(run(t, seedScenario(1)).Trace, run(t, seedScenario(2)).Trace) {
		t.Error("two seeds, one story")
	}
}

// A long fast path is used by one stream: neither its buffer nor its windows hold it back for long.
func TestLongFastPath(t *testing.T) {
	const rate, size = 400e6, 200_000_000
	path := func(*World) (toServer, toClient []Stage) {
		stages := func() []Stage { return []Stage{Rate(rate, 8<<20, 0), Delay(50*time.Millisecond, 0)} }
		return stages(), stages()
	}
	r := run(t, Scenario{Name: "400 Mbit/s and 100 ms", Seed: 1, Network: path, Download: size, Configure: patient})
	least := time.Duration(size * 8 / rate * float64(time.Second))
	t.Logf("200 MB took %v, %v of it at the least", r.Total, least)
	if r.Total > least*3/2 {
		t.Errorf("200 MB took %v, more than half as much again as the %v that they must", r.Total, least)
	}
}
