package quic

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The flags of the spinners, which every package with TestSpin has: how many seeds, one seed alone, or as many as there is time for,
// from a random one on.
var (
	spinSeeds = flag.Int("spin.seeds", 500, "how many random plays")
	spinSeed  = flag.Uint64("spin.seed", 0, "this play alone")
	spinTime  = flag.Duration("spin.time", 0, "random plays for that long, from a random seed on")
)

// raceShare is which part of the seeds is played with the race detector, which slows them down.
const raceShare = 20

// TestSpinHostile plays random attacks by a peer that holds the keys: well-formed frames of all kinds in valid packets at all levels,
// in either role, while the connection works. A connection may end, with a code that the peer is told; it may not panic, be silent, be
// busy, or hold more than limits.go allows. A play that fails is made smaller and printed.
func TestSpinHostile(t *testing.T) {
	eachSeed(t, func(seed uint64) {
		attack := drawAttack(seed)
		fault := attack.run(t)
		if fault == "" {
			return
		}
		small, how := attack.shrink(t, fault, 300)
		t.Fatalf("seed %d (-spin.seed=%d plays it alone): %s\nattack: %v\nmade smaller, it still fails: %s\nattack: %v", seed, seed, fault,
			attack, how, small)
	})
}

// eachSeed calls play for the seeds that the flags ask for.
func eachSeed(t *testing.T, play func(seed uint64)) {
	first, count := uint64(1), uint64(*spinSeeds)
	var over atomic.Bool
	switch {
	case *spinSeed != 0:
		first, count = *spinSeed, 1
	case *spinTime > 0:
		first, count = rand.Uint64()>>16, 1<<62
		time.AfterFunc(*spinTime, func() { over.Store(true) })
		t.Logf("from seed %d on", first)
	case raceEnabled:
		count /= raceShare
	}
	seed := first
	for ; seed < first+count && !over.Load(); seed++ {
		play(seed)
	}
	t.Logf("%d plays", seed-first)
}

// attack is a play: who is attacked, how both are configured, and what is done in which order. It is plain data.
type attack struct {
	seed    uint64
	client  bool // the connection under attack is a client
	flights int  // of the handshake are sent before the attack; more than there are: all
	buffers int  // the connection's windows and buffers, in bytes; 0: the defaults
	payload int  // its MaxUDPPayload; 0: the default
	least   int  // the peer's max_udp_payload_size; 0: it tells none
	window  int  // the peer's windows for the connection, in bytes
	trains  bool // its packets come in trains, out of order, twice, or not at all
	rude    bool // it does what breaks the protocol, so that the connection ends soon; else what is within its rules
	steps   []attackStep
}

// attackStep is one thing that is done N times or with size N. Its own seed keeps it as it is when others are left out.
type attackStep struct {
	kind string
	n    int
	seed uint64
}

func drawAttack(seed uint64) *attack {
	rng := rand.New(rand.NewPCG(seed, 0xbad))
	a := &attack{seed: seed, client: rng.IntN(2) == 0, flights: rng.IntN(4), window: logUniform(rng, 1, 1<<22), rude: rng.IntN(4) == 0}
	if rng.IntN(3) > 0 {
		a.flights = 10
	}
	if rng.IntN(3) == 0 {
		a.buffers = logUniform(rng, 1, 1<<20)
	}
	if rng.IntN(4) == 0 {
		a.payload = logUniform(rng, 1200, 65527)
	}
	if rng.IntN(4) == 0 {
		a.least = logUniform(rng, 1200, 65527)
	}
	a.trains = rng.IntN(2) == 0
	for range 1 + rng.IntN(12) {
		s := attackStep{attackKinds[rng.IntN(len(attackKinds))], logUniform(rng, 1, 1000), rng.Uint64()}
		if rng.IntN(100) == 0 {
			s.n = logUniform(rng, 1000, 20_000)
		}
		a.steps = append(a.steps, s)
	}
	if rng.IntN(25) == 0 { // more packets than anybody should remember, at a time when the oldest are not done with
		for _, kind := range []string{"write", "late ack", "ack all but one", "write"} {
			if rng.IntN(2) == 0 {
				a.steps = append(a.steps, attackStep{kind, logUniform(rng, 1, 1000), rng.Uint64()})
			}
		}
		a.steps = append(a.steps, attackStep{"pings apart", 140_000, rng.Uint64()})
		a.rude = false
	}
	if rng.IntN(15) == 0 { // much to send, in datagrams of a size that the peer or the network does not carry
		a.payload, a.least, a.window, a.rude = logUniform(rng, 1200, 65527), logUniform(rng, 1200, 9000), 1<<22, false
		a.steps = append(a.steps, attackStep{"write much", logUniform(rng, 100, 2000), rng.Uint64()}, attackStep{"serve", 1, rng.Uint64()})
	}
	return a
}

