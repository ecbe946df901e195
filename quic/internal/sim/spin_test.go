package sim

import (
	"errors"
	"flag"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"
	"time"
)

// The flags of the spinners, here and in other packages: how many seeds, one seed alone, or as many as there is time for, from a
// random one on.
var (
	spinSeeds = flag.Int("spin.seeds", 2000, "how many random plays")
	spinSeed  = flag.Uint64("spin.seed", 0, "this play alone")
	spinTime  = flag.Duration("spin.time", 0, "random plays for that long, from a random seed on")
)

// raceShare is which part of the seeds is played with the race detector, which slows them down.
const raceShare = 10

// spinAll plays one in part of the seeds and stops at the first that fails.
func spinAll(t *testing.T, part uint64, play func(seed uint64) error) {
	if *spinSeed != 0 {
		if err := play(*spinSeed); err != nil {
			t.Fatalf("seed %d: %v", *spinSeed, err)
		}
		return
	}
	first, count := uint64(1), uint64(*spinSeeds)/part
	if raceEnabled {
		count /= raceShare
	}
	if testing.Short() {
		count = min(count, 100)
	}
	var over atomic.Bool
	if *spinTime > 0 {
		first, count = rand.Uint64()>>16, 1<<62
		time.AfterFunc(*spinTime, func() { over.Store(true) })
		t.Logf("from seed %d on", first)
	}
	seed := first
	for ; seed < first+count && !over.Load(); seed++ {
		if err := play(seed); err != nil {
			t.Fatalf("seed %d (-spin.seed=%d plays it alone): %v", seed, seed, err)
		}
	}
	t.Logf("%d plays", seed-first)
}

// shrinkRuns bounds the plays that make a failing plan smaller.
const shrinkRuns = 400

// TestSpinConnections plays random whole connections. One that fails is made smaller and printed.
func TestSpinConnections(t *testing.T) {
	spinAll(t, 1, func(seed uint64) error {
		p := DrawPlan(seed)
		err := p.Run()
		var fault *Fault
		if !errors.As(err, &fault) {
			return err
		}
		small, f := p.Shrink(fault, shrinkRuns)
		t.Errorf("%v\nplan:\n%v\nmade smaller, it still fails: %v\nplan:\n%v", fault, p, f, small)
		return err
	})
}

// One plan is one story: the same datagrams of the same lengths at the same times.
func TestPlanDeterminism(t *testing.T) {
	for seed := uint64(1); seed <= 30; seed++ {
		var traces [2]Trace
		var errs [2]error
		for i := range traces {
			errs[i] = DrawPlan(seed).run(&traces[i])
		}
		if !reflect.DeepEqual(errs[0], errs[1]) || !reflect.DeepEqual(traces[0], traces[1]) {
			t.Errorf("seed %d plays differently: %d and %d steps, %v and %v", seed, len(traces[0].Entries), len(traces[1].Entries), errs[0], errs[1])
		}
	}
}
