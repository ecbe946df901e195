package quicnet_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The spinner calls the API at random from many goroutines, in every order that it allows, and checks what must hold all the same:
// calls return, data arrives as it was written, errors say what happened, connections that nobody disturbs live on, and in the
// end nothing is left. A round is one network with its endpoints, drawn from a seed: what is done, with which configuration and
// over which path. When each goroutine gets its turn is not drawn: a seed that fails may have to be run some times.
//
// TestSpinMemory runs rounds in bubbles of testing/synctest, over a network in memory: there waiting costs nothing, and whoever waits for
// ever is found at once. TestSpinLoopback runs them over sockets.

var (
	spinSeeds = flag.Int("spin.seeds", 0, "how many rounds of the spinner are run (default: about half a minute's)")
	spinSeed  = flag.Uint64("spin.seed", 0, "the one seed that the spinner runs")
	spinTime  = flag.Duration("spin.time", 0, "how long the spinner runs, from a random first seed")
)

const (
	// spinRounds* are how many rounds are run without flags.
	spinRoundsMemory   = 40
	spinRoundsLoopback = 20

	// spinHangs ends a process that does not get on. No round takes a hundredth of it.
	spinHangs = 5 * time.Minute

	// spinStalls ends a bubble: so long, in virtual time, no round takes that gets on.
	spinStalls = 24 * time.Hour
)

func TestSpinMemory(t *testing.T) {
	spinEach(t, spinRoundsMemory, 2*(*spinTime)/3, func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			sp := newSpin(t, seed, true)
			stalls := time.AfterFunc(spinStalls, func() {
				sp.describe()
				dumpAndEnd(seed, "nothing gets on, for hours of virtual time")
			})
			defer stalls.Stop()
			sp.round()
		})
	})
}

func TestSpinLoopback(t *testing.T) {
	spinEach(t, spinRoundsLoopback, *spinTime/3, func(t *testing.T, seed uint64) {
		before := takeInventory()
		newSpin(t, seed, false).round()
		before.wantBack(t, seed)
	})
}

// spinEach runs rounds: what the flags say, or rounds.
func spinEach(t *testing.T, rounds int, d time.Duration, round func(t *testing.T, seed uint64)) {
	var current atomic.Uint64
	hangs := time.AfterFunc(spinHangs, func() { dumpAndEnd(current.Load(), "the process hangs") })
	defer hangs.Stop()
	first, started := uint64(1), time.Now()
	switch {
	case *spinSeed != 0:
		first, rounds = *spinSeed, 1
	case d > 0:
		first, rounds = rand.Uint64()>>16, 1<<62
	case *spinSeeds != 0:
		rounds = *spinSeeds
	case testing.Short():
		rounds /= 10
	}
	n := 0
	for ; n < rounds && (d == 0 || time.Since(started) < d); n++ {
		seed := first + uint64(n)
		current.Store(seed)
		hangs.Reset(spinHangs)
		if testing.Verbose() {
			fmt.Fprintf(os.Stderr, "%s: seed %d\n", t.Name(), seed) // for faults that end the process
		}
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { round(t, seed) }) {
			t.Errorf("seed %d failed: go test -race -run '%s' -spin.seed %d ./quic/quicnet", seed, t.Name(), seed)
		}
	}
	t.Logf("%d rounds from seed %d", n, first)
}

// describe says how connections are.
func (sp *spin) describe() {
	for _, l := range sp.allLinks() {
		for _, end := range []int{clientEnd, serverEnd} {
			if c := sp.endOf(l, end); c != nil {
				fmt.Fprintf(os.Stderr, "end %d: %v; %+v; paths %+v\n", end, c.Err(), c.Stats(), c.Paths())
			}
		}
	}
}

// dumpAndEnd says what all goroutines do, and ends the process.
func dumpAndEnd(seed uint64, why string) {
	pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
	fmt.Fprintf(os.Stderr, "spinner: seed %d: %s; above is what all goroutines do\n", seed, why)
	os.Exit(1)
}