// logUniform draws a number that is as likely small as large.
func logUniform(rng *rand.Rand, low, high int) int {
	return int(math.Exp(math.Log(float64(low))+rng.Float64()*math.Log(float64(high)/float64(low))) + 0.5)
}

// String is the attack for people.
func (a *attack) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "on a client: %v, after %d flights, buffers %d, payload %d, the peer takes %d, its windows %d, rude %v", a.client, a.flights,
		a.buffers, a.payload, a.least, a.window, a.rude)
	for _, s := range a.steps {
		fmt.Fprintf(&b, "\n  %s %d (%#x)", s.kind, s.n, s.seed)
	}
	return b.String()
}

// quietly stands for the test in the helpers of the scripted peer: what fails is a fault of the play.
type quietly struct {
	testing.TB
	cleanups []func()
}

type attackFault string

func (q *quietly) Helper()                      {}
func (q *quietly) Cleanup(f func())             { q.cleanups = append(q.cleanups, f) }
func (q *quietly) Fatal(args ...any)            { panic(attackFault(fmt.Sprint(args...))) }
func (q *quietly) Fatalf(f string, args ...any) { panic(attackFault(fmt.Sprintf(f, args...))) }
func (q *quietly) Error(args ...any)            { q.Fatal(args...) }
func (q *quietly) Errorf(f string, args ...any) { q.Fatalf(f, args...) }

// run plays the attack and returns what is wrong, "" if nothing.
func (a *attack) run(t testing.TB) (fault string) {
	q := &quietly{TB: t}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case attackFault:
			fault = string(v)
		default:
			fault = fmt.Sprintf("panic: %v\n%s", v, debug.Stack())
		}
		for _, f := range slices.Backward(q.cleanups) {
			f()
		}
	}()
	newAttacker(q, a).play()
	return ""
}

// faultKind is what two faults have in common that are the same one: the first words.
func faultKind(fault string) string { return fault[:min(len(fault), 12)] }

// shrink leaves out what the fault does not need.
func (a *attack) shrink(t testing.TB, fault string, runs int) (*attack, string) {
	best := a
	try := func(edit func(b *attack) bool) bool {
		next := *best
		next.steps = slices.Clone(best.steps)
		if runs == 0 || !edit(&next) {
			return false
		}
		runs--
		f := next.run(t)
		if f == "" || faultKind(f) != faultKind(fault) {
			return false
		}
		best, fault = &next, f
		return true
	}
	for smaller := true; smaller && runs > 0; {
		smaller = false
		for i := len(best.steps) - 1; i >= 0; i-- {
			smaller = try(func(b *attack) bool { b.steps = slices.Delete(b.steps, i, i+1); return true }) || smaller
		}
		for i := range best.steps {
			smaller = try(func(b *attack) bool { b.steps[i].n /= 2; return b.steps[i].n > 0 }) || smaller
		}
		for _, field := range []func(b *attack) *int{
			func(b *attack) *int { return &b.buffers }, func(b *attack) *int { return &b.payload }, func(b *attack) *int { return &b.least },
		} {
			smaller = try(func(b *attack) bool { was := *field(b); *field(b) = 0; return was != 0 }) || smaller
		}
	}
	return best, fault
}
